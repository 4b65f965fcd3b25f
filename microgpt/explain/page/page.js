// The page follows the reader: the picture and the part on screen at once, the rest as soon as there is time. What is
// folded is not made.

const made = new Map();  // of a section, or a unit of one: {home: its section, make, element, paint: its painters, old: "make", "paint" or null}

function makers() {  // [section, unit, how to make it]
  return [
    ["reading", reading], ["embedding", embedding], ...layers.map((layer) => [`block-${layer}`, ...blockUnits(layer).map(([name, make]) => [`block-${layer}-${name}`, () => h("div", { id: `block-${layer}-${name}`, class: "unit" }, make())])]),
    ["logits", logits], ["stages", stages], ["backward-pass", backwardPass], ["what-if", whatIf], ["names", names], ["writing", writing],
    ["training", training], ["time", time], ["atoms", atoms], ["run", theRun], ["questions", questions]];
}

function build() {
  const main = document.getElementById("main");
  main.replaceChildren(whole(), h("p", { id: "lead" }));
  for (const [home, ...units] of makers()) {
    const title = h("button", { type: "button", class: "fold", id: `${home}-title`, "aria-expanded": "false", onclick: () => { fold(home); settle(onScreen); } }, TITLES.get(home));
    const bodies = units.map((one) => {
      const [id, make] = typeof one === "function" ? [home, one] : one, element = h("div", { class: "unit" });
      made.set(id, { home, make, element, paint: [], old: "make" });
      return element;
    });
    main.append(h("section", { id: home, class: "folded", "aria-labelledby": `${home}-title` }, h("h2", {}, title), bodies));
  }
}

function fold(home, shown = !state.shown.has(home)) {  // or unfold
  if (!TITLES.has(home) || shown === state.shown.has(home)) return;
  state.shown[shown ? "add" : "delete"](home);
  document.getElementById(home).classList.toggle("folded", !shown);
  document.getElementById(`${home}-title`).setAttribute("aria-expanded", String(shown));
  for (const one of made.values()) {
    if (one.home !== home) continue;
    one.element.replaceChildren();
    one.element.classList.toggle("unmade", shown);
    Object.assign(one, { paint: [], old: "make" });
  }
  surveyLater();
}

function goToSection(id) {  // a section, or a unit of one
  const home = made.get(id)?.home ?? id;
  fold(home, true);
  settle(({ parentElement }) => parentElement?.id === home);
  const target = document.getElementById(id);
  target.scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "instant" : "smooth" });
  target.setAttribute("tabindex", "-1");
  target.focus({ preventScroll: true });
  address.home = TITLES.has(home) ? id : "";
  writeAddress();
}

function whereOneIs() {  // mark the entry of the contents, and the part of the picture, that one has scrolled to
  const marks = [...document.querySelectorAll("#main > section, #main .unit[id]")].filter((mark) => mark.getBoundingClientRect().top < innerHeight * 0.4);
  const id = marks.length ? marks[marks.length - 1].id : "whole", home = document.getElementById(id).closest("section").id;
  document.querySelectorAll(".part").forEach((one) => one.classList.toggle("current", one.dataset.section === id || one.dataset.section === home));
  document.getElementById("contents").value = home;
}

function listContents() {
  document.getElementById("contents").replaceChildren(...[["whole", "The picture"], ...TITLES].map(([id, title]) => h("option", { value: id }, title)));
}

function renderUnit(id) {
  made.get(id).old = "make";
  settle(onScreen);
}

function render() {  // everything is made anew: another text, position or view
  for (const one of made.values()) one.old = "make";
  bar(); lead(); paintWhole();
  settle(onScreen);
  surveyLater();
  writeAddress();
  if (state.trail.length) reopen();
}

function follow() {  // the same numbers have other values
  for (const one of made.values()) one.old ??= "paint";
  paintWhole();
  settle(onScreen);
  surveyLater();
  paintPanel();
  bar();
  announce();
  writeAddress();
}

const onScreen = (element) => { const box = element.getBoundingClientRect(); return box.bottom > -100 && box.top < innerHeight + 100; };
let later = 0;

