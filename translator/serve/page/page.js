// The web page. User text is only inserted as text nodes, never as markup.
"use strict";

const PAUSE_MS = 200; // delay between the last keystroke and the request
const SPOKEN_MS = 900; // delay between the last translation and its announcement to screen readers

const at = (id) => document.getElementById(id);
const text = at("text");
const sides = { source: at("source"), target: at("target") };

// The translation on the page; `kept` is the alternative that it starts with, if one was chosen.
let shown = { text: "", translation: "", links: [], kept: null };
let chosen = null; // number of the target word whose alternatives are open
let pinned = null; // {side, number} of the word that stays highlighted
let asking = null; // AbortController of the request in progress
let pause, speaking;

async function ask(route, body, signal) {
  const headers = { "Content-Type": "application/json" };
  if (at("key").value) headers.Authorization = `Bearer ${at("key").value}`;
  const answer = await fetch(route, { method: "POST", headers, body: JSON.stringify(body), signal });
  const found = await answer.json().catch(() => ({ error: `The service responded with status ${answer.status}` }));
  if (!answer.ok) throw new Error(found.error);
  return found;
}

// Send a request and abort the one before, so that an outdated response is never shown.
async function latest(route, body, show) {
  asking?.abort();
  const mine = (asking = new AbortController());
  try {
    const found = await ask(route, body, mine.signal);
    if (mine !== asking) return;
    at("error").textContent = "";
    show(found);
  } catch (error) {
    if (mine !== asking || error.name === "AbortError") return;
    at("error").textContent =
      error instanceof TypeError ? "The service does not respond. Is it still running?" : error.message;
  }
}

function translate() {
  const typed = text.value;
  if (!typed.trim()) {
    asking?.abort();
    asking = null;
    show({ translation: "", source: [], target: [], links: [] }, "");
    return;
  }
  latest("/api/translate", { text: typed }, (found) => show(found, typed));
}

function show(found, typed, kept = null) {
  shown = { text: typed, translation: found.translation, links: found.links, kept };
  closeChoices();
  pinned = null;
  fill("source", found.source);
  fill("target", found.target);
  at("hint").hidden = found.target.length > 0;
  at("explain-button").disabled = found.target.length === 0;
  at("explain-button").textContent = typed.trim().includes("\n") ? "Explain this line" : "Explain this translation";
  clearTimeout(speaking);
  speaking = setTimeout(() => (at("spoken").textContent = found.translation), SPOKEN_MS);
}

function fill(side, pieces) {
  const holder = sides[side];
  holder.replaceChildren(
    ...pieces.map(([piece, number]) => {
      if (number === null) return document.createTextNode(piece);
      const word = document.createElement("button");
      word.type = "button";
      word.textContent = piece;
      word.dataset.number = number;
      word.tabIndex = number === 0 ? 0 : -1; // roving tabindex: one Tab stop per side
      if (side === "target") {
        word.setAttribute("aria-expanded", "false");
        word.setAttribute("aria-controls", "choices");
      } else {
        word.setAttribute("aria-pressed", "false");
      }
      return word;
    }),
  );
}

const wordOf = (side, number) => sides[side].querySelector(`[data-number="${number}"]`);

function light(side, number) {
  for (const lit of document.querySelectorAll(".lit")) lit.classList.remove("lit");
  if (number === null) return;
  const [mine, theirs, other] = side === "source" ? [0, 1, "target"] : [1, 0, "source"];
  wordOf(side, number)?.classList.add("lit");
  for (const link of shown.links)
    if (link[mine] === number) wordOf(other, link[theirs])?.classList.add("lit");
}

const lightPinned = () => light(pinned?.side ?? "source", pinned?.number ?? null);

for (const [side, holder] of Object.entries(sides)) {
  const numberOf = (event) => {
    const word = event.target.closest?.("[data-number]");
    return word ? Number(word.dataset.number) : null;
  };
  for (const kind of ["pointerover", "focusin"])
    holder.addEventListener(kind, (event) => {
      const number = numberOf(event);
      if (number !== null) light(side, number);
    });
  for (const kind of ["pointerleave", "focusout"]) holder.addEventListener(kind, lightPinned);
  holder.addEventListener("click", (event) => {
    const number = numberOf(event);
    if (number === null) return;
    if (side === "target") openChoices(number);
    else pin(number);
  });
  holder.addEventListener("keydown", (event) => {
    const words = [...holder.querySelectorAll("[data-number]")];
    const here = words.indexOf(event.target);
    const goal = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: words.length - 1 }[event.key];
    if (here < 0 || !words[goal]) return;
    event.preventDefault();
    words[here].tabIndex = -1;
    words[goal].tabIndex = 0;
    words[goal].focus();
  });
}

