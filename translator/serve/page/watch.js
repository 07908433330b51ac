// "Watch it decode": the explanation of a line, in a frame that is loaded only while this section is open.
"use strict";

function explain() {
  at("frame").replaceChildren();
  if (!at("watch").open || !shown.translation) return;
  // A new element each time, so that the explanations do not fill the history of the browser.
  at("frame").append(element("iframe", { name: "explanation", title: "The explanation of this translation" }));
  at("explain").requestSubmit();
}
at("watch").addEventListener("toggle", () => settling || explain()); // if it is not settled, it comes in a moment

// Lines are translated and explained separately: pick the line with the cursor, or else the first.
at("explain").addEventListener("submit", () => {
  const lines = shown.text.split("\n");
  const here = text.value.slice(0, text.selectionStart).split("\n").length - 1;
  const row = lines[here]?.trim() ? here : lines.findIndex((line) => line.trim());
  at("explain-text").value = lines[row];
  at("explain-prefix").value = shown.kept?.row === row ? shown.kept.prefix : "";
  at("explain-key").value = at("key").value;
});

latest("/frontend/settings", null, begin);
