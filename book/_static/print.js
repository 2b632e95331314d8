// Paper is light: the theme changes for as long as a page is printed, and pictures that were not near
// the window yet are fetched. What is folded is open on paper; print.css leaves out folded code.
"use strict";

{
  const root = document.documentElement;
  let theme = null;
  let opened = [];
  window.addEventListener("beforeprint", () => {
    for (const image of document.querySelectorAll('img[loading="lazy"]')) image.loading = "eager";
    const closed = [...document.querySelectorAll("main details:not([open])")];
    opened = [...opened, ...closed];
    for (const details of closed) details.open = true;
    theme ??= root.dataset.theme;
    root.dataset.theme = "light";
  });
  window.addEventListener("afterprint", () => {
    if (theme !== null) root.dataset.theme = theme;
    theme = null;
    for (const details of opened) details.open = false;
    opened = [];
  });
}
