// A tour of ten stops on the page, and seven questions, each with the number that answers it.

function reopen() {  // the panel again, for another text or position
  const focused = document.activeElement;
  open(state.trail[state.trail.length - 1], { fromTrail: true, quietly: true });
  focused?.isConnected && focused.focus({ preventScroll: true });
}

const example = () => lines ? "anna" : model.text;
const readable = (text) => { try { encoded(text); return true; } catch { return false; } };
const readExample = () => { const text = [example(), model.text].find(readable); if (text !== model.text) act(() => readTokens(encoded(text)), true); };
const openHere = (key, i = 0) => { state.trail = []; open(here(key)[i], { quietly: true }); };

function openShare() {  // of the second largest exponential: the largest is 1, and 1 times something shows little
  const exponentials = here("h.0.head.0.exp").map((node) => data[node]);
  const order = exponentials.map((_, i) => i).sort((a, b) => exponentials[b] - exponentials[a]);
  openHere("h.0.head.0.attention", order[1] ?? 0);
}

function openStrongest(key) {  // of some numbers here; its value
  const nodes = here(key), best = nodes.reduce((a, b) => (data[b] > data[a] ? b : a), nodes[0]);
  openHere(key, nodes.indexOf(best));
  return data[best];
}

const STOPS = [  // where, what it speaks of (it must be seen), what to do there, what to say
  ["whole", ".picture", () => { act(putAllBack); readExample(); choose(typicalPosition()); }, "This is a whole language model. Each character of the text has a lane, from its numbers to the chances of the next character. The lines show from which earlier characters each head reads. Your browser computes all of it."],
  ["reading", "#reading table", () => {}, "Characters become integers. At each position the model gives every character a chance. The loss is its surprise at the real next character. Type another text into the box above, at any time."],
  ["embedding", "#embedding .strip:last-child, #panel .formula", () => openHere("embedded", 0), "A character is a row of learned numbers, and so is a position. Their sum is the residual stream. The panel shows one of its numbers: a sum, whose terms you can open."],
  ["block-0-attention", "#block-0-attention .triangles, #panel .formula", openShare, "Attention: this position asks, and it and all before it answer. Each triangle shows how much a position (row) reads from each other (column). The opened share is an exponential, times 1 over the sum of all."],
  ["block-0-mlp", "#block-0-mlp .open", () => openStrongest("h.0.gelu"), () => `The MLP works on what attention has read. Each hidden unit looks for a pattern. The opened one is the strongest here: gelu ${data[state.trail[0]] > 0 ? "let it through" : "stopped even this one"}. Most others are stopped near 0.`],
  ["stages", ".lens", () => {}, "Where does a prediction come from? Here is what the model would predict after each stage. Below are the votes of its parts for the real next character."],
  ["backward-pass", "#gradient", () => { state.trail = []; open(model.result, { quietly: true }); }, "Backward: the loss has gradient 1, and every other number gets its own from there. It says how much the loss would grow if that number grew a little."],
  ["what-if", "#what-if .outcome, #panel .outcome", () => { openHere("embedded", 0); act(() => setNumber(here("embedded")[0], data[here("embedded")[0]] + 0.5)); }, "We have just added 0.5 to the first number of the stream. The panel shows what its gradient had promised, and what came. Move its slider: for small changes both agree."],
  ["training", "#training figure", () => { act(putAllBack); act(() => { startAtRandom(); trainer.mode = "text"; takeSteps(20); }); }, "Learning repeats this many times: a gradient for every parameter, and a small step against it. From random parameters we took 20 steps on this one text. See how its loss fell."],
  ["time", "#time-slider, #then", () => { act(() => { putAllBack(); leapTo(0); }); }, "The run kept its parameters on the way. This is its beginning. Move the slider to the end, and watch the model become what it is. When you end the tour, all is again as you left it."],
];

const tour = { stop: 0, left: null };  // left: how all was before it

function startTour(at = 0) {
  tour.left ??= { numbers: numbersNow("the tour"), kept, shown: new Set(state.shown), tokens: model.tokens, position: state.position };
  tour.stop = at;
  stopPlaying(); stopWriting();
  const [where, subject, action, words] = STOPS[at], home = made.get(where)?.home;
  const box = document.getElementById("guide");
  state.opener = null;
  close();  // what an earlier stop has opened
  for (const one of TITLES.keys()) fold(one, one === home || tour.left.shown.has(one));
  settle(({ parentElement }) => parentElement?.id === home);
  action();
  settle(({ parentElement }) => parentElement?.id === home);
  const end = at === STOPS.length - 1;
  box.hidden = false;
  box.replaceChildren(
    h("p", { class: "note" }, `Stop ${at + 1} of ${STOPS.length}`),
    h("p", { id: "guide-words", tabindex: -1 }, typeof words === "function" ? words() : words),
    h("div", { class: "heads" },
      button("← back", () => startTour(at - 1), { disabled: at === 0 ? "" : null }),
      button(end ? "To the questions" : "next →", () => end ? (endTour(), goToSection("questions")) : startTour(at + 1), { id: "guide-next" }),
      button("end the tour", endTour)));
  document.body.classList.add("touring");
  document.body.style.setProperty("--guide", `${box.offsetHeight}px`);
  paintWhole();
  scrollToSubject(document.querySelector(`#${where}`), [...document.querySelectorAll(subject)]);
  document.getElementById("guide-words").focus({ preventScroll: true });
}

