
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

  const search = document.getElementById("search");
  const matches = document.getElementById("matches");
  function filter() {
    const text = search.value.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      row.hidden = !row.textContent.toLowerCase().includes(text);
      shown += row.hidden ? 0 : 1;
    }
    matches.textContent = text ? `${shown} of ${rows.length} shown` : "";
  }
  search.addEventListener("input", filter);
  search.closest("p").hidden = false;
  filter();
})();
