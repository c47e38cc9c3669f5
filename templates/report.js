
"use strict";
(() => {
  const table = document.getElementById("tightest");
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const headers = Array.from(table.tHead.rows[0].cells);

  function key(row, column) {
    const cell = row.cells[column];
    return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent;
  }

  function sort(column) {
    const ascending = headers[column].getAttribute("aria-sort") !== "ascending";
    const sign = ascending ? 1 : -1;
    const keyed = rows.map((row) => [key(row, column), row]);
    keyed.sort(([a], [b]) => sign * (a < b ? -1 : a > b ? 1 : 0));
    body.append(...keyed.map(([, row]) => row));
    headers.forEach((header) => header.removeAttribute("aria-sort"));
    headers[column].setAttribute("aria-sort", ascending ? "ascending" : "descending");
  }

  headers.forEach((header, column) => {
    header.querySelector("button").addEventListener("click", () => sort(column));
  });
})();

(() => {
  // The distances with another reserve: the figures are those of the two tables, in bytes.
  const table = document.getElementById("curve");
  if (!table) return;
  const own = Object.fromEntries(Object.entries(table.dataset).map(([name, text]) => [name, Number(text)]));
  const points = Array.from(table.tBodies[0].rows);
  const pieces = Array.from(document.querySelectorAll("#pieces tbody tr[data-first]"), (row) => row.dataset);
  const picture = document.getElementById("profile");
  const linked = Array.from(picture.querySelectorAll(".data, .cause, .stop, text.bad, text.note"));
  const drawn = picture.insertBefore(element("g"), picture.querySelector("line"));
  const cursor = document.getElementById("growth").appendChild(element("line", { class: "cursor" }));
  const note = document.getElementById("drawn");
  const slider = document.getElementById("reserve");
  const tried = document.getElementById("tried");

  function element(tag, attributes = {}) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  }

  function nearest(reserve) {
    const distance = (row) => Math.abs(row.dataset.reserve - reserve);
    return points.reduce((best, row) => (distance(row) < distance(best) ? row : best));
  }

  function level(distance) {
    return own.top + (own.plot / 2) * (1 - Math.max(-1, Math.min(1, distance / own.shown)));
  }

  // One box for functions [from, to) of a piece; their locations are taken to be evenly spread.
  function box(piece, kind, from, to, distanceOf) {
    const first = Number(piece.first), count = Number(piece.count);
    const low = Number(piece.low), high = Number(piece.high);
    const share = (position) => (count > 1 ? (position - first) / (count - 1) : 0);
    const ends = [from, to - 1].map((position) =>
      level(distanceOf(position, low + share(position) * (high - low))));
    const height = Math.max(3, Math.abs(ends[0] - ends[1]));
    const y = kind === "bad" ? own.top + own.plot + 4 : (ends[0] + ends[1] - height) / 2;
    drawn.append(element("rect", {
      class: `${kind} tried`, x: `${piece.x}%`, width: `${piece.width}%`, y,
      height: kind === "bad" ? 14 : height,
    }));
  }

  function draw(point) {
    const [reserve, served, stubs] = ["reserve", "served", "stubs"].map((name) => Number(point.dataset[name]));
    const linkedStubs = Number(nearest(own.linked).dataset.stubs);
    const moved = (reserve - own.linked) * own.size;
    const after = moved + (stubs - linkedStubs) * own.size;
    const place = (position, location) =>
      location + (position >= own.after ? after : position >= own.moving ? moved : 0);
    const toReserve = (position, location) => place(position, location) - position * own.size;
    const toEnd = (position, location) =>
      place(position, location) - (own.end + moved + (position - served) * own.size);
    drawn.replaceChildren();
    for (const piece of pieces) {
      const first = Number(piece.first), last = first + Number(piece.count);
      const cuts = [first, served, served + stubs, last].map((cut) => Math.max(first, Math.min(last, cut)));
      if (cuts[1] > cuts[0]) box(piece, "reserve", cuts[0], cuts[1], toReserve);
      if (cuts[2] > cuts[1]) box(piece, "end", cuts[1], cuts[2], toEnd);
      if (cuts[3] > cuts[2]) box(piece, "bad", cuts[2], cuts[3], toEnd);
    }
  }

  function update() {
    const asLinked = Number(slider.value) === own.linked;
    const point = nearest(Number(slider.value));
    const cells = Array.from(point.cells, (cell) => cell.textContent);
    const [reserve, early, even, late, , without] = cells;
    const outcome = without === "0"
      ? `text can grow by ${early} early, ${even} evenly, ${late} late`
      : `fails: ${without} functions get no working stub`;
    tried.textContent = `${reserve}: ${outcome}`;
    slider.setAttribute("aria-valuetext", tried.textContent);
    const x = `${(100 * point.dataset.reserve) / slider.max}%`;
    for (const [name, value] of [["x1", x], ["x2", x], ["y1", own.top], ["y2", own.top + own.plot]]) {
      cursor.setAttribute(name, value);
    }
    cursor.classList.toggle("off", asLinked);
    drawn.replaceChildren();
    if (!asLinked) draw(point);
    linked.forEach((shape) => shape.classList.toggle("off", !asLinked));
    note.hidden = asLinked;
    note.textContent = `Drawn for a reserve of ${reserve}, not as linked.`;
  }

  slider.addEventListener("input", update);
  slider.closest("p").hidden = false;
  update();
})();
