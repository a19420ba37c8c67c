// Small charts in SVG: what was, from the left, to now, at the right.
const SVG = "http://www.w3.org/2000/svg";
const LEFT = 48, RIGHT = 4, TOP = 8, BOTTOM = 20;

function shape(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// From 0 to the next number above all `values` that is easy to read: 5, 10, 20, 50, …
function linear(values) {
  const most = Math.max(...values, 5), power = 10 ** Math.floor(Math.log10(most));
  const top = [1, 2, 5, 10].map((step) => step * power).find((step) => step >= most);
  return { ticks: [0, top / 2, top], part: (value) => value / top };
}

// Whole powers of ten around all `values`: what differs by orders of magnitude is all to be seen.
function logarithmic(values) {
  const known = values.filter((value) => value > 0);
  const low = Math.floor(Math.log10(Math.min(...known, 1e-3))), high = Math.ceil(Math.log10(Math.max(...known, 1e-2)));
  const ticks = Array.from({ length: high - low + 1 }, (_, step) => 10 ** (low + step));
  return { ticks, part: (value) => (Math.log10(Math.max(value, 10 ** low)) - low) / (high - low) };
}

export class Chart {
  // `stacked`: areas on one another, in the order of `names`; else a line each, by powers of ten.
  constructor(svg, names, { stacked, seconds, said }) {
    Object.assign(this, { svg, names, stacked, seconds, said, past: [] });
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
    const each = ({ values }) => this.names.map((name) => values[name] ?? 0);
    const { ticks, part } = this.stacked
      ? linear(this.past.map((one) => each(one).reduce((sum, value) => sum + value, 0)))
      : logarithmic(this.past.flatMap(each));
    const now = this.past.length ? this.past.at(-1).at : 0;
    const x = (at) => (width - RIGHT - ((now - at) / this.seconds) * (width - LEFT - RIGHT)).toFixed(1);
    const y = (value) => (height - BOTTOM - part(value) * (height - TOP - BOTTOM)).toFixed(1);
    const drawn = [];
    for (const tick of ticks) {
      drawn.push(shape("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(tick), y2: y(tick) }));
      drawn.push(shape("text", { x: LEFT - 6, y: +y(tick) + 4, "text-anchor": "end" }, this.said(tick)));
    }
    for (const [ago, anchor] of [[this.seconds, "start"], [this.seconds / 2, "middle"], [0, "end"]])
      drawn.push(shape("text", { x: x(now - ago), y: height - 4, "text-anchor": anchor }, ago ? `${ago} s ago` : "now"));
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
