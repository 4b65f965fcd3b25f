// The panel: one number, its operands, and its uses.

const TERMS_AT_ONCE = 40;
let panelPainters = [];

function paintPanel() {
  const panel = document.getElementById("panel"), top = panel.scrollTop;
  keepingFocus(() => panelPainters.forEach((paint) => paint()));
  panel.scrollTop = top;
}

function open(target, { fromTrail = false, quietly = false } = {}) {  // quietly: the focus stays where it is
  if (!fromTrail) state.trail.push(target);
  const panel = document.getElementById("panel");
  panel.classList.add("opened");
  panel.classList.toggle("small", state.small);
  const [made, followers] = collected(() => panelOf(target));
  panelPainters = followers;
  panel.replaceChildren(...made);
  panel.scrollTop = 0;
  if (!quietly) panel.querySelector("h2").focus({ preventScroll: true });
  const trail = panel.querySelector(".trail");
  if (trail) trail.scrollTop = trail.scrollHeight;
  if (getComputedStyle(panel).position === "fixed" && state.opener?.isConnected) {  // on a phone it must not lie under the panel
    const hidden = state.opener.getBoundingClientRect().bottom + 12 - panel.getBoundingClientRect().top;
    if (hidden > 0) window.scrollBy(0, hidden);
  }
  markOpen();
}

function resize() {  // on a phone, where the panel lies over what it is about
  state.small = !state.small;
  const smaller = document.getElementById("smaller"), panel = document.getElementById("panel");
  smaller.textContent = state.small ? "larger" : "smaller";
  smaller.setAttribute("aria-expanded", String(!state.small));
  panel.classList.toggle("small", state.small);
  panel.scrollTop = 0;
}

function close() {
  state.trail = [];
  panelPainters = [];
  hint();
  markOpen();
  const { opener: from } = state;
  if (from?.isConnected) from.focus();
}

function hint() {  // while no number is open
  const panel = document.getElementById("panel");
  panel.classList.remove("opened");
  panel.replaceChildren();
}

function back() {
  if (state.trail.length < 2) return close();
  state.trail.pop();
  open(state.trail[state.trail.length - 1], { fromTrail: true });
}

function markOpen() {
  const target = state.trail.length ? JSON.stringify(state.trail[state.trail.length - 1]) : null;
  document.querySelectorAll("main .cell.open").forEach((element) => element.classList.remove("open"));
  if (target) document.querySelectorAll("main .cell").forEach((element) => element.classList.toggle("open", element.dataset.target === target));
}

function panelOf(target) {
  const node = isPart(target) ? target.node : target;
  const value = () => isPart(target) ? sumOf(partTerms(target)) : data[node];
  const trail = state.trail.map((step, i) => h("li", {}, i === state.trail.length - 1 ? titleOf(step) : h("button", { type: "button", class: "link",
    onclick: () => { state.trail.length = i + 1; open(step, { fromTrail: true }); } }, titleOf(step))));
  return [
    h("div", { class: "tools" },
      h("button", { type: "button", id: "back", onclick: back, disabled: state.trail.length < 2 ? "" : null }, "← back"),
      h("span", {},
        h("button", { type: "button", id: "smaller", "aria-expanded": String(!state.small), onclick: resize }, state.small ? "larger" : "smaller"), " ",
        h("button", { type: "button", id: "close", onclick: close }, "close"))),
    trail.length > 1 ? h("ol", { class: "trail", "aria-label": "How you came here" }, trail) : null,
    h("h2", { tabindex: -1, id: "opened" }, titleOf(target)),
    live(() => h("dl", {},
      h("dt", {}, "value"), h("dd", { class: "big", id: "value", "data-exact": value() }, precise(value())),
      h("dt", {}, "gradient"), h("dd", { id: "gradient", "data-exact": gradient[node] }, precise(gradient[node]),
        program.kind[node] === CONSTANT ? null : [h("br"), h("span", { class: "note" }, `If it grew by 0.001, the loss would ${gradient[node] < 0 ? "fall" : "grow"} by about ${precise(Math.abs(gradient[node]) / 1000)}.`)]))),
    isPart(target) || !canBeSet(node) ? null : changeControls(node),
    live(() => h("div", {}, [...madeOf(target, node), ...usedBy(target, node)].flat().filter(Boolean)))].flat().filter(Boolean);
}

