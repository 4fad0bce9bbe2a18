/* Real cycles, recorded by `specref trace`: step through them, one coin at a time. */
(function () {
  "use strict";
  const { draw } = window.specrefExplore;
  const ROW = 26;

  /* What stands before cycle `number`: the text, the tokens in the cache, the pending token. The cache holds
     everything but the newest token. */
  function before(data, number) {
    const emitted = data.cycles.slice(0, number).flatMap(cycle => cycle.emitted);
    const text = [...data.prompt, ...emitted];
    return { text, cached: text.length - 1, pending: text[text.length - 1] };
  }

  const steps = cycle => cycle.accepted + (cycle.accepted < cycle.draft.length ? 1 : 0) + 2; // draft, coins, verdict
  const letters = tokens => tokens.map(token => token === 10 ? "⏎" : token === 32 ? "␣" : String.fromCharCode(token)).join("");
  const quoted = token => "“" + letters([token]) + "”";

  function forward(state, data) {
    if (state.step + 1 < steps(data.cycles[state.cycle])) state.step++;
    else if (state.cycle + 1 < data.cycles.length) { state.cycle++; state.step = 0; }
  }
  function back(state, data) {
    if (state.step > 0) state.step--;
    else if (state.cycle > 0) { state.cycle--; state.step = steps(data.cycles[state.cycle]) - 1; }
  }

  const number = value => value < 0.0005 ? value.toExponential(0) : value.toFixed(3);

  function view(state, data) {
    const cycle = data.cycles[state.cycle], was = before(data, state.cycle), done = state.step === steps(cycle) - 1;
    const tossed = Math.min(state.step, steps(cycle) - 2);
    const shown = letters(was.text.slice(-40)), shapes = [];
    shapes.push(draw.text(6, 14, `Cycle ${state.cycle + 1} of ${data.cycles.length}. The text so far:`, "small"));
    shapes.push(draw.text(6, 31, (was.text.length > 40 ? "…" : "") + shown, "mono"));
    ["draft", "q", "p", "heads with min(1, p/q)"].forEach((words, i) => shapes.push(draw.text([6, 62, 108, 154][i], 54, words, "small")));
    cycle.draft.forEach((token, i) => {
      const y = 62 + i * ROW, judged = i < tossed;
      const fate = judged ? token.fate : done || tossed > cycle.accepted ? "never judged" : "waits";
      const kind = { accepted: "shared", rejected: "more-q" }[fate] || "side";
      shapes.push(
        draw.box(6, y, 42, 19, kind === "side" ? "side" : "room"), kind === "side" ? "" : draw.box(6, y, 6, 19, kind),
        draw.text(30, y + 14, letters([token.token]), "mono", "middle"),
        draw.text(62, y + 14, number(token.q), "small"), draw.text(108, y + 14, number(token.p), "small"),
        draw.box(154, y + 2, 80, 15, "side"));
      if (judged) shapes.push(draw.box(154, y + 2, 80 * token.coin.probability, 15, "shared", number(token.coin.probability)));
      const fell = judged ? `${number(token.coin.probability)}: ${token.coin.heads ? "heads, kept" : "tails, rejected"}` : fate;
      shapes.push(draw.text(242, y + 14, fell, "small"));
    });
    const end = 62 + cycle.draft.length * ROW;
    if (done) {
      const from = cycle.next.kind === "bonus" ? "drawn from p" : "drawn from max(p − q, 0)";
      shapes.push(draw.box(6, end, 42, 19, "room"), draw.box(6, end, 6, 19, "more-p"),
        draw.text(30, end + 14, letters([cycle.next.token]), "mono", "middle"), draw.text(62, end + 14, `${cycle.next.kind}, ${from}`, "small"));
    }
    const now = done ? before(data, state.cycle + 1) : was;
    shapes.push(draw.text(6, end + 40, `cache: ${now.cached} tokens; pending: ${quoted(now.pending)}`, "small"));
    return {
      svg: draw.picture(360, end + 50, "One recorded cycle: draft tokens, their coins, and what was emitted", shapes),
      said: [said(cycle, tossed, done, data.cycles.length, state.cycle)],
    };
  }

  function said(cycle, tossed, done, count, place) {
    const head = `Cycle ${place + 1} of ${count}. `;
    if (done) {
      const kept = `${cycle.accepted} of ${cycle.draft.length} kept`;
      return head + `${kept}, then the target's own token ${quoted(cycle.next.token)}: ${cycle.emitted.length} emitted for one forward of the target.`;
    }
    if (!tossed) return head + `Drafted: “${letters(cycle.draft.map(token => token.token))}”. The target has scored all of it in one forward. No coin has been thrown yet.`;
    const token = cycle.draft[tossed - 1];
    return head + `Token ${tossed}, ${quoted(token.token)}: the coin shows heads with ${number(token.coin.probability)}. It fell ${token.coin.heads ? "heads: kept." : "tails: rejected. All behind it goes."}`;
  }

  const controls = () => [
    { kind: "button", label: "Next step", act: forward, off: (state, data) => state.cycle === data.cycles.length - 1 && state.step === steps(data.cycles[state.cycle]) - 1 },
    { kind: "button", label: "One step back", act: back, off: state => state.cycle === 0 && state.step === 0 },
    { kind: "button", label: "Next cycle", act: (state, data) => { if (state.cycle + 1 < data.cycles.length) { state.cycle++; state.step = 0; } }, off: (state, data) => state.cycle === data.cycles.length - 1 },
  ];
  const start = () => ({ cycle: 3, step: 0 });

  window.specrefExplore.trace = { start, controls, view, before, steps, forward };
})();
