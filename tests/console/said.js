// Our own words on the page: visible text and what stands in attributes for people; not what is data.
(() => {
  const said = new Set();
  const data = "bdi, code, pre, time, kbd, samp, output, textarea, script, style, svg:not([role]), [translate=no], .check, .mono, .brand, .languages, footer";
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n = walk.nextNode(); n; n = walk.nextNode()) {
    const text = n.textContent.trim().replace(/\s+/g, " ");
    const chosen = n.parentElement && n.parentElement.closest("option");
    if (chosen && chosen.value === text) continue;
    if (text && n.parentElement && !n.parentElement.closest(data)) said.add(text);
  }
  for (const e of document.querySelectorAll("[placeholder], [title], [aria-label], [alt], [data-label]")) {
    if (e.closest(".languages, [translate=no]")) continue;
    for (const a of ["placeholder", "title", "aria-label", "alt", "data-label"]) {
      const text = (e.getAttribute(a) || "").trim();
      if (text) said.add(text);
    }
  }
  return [...said];
})()
