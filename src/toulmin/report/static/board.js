// Replays games of Go: positions by move, captures, ownership, win estimates; everything is built with DOM calls.
"use strict";
for (const app of document.querySelectorAll(".go")) {
  const find = (selector) => app.querySelector(selector);
  const { size, games } = JSON.parse(find(".go-data").textContent);
  const CELL = 24, EDGE = 30, SPAN = EDGE * 2 + CELL * (size - 1);
  const LETTERS = "ABCDEFGHJKLMNOPQRSTUVWXYZ";
  const make = (parent, name, attributes, text) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    return parent.appendChild(element);
  };
  const x = (point) => EDGE + (point % size) * CELL;
  const y = (point) => EDGE + Math.floor(point / size) * CELL;
  const named = (point) => point < 0 ? "pass" : LETTERS[point % size] + (size - Math.floor(point / size));

  const neighbours = (point) => {
    const [column, row] = [point % size, Math.floor(point / size)];
    return [column > 0 && point - 1, column < size - 1 && point + 1, row > 0 && point - size, row < size - 1 && point + size]
      .filter((other) => other !== false);
  };
  // the chain at a point, or null where it has a liberty
  const captured = (stones, start) => {
    const chain = [start], seen = new Set(chain);
    for (const point of chain) {
      for (const other of neighbours(point)) {
        if (!stones[other]) return null;
        if (stones[other] === stones[start] && !seen.has(other)) { seen.add(other); chain.push(other); }
      }
    }
    return chain;
  };
  const playOne = (stones, point, colour) => {
    if (point < 0) return;
    stones[point] = colour;
    for (const other of neighbours(point)) {
      if (!stones[other] || stones[other] === colour) continue;
      for (const dead of captured(stones, other) ?? []) stones[dead] = "";
    }
    for (const dead of captured(stones, point) ?? []) stones[dead] = "";
  };
  const position = (played, upTo) => {
    const stones = Array(size * size).fill("");
    played.setup.points.forEach((point, index) => { stones[point] = played.setup.colours[index]; });
    for (let index = 0; index < upTo; index++) playOne(stones, played.moves.points[index], played.moves.colours[index]);
    return stones;
  };

  const svg = make(find(".go-board"), "svg", { viewBox: `0 0 ${SPAN} ${SPAN}`, role: "img" });
  const grid = make(svg, "g", {});
  for (let line = 0; line < size; line++) {
    const at = EDGE + line * CELL, far = SPAN - EDGE;
    make(grid, "path", { class: "grid", d: `M${at} ${EDGE}V${far}M${EDGE} ${at}H${far}` });
    make(grid, "text", { x: at, y: 12 }, LETTERS[line]);
    make(grid, "text", { x: 11, y: at + 3.5 }, size - line);
  }
  const third = size > 11 ? 3 : 2, lines = size < 7 ? [] : size % 2 ? [third, (size - 1) / 2, size - 1 - third] : [third, size - 1 - third];
  for (const row of lines) for (const column of lines) make(grid, "circle", { class: "star", cx: EDGE + column * CELL, cy: EDGE + row * CELL, r: 2.6 });
  const stonesLayer = make(svg, "g", { class: "stones" });
  const ownersLayer = make(svg, "g", { class: "owners" });

  let current = 0, move = 0, owners = false, numbers = false, timer = 0, chart = null;
  const game = () => games[current];
  const last = () => game().moves.points.length;

  const drawCurve = () => {
    const place = find(".go-curve");
    place.replaceChildren();
    chart = null;
    if (!game().estimates.length) return;
    const W = 420, H = 150, L = 34, R = 8, T = 18, B = 22;
    const px = (index) => L + (W - L - R) * index / Math.max(1, last());
    const py = (value) => T + (H - T - B) * (1 - value);
    const drawn = make(place, "svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": "Estimated probability that Black wins, by move" });
    make(drawn, "path", { class: "axis", d: `M${L} ${T}V${H - B}H${W - R}`, fill: "none" });
    make(drawn, "path", { class: "half", d: `M${L} ${py(0.5)}H${W - R}` });
    for (const value of [0, 0.5, 1]) make(drawn, "text", { x: L - 5, y: py(value) + 4, "text-anchor": "end" }, value * 100 + "%");
    make(drawn, "text", { x: W - R, y: H - 6, "text-anchor": "end" }, `move ${last()}`);
    make(drawn, "text", { x: L, y: H - 6 }, "Black wins");
    game().estimates.forEach((estimate, index) => {
      let path = "", pen = false;
      estimate.values.forEach((value, at) => {
        if (value === null) return; // a player estimates before its own moves only: its line joins them
        path += `${pen ? "L" : "M"}${px(at).toFixed(1)} ${py(value).toFixed(1)}`;
        pen = true;
      });
      make(drawn, "path", { class: `l${index % 3}`, d: path });
      make(drawn, "text", { class: `l${index % 3}`, x: L + 6 + index * 130, y: 11 }, estimate.name);
    });
    const now = make(drawn, "path", { class: "now" });
    drawn.addEventListener("click", (event) => {
      const box = drawn.getBoundingClientRect();
      const at = (event.clientX - box.left) / box.width * W;
      go(Math.round((at - L) / (W - L - R) * last()));
    });
    chart = () => now.setAttribute("d", `M${px(move)} ${T}V${H - B}`);
  };

  const draw = () => {
    const stones = position(game(), move);
    const { points, colours } = game().moves;
    const latest = move ? points[move - 1] : -1;
    stonesLayer.replaceChildren();
    ownersLayer.replaceChildren();
    stones.forEach((colour, point) => {
      if (colour) make(stonesLayer, "circle", { class: `stone ${colour}`, cx: x(point), cy: y(point), r: CELL * 0.47 });
    });
    if (numbers) {
      const when = new Map();
      for (let index = 0; index < move; index++) when.set(points[index], index + 1);
      for (const [point, number] of when) if (point >= 0 && stones[point]) make(stonesLayer, "text", { class: `number on-${stones[point]}`, x: x(point), y: y(point) + 3.5 }, number);
    } else if (latest >= 0 && stones[latest]) {
      make(stonesLayer, "circle", { class: `last on-${stones[latest]}`, cx: x(latest), cy: y(latest), r: CELL * 0.22 });
    }
    const owned = game().ownership.filter((one) => one.move <= move).at(-1) ?? game().ownership[0];
    if (owners && owned) {
      owned.values.forEach((value, point) => {
        const side = CELL * 0.5 * Math.min(1, Math.abs(value) / 100);
        if (side > 1) make(ownersLayer, "rect", { class: value > 0 ? "own-b" : "own-w", x: x(point) - side / 2, y: y(point) - side / 2, width: side, height: side });
      });
    }
    const button = find("[data-do='ownership']");
    button.disabled = !game().ownership.length;
    button.setAttribute("aria-pressed", owners && Boolean(owned));
    button.textContent = owned ? `Ownership after move ${owned.move}` : "No ownership recorded";
    find("[data-do='numbers']").setAttribute("aria-pressed", numbers);
    const who = move ? (colours[move - 1] === "b" ? "Black" : "White") : "";
    const said = move ? `${move}. ${who} ${latest < 0 ? "passes" : named(latest)}` : "Before the first move";
    const estimate = game().estimates.map((one) => one.values[move]).find((value) => value != null);
    find(".go-said").textContent = said + (estimate == null ? "" : ` · Black ${(estimate * 100).toFixed(1)}%`);
    svg.setAttribute("aria-label", `Board after ${said}`);
    find(".go-jump").value = find(".go-slider").value = move;
    chart?.();
  };
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    find("[data-do='play']").setAttribute("aria-pressed", "false");
  };
  const go = (to) => { move = Math.max(0, Math.min(last(), Math.round(to) || 0)); draw(); };
  const open = (index) => {
    stop();
    current = (index + games.length) % games.length;
    find(".go-count").textContent = `Game ${current + 1} of ${games.length}`;
    find(".go-name").textContent = game().name;
    for (const facts of app.querySelectorAll(".go-facts")) facts.hidden = Number(facts.dataset.game) !== current;
    for (const row of app.querySelectorAll(".go-games tbody tr")) row.toggleAttribute("aria-current", Number(row.dataset.game) === current);
    find(".go-jump").max = find(".go-slider").max = last();
    find(".go-of").textContent = `of ${last()}`;
    drawCurve();
    go(last());
  };
  const actions = {
    first: () => go(0), back: () => go(move - 1), next: () => go(move + 1), last: () => go(last()),
    ownership: () => { owners = !owners; draw(); },
    numbers: () => { numbers = !numbers; draw(); },
    play: () => {
      if (timer) return stop();
      if (move === last()) go(0);
      find("[data-do='play']").setAttribute("aria-pressed", "true");
      timer = setInterval(() => { go(move + 1); if (move === last()) stop(); }, 350);
    },
  };
  app.addEventListener("click", (event) => {
    const row = event.target.closest(".go-games button.link")?.closest("tr");
    if (row) { open(Number(row.dataset.game)); app.scrollIntoView({ block: "start" }); }
    const action = event.target.closest("[data-do]")?.dataset.do;
    if (action && action !== "play") stop();
    actions[action]?.();
  });
  find(".go-slider").addEventListener("input", (event) => { stop(); go(event.target.value); });
  find(".go-jump").addEventListener("change", (event) => { stop(); go(event.target.value); });
  const keys = {
    ArrowLeft: actions.back, ArrowRight: actions.next, ArrowUp: () => go(move - 10), ArrowDown: () => go(move + 10),
    Home: actions.first, End: actions.last, " ": actions.play, o: actions.ownership, m: actions.numbers,
    n: () => open(current + 1), p: () => open(current - 1),
  };
  app.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input, select") || (event.key === " " && event.target.closest("button"));
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = keys[event.key] ?? keys[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    act();
  });
  open(0);
}
