// Asks the service, and shows what it answers. User text is only inserted as text nodes, never as markup.
"use strict";

const PAUSE_MS = 200; // delay between the last keystroke and the request
const WAIT_MS = 300; // delay between a request and the sign that it takes long
const SETTLED_MS = 900; // delay between a translation and what follows: announcement, address, explanation
const LONGEST_PAUSE_MS = 30_000; // between two attempts to reach a lost service

const at = (id) => document.getElementById(id);
const text = at("text");
const sides = { source: at("source"), target: at("target") };
const percent = (probability) => `${(100 * probability).toFixed(0)} %`;

const NOTHING = { translation: "", source: [], target: [], links: [], probabilities: [] };
// The answer on the page, to `text`. If it starts with an alternative `kept`, then `before` is what it replaced.
let shown = { ...NOTHING, text: "", kept: null, before: null };
let asking = null; // AbortController of the request in progress
let failures = 0; // attempts in a row that did not reach the service
let settings, pause, waiting, settling;

// Text that stays the same is not set again, so that screen readers do not repeat it.
function say(id, words) {
  if (at(id).textContent !== words) at(id).textContent = words;
}

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

async function ask(route, body, signal) {
  const headers = { "Content-Type": "application/json" };
  if (at("key").value) headers.Authorization = `Bearer ${at("key").value}`;
  const post = { method: "POST", headers, body: JSON.stringify(body), signal };
  const answer = await fetch(route, body ? post : { signal });
  const found = await answer.json().catch(() => ({ error: `The service responded with status ${answer.status}` }));
  if (answer.ok) return found;
  throw Object.assign(new Error(found.error), { isPassing: [502, 503, 504].includes(answer.status) });
}

// Send a request and abort the one before, so that an outdated response is never used.
async function latest(route, body, use) {
  asking?.abort();
  const mine = (asking = new AbortController());
  waiting ??= setTimeout(() => at("english").setAttribute("aria-busy", "true"), WAIT_MS);
  const found = await ask(route, body, mine.signal).catch((error) => error);
  if (mine !== asking) return;
  if (!(found instanceof Error)) {
    failures = 0;
    stopWaiting("");
    use(found);
    return;
  }
  const problem = found instanceof TypeError ? "The service does not answer" : found.message; // `fetch` failed
  const isPassing = found instanceof TypeError || found.isPassing;
  stopWaiting(isPassing ? `${problem}. Trying again…` : problem);
  const again = () => mine === asking && latest(route, body, use);
  if (isPassing) setTimeout(again, Math.min(500 * 2 ** failures++, LONGEST_PAUSE_MS));
}

function stopWaiting(problem) {
  clearTimeout(waiting);
  waiting = null;
  at("english").setAttribute("aria-busy", "false");
  say("error", problem);
}

function translate() {
  const typed = text.value;
  if (!settings) return; // `begin` translates
  if (typed.trim()) return latest("/api/translate", { text: typed }, (found) => show(found, typed));
  asking = null;
  stopWaiting("");
  show(NOTHING, typed);
}

function show(found, typed, kept = null, before = null) {
  shown = { ...found, text: typed, kept, before };
  closeChoices();
  fill("source", found.source);
  fill("target", found.target);
  const { confidence, is_source_language: isSource } = found;
  const foreign = isSource === false ? `This does not look like ${settings.language.source.name}. ` : "";
  const guess = `The model is guessing: its chance of a close translation (chrF ≥ ${confidence?.min_chrf}) is `;
  say("doubt", foreign + (confidence?.is_guess ? `${guess}${percent(confidence.probability)}.` : ""));
  at("undo").hidden = before === null;
  showText();
  clearTimeout(settling);
  settling = setTimeout(() => {
    settling = null;
    say("spoken", `${found.translation} ${at("doubt").textContent}`.trim());
    keepText();
    explain();
  }, SETTLED_MS);
}

at("copy").addEventListener("click", async () => {
  let copied = true;
  try {
    await navigator.clipboard.writeText(shown.translation);
  } catch { // not permitted, or a connection without TLS
    const box = element("textarea", { value: shown.translation });
    document.body.appendChild(box).select();
    copied = document.execCommand("copy");
    box.remove();
    at("copy").focus();
  }
  say("spoken", copied ? "Copied" : "Copying failed");
  say("copy", at("spoken").textContent);
  setTimeout(() => say("copy", "Copy"), 2000);
});

at("key").addEventListener("change", translate);
at("key-row").addEventListener("submit", (event) => event.preventDefault());

function begin(found) {
  const { language, model } = (settings = found);
  for (const each of document.querySelectorAll("[data-side]")) each.textContent = language[each.dataset.side].name;
  text.lang = sides.source.lang = language.source.code;
  sides.target.lang = at("spoken").lang = at("alternatives").lang = language.target.code;
  at("key-row").hidden = !found.keyRequired;
  at("key").type = found.keyRequired ? "password" : "text";
  at("examples").hidden = language.source.code !== "fr";
  const created = model.created ? `, ${model.created.slice(0, 10)}` : "";
  say("model", `Model: ${model.name}, trained on ${model.corpus}${created}.`);
  showText();
  translate();
}
