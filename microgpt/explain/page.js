"use strict";
// The page: sections that show strips of numbers, and a panel in which any of them opens down to its atoms.
// All numbers are read from the arrays of graph.py; what is computed here are the formulas that the panel checks,
// chances from logits, and the lengths of vectors.

const content = JSON.parse(document.getElementById("content").textContent);
const [PARAMETER, CONSTANT, ADD, MUL, POW, LOG, EXP] = [0, 1, 2, 3, 4, 5, 6];
const LARGEST_FLOAT = Number.MAX_VALUE;
const TERMS_AT_ONCE = 40;

let data, gradient, left, right, kind;  // the graph: one entry a node
let uses, firstUse;                     // who uses a node: uses[firstUse[n]] to uses[firstUse[n + 1] - 1]
let members, stripOf, placeOf;          // nodes of the strips; of a node, its strip (-1: none) and place in it
const strips = content.strips.map(([key, position, name, start, count]) => ({ key, position, name, start, count }));
const stripAt = new Map(strips.map((strip) => [`${strip.key} ${strip.position}`, strip]));
const last = content.tokens.length - 2;  // the last position
const state = { position: Math.min(2, last), backward: false, heads: new Map(), temperature: 1, trail: [], opener: null, binary: false, closed: new Set() };

// The numbers: gzip and base64 of the arrays, one after the other.

