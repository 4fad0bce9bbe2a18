/* The part that all explorables share: controls, the picture, and what is said of it.

   A page writes {{ explore("coin") }}, which docs/explore.py makes into

     <figure class="explore" data-explore="coin" aria-label="…">
       <div class="explore-view"> a still picture, and its sentences </div>
       <script type="application/json"> what the explorable gets to know </script>
     </figure>

   and an explorable is specrefExplore.coin = {start(data), controls(data), view(state, data)}. view is a
   pure function that returns {svg, said}: the picture, and a list of sentences that say the same. */

(function () {
  "use strict";
  if (window.specrefExplore) return;

  const escape = words => String(words).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/"/g, "&quot;");

  const draw = {
    text: (x, y, words, kind = "", anchor = "start") =>
      `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" class="${kind}" text-anchor="${anchor}">${escape(words)}</text>`,
    box: (x, y, width, height, kind, title = "") => {
      if (!(width > 0) || !(height > 0)) return "";
      const hover = title ? `<title>${escape(title)}</title>` : "";
      return `<rect x="${x.toFixed(1)}" y="${y.toFixed(1)}" width="${width.toFixed(1)}" height="${height.toFixed(1)}" rx="1.5" class="${kind}">${hover}</rect>`;
    },
    line: (points, kind) =>
      `<polyline points="${points.map(([x, y]) => x.toFixed(1) + "," + y.toFixed(1)).join(" ")}" class="${kind}"/>`,
    dot: (x, y, kind) => `<circle cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="4" class="${kind}"/>`,
    picture: (width, height, title, shapes) =>
      `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escape(title)}" xmlns="http://www.w3.org/2000/svg">${shapes.join("")}</svg>`,
  };

  const html = seen => seen.svg + '<div class="explore-said">' + seen.said.map(line => `<p>${escape(line)}</p>`).join("") + "</div>";

  function make(tag, attributes, words) {
    const element = document.createElement(tag);
    for (const name in attributes) element.setAttribute(name, attributes[name]);
    if (words) element.textContent = words;
    return element;
  }

  // Each control is {kind, label, …}: a range or a choice of state[key], or a button that acts on the state.
  function slider(control, id, state, changed) {
    const input = make("input", { type: "range", id, min: control.min, max: control.max, step: control.step || 1 });
    const shown = make("output", { for: id });
    const line = make("div", { class: "explore-slider" });
    line.append(make("label", { for: id }, control.label), input, shown);
    input.addEventListener("input", () => { state[control.key] = +input.value; changed(); });
    const refresh = () => {
      input.value = state[control.key];
      shown.textContent = control.show ? control.show(state[control.key]) : state[control.key];
      input.setAttribute("aria-valuetext", shown.textContent);
    };
    return { line, refresh };
  }

  function choice(control, id, state, changed) {
    const input = make("select", { id });
    const line = make("div", { class: "explore-choice" });
    line.append(make("label", { for: id }, control.label), input);
    input.addEventListener("change", () => { state[control.key] = input.value; changed(); });
    let before = "";
    const refresh = () => {
      const options = typeof control.options === "function" ? control.options(state) : control.options;
      const now = JSON.stringify(options);
      if (now !== before) input.replaceChildren(...options.map(([value, words]) => make("option", { value }, words)));
      before = now;
      input.value = String(state[control.key]);
    };
    return { line, refresh };
  }

  function button(control, id, state, changed, data) {
    const line = make("button", { type: "button", id }, control.label);
    line.addEventListener("click", () => {
      if (line.getAttribute("aria-disabled") === "true") return;
      control.act(state, data);
      changed();
    });
    // not `disabled`: the focus would be lost to somebody who uses the keyboard
    const refresh = () => line.setAttribute("aria-disabled", String(Boolean(control.off && control.off(state, data))));
    return { line, refresh };
  }

  const makers = { range: slider, choice, button };

  function enliven(figure, number) {
    const name = figure.dataset.explore, one = window.specrefExplore[name];
    const holder = figure.querySelector('script[type="application/json"]');
    const data = holder ? JSON.parse(holder.textContent) : {};
    const view = figure.querySelector(".explore-view");
    const state = one.start(data);
    const panel = make("div", { class: "explore-controls", role: "group", "aria-label": "Controls" });
    const reset = { kind: "button", label: "Start again", act: () => { for (const key in state) delete state[key]; Object.assign(state, one.start(data)); } };
    const made = [...one.controls(data), reset].map((control, place) =>
      makers[control.kind](control, `explore-${number}-${name}-${place}`, state, changed, data));
    function changed() {
      const seen = one.view(state, data);
      view.innerHTML = html(seen);
      said.textContent = seen.said.join(" ");
      made.forEach(control => control.refresh());
    }
    const said = make("p", { class: "explore-live", role: "status", "aria-live": "polite" });
    panel.append(...made.map(control => control.line));
    view.after(panel, said);
    figure.classList.add("explore-alive");
    changed();
  }

  window.specrefExplore = { draw, html };
  function begin() { document.querySelectorAll(".explore").forEach(enliven); }
  // the scripts of the explorables are deferred too, and come between this one and DOMContentLoaded
  if (document.readyState === "complete") begin();
  else document.addEventListener("DOMContentLoaded", begin);
})();
