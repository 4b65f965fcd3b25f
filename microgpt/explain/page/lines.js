// The source, line by line, with the numbers that each line made. A call opens beneath its line; a loop shows one turn.

const CELLS_AT_ONCE = 16, ROWS_AT_ONCE = 4;

// What a call of a function did, in the turns that are chosen: for each line its notes, the calls in it, and its turns.

function happened(number) {
  const way = shownWay(), { loops } = words.functions[way.calls[number][0]];
  const own = eventsOf(way).get(number) ?? [];
  for (;;) {
    const lines = new Map(), totals = new Map(), around = [];
    const at = (line) => { if (!lines.has(line)) lines.set(line, { notes: new Map(), calls: [] }); return lines.get(line); };
    const chosen = (line) => state.turns.get(`${number} ${line}`) ?? 0;
    for (const event of own) {
      while (around.length && !within(loops, around[around.length - 1].line, event.line)) around.pop();
      const inner = around[around.length - 1];
      if (event.kind === "turn") {
        if (inner?.line === event.line) inner.turn++; else around.push({ line: event.line, turn: 0 });
        if (around.slice(0, -1).every(({ line, turn }) => turn === chosen(line))) totals.set(event.line, around[around.length - 1].turn + 1);
      }
      if (!around.every(({ line, turn }) => turn === chosen(line))) continue;
      if (event.kind === "call") at(event.line).calls.push(event.call);
      else event.names.forEach((name, i) => at(event.line).notes.set(`${event.kind === "asked"} ${name}`, { name, kind: event.kind, value: words.values[event.values[i]], under: event.under }));
    }
    const beyond = [...totals].filter(([line, count]) => chosen(line) >= count);
    if (!beyond.length) return { lines, totals };
    for (const [line, count] of beyond) state.turns.set(`${number} ${line}`, count - 1);
  }
}

const within = (loops, header, line) => loops.some(([first, last]) => first === header && first <= line && line <= last);

function eventsOf(way) {  // of each call, its notes and the calls that it made, in order
  if (way.events) return way.events;
  way.events = new Map();
  const add = (call, event) => { if (!way.events.has(call)) way.events.set(call, []); way.events.get(call).push(event); };
  let next = 0;
  const callsUpTo = (note) => { for (; next < way.calls.length && way.calls[next][3] <= note; next++) { const [, by, line] = way.calls[next]; add(by, { kind: "call", line, call: next }); } };
  way.notes.forEach(([call, kindOfNote, line, names, under, ...values], i) => {
    callsUpTo(i);
    add(call, { kind: kindOfNote, line, names: words.names[names], values, under });
  });
  callsUpTo(Infinity);
  return way.events;
}

function isTaken(under) {  // whether Python would go here now: all choices around decide so
  const { choices } = shownWay();
  for (; under >= 0; under = choices[under][0]) if (Boolean(data[choices[under][1]]) !== Boolean(choices[under][2])) return false;
  return true;
}

// Drawing them.

function sourceOf(number, depth = 0) {
  const way = shownWay(), { name, file, first, lines } = words.functions[way.calls[number][0]], { lines: did, totals } = happened(number);
  const indent = Math.min(...lines.filter((line) => line.trim()).map((line) => line.length - line.trimStart().length));
  return h("div", { class: "listing", role: "group", "aria-label": `${name}, in ${file}` },
    depth ? null : h("p", { class: "note place" }, `${name}, ${file}`),
    lines.map((line, i) => lineOf(number, first + i, line.slice(indent), did.get(first + i), totals.get(first + i), depth)));
}

function lineOf(number, line, text, did, turns, depth) {
  const made = [];
  if (turns !== undefined) made.push(turnChooser(number, line, turns));
  const notes = did ? [...did.notes.values()] : [];
  for (const note of notes) made.push(noteOf(`${number} ${line}`, note));
  const groups = new Map();
  for (const call of did?.calls ?? []) { const f = shownWay().calls[call][0]; groups.set(f, [...(groups.get(f) ?? []), call]); }
  const beneath = [];
  for (const [f, calls] of groups) {
    const key = `${shownWay().calls[number][0]} ${line} ${f}`;
    const { name, library, lines } = words.functions[f];
    const open = state.opened.get(key) ?? (depth < 2 && !library && lines.length <= 30);
    const which = Math.min(state.calls.get(`${number} ${line} ${f}`) ?? 0, calls.length - 1);
    made.push(h("span", { class: "steps-in" },
      button(`${open ? "▾" : "▸"} ${name === "<lambda>" ? "lambda" : name}`, () => { state.opened.set(key, !open); renderLines(); }, { "aria-expanded": String(open), "data-line-key": `call ${key}`, title: open ? `close ${name}` : `open this call of ${name}` }),
      open && calls.length > 1 ? chooser(`call of ${name} in line ${line}`, "call", calls.length, which, (to) => { state.calls.set(`${number} ${line} ${f}`, to); renderLines(); }) : calls.length > 1 ? ` × ${calls.length}` : null));
    if (open) beneath.push(h("div", { class: "beneath" }, sourceOf(calls[which], depth + 1)));
  }
  const row = h("div", { class: "source-line" }, h("span", { class: "no" }, String(line)), h("code", {}, text || " "), h("div", { class: "made" }, made));
  const unders = notes.map(({ under }) => under).filter((under) => under >= 0);
  if (unders.length) {
    const paint = () => row.classList.toggle("not-taken", !unders.some(isTaken));
    paint();
    painters.push(paint);
  }
  return [row, ...beneath];
}

