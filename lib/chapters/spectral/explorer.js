/* The schedule explorer: closed forms of the DDIM sampler on a Gaussian, and an SVG figure of them.

   Plain JavaScript, no library, no network. `math` repeats, number for number, what the Python
   modules schedules, design and transfer compute; the tests hold the two against each other.
   Schedules are arrays of sigma = sqrt((1 - alpha_bar) / alpha_bar), clean end first. */
(function (root) {
  "use strict";
  if (root.diffbookExplorer) return;

  // --- closed forms ---------------------------------------------------------------------------

  const EPS_0 = 1e-4, EPS_S = 4e-5;
  const SIGMA_0 = Math.sqrt(EPS_0 / (1 - EPS_0)), SIGMA_S = Math.sqrt((1 - EPS_S) / EPS_S);

  const grid = (S, f) => Array.from({ length: S + 1 }, (_, s) => f(s / S));
  const pin = (sigma) => { sigma[0] = SIGMA_0; sigma[sigma.length - 1] = SIGMA_S; return sigma; };

  // Affine map of alpha_bar onto the common ends, then to sigma.
  function matchEnds(a) {
    const first = a[0], last = a[a.length - 1], span = 1 - EPS_0 - EPS_S;
    return pin(a.map((v) => {
      const ab = EPS_S + (v - last) / (first - last) * span;
      return Math.sqrt((1 - ab) / ab);
    }));
  }

  const CHAIN = (() => { // log alpha_bar of DDPM's 1000 training levels
    const out = [];
    for (let t = 0, log = 0; t < 1000; t++) {
      log += Math.log(1 - (1e-4 + (0.02 - 1e-4) * t / 999));
      out.push(log);
    }
    return out;
  })();

  function linearBeta(S) {
    return matchEnds(grid(S, (u) => {
      const t = u * 999, i = Math.min(Math.floor(t), 998);
      return Math.exp(CHAIN[i] + (t - i) * (CHAIN[i + 1] - CHAIN[i]));
    }));
  }
  const cosine = (S) => matchEnds(grid(S, (u) => Math.max(Math.cos(u * Math.PI / 2), 0) ** 2));
  const edm = (S, rho = 7) => {
    const low = SIGMA_0 ** (1 / rho), high = SIGMA_S ** (1 / rho);
    return pin(grid(S, (u) => (low + u * (high - low)) ** rho));
  };
  const logLinear = (S) => pin(grid(S, (u) => SIGMA_0 * (SIGMA_S / SIGMA_0) ** u));

  // Distinct eigenvalues with their multiplicities.
  function distinct(lam) {
    const sorted = [...lam].sort((a, b) => a - b), values = [], counts = [];
    for (const v of sorted) {
      const last = values.length - 1;
      if (last >= 0 && v - values[last] <= 1e-12 * v) counts[last] += 1;
      else { values.push(v); counts.push(1); }
    }
    return { values, counts };
  }

  // Density of steps over x = log sigma, a fixed point of p ~ sqrt(sum_i w_i k_i): the limit of many
  // steps between perfect ends, and its method `own(S)`, with the weights that the law of S steps
  // between the given ends has.
  function limitDensity(lam, loss, m = 801) {
    const { values, counts } = distinct(lam), n = values.length;
    const x0 = Math.log(SIGMA_0), h = (Math.log(SIGMA_S) - x0) / (m - 1);
    const x = Float64Array.from({ length: m }, (_, j) => x0 + j * h);
    const cell = new Float64Array(m).fill(h);
    cell[0] = cell[m - 1] = h / 2;
    const kernel = new Float64Array(n * m);
    for (let i = 0; i < n; i++) for (let j = 0; j < m; j++) {
      const s2 = Math.exp(2 * x[j]);
      kernel[i * m + j] = 0.5 * values[i] * s2 / (values[i] + s2) ** 2;
    }

    function solve(weight, start, damped) {
      let p = start, iterations = 0;
      for (let change = 1; iterations < 500 && change >= 1e-9; iterations++) {
        const q = p.map((v, j) => cell[j] / v), speed = new Float64Array(m);
        for (let i = 0; i < n; i++) {
          let E = 0;
          for (let j = 0, k = i * m; j < m; j++, k++) E += kernel[k] * q[j];
          const w = counts[i] * weight(i, E);
          if (w > 0) for (let j = 0, k = i * m; j < m; j++, k++) speed[j] += w * kernel[k];
        }
        let total = 0;
        for (let j = 0; j < m; j++) total += cell[j] * (speed[j] = Math.sqrt(speed[j]));
        if (!(total > 0)) break; // no mode lacks variance: the start stays
        change = 0;
        for (let j = 0; j < m; j++) change = Math.max(change, Math.abs(speed[j] / total / p[j] - 1));
        const next = speed.map((v, j) => damped ? Math.sqrt(p[j] * v / total) : v / total);
        const mass = next.reduce((sum, v, j) => sum + cell[j] * v, 0);
        p = next.map((v) => v / mass);
      }
      return { x, p, iterations };
    }

    const limit = solve((i, E) => (loss === "w2" ? values[i] : 1) * E,
      new Float64Array(m).fill(1 / (h * (m - 1))), false);
    const gains = values.map((l) =>
      Math.sqrt((1 - EPS_0) / EPS_S * (l + SIGMA_0 ** 2) / (l + SIGMA_S ** 2)));
    const own = (S) => solve((i, E) => {
      const v = gains[i] * Math.exp(-E / S), root = Math.sqrt(values[i]);
      return loss === "w2" ? v * (root - v) : values[i] / (v * v) - 1;
    }, limit.p, loss === "kl");
    return { ...limit, own };
  }

  // S steps that each cover the same share of the integral of the density.
  function followDensity(S, { x, p }) {
    const arc = [0];
    for (let j = 1; j < x.length; j++) arc.push(arc[j - 1] + (p[j] + p[j - 1]) / 2 * (x[j] - x[j - 1]));
    const total = arc[arc.length - 1];
    let j = 0;
    return pin(grid(S, (u) => {
      const goal = u * total;
      while (j < x.length - 2 && arc[j + 1] < goal) j++;
      return Math.exp(x[j] + (goal - arc[j]) / (arc[j + 1] - arc[j]) * (x[j + 1] - x[j]));
    }));
  }

  // Transfer function of DDIM: exact flow times the cosines of the angle increments.
  function gain(lam, sigma) {
    const S = sigma.length - 1;
    const ab = (s) => 1 / (1 + sigma[s] ** 2);
    return lam.map((l) => {
      let d1 = Math.sqrt((ab(0) * l + 1 - ab(0)) / (ab(S) * l + 1 - ab(S)));
      for (let s = 1; s <= S; s++) {
        const a = sigma[s], b = sigma[s - 1];
        d1 *= (l + a * b) / Math.sqrt((l + a * a) * (l + b * b));
      }
      return d1;
    });
  }
  const w2 = (lam, d1) =>
    Math.sqrt(lam.reduce((sum, l, i) => sum + (Math.sqrt(l) - d1[i]) ** 2, 0));
  const kl = (lam, d1) => lam.reduce((sum, l, i) => {
    const r = l / d1[i] ** 2;
    return sum + (r - 1 - Math.log(r)) / 2;
  }, 0);

  // Logarithm of W2^2 or KL and its gradient by the interior log sigma.
  function logLoss({ values, counts }, loss, sigma) {
    const S = sigma.length - 1, n = values.length, root = Math.sqrt((1 - EPS_0) / EPS_S);
    const slope = new Float64Array(S + 1), cross = new Float64Array(S + 1), own = new Float64Array(S + 1);
    let value = 0;
    for (let i = 0; i < n; i++) {
      const l = values[i];
      let d1 = root;
      for (let s = 1; s <= S; s++) {
        cross[s] = 1 / (l + sigma[s] * sigma[s - 1]);
        own[s] = 1 / (l + sigma[s] * sigma[s]);
        d1 *= own[s] / cross[s];
      }
      let w; // derivative by log D1
      if (loss === "w2") {
        const gap = d1 - Math.sqrt(l);
        value += counts[i] * gap * gap;
        w = 2 * counts[i] * gap * d1;
      } else {
        const r = l / (d1 * d1);
        value += counts[i] * (r - 1 - Math.log(r)) / 2;
        w = counts[i] * (1 - r);
      }
      for (let s = 1; s < S; s++) {
        slope[s] += w * (sigma[s - 1] * cross[s] - 2 * sigma[s] * own[s] + sigma[s + 1] * cross[s + 1]);
      }
    }
    for (let s = 1; s < S; s++) slope[s] *= sigma[s] / value;
    return { value: Math.log(value), slope };
  }

  // The optimal S-step schedule: L-BFGS on the softmax increments of log sigma, which keep the
  // schedule monotone, from a density of steps and from two heuristics as a safeguard.
  function design(lam, S, loss, density) {
    const modes = distinct(lam), starts = [followDensity(S, density), logLinear(S), cosine(S)];
    const runs = starts.map((start) => minimise(modes, loss, start));
    return runs.reduce((best, run) => run.value < best.value - 1e-12 ? run : best).sigma;
  }

  function minimise(modes, loss, start) {
    const S = start.length - 1, x0 = Math.log(SIGMA_0), span = Math.log(SIGMA_S) - x0;
    const dot = (a, b) => { let t = 0; for (let j = 0; j < S; j++) t += a[j] * b[j]; return t; };
    const evaluate = (z) => {
      const high = Math.max(...z), share = z.map((v) => Math.exp(v - high));
      const total = share.reduce((a, b) => a + b, 0), sigma = [SIGMA_0];
      for (let j = 0, c = 0; j < S; j++) {
        c += share[j] /= total;
        sigma.push(Math.exp(x0 + span * c));
      }
      pin(sigma);
      const { value, slope } = logLoss(modes, loss, sigma), g = new Float64Array(S);
      for (let j = S - 1, sum = 0; j >= 0; j--) { g[j] = sum * span; sum += slope[j]; }
      const mean = dot(share, g);
      return { z, sigma, value, g: g.map((v, j) => share[j] * (v - mean)) };
    };
    let now = evaluate(Float64Array.from({ length: S }, (_, j) => Math.log(Math.log(start[j + 1] / start[j]))));
    const pairs = [];
    for (let iteration = 0; iteration < 300; iteration++) {
      if (Math.max(...now.g.map(Math.abs)) < 1e-7) break;
      const step = now.g.map((v) => -v), memory = [];
      for (let k = pairs.length - 1; k >= 0; k--) {
        const a = pairs[k].rho * dot(pairs[k].dz, step);
        memory[k] = a;
        for (let j = 0; j < S; j++) step[j] -= a * pairs[k].dg[j];
      }
      if (pairs.length) {
        const { dg, rho } = pairs[pairs.length - 1], h = 1 / (rho * dot(dg, dg));
        for (let j = 0; j < S; j++) step[j] *= h;
      } else {
        const h = 1 / Math.max(1, Math.sqrt(dot(step, step)));
        for (let j = 0; j < S; j++) step[j] *= h;
      }
      pairs.forEach(({ dz, dg, rho }, k) => {
        const b = memory[k] - rho * dot(dg, step);
        for (let j = 0; j < S; j++) step[j] += b * dz[j];
      });
      // Weak Wolfe conditions by bisection.
      const descent = dot(now.g, step);
      if (descent >= 0) { if (!pairs.length) break; pairs.length = 0; continue; }
      let low = 0, high = Infinity, t = 1, next = null;
      for (let k = 0; k < 40; k++) {
        next = evaluate(now.z.map((v, j) => v + t * step[j]));
        if (!(next.value <= now.value + 1e-4 * t * descent)) high = t;
        else if (dot(next.g, step) < 0.9 * descent) low = t;
        else break;
        t = high < Infinity ? (low + high) / 2 : 2 * t;
      }
      if (!(next.value < now.value)) break;
      const dz = next.z.map((v, j) => v - now.z[j]), dg = next.g.map((v, j) => v - now.g[j]);
      const curvature = dot(dz, dg), gained = now.value - next.value;
      now = next;
      if (curvature > 1e-300) {
        pairs.push({ dz, dg, rho: 1 / curvature });
        if (pairs.length > 20) pairs.shift();
      }
      if (gained < 1e-14) break;
    }
    return now;
  }

  const ramp = (d = 50) => Array.from({ length: d }, (_, k) =>
    k ? (d / (d - 1)) ** 2 / (4 * Math.sin(Math.PI * k / d) ** 2) : (0.4 * d) ** 2);
  const powerLaw = (alpha, d = 256) => Array.from({ length: d }, (_, k) => ((k + 1) / 16) ** -alpha);
  const white = (variance, d = 50) => new Array(d).fill(variance);

  function show(v) { // three significant digits
    if (!isFinite(v)) return "–";
    if (v !== 0 && (Math.abs(v) < 1e-3 || Math.abs(v) >= 1e4)) {
      const [mantissa, power] = v.toExponential(2).split("e");
      const digits = String(Number(power)).replace("-", "⁻").replace(/\d/g, (c) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c]);
      return `${mantissa}·10${digits}`;
    }
    return v === 0 || Math.abs(v) >= 1e3 ? String(Number(v.toPrecision(3))) : v.toPrecision(3);
  }

  // The library's call for what the figure shows; `lam` is a line of Python.
  const python = (lam, S, loss) => [
    "import numpy as np", "from diffbook import priors, schedules", "", lam,
    `best = schedules.design_schedule(lam, ${S}, loss="${loss}")`,
    "print(best.sigma)  # clean end first; best.schedule holds alpha_bar"].join("\n");

  const math = { SIGMA_0, SIGMA_S, linearBeta, cosine, edm, logLinear, distinct, limitDensity,
    followDensity, logLoss, design, gain, w2, kl, ramp, powerLaw, white, python, show };

  // --- figure ---------------------------------------------------------------------------------

  const CURVES = [
    ["spectral", "spectral optimum", "", (S, density, lam, loss) => design(lam, S, loss, density)],
    ["fixed", "fixed\u00a0point", "1 3", (S, density) => followDensity(S, density)],
    ["linear", "linear\u00a0β", "8 3", linearBeta],
    ["cosine", "cosine", "7 3 2 3", cosine],
    ["edm", "EDM\u00a0ρ\u00a0=\u00a07", "3 3", (S) => edm(S)],
    ["loglinear", "log\u2011linear", "8 3 2 3 2 3", logLinear],
  ];

  const NS = "http://www.w3.org/2000/svg";
  function el(name, attributes = {}, ...children) {
    const svg = ["svg", "path", "line", "text", "circle", "g"].includes(name);
    const node = svg ? document.createElementNS(NS, name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  }
  const ratio = (v) => v.toFixed(v < 9.995 ? 2 : v < 99.95 ? 1 : 0);

  function chart(svg, spec) {
    const width = Math.max(svg.parentNode.clientWidth, 240), height = spec.height;
    const box = { left: 44, right: 12, top: 26, bottom: 42 };
    const scale = (range, from, to, log) => {
      const [a, b] = log ? range.map(Math.log10) : range;
      return (v) => from + ((log ? Math.log10(v) : v) - a) / (b - a || 1) * (to - from);
    };
    const x = scale(spec.x.range, box.left, width - box.right, spec.x.log);
    const y = scale(spec.y.range, height - box.bottom, box.top, spec.y.log);
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("width", width);
    svg.setAttribute("height", height);
    const parts = [];
    for (const [v, text] of spec.y.ticks) {
      parts.push(el("line", { class: "dbx-grid", x1: box.left, x2: width - box.right, y1: y(v), y2: y(v) }));
      parts.push(el("text", { x: box.left - 7, y: y(v) + 4, "text-anchor": "end" }, text));
    }
    for (const [v, text] of spec.x.ticks) {
      parts.push(el("line", { class: "dbx-tick", x1: x(v), x2: x(v), y1: height - box.bottom, y2: height - box.bottom + 4 }));
      parts.push(el("text", { x: x(v), y: height - box.bottom + 18, "text-anchor": x(v) + 4 * text.length > width ? "end" : "middle" }, text));
    }
    parts.push(el("line", { class: "dbx-axis", x1: box.left, x2: width - box.right, y1: height - box.bottom, y2: height - box.bottom }));
    if (spec.rule !== undefined) {
      parts.push(el("line", { class: "dbx-rule", x1: box.left, x2: width - box.right, y1: y(spec.rule), y2: y(spec.rule) }));
    }
    parts.push(el("text", { class: "dbx-label", x: 2, y: 13 }, spec.y.label));
    parts.push(el("text", { class: "dbx-label", x: (box.left + width - box.right) / 2, y: height - 6, "text-anchor": "middle" }, spec.x.label));
    const bottom = height - box.bottom;
    for (const line of [...spec.lines].reverse()) { // the first curve is drawn on top
      const points = line.x.map((v, i) => [x(v), Math.max(Math.min(y(line.y[i]), bottom), box.top)]);
      const group = el("g", { class: `dbx-curve dbx-${line.key}`, "data-key": line.key });
      group.append(el("path", { d: "M" + points.map((q) => q.map((v) => v.toFixed(2)).join(",")).join("L"), "stroke-dasharray": line.dash }));
      if (line.dots) for (const q of points) group.append(el("circle", { cx: q[0].toFixed(2), cy: q[1].toFixed(2), r: line.key === "spectral" ? 3.2 : 2.4 }));
      parts.push(group);
    }
    svg.replaceChildren(...parts);
    svg.setAttribute("aria-label", spec.description);
  }

  const decades = (low, high, most) => {
    const a = Math.ceil(low - 1e-9), b = Math.floor(high + 1e-9), step = Math.max(1, Math.ceil((b - a) / most));
    const ticks = [];
    for (let e = a; e <= b; e += step) {
      ticks.push([10 ** e, e >= 0 && e <= 4 ? String(10 ** e) : "10" + String(e).replace("-", "⁻").replace(/\d/g, (c) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c])]);
    }
    return ticks;
  };

  function build(host, id, data) {
    const option = (value, text) => el("option", { value }, text);
    const select = (name, label, options) => {
      const node = el("select", { id: `${id}-${name}` }, ...options.map((o) => option(...o)));
      return [node, el("div", { class: "dbx-field" }, el("label", { for: node.id }, label), node)];
    };
    const range = (name, label, min, max, step, value) => {
      const node = el("input", { type: "range", id: `${id}-${name}`, min, max, step, value });
      const out = el("output", { for: node.id });
      return [node, el("div", { class: "dbx-field" }, el("label", { for: node.id }, label + " ", out), node), out];
    };
    const spectra = [["ramp", "Synthetic ramp (d = 50)"], ["power", "Power law (d = 256)"],
      ["white", "White (d = 50)"], ...Object.keys(data.spectra).map((k) => [
      "data:" + k, `${k[0].toUpperCase()}${k.slice(1)} (d = ${data.spectra[k].length})`])];
    const [spectrum, spectrumField] = select("spectrum", "Spectrum", spectra);
    const [alpha, alphaField, alphaOut] = range("alpha", "Exponent α =", 0.5, 2.5, 0.05, 1.5);
    const [variance, varianceField, varianceOut] = range("variance", "Variance λ =", -3, 3, 0.1, 0);
    const [steps, stepsField, stepsOut] = range("steps", "Steps S =", 2, 112, 1, data.S);
    const [loss, lossField] = select("loss", "Designed for", [["w2", "W2 distance"], ["kl", "KL divergence"]]);
    const [left, leftField] = select("left", "Left axis", [["snr", "log SNR"], ["alpha", "alpha-bar (ᾱ)"]]);
    const [right, rightField] = select("right", "Right axis", [["gain", "output / data std"], ["error", "squared error"]]);
    spectrum.value = data.spectrum;
    loss.value = data.loss;

    const figure = (title) => {
      const svg = el("svg", { role: "img" });
      return [svg, el("div", { class: "dbx-panel" }, el("p", { class: "dbx-title" }, title), svg)];
    };
    const [leftSvg, leftPanel] = figure("Noise schedules");
    const [rightSvg, rightPanel] = figure("What each mode receives");

    const body = el("tbody"), cells = {}, boxes = {};
    for (const [key, name, dash] of CURVES) {
      const box = el("input", { type: "checkbox", id: `${id}-show-${key}` });
      box.checked = key !== "fixed"; // it hides the optimum where the two agree
      const swatch = el("svg", { width: 30, height: 10, viewBox: "0 0 30 10", preserveAspectRatio: "xMinYMid slice", "aria-hidden": "true", class: `dbx-curve dbx-${key}` },
        el("path", { d: "M0,5H30", "stroke-dasharray": dash }));
      const label = el("label", { for: box.id }, swatch, el("span", {}, name));
      cells[key] = [0, 1, 2, 3].map(() => el("td"));
      const row = el("tr", {}, el("th", { scope: "row" }, el("div", { class: "dbx-name" }, box, label)), ...cells[key]);
      for (const [event, on] of [["mouseenter", 1], ["mouseleave", 0], ["focusin", 1], ["focusout", 0]]) {
        row.addEventListener(event, () => host.setAttribute("data-focus", on ? key : ""));
      }
      boxes[key] = box;
      body.append(row);
    }
    const head = ["Schedule", "W2", "ratio", "KL", "ratio"].map((t) => el("th", { scope: "col" }, t));
    const table = el("table", { class: "dbx-table" },
      el("caption", {}, "Distance of the sampler’s output to the data: W2 in units of the data, KL in nats, and their ratios to the spectral optimum, which is designed for the chosen distance. The fixed point needs no optimiser: it follows the density of steps with the law’s own weights. Power law: λ = (k/16)^−α for mode k. Untick a schedule to hide its curves."),
      el("thead", {}, el("tr", {}, ...head)), body);
    const live = el("p", { class: "dbx-live", role: "status", "aria-live": "polite" });

    const copy = el("button", { type: "button", id: `${id}-copy` }, "Copy as Python");
    const code = el("textarea", { id: `${id}-code`, readonly: "", rows: 7, spellcheck: "false", "aria-label": "Python that designs the schedule shown" });
    const said = el("span", { "aria-live": "polite", class: "dbx-said" });
    code.hidden = true;
    copy.addEventListener("click", async () => {
      code.value = python(lamPython(), Number(steps.value), loss.value);
      try {
        await navigator.clipboard.writeText(code.value);
        said.textContent = "Copied.";
        code.hidden = true;
      } catch { // a page from a file has no clipboard: show the text, selected
        code.hidden = false;
        code.focus();
        code.select();
        said.textContent = "Select and copy the text below.";
      }
    });

    host.replaceChildren(
      el("div", { role: "group", "aria-label": "Settings of the schedule explorer" },
        el("div", { class: "dbx-controls" }, spectrumField, alphaField, varianceField, stepsField),
        el("div", { class: "dbx-controls" }, lossField, leftField, rightField)),
      el("div", { class: "dbx-copy" }, copy, said, code),
      el("div", { class: "dbx-panels" }, leftPanel, rightPanel), live, table);

    let cacheKey = "", limit = null, last = "";
    function lamNow() {
      if (spectrum.value === "ramp") return ramp();
      if (spectrum.value === "power") return powerLaw(Number(alpha.value));
      if (spectrum.value === "white") return white(10 ** Number(variance.value));
      return data.spectra[spectrum.value.slice(5)];
    }
    function lamPython() {
      if (spectrum.value === "ramp") return "lam = priors.GaussianPrior.ramp(d=50).lam";
      if (spectrum.value === "power") return `lam = (np.arange(1, 257) / 16) ** -${alpha.value}`;
      if (spectrum.value === "white") return `lam = np.full(50, 10.0**${variance.value})`;
      return `lam = np.array([${lamNow().join(", ")}])`;
    }
    function update() {
      said.textContent = "";
      code.hidden = true;
      const S = Number(steps.value), lam = [...lamNow()].sort((a, b) => b - a), d = lam.length;
      alphaField.hidden = spectrum.value !== "power";
      varianceField.hidden = spectrum.value !== "white";
      stepsOut.value = S;
      alphaOut.value = Number(alpha.value).toFixed(2);
      varianceOut.value = show(10 ** Number(variance.value));
      variance.setAttribute("aria-valuetext", varianceOut.value);
      const key = [spectrum.value, alpha.value, variance.value, loss.value].join();
      if (key !== cacheKey) { limit = limitDensity(lam, loss.value); cacheKey = key; }
      const density = limit.own(S);

      const results = {};
      for (const [name, , dash, make] of CURVES) {
        const sigma = make(S, density, lam, loss.value), d1 = gain(lam, sigma);
        results[name] = { sigma, d1, dash, w2: w2(lam, d1), kl: kl(lam, d1) };
      }
      const base = results.spectral, drawn = CURVES.filter(([k]) => boxes[k].checked);
      for (const [k] of CURVES) {
        const r = results[k];
        [r.w2, r.w2 / base.w2, r.kl, r.kl / base.kl].forEach((v, i) => {
          cells[k][i].textContent = i % 2 ? "×" + ratio(v) : show(v);
        });
      }

      const snr = left.value === "snr", sharesOf = right.value === "gain";
      chart(leftSvg, {
        height: 290,
        x: { range: [0, 1], ticks: [0, 0.25, 0.5, 0.75, 1].map((v) => [v, String(v)]), label: "relative step s/S (0 clean, 1 noise)" },
        y: snr
          ? { range: [-10.6, 10], ticks: [-10, -5, 0, 5, 10].map((v) => [v, String(v).replace("-", "−")]), label: "log SNR (nats)" }
          : { range: [0, 1.02], ticks: [0, 0.25, 0.5, 0.75, 1].map((v) => [v, String(v)]), label: "ᾱ (share of signal power)" },
        lines: drawn.map(([k]) => ({
          key: k, dash: results[k].dash, dots: S <= 30, x: grid(S, (u) => u),
          y: results[k].sigma.map((v) => snr ? -2 * Math.log(v) : 1 / (1 + v * v)),
        })),
        description: `Line chart of the noise schedules: ${snr ? "log SNR" : "alpha-bar"} over the relative step, for ${drawn.map((c) => c[1]).join(", ")}.`,
      });
      const error = (r) => lam.map((l, i) => Math.max((Math.sqrt(l) - r.d1[i]) ** 2, 1e-300));
      let top = 1e-300;
      for (const [k] of CURVES) for (const v of error(results[k])) top = Math.max(top, v);
      const high = Math.ceil(Math.log10(top) + 0.05);
      // The lower end follows the worst curve in coarse stops, so that it rarely jumps.
      // Modes below the noise that is left at the clean end come out with too large a std.
      const shares = CURVES.flatMap(([k]) => lam.map((l, i) => results[k].d1[i] / Math.sqrt(l)));
      const worst = shares.reduce((a, b) => Math.min(a, b)), most = shares.reduce((a, b) => Math.max(a, b));
      const floor = [0.9, 0.8, 0.6, 0.4].find((v) => worst > v) || 0;
      const ceiling = Math.max(1 + (1 - floor) * 0.04, Math.min(most, 1 + (1 - floor) / 2));
      chart(rightSvg, {
        height: 290,
        x: { range: [1, d], log: true, ticks: decades(0, Math.log10(d), 5).concat(d / 10 ** Math.floor(Math.log10(d)) > 2.4 ? [[d, String(d)]] : []), label: "mode, by decreasing variance (rank)" },
        y: sharesOf
          ? { range: [floor, ceiling], ticks: [0, 1, 2, 3, 4].map((i) => floor + i * (1 - floor) / 4).map((v) => [v, String(Number(v.toFixed(3)))]), label: "output std / data std, D₁/√λ" }
          : { range: [10 ** (high - 6), 10 ** high], log: true, ticks: decades(high - 6, high, 6), label: "squared error of the std, (√λ − D₁)²" },
        rule: sharesOf ? 1 : undefined,
        lines: drawn.map(([k]) => ({
          key: k, dash: results[k].dash, dots: false, x: lam.map((_, i) => i + 1),
          y: sharesOf ? lam.map((l, i) => results[k].d1[i] / Math.sqrt(l)) : error(results[k]),
        })),
        description: `Line chart over the modes, smooth to fine: ${sharesOf ? "standard deviation of the output relative to the data" : "squared error of the standard deviation"}, for ${drawn.map((c) => c[1]).join(", ")}.`,
      });

      const measure = loss.value, unit = measure === "w2" ? "W2" : "KL";
      const rest = CURVES.slice(2).sort((a, b) => results[a[0]][measure] - results[b[0]][measure]);
      const times = (c) => ratio(results[c[0]][measure] / base[measure]);
      const text = `${spectrum.selectedOptions[0].textContent}, ${S} steps: the spectral optimum reaches ${unit} = ${show(base[measure])}; ` +
        `of the heuristics ${rest[0][1]} comes closest, at ${times(rest[0])} times that, and ${rest[3][1]} stays farthest, at ${times(rest[3])} times.`;
      if (text !== last) live.textContent = last = text;
    }
    for (const node of host.querySelectorAll("input, select")) node.addEventListener("input", update);
    let seen = 0;
    new ResizeObserver(() => {
      const width = host.clientWidth;
      if (width && width !== seen) { seen = width; update(); }
    }).observe(host);
    update();
  }

  // JupyterLab runs the script before it attaches the output, so wait for the element.
  function mount(id, data, tries = 0) {
    const host = document.getElementById(id);
    if (host && host.isConnected) {
      if (!host.hasAttribute("data-ready")) { host.setAttribute("data-ready", ""); build(host, id, data); }
    } else if (tries < 200) setTimeout(() => mount(id, data, tries + 1), 50);
  }

  root.diffbookExplorer = { math, mount };
})(typeof window === "undefined" ? globalThis : window);
