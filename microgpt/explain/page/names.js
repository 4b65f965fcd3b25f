// Many texts at once: the loss of each, what the last change did to it, what the heads read on average, and what each
// stage knew, as a mean with its spread. It is computed in slices, on numbers of its own, so that nothing has to wait.

const SLICE = 8;        // milliseconds
const survey = { texts: heldOut, own: false, found: [], before: [], version: -1, of: null, turn: 0, byChange: false, refused: "" };
const SURVEYED = ["what-if", "names", "stages"];  // the sections that show it
const surveyed = () => survey.version === model.version && survey.found.length === survey.texts.length;

function surveyLater() {  // begin anew if the numbers have changed, and go on if a section asks for it
  if (survey.version !== model.version) Object.assign(survey, { version: model.version, found: [] });
  if (survey.of !== kept) Object.assign(survey, { of: kept, before: kept?.found?.length === survey.texts.length ? kept.found : [] });
  if (!survey.turn && !trainer.playing && unfinished() && (SURVEYED.some((id) => state.shown.has(id)) || (state.trail.length && model.changes.size))) survey.turn = setTimeout(surveySome);
}

const unfinished = () => survey.found.length < survey.texts.length || (kept !== null && survey.before.length < survey.texts.length);

function surveySome() {
  survey.turn = 0;
  if (trainer.playing) return;
  const end = performance.now() + SLICE;
  for (const [list, numbers] of [[survey.found, model], [survey.before, kept]]) {
    if (numbers === null || list.length === survey.texts.length) continue;
    prepareDraft(numbers);
    while (list.length < survey.texts.length && performance.now() < end) list.push(measured(survey.texts[list.length]));
    if (numbers === kept) rewire(); else chooseOperands(model.tokens);
    if (performance.now() >= end) break;
  }
  if (unfinished()) surveyLater(); else followSurvey();
}

function followSurvey() {
  for (const id of SURVEYED) made.get(id).old ??= "paint";
  settle(onScreen);
  paintPanel();
}

function measured(tokens) {  // of one text, on the draft: {loss, stages: of each position, heads: sums and counts}
  const last = tokens.length - 2;
  readInto(draft, tokens);
  const losses = [...Array(last + 1).keys()].map((position) => draft[members[stripAt.get(`surprise ${position}`).start]]);
  return { tokens, loss: losses.reduce((a, b) => a + b, 0) / (last + 1), stages: lensIsKnown() ? losses.map((_, position) => stagesHere().map(([, key]) => lensLoss(nodesIn(key, position), tokens[position + 1]))) : [], heads: habits(tokens) };
}

const nodesIn = (key, position) => { const found = stripAt.get(`${key} ${position}`); return found ? members.subarray(found.start, found.start + found.count) : []; };
const lensIsKnown = () => tensorAt.has("wte.weight") && tensorAt.has("ln_f.bias") && stagesHere().every(([, key]) => stripAt.has(`${key} 0`));

function lensLoss(nodes, next) {  // of the next character, if the model ended with this stream
  const stream = Array.from(nodes, (node) => draft[node]), logits = lens(stream, draft), most = Math.max(...logits);
  return Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - most), 0)) + most - logits[next];
}

const HABITS = ["the character before", "the first", "itself", "the same character, earlier"];

function habits(tokens) {  // how much each head reads of them: [sums] and [counts], of all heads one after the other
  const sums = [], counts = [];
  for (const layer of layers) for (let head = 0; head < content.config.n_head; head++) {
    const sum = HABITS.map(() => 0), count = HABITS.map(() => 0);
    for (let reader = 1; reader < tokens.length - 1; reader++) {
      const nodes = nodesIn(`h.${layer}.head.${head}.attention`, reader), same = [...nodes].filter((_, from) => from < reader && tokens[from] === tokens[reader]);
      [[nodes[reader - 1]], [nodes[0]], [nodes[reader]], same].forEach((read, habit) => { if (read.length && read[0] !== undefined) { count[habit]++; for (const node of read) sum[habit] += draft[node]; } });
    }
    sums.push(sum); counts.push(count);
  }
  return { sums, counts };
}

