// Attention maps: a small one per layer and head to choose from, and a large one per role.

const inputs = ["⟨start⟩", ...facts.target_pieces.slice(0, -1)];
const [french, soFar] = [`the ${sourceLanguage}`, `the ${targetLanguage} so far`];
const output = `the encoder’s output for ${french}`;
// What a role's queries are for (`rows`); of which pieces (`queries`, `columns`) and `from` what it computes them.
const roles = [
  { name: "Encoder self-attention", id: "encoder", map: facts.maps.encoder, from: [french, french],
    rows: facts.source_pieces, queries: facts.source_pieces, columns: facts.source_pieces,
    caption: `Queries, keys and values come from ${french}. Nothing is masked: a square is visible.` },
  { name: "Decoder self-attention", id: "decoder", map: facts.maps.decoder, from: [soFar, soFar],
    rows: facts.target_pieces, queries: inputs, columns: inputs,
    caption: `Queries, keys and values come from ${soFar}. The future is masked: a triangle is visible.` },
  { name: "Decoder cross-attention", id: "cross", map: facts.maps.cross, from: [soFar, output],
    rows: facts.target_pieces, queries: inputs, columns: facts.source_pieces,
    caption: `Queries come from ${soFar}, keys and values from ${output}. Nothing is masked: a rectangle is visible.` },
];
const views = [];
const [smallestCell, largestCell, mostHeads] = [14, 30, 6];

// The scores of a query: its row of QKᵀ/√E, with −∞ for masked keys.
function scoresOf(map, place, query) {
  const a = vectorOf(map, 0, place, query);
  return Array.from({ length: map.keys }, (_, key) => {
    const b = vectorOf(map, 1, place, key);
    let sum = isMasked(map, query, key) ? -Infinity : 0;
    for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
    return sum / Math.sqrt(map.head_width);
  });
}

function softmax(scores) {
  const most = Math.max(...scores);
  const powers = scores.map((score) => Math.exp(score - most));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}

// The single heads of which a choice is the average.
function headsOf(map, [layer, head]) {
  const all = (chosen, n) => (chosen === average ? [...Array(n).keys()] : [Math.min(chosen, n - 1)]);
  return all(layer, map.layers).flatMap((l) => all(head, map.heads).map((h) => [l, h]));
}

// The weights softmax(QKᵀ/√E) of a layer and head, or their average, as a flat array of queries × keys.
function weightsOf(map, place) {
  const places = headsOf(map, place);
  const key = places.join(" ");
  if (!map.cache.has(key)) map.cache.set(key, places.length > 1 ? mean(places.map((one) => weightsOf(map, one)))
    : Array.from({ length: map.queries }, (_, query) => softmax(scoresOf(map, places[0], query))).flat());
  return map.cache.get(key);
}

// Scales of 256 colours from the panel on: to that of a single head, of each of several heads, and of what is negative.
let palettes = [];
function mixPalettes() {
  const style = getComputedStyle(document.documentElement);
  const channels = (name) =>
    [1, 3, 5].map((at) => parseInt(style.getPropertyValue(name).trim().slice(at, at + 2), 16));
  const [from, heads] = [channels("--panel"), Array.from({ length: mostHeads }, (_, i) => `--head-${i + 1}`)];
  palettes = ["--accent", ...heads, "--below"].map(channels).map((to) =>
    Array.from({ length: 256 }, (_, i) => [...from.map((c, k) => Math.round(c + (to[k] - c) * i / 255)), 255]));
}

function fillPixels(canvas, width, height, colourOf) {
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) image.data.set(colourOf(i), 4 * i);
  [canvas.width, canvas.height] = [width, height];
  canvas.getContext("2d").putImageData(image, 0, 0);
}

// A cell is a pixel of the colour numbered √weight, or transparent if masked; the stripes of several heads share it.
function drawWeights(canvas, map, heads) {
  const weights = heads.map((place) => weightsOf(map, place));
  const full = byId("own-scale").checked ? Math.max(...weights.map((each) => Math.max(...each))) : 1;
  const [nStripes, first] = heads.length > 1 ? [12, 1] : [1, 0];
  fillPixels(canvas, map.keys * nStripes, map.queries, (pixel) => {
    const cell = Math.floor(pixel / nStripes);
    if (isMasked(map, Math.floor(cell / map.keys), cell % map.keys)) return [0, 0, 0, 0];
    const values = weights.map((each) => each[cell]);
    let rest = (pixel % nStripes + 0.5) / nStripes * values.reduce((a, b) => a + b);
    const head = values.findIndex((value) => (rest -= value) < 0);
    return palettes[first + Math.max(0, head)][Math.round(255 * Math.sqrt(Math.max(...values) / full))];
  });
}

