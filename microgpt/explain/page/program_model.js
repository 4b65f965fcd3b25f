// Any loss on the page: its parameters as they are now, the example that is shown, what was changed, and training.
// Everything here is at once in the console, as window.microgpt (see the end of the page).

const content = JSON.parse(document.getElementById("content").textContent);
const P = content.parameters;
const state = { backward: false, compare: false, trail: [], opener: null, binary: false, small: false, turns: new Map(), calls: new Map(), opened: new Map(), all: new Set() };

let program;             // the arrays of the file
let words;               // functions, and what their lines made
let ways;                // the operations of each kind of example: {start, end, result, given, order, guards, calls, notes}
let moments;             // the optimizer's m and v, how many steps it took, and what the last one did
let decay;               // the weight decay of each parameter: none
let inputOf;             // of a node, which number of the example it is
let enters;              // of a node, whether any operation reads it
let named = [];          // names of nodes: {words, path}; stripOf has for each node its entry

const model = {
  examples: [],          // {way, numbers, mine: whether the reader gave it, at: where its numbers are in the file}
  shown: 0,              // the example whose numbers are on the page
  result: 0,             // the node of its loss
  changes: new Map(),    // of numbers set by hand: node -> {from, to}
  before: null,          // how all was before the last change by hand
  pinned: null,          // not used here
  random: null,          // the seed with which its parameters were drawn
  trained: 0,            // steps since the parameters were last put back
};
const trainer = { rule: "adam", rate: content.rate, batch: 0, seed: 0, playing: false, losses: [], drawn: 0, order: null, last: null, turned: 0 };

async function loadModel() {
  program = await unpacked(document.getElementById("numbers").textContent, content.arrays);
  const n = program.kind.length;
  words = JSON.parse(new TextDecoder().decode(program.notes));
  kind = program.kind.slice(); left = program.left.slice(); right = program.right.slice();
  items = program.items;
  data = new Float64Array(n); gradient = new Float64Array(n);
  ways = words.ways;
  for (const way of ways) {
    const [first, count] = way.order;
    way.order = count ? program.order.subarray(first, first + count) : null;
    way.operations = 0;
    for (let node = way.start; node < way.end; node++) if ((kind[node] >= ADD && kind[node] <= EXP) || kind[node] === DIVIDE) way.operations++;
  }
  putConstants();
  data.set(program.parameters);
  inputOf = new Int32Array(n).fill(-1);
  ways.forEach((way) => way.given.forEach((node, i) => { inputOf[node] = i; }));
  enters = new Uint8Array(n);
  for (let node = P; node < n; node++) {
    if (kind[node] > CONSTANT && kind[node] !== LARGEST) enters[left[node]] = 1;
    if (kind[node] > CONSTANT && kind[node] !== LARGEST && kind[node] !== WHERE && right[node] >= 0) enters[right[node]] = 1;
  }
  for (const item of items) enters[item] = 1;
  model.examples = examplesOfPage();
  decay = new Float64Array(P);
  nameNodes(n);
  countUses(P, n);
  forget();
  show(0);
}

function putConstants() {
  program.constants.forEach((x, i) => { data[program.constantNodes[i]] = x; });
}

// Names: a number is called what a line calls it; what a function returns, or is given, where no line does.

function nameNodes(n) {
  stripOf = new Int32Array(n).fill(-1); placeOf = new Int32Array(n);
  for (const kinds of [["note", "turn"], ["returned", "yielded"], ["given"]]) {
    for (const way of ways) {
      for (const [call, kindOfNote, line, names, , ...values] of way.notes) {
        if (!kinds.includes(kindOfNote)) continue;
        const { name } = words.functions[way.calls[call][0]];
        values.forEach((id, i) => {
          const says = kindOfNote === "returned" ? `what ${name} returns` : kindOfNote === "yielded" ? `what ${name} yields` : words.names[names][i];
          visit(words.values[id], says, (node, path) => {
            if (node < P || stripOf[node] >= 0 || kind[node] === CONSTANT) return;
            stripOf[node] = named.length;
            named.push(kindOfNote === "returned" ? `${path}, line ${line}` : `${path}, line ${line} of ${name}`);
          });
        });
      }
    }
  }
}

