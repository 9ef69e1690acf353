"use strict";
// The page of a study: every figure against what was varied, with bars over the runs of one condition.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);

  function study(chart) {
    const xs = [...new Set(chart.series.flatMap(({ points }) => points.map(([x]) => x)))].sort((a, b) => a - b);
    const byX = chart.series.map(({ points }) => new Map(points.map((point) => [point[0], point])));
    const means = byX.map((points) => xs.map((x) => points.get(x)?.[1] ?? null));
    const all = chart.series.flatMap(({ points }) => points.flatMap(([, mean, deviation, values]) => [mean - (deviation ?? 0), mean + (deviation ?? 0), ...values]));
    const low = Math.min(...all), high = Math.max(...all), room = 0.08 * (high - low || Math.abs(high) || 1);
    const isWide = xs[0] > 0 && xs.at(-1) / xs[0] >= 20;
    const pad = isWide ? [xs[0] / 1.5, xs.at(-1) * 1.5] : [xs[0] - 0.06 * (xs.at(-1) - xs[0] || 1), xs.at(-1) + 0.06 * (xs.at(-1) - xs[0] || 1)];
    return {
      data: [xs, ...means],
      scales: { x: { time: false, distr: isWide ? 3 : 1, range: pad }, y: { range: [low - room, high + room] } },
      axes: [charts.axis(chart.xName, { size: 40, ...(isWide ? decades(pad) : {}) }), charts.axis("", { size: 64, labelSize: 0 })],
      series: [{ label: chart.xName, value: (_, value) => (value == null ? "–" : String(Number(value.toPrecision(4)))) },
        ...chart.series.map(({ label }, number) => ({ ...charts.line(label, number), value: (_, value) => (value == null ? "–" : String(Number(value.toPrecision(4)))) }))],
      hooks: { draw: [(plot) => byX.forEach((points, number) => bars(plot, points, number, byX.length))] },
    };
  }

  /** Marks at 1, 2 and 5 times the powers of ten; uPlot's own would begin at the end of the scale. */
  function decades([low, high]) {
    const marks = [];
    for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; power++) {
      for (const step of [1, 2, 5]) marks.push(Number(`${step}e${power}`));
    }
    return {
      splits: () => marks.filter((mark) => mark >= low && mark <= high),
      filter: (_, values) => values,
      values: (_, values) => values.map((value) => (/^1e/.test(value.toExponential()) ? value.toExponential(0).replace("e+", "e") : "")),
    };
  }

  /** Bars of one standard deviation and dots of the runs, series beside each other. */
  function bars(plot, points, number, count) {
    const context = plot.ctx, unit = devicePixelRatio, aside = (number - (count - 1) / 2) * 7 * unit;
    context.save();
    context.strokeStyle = context.fillStyle = charts.colour(number);
    context.lineWidth = 1.5 * unit;
    context.setLineDash([]);
    for (const [x, mean, deviation, values] of points.values()) {
      const left = plot.valToPos(x, "x", true) + aside;
      if (deviation !== null) {
        const [top, bottom] = [mean + deviation, mean - deviation].map((y) => plot.valToPos(y, "y", true));
        context.beginPath();
        for (const y of [top, bottom]) {
          context.moveTo(left - 4 * unit, y);
          context.lineTo(left + 4 * unit, y);
        }
        context.moveTo(left, top);
        context.lineTo(left, bottom);
        context.stroke();
      }
      for (const value of values) {
        context.beginPath();
        context.arc(left, plot.valToPos(value, "y", true), 2.5 * unit, 0, 2 * Math.PI);
        context.fill();
      }
    }
    context.restore();
  }

  for (const chart of data.charts) charts.draw(chart, { study });
  document.body.dataset.ready = "true";
})();
