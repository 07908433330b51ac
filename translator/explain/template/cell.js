// One head, one cell: how a weight and the head's output come about. A role changes only inputs, mask and weights.

let taken = null; // the cell that is taken apart, and the map from which it was opened: { view, opener, query, key }

const decimals = (x, digits) => (Number.isFinite(x) ? signed(x, digits).replace(/^−(?=[0.]+$)/, "") : "−∞");
const sizeOf = (values) => Math.max(1e-9, ...[...values].filter(Number.isFinite).map(Math.abs));

// Numbers, each with a bar; a bar of `most` is the longest. `names` stand under the numbers.
function strip(label, values, { names = [], marked = -1, most = sizeOf(values), digits = 2 } = {}) {
  const texts = Array.from(values, (value) => decimals(value, digits));
  const box = make("div", { class: names.length ? "strip named" : "strip", role: "img",
    "aria-label": `${label}: ${texts.map((text, i) => (names[i] ? `${names[i]} ${text}` : text)).join(", ")}` });
  values.forEach((value, i) => {
    const bar = make("i", { class: value < 0 ? "minus" : "plus" });
    bar.style.setProperty("--size", Number.isFinite(value) ? Math.abs(value) / most : 0);
    box.append(make("span", { class: i === marked ? "marked" : "" }, bar, texts[i], make("small", {}, names[i] ?? "")));
  });
  return box;
}

// The sample of W_Q, W_K or W_V (kind 0, 1 or 2) of a head.
function matrix(map, kind, [layer, head]) {
  const [[rows, columns], letter] = [map.sample, "QKV"[kind]];
  const bytes = map.projections.subarray(((layer * map.heads + head) * 3 + kind) * rows * columns);
  const canvas = make("canvas", { role: "img", "aria-label": `W ${letter} of layer ${layer + 1}, head ${head + 1}: ` +
    `${rows} × ${columns} of its ${map.head_width} × ${map.model_width} weights` });
  fillPixels(canvas, columns, rows, (i) => palettes[bytes[i] < 128 ? mostHeads + 1 : 0][2 * Math.abs(bytes[i] - 128)]);
  return make("span", { class: "matrix" }, canvas, make("i", {}, " W"), make("sub", {}, letter), " × ");
}

const fill = (name, text, ...drawings) => byId(`step-${name}`).replaceChildren(make("p", {}, ...text), ...drawings);

function drawCell() {
  byId("cell").hidden = !taken;
  for (const view of views) putAt(view.part(".taken"), ...(taken?.view === view ? [taken.query, taken.key] : []));
  if (!taken) return;
  const { view: { role }, query, key } = taken;
  const { map, queries, rows, columns, from: [source, memory] } = role;
  const real = shown.heads.find(([, head]) => head !== average);
  const [layer, head] = real ?? [Math.max(0, shown.heads[0][0]), 0];
  const place = [Math.min(layer, map.layers - 1), head];
  const [q, k, v] = [query, key, key].map((position, kind) => vectorOf(map, kind, place, position));
  const [scores, products] = [scoresOf(map, place, query), q.map((x, i) => x * k[i])];
  const weights = softmax(scores);
  const given = v.map((_, i) => weights.reduce((sum, x, other) => sum + x * vectorOf(map, 2, place, other)[i], 0));
  const [same, row] = [{ most: Math.max(sizeOf(v), sizeOf(given)) }, { names: columns, marked: key, digits: 3 }];
  const total = products.reduce((a, b) => a + b, 0);
  const [sum, weight] = [decimals(total, 3), decimals(weights[key], 3)];
  const scaled = `${sum} ÷ √${map.head_width} = ${decimals(total / Math.sqrt(map.head_width), 3)}`;
  const [origin, written, found] = [queries[query], rows[query], columns[key]].map((piece) => quoted(spoken(piece)));
  const asked = rows === queries ? origin : `${origin}, to write ${written}`;
  const several = shown.heads.length > 1 ? " This is the first of the chosen heads." : "";
  const note = real ? several : " An average cannot be taken apart; this is its first head.";
  const chip = (text) => make("span", { class: "input" }, text);
  byId("cell-head").textContent = `${nameOfHead(place, role.id)}.${note}`;
  byId("cell-said").textContent = `Query of ${asked}; key of ${found}: ${scaled}, weight ${weight}.`;
  for (const radio of byId("cell-roles").querySelectorAll("input")) radio.checked = roles[radio.value] === role;
  fill("query", [matrix(map, 0, place), chip(source), ` at ${asked}`], strip("query", q));
  fill("key", [matrix(map, 1, place), chip(memory), ` at ${found}`], strip("key", k));
  fill("scores", [`query × key, number by number; the sum is ${sum}`], strip("products", products));
  fill("scale", [scaled]);
  fill("mask", [isMasked(map, query, key) ? `${found} is not written yet: its score becomes −∞`
    : map.causal ? `${found} is written: its score stays; those of later pieces become −∞`
      : "the whole source is there: every score stays"]);
  fill("softmax", ["the row’s scores; below, the weights: e to the power of a score, divided by the sum of these"],
    strip("scores", scores, row), strip("weights", weights, row));
  fill("value", [matrix(map, 2, place), chip(memory), ` at ${found}`], strip("value", v, same));
  fill("sum", [`value × weight ${weight}; below, the sum over all keys, which is what the head gives`],
    strip("value × weight", v.map((x) => x * weights[key]), same), strip("sum", given, same));
}

function takeApart(view, query, key) {
  const isNew = !taken;
  if (taken?.opener !== view) view.figure.after(byId("cell"));
  taken = { view, opener: view, query, key };
  drawCell();
  if (isNew) byId("cell").scrollIntoView({ block: "nearest" });
}

function makeCell() {
  const close = () => {
    taken.opener.part("canvas").focus();
    taken = null;
    drawCell();
  };
  byId("cell-roles").addEventListener("change", ({ target }) => {
    const { map } = roles[target.value];
    taken = { ...taken, view: views[target.value],
      query: Math.min(taken.query, map.queries - 1), key: Math.min(taken.key, map.keys - 1) };
    drawCell();
  });
  byId("cell-close").addEventListener("click", close);
  byId("maps").addEventListener("keydown", (event) => { if (event.key === "Escape" && taken) close(); });
  shown.listeners.push(drawCell);
}
