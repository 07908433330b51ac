// Entry point: fill the header, unpack the maps, build each section and explain the terms.

// A text as nodes, with each word in a span.
function inSpans(text, words) {
  let from = 0;
  const nodes = words.flatMap((word) => {
    const before = text.slice(from, text.indexOf(word, from));
    from += before.length + word.length;
    return [before, make("span", {}, word)];
  });
  return [...nodes, text.slice(from)];
}

// The product of the probabilities of a word's pieces. A word without its own pieces is in those of the one before.
function probabilityOf(word) {
  const owner = facts.target_owners.findLast((other) => other >= 0 && other <= word);
  return facts.choices.reduce((p, { probability }, i) => (facts.target_owners[i] === owner ? p * probability : p), 1);
}

function makeHeader() {
  const { source, translation, alignment, confidence, model } = facts;
  document.title = `${translation} – explained`;
  byId("direction").textContent = `${sourceLanguage} to ${targetLanguage}, explained`;
  [byId("source").lang, byId("translation").lang] = facts.languages;
  byId("source").append(...inSpans(source, facts.source_words));
  const unaligned = facts.source_words.map((word, i) => alignment.length && /[\p{L}\p{N}]/u.test(word)
    && !alignment.some(([from]) => from === i));
  [...byId("source").children].forEach((span, i) => { if (unaligned[i]) span.className = "unaligned"; });
  byId("translation").append(...inSpans(translation, facts.target_words));
  const probabilities = facts.target_words.map((_, j) => probabilityOf(j));
  [...byId("translation").children].forEach((span, j) => {
    span.className = probabilities[j] < 0.5 ? "doubtful" : probabilities[j] < 0.8 ? "likely" : "sure";
    span.style.setProperty("--doubt", 1 - probabilities[j]);
    span.title = `probability ${percent(probabilities[j])}`;
  });
  const note = (text, kind) => byId("notes").append(make("p", { class: kind }, text));
  if (facts.is_source_language === false) note(`This does not look like ${sourceLanguage}.`, "note");
  const close = `robability that this is close to a correct translation (chrF ≥ ${confidence?.min_chrf})`;
  if (confidence?.is_guess) note(`The model is guessing: the p${close} is ${percent(confidence.probability)}.`, "note");
  else if (confidence) note(`P${close}: ${percent(confidence.probability)}`, "quiet");
  if (facts.parts > 1) note(`The text is translated in ${facts.parts} parts. This page explains the first.`, "note");
  note(`Score ${signed(facts.score, 3)} = ${signed(facts.log_prob)} (Σ log p) ÷ ${end}${power} (pieces) · `
    + (facts.beam_size === 1 ? "greedy search" : `beam size ${facts.beam_size}`), "quiet");
  if (model) note(`Model ${model.name} · corpus ${model.corpus} · `
    + new Date(model.created).toLocaleDateString("en-GB", { dateStyle: "long", timeZone: "UTC" })
    + (model.bleu === null ? "" : ` · BLEU ${model.bleu.toFixed(1)}`), "quiet");
  const sources = (j) => alignment.filter(([, to]) => to === j).map(([i]) => facts.source_words[i]).join(" ");
  onDemand(byId("words-table"), () => table([targetLanguage, "probability", sourceLanguage], [
    ...facts.target_words.map((word, j) => [word, percent(probabilities[j]), sources(j) || "–"]),
    ...facts.source_words.filter((_, i) => unaligned[i]).map((word) => ["–", "", word])]));
}

// A term is a button where it first occurs in a section. Its meaning is shown on hover, focus and tap.
function explainTerm(tip, section) {
  const pattern = new RegExp(`(?<!\\w)(${tip.dataset.words})(?!\\w)`, "i");
  const text = [...section.querySelectorAll("p:not(.said, #source, #cell-steps p), #unaligned, figcaption")]
    .flatMap((node) => [...node.childNodes])
    .find((node) => node.nodeType === Node.TEXT_NODE && pattern.test(node.data));
  if (!text) return;
  const { 0: word, index } = pattern.exec(text.data);
  const rest = text.splitText(index);
  rest.data = rest.data.slice(word.length);
  const show = () => {
    tip.togglePopover(true);
    const { left, bottom } = button.getBoundingClientRect();
    tip.style.left = `${Math.max(8, Math.min(left, innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${bottom}px`;
  };
  const hide = () => tip.togglePopover(false);
  const leave = () => setTimeout(() => tip.matches(":hover") || hide(), 100); // time to reach the tip
  const button = make("button", { type: "button", class: "term", "aria-describedby": tip.id, click: show, focus: show,
    blur: hide, pointerenter: show, pointerleave: leave }, word);
  tip.addEventListener("pointerleave", hide);
  rest.before(button);
}

makeHeader();
await Promise.all(Object.values(facts.maps).map(unpack));
makeMaps();
makeStage();
makeBeam();
makeFilm();
const tips = document.querySelectorAll("[popover]");
for (const section of document.querySelectorAll("header, section")) tips.forEach((tip) => explainTerm(tip, section));
update({});
document.documentElement.dataset.ready = "yes";
