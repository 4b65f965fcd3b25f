"use strict";
// The engine: five operations and their derivatives, over typed arrays. All numbers of the page come from here.
//
// A node is a number with its operation, kind[node], and its operands left[node] and right[node], which are nodes, too.
// Parameters come first, and operands before their results. So one loop upwards computes every number, and one loop
// downwards every gradient. (microgpt/value.py does the same with objects; microgpt/explain/program.py made the arrays.)
// Besides the five there are choices: comparisons, which give 1 or 0, and `where`, which takes the first of two numbers
// if another is not 0. Through its test no gradient flows. Plain numbers of the data may be divided as Python does it.

const [PARAMETER, CONSTANT, ADD, MUL, POW, LOG, EXP, LARGEST, LESS, LESS_EQUAL, WHERE, DIVIDE] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
const KINDS = 12;
const LARGEST_FLOAT = Number.MAX_VALUE;

let kind, left, right;     // what made each node
let data, gradient;        // its number, and the derivative of the loss to it
let items;                 // the nodes among which the largest is found: from items[left[node]], right[node] of them.
                           // And what a `where` chooses from: items[right[node]], or the one behind it

// Local names make these loops two to three times as fast: the browser then knows that no array is exchanged
// under way. Most nodes are sums and products, so these are asked for first.

function forward(from, to, numbers = data) {  // compute the nodes from `from` up to, but not with, `to`
  const kinds = kind, lefts = left, rights = right;
  for (let node = from; node < to; node++) {
    const k = kinds[node];
    if (k === MUL) numbers[node] = numbers[lefts[node]] * numbers[rights[node]];
    else if (k === ADD) numbers[node] = numbers[lefts[node]] + numbers[rights[node]];
    else if (k === POW) numbers[node] = numbers[lefts[node]] ** numbers[rights[node]];
    else if (k === LOG) numbers[node] = Math.log(numbers[lefts[node]]);
    else if (k === EXP) numbers[node] = Math.min(Math.exp(numbers[lefts[node]]), LARGEST_FLOAT);
    else if (k >= LARGEST) numbers[node] = choiceOf(node, numbers);
  }
}

// Add the derivative of `result` to the gradient of every node; those from `from` on are 0 before. `order` has the nodes
// in the order in which Value.backward comes back through them, where that is not the order of the nodes.

function backward(result, from, order = null) {
  const kinds = kind, lefts = left, rights = right, numbers = data, gradients = gradient;
  gradients.fill(0, from, result);
  gradients[result] = 1;
  const first = order ? 0 : from;
  for (let i = order ? order.length - 1 : result; i >= first; i--) {
    const node = order ? order[i] : i, k = kinds[node], arrived = gradients[node], a = lefts[node], b = rights[node];
    if (arrived === 0) continue;
    if (k === MUL) { gradients[a] += arrived * numbers[b]; gradients[b] += arrived * numbers[a]; }
    else if (k === ADD) { gradients[a] += arrived; gradients[b] += arrived; }
    else if (k === POW) gradients[a] += arrived * slopeOfPower(numbers[a], numbers[b]);
    else if (k === LOG) gradients[a] += arrived * (1 / numbers[a]);
    else if (k === EXP) gradients[a] += arrived * numbers[node];
    else if (k === WHERE) gradients[items[numbers[a] ? b : b + 1]] += arrived;
    else if (k === DIVIDE) { gradients[a] += arrived * (1 / numbers[b]); gradients[b] += arrived * (-numbers[node] / numbers[b]); }
  }
}

const slopeOfPower = (x, exponent) => exponent === 0 ? 0 : exponent * x ** (exponent - 1);

function choiceOf(node, numbers) {
  const a = numbers[left[node]], b = numbers[right[node]];
  switch (kind[node]) {
    case LARGEST: return largestOf(node, numbers);
    case LESS: return a < b ? 1 : 0;
    case LESS_EQUAL: return a <= b ? 1 : 0;
    case WHERE: return numbers[items[right[node] + (a ? 0 : 1)]];
    default: return a / b;
  }
}

function largestOf(node, numbers) {  // a choice, not arithmetic: no gradient flows through it
  let largest = -Infinity;
  for (let i = left[node]; i < left[node] + right[node]; i++) if (numbers[items[i]] > largest) largest = numbers[items[i]];
  return largest;
}

