// What pages are put together from: elements, strips of numbers that follow the model, bars, and charts.

function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [property, setting] of Object.entries(value)) element.style.setProperty(property, setting);
    else element.setAttribute(name, value);
  }
  element.append(...children.flat(9).filter((child) => child !== null && child !== undefined));
  return element;
}

function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value);
  }
  element.append(...children.flat(9).filter((child) => child !== null && child !== undefined));
  return element;
}

const p = (...children) => h("p", {}, children);
const button = (words, onclick, attributes = {}) => h("button", { type: "button", class: "more", onclick, ...attributes }, words);

// Painters. They are collected while a section is made, and run whenever a number changes.

let painters = [];

function collected(make) {  // what `make` returns, and the painters that it left
  const outer = painters;
  painters = [];
  try { return [make(), painters]; } finally { painters = outer; }
}

function live(make) {  // an element that is made anew
  let [element] = collected(make);
  painters.push(() => {
    const [fresh] = collected(make);
    element.replaceWith(fresh);
    element = fresh;
  });
  return element;
}

// Numbers. A target is a node, or a part of a sum {node, from, to, name}, such as the share of one head in attention.

const isPart = (target) => typeof target === "object";
const partTerms = (part) => termsOf(part.node).slice(part.from, part.to);
const sumOf = (nodes, numbers = data) => nodes.reduce((sum, node) => sum + numbers[node], 0);
const titleOf = (target) => isPart(target) ? target.name : nameOf(target);
const numberOf = (target, source) => !isPart(target) ? (state.backward ? source.gradient : source.data)[target]
  : state.backward ? source.gradient[target.node] : sumOf(partTerms(target), source.data);
const now = { get data() { return data; }, get gradient() { return gradient; } };

function valueOf(target, then = target) {  // what the strips show of it; `then` is where it stood in what is compared with
  const value = numberOf(target, now);
  if (!state.compare) return value;
  const there = numberOf(then, model.pinned);
  return there === undefined ? NaN : value - there;
}

function modeWords(words) {
  const what = state.backward ? `gradient of ${words}` : words;
  return state.compare ? `change of ${what} since it was pinned` : what;
}

const hasMoved = (target) => model.before !== null && !isPart(target) && data[target] !== model.before.data[target];

const EMPTY_CELL = h("button", { type: "button", tabindex: -1 });

function cell(target, { label = null, top = null } = {}) {
  const element = EMPTY_CELL.cloneNode();
  element.dataset.target = JSON.stringify(target);
  if (top !== null) element.append(h("small", { class: "char" }, top), " ");
  element.append(document.createTextNode(""));
  element.says = label;
  return element;
}

const unlabelled = new Set();  // cells whose number is new; what they are is said in words when there is time, or when asked for

function labelCells(cells = unlabelled) {
  for (const element of cells) {
    unlabelled.delete(element);
    element.says ??= titleOf(JSON.parse(element.dataset.target));
    const shown = [element.querySelector("small")?.textContent, element.lastChild.data].filter(Boolean).join(" "), exact = precise(element.number);
    const words = `${modeWords(element.says)}: ${exact}${shown === exact ? "" : `, shown as ${shown}`}`;
    element.title = words;
    element.setAttribute("aria-label", words);
  }
}

function paintCell(element, target, value, strongest, way) {
  const moved = hasMoved(target);
  const strength = strongest ? Math.min(1, Math.abs(value) / strongest).toFixed(3) : 0;
  const text = inThatWay(value, way);
  if (Object.is(element.number, value) && element.strength === strength && element.moved === moved && element.lastChild.data === text) return;
  Object.assign(element, { number: value, strength, moved });
  element.lastChild.data = text;
  unlabelled.add(element);
  const open = element.classList.contains("open") ? " open" : "";
  element.className = `cell ${value > 0 ? "plus" : value < 0 ? "minus" : ""}${moved ? " moved" : ""}${open}`;
  element.style.setProperty("--strength", strength);
}

function cellsThatFollow(targets, options, strongestOf = null) {  // cells, and the painter that keeps them true
  const cells = targets.map((target, i) => cell(target, { label: options.labels?.[i], top: options.tops?.[i] }));
  const then = options.then ?? targets;
  const paint = () => {
    const values = targets.map((target, i) => valueOf(target, then[i]));
    const strongest = strongestOf?.() ?? largestSize(values), way = !strongestOf && values.every(Number.isInteger) && Math.abs(strongest) < 9999.5 ? { power: 0, digits: 0 } : wayToWrite(strongest);
    cells.forEach((element, i) => paintCell(element, targets[i], values[i], Math.abs(strongest), way));
    return { strongest, way, at: values.indexOf(strongest) };
  };
  return [cells, paint];
}

