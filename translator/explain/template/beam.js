// The beam search as a tree: one column per step, the best hypothesis on top, pruned ones dashed and struck.

const [columnWidth, rowHeight] = [104, 24];
const fates = { finished: "a finished hypothesis", open: "still in the beam when the search ended" };
const nodes = facts.beam.map((node, number) => ({ ...node, number }));
const steps = [];
for (const node of nodes) node.rank = (steps[node.depth] ??= []).push(node) - 1;
const power = facts.length_penalty === 1 ? "" : `^${facts.length_penalty}`;
const fateOf = (node) => (node.chosen ? "on the path to the translation" : fates[node.fate] ?? node.fate);
const isWritten = (node) => shown.step === end || node.depth <= shown.step;
const placeOf = (node) => ({ x: 16 + node.depth * columnWidth, y: 40 + node.rank * rowHeight });
const path = nodes.filter(({ chosen }) => chosen);
const behind = path.filter(({ rank }) => rank > 0).map(({ depth }) => depth); // the steps at which it is not on top
const pathTo = (node) => (node.parent < 0 ? [] : [...pathTo(nodes[node.parent]), node]);
const textTo = (node) => textOf(pathTo(node).map(({ piece }) => piece));

function edges(children) {
  return children.filter((node) => node.parent >= 0 && isWritten(node)).map((node) => {
    const [a, b] = [placeOf(nodes[node.parent]), placeOf(node)];
    const start = a.x + Math.min(columnWidth - 24, 8 + 7.5 * shortened(nodes[node.parent].piece).length);
    return `M${start} ${a.y - 4}C${b.x - 14} ${a.y - 4} ${start} ${b.y - 4} ${b.x - 5} ${b.y - 4}`;
  }).join("");
}

function describeNode(node) {
  if (node.parent < 0) return "The start: nothing is written yet.";
  const before = node.depth === 1 ? "the start" : quoted(textTo(nodes[node.parent]));
  const probability = percent(Math.exp(node.log_prob - nodes[node.parent].log_prob));
  const score = node.score === null ? "" : `, score ${signed(node.score, 3)}`;
  return `Step ${node.depth}: ${quoted(node.piece)} after ${before}: probability ${probability}, `
    + `Σ log p ${signed(node.log_prob)}${score}; ${fateOf(node)}, rank ${node.rank + 1} in this step.`;
}

function describeStep() {
  const held = steps[shown.step].filter(({ fate }) => fate !== "pruned").map((node) => quoted(textTo(node)));
  return shown.step ? `Step ${shown.step}, best first: ${held.join(", ")}.` : describeNode(nodes[0]);
}

// What is ahead of the path to the translation from a step on, and until when.
function describeChange(first) {
  const name = (node) => `${quoted(tail(textTo(node)))} (Σ log p ${signed(node.log_prob)})`;
  const back = path.find(({ depth, rank }) => depth > first && rank === 0);
  const over = back && steps[back.depth - 1][0].fate === "finished" ? ", the former having ended" : "";
  return `At step ${first}, ${name(steps[first][0])} was ahead of ${name(path[first])}; the latter is `
    + (back ? `on top again at step ${back.depth}${over}.` : "not on top again.");
}

// How the score decides between the finished hypotheses.
function describeEnd() {
  const [best, ...others] = facts.hypotheses.map(({ node, text }) => ({ ...nodes[node], text: quoted(tail(text)) }));
  const likeliest = others.reduce((a, b) => (b.log_prob > a.log_prob ? b : a), best);
  const why = (one) => `${one.text} (${signed(one.log_prob)} ÷ ${one.depth}${power} = ${signed(one.score, 3)})`;
  return "At the end, the highest score wins: Σ log p ÷ length^α, where length is the number of pieces and α = "
    + facts.length_penalty + (best === likeliest ? "." : `, which is why ${why(best)} wins over ${why(likeliest)}.`);
}

