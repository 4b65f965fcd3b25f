// Train the model: steps of Adam in the page, on the text of the page or on texts from the data.

const RATES = { text: content.training.learning_rate, data: 0.4 * content.training.learning_rate };  // the fewer texts a step has, the noisier is its gradient
const trainer = { mode: "text", rate: RATES.text, batch: 4, playing: false, steps: 0, losses: [], heldOut: [], last: null, drawn: 0, text: null };  // losses and heldOut: [steps taken, loss]; last: the loss before and after the last step on the text
const { texts, heldOut } = content.training;
const kinds = lines ? "lines" : "pieces";

function training() {
  const canLearnFromData = texts.length > 0;
  return unit(
    p("One step: forward through the text, backward to every gradient, then Adam moves every parameter a little against its gradient. While it plays, only what is on the screen follows."),
    totals.length < content.config.n_positions ? p(h("span", { class: "note" }, `It trains on ${totals.length} positions at a time, as many as this page holds. The run had ${content.config.n_positions}.`)) : null,
    h("fieldset", {}, h("legend", {}, "What it learns from"),
      mode("text", "this text: the model memorizes it and forgets all else (overfitting)"),
      canLearnFromData ? mode("data", `${texts.length} ${kinds} from its data, ${trainer.batch} a step: it learns what they have in common`)
        : p(h("span", { class: "note" }, "The training text of this model is missing, so it can only learn the text above."))),
    h("div", { class: "heads" },
      button("one step", () => { stopPlaying(); keep("a step of training"); takeSteps(1); follow(); }, { id: "one-step" }),
      button(trainer.playing ? "pause" : "play", togglePlaying, { id: "play" }),
      button("from random parameters", () => { stopPlaying(); startAtRandom(); follow(); }, { id: "random" }),
      button("back to the trained model", () => { act(putAllBack); }, { id: "trained" })),
    p(h("span", { class: "note" }, "The learning rate is about how far a step moves a parameter.")),
    slider("learning rate", { id: "rate", min: -4, max: -1, step: 0.1, value: Math.log10(trainer.rate) }, (value) => { trainer.rate = 10 ** value; }, (value) => (10 ** value).toPrecision(2)),
    live(() => curveNow()),
    live(() => lastStep()));
}

function mode(name, words) {
  return h("label", { class: "mode" }, h("input", { type: "radio", name: "mode", value: name, id: `mode-${name}`, checked: trainer.mode === name ? "" : null, onchange: () => learnFrom(name) }), " ", words);
}

function learnFrom(name) {
  Object.assign(trainer, { mode: name, rate: RATES[name] });
  beginCurve();
  renderUnit("training");
}

function beginCurve() {
  Object.assign(trainer, { steps: 0, losses: [], heldOut: [], last: null, text: model.text });
}

const curveKept = () => ({ ...trainer, losses: trainer.losses.slice(), heldOut: trainer.heldOut.slice() });
const putCurve = ({ mode, steps, losses, heldOut, last, text }) => Object.assign(trainer, { mode, steps, losses: losses.slice(), heldOut: heldOut.slice(), last, text });

function leapTo(time, what = "going through time", again = true) {  // to other parameters, from which another curve begins
  checkedTime(time);
  keep(what, again);
  goTo(time);
  stopPlaying();
  beginCurve();
}

function startAtRandom(what = "going to random parameters") {
  trainer.drawn = 0;
  keep(what);
  if (content.times.length && content.times[0] === 0) goTo(0); else putParameters(randomParameters(1));
  beginCurve();
}

function nextBatch() {  // all texts are drawn, in a random order, before any is drawn again
  const batch = [];
  while (batch.length < Math.min(trainer.batch, texts.length)) {
    const round = Math.floor(trainer.drawn / texts.length);
    if (trainer.round !== round || !trainer.order) { trainer.round = round; trainer.order = shuffled(texts.length, round + 1); }
    batch.push(texts[trainer.order[trainer.drawn++ % texts.length]]);
  }
  return batch.filter((tokens) => tokens.length - 1 <= totals.length);
}

