// The sections.

function reading() {
  const rows = () => [...Array(model.last + 1).keys()].map((position) => {
    const next = model.tokens[position + 1], [loss] = nodesAt("surprise", position);
    return h("tr", { class: position === state.position ? "chosen" : null },
      h("th", { scope: "row" }, h("button", { class: "link", type: "button", onclick: () => choose(position) }, `${position}`)),
      h("td", { class: "char" }, char(model.tokens[position])), h("td", { class: "number" }, String(model.tokens[position])),
      h("td", { class: "char" }, char(next)), h("td", { class: "number" }, percent(chances(position)[next])),
      h("td", { class: "number" }, opener(loss, inThatWay(data[loss], LOSS))));
  });
  return unit(
    p("To the model a character is an integer (its id): its index in the vocabulary, the list of all known characters. At every position the model reads the character, looks back at earlier ones, and says how likely each next character is. ",
      lines ? "The newline ⏎ is where a line begins and ends. " : closing !== null ? "The last entry of the vocabulary, ‘end’, is not a character. It stands for the end of a text. " : "", "Type another text at the top of the page: every number follows."),
    fewerPositions(),
    p("The loss of a position is the model's surprise at the real next character: −log of its chance. (This is the natural logarithm; the unit is called a nat.) The surer the model was, the nearer is the loss to 0. The mean of the losses, ",
      live(() => h("span", {}, opener(model.result, precise(data[model.result])))), ", becomes small in training. Choose a position here or above; the rest of the page is about it."),
    source("loss"),
    h("div", { class: "scroll" }, h("table", {},
      h("thead", {}, h("tr", {}, ["position", "reads", "id", "comes next", "its chance", "loss"].map((name, i) => h("th", { scope: "col", class: [2, 4, 5].includes(i) ? "number" : null }, name)))),
      live(() => h("tbody", {}, rows())))));
}

function fewerPositions() {  // than the model has: why, and what follows from it
  const held = totals.length, has = content.config.n_positions;
  if (held === has) return null;
  const each = Math.round((totals[held - 1] + 1 - weightsEnd) / held / 1000) * 1000;
  return h("p", { id: "fewer-positions" }, `This page shows fewer positions than the model has: ${held} of ${has}. In a model of this size, every position takes about ${each.toLocaleString("en")} operations. A page can hold ${content.limit.toLocaleString("en")} parameters and operations together. So a text here has at most ${most()} characters. Training and writing on the page use ${held} positions, too. A smaller model has room for more: with two blocks of width 32 (--n-layer 2 --n-embd 32), for some 60 characters.`);
}

function embedding() {
  return unit(
    p(`The model has learned ${content.config.n_embd} numbers for every character, a row of a table called wte (word token embeddings), and as many for every position, a row of wpe (word position embeddings). It picks the two rows and adds them, number by number. The sum is all it knows about ${place(state.position)}.`),
    p("The sum is called the residual stream, because all later parts only add to it. Orange is above zero, blue below. A stronger colour is farther from zero; the “strongest” of a row is the number farthest from zero. You can open every number."),
    source("embedding"),
    state.backward ? p(sharedGradients()) : null,
    stripNamed(`the row of ${quoted(model.tokens[state.position])} in wte`, "token"),
    stripNamed(`the row of position ${state.position} in wpe`, "place"),
    stripNamed("their sum: the residual stream", "embedded"));
}

function sharedGradients() {  // why two of the three strips are the same
  const token = model.tokens[state.position], reads = model.tokens.slice(0, model.last + 1).filter((one) => one === token).length;
  return [
    model.off.has(`position.${state.position}`) ? "" : `These are gradients now, and those of the row in wpe equal those of the sum: the row of position ${state.position} is used once, in this sum, and a sum passes its gradient on to both terms, unchanged. `,
    `Those of the row in wte do not, because the row of ${quoted(token)} is used more often: ${times(reads)} where the text reads ${quoted(token)}, and once more at each of the ${model.last + 1} positions, where the same table makes the logits (section 4). Its gradients from all these uses add up.`];
}

const times = (count) => count === 1 ? "once" : count === 2 ? "twice" : `${count} times`;

// A block is long, so it is made in units, each of which follows by itself.