function strip(caption, targets, options = {}) {
  const [cells, paintCells] = cellsThatFollow(targets, options);
  if (cells.length) cells[0].tabIndex = 0;
  const words = h("span"), strength = h("span");
  const group = h("div", { class: `cells ${options.narrow ? "narrow" : ""}`, role: "group" }, cells);
  const paint = () => {
    const { strongest, way, at } = paintCells();
    strength.textContent = targets.length < 2 || !strongest ? unitOf(way) && `in units of${unitOf(way).replace(" ·", "")}`
      : `strongest ${strongest > 0 ? "+" : ""}${inThatWay(strongest, way)}, ${options.tops ? `‘${options.tops[at]}’` : `number ${at}`}${unitOf(way) ? `; all in units of${unitOf(way).replace(" ·", "")}` : ""}`;
    const says = modeWords(caption);
    if (words.textContent === says) return;
    words.textContent = says;
    group.setAttribute("aria-label", `${caption}, ${cells.length} ${state.backward ? "gradients" : "values"}`);
  };
  paint();
  painters.push(paint);
  return h("div", { class: "strip" }, h("div", { class: "caption" }, words, strength), group);
}

function opener(target, text) {
  return h("button", { type: "button", class: "link", "data-target": JSON.stringify(target), title: titleOf(target) }, text);
}

const push = (size, way) => `${size > 0 ? "▲ +" : size < 0 ? "▼ " : ""}${inThatWay(size, way)}${unitOf(way)}`;

function bars(rows, { pushes = false } = {}) {  // lengths, or what pushes something up or down
  const strongest = largestSize(rows.map((row) => row.size)), largest = Math.abs(strongest), way = wayToWrite(strongest);
  return h("div", { class: "bars" }, rows.map((row) => h("div", { class: "row" }, h("span", {}, row.name),
    h("span", { class: "track" }, h("span", { class: `fill ${!pushes ? "" : row.size < 0 ? "less" : "more"}`, style: { display: "block", width: `${largest ? (100 * Math.abs(row.size)) / largest : 0}%` } })),
    h("span", {}, row.text ?? (pushes ? push(row.size, way) : inThatWay(row.size, way) + unitOf(way))))));
}

function slider(words, attributes, oninput, show = (value) => String(value)) {  // a labelled range with its value beside it
  const output = h("output", { for: attributes.id }, show(Number(attributes.value)));
  const input = h("input", { type: "range", ...attributes, oninput: (event) => { output.textContent = show(Number(event.target.value)); oninput(Number(event.target.value)); } });
  return h("div", { class: "slider" }, h("label", { for: attributes.id }, words), input, output);
}

// Lines over steps: of the run, and of the training in the page.

function chart(words, series, { levels = [], end = null, height = 260 } = {}) {  // series: {points, color, width, dots}
  const [width, edge] = [720, 44];
  const all = [...series.flatMap(({ points }) => points.map(([, y]) => y)), ...levels.map(({ y }) => y)];
  const [low, high] = [Math.min(...all), Math.max(...all)], most = end ?? Math.max(1, ...series.flatMap(({ points }) => points.map(([x]) => x)));
  const x = (step) => edge + (step / most) * (width - edge - 10);
  const y = (loss) => 12 + ((high - loss) / (high - low || 1)) * (height - edge - 12);
  const label = (text, at, down, anchor, attributes = {}) => svg("text", { x: at, y: down, "text-anchor": anchor, ...attributes }, text);
  return svg("svg", { class: "curve", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": words },
    levels.map((level) => svg("line", { x1: edge, x2: width - 10, y1: y(level.y), y2: y(level.y), class: "level" })),
    series.map(({ points, color, width: thick, dots, opacity = 1 }) => [
      points.length ? svg("path", { d: "M" + points.map(([step, loss]) => `${x(step).toFixed(1)} ${y(loss).toFixed(1)}`).join("L"), fill: "none", stroke: color, "stroke-width": thick, opacity }) : null,
      dots || points.length === 1 ? points.map(([step, loss]) => svg("circle", { cx: x(step), cy: y(loss), r: 4, fill: color })) : null]),
    levels.map((level) => label(level.words, width - 12, y(level.y) + (y(level.y) < 20 ? 16 : -4), "end")),
    label(high.toFixed(2), edge - 6, 18, "end"), label(low.toFixed(2), edge - 6, height - edge + 4, "end"),
    label("0", edge, height - 22, "middle"), label(countedSteps(most), width - 10, height - 22, "end"));
}

function thinned(points, most = 400) {  // means of neighbours, so that the curve stays light; it begins and ends as they do
  const every = Math.ceil(points.length / most), found = [];
  if (every <= 1) return points;
  for (let i = 0; i < points.length; i += every) { const some = points.slice(i, i + every); found.push([some[0][0], some.reduce((sum, [, y]) => sum + y, 0) / some.length]); }
  return [points[0], ...found.slice(1, -1), points[points.length - 1]];
}

function runningMean(points) {  // of a twentieth of them
  const keep = 1 - 1 / Math.max(1, points.length / 20);
  let total = 0, weight = 0;
  return points.map(([x, y]) => { total = keep * total + y; weight = keep * weight + 1; return [x, total / weight]; });
}
