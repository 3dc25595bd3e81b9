"use strict";
// Tables of the class "sortable": a button in each column head sorts, a field above filters by the row's name.
// Without scripts a table stays as it was made. A cell's data-value, a number, goes before its text.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells], rows = [...body.rows];
  const text = (row, column) => row.cells[column].textContent.trim();
  const value = (row, column) => {
    const given = row.cells[column].dataset.value;
    return given === undefined ? text(row, column) : given === "" ? null : Number(given);
  };
  const compare = (a, b) => typeof a === "number" ? a - b : a.localeCompare(b, undefined, {numeric: true});
  const sort = (column, down) => {
    const known = rows.filter(row => value(row, column) !== null && value(row, column) !== "");
    const rest = rows.filter(row => !known.includes(row));
    known.sort((a, b) => (down ? -1 : 1) * compare(value(a, column), value(b, column)));
    body.append(...known, ...rest); // what has no value stays last, either way
  };
  heads.forEach((head, column) => {
    if (head.classList.contains("chart")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      sort(column, down);
    });
  });
  if (rows.length < 8) continue;
  const label = document.createElement("label"), field = document.createElement("input");
  const count = document.createElement("output");
  field.type = "search";
  label.append(`Show only ${table.dataset.rows || "rows"} with `, field);
  count.setAttribute("aria-live", "polite");
  const tools = document.createElement("p");
  tools.className = "tools";
  tools.append(label, " ", count);
  (table.closest(".scroll") || table).before(tools);
  field.addEventListener("input", () => {
    const wanted = field.value.trim().toLowerCase();
    const name = row => (row.querySelector("th") || row.cells[0]).textContent.toLowerCase();
    for (const row of rows) row.hidden = !name(row).includes(wanted);
    count.textContent = wanted ? `${rows.filter(row => !row.hidden).length} of ${rows.length}` : "";
  });
}
