// Draws the interactive charts with the library that the page carries.
"use strict";
for (const place of document.querySelectorAll(".vega")) {
  window.drawChart(place, JSON.parse(place.nextElementSibling.textContent));
}
