// Entry point: fill the header, unpack the maps and build each section.

byId("direction").textContent = `${sourceLanguage} to ${targetLanguage}, explained`;
byId("source").textContent = facts.source;
byId("source").lang = facts.languages[0];
byId("translation").textContent = facts.translation;
byId("translation").lang = facts.languages[1];
document.title = `${facts.translation} – explained`;
byId("summary").textContent = `Score ${signed(facts.score, 3)} (Σ log p ${signed(facts.log_prob)}, normalized by length) · ${facts.target_pieces.length} pieces · ${facts.beam_size === 1 ? "greedy search" : `beam size ${facts.beam_size}`}`;
if (facts.parts > 1) {
  byId("cut").hidden = false;
  byId("cut").textContent = `The text is translated in ${facts.parts} separate parts. This page explains the first.`;
}
await Promise.all(Object.values(facts.maps).map(unpack));
makeMaps();
makeWords();
makeChoices();
makeBeam();
update({});
layOut(); // the ResizeObserver only calls it in the next frame
document.documentElement.dataset.ready = "yes";
