// The model on the page: the parameters as they are now, the text that is read, and what was changed by hand.
// Everything here is at once in the console, as window.microgpt (see the end of the page).

const content = JSON.parse(document.getElementById("content").textContent);
const P = content.parameters;
const { lines, vocabulary, totals, closing } = content;  // closing: the token at which writing ends, if there is one
const idOf = new Map(vocabulary.map((character, id) => [character, id]));
const weightsEnd = P + totals.length;  // behind the parameters stand the weights of the predictions
const strips = content.strips.map(([key, position, start, count]) => ({ key: content.keys[key][0], name: content.keys[key][1], position, start, count }));
const stripAt = new Map(strips.map((strip) => [`${strip.key} ${strip.position}`, strip]));

let program;             // the arrays of the file
let members;             // the nodes of all strips
let choicesOf;           // of each token of the text, where it chooses an operand
let zero;                // the node of the constant 0
let moments;             // Adam's m and v, how many steps it took, and what the last one did
let decay;               // the weight decay of each parameter

const model = {
  text: "",
  tokens: [],
  last: 0,                // the last position
  result: 0,              // the node of the loss
  time: 0,                // which of the times
  version: 0,             // of all numbers: another after each change
  changes: new Map(),     // of numbers set by hand: node -> {from, to}
  off: new Set(),         // parts that are switched off
  before: null,           // how all was before the last change by hand: what was promised is counted from there
  pinned: null,           // what is compared with
  trained: 0,             // steps in the page since the parameters were last put back
};

async function loadModel() {
  program = await unpacked(document.getElementById("numbers").textContent, content.arrays);
  const n = program.kind.length;
  kind = program.kind.slice(); left = program.left.slice(); right = program.right.slice();
  items = program.items; members = program.members;
  data = new Float64Array(n); gradient = new Float64Array(n);
  program.constants.forEach((x, i) => { data[program.constantNodes[i]] = x; });
  zero = program.constantNodes[program.constants.indexOf(0)];
  sortChoices();
  nameNodes(n);
  countUses(weightsEnd, n);
  let start = 0;
  decay = new Float64Array(P);
  for (const [, shape] of content.tensors) {
    const size = shape.reduce((a, b) => a * b, 1);
    if (shape.length > 1) decay.fill(content.training.weight_decay, start, start + size);
    start += size;
  }
  model.time = content.times.length;
  data.set(program.parameters);
  newMoments();
  readTokens(content.tokens);
}

function sortChoices() {
  const starts = [0];
  for (const size of program.tableSizes) starts.push(starts[starts.length - 1] + size);
  const count = program.choices.length / 4, c = program.choices;
  choicesOf = [...Array(totals.length + 1)].map(() => []);
  for (let i = 0; i < count; i++) choicesOf[c[2 * count + i]].push({ where: [left, right, members, items][c[i]], at: c[count + i], first: starts[c[3 * count + i]] });
}

function nameNodes(n) {
  stripOf = new Int32Array(n).fill(-1); placeOf = new Int32Array(n);
  const isInput = ({ key }) => key.endsWith(".input");  // of a part: another name for what mostly has one already
  for (const inputs of [false, true]) strips.forEach((strip, s) => {
    if (isInput(strip) !== inputs) return;
    for (let i = 0; i < strip.count; i++) {
      const node = members[strip.start + i];
      if (stripOf[node] < 0 && kind[node] > CONSTANT) { stripOf[node] = s; placeOf[node] = i; }
    }
  });
}

const canBeSet = (node) => program.kind[node] !== CONSTANT;
const operationsNow = () => [weightsEnd, model.result + 1];

// Reading.

function refuse(words, offer = null) { throw Object.assign(new RangeError(words), { offer }); }  // offer: a text that would do

const most = () => totals.length - (lines ? 1 : -1);  // characters that fit
const least = lines ? 1 : 2;

function encoded(text) {  // a text as tokens, or an error
  if (typeof text !== "string") throw new TypeError(`a text is needed, but this is ${describe(text)}`);
  const characters = [...text];
  if (lines && characters.includes("\n")) refuse("the text has a newline, but this model knows single lines");
  const known = (character) => idOf.has(character) && (lines || idOf.get(character) !== closing);
  const unknown = characters.find((character) => !known(character));
  if (unknown !== undefined) refuse(`the model does not know the character ‘${show(unknown)}’, because its text had none`, otherSpelling(characters, known));
  if (characters.length > most()) refuse(`${characters.length} characters are too many: there is room for ${most()}`);
  if (characters.length < least) refuse(least === 1 ? "type at least one character" : "type at least two characters");
  const tokens = characters.map((character) => idOf.get(character));
  return lines ? [idOf.get("\n"), ...tokens, idOf.get("\n")] : tokens;
}