async function unpack() {
  const packed = Uint8Array.from(atob(document.getElementById("numbers").textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const buffer = await new Response(stream).arrayBuffer();
  const n = content.nodes, m = content.members;
  let at = 0;
  const take = (type, count) => { const array = new type(buffer, at, count); at += array.byteLength; return array; };
  data = take(Float64Array, n); gradient = take(Float64Array, n);
  left = take(Int32Array, n); right = take(Int32Array, n);
  members = take(Int32Array, m); kind = take(Uint8Array, n);
  stripOf = new Int32Array(n).fill(-1); placeOf = new Int32Array(n);
  strips.forEach((strip, s) => {
    for (let i = 0; i < strip.count; i++) {
      const node = members[strip.start + i];
      if (stripOf[node] < 0 && kind[node] > CONSTANT) { stripOf[node] = s; placeOf[node] = i; }
    }
  });
  findUses(n);
}

function findUses(n) {
  firstUse = new Int32Array(n + 1);
  const each = (visit) => {
    for (let node = 0; node < n; node++) for (const operand of operandsOf(node)) visit(operand, node);
  };
  each((operand) => firstUse[operand + 1]++);
  for (let i = 0; i < n; i++) firstUse[i + 1] += firstUse[i];
  uses = new Int32Array(firstUse[n]);
  const next = firstUse.slice();
  each((operand, node) => { uses[next[operand]++] = node; });
}

function operandsOf(node) {  // those through which a gradient flows: the exponent of a power is none
  const k = kind[node];
  return k <= CONSTANT ? [] : k === ADD || k === MUL ? [left[node], right[node]] : [left[node]];
}

const countUses = (node) => firstUse[node + 1] - firstUse[node];
const usesOf = (node) => uses.subarray(firstUse[node], firstUse[node + 1]);

// The five operations and their derivatives: all the arithmetic there is.

function recompute(node) {
  const a = data[left[node]], b = data[right[node]];
  switch (kind[node]) {
    case ADD: return a + b;
    case MUL: return a * b;
    case POW: return a ** b;
    case LOG: return Math.log(a);
    case EXP: return Math.min(Math.exp(a), LARGEST_FLOAT);
    default: return data[node];
  }
}

function derivative(node, side) {  // of a node to its left (0) or right (1) operand
  const a = data[left[node]], b = data[right[node]];
  switch (kind[node]) {
    case ADD: return 1;
    case MUL: return side === 0 ? b : a;
    case POW: return b * a ** (b - 1);
    case LOG: return 1 / a;
    case EXP: return data[node];
    default: return 0;
  }
}

function received(node) {  // what all users of a node send back to it
  if (node === members[stripAt.get(`loss ${last}`).start]) return 1;
  let sum = 0;
  usesOf(node).forEach((user, i, all) => {
    if (i > 0 && all[i - 1] === user) return;  // a node used twice by the same user is listed twice
    operandsOf(user).forEach((operand, side) => { if (operand === node) sum += derivative(user, side) * gradient[user]; });
  });
  return sum;
}

// A sum of many terms is one thing to think of, though it is many additions.

function termsOf(node) {
  const terms = [], stack = [node];
  while (stack.length) {
    const one = stack.pop();
    const inner = one === node || (kind[one] === ADD && stripOf[one] < 0 && countUses(one) === 1);
    if (inner) stack.push(right[one], left[one]);
    else if (!(kind[one] === CONSTANT && data[one] === 0)) terms.push(one);  // sum() begins with 0
  }
  return terms;
}

const isTermProduct = (node) => kind[node] === MUL && stripOf[node] < 0 && countUses(node) === 1;

// Characters, numbers and names in words.

const NAMED = { "\n": "newline", " ": "space", "\t": "tab", "\u00a0": "no-break space", "\u200d": "joiner" };

function show(character) {  // a character that one can see, whatever it is
  if (NAMED[character]) return NAMED[character] === "newline" ? "⏎" : NAMED[character] === "space" ? "␣" : NAMED[character];
  if (/[\p{C}\p{Z}]/u.test(character)) return "U+" + character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
  return /\p{M}/u.test(character) ? "◌" + character : character;
}

const char = (id) => show(content.vocabulary[id]);
const quoted = (id) => `‘${NAMED[content.vocabulary[id]] ?? char(id)}’`;
const place = (position) => `position ${position} ${quoted(content.tokens[position])}`;

function short(x) {  // for a cell
  if (x === 0) return "0";
  const size = Math.abs(x);
  const text = size >= 9999.5 || size < 0.00095 ? size.toExponential(0) : size >= 100 ? size.toFixed(0) : size >= 10 ? size.toFixed(1) : size < 0.00995 ? size.toFixed(3).slice(1) : size.toFixed(2);
  return (x < 0 ? "−" : "") + text.replace("e-", "e−").replace("e+", "e");
}

function precise(x) {  // for the panel
  const size = Math.abs(x);
  const text = x === 0 ? "0" : Number.isInteger(x) && size < 1e6 ? String(size) : size >= 1e6 || size < 1e-4 ? size.toExponential(5) : size.toPrecision(6);
  return (x < 0 ? "−" : "") + text.replace("e-", "e−").replace("e+", "e");
}

function parameterName(node) {
  let start = 0;
  for (const [name, shape] of content.tensors) {
    const size = shape.reduce((a, b) => a * b, 1);
    if (node < start + size) {
      const entry = node - start;
      const index = shape.length === 1 ? [entry] : [Math.floor(entry / shape[1]), entry % shape[1]];
      const of = name === "wte.weight" ? `, for ${quoted(index[0])}` : name === "wpe.weight" ? `, for position ${index[0]}` : "";
      return `parameter ${name}[${index.join(", ")}]${of}`;
    }
    start += size;
  }
}

const KIND_WORDS = { [MUL]: "a product in", [POW]: "a power in", [LOG]: "a logarithm in", [EXP]: "an exponential in" };

function nameOf(node) {
  if (kind[node] === PARAMETER) return parameterName(node);
  if (kind[node] === CONSTANT) return `the constant ${precise(data[node])}`;
  if (stripOf[node] >= 0) return nameIn(strips[stripOf[node]], placeOf[node]);
  let user = node;  // unnamed: a step on the way to the nearest number that has a name
  while (stripOf[user] < 0) user = uses[firstUse[user]];
  const words = KIND_WORDS[kind[node]] ?? (kind[uses[firstUse[node]]] === ADD ? "a partial sum in" : "the sum in");
  return `${words} ${nameIn(strips[stripOf[user]], placeOf[user])}`;
}

const nameIn = (strip, i) => strip.name
  .replace("{here}", () => place(strip.position))
  .replace("{there}", () => place(i))
  .replace("{number}", i)
  .replace("{character}", () => quoted(i));

// Elements.

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

const shown = (node) => (state.backward ? gradient : data)[node];

function cell(target, strongest, { label = null, top = null } = {}) {  // target: a node, or part of a sum {node, from, to}
  const value = valueOf(target);
  const title = `${state.backward ? "gradient of " : ""}${label ?? titleOf(target)}: ${precise(value)}`;
  return h("button", {
    type: "button", class: `cell ${value > 0 ? "plus" : value < 0 ? "minus" : ""}`, tabindex: -1, title, "aria-label": title,
    "data-target": JSON.stringify(target), style: { "--strength": strongest ? Math.min(1, Math.abs(value) / strongest).toFixed(3) : 0 },
  }, top === null ? null : h("small", { class: "char" }, top), short(value));
}

function strip(caption, targets, { narrow = false, labels = null, tops = null } = {}) {
  const strongest = targets.reduce((most, target) => Math.max(most, Math.abs(valueOf(target))), 0);
  const cells = targets.map((target, i) => cell(target, strongest, { label: labels?.[i], top: tops?.[i] }));
  if (cells.length) cells[0].tabIndex = 0;
  const what = state.backward ? "gradients" : "values";
  return h("div", { class: "strip" },
    h("div", { class: "caption" }, h("span", {}, state.backward ? `gradients of: ${caption}` : caption), h("span", {}, `strongest ${short(strongest)}`)),
    h("div", { class: `cells ${narrow ? "narrow" : ""}`, role: "group", "aria-label": `${caption}, ${cells.length} ${what}` }, cells));
}

const nodesAt = (key, position = state.position) => {
  const found = stripAt.get(`${key} ${position}`);
  return found ? Array.from(members.subarray(found.start, found.start + found.count)) : [];
};
const stripNamed = (caption, key, options) => strip(caption, nodesAt(key), options);

// A part of a sum can be opened like a number: what one head adds is part of what attention adds.

const isPart = (target) => typeof target === "object";
const partTerms = (part) => termsOf(part.node).slice(part.from, part.to);
const sumOf = (nodes) => nodes.reduce((sum, node) => sum + data[node], 0);
const valueOf = (target) => !isPart(target) ? shown(target) : state.backward ? gradient[target.node] : sumOf(partTerms(target));
const titleOf = (target) => isPart(target) ? target.name : nameOf(target);

function source(name, summary = "The lines that compute it") {
  const { code, place: where } = content.sources[name];
  const remember = (event) => (event.target.open ? state.closed.delete(name) : state.closed.add(name));
  return h("details", { class: "source", open: state.closed.has(name) ? null : "", ontoggle: remember }, h("summary", {}, summary), h("pre", {}, h("span", { class: "place" }, where), code));
}

function section(id, title, ...children) {
  return h("section", { id, "aria-labelledby": `${id}-title` }, h("h2", { id: `${id}-title` }, title), children);
}

const p = (...children) => h("p", {}, children);

function softmax(logits, temperature) {
  const greatest = Math.max(...logits);
  const weights = logits.map((logit) => Math.exp((logit - greatest) / temperature));
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / sum);
}

// The sections.

function reading() {
  const rows = [];
  for (let position = 0; position <= last; position++) {
    const next = content.tokens[position + 1];
    const chance = softmax(nodesAt("logits", position).map((node) => data[node]), 1)[next];
    const loss = nodesAt("surprise", position)[0];
    rows.push(h("tr", { class: position === state.position ? "chosen" : null },
      h("th", { scope: "row" }, h("button", { class: "link", type: "button", onclick: () => choose(position) }, `${position}`)),
      h("td", { class: "char" }, char(content.tokens[position])), h("td", { class: "number" }, String(content.tokens[position])),
      h("td", { class: "char" }, char(next)), h("td", { class: "number" }, `${(100 * chance).toFixed(1)} %`),
      h("td", { class: "number" }, opener(loss, short(data[loss])))));
  }
  const total = nodesAt("loss", last)[0];
  return section("reading", "1. What it reads, and what it has to say",
    p("To the model a character is an integer, its place in the vocabulary. At every position it reads the character there, looks back at those before, and says how likely each character is to come next. ",
      content.lines ? "The newline ⏎ is where a line begins and ends." : ""),
    p("The loss of a position is how surprised it is at the character that really comes: −log of the chance it gave to it (the natural logarithm; the unit is called a nat). The mean of them, ",
      opener(total, precise(data[total])), ", is what training makes small. Choose a position here or above; all that follows is about it."),
    source("loss"),
    h("div", { class: "scroll" }, h("table", {},
      h("thead", {}, h("tr", {}, ["position", "reads", "id", "comes next", "its chance", "loss"].map((name, i) => h("th", { scope: "col", class: [2, 4, 5].includes(i) ? "number" : null }, name)))),
      h("tbody", {}, rows))));
}

function embedding() {
  return section("embedding", "2. From a character to numbers",
    p(`The model has learned ${content.config.n_embd} numbers for every character and as many for every position. It picks the two rows and adds them: from here on, this is what it knows about ${place(state.position)}.`),
    p("The sum is called the residual stream, because everything that follows only adds to it. Orange is above zero, blue below, and the stronger the colour the larger the number; every number can be opened."),
    source("embedding"),
    stripNamed(`the row of ${quoted(content.tokens[state.position])} in wte`, "token"),
    stripNamed(`the row of position ${state.position} in wpe`, "place"),
    stripNamed("their sum: the residual stream", "embedded"));
}

function block(layer) {
  const key = `h.${layer}`, heads = content.config.n_head, h0 = state.heads.get(layer) ?? 0, head = `${key}.head.${h0}`;
  const before = layer === 0 ? "embedded" : `h.${layer - 1}.end`;
  const width = content.config.n_embd / heads;
  const positions = [...Array(state.position + 1).keys()];
  const tops = positions.map((from) => char(content.tokens[from]));
  const adds = nodesAt(`${key}.attention`);
  const part = (headIndex) => adds.map((node, i) => ({ node, from: headIndex * width, to: (headIndex + 1) * width,
    name: `block ${layer}, what head ${headIndex} adds at ${place(state.position)}, number ${i}` }));
  return section(`block-${layer}`, `${content.config.n_layer > 1 ? `3.${layer + 1}` : "3."} Block ${layer}: read from the past, then think`,
    p("A block does two things, and adds the result of each to the residual stream. Attention lets this position read from itself and from those before it. The MLP then works on what was read, at this position alone."),
    source("block"),
    h("h3", {}, "Layer norm before attention"),
    p("The numbers are brought to mean 0 and variance 1, so that no layer has to cope with streams that grow; then each gets a learned gain and bias."),
    source("layer_norm"),
    stripNamed("before", before), stripNamed("after", `${key}.ln_1`),
    h("h3", {}, "Attention, head by head"),
    p(`${heads === 1 ? "The head has" : `Each of the ${heads} heads has`} its own ${width} numbers for what it asks (the query), what each position offers (its key), and what it hands over if asked (its value). How well a key fits the query is their dot product, the score; softmax turns scores into shares that sum to 1.`),
    source("query", "The lines that make queries, keys and values"), source("attention", "The lines that use them"), source("softmax", "Softmax"),
    h("h4", {}, `Who reads from whom: a row is the position that reads, a column the one it reads from`),
    h("div", { class: "scroll" }, h("div", { class: "triangles" }, [...Array(heads).keys()].map((i) => triangle(layer, i)))),
    h("div", { class: "heads", role: "group", "aria-label": "Head to look into" }, [...Array(heads).keys()].map((i) =>
      h("button", { type: "button", "aria-pressed": String(i === h0), onclick: () => { state.heads.set(layer, i); render(`block-${layer}`); focusHead(layer, i); } }, `head ${i}`))),
    stripNamed(`head ${h0}: query of ${place(state.position)}`, `${head}.query`, { narrow: true }),
    h("h4", {}, "keys of the positions it can see"),
    positions.map((from) => strip(place(from), nodesAt(`${head}.key`, from), { narrow: true })),
    stripNamed("scores: query · key / √" + width, `${head}.score`, { narrow: true, tops }),
    stripNamed("attention: the softmax of the scores", `${head}.attention`, { narrow: true, tops }),
    h("h4", {}, "values of the positions it can see"),
    positions.map((from) => strip(place(from), nodesAt(`${head}.value`, from), { narrow: true })),
    stripNamed("what the head reads: the mean of these values, weighted by attention", `${head}.read`, { narrow: true }),
    h("h3", {}, "What each head adds"),
    p("One matrix carries what all heads have read back into the residual stream. Its sums can be taken apart: so much of each comes from each head, the rest is the bias."),
    source("heads"),
    [...Array(heads).keys()].map((i) => strip(`from head ${i}`, part(i), { labels: part(i).map((one) => one.name) })),
    stripNamed("all heads and the bias: what attention adds", `${key}.attention`),
    stripNamed("the residual stream after attention", `${key}.middle`),
    h("h3", {}, "The MLP"),
    p(`After another layer norm, ${4 * content.config.n_embd} hidden units each look for one pattern. Gelu lets those through that found theirs and all but stops the others; what the units have to say is added to the stream.`),
    source("mlp"), source("gelu", "Gelu"),
    stripNamed("after layer norm", `${key}.ln_2`),
    stripNamed("hidden units before gelu", `${key}.hidden`), stripNamed("hidden units after gelu", `${key}.gelu`),
    stripNamed("what the MLP adds", `${key}.mlp`),
    h("h3", {}, "The residual stream so far"),
    growing(layer));
}

function growing(layer) {
  const stages = [["embedding", "embedded"]];
  for (let i = 0; i <= layer; i++) stages.push([`+ attention of block ${i}`, `h.${i}.middle`], [`+ MLP of block ${i}`, `h.${i}.end`]);
  const sizes = stages.map(([, key]) => Math.sqrt(nodesAt(key).reduce((sum, node) => sum + shown(node) ** 2, 0)));
  return [
    p(state.backward ? "How long the gradient is at each stage, as a vector:" : "How long it is, as a vector, after each addition:"),
    bars(stages.map(([name], i) => ({ name, size: sizes[i] }))),
    stripNamed("the stream after this block", `h.${layer}.end`)];
}

function triangle(layer, head) {
  const tokens = content.tokens.slice(0, last + 1);
  const name = `block ${layer}, head ${head}`;
  const rows = tokens.map((token, from) => nodesAt(`h.${layer}.head.${head}.attention`, from));
  const strongest = state.backward ? rows.flat().reduce((most, node) => Math.max(most, Math.abs(gradient[node])), 0) : 1;
  const table = h("table", { class: "triangle" },
    h("caption", {}, `head ${head}`),
    h("thead", {}, h("tr", {}, h("td", {}), tokens.map((token) => h("th", { scope: "col", class: "char" }, char(token))))),
    h("tbody", { role: "group", "aria-label": `${name}, attention from row to column` }, rows.map((nodes, from) =>
      h("tr", { class: from === state.position ? "chosen" : null }, h("th", { scope: "row", class: "char" }, char(tokens[from])),
        nodes.map((node) => h("td", {}, cell(node, strongest)))))));
  table.querySelector(".cell").tabIndex = 0;
  return table;
}

function logits() {
  const nodes = nodesAt("logits"), next = content.tokens[state.position + 1];
  const rows = h("div", { class: "bars", id: "chances" });
  const value = h("output", { for: "temperature" });
  const draw = () => {
    const chances = softmax(nodes.map((node) => data[node]), state.temperature);
    value.textContent = state.temperature.toFixed(2);
    const order = nodes.map((_, i) => i).sort((a, b) => chances[b] - chances[a]);
    rows.replaceChildren(...order.map((i) => h("button", { type: "button", class: `row ${i === next ? "true" : ""}`, "data-target": String(nodes[i]), "data-chance": chances[i],
      "aria-label": `${quoted(i)}: ${(100 * chances[i]).toFixed(2)} percent, logit ${precise(data[nodes[i]])}${i === next ? ", the character that really comes" : ""}` },
      h("span", { class: "char" }, char(i)),
      h("span", { class: "track" }, h("span", { class: "fill", style: { display: "block", width: `${100 * chances[i]}%` } })),
      h("span", {}, `${(100 * chances[i]).toFixed(2)} %${i === next ? " ← comes next" : ""}`))));
  };
  const slider = h("input", { type: "range", id: "temperature", min: 0.1, max: 3, step: 0.05, value: state.temperature,
    oninput: (event) => { state.temperature = Number(event.target.value); draw(); } });
  draw();
  return section("logits", "4. What comes next",
    p("After a last layer norm, the stream is compared with the embedding of every character: the dot product of the two is that character's logit. Softmax turns logits into chances."),
    p("Sampling can divide the logits by a temperature first: below 1 the likely becomes likelier, above 1 all become more alike. The loss is taken at temperature 1."),
    source("logits"), source("cross_entropy", "The loss"),
    stripNamed("after the final layer norm", "ln_f"),
    strip("logits", nodes, { tops: content.vocabulary.map((_, i) => char(i)) }),
    h("div", { class: "slider" }, h("label", { for: "temperature" }, "temperature"), slider, value),
    rows);
}

function backward() {
  let start = 0;
  const tensors = content.tensors.map(([name, shape]) => {
    const size = shape.reduce((a, b) => a * b, 1);
    let squares = 0;
    for (let i = start; i < start + size; i++) squares += gradient[i] ** 2;
    start += size;
    return { name: `${name} [${shape.join(" × ")}]`, size: Math.sqrt(squares) };
  });
  const inputs = content.tokens.slice(0, last + 1).map((token, position) => ({
    name: `${position} ${quoted(token)}`, size: Math.sqrt(nodesAt("embedded", position).reduce((sum, node) => sum + gradient[node] ** 2, 0)) }));
  const most = inputs.reduce((a, b) => (b.size > a.size ? b : a));
  return section("backward-pass", "5. Backward: who is to blame",
    p("The gradient of a number says how much the loss would grow if that number grew a little. It begins as 1 at the loss and flows back: every operation passes to its operands what reached it, times its own derivative to them."),
    p("The switch shows gradients in all strips in place of values. ", h("button", { type: "button", class: "more", onclick: toggleBackward }, state.backward ? "Show values again" : "Show gradients")),
    source("backward", "The whole of it, from value.py"),
    h("h3", {}, "How large the gradient is in each part of the network"),
    p("The length of each tensor's gradient, as a vector. Where it is almost nothing, the loss does not notice that part; where it is huge, a small change there changes everything."),
    bars(tensors),
    h("h3", {}, "Which characters the loss depends on most"),
    p(`The length of the gradient at the embedding of each position. Here the loss of the whole text depends most on position ${most.name}: it reads that character itself, and all later positions may look back at it.`),
    bars(inputs),
    h("h3", {}, "What training does with it"),
    p("Adam moves every parameter against its gradient, in units of the gradient's usual size; weight decay pulls it a little towards 0."),
    source("adam"));
}

function bars(rows) {
  const largest = Math.max(...rows.map((row) => row.size));
  return h("div", { class: "bars" }, rows.map((row) => h("div", { class: "row" }, h("span", {}, row.name),
    h("span", { class: "track" }, h("span", { class: "fill", style: { display: "block", width: `${largest ? (100 * row.size) / largest : 0}%` } })),
    h("span", {}, row.text ?? short(row.size)))));
}

const OPERATION_NAMES = { "+": "additions", "*": "multiplications", "**": "powers", log: "logarithms", exp: "exponentials" };

function atoms() {
  const total = Object.values(content.counts).reduce((a, b) => a + b, 0);
  return section("atoms", "6. The atoms",
    p(`All of this was ${total.toLocaleString("en")} operations on ${content.parameters.toLocaleString("en")} parameters, and of five kinds only. Nothing else has a derivative here; softmax, layer norm and attention are made of them.`),
    bars(Object.entries(content.counts).map(([name, size]) => ({ name: `${name}  ${OPERATION_NAMES[name]}`, size, text: size.toLocaleString("en") }))),
    h("h3", {}, "What the compiler makes of them"),
    p(`Training does not go through them one by one. The compiler runs the same functions once, on scalars without a value, and finds which operations are alike: they become ${content.instructions.length} instructions on arrays, ${content.instructions.filter((one) => one.operation === "product").length} of them matrix products. A row of this table is one loop over all its numbers, at all positions at once; beside it stand the first eight at this position.`),
    h("div", { class: "scroll" }, h("table", { class: "instructions" },
      h("thead", {}, h("tr", {}, ["", "instruction", "what it computes here", "its source line"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, content.instructions.map((one, i) => h("tr", {},
        h("td", { class: "number" }, String(i)),
        h("td", {}, h("strong", {}, one.operation), ` of ${one.rows.toLocaleString("en")}`, h("br"), one.of),
        h("td", {}, computed(one.keys)),
        h("td", {}, h("code", {}, one.code), h("br"), h("span", { class: "note" }, one.place))))))));
}

function computed(keys) {
  const key = keys.find((one) => stripAt.has(`${one} ${state.position}`)) ?? (keys.includes("loss") ? "loss" : null);
  if (!key) return h("span", { class: "note" }, "a step on the way");
  const nodes = nodesAt(key, key === "loss" ? last : state.position).slice(0, 8);
  const { name } = stripAt.get(`${key} ${key === "loss" ? last : state.position}`);
  const words = name.replace(", number {number}", "").replace(" {number}", "").replace(/ (at|after|from|to|of) \{\w+\}/g, "");
  return strip(words + (keys.length > 1 ? `, and ${keys.length - 1} more like it` : ""), nodes);
}

function theRun() {
  const run = content.run;
  const facts = Object.entries(run.settings).filter(([, value]) => value !== null && value !== false);
  return section("run", "7. The run that made it",
    p(`The model is ${run.name}`, run.data ? `, trained on ${run.data}` : "", run.step === undefined ? ". It was saved by another program, which left no record of the training." : `: the parameters after step ${run.step.toLocaleString("en")}, with a validation loss of ${run.loss.toFixed(4)} nats per character on text held out from training.`),
    run.curve.length > 1 ? curve(run.curve) : null,
    run.samples.length ? [h("h3", {}, "What it wrote then"), h("ul", { class: "samples" }, run.samples.map((text) => h("li", { dir: "auto" }, text || "(nothing)")))] : null,
    facts.length ? [h("h3", {}, "Settings"), h("div", { class: "scroll" }, h("table", {}, h("tbody", {}, facts.map(([name, value]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, String(value)))))))] : null);
}

function curve(rows) {
  const [width, height, edge] = [720, 260, 44];
  const losses = rows.flatMap(([, training, validation]) => [training, validation]).filter((x) => x !== null);
  const [low, high] = [Math.min(...losses), Math.max(...losses)], end = rows[rows.length - 1][0] || 1;
  const x = (step) => edge + (step / end) * (width - edge - 10);
  const y = (loss) => 12 + ((high - loss) / (high - low || 1)) * (height - edge - 12);
  const path = (column) => "M" + rows.filter((row) => row[column] !== null).map((row) => `${x(row[0]).toFixed(1)} ${y(row[column]).toFixed(1)}`).join("L");
  const svg = (tag, attributes, ...children) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };
  const label = (text, at, down, anchor) => svg("text", { x: at, y: down, "text-anchor": anchor }, text);
  const validated = rows.filter((row) => row[2] !== null);
  const words = `Training loss (thin blue) and validation loss (thick orange with dots) over ${end} steps: ${validated.length ? `validation from ${validated[0][2].toFixed(3)} to ${validated[validated.length - 1][2].toFixed(3)} nats per character; the best is kept` : "not validated yet"}.`;
  return h("figure", { style: { margin: "0" } },
    svg("svg", { class: "curve", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": words },
      svg("path", { d: path(1), fill: "none", stroke: "rgb(var(--minus))", "stroke-width": 1, opacity: 0.75 }),
      svg("path", { d: path(2), fill: "none", stroke: "rgb(var(--plus))", "stroke-width": 2.5 }),
      ...validated.map((row) => svg("circle", { cx: x(row[0]), cy: y(row[2]), r: 4, fill: "rgb(var(--plus))" })),
      label(high.toFixed(2), edge - 6, 18, "end"), label(low.toFixed(2), edge - 6, height - edge + 4, "end"),
      label("0", edge, height - 22, "middle"), label(`${end} steps`, width - 10, height - 22, "end")),
    h("figcaption", { class: "note" }, words));
}

// The panel: one number, what it was made of, and who uses it.

function opener(target, text) {
  return h("button", { type: "button", class: "link", "data-target": JSON.stringify(target), title: titleOf(target) }, text);
}

function open(target, { fromTrail = false } = {}) {
  if (!fromTrail) state.trail.push(target);
  const panel = document.getElementById("panel");
  panel.classList.add("opened");
  panel.replaceChildren(...panelOf(target));
  panel.scrollTop = 0;
  panel.querySelector("h2").focus({ preventScroll: true });
  const trail = panel.querySelector(".trail");
  if (trail) trail.scrollTop = trail.scrollHeight;
  if (getComputedStyle(panel).position === "fixed" && state.opener?.isConnected) {  // on a phone it must not lie under the panel
    const hidden = state.opener.getBoundingClientRect().bottom + 12 - panel.getBoundingClientRect().top;
    if (hidden > 0) window.scrollBy(0, hidden);
  }
  markOpen();
}

function close() {
  state.trail = [];
  hint();
  markOpen();
  const { opener: from } = state;
  if (from?.isConnected) from.focus();
}

function hint() {  // what stands in the panel while no number is open
  const panel = document.getElementById("panel");
  panel.classList.remove("opened");
  panel.replaceChildren(
    h("h2", {}, "Open any number"),
    p("Click one, and here stands what it is, what it was made of, and who uses it. Each operand opens in turn, down to the parameters."),
    p("By keyboard: Tab goes from strip to strip, the arrow keys from number to number and from position to position, Enter opens, Backspace goes a step back, Escape closes."));
}

function back() {
  if (state.trail.length < 2) return close();
  state.trail.pop();
  open(state.trail[state.trail.length - 1], { fromTrail: true });
}

function markOpen() {
  const target = state.trail.length ? JSON.stringify(state.trail[state.trail.length - 1]) : null;
  document.querySelectorAll("main .cell.open").forEach((element) => element.classList.remove("open"));
  if (target) document.querySelectorAll("main .cell").forEach((element) => element.classList.toggle("open", element.dataset.target === target));
}

function panelOf(target) {
  const node = isPart(target) ? target.node : target;
  const value = isPart(target) ? sumOf(partTerms(target)) : data[node];
  const trail = state.trail.map((step, i) => h("li", {}, i === state.trail.length - 1 ? titleOf(step) : h("button", { type: "button", class: "link",
    onclick: () => { state.trail.length = i + 1; open(step, { fromTrail: true }); } }, titleOf(step))));
  return [
    h("div", { class: "tools" },
      h("button", { type: "button", id: "back", onclick: back, disabled: state.trail.length < 2 ? "" : null }, "← back"),
      h("button", { type: "button", id: "close", onclick: close }, "close")),
    trail.length > 1 ? h("ol", { class: "trail", "aria-label": "How you came here" }, trail) : null,
    h("h2", { tabindex: -1, id: "opened" }, titleOf(target)),
    h("dl", {},
      h("dt", {}, "value"), h("dd", { class: "big", id: "value", "data-exact": value }, precise(value)),
      h("dt", {}, "gradient"), h("dd", { id: "gradient", "data-exact": gradient[node] }, precise(gradient[node]),
        kind[node] === CONSTANT ? null : h("br"), kind[node] === CONSTANT ? null : h("span", { class: "note" }, `If it grew by 0.001, the loss would ${gradient[node] < 0 ? "fall" : "grow"} by about ${precise(Math.abs(gradient[node]) / 1000)}.`))),
    ...madeOf(target, node), ...usedBy(target, node)].flat().filter(Boolean);
}

function madeOf(target, node) {
  if (isPart(target)) return sumPanel(partTerms(target), node, "This is part of the sum that attention adds: the products of this head's numbers.", target);
  switch (kind[node]) {
    case PARAMETER: return [p("A parameter: learned, not computed. Here the way down ends. Training moves it against its gradient.")];
    case CONSTANT: return [p("A constant: it was written in the source, given as the weight of a prediction, or read off (the largest of some numbers, which softmax subtracts). Its gradient counts the sums and products that use it.")];
    case ADD: {
      const terms = termsOf(node);
      const many = terms.length > 2 || terms.some(isTermProduct);
      return many && !state.binary ? sumPanel(terms, node, null, target) : operandTable(node, "+", many);
    }
    case MUL: return operandTable(node, "×");
    case POW: return operandTable(node, `to the power of ${precise(data[right[node]])}`);
    case LOG: return operandTable(node, "log");
    default: return operandTable(node, "exp");
  }
}

const number = (node) => {
  const value = data[node];
  return h("button", { type: "button", class: `cell ${value > 0 ? "plus" : value < 0 ? "minus" : ""}`, "data-target": String(node), title: nameOf(node), "aria-label": `${nameOf(node)}: ${precise(value)}`, style: { "--strength": 0.35 } }, precise(value));
};

function sumPanel(terms, node, words, target) {
  const products = terms.filter(isTermProduct).length;
  const computed = sumOf(terms);
  const kindOfSum = products === terms.length ? `a dot product: the sum of ${terms.length} products` : products ? `a sum of ${terms.length} terms, ${products} of them products` : `a sum of ${terms.length} terms`;
  const factor = (term, side) => [number(operandsOf(term)[side]), h("small", {}, precise(derivative(term, side) * gradient[node]))];
  const rows = (from) => terms.slice(from, from + TERMS_AT_ONCE).map((term) => isTermProduct(term)
    ? h("tr", {}, h("td", {}, factor(term, 0)), h("td", {}, "×"), h("td", {}, factor(term, 1)), h("td", {}, "="), h("td", {}, number(term), h("small", {}, precise(gradient[node]))))
    : h("tr", {}, h("td", { colspan: 4 }, opener(term, nameOf(term))), h("td", {}, number(term), h("small", {}, precise(gradient[node])))));
  const body = h("tbody", {}, rows(0));
  const more = (from) => terms.length > from ? h("button", { type: "button", class: "more", onclick: (event) => { body.append(...rows(from)); event.target.replaceWith(more(from + TERMS_AT_ONCE) ?? ""); } }, `${terms.length - from} more`) : null;
  return [
    h("h4", {}, "Made of"), p(words ?? `It is ${kindOfSum}.`),
    h("div", { class: "formula" }, terms.slice(0, 3).flatMap((term, i) => [i ? " + " : "", isTermProduct(term) ? [number(left[term]), " × ", number(right[term])] : number(term)]), terms.length > 3 ? ` + … = ` : " = ", h("strong", { id: "recomputed", "data-exact": computed }, precise(computed))),
    p(h("span", { class: "note" }, "Under each number: the gradient that flows to it. The derivative of a sum to each of its terms is 1; of a product to a factor it is the other factor.")),
    h("div", { class: "scroll" }, h("table", { class: "operands" }, body)),
    more(TERMS_AT_ONCE),
    isPart(target) ? null : h("button", { type: "button", class: "more", id: "binary", onclick: () => { state.binary = true; open(target, { fromTrail: true }); } }, "as single additions")];
}

function operandTable(node, sign, expandable = false) {
  const operands = operandsOf(node);
  const computed = recompute(node);
  const formula = operands.length === 2 ? [number(operands[0]), ` ${sign} `, number(operands[1])] : sign.startsWith("to") ? [number(operands[0]), ` ${sign}`] : [`${sign} of `, number(operands[0])];
  return [
    h("h4", {}, "Made of"),
    h("div", { class: "formula" }, formula, " = ", h("strong", { id: "recomputed", "data-exact": computed }, precise(computed))),
    operands.map((operand, side) => h("div", { class: "operand" }, opener(operand, nameOf(operand)),
      h("dl", {}, h("dt", {}, "value"), h("dd", {}, precise(data[operand])),
        h("dt", {}, "local derivative"), h("dd", {}, precise(derivative(node, side))),
        h("dt", {}, "gradient that flows there"), h("dd", {}, precise(derivative(node, side) * gradient[node]))))),
    expandable ? h("button", { type: "button", class: "more", id: "binary", onclick: () => { state.binary = false; open(state.trail[state.trail.length - 1], { fromTrail: true }); } }, "as one sum") : null];
}

function usedBy(target, node) {
  if (isPart(target)) return [];
  const users = [...new Set(usesOf(node))];
  if (!users.length) return [h("h4", {}, "Used by"), p(kind[node] > CONSTANT ? "Nothing: this is the result, and its gradient is 1." : "Nothing here needs it but as an exponent, if at all; no gradient flows to it.")];
  const sent = (user) => operandsOf(user).reduce((sum, operand, side) => sum + (operand === node ? derivative(user, side) * gradient[user] : 0), 0);
  const rows = (from) => users.slice(from, from + 12).map((user) => h("tr", {}, h("td", {}, opener(user, nameOf(user))), h("td", { class: "number" }, precise(sent(user)))));
  const body = h("tbody", {}, rows(0));
  const more = (from) => users.length > from ? h("button", { type: "button", class: "more", onclick: (event) => { body.append(...rows(from)); event.target.replaceWith(more(from + 12) ?? ""); } }, `${users.length - from} more`) : null;
  return [
    h("h4", {}, users.length === 1 ? "Used once" : `Used by ${users.length} operations`),
    h("table", { class: "operands" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "by"), h("th", { scope: "col", class: "number" }, "sends back"))), body),
    more(12),
    p(h("span", { class: "note" }, "Their sum is the gradient: "), h("strong", { id: "received", "data-exact": received(node) }, precise(received(node))))];
}

