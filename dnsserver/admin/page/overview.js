// What the server as a whole is doing: queries, zones, and what is watched.

import { el, reconcile, setText, svg } from "./dom.js";
import { count, plural, rate, span } from "./words.js";
import { link } from "./server.js";

const KEPT = 61; // samples, one a second
const OVER = 10; // seconds that rates are taken over
const STATES = {
  synced: ["Synced", "ok"],
  waiting: ["Waiting for its first list", "wait"],
  failing: ["Failing", "warn"],
  forbidden: ["Not allowed", "bad"],
  "not served": ["Not served", "none"],
};

export class Rates {
  constructor() {
    this.samples = [];
  }

  // Take in the counters of one status; those of a server that has begun anew begin anew.
  add(status) {
    if (status.queries === null) return;
    const total = sum(status.queries.types);
    const last = this.samples[this.samples.length - 1];
    if (last && (total < last.total || status.uptime < last.at)) this.samples = [];
    this.samples.push({ at: status.uptime, total, ...status.queries });
    if (this.samples.length > KEPT) this.samples.shift();
  }

  // Queries a second over the last seconds; null before there are two samples.
  now() {
    const pair = this.pair();
    return pair && (pair[1].total - pair[0].total) / (pair[1].at - pair[0].at);
  }

  // [[label, queries a second, all]] of the types or response codes that there were, the busiest first
  by(what) {
    const pair = this.pair();
    const last = this.samples[this.samples.length - 1];
    if (!last) return [];
    const rows = Object.entries(last[what]).filter(([, all]) => all > 0);
    const each = ([label, all]) => [label, pair ? (all - (pair[0][what][label] ?? 0)) / (pair[1].at - pair[0].at) : null, all];
    return rows.map(each).sort((one, other) => other[2] - one[2] || (one[0] < other[0] ? -1 : 1)).slice(0, 8);
  }

  line() {
    const rates = [];
    for (let at = 1; at < this.samples.length; at++) {
      const [before, after] = [this.samples[at - 1], this.samples[at]];
      rates.push(Math.max(0, (after.total - before.total) / Math.max(0.001, after.at - before.at)));
    }
    return rates;
  }

  pair() {
    const last = this.samples[this.samples.length - 1];
    const first = this.samples.find((one) => last.at - one.at <= OVER);
    return first && last.at > first.at ? [first, last] : null;
  }
}

function sum(counts) {
  return Object.values(counts).reduce((all, one) => all + one, 0);
}

export function renderOverview(parent, status, rates) {
  const several = status.clusters.length > 1;
  const cards = [{ key: "queries", is: "", make: () => el("section", { class: "card queries" }, el("h2", {}, "Queries"), el("div", {})) }];
  status.clusters.forEach((one, index) => {
    const of = several ? ` of ${one.server}` : "";
    cards.push({ key: `zones-${index}`, is: of, make: () => table(`Zones${of}`, ["Zone", "Names", "Serial"]) });
    cards.push({ key: `resources-${index}`, is: of, make: () => table(`Watched objects${of}`, ["Resource", "Objects", "Last heard", "State"]) });
  });
  if (!status.clusters.length) {
    cards.push({ key: "none", is: "", make: () => el("section", { class: "card" }, el("h2", {}, "No cluster"), el("p", {}, "No server block has the kubernetes plugin, so there are no names to look at.")) });
  }
  reconcile(parent, cards, { mark: false });
  const [queries, ...rest] = parent.children;
  renderQueries(queries.lastElementChild, status, rates);
  status.clusters.forEach((one, index) => {
    renderZones(rest[2 * index].querySelector("tbody"), one.zones);
    renderResources(rest[2 * index + 1].querySelector("tbody"), one.resources);
  });
}

function table(title, columns) {
  return el("section", { class: "card" }, el("h2", {}, title),
    el("table", {}, el("thead", {}, el("tr", {}, columns.map((one) => el("th", { scope: "col" }, one)))), el("tbody", {})));
}

function renderZones(body, zones) {
  reconcile(body, zones.map((one) => ({
    key: one.zone,
    is: [one.names, one.serial],
    make: () => el("tr", {},
      el("th", { scope: "row" }, el("a", { href: link({ name: one.zone }), class: "mono" }, one.zone)),
      el("td", { class: "number" }, count(one.names)), el("td", { class: "number" }, one.serial || "–")),
  })));
}