function otherSpelling(characters, known) {  // the text with other small and capital letters, if that would do
  const swapped = (character) => character === character.toLowerCase() ? character.toUpperCase() : character.toLowerCase();
  const respelled = characters.map((character) => known(character) ? character : swapped(character));
  return respelled.every(known) && characters.length >= least && characters.length <= most() ? respelled.join("") : null;
}

function readTokens(tokens) {
  model.tokens = tokens;
  model.last = tokens.length - 2;
  model.result = totals[model.last];
  model.text = textOf(lines ? tokens.slice(1, -1) : tokens);
  model.before = null;
  chooseOperands(tokens);
  weigh(tokens.length - 1, 1 / (tokens.length - 1));
  sweep();
}

const textOf = (tokens) => tokens.map((id) => vocabulary[id]).join("");

function chooseOperands(tokens, from = 0) {
  for (let token = from; token < tokens.length; token++) for (const { where, at, first } of choicesOf[token]) where[at] = program.tables[first + tokens[token]];
}

function weigh(count, weight) {  // the first `count` predictions count in the loss, each so much
  data.fill(weight, P, P + count);
}

function sweep() {  // forward and backward, on the text that is read
  usesAreOld = true;
  forward(weightsEnd, model.result + 1);
  gradient.fill(0, 0, P);
  backward(model.result, P);
}

// Changing numbers, and switching parts off.

function rewire({ off, changes } = model, numbers = data) {  // the operations as they were, but for what is switched off or held by hand
  kind.set(program.kind); left.set(program.left); right.set(program.right);
  for (const part of off) for (const strip of parts.get(part).strips) switchOffStrip(strip, parts.get(part).how, numbers);
  for (const [node, change] of changes) if (node >= P) { kind[node] = CONSTANT; numbers[node] = change.to; }
  chooseOperands(model.tokens);
}

function switchOffStrip(strip, how, numbers) {
  for (let i = 0; i < strip.count; i++) {
    const node = members[strip.start + i];
    if (how === "zero") { kind[node] = CONSTANT; numbers[node] = 0; }
    else if (how === "pass") { kind[node] = ADD; left[node] = members[stripAt.get(`${strip.key}.input ${strip.position}`).start + i]; right[node] = zero; }
    else right[node] = zero;  // the embedding of a position: the sum with it goes on without it
  }
}

const parts = new Map();  // what can be switched off: name -> {words, how, strips}
for (const strip of strips) {
  const layer = /^h\.(\d+)\./.exec(strip.key)?.[1], head = /\.head\.(\d+)\.read$/.exec(strip.key)?.[1];
  const part = head !== undefined ? [`h.${layer}.head.${head}`, `head ${head} of block ${layer}`, "zero"]
    : /^h\.\d+\.(attention|mlp)$/.test(strip.key) ? [strip.key, `${strip.key.endsWith("mlp") ? "the MLP" : "all attention"} of block ${layer}`, "zero"]
    : /\.ln_[12]$/.test(strip.key) ? [strip.key, `the layer norm before ${strip.key.endsWith("1") ? "attention" : "the MLP"} of block ${layer}`, "pass"]
    : strip.key === "ln_f" ? ["ln_f", "the final layer norm", "pass"]
    : strip.key === "embedded" ? [`position.${strip.position}`, `the embedding of position ${strip.position}`, "without"] : null;
  if (!part) continue;
  const [name, words, how] = part;
  if (!parts.has(name)) parts.set(name, { words, how, strips: [] });
  parts.get(name).strips.push(strip);
}

function remember(what) {  // how all is now, unless it is remembered for this very thing
  if (model.before?.what === what) return;
  const end = model.result + 1;
  model.before = { what, data: data.slice(0, end), gradient: gradient.slice(0, end), loss: data[model.result], chances: [...Array(model.last + 1).keys()].map(chances), promised: 0 };
}

