/* A rule that the reader edits and grades in the page.

   A page writes {{ live("rejection-step") }}, which docs/live.py makes into

     <div class="live-rule" data-exercise="rejection-step" data-assets="../assets/live" data-mistakes="../mistakes.html">
       <pre class="live-code"><code>def attempt(...): ...</code></pre>
       <p class="live-without">how to grade it outside the page</p>
     </div>
     <script src="../assets/live.js" defer></script>

   Without JavaScript that is what stands there. With it the code becomes a text field, with two
   buttons and a place for the verdict:

     <textarea class="live-text">       Control+Enter grades; Tab leaves the field, as everywhere
     <button class="live-grade">        grade it exactly
     <button class="live-again">        back to the skeleton
     <div class="live-verdict" role="status" data-verdict="right|wrong|broken|working"
          data-mistake="the known mistake's name">   the verdict, as `specref grade` says it

   Under the verdict on a known mistake stands a link to its row in the page of mistakes. The text is kept in localStorage under "specref.live.ID". After each verdict the block sends the
   event "live-verdict", which bubbles; its detail is {exercise, verdict, mistake, mistake_id, tv, text}.

   Brython, its library and the grader are loaded by the first grading on a page: three scripts that
   hand over their text, since a page from file:// may not fetch. They run in a worker, so a rule
   that does not end is ended after LIMIT milliseconds; data-limit on the block sets another limit. */