// Choose a head alone, or add it to the chosen ones (or take it away from them).
function choose(place, adds) {
  if (taken) taken.place = null;
  const others = shown.heads.filter((other) => other[0] !== average && !isAmong([place], other));
  const heads = isAmong(shown.heads, place) ? others : [...others, place];
  if (!adds) update({ heads: [place] });
  else if (heads.length && heads.length <= mostHeads) update({ heads });
}

function makeHeadButton(place) {
  const habits = roles.map(({ id }) => [id, nameOfHabit(place, id)]).filter(([, habit]) => habit);
  const name = [nameOfHead(place), ...habits.map((habit) => habit.join(": "))].join("; ");
  const button = make("button", { type: "button", class: "head", "aria-label": name, title: name,
    keyup: (event) => { if (event.key === " ") { event.preventDefault(); choose(place, true); } }, // instead of a click
    click: ({ ctrlKey, metaKey, shiftKey }) => choose(place, ctrlKey || metaKey || shiftKey || byId("several").checked),
  }, make("canvas"), make("span"), make("i", {}, habits.length ? "•" : ""));
  button.place = place;
  shown.listeners.push(() => {
    const number = shown.heads.findIndex((other) => isAmong([place], other)) + 1;
    button.setAttribute("aria-pressed", number > 0);
    button.dataset.colour = shown.heads.length > 1 ? number : 0;
    button.children[1].textContent = Number(button.dataset.colour) || "";
  });
  return button;
}

function makeChooser() {
  const { cross, encoder } = facts.maps;
  const [box, heads, buttons] = [byId("heads"), [...Array(cross.heads).keys()], []];
  box.style.gridTemplateColumns = `auto repeat(${heads.length + 1}, auto)`;
  box.append(make("span"), ...heads.map((head) => make("span", {}, `${head + 1}`)), make("span", {}, "avg"));
  for (let layer = 0; layer < Math.max(cross.layers, encoder.layers); layer++) {
    const row = [...heads, average].map((head) => makeHeadButton([layer, head]));
    buttons.push(...row);
    box.append(make("span", {}, `layer ${layer + 1}`), ...row);
  }
  roveTabindex(buttons, { columns: heads.length + 1 });
  byId("all-heads").addEventListener("click", () => choose([average, average], false));
  shown.listeners.push(() => {
    byId("all-heads").setAttribute("aria-pressed", shown.heads[0][0] === average);
    byId("chosen").replaceChildren(...shown.heads.map((place, number) =>
      make("li", { "data-colour": shown.heads.length > 1 ? number + 1 : 0 }, nameOfHead(place))));
  });
  return () => buttons.forEach((button) => drawWeights(button.firstChild, cross, [button.place]));
}

const shares = ({ map }, query, key) => shown.heads.map((one) => percent(weightsOf(map, one)[query * map.keys + key]));

// Put a mark on a cell; without a cell, hide it.
function putAt(mark, query, key) {
  mark.hidden = query === undefined;
  mark.style.cssText = `--row: ${query}; --column: ${key}`;
}

