// The text to translate: typed, counted, cleared, taken from an example, kept over a reload and in the address.
"use strict";

const LONGEST_IN_ADDRESS = 1000; // characters

// Count the characters, fit the box to them, and mark the translation as stale if it is not that of the text.
function showText() {
  const [count, limit] = [[...text.value].length, settings?.charLimit ?? Infinity];
  say("count", `${count.toLocaleString("en")} / ${limit.toLocaleString("en")} characters`);
  text.style.height = "auto";
  text.style.height = `${text.scrollHeight + 2}px`;
  document.body.classList.toggle("stale", text.value !== shown.text);
}

function replaceText(words) {
  text.value = words;
  showText();
  translate();
  text.focus();
}

function keepText() {
  const typed = text.value;
  const fits = typed && typed.length <= LONGEST_IN_ADDRESS;
  history.replaceState({ text: typed }, "", fits ? `#${new URLSearchParams({ text: typed })}` : location.pathname);
}

const inAddress = () => new URLSearchParams(location.hash.slice(1)).get("text");

text.addEventListener("input", () => {
  showText();
  clearTimeout(pause);
  pause = setTimeout(translate, PAUSE_MS);
});
for (const each of document.querySelectorAll("[data-text]"))
  each.addEventListener("click", () => replaceText(each.dataset.text));
window.addEventListener("resize", showText);
window.addEventListener("pagehide", keepText);
window.addEventListener("hashchange", () => replaceText(inAddress() ?? text.value));
text.value = inAddress() ?? history.state?.text ?? text.value;
