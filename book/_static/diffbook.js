// What the pages need and the theme does not do.
"use strict";

// Sphinx loads MathJax only on pages with formulas in the text. Some pages have formulas in the
// outputs of cells alone (the tables of claims); they get the same local copy.
const here = document.currentScript.src;
document.addEventListener("DOMContentLoaded", () => {
  const loaded = document.querySelector('script[src*="mathjax/tex-chtml.js"]');
  if (loaded || !document.querySelector("main .math")) return;
  window.MathJax = { options: { enableMenu: false, processHtmlClass: "math", ignoreHtmlClass: "document" } };
  const script = document.createElement("script");
  script.src = new URL("mathjax/tex-chtml.js", here).href;
  document.head.append(script);
});

// Docutils gives each entry of a bibliography a role that WAI-ARIA has withdrawn.
document.addEventListener("DOMContentLoaded", () => {
  for (const entry of document.querySelectorAll('[role="doc-biblioentry"]')) entry.setAttribute("role", "listitem");
});

// In the contents at the left, the theme leaves the button that opens a chapter's pages without a name.
document.addEventListener("DOMContentLoaded", () => {
  for (const button of document.querySelectorAll("nav details > summary")) {
    if (button.textContent.trim()) continue;
    const chapter = button.closest("li").querySelector("a").textContent.trim();
    button.setAttribute("aria-label", `Pages of ${chapter}`);
  }
});

// Whatever scrolls sideways must be reachable by keyboard: wide outputs, tables and formulas.
const FRAMES = "main pre, main .pst-scrollable-table-container, main div.math, main .text_html, "
  + "main .table-wrapper, main mjx-container, main div.db-table";

const atEnd = (frame) => frame.scrollLeft + frame.clientWidth >= frame.scrollWidth - 2;

function reachable() {
  for (const formula of document.querySelectorAll('main mjx-container:not([display="true"])')) {
    const block = formula.closest("p, li, dd, td, th, figcaption, div");
    formula.classList.remove("db-wide");
    const wide = formula.getBoundingClientRect().width > block.clientWidth;
    formula.classList.toggle("db-wide", wide);
  }
  for (const frame of document.querySelectorAll(FRAMES)) {
    const style = getComputedStyle(frame).overflowX;
    const scrolls = frame.scrollWidth > frame.clientWidth && (style === "auto" || style === "scroll");
    if (scrolls) {
      frame.tabIndex = 0;
      frame.dataset.reachable = "";
      frame.onscroll = () => frame.toggleAttribute("data-end", atEnd(frame));
    } else if ("reachable" in frame.dataset) {
      frame.removeAttribute("tabindex");
      delete frame.dataset.reachable;
    }
  }
}

const painted = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));

window.addEventListener("load", async () => {
  await window.MathJax?.startup?.promise;
  await painted(); // only now does the browser ask for the fonts of the formulas
  await document.fonts.ready;
  reachable();
  document.documentElement.dataset.ready = "";
  document.fonts.addEventListener("loadingdone", reachable);
  new ResizeObserver(reachable).observe(document.querySelector("main"));
});

// The scoreboard: only the claims of one chapter or with one verdict. What is chosen stands in the
// address, `#verdict=partly&chapter=spectral`, so that it can be linked.
document.addEventListener("DOMContentLoaded", () => {
  const box = document.querySelector(".db-filter");
  if (!box) return;
  const rows = [...document.querySelectorAll("table tbody tr")]
    .map((row) => ({ row, badge: row.querySelector("th .db-badge"), link: row.querySelector("th a") }))
    .filter(({ badge }) => badge)
    .map(({ row, badge, link }) => ({
      row, verdict: badge.textContent, chapter: link.textContent.replace(/-\d+$/, ""),
    }));
  const pick = (name) => {
    const label = box.appendChild(document.createElement("label"));
    const select = document.createElement("select");
    label.append(`${name} `, select);
    for (const value of ["all", ...new Set(rows.map((row) => row[name]))]) select.add(new Option(value));
    return select;
  };
  const chosen = { verdict: pick("verdict"), chapter: pick("chapter") };
  const count = box.appendChild(document.createElement("output"));
  const show = () => {
    const fits = (row) => Object.entries(chosen).every(([k, s]) => s.value === "all" || row[k] === s.value);
    for (const row of rows) row.row.hidden = !fits(row);
    const shown = rows.filter(fits).length;
    count.textContent = `${shown} of ${rows.length} rows`;
    for (const table of document.querySelectorAll(".db-claims")) {
      const empty = !table.querySelector("tbody tr:not([hidden])");
      table.closest("section").classList.toggle("db-empty", empty);
      table.hidden = empty;
    }
  };
  for (const [name, value] of new URLSearchParams(location.hash.slice(1)))
    if (chosen[name] && [...chosen[name].options].some((o) => o.value === value)) chosen[name].value = value;
  box.addEventListener("change", () => {
    const kept = Object.entries(chosen).filter(([, s]) => s.value !== "all").map(([k, s]) => [k, s.value]);
    history.replaceState(null, "", kept.length ? `#${new URLSearchParams(kept)}` : location.pathname + location.search);
    show();
  });
  box.hidden = false;
  show();
});

// Who only reads may put all code away; the choice holds for the next page.
document.addEventListener("DOMContentLoaded", () => {
  const title = document.querySelector("main article h1");
  if (!title || !document.querySelector("main .cell_input")) return;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "db-fold";
  const set = (hidden) => {
    document.documentElement.toggleAttribute("data-no-code", hidden);
    button.textContent = hidden ? "Show code" : "Hide code";
    button.setAttribute("aria-pressed", hidden);
    try { localStorage.setItem("db-no-code", hidden ? "1" : ""); } catch { /* a browser that keeps nothing */ }
  };
  button.addEventListener("click", () => set(!document.documentElement.hasAttribute("data-no-code")));
  let before = "";
  try { before = localStorage.getItem("db-no-code"); } catch { /* the same */ }
  set(Boolean(before));
  title.after(button);
});
