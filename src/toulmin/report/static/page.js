// Shared by every page: theme, copy buttons, sortable tables, tooltips.
"use strict";
(() => {
  const root = document.documentElement;
  const themes = ["auto", "light", "dark"];
  const toggle = document.getElementById("theme");
  const show = (theme) => {
    if (theme === "auto") delete root.dataset.theme;
    else root.dataset.theme = theme;
    if (toggle) toggle.querySelector("span").textContent = { auto: "Auto", light: "Light", dark: "Dark" }[theme];
  };
  let theme = "auto";
  try { theme = localStorage.getItem("toulmin-theme") || "auto"; } catch { /* a page opened from disk may have no storage */ }
  show(theme);
  toggle?.addEventListener("click", () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    show(theme);
    try { localStorage.setItem("toulmin-theme", theme); } catch { /* as above */ }
  });

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-copy]");
    if (!button) return;
    const text = button.parentElement.querySelector("code").textContent;
    try { await navigator.clipboard.writeText(text); button.textContent = "Copied"; } catch {
      const range = document.createRange();
      range.selectNodeContents(button.parentElement.querySelector("code"));
      getSelection().removeAllRanges();
      getSelection().addRange(range);
    }
  });

  for (const table of document.querySelectorAll("table[data-sortable]")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        heads.forEach((other) => other.setAttribute("aria-sort", "none"));
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const key = (row) => row.cells[column].dataset.sort ?? row.cells[column].textContent;
        const rows = [...table.tBodies[0].rows];
        rows.sort((a, b) => {
          const [x, y] = [key(a), key(b)];
          const numeric = x !== "" && y !== "" && !isNaN(x) && !isNaN(y);
          return (numeric ? x - y : x.localeCompare(y)) * (up ? 1 : -1);
        });
        table.tBodies[0].append(...rows);
      });
    });
  }

  for (const table of document.querySelectorAll("table:not(.heatmap)")) { // long tables show their first 12 rows
    const count = table.tBodies[0]?.rows.length ?? 0;
    if (count <= 12) continue;
    table.classList.add("long");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "unfold no-print";
    button.textContent = `Show all ${count} rows`;
    button.setAttribute("aria-expanded", "false");
    button.addEventListener("click", () => {
      const whole = table.classList.toggle("whole");
      button.setAttribute("aria-expanded", whole);
      button.textContent = whole ? "Show the first 12 rows" : `Show all ${count} rows`;
    });
    table.after(button);
  }

  addEventListener("beforeprint", () => { for (const folded of document.querySelectorAll("details:not(.no-print)")) folded.open = true; });

  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  tip.setAttribute("role", "tooltip");
  document.body.append(tip);
  const describe = (target) => {
    const told = target.closest?.("[data-tip]");
    if (told) return told.dataset.tip;
    const mark = target.closest?.(".chart svg [aria-label][role='graphics-symbol']");
    return mark && !mark.querySelector("g") ? mark.getAttribute("aria-label").replaceAll("; ", "\n") : "";
  };
  const place = (x, y) => {
    const box = tip.getBoundingClientRect();
    tip.style.left = Math.max(4, Math.min(x + 14, innerWidth - box.width - 8)) + "px";
    tip.style.top = Math.max(4, y + 18 + box.height > innerHeight ? y - box.height - 8 : y + 18) + "px";
  };
  const open = (event, x, y) => {
    const text = describe(event.target);
    tip.hidden = !text;
    if (!text) return;
    tip.textContent = text;
    place(x, y);
  };
  document.addEventListener("pointermove", (event) => open(event, event.clientX, event.clientY));
  document.addEventListener("focusin", (event) => {
    const box = event.target.getBoundingClientRect();
    if (event.target.matches?.(":focus-visible")) open(event, box.left, box.bottom - 14);
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") tip.hidden = true; });
})();
