// What the console shows while no user is chosen: attacks now, and the policy with those before it.

import { ask, moment, visible } from "/static/ask.js";
import { at, element, show, words } from "/static/page.js";

const HEAVIEST = 10; // sources and accounts that are shown

export async function lookAtOverview() {
  await Promise.all([
    look("attack", `/attacks?limit=${HEAVIEST}`, showAttacks),
    look("policy", "/policy/history?limit=20", showPolicies),
  ]);
}

async function look(part, address, fill) {
  try {
    fill((await ask("GET", address)).body);
    show(`${part}-error`, "");
  } catch (error) {
    show(`${part}-error`, words(error));
  }
}

function showAttacks({ known, attack, failed_accounts: failed, succeeded_accounts: right, sources, accounts }) {
  show("attack", attack ? "An attack goes on" : known ? "No attack" : "It is not known whether there is an attack");
  at("attack").classList.toggle("bad", attack);
  show("attack-counts", `In 15 minutes ${failed.toLocaleString("en")} accounts failed from some source, `
    + `and ${right.toLocaleString("en")} got in.`);
  fillTable("sources", sources, ({ source }) => source);
  fillTable("accounts", accounts, ({ user }) => {
    const link = element("a");
    link.href = `#${encodeURIComponent(user)}`;
    link.append(element("bdi", visible(user)));
    return link;
  });
}

// A count is too large by `error` at most.
function fillTable(id, rows, first) {
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
  const now = policies[0]?.policy;
  show("policy", now ? inWords(now) : "");
  at("policies").hidden = policies.length === 0;
  at("policies").querySelector("tbody").replaceChildren(
    ...policies.map(({ version, since, policy, changed }) => {
      const line = element("tr");
      const what = changed.map((name) => `${name} ${policy[name].toLocaleString("en")}`);
      line.append(element("td", version), element("td", moment(since)), element("td", what.join(", ") || "–"));
      return line;
    }));
}

const seconds = (ms) => `${(ms / 1000).toLocaleString("en")} s`;

function inWords({ threshold, window_ms: within, block_ms: block, block_max_ms: longest, final_failures: final }) {
  const length = block === 0 ? "until an operator lifts it"
    : `for ${seconds(block)}, then for twice as long each time, up to ${seconds(longest)}`;
  const last = block && final
    ? ` After ${final.toLocaleString("en")} in a row only an operator lifts the block.` : "";
  return `${threshold} wrong passwords within ${seconds(within)} block an account ${length}.${last}`;
}
