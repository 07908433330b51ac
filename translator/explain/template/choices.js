// How sure each piece was, and what else was likely in its place.

function bar(text, probability, isTaken) {
  const line = make("div", { class: isTaken ? "bar taken" : "bar" }, make("span", {}, text), make("i"), make("span", {}, percent(probability)));
  line.style.setProperty("--sure", probability);
  return line;
}

function makeChoices() {
  const { targetPieces, choices } = facts;
  const tell = (number) => {
    const [probability, isForced, alternatives] = choices[number];
    const after = number === 0 ? "At the start" : `After ${quoted(targetPieces[number - 1])}`;
    const title = isForced ? `${after}; given by the prefix` : after;
    byId("alternatives").replaceChildren(make("h3", {}, title), bar(targetPieces[number], probability, true),
      ...alternatives.map(([text, p]) => bar(text, p, false)));
    buttons.forEach((button, other) => button.setAttribute("aria-pressed", other === number));
  };
  const buttons = choices.map(([probability, isForced], number) => {
    const button = make("button", { type: "button", class: "piece", dir: "auto",
      "aria-label": `${targetPieces[number]}, ${percent(probability)}${isForced ? ", given" : ""}`,
      click: () => tell(number), focus: () => tell(number), pointerenter: () => tell(number) }, targetPieces[number]);
    button.style.setProperty("--sure", probability);
    return button;
  });
  rove(buttons);
  byId("choices").setAttribute("lang", facts.languages[1]);
  byId("choices").append(...buttons);
  // The least sure of those that were chosen says most.
  const doubt = choices.map(([probability, isForced]) => (isForced ? 2 : probability));
  tell(doubt.indexOf(Math.min(...doubt)));
}
