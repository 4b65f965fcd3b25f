// The page of any loss: training, the example that is shown, the source, the parameters, the data, and the opened number.

const PARAMETERS_AT_ONCE = 64, FEW_PARAMETERS = 130;  // so few stand beside the curve, and move while it trains
const examplesWords = (count) => `${count.toLocaleString("en")} example${count === 1 ? "" : "s"}`;

function lead() {
  const name = content.title ?? `${content.name === "<lambda>" ? "A loss" : content.name}${content.file ? ` of ${content.file}` : ""}, line by line`;
  document.getElementById("title").textContent = name;
  document.title = name;
  const left = content.givenExamples - content.examples;
  document.getElementById("lead").textContent = `${content.file ? `The function ${content.name} of ${content.file}` : content.name} has ${P.toLocaleString("en")} parameter${P === 1 ? "" : "s"} and ${examplesWords(content.examples)} here, which take ${content.operations.toLocaleString("en")} operations forward. Each number opens: how it was made, and what it does to the loss. Change one, or train: all that depends on it follows.${left > 0 ? ` ${examplesWords(left)} of ${content.givenExamples.toLocaleString("en")} did not fit: a page holds ${content.limit.toLocaleString("en")} operations.` : ""}`;
}

// Training.

function buildTrainer() {
  const { length } = model.examples, sizes = [0, 1, 8, 32].filter((size) => size === 0 || size < length);
  const choose = (label, id, entries, value, set) => h("label", { class: "reads" }, `${label} `, h("select", { id, onchange: (event) => set(event.target.value) }, entries.map(([key, says]) => h("option", { value: key, selected: String(key) === String(value) ? "" : null }, says))));
  const parameters = document.getElementById("parameters");
  document.getElementById("trainer").replaceChildren(
    h("div", { class: "heads" },
      button("one step", () => { stop(); act(() => { keep("a step of training"); takeSteps(1); }); }, { id: "one-step" }),
      button("run", toggleRun, { id: "run" }),
      button("reset", () => { stop(); act(putAllBack); }, { id: "reset", title: "The parameters as they were, and a new curve" }),
      h("span", { class: "together" }, button("random parameters", () => { stop(); act(() => drawParameters(trainer.seed)); }, { id: "random", title: "Each array with the mean and the spread that it had at first" }),
        h("label", { class: "reads" }, " seed ", h("input", { type: "number", id: "seed", min: 0, step: 1, value: trainer.seed, onchange: (event) => { trainer.seed = Math.max(0, Math.floor(Number(event.target.value) || 0)); } })))),
    h("div", { class: "settings" },
      choose("rule", "rule", [["adam", "Adam"], ["sgd", "gradient descent"]], trainer.rule, (value) => { keep("choosing another rule"); trainer.rule = value; forget(); follow(); }),
      length > 1 ? choose("batch", "batch", sizes.map((size) => [size, size || `all ${length}`]), trainer.batch, (value) => { trainer.batch = Number(value); }) : null,
      slider("learning rate", { id: "rate", min: -4, max: 0.5, step: 0.1, value: Math.log10(trainer.rate) }, (value) => { trainer.rate = 10 ** value; }, (value) => (10 ** value).toPrecision(2))),
    h("div", { id: "curve" }));
  if (P > FEW_PARAMETERS) return;
  document.getElementById("trainer").append(parameters);
  document.getElementById("parameters-section").hidden = true;
}

function paintCurve() {
  const place = document.getElementById("curve"), { losses } = trainer, n = losses.length;
  const all = trainer.playing && n ? losses[n - 1][1] : lossNow();  // while it runs, that of the last step
  const points = thinned([...losses, ...(!trainer.batch && n ? [[model.trained, all]] : [])], trainer.playing ? 120 : 300);
  const words = n ? `The mean loss over ${countedSteps(model.trained)}: ${precise(losses[0][1])} at first, now ${precise(all)}.` : `The mean loss of ${examplesWords(model.examples.length)} is ${precise(all)}. No step was taken yet.`;
  place.replaceChildren(
    n ? chart(words, [{ points, color: "rgb(var(--minus))", width: trainer.batch ? 1 : 2.5, opacity: trainer.batch ? 0.45 : 1 }, ...(trainer.batch ? [{ points: runningMean(points), color: "rgb(var(--minus))", width: 2.5 }] : [])], { end: Math.max(1, model.trained), height: 200 }) : h("div", { class: "no-curve" }, h("p", { class: "note" }, "Take a step, or let it run: here the loss goes down.")),
    h("p", { class: "note", id: "curve-words", "data-steps": model.trained, "data-loss": all }, words, trainer.turned ? ` In ${examplesWords(trainer.turned)} Python would now take another way at an if or a while: see the source.` : ""));
}

