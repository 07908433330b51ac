// The training film: how some sentences were translated, and what was attended to, at moments of the training.

// A map as a table: a cell is coloured by its weight, and has the weight in hundredths.
function heatTable(columns, rows, weights) {
  const hundredths = (weight) => (weight >= 0.05 ? `${Math.round(100 * weight)}` : "");
  const heat = table(["", ...columns], rows.map((text, row) => [text, ...weights[row].map(hundredths)]));
  heat.className = "heat";
  heat.querySelectorAll("td").forEach((cell, i) => cell.style.setProperty("--weight", weights.flat()[i]));
  return heat;
}

function makeFilm() {
  const { film } = facts;
  byId("film").hidden = !film;
  if (!film) return;
  const [slider, sentences, last] = [byId("moment"), byId("film-sentence"), film.moments.length - 1];
  slider.max = last;
  sentences.append(...film.sentences.map(({ source }) => make("option", {}, source)));
  [sentences.lang, byId("moment-text").lang] = facts.languages;
  const drawMoment = () => {
    const { step, translations } = film.moments[slider.value];
    const { text, pieces, cross } = translations[sentences.selectedIndex];
    slider.setAttribute("aria-valuetext", `training step ${step}, moment ${Number(slider.value) + 1} of ${last + 1}`);
    byId("moment-step").textContent = `After ${step.toLocaleString("en")} training steps:`;
    byId("moment-text").textContent = text || "(nothing)";
    byId("moment-map").replaceChildren(heatTable(film.sentences[sentences.selectedIndex].pieces, pieces, cross));
  };
  const next = () => {
    slider.value = Number(slider.value) === last ? 0 : Number(slider.value) + 1;
    drawMoment();
    return Number(slider.value) < last;
  };
  const pause = makePlayable(byId("film-play"), next, 1200);
  slider.addEventListener("input", () => { pause(); drawMoment(); });
  sentences.addEventListener("change", drawMoment);
  drawMoment();
}
