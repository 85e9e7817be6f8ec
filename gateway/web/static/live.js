// What goes on now, second by second, as the gateway tells it (server-sent events).

import { at, element, show } from "/static/page.js";

const AGAIN = 5000; // ms until the next try after a refusal
const SHOWN = 60; // seconds in the picture
const WIDTH = 240, HEIGHT = 40; // of it

let stream = null;
let again; // timer of the next try
let late = null; // timer until their absence is worth a sentence: streams end now and then, and begin again
let seen = []; // logins a second, newest last

const number = (n) => n.toLocaleString("en", { maximumFractionDigits: n < 10 ? 1 : 0 });
const sum = (counts) => Object.values(counts).reduce((all, one) => all + one, 0);

// Watch while this is wanted; a page that nobody looks at asks nothing.
export function watch(wanted) {
  clearTimeout(again);
  if (!wanted) {
    clearTimeout(late);
    late = null;
  }
  if (wanted === (stream !== null)) return;
  if (!wanted) {
    stream.close();
    stream = null;
    return;
  }
  seen = [];
  late ??= setTimeout(standStill, AGAIN);
  stream = new EventSource("/live");
  stream.addEventListener("message", ({ data }) => showLive(JSON.parse(data)));
  stream.addEventListener("error", () => {
    if (stream.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
    stream = null;
    again = setTimeout(() => watch(true), AGAIN);
  });
}

const standStill = () => show("live-error", "These figures stand still. This page keeps trying.");

function showLive({
  logins, service_attempts: attempts, verdicts, login_seconds: login, verdict_seconds: verdict, partitions,
}) {
  clearTimeout(late);
  late = setTimeout(standStill, AGAIN);
  show("live-error", "");
  at("live").hidden = false;
  const all = sum(logins) + sum(attempts);
  at("live-logins").textContent = number(all);
  at("live-results").textContent = [...results(logins), ...results(attempts, " of services")].join(", ");
  at("live-verdicts").textContent = number(verdicts);
  at("live-login-time").textContent = within(login);
  at("live-verdict-time").textContent = within(verdict);
  showPartitions(partitions);
  draw(all);
}

const results = (counts, whose = "") => Object.entries(counts).filter(([, rate]) => rate > 0)
  .map(([result, rate]) => `${number(rate)} ${result}${whose}`);

const time = (seconds) => (seconds < 1 ? `${number(seconds * 1000)} ms` : `${number(seconds)} s`);

function within({ half, most }) {
  return half === null ? "none came in 10 s" : `half ${bound(half)}, 99% ${bound(most)}`;
}

const LONGEST = 10; // s, the last bound that is counted
const bound = (seconds) => (seconds < LONGEST ? `within ${time(seconds)}` : `in ${LONGEST} s or more`);

const lives = ({ heard }) => heard !== null && heard <= 2;

function showPartitions(partitions) {
  const lags = partitions.map(({ lag }) => lag);
  at("live-lag").textContent = lags.includes(null) ? "not known: the brokers do not say"
    : `${number(sum(lags))} records at the last heartbeats, ${number(Math.max(0, ...lags))} at most in a partition`;
  const heard = partitions.filter(lives).length;
  at("live-workers").textContent = `heard of ${heard} of ${partitions.length} partitions`;
  at("live-workers").classList.toggle("bad", heard < partitions.length);
  at("live-partitions").querySelector("tbody").replaceChildren(...partitions.map((one) => {
    const line = element("tr");
    const worker = one.heard === null ? "not heard"
      : lives(one) ? `heard ${number(one.heard)} s ago` : `silent for ${number(one.heard)} s`;
    line.append(
      element("td", one.partition, "number"), element("td", worker, lives(one) ? "good" : "bad"),
      element("td", one.epoch, "place"), element("td", one.next, "number"),
      element("td", one.lag ?? "?", "number"));
    return line;
  }));
}

function draw(rate) {
  seen = [...seen, rate].slice(-SHOWN);
  const top = Math.max(1, ...seen);
  const points = seen.map((value, place) => {
    const x = WIDTH - ((seen.length - 1 - place) * WIDTH) / (SHOWN - 1);
    return `${x.toFixed(1)},${(HEIGHT - 1 - (value * (HEIGHT - 2)) / top).toFixed(1)}`;
  });
  at("live-line").setAttribute("points", points.join(" "));
  at("live-chart-title").textContent = `Logins a second in the last minute: at most ${number(top)}`;
}
