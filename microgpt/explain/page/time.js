// Through time: the parameters at a few steps of the training, and the prediction after each stage of the model.

const clock = { map: null };
const stepOf = (time) => time < content.times.length ? content.times[time] : content.run.step ?? 0;
const parametersAt = (time) => time < content.times.length ? program.snapshots.subarray(time * P, (time + 1) * P) : program.parameters;

function time() {
  const end = content.times.length;
  if (!end) return unit( p("This run has no snapshots of its parameters, so the page only has its end. ", h("a", { href: "#training" }, "Train it"), " from random parameters to watch a model become one."));
  return unit(
    p(`The run kept its parameters at ${end} steps. Move the slider: the whole page shows the model as it was then. What you changed or switched off stays so.`),
    timeSlider(),
    live(() => h("p", { id: "then", "data-loss": data[model.result] }, `After step ${stepOf(model.time).toLocaleString("en")}${model.trained ? ` and ${model.trained.toLocaleString("en")} more on this page` : ""} the loss of “${model.text}” is `, h("strong", {}, precise(data[model.result])), `; blind guessing would be log ${vocabulary.length} = ${Math.log(vocabulary.length).toFixed(3)}. It writes:`)),
    live(() => fiveSamples()),
    h("h3", {}, "How the characters found their places"),
    p("The rows of wte in the two directions in which they differ most at the end (principal components). The thin lines are their paths. Characters with the same role, such as vowels, tend to end up near each other."),
    live(() => embeddingMap()));
}

function timeSlider() {
  const end = content.times.length;
  const output = h("output", { for: "time-slider" });
  const input = h("input", { type: "range", id: "time-slider", min: 0, max: end, step: 1, value: model.time, "aria-label": "step of the training",
    oninput: (event) => { act(() => leapTo(Number(event.target.value))); } });
  const paint = () => { input.value = model.time; output.textContent = `step ${stepOf(model.time).toLocaleString("en")}`; input.setAttribute("aria-valuetext", output.textContent); };
  paint();
  painters.push(paint);
  return h("div", { class: "slider" }, h("label", { for: "time-slider" }, "time"), input, output);
}

function principal(rows) {  // the two directions in which some rows differ most, by repeated multiplication with their covariance
  const n = rows[0].length, mean = [...Array(n).keys()].map((j) => rows.reduce((sum, row) => sum + row[j], 0) / rows.length);
  const centred = rows.map((row) => mean.map((m, j) => row[j] - m));
  const directions = [];
  for (let k = 0; k < 2; k++) {
    let v = [...Array(n).keys()].map((j) => Math.sin(1 + j + 7 * k));
    for (let turn = 0; turn < 300; turn++) {
      const along = centred.map((row) => row.reduce((sum, x, j) => sum + x * v[j], 0));
      let next = v.map((_, j) => centred.reduce((sum, row, i) => sum + row[j] * along[i], 0));
      for (const d of directions) { const dot = next.reduce((sum, x, j) => sum + x * d[j], 0); next = next.map((x, j) => x - dot * d[j]); }
      const size = Math.hypot(...next) || 1;
      v = next.map((x) => x / size);
    }
    directions.push(v);
  }
  return { mean, directions };
}

