// One cell, one head: how a weight and the head's output come about. A role changes only inputs, mask and matrices.

let taken = null; // the cell that is taken apart: { view, opener (the view that was clicked), query, key, place? }

const decimals = (x, digits) => (Number.isFinite(x) ? signed(x, digits).replace(/^−(?=[0.]+$)/, "") : "−∞");
const largest = (values) => values.indexOf(Math.max(...values));
const sizeOf = (values) => Math.max(1e-9, ...[...values].filter(Number.isFinite).map(Math.abs));

// Numbers, each with a bar; a bar of `most` is the longest. `names` stand under the numbers.
function strip(label, values, { names = [], marked = -1, most = sizeOf(values), digits = 2, unit = "" } = {}) {
  const texts = Array.from(values, (value) => decimals(value, digits) + unit);
  const box = make("div", { class: names.length ? "strip named" : "strip", role: "img",
    "aria-label": `${label}: ${texts.map((text, i) => (names[i] ? `${names[i]} ${text}` : text)).join(", ")}` });
  values.forEach((value, i) => {
    const size = Number.isFinite(value) ? Math.abs(value) / most : 0;
    const bar = make("i", { class: value < 0 ? "minus" : "plus", "--size": size });
    box.append(make("span", { class: i === marked ? "marked" : "" }, bar, texts[i], make("small", {}, names[i] ?? "")));
  });
  return box;
}

// The sample of W_Q, W_K or W_V (kind 0, 1 or 2) of a head.
function matrix(map, kind, [layer, head]) {
  const [[rows, columns], letter] = [map.sample, "QKV"[kind]];
  const bytes = map.projections.subarray(((layer * map.heads + head) * 3 + kind) * rows * columns);
  const canvas = make("canvas", { role: "img", "aria-label": `W ${letter} of layer ${layer + 1}, head ${head + 1}: ` +
    `${rows} × ${columns} of its ${map.head_width} × ${map.model_width} numbers` });
  fillPixels(canvas, columns, rows, (i) => palettes[bytes[i] < 128 ? mostHeads + 1 : 0][2 * Math.abs(bytes[i] - 128)]);
  return make("span", { class: "matrix" }, canvas, make("i", {}, " W"), make("sub", {}, letter), " × ");
}

const fill = (name, text, ...drawings) => byId(`step-${name}`).replaceChildren(make("p", {}, ...text), ...drawings);

// How the weight of an average comes about: the weights of its heads, by layer.
function describeMean(map, place, cell) {
  const [heads, share] = [headsOf(map, place), (one) => percent(weightsOf(map, one)[cell])];
  const layers = Object.values(Object.groupBy(heads, ([layer]) => layer)).map((of) =>
    `layer ${of[0][0] + 1}: ${of.map(share).join(", ")}`);
  return `${share(place)} is the mean of ${heads.length} heads: ${layers.join("; ")}.`;
}

function drawCell() {
  byId("cell").hidden = !taken;
  for (const view of views) putAt(view.part(".taken"), ...(taken?.view === view ? [taken.query, taken.key] : []));
  if (!taken) return;
  const { view: { role }, query, key } = taken;
  const { map, queries, rows, columns, from: [source, memory] } = role;
  const [averages, cell] = [shown.heads.filter(([, head]) => head === average), query * map.keys + key];
  const [place] = headsOf(map, taken.place ?? shown.heads.find(([, head]) => head !== average) ?? shown.heads[0]);
  const [q, k, v] = [query, key, key].map((position, kind) => vectorOf(map, kind, place, position));
  const [scores, products] = [scoresOf(map, place, query), q.map((x, i) => x * k[i])];
  const [weights, total] = [softmax(scores), products.reduce((a, b) => a + b, 0)];
  const given = v.map((_, i) => weights.reduce((sum, x, other) => sum + x * vectorOf(map, 2, place, other)[i], 0));
  const [same, row] = [{ most: Math.max(sizeOf(v), sizeOf(given)) }, { names: columns, marked: key }];
  const [sum, weight] = [decimals(total, 3), `${decimals(weights[key], 3)} = ${percent(weights[key])}`];
  const scaled = `${sum} ÷ √${map.head_width} = ${decimals(total / Math.sqrt(map.head_width), 3)}`;
  const [origin, written, found] = [queries[query], rows[query], columns[key]].map((piece) => quoted(spoken(piece)));
  const asked = rows === queries ? origin : `${origin}, to write ${written}`;
  const isShut = isMasked(map, query, key);
  byId("cell-mean").textContent = isShut ? "" : averages.map((one) => describeMean(map, one, cell)).join(" ");
  byId("cell-head").replaceChildren(...headsOf(map, [average, average]).map((one) =>
    make("option", {}, `${nameOfHead(one, role.id)}: ${percent(weightsOf(map, one)[cell])}`)));
  byId("cell-head").selectedIndex = place[0] * map.heads + place[1];
  byId("cell-said").textContent = `Query of ${asked}; key of ${found}: ${scaled}, weight ${weight}.`;
  for (const radio of byId("cell-roles").querySelectorAll("input")) radio.checked = roles[radio.value] === role;
  const product = (kind, input, at) =>
    [matrix(map, kind, place), make("span", { class: "input" }, input), ` at ${at}, plus a bias`];
  fill("query", product(0, source, asked), strip("query", q));
  fill("key", product(1, memory, found), strip("key", k));
  fill("scores", [`query × key, number by number; the sum is ${sum}`], strip("products", products));
  fill("scale", [scaled]);
  byId("head-width").textContent = map.head_width;
  const ahead = isShut ? "is not written yet: its score becomes −∞" : "is written: its score stays; others become −∞";
  fill("mask", [map.causal ? `${found} ${ahead}` : "the whole source is there: every score stays"]);
  fill("softmax", [], strip("scores", scores, { ...row, digits: 3 }),
    strip("weights", weights.map((x) => 100 * x), { ...row, digits: 1, unit: "\u00a0%" }));
  fill("value", product(2, memory, found), strip("value", v, same));
  fill("sum", [`value × weight ${weight}; below, the sum over all keys, which is what the head gives`],
    strip("value × weight", v.map((x) => x * weights[key]), same), strip("sum", given, same));
}

function takeApart(view, query, key) {
  const isNew = !taken;
  if (taken?.opener !== view) view.figure.after(byId("cell"));
  taken = { ...taken, view, opener: view, query, key };
  drawCell();
  if (isNew) byId("cell-title").scrollIntoView({ block: "nearest" });
}

function makeCell() {
  const close = () => {
    taken.opener.part("canvas").focus({ preventScroll: true });
    taken.opener.part(".map").scrollIntoView({ block: "nearest" });
    taken = null;
    drawCell();
  };
  byId("cell-roles").addEventListener("change", ({ target }) => {
    const [{ role: from }, view] = [taken.view, views[target.value]];
    const across = from.id === "encoder" ? columnsOf : rowsOf; // to the piece that cross-attention joins most with it
    const query = from.rows === view.role.rows ? taken.query : largest(mean(across(facts.maps.cross, taken.query)));
    taken = { ...taken, view, query, key: largest(mean(rowsOf(view.role.map, query))) };
    drawCell();
  });
  byId("cell-head").addEventListener("change", ({ target }) => {
    taken.place = headsOf(taken.view.role.map, [average, average])[target.selectedIndex];
    drawCell();
  });
  byId("cell-close").addEventListener("click", close);
  byId("maps").addEventListener("keydown", (event) => {
    if (event.key === "Escape" && taken && !document.querySelector(":popover-open")) close();
  });
  shown.listeners.push(drawCell);
}
