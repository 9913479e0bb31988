// Texts whose contrast is under 4.5 : 1 (3 : 1 where large), as WCAG 2.2 counts it, and other things
// that can be told of a page without a person. Gives a list of complaints.

const found = [];

function parts(color) {
  const numbers = color.match(/[\d.]+/g)?.map(Number) ?? [0, 0, 0, 0];
  return { r: numbers[0], g: numbers[1], b: numbers[2], a: numbers[3] ?? 1 };
}

function over(top, below) {
  const mix = (one, other) => one * top.a + other * (1 - top.a);
  return { r: mix(top.r, below.r), g: mix(top.g, below.g), b: mix(top.b, below.b), a: 1 };
}

function ground(element) {
  const above = [];
  for (let at = element; at; at = at.parentElement) {
    const color = parts(getComputedStyle(at).backgroundColor);
    if (color.a > 0) above.push(color);
    if (color.a === 1) break;
  }
  return above.reverse().reduce((below, top) => over(top, below), { r: 255, g: 255, b: 255, a: 1 });
}

function light({ r, g, b }) {
  const linear = (value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
  return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
}

function contrast(one, other) {
  const [high, low] = [light(one), light(other)].sort((left, right) => right - left);
  return (high + 0.05) / (low + 0.05);
}

function name(element) {
  return `<${element.tagName.toLowerCase()}${element.id ? ` id=${element.id}` : ""}${element.className?.baseVal === undefined && element.className ? ` class="${element.className}"` : ""}>`;
}

const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  const element = texts.currentNode.parentElement;
  if (!texts.currentNode.textContent.trim() || !element.checkVisibility({ visibilityProperty: true })) continue;
  if (element.closest(".hidden, .skip, script, noscript, datalist, dialog:not([open])")) continue;
  const style = getComputedStyle(element);
  const own = parts(element instanceof SVGElement ? style.fill : style.color);
  let alpha = 1;
  for (let at = element; at; at = at.parentElement) alpha *= Number(getComputedStyle(at).opacity);
  const behind = ground(element);
  const size = parseFloat(style.fontSize);
  const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  const value = contrast(over({ ...own, a: own.a * alpha }, behind), behind);
  if (value < (large ? 3 : 4.5)) found.push(`${name(element)} "${texts.currentNode.textContent.trim().slice(0, 30)}": contrast ${value.toFixed(2)}`);
  if (size < 11) found.push(`${name(element)}: text of ${size} px`);
}

// Every control has a name; ids are unique; headings skip no level; tables have headed columns.
for (const control of document.querySelectorAll("button, input, select, a[href], summary, [tabindex]")) {
  const named = control.textContent.trim() || control.getAttribute("aria-label") || control.labels?.length ||
    control.getAttribute("aria-labelledby");
  if (!named && control.checkVisibility()) found.push(`${name(control)}: no name`);
}
const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
for (const id of ids.filter((one, index) => ids.indexOf(one) !== index)) found.push(`id ${id} is there twice`);
for (const element of document.querySelectorAll("[aria-labelledby], [aria-describedby]")) {
  for (const attribute of ["aria-labelledby", "aria-describedby"]) {
    for (const id of element.getAttribute(attribute)?.split(" ") ?? []) {
      if (!document.getElementById(id)?.textContent.trim()) found.push(`${name(element)}: ${attribute} ${id} names nothing`);
    }
  }
}
let level = 0;
for (const heading of document.querySelectorAll("h1, h2, h3, h4")) {
  if (heading.closest("dialog")) continue;
  const own = Number(heading.tagName[1]);
  if (own > level + 1) found.push(`${name(heading)}: level ${own} after ${level}`);
  level = own;
}
for (const table of document.querySelectorAll("table")) {
  if (!table.querySelector("thead th[scope]")) found.push(`${name(table)}: no headed columns`);
  if (!table.querySelector("caption") && !table.hasAttribute("aria-labelledby")) found.push(`${name(table)}: no caption`);
  for (const row of table.querySelectorAll("tbody tr:not(.none)")) {
    if (!row.querySelector("th[scope=row]")) found.push(`${name(table)}: a row without a head`);
  }
}
for (const drawing of document.querySelectorAll("svg, [role=img]")) {
  if (drawing.checkVisibility() && !drawing.getAttribute("aria-label") && drawing.getAttribute("aria-hidden") !== "true") {
    found.push(`${name(drawing)}: a drawing without words`);
  }
}
if (document.querySelectorAll("main").length !== 1 || document.querySelectorAll("h1").length !== 1) found.push("one main and one h1 are wanted");
if (!document.querySelector("header") || !document.querySelector("nav[aria-label]")) found.push("no header or nav");
if (!document.documentElement.lang) found.push("no language");
return found;