function madeOf(target, node) {
  if (isPart(target)) return sumPanel(partTerms(target), node, "This is part of the sum that attention adds: the products of this head's numbers.", target);
  switch (kind[node]) {
    case PARAMETER: return [p("A parameter: learned, not computed. The way down ends here. Training moves it against its gradient."), whereUsed(node), lastStepOf(node)];
    case CONSTANT: return [p(model.changes.has(node) ? "You set it. Its operands no longer count, and no gradient flows further down."
      : program.kind[node] === CONSTANT ? aboutConstant(node)
      : "It is switched off: it is 0, whatever its operands are.")];
    case LARGEST: return [p(`A choice: the largest of ${right[node]} numbers, as a constant: no gradient flows through it. Softmax subtracts it from all of them, so that the greatest exponent is 0 and no exponential is too large for the computer. That divides all exponentials by the same number, which cancels in their shares.`),
      h("div", { class: "formula" }, "the largest of ", Array.from(items.subarray(left[node], left[node] + Math.min(right[node], 30)), (item) => [number(item), " "]), "= ", h("strong", { id: "recomputed", "data-exact": recompute(node) }, precise(recompute(node))))];
    case ADD: {
      const terms = termsOf(node);
      const many = terms.length > 2 || terms.some(isTermProduct);
      return many && !state.binary ? sumPanel(terms, node, null, target) : operandTable(node, "+", many);
    }
    case MUL: return operandTable(node, "×");
    case DIVIDE: return operandTable(node, "÷");
    case LESS: case LESS_EQUAL: return [p("A comparison: 1 if it holds, else 0. It only chooses, so no gradient flows through it."),
      h("div", { class: "formula" }, number(left[node]), kind[node] === LESS ? " < " : " ≤ ", number(right[node]), " = ", h("strong", { id: "recomputed", "data-exact": recompute(node) }, precise(recompute(node))))];
    case WHERE: return [p("A choice: the first number if the test is 1, else the second. The gradient goes to the one that is chosen."),
      h("div", { class: "formula" }, number(items[right[node]]), " if ", number(left[node]), " else ", number(items[right[node] + 1]), " = ", h("strong", { id: "recomputed", "data-exact": recompute(node) }, precise(recompute(node))))];
    case POW: return operandTable(node, `to the power of ${precise(data[right[node]])}`);
    default: return operandTable(node, FUNCTION_NAMES[program.kind[node]]);
  }
}

const number = (node) => {
  const value = data[node];
  return h("button", { type: "button", class: `cell ${value > 0 ? "plus" : value < 0 ? "minus" : ""}`, "data-target": String(node), title: nameOf(node), "aria-label": `${nameOf(node)}: ${precise(value)}`, style: { "--strength": 0.35 } }, precise(value));
};