function embeddingMap() {
  const n = content.config.n_embd, count = vocabulary.length, end = content.times.length, [width, height] = [640, 420];
  const rowsOf = (vector) => [...Array(count).keys()].map((id) => Array.from(vector.subarray(id * n, (id + 1) * n)));
  if (!clock.map) {
    const { mean, directions } = principal(rowsOf(program.parameters));
    const placed = (vector) => rowsOf(vector).map((row) => directions.map((d) => d.reduce((sum, x, j) => sum + x * (row[j] - mean[j]), 0)));
    const trails = [...Array(end + 1).keys()].map((t) => placed(parametersAt(t)));
    clock.map = { placed, trails };
  }
  const { placed, trails } = clock.map;
  const now = placed(data), wide = [0, 1].map((side) => 1.06 * Math.max(1e-9, ...[...trails[end], ...trails[0], ...now].map((at) => Math.abs(at[side]) || 0)));
  const x = (at) => (width / 2) * (1 + at[0] / wide[0]), y = (at) => (height / 2) * (1 - at[1] / wide[1]);
  const shown = trails.slice(0, model.time + 1);
  return svg("svg", { class: "map", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `The embeddings of ${count} characters in a plane, after step ${stepOf(model.time)}` },
    [...Array(count).keys()].map((id) => svg("path", { class: "trail", d: "M" + [...shown.map((at) => at[id]), now[id]].map((at) => `${x(at).toFixed(1)} ${y(at).toFixed(1)}`).join("L") })),
    now.map((at, id) => svg("text", { x: x(at), y: y(at) + 4, "text-anchor": "middle", class: model.tokens.includes(id) ? "here" : "", "data-id": id }, char(id))));
}

// What each stage knew.

const tensorAt = new Map();
{ let start = 0; for (const [name, shape] of content.tensors) { tensorAt.set(name, start); start += shape.reduce((a, b) => a * b, 1); } }

function lens(stream, numbers = data) {  // the logits, if the model ended with this residual stream
  const normed = finalNorm(stream, stream, true, numbers), n = stream.length, wte = tensorAt.get("wte.weight");
  return vocabulary.map((_, id) => normed.reduce((sum, x, i) => sum + x * numbers[wte + id * n + i], 0));
}

function finalNorm(vector, stream, withBias = true, numbers = data) {  // as the final layer norm treats the stream, whose part the vector is
  if (model.off.has("ln_f")) return vector;
  const mean = (v) => v.reduce((a, b) => a + b, 0) / v.length, middle = mean(stream), own = mean(vector);
  const scale = (mean(stream.map((x) => (x - middle) ** 2)) + 1e-5) ** -0.5;
  const [gain, bias] = ["ln_f.weight", "ln_f.bias"].map((name) => tensorAt.get(name));
  return vector.map((x, i) => (x - own) * scale * numbers[gain + i] + (withBias ? numbers[bias + i] : 0));
}

const numbersAt = (key) => here(key).map((node) => data[node]);

function stagesHere() {  // [name, key of the stream]
  const found = [["the embedding", "embedded"]];
  for (let i = 0; i < content.config.n_layer; i++) found.push([`+ attention of block ${i}`, `h.${i}.middle`], [`+ MLP of block ${i}`, `h.${i}.end`]);
  return found;
}

function contributions(target) {  // what each part adds to the logit of a character, in the order of the model
  const n = content.config.n_embd, wte = tensorAt.get("wte.weight"), heads = content.config.n_head, width = n / heads;
  const end = numbersAt(`h.${content.config.n_layer - 1}.end`);
  const row = [...Array(n).keys()].map((i) => data[wte + target * n + i]);
  const added = (vector) => finalNorm(vector, end, false).reduce((sum, x, i) => sum + x * row[i], 0);
  const token = numbersAt("token"), before = numbersAt("embedded");
  const found = [["the embedding of the character", added(token)], ["the embedding of the position", added(before.map((x, i) => x - token[i]))]];
  for (let layer = 0; layer < content.config.n_layer; layer++) {
    const key = `h.${layer}`, total = numbersAt(`${key}.attention`), matrix = tensorAt.get(`${key}.attn.c_proj.weight`);
    let rest = total;
    for (let head = 0; head < heads; head++) {
      const read = numbersAt(`${key}.head.${head}.read`);
      const part = model.off.has(`${key}.attention`) ? total.map(() => 0) : total.map((_, i) => read.reduce((sum, x, j) => sum + x * data[matrix + (head * width + j) * n + i], 0));
      rest = rest.map((x, i) => x - part[i]);
      found.push([`head ${head} of block ${layer}`, added(part)]);
    }
    found.push([`the bias of attention in block ${layer}`, added(rest)], [`the MLP of block ${layer}`, added(numbersAt(`${key}.mlp`))]);
  }
  const bias = model.off.has("ln_f") ? 0 : row.reduce((sum, x, i) => sum + x * data[tensorAt.get("ln_f.bias") + i], 0);
  return [...found, ["the bias of the final layer norm", bias]];
}