function settle(which = () => true) {  // bring the sections up to date, those for which `which` holds now
  const old = ({ old, home }) => old && state.shown.has(home), due = [...made.values()].filter((one) => old(one) && which(one.element));
  if (due.length) keepingPlace(() => keepingFocus(() => { for (const one of due) if (which(one.element)) renew(one); }));
  markOpen();
  const rest = [...made.values()].some(old);
  document.body.dataset.settled = rest || unlabelled.size ? "no" : "yes";
  if ((rest || unlabelled.size) && !later && !trainer.playing) later = setTimeout(() => { later = 0; settleSome(); });
}

function settleSome() {  // what is not on screen, 10 ms at a time, so that a key need not wait; at last the labels of the numbers
  const end = performance.now() + 10;
  if ([...made.values()].some(({ old, home }) => old && state.shown.has(home))) return settle((element) => performance.now() < end || onScreen(element));
  labelCells();
  document.body.dataset.settled = "yes";
}

function renew(one) {
  if (one.old === "make") {
    const [element, paint] = collected(one.make);
    one.element.replaceWith(element);
    Object.assign(one, { element, paint });
  } else one.paint.forEach((paint) => paint());
  one.old = null;
}

function keepingPlace(change) {  // what one reads stays where it is, though what stands above may grow or go
  const headings = [...document.querySelectorAll("#main :is(h2, h3, h4)")];
  const anchor = headings.findLast((heading) => heading.getBoundingClientRect().top < innerHeight / 2);
  const top = anchor?.getBoundingClientRect().top, home = anchor?.closest("section").id, words = anchor?.textContent;
  change();
  if (!anchor) return;
  const same = anchor.isConnected ? anchor : [...document.querySelectorAll(`#${home} :is(h2, h3, h4)`)].find((heading) => heading.textContent === words);
  const moved = same ? same.getBoundingClientRect().top - top : 0;
  if (moved) window.scrollBy({ top: moved, behavior: "instant" });
}

// A control, by where it is and what it says: so that it can be found again after it was made anew.

function keepingFocus(change) {
  const focused = keyOf(document.activeElement), from = keyOf(state.opener);
  change();
  if (focused && !document.activeElement?.closest?.("main, #panel")) found(focused)?.focus({ preventScroll: true });
  if (state.opener && !state.opener.isConnected) state.opener = found(from) ?? state.opener;
}

const homeOf = (element) => element?.closest?.("section, #panel");
const keyOf = (element) => homeOf(element) ? { home: homeOf(element).id, says: saying(element) } : null;
const saying = (element) => element.dataset.target ?? element.id + element.classList[0] + element.textContent.replace(/^(Show).*/, "$1");
const found = (key) => key && [...document.querySelectorAll(`#${key.home} :is(button, input, summary, select)`)].find((one) => saying(one) === key.says);

function choose(position) {
  state.position = state.wanted = Math.max(0, Math.min(model.last, position));
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
  const says = JSON.stringify([model.tokens, state.position]);
  const list = document.querySelector(".positions");
  if (list.dataset.says !== says) {
    list.dataset.says = says;
    const tabs = model.tokens.slice(0, model.last + 1).map((token, position) => h("button", { type: "button", role: "radio", "aria-checked": String(position === state.position), tabindex: position === state.position ? 0 : -1,
      title: place(position), onclick: () => { choose(position); focusPosition(); } }, h("span", { class: "char" }, char(token)), " ", h("small", {}, String(position))));
    list.replaceChildren(...tabs);
    const chosen = tabs[state.position];
    list.scrollLeft = chosen.offsetLeft - list.offsetLeft - (list.clientWidth - chosen.offsetWidth) / 2;
  }
  const text = document.getElementById("text");
  if (document.activeElement !== text && text.value !== model.text) text.value = model.text;
  document.getElementById("backward").setAttribute("aria-checked", String(state.backward));
  paintComparing();
  document.getElementById("now").replaceChildren(h("span", {}, "loss "), h("strong", {}, precise(data[model.result])), ...whatIsDifferent());
}

