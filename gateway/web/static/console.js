// The operator console. Whatever comes from the gateway is inserted as text, never as markup.

import { alone, ask, clock, distance, moment, nextPage, rest, sentence, visible } from "/static/ask.js";
import { watch } from "/static/live.js";
import { lookAtOverview, turnActions } from "/static/overview.js";
import { at, byHand, element, focusAfter, look, show, words } from "/static/page.js";
import { historyPage, showHistory, turnHistory } from "/static/history.js";
import { askForPolicy, putPolicy } from "/static/policy.js";
import { anyChosen, awaitList, box, chooseSeveral, list, listIsAwaited } from "/static/several.js";

const PAGE = 100; // blocks in one page of the list
const EVERY = 5000; // ms between two looks at everything
const HIDDEN_EVERY = 60_000; // ms between two looks at the parts, while nobody sees more than the title
const STALE = 30_000; // ms without a look at the list, in which very many accounts may be blocked
const TYPING = 200; // ms after a key until the list is filtered
const SPOKEN = 8000; // ms that a message stays

const firstPage = (text) => `/blocked?${new URLSearchParams({ details: 1, limit: PAGE, text })}`;
const pages = [firstPage("")]; // addresses of the pages up to the one that is shown
let next = null; // address of the page after it
let user = null; // the user who is shown
let operator = null; // who is logged in
let afterLogin = null; // what to do then
let said; // timer that takes the last message away

function say(text) {
  clearTimeout(said);
  at("said").textContent = text;
  said = setTimeout(() => { at("said").textContent = ""; }, SPOKEN);
}

// ---- Are the parts well? ----------------------------------------------------------------------

