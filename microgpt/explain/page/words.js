// Characters, numbers and names in words.

const NAMED = { "\n": "newline", "\u0003": "end", " ": "space", "\t": "tab", "\u00a0": "no-break space", "\u200d": "joiner" };

function show(character) {  // a character that one can see, whatever it is
  if (NAMED[character]) return NAMED[character] === "newline" ? "⏎" : NAMED[character] === "space" ? "␣" : NAMED[character];
  if (/[\p{C}\p{Z}]/u.test(character)) return "U+" + character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
  return /\p{M}/u.test(character) ? "◌" + character : character;
}

const char = (id) => show(content.vocabulary[id]);
const quoted = (id) => `‘${NAMED[content.vocabulary[id]] ?? char(id)}’`;
const place = (position) => `position ${position} ${quoted(model.tokens[position])}`;

// Numbers side by side are written in one way: with as many digits after the point as the largest needs. If that is
// tiny or huge, all are in units of the same power of ten.

function wayToWrite(largest) {
  const size = Math.abs(largest);
  if (!(size > 0 && size < Infinity)) return { power: 0, digits: 0 };
  const power = size >= 9999.5 || size < 0.00995 ? Math.floor(Math.log10(size)) : 0, scaled = size / 10 ** power;
  return { power, digits: scaled >= 99.95 ? 0 : scaled >= 9.995 ? 1 : scaled >= 0.9995 ? 2 : 3 };
}

function inThatWay(x, { power, digits }) {
  if (!Number.isFinite(x)) return Number.isNaN(x) ? "–" : x > 0 ? "∞" : "−∞";
  const text = Math.abs(power ? x / 10 ** power : x).toFixed(digits);
  return (x < 0 && Number(text) ? "−" : "") + text;
}

const unitOf = ({ power }) => power ? ` · 10${[...String(power)].map((c) => c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c]).join("")}` : "";
const largestSize = (numbers) => numbers.reduce((most, x) => Math.abs(x) > Math.abs(most) && Number.isFinite(x) ? x : most, 0);  // with its sign
const countedSteps = (count) => `${count.toLocaleString("en")} step${count === 1 ? "" : "s"}`;
const LOSS = { power: 0, digits: 3 };

function precise(x) {  // for the panel
  if (!Number.isFinite(x)) return Number.isNaN(x) ? "not a number" : x > 0 ? "infinite" : "minus infinite";
  const size = Math.abs(x);
  const text = x === 0 ? "0" : Number.isInteger(x) && size < 1e6 ? String(size) : size >= 1e6 || size < 1e-4 ? size.toExponential(5) : size.toPrecision(6);
  return (x < 0 ? "−" : "") + text.replace("e-", "e−").replace("e+", "e");
}

function parameterEntry(node) {  // which entry of which tensor it is
  let start = 0;
  for (const [name, shape] of content.tensors) {
    const size = shape.reduce((a, b) => a * b, 1), entry = node - start;
    if (entry < size) return { name, index: shape.length === 1 ? [entry] : [Math.floor(entry / shape[1]), entry % shape[1]] };
    start += size;
  }
}

function parameterName(node) {
  const { name, index } = parameterEntry(node);
  return `parameter ${name}[${index.join(", ")}]${name === "wte.weight" ? `, for ${quoted(index[0])}` : name === "wpe.weight" ? `, for position ${index[0]}` : ""}`;
}

const FUNCTION_NAMES = { [LOG]: "log", [EXP]: "exp" };
const KIND_WORDS = { [MUL]: "a product in", [POW]: "a power in", [LOG]: "a logarithm in", [EXP]: "an exponential in", [LARGEST]: "the largest of the numbers in" };

function nameOf(node) {
  const made = program.kind[node];
  if (node === model.result) return "the loss of the whole text";
  if (made === PARAMETER) return parameterName(node);
  if (made === CONSTANT) return node < weightsEnd ? `the weight of the prediction at position ${node - P}` : `the constant ${precise(data[node])}`;
  if (stripOf[node] >= 0) return nameIn(strips[stripOf[node]], placeOf[node]);
  let user = node;  // unnamed: a step on the way to the nearest number that has a name
  while (stripOf[user] < 0 && firstUser[user] > user) user = firstUser[user];
  const words = KIND_WORDS[made] ?? (program.kind[firstUser[node]] === ADD ? "a partial sum in" : "the sum in");
  return stripOf[user] < 0 ? `${words} the loss` : `${words} ${nameIn(strips[stripOf[user]], placeOf[user])}`;
}

const nameIn = (strip, i) => strip.name
  .replace("{here}", () => place(strip.position))
  .replace("{there}", () => place(i))
  .replace("{number}", i)
  .replace("{character}", () => quoted(i));

// A sum of many terms counts as one thing, though it is many additions.

function termsOf(node) {
  const terms = [], stack = [node];
  while (stack.length) {
    const one = stack.pop();
    const inner = one === node || (kind[one] === ADD && stripOf[one] < 0 && useCount[one] === 1);
    if (inner) stack.push(right[one], left[one]);
    else if (!(kind[one] === CONSTANT && data[one] === 0)) terms.push(one);  // sum() begins with 0
  }
  return terms;
}

const isTermProduct = (node) => kind[node] === MUL && stripOf[node] < 0 && useCount[node] === 1;