function visit(value, path, each) {  // every node in a value that a line has made
  if (typeof value === "number") each(value, path);
  else if (Array.isArray(value)) value.forEach((one, i) => visit(one, `${path}[${i}]`, each));
  else if (value.r) nodesIn(value).forEach((node, i) => each(node, `${path}[${i}]`));
  else if (value.l) visit(value.l, path, each);
  else if (value.d) for (const [key, one] of Object.entries(value.d)) visit(one, `${path}["${key}"]`, each);
}

const nodesIn = ({ r: [first, step, count] }) => Array.from({ length: count }, (_, i) => first + step * i);

function entryOf(at, arrays) {  // which entry of which array a number is, by its place among all
  for (const [name, shape] of arrays) {
    const size = shape.reduce((a, b) => a * b, 1);
    if (at >= size) { at -= size; continue; }
    const index = shape.map((_, i) => Math.floor(at / shape.slice(i + 1).reduce((a, b) => a * b, 1)) % shape[i]);
    return `${name}${index.length ? `[${index.join(", ")}]` : ""}`;
  }
  return `number ${at}`;
}

const KIND_WORDS = { [MUL]: "a product in", [POW]: "a power in", [LOG]: "a logarithm in", [EXP]: "an exponential in", [LARGEST]: "the largest of the numbers in",
  [LESS]: "a comparison for", [LESS_EQUAL]: "a comparison for", [WHERE]: "a choice in", [DIVIDE]: "a quotient in" };

function nameOf(node) {
  const made = program.kind[node];
  if (node === model.result) return "the loss of this example";
  if (made === PARAMETER) return `parameter ${entryOf(node, content.tensors)}`;
  if (inputOf[node] >= 0) return `${entryOf(inputOf[node], content.inputs)} of the example`;
  if (made === CONSTANT) return `the constant ${precise(data[node])}`;
  if (stripOf[node] >= 0) return named[stripOf[node]];
  let user = node;  // unnamed: a step on the way to the nearest number that has a name
  while (stripOf[user] < 0 && firstUser[user] > user) user = firstUser[user];
  const says = KIND_WORDS[made] ?? (program.kind[firstUser[node]] === ADD ? "a partial sum in" : "the sum in");
  return stripOf[user] < 0 ? `${says} the loss` : `${says} ${named[stripOf[user]]}`;
}

const aboutConstant = (node) => inputOf[node] >= 0 && !enters[node] ? "A number of the example that enters no operation: Python used it to choose or to count when the page was made. So it stays as it is."
  : inputOf[node] >= 0 ? "A number of the example: given, not learned. You can change it. Its gradient says what that would do to the loss."
  : "A constant of the source. Its gradient counts the sums and products that use it.";
const canBeSet = (node) => program.kind[node] !== CONSTANT || (inputOf[node] >= 0 && enters[node] === 1);
const whereUsed = () => null;
const operationsNow = () => [shownWay().start, shownWay().end];
const shownWay = () => model.examples[model.shown].way;

// Examples.

function examplesOfPage() {
  const found = [];
  for (let i = 0, at = 0; i < content.examples; i++) {
    const way = ways[program.exampleWays[i]];
    found.push({ way, numbers: program.examples.slice(at, at + way.given.length), mine: false, at });
    at += way.given.length;
  }
  return found;
}

function load({ way, numbers }) {
  for (let i = 0; i < numbers.length; i++) data[way.given[i]] = numbers[i];
}

function show(which) {
  model.shown = which;
  for (const node of model.changes.keys()) if (inputOf[node] >= 0) model.changes.delete(node);  // another example has other numbers there
  model.result = shownWay().result;
  model.before = null;
  usesAreOld = true;
  sweep();
}

