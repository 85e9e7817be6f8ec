// What the console shows while no user is chosen: attacks now, the policy with those before it, and
// what operators did.

import { ask, moment, nextPage, visible } from "/static/ask.js";
import { KINDS, at, element, focusAfter, linkTo, look, outcomeOf, show, words } from "/static/page.js";

const HEAVIEST = 10; // sources and accounts that are shown
const ACTIONS = "/attempts?operator=&limit=100"; // a change of the policy is one for each partition

let page = ACTIONS; // of what operators did
let older = null;
let shown = ""; // what its table has, to leave it alone while nothing changed

export async function lookAtOverview() {
  await Promise.all([
    fillPart("attack", `/attacks?limit=${HEAVIEST}`, showAttacks),
    fillPart("policy", "/policy/history?limit=20", showPolicies),
    fillPart("shadow", "/policy", showInForce),
    lookAtActions(),
  ]);
}

function lookAtActions() {
  const address = page;
  return fillPart("actions", address, (body, link) => {
    if (address === page) showActions(body, link); // else another page was chosen meanwhile
  });
}

export async function turnActions(further) {
  page = further ? older : ACTIONS;
  at("newest").disabled = page === ACTIONS; // it is the way back also where this page does not come
  await focusAfter(lookAtActions(), "actions");
}

async function fillPart(part, address, fill) {
  const counts = look(part);
  try {
    const { body, link } = await ask("GET", address);
    if (!counts()) return;
    fill(body, link);
    show(`${part}-error`, "");
  } catch (error) {
    if (counts()) show(`${part}-error`, words(error));
  }
}

function showAttacks({ known, attack, failed_accounts: failed, succeeded_accounts: right, sources, accounts }) {
  show("attack", attack ? "An attack goes on" : known ? "No attack" : "It is not known whether there is an attack");
  at("attack").classList.toggle("bad", attack);
  show("attack-counts", known ? `In 15 minutes ${failed.toLocaleString("en")} accounts failed from some source, `
    + `and ${right.toLocaleString("en")} got in.` : ""); // else they are of whenever it was known last
  fillTable("sources", known ? sources : [], ({ source }) => source);
  fillTable("accounts", known ? accounts : [], ({ user }) => linkTo(user));
}

const filled = {}; // what each table has, as `shown`

// A count is too large by `error` at most.
function fillTable(id, rows, first) {
  const now = JSON.stringify(rows);
  if (now === filled[id]) return;
  filled[id] = now;
  at(id).hidden = rows.length === 0;
  at(id).querySelector("tbody").replaceChildren(...rows.map((row) => {
    const line = element("tr");
    const name = element("td");
    name.append(first(row));
    const count = element("td", row.refusals.toLocaleString("en"), "number");
    if (row.error) count.title = `at most; at least ${(row.refusals - row.error).toLocaleString("en")}`;
    line.append(name, count);
    return line;
  }));
}

function showPolicies({ policies }) {
  at("policies").hidden = policies.length === 0;
  at("policies").querySelector("tbody").replaceChildren(
    ...policies.map(({ version, since, policy, changed }) => {
      const line = element("tr");
      line.append(
        element("td", version), element("td", moment(since)), element("td", values(policy, changed) || "–"));
      return line;
    }));
}

const values = (policy, names) => names.map((name) => `${name} ${policy[name].toLocaleString("en")}`).join(", ");

// The history has no policy that came into force before what the audit keeps.
function showInForce({ policy, tried }) {
  show("policy", inWords(policy));
  at("shadow").hidden = tried === null;
  at("shadow-figures").hidden = !tried?.result;
  if (tried === null) return;
  at("shadow-since").textContent = moment(tried.since);
  at("shadow-policy").textContent = values(tried.policy, tried.changed) || "the same";
  at("shadow-state").textContent = tried.result ? counted(tried.result) : "Nothing is counted yet.";
  if (tried.result) showTrial(tried.result);
}

function counted({ as_of: asOf, attempts, one_of: share }) {
  const of = `${share > 1 ? "About " : ""}${attempts.toLocaleString("en")} attempts until ${moment(asOf)}`;
  return share > 1 ? `${of}, estimated from one account in ${share.toLocaleString("en")}.` : `${of}.`;
}

function showTrial(result) {
  const rows = [
    ["as it was", result.as_it_was], [`by policy ${result.version}, in force`, result.in_force],
    ["by the one that is tried", result.shadow]];
  at("shadow-figures").querySelector("tbody").replaceChildren(...rows.map(([name, figures]) => {
    const line = element("tr");
    line.append(element("td", name), ...["blocks", "owners_refused", "guesses_saved"].map(
      (figure) => element("td", figures[figure].toLocaleString("en"), "number")));
    return line;
  }));
}

// A policy and a number of partitions have a record in each partition, which together are one thing that was done.
function showActions({ attempts }, link) {
  older = nextPage(link);
  at("older").disabled = older === null;
  const now = JSON.stringify(attempts);
  if (now === shown) return; // a link that has the focus keeps it
  shown = now;
  const all = new Map();
  for (const done of attempts) {
    const { kind, policy, generation, operator, reason, id } = done;
    const once = { policy, layout: generation }[kind];
    all.set(once === undefined ? id : JSON.stringify([kind, once, operator, reason]), done);
  }
  at("actions-empty").hidden = all.size > 0;
  at("actions").hidden = all.size === 0;
  at("actions").querySelector("tbody").replaceChildren(...[...all.values()].map(actionLine));
}

function actionLine(done) {
  const { at: when, kind, user, operator, reason, verdict, policy } = done;
  const line = element("tr");
  const name = kind === "policy" ? `policy ${policy}` : KINDS[kind] ?? kind;
  const plain = verdict === "accepted";
  const what = element("td", plain ? name : `${name}: ${outcomeOf(done)}`, plain ? "" : "quiet");
  const whom = element("td");
  whom.append(user ? linkTo(user) : "–");
  line.append(
    element("td", moment(when)), element("td", visible(operator)), what, whom,
    element("td", reason ? visible(reason) : "–", "text"));
  return line;
}

const seconds = (ms) => `${(ms / 1000).toLocaleString("en")} s`;

function inWords({ threshold, window_ms: within, block_ms: block, block_max_ms: longest, final_failures: final }) {
  const length = block === 0 ? "until an operator lifts it"
    : `for ${seconds(block)}, then for twice as long each time, up to ${seconds(longest)}`;
  const last = block && final
    ? ` After ${final.toLocaleString("en")} in a row only an operator lifts the block.` : "";
  return `${threshold} wrong passwords within ${seconds(within)} block an account ${length}.${last}`;
}