// How typical a position is: how near its losses after each stage are to the mean of all positions of these texts.

function spreadOfStages(found) {  // mean and standard deviation after each stage, and the distances of all positions, sorted
  const all = found.flatMap(({ stages }) => stages);
  if (!all.length) return null;
  const means = all[0].map((_, s) => all.reduce((sum, row) => sum + row[s], 0) / all.length);
  const spreads = means.map((mean, s) => Math.sqrt(all.reduce((sum, row) => sum + (row[s] - mean) ** 2, 0) / all.length));
  const distance = (row) => Math.hypot(...row.map((loss, s) => (loss - means[s]) / (spreads[s] || 1)));
  return { means, spreads, distance, distances: all.map(distance).sort((a, b) => a - b), count: all.length };
}

const stagesAt = (position) => stagesHere().map(([, key]) => { const found = softmax(lens(nodesAt(key, position).map((node) => data[node]))); return -Math.log(found[model.tokens[position + 1]]); });

function typicality(position, spread) {  // the share of positions that are farther from the mean
  const own = spread.distance(stagesAt(position));
  return spread.distances.filter((one) => one > own).length / spread.count;
}

const A_FEW = 12;  // texts are enough to choose where the page opens

function typicalPosition() {  // of the text that is read
  const all = [...Array(model.last + 1).keys()].slice(model.last ? 1 : 0);  // at the first position attention has no choice
  if (!lensIsKnown() || !heldOut.length) return Math.min(2, model.last);
  prepareDraft(model);
  const spread = spreadOfStages(heldOut.slice(0, A_FEW).map(measured));
  chooseOperands(model.tokens);
  const better = (position) => stagesAt(position).every((loss, s, losses) => !s || loss < losses[s - 1]);  // each stage than the one before
  const rank = (position) => (better(position) ? 1 : 0) + typicality(position, spread);
  return all.reduce((best, position) => (rank(position) > rank(best) ? position : best));
}

// What one sees of it.

const meanLoss = (found) => found.reduce((sum, { loss, tokens }) => sum + loss * (tokens.length - 1), 0) / found.reduce((sum, { tokens }) => sum + tokens.length - 1, 0);
const theTexts = () => survey.own ? `your ${survey.texts.length} texts` : `${survey.texts.length} held-out ${kinds === "lines" ? "names" : kinds}`;

function onManyTexts() {  // what the last change did to all of them
  if (!survey.texts.length) return h("p", { class: "note" }, "The page has no other texts to judge by.");
  if (!surveyed()) return h("p", { class: "note on-many" }, `Measuring ${theTexts()} …`);
  const mean = meanLoss(survey.found), complete = kept !== null && survey.before.length === survey.found.length, before = complete ? meanLoss(survey.before) : null;
  const worse = complete ? survey.found.filter(({ loss }, i) => loss > survey.before[i].loss).length : 0, better = complete ? survey.found.filter(({ loss }, i) => loss < survey.before[i].loss).length : 0;
  return h("p", { class: "on-many", "data-mean": mean, "data-before": before }, `Over ${theTexts()}: `, complete ? [`${precise(before)} → ${precise(mean)} (`, h("strong", {}, signed(mean - before)), `). It is worse for ${worse}, better for ${better}.`] : h("strong", {}, precise(mean)), complete ? h("span", { class: "note" }, ` (by ${kept.undone ? "undoing: " : ""}${kept.what})`) : "");
}

const elsewhere = () => survey.texts.length ? onManyTexts() : null;  // for the panel

