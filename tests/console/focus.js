// One step of a walk by Tab: what has the focus now, whether that can be seen, and whether everything has had it.
// In: `window.walk`, made at the first step.  Out: { at, wrong, done }.
(() => {
  const name = e => e.tagName.toLowerCase() + (e.id ? "#" + e.id : "") + (e.name ? "[" + e.name + "]" : "")
    + " “" + (e.textContent || e.value || e.getAttribute("aria-label") || "").trim().replace(/\s+/g, " ").slice(0, 40) + "”";
  const shown = e => e.checkVisibility({ checkOpacity: false, checkVisibilityCSS: true }) && e.getClientRects().length > 0;
  if (!window.walk) {
    const all = [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex]")];
    window.walk = { seen: new Set(), steps: 0, wanted: all.filter(e => shown(e) && !e.disabled && e.tabIndex >= 0 && e.type !== "hidden") };
  }
  const walk = window.walk, e = document.activeElement;
  walk.steps += 1;
  // A field of several parts, such as a date, has the focus for as many steps.
  if (e && e === walk.last) return { at: name(e), done: false, wrong: [] };
  walk.last = e;
  if (!e || e === document.body || walk.seen.has(e)) {
    const group = r => r.type === "radio" && [...walk.seen].some(s => s.type === "radio" && s.name === r.name && s.form === r.form);
    const missed = walk.wanted.filter(w => !walk.seen.has(w) && !group(w));
    // Where a field has the focus from the start, what stands before it comes in a second round.
    walk.rounds = (walk.rounds || 0) + 1;
    if (missed.length && walk.rounds < 3) return { at: "", done: false, wrong: [] };
    return { at: "", done: true, steps: walk.steps, wrong: missed.map(m => "never has the focus: " + name(m)) };
  }
  walk.seen.add(e);
  const wrong = [], style = getComputedStyle(e), box = e.getBoundingClientRect();
  const ring = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0 || style.boxShadow !== "none";
  if (!ring && e.tagName !== "IFRAME") wrong.push("the focus is not seen on " + name(e));
  if (box.bottom <= 0 || box.top >= innerHeight || box.right <= 0 || box.left >= innerWidth) wrong.push("the focus is out of sight: " + name(e));
  else {
    const rects = [...e.getClientRects()].filter(r => r.width > 0 && r.height > 0);
    const free = rects.some(r => [0.1, 0.5, 0.9].some(p => {
      const over = document.elementFromPoint(Math.min(Math.max(r.left + r.width * p, 1), innerWidth - 1),
        Math.min(Math.max(r.top + r.height / 2, 1), innerHeight - 1));
      return over && (e === over || e.contains(over) || over.contains(e));
    }));
    if (rects.length && !free) wrong.push("the focus is covered: " + name(e));
  }
  return { at: name(e), done: false, wrong };
})()
