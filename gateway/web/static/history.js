// A user's history as a timeline: newest first, a heading for each day, and how long nothing was.

import { moment, span, visible } from "/static/ask.js";
import { KINDS, at, element, outcomeOf } from "/static/page.js";

const ATTEMPTS = 50; // of one page
const PAUSE = 5 * 60_000; // ms without anything that are worth a line

let user, page, older; // whose history, the address of the page that is shown, and of the next one
let shown = ""; // what the table has, to leave it alone while nothing changed

export function historyPage(name) {
  if (name !== user) {
    user = name;
    page = firstPage();
    shown = "";
    at("history-older").disabled = at("history-newest").disabled = true; // until its answer is here
  }
  return page;
}

const firstPage = () => `/attempts?${new URLSearchParams({ user, limit: ATTEMPTS })}`;

export function turnHistory(further) {
  page = further ? older : firstPage();
  at("history-newest").disabled = !further; // it is the way back also where this page does not come
}

export function showHistory(attempts, next) {
  older = next;
  at("history-older").disabled = next === null;
  at("attempts").hidden = attempts.length === 0;
  at("attempts-empty").hidden = attempts.length > 0;
  const now = JSON.stringify(attempts);
  if (now === shown) return; // a text that is being selected stays selected
  shown = now;
  const lines = [];
  attempts.forEach((one, place) => {
    const [day] = moment(one.at).split(" ");
    const newer = attempts[place - 1];
    if (newer && new Date(newer.at) - new Date(one.at) >= PAUSE) {
      lines.push(wide("pause", "td", `${span(new Date(newer.at) - new Date(one.at))} without anything`));
    }
    if (!newer || moment(newer.at).split(" ")[0] !== day) lines.push(wide("day", "th", day));
    lines.push(entry(one));
  });
  const open = new Set([...at("attempts").querySelectorAll("[open]")].map((one) => one.dataset.id));
  at("attempts").querySelector("tbody").replaceChildren(...lines);
  for (const one of at("attempts").querySelectorAll("details")) one.open = open.has(one.dataset.id);
}

function wide(className, tag, text) {
  const line = element("tr", undefined, className);
  const cell = element(tag, text);
  cell.colSpan = 7;
  if (tag === "th") cell.scope = "rowgroup";
  line.append(cell);
  return line;
}

function entry({
  at: when, kind, outcome, verdict, source, user_agent: agent, partition, generation, offset, policy,
  id, delayed_ms: delayed, device, operator: by, reason,
}) {
  const how = kind === "attempt"
    ? { accepted: "good", rejected: "bad", blocked: "bad blocked" }[verdict] ?? "" : "";
  const line = element("tr", undefined, `entry ${how || "other"}`);
  const from = element("td");
  const more = element("details");
  more.dataset.id = id;
  more.append(
    element("summary", by === null ? source ?? "–" : visible(by)),
    ...[
      agent && visible(agent),
      device && `device ${device}`,
      delayed && `delayed by ${delayed} ms for what its source did`,
      `X-Request-ID ${id}`,
    ].filter(Boolean).map((text) => element("small", text, "quiet")));
  from.append(more);
  const what = element("td", KINDS[kind] ?? kind);
  if (reason) what.append(element("br"), element("q", visible(reason), "quiet"));
  const time = element("time", moment(when).split(" ")[1]);
  time.dateTime = when;
  const first = element("td");
  first.append(time);
  line.append(
    first,
    what,
    element("td", outcome ?? "–"),
    kind === "attempt" ? element("td", verdict, how) : element("td", outcomeOf({ kind, verdict })),
    from,
    element("td", `${partition}:${generation}:${offset}`, "place"),
    element("td", policy),
  );
  return line;
}
