// The plane: what a function of two numbers says everywhere, the line where it changes its mind, and the points.

const GRID = [52, 36];
let plane = null;  // {canvas, points, line, words, edges, field: the numbers of the grid, drawn: which points are there}

function buildPlane() {
  if (!content.plane) return;
  const place = document.getElementById("plane"), [xs, ys] = [0, 1].map((i) => model.examples.map(({ numbers }) => numbers[i]));
  const edges = [xs, ys].map((all) => { const [low, high] = [Math.min(...all), Math.max(...all)], room = 0.15 * (high - low || 1); return [low - room, high + room]; });
  const canvas = h("canvas", { width: GRID[0], height: GRID[1], "aria-hidden": "true" });
  const line = svg("path", { class: "boundary" }), marks = svg("g");
  const points = svg("svg", { viewBox: "0 0 640 440", role: "img", id: "points" }, line, marks);
  const words = h("p", { class: "note", id: "plane-words" });
  plane = { canvas, points, line, marks, words, edges, field: new Float64Array(GRID[0] * GRID[1]), score: NaN };
  const labels = labelsOfPoints();
  plane.mine = labels.length ? labels[labels.length - 1] : null;
  const tools = plane.mine === null || !takesMore() ? null : h("div", { class: "heads", role: "group", "aria-label": "What a click adds" }, "a click adds ",
    labels.map((label) => h("button", { type: "button", class: "more", "aria-pressed": String(label === plane.mine), onclick: (event) => { plane.mine = label; for (const one of event.target.parentNode.querySelectorAll("button")) one.setAttribute("aria-pressed", String(one === event.target)); } }, `${markOf(label)} ${label}`)));
  const picture = h("div", { class: "picture" }, canvas, points);
  picture.addEventListener("click", (event) => { const nearest = event.target.closest("[data-example]"); if (nearest) choose(Number(nearest.dataset.example)); else if (tools) addPoint(...placeOf2(event)); });
  picture.addEventListener("pointermove", (event) => { plane.pointer = placeOf2(event); paintPlaneWords(); });
  picture.addEventListener("pointerleave", () => { plane.pointer = null; paintPlaneWords(); });
  place.replaceChildren(picture, words, tools ?? "");
  place.hidden = false;
}

const labelAt = 2;  // of the numbers of an example; the first two are the point
const labelsOfPoints = () => model.examples[0].numbers.length > labelAt ? [...new Set(model.examples.map(({ numbers }) => numbers[labelAt]))].sort((a, b) => a - b).slice(0, 6) : [];
const markOf = (label) => "●▲■◆✚★"[Math.max(0, labelsOfPoints().indexOf(label))];

function placeOf2(event) {
  const box = plane.points.getBoundingClientRect();
  return [[event.clientX - box.left, box.width, 0], [box.bottom - event.clientY, box.height, 1]].map(([at, size, i]) => plane.edges[i][0] + (at / size) * (plane.edges[i][1] - plane.edges[i][0]));
}

function addPoint(x, y) {
  act(() => { addExamples([x, y, plane.mine].join(",")); dataChanged(); show(model.examples.length - 1); });
}

function scoreAt(x, y) {  // what the function says of a point
  const way = ways[0];
  data[way.given[0]] = x;
  data[way.given[1]] = y;
  forward(way.start, content.plane.node + 1);
  return data[content.plane.node];
}