function sweep() {  // forward and backward, on the example that is shown
  const example = model.examples[model.shown], { way } = example;
  load(example);
  forward(way.start, way.end);
  gradient.fill(0, 0, P);
  backward(way.result, way.start, way.order);
}

function lossOf(examples, withGradient = false) {  // their mean loss, and its gradient: summed and divided as the scalar engine does it
  if (withGradient) gradient.fill(0, 0, P);
  let total = 0, turned = 0;
  for (const example of examples) {
    const { way } = example;
    load(example);
    forward(way.start, way.result + 1);
    if (withGradient) backward(way.result, way.start, way.order);
    total += data[way.result];
    for (const [test, was] of way.guards) if (data[test] !== was) { turned++; break; }
  }
  if (withGradient) for (let i = 0; i < P; i++) gradient[i] /= examples.length;
  trainer.turned = turned;
  return total / examples.length;
}

function lossOfAll() {
  const loss = lossOf(model.examples);
  sweep();
  return loss;
}

function gradientOfAll() {
  lossOf(model.examples, true);
  const found = gradient.slice(0, P);
  sweep();
  return found;
}

const turnedGuards = () => shownWay().guards.filter(([test, was]) => data[test] !== was);

// Changing numbers.

function refuse(says) { throw new RangeError(says); }

function remember(what) {
  if (model.before?.what === what) return;
  const { end } = shownWay();
  model.before = { what, data: data.slice(0, end), gradient: gradient.slice(0, end), loss: data[model.result], promised: 0 };
}

function checkedNode(node) {
  const { start, end } = shownWay();
  if (!Number.isInteger(node) || node < 0 || node >= end || (node >= P && node < start)) throw new RangeError(`there is no node ${describe(node)} in this example`);
  return node;
}

function setNumber(node, x) {
  checkedNode(node);
  if (typeof x !== "number" || !Number.isFinite(x)) throw new TypeError(`a number is needed, but this is ${describe(x)}`);
  if (!canBeSet(node)) refuse(`node ${node} is a constant of the source: only parameters, numbers of the example, and results can be set`);
  keep(`changing ${nameOf(node)}`, true);
  remember(node);
  const { before, changes } = model;
  changes.set(node, { from: changes.get(node)?.from ?? data[node], to: x });
  before.promised = before.gradient[node] * (x - before.data[node]);
  assign(node, x, CONSTANT);
  sweep();
}

function assign(node, x, as) {
  data[node] = x;
  if (inputOf[node] >= 0) model.examples[model.shown].numbers[inputOf[node]] = x;
  else if (node >= P) kind[node] = as;  // it is what it was set to, whatever its operands are
}

function putBack(node) {
  const change = model.changes.get(node);
  if (!change) return;
  keep("putting numbers back", true);
  model.changes.delete(node);
  model.before = null;
  assign(node, change.from, program.kind[node]);
  sweep();
}

function putAllBack() {
  keep("resetting");
  for (const { numbers, mine, at } of model.examples) if (!mine) numbers.set(program.examples.subarray(at, at + numbers.length));
  model.changes.clear();
  kind.set(program.kind);
  putConstants();
  begin(program.parameters);
}

// One step of undo, for all that changes numbers. An undo can itself be undone.

let kept = null;         // the numbers before the last change, and what it was

const copied = ({ examples, changes, moments, trainer, ...rest }) => ({ ...rest, changes: new Map(changes), examples: examples.map((one) => ({ ...one, numbers: one.numbers.slice() })),
  moments: { ...moments, m: moments.m.slice(), v: moments.v.slice(), gradient: moments.gradient.slice() }, trainer: { ...trainer, losses: trainer.losses.slice() } });

function numbersNow(what) {
  const { examples, changes, shown, trained, random } = model, { rule, losses, drawn, order, last } = trainer;
  return copied({ what, parameters: data.slice(0, P), examples, changes, shown, trained, random, moments, trainer: { rule, losses, drawn, order, last } });
}

function keep(what, again = false) {  // again: a slider that is moved on is one change
  if (!(again && kept?.what === what && !kept.undone)) kept = numbersNow(what);
}