function whatIsDifferent() {  // from the model as it was trained
  const words = [];
  if (model.time < content.times.length) words.push(`after step ${content.times[model.time].toLocaleString("en")}`);
  if (model.trained) words.push(`trained here for ${countedSteps(model.trained)}`);
  if (model.changes.size) words.push(`${model.changes.size} changed`);
  if (model.off.size) words.push(`${model.off.size} off`);
  return [words.length ? [h("span", { class: "note" }, ` · ${words.join(", ")} `), button("put back", () => act(putAllBack), { id: "put-all" })] : [],
    kept ? [" ", button(kept.undone ? "redo" : "undo", () => { stopPlaying(); act(undo); }, { id: "undo", title: `${kept.undone ? "do again" : "undo"}: ${kept.what}`, "aria-label": `${kept.undone ? "redo" : "undo"}: ${kept.what}` })] : []].flat(2);
}

function putAllBack() {
  keep("putting all back");
  model.changes.clear(); model.off.clear();
  goTo(content.times.length);
  stopPlaying();
  beginCurve();
}

const focusPosition = () => document.querySelector(".positions [aria-checked=true]").focus({ preventScroll: true });

function typed(text) {  // every key counts; what cannot be read is refused with a word, and the page stays as it was
  const words = document.getElementById("refused");
  stopWriting();
  try {
    const tokens = encoded(text);
    words.textContent = "";
    document.getElementById("text").removeAttribute("aria-invalid");
    readTokens(tokens);
    stayInText();
    render();
    announce();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    words.replaceChildren(`${error.message}; all still shows “${model.text}” `, error.offer === null ? "" : button(`read ‘${error.offer}’`, () => { document.getElementById("text").value = error.offer; typed(error.offer); document.getElementById("text").focus(); }, { id: "offer" }));
    document.getElementById("text").setAttribute("aria-invalid", "true");
  }
}

function stayInText() {
  state.position = Math.min(state.wanted, model.last);  // a longer text gives it back
  const target = state.trail[state.trail.length - 1];
  if (state.trail.length && state.trail.some((step) => (isPart(step) ? step.node : step) > model.result)) close();
  else if (target !== undefined) usesAreOld = true;
}

function act(change, structure = false) {  // do something to the model, and show it; a refusal is said, not thrown
  const words = document.getElementById("refused");
  words.textContent = "";
  try { change(); } catch (error) {
    if (!(error instanceof RangeError || error instanceof TypeError)) throw error;
    words.textContent = error.message;
  }
  if (structure) { stayInText(); render(); } else follow();
}

let announced = 0;
function announce() {  // for those who hear the page, when the numbers have come to rest
  clearTimeout(announced);
  announced = setTimeout(() => {
    const next = model.tokens[state.position + 1];
    document.getElementById("heard").textContent = `The text is ${[...model.text].map(show).join("")}. The loss is ${precise(data[model.result])}. After ${place(state.position)}, the chance of ${quoted(next)} is ${percent(chances(state.position)[next])}.`;
  }, 700);
}

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
    else if (event.key === "Backspace" && event.target.closest("#panel") && event.target.tagName !== "INPUT") { event.preventDefault(); back(); }
    else if (event.target.tagName !== "INPUT") move(event);
  });
  for (const asked of ["pointerover", "focusin"]) document.addEventListener(asked, (event) => { const cell = event.target.closest?.(".cell"); if (unlabelled.has(cell)) labelCells([cell]); });
  document.getElementById("backward").addEventListener("click", toggleBackward);
  document.getElementById("text").addEventListener("input", (event) => typed(event.target.value));
  document.getElementById("pin").addEventListener("click", pinNow);
  document.getElementById("compare").addEventListener("click", toggleCompare);
  document.getElementById("contents").addEventListener("change", (event) => goToSection(event.target.value));
  document.getElementById("tour").addEventListener("click", () => startTour());
  document.addEventListener("scroll", () => { if (document.body.dataset.settled === "no") settle(onScreen); whereOneIs(); }, { passive: true });
}

// Comparing.

