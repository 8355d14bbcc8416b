// A click on a heading sorts its table, missing values last; the index marks the claim in view.
const UNITS = { d: 86400, h: 3600, min: 60, s: 1 };
const MISSING = ["", "–", "no figure"];

function number(text) {
  const times = [...text.matchAll(/([\d.]+) (d|h|min|s)(?= |$)/g)];
  if (times.length) return times.reduce((sum, [, n, unit]) => sum + n * UNITS[unit], 0);
  return parseFloat(text.replace(/,(?=\d{3})/g, "").replace("−", "-"));
}

function sort(table, column, sign) {
  const asText = "text" in table.tHead.rows[0].cells[column].dataset;
  const rows = [...table.tBodies[0].rows].map((row) => {
    const cell = row.cells[column], text = cell.dataset.sort ?? cell.textContent.trim();
    const value = asText ? NaN : number(text);
    return { row, text, value, rank: MISSING.includes(text) ? 2 : isNaN(value) ? 1 : 0 };
  });
  rows.sort((a, b) => a.rank - b.rank
    || sign * (a.value - b.value || a.text.localeCompare(b.text, "en", { numeric: true })));
  table.tBodies[0].append(...rows.map(({ row }) => row));
}

for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      sort(table, column, up ? 1 : -1);
    });
  });
}

const index = document.querySelector(".index"), wide = matchMedia("(min-width: 1100px)");
const links = [...index.querySelectorAll("a")];
const places = links.map((link) => document.getElementById(decodeURIComponent(link.hash.slice(1))));

function fold() { index.open = wide.matches; }

function mark() {
  const end = scrollY + innerHeight >= document.documentElement.scrollHeight - 2;
  const past = places.filter((place) => end || place.getBoundingClientRect().top < innerHeight / 3);
  const link = links[Math.max(past.length - 1, 0)];
  if (link.hasAttribute("aria-current")) return;
  for (const other of links) other.removeAttribute("aria-current");
  link.setAttribute("aria-current", "location");
  document.getElementById("now").textContent = link.querySelector("span")?.firstChild.data ?? link.textContent;
  if (wide.matches) {
    const box = index.parentElement, away = link.getBoundingClientRect().top - box.getBoundingClientRect().top;
    if (away < 40 || away > box.clientHeight - 80) box.scrollTop += away - box.clientHeight / 3;
  }
}

wide.addEventListener("change", fold);
index.addEventListener("click", (event) => {
  if (event.target.closest("a") && !wide.matches) index.open = false;
});
addEventListener("scroll", mark, { passive: true });
document.documentElement.classList.add("scripted");
fold();
mark();
