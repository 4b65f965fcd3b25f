"use strict";
// The page of a large model: it draws the numbers that it is given, for the token that is chosen.

const content = JSON.parse(document.getElementById("content").textContent);
const weights = Uint8Array.from(atob(document.getElementById("attention").textContent), (c) => c.charCodeAt(0));
const count = content.tokens.length;

function make(kind, text, parent) {
  const made = document.createElement(kind);
  if (text !== null) made.textContent = text;
  parent.append(made);
  return made;
}

function visible(text) {  // spaces and line ends can be seen
  return text.replace(/ /g, "\u00b7").replace(/\n/g, "\u21b5").replace(/\t/g, "\u21e5") || "(nothing)";
}

function percent(chance) {
  return `${(100 * chance).toFixed(chance < 0.1 ? 2 : 1)} %`;
}

function ofToken(at) {
  const table = document.getElementById("chances");
  table.replaceChildren();
  const found = content.chances[at];
  for (const [text, chance] of found.likeliest) {
    const row = make("tr", null, table);
    make("th", visible(text), row).scope = "row";
    const cell = make("td", null, row);
    make("span", null, cell).className = "bar-of";
    cell.firstChild.style.width = `${(20 * chance) / found.likeliest[0][1]}rem`;
    make("span", percent(chance), cell);
  }
  if (found.following !== null) {
    const row = make("tr", null, table);
    make("th", `${visible(content.tokens[at + 1])} follows`, row).scope = "row";
    make("td", `${percent(found.following)}, a surprise of ${(-Math.log(found.following)).toFixed(2)} nats`, row);
  }
}

function ofStages(at) {
  const table = document.getElementById("lens");
  table.replaceChildren();
  content.stages.forEach((stage, i) => {
    const row = make("tr", null, table);
    make("th", i === content.layers ? "after all layers" : i === 0 ? "before layer 1" : `after layer ${i}`, row).scope = "row";
    for (const [text, chance] of stage[at].likeliest) make("td", `${visible(text)}  ${percent(chance)}`, row);
    const following = stage[at].following;
    if (following !== null) make("td", `${visible(content.tokens[at + 1])} (follows)  ${percent(following)}`, row);
  });
}

function ofHeads(at) {
  const all = document.getElementById("heads");
  all.replaceChildren();
  for (let layer = 0; layer < content.layers; layer++) {
    make("h3", `layer ${layer + 1}`, all);
    const row = make("div", null, all);
    row.className = "heads";
    for (let head = 0; head < content.heads; head++) {
      const start = ((layer * content.heads + head) * count + at) * count;
      const figure = make("figure", null, row);
      figure.className = "head";
      const strip = make("div", null, figure);
      strip.className = "looks";
      let most = 0;
      for (let place = 0; place <= at; place++) {
        const square = make("span", null, strip);
        square.style.background = `rgb(var(--plus) / ${weights[start + place] / 255})`;
        square.title = `${visible(content.tokens[place])}: ${percent(weights[start + place] / 255)}`;
        if (weights[start + place] > weights[start + most]) most = place;
      }
      make("figcaption", `head ${head + 1}: most from ${visible(content.tokens[most])}, ${percent(weights[start + most] / 255)}`, figure);
    }
  }
}

function choose(at) {
  [...document.getElementById("tokens").children].forEach((button, i) => {
    button.setAttribute("aria-checked", String(i === at));
    button.tabIndex = i === at ? 0 : -1;
  });
  ofToken(at);
  ofStages(at);
  ofHeads(at);
}

const number = (n) => n.toLocaleString("en");
document.getElementById("about").textContent =
  `The model in ${content.model} takes about ${number(content.operations)} operations for this text. ` +
  (content.operations > content.most
    ? `A page can open ${number(content.most)} of them one by one, so no single number opens here. `
    : "Its tokens are parts of words, so no single number opens here. ") +
  "This is what can be shown: " +
  "the chances of the next token, what each stage knew of it, and where each head looks. Choose a token.";
content.tokens.forEach((text, i) => {
  const button = make("button", visible(text), document.getElementById("tokens"));
  button.type = "button";
  button.setAttribute("role", "radio");
  button.addEventListener("click", () => choose(i));
});
document.getElementById("tokens").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const buttons = [...event.currentTarget.children];
  const at = (buttons.indexOf(document.activeElement) + step + count) % count;
  choose(at);
  buttons[at].focus();
});
choose(count - 1);
