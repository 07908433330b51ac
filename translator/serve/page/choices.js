// Alternatives for a word of the translation: offered, chosen and taken back.
"use strict";

let chosen = null; // the target word whose alternatives are open

function openChoices(word) {
  const again = chosen === word;
  closeChoices();
  if (again || text.value !== shown.text) return; // or else a new translation is in progress
  chosen = word;
  word.setAttribute("aria-expanded", "true");
  pin(word);
  const body = { text: shown.text, translation: shown.translation, word: numberOf(word) };
  latest("/api/alternatives", body, ({ alternatives }) => {
    say("choices-name", `${alternatives.length ? "Instead" : "Nothing ≥ 1 % instead"} of “${word.textContent}”`);
    at("alternatives").replaceChildren(...alternatives.map(choice));
    at("choices").hidden = false;
    at("choices").querySelector("button").focus();
  });
}

function choice(found) {
  const parts = { share: percent(found.probability), word: found.word, rest: found.line.slice(found.prefix.length) };
  const spans = Object.entries(parts).map(([className, part]) => element("span", { className }, part));
  return element("li", {}, element("button", { type: "button", onclick: () => choose(found) }, ...spans));
}

function choose(found) {
  const [number, before] = [numberOf(chosen), shown];
  latest("/api/align", { text: before.text, translation: found.text }, (aligned) => {
    show({ ...before, confidence: null, ...aligned }, before.text, found, before);
    sides.target.children[number]?.focus();
  });
}

at("undo").addEventListener("click", () => {
  const { before } = shown;
  show(before, before.text, before.kept, before.before);
  (before.before ? at("undo") : sides.target.children[0]).focus();
});

function closeChoices() {
  chosen?.setAttribute("aria-expanded", "false");
  if (at("choices").contains(document.activeElement)) chosen.focus();
  chosen = null;
  at("choices").hidden = true;
  pin(null);
}

at("close").addEventListener("click", closeChoices);
at("choices").addEventListener("keydown", (event) => {
  if (event.key === "Escape") closeChoices();
  else roam(event, [...at("choices").querySelectorAll("button")]);
});