// On touch screens, which have no hover, a tap keeps a source word highlighted.
function pin(number) {
  const same = pinned?.side === "source" && pinned.number === number;
  pinned = same ? null : { side: "source", number };
  for (const word of sides.source.querySelectorAll("button"))
    word.setAttribute("aria-pressed", String(!same && Number(word.dataset.number) === number));
  if (same) light("source", number);
  else lightPinned();
}

function openChoices(number) {
  if (text.value !== shown.text) return; // a new translation is in progress
  const again = chosen === number;
  closeChoices();
  if (again) return;
  chosen = number;
  pinned = { side: "target", number };
  const word = wordOf("target", number);
  word.setAttribute("aria-expanded", "true");
  lightPinned();
  const { text: typed, translation } = shown;
  latest("/api/alternatives", { text: typed, translation, word: number }, (found) => {
    at("choices-name").textContent = found.alternatives.length
      ? `Instead of “${word.textContent}”`
      : `Nothing else for “${word.textContent}”`;
    at("alternatives").replaceChildren(...found.alternatives.map(choice));
    at("choices").hidden = false;
    (at("alternatives").querySelector("button") ?? at("close")).focus();
  });
}

function choice(found) {
  const button = document.createElement("button");
  button.type = "button";
  for (const [name, content] of [
    ["share", `${(100 * found.probability).toFixed(1)} %`],
    ["word", found.word],
    ["whole", found.line],
  ]) {
    const part = document.createElement("span");
    part.className = name;
    part.textContent = content;
    button.append(part, " ");
  }
  button.addEventListener("click", () => choose(found));
  const item = document.createElement("li");
  item.append(button);
  return item;
}

function choose(other) {
  const number = chosen;
  const { text: typed } = shown;
  latest("/api/align", { text: typed, translation: other.text }, (found) => {
    show(found, typed, other);
    wordOf("target", number)?.focus();
  });
}

function closeChoices() {
  if (chosen === null) return;
  const word = wordOf("target", chosen);
  word?.setAttribute("aria-expanded", "false");
  if (at("choices").contains(document.activeElement)) word?.focus();
  chosen = pinned = null;
  at("choices").hidden = true;
  at("alternatives").replaceChildren();
}

at("close").addEventListener("click", closeChoices);
at("choices").addEventListener("keydown", (event) => {
  const buttons = [...at("choices").querySelectorAll("button")];
  const goal = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (event.key === "Escape") closeChoices();
  else if (goal) {
    event.preventDefault();
    buttons[buttons.indexOf(document.activeElement) + goal]?.focus();
  }
});

// Lines are translated and explained separately: pick the line with the cursor, or else the first.
function rowToExplain(lines) {
  const here = text.value.slice(0, text.selectionStart).split("\n").length - 1;
  return lines[here]?.trim() ? here : lines.findIndex((line) => line.trim());
}

at("explain").addEventListener("submit", () => {
  const lines = shown.text.split("\n");
  const row = rowToExplain(lines);
  at("explain-text").value = lines[row];
  at("explain-prefix").value = shown.kept?.row === row ? shown.kept.prefix : "";
  at("explain-key").value = at("key").value;
});

text.addEventListener("input", () => {
  clearTimeout(pause);
  pause = setTimeout(translate, PAUSE_MS);
});
at("key").addEventListener("change", translate);
at("key-row").addEventListener("submit", (event) => event.preventDefault());

async function begin() {
  const settings = await (await fetch("/frontend/settings")).json();
  const { source, target } = settings.language;
  at("source-name").textContent = source.name;
  at("target-name").textContent = target.name;
  text.lang = sides.source.lang = source.code;
  sides.target.lang = at("spoken").lang = at("alternatives").lang = target.code;
  text.maxLength = settings.charLimit;
  if (settings.keyRequired) at("key").type = "password";
  at("key-row").hidden = !settings.keyRequired;
  if (text.value) translate(); // browsers restore it after a reload
}

begin().catch(() => (at("error").textContent = "The service does not respond. Is it still running?"));