function blockUnits(layer) {  // [what it is, how to make it]
  const key = `h.${layer}`, heads = content.config.n_head, width = content.config.n_embd / heads;
  const before = layer === 0 ? "embedded" : `h.${layer - 1}.end`;
  const all = [...Array(heads).keys()];
  return [["norm", () => [
    p("A block does two things, and adds the result of each to the residual stream. Attention lets this position read from itself and from earlier ones. The MLP then works on the result, at this position alone."),
    source("block"),
    h("h3", {}, "Layer norm before attention"),
    p("The numbers get mean 0 and variance 1, so that no part has to cope with a growing stream. Then each is multiplied by a learned number, its gain, and another is added, its bias. Parts read the stream only through such a layer norm. The stream itself does not change."),
    source("layer_norm"),
    stripNamed("before", before), stripNamed("after", `${key}.ln_1`)
  ]], ["attention", () => [
    h("h3", {}, "Attention, head by head"),
    p(`${heads === 1 ? "The head has" : `Each of the ${heads} heads has`} its own ${width} numbers for its question (the query), for the offer of each position (its key), and for the answer (its value). All are weighted sums of the numbers after layer norm, with learned weights. The score of a key is its dot product with the query (number times number, added up), divided by √${width}. Softmax turns the scores into shares that are positive and sum to 1. It divides e to the power of each score by the sum of all of them.`),
    p("Before that, softmax subtracts the largest score from all scores. This changes no share: it divides all exponentials by the same number, which cancels. But it keeps them in range: e to the power of 1,000 is too large for the computer. After the shift the greatest exponent is 0, and the greatest exponential 1."),
    source("query", "The lines that make queries, keys and values"), source("attention", "The lines that use them"), source("softmax", "Softmax"),
    h("h4", {}, `Attention between positions: a row reads from the columns`),
    h("div", { class: "scroll" }, h("div", { class: "triangles" }, all.map((i) => triangle(layer, i))))
  ]], ["head", () => oneHead(layer, state.heads.get(layer) ?? 0, width)], ["added", () => {
    const adds = here(`${key}.attention`);
    const part = (head) => adds.map((node, i) => ({ node, from: head * width, to: (head + 1) * width, name: `block ${layer}, what head ${head} adds at ${place(state.position)}, number ${i}` }));
    return [
      h("h3", {}, "What each head adds"),
      p("The results of the heads stand side by side. Weighted sums of all of them, plus a bias, are added to the residual stream. (The weights are a learned table, a matrix.) Each sum has a share from each head; the rest is the bias. Orange pushes the number of the stream up, blue down."),
      source("heads"),
      all.map((i) => strip(`from head ${i}`, part(i))),
      stripNamed("all heads and the bias: what attention adds", `${key}.attention`),
      stripNamed("the residual stream after attention", `${key}.middle`)
    ];
  }], ["mlp", () => [
    h("h3", {}, "The MLP"),
    p(`MLP stands for multilayer perceptron, the oldest kind of neural network. After another layer norm, ${4 * content.config.n_embd} hidden units each look for one pattern: each is a weighted sum of all ${content.config.n_embd} numbers, plus a bias. The function gelu lets units above 0 through, and nearly stops the others. Weighted sums of its results are added to the stream.`),
    source("mlp"), source("gelu", "Gelu"),
    stripNamed("after layer norm", `${key}.ln_2`),
    stripNamed("hidden units before gelu", `${key}.hidden`), stripNamed("hidden units after gelu", `${key}.gelu`),
    stripNamed("what the MLP adds", `${key}.mlp`),
    h("h3", {}, "The residual stream so far"),
    growing(layer)
  ]]];
}

function oneHead(layer, chosen, width) {
  const key = `h.${layer}`, head = `${key}.head.${chosen}`;
  const positions = [...Array(state.position + 1).keys()], tops = positions.map((from) => char(model.tokens[from]));
  return [
    h("div", { class: "heads", role: "group", "aria-label": "Head to look into" }, [...Array(content.config.n_head).keys()].map((i) =>
      h("button", { type: "button", "aria-pressed": String(i === chosen), onclick: () => { state.heads.set(layer, i); renderUnit(`block-${layer}-head`); focusHead(layer, i); } }, `head ${i}`))),
    stripNamed(`head ${chosen}: query of ${place(state.position)}`, `${head}.query`, { narrow: true }),
    h("h4", {}, "keys of the positions it can see"),
    positions.map((from) => strip(place(from), nodesAt(`${head}.key`, from), { narrow: true })),
    stripNamed("scores: query · key / √" + width, `${head}.score`, { narrow: true, tops }),
    stripNamed("e to the power of (score − largest score)", `${head}.exp`, { narrow: true, tops }),
    stripNamed("attention: each of these divided by their sum; the softmax of the scores", `${head}.attention`, { narrow: true, tops }),
    h("h4", {}, "values of the positions it can see"),
    positions.map((from) => strip(place(from), nodesAt(`${head}.value`, from), { narrow: true })),
    stripNamed("what the head reads: the mean of these values, weighted by attention", `${head}.read`, { narrow: true })
  ];
}