function paintPlane() {
  if (!plane) return;
  const [columns, rows] = GRID, { field, edges: [[west, east], [south, north]] } = plane;
  for (let j = 0; j < rows; j++) for (let i = 0; i < columns; i++) field[j * columns + i] = scoreAt(west + (i / (columns - 1)) * (east - west), north - (j / (rows - 1)) * (north - south));
  const labels = labelsOfPoints();
  plane.right = labels.length === 2 ? model.examples.filter(({ numbers }) => (scoreAt(numbers[0], numbers[1]) > 0) === (numbers[labelAt] === labels[1])).length : null;
  sweep();
  const context = plane.canvas.getContext("2d"), image = context.createImageData(columns, rows), dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const strong = Math.max(1e-12, quantile(field, 0.9));
  for (let at = 0; at < field.length; at++) {
    const share = Math.min(1, Math.abs(field[at]) / strong), [r, g, b] = field[at] > 0 ? (dark ? [225, 125, 40] : [222, 110, 18]) : (dark ? [70, 135, 225] : [38, 110, 190]);
    image.data.set([r, g, b, Math.round(255 * (0.08 + 0.5 * share))], 4 * at);
  }
  context.putImageData(image, 0, 0);
  plane.line.setAttribute("d", boundary(field));
  paintPoints(labels);
  paintPlaneWords();
}

function paintPoints(labels) {  // they are drawn anew only where one of them is another
  const [[west, east], [south, north]] = plane.edges, drawn = JSON.stringify([model.shown, model.examples.length, Array.from(model.examples[model.shown].numbers)]);
  if (drawn === plane.drawn) return;
  plane.drawn = drawn;
  const x = (value) => (640 * (value - west)) / (east - west), y = (value) => 440 - (440 * (value - south)) / (north - south);
  plane.marks.replaceChildren(...model.examples.slice(0, 2000).map(({ numbers, mine }, i) => {
    const label = labels.indexOf(numbers[labelAt]), at = `translate(${x(numbers[0]).toFixed(1)} ${y(numbers[1]).toFixed(1)})`;
    return svg("path", { class: `point ${label === labels.length - 1 ? "high" : "low"} ${mine ? "mine" : ""} ${i === model.shown ? "shown" : ""}`, transform: at, d: label > 0 ? "M0 -6 L6 5 L-6 5 Z" : "M5 0 A5 5 0 1 1 -5 0 A5 5 0 1 1 5 0 Z", "data-example": i });
  }));
}

function quantile(field, share) {
  const sorted = Float64Array.from(field, Math.abs).sort();
  return sorted[Math.floor(share * (sorted.length - 1))];
}

function boundary(field) {  // where it is 0: in each square of the grid, between corners of different signs
  const [columns, rows] = GRID, [dx, dy] = [640 / (columns - 1), 440 / (rows - 1)], parts = [];
  const between = (a, b) => a / (a - b);
  for (let j = 0; j + 1 < rows; j++) {
    for (let i = 0; i + 1 < columns; i++) {
      const a = field[j * columns + i], b = field[j * columns + i + 1], c = field[(j + 1) * columns + i + 1], d = field[(j + 1) * columns + i], ends = [];
      if (a > 0 !== b > 0) ends.push([i + between(a, b), j]);
      if (b > 0 !== c > 0) ends.push([i + 1, j + between(b, c)]);
      if (d > 0 !== c > 0) ends.push([i + between(d, c), j + 1]);
      if (a > 0 !== d > 0) ends.push([i, j + between(a, d)]);
      for (let e = 0; e + 1 < ends.length; e += 2) parts.push("M" + [ends[e], ends[e + 1]].map(([x, y]) => `${(x * dx).toFixed(1)} ${(y * dy).toFixed(1)}`).join("L"));
    }
  }
  return parts.join("") || "M0 0";
}

function paintPlaneWords() {
  const { right: correct, pointer } = plane, { length } = model.examples;
  plane.points.setAttribute("aria-label", `The plane with ${examplesWords(length)}${correct === null ? "" : `, ${correct} on the right side of the line`}`);
  let says = correct === null ? "The line is where the result is 0." : `${correct} of ${examplesWords(length)} lie on the right side of the line.`;
  if (pointer && !trainer.playing) { says += ` At ${pointer.map((one) => one.toFixed(2)).join(", ")}: ${precise(scoreAt(...pointer))}.`; sweep(); }
  plane.words.textContent = says;
}