// What the reader does.

function choose(position) {
  state.position = Math.max(0, Math.min(last, position));
  render();
}

function toggleBackward() {
  state.backward = !state.backward;
  render();
}

function focusHead(layer, i) {
  document.querySelectorAll(`#block-${layer} .heads button`)[i].focus();
}

function bar() {
  const tabs = content.tokens.slice(0, last + 1).map((token, position) => h("button", { type: "button", role: "radio", "aria-checked": String(position === state.position), tabindex: position === state.position ? 0 : -1,
    "aria-label": place(position), onclick: () => { choose(position); focusPosition(); } }, h("span", { class: "char" }, char(token)), h("small", {}, String(position))));
  const list = document.querySelector(".positions");
  list.replaceChildren(...tabs);
  const chosen = tabs[state.position];
  list.scrollLeft = chosen.offsetLeft - list.offsetLeft - (list.clientWidth - chosen.offsetWidth) / 2;
  document.getElementById("backward").setAttribute("aria-checked", String(state.backward));
}

const focusPosition = () => document.querySelector(".positions [aria-checked=true]").focus({ preventScroll: true });

function sections() {
  return [reading(), embedding(), ...[...Array(content.config.n_layer).keys()].map(block), logits(), backward(), atoms(), theRun()];
}

function render(only) {
  const main = document.getElementById("main");
  const fresh = sections();
  const focused = keyOf(document.activeElement), opener = keyOf(state.opener);
  if (only) main.querySelector(`#${only}`).replaceWith(fresh.find((one) => one.id === only));
  else {
    const headings = () => [...main.querySelectorAll("h2, h3, h4")];
    const at = headings().findLastIndex((heading) => heading.getBoundingClientRect().top < innerHeight / 2);
    const top = headings()[at]?.getBoundingClientRect().top;
    main.replaceChildren(...fresh);
    if (at >= 0) window.scrollBy(0, headings()[at].getBoundingClientRect().top - top);  // what one reads stays where it is
    bar();
  }
  found(focused)?.focus({ preventScroll: true });
  state.opener = found(opener) ?? state.opener;
  markOpen();
}

