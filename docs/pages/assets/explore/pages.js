/* The pages of a cache under a ragged batch: each cycle writes a draft, and gives back what was rejected. */
(function () {
  "use strict";
  const { draw } = window.specrefExplore;
  const CELL = 7, KINDS = ["row-0", "row-1", "row-2", "row-3"];

  const pages = (tokens, size) => Math.ceil(tokens / size);

  /* Tokens in the cache of each row: before its draft, with it, and after the verdict. Done rows hold nothing. */
  function rows(state, data) {
    return data.rows.map((row, i) => {
      const counts = row.accepted.slice(0, state.cycle);
      const length = row.prompt - 1 + counts.reduce((total, kept) => total + kept + 1, 0);
      if (state.cycle >= row.accepted.length) return { name: "abcd"[i], length: 0, draft: 0, done: true };
      return { name: "abcd"[i], length, draft: state.phase === 1 ? +state.gamma + 1 : 0, done: false };
    });
  }

  function view(state, data) {
    const size = +state.size, found = rows(state, data), shapes = [];
    let y = 24, held = 0, used = 0, longest = 0, running = 0;
    shapes.push(draw.text(6, 14, `cycle ${state.cycle + 1}, ${state.phase ? "the forward has written pending token and draft" : "before the forward"}`, "small"));
    found.forEach((row, i) => {
      const total = row.length + row.draft, count = pages(total, size);
      held += count; used += total; longest = Math.max(longest, total); running += row.done ? 0 : 1;
      const across = Math.floor(330 / (size * CELL + 5));
      shapes.push(draw.text(6, y + 11, row.done ? `${row.name}: ended, its pages are free` : `${row.name}: ${row.length} tokens${row.draft ? ` + ${row.draft}` : ""}, ${count} pages`, "small"));
      for (let page = 0; page < count; page++) {
        const left = 14 + page % across * (size * CELL + 5), line = y + 17 + Math.floor(page / across) * 14;
        shapes.push(draw.box(left, line, size * CELL, 10, "side"));
        const full = Math.min(size, row.length - page * size), both = Math.min(size, total - page * size);
        if (full > 0) shapes.push(draw.box(left, line, full * CELL, 10, KINDS[i]));
        if (both > Math.max(full, 0)) shapes.push(draw.box(left + Math.max(full, 0) * CELL, line, (both - Math.max(full, 0)) * CELL, 10, "more-p"));
      }
      y += 26 + Math.max(Math.ceil(count / across), 0) * 14;
    });
    const contiguous = found.filter(row => !row.done).length * pages(data.longest + +state.gamma + 1, size);
    return {
      svg: draw.picture(360, Math.max(y, 60), "Pages of the cache, row by row; what the draft wrote is marked", shapes),
      said: [
        `${running} rows run. They hold ${held} pages of ${size} tokens for ${used} tokens: ${held * size - used} places are empty. One stretch for each row, long enough for the longest text, would take ${contiguous} pages.`,
        state.phase ? `Each row has written its pending token and a draft of ${state.gamma}, in orange. What is rejected is given back at the end of the cycle.` : "Each row has a length of its own: it gained what was accepted, and one token more.",
      ],
    };
  }

  const last = data => Math.max(...data.rows.map(row => row.accepted.length));
  function forward(state) {
    if (state.phase) { state.cycle++; state.phase = 0; } else state.phase = 1;
  }
  const controls = () => [
    { kind: "button", label: "Next", act: forward, off: (state, data) => state.cycle >= last(data) },
    { kind: "choice", key: "size", label: "Tokens of a page", options: [["4", "4"], ["8", "8"], ["16", "16"]] },
  ];
  const start = data => ({ cycle: 0, phase: 1, size: "8", gamma: data.gamma });

  window.specrefExplore.pages = { start, controls, view, rows, pages };
})();