let lossKnown = null;  // of all examples; it is only computed anew where something has changed
const lossNow = () => (lossKnown ??= lossOfAll());

function toggleRun() {
  if (trainer.playing) { stop(); follow(); return; }
  keep("training");
  trainer.playing = true;
  paintRun();
  const turn = () => {
    if (!trainer.playing) return;
    const end = performance.now() + 30;  // then the picture, so that it moves 20 times a second and more
    try { takeSteps(Infinity, end); lossKnown = null; } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      stop();
      say(error.message);
    }
    follow();
    requestAnimationFrame(() => setTimeout(turn));
  };
  turn();
}

function stop() {
  trainer.playing = false;
  paintRun();
}

function paintRun() {
  const run = document.getElementById("run");
  run.textContent = trainer.playing ? "pause" : "run";
  run.setAttribute("aria-pressed", String(trainer.playing));
}

const say = (words) => { document.getElementById("refused").textContent = words; };

function act(change) {  // do something, and show it; a refusal is said, not thrown
  say("");
  try { change(); } catch (error) {
    if (!(error instanceof RangeError || error instanceof TypeError)) throw error;
    say(error.message);
  }
  lossKnown = null;
  follow();
}

function drawParameters(seed) {
  keep("drawing random parameters");
  begin(randomParameters(seed), seed);
}

const undoAll = () => showAnother(() => { undo(); dataChanged(); });

// The example.

function buildExample() {
  const place = document.getElementById("example"), { length } = model.examples;
  if (length === 1) { place.textContent = "one example"; return; }
  const input = h("input", { type: "range", id: "which", min: 1, max: length, step: 1, value: model.shown + 1, "aria-label": "which example is shown", oninput: () => choose(Number(input.value) - 1) });
  place.replaceChildren(h("label", { class: "reads" }, "example ", input), h("output", { id: "which-words", for: "which" }));
}

const choose = (which) => showAnother(() => show(Math.max(0, Math.min(model.examples.length - 1, which))));

function showAnother(change) {
  const before = shownWay();
  change();
  if (shownWay() !== before) {
    if (state.trail.length) close();
    state.turns.clear(); state.calls.clear();
    renderLines();
  }
  follow();
}

// Showing.

let boardPainters = [];

function follow() {  // the same numbers have other values
  linePainters.forEach((paint) => paint());
  boardPainters.forEach((paint) => paint());
  keepingFocus(() => panelPainters.forEach((paint) => paint()));
  paintCurve();
  paintBar();
  paintPlane();
  labelSoon();
  announce();
  writeAddress();
}

let labelling = 0;
function labelSoon() {
  document.body.dataset.settled = "no";
  if (trainer.playing || labelling) return;
  labelling = setTimeout(() => { labelling = 0; labelCells(); document.body.dataset.settled = "yes"; });
}

function paintBar() {
  const which = document.getElementById("which-words"), input = document.getElementById("which");
  if (which) {
    const { mine } = model.examples[model.shown], says = `${model.shown + 1} of ${model.examples.length}${mine ? ", yours" : ""}`;
    which.textContent = says;
    input.max = model.examples.length;
    input.value = model.shown + 1;
    input.setAttribute("aria-valuetext", says);
  }
  document.getElementById("backward").setAttribute("aria-checked", String(state.backward));
  const says = [model.trained ? `after ${countedSteps(model.trained)}` : "", model.changes.size ? `${model.changes.size} changed` : ""].filter(Boolean).join(", ");
  document.getElementById("now").replaceChildren("its loss ", h("strong", {}, precise(data[model.result])), ...(says ? [h("span", { class: "note" }, ` · ${says}`)] : []),
    ...(model.changes.size ? [" ", button("put back", () => act(() => [...model.changes.keys()].forEach(putBack)), { id: "put-changes-back" })] : []));
  const again = document.getElementById("undo");
  again.hidden = !kept || trainer.playing;
  if (kept) Object.assign(again, { textContent: kept.undone ? "redo" : "undo", title: `${kept.undone ? "do again" : "undo"}: ${kept.what}` });
  const turned = [...new Set(turnedGuards().map(([, , line]) => line))];
  document.getElementById("guards").textContent = turned.length ? `With these numbers Python would decide otherwise at line ${turned.join(", ")}. There the page goes on as the program ran when the page was made.` : "";
}

function keepingFocus(change) {
  const focused = document.activeElement, key = focused?.closest?.("#panel") ? focused.id || focused.dataset.target : null;
  change();
  if (key && !document.activeElement?.closest?.("#panel")) (document.getElementById(key) ?? document.querySelector(`#panel [data-target="${CSS.escape(key)}"]`))?.focus({ preventScroll: true });
}

