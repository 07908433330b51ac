// The stage: both sentences in pieces, ribbons of attention between them, and the player that writes the translation.

const end = facts.target_pieces.length; // the step at which all is written
// The start symbol is a key too: box n + 1 of the target side has what query n writes.
const sides = {
  source: { pieces: facts.source_pieces, owners: facts.source_owners },
  target: { pieces: ["⟨start⟩", ...facts.target_pieces], owners: [-1, ...facts.target_owners] },
};
const least = 0.03; // smaller weights are neither drawn nor named
const certainty = facts.choices.map(({ probability, forced }) => (forced ? 2 : probability));
let pointed = null; // the side and the number of the box that the pointer or the focus is on

// A piece as it is spoken of: without its space; a byte by the character that it is part of.
const spoken = (piece) => piece.replace(/^␣(?=.)/, "").replace(/^⟨(..) of (.+)⟩$/, "byte $1 of $2");
// The text of pieces. A character of several bytes is where its first byte is: the others start with 8, 9, A or B.
const textOf = (pieces) => pieces.join("").replace(/⟨[89AB]. of .⟩/gu, "").replace(/⟨.. of (.)⟩/gu, "$1")
  .replaceAll("␣", " ").trim();
const tail = (text) => text.replace(/^(?=.{41}).+? (?=.{0,40}$)/u, "… ");
const mean = (rows) => rows[0].map((_, i) => rows.reduce((sum, row) => sum + row[i], 0) / rows.length);
const rowsOf = (map, query) =>
  shown.heads.map((head) => [...weightsOf(map, head).slice(query * map.keys, (query + 1) * map.keys)]);
const columnsOf = (map, key) =>
  shown.heads.map((head) => [...weightsOf(map, head)].filter((_, i) => i % map.keys === key));
const isUnseen = ([side, number]) => side === "target" && number > shown.step + 1;

// What a piece attends to or, for a source piece, is read by. `across`: the cross-attention of each chosen head.
function attentionOf([side, number]) {
  const { encoder, decoder, cross } = facts.maps;
  if (side === "source") {
    const across = columnsOf(cross, number).map((column) => column.slice(0, shown.step + 1));
    return { across, source: mean(rowsOf(encoder, number)), target: [0, ...mean(across)] };
  }
  if (number === 0 || isUnseen([side, number])) return { across: [], source: [], target: [] };
  const across = rowsOf(cross, number - 1);
  return { across, source: mean(across), target: mean(rowsOf(decoder, number - 1)) };
}

// A curve from the middle of the lower edge of one box to the middle of the upper edge of another.
function curve(from, to, [fromShift, toShift] = [0, 0]) {
  const [frame, a, b] = [byId("stage"), from, to].map((box) => box.getBoundingClientRect());
  const [x1, x2] = [a.left + a.width / 2 + fromShift, b.left + b.width / 2 + toShift].map((x) => x - frame.left);
  const [y1, y2] = [a.bottom - frame.top, b.top - frame.top];
  return `M${x1} ${y1}C${x1} ${(y1 + y2) / 2} ${x2} ${(y1 + y2) / 2} ${x2} ${y2}`;
}

// Ribbons as wide as their weights. At the piece that is shown all lie side by side, at the others those of each head.
function ribbons([side, number], across) {
  const widest = getComputedStyle(byId("stage")).getPropertyValue("--widest") / across.length;
  const drawn = across.flatMap((weights, head) =>
    weights.map((weight, other) => ({ head, weight, other })).filter(({ weight }) => weight >= least));
  let edge = -widest * drawn.reduce((sum, { weight }) => sum + weight, 0) / 2;
  return drawn.map(({ head, weight, other }) => {
    const [i, j] = side === "source" ? [number, other + 1] : [other, number];
    const shifts = [(head - (across.length - 1) / 2) * widest, edge + widest * weight / 2];
    edge += widest * weight;
    const d = curve(sides.source.boxes[i], sides.target.boxes[j], side === "source" ? shifts.reverse() : shifts);
    const colour = `var(--head-${head + 1}, var(--accent))`;
    return make("path", { d, class: "ribbon", "stroke-width": widest * weight, pathLength: 1, "--colour": colour });
  });
}