function growing(layer) {
  const stages = [["embedding", "embedded"]];
  for (let i = 0; i <= layer; i++) stages.push([`+ attention of block ${i}`, `h.${i}.middle`], [`+ MLP of block ${i}`, `h.${i}.end`]);
  const length = (key) => Math.sqrt(here(key).reduce((sum, node) => sum + numberOf(node, now) ** 2, 0));
  return [
    p(`How long ${state.backward ? "the gradient of the stream is at each stage" : "the stream is after each addition"}. (The length of a vector, a list of numbers, is the root of the sum of their squares.)`),
    live(() => bars(stages.map(([name, key]) => ({ name, size: length(key) })))),
    stripNamed("the stream after this block", `h.${layer}.end`)];
}

function triangle(layer, head) {
  const tokens = model.tokens.slice(0, model.last + 1);
  const rows = tokens.map((token, from) => nodesAt(`h.${layer}.head.${head}.attention`, from));
  const made = rows.map((nodes) => cellsThatFollow(nodes, {}, () => strongest));
  let strongest = 1;
  const unit = h("span");
  const paint = () => {
    strongest = state.backward || state.compare ? largestSize(rows.flat().map((node) => valueOf(node))) : 1;
    unit.textContent = unitOf(wayToWrite(strongest)).replace(" ·", ", in units of");
    made.forEach(([, paintRow]) => paintRow());
  };
  paint();
  painters.push(paint);
  made[0][0][0].tabIndex = 0;
  return h("table", { class: "triangle" },
    h("caption", {}, `head ${head}`, unit),
    h("thead", {}, h("tr", {}, h("td", {}), tokens.map((token) => h("th", { scope: "col", class: "char" }, char(token))))),
    h("tbody", { role: "group", "aria-label": `block ${layer}, head ${head}, attention from row to column` }, made.map(([cells], from) =>
      h("tr", { class: from === state.position ? "chosen" : null }, h("th", { scope: "row", class: "char" }, char(tokens[from])),
        cells.map((one) => h("td", {}, one))))));
}

function logits() {
  const nodes = here("logits"), next = model.tokens[state.position + 1];
  let order = null;
  const rows = h("div", { class: "bars", id: "chances" });
  const made = nodes.map((node, id) => {
    const fill = h("span", { class: "fill", style: { display: "block" } }), ghost = h("span", { class: "ghost" }), words = h("span");
    const row = h("button", { type: "button", class: `row ${id === next ? "true" : ""}`, "data-target": String(node) }, h("span", { class: "char" }, char(id)), h("span", { class: "track" }, fill, ghost), words);
    return { row, fill, ghost, words };
  });
  const paint = () => {
    const found = softmax(nodes.map((node) => data[node]), state.temperature);
    const earlier = (model.pinned && state.compare ? model.pinned.chances : model.before?.chances)?.[state.position];
    made.forEach(({ row, fill, ghost, words }, id) => {
      row.dataset.chance = found[id];
      row.title = `${quoted(id)}: logit ${precise(data[nodes[id]])}`;
      fill.style.width = `${100 * found[id]}%`;
      ghost.style.left = `${100 * (earlier?.[id] ?? 0)}%`;
      ghost.hidden = !earlier;
      words.textContent = `${percent(found[id], 2)}${earlier ? ` (was ${percent(earlier[id], 1)})` : ""}${id === next ? " ← comes next" : ""}`;
    });
    const sorted = nodes.map((_, id) => id).sort((a, b) => found[b] - found[a] || a - b);
    if (order && (rows.matches(":hover") || rows.contains(document.activeElement) || String(sorted) === order)) return;  // nothing moves under the finger
    order = String(sorted);
    rows.replaceChildren(...sorted.map((id) => made[id].row));
  };
  paint();
  painters.push(paint);
  return unit(
    p("After a last layer norm, the stream is compared with the embedding of every character, its row in wte. The dot product of the two is that character's logit. Softmax turns logits into chances, as it turned scores into shares. Here and in the loss, too, the largest is subtracted first."),
    p("For writing, you can divide the logits by a temperature first. Below 1 the likely become likelier, above 1 all become more alike. The loss uses temperature 1."),
    source("logits"), source("cross_entropy", "The loss"),
    stripNamed("after the final layer norm", "ln_f"),
    strip("logits", nodes, { tops: vocabulary.map((_, i) => char(i)) }),
    slider("temperature", { id: "temperature", min: 0.1, max: 3, step: 0.05, value: state.temperature }, (value) => { state.temperature = value; paint(); }, (value) => value.toFixed(2)),
    rows);
}

