// Change any number: the page compares the change of the loss with what the gradient had promised.

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
    h("h3", {}, "What if it were another"),
    h("div", { class: "slider" }, range, field),
    live(() => h("div", {}, model.changes.has(node) ? [outcome(node, { promised: "promised", came: "came" }), elsewhere(), button(`put back ${precise(model.changes.get(node).from)}`, () => act(() => putBack(node)), { id: "put-back" })]
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

// What the last step of training did.

function adamOf(node) {
  const { m, v, steps, lastRate, gradient: gradients, from } = moments;
  const mHat = m[node] / (1 - BETA1 ** steps), vHat = v[node] / (1 - BETA2 ** steps);
  const step = lastRate * (mHat / (Math.sqrt(vHat) + EPSILON) + decay[node] * from[node]);
  const row = (name, words, value) => h("tr", {}, h("th", { scope: "row" }, h("code", {}, name)), h("td", {}, words), h("td", { class: "number" }, precise(value)));
  return h("div", { class: "scroll" }, h("table", { class: "adam" }, h("tbody", {},
    row("gradient", "of the loss to it", gradients[node]),
    row("m", "the running mean of the gradient", m[node]), row("v", "the running mean of its square", v[node]),
    row("m_hat", `m / (1 − ${BETA1}^${steps})`, mHat), row("v_hat", `v / (1 − ${BETA2}^${steps})`, vHat),
    row("parameter", "before", from[node]), row("step", `− ${precise(lastRate)} × (${precise(mHat)} / ${precise(Math.sqrt(vHat))}${decay[node] ? ` + ${precise(decay[node])} × ${precise(from[node])}` : ""})`, -step),
    row("parameter", "after", from[node] - step))));
}

function lastStepOf(node) {  // for the panel
  return moments.steps ? h("div", {}, h("h3", {}, "What the last step did to it"), moments.rule === "sgd" ? descentOf(node) : adamOf(node)) : null;
}

function descentOf(node) {
  const { lastRate, gradient: gradients, from } = moments;
  return h("div", { class: "formula" }, `${precise(from[node])} − ${precise(lastRate)} × ${precise(gradients[node])} = ${precise(from[node] - lastRate * gradients[node])}`);
}