(function () {
  "use strict";
  if (window.specrefLive) return;

  const LIMIT = 20000;
  const START = 60000; // for Brython itself, on a slow machine
  const texts = {};
  window.specrefLive = { text: (name, text) => { texts[name] = text; } };

  const STYLE = `
    .live-rule { margin: 1em 0; max-width: 44rem; }
    .live-rule label { display: block; font-weight: 700; margin-bottom: .3em; }
    .live-text { width: 100%; box-sizing: border-box; resize: vertical; padding: .6em .8em; tab-size: 4;
      font: .68rem/1.5 var(--md-code-font-family, ui-monospace, Menlo, Consolas, monospace);
      color: inherit; background: var(--md-code-bg-color, #f5f5f5); border: 1px solid #8888; border-radius: 3px; }
    .live-rule button { font: inherit; font-size: .7rem; padding: .35em .9em; margin: .5em .5em .5em 0; cursor: pointer;
      color: inherit; background: transparent; border: 1px solid currentColor; border-radius: 3px; }
    .live-rule button.live-grade { background: #00695c; border-color: #00695c; color: #fff; }
    .live-rule :is(button, textarea):focus-visible { outline: 3px solid #00897b; outline-offset: 2px; }
    .live-rule button[disabled] { opacity: .6; cursor: default; }
    .live-verdict { white-space: pre-wrap; overflow-wrap: anywhere; min-height: 1.5em; padding: .6em .8em;
      font: .68rem/1.5 var(--md-code-font-family, ui-monospace, Menlo, Consolas, monospace);
      border-left: 4px solid #8888; background: var(--md-code-bg-color, #f5f5f5); }
    .live-verdict[data-verdict="right"] { border-color: #2e7d32; }
    .live-verdict[data-verdict="wrong"] { border-color: #c62828; }
    .live-verdict[data-verdict="broken"] { border-color: #ef6c00; }
    @media print { .live-rule button { display: none; } }`;

  // What runs in the worker, behind Brython.
  const GRADER = `
import json
from browser import self as worker
from specref.exercises.grading.grade import grade_text

def grade(text, id):
    return json.dumps(grade_text(text, id).as_json())

worker.grade = grade
`;
  const BOOT = "self.__BRYTHON__ = {brython_path: 'file:///'};\n"; // a worker from text has no place
  const ANSWER = `
try {
  __BRYTHON__.protocol = "file"; // modules come from the library above, never from a network
  __BRYTHON__.runPythonSource(${JSON.stringify(GRADER)}, "grader");
  self.onmessage = event => {
    let answer;
    try { answer = {report: self.grade(event.data.text, event.data.id)}; }
    catch (error) { answer = {failed: String(error && (error.message || error.args || error))}; }
    postMessage(answer);
  };
  postMessage({ready: true});
} catch (error) { postMessage({failed: String(error && (error.message || error.args || error))}); }`;

  let worker = null; // a promise of a worker that is ready

  const load = (folder, name) => texts[name] ? Promise.resolve() : new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = folder + "/" + name + ".js";
    script.onload = done;
    script.onerror = () => failed(new Error(script.src + " could not be loaded"));
    document.head.append(script);
  });

  const next = (from, milliseconds) => new Promise((done, failed) => {
    const clock = setTimeout(() => failed(new Error("no answer in time")), milliseconds);
    from.onmessage = event => { clearTimeout(clock); done(event.data); };
    from.onerror = event => { clearTimeout(clock); failed(new Error(event.message)); };
  });

  async function start(folder) {
    for (const name of ["brython", "library", "grader"]) await load(folder, name);
    const parts = [BOOT, texts.brython, "\n;", texts.library, "\n;", texts.grader, "\n;", ANSWER];
    const url = URL.createObjectURL(new Blob(parts, { type: "text/javascript" }));
    const Threads = window.SystemWorker || Worker; // iframe-worker.js replaces Worker on file://
    const started = new Threads(url);
    const first = await next(started, START);
    URL.revokeObjectURL(url);
    if (!first.ready) throw new Error(first.failed);
    return started;
  }

  async function grade(folder, id, text, limit) {
    worker = worker || start(folder);
    let running;
    try {
      running = await worker;
    } catch (error) {
      worker = null;
      return { verdict: "broken", text: "The grader could not start: " + error.message + "." };
    }
    const answer = next(running, limit);
    running.postMessage({ id, text });
    try {
      const said = await answer;
      if (said.failed) return { verdict: "broken", text: "The grader failed: " + said.failed };
      return JSON.parse(said.report);
    } catch (error) {
      running.terminate();
      worker = null;
      return {
        verdict: "broken",
        text: "BROKEN. It cannot be graded. It does not end: it was stopped after " + limit / 1000 + " seconds.",
      };
    }
  }

  const stored = key => { try { return localStorage.getItem(key); } catch (error) { return null; } };
  const store = (key, text) => { try { localStorage.setItem(key, text); } catch (error) { /* private window */ } };

  function make(tag, attributes, text) {
    const element = document.createElement(tag);
    for (const name in attributes) element.setAttribute(name, attributes[name]);
    if (text) element.textContent = text;
    return element;
  }

  function enliven(block, number) {
    const id = block.dataset.exercise, key = "specref.live." + id;
    const skeleton = block.querySelector(".live-code").textContent;
    const field = "live-" + number + "-" + id;
    const text = make("textarea", { class: "live-text", id: field, spellcheck: "false", autocapitalize: "off", autocomplete: "off" });
    text.value = stored(key) || skeleton;
    const rows = () => { text.rows = Math.min(30, Math.max(5, text.value.split("\n").length + 1)); };
    const go = make("button", { type: "button", class: "live-grade" }, "Grade it exactly");
    const again = make("button", { type: "button", class: "live-again" }, "Back to the skeleton");
    const verdict = make("div", { class: "live-verdict", role: "status", "aria-live": "polite", tabindex: "-1" }, "Not graded yet. Control+Enter grades.");
    const label = make("label", { for: field }, "Your rule (" + id + ")");

    let asked = 0;
    async function run() {
      const mine = ++asked;
      go.disabled = true;
      verdict.dataset.verdict = "working";
      delete verdict.dataset.mistake;
      verdict.textContent = worker ? "Grading: every outcome of your rule …" : "Loading Python, once for this page (3 MB) …";
      const report = await grade(block.dataset.assets, id, text.value, +block.dataset.limit || LIMIT);
      go.disabled = false;
      if (mine !== asked) return;
      verdict.textContent = report.text + (report.printed ? "\nYour rule printed:\n" + report.printed : "");
      verdict.dataset.verdict = report.verdict;
      if (report.mistake) verdict.dataset.mistake = report.mistake;
      if (report.mistake && block.dataset.mistakes) {
        verdict.append("\n", make("a", { href: block.dataset.mistakes + "#" + report.mistake_id }, "More mistakes, and how far off they are"));
      }
      block.dispatchEvent(new CustomEvent("live-verdict", { bubbles: true, detail: Object.assign({ exercise: id }, report) }));
    }
    go.addEventListener("click", run);
    text.addEventListener("keydown", event => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); if (!go.disabled) run(); }
    });
    text.addEventListener("input", () => { store(key, text.value); rows(); });
    again.addEventListener("click", () => { text.value = skeleton; store(key, skeleton); rows(); text.focus(); });
    rows();
    block.replaceChildren(label, text, go, again, verdict);
  }

  function begin() {
    document.head.append(make("style", {}, STYLE));
    document.querySelectorAll(".live-rule").forEach(enliven);
  }
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
})();