const lengthOf = (nodes, numbers) => Math.sqrt(nodes.reduce((sum, node) => sum + numbers[node] ** 2, 0));

function tensorRows(numbers) {  // how long each tensor is, as a vector
  let start = 0;
  return content.tensors.map(([name, shape]) => {
    const size = shape.reduce((a, b) => a * b, 1);
    let squares = 0;
    for (let i = start; i < start + size; i++) squares += numbers[i] ** 2;
    start += size;
    return { name: `${name} [${shape.join(" × ")}]`, size: Math.sqrt(squares) };
  });
}

function backwardPass() {
  const inputs = () => model.tokens.slice(0, model.last + 1).map((token, position) => ({ name: `${position} ${quoted(token)}`, size: lengthOf(nodesAt("embedded", position), gradient) }));
  const most = () => inputs().reduce((a, b) => (b.size > a.size ? b : a)).name;
  return unit(
    p("The gradient of a number says how much the loss would grow if that number grew a little. It begins as 1 at the loss and flows back. Every operation passes its gradient on to its operands, times its own derivative to them."),
    p("“Gradients”, in the bar on top and here, shows gradients in place of values in all strips. ", button(state.backward ? "Show values again" : "Show gradients", toggleBackward)),
    source("backward", "The whole of it, from value.py"),
    h("h3", {}, "How large the gradient is in each part of the network"),
    p("The parameters lie in tables, called tensors, with GPT-2's names. wte and wpe are for characters and positions, ln_f is the final layer norm, and h.0 is block 0. In a block, ln_1 and ln_2 are the layer norms. attn.c_attn makes queries, keys and values, and attn.c_proj turns the results of the heads into a sum for the stream. mlp.c_fc makes the hidden units, and mlp.c_proj turns them into a sum for the stream. The bars are the lengths of their gradients, as vectors. If a length is almost 0, the loss hardly depends on that part. If it is huge, a small change there changes everything."),
    live(() => bars(tensorRows(gradient))),
    p("The row of a position in wpe is used once in a text, in the sum with the row of a character, so its gradient is that of the sum. The row of a character in wte is used wherever the text has that character. It is used once more at each position, for that character's logit. The gradients from all these uses add up."),
    h("h3", {}, "Which characters the loss depends on most"),
    live(() => p(`The length of the gradient at the embedding of each position. Here the loss of the whole text depends most on position ${most()}: it reads that character itself, and all later positions can look back at it.`)),
    live(() => bars(inputs())),
    h("h3", {}, "What training does with it"),
    p("Adam, the rule by which the model learns, moves every parameter against its gradient, in units of the gradient's usual size; weight decay pulls each weight a little towards 0, so that no weight stays large unless the data require it. ", h("a", { href: "#training" }, "Train it"), " shows it at work."),
    source("adam"));
}

const OPERATION_NAMES = { "+": "additions", "*": "multiplications", "**": "powers", log: "logarithms", exp: "exponentials" };

function operationCounts() {  // of the text that is read
  const counts = new Int32Array(8);
  for (let node = weightsEnd; node <= model.result; node++) counts[program.kind[node]]++;
  return Object.keys(OPERATION_NAMES).map((name, i) => [name, counts[ADD + i]]);
}

function atoms() {
  const counts = operationCounts(), total = counts.reduce((a, [, size]) => a + size, 0);
  return unit(
    p(`All of this is ${total.toLocaleString("en")} operations of only five kinds, on ${P.toLocaleString("en")} parameters. Nothing else has a derivative here; softmax, layer norm and attention are made of them. The page computes them itself, with an engine of fifty lines, each time a number changes.`),
    bars(counts.map(([name, size]) => ({ name: `${name}  ${OPERATION_NAMES[name]}`, size, text: size.toLocaleString("en") }))),
    h("h3", {}, "What the compiler makes of them"),
    p(`Training does not run them one by one. The compiler runs the same functions once, on symbolic scalars, and finds which operations are alike. They become ${content.instructions.length} instructions on arrays, ${content.instructions.filter((one) => one.operation === "product").length} of them matrix products. A row of this table is one loop over all its numbers, at all positions at once. Beside it are the first eight of its results at this position. A loop does not keep its intermediate numbers; every loop that needs them computes them again. (The table is for the text with which the page opened.)`),
    button(`${state.unfolded.has("instructions") ? "Hide" : "Show"} the ${content.instructions.length} instructions`, () => { if (!state.unfolded.delete("instructions")) state.unfolded.add("instructions"); renderUnit("atoms"); }, { id: "show-instructions", "aria-expanded": String(state.unfolded.has("instructions")) }),
    state.unfolded.has("instructions") ? instructionTable() : null);
}