function checkedNode(node) {
  if (!Number.isInteger(node) || node < 0 || node > model.result) throw new RangeError(`there is no node ${describe(node)}: expected an integer from 0 to ${model.result}`);
  return node;
}

function setNumber(node, x) {
  checkedNode(node);
  if (typeof x !== "number" || !Number.isFinite(x)) throw new TypeError(`a number is needed, but this is ${describe(x)}`);
  if (program.kind[node] === CONSTANT) refuse(`node ${node} is a constant of the source: only parameters and results can be set`);
  keep(`change of ${nameOf(node)}`, true);
  remember(node);
  const { before, changes } = model;
  changes.set(node, { from: changes.get(node)?.from ?? data[node], to: x });
  before.promised = before.gradient[node] * (x - before.data[node]);
  data[node] = x;
  if (node >= P) kind[node] = CONSTANT;  // it is what it was set to, whatever its operands are
  sweep();
}

function putBack(node) {
  const change = model.changes.get(node);
  if (!change) return;
  keep(`putting back ${nameOf(node)}`);
  model.changes.delete(node);
  model.before = null;
  if (node < P) data[node] = change.from;
  rewire();
  sweep();
}

function switchPart(part, off = true) {
  if (!parts.has(part)) refuse(`there is no part ${describe(part)}: expected one of ${[...parts.keys()].join(", ")}`);
  keep(`switching ${parts.get(part).words} ${off ? "off" : "on"}`);
  remember(`${part} ${off}`);
  const { before } = model;
  if (off) model.off.add(part); else model.off.delete(part);
  rewire();
  sweep();
  before.promised = 0;  // over all numbers that were put elsewhere: gradient times change
  for (const strip of parts.get(part).strips) {
    for (let i = 0; i < strip.count && strip.position <= model.last; i++) {
      const node = members[strip.start + i];
      before.promised += before.gradient[node] * (data[node] - before.data[node]);
    }
  }
}

// One step of undo, for all that changes numbers. An undo can itself be undone.

let kept = null;         // the numbers before the last change, and what it was

const numbersNow = (what) => ({ what, parameters: data.slice(0, P), changes: new Map(model.changes), off: new Set(model.off), time: model.time, trained: model.trained, before: model.before,
  moments: { ...moments, m: moments.m.slice(), v: moments.v.slice(), gradient: moments.gradient.slice() }, curve: curveKept() });

function keep(what, again = false) {  // again: a slider that is moved on is one change
  if (!(again && kept?.what === what && !kept.undone)) kept = { ...numbersNow(what), found: surveyed() ? survey.found : null };
  model.version += 1;
}

function putNumbers(numbers) {
  data.set(numbers.parameters);
  Object.assign(model, { changes: new Map(numbers.changes), off: new Set(numbers.off), time: numbers.time, trained: numbers.trained, before: null });
  moments = { ...numbers.moments, m: numbers.moments.m.slice(), v: numbers.moments.v.slice() };
  putCurve(numbers.curve);
  rewire();
  sweep();
}

function undo() {
  if (!kept) return;
  const now = { ...numbersNow(kept.what), undone: !kept.undone, found: surveyed() ? survey.found : null };
  model.version += 1;
  putNumbers(kept);
  kept = now;
}

// Training.

const DATA = Symbol("texts from the data");  // what Adam learns from, if it is not a text

function newMoments() {  // Adam begins anew
  moments = { m: new Float64Array(P), v: new Float64Array(P), steps: 0, lastRate: 0, norm: 0, gradient: new Float64Array(P), from: null, origin: null, learns: null };
}

function checkedRate(learningRate) {
  if (typeof learningRate !== "number" || !(learningRate > 0 && learningRate < Infinity)) throw new RangeError(`the learning rate is ${describe(learningRate)}: expected a positive number`);
  return learningRate;
}

function update(learningRate, learns) {  // one step of Adam with the gradient that is there; another text to learn from begins other moments
  if (moments.learns !== learns) newMoments();
  moments.learns = learns;
  const gradients = moments.gradient;
  gradients.set(gradient.subarray(0, P));
  moments.norm = Math.sqrt(gradients.reduce((sum, g) => sum + g * g, 0));
  if (!Number.isFinite(moments.norm)) refuse("training diverged: the gradient is not finite; put the model back, or lower the learning rate");
  const clip = content.training.grad_clip;
  if (clip && moments.norm > clip) for (let i = 0; i < P; i++) gradients[i] *= clip / moments.norm;
  moments.from = data.slice(0, P);
  moments.origin ??= moments.from;
  moments.lastRate = learningRate;
  adam(data.subarray(0, P), gradients, moments.m, moments.v, ++moments.steps, learningRate, decay);
  model.trained += 1;
  for (const node of model.changes.keys()) if (node < P) model.changes.delete(node);  // it is learned now
  model.before = null;
}

