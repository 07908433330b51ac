"use strict";
// Shared by all parts of the page: the data, DOM helpers, number formats, colours and attention weights.

const facts = JSON.parse(document.getElementById("facts").textContent);
const byId = (id) => document.getElementById(id);
const average = -1; // stands for the average over layers or heads
// What is shown: the chosen heads as pairs [layer, head], and how many pieces of the translation are written.
const shown = { heads: [[average, average]], step: facts.target_pieces.length, listeners: [] };
const english = new Intl.DisplayNames(["en"], { type: "language", fallback: "code" });
const [sourceLanguage, targetLanguage] = facts.languages.map((code) => {
  try { return english.of(code); } catch { return code; }
});

// `append` inserts strings as text nodes, never as markup.
function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

function draw(tag, attributes = {}, text = "") {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.textContent = text;
  return node;
}

const percent = (p) => (p >= 0.995 && p < 1 ? ">\u00a099\u00a0%" : p < 0.005 && p > 0 ? "<\u00a01\u00a0%" : `${Math.round(100 * p)}\u00a0%`);
const signed = (x, digits = 2) => x.toFixed(digits).replace("-", "−");
const quoted = (text) => `“${text}”`;

function nameOfHead([layer, head]) {
  if (layer === average) return "average of all heads";
  return head === average ? `layer ${layer + 1}, average of its heads` : `layer ${layer + 1}, head ${head + 1}`;
}

const nameOfChoice = () => shown.heads.map(nameOfHead).join("; ");

function update(changes) {
  Object.assign(shown, changes);
  for (const listener of shown.listeners) listener();
}

// Roving tabindex: the group is one Tab stop; the arrow keys, Home and End move inside it.
function roveTabindex(items, { columns = 1, onMove = () => {} } = {}) {
  const moves = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns };
  items.forEach((item, number) => {
    item.tabIndex = number === 0 ? 0 : -1;
    item.addEventListener("focus", () => items.forEach((other) => { other.tabIndex = other === item ? 0 : -1; }));
    item.addEventListener("keydown", (event) => {
      let to = number + moves[event.key];
      if (event.key === "Home") to = 0;
      if (event.key === "End") to = items.length - 1;
      if (Number.isNaN(to)) return;
      event.preventDefault();
      if (!items[to]) return;
      items[to].focus();
      onMove(to);
    });
  });
}

// Fill a <details> element when it is opened.
function onDemand(details, fill) {
  const box = make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": details.firstElementChild.textContent });
  details.append(box);
  const refill = () => { if (details.open) box.replaceChildren(fill()); };
  details.addEventListener("toggle", refill);
  return refill;
}

function table(heads, rows) {
  const head = make("tr", {}, ...heads.map((text) => make("th", { scope: "col" }, text)));
  const body = rows.map(([first, ...rest]) =>
    make("tr", {}, make("th", { scope: "row" }, first), ...rest.map((text) => make("td", {}, text))));
  return make("table", {}, make("thead", {}, head), make("tbody", {}, ...body));
}

function channels(name) {
  const value = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return [1, 3, 5].map((at) => parseInt(value.slice(at, at + 2), 16));
}

// 256 colours from the panel to the accent, indexed by the square root of a weight.
function ramp() {
  const [from, to] = [channels("--panel"), channels("--accent")];
  return Array.from({ length: 256 }, (_, i) => from.map((c, k) => Math.round(c + (to[k] - c) * i / 255)));
}

async function unpack(map) {
  const compressed = Uint8Array.from(atob(map.bytes), (letter) => letter.charCodeAt(0));
  const stream = new Blob([compressed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const values = new Uint8Array(await new Response(stream).arrayBuffer());
  map.weights = Float32Array.from(values, (value) => (value / map.levels) ** 2);
  map.cache = new Map();
}

// The weights of a layer and head, or their average, as a flat array of queries × keys.
function weightsOf(map, [layer, head]) {
  const size = map.queries * map.keys;
  layer = Math.min(layer, map.layers - 1);
  const key = `${layer} ${head}`;
  if (!map.cache.has(key)) {
    const layers = layer === average ? [...Array(map.layers).keys()] : [layer];
    const heads = head === average ? [...Array(map.heads).keys()] : [head];
    const sum = new Float32Array(size);
    for (const l of layers) for (const h of heads) {
      const start = (l * map.heads + h) * size;
      for (let i = 0; i < size; i++) sum[i] += map.weights[start + i];
    }
    map.cache.set(key, sum.map((value) => value / layers.length / heads.length));
  }
  return map.cache.get(key);
}
