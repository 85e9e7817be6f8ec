// The form by which an operator puts another policy into force.

import { Problem, ask } from "/static/ask.js";
import { at, element, show, words } from "/static/page.js";

const UNITS = { ms: "ms", failures: "wrong passwords" };
const CHOICES = { repeated_guesses: ["count", "ignore"] };

let looked; // the policy that was looked at, which must be in force still

// Fill the form with what is in force now, and show it.
export async function askForPolicy(say) {
  let policy;
  try {
    ({ policy } = (await ask("GET", "/policy")).body);
  } catch (error) {
    say(words(error));
    return;
  }
  if (document.querySelector("dialog[open]")) return; // it was asked for twice, or something else meanwhile
  looked = policy;
  at("policy-fields").replaceChildren(
    ...Object.entries(looked).filter(([name]) => name !== "version").map(([name, value]) => field(name, value)));
  at("policy-reason").value = "";
  show("changing-error", "");
  at("changing").showModal();
}

function field(name, value) {
  const line = element("p");
  const unit = UNITS[name.split("_").at(-1)];
  const label = element("label", `${name.replace(/_(ms|failures)$/, "").replaceAll("_", " ")}${unit ? `, ${unit}` : ""}`);
  const input = CHOICES[name] ? element("select") : element("input");
  for (const choice of CHOICES[name] ?? []) input.append(element("option", choice));
  if (!CHOICES[name]) Object.assign(input, { type: "number", step: 1, min: 0, required: true });
  input.id = label.htmlFor = `policy-${name}`;
  input.value = value;
  line.append(label, " ", input);
  return line;
}

// Put what the form has into force; what is not valid, or not what was looked at, the gateway refuses.
// Gives a sentence.
export async function putPolicy() {
  const policy = Object.fromEntries(Object.entries(looked).map(([name, value]) => {
    const given = at(`policy-${name}`)?.value ?? value; // the version has no field
    return [name, CHOICES[name] ? given : Number(given)];
  }));
  const reason = at("policy-reason").value.trim();
  const { policy: { version }, behind } = await put(policy, reason);
  return behind.length === 0 ? `Policy ${version} is in force.`
    : `Policy ${version} is in force, but in partitions ${behind.join(", ")}, which have no worker now.`;
}

async function put(policy, reason) {
  const before = looked;
  try {
    return (await ask("PUT", "/policy", [200, 202], { policy, reason })).body;
  } catch (error) {
    if (error.status !== 409) throw error;
    const now = (await ask("GET", "/policy")).body.policy;
    if (looked === before) looked = now; // else the form was opened anew, with what it looked at
    const has = Object.keys(now).filter((name) => name !== "version" && now[name] !== policy[name]);
    throw new Problem(`Somebody else changed it: policy ${now.version} is in force now`
      + `${has.length ? `, and has ${has.map((name) => `${name} ${now[name]}`).join(", ")}` : ""}.`
      + " Put yours in its place by the same button, or leave it.");
  }
}
