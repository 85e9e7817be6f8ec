// Several blocks at once: they are chosen in the list, and lifted with one reason.

import { alone, ask, lines, nextPage, now, visible } from "/static/ask.js";
import { at, byHand, element, show, words } from "/static/page.js";

const MOST = 1000; // accounts in one request
const MOST_BYTES = 12_000; // of their names in it

const APART = 60_000; // ms by which two servers' clocks may differ

let listed = new Map(); // the blocks of the page that is shown, by name
let listedAt; // when they stood so
const chosen = new Map(); // blocks as the list has shown them, by name
let since; // when the first one of them stood so
let stop = null; // ends the request that is under way
let whenLoggedIn, changed, say; // what else the console does

export const anyChosen = () => chosen.size > 0;

// A row's box; names that are chosen stay so on other pages of the list.
export function box(name) {
  const made = element("input");
  made.type = "checkbox";
  made.setAttribute("aria-label", `Choose ${alone(name)}`);
  made.addEventListener("change", () => {
    choose(name, made.checked);
    showChosen();
  });
  return made;
}

function choose(name, wanted) {
  if (!anyChosen()) since = listedAt;
  if (wanted) chosen.set(name, listed.get(name));
  else chosen.delete(name);
}

// What stands in the rows from now on.
export function list(blocks) {
  listed = new Map(blocks.map((block) => [block.user, block]));
  listedAt = now();
  showChosen();
}

const boxes = () => [...at("names").querySelectorAll("input")];
const nameOf = (one) => one.closest("li").dataset.user;
const accounts = (number) => `${number.toLocaleString("en")} account${number === 1 ? "" : "s"}`;

function showChosen() {
  for (const one of boxes()) one.checked = chosen.has(nameOf(one));
  const shown = boxes().filter((one) => one.checked).length;
  at("choosing").hidden = boxes().length === 0 && !anyChosen();
  at("choose-all").checked = shown > 0 && shown === boxes().length;
  at("choose-all").indeterminate = shown > 0 && shown < boxes().length;
  show("chosen", anyChosen() ? `${accounts(chosen.size)} chosen; the list stands still.` : "");
  at("choose-none").hidden = at("lift").hidden = !anyChosen();
}

// While another list is on its way, the rows that stand there are not the ones that are asked for.
export function awaitList(waits) {
  at("choose-all").disabled = waits;
}

export const listIsAwaited = () => at("choose-all").disabled;

function chooseAll() {
  for (const one of boxes()) choose(nameOf(one), at("choose-all").checked);
  showChosen();
}

function chooseNone() {
  chosen.clear();
  showChosen();
  at("choose-all").focus();
  changed();
}

// The list stood still: what colleagues have blocked by hand since is not in it.
async function lookAtNewOnes() {
  const from = new Date(since - APART).toISOString();
  let page = `/blocked?${new URLSearchParams({ details: 1, limit: MOST, reason: "by hand", since: from })}`;
  while (page) {
    const { body, link } = await ask("GET", page);
    for (const block of body.blocked) if (chosen.has(block.user)) chosen.set(block.user, block);
    page = nextPage(link);
  }
}

async function askToLift() {
  let unknown = "";
  at("lift").disabled = true;
  try {
    await lookAtNewOnes();
  } catch (error) {
    unknown = `It is not known who else is blocked by hand by now. ${words(error)}`;
  }
  at("lift").disabled = false;
  if (document.querySelector("dialog[open]") || !anyChosen()) return; // something else was done meanwhile
  at("lifting-title").textContent = `Unblock ${accounts(chosen.size)}?`;
  const isByHand = ([, block]) => block.by_hand;
  const some = [...chosen].filter(isByHand);
  const number = some.length.toLocaleString("en");
  show("lifting-by-hand", [some.length && `Blocked by hand, and first in this list: ${number}.`, unknown]
    .filter(Boolean).join(" "));
  const others = [...chosen].filter((one) => !isByHand(one));
  at("lifting-users").replaceChildren(...[...some, ...others].map(([name, block]) => {
    const item = element("li");
    item.append(element("bdi", visible(name)));
    if (block.by_hand) item.append(" ", element("small", byHand(block), "quiet"));
    return item;
  }));
  at("lift-reason").value = "";
  at("lifting-failed").replaceChildren();
  show("lifting-error", "");
  show("lifting-done", "");
  at("lifting-bar").hidden = true;
  at("lifting-no").textContent = "Keep blocked";
  at("lifting-yes").hidden = false;
  at("lifting").showModal();
}

