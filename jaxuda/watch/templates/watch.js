'use strict';
// Requests the state now and then, and draws what has changed. Texts come from
// folders and configs: they are set as text, never as HTML.

const EVERY = 3000;
const byId = (id) => document.getElementById(id);
const charts = new Map();
const pictures = new Map();
let runs = [];
let colors = [];
let before = '';
let seen = null;

function make(name, attributes = {}, ...inside) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    element.setAttribute(key, value);
  }
  element.append(...inside);
  return element;
}

function chip(run) {
  return make('span', {class: 'chip'}, make('i', {style: `--run:${run.color}`}), run.name);
}

function listFacts(groups) {
  const list = make('dl', {class: 'facts'});
  for (const group of groups) {
    group.forEach(([name, figure, step], i) => {
      const kind = i ? '' : 'first';
      list.append(make('dt', {class: kind}, name), make('dd', {class: kind}, figure), make('dd', {class: `${kind} step`}, step));
    });
  }
  return list;
}

function makeCard(run) {
  // A long text, such as an error in a file, gets a line of its own.
  const long = run.said.length > 30;
  const card = make('article', {class: 'card run', 'data-key': run.key},
    make('h2', {}, chip(run), make('span', {class: `state ${run.state}`}, long ? 'not read' : run.said)));
  if (run.about) card.append(make('p', {class: 'quiet'}, run.about));
  if (long) card.append(make('p', {class: 'note'}, run.said));
  if (run.progress.length) {
    const percent = (100 * run.share).toFixed(1);
    card.append(
      make('div', {class: 'bar', role: 'progressbar', 'aria-valuenow': percent, 'aria-label': `steps of ${run.name}, %`},
        make('i', {style: `--run:${run.color};--share:${percent}%`})),
      make('p', {class: 'progress'}, ...run.progress.map((text) => make('span', {}, text))),
      listFacts([run.scores, run.blind, run.losses]));
  }
  return card;
}

function drawCurve(entry) {
  entry.place = drawChart(entry.svg, entry.curve.runs, colors);
  const ends = entry.curve.runs.map(([number, steps, values]) => `${runs[number].name} is at ${show(values.at(-1))}, step ${steps.at(-1)}`);
  entry.svg.setAttribute('aria-label', `${entry.curve.name} over the steps: ${ends.join('; ')}`);
  tell(entry, entry.step);
}

// Shows the values at a step (the last ones if it is null), and marks the step.
function tell(entry, step) {
  entry.step = step;
  entry.svg.querySelector('.cursor')?.remove();
  const shown = nearest(entry.curve.runs, step ?? Infinity).map(([number, s, value], i) => {
    // Without a step the nearest point is undefined: take the last one.
    const [, steps, values] = entry.curve.runs[i];
    const [at, of] = step === null ? [steps.at(-1), values.at(-1)] : [s, value];
    return [number, at, of];
  });
  if (step !== null && entry.place) {
    const px = entry.place.x(shown[0][1]);
    add(entry.svg, 'line', {class: 'cursor', x1: px, x2: px, y1: 0, y2: entry.place.height - EDGE.bottom});
  }
  entry.told.replaceChildren(...shown.map(([number, at, of]) => make('span', {title: runs[number].name},
    make('i', {class: 'dot', style: `--run:${colors[number]}`}),
    `${show(of)}${step === null ? '' : ` at ${Math.round(at).toLocaleString('en')}`}`)));
}

function makeChart(curve) {
  const entry = {curve, step: null};
  entry.svg = document.createElementNS(SVG, 'svg');
  entry.svg.setAttribute('class', 'plot');
  entry.svg.setAttribute('role', 'img');
  entry.told = make('div', {class: 'told'});
  const names = curve.title === curve.name ? [make('code', {}, curve.name)] : [curve.title, ' ', make('code', {class: 'quiet'}, curve.name)];
  entry.card = make('figure', {class: 'card', 'data-curve': curve.name},
    make('figcaption', {}, ...names, entry.told), entry.svg);
  const point = (event) => {
    if (!entry.place) return;
    tell(entry, entry.place.back(event.clientX - entry.svg.getBoundingClientRect().left));
  };
  entry.svg.addEventListener('pointermove', point);
  entry.svg.addEventListener('pointerdown', point);
  entry.svg.addEventListener('pointerleave', () => tell(entry, null));
  new ResizeObserver(() => drawCurve(entry)).observe(entry.svg);
  return entry;
}