function takeSteps(count, until = Infinity) {  // so many, or until the time is over; a step that diverges stops it
  const words = document.getElementById("refused");
  words.textContent = "";
  try {
    for (let i = 0; i < count && performance.now() < until; i++) {
      if (trainer.mode === "text") stepOnText(); else stepOnData();
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    stopPlaying();
    words.textContent = error.message;
  } finally {
    if (trainer.mode === "data") backTo(model.tokens);  // once, after all the steps
  }
}

function stepOnText() {  // the curve has the loss before the first step, and after each
  if (trainer.text !== model.text) beginCurve();
  const before = data[model.result];
  trainOnText(trainer.rate);
  const after = data[model.result];
  trainer.last = { before, after };
  if (!trainer.steps++) trainer.losses.push([0, before]);
  if (Number.isFinite(after)) trainer.losses.push([trainer.steps, after]);
}

function stepOnData() {  // the curve has the loss of each batch before the step on it: it is never asked again
  const measure = () => { if (heldOut.length && trainer.steps % 100 === 0) trainer.heldOut.push([trainer.steps, lossOfTexts(heldOut.slice(0, 40))]); };
  if (!trainer.steps) { trainer.heldOut = []; measure(); }
  trainer.losses.push([trainer.steps, stepOnTexts(nextBatch(), trainer.rate)]);
  trainer.steps++;
  measure();
}

const WORK = 32;  // milliseconds of training between two pictures of it

function togglePlaying() {
  if (trainer.playing) { stopPlaying(); follow(); return; }
  keep("training");
  startPlaying();
}

function startPlaying() {
  stopWriting();
  trainer.playing = true;
  paintPlay();
  const turn = () => {
    if (!trainer.playing) return;
    takeSteps(Infinity, performance.now() + WORK);
    follow();
    setTimeout(turn);
  };
  turn();
}

function stopPlaying() {
  trainer.playing = false;
  paintPlay();
}

function paintPlay() {
  const play = document.getElementById("play");
  if (play) play.textContent = trainer.playing ? "pause" : "play";
}

function curveNow() {
  if (!trainer.steps) return h("p", { class: "note" }, "No step was taken yet.");
  const points = thinned(trainer.losses), n = trainer.steps, onText = trainer.mode === "text";
  const pairs = content.training.pairs;
  const levels = [{ y: Math.log(vocabulary.length), words: `log ${vocabulary.length} = ${Math.log(vocabulary.length).toFixed(2)}: blind guessing` }];
  if (pairs) levels.push({ y: pairs, words: `${pairs.toFixed(2)}: counting pairs` });
  const validation = trainer.heldOut[trainer.heldOut.length - 1];
  const thin = { points, color: "rgb(var(--minus))", width: 1, opacity: 0.4 }, thick = { points: onText ? points : runningMean(points), color: "rgb(var(--minus))", width: 2.5 };
  const words = onText ? `The loss of “${trainer.text}” over ${countedSteps(n)}: ${precise(trainer.last.before)} before the last step, ${precise(trainer.last.after)} after it.`
    : `The loss of each step (blue) over ${countedSteps(n)}, on the ${kinds} of its batch, before the step: ${trainer.losses[n - 1][1].toFixed(3)} at the last; the thick line is its running mean${validation ? `; on ${Math.min(40, heldOut.length)} ${kinds} that it never learns from (orange) ${validation[1].toFixed(3)}` : ""}.`;
  const guesses = `The dashed line${pairs ? "s need no network: the same chance for every character, and a table of how often one follows another" : " is the same chance for every character"}.`;
  return h("figure", { style: { margin: "0" } },
    chart(words, [...(onText ? [] : [thin]), thick, { points: trainer.heldOut, color: "rgb(var(--plus))", width: 2.5, dots: trainer.heldOut.length < 30 }], { levels, end: n, height: 220 }),
    h("figcaption", { class: "note", id: "curve-words", "data-steps": n, "data-held-out": validation?.[1] }, `${words} ${guesses}`),
    h("h3", {}, "What it writes now"), fiveSamples());
}

function fiveSamples() {
  return h("ul", { class: "samples five" }, [1, 2, 3, 4, 5].map((seed) => h("li", { dir: "auto" }, textWritten(written({ seed })) || "(nothing)")));
}

function lastStep() {  // what Adam did, and how to one of the parameters
  if (!moments.steps) return h("div", {}, source("adam", "Adam"));
  const moved = new Float64Array(P);
  for (let i = 0; i < P; i++) moved[i] = data[i] - moments.origin[i];
  return h("div", {},
    h("h3", {}, "The last step"),
    p(`It was Adam's step ${moments.steps}. The gradient of all parameters together has the length ${precise(moments.norm)}${content.training.grad_clip && moments.norm > content.training.grad_clip ? `, which was cut to ${content.training.grad_clip}` : ""}. ${moments.steps === 1 ? "In it" : `In these ${moments.steps} steps`} each tensor moved:`),
    bars(tensorRows(moved)),
    h("h3", {}, "The rule, and one parameter through it"),
    source("adam", "Adam"),
    p("For ", opener(parameterShown(), nameOf(parameterShown())), ":"),
    adamOf(parameterShown()));
}

function parameterShown() {  // the one that is open, or the one with the greatest gradient
  const target = state.trail[state.trail.length - 1];
  if (typeof target === "number" && target < P) return target;
  let most = 0;
  for (let i = 1; i < P; i++) if (Math.abs(moments.gradient[i]) > Math.abs(moments.gradient[most])) most = i;
  return most;
}

