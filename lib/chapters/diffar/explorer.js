/* The explorer of overlaps and steps: plays one of many recordings of a sentence and draws its spectrogram.

   Plain JavaScript, no library, no network. Web Audio decodes and changes between recordings at the same
   sample; where it cannot decode, an audio element plays, and there is no picture. */
(function (root) {
  "use strict";
  if (root.diffbookDiffar) return;

  // --- spectrogram ------------------------------------------------------------------------------

  const SIZE = 256, HOP = SIZE / 4, BINS = SIZE / 2 + 1, RANGE = 70;
  const HANN = Float64Array.from({ length: SIZE }, (_, i) => 0.5 - 0.5 * Math.cos(2 * Math.PI * i / SIZE));

  function fft(re, im) { // in place, radix 2
    const n = re.length;
    for (let i = 1, j = 0; i < n; i++) {
      let bit = n >> 1;
      for (; j & bit; bit >>= 1) j ^= bit;
      j ^= bit;
      if (i < j) { [re[i], re[j]] = [re[j], re[i]]; [im[i], im[j]] = [im[j], im[i]]; }
    }
    for (let half = 1; half < n; half *= 2) for (let k = 0; k < half; k++) {
      const c = Math.cos(Math.PI * k / half), s = -Math.sin(Math.PI * k / half);
      for (let i = k; i < n; i += 2 * half) {
        const j = i + half, x = re[j] * c - im[j] * s, y = re[j] * s + im[j] * c;
        re[j] = re[i] - x; im[j] = im[i] - y;
        re[i] += x; im[i] += y;
      }
    }
  }
  // Decibels, BINS values a frame; frame k is centred at sample k HOP; a sine at full scale has 0.
  function spectrogram(x) {
    const frames = Math.floor(x.length / HOP) + 1, out = new Float32Array(frames * BINS);
    for (let k = 0; k < frames; k++) {
      const from = k * HOP - SIZE / 2, im = new Float64Array(SIZE), re = HANN.map((w, i) => w * (x[from + i] || 0));
      fft(re, im);
      for (let b = 0; b < BINS; b++)
        out[k * BINS + b] = 10 * Math.log10((re[b] ** 2 + im[b] ** 2) / (SIZE / 4) ** 2 + 1e-12);
    }
    return out;
  }

  // --- sound ------------------------------------------------------------------------------------

  function recording(flac, rate) {
    let ready = null, levels = null;
    const self = { bytes: null, buffer: null, done: false };
    const decode = async () => {
      self.bytes = Uint8Array.from(atob(flac.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
      try { // a context of the recording's own rate does not resample
        self.buffer = await new OfflineAudioContext(1, 1, rate).decodeAudioData(self.bytes.buffer.slice(0));
      } catch (error) { self.buffer = null; }
      self.done = true;
    };
    self.ready = () => ready || (ready = decode());
    self.levels = () => levels || (self.buffer && (levels = spectrogram(self.buffer.getChannelData(0))));
    return self;
  }

  // Of recordings of one length, so that a place in one is a place in all; ended(failed) when it stops by itself.
  function player(rate, seconds, ended) {
    const SOON = 0.03, FADE = 0.008;
    let context = null, voice = null, media = null, place = 0, loop = false;
    const inside = (t) => loop ? t % seconds : Math.min(t, seconds);
    const now = () => voice ? inside(Math.max(0, context.currentTime - voice.began)) : media ? media.currentTime : place;
    const finish = (failed) => { voice = media = null; place = 0; ended(failed); };
    function release(at = context ? context.currentTime : 0) {
      if (voice) {
        voice.node.onended = null;
        voice.gain.setValueAtTime(1, at);
        voice.gain.linearRampToValueAtTime(0, at + FADE);
        voice.node.stop(at + FADE);
      }
      if (media) { media.onended = null; media.pause(); }
      voice = media = null;
    }
    function play(rec) { // at the place where the last recording is
      const here = now();
      if (rec.buffer && context === null) {
        try { context = new AudioContext({ sampleRate: rate }); } catch (error) { context = false; }
      }
      if (!rec.buffer || !context) {
        release();
        rec.media = rec.media || new Audio(URL.createObjectURL(new Blob([rec.bytes], { type: "audio/flac" })));
        const mine = media = rec.media;
        Object.assign(mine, { loop, currentTime: here, onended: () => finish(false) });
        Promise.resolve(mine.play()).catch(() => { if (media === mine) finish(true); });
        return;
      }
      context.resume();
      // A little ahead, so that the old one and the new one change at the same sample.
      const at = context.currentTime + SOON, began = voice ? voice.began : at - here;
      const node = context.createBufferSource(), fade = context.createGain();
      Object.assign(node, { buffer: rec.buffer, loop, onended: () => finish(false) });
      node.connect(fade).connect(context.destination);
      fade.gain.setValueAtTime(0, at);
      fade.gain.linearRampToValueAtTime(1, at + FADE);
      node.start(at, inside(at - began));
      release(at);
      voice = { node, gain: fade.gain, began };
    }
    function pause(at = now()) {
      release();
      place = at;
    }
    function repeat(on) {
      const at = now();
      loop = on;
      if (voice) { voice.began = context.currentTime - at; voice.node.loop = on; }
      if (media) media.loop = on;
    }
    return { now, play, pause, repeat };
  }

  // --- figure -----------------------------------------------------------------------------------

  function el(name, attributes = {}, ...children) {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  }

  function build(host, id, data) {
    const n = data.ends[data.ends.length - 1], seconds = n / data.rate, original = recording(data.original.flac, data.rate);
    const recordings = data.cells.map((cell) => recording(cell.flac, data.rate));

    const range = (name, label, max, step, value, marks) => {
      const node = el("input", { type: "range", id: `${id}-${name}`, min: 0, max, step, value });
      const out = el("span", { class: "dbd-value" }), ticks = el("div", { class: "dbd-ticks", "aria-hidden": "true" });
      ticks.append(...marks.map((mark) => el("span", {}, String(mark))));
      return [node, el("div", { class: "dbd-field" }, el("label", { for: node.id }, label), out, node, ticks), out];
    };
    const last = [data.overlaps.length - 1, data.steps.length - 1];
    const [overlap, overlapField, overlapOut] = range("overlap", "Longest overlap", last[0], 1, last[0], data.overlaps);
    const [steps, stepsField, stepsOut] = range("steps", "Steps", last[1], 1, last[1], data.steps);
    const [position, positionField, positionOut] = range("position", "Position", seconds, 0.01, 0, []);
    const play = el("button", { type: "button", id: `${id}-play` }, "Play");
    const other = el("button", { type: "button", id: `${id}-original`, "aria-pressed": "false" }, "Hear the original");
    const loop = el("input", { type: "checkbox", id: `${id}-loop` });
    const panel = (name) => {
      const title = el("span"), heard = el("span", { class: "dbd-heard" }, "you hear this"), head = el("div", { class: "dbd-head" });
      const canvas = el("canvas", { role: "img", id: `${id}-${name}` }), frame = el("div", { class: "dbd-frame" }, canvas, head);
      return { title, heard, head, canvas, frame, all: el("div", {}, el("p", { class: "dbd-title" }, title, " ", heard), frame) };
    };
    const above = panel("generated"), below = panel("spoken");
    const note = el("p", { class: "dbd-note", role: "alert" }), live = el("p", { class: "dbd-live", role: "status", "aria-live": "polite" });
    const body = el("tbody"), cells = {};
    const names = Object.keys({ ...data.cells[0].scores, ...data.original.scores });
    for (const name of names) {
      cells[name] = el("td");
      body.append(el("tr", {}, el("th", { scope: "row" }, name), cells[name], el("td", {}, data.original.scores[name] || "–")));
    }
    const table = el("table", { class: "dbd-table" },
      el("thead", {}, el("tr", {}, ...["Score", "This setting", "Original"].map((t) => el("th", { scope: "col" }, t)))), body);
    host.replaceChildren(
      ...(data.text ? [el("p", { class: "dbd-text" }, data.text)] : []),
      el("div", { role: "group", "aria-label": "Setting", class: "dbd-controls" }, overlapField, stepsField),
      el("div", { role: "group", "aria-label": "Player", class: "dbd-controls" },
        el("div", { class: "dbd-buttons" }, play, other, el("label", {}, loop, " Repeat")), positionField),
      note, above.all, below.all,
      el("p", { class: "dbd-caption" }, `A click in a picture plays from there. Triangles and dashed lines: joints of the frames. Between the pictures: phones, · for silence. Spectrograms show ${RANGE} dB below the loudest point of the original; windows of ${SIZE} samples, overlap 75 %.`),
      live, ...(names.length ? [table] : []));

    let playing = false, heard = null, job = 0, width = 0, beat = 0;
    const LEFT = 38, RIGHT = 8, HIGH = 130, FONT = "px system-ui, sans-serif";
    const X = (sample) => LEFT + sample / n * (width - LEFT - RIGHT);
    const index = () => Number(overlap.value) * data.steps.length + Number(steps.value);
    const own = () => other.getAttribute("aria-pressed") === "true";
    const chosen = () => own() ? original : recordings[index()];

    // Phones in up to three rows, so that none covers its neighbour.
    function labels(pen) {
      const ends = [-9, -9, -9], placed = [];
      data.phones.forEach((text, i) => {
        const wide = pen.measureText(text).width, middle = X(((data.ends[i - 1] || 0) + data.ends[i]) / 2);
        const left = Math.max(0, Math.min(middle - wide / 2, width - wide)), row = ends.findIndex((end) => end + 3 <= left);
        if (row >= 0) { ends[row] = left + wide; placed.push({ text, left, middle, row }); }
      });
      return placed;
    }
    function paint({ canvas }, rec, joints) {
      const pen = canvas.getContext("2d"), scale = root.devicePixelRatio || 1, style = getComputedStyle(host);
      const colour = (name) => style.getPropertyValue(`--dbd-${name}`).trim();
      const font = (width < 500 ? 11 : 12) + FONT;
      pen.font = font;
      const phones = joints ? labels(pen) : [], top = joints ? 13 : 3, end = top + HIGH;
      const high = end + (joints ? 22 + 14 * Math.max(0, ...phones.map((p) => p.row)) : 20);
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(high * scale);
      canvas.style.height = `${high}px`;
      pen.setTransform(scale, 0, 0, scale, 0, 0);
      pen.font = font;
      const line = (x, from, to) => { pen.beginPath(); pen.moveTo(x, from); pen.lineTo(x, to); pen.stroke(); };
      const write = (text, x, y, align) => { pen.textAlign = align; pen.fillText(text, x, y); };
      const levels = rec.levels(), loudest = original.levels();
      pen.fillStyle = pen.strokeStyle = colour("soft");
      if (levels && loudest) {
        const stops = colour("map").split(",").map((hex) => [1, 3, 5].map((i) => parseInt(hex.trim().slice(i, i + 2), 16)));
        const peak = loudest.reduce((a, b) => Math.max(a, b)), frames = levels.length / BINS;
        const image = new ImageData(frames, BINS), sheet = el("canvas", { width: frames, height: BINS });
        for (let k = 0; k < frames; k++) for (let b = 0; b < BINS; b++) {
          const v = Math.max(0, Math.min(1, 1 + (levels[k * BINS + b] - peak) / RANGE)) * (stops.length - 1);
          const i = Math.min(v | 0, stops.length - 2), at = 4 * ((BINS - 1 - b) * frames + k);
          for (let c = 0; c < 3; c++) image.data[at + c] = stops[i][c] + (v - i) * (stops[i + 1][c] - stops[i][c]);
          image.data[at + 3] = 255;
        }
        sheet.getContext("2d").putImageData(image, 0, 0);
        pen.save();
        pen.beginPath();
        pen.rect(LEFT, top, width - LEFT - RIGHT, HIGH);
        pen.clip(); // a pixel of the image is centred at its time and frequency
        pen.drawImage(sheet, X(-HOP / 2), top - HIGH / SIZE, X(frames * HOP) - X(0), HIGH * BINS / (BINS - 1));
        pen.restore();
      } else write("No picture: this browser cannot decode the sound.", (LEFT + width) / 2, top + HIGH / 2, "center");
      pen.strokeRect(LEFT - 0.5, top - 0.5, width - LEFT - RIGHT + 1, HIGH + 1);
      pen.textBaseline = "middle";
      write(`${+(data.rate / 2000).toFixed(1)} kHz`, LEFT - 5, top + 6, "right");
      write("0", LEFT - 5, end - 5, "right");
      pen.textBaseline = "top";
      if (!joints) {
        const every = [0.5, 1, 2, 5, 10].find((t) => t / seconds * width > 45) || 20;
        for (let t = 0; t < seconds; t += every) {
          line(X(t * data.rate), end, end + 4);
          write(t ? `${t} s` : "0", X(t * data.rate), end + 6, t + every > seconds ? "right" : "center");
        }
        return;
      }
      for (const edge of [0, ...data.ends]) line(X(edge), end, end + 4);
      pen.strokeStyle = colour("border");
      for (const { middle, row } of phones) if (row) line(middle, end + 5, end + 5 + 14 * row);
      for (const { text, left, row } of phones) write(text, left, end + 6 + 14 * row, "left");
      for (const x of joints.map(X)) {
        for (const [wide, name, dash] of [[4, "bg", []], [2, "joint", [5, 4]]]) {
          pen.lineWidth = wide;
          pen.strokeStyle = pen.fillStyle = colour(name);
          pen.setLineDash(dash);
          line(x, top, levels && loudest ? end : top + 14); // not through the words
        }
        pen.beginPath();
        pen.moveTo(x, top);
        pen.lineTo(x - 5, top - 9);
        pen.lineTo(x + 5, top - 9);
        pen.fill();
      }
    }
    function repaint() {
      width = above.frame.clientWidth;
      if (!width || !original.done || !recordings[index()].done) return;
      paint(above, recordings[index()], data.cells[index()].joints);
      paint(below, original, null);
      show();
      host.dataset.shown = index();
    }

    function show() {
      const t = sound.now();
      position.value = t;
      positionOut.textContent = `${t.toFixed(2)} of ${seconds.toFixed(2)} s`;
      for (const { head } of [above, below]) head.style.transform = `translateX(${X(t * data.rate).toFixed(1)}px)`;
    }
    function tick() {
      if (playing && !host.isConnected) stop();
      show();
      if (playing) beat = requestAnimationFrame(tick);
    }
    function stop() {
      sound.pause();
      playing = false;
      update();
    }
    const sound = player(data.rate, seconds, (failed) => {
      playing = false;
      note.textContent = failed ? "This browser cannot play FLAC." : "";
      update();
    });
    function hear() { // plays what is chosen, if it is not what is heard
      if (!playing || !chosen().done || heard === chosen()) return;
      sound.play(heard = chosen());
      cancelAnimationFrame(beat);
      tick();
    }
    function seek(t) {
      sound.pause(t);
      heard = null;
      hear();
      show();
    }
    function update() {
      const cell = data.cells[index()], mine = ++job, o = data.overlaps[overlap.value], count = data.steps[steps.value];
      const where = o === "0" ? "independent frames" : `overlap of ${o} ms`, times = `${count} step${count === 1 ? "" : "s"}`;
      overlapOut.textContent = o === "0" ? "0: independent frames" : `${o} ms`;
      stepsOut.textContent = count;
      overlap.setAttribute("aria-valuetext", overlapOut.textContent);
      steps.setAttribute("aria-valuetext", times);
      play.textContent = playing ? "Pause" : "Play";
      if (!playing) heard = null;
      above.title.textContent = `Generated, ${where}, ${times}`;
      below.title.textContent = "Original";
      above.heard.hidden = own();
      below.heard.hidden = !own();
      for (const name of names) cells[name].textContent = cell.scores[name] || "–";
      const joints = cell.joints.map((j) => (j / data.rate).toFixed(2)).join(", ") || "none";
      above.canvas.setAttribute("aria-label", `Spectrogram of the generated recording. Joints in seconds: ${joints}. Phones: ${data.phones.join(" ")}.`);
      below.canvas.setAttribute("aria-label", "Spectrogram of the original recording.");
      const say = (scores) => names.map((name) => scores[name] ? `, ${name} ${scores[name]}` : "").join("");
      const text = `Generated, ${where}, ${times}${say(cell.scores)}. Original${say(data.original.scores)}. You hear the ${own() ? "original" : "generated recording"}.`;
      if (text !== live.textContent) live.textContent = text;
      Promise.all([original.ready(), recordings[index()].ready()]).then(() => {
        if (mine !== job) return;
        repaint();
        hear();
      });
    }

    for (const node of [overlap, steps]) node.addEventListener("input", update);
    other.addEventListener("click", () => { other.setAttribute("aria-pressed", !own()); update(); });
    loop.addEventListener("change", () => sound.repeat(loop.checked));
    play.addEventListener("click", () => {
      if (playing) { stop(); return; }
      playing = true;
      hear();
      update();
    });
    position.addEventListener("input", () => seek(Number(position.value)));
    for (const { frame } of [above, below]) frame.addEventListener("click", (event) => {
      other.setAttribute("aria-pressed", frame === below.frame);
      playing = true;
      const at = (event.clientX - frame.getBoundingClientRect().left - LEFT) / (width - LEFT - RIGHT);
      seek(Math.max(0, Math.min(1, at)) * seconds);
      update();
    });
    // The rest is decoded when someone comes near, so that a change finds it ready.
    for (const near of ["pointerover", "focusin"])
      host.addEventListener(near, () => recordings.forEach((rec) => rec.ready()), { once: true });
    new ResizeObserver(() => requestAnimationFrame(() => { if (above.frame.clientWidth !== width) repaint(); })).observe(host);
    // A change of theme may load a style sheet, which takes a moment.
    const theme = new MutationObserver(() => {
      if (!host.isConnected) theme.disconnect();
      repaint();
      setTimeout(repaint, 500);
    });
    for (const node of [document.documentElement, document.body])
      theme.observe(node, { attributeFilter: ["data-theme", "data-jp-theme-light"] });
    update();
  }

  // JupyterLab runs the script before it attaches the output, so wait for the element.
  function mount(id, data, tries = 0) {
    const host = document.querySelector(`[id="${id}"]:not([data-ready])`);
    if (host && host.isConnected) {
      const twins = document.querySelectorAll(`[id^="${id}"][data-ready].dbd`).length;
      host.setAttribute("data-ready", "");
      if (twins) host.id = `${id}-${twins + 1}`; // the same figure twice on a page
      build(host, host.id, data);
    } else if (tries < 200) setTimeout(() => mount(id, data, tries + 1), 50);
  }

  root.diffbookDiffar = { math: { spectrogram }, mount };
})(typeof window === "undefined" ? globalThis : window);
