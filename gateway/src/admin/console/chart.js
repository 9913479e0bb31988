// Lines over the last minutes, drawn in SVG at the size that they are seen at.
//
// A chart is a figure: its caption has the present values (or those under the pointer, or at the
// arrow keys' place), its drawing has a text of the same for who does not see it. Series differ by
// stroke as well as by colour.

import { draw, keep, make, set, write } from "./page.js";
import { clock } from "./format.js";

const HEIGHT = 148;
/** Room for the axis' numbers. */
const LEFT = 62;
const RIGHT = 4;
const TOP = 8;
const BOTTOM = 18;
const LINES = 3;

/** One chart with its series: `{key, name, of: history => list}`. */
export class Chart {
  constructor(parent, { title, format, series, floor, binary }) {
    Object.assign(this, { title, format, series, floor, binary, place: null, history: null });
    this.legend = make("ul", { class: "legend" });
    this.when = make("span", { class: "muted when" });
    this.drawing = draw("svg", { role: "img", tabindex: 0, class: "chart" });
    const head = make("figcaption", {}, make("h3", {}, title), this.when);
    this.figure = make("figure", { class: "panel chart-panel" }, head, this.legend, this.drawing);
    parent.append(this.figure);
    this.drawing.addEventListener("pointermove", (event) => this.point(event));
    this.drawing.addEventListener("pointerleave", () => this.leave());
    this.drawing.addEventListener("blur", () => this.leave());
    this.drawing.addEventListener("keydown", (event) => this.step(event));
    new ResizeObserver(() => this.history && this.render()).observe(this.figure);
  }

  /** Takes the history of a state. */
  update(history) {
    this.history = history;
    this.render();
  }

  point(event) {
    const box = this.drawing.getBoundingClientRect();
    const count = this.length();
    if (!count) return;
    const share = (event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT);
    this.place = Math.min(count - 1, Math.max(0, Math.round(share * (count - 1))));
    this.render();
  }

  step(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -30, PageDown: 30 }[event.key];
    const count = this.length();
    if (event.key === "Escape") this.leave();
    if (!by || !count) return;
    event.preventDefault();
    this.place = Math.min(count - 1, Math.max(0, (this.place ?? count - 1) + by));
    this.render();
  }

  leave() {
    this.place = null;
    if (this.history) this.render();
  }

  length() {
    return this.history ? this.series[0].of(this.history).length : 0;
  }

  render() {
    const width = Math.max(120, Math.floor(this.drawing.clientWidth || this.figure.clientWidth - 24));
    const count = this.length();
    const lists = this.series.map((one) => one.of(this.history));
    const most = Math.max(this.floor, ...lists.flat());
    const top = ceiling(most, this.binary);
    const x = (index) => LEFT + (count < 2 ? 1 : index / (count - 1)) * (width - LEFT - RIGHT);
    const y = (value) => TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM);
    const place = this.place == null ? count - 1 : Math.min(this.place, count - 1);
    set(this.drawing, { viewBox: `0 0 ${width} ${HEIGHT}`, height: HEIGHT });
    this.frame();
    this.grid(width, top, y);
    this.times(width, count);
    keep(this.lines, this.series, (one) => one.key,
      (one) => draw("g", { class: `series ${one.key}` }, draw("path", { class: "area" }), draw("path", { class: "line" })),
      (group, one) => {
        const list = one.of(this.history);
        const line = list.map((value, index) => `${index ? "L" : "M"}${x(index).toFixed(1)} ${y(value).toFixed(1)}`).join("");
        const base = y(0).toFixed(1);
        set(group.firstElementChild, { d: line && `${line}L${x(count - 1).toFixed(1)} ${base}L${x(0).toFixed(1)} ${base}Z` });
        set(group.lastElementChild, { d: line });
      });
    const shown = this.place != null && count > 0;
    set(this.cursor, shown
      ? { x1: x(place), x2: x(place), y1: TOP, y2: HEIGHT - BOTTOM, visibility: "visible" }
      : { visibility: "hidden" });
    this.describe(place, count, lists);
  }

  /** The parts of the drawing, made once. */
  frame() {
    if (this.lines) return;
    this.rules = draw("g", { class: "grid" });
    this.marks = draw("g", { class: "marks" });
    this.lines = draw("g");
    this.cursor = draw("line", { class: "cursor" });
    this.drawing.append(this.rules, this.lines, this.cursor, this.marks);
  }

  grid(width, top, y) {
    const values = Array.from({ length: LINES + 1 }, (_, index) => (top * index) / LINES);
    keep(this.rules, values, (_) => values.indexOf(_),
      () => draw("g", {}, draw("line"), draw("text", { class: "tick" })),
      (group, value) => {
        const height = Math.round(y(value)) + 0.5;
        set(group.firstElementChild, { x1: LEFT, x2: width - RIGHT, y1: height, y2: height });
        set(group.lastElementChild, { x: LEFT - 6, y: height + 3.5, "text-anchor": "end" });
        write(group.lastElementChild, value === 0 ? "0" : this.format(value));
      });
  }

  times(width, count) {
    const minutes = Math.round((count * this.history.interval_seconds) / 60);
    const start = minutes >= 1 ? `${minutes} min ago` : `${count} s ago`;
    const texts = [[LEFT, "start", count > 1 ? start : ""], [width - RIGHT, "end", "now"]];
    keep(this.marks, texts, (one) => one[1],
      () => draw("text", { class: "tick" }),
      (element, [x, anchor, text]) => {
        set(element, { x, y: HEIGHT - 4, "text-anchor": anchor });
        write(element, text);
      });
  }

  describe(place, count, lists) {
    const value = (list) => (count ? this.format(list[place]) : "–");
    keep(this.legend, this.series, (one) => one.key,
      (one) => make("li", {}, swatch(one.key), make("span", {}, one.name), make("strong")),
      (item, one) => write(item.lastElementChild, value(one.of(this.history))));
    const newest = this.history.newest;
    const time = newest - (count - 1 - place) * this.history.interval_seconds;
    write(this.when, this.place == null || !count ? "" : `at ${clock(time)}`);
    const parts = this.series.map((one, index) =>
      `${one.name} ${value(lists[index])}, at most ${this.format(Math.max(0, ...lists[index]))}`);
    set(this.drawing, { "aria-label": `${this.title}: ${parts.join("; ")}` });
  }
}

/** A sample of a series' line. */
function swatch(key) {
  const line = draw("line", { x1: 0, x2: 18, y1: 4, y2: 4, class: "line" });
  return draw("svg", { class: `swatch series ${key}`, width: 18, height: 8, "aria-hidden": "true" }, line);
}

/** The next round number for the top of an axis: one that the lines divide well. */
function ceiling(most, binary) {
  const base = binary ? 1024 : 1000;
  let unit = binary ? 1 : 1e-6;
  while (most >= unit * base) unit *= base;
  const steps = [3, 6, 12, 15, 30, 60, 90, 150, 300, 450, 600, 750, 900, base];
  for (const step of [0.3, 0.6, 1.2, 1.5, ...steps]) if (unit * step >= most) return unit * step;
  return unit * base * 3;
}