// The boxes of a word lie in one group. A word without a piece of its own is in the group of the word before.
const groupOf = ({ boxes, owners }, word) =>
  boxes[owners.findLastIndex((owner) => owner >= 0 && owner <= word)].parentElement;

const links = () => facts.alignment.map(([i, j]) =>
  make("path", { d: curve(groupOf(sides.source, i), groupOf(sides.target, j)), class: "link", "data-ends": [i, j] }));

function strongest(side, weights) {
  const large = [...weights.entries()].filter(([, weight]) => weight >= least).sort((a, b) => b[1] - a[1]);
  const names = large.slice(0, 3).map(([n, weight]) => `${quoted(spoken(sides[side].pieces[n]))} ${percent(weight)}`);
  return names.join(", ") || "nothing in particular";
}

function say(here, seen) {
  if (!here) return facts.alignment.length ? "All is written. Lines join aligned words." : "All is written.";
  const [side, number] = here;
  if (isUnseen(here)) return `Piece ${number} is not written yet; no query may attend to it.`;
  if (side === "target" && number === 0) return "The start symbol: what the decoder reads while nothing is written.";
  const name = quoted(spoken(sides[side].pieces[number]));
  const [source, target] = ["source", "target"].map((one) => strongest(one, seen[one]));
  const heads = `(${nameOfChoice()}${shown.heads.length > 1 ? "; the numbers are their mean" : ""})`;
  if (side === "source") return `${name} is read for ${target}. In the encoder, it attends to ${source}. ${heads}`;
  const { probability, forced } = facts.choices[number - 1];
  return `Writing ${name}, ${forced ? "given by the prefix" : percent(probability)}: it reads ${source}; `
    + `it looks back at ${target}. ${heads}`;
}

function drawStage() {
  const here = pointed ?? (shown.step === end ? null : ["target", shown.step + 1]);
  const seen = here ? attentionOf(here) : { across: [], source: [], target: [] };
  for (const [side, { boxes, pieces }] of Object.entries(sides)) boxes.forEach((box, number) => {
    const weight = seen[side][number] ?? 0;
    box.title = isUnseen([side, number]) ? `piece ${number}, not written yet` : spoken(pieces[number]);
    box.setAttribute("aria-label", box.title);
    box.classList.toggle("unseen", isUnseen([side, number]));
    box.classList.toggle("writing", side === "target" && number === shown.step + 1);
    box.classList.toggle("here", Boolean(here) && side === here[0] && number === here[1]);
    box.style.setProperty("--weight", weight);
    box.lastChild.textContent = weight >= least ? percent(weight) : "";
  });
  byId("ribbons").replaceChildren(...(here ? ribbons(here, seen.across) : links()));
  byId("stage-said").textContent = say(here, seen);
  if (!here) drawNext(certainty.indexOf(Math.min(...certainty)), "The least certain piece, ");
  else if (here[0] === "target" && here[1] > 0 && !isUnseen(here)) drawNext(here[1] - 1);
}

function makePieces(name, language) {
  const box = byId(`${name}-pieces`);
  const { pieces, owners } = sides[name];
  byId(`${name}-title`).textContent = language;
  box.lang = facts.languages[name === "source" ? 0 : 1];
  const point = (place) => { pointed = place; drawStage(); };
  sides[name].boxes = pieces.map((piece, number) => {
    const [to, leave] = [() => point([name, number]), () => point(null)];
    const text = piece.startsWith("␣") ? [make("i", {}, "␣"), piece.slice(1)] : [piece];
    const button = make("button", { type: "button", class: "piece", dir: "auto", click: to, focus: to, blur: leave,
      pointerenter: to, pointerleave: leave }, make("span", {}, ...text), make("small"));
    if (owners[number] < 0 || owners[number] !== owners[number - 1]) box.append(make("span", { class: "group" }));
    box.lastChild.append(button);
    return button;
  });
  roveTabindex(sides[name].boxes);
}