// A control of a section, by what it says: so that it can be found again after the section was made anew.
const keyOf = (element) => element?.closest?.("main") ? { section: element.closest("section").id, says: saying(element) } : null;
const saying = (element) => element.dataset.target ?? element.id + element.className + element.textContent.replace(/^(Show).*/, "$1");
const found = (key) => key && [...document.querySelectorAll(`#${key.section} :is(button, input, summary)`)].find((one) => saying(one) === key.says);

function move(event) {  // arrow keys: from cell to cell of a strip, or from position to position
  const group = event.target.closest(".cells, .triangle tbody");
  const steps = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1], Home: [-Infinity, 0], End: [Infinity, 0] }[event.key];
  if (!steps) return;
  if (event.target.closest(".positions")) {
    choose(state.position + steps[0] + steps[1]);
    focusPosition();
    return event.preventDefault();
  }
  if (!group) return;
  const cells = [...group.querySelectorAll(".cell")], at = cells.indexOf(event.target);
  if (at < 0) return;
  let next = cells[Math.max(0, Math.min(cells.length - 1, at + steps[0]))];
  if (steps[1]) {
    const here = event.target.getBoundingClientRect();
    const ahead = cells.filter((one) => steps[1] * (one.getBoundingClientRect().top - here.top) > here.height / 2);
    const distance = (one) => { const box = one.getBoundingClientRect(); return Math.abs(box.top - here.top) * 1e3 + Math.abs(box.left - here.left); };
    next = ahead.reduce((best, one) => (!best || distance(one) < distance(best) ? one : best), null) ?? event.target;
  }
  cells.forEach((one) => { one.tabIndex = -1; });
  next.tabIndex = 0;
  next.focus();
  event.preventDefault();
}

