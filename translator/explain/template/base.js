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
  const node = ["svg", "path", "rect", "text"].includes(tag)
    ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (name.startsWith("--")) node.style.setProperty(name, value);
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

function percent(p) {
  if (p >= 0.995 && p < 1) return ">\u00a099\u00a0%";
  return p < 0.005 && p > 0 ? "<\u00a01\u00a0%" : `${Math.round(100 * p)}\u00a0%`;
}
const signed = (x, digits = 2) => x.toFixed(digits).replace("-", "−");
const quoted = (text) => `“${text}”`;
const shortened = (text) => (text.length > 12 ? `${text.slice(0, 11)}…` : text);
const isAmong = (places, place) => places.some((other) => other.join() === place.join());
const isMasked = (map, query, key) => map.causal && key > query;

// What a head was found to do in a role ("encoder", "decoder" or "cross"); "" if nothing is known of it.
function nameOfHabit([layer, head], role) {
  const habit = facts.heads?.[role]?.[layer]?.[head];
  return habit ? `${habit.name}, ${percent(habit.share)}` : "";
}

function nameOfHead([layer, head], role) {
  if (layer === average) return "average of all heads";
  if (head === average) return `layer ${layer + 1}, average of its heads`;
  const habit = nameOfHabit([layer, head], role);
  return `layer ${layer + 1}, head ${head + 1}${habit && ` (${habit})`}`;
}

const nameOfChoice = (role) => shown.heads.map((place) => nameOfHead(place, role)).join("; ");

function update(changes) {
  Object.assign(shown, changes);
  for (const listener of shown.listeners) listener();
}

// Roving tabindex: the group is one Tab stop; the arrow keys, Home and End move inside it.
function roveTabindex(items, { columns = 1 } = {}) {
  const moves = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns };
  items.forEach((item, number) => {
    item.tabIndex = number === 0 ? 0 : -1;
    item.addEventListener("focus", () => items.forEach((other) => { other.tabIndex = other === item ? 0 : -1; }));
    item.addEventListener("keydown", (event) => {
      const to = { Home: 0, End: items.length - 1 }[event.key] ?? number + moves[event.key];
      if (Number.isNaN(to)) return;
      event.preventDefault();
      items[to]?.focus();
    });
  });
}

// Fill a <details> element when it is opened.
function onDemand(details, fill) {
  const label = details.firstElementChild.textContent;
  const box = make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label });
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

const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

function unpack(map) {
  const numbers = map.format === "float32" ? Float32Array : Float16Array;
  map.vectors = map.vectors.map((text) => Float32Array.from(new numbers(bytesOf(text).buffer)));
  map.projections = bytesOf(map.projections);
  map.cache = new Map();
}

// A query, a key or a value (kind 0, 1 or 2) of a head: E numbers.
function vectorOf(map, kind, [layer, head], position) {
  const start = ((layer * map.heads + head) * (kind ? map.keys : map.queries) + position) * map.head_width;
  return map.vectors[kind].subarray(start, start + map.head_width);
}