function makeTree() {
  const label = "The beam as a tree; the arrow keys move between nodes, and the table below lists them all";
  const [width, height] = [24 + columnWidth * steps.length, 40 + rowHeight * Math.max(...steps.map((s) => s.length))];
  const svg = make("svg", { width, height, tabindex: "0", role: "img", "aria-label": label });
  const tests = [(n) => n.fate === "pruned", (n) => n.fate !== "pruned" && !n.chosen, (n) => n.chosen];
  const [pruned, kept, chosen, trail] = ["pruned", "kept", "chosen", "trail"].map((n) => make("path", { class: n }));
  const [column, later] = ["column", "later"].map((name) => make("rect", { class: name, y: 2, height: height - 4 }));
  const frame = make("rect", { class: "frame", x: -5, y: -15, rx: 4, height: rowHeight - 4, width: columnWidth - 18 });
  svg.append(column, later, pruned, kept, chosen, trail, frame, ...steps.map((_, depth) =>
    make("text", { class: "step", x: 16 + depth * columnWidth, y: 16 },
      behind.includes(depth) ? `${depth} · not on top` : depth || "step")));
  svg.append(...nodes.map((node) => node.text = make("text",
    { class: `${node.fate}${node.chosen ? " chosen" : ""}`, ...placeOf(node) }, shortened(node.piece))));
  const box = byId("beam-scroll");
  let here = nodes[0];
  const go = (node) => {
    if (!node) return;
    here = node;
    trail.setAttribute("d", edges(pathTo(node)));
    frame.setAttribute("transform", `translate(${Object.values(placeOf(node))})`);
    byId("beam-said").textContent = describeNode(node);
  };
  const isSeen = (node) => isWritten(node) && (byId("pruned").checked || node.fate !== "pruned");
  const forget = () => {
    trail.removeAttribute("d");
    if (!isSeen(here)) here = nodes[0];
    byId("beam-said").textContent = shown.step === end ? "" : describeStep();
  };
  svg.addEventListener("pointermove", (event) => {
    const depth = Math.floor((event.offsetX - 8) / columnWidth);
    const node = (steps[depth] || [])[Math.floor((event.offsetY - 24) / rowHeight)];
    if (node && isSeen(node)) go(node);
  });
  svg.addEventListener("focus", () => go(here));
  svg.addEventListener("keydown", (event) => {
    const siblings = steps[here.depth].filter(isSeen);
    const children = nodes.filter((node) => node.parent === here.number && isSeen(node));
    const [above, below] = [-1, 1].map((by) => siblings[siblings.indexOf(here) + by]);
    const child = children.find((node) => node.chosen) || children[0];
    const to = { ArrowLeft: nodes[here.parent], ArrowRight: child, ArrowUp: above, ArrowDown: below };
    if (!(event.key in to)) return;
    event.preventDefault();
    go(to[event.key]);
    box.scrollLeft = placeOf(here).x - box.clientWidth / 2;
  });
  shown.listeners.push(() => {
    const [isDone, x] = [shown.step === end, 8 + shown.step * columnWidth];
    const isHeld = (node) => node.fate === "finished" || (node.depth === shown.step && node.fate !== "pruned");
    const alive = new Set(nodes.filter((node) => isWritten(node) && isHeld(node)).flatMap(pathTo));
    [pruned, kept, chosen].forEach((path, i) => path.setAttribute("d", edges(nodes.filter(tests[i]))));
    for (const node of nodes) {
      node.text.classList.toggle("unwritten", !isWritten(node));
      node.text.classList.toggle("dead", !isDone && node.depth > 0 && !alive.has(node));
    }
    column.setAttribute("x", x);
    later.setAttribute("x", x + columnWidth);
    svg.classList.toggle("done", isDone);
    box.scrollLeft = (isDone ? placeOf(path[behind[0] ?? end]).x : x) - box.clientWidth / 2;
    forget();
  });
  byId("pruned").addEventListener("change", () => isSeen(here) || forget());
  box.append(svg);
}

function makeBeam() {
  makeTree();
  const found = table(["text", "score", "Σ log p", "pieces"], facts.hypotheses.map(({ node, text }) =>
    [text, signed(nodes[node].score, 3), signed(nodes[node].log_prob), `${nodes[node].depth}`]));
  facts.hypotheses.forEach(({ node }, i) => found.tBodies[0].rows[i].classList.toggle("chosen", nodes[node].chosen));
  byId("hypotheses").append(found);
  const changes = behind.filter((step) => !behind.includes(step - 1)).map(describeChange);
  if (!changes.length) changes.push("The path to the translation is on top at every step.");
  byId("minds").append(...[...changes, describeEnd()].map((text) => make("p", {}, text)));
  byId("beam-size").textContent = facts.beam_size;
  onDemand(byId("beam-table"), () => table(["step", "piece", "continues", "Σ log p", "fate"], nodes.slice(1).map((n) =>
    [`${n.depth}`, n.piece, nodes[n.parent].piece, signed(n.log_prob, 3), fateOf(n)])));
}
