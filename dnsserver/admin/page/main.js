// The page: asks for the status once a second, and again for what is open whenever the status says that it may differ.

import { Details } from "./details.js";
import { byId, setText } from "./dom.js";
import { Finder } from "./finder.js";
import { Rates, renderOverview } from "./overview.js";
import { ask, link, place } from "./server.js";
import { count, plural, rate, span } from "./words.js";

const EVERY = 1000; // milliseconds
const PATIENCE = 5000; // for an answer

let status = null;
let skew = 0; // seconds that the server's clock is ahead of this one
let lostAt = null; // when the connection was lost
let seen = ""; // the serials that what is open was asked for at

const rates = new Rates();
const details = new Details(byId("details"), { place, trouble: lost, now: () => Date.now() / 1000 + skew });
const finder = new Finder({
  open: (name) => go({ ...place(), name, type: "" }),
  typed: (q) => replace({ ...place(), q }),
  zones: () => (status?.clusters ?? []).flatMap((one) => one.zones.map((zone) => zone.zone)).filter((zone) => !zone.endsWith(".arpa.")),
  trouble: lost,
});

function go(parts) {
  if ((location.hash || "#") === link(parts)) arrive();
  else location.hash = link(parts);
}

function replace(parts) {
  history.replaceState(null, "", link(parts));
}

function arrive() {
  const { q, name, type } = place();
  finder.start(q);
  finder.choose(name);
  document.body.dataset.view = name ? "details" : "overview";
  byId("details").hidden = !name;
  byId("overview").hidden = Boolean(name);
  document.title = name ? `${name} · dnsserver` : "dnsserver";
  if (name) details.show(name, type, { fresh: true });
  else details.close();
}

async function poll() {
  let next;
  try {
    next = await ask("/api/status", {}, AbortSignal.timeout(PATIENCE));
  } catch {
    lost();
    return;
  }
  const back = lostAt !== null;
  lostAt = null;
  status = next;
  skew = next.now - Date.now() / 1000;
  rates.add(next);
  render();
  news(back);
}

function lost() {
  lostAt ??= new Date();
  render();
}

function version() {
  return JSON.stringify(status.clusters.map((one) => [one.synced, one.version, one.zones.map((zone) => zone.serial)]));
}

// Have what is open asked for again, where the zones or the objects are no longer those that it was made of.
function news(back) {
  const now = version();
  const changed = back || (seen !== "" && now !== seen);
  seen = now;
  finder.again(changed);
  details.again(changed);
}

function render() {
  document.body.toggleAttribute("data-lost", lostAt !== null);
  if (status === null) {
    pulse("lost", "No answer yet");
    return;
  }
  const zones = status.clusters.flatMap((one) => one.zones);
  setText(byId("version"), status.version);
  setText(byId("vital-names"), count(zones.reduce((all, zone) => all + zone.names, 0)));
  setText(byId("vital-rate"), status.queries === null ? "–" : rate(rates.now()));
  setText(byId("vital-serial"), String(Math.max(0, ...zones.map((zone) => zone.serial)) || "–"));
  setText(byId("vital-uptime"), span(status.uptime));
  renderOverview(byId("overview"), status, rates);
  details.age();
  renderPulse();
}

function renderPulse() {
  if (lostAt !== null) {
    pulse("lost", "Disconnected");
    notice(`The server has not answered since ${lostAt.toLocaleTimeString("en-GB")}. What is shown is from before; asking again every second.`, "bad");
    return;
  }
  const resources = status.clusters.flatMap((one) => one.resources);
  const missing = resources.filter((one) => one.missing);
  const failing = resources.filter((one) => one.state === "failing" || one.state === "forbidden");
  if (status.clusters.some((one) => !one.synced)) {
    pulse("wait", "Not synced");
    const kinds = missing.map((one) => one.kind).join(", ") || "the zones";
    const reasons = missing.filter((one) => one.reason).map((one) => ` ${one.kind} is ${one.reason}.`);
    notice(`Still waiting for ${kinds}. Until then a name that is not here may just not be here yet, and is answered with SERVFAIL.${reasons.join("")}`, reasons.length ? "warn" : "wait");
  } else if (failing.length) {
    pulse("warn", `Synced, ${plural(failing.length, "problem")}`);
    notice(`${failing.map((one) => one.kind).join(", ")}: ${failing[0].reason}. What was last known goes on being answered.`, "wait");
  } else {
    pulse(status.clusters.length ? "ok" : "none", status.clusters.length ? "Synced" : "No cluster");
    notice("");
  }
}

function pulse(state, text) {
  byId("pulse").dataset.state = state;
  setText(byId("pulse-text"), text);
}

function notice(text, tone) {
  const node = byId("notice");
  node.hidden = !text;
  node.dataset.tone = tone ?? "";
  setText(node, text);
}

function typing(target) {
  return target instanceof HTMLElement && (target.isContentEditable || /^(input|select|textarea)$/i.test(target.tagName));
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/" && !typing(event.target)) {
    event.preventDefault();
    if (byId("search").offsetParent === null) go({ q: place().q }); // a narrow window shows the search or the name
    byId("search").focus();
    byId("search").select();
  } else if (event.key === "Escape") {
    if (finder.text) finder.clear();
    else if (place().name) go({});
    else byId("search").blur();
  } else if (event.key === "ArrowDown" && event.target === document.body && finder.found) {
    byId("search").focus();
    finder.key(event);
  }
});

byId("home").addEventListener("click", (event) => {
  event.preventDefault();
  finder.clear();
  go({});
});

window.addEventListener("hashchange", arrive);
document.addEventListener("visibilitychange", () => !document.hidden && poll());

async function loop() {
  if (!document.hidden || status === null) await poll();
  setTimeout(loop, EVERY);
}

arrive();
loop();
