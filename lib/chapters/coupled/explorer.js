/* The explorer of couplings: exact networks of a Gaussian mixture in the plane, and a figure of them.

   Plain JavaScript, no library, no network. `math` repeats what chapters.coupled.worlds and
   diffbook.coupled compute for a diagonal A; the tests hold the two against each other. */
(function (root) {
  "use strict";
  if (root.diffbookCoupled) return;

  // --- exact networks ---------------------------------------------------------------------------

  // Condition a Gaussian of independent coordinates on observations {a, v, z}: a z0 + noise of variance v.
  function condition(mean, variance, seen) {
    let log = 0;
    for (let i = 0; i < mean.length; i++) {
      let c = variance;
      for (const { a, v, z } of seen) {
        const slope = a ? a[i] : 1, spread = slope * slope * c + v, gap = z[i] - slope * mean[i];
        log -= gap * gap / spread / 2;
        mean[i] += c * slope / spread * gap;
        c -= c * c * slope * slope / spread;
      }
    }
    return log;
  }

  // Means of x0 and y0 given observations of each, and the probabilities of the components.
  function given(w, ofX, ofY) {
    const parts = w.means.map((m, j) => {
      const x = [...m], y = [...w.codes[w.labels[j]]];
      return { x, y, log: Math.log(w.weights[j]) + condition(x, w.s ** 2, ofX) + condition(y, w.tau ** 2, ofY) };
    });
    const top = Math.max(...parts.map((q) => q.log)), r = parts.map((q) => Math.exp(q.log - top));
    const total = r.reduce((a, b) => a + b, 0);
    const mean = (name) => parts[0][name].map((_, i) => parts.reduce((sum, q, j) => sum + r[j] / total * q[name][i], 0));
    return { x: mean("x"), y: mean("y"), r: r.map((v) => v / total), parts };
  }
  const ofU = (w, u) => ({ a: w.A, v: w.noise ** 2, z: u });
  const varianceX = (w) => w.A.reduce((sum, a) => sum + 1 / (1 / w.s ** 2 + (a / w.noise) ** 2), 0) / w.A.length;
  const classes = (w, r) => w.codes.map((_, k) => r.reduce((sum, v, j) => sum + (w.labels[j] === k ? v : 0), 0));
  const posterior = (w, u) => classes(w, given(w, [ofU(w, u)], []).r);
  const classify = (w, x) => classes(w, given(w, [{ v: 0, z: x }], []).r);
  const argmax = (p) => p.indexOf(Math.max(...p));
  const signal = (w, v, sigma, u, y) =>
    given(w, [ofU(w, u), { v: sigma ** 2, z: v }], y ? [{ v: w.trust, z: y }] : []).x;
  const logits = (w, v, sigma, u, x) =>
    given(w, [x ? { v: varianceX(w), z: x } : ofU(w, u)], [{ v: sigma ** 2, z: v }]).y;

  // --- couplings --------------------------------------------------------------------------------

  // noise(branch, round, s, length); frames are the estimates in the order in which they are made.
  function run(w, u, sigma, coupling, sampler, noise) {
    const S = sigma.length - 1, size = { signal: w.A.length, logits: w.codes.length }, frames = [];
    const start = (branch, round) => Array.from(noise(branch, round, S, size[branch]), (z) => sigma[S] * z);
    const step = (branch, round, s, v, hat) => {
      frames.push({ branch, round, s, hat });
      const ratio = sigma[s - 1] / sigma[s], a = sampler === "ddim" ? ratio : ratio ** 2;
      const c = sampler === "ancestral" ? sigma[s - 1] * Math.sqrt(1 - a) : 0;
      const z = c > 0 ? noise(branch, round, s - 1, size[branch]) : null;
      return v.map((q, i) => a * q + (1 - a) * hat[i] + (z ? c * z[i] : 0));
    };
    const enhance = (y, round) => {
      let v = start("signal", round);
      for (let s = S; s > 0; s--) v = step("signal", round, s, v, signal(w, v, sigma[s], u, y));
      return v;
    };
    const diffuse = (x, round) => {
      let v = start("logits", round);
      for (let s = S; s > 0; s--) v = step("logits", round, s, v, logits(w, v, sigma[s], u, x));
      return v;
    };
    let x = null, y = null;
    if (coupling === "enhanced") x = enhance(null, 0);
    else if (coupling === "card") y = diffuse(null, 0);
    else if (coupling === "parallel") {
      let yHat = null;
      x = start("signal", 0);
      y = start("logits", 0);
      for (let s = S; s > 0; s--) {
        const open = s <= Math.ceil(S / 2), xHat = signal(w, x, sigma[s], u, open ? yHat : null);
        x = step("signal", 0, s, x, xHat);
        yHat = logits(w, y, sigma[s], u, open ? xHat : null);
        y = step("logits", 0, s, y, yHat);
      }
    } else if (coupling === "alternating") {
      for (let round = 0; round < 5; round++) { x = enhance(y, round); y = diffuse(x, round); }
    } else { // nested
      const refresh = [1, 2, 3, 4, 5].map((k) => Math.round(2 / 3 * S * k / 5));
      let round = 0, yHat = null;
      x = enhance(null, 0);
      y = start("logits", 0);
      for (let s = S; s > 0; s--) {
        if (refresh.includes(s)) x = enhance(yHat, ++round);
        yHat = logits(w, y, sigma[s], u, x);
        y = step("logits", 0, s, y, yHat);
      }
    }
    return { x, y, frames };
  }

  function random(seed) { // mulberry32, and normal numbers by Box and Muller
    let state = seed >>> 0;
    const uniform = () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
    const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
    return { uniform, normal, noise: (branch, round, s, n) => Array.from({ length: n }, normal) };
  }

  // One draw: its class, and which strategies find it, by the logits and by f of the signal.
  function trial(w, sigma, sampler, seed) {
    const { uniform, normal } = random(seed);
    let pick = uniform(), j = 0;
    while (j < w.weights.length - 1 && pick > w.weights[j]) pick -= w.weights[j++];
    const u = w.A.map((a, i) => a * (w.means[j][i] + w.s * normal()) + w.noise * normal());
    const label = w.labels[j], p = posterior(w, u), hit = { bayes: [argmax(p) === label, null] };
    for (const [key] of COUPLINGS) {
      const { x, y } = run(w, u, sigma, key, sampler, random(1e6 + seed).noise);
      hit[key] = [y && argmax(y) === label, x && argmax(classify(w, x)) === label];
    }
    return hit;
  }

  const COUPLINGS = [["enhanced", "Enhanced"], ["parallel", "Parallel"], ["alternating", "Alternating"],
    ["nested", "Nested"], ["card", "Logits from u"]];
  const math = { given, posterior, classify, signal, logits, run, random, trial };

  // --- figure -----------------------------------------------------------------------------------

  const NS = "http://www.w3.org/2000/svg", TRIALS = 1000, COPIES = 10;
  const SVG = ["svg", "path", "line", "text", "circle", "ellipse", "g"];
  function el(name, attributes = {}, ...children) {
    const node = SVG.includes(name) ? document.createElementNS(NS, name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  }
  // A class has a colour and a shape: circle, square, triangle.
  function mark(k, x, y, r, filled) {
    const path = [
      `M${x - r},${y}a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0`,
      `M${x - r},${y - r}h${2 * r}v${2 * r}h${-2 * r}z`,
      `M${x},${y - 1.2 * r}l${1.2 * r},${2.1 * r}h${-2.4 * r}z`,
    ][k];
    return el("path", { class: `dbc-${k} ${filled ? "dbc-end" : "dbc-mode"}`, d: path });
  }

  function build(host, id, data) {
    const select = (name, label, options) => {
      const node = el("select", { id: `${id}-${name}` }, ...options.map(([value, text]) => el("option", { value }, text)));
      return [node, el("div", { class: "dbc-field" }, el("label", { for: node.id }, label), node)];
    };
    const range = (name, label, min, max, step, value) => {
      const node = el("input", { type: "range", id: `${id}-${name}`, min, max, step, value });
      const out = el("output", { for: node.id });
      return [node, el("div", { class: "dbc-field" }, el("label", { for: node.id }, label + " ", out), node), out];
    };
    const [world, worldField] = select("world", "Classes", Object.keys(data.worlds).map((name) => [name, name]));
    const [coupling, couplingField] = select("coupling", "Strategy", COUPLINGS);
    const [sampler, samplerField] = select("sampler", "Sampler",
      [["zero-variance", "zero-variance"], ["ancestral", "ancestral"], ["ddim", "DDIM"]]);
    const [noise, noiseField, noiseOut] = range("noise", "Noise of u", 0.1, 1.2, 0.05, data.noise);
    const [across, acrossField, acrossOut] = range("across", "u, seen axis", -2, 2, 0.05, data.u[0]);
    const [up, upField, upOut] = range("up", "u, hidden axis", -2, 2, 0.05, data.u[1]);
    const [step, stepField, stepOut] = range("step", "Step", 1, 1, 1, 1);
    stepField.classList.add("dbc-wide");
    coupling.value = data.coupling;
    sampler.value = data.sampler;
    const figure = (title) => {
      const svg = el("svg", { role: "img", viewBox: "0 0 300 300" });
      return [svg, el("div", { class: "dbc-panel" }, el("p", { class: "dbc-title" }, title), svg)];
    };
    const [plane, planePanel] = figure("Signals x̂ in the plane");
    const [simplex, simplexPanel] = figure("Logits ŷ between the classes");
    const live = el("p", { class: "dbc-live", role: "status", "aria-live": "polite" });
    const cells = {}, body = el("tbody");
    for (const [key, name] of [...COUPLINGS, ["bayes", "Bayes"]]) {
      cells[key] = [el("td"), el("td"), el("td")];
      body.append(el("tr", { "data-key": key }, el("th", { scope: "row" }, name), ...cells[key]));
    }
    const table = el("table", { class: "dbc-table" },
      el("caption", {}, `Right decisions in % of ${TRIALS} new draws at this noise, with this sampler and exact networks, and what the strategy’s own decision gains over “Enhanced” on the same draws; ± two standard errors. “Logits from u” diffuses logits that see the observation and no signal. In the plane, dashed ellipses are what u leaves of each mode, the fainter the less likely; faint paths are those of earlier chains.`),
      el("thead", {}, el("tr", {}, ...["Strategy", "by logits", "by f(x̂)", "gain"].map((t) => el("th", { scope: "col" }, t)))), body);
    host.replaceChildren(
      el("div", { role: "group", "aria-label": "Settings of the explorer of couplings" },
        el("div", { class: "dbc-controls" }, worldField, couplingField, samplerField),
        el("div", { class: "dbc-controls" }, noiseField, acrossField, upField),
        el("div", { class: "dbc-controls" }, stepField)),
      el("div", { class: "dbc-panels" }, planePanel, simplexPanel), live, table);

    const SIDE = 2.3, px = (x) => 150 + x / SIDE * 148, py = (y) => 150 - y / SIDE * 148;
    let w = null, runs = [], job = 0, last = "";
    // Where corner k of the simplex stands, and logits as a mixture of the corners.
    const corner = (k) => w.codes.length === 2 ? [40 + 220 * k, 150] : [[150, 40], [262, 234], [38, 234]][k];
    const place = (y) => {
      const gap = w.codes[0][0] - w.codes[0][1], p = y.map((v) => v / gap + 1 / y.length);
      return [0, 1].map((i) => p.reduce((sum, q, k) => sum + q * corner(k)[i], 0));
    };
    const trace = (points) => "M" + points.map((q) => q.map((v) => v.toFixed(1)).join(",")).join("L");

    function regions() { // where f decides for which class
      const n = 60, h = 300 / n, paths = w.codes.map(() => "");
      for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) {
        const x = ((i + 0.5) * h - 150) / 148 * SIDE, y = (150 - (j + 0.5) * h) / 148 * SIDE;
        paths[argmax(classify(w, [x, y]))] += `M${i * h},${j * h}h${h}v${h}h${-h}z`;
      }
      return paths.map((d, k) => el("path", { class: `dbc-region dbc-${k}`, d }));
    }
    let ground = [];

    function draw() {
      const frames = runs[0].frames, now = Number(step.value), at = frames[now - 1];
      const stage = `${at.branch}, ${frames.some((q) => q.round > 0) ? `chain ${at.round + 1}, ` : ""}level ${at.s}`;
      stepOut.value = `${now} of ${frames.length} (${stage})`;
      step.setAttribute("aria-valuetext", stepOut.value);
      const u = [Number(across.value), Number(up.value)], seen = given(w, [ofU(w, u)], []);
      const spread = w.A.map((a) => 2 / Math.sqrt(1 / w.s ** 2 + (a / w.noise) ** 2) / SIDE * 148);
      const left = [...ground, ...seen.parts.map((q, j) => el("ellipse", {
        class: `dbc-belief dbc-${w.labels[j]}`, cx: px(q.x[0]), cy: py(q.x[1]), rx: spread[0], ry: spread[1], opacity: Math.max(0.08, seen.r[j]).toFixed(3) })),
      ...w.means.map((m, j) => mark(w.labels[j], px(m[0]), py(m[1]), 5, false))];
      const right = [el("path", { class: "dbc-frame", d: trace(w.codes.map((_, k) => corner(k))) + "z" }),
        ...w.codes.map((_, k) => mark(k, ...corner(k), 6, false)),
        ...w.codes.map((_, k) => el("text", { x: corner(k)[0], y: corner(k)[1] + (corner(k)[1] < 100 ? -14 : 26), "text-anchor": "middle" }, `class ${k}`))];
      const count = { signal: w.codes.map(() => 0), logits: w.codes.map(() => 0) };
      for (const { frames } of runs) {
        for (const [branch, layer, to] of [["signal", left, (x) => [px(x[0]), py(x[1])]], ["logits", right, place]]) {
          const shown = frames.slice(0, now).filter((q) => q.branch === branch);
          if (!shown.length) continue;
          const hat = shown[shown.length - 1].hat, k = argmax(branch === "signal" ? classify(w, hat) : hat);
          let begin = 0; // each round starts anew
          shown.forEach((q, i) => {
            if (i + 1 < shown.length && shown[i + 1].round === q.round) return;
            const old = i + 1 < shown.length ? " dbc-old" : "";
            layer.push(el("path", { class: `dbc-path dbc-${k}${old}`, d: trace(shown.slice(begin, i + 1).map((f) => to(f.hat))) }));
            begin = i + 1;
          });
          layer.push(mark(k, ...to(hat), 3.2, true));
          count[branch][k]++;
        }
      }
      left.push(el("path", { class: "dbc-u", d: `M${px(u[0]) - 6},${py(u[1]) - 6}l12,12m0,-12l-12,12` }),
        el("text", { class: "dbc-label", x: px(u[0]) + 9, y: py(u[1]) + 4 }, "u"));
      plane.replaceChildren(...left);
      simplex.replaceChildren(...right);
      const say = (branch, what) => count[branch].some((c) => c)
        ? `${what}: ${count[branch].map((c, k) => `${c} in class ${k}`).join(", ")}.` : "";
      const p = classes(w, seen.r).map((v, k) => `class ${k} ${v.toFixed(2)}`).join(", ");
      const text = `Probabilities given u: ${p}. Where ${COPIES} runs stand. ${say("signal", "Signals")} ${say("logits", "Logits")}`;
      plane.setAttribute("aria-label", `Plane with the classifier’s regions, the modes of the classes, what u leaves of them as ellipses, and the paths of the signal estimates. ${say("signal", "Signals")}`);
      simplex.setAttribute("aria-label", `The classes as corners and the paths of the logit estimates between them. ${say("logits", "Logits") || "This strategy has none."}`);
      if (text !== last) live.textContent = last = text;
    }

    function paths() { // the same random numbers for every setting
      const u = [Number(across.value), Number(up.value)], before = step.max === step.value;
      acrossOut.value = u[0].toFixed(2);
      upOut.value = u[1].toFixed(2);
      runs = Array.from({ length: COPIES }, (_, i) => run(w, u, data.sigma, coupling.value, sampler.value, random(1000 + i).noise));
      step.max = runs[0].frames.length;
      if (before) step.value = step.max;
      draw();
    }
    function accuracies() { // in small pieces, so that the page stays alive
      const mine = ++job, hits = [], keys = Object.keys(cells);
      for (const key of keys) for (const cell of cells[key]) cell.textContent = "…";
      table.setAttribute("aria-busy", "true");
      const show = (values, sign) => {
        if (values[0] === null) return "–";
        const mean = values.reduce((a, b) => a + b, 0) / TRIALS;
        const error = 2 * Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / (TRIALS - 1) / TRIALS);
        return `${sign && mean > 0 ? "+" : ""}${(100 * mean).toFixed(1)} ± ${(100 * error).toFixed(1)}`.replace("-", "−");
      };
      const piece = () => {
        if (mine !== job) return;
        for (let i = 0; i < 20; i++) hits.push(trial(w, data.sigma, sampler.value, 7 + hits.length));
        if (hits.length < TRIALS) { setTimeout(piece, 0); return; }
        const own = (hit, key) => Number(hit[key][0] === null ? hit[key][1] : hit[key][0]);
        for (const key of keys) {
          const gains = hits.map((hit) => own(hit, key) - own(hit, "enhanced"));
          const columns = [hits.map((hit) => hit[key][0]), hits.map((hit) => hit[key][1]), gains];
          columns.forEach((values, c) => { cells[key][c].textContent = show(values, c === 2); });
        }
        table.setAttribute("aria-busy", "false");
      };
      setTimeout(piece, 150);
    }
    function update(event) {
      const source = event ? event.target : world;
      if (source === step) { draw(); return; }
      w = { ...data.worlds[world.value], noise: Number(noise.value) };
      noiseOut.value = w.noise.toFixed(2);
      if (source === world) ground = regions();
      for (const row of body.rows) row.classList.toggle("dbc-chosen", row.dataset.key === coupling.value);
      paths();
      if ([world, noise, sampler].includes(source)) accuracies();
    }
    step.max = step.value = 1;
    for (const node of host.querySelectorAll("input, select")) node.addEventListener("input", update);
    const drag = (event) => {
      if (!event.buttons) return;
      const box = plane.getBoundingClientRect();
      across.value = ((event.clientX - box.left) / box.width * 300 - 150) / 148 * SIDE;
      up.value = (150 - (event.clientY - box.top) / box.height * 300) / 148 * SIDE;
      update({ target: across });
    };
    plane.addEventListener("pointerdown", (event) => { plane.setPointerCapture(event.pointerId); drag(event); });
    plane.addEventListener("pointermove", drag);
    update();
  }

  // JupyterLab runs the script before it attaches the output, so wait for the element.
  function mount(id, data, tries = 0) {
    const host = document.getElementById(id);
    if (host && host.isConnected) {
      if (!host.hasAttribute("data-ready")) { host.setAttribute("data-ready", ""); build(host, id, data); }
    } else if (tries < 200) setTimeout(() => mount(id, data, tries + 1), 50);
  }

  root.diffbookCoupled = { math, mount };
})(typeof window === "undefined" ? globalThis : window);