function findGroup(name) {
  const id = `curves-${name.replaceAll(' ', '-').toLowerCase()}`;
  if (byId(id)) return byId(id);
  const cards = make('div', {class: 'cards', id});
  // The group that few people look at is folded.
  const fold = make('details', {class: 'fold'}, make('summary', {}, make('h2', {}, name)), cards);
  fold.open = name !== 'More';
  byId('curves').append(make('section', {}, fold));
  return cards;
}

function showCurves(curves) {
  for (const curve of curves) {
    let entry = charts.get(curve.name);
    if (!entry) {
      entry = makeChart(curve);
      charts.set(curve.name, entry);
    }
    entry.curve = curve;
    const group = findGroup(curve.group);
    if (entry.card.parentNode !== group) group.append(entry.card);
    drawCurve(entry);
  }
  const names = new Set(curves.map((x) => x.name));
  for (const [name, entry] of charts) {
    if (names.has(name)) continue;
    entry.card.remove();
    charts.delete(name);
  }
}

function showStep(entry) {
  const step = entry.steps[Number(entry.slider.value)];
  entry.label.textContent = `step ${Number(step).toLocaleString('en')}`;
  const source = `pictures/${entry.run.key}/${entry.kind}_${step}.png`;
  if (entry.image.getAttribute('src') !== source) entry.image.setAttribute('src', source);
  entry.image.alt = `${entry.kind} pictures of ${entry.run.name}, step ${step}`;
}

function makePicture(run, kind) {
  const entry = {run, kind, steps: []};
  entry.slider = make('input', {type: 'range', min: 0, max: 0, step: 1, 'aria-label': `step of the ${kind} pictures of ${run.name}`});
  entry.label = make('span');
  entry.image = make('img');
  entry.name = make('span');
  entry.card = make('figure', {class: 'picture', 'data-picture': `${run.key}/${kind}`},
    make('figcaption', {}, entry.name, make('span', {}, kind), make('label', {}, entry.slider, entry.label)),
    make('div', {class: 'frame', tabindex: 0}, entry.image));
  entry.slider.addEventListener('input', () => showStep(entry));
  return entry;
}

function showPictures() {
  const there = new Set();
  for (const run of runs) {
    for (const [kind, steps] of Object.entries(run.pictures)) {
      const id = `${run.key}/${kind}`;
      there.add(id);
      if (!pictures.has(id)) {
        pictures.set(id, makePicture(run, kind));
        byId('pictures').append(pictures.get(id).card);
      }
      const entry = pictures.get(id);
      // An older picture that was chosen stays; otherwise show the newest.
      const newest = Number(entry.slider.value) >= entry.steps.length - 1;
      const chosen = entry.steps[Number(entry.slider.value)];
      Object.assign(entry, {run, steps});
      entry.slider.max = steps.length - 1;
      const place = steps.indexOf(chosen);
      entry.slider.value = newest || place < 0 ? steps.length - 1 : place;
      entry.slider.hidden = steps.length < 2;
      entry.name.replaceChildren(chip(run));
      showStep(entry);
    }
  }
  for (const [id, entry] of pictures) {
    if (there.has(id)) continue;
    entry.card.remove();
    pictures.delete(id);
  }
  byId('pictures').hidden = !there.size;
}

function showState(state) {
  runs = state.runs;
  colors = runs.map((run) => run.color);
  const title = runs.length === 1 ? runs[0].name : `${runs.length} runs`;
  byId('title').textContent = title;
  const open = runs.filter((run) => run.state === 'training');
  const share = open.length ? `${Math.floor(100 * Math.min(...open.map((run) => run.share)))} % ` : '';
  document.title = `${share}${title}: jaxuda watch`;
  byId('runs').replaceChildren(...runs.map(makeCard));
  showCurves(state.curves);
  showPictures();
}

async function refresh() {
  try {
    const answer = await fetch('state.json');
    if (!answer.ok) throw new Error(`answer ${answer.status}`);
    const text = await answer.text();
    if (text !== before) showState(JSON.parse(text));
    before = text;
    seen = new Date();
    byId('fresh').textContent = `Updated at ${seen.toLocaleTimeString('en-GB')}; refreshes every ${EVERY / 1000} seconds.`;
    byId('lost').hidden = true;
  } catch (error) {
    const since = seen ? `This is the state at ${seen.toLocaleTimeString('en-GB')}: ` : '';
    byId('lost').textContent = `${since}jaxuda watch does not answer (${error.message}).`;
    byId('lost').hidden = false;
  }
}

async function follow() {
  // A page that nobody sees need not refresh.
  if (!document.hidden) await refresh();
  setTimeout(follow, EVERY);
}

document.addEventListener('visibilitychange', () => document.hidden || refresh());
follow();