function turnChooser(number, line, turns) {
  return chooser(`turn of the loop in line ${line}`, "turn", turns, state.turns.get(`${number} ${line}`) ?? 0, (to) => { state.turns.set(`${number} ${line}`, to); renderLines(); });
}

function chooser(label, word, count, which, choose) {
  const says = `${word} ${which + 1} of ${count}`;
  if (count === 1) return h("span", { class: "chooser note" }, says);
  return h("span", { class: "chooser" }, h("input", { type: "range", min: 1, max: count, step: 1, value: which + 1, "aria-label": label, "aria-valuetext": says, "data-line-key": label, oninput: (event) => choose(Number(event.target.value) - 1) }), h("span", { class: "note" }, says));
}

function noteOf(key, { name, kind: kindOfNote, value }) {
  const label = kindOfNote === "returned" ? "returns" : kindOfNote === "yielded" ? "yields" : name;
  const list = value.l ?? value;
  if (kindOfNote === "given" && Array.isArray(list) && list.some((one) => typeof one === "object" && !("n" in one)) && !state.all.has(`given ${key} ${name}`)) {
    return h("span", { class: "value" }, h("span", { class: "called" }, name), " ", button(sizeOf(value), () => { state.all.add(`given ${key} ${name}`); renderLines(); }, { class: "more small", "aria-label": `${name}, ${sizeOf(value)}: show its numbers`, "data-line-key": `given ${key} ${name}` }));
  }
  return made(`${key} ${name}`, label, name, value, kindOfNote === "asked");
}

function sizeOf(value) {  // such as 32 × 10
  const list = value.l ?? value, length = (list.r ? list.r[2] : list.length) + (value.more ?? 0), inner = list.r ? null : list[0];
  return `${length}${inner && typeof inner === "object" && (Array.isArray(inner) || inner.r || inner.l) ? ` × ${sizeOf(inner)}` : ""}`;
}

function made(key, label, path, value, isTest = false) {  // a name, and its numbers as cells
  const all = state.all.has(key), unfold = (count) => button(all ? "fewer" : `${count} more`, () => { state.all[all ? "delete" : "add"](key); renderLines(); }, { class: "more small", "data-line-key": `more ${key}` });
  const caption = h("span", { class: "called" }, label);
  if (typeof value === "number" && isTest) return h("span", { class: "value" }, caption, " ", live(() => h("span", {}, opener(value, data[value] ? "True" : "False"))));
  if (typeof value === "number") return h("span", { class: "value" }, caption, cellsIn(label, [value], [path]));
  if (value.s !== undefined) return h("span", { class: "value" }, caption, ` ${value.s}`);
  if (value.n !== undefined) return h("span", { class: "value" }, caption, ` ${precise(value.n)}`);
  if (value.d) {
    const entries = Object.entries(value.d);
    return h("span", { class: "value" }, caption, " ", all ? [unfold(0), entries.map(([name, one]) => h("div", {}, made(`${key} ${name}`, name, `${path}["${name}"]`, one)))] : button(entries.map(([name]) => name).join(", ") || "empty", () => { state.all.add(key); renderLines(); }, { class: "more small", "data-line-key": `more ${key}` }));
  }
  const rest = value.more ? h("span", { class: "note" }, ` and ${value.more} more`) : null, list = value.l ?? value;
  const inner = list.r ? nodesIn(list) : list;
  if (!inner.length) return h("span", { class: "value" }, caption, " []");
  if (inner.every((one) => typeof one === "number")) {
    const some = all ? inner : inner.slice(0, inner.length > CELLS_AT_ONCE + 2 ? CELLS_AT_ONCE : inner.length);
    return h("span", { class: "value" }, caption, cellsIn(label, some, some.map((_, i) => `${path}[${i}]`)), inner.length > some.length || all ? unfold(inner.length - some.length) : null, rest);
  }
  const some = all ? inner : inner.slice(0, inner.length > ROWS_AT_ONCE + 1 ? ROWS_AT_ONCE : inner.length);
  return h("div", { class: "value nested" }, some.map((one, i) => h("div", {}, made(`${key} ${i}`, `${label}[${i}]`, `${path}[${i}]`, one))), inner.length > some.length || all ? unfold(inner.length - some.length) : null, rest);
}

function cellsIn(label, targets) {
  const [cells, paint] = cellsThatFollow(targets, {});
  cells[0].tabIndex = 0;
  const unit = h("span", { class: "note unit" });
  const paintAll = () => { unit.textContent = unitOf(paint().way).replace(" ·", "×"); };
  paintAll();
  painters.push(paintAll);
  return [h("span", { class: "cells inline", role: "group", "aria-label": `${label}, ${targets.length} ${targets.length === 1 ? "number" : "numbers"}` }, cells), unit];
}

let linePainters = [];

function renderLines() {
  const place = document.getElementById("lines"), focused = document.activeElement?.dataset?.lineKey, top = scrollY;
  const [element, found] = collected(() => {
    const roots = shownWay().calls.map(([, by], i) => (by < 0 ? i : -1)).filter((i) => i >= 0);
    return h("div", {}, roots.length ? sourceOf(roots[0]) : p("This function has no source that can be read, so its lines cannot be shown. The numbers open all the same: ", opener(model.result, "the loss"), "."));
  });
  linePainters = found;
  place.replaceChildren(element);
  markOpen();
  labelSoon();
  if (focused) document.querySelector(`[data-line-key=${CSS.escape(focused)}]`)?.focus({ preventScroll: true });
  if (scrollY !== top) scrollTo({ top, behavior: "instant" });
}
