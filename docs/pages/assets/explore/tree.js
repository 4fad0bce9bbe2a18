/* A tree of guesses to build: its mask, its positions, and what it is worth by the measured heads. */
(function () {
  "use strict";
  const { draw } = window.specrefExplore;
  const MOST = 10, CONTEXT = 20;
  const SHAPES = {
    chain: [-1, 0, 1, 2],
    tree: [-1, -1, -1, 0, 0, 1, 3],
    wide: [-1, -1, -1, -1],
  };

  function depths(parents) {
    const found = [];
    parents.forEach(parent => found.push(parent < 0 ? 0 : found[parent] + 1));
    return found;
  }
  function mask(parents) {
    const seen = [];
    parents.forEach((parent, i) => { seen.push(parents.map((_, j) => j === i || (parent >= 0 && seen[parent][j]))); });
    return seen;
  }
  /* Which of its parent's children each node is: 0 is the head's first guess. */
  const ranks = parents => parents.map((parent, i) => parents.slice(0, i).filter(other => other === parent).length);

  /* accuracy[head][rank] -> the probability that the whole path to each node is right, heads independent. */
  function values(parents, accuracy) {
    const found = [], depth = depths(parents), rank = ranks(parents);
    parents.forEach((parent, i) => { found.push((parent < 0 ? 1 : found[parent]) * accuracy[depth[i]][rank[i]]); });
    return found;
  }
  const tokens = (parents, accuracy) => 1 + values(parents, accuracy).reduce((a, b) => a + b, 0);

  const fits = (parents, parent, data) => {
    const depth = parent < 0 ? 0 : depths(parents)[parent] + 1;
    const siblings = parents.filter(other => other === parent).length;
    return parents.length < MOST && depth < data.accuracy.length && siblings < data.accuracy[0].length;
  };

  function placed(parents) {
    const at = [];
    let row = 0;
    const place = node => {
      const children = parents.map((parent, i) => parent === node ? i : -1).filter(i => i >= 0);
      const first = row;
      children.forEach(place);
      if (!children.length) row++;
      if (node >= 0) at[node] = first;
    };
    place(-1);
    return { at, rows: row };
  }

  function view(state, data) {
    const parents = state.parents, depth = depths(parents), worth = values(parents, data.accuracy), seen = mask(parents);
    const { at, rows } = placed(parents), shapes = [], x = node => node < 0 ? 6 : 52 + depth[node] * 76, y = node => 14 + (node < 0 ? 0 : at[node]) * 30;
    shapes.push(draw.box(6, 14, 34, 20, "room"), draw.text(23, 28, "text", "small", "middle"));
    parents.forEach((parent, i) => {
      const from = [parent < 0 ? 40 : x(parent) + 62, y(parent) + 10];
      shapes.push(draw.line([from, [x(i) - 6, from[1]], [x(i) - 6, y(i) + 10], [x(i), y(i) + 10]], "axis"),
        draw.box(x(i), y(i), 62, 20, +state.node === i ? "chosen" : "room"), draw.text(x(i) + 31, y(i) + 14, `${i}: ${worth[i].toFixed(3)}`, "small", "middle"));
    });
    const top = 14 + Math.max(rows, 1) * 30 + 22, cell = 17;
    shapes.push(draw.text(6, top - 6, "the mask: node (row) sees node (column)", "small"));
    parents.forEach((_, i) => {
      const line = top + 16 + i * cell;
      shapes.push(draw.text(22, line + 12, String(i), "small", "end"), draw.text(36 + i * cell, top + 12, String(i), "small", "middle"),
        draw.text(36 + parents.length * cell + 4, line + 12, `position ${CONTEXT + depth[i]}`, "small"));
      seen[i].forEach((sees, j) => shapes.push(draw.box(28 + j * cell, line, cell - 2, cell - 2, sees ? "shared" : "side")));
    });
    const bottom = top + 16 + parents.length * cell, total = tokens(parents, data.accuracy);
    const price = data.curve[parents.length] + data.heads_cost;
    return {
      svg: draw.picture(360, bottom + 8, "The tree with the worth of each node, and its mask", shapes),
      said: [
        `${parents.length} nodes, ${total.toFixed(3)} tokens expected a cycle: 1 from the target, and the worth of every node. Measured cost of the cycle: ${price.toFixed(2)} plain steps. Estimate: ${(total / price).toFixed(2)} times plain decoding.`,
        `The context has ${CONTEXT} tokens, at positions 0 to ${CONTEXT - 1}. Siblings share a position. Node ${state.node} sees the context${seeing(seen[+state.node])}.`,
      ],
    };
  }
  function seeing(row) {
    const nodes = (row || []).map((sees, j) => sees ? j : -1).filter(j => j >= 0);
    return nodes.length ? " and nodes " + nodes.join(", ") : "";
  }

  function removed(parents, node) {
    const gone = mask(parents).map(row => row[node]), kept = parents.map((_, i) => i).filter(i => !gone[i]);
    return kept.map(i => parents[i] < 0 ? -1 : kept.indexOf(parents[i]));
  }
  const take = (state, shape) => { state.parents = [...SHAPES[shape]]; state.node = "0"; };

  const controls = () => [
    { kind: "choice", key: "node", label: "Chosen node", options: state => [["-1", "the text"], ...state.parents.map((_, i) => [String(i), "node " + i])] },
    { kind: "button", label: "Add a guess behind it", act: (state, data) => state.parents.push(+state.node), off: (state, data) => !fits(state.parents, +state.node, data) },
    { kind: "button", label: "Remove it and what follows", act: state => { state.parents = removed(state.parents, +state.node); state.node = "-1"; }, off: state => +state.node < 0 },
    { kind: "button", label: "A chain of 4", act: state => take(state, "chain") },
    { kind: "button", label: "A tree of 7", act: state => take(state, "tree") },
    { kind: "button", label: "4 siblings", act: state => take(state, "wide") },
  ];
  const start = () => ({ parents: [...SHAPES.tree], node: "3" });

  window.specrefExplore.tree = { start, controls, view, depths, mask, tokens, removed, ranks };
})();
