// Let the model write: the chances, the draw, the next character; each step can be seen again.

const pen = { temperature: 1, topK: vocabulary.length, seed: 1, shown: 1, chosen: 0, goesOn: true, turn: 0 };  // goesOn: from the text that is read; turn: of the picture, while it writes

const before = () => pen.goesOn ? typedOf(model.tokens) : [];
const writtenNow = () => written({ temperature: pen.temperature, topK: pen.topK < vocabulary.length ? pen.topK : null, seed: pen.seed, after: before() });

function writing() {
  const again = (change) => { change(); follow(); };
  return unit(
    p("The chances of the characters are shares of a line from 0 to 1. A random number points into one of them: that character is written, and the model goes on from there. So the likeliest is not always taken."),
    totals.length < content.config.n_positions ? p(h("span", { class: "note" }, `It looks back over at most ${totals.length} positions, as many as this page holds.`)) : null,
    p(h("span", { class: "note" }, "The draw can leave out all but the likeliest characters (top-k).")),
    h("div", { class: "heads" },
      button("next character", () => again(() => { pen.shown = Math.min(pen.shown + 1, writtenNow().length); pen.chosen = pen.shown - 1; }), { id: "write-next" }),
      button("all of it", () => again(() => { pen.shown = writtenNow().length; pen.chosen = Math.min(pen.chosen, pen.shown - 1); }), { id: "write-all" }),
      button("another", () => again(() => { pen.seed += 1; pen.shown = writtenNow().length; pen.chosen = 0; }), { id: "write-another" }),
      live(() => h("span", { class: "heads", role: "group", "aria-label": "Where it begins" }, [[true, `after “${model.text}”`], [false, "a new text"]].map(([goesOn, words]) =>
        button(words, () => again(() => Object.assign(pen, { goesOn, shown: 1, chosen: 0 })), { "aria-pressed": String(pen.goesOn === goesOn), id: goesOn ? "write-after" : "write-new" }))))),
    slider("temperature", { id: "write-temperature", min: 0, max: 3, step: 0.05, value: pen.temperature }, (value) => again(() => { pen.temperature = value; }), (value) => value === 0 ? "0: always the likeliest" : value.toFixed(2)),
    slider("drawn among the likeliest", { id: "write-top-k", min: 1, max: vocabulary.length, step: 1, value: pen.topK }, (value) => again(() => { pen.topK = value; }), (value) => value === vocabulary.length ? `all ${value}` : String(value)),
    live(() => moment()));
}

function moment() {
  const found = writtenNow(), shown = Math.min(pen.shown, found.length), chosen = Math.min(pen.chosen, shown - 1), one = found[chosen];
  const characters = found.slice(0, shown).map(({ token }, i) => h("button", { type: "button", class: "char wrote", "aria-pressed": String(i === chosen), "aria-label": `${quoted(token)}, character ${i + 1} that was drawn`, onclick: () => { pen.chosen = i; follow(); } }, char(token)));
  const likeliest = one.chances.indexOf(Math.max(...one.chances));
  const start = one.chances.slice(0, one.token).reduce((a, b) => a + b, 0), end = start + one.chances[one.token];
  const order = one.logits.map((_, id) => id).sort((a, b) => one.chances[b] - one.chances[a] || a - b).filter((id) => one.chances[id] > 0);
  const upTo = [...before(), ...found.slice(0, chosen).map(({ token }) => token)], whole = [...before(), ...found.slice(0, shown).map(({ token }) => token).filter((id) => id !== closing)];
  const why = one.token === likeliest ? "This time it is the likeliest." : `The likeliest would have been ${quoted(likeliest)} with ${percent(one.chances[likeliest])}; it is drawn that often, but not always.`;
  return h("div", {},
    h("h3", {}, "What it wrote"), h("p", { id: "written", class: "writes", "data-text": textOf(before()) + textWritten(found) }, h("bdi", { class: "char" }, before().map(char).join("")), characters),
    h("h3", {}, `The draw of character ${chosen + 1}`),
    p("It has read ", h("bdi", { class: "char" }, upTo.length ? (lines || !pen.goesOn ? "⏎" : "") + upTo.map(char).join("") : "only ⏎"), "."),
    theDraw(one),
    p(`The random number is ${one.random.toFixed(4)}. The share of ${quoted(one.token)} goes from ${start.toFixed(4)} to ${end.toFixed(4)}: so ${quoted(one.token)} is written. ${why}`),
    bars(order.slice(0, 8).map((id) => ({ name: `${char(id)}${id === one.token ? "  ← drawn" : ""}`, size: one.chances[id], text: percent(one.chances[id], 2) }))),
    order.length > 8 ? p(h("span", { class: "note" }, `and ${order.length - 8} less likely ones`)) : null,
    whole.length >= least && whole.length <= most() ? button("Read this text in all sections", () => { const at = upTo.length - (lines ? 0 : 1); act(() => readTokens(encoded(textOf(whole))), true); choose(at); }, { id: "read-written" }) : null);
}

function theDraw({ chances: shares, random, token }) {  // the line from 0 to 1, cut into shares
  const [width, height] = [720, 64];
  let at = 0;
  const segments = shares.map((share, id) => {
    const x = at * width, w = share * width;
    at += share;
    return w < 0.2 ? null : [
      svg("rect", { x, y: 18, width: Math.max(0, w - 1), height: 26, class: id === token ? "share drawn" : "share" }),
      w > 14 ? svg("text", { x: x + w / 2, y: 36, "text-anchor": "middle", class: id === token ? "of drawn" : "of" }, char(id)) : null];
  });
  const x = random * width;
  return svg("svg", { class: "draw", viewBox: `-4 0 ${width + 8} ${height}`, role: "img", "aria-label": `A line from 0 to 1, cut into the chances of the characters; the random number ${random.toFixed(4)} points into the share of ${quoted(token)}` },
    segments, svg("path", { d: `M${x} 18 l-6 -12 h12 z`, class: "pointer" }), svg("line", { x1: x, x2: x, y1: 18, y2: 46, class: "pointer" }),
    svg("text", { x: 0, y: 60 }, "0"), svg("text", { x: width, y: 60, "text-anchor": "end" }, "1"));
}

// In the picture: it reads each character as soon as it is drawn. What was written is then the text, and can be typed on.

const BETWEEN_CHARACTERS = 260;  // milliseconds

function toggleWriting() {
  if (pen.turn) return stopWriting();
  stopPlaying();
  pen.goesOn = true;
  pen.seed += 1;
  const start = typedOf(model.tokens), found = writtenNow(), ends = found.findIndex(({ token }) => token === closing);
  const drawn = found.map(({ token }) => token).slice(0, ends < 0 ? most() - start.length : ends), said = document.getElementById("said");
  said.textContent = drawn.length ? "" : ends === 0 ? `It ended the text here, with a chance of ${percent(found[0].chances[closing], 0)}. Click again, or type a beginning.` : "There is no room for more: type a shorter text.";
  let count = 0;
  const turn = () => {
    pen.turn = 0;
    if (count === drawn.length) return paintControls();
    pen.turn = setTimeout(turn, BETWEEN_CHARACTERS);
    readMore([...start, ...drawn.slice(0, ++count)]);
  };
  turn();
}

function stopWriting() {
  clearTimeout(pen.turn);
  pen.turn = 0;
}

function readMore(tokens) {  // and look at its end
  readTokens(lines ? [idOf.get("\n"), ...tokens, idOf.get("\n")] : tokens);
  state.wanted = model.last;
  stayInText();
  render();
}
