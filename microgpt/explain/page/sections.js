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
    p("A character is an integer (its id), its index in the vocabulary, the list of all known characters. At every position the model says how likely each next character is. ",
      lines ? "The newline ⏎ is where a line begins and ends. " : closing !== null ? "The last entry of the vocabulary, ‘end’, is not a character. It stands for the end of a text. " : ""),
    fewerPositions(),
    p("The loss is the model's surprise at the real next character: −log of its chance, in nats. Training makes the mean of the losses small: ",
      live(() => h("span", {}, opener(model.result, precise(data[model.result])))), "."),
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
    p(`The model has learned ${content.config.n_embd} numbers for every character (a row of the table wte), and as many for every position (a row of wpe). It adds the two rows.`),
    p("The sum is called the residual stream, because all later parts only add to it. Orange is above zero, blue below; a stronger colour is farther from zero."),
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
    p("Attention reads from this position and from earlier ones. The MLP then works at this position alone. Both add their results to the stream."),
    source("block"),
    h("h3", {}, "Layer norm before attention"),
    p("Each part reads the stream through a layer norm: the numbers get mean 0 and variance 1, then a learned gain and bias. The stream itself does not change."),
    source("layer_norm"),
    stripNamed("before", before), stripNamed("after", `${key}.ln_1`)
  ]], ["attention", () => [
    h("h3", {}, "Attention, head by head"),
    p(`${heads === 1 ? "The head" : `Each of the ${heads} heads`} makes ${width} numbers for its question (the query), for the offer of each position (its key), and for the answer (its value): weighted sums, with learned weights. A score is the dot product of query and key, divided by √${width}. Softmax turns scores into shares: e to the power of each, divided by their sum.`),
    p("Softmax subtracts the largest score first. This cancels in the shares, but no exponential gets too large for the computer."),
    source("query", "Queries, keys and values"), source("attention", "Attention"), source("softmax", "Softmax"),
    h("h4", {}, `Attention between positions: a row reads from the columns`),
    h("div", { class: "scroll" }, h("div", { class: "triangles" }, all.map((i) => triangle(layer, i))))
  ]], ["head", () => oneHead(layer, state.heads.get(layer) ?? 0, width)], ["added", () => {
    const adds = here(`${key}.attention`);
    const part = (head) => adds.map((node, i) => ({ node, from: head * width, to: (head + 1) * width, name: `block ${layer}, what head ${head} adds at ${place(state.position)}, number ${i}` }));
    return [
      h("h3", {}, "What each head adds"),
      p("Weighted sums of the results of all heads, plus a bias, are added to the stream. Each sum has a share from each head."),
      source("heads"),
      all.map((i) => strip(`from head ${i}`, part(i))),
      stripNamed("all heads and the bias: what attention adds", `${key}.attention`),
      stripNamed("the residual stream after attention", `${key}.middle`)
    ];
  }], ["mlp", () => [
    h("h3", {}, "The MLP"),
    p(`After another layer norm, ${4 * content.config.n_embd} hidden units each look for one pattern: a weighted sum, plus a bias. Gelu lets units above 0 through, and nearly stops the others. Weighted sums of the results are added to the stream.`),
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
    stripNamed("attention: the softmax of the scores", `${head}.attention`, { narrow: true, tops }),
    h("h4", {}, "values of the positions it can see"),
    positions.map((from) => strip(place(from), nodesAt(`${head}.value`, from), { narrow: true })),
    stripNamed("what the head reads: the mean of the values, weighted by attention", `${head}.read`, { narrow: true })
  ];
}

function growing(layer) {
  const stages = [["embedding", "embedded"]];
  for (let i = 0; i <= layer; i++) stages.push([`+ attention of block ${i}`, `h.${i}.middle`], [`+ MLP of block ${i}`, `h.${i}.end`]);
  const length = (key) => Math.sqrt(here(key).reduce((sum, node) => sum + numberOf(node, now) ** 2, 0));
  return [
    p(`How long ${state.backward ? "the gradient of the stream is at each stage" : "the stream is after each addition"} (the root of the sum of squares).`),
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
    p("After a last layer norm, the dot product of the stream with a character's row in wte is that character's logit. Softmax turns logits into chances."),
    p("A temperature divides the logits first: below 1 the likely become likelier, above 1 all become more alike."),
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
    p("The gradient of a number says how much the loss would grow if that number grew a little. It is 1 at the loss. Every operation passes its gradient to its operands, times its derivative to them."),
    p(button(state.backward ? "Show values again" : "Show gradients", toggleBackward)),
    source("backward", "Backward"),
    h("h3", {}, "How large the gradient is in each part of the network"),
    p("The tables of parameters (tensors) have GPT-2's names: wte and wpe are the embeddings, ln the layer norms, h.0 is block 0. attn.c_attn makes queries, keys and values, mlp.c_fc the hidden units; the c_proj turn results into sums for the stream. A bar is the length of a gradient: near 0, the loss hardly depends on that part."),
    live(() => bars(tensorRows(gradient))),
        h("h3", {}, "Which characters the loss depends on most"),
    live(() => p(`Here the loss of the whole text depends most on position ${most()}, by the length of the gradient at its embedding.`)),
    live(() => bars(inputs())),
    h("h3", {}, "What training does with it"),
    p("Adam moves every parameter against its gradient, in units of the gradient's usual size; weight decay pulls each weight a little towards 0. ", h("a", { href: "#training" }, "Train it"), " shows it at work."),
    source("adam", "Adam"));
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
    p(`All of this is ${total.toLocaleString("en")} operations of only five kinds, on ${P.toLocaleString("en")} parameters. Softmax, layer norm and attention are made of them.`),
    bars(counts.map(([name, size]) => ({ name: `${name}  ${OPERATION_NAMES[name]}`, size, text: size.toLocaleString("en") }))),
    h("h3", {}, "What the compiler makes of them"),
    p(`Training does not run them one by one. The compiler finds which are alike. For the text with which the page opened they become ${content.instructions.length} instructions on arrays, ${content.instructions.filter((one) => one.operation === "product").length} of them matrix products. Each is one loop over all its numbers, at all positions. The first eight of its results at this position stand beside it.`),
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