let announced = 0;
function announce() {  // for those who hear the page, when the numbers have come to rest
  clearTimeout(announced);
  announced = setTimeout(() => {
    if (!trainer.playing) document.getElementById("heard").textContent = `The loss of this example is ${precise(data[model.result])}, the mean over ${examplesWords(model.examples.length)} ${precise(lossNow())}.`;
  }, 700);
}

function buildParameters() {
  let start = 0;
  const [element, found] = collected(() => h("div", {}, content.tensors.map(([name, shape]) => {
    const size = shape.reduce((a, b) => a * b, 1), first = start, count = state.all.has(`tensor ${name}`) ? size : Math.min(size, PARAMETERS_AT_ONCE);
    start += size;
    return h("div", {}, size ? strip(`${name}, ${shape.join(" × ") || "one number"}`, Array.from({ length: count }, (_, i) => first + i)) : p(`${name} is empty`),
      count < size ? button(`${(size - count).toLocaleString("en")} more`, () => { state.all.add(`tensor ${name}`); buildParameters(); }) : null);
  })));
  boardPainters = found;
  document.getElementById("parameters").replaceChildren(element);
  labelSoon();
}

// Data of one's own: rows of numbers, where all examples take the same operations.

const numbersOfExample = () => content.inputs.reduce((sum, [, shape]) => sum + shape.reduce((a, b) => a * b, 1), 0);
const takesMore = () => ways.length === 1 && content.examples > 1 && numbersOfExample() <= 60;

function addExamples(text, alone = false) {  // rows of numbers, one for each example; alone: in place of all others
  const rows = text.split("\n").map((row) => row.trim()).filter(Boolean).map((row) => row.split(/[\s,;]+/).map((one) => Number(one.replace("−", "-"))));
  const size = numbersOfExample(), wrong = rows.findIndex((row) => row.length !== size || !row.every(Number.isFinite));
  if (!rows.length) refuse(`no rows: give ${size} numbers in each`);
  if (wrong >= 0) refuse(`row ${wrong + 1} is not ${size} numbers: each has ${orderOfNumbers()}`);
  const fixed = (x, i) => !enters[ways[0].given[i]] && x !== program.examples[i], stays = rows.findIndex((row) => row.some(fixed));
  if (stays >= 0) { const i = rows[stays].findIndex(fixed); refuse(`row ${stays + 1}: ${entryOf(i, content.inputs)} has to be ${program.examples[i]}, because Python used it to choose or to count when the page was made`); }
  keep("changing the data");
  if (alone) model.examples = [];
  for (const row of rows) model.examples.push({ way: ways[0], numbers: Float64Array.from(row), mine: true });
}

const orderOfNumbers = () => content.inputs.map(([name, shape]) => { const size = shape.reduce((a, b) => a * b, 1); return size === 1 ? name : `${size} of ${name}`; }).join(", then ");

function buildData() {
  const place = document.getElementById("data"), own = model.examples.filter(({ mine }) => mine).length;
  if (!numbersOfExample()) { place.replaceChildren(p("The loss has no data: it depends on the parameters alone.")); return; }
  const example = p(`Each example is ${orderOfNumbers()}. A number of the example that is shown can be opened and changed like any other.`);
  if (!takesMore()) {
    place.replaceChildren(example, p(h("span", { class: "note" }, ways.length > 1 ? "Other examples cannot be added here: the program takes other operations for each." : content.examples > 1 ? "It has too many numbers to add one by hand." : "Other examples cannot be added here: with one alone, the page does not know what stays the same in others.")));
    return;
  }
  const field = h("textarea", { id: "rows", rows: 4, spellcheck: "false", "aria-label": `rows of ${orderOfNumbers()}`, placeholder: Array.from(model.examples[0].numbers, (x) => Number(x.toPrecision(4))).join(", ") });
  place.replaceChildren(example, p("Add your own, a row of numbers for each:"), field,
    h("div", { class: "heads" },
      button("add these", () => act(() => { addExamples(field.value); field.value = ""; dataChanged(); }), { id: "add-rows" }),
      button("only these", () => act(() => { addExamples(field.value, true); field.value = ""; dataChanged(); }), { id: "only-rows" }),
      own || model.examples.length < content.examples ? button("the data of the page", () => act(() => { keep("changing the data"); model.examples = examplesOfPage(); dataChanged(); }), { id: "given-rows" }) : null),
    p(h("span", { class: "note" }, `${examplesWords(model.examples.length)}, ${own} of them yours.`)));
}

function dataChanged() {
  show(Math.min(model.shown, model.examples.length - 1));
  trainer.order = null;
  lossKnown = null;
  if (plane) plane.drawn = null;
  buildExample(); buildData(); buildTrainer();
}

// The address carries what was done, so that a link shows it: the seed of the parameters, the example that is shown, and
// the numbers that were changed.

