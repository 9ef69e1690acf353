"use strict";
// The page of a training: one value an epoch, on logarithmic scales.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);

  function said(value) {
    return value == null ? "–" : String(Number(value.toPrecision(4)));
  }

  function epochs(chart) {
    const last = chart.x.at(-1);
    const positive = chart.lines.map(({ y }) => y.map((value) => (value > 0 ? value : null)));
    const known = positive.flat().filter((value) => value !== null);
    const low = Math.min(...known, chart.id === "chi2" ? 1 : Infinity), high = Math.max(...known);
    return {
      data: [chart.x, ...positive],
      scales: { x: { time: false, range: [0.5, last + 0.5] }, y: { distr: 3, range: [low / 1.15, high * 1.15] } },
      axes: [charts.axis("epoch", { size: 40, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] }),
        charts.axis(chart.axis, { size: 72, splits: () => marks(low / 1.15, high * 1.15), filter: (_, values) => values,
          values: (_, values) => values.map((value) => String(value)) })],
      series: [{ label: "epoch", value: (_, value) => value ?? "–" },
        ...chart.lines.map(({ label }, number) => ({ ...charts.line(label, number), value: (_, value) => said(value),
          points: { show: last === 1 } }))],
    };
  }

  /** Round numbers between the ends: 1, 2, 5 times powers of ten, or finer where few of those fit. */
  function marks(low, high) {
    for (const steps of [[1], [1, 2, 5], [1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9]]) {
      const found = [];
      for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; power++) {
        found.push(...steps.map((step) => Number(`${step}e${power}`)).filter((mark) => mark >= low && mark <= high));
      }
      if (found.length >= 3) return found;
    }
    return [Number(low.toPrecision(3)), Number(high.toPrecision(3))];
  }

  for (const chart of data.charts) charts.draw(chart, { epochs });
  document.body.dataset.ready = "true";
})();
