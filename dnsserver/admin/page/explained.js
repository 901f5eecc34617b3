// The answer of /api/explain: the verdict, the rules in their order, what may have been meant, and what would help.

import { el, reconcile } from "./dom.js";
import { link } from "./server.js";

const TONES = { NOERROR: "ok", NODATA: "warn", NXDOMAIN: "bad", SERVFAIL: "bad", REFUSED: "bad" };

export function renderExplanation(parent, head, one, { mark, q }) {
  if (one.error) {
    reconcile(parent, [head, { key: "error", is: one.error, make: () => el("p", { class: "none" }, one.error) }], { mark });
    return;
  }
  const chain = one.chain ?? [];
  const [misses, advice, onward] = [one.near_misses ?? [], one.advice ?? [], one.passed_on ?? []];
  reconcile(parent, [
    head,
    verdict(one),
    ...(onward.length ? [{ key: "onward", is: onward, make: () => el("p", { class: "note" }, "Goes on to ", el("code", {}, onward.join(", "))) }] : []),
    ...(chain.length ? [{ key: "steps", is: "", make: () => el("ol", { class: "steps" }) }] : []),
    ...(misses.length ? [{ key: "misses", is: misses, make: () => el("div", { class: "aside" }, el("h4", {}, "What may have been meant"), el("ul", {}, misses.map((each) => miss(each, q)))) }] : []),
    ...(advice.length ? [{ key: "advice", is: advice, make: () => el("div", { class: "aside advice" }, el("h4", {}, "What would help"), el("ul", {}, advice.map((each) => el("li", {}, sentence(each))))) }] : []),
  ], { mark });
  const steps = parent.querySelector(".steps");
  if (steps) reconcile(steps, chain.map((each, index) => ({ key: `${index} ${each.rule}`, is: each, make: () => step(each) })), { mark });
}

function verdict(one) {
  const rcode = one.rcode === "NOERROR" && !one.resolves ? "NODATA" : one.rcode || "PASSED ON";
  const text = (one.verdict ?? "").replace(`${one.name} ${one.type} `, "").replace(`, ${one.rcode}:`, ":");
  return {
    key: "verdict",
    is: [rcode, text],
    make: () => el("p", { class: "verdict", "data-tone": TONES[rcode] ?? "wait" }, el("strong", {}, rcode),
      el("span", {}, sentence(text))),
  };
}

// A rule that is kept takes a line; one that is not says what was wanted and what was found.
function step(one) {
  const facts = one.facts ?? [];
  const found = facts.map((each) => each.found).filter((each) => each !== "none");
  return el("li", { "data-tone": one.passed ? "ok" : "bad" },
    el("span", { class: "mark", role: "img", "aria-label": one.passed ? "kept" : "not kept" }, one.passed ? "✓" : "✕"),
    el("div", {},
      el("p", { class: "rule" }, el("span", {}, sentence(one.text)), one.passed && found.length > 0 && el("span", { class: "found mono" }, found.join(", "))),
      !one.passed && one.object && el("p", { class: "object" }, `${one.object.kind} `, el("span", { class: "mono" }, [one.object.namespace, one.object.name].filter(Boolean).join("/"))),
      !one.passed && facts.map((each) => el("dl", {},
        el("dt", {}, each.what), el("dd", {},
          el("span", { class: "pair" }, el("small", {}, "wanted"), el("code", {}, each.wanted)),
          el("span", { class: "pair" }, el("small", {}, "found"), el("code", {}, each.found))))),
      (one.notes ?? []).map((each) => el("p", { class: "object" }, each))));
}

function miss(one, q) {
  return el("li", {}, one.name ? el("a", { href: link({ q, name: one.name }) }, one.text) : one.text);
}

function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
