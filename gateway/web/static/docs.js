// Shows /openapi.json by Swagger UI. What this port serves can be tried here; the login port is
// another origin, which a page of this one may not ask.

const api = await (await fetch("/openapi.json", { cache: "no-store" })).json();

const ours = ({ servers }) => servers.some(({ description }) => description === "operator");

for (const operations of Object.values(api.paths)) {
  for (const operation of Object.values(operations)) {
    // The settings' address may be another one than that by which a browser came here.
    if (ours(operation)) operation.servers = [{ url: location.origin, description: "operator" }];
  }
}

SwaggerUIBundle({
  spec: api,
  dom_id: "#api",
  deepLinking: true,
  displayRequestDuration: true,
  validatorUrl: null, // asks nobody else
  plugins: [() => ({
    statePlugins: {
      spec: {
        wrapSelectors: {
          allowTryItOutFor: () => (_, path, method) => ours(api.paths[path][method]),
        },
      },
    },
  })],
});
