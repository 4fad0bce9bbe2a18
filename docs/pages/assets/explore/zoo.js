/* A symptom and a histogram: which mistake is it? The distributions are the exact ones of the exercise's grader. */
(function () {
  "use strict";
  const { draw } = window.specrefExplore;

  function view(state, data) {
    const one = data.cases[state.number], shapes = [], chosen = state.answer;
    [["more-p", "p: what is right", 6], ["shared", "what this engine emits", 112], ["more-q", "q: the draft", 264]].forEach(([kind, words, x]) => {
      shapes.push(draw.box(x, 6, 10, 10, kind), draw.text(x + 14, 15, words, "small"));
    });
    data.p.forEach((_, token) => {
      const x = 14 + token * 116, base = 150;
      [[data.p, "more-p"], [one.emitted, "shared"], [data.q, "more-q"]].forEach(([row, kind], i) => {
        shapes.push(draw.box(x + i * 34, base - 118 * row[token], 30, 118 * row[token], kind),
          draw.text(x + 15 + i * 34, base - 118 * row[token] - 4, row[token].toFixed(2), "small", "middle"));
      });
      shapes.push(draw.text(x + 49, base + 15, "token " + "ABC"[token], "small", "middle"));
    });
    shapes.push(draw.line([[6, 150], [354, 150]], "axis"));
    const said = [`Symptom ${state.number + 1} of ${data.cases.length}: ${one.symptom} TV ${one.tv} from p. The draft token comes out with ${one.kept.toFixed(2)}; the overlap of p and q is ${data.overlap.toFixed(2)}.`];
    if (chosen === "") said.push("Which mistake is it? Choose one.");
    else if (chosen === one.id) said.push(`Yes. It looks as if ${one.name}. ${one.why}`);
    else said.push(`No: that engine would emit (${data.cases.find(other => other.id === chosen).emitted.map(value => value.toFixed(2)).join(", ")}) here. Look again.`);
    return { svg: draw.picture(360, 172, "For each of three tokens: p, what the engine emits, and q", shapes), said };
  }

  const move = step => (state, data) => { state.number = (state.number + step + data.cases.length) % data.cases.length; state.answer = ""; };
  const controls = data => [
    { kind: "choice", key: "answer", label: "The mistake", options: [["", "choose"], ...[...data.cases].sort((a, b) => a.id < b.id ? -1 : 1).map(one => [one.id, one.name])] },
    { kind: "button", label: "Next symptom", act: move(1) },
    { kind: "button", label: "Previous symptom", act: move(-1) },
  ];
  const start = () => ({ number: 0, answer: "" });

  window.specrefExplore.zoo = { start, controls, view };
})();
