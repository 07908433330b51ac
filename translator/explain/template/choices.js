// The probability of each piece, and its likeliest alternatives.

function bar(text, probability, isChosen) {
  const line = make("div", { class: isChosen ? "bar taken" : "bar" }, make("span", {}, text), make("i"), make("span", {}, percent(probability)));
  line.style.setProperty("--sure", probability);
  return line;
}

function makeChoices() {
  const { choices } = facts;
  const show = (number) => {
    const { piece, probability, forced, alternatives } = choices[number];
    const after = number === 0 ? "At the start" : `After ${quoted(choices[number - 1].piece)}`;
    const title = forced ? `${after}; given by the prefix` : after;
    byId("alternatives").replaceChildren(make("h3", {}, title), bar(piece, probability, true),
      ...alternatives.map((other) => bar(other.piece, other.probability, false)));
    buttons.forEach((button, other) => button.setAttribute("aria-pressed", other === number));
  };
  const buttons = choices.map(({ piece, probability, forced }, number) => {
    const button = make("button", { type: "button", class: "piece", dir: "auto",
      "aria-label": `${piece}, ${percent(probability)}${forced ? ", given" : ""}`,
      click: () => show(number), focus: () => show(number), pointerenter: () => show(number) }, piece);
    button.style.setProperty("--sure", probability);
    return button;
  });
  roveTabindex(buttons);
  byId("choices").setAttribute("lang", facts.languages[1]);
  byId("choices").append(...buttons);
  // Start with the least certain piece that was not forced.
  const certainty = choices.map(({ probability, forced }) => (forced ? 2 : probability));
  show(certainty.indexOf(Math.min(...certainty)));
}
