// The words of both sides: how probable they are, what they are aligned with, and moving between them.
"use strict";

const markOf = (probability) => (probability < 0.5 ? "doubtful" : probability < 0.8 ? "likely" : "sure");
let pinned = null; // the word that stays highlighted
const numberOf = (word) => [...word.parentElement.children].indexOf(word);

// The words on the other side that a word is aligned with.
function alignedWith(side, number) {
  const [mine, theirs, other] = side === "source" ? [0, 1, "target"] : [1, 0, "source"];
  return shown.links.filter((link) => link[mine] === number).map((link) => sides[other].children[link[theirs]]);
}

function fill(side, pieces) {
  const word = (piece, number) => {
    const made = element("button", { type: "button", tabIndex: number === 0 ? 0 : -1 }, piece);
    made.setAttribute(side === "source" ? "aria-pressed" : "aria-expanded", "false");
    const chance = shown.probabilities[number]; // null if it is unknown
    const isWord = /[\p{L}\p{N}]/u.test(piece); // not punctuation, which need not be translated
    if (side === "source") made.className = isWord && !alignedWith(side, number).length ? "unaligned" : "";
    else if (chance !== null) Object.assign(made, { className: markOf(chance), title: percent(chance) });
    return made;
  };
  sides[side].replaceChildren(...pieces.map(([piece, number]) => (number === null ? piece : word(piece, number))));
}

function light(word) {
  for (const lit of document.querySelectorAll(".lit")) lit.classList.remove("lit");
  const partners = word ? alignedWith(word.parentElement.id, numberOf(word)) : [];
  for (const each of word ? [word, ...partners] : []) each.classList.add("lit");
  const links = partners.map((each) => `“${each.textContent}”`).join(" ") || "no word";
  const chance = word?.title ? `probability ${word.title}, ` : "";
  say("about", word ? `“${word.textContent}”: ${chance}aligned with ${links}` : "");
}

// Keep a word highlighted. A source word is released if it is chosen again (touch screens have no hover).
function pin(word) {
  pinned = word;
  for (const each of sides.source.children) each.setAttribute("aria-pressed", String(each === word));
  light(word);
}

// Move the focus from one button to another with the keyboard.
function roam(event, buttons) {
  const here = buttons.indexOf(event.target);
  const [next, last] = [here + 1, buttons.length - 1];
  const steps = { ArrowRight: next, ArrowDown: next, ArrowLeft: here - 1, ArrowUp: here - 1, Home: 0, End: last };
  if (!(event.key in steps)) return;
  event.preventDefault();
  buttons[steps[event.key]]?.focus();
}

for (const holder of Object.values(sides)) {
  const on = (kind, use) =>
    holder.addEventListener(kind, (event) => event.target !== holder && use(event.target, event));
  on("pointerover", light);
  on("focusin", (word) => {
    for (const each of holder.children) each.tabIndex = each === word ? 0 : -1; // one Tab stop per side
    light(word);
  });
  for (const kind of ["pointerleave", "focusout"]) holder.addEventListener(kind, () => light(pinned));
  on("click", (word) => (holder === sides.target ? openChoices(word) : pin(word === pinned ? null : word)));
  on("keydown", (word, event) => roam(event, [...holder.children]));
}
