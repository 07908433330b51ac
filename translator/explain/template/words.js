// The two sentences: lines join aligned words, and the words that a word attends to are highlighted.

const sides = {
  source: { words: facts.source_words, owners: facts.source_owners, buttons: [], language: facts.languages[0] },
  target: { words: facts.target_words, owners: facts.target_owners, buttons: [], language: facts.languages[1] },
};

// The attention of a word to each key word: averaged over its own pieces, summed over the pieces of the key word.
function wordAttention(map, owners, word, keyOwners, nWords) {
  const weights = weightsOf(map, shown.heads[0]);
  const rows = owners.flatMap((owner, piece) => (owner === word ? [piece] : []));
  const found = new Array(nWords).fill(0);
  for (const row of rows) keyOwners.forEach((owner, key) => {
    if (owner >= 0) found[owner] += weights[row * map.keys + key] / rows.length;
  });
  return found;
}

function attentionOf(side, word) {
  const { source, target } = sides;
  if (side === source) return { source: wordAttention(facts.maps.encoder, source.owners, word, source.owners, source.words.length) };
  return {
    source: wordAttention(facts.maps.cross, target.owners, word, source.owners, source.words.length),
    target: wordAttention(facts.maps.decoder, target.owners, word, [-1, ...target.owners.slice(0, -1)], target.words.length),
  };
}

const topWords = (words, values) => values.map((value, number) => [value, words[number]])
  .filter(([value]) => value >= 0.03).sort((a, b) => b[0] - a[0]).slice(0, 3)
  .map(([value, word]) => `${word} ${percent(value)}`).join(", ") || "no word in particular";

let pointed = null;

function light(side, word) {
  pointed = [side, word];
  const attention = attentionOf(side, word);
  for (const [name, { buttons }] of Object.entries(sides)) {
    buttons.forEach((button, number) => {
      button.style.setProperty("--glow", Math.sqrt(attention[name] ? attention[name][number] : 0));
      button.classList.toggle("here", sides[name] === side && number === word);
    });
  }
  const { source, target } = sides;
  const text = side === source
    ? `Reading ${quoted(source.words[word])}, the encoder attends to: ${topWords(source.words, attention.source)}.`
    : `Writing ${quoted(target.words[word])}, the decoder attends across to: ${topWords(source.words, attention.source)}; and back to: ${topWords(target.words, attention.target)}.`;
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
  byId("words-said").textContent = facts.alignment.length
    ? `Lines join aligned words. Attention: ${nameOfChoice()}.`
    : `Attention: ${nameOfChoice()}.`;
}

function layOut() {
  const box = byId("words");
  box.classList.remove("columns");
  const widest = Math.max(byId("source-words").scrollWidth, byId("target-words").scrollWidth);
  const isColumns = widest > box.clientWidth;
  box.classList.toggle("columns", isColumns);
  const frame = box.getBoundingClientRect();
  byId("links").replaceChildren(...facts.alignment.map(([i, j]) => {
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
    roveTabindex(side.buttons);
    box.append(...side.buttons);
  }
  shown.listeners.push(() => (pointed ? light(...pointed) : unlight()));
  new ResizeObserver(layOut).observe(byId("words").parentElement);
  if (facts.alignment.length) {
    byId("links-table").hidden = false;
    onDemand(byId("links-table"), () => table([sourceLanguage, targetLanguage], facts.source_words.map((word, i) =>
      [word, facts.alignment.filter(([from]) => from === i).map(([, j]) => facts.target_words[j]).join(" ") || "–"])));
  }
}
