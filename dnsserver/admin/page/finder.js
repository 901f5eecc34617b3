// The search field and the names that it finds.

import { byId, el, reconcile, setText } from "./dom.js";
import { ask, link } from "./server.js";
import { completed, count, plural, reversed } from "./words.js";

const PAUSE = 90; // milliseconds without a key before the server is asked
const SORTS = { endpoint: "Endpoint", service: "Service", port: "Port", reverse: "Reverse", zone: "Zone", pod: "Pod", name: "Name" };

export class Finder {
  constructor({ open, typed, zones, trouble }) {
    this.open = open; // (name) => shows it
    this.typed = typed; // (text) => takes note of it
    this.zones = zones; // () => origins of the forward zones
    this.trouble = trouble; // (error) => the server cannot be asked
    this.input = byId("search");
    this.list = byId("results");
    this.tally = byId("tally");
    this.hint = byId("hint");
    this.found = null;
    this.stale = false; // the zones have changed since
    this.active = -1;
    this.chosen = "";
    this.took = 0; // milliseconds that the last search took
    this.searched = 0; // when that was
    this.input.addEventListener("input", () => this.soon());
    this.input.addEventListener("keydown", (event) => this.key(event));
    byId("form").addEventListener("submit", (event) => event.preventDefault());
  }

  get text() {
    return this.input.value.trim();
  }

  start(text) {
    if (text === this.text) return;
    this.input.value = text;
    this.search({ fresh: true });
  }

  choose(name) {
    this.chosen = name;
    this.render({ mark: false });
  }

  clear() {
    this.input.value = "";
    this.search({ fresh: true });
    this.typed("");
  }

  soon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.typed(this.text);
      this.search({ fresh: true });
    }, PAUSE);
  }

  // Search again if the zones have changed since; long searches less often, so that they never take much of the
  // server's time. To be called once a second.
  again(changed) {
    this.stale ||= changed;
    if (!this.stale || this.asking || performance.now() - this.searched < 10 * this.took) return;
    this.search({ fresh: false });
  }

  async search({ fresh }) {
    const text = this.text;
    this.stale = false;
    this.asking?.abort();
    if (fresh) this.active = -1;
    if (!text) {
      this.asking = null;
      this.found = null;
      this.render({ mark: false });
      return;
    }
    const asking = (this.asking = new AbortController());
    const slow = setTimeout(() => this.list.setAttribute("aria-busy", "true"), 250);
    const begun = performance.now();
    try {
      const found = await ask("/api/search", { q: reversed(text) ?? text }, asking.signal);
      if (this.asking !== asking) return;
      this.took = performance.now() - begun;
      this.searched = performance.now();
      const mark = !fresh && this.found?.text === text;
      this.found = { ...found, text };
      this.render({ mark });
    } catch (error) {
      if (error.name === "AbortError") return;
      this.stale = true;
      this.trouble(error);
    } finally {
      clearTimeout(slow);
      if (this.asking === asking) {
        this.asking = null;
        this.list.removeAttribute("aria-busy");
      }
    }
  }

  render({ mark }) {
    const names = this.found?.names ?? [];
    reconcile(this.list, names.map((one, index) => ({
      key: one.name,
      is: [one.sort, one.data, one.count, this.found.text],
      make: () => this.row(one, index),
    })), { mark });
    [...this.list.children].forEach((node, index) => {
      node.id = `result-${index}`;
      node.classList.toggle("active", index === this.active);
      node.setAttribute("aria-selected", String(index === this.active || names[index].name === this.chosen));
      node.classList.toggle("chosen", names[index].name === this.chosen);
    });
    this.input.setAttribute("aria-expanded", String(names.length > 0));
    if (this.active >= 0) this.input.setAttribute("aria-activedescendant", `result-${this.active}`);
    else this.input.removeAttribute("aria-activedescendant");
    this.renderTally(names);
    this.renderHint(names);
  }

  renderTally(names) {
    if (this.found === null) setText(this.tally, "");
    else if (this.found.more) setText(this.tally, `The first ${count(names.length)} of more, among ${plural(this.found.total, "name")}`);
    else setText(this.tally, `${plural(names.length, "name")} of ${count(this.found.total)}`);
  }

  renderHint(names) {
    const whole = this.found && completed(this.found.text, this.zones());
    const offers = whole && !names.some((one) => one.name === whole) && (names.length === 0 || this.found.text.includes("."));
    const rows = [];
    if (this.found === null) {
      rows.push({ key: "help", is: 0, make: () => el("p", { class: "help" }, "Part of a name, such as ", el("code", {}, "web"), " or ", el("code", {}, "vm1.db"), ", or an address. ", el("kbd", {}, "/"), " comes here, ", el("kbd", {}, "↑"), el("kbd", {}, "↓"), " move, ", el("kbd", {}, "Enter"), " opens, ", el("kbd", {}, "Esc"), " clears.") });
    } else if (names.length === 0) {
      rows.push({ key: "none", is: this.found.text, make: () => el("p", { class: "none" }, "No name has ", el("q", {}, this.found.text), ".") });
    }
    if (offers) {
      rows.push({
        key: "offer",
        is: whole,
        make: () => el("button", { type: "button", class: "offer", onclick: () => this.open(whole) }, el("span", {}, "Ask for "), el("code", {}, whole)),
      });
    }
    this.offer = offers ? whole : null;
    reconcile(this.hint, rows, { mark: false });
  }

  row(one) {
    const more = one.count - one.data.length;
    return el("li", { role: "option", class: "result", onclick: () => this.open(one.name) },
      el("a", { href: link({ q: this.text, name: one.name }), tabindex: "-1", onclick: (event) => event.preventDefault() }, named(one.name, one.zone, this.found.text)),
      el("span", { class: "glance" },
        el("span", { class: "sort", "data-sort": one.sort }, SORTS[one.sort] ?? one.sort),
        el("span", { class: "data" }, one.data.length ? one.data.join(", ") : "no records"),
        more > 0 && el("span", { class: "more" }, `+${count(more)}`)));
  }

  key(event) {
    const names = this.found?.names ?? [];
    const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (move && names.length) {
      event.preventDefault();
      this.active = this.active < 0 && move < 0 ? names.length - 1 : (this.active + move + names.length) % names.length;
      this.render({ mark: false });
      this.list.children[this.active].scrollIntoView({ block: "nearest" });
    } else if (event.key === "Enter") {
      event.preventDefault();
      const exact = names.find((one) => one.name === this.text || one.name === `${this.text}.`);
      if (this.active >= 0) this.open(names[this.active].name);
      else if (exact) this.open(exact.name);
      else if (this.offer && names.length === 0) this.open(this.offer);
      else if (names.length) this.open(names[0].name);
    }
  }
}

// A name with its zone in the background, and what was looked for marked.
function named(name, zone, text) {
  const own = name === zone ? name : name.slice(0, name.length - zone.length);
  const rest = name === zone ? "" : zone;
  const at = text ? own.toLowerCase().indexOf(text.toLowerCase()) : -1;
  const first = at < 0 ? [own] : [own.slice(0, at), el("mark", {}, own.slice(at, at + text.length)), own.slice(at + text.length)];
  return [el("span", { class: "own" }, first), el("span", { class: "zone" }, rest)];
}