function addressNow() {
  const says = new URLSearchParams(), { random, shown } = model, { start, end } = shownWay(), changes = [...model.changes].filter(([node]) => node < P || (node >= start && node < end));
  if (random !== null) says.set("seed", random);
  if (shown) says.set("example", shown + 1);
  if (changes.length) says.set("set", changes.map(([node, { to }]) => `${node}:${to}`).join(","));
  if (!says.size) return "";
  says.set("model", fingerprint());
  return `#${says}`;
}

let writing = 0;
function writeAddress() {  // when the numbers have come to rest
  clearTimeout(writing);
  writing = setTimeout(() => {
    if (!trainer.playing && addressNow() !== location.hash) history.replaceState(null, "", addressNow() || location.pathname + location.search);
  }, 400);
}

function readAddress() {  // and show what it says
  const says = new URLSearchParams(location.hash.slice(1));
  if (says.has("model")) act(() => {
    if (says.get("model") !== fingerprint()) refuse("this link was made on a page with other parameters: its numbers do not fit here");
    if (says.has("seed")) drawParameters(Number(says.get("seed")) || 0);
    if (says.has("example")) choose((Number(says.get("example")) || 1) - 1);
    for (const change of says.get("set")?.split(",") ?? []) setNumber(...change.split(":").map(Number));
  });
}

// Keys and clicks.

function move(event) {  // arrow keys go from number to number
  const group = event.target.closest(".cells"), step = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key];
  if (!group || !step || event.target.tagName === "INPUT") return;
  const cells = [...group.querySelectorAll(".cell")], next = cells[Math.max(0, Math.min(cells.length - 1, cells.indexOf(event.target) + step))];
  cells.forEach((one) => { one.tabIndex = -1; });
  next.tabIndex = 0;
  next.focus();
  event.preventDefault();
}

function listen() {
  document.addEventListener("click", (event) => {
    const target = event.target.closest("[data-target]");
    if (!target) return;
    if (!target.closest("#panel")) { state.opener = target; state.trail = []; }
    open(JSON.parse(target.dataset.target));
  });
  document.addEventListener("keydown", (event) => {
    const typing = ["INPUT", "TEXTAREA", "SELECT"].includes(event.target.tagName);
    if (event.key === "Escape" && state.trail.length) close();
    else if (event.key === "Backspace" && event.target.closest("#panel") && !typing) { event.preventDefault(); back(); }
    else if (!typing) move(event);
  });
  for (const asked of ["pointerover", "focusin"]) document.addEventListener(asked, (event) => { const cell = event.target.closest?.(".cell"); if (unlabelled.has(cell)) labelCells([cell]); });
  document.getElementById("undo").addEventListener("click", () => act(undoAll));
  document.getElementById("backward").addEventListener("click", () => { state.backward = !state.backward; follow(); });
}

// For the console, and for tests. All of it is synchronous. A refused call raises an error and changes nothing.

window.microgpt = {
  get loss() { return lossNow(); },
  get lossOfExample() { return data[model.result]; },
  show(which) { choose(which); },
  value: (node) => data[checkedNode(node)],
  gradient: (node) => gradient[checkedNode(node)],
  gradients: () => Array.from(gradientOfAll()),
  get parameters() { return Array.from(data.subarray(0, P)); },
  set(node, x) { setNumber(node, x); lossKnown = null; follow(); },
  step(learningRate, rule = trainer.rule) { keep("a step of training"); trainer.rule = rule; try { takeStep(learningRate); } finally { sweep(); } lossKnown = null; follow(); },
  reset() { putAllBack(); lossKnown = null; follow(); },
  random(seed) { drawParameters(seed); lossKnown = null; follow(); },
  undo() { undoAll(); follow(); },
  add(rows) { addExamples(rows); dataChanged(); follow(); },
};

const elsewhere = () => null;  // what a change did to other data: there is none here

const ready = (async () => {
  try {
    if (typeof DecompressionStream === "undefined") throw new Error("this browser cannot unpack the numbers: it has no DecompressionStream. A newer one can");
    await loadModel();
    lead();
    hint();
    buildTrainer(); buildExample(); buildPlane(); buildParameters(); buildData();
    renderLines();
    listen();
    follow();
    readAddress();
    document.body.dataset.ready = "yes";
  } catch (error) {
    const broken = document.getElementById("broken");
    broken.hidden = false;
    broken.textContent = `The page could not begin: ${error.message}.`;
    document.getElementById("made-by").textContent = "Made by microgpt.";
    throw error;
  }
})();

window.inside = { ready, content, state, model, trainer, get words() { return words; }, get ways() { return ways; }, open, close, back, choose, nameOf, operandsOf, usesOf, received, recompute, derivative, renderLines, get data() { return data; }, get gradients() { return gradient; }, get kind() { return kind; } };
