// What a person would see wrong with the page that is shown: a list of lines.
(() => {
  const wrong = [];
  const width = document.documentElement.clientWidth;
  const name = e => {
    const classes = typeof e.className === "string" && e.className ? "." + e.className.trim().split(/\s+/).join(".") : "";
    return e.tagName.toLowerCase() + classes + " “" + (e.textContent || "").trim().replace(/\s+/g, " ").slice(0, 40) + "”";
  };
  const scrolls = e => ["auto", "scroll", "hidden", "clip"].includes(getComputedStyle(e).overflowX);
  if (document.documentElement.scrollWidth > width) {
    wrong.push(`the page is ${document.documentElement.scrollWidth} px wide on ${width}`);
  }
  let beyond = 0;
  for (const e of document.body.querySelectorAll("*")) {
    const box = e.getBoundingClientRect();
    if (box.width === 0 || box.height === 0 || e.closest("svg") && e.tagName !== "svg") continue;
    const style = getComputedStyle(e);
    if (style.visibility === "hidden" || style.clipPath !== "none" || style.position === "absolute" && (box.width <= 1 || box.right < -900)) continue;
    if ((box.right > width + 1 || box.left < -1) && beyond < 5) {
      let up = e.parentElement, inside = false;
      while (up && up !== document.body) { if (scrolls(up)) { inside = true; break; } up = up.parentElement; }
      if (!inside) { beyond += 1; wrong.push(`beyond the edge (${Math.round(box.left)}–${Math.round(box.right)}): ${name(e)}`); }
    }
  }
  if (document.title.includes("taken")) wrong.push("a stranger's script ran");
  const titles = document.querySelectorAll("h1");
  if (titles.length !== 1) wrong.push(`${titles.length} first headings`);
  for (const e of document.querySelectorAll("[style]")) wrong.push(`style attribute: ${name(e)}`);
  for (const e of document.querySelectorAll("script:not([src])")) wrong.push(`inline script: ${name(e)}`);
  const ids = new Map();
  for (const e of document.querySelectorAll("[id]")) ids.set(e.id, (ids.get(e.id) || 0) + 1);
  for (const [id, n] of ids) if (n > 1) wrong.push(`id ${id} stands ${n} times`);
  for (const e of document.querySelectorAll("a[href^='javascript:'], [onclick], [onload], [onerror]")) wrong.push(`script in an attribute: ${name(e)}`);
  for (const e of document.querySelectorAll("form")) {
    if (e.method === "post" && !e.querySelector("input[type=hidden]")) wrong.push(`a form without a token: ${e.action}`);
  }
  return wrong;
})()