// The probabilities of a piece and its alternatives. The temperature T raises each to the power of 1/T.
function drawNext(number, which = "") {
  const { piece, probability, forced, alternatives } = facts.choices[number];
  const temperature = Number(byId("temperature").value);
  const pieces = [{ piece, probability }, ...alternatives];
  const raised = pieces.map((one) => one.probability ** (1 / temperature));
  const [sum, all] = [raised, pieces.map((one) => one.probability)].map((values) => values.reduce((a, b) => a + b));
  const place = number === 0 ? "at the start" : `after ${quoted(tail(textOf(facts.target_pieces.slice(0, number))))}`;
  const likelier = nodes.find(({ parent, rank }) => parent === path[number].number && rank < path[number + 1].rank);
  byId("likelier").textContent = likelier ? `${quoted(spoken(likelier.piece))} was more probable here; the search `
    + `preferred ${quoted(spoken(piece))} for what follows: see the beam.` : "";
  byId("after").textContent = `${which}${place}${forced ? "; given by the prefix" : ""}`;
  const values = raised.map((value) => value / (temperature === 1 ? 1 : sum));
  byId("bars").replaceChildren(...pieces.map((one, i) =>
    make("div", { class: "bar", "--sure": values[i] }, make("span", {}, one.piece), make("i"), percent(values[i]))));
  byId("degrees").textContent = temperature.toFixed(1);
  byId("renormalised").textContent = temperature === 1
    ? `The model’s own: the ${pieces.length} pieces shown have ${percent(all)} of all probability.`
    : `Each to the power of 1/${temperature.toFixed(1)}, renormalised: the pieces shown had ${percent(all)} in all.`;
}

// Make a button play: `next` is called at each beat, until it returns false or the button is pressed again.
function makePlayable(button, next, beat) {
  let timer = 0;
  const play = (isOn) => {
    clearInterval(timer);
    timer = isOn && next() ? setInterval(() => next() || play(false), beat) : 0;
    button.classList.toggle("playing", timer);
    button.lastChild.textContent = timer ? "Pause" : "Play";
  };
  button.addEventListener("click", () => play(!timer));
  return () => play(false);
}

function makeStage() {
  makePieces("source", sourceLanguage);
  makePieces("target", targetLanguage);
  const scrubber = byId("scrubber");
  scrubber.max = end;
  const next = () => { update({ step: shown.step === end ? 0 : shown.step + 1 }); return shown.step < end; };
  const pause = makePlayable(byId("play"), next, 1500);
  const go = (step) => { pause(); update({ step: Math.max(0, Math.min(end, step)) }); };
  const moves = { first: -end, back: -1, forward: 1, ArrowLeft: -1, ArrowRight: 1 };
  const move = (name) => go(shown.step + moves[name]);
  for (const name of ["first", "back", "forward"]) byId(name).addEventListener("click", () => move(name));
  scrubber.addEventListener("input", () => go(Number(scrubber.value)));
  byId("temperature").addEventListener("input", drawStage);
  byId("player").addEventListener("keydown", (event) => {
    const isControl = event.target.closest("#controls button");
    if (isControl && event.key.startsWith("Arrow") && event.key in moves) move(event.key);
    if (event.key !== " " || isControl || event.target.closest("summary, .term")) return;
    event.preventDefault();
    byId("play").click();
  });
  let step = shown.step;
  shown.listeners.push(() => {
    if (step !== shown.step) pointed = null;
    byId("stage").classList.toggle("stepped", step !== shown.step);
    step = scrubber.value = shown.step;
    const text = step === end ? "all is written" : `piece ${step + 1} of ${end}: ${facts.target_pieces[step]}`;
    scrubber.setAttribute("aria-valuetext", text);
    byId("step-said").textContent = text;
    drawStage();
  });
  new ResizeObserver(drawStage).observe(byId("stage"));
}
