// The argument diagram: opening and closing, search, selection with its path, both arrangements, zoom, keyboard.
// Python has placed every card both ways; when cards are hidden or shown the script lays out again those that remain.
"use strict";
for (const app of document.querySelectorAll(".argument")) {
  const find = (selector) => app.querySelector(selector);
  const frame = find(".frame"), plane = find(".plane"), canvas = find(".canvas"), panel = find(".panel");
  const cards = [...app.querySelectorAll(".acard")], chips = [...app.querySelectorAll(".chip")];
  const all = [...cards, ...chips];
  const byKey = new Map(cards.map((card) => [card.dataset.key, card]));
  const children = new Map(cards.map((card) => [card.dataset.key, []]));
  for (const card of cards) if (card.dataset.parent) children.get(card.dataset.parent).push(card.dataset.key);
  const lines = [...app.querySelectorAll(".line")];
  const roots = cards.filter((card) => !card.dataset.parent);
  const EDGE = 20;
  const standing = cards.filter((card) => card.dataset.stands && !card.classList.contains("away"));
  let way = app.dataset.way, zoom = 1, selected = null, onlyPath = false;
  const closed = new Set(cards.filter((card) => Number(card.dataset.level) >= Number(app.dataset.open) && children.get(card.dataset.key).length)
    .map((card) => card.dataset.key));

  const hostOf = (element) => byKey.get(element.dataset.host) ?? element;
  const pathTo = (key) => { const path = []; for (let at = byKey.get(key); at; at = byKey.get(at.dataset.parent)) path.unshift(at); return path; };
  const inFocus = (card) => {
    if (!onlyPath || !selected) return true;
    const chosen = hostOf(selected).dataset.key;
    return pathTo(chosen).includes(card) || pathTo(card.dataset.key).includes(byKey.get(chosen));
  };
  const isShown = (element) => {
    const card = hostOf(element);
    return inFocus(card) && pathTo(card.dataset.key).slice(0, -1).every((above) => !closed.has(above.dataset.key));
  };

  // The layout of layout.py over the cards that are shown: subtrees keep a contour (least and greatest breadth by layer)
  // and are pushed together until they touch; a parent stands over the middle of its first and last child.
  const spread = () => {
    const contours = new Map(), shifts = new Map(), middles = new Map();
    for (const card of cards.toReversed()) { // children before their parents
      if (card.hidden) continue;
      const whole = [];
      const shown = children.get(card.dataset.key).filter((child) => contours.has(child));
      const offsets = shown.map((child) => {
        const contour = contours.get(child);
        const offset = contour.reduce((most, [low], depth) => depth < whole.length ? Math.max(most, whole[depth][1] - low) : most, 0);
        contour.forEach(([low, high], depth) => { whole[depth] = [whole[depth]?.[0] ?? low + offset, high + offset]; });
        return offset;
      });
      const middle = offsets.length ? (offsets[0] + offsets.at(-1)) / 2 : 0;
      shown.forEach((child, index) => shifts.set(child, offsets[index] - middle));
      const [before, after] = card.dataset[way + "Extent"].split(",").map(Number);
      contours.set(card.dataset.key, [[-before, after], ...whole.map(([low, high]) => [low - middle, high - middle])]);
    }
    for (const card of cards) {
      const { key, parent } = card.dataset;
      if (card.hidden) continue;
      middles.set(key, parent ? middles.get(parent) + shifts.get(key) : EDGE - Math.min(...contours.get(key).map(([low]) => low)));
    }
    return middles;
  };

  const arrange = () => {
    const axis = way === "lr" ? 1 : 0;
    for (const element of all) element.hidden = !isShown(element);
    const middles = spread();
    const boxes = all.filter((element) => !element.hidden).map((element) => (
      { element, at: element.dataset[way].split(",").map(Number), size: [element.offsetWidth, element.offsetHeight] }));
    for (const box of boxes) { // cards come before chips, which go with their card
      const { element, at, size } = box, host = byKey.get(element.dataset.host);
      box.moved = host ? host.at.moved : middles.get(element.dataset.key) - size[axis] / 2 - at[axis];
      at[axis] += box.moved;
      element.style.left = at[0] + "px";
      element.style.top = at[1] + "px";
      element.at = box;
    }
    for (const line of lines) {
      const parent = byKey.get(line.dataset.p), child = byKey.get(line.dataset.c);
      line.style.display = parent.hidden || child.hidden ? "none" : "";
      if (!parent.hidden && !child.hidden) line.setAttribute("d", curve(parent.at, child.at));
    }
    for (const card of cards) if (card.hasAttribute("aria-expanded")) card.setAttribute("aria-expanded", !closed.has(card.dataset.key));
    for (const fold of app.querySelectorAll(".fold")) delete fold.dataset.standing;
    for (const card of standing) { // told on the closed card that hides it
      const host = pathTo(card.dataset.key).find((above) => closed.has(above.dataset.key));
      const fold = card.hidden && host?.querySelector(".fold");
      if (!fold) continue;
      const count = 1 + (parseInt(fold.dataset.standing) || 0);
      fold.dataset.standing = count + (count > 1 ? " challenges" : " challenge");
    }
    // from left to right the mark of a closed card stands out of it
    const beyond = (box) => (axis && box.element.querySelector(".fold")?.offsetWidth) || 0;
    canvas.size = [0, 1].map((side) => Math.max(...boxes.map((box) => box.at[side] + box.size[side] + (side ? 0 : beyond(box)))) + 2 * EDGE);
    // the challenges that are hidden are named above the drawing, so that the conclusion can stay in view with them
    const out = standing.filter((card) => card.hidden), tray = find(".tray");
    tray.hidden = !out.length;
    tray.querySelector("ul").replaceChildren(...out.slice(0, 4).map((card) => {
      const item = document.createElement("li"), link = document.createElement("a");
      link.href = "#node-" + card.dataset.id;
      link.dataset.node = card.dataset.id;
      link.textContent = card.dataset.id;
      item.append(link, " ", card.querySelector(".text").textContent);
      return item;
    }));
    tray.querySelector(".more").textContent = out.length > 4 ? `and ${out.length - 4} more` : "";
    app.dataset.way = way;
    find("[data-do='turn'] span").textContent = way === "lr" ? "Top down" : "Left to right";
    scale(zoom);
  };
  const curve = ({ at: p, size: ps }, { at: c, size: cs }) => {
    if (way === "lr") {
      const [x0, y0, x1, y1] = [p[0] + ps[0], p[1] + ps[1] / 2, c[0], c[1] + cs[1] / 2], m = (x0 + x1) / 2;
      return `M${x0},${y0}C${m},${y0} ${m},${y1} ${x1},${y1}`;
    }
    const [x0, y0, x1, y1] = [p[0] + ps[0] / 2, p[1] + ps[1], c[0] + cs[0] / 2, c[1]], m = (y0 + y1) / 2;
    return `M${x0},${y0}C${x0},${m} ${x1},${m} ${x1},${y1}`;
  };
  const scale = (to) => {
    zoom = Math.max(0.15, Math.min(2, to));
    canvas.style.transform = `scale(${zoom})`;
    plane.style.width = canvas.size[0] * zoom + "px";
    plane.style.height = canvas.size[1] * zoom + "px";
    find(".arg-zoom").textContent = Math.round(zoom * 100) + "%";
  };
  const fit = (least = 0.15) => {
    const tall = way === "td" ? 1 : frame.clientHeight / canvas.size[1];
    scale(Math.max(least, Math.min(1, frame.clientWidth / canvas.size[0], tall)));
  };
  const show = (element) => {
    const { at, size } = element.at;
    frame.scrollTo({
      left: (at[0] + size[0] / 2) * zoom - frame.clientWidth / 2,
      top: (at[1] + size[1] / 2) * zoom - frame.clientHeight / 2,
    });
  };
  const shrink = () => { // no taller than what it shows
    const most = Math.min(innerHeight * 0.78, 832);
    frame.style.height = Math.max(420, Math.min(most, canvas.size[1] * zoom + 16)) + "px";
    panel.style.maxHeight = innerWidth > 960 ? frame.style.height : "";
  };

  const describe = (element) => {
    const id = element.dataset.id;
    const words = document.getElementById("node-" + id);
    panel.replaceChildren();
    const trail = document.createElement("p");
    trail.className = "trail";
    const path = pathTo(hostOf(element).dataset.key);
    path.forEach((card, index) => {
      const link = document.createElement("a");
      link.href = "#node-" + card.dataset.id;
      link.dataset.node = card.dataset.id;
      link.textContent = card.dataset.id;
      trail.append(index ? " › " : "", link);
    });
    if (path.length > 1 || element.dataset.host) panel.append(trail);
    if (!words) return;
    const copy = words.cloneNode(true);
    copy.removeAttribute("id");
    panel.append(copy);
    panel.scrollTop = 0;
  };
  const select = (element, { focus = false, move = true } = {}) => {
    selected = element;
    for (const one of all) {
      one.setAttribute("aria-selected", one === element);
      one.tabIndex = one === element ? 0 : -1;
    }
    const path = new Set(pathTo(hostOf(element).dataset.key).map((card) => card.dataset.key));
    for (const line of lines) {
      const on = path.has(line.dataset.c);
      line.classList.toggle("on", on);
      if (on) line.parentNode.append(line); // drawn last, above the others
    }
    if (onlyPath) arrange();
    describe(element);
    if (move && !element.hidden) show(element);
    if (focus) element.focus({ preventScroll: true });
  };
  const open = (element) => { // every card above it
    for (const card of pathTo(hostOf(element).dataset.key).slice(0, -1)) closed.delete(card.dataset.key);
    arrange();
  };
  const toggle = (card, close) => {
    if (!card.hasAttribute("aria-expanded")) return;
    const key = card.dataset.key;
    const before = [card.at.at[0] * zoom - frame.scrollLeft, card.at.at[1] * zoom - frame.scrollTop];
    if (close ?? !closed.has(key)) closed.add(key);
    else closed.delete(key);
    arrange();
    frame.scrollTo({ left: card.at.at[0] * zoom - before[0], top: card.at.at[1] * zoom - before[1], behavior: "instant" });
  };
  const goTo = (id, focus) => {
    const element = all.find((one) => one.dataset.id === id && !one.classList.contains("away")) ?? all.find((one) => one.dataset.id === id);
    if (!element) return false;
    if (onlyPath) turnPath(false);
    open(element);
    select(element, { focus });
    return true;
  };
  const turnPath = (on) => {
    onlyPath = on;
    find("[data-do='path']").setAttribute("aria-pressed", on);
    arrange();
    if (selected) show(selected);
  };

  // search: every match is opened up to, Enter steps through them
  const search = find(".arg-search"), told = find(".arg-found");
  let matches = [], match = -1;
  search.addEventListener("input", () => {
    const wanted = search.value.trim().toLowerCase();
    matches = wanted ? all.filter((one) => !one.classList.contains("away") && one.getAttribute("aria-label").toLowerCase().includes(wanted)) : [];
    match = -1;
    for (const one of all) one.classList.toggle("found", matches.includes(one));
    canvas.classList.toggle("searching", matches.length > 0);
    told.textContent = wanted ? `${matches.length} found` : "";
    if (!matches.length) return;
    if (onlyPath) turnPath(false);
    for (const one of matches) for (const card of pathTo(hostOf(one).dataset.key).slice(0, -1)) closed.delete(card.dataset.key);
    arrange();
    show(matches[0]);
  });
  search.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { search.value = ""; search.dispatchEvent(new Event("input")); return; }
    if (event.key !== "Enter" || !matches.length) return;
    match = (match + (event.shiftKey ? matches.length - 1 : 1)) % matches.length;
    select(matches[match]);
    told.textContent = `${match + 1} of ${matches.length}`;
  });

  const actions = {
    expand: () => { closed.clear(); arrange(); shrink(); if (selected) show(selected); },
    collapse: () => {
      for (const card of cards) if (card.hasAttribute("aria-expanded") && card.dataset.parent) closed.add(card.dataset.key);
      arrange();
      select(selected && !selected.hidden ? selected : roots[0]);
    },
    path: () => turnPath(!onlyPath),
    turn: () => { way = way === "lr" ? "td" : "lr"; arrange(); fit(0.8); if (selected) show(selected); },
    in: () => { scale(zoom * 1.2); if (selected) show(selected); },
    out: () => { scale(zoom / 1.2); if (selected) show(selected); },
    fit: () => fit(),
  };
  app.addEventListener("click", (event) => {
    const action = event.target.closest("[data-do]")?.dataset.do;
    if (action) return actions[action]();
    if (event.target.classList.contains("fold")) return toggle(event.target.parentElement);
    const element = event.target.closest(".acard, .chip");
    if (!element || dragged) return;
    if (element.classList.contains("away")) goTo(element.dataset.id, true);
    else select(element, { focus: true, move: false });
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-node]");
    if (!link || !goTo(link.dataset.node)) return;
    if (link.closest(".panel")) event.preventDefault();
  });

  canvas.addEventListener("keydown", (event) => {
    const element = event.target.closest(".acard, .chip");
    if (!element || event.ctrlKey || event.metaKey || event.altKey) return;
    const order = [];
    for (const card of cards) if (!card.hidden) order.push(card, ...chips.filter((chip) => chip.dataset.host === card.dataset.key));
    const at = order.indexOf(element), first = children.get(element.dataset.key)?.[0];
    const step = {
      ArrowDown: () => order[at + 1], ArrowUp: () => order[at - 1], Home: () => order[0], End: () => order.at(-1),
      ArrowRight: () => {
        if (!first) return undefined;
        if (!closed.has(element.dataset.key)) return byKey.get(first);
        toggle(element, false);
        return element;
      },
      ArrowLeft: () => {
        if (element.dataset.host) return byKey.get(element.dataset.host);
        if (first && !closed.has(element.dataset.key)) { toggle(element, true); return element; }
        return byKey.get(element.dataset.parent);
      },
      " ": () => { toggle(element); return element; },
      Enter: () => { if (!element.classList.contains("away")) return element; goTo(element.dataset.id, true); return undefined; },
    }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = step();
    if (next && !next.hidden) select(next, { focus: true });
  });
  document.addEventListener("keydown", (event) => {
    if (event.target.matches("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/") { event.preventDefault(); search.focus(); }
    if (event.key === "+" || event.key === "=") actions.in();
    if (event.key === "-") actions.out();
  });

  // drag to move, ctrl and wheel to zoom
  let from = null, dragged = false;
  frame.addEventListener("pointerdown", (event) => {
    dragged = false;
    if (event.button === 0 && event.pointerType === "mouse") from = [event.clientX + frame.scrollLeft, event.clientY + frame.scrollTop];
  });
  addEventListener("pointermove", (event) => {
    if (!from) return;
    const to = [from[0] - event.clientX, from[1] - event.clientY];
    if (Math.hypot(to[0] - frame.scrollLeft, to[1] - frame.scrollTop) > 4) { dragged = true; frame.classList.add("grabbing"); }
    if (dragged) frame.scrollTo({ left: to[0], top: to[1], behavior: "instant" });
  });
  addEventListener("pointerup", () => { from = null; frame.classList.remove("grabbing"); });
  frame.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    const box = frame.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
    const spot = [(frame.scrollLeft + x) / zoom, (frame.scrollTop + y) / zoom];
    scale(zoom * Math.exp(-event.deltaY / 300));
    frame.scrollTo({ left: spot[0] * zoom - x, top: spot[1] * zoom - y, behavior: "instant" });
  }, { passive: false });

  // At the start: as much as can be read at full size without scrolling, the challenges that stand first. Of both
  // arrangements, the one that shows more of them, then more cards.
  const begin = (turned) => {
    way = turned;
    closed.clear();
    for (const card of cards) if (card.hasAttribute("aria-expanded") && card.dataset.parent) closed.add(card.dataset.key);
    arrange();
    const most = Math.min(innerHeight * 0.78, 832) - 16;
    const fits = () => canvas.size[0] <= frame.clientWidth && canvas.size[1] <= most;
    const paths = standing.map((card) => pathTo(card.dataset.key).slice(0, -1).map((above) => above.dataset.key));
    const singles = cards.filter((card) => card.hasAttribute("aria-expanded")).sort((a, b) => a.dataset.level - b.dataset.level);
    for (const keys of [...paths, ...singles.map((card) => pathTo(card.dataset.key).map((one) => one.dataset.key))].slice(0, 20)) {
      const opened = keys.filter((key) => closed.delete(key));
      if (!opened.length) continue;
      arrange();
      if (!fits()) for (const key of opened) closed.add(key);
    }
    arrange();
    return [standing.filter((card) => !card.hidden).length, fits() ? 1 : 0, cards.filter((card) => !card.hidden).length];
  };
  const first = way, other = way === "lr" ? "td" : "lr";
  const scores = [begin(first), begin(other)];
  const place = scores[0].findIndex((score, index) => score !== scores[1][index]);
  if (place < 0 || scores[0][place] > scores[1][place]) begin(first);
  scale(1);
  shrink();
  const wanted = decodeURIComponent(location.hash.replace(/^#node-/, ""));
  if (!location.hash.startsWith("#node-") || !goTo(wanted)) select(roots[0]);
}
