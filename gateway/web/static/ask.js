// Questions to the gateway and answers in words, for the operator console.

const PATIENCE = 8000; // ms for one answer
const LOG_IN = "This needs an operator's login: press “Log in…”.";

// Something that a person must hear; the message is a sentence.
export class Problem extends Error {}

let ahead = 0; // ms from this clock to the gateway's, by its last answer

async function send(method, address, content, signal) {
  // By the first header the gateway knows that no form or link of a page elsewhere changes something.
  const headers = { "X-Cerrojo-Console": "1" };
  if (content !== undefined) headers["Content-Type"] = "application/json";
  const body = content === undefined ? undefined : JSON.stringify(content);
  const answer = await fetch(address, { method, headers, body, signal, cache: "no-store" });
  const date = Date.parse(answer.headers.get("Date"));
  if (date) ahead = date + 1000 - Date.now(); // it has whole seconds, and what has begun is not ahead
  return answer;
}

// The time by the gateway's clock, as all that it says: this one may be wrong.
export const now = () => Date.now() + ahead;

const bodyOf = (answer) => answer.json().catch((error) => {
  if (error instanceof SyntaxError) return null; // not JSON: the status still says something
  throw error;
});

const unreachable = (error) => new Problem(error.name === "TimeoutError"
  ? `The gateway did not answer within ${PATIENCE / 1000} s.`
  : "The gateway cannot be reached. It may be restarting.");

// One request. Gives {status, body, link} where the status is expected, or throws a Problem.
export async function ask(method, address, expected = [200], content = undefined) {
  let answer, body;
  try {
    answer = await send(method, address, content, AbortSignal.timeout(PATIENCE));
    body = await bodyOf(answer);
  } catch (error) {
    throw unreachable(error);
  }
  if (expected.includes(answer.status) && body !== null) {
    return { status: answer.status, body, link: answer.headers.get("Link") };
  }
  throw refused(answer, body, method, address);
}

// One request whose answer is lines of JSON: `each` gets every one as it comes. Or throws a Problem,
// where a line cannot be read after all others were.
export async function lines(method, address, content, each, signal) {
  let answer, body, unreadable = false;
  const take = (line) => {
    const found = object(line);
    if (found) each(found);
    else unreadable = true;
  };
  try {
    answer = await send(method, address, content, signal);
    if (answer.ok) {
      let rest = "";
      for await (const text of parts(answer.body.pipeThrough(new TextDecoderStream()))) {
        const whole = (rest + text).split("\n");
        rest = whole.pop();
        whole.forEach(take);
      }
      if (rest) take(rest);
    } else {
      body = await bodyOf(answer);
    }
  } catch (error) {
    throw unreachable(error);
  }
  if (!answer.ok) throw refused(answer, body, method, address);
  if (unreadable) throw new Problem(`The gateway's answer to ${method} ${address} has lines that cannot be read.`);
}

function object(line) {
  try {
    const found = JSON.parse(line);
    return typeof found === "object" ? found : null;
  } catch {
    return null;
  }
}

async function* parts(stream) { // not every browser can go through a stream by itself
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}

function refused(answer, body, method, address) {
  const where = `${method} ${address.split("?")[0]}`;
  const reason = answer.status === 401 && address !== "/session" ? LOG_IN // a program sends it in a header
    : typeof body?.error === "string" ? sentence(body.error)
    : `The gateway answered ${answer.status} to ${where} and did not say why; its log does.`;
  const later = answer.headers.get("Retry-After");
  const problem = new Problem(later ? `${reason} Try again in ${later} s.` : reason);
  problem.status = answer.status;
  return problem;
}

// The address of the next page in a Link header, or null on the last one.
export function nextPage(link) {
  const found = link?.match(/<([^>]*)>[^,]*;\s*rel="?next"?/);
  const url = found && new URL(found[1], location.href);
  return url ? url.pathname + url.search : null;
}

export const sentence = (text) => (/[.!?]$/.test(text) ? text : `${text}.`);

// Others' text, with what has no shape or turns the direction of text written as its number.
export const visible = (text) => text.replace(
  /[\p{C}\p{Zl}\p{Zp}]/gu, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);

// The same for the middle of a sentence: the direction of either does not matter to the other.
export const alone = (text) => `\u2068${visible(text)}\u2069`;

const two = (n) => String(n).padStart(2, "0");
export const clock = (d) => [d.getHours(), d.getMinutes(), d.getSeconds()].map(two).join(":");
const day = (d) => [d.getFullYear(), two(d.getMonth() + 1), two(d.getDate())].join("-");

// An ISO time on this clock: 2026-11-24 03:12:09.
export const moment = (iso) => `${day(new Date(iso))} ${clock(new Date(iso))}`;

// How far from now: "in 29 min", "3 h ago".
export function distance(iso) {
  const ms = new Date(iso) - now();
  return ms < 0 ? `${span(ms)} ago` : `in ${span(ms)}`;
}

// How long it lasts still: "for 29 min".
export const rest = (iso) => `for ${span(Math.max(0, new Date(iso) - now()))}`;

// A length in words: "29 min".
export function span(ms) {
  const seconds = Math.round(Math.abs(ms) / 1000);
  const [size, unit] = [[86400, "d"], [3600, "h"], [60, "min"]]
    .find(([length]) => seconds >= length * 2) ?? [1, "s"];
  return `${Math.floor(seconds / size)} ${unit}`;
}
