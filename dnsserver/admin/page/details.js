// One name: its records, the objects that they come from, and why it resolves or does not.

import { el, reconcile, setText } from "./dom.js";
import { renderExplanation } from "./explained.js";
import { ask, link, ServerError } from "./server.js";
import { count, plural, span } from "./words.js";

const TYPES = ["A", "AAAA", "SRV", "PTR", "CNAME", "TXT", "NS", "SOA"];
const SORTS = {
  endpoint: "Endpoint of a Service", service: "Service", port: "Port of a Service", reverse: "Reverse name of an address",
  zone: "Zone", pod: "Pod", name: "Name",
};

export class Details {
  constructor(parent, { place, trouble, now }) {
    this.parent = parent;
    this.place = place; // () => {q, name, type}
    this.trouble = trouble;
    this.now = now; // () => the server's time in seconds
    this.name = "";
    this.stale = false;
  }

  // Ask again if the zones or the objects have changed since. To be called once a second.
  again(changed) {
    this.stale ||= changed;
    const { name, type } = this.place();
    if (this.stale && name && !this.asking) this.show(name, type, { fresh: false });
  }

  // Show a name; if it is not fresh, what has become of the one that is shown.
  async show(name, type, { fresh }) {
    this.stale = false;
    this.asking?.abort();
    const asking = (this.asking = new AbortController());
    if (fresh && name !== this.name) this.frame(name);
    this.name = name;
    const slow = setTimeout(() => this.parent.setAttribute("aria-busy", "true"), 250);
    try {
      const found = await ask("/api/records", { name }, asking.signal);
      if (this.asking !== asking) return;
      const asked = type || likely(found);
      this.render(found, asked, { fresh });
      await this.explain(found.name, asked, asking.signal, { fresh });
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error instanceof ServerError && error.status === 400) this.refuse(error.message);
      else {
        this.stale = true;
        this.trouble(error);
      }
    } finally {
      clearTimeout(slow);
      if (this.asking === asking) {
        this.asking = null;
        this.parent.removeAttribute("aria-busy");
      }
    }
  }

  close() {
    this.asking?.abort();
    this.asking = null;
    this.name = "";
    this.parent.replaceChildren();
  }

  frame(name) {
    this.parts = {
      title: el("h2", { class: "mono" }, wrapping(name)),
      chips: el("p", { class: "chips" }),
      records: el("div", { class: "records" }),
      origin: el("h3", {}, "Comes from"),
      objects: el("ul", { class: "objects" }),
      explanation: el("div", { class: "explanation" }),
    };
    this.explainSection = el("section", { class: "card why", "aria-label": "Explanation" }, this.parts.explanation);
    this.parent.replaceChildren(
      el("a", { class: "back", href: link({ q: this.place().q }) }, "← Back"),
      el("header", {}, this.parts.title, this.parts.chips),
      el("section", { class: "card" }, el("h3", {}, "Records"), this.parts.records),
      el("section", { class: "card" }, this.parts.origin, this.parts.objects),
      this.explainSection);
    this.wait(this.parts.records);
    this.wait(this.parts.objects, "li");
    this.wait(this.parts.explanation);
  }

  wait(parent, tag = "p") {
    reconcile(parent, [{ key: "loading", is: "", make: () => el(tag, { class: "loading" }, el("span", {}), el("span", {})) }], { mark: false });
  }

  refuse(message) {
    this.frame(this.name);
    this.parts.objects.parentElement.remove();
    this.explainSection.remove();
    this.parts.records.replaceChildren(el("p", { class: "none" }, "This is no name: ", message, "."));
  }

  render(found, type, { fresh }) {
    const mark = !fresh;
    if (this.parts.title.textContent !== found.name) this.parts.title.replaceChildren(...wrapping(found.name));
    const chips = [
      found.zone === null ? ["In no zone of this server", "warn"] : !found.exists ? ["Does not exist", found.synced ? "bad" : "warn"] : [SORTS[found.sort] ?? found.sort, "plain"],
      found.zone !== null && found.exists && !found.listed && ["Made when asked for", "plain"],
      found.zone !== null && !found.synced && ["Not synced yet", "warn"],
      found.zone !== null && [`Zone ${found.zone}`, "plain"],
    ].filter(Boolean);
    reconcile(this.parts.chips, chips.map(([text, tone]) => ({ key: text, is: tone, make: () => el("span", { class: "chip", "data-tone": tone }, text) })), { mark });
    this.parent.classList.toggle("missing", found.zone === null || !found.exists); // why comes first then
    this.renderRecords(found, mark);
    setText(this.parts.origin, found.zone !== null && !found.exists && found.objects.length ? "Would be below" : "Comes from");
    this.renderObjects(found, mark);
  }

  renderRecords(found, mark) {
    const sets = found.sets ?? [];
    if (!sets.length) {
      const text = found.zone === null ? "Names elsewhere are not this server's to answer from its zones." : found.exists ? "None: it exists, and there are names below it." : "None.";
      reconcile(this.parts.records, [{ key: "none", is: text, make: () => el("p", { class: "none" }, text) }], { mark });
      return;
    }
    reconcile(this.parts.records, [
      { key: "table", is: "", make: () => el("table", {}, el("thead", {}, el("tr", {}, ["Type", "TTL", "Data"].map((one) => el("th", { scope: "col" }, one)))), el("tbody", {})) },
      ...(found.endpoints === null ? [] : [{ key: "more", is: found.endpoints, make: () => el("p", { class: "note" }, `It stands for ${plural(found.endpoints, "endpoint")}; the addresses of some are shown.`) }]),
    ], { mark: false });
    const rows = sets.flatMap((set) => [
      ...set.data.map((data) => ({ key: `${set.type} ${data}`, is: set.ttl, make: () => record(set, data, this.place().q) })),
      ...(set.count > set.data.length ? [{ key: `${set.type} more`, is: set.count, make: () => el("tr", {}, el("th", { scope: "row" }, set.type), el("td", {}), el("td", { class: "note" }, `and ${count(set.count - set.data.length)} more`)) }] : []),
    ]);
    reconcile(this.parts.records.querySelector("tbody"), rows, { mark });
  }

  renderObjects(found, mark) {
    const objects = found.objects ?? [];
    const none = found.zone === null || !found.exists ? "Nothing that is known makes this name." : found.sort === "zone" ? "The zone's own records are the server's." : "No object: the server makes this name itself.";
    const rows = objects.map((one) => ({ key: `${one.kind} ${one.namespace}/${one.name}`, is: one.created, make: () => object(one) }));
    if (!rows.length) rows.push({ key: "none", is: none, make: () => el("li", { class: "none" }, none) });
    if (found.more) rows.push({ key: "more", is: "", make: () => el("li", { class: "note" }, "and others") });
    reconcile(this.parts.objects, rows, { mark });
    this.age();
  }

  // Bring the ages up to date.
  age() {
    for (const node of this.parent.querySelectorAll("[data-created]")) {
      setText(node, `${span(this.now() - Number(node.dataset.created))} old`);
    }
  }

  async explain(name, type, signal, { fresh }) {
    let explanation;
    try {
      explanation = await ask("/api/explain", { name, type }, signal);
    } catch (error) {
      if (!(error instanceof ServerError)) throw error;
      if (error.status === 404) {
        this.explainSection.hidden = true;
        return;
      }
      explanation = { error: error.message };
    }
    this.explainSection.hidden = false;
    const choose = el("label", { class: "choose" }, "Type ", el("select", { onchange: (event) => (location.hash = link({ ...this.place(), type: event.target.value })) },
      [...new Set([type, ...TYPES])].map((one) => el("option", { selected: one === type }, one))));
    const head = { key: "head", is: type, make: () => el("div", { class: "head" }, el("h3", {}, "Why"), choose) };
    renderExplanation(this.parts.explanation, head, explanation, { mark: !fresh, q: this.place().q });
  }
}