function trainOnText(learningRate) {
  update(checkedRate(learningRate), model.text);
  sweep();
}

function trainOnTexts(texts, learningRate) {
  try { return stepOnTexts(texts, learningRate); } finally { backTo(model.tokens); }
}

function stepOnTexts(texts, learningRate) {  // one step on a batch, every character counting the same; gives its loss. The arrays then show the batch
  checkedRate(learningRate);
  const characters = texts.reduce((sum, tokens) => sum + tokens.length - 1, 0);
  let loss = 0;
  gradient.fill(0, 0, P);
  for (const tokens of texts) loss += lossOf(tokens, 1 / characters, true);
  update(learningRate, DATA);
  return loss;
}

function lossOf(tokens, weight, withGradient) {
  const result = totals[tokens.length - 2];
  chooseOperands(tokens);
  weigh(tokens.length - 1, weight);
  forward(weightsEnd, result + 1);
  if (withGradient) backward(result, P);
  return data[result];
}

function backTo(tokens) {  // the arrays show the text that is read, after others have gone through them
  chooseOperands(tokens);
  weigh(tokens.length - 1, 1 / (tokens.length - 1));
  sweep();
}

function lossOfTexts(texts) {  // mean loss of a character
  const characters = texts.reduce((sum, tokens) => sum + tokens.length - 1, 0);
  const loss = texts.reduce((sum, tokens) => sum + lossOf(tokens, 1 / characters, false), 0);
  backTo(model.tokens);
  return loss;
}

function putParameters(vector) {  // what was changed by hand or switched off stays so
  data.set(vector);
  for (const [node, { to }] of model.changes) if (node < P) { model.changes.set(node, { from: data[node], to }); data[node] = to; }
  model.before = null;
  newMoments();
  model.trained = 0;
  rewire();
  sweep();
}

function checkedTime(time) {
  if (!Number.isInteger(time) || time < 0 || time > content.times.length) throw new RangeError(`there is no time ${describe(time)}: expected an integer from 0 to ${content.times.length}`);
  return time;
}

function goTo(time) {
  model.time = checkedTime(time);
  putParameters(time === content.times.length ? program.parameters : program.snapshots.subarray(time * P, (time + 1) * P));
}

function randomParameters(seed) {  // as in microgpt/learning/parameters.py: gains 1, biases 0, weights from a normal distribution
  const random = generator(seed), normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const vector = new Float64Array(P);
  let at = 0;
  for (const [name, shape] of content.tensors) {
    const size = shape.reduce((a, b) => a * b, 1), scale = name.includes("c_proj") ? 0.15 / Math.sqrt(2 * content.config.n_layer) : 0.15;
    for (let i = 0; i < size; i++) vector[at++] = name.endsWith(".bias") ? 0 : shape.length === 1 ? 1 : scale * normal();
  }
  return vector;
}

// Chances, and writing.

const nodesAt = (key, position) => {
  const found = stripAt.get(`${key} ${position}`);
  return found && position <= model.last ? Array.from(members.subarray(found.start, found.start + found.count)) : [];
};

function softmax(logits, temperature = 1) {
  const greatest = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp((logit - greatest) / temperature));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

const chances = (position) => softmax(nodesAt("logits", position).map((node) => data[node]));

function limited(logits, temperature, topK) {  // the chances that a draw sees
  const order = logits.map((_, id) => id).sort((a, b) => logits[b] - logits[a] || a - b);
  const kept = new Set(temperature === 0 ? order.slice(0, 1) : topK ? order.slice(0, topK) : order);
  const ids = logits.map((_, id) => id).filter((id) => kept.has(id));
  const among = softmax(ids.map((id) => logits[id]), temperature || 1);
  const found = logits.map(() => 0);
  ids.forEach((id, i) => { found[id] = among[i]; });
  return found;
}

