// The beam search as a tree: one column per step, the best hypothesis on top, pruned ones dashed.

const [columnWidth, rowHeight] = [104, 24];
const fates = {
  kept: "kept", finished: "a finished hypothesis", pruned: "pruned",
  open: "still in the beam when the search ended",
};

const nodes = facts.beam.map((node, number) => ({ ...node, number, rank: 0 }));
const steps = [];
for (const node of nodes) {
  steps[node.depth] ??= [];
  node.rank = steps[node.depth].push(node) - 1;
}

const placeOf = (node) => [16 + node.depth * columnWidth, 40 + node.rank * rowHeight];
const pathTo = (node) => (node.parent < 0 ? [] : [...pathTo(nodes[node.parent]), node]);

function edges(children) {
  return children.filter((node) => node.parent >= 0).map((node) => {
    const [x1, y1] = placeOf(nodes[node.parent]);
    const [x2, y2] = placeOf(node);
    const start = x1 + Math.min(columnWidth - 24, 8 + 7.5 * shortened(nodes[node.parent].piece).length);
    return `M${start} ${y1 - 4}C${x2 - 14} ${y1 - 4} ${start} ${y2 - 4} ${x2 - 5} ${y2 - 4}`;
  }).join("");
}

function describeNode(node) {
  if (node.parent < 0) return "The start: nothing is written yet.";
  const before = pathTo(nodes[node.parent]).map((other) => other.piece).join(" ");
  const probability = Math.exp(node.log_prob - nodes[node.parent].log_prob);
  const score = node.score === null ? "" : `, score ${signed(node.score, 3)}`;
  return `Step ${node.depth}: ${quoted(node.piece)} after ${before ? quoted(before) : "the start"}: probability ${percent(probability)}, Σ log p ${signed(node.log_prob)}${score}; ${node.chosen ? "on the path to the translation" : fates[node.fate]}, rank ${node.rank + 1} in this step.`;
}

function makeTree() {
  const most = Math.max(...steps.map((step) => step.length));
  const [width, height] = [24 + steps.length * columnWidth, 40 + most * rowHeight];
  const svg = draw("svg", { width, height, tabindex: "0", role: "img",
    "aria-label": `The beam as a tree of ${steps.length - 1} steps; the arrow keys move between nodes, and the table below lists them all` });
  const lines = { pruned: (n) => n.fate === "pruned", kept: (n) => n.fate !== "pruned" && !n.chosen, chosen: (n) => n.chosen };
  for (const [name, test] of Object.entries(lines)) svg.append(draw("path", { class: name, d: edges(nodes.filter(test)) }));
  const trail = draw("path", { class: "trail" });
  const frame = draw("rect", { rx: 4, height: rowHeight - 4, width: 0 });
  svg.append(trail, frame);
  steps.forEach((_, depth) => svg.append(draw("text", { class: "step", x: 16 + depth * columnWidth, y: 16 }, depth ? `${depth}` : "step")));
  for (const node of nodes) {
    const [x, y] = placeOf(node);
    node.text = draw("text", { class: node.chosen ? `${node.fate} chosen` : node.fate, x, y }, shortened(node.piece));
    svg.append(node.text);
  }
  let here = nodes[0];
  const go = (node) => {
    if (!node) return;
    here = node;
    const [x, y] = placeOf(node);
    trail.setAttribute("d", edges(pathTo(node)));
    for (const [name, value] of Object.entries({ x: x - 5, y: y - 15, width: columnWidth - 18 })) frame.setAttribute(name, value);
    byId("beam-said").textContent = describeNode(node);
  };
  const isSeen = (node) => byId("pruned").checked || node.fate !== "pruned";
  svg.addEventListener("pointermove", (event) => {
    const depth = Math.floor((event.offsetX - 8) / columnWidth);
    const node = (steps[depth] || [])[Math.floor((event.offsetY - 24) / rowHeight)];
    if (node && isSeen(node)) go(node);
  });
  svg.addEventListener("focus", () => go(here));
  svg.addEventListener("keydown", (event) => {
    const siblings = steps[here.depth].filter(isSeen);
    const children = nodes.filter((node) => node.parent === here.number && isSeen(node));
    const to = {
      ArrowLeft: nodes[here.parent], ArrowRight: children.find((node) => node.chosen) || children[0],
      ArrowUp: siblings[siblings.indexOf(here) - 1], ArrowDown: siblings[siblings.indexOf(here) + 1],
    };
    if (!(event.key in to)) return;
    event.preventDefault();
    go(to[event.key]);
    const box = byId("beam-scroll");
    const [x] = placeOf(here);
    if (x < box.scrollLeft + columnWidth || x > box.scrollLeft + box.clientWidth - 2 * columnWidth) box.scrollLeft = x - box.clientWidth / 2;
  });
  byId("beam-scroll").append(svg);
}

function makeBeam() {
  const { beam_size: beamSize, hypotheses } = facts;
  byId("beam-words").textContent = beamSize === 1
    ? "Greedy search keeps only the likeliest piece at each step and prunes the others. The best is on top."
    : `At each step, the ${beamSize} hypotheses with the highest Σ log p are continued and the others are pruned. The best is on top. Dashed: pruned. Coloured: the path to the translation.`;
  byId("pruned").addEventListener("change", () => byId("beam-scroll").classList.toggle("short", !byId("pruned").checked));
  makeTree();
  const rows = hypotheses.map(({ node, text }) => {
    const { score, log_prob: logProb, depth, chosen } = nodes[node];
    const cells = [signed(score, 3), signed(logProb), `${depth}`].map((value) => make("td", {}, value));
    return make("tr", chosen ? { class: "chosen" } : {}, ...cells, make("td", { class: "text", lang: facts.languages[1] }, text));
  });
  const heads = ["score", "Σ log p", "pieces"].map((text) => make("th", { scope: "col" }, text));
  byId("hypotheses").append(make("table", {}, make("thead", {}, make("tr", {}, ...heads, make("th", { scope: "col", class: "text" }, "text"))), make("tbody", {}, ...rows)));
  onDemand(byId("beam-table"), () => table(["step", "piece", "continues", "Σ log p", "fate"], nodes.slice(1).map((node) =>
    [`${node.depth}`, node.piece, nodes[node.parent].piece, signed(node.log_prob, 3), node.chosen ? "translation" : fates[node.fate]])));
}
