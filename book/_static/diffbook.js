// Four things that the pages need and the theme does not do.
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