function drawn(chances, random) {  // the entry in whose share of the line from 0 to 1 the random number falls
  let point = random * chances.reduce((a, b) => a + b, 0);
  for (let id = 0; id < chances.length; id++) if ((point -= chances[id]) < 0) return id;
  return chances.indexOf(Math.max(...chances));
}

let draft;  // the numbers of a text while it is being written; those on the page stay as they are

function written({ temperature = 1, topK = null, seed = 0, length = lines ? totals.length : 40, after = [] } = {}) {  // the moments of a new text, or of what follows some tokens
  prepareDraft(model);
  const random = generator(seed), room = totals.length, found = [];
  let window = lines || !after.length ? [idOf.get("\n"), ...after] : [...after], read = 0;
  while (found.length < length) {
    if (window.length > room) {  // past the context: the later half is read again, from position 0
      if (lines) break;
      window = window.slice(-Math.floor((room + 1) / 2)); read = 0;
    }
    for (; read < window.length; read++) {
      chooseUnseen(read, window[read]);
      forward(read ? totals[read - 1] + 1 : weightsEnd, totals[read] + 1, draft);
    }
    const strip = stripAt.get(`logits ${read - 1}`);
    const logits = Array.from(members.subarray(strip.start, strip.start + strip.count), (node) => draft[node]);
    const one = { logits, random: random(), read: window.slice() };
    one.chances = limited(logits, temperature, topK);
    one.token = drawn(one.chances, one.random);
    found.push(one);
    window.push(one.token);
    if (one.token === closing) break;
  }
  chooseOperands(model.tokens);
  return found;
}

function prepareDraft(numbers) {  // for texts that are not shown, as the model is now, or with the numbers before the last change
  draft ??= new Float64Array(data.length);
  draft.set(numbers.parameters ?? data.subarray(0, P));
  program.constants.forEach((x, i) => { draft[program.constantNodes[i]] = x; });
  if (numbers !== model) return rewire(numbers, draft);
  for (const part of model.off) if (parts.get(part).how === "zero") for (const strip of parts.get(part).strips) for (let i = 0; i < strip.count; i++) draft[members[strip.start + i]] = 0;
  for (const [node, change] of model.changes) draft[node] = change.to;
}

function chooseUnseen(token, id) {  // a token of a text that is not shown
  for (const { where, at, first } of choicesOf[token]) if (where !== members) where[at] = program.tables[first + id];
}

function readInto(numbers, tokens) {  // a whole text that is not shown
  tokens.forEach((id, token) => chooseUnseen(token, id));
  forward(weightsEnd, totals[tokens.length - 2] + 1, numbers);
}

const typedOf = (tokens) => lines ? tokens.slice(1, -1) : tokens;  // without the ends of a line
const textWritten = (found) => textOf(found.map((one) => one.token).filter((token) => token !== closing));

function checkedWriting(options = {}) {
  if (options === null || typeof options !== "object" || Array.isArray(options)) throw new TypeError(`the options are ${describe(options)}: expected something like {temperature: 0.8, topK: 5, seed: 3}`);
  const { temperature = 1, topK = null, seed = 0, after = "" } = options;
  if (typeof temperature !== "number" || !(temperature >= 0 && temperature < Infinity)) throw new RangeError(`the temperature is ${describe(temperature)}: expected 0 or a positive number`);
  if (topK !== null && !(Number.isInteger(topK) && topK >= 1)) throw new RangeError(`topK is ${describe(topK)}: expected a positive integer, or null for all`);
  if (!Number.isInteger(seed) || seed < 0 || seed > 2 ** 32 - 1) throw new RangeError(`the seed is ${describe(seed)}: expected an integer from 0 to ${2 ** 32 - 1}`);
  return { temperature, topK, seed, after: after === "" ? [] : typedOf(encoded(after)) };
}

// Comparing.

function pin(label) {
  const end = model.result + 1;
  model.pinned = { label, data: data.slice(0, end), gradient: gradient.slice(0, end), members: members.slice(), tokens: model.tokens, last: model.last, loss: data[model.result], chances: [...Array(model.last + 1).keys()].map(chances) };
}

function describe(x) {
  let words;
  try { words = typeof x === "string" ? JSON.stringify(x) : String(x); } catch { words = typeof x; }
  return words.length > 60 ? `${words.slice(0, 60)}…` : words;
}