function listen() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-target]");
    if (!button) return;
    const inPanel = button.closest("#panel");
    if (!inPanel) { state.opener = button; state.trail = []; }
    open(JSON.parse(button.dataset.target));
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && state.trail.length) close();
    else if (event.key === "Backspace" && event.target.closest("#panel")) { event.preventDefault(); back(); }
    else move(event);
  });
  document.getElementById("backward").addEventListener("click", toggleBackward);
}

function lead() {
  const total = Object.values(content.counts).reduce((a, b) => a + b, 0);
  const text = content.tokens.map((id) => content.vocabulary[id]).join("").replace(content.lines ? /^\n|\n$/g : /^$/, "");
  document.getElementById("what").replaceChildren("“", h("bdi", {}, [...text].map((one) => (show(one).length > 2 ? `⟨${show(one)}⟩` : show(one))).join("")), "”");
  document.title = `Every number of “${text}”`;
  document.getElementById("lead").textContent = `This is one text going through one small GPT-2: ${total.toLocaleString("en")} additions, multiplications, powers, logarithms and exponentials forward, as many steps backward, each of them here. Follow it from the top; open any number to see what made it, and what that was made of, down to the parameters that were learned.`;
}

const ready = unpack().then(() => {
  lead();
  hint();
  render();
  listen();
  document.body.dataset.ready = "yes";
});

// For the console, and for tests.
window.microgpt = { ready, content, state, open, back, close, choose, recompute, derivative, received, nameOf, termsOf, operandsOf, usesOf,
  get data() { return data; }, get gradient() { return gradient; }, get kind() { return kind; }, nodesAt };
