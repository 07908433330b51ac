// Attention maps: a small one per layer and head to choose from, and a large one per role.

const inputs = ["⟨start⟩", ...facts.target_pieces.slice(0, -1)];
const roles = [
  { name: "Encoder self-attention", map: facts.maps.encoder, rows: facts.source_pieces, columns: facts.source_pieces,
    caption: `Queries, keys and values come from the ${sourceLanguage}; every piece may attend to every piece, so the whole square is visible.`,
    said: (row, column) => `${quoted(row)} attends to ${quoted(column)}` },
  { name: "Decoder self-attention", map: facts.maps.decoder, rows: facts.target_pieces, columns: inputs,
    caption: `Queries, keys and values come from the ${targetLanguage} so far; each piece may attend only to the pieces before it, so a triangle is visible and the future is masked.`,
    said: (row, column) => `Writing ${quoted(row)}, the decoder attends back to ${quoted(column)}` },
  { name: "Decoder cross-attention", map: facts.maps.cross, rows: facts.target_pieces, columns: facts.source_pieces,
    caption: `Queries come from the ${targetLanguage} so far, keys and values from the encoder’s output for the ${sourceLanguage}; the source has no future, so the whole rectangle is visible.`,
    said: (row, column) => `Writing ${quoted(row)}, the decoder attends to ${quoted(column)}` },
];

const isMasked = (role, query, key) => role.map.causal && key > query;
let palette = ramp();

function toImage(map, weights) {
  const image = new ImageData(map.keys, map.queries);
  for (let i = 0; i < weights.length; i++) {
    const [query, key] = [Math.floor(i / map.keys), i % map.keys];
    if (map.causal && key > query) continue; // masked: stays transparent
    const colour = palette[Math.min(255, Math.round(255 * Math.sqrt(weights[i])))];
    image.data.set([...colour, 255], 4 * i);
  }
  return image;
}

function drawWeights(canvas, map, weights) {
  [canvas.width, canvas.height] = [map.keys, map.queries];
  canvas.getContext("2d").putImageData(toImage(map, weights), 0, 0);
}

function hatch(context, left, top, width, height) {
  context.save();
  context.beginPath();
  context.rect(left, top, width, height);
  context.clip();
  context.globalAlpha = 0.45;
  context.strokeStyle = getComputedStyle(document.documentElement).getPropertyValue("--quiet");
  context.beginPath();
  for (let x = left - height; x < left + width; x += 5) {
    context.moveTo(x, top + height);
    context.lineTo(x + height, top);
  }
  context.stroke();
  context.restore();
}

function makeChooser() {
  const cross = facts.maps.cross;
  const nLayers = Math.max(cross.layers, facts.maps.encoder.layers);
  const box = byId("heads");
  const columns = cross.heads + 1;
  box.style.gridTemplateColumns = `auto repeat(${columns}, auto)`;
  box.append(make("span"));
  for (let head = 0; head < cross.heads; head++) box.append(make("span", {}, `${head + 1}`));
  box.append(make("span", {}, "avg"));
  const buttons = [];
  for (let layer = 0; layer < nLayers; layer++) {
    box.append(make("span", {}, `layer ${layer + 1}`));
    for (const head of [...Array(cross.heads).keys(), average]) {
      const name = head === average ? `layer ${layer + 1}, average` : `layer ${layer + 1}, head ${head + 1}`;
      const button = make("button", { type: "button", role: "radio", class: "head", "aria-label": name, title: name,
        click: () => update({ heads: [[layer, head]] }) }, make("canvas"));
      button.place = [layer, head];
      buttons.push(button);
      box.append(button);
    }
  }
  roveTabindex(buttons, { columns, onMove: (to) => update({ heads: [buttons[to].place] }) });
  byId("all-heads").addEventListener("click", () => update({ heads: [[average, average]] }));
  shown.listeners.push(() => {
    byId("all-heads").setAttribute("aria-pressed", shown.heads[0][0] === average);
    for (const button of buttons) {
      const [layer, head] = button.place;
      button.setAttribute("aria-checked", layer === shown.heads[0][0] && head === shown.heads[0][1]);
    }
  });
  return () => {
    for (const button of buttons) drawWeights(button.firstChild, cross, weightsOf(cross, button.place));
    const legend = byId("ramp").getContext("2d");
    for (let x = 0; x < 160; x++) {
      legend.fillStyle = `rgb(${palette[Math.round(255 * Math.sqrt(x / 159))]})`;
      legend.fillRect(x, 0, 1, 12);
    }
    byId("shut").getContext("2d").clearRect(0, 0, 22, 12);
    hatch(byId("shut").getContext("2d"), 0, 0, 22, 12);
  };
}

