// Everything begins here.

byId("direction").textContent = `${sourceLanguage} to ${targetLanguage}, explained`;
byId("source").textContent = facts.source;
byId("source").lang = facts.languages[0];
byId("translation").textContent = facts.translation;
byId("translation").lang = facts.languages[1];
document.title = `${facts.translation} – explained`;
byId("summary").textContent = `Score ${signed(facts.score, 3)} (Σ log p ${signed(facts.logProb)}, weighed by length) · ${facts.targetPieces.length} pieces · ${facts.beamSize === 1 ? "greedy search" : `beam of ${facts.beamSize}`}`;
if (facts.nParts > 1) {
  byId("cut").hidden = false;
  byId("cut").textContent = `The text is translated in ${facts.nParts} parts, each by itself. This is the first.`;
}
await Promise.all(Object.values(facts.maps).map(unpack));
makeMaps();
makeWords();
makeChoices();
makeBeam();
choose(average, average);
document.documentElement.dataset.ready = "yes";