async function lookAtParts() {
  const counts = look("parts");
  let parts, trouble;
  try {
    const { body } = await ask("GET", "/readyz", [200, 503]);
    parts = Object.entries(body.parts);
    trouble = parts.filter(([, word]) => word !== "ok")
      .map(([part, word]) => `${capital(part)}: ${sentence(word)}`);
  } catch (error) {
    parts = [["gateway", "away"]];
    trouble = [`${words(error)} What is shown below may be old; this page keeps trying.`];
  }
  if (!counts()) return;
  at("parts").replaceChildren(...parts.map(([part, word]) => (word === "ok"
    ? element("li", `${capital(part)} ok`) : element("li", `${capital(part)} not ready`, "bad"))));
  const old = [...at("problems").children].map((p) => p.textContent);
  if (JSON.stringify(old) !== JSON.stringify(trouble)) {
    at("problems").replaceChildren(...trouble.map((text) => element("p", text)));
  }
  nameThePage();
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function nameThePage() {
  const trouble = at("problems").childElementCount > 0;
  document.title = `${trouble ? "(!) " : ""}${user ? `${alone(user)} · ` : ""}Cerrojo`;
}

// ---- Who is blocked now -----------------------------------------------------------------------

// What is being chosen stays where it is, also where the answer is on its way already.
const standsStill = () => anyChosen() && !listIsAwaited();
const refreshList = () => (standsStill() ? null : lookAtList());

// By a page's address the one behind the blocks that were looked at for it in vain. After that only
// newer ones are looked at again, until one that is wanted was among them or may have been: it may
// be behind them by now.
const passed = new Map();
let lookedAt = 0;

async function lookAtList() {
  const counts = look("list");
  const address = pages.at(-1);
  // Another page was chosen meanwhile, or accounts were.
  const tooLate = () => address !== pages.at(-1) || standsStill() || !counts();
  if (Date.now() - lookedAt > STALE) passed.clear();
  lookedAt = Date.now();
  try {
    let { body, link } = await ask("GET", address);
    if (tooLate()) return;
    if (body.blocked.length > 0) passed.delete(address);
    // An answer looks at a bounded number of blocks: the first one that is wanted may be behind them.
    let further = passed.get(address) ?? nextPage(link);
    while (body.blocked.length === 0 && nextPage(link)) {
      if (!passed.has(address)) show("list-empty", "Looking at older blocks…");
      passed.set(address, further);
      ({ body, link } = await ask("GET", further));
      if (tooLate()) return;
      further = nextPage(link);
    }
    if (body.blocked.length === 0 && pages.length > 1) {
      pages.pop();
      // What a change came to, which may have emptied that page, is not to be overwritten.
      if (!at("said").textContent) say("There is nobody on the page after this one.");
      await lookAtList();
      return;
    }
    next = nextPage(link);
    awaitList(false);
    fillList(body.blocked);
    show("list-error", "");
    at("updated").textContent = `Updated ${clock(new Date())}.`;
  } catch (error) {
    if (tooLate()) return;
    show("list-error", words(error));
  }
  at("previous").disabled = pages.length < 2;
  at("next").disabled = !next;
  at("page").textContent = `Page ${pages.length}`;
}

// Rows are kept where the name is still there, so that focus and scrolling survive a refresh.
function fillList(blocks) {
  const shown = [...at("names").children];
  const kept = new Map(shown.map((item) => [item.dataset.user, item]));
  const same = shown.length === blocks.length
    && blocks.every(({ user: name }, place) => shown[place].dataset.user === name);
  if (!same) {
    const had = document.activeElement;
    at("names").replaceChildren(...blocks.map(({ user: name }) => kept.get(name) ?? row(name)));
    if (at("names").contains(had)) had.focus({ preventScroll: true });
  }
  blocks.forEach(({ until, why, level, by_hand: hand }, place) => {
    const [left, more] = at("names").children[place].querySelectorAll("span, small");
    left.textContent = until === null ? "until it is lifted" : rest(until);
    more.textContent = hand ? visible(why) : `level ${level} · ${visible(why)}`;
    more.title = more.textContent;
  });
  const several = next !== null || pages.length > 1;
  const number = blocks.length.toLocaleString("en");
  at("count").textContent = several ? `${number} on this page` : number;
  show("list-empty", several || blocks.length > 0 ? ""
    : at("filter").value.trim() ? "Nobody with this in the name is blocked." : "Nobody is blocked.");
  markShown();
  list(blocks);
}

function row(name) {
  const link = element("a");
  link.append(element("bdi", visible(name)));
  link.href = `#${encodeURIComponent(name)}`;
  link.title = alone(name);
  const item = element("li");
  item.dataset.user = name;
  item.append(box(name), link, element("span", "", "quiet"), element("small", "", "quiet"));
  return item;
}

function markShown() {
  for (const item of at("names").children) {
    const link = item.querySelector("a");
    if (item.dataset.user === user) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

// From now on an answer for the list that is shown is too late.
function leaveList() {
  next = null;
  at("previous").disabled = at("next").disabled = true;
  awaitList(true);
  at("names").scrollTop = 0;
}

function turn(forward) {
  if (forward) pages.push(next);
  else pages.pop();
  passed.clear();
  leaveList();
  at("names").focus();
  refreshList();
}

let filtering; // timer of the filter: one look for a word, and not one for each letter

function filter() {
  clearTimeout(filtering);
  passed.clear();
  const text = at("filter").value.trim();
  pages.splice(0, pages.length, firstPage(text));
  at("count").ariaLive = text ? "polite" : "off"; // who filters hears what is found
  leaveList();
  filtering = setTimeout(refreshList, TYPING);
}

// ---- One user ---------------------------------------------------------------------------------

// The address after # is the user, so that a look-up can be sent to a colleague.
function choose() {
  try {
    user = decodeURIComponent(location.hash.slice(1)) || null;
  } catch {
    user = location.hash.slice(1); // a % that encodes nothing
  }
  at("detail").setAttribute("aria-label", user === null ? "Overview" : alone(user));
  at("overview").hidden = user !== null;
  at("about").hidden = user === null;
  for (const id of ["user-error", "attempts-error", "state"]) show(id, "");
  for (const id of ["unblock", "block", "facts", "attempts", "attempts-empty"]) at(id).hidden = true;
  watch(user === null && !document.hidden);
  at("user").firstChild.textContent = visible(user ?? "");
  nameThePage();
  markShown();
  if (user === null) {
    lookAtOverview();
    return;
  }
  at("user").focus();
  lookAtUser();
}

async function lookAtUser() {
  if (user !== null) await Promise.all([lookAtBlock(user), lookAtAttempts(user)]);
}

// Where there is no answer, what was known stays, under the sentence.
async function lookAtBlock(name) {
  const counts = look("block");
  try {
    const { status, body } = await ask("GET", `/blocked/${encodeURIComponent(name)}`, [200, 404]);
    if (name !== user || !counts()) return; // another user was chosen meanwhile
    showBlock(status === 200 ? body : null);
    show("user-error", "");
  } catch (error) {
    if (name === user && counts()) show("user-error", words(error));
  }
}

function showBlock(block) {
  show("state", block ? "Blocked" : "Not blocked");
  at("state").classList.toggle("bad", block !== null);
  at("unblock").hidden = at("facts").hidden = block === null;
  at("block").hidden = block !== null && block.by_hand && block.until === null; // nothing is longer
  if (block === null) return;
  const time = (iso) => `${moment(iso)} (${distance(iso)})`;
  at("since").textContent = time(block.since);
  at("until").textContent = block.until === null ? "an operator lifts it" : time(block.until);
  at("why").textContent = block.why;
  at("level").textContent = block.by_hand ? `${block.level}; a block by hand does not raise it` : block.level;
  at("failures").textContent = block.failures;
}

async function lookAtAttempts(name) {
  const address = historyPage(name);
  const counts = look("attempts");
  try {
    const { body, link } = await ask("GET", address);
    if (name !== user || address !== historyPage(name) || !counts()) return;
    showHistory(body.attempts, nextPage(link));
    show("attempts-error", "");
  } catch (error) {
    if (name === user && address === historyPage(name) && counts()) show("attempts-error", words(error));
  }
}

async function turnAttempts(further) {
  turnHistory(further);
  await focusAfter(lookAtAttempts(user), "attempts");
}

// ---- Who changes something ---------------------------------------------------------------------

async function lookWhoAsks() {
  const counts = look("operator");
  try {
    const { body } = await ask("GET", "/operator");
    if (!counts()) return; // a login or logout meanwhile counts
    if (operator !== null && body.operator === null) {
      say("You are not logged in any more: your token has ended, or another tab has logged out.");
    }
    showOperator(body);
  } catch (error) {
    words(error); // what is away is said elsewhere
  }
}

function showOperator({ operator: name, role }) {
  look("operator")(); // a question that is under way is too late
  operator = name;
  show("operator-name", name === null ? "" : `${visible(name)} (${role})`);
  at("log-in").hidden = name !== null;
  at("log-out").hidden = name === null;
}

function whenLoggedIn(then, anew = false) {
  if (anew) showOperator({ operator: null }); // the token is worth nothing any more
  if (operator === null) askForToken(then, anew ? "Your login has ended. Log in again: what you have typed stays." : "");
  else then();
}

// For the user who is shown now, also where another one is shown after the login.
function ofShown(then) {
  const name = user;
  whenLoggedIn(() => then(name));
}

function askForToken(then = null, why = "") {
  afterLogin = then;
  show("login-error", why);
  at("login").showModal();
  at("token").focus();
}

async function logIn(event) {
  event.preventDefault();
  at("login-yes").disabled = true;
  try {
    const { body } = await ask("POST", "/session", [200], { token: at("token").value.trim() });
    showOperator(body);
    lookAtEverything();
    if (!at("login").open) return; // it was put off meanwhile
    at("login").close();
    afterLogin?.();
  } catch (error) {
    show("login-error", words(error));
  } finally {
    at("token").value = "";
    at("login-yes").disabled = false;
  }
}

async function logOut() {
  try {
    await ask("DELETE", "/session");
    history.replaceState(null, "", location.pathname); // it may have a user's name
    location.reload(); // nothing stays of what only operators may see, and no stream goes on
  } catch (error) {
    say(words(error));
  }
}

// ---- What is asked for in a dialog ------------------------------------------------------------

// One change, and then a look at what it has changed. Who closes the dialog meanwhile, and perhaps
// opens it for another user, hears of it all the same.
async function change(event, id, what, todo, { focus, lookAgain }) {
  event.preventDefault();
  const dialog = at(id), yes = at(`${id}-yes`);
  let left = false;
  const leave = () => { left = true; };
  dialog.addEventListener("close", leave, { once: true });
  yes.disabled = true;
  try {
    say(await todo());
    if (!left) {
      dialog.close();
      at(focus).focus();
    }
    await lookAgain();
  } catch (error) {
    const text = `${what} is not confirmed. ${words(error)}`;
    if (left) say(text);
    else show(`${id}-error`, text);
    if (error.status === 401 && left) showOperator({ operator: null });
    else if (error.status === 401) whenLoggedIn(() => {}, true);
  } finally {
    dialog.removeEventListener("close", leave);
    yes.disabled = false;
  }
}

const ofUser = { focus: "user", lookAgain: () => Promise.all([lookAtUser(), refreshList()]) };
const ofPolicy = { focus: "change-policy", lookAgain: lookAtOverview };

// A colleague may have blocked it by hand since the last look.
async function askToUnblock(name) {
  let standing = "";
  try {
    const { status, body } = await ask("GET", `/blocked/${encodeURIComponent(name)}`, [200, 404]);
    if (status === 200 && body.by_hand) standing = `It is ${byHand(body)}`;
  } catch (error) {
    standing = `It is not known whether it is blocked by hand. ${words(error)}`;
  }
  if (document.querySelector("dialog[open]")) return; // it was asked for twice, or something else meanwhile
  at("confirm").dataset.user = name; // the one who is named is the one who is unblocked
  at("confirm-title").querySelector("bdi").textContent = visible(name);
  at("reason").value = "";
  show("confirm-by-hand", standing);
  show("confirm-error", "");
  at("confirm").showModal();
}

function unblock(event) {
  const name = at("confirm").dataset.user;
  const reason = at("reason").value.trim();
  change(event, "confirm", `The unblocking of ${alone(name)}`, async () => {
    const { status } = await ask(
      "DELETE", `/blocked/${encodeURIComponent(name)}`, [200, 404], reason ? { reason } : undefined);
    return status === 200 ? `${alone(name)} is unblocked.` : `${alone(name)} was not blocked any more.`;
  }, ofUser);
}

function askToBlock(name) {
  at("blocking").dataset.user = name;
  at("blocking-title").querySelector("bdi").textContent = visible(name);
  at("blocking-form").reset();
  show("blocking-error", "");
  at("blocking").showModal();
}

function block(event) {
  const name = at("blocking").dataset.user;
  const order = { reason: at("block-reason").value.trim() };
  if (at("block-for").value) order.seconds = Number(at("block-for").value);
  change(event, "blocking", `The block of ${alone(name)}`, async () => {
    await ask("POST", `/blocked/${encodeURIComponent(name)}`, [200], order);
    return `${alone(name)} is blocked.`;
  }, ofUser);
}

const changePolicy = (event) => change(event, "changing", "The change of the policy", putPolicy, ofPolicy);

// ---- What the person does ---------------------------------------------------------------------

function keys(event) {
  const typing = event.target.matches("input:not([type=checkbox])") || document.querySelector("dialog[open]");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    at("name").focus();
    at("name").select();
  }
  const item = event.target.closest("#names li");
  const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
  if (item && step) {
    event.preventDefault();
    item[step]?.querySelector(event.target.localName).focus(); // from box to box, or name to name
  }
}

function search(event) {
  event.preventDefault();
  const wanted = `#${encodeURIComponent(at("name").value.trim())}`;
  if (location.hash === wanted) choose();
  else location.hash = wanted;
}

function skip(event) {
  event.preventDefault(); // what stands after # is a user
  at("detail").focus();
}

async function lookAtEverything() {
  if (document.hidden) {
    await lookAtParts(); // the title says how they are
    return;
  }
  await Promise.all([
    lookWhoAsks(), // another tab may have changed the cookie
    lookAtParts(), refreshList(), user === null ? lookAtOverview() : lookAtUser()]);
}

let again; // timer of the next look at everything

async function keepLooking() {
  await lookAtEverything();
  clearTimeout(again);
  again = setTimeout(keepLooking, document.hidden ? HIDDEN_EVERY : EVERY);
}

at("search").addEventListener("submit", search);
at("skip").addEventListener("click", skip);
at("previous").addEventListener("click", () => turn(false));
at("next").addEventListener("click", () => turn(true));
at("older").addEventListener("click", () => turnActions(true));
at("newest").addEventListener("click", () => turnActions(false));
at("history-older").addEventListener("click", () => turnAttempts(true));
at("history-newest").addEventListener("click", () => turnAttempts(false));
at("log-in").addEventListener("click", () => askForToken());
at("log-out").addEventListener("click", logOut);
at("login-no").addEventListener("click", () => at("login").close());
at("login-form").addEventListener("submit", logIn);
at("filter").addEventListener("input", filter);
at("unblock").addEventListener("click", () => ofShown(askToUnblock));
at("block").addEventListener("click", () => ofShown(askToBlock));
at("blocking-form").addEventListener("submit", block);
at("blocking-no").addEventListener("click", () => at("blocking").close());
at("change-policy").addEventListener("click", () => whenLoggedIn(() => askForPolicy(say)));
at("changing-form").addEventListener("submit", changePolicy);
at("changing-no").addEventListener("click", () => at("changing").close());
at("confirm-no").addEventListener("click", () => at("confirm").close());
at("confirm-form").addEventListener("submit", unblock);
document.addEventListener("keydown", keys);
document.addEventListener("visibilitychange", () => {
  watch(user === null && !document.hidden);
  keepLooking();
});
window.addEventListener("hashchange", choose);
at("zone").textContent = `Times are in ${Intl.DateTimeFormat().resolvedOptions().timeZone}.`;
chooseSeveral(whenLoggedIn, refreshList, say);
choose();
keepLooking();
