// Changes to the page. Nothing is written that is there already, and rows keep their elements, so
// that focus, selection and what a screen reader reads survive each second's figures.
// Everything goes in as text, never as markup: keys and names are clients' words.

const SVG = "http://www.w3.org/2000/svg";

/** The element of that id. */
export function at(id) {
  return document.getElementById(id);
}

/** Writes a text where it differs. */
export function write(element, text) {
  const wanted = text == null ? "" : String(text);
  if (element.textContent !== wanted) element.textContent = wanted;
}

/** Sets attributes where they differ; null takes one away. */
export function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value == null || value === false) {
      if (element.hasAttribute(name)) element.removeAttribute(name);
    } else if (element.getAttribute(name) !== String(value)) {
      element.setAttribute(name, value);
    }
  }
  return element;
}

/** A new element with attributes and children, which are elements or texts. */
export function make(tag, attributes = {}, ...children) {
  const element = set(document.createElement(tag), attributes);
  element.append(...children.filter((child) => child != null));
  return element;
}

/** The same of a drawing. */
export function draw(tag, attributes = {}, ...children) {
  const element = set(document.createElementNS(SVG, tag), attributes);
  element.append(...children);
  return element;
}

/**
 * Makes a list of elements be one of `items`: those of keys that are there are kept and updated,
 * the others made or removed, and all put in order.
 */
export function keep(parent, items, key, build, update) {
  const present = new Map();
  for (const child of [...parent.children]) present.set(child.dataset.key, child);
  let before = parent.firstElementChild;
  for (const item of items) {
    const name = String(key(item));
    let element = present.get(name);
    if (element) {
      present.delete(name);
    } else {
      element = build(item);
      element.dataset.key = name;
    }
    if (element === before) before = before.nextElementSibling;
    else parent.insertBefore(element, before);
    // Within the page: only there it has a width to fit texts to.
    update(element, item);
  }
  for (const gone of present.values()) gone.remove();
}

/**
 * A table's rows. A column is `{of: item => text}` with, where wanted: `head`, it heads its row;
 * `class` of all its cells, `each` of one; `bar`, a share beside; `badge`, a level around; `alarm`,
 * whether it is one; `title`, the whole text.
 */
export function rows(body, items, key, columns, none) {
  const build = () => {
    const cells = columns.map((column) =>
      make(column.head ? "th" : "td", { scope: column.head ? "row" : null, class: column.class }));
    return make("tr", {}, ...cells);
  };
  const update = (row, item) => {
    columns.forEach((column, index) => {
      const cell = row.children[index];
      if (column.bar) bar(cell, column.bar(item), column.of(item), column.level?.(item));
      else if (column.badge) badge(cell, column.badge(item), column.of(item));
      else write(cell, column.of(item));
      if (column.each) set(cell, { class: column.each(item) });
      if (column.title) set(cell, { title: column.title(item) });
      if (column.alarm) set(cell, { "data-alarm": column.alarm(item) ? "yes" : null });
    });
  };
  const empty = body.querySelector("tr.none");
  if (items.length === 0) {
    if (!empty) {
      const cell = make("td", { colspan: columns.length, class: "muted" }, none);
      body.replaceChildren(make("tr", { class: "none" }, cell));
    }
    return;
  }
  empty?.remove();
  keep(body, items, key, build, update);
}

/** A share as a bar with its number beside. */
export function bar(cell, share, text, level) {
  if (!cell.firstElementChild) {
    const inner = make("span", { class: "fill" });
    cell.append(make("span", { class: "track", "aria-hidden": "true" }, inner), make("span", { class: "bar-text" }));
  }
  const [track, label] = cell.children;
  const width = `${Math.round(Math.min(1, Math.max(0, share)) * 1000) / 10}%`;
  const fill = track.firstElementChild;
  if (fill.style.width !== width) fill.style.width = width;
  set(fill, { "data-level": level });
  write(label, text);
}

/** A word with a mark whose shape says the same as its colour. */
export function badge(cell, level, text) {
  if (!cell.firstElementChild) cell.append(make("span", { class: "badge" }));
  set(cell.firstElementChild, { "data-level": level });
  write(cell.firstElementChild, text);
}

/** A list of facts: pairs of name and text. */
export function facts(list, pairs) {
  const shown = pairs.filter(([, text]) => text != null);
  keep(list, shown, ([name]) => name,
    ([name]) => make("div", {}, make("dt", {}, name), make("dd")),
    (element, [, text]) => write(element.lastElementChild, text));
}
