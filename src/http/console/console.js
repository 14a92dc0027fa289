// What is better with script, and works without: copying, looking again, ticking all, going back, a key for the search.
"use strict";
(() => {
  const ja = document.documentElement.lang === "ja";

  function copyButtons(root) {
    for (const record of root.querySelectorAll("[data-copy]")) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "copy";
      button.textContent = ja ? "コピー" : "Copy";
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(record.textContent);
        button.textContent = ja ? "コピーしました" : "Copied";
        setTimeout(() => { button.textContent = ja ? "コピー" : "Copy"; }, 2000);
      });
      if (navigator.clipboard) record.before(button);
    }
  }

  function tickAll(root) {
    for (const all of root.querySelectorAll("input[data-all]")) {
      all.hidden = false;
      const form = all.closest("form") || document;
      all.addEventListener("change", () => {
        for (const box of form.querySelectorAll("input[type=checkbox]")) {
          if (box.name === all.dataset.all) box.checked = all.checked;
        }
      });
    }
  }

  function backButtons(root) {
    for (const button of root.querySelectorAll("button[data-back]")) {
      button.hidden = history.length < 2;
      button.addEventListener("click", () => history.back());
    }
  }

  function start(root) {
    backButtons(root);
    copyButtons(root);
    tickAll(root);
  }

  // A page that looks again by itself: not while it is hidden, or somebody is typing or reading with the keyboard in it.
  function refresh() {
    const main = document.querySelector("main[data-refresh]");
    if (!main) return;
    const seconds = Number(main.dataset.refresh);
    setInterval(async () => {
      const busy = main.contains(document.activeElement) || main.querySelector("details[open]") || !getSelection().isCollapsed;
      if (document.hidden || busy) return;
      try {
        // Marked: it is no use of the session. Once that has ended, the page goes, too.
        const headers = { "Hikyaku-Looks-Again": "yes" };
        const answer = await fetch(location.href, { credentials: "same-origin", redirect: "manual", headers });
        if (answer.type === "opaqueredirect") location.reload();
        if (!answer.ok) return;
        const next = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
        if (!next) return;
        main.replaceChildren(...next.childNodes);
        start(main);
      } catch { /* the next look may succeed */ }
    }, seconds * 1000);
  }

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest && event.target.closest("input, textarea, select");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const field = document.querySelector(`[data-hotkey="${CSS.escape(event.key)}"]`);
    if (!field) return;
    event.preventDefault();
    field.focus();
  });

  start(document);
  refresh();
})();
