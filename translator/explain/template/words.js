// The two sentences: lines between words that translate each other, light on what a word looks at.

const sides = {
  source: { words: facts.sourceWords, owners: facts.sourceOwners, buttons: [], language: facts.languages[0] },
  target: { words: facts.targetWords, owners: facts.targetOwners, buttons: [], language: facts.languages[1] },
};

// The share of attention that the pieces of a word give to each word, and to what is no word.
function shares(map, owners, word, keyOwners, nWords) {
  const weights = weightsOf(map, shown.layer, shown.head);
  const rows = owners.flatMap((owner, piece) => (owner === word ? [piece] : []));
  const found = new Array(nWords).fill(0);
  for (const row of rows) keyOwners.forEach((owner, key) => {
    if (owner >= 0) found[owner] += weights[row * map.keys + key] / rows.length;
  });
  return found;
}

function looksAt(side, word) {
  const { source, target } = sides;
  if (side === source) return { source: shares(facts.maps.encoder, source.owners, word, source.owners, source.words.length) };
  return {
    source: shares(facts.maps.cross, target.owners, word, source.owners, source.words.length),
    target: shares(facts.maps.decoder, target.owners, word, [-1, ...target.owners.slice(0, -1)], target.words.length),
  };
}

const mostOf = (words, values) => values.map((value, number) => [value, words[number]])
  .filter(([value]) => value >= 0.03).sort((a, b) => b[0] - a[0]).slice(0, 3)
  .map(([value, word]) => `${word} ${percent(value)}`).join(", ") || "no word much";

let pointed = null;

function light(side, word) {
  pointed = [side, word];
  const seen = looksAt(side, word);
  for (const [name, { buttons }] of Object.entries(sides)) {
    buttons.forEach((button, number) => {
      button.style.setProperty("--glow", Math.sqrt(seen[name] ? seen[name][number] : 0));
      button.classList.toggle("here", sides[name] === side && number === word);
    });
  }
  const { source, target } = sides;
  const text = side === source
    ? `Reading ${quoted(source.words[word])}, the encoder looks at: ${mostOf(source.words, seen.source)}.`
    : `Writing ${quoted(target.words[word])}, the decoder looks across at: ${mostOf(source.words, seen.source)}; back at: ${mostOf(target.words, seen.target)}.`;
  byId("words-said").textContent = `${text} (${nameOfChoice()})`;
  byId("links").classList.add("some");
  byId("links").querySelectorAll("path").forEach((path) => {
    path.classList.toggle("lit", path.ends[side === source ? 0 : 1] === word);
  });
}

function unlight() {
  pointed = null;
  for (const { buttons } of Object.values(sides)) buttons.forEach((button) => {
    button.style.setProperty("--glow", 0);
    button.classList.remove("here");
  });
  byId("links").classList.remove("some");
  byId("links").querySelectorAll("path").forEach((path) => path.classList.remove("lit"));
  byId("words-said").textContent = facts.links.length
    ? `Lines join words that translate each other. Light: ${nameOfChoice()}.`
    : `Light: ${nameOfChoice()}.`;
}

function layOut() {
  const box = byId("words");
  box.classList.remove("columns");
  const widest = Math.max(byId("source-words").scrollWidth, byId("target-words").scrollWidth);
  const isColumns = widest > box.clientWidth;
  box.classList.toggle("columns", isColumns);
  const frame = box.getBoundingClientRect();
  byId("links").replaceChildren(...facts.links.map(([i, j]) => {
    const from = sides.source.buttons[i].getBoundingClientRect();
    const to = sides.target.buttons[j].getBoundingClientRect();
    const [a, b] = isColumns
      ? [[from.right, from.top + from.height / 2], [to.left, to.top + to.height / 2]]
      : [[from.left + from.width / 2, from.bottom], [to.left + to.width / 2, to.top]];
    const [x1, y1, x2, y2] = [a[0] - frame.left, a[1] - frame.top, b[0] - frame.left, b[1] - frame.top];
    const d = isColumns
      ? `M${x1} ${y1}C${(x1 + x2) / 2} ${y1} ${(x1 + x2) / 2} ${y2} ${x2} ${y2}`
      : `M${x1} ${y1}C${x1} ${(y1 + y2) / 2} ${x2} ${(y1 + y2) / 2} ${x2} ${y2}`;
    const path = draw("path", { d });
    path.ends = [i, j];
    return path;
  }));
  if (pointed) light(...pointed);
}

function makeWords() {
  for (const [name, side] of Object.entries(sides)) {
    const box = byId(`${name}-words`);
    box.setAttribute("lang", side.language);
    box.setAttribute("aria-label", `Words in ${name === "source" ? sourceLanguage : targetLanguage}`);
    side.buttons = side.words.map((word, number) => make("button", { type: "button", class: "word", dir: "auto",
      pointerenter: () => light(side, number), focus: () => light(side, number), click: () => light(side, number),
      pointerleave: unlight, blur: unlight }, word));
    rove(side.buttons);
    box.append(...side.buttons);
  }
  shown.listeners.push(() => (pointed ? light(...pointed) : unlight()));
  new ResizeObserver(layOut).observe(byId("words").parentElement);
  if (facts.links.length) {
    byId("links-table").hidden = false;
    onDemand(byId("links-table"), () => table([sourceLanguage, targetLanguage], facts.sourceWords.map((word, i) =>
      [word, facts.links.filter(([from]) => from === i).map(([, j]) => facts.targetWords[j]).join(" ") || "–"])));
  }
}
