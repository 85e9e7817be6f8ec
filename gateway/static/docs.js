// Shows /openapi.json to people. Text goes in as text only, never as HTML.

const api = await (await fetch("/openapi.json")).json();

function element(name, ...children) {
  const made = document.createElement(name);
  made.append(...children);
  return made;
}

// A schema as the JSON that it describes, as in {"user": "string"}.
function example(schema = {}, depth = 0) {
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    return depth > 5 ? name : example(api.components.schemas[name], depth + 1);
  }
  if (schema.properties) {
    return Object.fromEntries(Object.entries(schema.properties)
      .map(([name, part]) => [name, example(part, depth + 1)]));
  }
  if (schema.type === "array") return [example(schema.items, depth + 1)];
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) return choices.map((choice) => example(choice, depth + 1)).join(" or ");
  return Array.isArray(schema.type) ? schema.type.join(" or ") : schema.type ?? "object";
}

const body = (content) => Object.values(content ?? {}).flatMap(({ schema }) =>
  element("pre", JSON.stringify(example(schema), null, 2)));

for (const [path, { servers, ...operations }] of Object.entries(api.paths)) {
  for (const [method, operation] of Object.entries(operations)) {
    const heading = element("h2", element("code", `${method.toUpperCase()} ${path}`), " ",
      element("small", servers[0].url));
    const parameters = (operation.parameters ?? []).map(({ name, in: where }) =>
      element("li", element("code", name), ` in the ${where}`));
    const answers = Object.entries(operation.responses ?? {}).flatMap(([status, { content }]) =>
      [element("p", element("code", status)), ...body(content)]);
    document.querySelector("main").append(heading,
      element("p", operation.summary ?? "", " ", operation.description ?? ""),
      element("ul", ...parameters), ...body(operation.requestBody?.content), ...answers);
  }
}
