// The operator console. Whatever comes from the gateway is inserted as text, never as markup.

import { Problem, ask, clock, distance, moment, nextPage, sentence } from "/static/ask.js";

const PAGE = 500; // names in one page of the list
const ATTEMPTS = 50; // attempts shown of a user
const EVERY = 5000; // ms between two looks at everything
const SPOKEN = 8000; // ms that a message stays

const at = (id) => document.getElementById(id);
const pages = [`/blocked?limit=${PAGE}`]; // addresses of the pages up to the one that is shown
let next = null; // address of the page after it
let user = null; // the user who is shown
let lastAttempts = ""; // what the table shows, to leave it alone while nothing changed
let said; // timer that takes the last message away

// Live regions speak when they change: the same text is not written twice.
function show(id, text) {
  if (at(id).textContent !== text) at(id).textContent = text;
  at(id).hidden = !text;
}

function words(error) {
  if (error instanceof Problem) return error.message;
  console.error(error);
  return `This page did not understand an answer of the gateway (${error.message}). Reload it.`;
}

function say(text) {
  clearTimeout(said);
  at("said").textContent = text;
  said = setTimeout(() => { at("said").textContent = ""; }, SPOKEN);
}

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

// ---- Are the parts well? ----------------------------------------------------------------------

async function lookAtParts() {
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
  document.title = `${trouble ? "(!) " : ""}${user ? `${user} · ` : ""}Cerrojo`;
}

// ---- Who is blocked now -----------------------------------------------------------------------

async function lookAtList() {
  const address = pages.at(-1);
  try {
    const { body, link } = await ask("GET", address);
    if (address !== pages.at(-1)) return; // another page was chosen meanwhile
    next = nextPage(link);
    fillList(body["users-blocked"]);
    show("list-error", "");
    at("updated").textContent = `Updated ${clock(new Date())}.`;
  } catch (error) {
    show("list-error", words(error));
  }
  at("previous").disabled = pages.length < 2;
  at("next").disabled = !next;
  at("page").textContent = `Page ${pages.length}`;
}

// Rows are kept where the name is still there, so that focus and scrolling survive a refresh.
function fillList(names) {
  const kept = new Map([...at("names").children].map((item) => [item.dataset.user, item]));
  const same = kept.size === names.length && names.every((name) => kept.has(name));
  if (!same) at("names").replaceChildren(...names.map((name) => kept.get(name) ?? row(name)));
  const several = next !== null || pages.length > 1;
  const number = names.length.toLocaleString("en");
  at("count").textContent = several ? `${number} on this page` : number;
  at("list-empty").hidden = several || names.length > 0;
  markChosen();
}

function row(name) {
  const link = element("a");
  link.append(element("bdi", name));
  link.href = `#${encodeURIComponent(name)}`;
  link.title = name;
  const item = element("li");
  item.dataset.user = name;
  item.append(link);
  return item;
}

function markChosen() {
  for (const item of at("names").children) {
    if (item.dataset.user === user) item.firstChild.setAttribute("aria-current", "true");
    else item.firstChild.removeAttribute("aria-current");
  }
}

function turn(forward) {
  if (forward) pages.push(next);
  else pages.pop();
  at("previous").disabled = at("next").disabled = true;
  at("names").scrollTop = 0;
  at("names").focus();
  lookAtList();
}

// ---- One user ---------------------------------------------------------------------------------

// The address after # is the user, so that a look-up can be sent to a colleague.
function choose() {
  try {
    user = decodeURIComponent(location.hash.slice(1)) || null;
  } catch {
    user = location.hash.slice(1); // a % that encodes nothing
  }
  at("intro").hidden = user !== null;
  at("about").hidden = user === null;
  for (const id of ["user-error", "attempts-error", "state"]) show(id, "");
  for (const id of ["unblock", "facts", "attempts", "attempts-empty"]) at(id).hidden = true;
  lastAttempts = "";
  at("user").firstChild.textContent = user ?? "";
  nameThePage();
  markChosen();
  if (user === null) return;
  at("user").focus();
  lookAtUser();
}

async function lookAtUser() {
  if (user !== null) await Promise.all([lookAtBlock(user), lookAtAttempts(user)]);
}

// Where there is no answer, what was known stays, under the sentence.
async function lookAtBlock(name) {
  try {
    const { status, body } = await ask("GET", `/blocked/${encodeURIComponent(name)}`, [200, 404]);
    if (name !== user) return; // another user was chosen meanwhile
    showBlock(status === 200 ? body : null);
    show("user-error", "");
  } catch (error) {
    if (name === user) show("user-error", words(error));
  }
}