function stages() {
  return unit(
    p("What would the model predict if it ended here, with only the final layer norm and the logits to follow? (This is the logit lens.) The embedding of a character is most like itself, so the first row often guesses that it comes again."),
    live(() => lensTable()),
    live(() => howTypical()),
    h("h3", {}, "Who voted for what comes"),
    live(() => votes()));
}

function lensTable() {
  if (!lensIsKnown()) return p(h("span", { class: "note" }, "This section does not know the stages of this model."));
  const next = model.tokens[state.position + 1];
  return h("div", { class: "scroll" }, h("table", { class: "lens" },
    h("thead", {}, h("tr", {}, ["after", "its five likeliest", `chance of ${quoted(next)}`, "loss"].map((words, i) => h("th", { scope: "col", class: i > 1 ? "number" : null }, words)))),
    h("tbody", {}, stagesHere().map(([name, key]) => {
      const found = softmax(lens(numbersAt(key)));
      const best = found.map((_, id) => id).sort((a, b) => found[b] - found[a]).slice(0, 5);
      return h("tr", { "data-stage": key, "data-chances": JSON.stringify(found) }, h("th", { scope: "row" }, name),
        h("td", {}, best.map((id) => h("span", { class: `guess ${id === next ? "true" : ""}` }, h("span", { class: "char" }, char(id)), ` ${Math.round(100 * found[id])} %`))),
        h("td", { class: "number" }, percent(found[next])), h("td", { class: "number" }, inThatWay(-Math.log(found[next]), LOSS)));
    }))));
}

function howTypical() {  // the position, and all others of the text
  const spread = surveyed() ? spreadOfStages(survey.found) : null;
  if (!spread || !lensIsKnown()) return h("div", {});
  const share = (position) => percent(typicality(position, spread), 0);
  return h("div", { id: "typical" }, p(`Over ${theTexts()} the mean losses are ${spread.means.map((mean) => mean.toFixed(2)).join(", ")}. A position is nearer to these than so many of theirs:`),
    h("div", { class: "heads", role: "group", "aria-label": "How typical each position is" }, [...Array(model.last + 1).keys()].map((position) => button(`${position} ${char(model.tokens[position])}: ${share(position)}`, () => choose(position), { "aria-pressed": String(position === state.position) }))));
}

function strongestPushes(rows) {
  const [up, down] = [1, -1].map((sign) => rows.reduce((best, row) => (sign * row[1] > Math.max(0, sign * (best?.[1] ?? 0)) ? row : best), null)), way = wayToWrite(largestSize(rows.map(([, size]) => size)));
  return `The strongest push up: ${up ? `${up[0]}, ${push(up[1], way)}` : "none"}. The strongest push down: ${down ? `${down[0]}, ${push(down[1], way)}` : "none"}.`;
}

function votes() {
  const next = model.tokens[state.position + 1], node = here("logits")[next], rows = contributions(next), sum = rows.reduce((total, [, x]) => total + x, 0);
  if (!(Math.abs(sum - data[node]) < 1e-6 * (1 + Math.abs(data[node])))) return p(h("span", { class: "note" }, "The logits of this model are not a sum over its parts: its residual stream or layer norm is different, or a number in it was changed."));
  return h("div", { id: "votes", "data-sum": sum, "data-logit": data[node] },
    p(`So much each part pushed the logit of ${quoted(next)}, the next character, up (▲) or down (▼). They sum exactly to the logit, `, opener(node, precise(data[node])), "."),
    h("p", { id: "strongest-votes" }, strongestPushes(rows)),
    bars(rows.map(([name, size]) => ({ name, size })), { pushes: true }));
}
