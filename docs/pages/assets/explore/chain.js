/* Every chain of drafts over two tokens, with its weight, judged token by token or as a block. */
(function () {
  "use strict";
  const { draw } = window.specrefExplore;

  const product = row => row.reduce((a, b) => a * b, 1);
  function sequences(length) {
    if (!length) return [[]];
    return sequences(length - 1).flatMap(before => [[...before, 0], [...before, 1]]);
  }

  /* P(accepted = 0), …, P(accepted = N) for one draft, token by token: the coins min(1, p/q) up to the first tails. */
  function tokenwise(tokens, p, q) {
    const coins = tokens.map(x => Math.min(1, p[x] / q[x]));
    return [...tokens, null].map((_, k) => product(coins.slice(0, k)) * (k < coins.length ? 1 - coins[k] : 1));
  }

  /* The same by block verification (Sun et al. 2024): every prefix has a coin, and the longest that falls heads is kept. */
  function block(tokens, p, q) {
    const count = tokens.length, weight = [1];
    tokens.forEach((x, i) => weight.push(Math.min(1, weight[i] * p[x] / q[x])));
    const coin = i => {
      if (i === count) return weight[count];
      const mass = p.reduce((total, share, x) => total + Math.max(weight[i] * share - q[x], 0), 0);
      const total = mass + 1 - weight[i];
      return total > 0 ? mass / total : 1;
    };
    const lengths = Array(count + 1).fill(0);
    let tails = 1; // that all longer prefixes fell tails
    for (let i = count; i > 0; i--) { lengths[i] = tails * coin(i); tails *= 1 - coin(i); }
    lengths[0] = tails;
    return lengths;
  }

  const RULES = { token: tokenwise, block };

  /* a, b: the share of token A in p and in q, the same at every place. */
  function enumerate(a, b, gamma, rule) {
    const p = [a, 1 - a], q = [b, 1 - b], drafts = [];
    const lengths = Array(gamma + 1).fill(0);
    for (const tokens of sequences(gamma)) {
      const weight = product(tokens.map(x => q[x])), kept = RULES[rule](tokens, p, q);
      kept.forEach((share, k) => { lengths[k] += weight * share; });
      drafts.push({ tokens, weight, kept });
    }
    return { lengths, drafts, mean: lengths.reduce((total, share, k) => total + share * k, 0) };
  }

  function view(state) {
    const a = state.p / 20, b = state.q / 20, found = enumerate(a, b, state.gamma, state.rule), shapes = [];
    const names = tokens => tokens.map(x => "AB"[x]).join("");
    shapes.push(draw.text(6, 14, "a draft", "small"), draw.text(64, 14, "its weight under q", "small"), draw.text(206, 14, "kept: 0, 1, … of it", "small"));
    found.drafts.forEach((draft, row) => {
      const y = 22 + row * 17;
      shapes.push(draw.text(6, y + 11, names(draft.tokens), "mono"), draw.box(64, y + 1, 90 * draft.weight, 12, "more-q"),
        draw.text(70 + 90 * draft.weight, y + 11, draft.weight.toFixed(3), "small"));
      let x = 206;
      draft.kept.forEach((share, k) => {
        shapes.push(draw.box(x, y + 1, 146 * share - .5, 12, "kept-" + k, `${names(draft.tokens)}: ${k} kept with ${share.toFixed(3)}`));
        if (share > .09) shapes.push(draw.text(x + 146 * share / 2, y + 11, String(k), "inside", "middle"));
        x += 146 * share;
      });
    });
    const top = 46 + found.drafts.length * 17;
    shapes.push(draw.text(6, top - 8, "all drafts together: P(kept = k)", "small"));
    found.lengths.forEach((share, k) => {
      const y = top + k * 17;
      shapes.push(draw.text(22, y + 11, String(k), "small", "end"), draw.box(28, y + 1, 260 * share, 12, "kept-" + k), draw.text(34 + 260 * share, y + 11, share.toFixed(3), "small"));
    });
    const other = enumerate(a, b, state.gamma, state.rule === "token" ? "block" : "token");
    const way = state.rule === "token" ? ["Token by token", "As a block"] : ["As a block", "Token by token"];
    return {
      svg: draw.picture(360, top + 17 * (state.gamma + 1) + 6, "Every draft with its weight and the distribution of its accepted length, then the sum", shapes),
      said: [
        `${way[0]}: ${found.mean.toFixed(3)} of ${state.gamma} kept on average, ${(found.mean + 1).toFixed(3)} tokens emitted a cycle.`,
        `${way[1]} it would be ${other.mean.toFixed(3)}. One token alone is kept with ${(Math.min(a, b) + Math.min(1 - a, 1 - b)).toFixed(2)}.`,
      ],
    };
  }

  const share = value => (value / 20).toFixed(2);
  const controls = () => [
    { kind: "range", key: "p", label: "p(A), at every place", min: 1, max: 19, show: share },
    { kind: "range", key: "q", label: "q(A), at every place", min: 1, max: 19, show: share },
    { kind: "range", key: "gamma", label: "draft length γ", min: 1, max: 4 },
    { kind: "choice", key: "rule", label: "Judge", options: [["token", "token by token"], ["block", "as a block"]] },
  ];
  const start = () => ({ p: 14, q: 8, gamma: 3, rule: "token" });

  window.specrefExplore.chain = { start, controls, view, enumerate };
})();