function makeMap(role) {
  const figure = byId("map").content.firstElementChild.cloneNode(true);
  const part = (name) => figure.querySelector(name);
  const [view, canvas] = [{ role, figure, part, at: null }, part("canvas")];
  [part("strong").textContent, part("summary").textContent] = [role.name, `${role.name} as a table`];
  part("figcaption").append(role.caption);
  for (const side of ["rows", "columns"]) part(`.${side}`).append(...role[side].map((text) => make("span", {}, text)));
  byId("maps").append(figure);
  const toRow = (row, query) => [row, ...role.columns.map((_, key) =>
    (isMasked(role.map, query, key) ? "masked" : shares(role, query, key).join(" · ")))];
  const refill = onDemand(part("details"), () => table(["", ...role.columns], role.rows.map(toRow)));
  byId("map-tables").append(part("details"));
  const point = (query, key) => {
    if (role.rows[query] === undefined || role.columns[key] === undefined) return false;
    view.at = [query, key];
    putAt(part(".cursor"), query, key);
    describe(view);
    return true;
  };
  const cellOf = ({ offsetX, offsetY }) => [Math.floor(offsetY / canvas.clientHeight * role.map.queries),
    Math.floor(offsetX / canvas.clientWidth * role.map.keys)];
  canvas.addEventListener("pointermove", (event) => point(...cellOf(event)));
  canvas.addEventListener("click", (event) => { if (point(...cellOf(event))) takeApart(view, ...view.at); });
  canvas.addEventListener("focus", () => { if (!view.at) point(0, 0); });
  canvas.addEventListener("keydown", (event) => {
    const moves = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0], Enter: [0, 0] };
    if (!(event.key in moves)) return;
    event.preventDefault();
    if (!point(...(view.at || [0, 0]).map((place, i) => place + moves[event.key][i]))) return;
    part(".cursor").scrollIntoView({ block: "nearest", inline: "nearest" });
    if (event.key === "Enter" || taken) takeApart(view, ...view.at);
  });
  shown.listeners.push(() => {
    canvas.setAttribute("aria-label", `${role.name}, ${nameOfChoice(role.id)}: ${role.rows.length} queries, ` +
      `${role.columns.length} keys; the arrow keys select a cell, Enter takes it apart, the table below lists all`);
    paint(view);
    describe(view);
    refill();
  });
  views.push(view);
}

function describe({ role, part, at }) {
  const names = shown.heads.map((place) => nameOfHead(place, role.id));
  const isMissing = shown.heads.some(([layer]) => layer >= role.map.layers);
  let text = `${names.join("; ")}.`;
  if (at) {
    const [row, column, weights] = [spoken(role.rows[at[0]]), spoken(role.columns[at[1]]), shares(role, ...at)];
    const who = role.id === "encoder" ? quoted(row) : `Writing ${quoted(row)}, the decoder`;
    text = isMasked(role.map, ...at) ? `${who} may not attend to ${quoted(column)}, which is not written yet.`
      : `${who} attends to ${quoted(column)}: ${weights.map((weight, i) => `${weight}, ${names[i]}`).join("; ")}.`;
  }
  part(".said").textContent = `${text}${isMissing ? ` It has ${role.map.layers} layers; the last is shown.` : ""}`;
}

function paint({ role: { map, id }, part }) {
  const room = byId("maps").firstElementChild.clientWidth - part(".rows").offsetWidth - 2;
  const cell = Math.max(smallestCell, Math.min(largestCell, Math.floor(room / map.keys)));
  const box = part(".map");
  box.style.cssText = `--cell: ${cell}px; --keys: ${map.keys}; --queries: ${map.queries}`;
  box.classList.toggle("several", shown.heads.length > 1);
  box.classList.toggle("scrolls", box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight);
  const looks = [shown.heads.join(), byId("own-scale").checked, palettes[0][255]].join(" ");
  if (box.dataset.looks !== looks) drawWeights(part("canvas"), map, shown.heads); // another step changes no weight
  box.dataset.looks = looks;
  const step = id === "encoder" ? map.queries : shown.step;
  putAt(part(".now"), step < map.queries ? step : undefined, 0);
  putAt(part(".later"), step + 1 < map.queries ? step + 1 : undefined, 0);
  part(".rows").childNodes.forEach((label, query) => { label.className = query > step ? "ahead" : ""; });
}

function makeMaps() {
  mixPalettes();
  const paintChooser = makeChooser();
  roles.forEach(makeMap);
  makeCell();
  const arrange = () => {
    const widest = Math.max(...views.map(({ part, role }) => part(".rows").offsetWidth + smallestCell * role.map.keys));
    byId("maps").classList.toggle("stacked", 3 * (widest + 24) > byId("maps").clientWidth);
    views.forEach(paint);
  };
  const repaint = () => { mixPalettes(); paintChooser(); update({}); };
  byId("own-scale").addEventListener("change", repaint);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  new ResizeObserver(arrange).observe(byId("maps"));
  arrange();
  paintChooser();
}
