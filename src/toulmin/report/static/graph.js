// Circuits and other graphs: pointing at a node shows its edges, the slider hides light ones.
"use strict";
for (const graph of document.querySelectorAll(".graph")) {
  const svg = graph.querySelector("svg");
  const edges = [...svg.querySelectorAll(".e")];
  const nodes = new Map([...svg.querySelectorAll(".n")].map((node) => [node.dataset.id, node]));
  const focus = (node) => {
    svg.classList.toggle("focused", Boolean(node));
    for (const one of nodes.values()) one.classList.toggle("on", one === node);
    for (const edge of edges) {
      const on = Boolean(node) && (edge.dataset.s === node.dataset.id || edge.dataset.t === node.dataset.id);
      edge.classList.toggle("on", on);
      if (on && edge.style.display !== "none") {
        nodes.get(edge.dataset.s).classList.add("on");
        nodes.get(edge.dataset.t).classList.add("on");
      }
    }
  };
  svg.addEventListener("pointerover", (event) => focus(event.target.closest(".n")));
  svg.addEventListener("pointerleave", () => focus(null));
  svg.addEventListener("focusin", (event) => focus(event.target.closest(".n")));
  svg.addEventListener("focusout", () => focus(null));
  const cut = graph.querySelector(".cut");
  cut?.addEventListener("input", () => {
    graph.querySelector("output").textContent = `${cut.value}% of the heaviest`;
    for (const edge of edges) edge.style.display = edge.dataset.w * 100 < cut.value ? "none" : "";
  });
}
