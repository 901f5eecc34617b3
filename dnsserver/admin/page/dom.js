// Elements from data. Text only ever becomes text: nothing in these files writes markup.

const SVG = "http://www.w3.org/2000/svg";
const NEWS = 4000; // milliseconds after which a change is no news, where motion is reduced and no animation ends

const made = new WeakMap(); // row -> [key, signature] that it was made from

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

export function byId(id) {
  return document.getElementById(id);
}

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// Make the children of `parent` those that `rows` say: {key, is, make}. One that is what it was stays untouched; others
// are made afresh, and marked as changed if `mark` and if there was anything to change.
export function reconcile(parent, rows, { mark = true } = {}) {
  const known = new Map([...parent.children].map((node) => [made.get(node)?.[0], node]));
  const news = mark && known.size > 0;
  let next = parent.firstElementChild;
  for (const { key, is, make } of rows) {
    const signature = JSON.stringify(is);
    const before = known.get(key);
    known.delete(key);
    let node = before;
    if (before === undefined || made.get(before)[1] !== signature) {
      node = make();
      made.set(node, [key, signature]);
      if (news) flash(node);
      if (before !== undefined) {
        if (next === before) next = node;
        before.replaceWith(node);
      }
    }
    if (node === next) next = next.nextElementSibling;
    else parent.insertBefore(node, next);
  }
  for (const gone of known.values()) gone.remove();
}

function flash(node) {
  node.classList.add("changed");
  const end = () => node.classList.remove("changed");
  node.addEventListener("animationend", end, { once: true });
  setTimeout(end, NEWS);
}
