/* The speed model over measured numbers: speedup by draft length, break-even, and the batch at which it ends. */
(function () {
  "use strict";
  const { draw } = window.specrefExplore;
  const BATCHES = [1, 2, 4, 8, 16, 32, 64, 128, 256], RIDGE = 256;

  const expected = (alpha, gamma) => Array.from({ length: gamma + 1 }, (_, i) => alpha ** i).reduce((a, b) => a + b, 0);

  /* A forward over `tokens` tokens of each of `batch` requests, in units of one token of each. */
  function cost(curve, data, batch, tokens) {
    if (curve === "flat") return 1;
    if (curve === "measured") return data.curve[tokens - 1];
    return Math.max(1, batch * tokens / RIDGE) / Math.max(1, batch / RIDGE);
  }

  const steps = (curve, data, batch) => Array.from({ length: data.curve.length }, (_, i) => cost(curve, data, batch, i + 1));
  const speedup = (alpha, gamma, curve, c) => expected(alpha, gamma) / (gamma * c + curve[gamma]);

  function best(alpha, curve, c) {
    let found = 0, fastest = 1;
    for (let gamma = 1; gamma < curve.length; gamma++) {
      if (speedup(alpha, gamma, curve, c) > fastest) { found = gamma; fastest = speedup(alpha, gamma, curve, c); }
    }
    return { gamma: found, speedup: fastest };
  }

  /* The acceptance at which a draft of gamma tokens is as fast as none, or null. */
  function even(gamma, curve, c) {
    const price = gamma * c + curve[gamma];
    if (expected(1, gamma) < price) return null;
    let low = 0, high = 1;
    for (let i = 0; i < 60; i++) {
      const middle = (low + high) / 2;
      if (expected(middle, gamma) < price) low = middle; else high = middle;
    }
    return high;
  }

  function view(state, data) {
    const alpha = state.alpha / 100, c = state.c / 100, gamma = state.gamma, batch = BATCHES[state.batch];
    const curve = steps(state.curve, data, batch), now = speedup(alpha, gamma, curve, c);
    const high = Math.max(3, Math.ceil(expected(alpha, curve.length - 1)));
    const at = (length, value) => [30 + 20.5 * length, 158 - 140 * Math.min(value, high) / high], shapes = [];
    shapes.push(draw.line([[30, 12], [30, 158], [352, 158]], "axis"), draw.text(4, 10, "speedup", "small"));
    for (let value = 1; value <= high; value++) if (high < 7 || value % 2) shapes.push(draw.text(26, at(0, value)[1] + 4, String(value), "small", "end"));
    for (const length of [1, 4, 8, 12, 15]) shapes.push(draw.text(at(length, 0)[0], 173, String(length), "small", "middle"));
    shapes.push(draw.text(352, 186, "draft length γ", "small", "end"), draw.line([at(0, 1), at(15.6, 1)], "mark"));
    const over = f => curve.map((_, length) => at(length, f(length)));
    shapes.push(draw.line(over(length => speedup(alpha, length, curve, 0)), "curve-other"), draw.line(over(length => speedup(alpha, length, curve, c)), "curve"), draw.dot(...at(gamma, now), "point"));
    shapes.push(draw.line([[176, 16], [200, 16]], "curve-other"), draw.text(206, 20, "were drafts free", "small"), draw.line([[70, 16], [94, 16]], "curve"), draw.text(100, 20, "speedup", "small"));
    shapes.push(draw.text(6, 212, `measured by batch, drafts of ${data.gamma}: speculative against plain`, "small"));
    data.batches.forEach((row, i) => {
      const y = 220 + i * 17;
      shapes.push(draw.text(26, y + 11, String(row.size), "small", "end"), draw.box(32, y + 1, 170 * row.ratio, 12, row.ratio < 1 ? "more-q" : "shared"), draw.text(38 + 170 * row.ratio, y + 11, row.ratio.toFixed(2) + "×", "small"));
    });
    const bottom = 220 + data.batches.length * 17;
    shapes.push(draw.line([[202, 218], [202, bottom]], "mark"));
    const limit = even(gamma, curve, c), top = best(alpha, curve, c), cross = crossover(alpha, gamma, c, data);
    const said = [
      `α ${alpha.toFixed(2)}, γ ${gamma}: ${expected(alpha, gamma).toFixed(2)} tokens a cycle for ${(gamma * c + curve[gamma]).toFixed(2)} plain steps: ${now.toFixed(2)} times as fast as plain decoding.`,
      `${limit === null ? "No acceptance makes this draft length pay." : "It breaks even at α " + limit.toFixed(2) + "."} ${top.gamma ? `Best here: γ ${top.gamma}, ${top.speedup.toFixed(2)} times.` : "Best here: do not speculate."} Were drafts free, γ ${gamma} would reach ${speedup(alpha, gamma, curve, 0).toFixed(2)}.`,
    ];
    if (state.curve === "roofline") said.push(cross ? `By the roofline, γ ${gamma} stops paying at ${cross} requests in the batch.` : `By the roofline, γ ${gamma} pays at every batch up to ${BATCHES[BATCHES.length - 1]}.`);
    return { svg: draw.picture(360, bottom + 6, "Speedup by draft length; below it the measured speedup by batch", shapes), said };
  }

  /* The first batch of the list at which the roofline says: no gain. */
  function crossover(alpha, gamma, c, data) {
    return BATCHES.find(batch => speedup(alpha, gamma, steps("roofline", data, batch), c) <= 1) || null;
  }

  const hundredth = value => (value / 100).toFixed(2);
  const controls = () => [
    { kind: "range", key: "alpha", label: "acceptance α", min: 0, max: 99, show: hundredth },
    { kind: "range", key: "c", label: "cost of a draft step c", min: 0, max: 60, show: hundredth },
    { kind: "range", key: "gamma", label: "draft length γ", min: 0, max: 15 },
    { kind: "choice", key: "curve", label: "A forward over more tokens costs", options: [["measured", "as measured on this machine"], ["flat", "nothing more"], ["roofline", `a roofline's price, ridge at ${RIDGE} tokens`]] },
    { kind: "range", key: "batch", label: "batch (roofline only)", min: 0, max: BATCHES.length - 1, show: value => String(BATCHES[value]) },
  ];
  const start = () => ({ alpha: 60, c: 10, gamma: 4, curve: "measured", batch: 0 });

  window.specrefExplore.speed = { start, controls, view, expected, speedup, even, best, steps };
})();