function scrollToSubject(target, subject) {  // the target to the top of what is free; and further, where the subject would end below it
  const panel = document.getElementById("panel"), inPanel = subject.filter((one) => panel.contains(one)), inText = subject.filter((one) => !panel.contains(one));
  panel.scrollTop += beyond(inPanel, panel.getBoundingClientRect());
  const free = freeRoom();
  window.scrollBy({ top: target.getBoundingClientRect().top - free.top, behavior: "instant" });
  window.scrollBy({ top: beyond(inText, free), behavior: "instant" });
  settle(onScreen);
}

function beyond(elements, { top, bottom }) {  // how far they end below the bottom, but no further than they begin below the top
  if (!elements.length) return 0;
  const boxes = elements.map((one) => one.getBoundingClientRect());
  return Math.max(0, Math.min(Math.max(...boxes.map((box) => box.bottom)) - bottom, Math.min(...boxes.map((box) => box.top)) - top));
}

function freeRoom() {  // from where to where the sections are seen: under the bar, and above or below what lies over them
  const gap = 12, bar = document.querySelector(".bar").offsetHeight, { left: start, right: end } = document.getElementById("main").getBoundingClientRect();
  const room = { top: bar + gap, bottom: innerHeight - gap };
  for (const id of ["guide", "panel"]) {
    const box = document.getElementById(id).getBoundingClientRect();
    if (!box.height || box.left >= end || box.right <= start) continue;
    if (box.top < innerHeight / 3) room.top = Math.max(room.top, box.bottom + gap); else room.bottom = Math.min(room.bottom, box.top - gap);
  }
  return room;
}

function endTour() {  // all is as it was before the tour
  const { left } = tour;
  document.getElementById("guide").hidden = true;
  document.body.classList.remove("touring");
  tour.left = null;
  state.opener = null;
  close();
  stopPlaying();
  readTokens(left.tokens);
  putNumbers(left.numbers);
  kept = left.kept;
  state.position = state.wanted = left.position;
  for (const one of TITLES.keys()) fold(one, left.shown.has(one));
  render();
}

// Questions. The answer is a number of the page, opened.

const firstOf = (wanted, from) => { for (let node = from; node >= weightsEnd; node--) if (kind[node] === wanted) return node; return model.result; };

const QUESTIONS = [
  ["What does a Value (value.py) keep besides its number?", "Its operands, and the derivative to each, so that a gradient finds its way back.", () => here("logits")[0]],
  ["What does + pass back to its two operands?", "Its own gradient, unchanged: if either grows a little, so does the sum.", () => here("embedded")[0]],
  ["What does × pass back to a factor?", "Its own gradient, times the other factor.", () => firstOf(MUL, here("h.0.mlp")[0])],
  ["Why does backward begin with 1?", "Because the loss grows exactly as fast as itself.", () => model.result],
  ["A number is used in three places. What is its gradient?", "The sum of three gradients: a change goes all ways at once. This number is used many times.", () => here("h.0.ln_1")[0]],
  ["Why is the loss of a model that knows nothing about log of the number of characters?", `It gives each of ${vocabulary.length} characters the chance 1/${vocabulary.length}, and −log of that is log ${vocabulary.length} = ${Math.log(vocabulary.length).toFixed(3)}.`, () => here("surprise")[0]],
  ["How can exp not overflow in softmax?", "The largest of the numbers is subtracted first, so the greatest exponent is 0.", () => here("h.0.head.0.exp")[0]],
];

function questions() {
  return unit(
        h("ol", { class: "questions" }, QUESTIONS.map(([question, answer, node], i) => h("li", {}, h("details", {}, h("summary", {}, question), p(answer),
      button("Open such a number", (event) => { state.opener = event.target; state.trail = []; open(node()); }, { class: "more tells", "data-question": i, title: question }))))),
    h("h3", {}, "From the console"),
        h("details", { class: "source" }, h("summary", {}, "What one can type there"), h("pre", {}, CALLS().map(([call, words]) => `${call.padEnd(36)}// ${words}`).join("\n"))));
}

const CALLS = () => [
  [`microgpt.read("${lines ? "ann" : "the"}")`, "another text, one that the model can read"],
  ["microgpt.loss", "how surprised it is, in nats per character"],
  ["microgpt.chances(1)", "of each character to come after position 1"],
  ["microgpt.value(0)", `of a node; 0 to ${P - 1} are the parameters`],
  ["microgpt.gradient(0)", "how much the loss grows with it"],
  ["microgpt.set(0, 1.5)", "change it: what depends on it follows"],
  ["microgpt.step(0.01)", "one step of Adam on the text that is read"],
  ["microgpt.go(0)", `to time 0 of ${content.times.length}; the last is the model`],
  ["microgpt.write({temperature: 0.8})", "a new text; also topK and seed"],
  [`microgpt.switchOff("${[...parts.keys()].find((name) => name.includes("head"))}")`, "and microgpt.reset() puts all back"],
];
