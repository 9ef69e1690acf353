"use strict";
// Curves and courses, drawn by uPlot from the list `charts` of the page's data.
const charts = (() => {
  // Okabe and Ito: told apart by every kind of colour vision; the dashes are for print and for those who see none.
  const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9"];
  const ON_DARK = ["#56b4e9", "#f08a3c", "#3cc49a", "#e3a3c6", "#e0b040", "#9ad0f5"];
  const DASHES = [[], [8, 3], [2, 2], [10, 3, 2, 3], [5, 5], [1, 3]];
  const drawn = [];
  let printing = false;

  const dark = matchMedia("(prefers-color-scheme: dark)");

  function colour(number) {
    const table = dark.matches && !printing ? ON_DARK : COLOURS;
    return table[number % table.length];
  }

  function ink(name) {
    if (printing) return name === "--line" ? "#bbbbbb" : "#000000";
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  function axis(label, extra) {
    return { stroke: () => ink("--ink"), grid: { stroke: () => ink("--line"), width: 1 }, ticks: { stroke: () => ink("--line") },
      label, labelSize: 18, labelGap: 0, font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif", ...extra };
  }

  function line(label, number) {
    return { label, stroke: () => colour(number), width: 2, dash: DASHES[number % DASHES.length], spanGaps: true,
      points: { show: false }, value: (_, value) => (value == null ? "–" : value.toFixed(3)) };
  }

  function frequency(plot, values) {
    return values.map((value) => (value == null ? null : Number(value.toFixed(3))));
  }

  function curves(chart) {
    const known = chart.lines.map(({ x, y }) => x.map((each, i) => [each, y[i]]).filter(([each]) => each !== null));
    const tables = known.map((pairs) => [pairs.map((pair) => pair[0]), pairs.map((pair) => pair[1])]);
    const joined = uPlot.join(tables), lowest = Math.min(-0.1, ...tables.flatMap(([, y]) => y));
    joined.push(joined[0].map(() => chart.threshold));
    return {
      data: joined,
      scales: { x: { time: false }, y: { range: [Math.max(-1, lowest - 0.02), 1.05] } },
      axes: [axis("frequency, cycles/px", { values: frequency, size: 40 }), axis("correlation", { size: 52 })],
      series: [{ label: "frequency", value: (_, value) => (value == null ? "–" : value.toFixed(4)) },
        ...chart.lines.map(({ label }, number) => line(label, number)),
        { label: "threshold", stroke: () => ink("--soft"), width: 1, dash: [2, 4], points: { show: false }, value: () => "" }],
    };
  }

  function course(chart) {
    const times = [], sizes = [], lost = [];
    for (const step of chart.steps) {
      times.push(step.start_s, step.stop_s);
      sizes.push(step.batch_size, step.batch_size);
      lost.push(null, step.done ? null : step.batch_size);
    }
    const highest = Math.max(1, ...sizes);
    return {
      data: [times, sizes, lost],
      scales: { x: { time: false }, y: { range: [0, highest * 1.15] } },
      axes: [axis("time, s", { size: 40 }), axis("batch size", { size: 60 })],
      series: [{ label: "time, s", value: (_, value) => (value == null ? "–" : value.toFixed(2)) },
        { ...line("batch size", 0), value: (_, value) => value ?? "–" },
        { label: "out of memory", stroke: () => colour(1), paths: () => null, points: { show: false }, value: (_, value) => value ?? "–" }],
      hooks: { draw: [(plot) => crosses(plot, times, lost)] },
    };
  }

  function crosses(plot, times, lost) {
    const context = plot.ctx, arm = 6 * devicePixelRatio;
    context.save();
    context.strokeStyle = colour(1);
    context.lineWidth = 2.5 * devicePixelRatio;
    lost.forEach((value, i) => {
      if (value === null) return;
      const x = plot.valToPos(times[i], "x", true), y = plot.valToPos(value, "y", true);
      context.beginPath();
      for (const slope of [-1, 1]) {
        context.moveTo(x - arm, y - slope * arm);
        context.lineTo(x + arm, y + slope * arm);
      }
      context.stroke();
    });
    context.restore();
  }

  function draw(chart, kinds) {
    const place = document.getElementById(chart.id);
    if (!place) return;
    const { data, ...options } = kinds[chart.kind](chart);
    // The legend comes on top, in as many lines as it needs.
    const size = () => ({ width: place.clientWidth || 600, height: place.classList.contains("low") ? 150 : 260 });
    const plot = new uPlot({ ...size(), ...options }, data, place);
    // Screen readers are given the sentence on `place`; the live legend would only repeat numbers.
    plot.root.setAttribute("aria-hidden", "true");
    new ResizeObserver(() => plot.setSize(size())).observe(place);
    drawn.push(plot);
  }

  function redraw() {
    drawn.forEach((plot) => plot.redraw(false, true));
  }

  dark.addEventListener("change", redraw);
  for (const [event, state] of [["beforeprint", true], ["afterprint", false]]) {
    addEventListener(event, () => { printing = state; redraw(); });
  }
  return { draw, curves, course, axis, line, ink, colour, DASHES };
})();