function pinNow() {
  const words = whatIsDifferent()[0]?.textContent ?? "";
  pin(`“${model.text}”${words.startsWith(" · ") ? ` (${words.replace(/^ · | $/g, "")})` : ""}`);
  render();
}

function toggleCompare() {
  state.compare = !state.compare && model.pinned !== null;
  render();
}

function paintComparing() {
  const compare = document.getElementById("compare"), words = document.getElementById("pinned");
  compare.setAttribute("aria-checked", String(state.compare));
  compare.disabled = model.pinned === null;
  words.hidden = model.pinned === null;
  if (!model.pinned) return;
  const apart = data[model.result] - model.pinned.loss;
  words.textContent = `pinned: ${model.pinned.label}, loss ${precise(model.pinned.loss)}. ${apart ? `Now it is ${precise(Math.abs(apart))} ${apart > 0 ? "more" : "less"}.` : "Nothing has changed since."} ${state.compare ? "All numbers show what has changed." : "“Compare” shows what changes."}`;
}

function lead() {
  const total = operationCounts().reduce((sum, [, count]) => sum + count, 0), { text } = model;
  document.getElementById("what").replaceChildren("“", h("bdi", {}, [...text].map((one) => (show(one).length > 2 ? `⟨${show(one)}⟩` : show(one))).join("")), "”");
  document.title = `Every number of “${text}”`;
  document.getElementById("lead").textContent = `A small language model, a GPT-2: it reads a text and says how likely each next character is. It takes ${total.toLocaleString("en")} additions, multiplications, powers, logarithms and exponentials, and as many back for the gradients, at each key. Click a name in the picture, or a title here, to unfold a part. Click a number to open it.`;
}

// For the console, and for tests. All of it is synchronous. A refused call raises an error and changes nothing.

window.microgpt = {
  read(text) { const tokens = encoded(text); readTokens(tokens); stayInText(); render(); },
  get loss() { return data[model.result]; },
  chances(position) {
    if (!Number.isInteger(position) || position < 0 || position > model.last) throw new RangeError(`there is no position ${describe(position)}: expected an integer from 0 to ${model.last}`);
    return chances(position);
  },
  value: (node) => data[checkedNode(node)],
  gradient: (node) => gradient[checkedNode(node)],
  set(node, x) { setNumber(node, x); follow(); },
  reset() { putAllBack(); follow(); },
  step(learningRate) { checkedRate(learningRate); keep("a step of training"); trainOnText(learningRate); follow(); },
  undo() { undo(); follow(); },
  go(time) { leapTo(time); follow(); },
  write(options) { const how = checkedWriting(options); return textWritten(written(how)); },
  switchOff(part, off = true) { switchPart(part, Boolean(off)); follow(); },
};

const ready = loadModel().then(() => {
  document.getElementById("starting").remove();
  state.position = state.wanted = typicalPosition();
  build();
  lead();
  listContents();
  bar();
  listen();
  fitScreen(); paintWhole();
  settle(onScreen);
  whereOneIs();
  address.first = { text: model.text, position: state.position, seed: pen.seed };
  readAddress();
  window.addEventListener("hashchange", () => { if (location.hash !== address.written) readAddress(true); });
  document.getElementById("made-by").append(" Your browser computed every number of the model on this page, in double precision, with only the five operations. It loaded nothing from the network. By keyboard: Tab goes from strip to strip, the arrow keys go from number to number, Enter opens, Backspace goes back, Escape closes.");
  document.body.dataset.ready = "yes";
});

// What the tests look at besides.
window.inside = { ready, content, state, model, open, back, close, choose, settle, nameOf, termsOf, operandsOf, usesOf,
  inputsOf: (node) => kind[node] === LARGEST ? Array.from(items.subarray(left[node], left[node] + right[node])) : operandsOf(node), received, recompute, derivative, nodesAt: (key, position = state.position) => nodesAt(key, position),
  unfold() { for (const home of TITLES.keys()) fold(home, true); settle(onScreen); }, written, trainOnTexts, lossOfTexts, pin: pinNow, parts, valueOf, goToSection, fold, picture, hit, trainer, stagesAt, get data() { return data; }, get gradients() { return gradient; }, get kind() { return kind; } };
