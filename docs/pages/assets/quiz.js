/* Quiz items that mark a choice and keep the score.

   A page writes {{ quiz("lesson") }}, {{ quiz("part-3") }} or {{ quiz("coin", "ties") }}, which
   docs/quiz_page.py makes into forms that can be read without JavaScript:

     <div class="quiz">
       <form class="quiz-item" id="quiz-ID" data-quiz="ID">
         <fieldset><legend>…</legend> <label><input type="radio" name="ID" value="0"> …</label> …</fieldset>
         <details class="quiz-reasons"> … <li data-option="0" data-right="yes">…</li> …</details>
       </form>
       …
     </div>

   With it each form gets a button and a place for the verdict:

     <button class="quiz-check">
     <p class="quiz-verdict" role="status" data-verdict="right|wrong">  why the chosen option is right or wrong

   and each div.quiz a line with the score and two buttons, which save and load the progress of the
   whole site as JSON. Everything is in localStorage under keys that begin with "specref.", this under
   "specref.quiz": {ID: {first: "right|wrong", last: "right|wrong", choice: N, tries: N}}. The score
   counts first tries. After each check the form sends the event "quiz-checked", which bubbles. */

(function () {
  "use strict";
  if (window.specrefQuiz) return;
  window.specrefQuiz = true;

  const PREFIX = "specref.", KEY = PREFIX + "quiz";
  const STYLE = `
    .quiz { max-width: 44rem; }
    .quiz-item { margin: 1.2em 0; }
    .quiz-item fieldset { border: 1px solid #8886; border-radius: 3px; padding: .6em 1em; margin: 0; }
    .quiz-item legend { font-weight: 700; padding: 0 .3em; }
    .quiz-item label { display: flex; gap: .5em; align-items: baseline; padding: .25em 0; cursor: pointer; }
    .quiz-item button, .quiz-score button { font: inherit; font-size: .7rem; padding: .35em .9em; margin: .5em .5em .5em 0; cursor: pointer;
      color: inherit; background: transparent; border: 1px solid currentColor; border-radius: 3px; }
    .quiz :is(button, input, summary):focus-visible { outline: 3px solid #00897b; outline-offset: 2px; }
    .quiz-verdict { margin: .4em 0; padding: .1em .8em; border-left: 4px solid transparent; }
    .quiz-verdict[data-verdict="right"] { border-color: #2e7d32; }
    .quiz-verdict[data-verdict="wrong"] { border-color: #c62828; }
    @media print { .quiz button, .quiz-score { display: none; } .quiz-reasons { display: none; } }`;

  function make(tag, attributes, text) {
    const element = document.createElement(tag);
    for (const name in attributes) element.setAttribute(name, attributes[name]);
    if (text) element.textContent = text;
    return element;
  }

  function read() {
    try { return JSON.parse(localStorage.getItem(KEY)) || {}; } catch (error) { return {}; }
  }
  function write(done) {
    try { localStorage.setItem(KEY, JSON.stringify(done)); } catch (error) { /* private window */ }
  }

  function enliven(form) {
    const id = form.dataset.quiz;
    const check = make("button", { type: "submit", class: "quiz-check" }, "Check");
    const verdict = make("p", { class: "quiz-verdict", role: "status", "aria-live": "polite" });
    form.querySelector("fieldset").append(check);
    form.querySelector("fieldset").after(verdict);

    function show(choice) {
      const reason = form.querySelector(`[data-option="${choice}"]`);
      if (!reason) return null;
      const right = reason.dataset.right === "yes";
      verdict.dataset.verdict = right ? "right" : "wrong";
      verdict.textContent = reason.textContent;
      return right;
    }
    form.addEventListener("submit", event => {
      event.preventDefault();
      const chosen = form.querySelector("input:checked");
      if (!chosen) { verdict.textContent = "Choose an answer first."; return; }
      const word = show(chosen.value) ? "right" : "wrong";
      const done = read(), before = done[id] || { first: word, tries: 0 };
      done[id] = { first: before.first, last: word, choice: +chosen.value, tries: before.tries + 1 };
      write(done);
      count();
      form.dispatchEvent(new CustomEvent("quiz-checked", { bubbles: true, detail: Object.assign({ id }, done[id]) }));
    });
    form.restore = () => {
      const before = read()[id];
      const input = before && form.querySelector(`input[value="${before.choice}"]`);
      if (!input) return;
      input.checked = true;
      show(before.choice);
    };
    form.restore();
  }

  function count() {
    const done = read();
    document.querySelectorAll(".quiz").forEach(quiz => {
      const ids = [...quiz.querySelectorAll(".quiz-item")].map(form => form.dataset.quiz);
      const tried = ids.filter(id => done[id]), right = tried.filter(id => done[id].first === "right");
      const words = `${right.length} right at the first try, of ${tried.length} answered; ${ids.length} in all.`;
      quiz.querySelector(".quiz-count").textContent = words;
    });
  }

  function save() {
    const kept = {};
    for (let i = 0; i < localStorage.length; i++) {
      const key = localStorage.key(i);
      if (key.startsWith(PREFIX)) kept[key] = localStorage.getItem(key);
    }
    const link = make("a", { download: "specref-progress.json" });
    link.href = URL.createObjectURL(new Blob([JSON.stringify({ specref: 1, kept }, null, 1)], { type: "application/json" }));
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  function load(text, tell) {
    let found;
    try { found = JSON.parse(text); } catch (error) { found = null; }
    if (!found || found.specref !== 1 || typeof found.kept !== "object") {
      tell("This file holds no progress of this site.");
      return;
    }
    for (const key in found.kept) {
      if (key.startsWith(PREFIX) && typeof found.kept[key] === "string") localStorage.setItem(key, found.kept[key]);
    }
    document.querySelectorAll(".quiz-item").forEach(form => form.restore());
    count();
    tell("Progress loaded.");
  }

  function score(quiz) {
    const line = make("div", { class: "quiz-score" });
    const words = make("p", { class: "quiz-count", role: "status" });
    const file = make("input", { type: "file", accept: "application/json,.json", hidden: "", "aria-label": "File with progress" });
    const saving = make("button", { type: "button", class: "quiz-save" }, "Save my progress as a file");
    const loading = make("button", { type: "button", class: "quiz-load" }, "Load progress from a file");
    saving.addEventListener("click", save);
    loading.addEventListener("click", () => file.click());
    file.addEventListener("change", async () => {
      if (file.files.length) load(await file.files[0].text(), told => { words.textContent = told; });
      file.value = "";
    });
    line.append(words, saving, loading, file);
    quiz.append(line);
  }

  function begin() {
    document.head.append(make("style", {}, STYLE));
    document.querySelectorAll(".quiz-item").forEach(enliven);
    document.querySelectorAll(".quiz").forEach(score);
    count();
  }
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
})();