function likely(found) {
  const types = (found.sets ?? []).map((one) => one.type);
  if (found.sort === "reverse" || /\.(in-addr|ip6)\.arpa\.$/.test(found.name)) return "PTR";
  return ["A", "AAAA", "SRV", "CNAME", "SOA"].find((one) => types.includes(one)) ?? "A";
}

const NAMING = new Set(["PTR", "CNAME", "NS", "SRV"]); // types whose data ends in a name

function record(set, data, q) {
  const at = NAMING.has(set.type) ? data.lastIndexOf(" ") + 1 : data.length;
  const target = data.slice(at);
  return el("tr", {}, el("th", { scope: "row" }, set.type), el("td", { class: "number" }, set.ttl),
    el("td", { class: "mono" }, data.slice(0, at), target && el("a", { href: link({ q, name: target }) }, wrapping(target))));
}

function object(one) {
  const made = one.created && new Date(one.created * 1000).toISOString().replace(".000Z", "Z");
  return el("li", {}, el("span", { class: "kind" }, one.kind),
    el("span", { class: "mono" }, one.namespace && el("span", { class: "zone" }, `${one.namespace}/`), one.name),
    el("span", { class: "age" }, made ? el("time", { datetime: made, title: `made ${made}`, "data-created": one.created }) : "age not known"));
}

// A name that breaks after its dots, and within a label only where that alone is too long.
function wrapping(name) {
  return (name.match(/(?:\\.|[^.\\])*\.?/g) ?? []).filter(Boolean).map((label) => el("span", { class: "label" }, label));
}
