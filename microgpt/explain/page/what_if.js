// Change any number, or switch parts off. The page compares the change of the loss with what the gradient
// had promised.

function changeControls(node) {  // of the panel
  const span = Math.max(1, 2 * Math.abs(data[node])), start = data[node];
  const range = h("input", { type: "range", id: "change", min: start - span, max: start + span, step: span / 200, value: start, "aria-label": "change it" });
  const field = h("input", { type: "text", inputmode: "decimal", id: "change-to", value: exactly(start), "aria-label": "its new value", autocomplete: "off" });
  range.addEventListener("input", () => act(() => setNumber(node, Number(range.value))));
  field.addEventListener("change", () => {
    const x = Number(field.value.trim().replace("−", "-").replace(",", "."));
    act(() => { if (field.value.trim() === "" || !Number.isFinite(x)) refuse(`‘${field.value}’ is not a number, so the value does not change`); setNumber(node, x); });
  });
  painters.push(() => {  // follow what else changes it, but not under the reader's finger
    if (document.activeElement !== range) range.value = data[node];
    if (document.activeElement !== field) field.value = exactly(data[node]);
  });
  return h("div", { class: "change" },
    h("h4", {}, "What if it were another"),
    h("div", { class: "slider" }, range, field),
    live(() => h("div", {}, model.changes.has(node) ? [outcome(node, { promised: "promised", came: "came" }), button(`put back ${precise(model.changes.get(node).from)}`, () => act(() => putBack(node)), { id: "put-back" })]
      : h("p", { class: "note" }, "Move it, or type a number."))));
}

const exactly = (x) => String(Number(x.toPrecision(8)));

function outcome(what, { promised = null, came: arrived = null } = {}) {  // what the gradient promised for the last change, and what came
  const { before } = model;
  if (!before || before.what !== what) return p(h("span", { class: "note" }, "Something else has changed, or the text. Move it again to see the promise."));
  const came = data[model.result] - before.loss, change = typeof what === "number" ? data[what] - before.data[what] : null;
  return h("div", { class: "outcome" },
    h("dl", {},
      h("dt", {}, "promised"), h("dd", { id: promised, "data-exact": before.promised }, change === null ? "" : `${precise(before.gradient[what])} × ${precise(change)} = `, h("strong", {}, signed(before.promised))),
      h("dt", {}, "came"), h("dd", { id: arrived, "data-exact": came }, `${precise(data[model.result])} − ${precise(before.loss)} = `, h("strong", {}, signed(came)))),
    p(h("span", { class: "note" }, verdict(before.promised, came))));
}

const signed = (x) => (x > 0 ? "+" : "") + precise(x);

function verdict(promised, came) {
  if (promised === 0 && came === 0) return "The promise was 0, and so is the change: the loss of this text does not depend on it, or it was not moved.";
  const miss = Math.abs(promised - came) / Math.max(Math.abs(promised), Math.abs(came));
  if (miss < 0.05) return "The gradient kept its promise. It is the slope at this point, and for a small change the slope decides.";
  if (promised * came > 0 && miss < 0.5) return "The direction is right, the amount is not. A gradient is the slope at the starting point, and the loss has bent away from that straight line.";
  return "The gradient did not keep its promise. It knows the slope at one point, and nothing beyond. So training takes small steps, and computes the gradient again after each.";
}

function whatIf() {
  return section("what-if",
    p("Open any number, a parameter or a result, and move its slider. A result then keeps your value. All that depends on it follows, and is underlined. The panel compares the promise (the gradient times the change) with the real change of the loss. Or switch a part off:"),
    live(() => h("div", { class: "heads", role: "group", "aria-label": "Parts to switch off" }, [...parts].sort(([, a], [, b]) => (a.how === "without") - (b.how === "without")).filter(([, { strips: [first], how }]) => how !== "without" || first.position <= model.last).map(([name, { words }]) =>
      button(words, () => act(() => switchPart(name, !model.off.has(name))), { "aria-pressed": String(model.off.has(name)), "data-part": name })))),
    p(h("span", { class: "note" }, "A head or an MLP that is off adds 0 at every position. A layer norm that is off passes its input on. A position without its embedding does not know where it is. Here, too, the promise is gradient times change, over all numbers that were set.")),
    live(() => changesNow()));
}

function changesNow() {
  const { before, changes, off } = model;
  if (!before && !changes.size && !off.size) return h("p", { class: "note" }, "Nothing is changed now.");
  const rows = [...changes].map(([node, { from, to }]) => h("tr", {}, h("td", {}, opener(node, nameOf(node))), h("td", { class: "number" }, precise(from)), h("td", {}, "→"), h("td", { class: "number" }, precise(to)),
    h("td", {}, button("put back", () => act(() => putBack(node))))));
  return h("div", {},
    rows.length ? [h("h3", {}, "Changed numbers"), h("div", { class: "scroll" }, h("table", {}, h("tbody", {}, rows)))] : null,
    before ? [h("h3", {}, "What the last change did"), h("p", {}, `${typeof before.what === "number" ? nameOf(before.what) : whatWasSwitched(before.what)}. ${moved()}`), outcome(before.what), beforeAndAfter()] : null,
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
  return `${count.toLocaleString("en")} of the ${all.toLocaleString("en")} results (one of each operation) have changed; they are underlined everywhere on the page.`;
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
