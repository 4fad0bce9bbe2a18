/* How many draws show a difference: computed by the library for a grid, looked up here. */
(function () {
  "use strict";
  const { draw } = window.specrefExplore;

  const large = count => Math.round(count).toLocaleString("en-US");

  function view(state, data) {
    const cells = data.cells[+state.cells], one = data.tests[state.test], counts = one[+state.cells];
    const low = 1, high = 9, shapes = [];
    const at = (tv, count) => [44 + 300 * Math.log10(tv / data.tv[0]) / Math.log10(data.tv[data.tv.length - 1] / data.tv[0]), 180 - 160 * (Math.log10(count) - low) / (high - low)];
    shapes.push(draw.line([[44, 14], [44, 180], [350, 180]], "axis"), draw.text(4, 10, "draws", "small"));
    for (const power of [2, 4, 6, 8]) shapes.push(draw.text(40, at(data.tv[0], 10 ** power)[1] + 4, ["100", "10,000", "1 million", "100 million"][power / 2 - 1].replace(" million", " M"), "small", "end"));
    for (const tv of [0.001, 0.01, 0.1]) shapes.push(draw.text(at(tv, 10)[0], 195, String(tv), "small", "middle"));
    shapes.push(draw.text(350, 210, "total variation of the fault", "small", "end"));
    data.cells.forEach((_, i) => { if (i !== +state.cells) shapes.push(draw.line(one[i].map((count, j) => at(data.tv[j], count)), "curve-other")); });
    shapes.push(draw.line(counts.map((count, j) => at(data.tv[j], count)), "curve"), draw.dot(...at(data.tv[state.tv], counts[state.tv]), "point"));
    const tv = data.tv[state.tv], twice = data.tests.pairs[+state.cells][state.tv] / data.tests.known[+state.cells][state.tv];
    return {
      svg: draw.picture(360, 216, "Draws needed against the size of the fault, both in powers of ten", shapes),
      said: [
        `A fault of TV ${tv} among ${large(cells)} outcomes: ${large(counts[state.tv])} draws${state.test === "pairs" ? " of each of the two" : ""} find it with probability ${data.power}, and a right engine is accused once in ${large(1 / data.alpha)} runs.`,
        `Half the fault needs about four times as many draws. Two unknown samples need ${twice.toFixed(1)} times as many, of each, as one sample against known probabilities.`,
      ],
    };
  }

  const controls = data => [
    { kind: "range", key: "tv", label: "total variation (TV)", min: 0, max: data.tv.length - 1, show: i => String(data.tv[i]) },
    { kind: "choice", key: "cells", label: "Possible outcomes", options: data.cells.map((count, i) => [String(i), large(count)]) },
    { kind: "choice", key: "test", label: "The engine's draws are compared with", options: [["known", "known probabilities"], ["pairs", "another engine's draws"]] },
  ];
  const start = data => ({ tv: data.tv.indexOf(0.01), cells: "0", test: "known" });

  window.specrefExplore.power = { start, controls, view };
})();