function renderResources(body, resources) {
  reconcile(body, resources.map((one) => ({
    key: one.kind,
    is: [one.state, one.reason, one.objects, one.refused, one.errors, one.missed, one.lists],
    make: () => el("tr", {},
      el("th", { scope: "row" }, one.kind, el("small", {}, one.resource)),
      el("td", { class: "number" }, count(one.objects)),
      el("td", { class: "number heard" }, "–"),
      el("td", {}, state(one), notes(one))),
  })));
  resources.forEach((one, index) => {
    setText(body.children[index].querySelector(".heard"), one.heard === null ? "–" : `${span(one.heard)} ago`);
  });
}

function state(one) {
  const [text, tone] = STATES[one.state] ?? [one.state, "none"];
  return el("span", { class: "state", "data-tone": tone }, el("span", { class: "dot", "aria-hidden": "true" }), text);
}

function notes(one) {
  const parts = [
    one.lists > 1 && plural(one.lists, "list"),
    one.errors && plural(one.errors, "watch that failed", "watches that failed"),
    one.missed && plural(one.missed, "change repaired", "changes repaired"),
    one.refused && plural(one.refused, "object refused", "objects refused"),
  ].filter(Boolean);
  return [parts.length > 0 && el("small", {}, parts.join(" · ")), one.reason && el("small", { class: "reason" }, one.reason)];
}

function renderQueries(parent, status, rates) {
  if (status.queries === null) {
    reconcile(parent, [{ key: "off", is: "", make: () => el("p", { class: "none" }, "Queries are counted where a server block has the ", el("code", {}, "prometheus"), " directive.") }]);
    return;
  }
  reconcile(parent, [
    { key: "now", is: "", make: () => el("div", { class: "now" }, el("p", {}, el("strong", {}, "–"), el("span", {}, "a second")), chart()) },
    { key: "types", is: "", make: () => bars("Types") },
    { key: "rcodes", is: "", make: () => bars("Responses") },
  ], { mark: false });
  const [now, types, rcodes] = parent.children;
  setText(now.querySelector("strong"), rate(rates.now()));
  draw(now.querySelector("svg"), rates.line());
  renderBars(types.lastElementChild, rates.by("types"));
  renderBars(rcodes.lastElementChild, rates.by("rcodes"));
}

function chart() {
  return svg("svg", { viewBox: "0 0 300 48", preserveAspectRatio: "none", role: "img", "aria-label": "Queries a second over the last minute" },
    svg("path", { class: "area" }), svg("path", { class: "line" }));
}

function draw(picture, line) {
  const highest = Math.max(1, ...line);
  const width = 300 / (KEPT - 2);
  const points = line.map((one, index) => `${(300 - (line.length - 1 - index) * width).toFixed(1)},${(46 - (one / highest) * 42).toFixed(1)}`);
  const path = points.length > 1 ? `M${points.join("L")}` : "";
  const [area, stroke] = picture.children;
  stroke.setAttribute("d", path);
  area.setAttribute("d", path && `${path}L300,48L${points[0].split(",")[0]},48Z`);
}

function bars(title) {
  return el("div", {}, el("h3", {}, title), el("ul", { class: "bars" }));
}

function renderBars(list, rows) {
  if (!rows.length) {
    reconcile(list, [{ key: "none", is: "", make: () => el("li", { class: "none" }, "none yet") }], { mark: false });
    return;
  }
  const most = Math.max(...rows.map(([, , all]) => all));
  reconcile(list, rows.map(([label]) => ({
    key: `row-${label}`,
    is: "",
    make: () => el("li", {}, el("span", { class: "label" }, label), el("span", { class: "track" }, el("span", {})), el("span", { class: "number" }), el("span", { class: "number total" })),
  })), { mark: false });
  rows.forEach(([, perSecond, all], index) => {
    const [, track, now, total] = list.children[index].children;
    track.firstElementChild.style.width = `${Math.max(1, (100 * all) / most)}%`;
    setText(now, `${rate(perSecond)}/s`);
    setText(total, count(all));
  });
}
