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

const aboutConstant = () => "A constant of the source, or the weight of a prediction. Its gradient counts the sums and products that use it.";

function whereUsed(node) {  // of an embedding: how often, for that is why its gradient is, or is not, that of one sum
  const entry = parameterEntry(node), [row] = entry.index, reads = model.tokens.slice(0, model.last + 1).filter((one) => one === row).length;
  if (entry.name === "wpe.weight") return p(row > model.last ? `This text ends before position ${row}, so the row is not used, and its gradient is 0.`
    : `The row of a position is used once in a text, in the sum with the row of the character. A sum passes its gradient on unchanged, so this gradient is that of the sum.`);
  if (entry.name === "wte.weight") return p(`The row of a character is used wherever the text has it (here ${reads ? times(reads) : "nowhere"}), and once more at each of the ${model.last + 1} positions, where the same row makes the logit of ${quoted(row)}. The gradients from all these uses add up.`);
  return null;
}