// The same for a single node, for the panel that shows it.

function recompute(node) {
  const a = data[left[node]], b = data[right[node]];
  switch (kind[node]) {
    case ADD: return a + b;
    case MUL: return a * b;
    case POW: return a ** b;
    case LOG: return Math.log(a);
    case EXP: return Math.min(Math.exp(a), LARGEST_FLOAT);
    default: return kind[node] >= LARGEST ? choiceOf(node, data) : data[node];
  }
}

function derivative(node, side) {  // of a node to its left (0) or right (1) operand
  const a = data[left[node]], b = data[right[node]];
  switch (kind[node]) {
    case ADD: return 1;
    case MUL: return side === 0 ? b : a;
    case POW: return slopeOfPower(a, b);
    case LOG: return 1 / a;
    case EXP: return data[node];
    case WHERE: return (side === 0) === Boolean(a) ? 1 : 0;
    case DIVIDE: return side === 0 ? 1 / b : -data[node] / b;
    default: return 0;
  }
}

function operandsOf(node) {  // those through which a gradient flows: the exponent of a power is none
  switch (kind[node]) {
    case ADD: case MUL: case DIVIDE: return [left[node], right[node]];
    case POW: case LOG: case EXP: return [left[node]];
    case WHERE: return [items[right[node]], items[right[node] + 1]];
    default: return [];
  }
}

// Adam, as in microgpt/adam.py, on all parameters.

const [BETA1, BETA2, EPSILON] = [0.9, 0.999, 1e-8];

function adam(parameters, gradients, m, v, step, learningRate, weightDecay) {
  const [mShare, vShare] = [1 - BETA1 ** step, 1 - BETA2 ** step];
  for (let i = 0; i < parameters.length; i++) {
    m[i] = BETA1 * m[i] + (1 - BETA1) * gradients[i];
    v[i] = BETA2 * v[i] + (1 - BETA2) * gradients[i] ** 2;
    const mHat = m[i] / mShare, vHat = v[i] / vShare;
    parameters[i] -= learningRate * (mHat / (Math.sqrt(vHat) + EPSILON) + weightDecay[i] * parameters[i]);
  }
}

// From the file to the arrays: gzip and base64 of all of them, one after the other. Integers stand there byte by byte
// (the lowest bytes of all first), as the difference to the one before, operands to the one before of the same kind.

async function unpacked(text, layout) {
  if (typeof DecompressionStream === "undefined") throw new Error("this browser has no DecompressionStream, so it cannot unpack the numbers of the page. Chrome and Edge have it since version 80, Safari since 16.4, Firefox since 113.");
  const characters = atob(text), packed = new Uint8Array(characters.length);
  for (let i = 0; i < packed.length; i++) packed[i] = characters.charCodeAt(i);
  const bytes = await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
  const arrays = {};
  let at = 0;
  for (const [name, type, count] of layout) {
    const size = { float64: 8, float32: 4, int32: 4, uint8: 1 }[type] * count;
    const part = bytes.slice(at, at + size);
    at += size;
    arrays[name] = type === "int32" ? fromPlanes(new Uint8Array(part), count)
      : new { float64: Float64Array, float32: Float32Array, uint8: Uint8Array }[type](part);
  }
  for (const name of ["members", "items", "choices", "tables", "order"]) for (let i = 1; i < arrays[name]?.length; i++) arrays[name][i] += arrays[name][i - 1];
  for (const name of ["left", "right"]) arrays[name] = byKind(arrays[name], arrays.kind);
  return arrays;
}

function fromPlanes(bytes, count) {
  const integers = new Int32Array(count);
  for (let i = 0; i < count; i++) integers[i] = bytes[i] | bytes[count + i] << 8 | bytes[2 * count + i] << 16 | bytes[3 * count + i] << 24;
  return integers;
}

function byKind(differences, kinds) {
  const next = new Int32Array(KINDS + 1), before = new Int32Array(KINDS + 1), operands = new Int32Array(kinds.length);
  for (let node = 0; node < kinds.length; node++) next[kinds[node] + 1]++;
  for (let k = 1; k < KINDS; k++) next[k] += next[k - 1];
  for (let node = 0; node < kinds.length; node++) operands[node] = before[kinds[node]] += differences[next[kinds[node]]++];
  return operands;
}
