// Paper is light: the theme changes for as long as a page is printed, and pictures that were not near
// the window yet are fetched.
"use strict";

{
  const root = document.documentElement;
  let theme = null;
  window.addEventListener("beforeprint", () => {
    for (const image of document.querySelectorAll('img[loading="lazy"]')) image.loading = "eager";
    theme ??= root.dataset.theme;
    root.dataset.theme = "light";
  });
  window.addEventListener("afterprint", () => {
    if (theme !== null) root.dataset.theme = theme;
    theme = null;
  });
}
