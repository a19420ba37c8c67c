// Small charts in SVG: what was, from the left, to now, at the right.
const SVG = "http://www.w3.org/2000/svg";
const LEFT = 46, RIGHT = 4, TOP = 8, BOTTOM = 20;

function shape(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// The next number above `most` that is easy to read: 1, 2, 5, 10, 20, …
function ceiling(most, least) {
  if (most <= least) return least;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= most);
}

export class Chart {
  // `stacked`: areas on one another, in the order of `names`; else a line each.
  constructor(svg, names, { stacked, least, seconds, said }) {
    Object.assign(this, { svg, names, stacked, least, seconds, said, past: [] });
    new ResizeObserver(() => this.draw()).observe(svg);
  }

  add(values) {
    this.past.push({ at: performance.now() / 1000, values });
    const oldest = performance.now() / 1000 - this.seconds - 2;
    while (this.past[0].at < oldest) this.past.shift();
    this.draw();
  }

  draw() {
    const width = this.svg.clientWidth, height = this.svg.clientHeight;
    if (!width || !height) return;
    const total = ({ values }) => this.names.reduce((sum, name) => sum + (values[name] || 0), 0);
    const highest = ({ values }) => Math.max(...this.names.map((name) => values[name] || 0));
    const top = ceiling(Math.max(...this.past.map(this.stacked ? total : highest), 0), this.least);
    const now = this.past.length ? this.past.at(-1).at : 0;
    const x = (at) => (width - RIGHT - ((now - at) / this.seconds) * (width - LEFT - RIGHT)).toFixed(1);
    const y = (value) => (height - BOTTOM - (value / top) * (height - TOP - BOTTOM)).toFixed(1);
    const drawn = [];
    for (const part of [0, 0.5, 1]) {
      drawn.push(shape("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(top * part), y2: y(top * part) }));
      drawn.push(shape("text", { x: LEFT - 6, y: +y(top * part) + 4, "text-anchor": "end" }, this.said(top * part)));
    }
    for (const part of [1, 0.5, 0]) {
      const anchor = part === 1 ? "start" : part === 0 ? "end" : "middle";
      const text = part ? `${Math.round(this.seconds * part)} s ago` : "now";
      drawn.push(shape("text", { x: x(now - this.seconds * part), y: height - 4, "text-anchor": anchor }, text));
    }
    const seen = this.past.filter(({ at }) => now - at <= this.seconds);
    if (seen.length > 1) drawn.push(...(this.stacked ? this.areas(seen, x, y) : this.lines(seen, x, y)));
    this.svg.replaceChildren(...drawn);
  }

  areas(seen, x, y) {
    const floor = seen.map(() => 0);
    return this.names.flatMap((name) => {
      if (!seen.some(({ values }) => values[name])) return [];
      const lower = seen.map(({ at }, place) => `${x(at)},${y(floor[place])}`).reverse();
      seen.forEach(({ values }, place) => (floor[place] += values[name] || 0));
      const upper = seen.map(({ at }, place) => `${x(at)},${y(floor[place])}`);
      return [shape("polygon", { class: `area ${name}`, points: [...upper, ...lower].join(" ") })];
    });
  }

  lines(seen, x, y) {
    return this.names.map((name) =>
      shape("polyline", {
        class: `line ${name}`,
        points: seen.filter(({ values }) => values[name] != null).map(({ at, values }) => `${x(at)},${y(values[name])}`).join(" "),
      }));
  }
}
