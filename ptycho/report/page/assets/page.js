"use strict";
// The page of one run: images side by side, the wipe, values under the cursor, explanations of the figures.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const [rows, columns] = data.shape;
  const truth = data.images.find((image) => image.isTruth) ?? null;
  const VIEWS = [
    { id: "amplitude", name: "Amplitude", unit: "", layer: "amplitude" },
    { id: "phase", name: "Phase", unit: "rad", layer: "phase" },
    { id: "amplitude-error", name: "Amplitude error", unit: "", layer: "amplitude", isError: true },
    { id: "phase-error", name: "Phase error", unit: "rad", layer: "phase", isError: true },
    { id: "coverage", name: "Coverage", unit: "patches on a pixel", layer: "coverage" },
    { id: "spread", name: "Spread of patches", unit: "standard deviation", layer: "spread" },
    { id: "misfit", name: "Misfit of frames", unit: "χ² over noise", layer: "misfit" },
  ].filter((view) => (!view.isError || truth) && data.images.some((image) => image.layers.includes(view.layer)));
  const byId = (name) => document.getElementById(name);
  const layers = new Map(), viewers = [];
  let view = VIEWS[0], scale = null, shownValues = [], wipe = null, leader = null;

  // --- numbers -------------------------------------------------------------------------------------------------

  /** The inverse of `encoded` in _pixels.py. */
  async function unpacked(text) {
    const packed = Uint8Array.fromBase64 ? Uint8Array.fromBase64(text) : Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    const ranks = new Uint8Array(await new Response(stream).arrayBuffer());
    const count = ranks.length / 4, bytes = new Uint8Array(ranks.length);
    for (let rank = 0; rank < 4; rank++) {
      for (let i = 0; i < count; i++) bytes[4 * i + rank] = ranks[rank * count + i];
    }
    return new Float32Array(bytes.buffer);
  }

  function layer(number, name) {
    const key = `layer-${number}-${name}`;
    if (!layers.has(key)) layers.set(key, unpacked(byId(key).textContent));
    return layers.get(key);
  }

  const wrapped = (phase) => phase - 2 * Math.PI * Math.round(phase / (2 * Math.PI));

  /** Amplitude or phase as they are scored; other layers as they are. */
  function asScored(image, name, values) {
    if (name === "amplitude") return image.scale === 1 ? values : values.map((value) => value * image.scale);
    if (name !== "phase") return values;
    const [offset, slopeY, slopeX] = image.plane, shown = new Float32Array(values.length), middle = (data.block - 1) / 2;
    for (let row = 0, i = 0; row < rows; row++) {
      const start = offset + slopeY * (row * data.block + middle);
      for (let column = 0; column < columns; column++, i++) {
        shown[i] = wrapped(values[i] - start - slopeX * (column * data.block + middle));
      }
    }
    return shown;
  }

  async function valuesOf(number, which) {
    const image = data.images[number];
    if (!image.layers.includes(which.layer) || (which.isError && image.isTruth)) return null;
    const own = asScored(image, which.layer, await layer(number, which.layer));
    if (!which.isError) return own;
    const right = asScored(truth, which.layer, await layer(data.images.indexOf(truth), which.layer));
    return own.map((value, i) => (which.layer === "phase" ? wrapped(value - right[i]) : value - right[i]));
  }

  // --- colours -------------------------------------------------------------------------------------------------

  function percentiles(all, shares) {
    // About 50,000 of the pixels tell a percentile well enough, and are sorted in milliseconds.
    const step = Math.max(1, Math.floor(all.reduce((sum, values) => sum + values.length, 0) / 50000));
    const found = [];
    for (const values of all) for (let i = 0; i < values.length; i += step) if (Number.isFinite(values[i])) found.push(values[i]);
    const sample = Float32Array.from(found).sort();
    return shares.map((share) => (sample.length ? sample[Math.round(share * (sample.length - 1))] : 0));
  }

  function scaleOf(which, all) {
    let [low, high] = percentiles(all, [0.005, 0.995]), map = "cividis";
    if (which.isError) {
      high = Math.max(Math.abs(low), Math.abs(high)) || 1;
      return { low: -high, high, map: "PuOr" };
    }
    if (which.layer === "phase" && high - low > 1.5 * Math.PI) return { low: -Math.PI, high: Math.PI, map: "twilight" };
    if (!["amplitude", "phase"].includes(which.layer)) map = "viridis";
    if (["coverage", "spread"].includes(which.layer)) low = 0;
    return high > low ? { low, high, map } : { low: low - 0.5, high: low + 0.5, map };
  }

  function colours(name) {
    const text = data.maps[name], table = new Uint32Array(256), bytes = new Uint8Array(table.buffer);
    for (let i = 0; i < 256; i++) {
      for (let part = 0; part < 3; part++) bytes[4 * i + part] = parseInt(text.substr(6 * i + 2 * part, 2), 16);
      bytes[4 * i + 3] = 255;
    }
    return table;
  }

  function painted(values) {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [columns, rows];
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const picture = context.createImageData(columns, rows), pixels = new Uint32Array(picture.data.buffer), table = colours(scale.map);
    const factor = 256 / (scale.high - scale.low);
    for (let i = 0; i < values.length; i++) {
      const value = values[i];
      // Not a number: nothing was reconstructed there, and the hatching shows through.
      if (value === value) pixels[i] = table[Math.max(0, Math.min(255, Math.floor((value - scale.low) * factor)))];
    }
    context.putImageData(picture, 0, 0);
    return canvas;
  }

  function short(value) {
    if (!Number.isFinite(value)) return "–";
    return Math.abs(value) >= 1e4 || (value && Math.abs(value) < 1e-3) ? value.toExponential(3) : String(Number(value.toPrecision(4)));
  }

  /** The fewest digits that stand for this 32-bit number and no other. */
  function exact(value) {
    for (let digits = 6; digits < 9; digits++) if (Math.fround(Number(value.toPrecision(digits))) === value) return value.toPrecision(digits);
    return value.toPrecision(9);
  }

  function showLegend(all) {
    const bar = byId("colour-bar"), context = bar.getContext("2d"), picture = context.createImageData(256, 1);
    new Uint32Array(picture.data.buffer).set(colours(scale.map));
    context.putImageData(picture, 0, 0);
    byId("legend-low").textContent = short(scale.low);
    byId("legend-high").textContent = short(scale.high);
    byId("legend-name").textContent = view.unit ? `${view.name}, ${view.unit}` : view.name;
    bar.setAttribute("aria-label", `Colours of ${view.name} from ${short(scale.low)} to ${short(scale.high)} ${view.unit}`);
    let beyond = 0, count = 0;
    for (const values of all) {
      for (const value of values) {
        if (value !== value) continue;
        count += 1;
        if (value < scale.low || value > scale.high) beyond += 1;
      }
    }
    byId("legend-note").textContent = `One scale for all images; ${short((100 * beyond) / Math.max(count, 1))} % of the pixels lie beyond its ends.`;
  }

  // --- viewers -------------------------------------------------------------------------------------------------

  let sources = 0;
  function sourceOf(canvas) {
    const source = new OpenSeadragon.TileSource({ width: columns, height: rows, tileSize: Math.max(columns, rows), minLevel: 0, maxLevel: 0 });
    const name = `image-${(sources += 1)}`;
    source.getTileUrl = () => name;
    source.hasTransparency = () => true;
    source.downloadTileAbort = () => {};
    source.downloadTileStart = (job) => {
      // A copy, for the viewer clears what it no longer needs.
      const copy = document.createElement("canvas");
      [copy.width, copy.height] = [columns, rows];
      const context = copy.getContext("2d");
      context.drawImage(canvas, 0, 0);
      job.finish(context, null, "context2d");
    };
    return source;
  }

  function newViewer(element, label) {
    const viewer = OpenSeadragon({
      element, showNavigationControl: false, drawer: "canvas", animationTime: 0.3, springStiffness: 9, immediateRender: true,
      visibilityRatio: 0.5, minZoomImageRatio: 0.7, maxZoomPixelRatio: 48, imageSmoothingEnabled: true,
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
    });
    viewer.canvas.setAttribute("role", "application");
    viewer.canvas.setAttribute("aria-label", `${label}: arrow keys move, plus and minus zoom, 0 shows all`);
    const bar = document.createElement("div");
    bar.className = "scale-bar";
    const cross = document.createElement("div");
    cross.className = "cross";
    cross.hidden = true;
    element.append(bar, cross);
    viewers.push({ viewer, element, bar, cross });
    viewer.addHandler("canvas-scroll", (event) => {
      // The wheel turns the page unless the reader is at work in the image.
      const zooms = event.originalEvent.ctrlKey || element.contains(document.activeElement);
      event.preventDefaultAction = !zooms;
      event.preventDefault = zooms;
    });
    // Only the viewer that the reader is at work in moves the others, or each would hold back the next.
    for (const event of ["pointerdown", "wheel", "keydown", "focusin"]) {
      element.addEventListener(event, () => { leader = viewer; }, { capture: true, passive: true });
    }
    viewer.addHandler("viewport-change", () => { if (viewer === leader) follow(); });
    viewer.addHandler("resize", () => requestAnimationFrame(() => adorn()));
    element.addEventListener("pointermove", (event) => read(viewer, element, event));
    element.addEventListener("pointerleave", () => viewers.forEach((each) => { each.cross.hidden = true; }));
    return viewer;
  }

  function follow() {
    const bounds = leader.viewport.getBounds(true), centre = bounds.getCenter();
    for (const { viewer } of viewers) {
      if (viewer === leader || !viewer.world.getItemCount()) continue;
      // By width, so that viewers of different sizes show the same part.
      viewer.viewport.zoomTo(1 / bounds.width, null, true);
      viewer.viewport.panTo(centre, true);
    }
    adorn();
  }

  /** Scale bars, the line of the wipe, and pixels that stay square when they are large. */
  function adorn() {
    for (const { viewer, element, bar } of viewers) {
      if (!viewer.world.getItemCount()) continue;
      const screenPx = viewer.viewport.getContainerSize().x / (viewer.viewport.getBounds(true).width * columns);
      viewer.drawer.setImageSmoothingEnabled(screenPx < 2);
      showBar(bar, screenPx / data.block, element.clientWidth);
    }
    cut();
  }

  function showBar(bar, screenPx, width) {
    const unit = data.pixelNm ?? 1, room = (0.3 * width * unit) / screenPx, decade = 10 ** Math.floor(Math.log10(room));
    const length = [5, 2, 1].map((step) => step * decade).find((each) => each <= room);
    let text = `${short(length)} px`;
    if (data.pixelNm) text = length >= 1000 ? `${short(length / 1000)} µm` : `${short(length)} nm`;
    const line = document.createElement("i");
    line.style.width = `${(length * screenPx) / unit}px`;
    bar.replaceChildren(text, line);
  }

  function replaceImage(viewer, index, values) {
    return new Promise((resolve) => {
      const isThere = index < viewer.world.getItemCount();
      viewer.addTiledImage({
        tileSource: sourceOf(painted(values)), index, replace: isThere, success: resolve,
        error: (event) => { throw new Error(event.message); },
      });
    });
  }

  // --- what is shown -------------------------------------------------------------------------------------------

  async function show(chosen) {
    view = chosen;
    const found = await Promise.all(data.images.map((_, number) => valuesOf(number, chosen)));
    if (view !== chosen) return;
    shownValues = found;
    const known = found.filter((values) => values !== null);
    scale = scaleOf(chosen, known);
    showLegend(known);
    await Promise.all(found.map((values, number) => showPanel(number, values)));
    await showWipe();
    document.body.dataset.view = chosen.id;
  }

  async function showPanel(number, values) {
    const { viewer, nothing } = panels[number];
    nothing.hidden = values !== null;
    nothing.textContent = values === null ? `${data.images[number].label} has no ${view.name.toLowerCase()}` : "";
    viewer.canvas.setAttribute("aria-label", described(number));
    if (values !== null) await replaceImage(viewer, 0, values);
  }

  function described(number) {
    const values = shownValues[number], label = data.images[number].label;
    if (values === null) return `${label}: ${view.name} is not known`;
    const [low, middle, high] = percentiles([values], [0.005, 0.5, 0.995]).map(short);
    return `${view.name} of ${label}, from ${low} to ${high} ${view.unit}, median ${middle}; arrow keys move, plus and minus zoom, 0 shows all`;
  }

  async function showWipe() {
    const pair = [byId("wipe-left"), byId("wipe-right")].map((select) => Number(select.value));
    const nothing = new Float32Array(rows * columns).fill(NaN);
    for (const [index, number] of pair.entries()) await replaceImage(wipe, index, shownValues[number] ?? nothing);
    const names = pair.map((number) => data.images[number].label);
    wipe.canvas.setAttribute("aria-label", `${view.name}: ${names[0]} left of the line, ${names[1]} right of it`);
    adorn();
  }

  function cut() {
    if (!wipe || wipe.world.getItemCount() < 2) return;
    const share = Number(byId("wipe-position").value) / 100, bounds = wipe.viewport.getBounds(true);
    const x = Math.max(0, Math.min(columns, (bounds.x + share * bounds.width) * columns));
    const parts = [new OpenSeadragon.Rect(0, 0, x, rows), new OpenSeadragon.Rect(x, 0, columns - x, rows)];
    parts.forEach((part, index) => {
      const item = wipe.world.getItemAt(index);
      // An empty clip is taken for none at all.
      item.setOpacity(part.width > 0 ? 1 : 0);
      if (part.width > 0) item.setClip(part);
    });
    wipeLine.style.left = `${100 * share}%`;
  }

  // --- the value under the cursor ------------------------------------------------------------------------------

  function read(viewer, element, event) {
    const item = viewer.world.getItemAt(0);
    if (!item) return;
    const box = element.getBoundingClientRect();
    const point = viewer.viewport.pointFromPixel(new OpenSeadragon.Point(event.clientX - box.left, event.clientY - box.top), true);
    const column = Math.floor(point.x * columns), row = Math.floor(point.y * columns);
    if (row < 0 || column < 0 || row >= rows || column >= columns) return;
    mark(point);
    tell(row, column);
  }

  function mark(point) {
    for (const { viewer, cross } of viewers) {
      if (!viewer.world.getItemCount()) continue;
      const place = viewer.viewport.pixelFromPoint(point, true);
      cross.hidden = false;
      cross.style.transform = `translate(${place.x}px, ${place.y}px)`;
    }
  }

  async function tell(row, column) {
    const index = row * columns + column, first = [row, column].map((each) => each * data.block);
    const where = data.block === 1 ? `Row ${first[0]}, column ${first[1]}`
      : `Mean of rows ${first[0]}–${Math.min(first[0] + data.block, data.fullShape[0]) - 1}, columns ${first[1]}–${Math.min(first[1] + data.block, data.fullShape[1]) - 1}`;
    const lines = [`${where} of the window (object ${first[0] + data.origin[0]}, ${first[1] + data.origin[1]})`];
    for (const [number, image] of data.images.entries()) {
      const value = shownValues[number]?.[index];
      panels[number].value.textContent = value === undefined ? "" : short(value);
      lines.push(`${image.label}: ${await told(number, value, index)}`);
    }
    byId("readout").textContent = lines.join("\n");
  }

  async function told(number, value, index) {
    if (value === undefined) return "not known";
    if (value !== value) return view.layer === "amplitude" || view.layer === "phase" ? "not reconstructed" : "not known here";
    const unit = view.unit ? ` ${view.unit}` : "";
    if (view.layer !== "amplitude" && view.layer !== "phase") return `${short(value)}${unit}`;
    const stored = (await layer(number, view.layer))[index];
    const held = data.block === 1 ? `in the file ${exact(stored)}` : `block mean ${short(stored)}`;
    return `${short(value)}${unit}${view.isError ? " off the truth" : " as scored"}, ${view.isError ? view.layer : ""} ${held}`.replace("  ", " ");
  }

  // --- building ------------------------------------------------------------------------------------------------

  const panels = [];
  const wipeLine = document.createElement("div");
  wipeLine.className = "wipe-line";

  function buildPanel(image) {
    const figure = document.createElement("figure"), caption = document.createElement("figcaption"), value = document.createElement("span");
    const element = document.createElement("div"), nothing = document.createElement("div");
    figure.className = "panel";
    element.className = "viewer";
    nothing.className = "nothing";
    nothing.hidden = true;
    element.style.aspectRatio = wipeBox.style.aspectRatio;
    caption.append(image.label, value);
    figure.append(caption, element);
    byId("panels").append(figure);
    const viewer = newViewer(element, image.label);
    element.append(nothing);
    panels.push({ viewer, nothing, value });
  }

  function buildTabs() {
    const tabs = VIEWS.map((each, number) => {
      const tab = document.createElement("button");
      Object.assign(tab, { type: "button", id: `tab-${each.id}`, textContent: each.name, tabIndex: number ? -1 : 0 });
      tab.setAttribute("role", "tab");
      tab.setAttribute("aria-selected", String(number === 0));
      tab.setAttribute("aria-controls", "view-panel");
      return tab;
    });
    const choose = (number) => {
      tabs.forEach((tab, i) => {
        tab.setAttribute("aria-selected", String(i === number));
        tab.tabIndex = i === number ? 0 : -1;
      });
      byId("view-panel").setAttribute("aria-labelledby", tabs[number].id);
      return show(VIEWS[number]);
    };
    tabs.forEach((tab, number) => {
      tab.addEventListener("click", () => choose(number));
      tab.addEventListener("keydown", (event) => {
        const next = { ArrowRight: number + 1, ArrowLeft: number - 1, Home: 0, End: tabs.length - 1 }[event.key];
        if (next === undefined) return;
        event.preventDefault();
        const wanted = (next + tabs.length) % tabs.length;
        tabs[wanted].focus();
        choose(wanted);
      });
    });
    byId("views").append(...tabs);
    return choose(0);
  }

  function buildWipe() {
    for (const [name, chosen] of [["wipe-left", 0], ["wipe-right", data.images.length - 1]]) {
      byId(name).append(...data.images.map((image, number) => new Option(image.label, number, false, number === chosen)));
      byId(name).addEventListener("change", showWipe);
    }
    wipe = newViewer(wipeBox, "Wipe");
    wipeBox.append(wipeLine);
    byId("wipe-position").addEventListener("input", (event) => {
      event.target.setAttribute("aria-valuetext", `${event.target.value} % from the left`);
      cut();
    });
  }

  function buildButtons() {
    const move = (change) => () => {
      leader = panels[0].viewer;
      change(leader.viewport);
      leader.viewport.applyConstraints();
    };
    byId("zoom-in").addEventListener("click", move((viewport) => viewport.zoomBy(1.5)));
    byId("zoom-out").addEventListener("click", move((viewport) => viewport.zoomBy(1 / 1.5)));
    byId("zoom-fit").addEventListener("click", move((viewport) => viewport.goHome()));
  }

  function buildTips() {
    const tip = byId("tip");
    if (!tip?.showPopover) return;
    const hide = () => tip.matches(":popover-open") && tip.hidePopover();
    const reveal = (term) => {
      tip.textContent = byId(term.getAttribute("aria-describedby")).textContent.trim().replace(/\s+/g, " ");
      tip.showPopover();
      const box = term.getBoundingClientRect(), own = tip.getBoundingClientRect();
      const below = box.bottom + own.height + 12 < innerHeight;
      tip.style.left = `${Math.max(8, Math.min(box.left, innerWidth - own.width - 8))}px`;
      tip.style.top = `${below ? box.bottom + 6 : Math.max(8, box.top - own.height - 6)}px`;
    };
    for (const term of document.querySelectorAll(".term")) {
      for (const event of ["pointerenter", "focus", "click"]) term.addEventListener(event, () => reveal(term));
      for (const event of ["pointerleave", "blur"]) term.addEventListener(event, hide);
    }
    addEventListener("keydown", (event) => event.key === "Escape" && hide());
    addEventListener("scroll", hide, { passive: true });
    // On paper nothing can be pointed at.
    addEventListener("beforeprint", () => { document.querySelector(".about").open = true; });
  }

  const wipeBox = byId("wipe");
  async function build() {
    buildTips();
    if (data.images.length) {
      wipeBox.style.aspectRatio = `${columns} / ${Math.max(rows, columns / 3)}`;
      data.images.forEach(buildPanel);
      leader = panels[0].viewer;
      byId("readout").parentNode.style.minHeight = `${1.5 * (data.images.length + 1) + 0.8}em`;
      buildWipe();
      buildButtons();
      await buildTabs();
    }
    for (const chart of data.charts) charts.draw(chart, { frc: charts.curves, course: charts.course });
    performance.mark("interactive");
    document.body.dataset.ready = "true";
  }
  build();
})();
