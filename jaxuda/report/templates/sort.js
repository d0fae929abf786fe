'use strict';
// A heading sorts the rows of its table: numbers in descending order first,
// names from A; a second click reverses it. Missing values stay last.
document.querySelectorAll('button.sort').forEach((button) => {
  button.addEventListener('click', () => {
    const heading = button.closest('th');
    const table = heading.closest('table');
    const place = heading.cellIndex;
    const body = table.tBodies[0];
    const numeric = heading.classList.contains('number');
    const was = heading.getAttribute('aria-sort');
    const first = numeric ? 'descending' : 'ascending';
    const second = numeric ? 'ascending' : 'descending';
    const now = was === first ? second : first;
    table.querySelectorAll('th[aria-sort]').forEach((other) => {
      other.setAttribute('aria-sort', 'none');
    });
    heading.setAttribute('aria-sort', now);
    const sign = now === 'ascending' ? 1 : -1;
    const key = (row) => {
      const cell = row.cells[place];
      if (!numeric) return cell.textContent;
      return cell.dataset.value === '' ? null : Number(cell.dataset.value);
    };
    const compare = (one, other) => {
      const a = key(one);
      const b = key(other);
      if (a === null || b === null) return (a === null) - (b === null);
      if (numeric) return sign * (a - b);
      return sign * a.localeCompare(b, 'en', {numeric: true});
    };
    body.append(...Array.from(body.rows).sort(compare));
  });
});
