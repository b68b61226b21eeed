"use strict";

// Columns sort when their heads are pressed: the better end first, then the other one.
for (const table of document.querySelectorAll("table.board")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const before = head.getAttribute("aria-sort");
      const first = head.dataset.first || "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      const order = before === first ? other : first;
      heads.forEach((one) => one.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", order);
      for (const body of table.tBodies) sort(body, column, order === "ascending" ? 1 : -1);
    });
  });
}

function sort(body, column, sign) {
  const rows = [...body.rows].filter((row) => !row.classList.contains("title"));
  const key = (row) => {
    const cell = row.cells[column];
    if (cell.dataset.sort !== undefined) return Number(cell.dataset.sort);
    const text = cell.textContent.trim();
    return cell.tagName === "TH" ? text : text === "" || text.startsWith("n/a") ? null : text;
  };
  const compare = (left, right) => {
    const [a, b] = [key(left), key(right)];
    // What has no value is last in either order.
    if (a === null || b === null) return (a === null) - (b === null);
    if (typeof a === "number" && typeof b === "number") return sign * (a - b);
    return sign * String(a).localeCompare(String(b), "en", { numeric: true });
  };
  body.append(...rows.sort(compare));
}

// A list of metrics shows one plot.
for (const list of document.querySelectorAll("select[data-chooses]")) {
  const plots = document.getElementById(list.dataset.chooses).children;
  const show = () => {
    for (const plot of plots) plot.hidden = plot.dataset.of !== list.value;
  };
  list.addEventListener("change", show);
  show(); // browsers restore the choice of the last visit
}

// Sliders: two layers lie on each other, each clipped at the divide.
for (const figure of document.querySelectorAll(".compare")) {
  const controls = figure.querySelector(".controls");
  if (!controls) continue;
  const stage = figure.querySelector(".stage");
  const range = controls.querySelector("input");
  const [left, right] = controls.querySelectorAll("select");
  const layers = [...stage.querySelectorAll(".layer")];
  const show = () => {
    const at = Number(range.value);
    stage.style.setProperty("--at", at + "%");
    range.setAttribute("aria-valuetext", `${at} % ${left.value}, ${100 - at} % ${right.value}`);
    for (const layer of layers) {
      const isLeft = layer.dataset.label === left.value;
      const isRight = layer.dataset.label === right.value;
      layer.hidden = !(isLeft || isRight);
      layer.classList.toggle("left", isLeft && !isRight);
      layer.classList.toggle("right", isRight && !isLeft);
    }
  };
  const drag = (event) => {
    const box = stage.getBoundingClientRect();
    range.value = Math.round(((event.clientX - box.left) / box.width) * 100);
    show();
  };
  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    stage.setPointerCapture(event.pointerId);
    drag(event);
  });
  stage.addEventListener("pointermove", (event) => {
    if (stage.hasPointerCapture(event.pointerId)) drag(event);
  });
  for (const control of [range, left, right]) control.addEventListener("input", show);
  stage.classList.add("live");
  controls.hidden = false;
  show();
}