function undo() {
  if (!kept) return;
  const now = { ...numbersNow(kept.what), undone: !kept.undone }, { parameters, examples, changes, shown, trained, random, ...rest } = kept;
  Object.assign(model, { examples, changes, trained, random });
  Object.assign(trainer, rest.trainer);
  moments = rest.moments;
  kind.set(program.kind);
  putConstants();
  data.set(parameters);
  for (const [node, { to }] of changes) if (node >= P && inputOf[node] < 0) { data[node] = to; kind[node] = CONSTANT; }
  kept = now;
  show(shown);
}

// Training.

function forget() {  // the optimizer begins anew
  moments = { m: new Float64Array(P), v: new Float64Array(P), steps: 0, lastRate: 0, norm: 0, gradient: new Float64Array(P), from: null };
  model.trained = 0;
  Object.assign(trainer, { losses: [], drawn: 0, order: null, last: null });
}

function begin(parameters, random = null) {  // from these parameters, with a new curve
  model.random = random;
  data.set(parameters);
  model.before = null;
  forget();
  sweep();
}

function randomParameters(seed) {  // each array with the mean and the spread that it had at first; what was the same everywhere stays
  const random = generator(seed), normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const vector = new Float64Array(P);
  let at = 0;
  for (const [, shape] of content.tensors) {
    const size = shape.reduce((a, b) => a * b, 1), own = program.parameters.subarray(at, at + size);
    const mean = own.reduce((a, b) => a + b, 0) / size, spread = Math.sqrt(own.reduce((sum, x) => sum + (x - mean) ** 2, 0) / size);
    for (let i = 0; i < size; i++) vector[at++] = spread ? mean + spread * normal() : own[i];
  }
  return vector;
}

function nextBatch() {  // all examples are drawn, in a random order, before any is drawn again
  const { examples } = model, size = trainer.batch;
  if (!size || size >= examples.length) return examples;
  const batch = [];
  while (batch.length < size) {
    const round = Math.floor(trainer.drawn / examples.length), at = trainer.drawn++ % examples.length;
    if (!trainer.order || trainer.order.length !== examples.length || at === 0) trainer.order = shuffled(examples.length, 1000 * trainer.seed + round + 1);
    batch.push(examples[trainer.order[at]]);
  }
  return batch;
}

function takeStep(learningRate = trainer.rate) {  // one step on a batch; the arrays then show the batch. Returns its loss before the step
  if (typeof learningRate !== "number" || !(learningRate > 0 && learningRate < Infinity)) refuse(`the learning rate is ${describe(learningRate)}: expected a positive number`);
  const loss = lossOf(nextBatch(), true), gradients = moments.gradient, parameters = data.subarray(0, P);
  gradients.set(gradient.subarray(0, P));
  moments.norm = Math.sqrt(gradients.reduce((sum, g) => sum + g * g, 0));
  if (!Number.isFinite(moments.norm) || !Number.isFinite(loss)) refuse("training diverged: a number is not finite. Reset, or lower the learning rate");
  moments.from = data.slice(0, P);
  moments.lastRate = learningRate;
  moments.steps++;
  moments.rule = trainer.rule;
  if (trainer.rule === "adam") adam(parameters, gradients, moments.m, moments.v, moments.steps, learningRate, decay);
  else for (let i = 0; i < P; i++) parameters[i] -= learningRate * gradients[i];
  for (const node of model.changes.keys()) if (node < P) model.changes.delete(node);  // it is learned now
  trainer.losses.push([model.trained++, loss]);
  model.before = null;
  return loss;
}

function takeSteps(count, until = Infinity) {
  try { for (let i = 0; i < count && performance.now() < until; i++) takeStep(); } finally { sweep(); }
}

function describe(x) {
  let says;
  try { says = typeof x === "string" ? JSON.stringify(x) : String(x); } catch { says = typeof x; }
  return says.length > 60 ? `${says.slice(0, 60)}…` : says;
}
