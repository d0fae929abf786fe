'use strict';
// Draws one quantity of several runs over the steps, as wide as its element.

const SVG = 'http://www.w3.org/2000/svg';
const EDGE = {left: 46, right: 10, top: 8, bottom: 20};

function add(parent, name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) {
    element.setAttribute(key, value);
  }
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
}

// At most four significant digits: 0.4123, 41.23, 1.2e-5.
function show(value) {
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e5) {
    return value.toExponential(1).replace('e+', 'e').replace('.0e', 'e');
  }
  return String(Number(value.toPrecision(4)));
}

// Round numbers within a range, about as many as requested.
function ticks(low, high, count) {
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((x) => x * power >= raw) * power;
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high * (1 + 1e-9); i++) {
    found.push(i * step);
  }
  return found;
}

// Powers of ten within a range; also 2 and 5 times them if there are few.
function powers(low, high) {
  const found = [];
  for (let e = Math.floor(Math.log10(low)); 10 ** e <= high; e++) {
    found.push(...[1, 2, 5].map((x) => x * 10 ** e));
  }
  const inside = found.filter((x) => x >= low && x <= high);
  const tens = inside.filter((x) => Number.isInteger(Math.log10(x)));
  return inside.length > 6 ? tens : inside;
}

// curve: [[number of the run, steps, values], ...]; colors by number.
function drawChart(svg, curve, colors) {
  const width = svg.clientWidth;
  const height = svg.clientHeight;
  svg.replaceChildren();
  if (!width) return null;
  const steps = curve.flatMap((x) => x[1]);
  const values = curve.flatMap((x) => x[2]);
  let first = Math.min(0, ...steps);
  let last = Math.max(...steps);
  if (first === last) last = first + 1;
  let low = Math.min(...values);
  let high = Math.max(...values);
  // As in the report: logarithmic if the range spans more than a factor of 20.
  const log = low > 0 && high / low > 20;
  if (low === high) [low, high] = [low - Math.abs(low) / 2 - 1e-9, high + Math.abs(high) / 2 + 1e-9];
  const scale = log ? Math.log : (x) => x;
  const within = (scale(high) - scale(low)) || 1;
  const x = (s) => EDGE.left + (width - EDGE.left - EDGE.right) * (s - first) / (last - first);
  const y = (v) => height - EDGE.bottom - (height - EDGE.top - EDGE.bottom) * (scale(v) - scale(low)) / within;
  for (const v of log ? powers(low, high) : ticks(low, high, 5)) {
    add(svg, 'line', {class: 'grid', x1: EDGE.left, x2: width - EDGE.right, y1: y(v), y2: y(v)});
    add(svg, 'text', {x: EDGE.left - 6, y: y(v) + 3.5, 'text-anchor': 'end'}, show(v));
  }
  const across = ticks(first, last, Math.max(2, Math.floor(width / 110)));
  for (const s of across) {
    const anchor = x(s) > width - 30 ? 'end' : 'middle';
    add(svg, 'text', {x: x(s), y: height - 4, 'text-anchor': anchor}, s.toLocaleString('en'));
  }
  // The first runs are on top: the others are compared with them.
  for (const [number, at, of] of [...curve].reverse()) {
    const points = at.map((s, i) => `${x(s).toFixed(1)},${y(of[i]).toFixed(1)}`);
    const style = `--run:${colors[number]}`;
    add(svg, 'path', {d: `M${points.join('L')}`, style});
    if (at.length < 15) {
      for (let i = 0; i < at.length; i++) {
        add(svg, 'circle', {cx: x(at[i]), cy: y(of[i]), r: 2.6, style});
      }
    }
  }
  const back = (px) => first + (px - EDGE.left) * (last - first) / (width - EDGE.left - EDGE.right);
  return {x, back, height};
}

// Returns the point of each run that is nearest to a step.
function nearest(curve, step) {
  return curve.map(([number, steps, values]) => {
    let best = 0;
    steps.forEach((s, i) => {
      if (Math.abs(s - step) < Math.abs(steps[best] - step)) best = i;
    });
    return [number, steps[best], values[best]];
  });
}