function instructionTable() {
  return h("div", { class: "scroll" }, h("table", { class: "instructions" },
      h("thead", {}, h("tr", {}, ["number", "instruction", "what it computes here", "its source line"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, content.instructions.map((one, i) => h("tr", {},
        h("td", { class: "number" }, String(i)),
        h("td", {}, h("strong", {}, one.operation), ` of ${one.rows.toLocaleString("en")}`, h("br"), one.of),
        h("td", {}, computed(one, i)),
        h("td", {}, h("code", {}, one.code), h("br"), h("span", { class: "note" }, one.place)))))));
}

const called = (key, more = 1) => stripAt.get(`${key} ${state.position}`).name.replace(", number {number}", "").replace(" {number}", "").replace(/ (at|after|from|to|of) \{\w+\}/g, "") + (more > 1 ? `, and ${more - 1} more like it` : "");

function towards(i) {  // the next result with a name, to which an instruction without one leads
  for (const { keys } of content.instructions.slice(i + 1)) for (const key of keys) if (here(key).length && key !== "loss") return called(key);
  return "the loss";
}

function computed({ keys, way, code }, i) {  // the first results of an instruction, and what its loop passes through on the way to them
  const [key] = keys.filter((one) => here(one).length), [passed] = way.filter((one) => here(one).length);
  return [
    key ? strip(called(key, keys.length), here(key).slice(0, 8)) : keys.includes("loss") ? strip("the loss of the whole text", [model.result]) : h("span", { class: "note" }, `${/^(\w+) =/.exec(code)?.[1] ?? "products and sums"}: a step towards ${towards(i)}`),
    passed ? h("div", { class: "note" }, `on the way, kept nowhere: ${called(passed, way.length)}`) : null];
}

const SETTINGS = {
  documents: "how the data is read: as lines, or as one stream of prose", steps: "how often the parameters were moved", batch_size: "texts in a step",
  pool_size: "batches drawn together and dealt out by length", n_layer: "blocks", n_head: "heads in a block", n_embd: "numbers in the residual stream",
  block_size: "positions that it can look back over, itself included", learning_rate: "how far a step goes, at most", warmup: "steps until it goes so far",
  weight_decay: "how strongly every weight is pulled towards 0", grad_clip: "how long a gradient may be; a longer one is shortened", seed: "of all that is random", engine: "what computed it",
};

function theRun() {
  const run = content.run;
  const facts = Object.entries(run.settings).filter(([, value]) => value !== null && value !== false);
  return unit(
    p(`The model is ${run.name}`, run.data ? `, trained on ${run.data}` : "", run.step === undefined ? ". Another program saved it, without a record of the training." : `: the parameters after step ${run.step.toLocaleString("en")}, with a validation loss of ${run.loss.toFixed(4)} nats per character on text held out from training.`),
    run.curve.length > 1 ? curve(run.curve) : null,
    run.samples.length ? [h("h3", {}, "What it wrote then"), h("ul", { class: "samples" }, run.samples.map((text) => h("li", { dir: "auto" }, text || "(nothing)")))] : null,
    facts.length ? [h("h3", {}, "Settings"), h("div", { class: "scroll" }, h("table", {}, h("tbody", {}, facts.map(([name, value]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, String(value)), h("td", { class: "note" }, SETTINGS[name] ?? ""))))))] : null);
}

function curve(rows) {
  const [trained, validated] = [1, 2].map((column) => rows.filter((row) => row[column] !== null).map((row) => [row[0], row[column]]));
  const words = `Training loss (thin blue) and validation loss (thick orange with dots) over ${rows[rows.length - 1][0]} steps: ${validated.length ? `validation from ${validated[0][1].toFixed(3)} to ${validated[validated.length - 1][1].toFixed(3)} nats per character; the best is kept` : "not validated yet"}.`;
  return h("figure", { style: { margin: "0" } },
    chart(words, [{ points: trained, color: "rgb(var(--minus))", width: 1, opacity: 0.75 }, { points: validated, color: "rgb(var(--plus))", width: 2.5, dots: true }], { end: rows[rows.length - 1][0] || 1 }),
    h("figcaption", { class: "note" }, words));
}
