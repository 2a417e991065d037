// Tables: rows of values under named columns. On a narrow screen each row becomes a card, its cells named by their columns.
import { h } from "/console/static/core/dom.js";

/** `columns` are `{ name, cell, end, unseen }`; `key` tells rows apart. */
export function table({ label, columns, rows, key }) {
  const head = columns.map((column) => h("th", { scope: "col", class: column.end && "right" }, column.unseen ? h("span", { class: "unseen" }, column.name) : column.name));
  const line = (row) => h("tr", { key: key(row), "data-row": true }, columns.map((column) =>
    h("td", { "data-label": column.unseen ? undefined : column.name, class: column.end && "right" }, column.cell(row) ?? h("span", { class: "soft" }, "–"))));
  return h("div", { class: "table-box folds", tabindex: "0", role: "region", "aria-label": label },
    h("table", {}, h("caption", { class: "unseen" }, label), h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows.map(line))));
}
