// Sorting of tables by a click on a column, the text of the nearest point of a figure, and curves of rows on and off.

const number = (text) => {
  const found = text.replace("−", "-").match(/-?\+?\d*\.?\d+/);
  return found === null ? null : Number(found[0]);
};

for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0];
  const headings = [...table.tHead.rows[0].cells];
  const sort = (heading) => {
    const column = headings.indexOf(heading);
    const down = heading.getAttribute("aria-sort") === "ascending";
    for (const other of headings) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const groups = []; // a row with those that belong below it
    for (const row of body.rows) {
      if (row.classList.contains("published") && groups.length) groups.at(-1).push(row);
      else groups.push([row]);
    }
    const texts = groups.map((rows) => (rows[0].cells[column].firstChild?.textContent ?? "").trim());
    const numbers = texts.map(number);
    const asNumbers = texts.every((text, at) => text === "" || numbers[at] !== null);
    const compare = (a, b) => {
      if (texts[a] === "" || texts[b] === "") return (texts[a] === "") - (texts[b] === ""); // empty ones stay last
      const order = asNumbers ? numbers[a] - numbers[b] : texts[a].localeCompare(texts[b]);
      return down ? -order : order;
    };
    for (const at of groups.map((_, at) => at).sort(compare)) body.append(...groups[at]);
  };
  if (body.rows.length < 2) continue;
  for (const heading of headings) {
    heading.tabIndex = 0;
    heading.title = "sort";
    heading.addEventListener("click", () => sort(heading));
    heading.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        sort(heading);
      }
    });
  }
}

const REACH = 24; // pixels from a point
const tip = document.createElement("div");
tip.className = "tip";
tip.hidden = true;
document.body.append(tip);

const pointsOf = (group) => {
  const uses = [...group.querySelectorAll("use")].map((use) => [use.x.baseVal.value, use.y.baseVal.value]);
  if (uses.length) return uses;
  const paths = [...group.querySelectorAll("path")].map((path) => [
    ...path.getAttribute("d").matchAll(/[ML]\s*(\S+)\s+(\S+)/g),
  ].map((found) => [Number(found[1]), Number(found[2])]));
  if (paths.length < 2) return paths[0] ?? [];
  return paths.flatMap((points, at) => points.map(([x, y]) => [x, y, at])); // a text per path
};

for (const svg of document.querySelectorAll("figure svg")) {
  const groups = [...svg.querySelectorAll(".series")];
  if (!groups.length) continue;
  let series = null;
  const nearest = (event) => {
    series ??= groups.map((group) => ({ group, points: pointsOf(group), texts: group.dataset.texts.split("|") }));
    let best = { distance: REACH };
    for (const { group, points, texts } of series) {
      if (group.style.display === "none") continue;
      const matrix = group.getScreenCTM();
      points.forEach(([x, y, path], point) => {
        const at = path ?? point;
        const [left, top] = [matrix.a * x + matrix.e, matrix.d * y + matrix.f];
        const distance = Math.hypot(left - event.clientX, top - event.clientY);
        if (distance < best.distance && texts[at]) best = { distance, left, top, text: texts[at] };
      });
    }
    return best;
  };
  const show = (event) => {
    const { text, left, top } = nearest(event);
    tip.hidden = text === undefined;
    if (tip.hidden) return;
    tip.textContent = text;
    tip.style.left = `${Math.max(4, Math.min(left + 10, innerWidth - tip.offsetWidth - 4)) + scrollX}px`;
    tip.style.top = `${top + scrollY + 12}px`;
  };
  svg.addEventListener("pointermove", show);
  svg.addEventListener("pointerdown", show);
  svg.addEventListener("pointerleave", () => (tip.hidden = true));
}

for (const box of document.querySelectorAll(".rows input")) {
  box.disabled = false;
  box.addEventListener("change", () => {
    for (const group of box.closest("figure").querySelectorAll(".series")) {
      if (group.dataset.row === box.value) group.style.display = box.checked ? "" : "none";
    }
  });
}
