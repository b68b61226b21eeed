"use strict";
for (const list of document.querySelectorAll("select[data-sorts]")) {
  const sheet = document.getElementById(list.dataset.sorts);
  const stored = [...sheet.children];
  list.addEventListener("change", () => {
    const [score, way] = list.value.split("|");
    const value = (tile) => {
      const text = tile.getAttribute(`data-score-${score}`);
      return text === null ? Infinity : way * Number(text); // those without one are last
    };
    sheet.append(...(score ? [...stored].sort((a, b) => value(a) - value(b)) : stored));
  });
}
for (const box of document.querySelectorAll("input[data-faces]")) {
  const show = () => document.body.classList.toggle("faces", box.checked);
  box.addEventListener("change", show);
  show(); // a browser that goes back keeps the tick
}
const dialog = document.querySelector("dialog");
let shown = null;
const show = (tile) => {
  shown = tile;
  const all = [...tile.parentElement.querySelectorAll("li:has(.open)")];
  dialog.querySelector("h2").textContent = tile.querySelector("dd").textContent;
  dialog.querySelector(".large-place").textContent = `${all.indexOf(tile) + 1} of ${all.length}`;
  dialog.querySelector(".large").replaceChildren(tile.querySelector(".shots").cloneNode(true));
  const facts = [...tile.querySelector("dl").children].slice(2);
  dialog.querySelector("dl").replaceChildren(...facts.map((one) => one.cloneNode(true)));
};
const go = (by) => {
  const all = [...shown.parentElement.querySelectorAll("li:has(.open)")];
  show(all[(all.indexOf(shown) + by + all.length) % all.length]);
};
document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.matches(".open")) {
    show(button.closest("li"));
    dialog.showModal();
  } else if (button?.dataset.go) go(Number(button.dataset.go));
  else if (button?.matches("[data-close]") || event.target === dialog) dialog.close();
});
dialog.addEventListener("keydown", (event) => {
  const by = {ArrowLeft: -1, ArrowRight: 1}[event.key];
  if (by) {
    event.preventDefault();
    go(by);
  }
});
dialog.addEventListener("close", () => shown?.querySelector(".open").focus());
