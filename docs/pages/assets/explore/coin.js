/* p and q over three tokens: what they share, what is drafted too often, what is owed. */
(function () {
  "use strict";
  const { draw } = window.specrefExplore;
  const NAMES = ["A", "B", "C"], SCALE = 130, BASE = 172, SLOT = 112;

  const gcd = (a, b) => b ? gcd(b, a % b) : a;
  // numerator and denominator as a reader writes them
  const written = (n, d) => { const g = gcd(n, d) || 1; return d / g === 1 ? String(n / g) : `${n / g}/${d / g}`; };
  const sum = row => row.reduce((a, b) => a + b, 0);

  /* weights [3] of p and q -> everything over one common denominator. emitted: by the rule that draws from
     the residual, or from p, after a rejection; its denominator is emittedOver. */
  function numbers(p, q, after) {
    const over = sum(p) * sum(q);
    const target = p.map(weight => weight * sum(q)), drafted = q.map(weight => weight * sum(p));
    const kept = target.map((a, i) => Math.min(a, drafted[i]));
    const owed = target.map((a, i) => Math.max(a - drafted[i], 0));
    const surplus = drafted.map((b, i) => Math.max(b - target[i], 0));
    const rejected = over - sum(kept);
    // kept + rejected * p, over the square of the denominator; the residual needs no square
    const emitted = target.map((a, i) => after === "p" ? kept[i] * over + rejected * a : (kept[i] + owed[i]) * over);
    const emittedOver = over * over;
    const off = sum(emitted.map((e, i) => Math.abs(e - target[i] * over))) / 2;
    return { over, target, drafted, kept, owed, surplus, rejected, emitted, emittedOver, off };
  }

  const row = (values, over) => "(" + values.map(value => written(value, over)).join(", ") + ")";
  const weights = (state, letter) => {
    const found = [0, 1, 2].map(i => state[letter + i]);
    return sum(found) ? found : [1, 1, 1];
  };

  function view(state) {
    const n = numbers(weights(state, "p"), weights(state, "q"), state.after), shapes = [];
    [["shared", "min(p, q): kept", 6], ["more-q", "q above p: rejected", 116], ["more-p", "p above q: owed", 246]].forEach(([kind, words, x]) => {
      shapes.push(draw.box(x, 6, 10, 10, kind), draw.text(x + 14, 15, words, "small"));
    });
    NAMES.forEach((name, i) => {
      const x = 20 + i * SLOT, height = value => value / n.over * SCALE;
      shapes.push(
        draw.box(x, BASE - height(n.kept[i]), 70, height(n.kept[i]), "shared"),
        draw.box(x, BASE - height(n.target[i]), 70, height(n.owed[i]), "more-p"),
        draw.box(x, BASE - height(n.drafted[i]), 70, height(n.surplus[i]), "more-q"),
        draw.text(x + 35, BASE + 15, name, "strong", "middle"),
        draw.text(x + 35, BASE + 30, `p ${written(n.target[i], n.over)}  q ${written(n.drafted[i], n.over)}`, "small", "middle"),
        draw.text(x + 35, BASE + 74, `emitted ${written(n.emitted[i], n.emittedOver)}`, "small", "middle"),
        draw.box(x, BASE + 46, 70 * n.emitted[i] / n.emittedOver, 12, "shared"),
        draw.line([[x + 70 * n.target[i] / n.over, BASE + 42], [x + 70 * n.target[i] / n.over, BASE + 62]], "mark"));
    });
    shapes.push(draw.line([[6, BASE], [354, BASE]], "axis"));
    const rejected = written(n.rejected, n.over);
    const equal = n.rejected === 0;
    const residual = equal ? "empty" : row(n.owed, n.rejected);
    const source = state.after === "p" ? "p" : "the residual";
    return {
      svg: draw.picture(360, 256, "Bars of p and q for three tokens; below them what the rule emits, with a mark at p", shapes),
      said: [
        `Kept: the overlap Σ min(p, q) = ${written(sum(n.kept), n.over)}. Rejected: ${rejected}. That is the total variation (TV) of p and q.`,
        equal ? "p and q are equal: nothing is rejected, and nothing is owed." :
          `Owed: Σ max(p − q, 0) = ${rejected} as well. Divided by that, it is the residual ${residual}.`,
        `After a rejection from ${source}: emitted is ${row(n.emitted, n.emittedOver)}, ${n.off ? "off by a TV of " + written(n.off, n.emittedOver) : "which is p, exactly"}.`,
      ],
    };
  }

  const controls = () => [
    ...["p", "q"].flatMap(letter => NAMES.map((name, i) => ({
      kind: "range", key: letter + i, label: `weight of ${name} in ${letter}`, min: 0, max: 9,
    }))),
    { kind: "choice", key: "after", label: "After a rejection draw from", options: [["residual", "the residual"], ["p", "p itself"]] },
  ];
  const start = () => ({ p0: 5, p1: 3, p2: 2, q0: 1, q1: 3, q2: 6, after: "residual" });

  window.specrefExplore.coin = { start, controls, view, numbers };
})();
