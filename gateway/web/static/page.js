// The parts of the console's page, for all that fills them. Text is inserted as text, never as markup.

import { Problem, moment, visible } from "/static/ask.js";

export const at = (id) => document.getElementById(id);

export function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

// Live regions speak when they change: the same text is not written twice.
export function show(id, text) {
  if (at(id).textContent !== text) at(id).textContent = text;
  at(id).hidden = !text;
}

// A link to a user's page.
export function linkTo(user) {
  const link = element("a");
  link.href = `#${encodeURIComponent(user)}`;
  link.append(element("bdi", visible(user)));
  return link;
}

// What a request of the log is called.
export const KINDS = {
  attempt: "login", registered: "register", password: "new password", devices: "forget devices",
  block: "block by hand", disabled: "disable", enabled: "enable", deleted: "delete",
  layout: "more partitions",
};

// What the verdict says of a request that checked no password.
const CLEARED = { accepted: "cleared", rejected: "nothing to clear" };
const DONE = {
  registered: CLEARED, unblock: CLEARED, password: CLEARED,
  block: { accepted: "blocked", rejected: "blocked for longer already" },
};

export const outcomeOf = ({ kind, verdict }) => DONE[kind]?.[verdict] ?? verdict;

// A block by hand, for the operator who may lift it: a colleague had a reason for it.
export const byHand = ({ until, why }) =>
  `blocked until ${until === null ? "an operator lifts it" : moment(until)}, ${visible(why)}`;

export function words(error) {
  if (error instanceof Problem) return error.message;
  console.error(error);
  return `This page did not understand an answer of the gateway (${error.message}). Reload it.`;
}

let begun = 0; // looks, of whatever
const newest = {}; // the look of each part that was shown

// One look at a part begins: gives whether its answer counts, or one that was asked for later is shown.
export function look(part) {
  const mine = begun += 1;
  return () => {
    if (newest[part] > mine) return false;
    newest[part] = mine;
    return true;
  };
}

// Let the focus follow to what was asked for, where it was not needed elsewhere meanwhile.
export async function focusAfter(done, id) {
  const had = document.activeElement;
  await done;
  if ([had, document.body].includes(document.activeElement)) at(id).focus();
}
