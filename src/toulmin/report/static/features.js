// Search over features.
"use strict";
for (const index of document.querySelectorAll(".features")) {
  const search = index.querySelector(".feature-search");
  const features = [...index.querySelectorAll(".feature")];
  search.addEventListener("input", () => {
    const wanted = search.value.trim().toLowerCase();
    let shown = 0;
    for (const feature of features) {
      feature.hidden = Boolean(wanted) && !feature.textContent.toLowerCase().includes(wanted);
      shown += !feature.hidden;
    }
    index.querySelector("output").textContent = `${shown} features`;
  });
}
