/* The time of one layer over k tokens: bytes, operations, and the slower of the two. */
(function () {
  "use strict";
  const { draw } = window.specrefExplore;
  const COUNTS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048];

  /* Microseconds of a layer of width x width weights over k tokens. bandwidth in bytes and speed in operations a
     microsecond. */
  function times(width, bytes, k, bandwidth, speed) {
    const moved = bytes * (width * width + k * 2 * width), operations = 2 * width * width * k;
    return { memory: moved / bandwidth, compute: operations / speed, moved, operations };
  }
  const layer = (state, k) => {
    const found = times(2 ** state.width, +state.bytes, k, 1e6 * state.bandwidth, 1e8 * state.speed);
    return Math.max(found.memory, found.compute);
  };

  function view(state, data) {
    const k = COUNTS[state.count] * COUNTS[state.batch];
    const found = times(2 ** state.width, +state.bytes, k, 1e6 * state.bandwidth, 1e8 * state.speed);
    const one = layer(state, COUNTS[state.batch]), now = layer(state, k), shapes = [];
    const at = (tokens, time) => [34 + 28 * Math.log2(tokens), 190 - 27 * Math.log2(time / layer(state, 1))];
    const clip = ([x, y]) => [x, Math.max(y, 22)];
    shapes.push(draw.line([[34, 14], [34, 190], [354, 190]], "axis"), draw.text(4, 12, "time, of one token's", "small"));
    for (const power of [0, 2, 4, 6]) shapes.push(draw.text(30, 194 - 27 * power, String(2 ** power), "small", "end"));
    for (const power of [0, 3, 6, 9]) shapes.push(draw.text(34 + 28 * power, 206, String(2 ** power), "small", "middle"));
    shapes.push(draw.text(354, 222, "tokens in one forward", "small", "end"));
    const fine = Array.from({ length: 45 }, (_, i) => 2 ** (i / 4));
    shapes.push(draw.line(fine.map(tokens => at(tokens, layer(state, tokens))).filter(([, y]) => y >= 22), "curve"));
    const measured = data.curve.map((time, i) => [34 + 28 * Math.log2(i + 1), 190 - 27 * Math.log2(time)]);
    shapes.push(draw.line(measured, "curve-other"));
    const [x, y] = clip(at(k, now));
    if (k <= 2048) shapes.push(draw.dot(x, y, "point"));
    shapes.push(draw.line([[200, 30], [224, 30]], "curve-other"), draw.text(230, 34, "measured, this target", "small"));
    shapes.push(draw.line([[200, 46], [224, 46]], "curve"), draw.text(230, 50, "the roofline", "small"));
    const slower = found.memory > found.compute ? "memory: the arithmetic units wait" : "arithmetic: the memory waits";
    return {
      svg: draw.picture(360, 228, "Time of a layer against the number of tokens, both in powers of two", shapes),
      said: [
        `${k} tokens: ${(found.moved / 1e6).toFixed(1)} MB moved in ${found.memory.toFixed(1)} µs, ${(found.operations / 1e9).toFixed(2)} billion operations in ${found.compute.toFixed(1)} µs. The slower is ${slower}.`,
        `${COUNTS[state.count]} tokens for each of ${COUNTS[state.batch]} request${state.batch ? "s" : ""} take ${(now / one).toFixed(2)} times as long as 1 token for each.`,
      ],
    };
  }

  const controls = () => [
    { kind: "range", key: "count", label: "tokens of a request", min: 0, max: 5, show: value => String(COUNTS[value]) },
    { kind: "range", key: "batch", label: "requests in the batch", min: 0, max: 6, show: value => String(COUNTS[value]) },
    { kind: "range", key: "width", label: "width of the layer", min: 8, max: 14, show: value => String(2 ** value) },
    { kind: "range", key: "bandwidth", label: "memory, TB a second", min: 1, max: 8 },
    { kind: "range", key: "speed", label: "arithmetic, 100 TFLOP a second", min: 1, max: 20 },
    { kind: "choice", key: "bytes", label: "A weight has", options: [["1", "1 byte"], ["2", "2 bytes"], ["4", "4 bytes"]] },
  ];
  const start = () => ({ count: 3, batch: 0, width: 12, bandwidth: 3, speed: 10, bytes: "2" });

  window.specrefExplore.roofline = { start, controls, view, times };
})();
