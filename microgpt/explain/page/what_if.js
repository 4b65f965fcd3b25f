// Switch parts off, and see what all changes did.

function whatIf() {
  return unit(
    p("Open any number and move its slider. All that depends on it follows, and is underlined. The gradient times the change is the promise; what came is the real change of the loss. Or switch a part off:"),
    live(() => h("div", { class: "heads", role: "group", "aria-label": "Parts to switch off" }, [...parts].sort(([, a], [, b]) => (a.how === "without") - (b.how === "without")).filter(([, { strips: [first], how }]) => how !== "without" || first.position <= model.last).map(([name, { words }]) =>
      button(words.replace("the embedding of position", "position"), () => act(() => switchPart(name, !model.off.has(name))), { "aria-pressed": String(model.off.has(name)), "data-part": name })))),
    p(h("span", { class: "note" }, "A head or an MLP that is off adds 0. A layer norm that is off passes its input on.")),
    live(() => changesNow()));
}

function changesNow() {
  const { before, changes, off } = model;
  if (!before && !changes.size && !off.size) return h("p", { class: "note" }, "Nothing is changed now.");
  const rows = [...changes].map(([node, { from, to }]) => h("tr", {}, h("td", {}, opener(node, nameOf(node))), h("td", { class: "number" }, precise(from)), h("td", {}, "→"), h("td", { class: "number" }, precise(to)),
    h("td", {}, button("put back", () => act(() => putBack(node))))));
  return h("div", {},
    rows.length ? [h("h3", {}, "Changed numbers"), h("div", { class: "scroll" }, h("table", {}, h("tbody", {}, rows)))] : null,
    before ? [h("h3", {}, "What the last change did"), h("p", {}, `${typeof before.what === "number" ? nameOf(before.what) : whatWasSwitched(before.what)}. ${moved()}`), outcome(before.what), onManyTexts(), beforeAndAfter()] : null,
    rows.length + off.size ? button("Put all back", () => act(putAllBack), { id: "put-all-back" }) : null);
}

function whatWasSwitched(what) {
  const [part, off] = what.split(" ");
  return `${parts.get(part).words}, switched ${off === "true" ? "off" : "on"}`;
}

function moved() {
  let count = 0, all = 0;
  for (let node = weightsEnd; node <= model.result; node++) {
    if (program.kind[node] < ADD || program.kind[node] > EXP) continue;
    all++;
    if (data[node] !== model.before.data[node]) count++;
  }
  return `${count.toLocaleString("en")} of the ${all.toLocaleString("en")} results have changed.`;
}

function beforeAndAfter() {  // of the chance of what really comes, at each position
  return h("div", { class: "scroll" }, h("table", {},
    h("thead", {}, h("tr", {}, ["after", "comes next", "its chance before", "and now"].map((name, i) => h("th", { scope: "col", class: i > 1 ? "number" : null }, name)))),
    h("tbody", {}, [...Array(model.last + 1).keys()].map((position) => {
      const next = model.tokens[position + 1];
      return h("tr", {}, h("td", { class: "char" }, char(model.tokens[position])), h("td", { class: "char" }, char(next)),
        h("td", { class: "number" }, percent(model.before.chances[position][next])), h("td", { class: "number" }, percent(chances(position)[next])));
    }))));
}