function sumPanel(terms, node, words, target) {
  const products = terms.filter(isTermProduct).length;
  const computed = sumOf(terms);
  const kindOfSum = products === terms.length ? `a dot product: the sum of ${terms.length} products` : products ? `a sum of ${terms.length} terms, ${products} of them products` : `a sum of ${terms.length} terms`;
  const factor = (term, side) => [number(operandsOf(term)[side]), h("small", {}, precise(derivative(term, side) * gradient[node]))];
  const rows = (from) => terms.slice(from, from + TERMS_AT_ONCE).map((term) => isTermProduct(term)
    ? h("tr", {}, h("td", {}, factor(term, 0)), h("td", {}, "×"), h("td", {}, factor(term, 1)), h("td", {}, "="), h("td", {}, number(term), h("small", {}, precise(gradient[node]))))
    : h("tr", {}, h("td", { colspan: 4 }, opener(term, nameOf(term))), h("td", {}, number(term), h("small", {}, precise(gradient[node])))));
  const body = h("tbody", {}, rows(0));
  const more = (from) => terms.length > from ? h("button", { type: "button", class: "more", onclick: (event) => { body.append(...rows(from)); event.target.replaceWith(more(from + TERMS_AT_ONCE) ?? ""); } }, `${terms.length - from} more`) : null;
  return [
    h("h3", {}, "Made of"), p(words ?? `It is ${kindOfSum}.`),
    h("div", { class: "formula" }, terms.slice(0, 3).flatMap((term, i) => [i ? " + " : "", isTermProduct(term) ? [number(left[term]), " × ", number(right[term])] : number(term)]), terms.length > 3 ? ` + … = ` : " = ", h("strong", { id: "recomputed", "data-exact": computed }, precise(computed))),
    p(h("span", { class: "note" }, "Under each number: the gradient that flows to it.")),
    h("div", { class: "scroll" }, h("table", { class: "operands" }, body)),
    more(TERMS_AT_ONCE),
    isPart(target) ? null : h("button", { type: "button", class: "more", id: "binary", onclick: () => { state.binary = true; open(target, { fromTrail: true }); } }, "as single additions")];
}

function operandTable(node, sign, expandable = false) {
  const operands = operandsOf(node);
  const computed = recompute(node);
  const formula = operands.length === 2 ? [number(operands[0]), ` ${sign} `, number(operands[1])] : sign.startsWith("to") ? [number(operands[0]), ` ${sign}`] : [`${sign} of `, number(operands[0])];
  return [
    h("h3", {}, "Made of"),
    h("div", { class: "formula" }, formula, " = ", h("strong", { id: "recomputed", "data-exact": computed }, precise(computed))),
    operands.map((operand, side) => h("div", { class: "operand" }, opener(operand, nameOf(operand)),
      h("dl", {}, h("dt", {}, "value"), h("dd", {}, precise(data[operand])),
        h("dt", {}, "local derivative"), h("dd", {}, precise(derivative(node, side))),
        h("dt", {}, "gradient that flows there"), h("dd", {}, precise(derivative(node, side) * gradient[node]))))),
    p(h("span", { class: "note" }, "The local derivative, times the gradient of the result, flows to the operand: the chain rule.")),
    expandable ? h("button", { type: "button", class: "more", id: "binary", onclick: () => { state.binary = false; open(state.trail[state.trail.length - 1], { fromTrail: true }); } }, "as one sum") : null];
}

function usedBy(target, node) {
  if (isPart(target)) return [];
  const users = [...new Set(usesOf(node))];
  if (!users.length) return [h("h3", {}, "Used by"), p(node === model.result ? "Nothing: this is the result, and its gradient is 1." : "It is only used as an exponent, or not at all, so no gradient flows to it.")];
  const sent = (user) => operandsOf(user).reduce((sum, operand, side) => sum + (operand === node ? derivative(user, side) * gradient[user] : 0), 0);
  const rows = (from) => users.slice(from, from + 12).map((user) => h("tr", {}, h("td", {}, opener(user, nameOf(user))), h("td", { class: "number" }, precise(sent(user)))));
  const body = h("tbody", {}, rows(0));
  const more = (from) => users.length > from ? h("button", { type: "button", class: "more", onclick: (event) => { body.append(...rows(from)); event.target.replaceWith(more(from + 12) ?? ""); } }, `${users.length - from} more`) : null;
  return [
    h("h3", {}, users.length === 1 ? "Used once" : `Used by ${users.length} operations`),
    h("table", { class: "operands" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "by"), h("th", { scope: "col", class: "number" }, "sends back"))), body),
    more(12),
    p(h("span", { class: "note" }, "Their sum is the gradient: "), h("strong", { id: "received", "data-exact": received(node) }, precise(received(node))))];
}