function* requests(names) {
  let some = [], size = 0;
  for (const name of names) {
    const length = new TextEncoder().encode(JSON.stringify(name)).length + 1;
    if (some.length === MOST || (some.length && size + length > MOST_BYTES)) {
      yield some;
      [some, size] = [[], 0];
    }
    some.push(name);
    size += length;
  }
  yield some;
}

async function lift(event) {
  event.preventDefault();
  const names = [...chosen.keys()], reason = at("lift-reason").value.trim();
  const came = { lifted: 0, free: 0, failed: 0 };
  const bar = at("lifting-bar");
  Object.assign(bar, { max: names.length, value: 0, hidden: false });
  at("lifting-failed").replaceChildren();
  show("lifting-error", "");
  at("lifting-yes").disabled = true;
  at("lifting-no").textContent = "Stop";
  at("lifting-done").ariaBusy = true; // it is spoken at the end, and not for each account
  stop = new AbortController();
  const each = ({ user, unblocked, error, code }) => {
    bar.value += 1;
    if (unblocked) came.lifted += 1;
    else if (code === "not_found") came.free += 1;
    else {
      came.failed += 1;
      const item = element("li", `${alone(user)}: ${error}`);
      at("lifting-failed").append(item);
    }
    if (unblocked || code === "not_found") chosen.delete(user);
    show("lifting-done", result(came, names.length));
  };
  try {
    for (const users of requests(names)) {
      await lines("DELETE", "/blocked", reason ? { users, reason } : { users }, each, stop.signal);
    }
  } catch (error) {
    const why = stop.signal.aborted ? "It was stopped." : words(error);
    show("lifting-error", `${why} ${result(came, names.length)} A few more may be unblocked already.`);
    if (error.status === 401) whenLoggedIn(() => {}, true);
  }
  stop = null;
  at("lifting-done").ariaBusy = false;
  at("lifting-yes").disabled = false;
  at("lifting-yes").hidden = !anyChosen();
  at("lifting-no").textContent = "Close";
  showChosen();
  say(result(came, names.length));
  if (!anyChosen()) {
    at("lifting").close();
    at("names").focus();
  }
  awaitList(true); // what is still chosen keeps no list of before
  changed();
}

function result({ lifted, free, failed }, all) {
  return [
    `${lifted.toLocaleString("en")} of ${accounts(all)} unblocked.`,
    free && `${free.toLocaleString("en")} were not blocked any more.`,
    failed && `${failed.toLocaleString("en")} failed.`,
  ].filter(Boolean).join(" ");
}

// `loggedIn(then, anew)` does it as an operator; `after` looks at the list; `tell` says a sentence.
export function chooseSeveral(loggedIn, after, tell) {
  [whenLoggedIn, changed, say] = [loggedIn, after, tell];
  at("choose-all").addEventListener("change", chooseAll);
  at("choose-none").addEventListener("click", chooseNone);
  at("lift").addEventListener("click", () => whenLoggedIn(askToLift));
  at("lifting-form").addEventListener("submit", lift);
  at("lifting-no").addEventListener("click", () => (stop ? stop.abort() : at("lifting").close()));
  at("lifting").addEventListener("cancel", (event) => {
    if (stop) event.preventDefault(); // its end is worth a look
    stop?.abort();
  });
}