function names() {
  const list = h("textarea", { id: "own-texts", rows: 3, "aria-label": "Texts of your own, one a line", placeholder: lines ? "emma\nolivia" : "", spellcheck: "false" });
  return unit(
    p(lines ? "Names that the model never learned from, each with its loss. A click opens one." : "Pieces that the model never learned from, each with its loss. A click opens one."),
    live(onManyTexts),
    h("div", { class: "heads", role: "group", "aria-label": "Sorted by" }, live(() => h("span", { class: "heads" }, [[false, "sorted by loss"], [true, "by what the last change did"]].map(([byChange, words]) => button(words, () => { survey.byChange = byChange; follow(); }, { "aria-pressed": String(survey.byChange === byChange) }))))),
    live(theNames),
    h("details", { class: "source" }, h("summary", {}, "A list of your own"), list, button("use these", () => ownTexts(list.value), { id: "use-texts" }), " ", button("the held-out ones again", () => { Object.assign(survey, { texts: heldOut, own: false, found: [], before: [], refused: "" }); follow(); }, { id: "held-out-texts" })),
    live(() => h("p", { class: "note", id: "refused-texts" }, survey.refused)),
    h("h3", {}, "What each head reads, on average"), live(averageHabits),
    h("h3", {}, "What each stage knew, on average"), live(averageStages));
}

function theNames() {
  if (!surveyed()) return h("div", {});
  const change = (i) => survey.before.length === survey.found.length && kept ? survey.found[i].loss - survey.before[i].loss : 0;
  const order = survey.found.map((_, i) => i).sort((a, b) => (survey.byChange ? change(b) - change(a) : survey.found[a].loss - survey.found[b].loss) || a - b);
  const most = Math.max(...survey.found.map(({ loss }) => loss)), words = (tokens) => typedOf(tokens).map((id) => char(id)).join("");
  return h("div", { class: "names" }, order.map((i) => {
    const { tokens, loss } = survey.found[i], moved = change(i);
    return h("button", { type: "button", class: "name", "data-loss": loss, "data-change": moved, style: { "--share": `${100 * loss / most}%` }, onclick: () => { act(() => readTokens(tokens), true); choose(typicalPosition()); } },
      h("bdi", { class: "char" }, words(tokens)), ` ${inThatWay(loss, LOSS)}`, moved ? h("span", { class: moved > 0 ? "worse" : "better" }, ` ${moved > 0 ? "▲" : "▼"}${Math.abs(moved).toFixed(2)}`) : null);
  }));
}

function readAs(text) {  // its tokens, in other small and capital letters where only those are known; or null
  try { return encoded(text); } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return error.offer === null ? null : readAs(error.offer);
  }
}

function ownTexts(typedIn) {  // those that can be read; of the others it says which
  const found = [], refused = [];
  for (const text of new Set(typedIn.split(lines ? /[\s,;]+/ : "\n").filter(Boolean))) { const tokens = readAs(text); if (tokens) found.push(tokens); else refused.push(text); }
  if (found.length) Object.assign(survey, { texts: found, own: true, found: [], before: [] });
  survey.refused = `${found.length ? "" : "None of these can be read, so the list stays. "}${refused.length && found.length ? `Left out, as the model cannot read them: ${refused.slice(0, 10).join(", ")}${refused.length > 10 ? ` and ${refused.length - 10} more` : ""}.` : ""}`;
  follow();
}

function averageHabits() {
  if (!surveyed()) return h("div", {});
  const each = (index, habit) => { const [sum, count] = ["sums", "counts"].map((which) => survey.found.reduce((total, { heads }) => total + heads[which][index][habit], 0)); return count ? percent(sum / count, 0) : "–"; };
  const all = layers.flatMap((layer) => [...Array(content.config.n_head).keys()].map((head) => `block ${layer}, head ${head}`));
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "What each head reads" }, h("table", { id: "habits" }, h("thead", {}, h("tr", {}, ["head", ...HABITS].map((words, i) => h("th", { scope: "col", class: i ? "number" : null }, words)))),
    h("tbody", {}, all.map((name, index) => h("tr", {}, h("th", { scope: "row" }, name), HABITS.map((_, habit) => h("td", { class: "number" }, each(index, habit))))))));
}

function averageStages() {
  const spread = surveyed() ? spreadOfStages(survey.found) : null;
  if (!spread) return h("div", {});
  const most = Math.max(...spread.means);
  return h("div", { id: "mean-stages" }, bars(stagesHere().map(([name], s) => ({ name, size: spread.means[s], text: `${spread.means[s].toFixed(2)} ± ${spread.spreads[s].toFixed(2)}` }))),
    p(h("span", { class: "note" }, `The loss after each stage: the mean over ${spread.count} positions, and the standard deviation between them.`)));
}
