// The search: pages, and the sections of each that hold all the words, with an excerpt.
// It takes the place of Sphinx's own, which knows pages alone, shows formulas as raw TeX, minds accents,
// and reads each page that it found, which a page that was opened from the disk may not.
"use strict";

{
  const fold = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
  // Words are looked for from their beginning on; the s of a plural does not count.
  const wordsOf = (query) => fold(query).split(/[^\p{L}\p{N}]+/u).filter(Boolean)
    .map((word) => word.length > 4 ? word.replace(/s$/, "") : word);
  const patternOf = (word) => new RegExp(`(?<![\\p{L}\\p{N}])${word}`, "gu");
  const count = (pattern, text) => (text.match(pattern) || []).length;

  function found(patterns) {
    const pages = [];
    for (const [page, sections] of Object.entries(SECTIONS)) {
      const hits = [];
      for (const [id, title, text] of sections) {
        const [high, low] = [fold(title), fold(text)];
        const counts = patterns.map((p) => 20 * count(p, high) + Math.min(count(p, low), 10));
        if (counts.every(Boolean)) hits.push({ id, title, text, score: counts.reduce((a, b) => a + b) });
      }
      hits.sort((a, b) => b.score - a.score);
      if (hits.length) pages.push({ page, title: sections[0][1], hits, score: hits[0].score });
    }
    return pages.sort((a, b) => b.score - a.score);
  }

  function excerpt(text, pattern) {
    const at = Math.max(0, fold(text).search(pattern) - 60);
    return (at ? "… " : "") + text.slice(at, at + 160) + (at + 160 < text.length ? " …" : "");
  }

  const add = (parent, name, text = "") => {
    const made = parent.appendChild(document.createElement(name));
    made.textContent = text;
    return made;
  };

  Search.performSearch = (query) => {
    const out = document.getElementById("search-results");
    const root = document.documentElement.dataset.content_root;
    const patterns = wordsOf(query).map(patternOf);
    const pages = patterns.length ? found(patterns) : [];
    add(out, "h2", "Search results");
    const sections = pages.reduce((sum, { hits }) => sum + hits.length, 0);
    const status = add(out, "p", pages.length ? `${sections} sections on ${pages.length} pages` : "Nothing found: try fewer words, or shorter ones.");
    status.className = "search-summary";
    const list = add(out, "ul");
    list.className = "search";
    for (const { page, title, hits } of pages) {
      const item = add(list, "li");
      add(item, "a", title).href = `${root}${page}.html`;
      const inner = add(item, "ul");
      inner.className = "db-sections";
      for (const { id, title: name, text } of hits.slice(0, 5)) {
        const line = add(inner, "li");
        add(line, "a", name).href = `${root}${page}.html#${id}`;
        add(line, "p", excerpt(text, patterns[0])).className = "context";
      }
    }
  };
}