function makeMap(role, number) {
  const said = make("p", { class: "said", "aria-live": "polite" });
  const canvas = make("canvas", { tabindex: "0", role: "img", "aria-describedby": `caption-${number}` });
  const caption = make("figcaption", { id: `caption-${number}` }, make("strong", {}, role.name), role.caption);
  const details = make("details", {}, make("summary", {}, `${role.name} as a table`));
  const enlarge = make("button", { type: "button", class: "choice", "aria-pressed": "false", "aria-label": `Enlarge ${role.name}` }, "Enlarge");
  const figure = make("figure", {}, caption, make("div", { class: "scroll" }, canvas), said, enlarge, details);
  byId("maps").append(figure);
  const refill = onDemand(details, () => {
    const weights = weightsOf(role.map, shown.heads[0]);
    return table(["", ...role.columns], role.rows.map((row, query) => [row, ...role.columns.map((_, key) =>
      isMasked(role, query, key) ? "masked" : percent(weights[query * role.map.keys + key]))]));
  });
  const view = { role, figure, canvas, said, enlarge, at: null };
  enlarge.addEventListener("click", () => {
    enlarge.setAttribute("aria-pressed", figure.classList.toggle("large"));
    enlarge.textContent = figure.classList.contains("large") ? "Make small" : "Enlarge";
    paint(view);
  });
  const point = (query, key) => { view.at = [query, key]; paint(view); describe(view); };
  canvas.addEventListener("pointermove", (event) => {
    const key = Math.floor((event.offsetX - view.left) / view.cell);
    const query = Math.floor((event.offsetY - view.top) / view.cell);
    if (role.rows[query] !== undefined && role.columns[key] !== undefined) point(query, key);
  });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
    if (!step) return;
    event.preventDefault();
    const [query, key] = view.at ? [view.at[0] + step[0], view.at[1] + step[1]] : [0, 0];
    if (role.rows[query] !== undefined && role.columns[key] !== undefined) point(query, key);
  });
  canvas.addEventListener("focus", () => { if (!view.at) point(0, 0); });
  shown.listeners.push(() => {
    canvas.setAttribute("aria-label", `${role.name}, ${nameOfChoice()}: ${role.rows.length} queries, ${role.columns.length} keys; the arrow keys select a cell, and the table below lists them all`);
    paint(view);
    describe(view);
    refill();
  });
  return view;
}

function describe({ role, said, at }) {
  const missing = shown.heads[0][0] >= role.map.layers ? ` It has ${role.map.layers} layers; the last is shown.` : "";
  if (!at) { said.textContent = `${nameOfChoice()}.${missing}`; return; }
  const [query, key] = at;
  const sentence = isMasked(role, query, key)
    ? `Writing ${quoted(role.rows[query])}, the decoder may not attend to ${quoted(role.columns[key])}, which is not written yet`
    : `${role.said(role.rows[query], role.columns[key])}: ${percent(weightsOf(role.map, shown.heads[0])[query * role.map.keys + key])}`;
  said.textContent = `${sentence} (${nameOfChoice()}).${missing}`;
}

const shortened = (text) => (text.length > 12 ? `${text.slice(0, 11)}…` : text);

function paint(view) {
  const { role, canvas, figure, at } = view;
  const style = getComputedStyle(document.documentElement);
  const context = canvas.getContext("2d");
  context.font = "12px system-ui, sans-serif";
  const widest = (texts) => Math.ceil(Math.max(...texts.map((text) => context.measureText(shortened(text)).width)));
  // All maps reserve the same height for column labels, so that they are aligned.
  const labels = [widest(role.rows) + 8, Math.max(...roles.map(({ columns }) => widest(columns))) + 8];
  const room = figure.clientWidth - labels[0] - 2;
  const isLarge = figure.classList.contains("large");
  view.cell = Math.min(30, room / role.columns.length);
  if (isLarge) view.cell = Math.max(13, Math.min(20, view.cell));
  const isLabelled = view.cell >= 11;
  view.enlarge.hidden = isLabelled && !isLarge;
  if (!isLabelled) view.cell = Math.max(3, (figure.clientWidth - 2) / role.columns.length);
  [view.left, view.top] = isLabelled ? labels : [1, 1];
  const [width, height] = [view.cell * role.columns.length, view.cell * role.rows.length];
  canvas.dataset.cell = view.cell;
  const scale = window.devicePixelRatio || 1;
  const [fullWidth, fullHeight] = [view.left + width + 1, view.top + height + 1];
  [canvas.width, canvas.height] = [fullWidth * scale, fullHeight * scale];
  [canvas.style.width, canvas.style.height] = [`${fullWidth}px`, `${fullHeight}px`];
  context.setTransform(scale, 0, 0, scale, 0, 0);
  if (role.map.causal) hatch(context, view.left, view.top, width, height);
  const small = make("canvas");
  drawWeights(small, role.map, weightsOf(role.map, shown.heads[0]));
  context.imageSmoothingEnabled = false;
  context.drawImage(small, view.left, view.top, width, height);
  context.strokeStyle = style.getPropertyValue("--line");
  context.strokeRect(view.left - 0.5, view.top - 0.5, width + 1, height + 1);
  context.font = `${Math.min(12, view.cell)}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  if (isLabelled) role.rows.forEach((text, query) => {
    context.fillStyle = style.getPropertyValue(at && at[0] === query ? "--accent" : "--ink");
    context.textAlign = "right";
    context.fillText(shortened(text), view.left - 6, view.top + (query + 0.5) * view.cell);
  });
  if (isLabelled) role.columns.forEach((text, key) => {
    context.save();
    context.translate(view.left + (key + 0.5) * view.cell, view.top - 6);
    context.rotate(-Math.PI / 2);
    context.fillStyle = style.getPropertyValue(at && at[1] === key ? "--accent" : "--ink");
    context.textAlign = "left";
    context.fillText(shortened(text), 0, 0);
    context.restore();
  });
  if (at) {
    context.strokeStyle = style.getPropertyValue("--ink");
    context.lineWidth = 1.5;
    context.strokeRect(view.left + at[1] * view.cell, view.top + at[0] * view.cell, view.cell, view.cell);
  }
}

function makeMaps() {
  const paintChooser = makeChooser();
  const views = roles.map(makeMap);
  const repaint = () => { palette = ramp(); paintChooser(); views.forEach(paint); };
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  let width = 0;
  new ResizeObserver(() => {
    if (byId("maps").clientWidth === width) return;
    width = byId("maps").clientWidth;
    views.forEach(paint);
  }).observe(byId("maps"));
  paintChooser();
}