function showBlock(block) {
  show("state", block ? "Blocked" : "Not blocked");
  at("state").classList.toggle("bad", block !== null);
  at("unblock").hidden = at("facts").hidden = block === null;
  if (block === null) return;
  const time = (iso) => `${moment(iso)} (${distance(iso)})`;
  at("since").textContent = time(block.since);
  at("until").textContent = block.until === null ? "an operator lifts it" : time(block.until);
  at("why").textContent = block.why;
  at("failures").textContent = block.failures;
}

async function lookAtAttempts(name) {
  const query = new URLSearchParams({ user: name, limit: ATTEMPTS });
  try {
    const { body } = await ask("GET", `/attempts?${query}`);
    if (name !== user) return;
    showAttempts(body.attempts);
    show("attempts-error", "");
  } catch (error) {
    if (name === user) show("attempts-error", words(error));
  }
}

function showAttempts(attempts) {
  at("attempts").hidden = attempts.length === 0;
  at("attempts-empty").hidden = attempts.length > 0;
  at("attempts-title").textContent =
    attempts.length === ATTEMPTS ? `Last ${ATTEMPTS} attempts` : "Last attempts";
  const now = JSON.stringify(attempts);
  if (now === lastAttempts) return; // a text that is being selected stays selected
  lastAttempts = now;
  at("attempts").querySelector("tbody").replaceChildren(...attempts.map(attemptLine));
}

function attemptLine({ at: when, kind, outcome, verdict, partition, generation, offset, policy }) {
  const line = element("tr");
  line.append(
    element("td", moment(when)),
    element("td", { attempt: "login", registered: "register" }[kind] ?? kind),
    element("td", outcome ?? "–"),
    // Of what checked no password, the verdict says whether there was a count or block to clear.
    outcome === null
      ? element("td", { accepted: "cleared", rejected: "nothing to clear" }[verdict] ?? verdict)
      : element("td", verdict, { accepted: "good", rejected: "bad", blocked: "bad blocked" }[verdict]),
    element("td", `${partition}:${generation}:${offset}`, "place"),
    element("td", policy),
  );
  return line;
}

// ---- Unblock, with a second thought -----------------------------------------------------------

function askToUnblock() {
  at("confirm").dataset.user = user; // the one who is named is the one who is unblocked
  at("confirm-title").querySelector("bdi").textContent = user;
  show("confirm-error", "");
  at("confirm").showModal();
}

async function unblock() {
  const name = at("confirm").dataset.user;
  at("confirm-yes").disabled = true;
  try {
    const { status } = await ask("DELETE", `/blocked/${encodeURIComponent(name)}`, [200, 404]);
    say(status === 200 ? `${name} is unblocked.` : `${name} was not blocked any more.`);
    at("confirm").close();
    at("user").focus();
    await Promise.all([lookAtUser(), lookAtList()]);
  } catch (error) {
    show("confirm-error", `The unblocking is not confirmed. ${words(error)}`);
  } finally {
    at("confirm-yes").disabled = false;
  }
}

// ---- What the person does ---------------------------------------------------------------------

function keys(event) {
  const typing = event.target instanceof HTMLInputElement || at("confirm").open;
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    at("name").focus();
    at("name").select();
  }
  const item = event.target.closest("#names li");
  const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
  if (item && step) {
    event.preventDefault();
    item[step]?.firstChild.focus();
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
  if (!document.hidden) await Promise.all([lookAtParts(), lookAtList(), lookAtUser()]);
}

async function keepLooking() {
  for (;;) {
    await lookAtEverything();
    await new Promise((resolve) => setTimeout(resolve, EVERY));
  }
}

at("search").addEventListener("submit", search);
at("skip").addEventListener("click", skip);
at("previous").addEventListener("click", () => turn(false));
at("next").addEventListener("click", () => turn(true));
at("unblock").addEventListener("click", askToUnblock);
at("confirm-no").addEventListener("click", () => at("confirm").close());
at("confirm-yes").addEventListener("click", unblock);
document.addEventListener("keydown", keys);
document.addEventListener("visibilitychange", lookAtEverything);
window.addEventListener("hashchange", choose);
at("zone").textContent = `Times are in ${Intl.DateTimeFormat().resolvedOptions().timeZone}.`;
choose();
keepLooking();
