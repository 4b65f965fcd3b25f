// The whole model in one drawing: the residual stream is a river, as wide as its vector is long, and each part adds to
// it. The parts are drawn from the strips of the program; a click leads to their sections.

const MOST_CELLS = 48;  // of a strip in the drawing
const [RIVER, DEPTH] = [150, 84];  // where the river flows, and how wide it is at most

function drawing() {
  const [picture, paint] = river();
  paint();
  painters.push(paint);
  return section("whole",
    p(`From left to right: a character and its position become a list of ${content.config.n_embd} numbers, called the residual stream. It flows on, and each part reads from it and adds to it. The heads look back at earlier positions (this is attention), and the MLP works on their findings. At the end are the chances of each next character. The drawing is live. It shows the numbers at `, live(() => h("strong", {}, place(state.position))), ". A click leads to a part."),
    p("In the bar that stays on top, you choose the text and the position. “Gradients” shows for each number how much the loss would grow with it. (The loss is how wrong the model was, section 1.) “Pin” keeps all numbers as they are now; then “compare” shows how much each has changed."),
    h("div", { class: "scroll" }, picture));
}

function river() {
  const heads = [...Array(content.config.n_head).keys()];
  const paints = [], parts = [];
  const strip = (key, x, y, width, height, upright, after = null) => {  // numbers as coloured cells
    const nodes = here(key).filter((_, i, all) => i % Math.ceil(all.length / MOST_CELLS) === 0), n = nodes.length || 1;
    const rects = nodes.map((_, i) => upright ? svg("rect", { x, width, y: y + (i * height) / n, height: height / n }) : svg("rect", { y, height, x: x + (i * width) / n, width: width / n }));
    paints.push(() => {
      const values = nodes.map((node) => valueOf(node)), most = values.reduce((a, b) => Math.max(a, Math.abs(b) || 0), 0) || 1;
      values.forEach((value, i) => { rects[i].setAttribute("class", value > 0 ? "plus" : "minus"); rects[i].setAttribute("fill-opacity", (0.08 + 0.92 * Math.abs(value || 0) / most).toFixed(2)); });
      after?.(rects);
    });
    return svg("g", {}, rects);
  };
  const label = (words, x, y, anchor = "middle") => svg("text", { x, y, "text-anchor": anchor }, words);
  const part = (section, words, ...drawn) => {
    const link = svg("a", { href: `#${section}`, class: "part", "data-section": section, "aria-label": `${words}: go to its section`, onclick: (event) => { event.preventDefault(); goToSection(section); } }, svg("title", {}, words), drawn);
    parts.push(link);
    return link;
  };
  const box = (x, y, width, height) => svg("rect", { x, y, width, height, rx: 6, class: "box" });
  const arrow = (d) => svg("path", { d, class: "flow" });

  const stages = [];  // where the river is measured: [x, key]
  const bed = svg("path", { class: "bed" });
  const drawn = [bed];
  let x = 4;
  drawn.push(part("embedding", "the embeddings of the character and of its position", box(x, RIVER - 88, 84, 176), label("character", x + 42, RIVER - 70), strip("token", x + 8, RIVER - 62, 68, 16), label("+", x + 42, RIVER - 24), label("position", x + 42, RIVER - 6), strip("place", x + 8, RIVER + 2, 68, 16), label("=", x + 42, RIVER + 38), label("the stream", x + 42, RIVER + 56)));
  x += 108;
  const stage = (key, section) => {
    stages.push([x, key]);
    const at = x;
    const group = strip(key, x, RIVER - 20, 14, 40, true, (rects) => {
      const width = widthOf(key);
      rects.forEach((rect, i) => { rect.setAttribute("y", RIVER - width / 2 + (i * width) / rects.length); rect.setAttribute("height", width / rects.length); });
    });
    drawn.push(part(section, `the residual stream here`, svg("rect", { x: at - 3, y: RIVER - DEPTH / 2, width: 20, height: DEPTH, class: "catch" }), group));
    x += 30;
  };
  stage("embedded", "embedding");
  for (const layer of layers) {
    const key = `h.${layer}`, each = 74, most = Math.min(heads.length, 8);
    const width = Math.max(most * each, 150);
    drawn.push(part(`block-${layer}-attention`, `attention of block ${layer}`, arrow(`M${x - 14} ${RIVER - 14} C ${x} ${RIVER - 60}, ${x} 60, ${x + 14} 52`), box(x + 14, 8, width, 74),
      heads.slice(0, most).map((head) => [label(`head ${head}`, x + 14 + head * each + each / 2, 24), strip(`${key}.head.${head}.attention`, x + 22 + head * each, 30, each - 16, 14), strip(`${key}.head.${head}.read`, x + 22 + head * each, 50, each - 16, 14)]),
      label("reads: from whom, and what", x + 14 + width / 2, 78), arrow(`M${x + width + 14} 52 C ${x + width + 30} 60, ${x + width + 26} ${RIVER - 60}, ${x + width + 40} ${RIVER - 14}`)));
    x += width + 44;
    stage(`${key}.middle`, `block-${layer}-attention`);
    drawn.push(part(`block-${layer}-mlp`, `MLP of block ${layer}`, arrow(`M${x - 14} ${RIVER + 14} C ${x} ${RIVER + 60}, ${x} 246, ${x + 14} 250`), box(x + 14, 222, 150, 62),
      label(`MLP: ${4 * content.config.n_embd} hidden units`, x + 89, 238), strip(`${key}.gelu`, x + 22, 245, 134, 12), strip(`${key}.mlp`, x + 22, 263, 134, 12), arrow(`M${x + 164} 250 C ${x + 180} 246, ${x + 176} ${RIVER + 60}, ${x + 190} ${RIVER + 14}`)));
    x += 194;
    stage(`${key}.end`, `block-${layer}-mlp`);
  }
  const best = [...Array(5).keys()].map((i) => ({ name: label("", x + 62, RIVER - 40 + i * 22, "end"), bar: svg("rect", { x: x + 70, y: RIVER - 52 + i * 22, height: 15, rx: 2, class: "chance" }), words: label("", x + 76, RIVER - 40 + i * 22, "start") }));
  const legend = svg("rect", { x: x + 14, y: RIVER + 57, width: 10, height: 10, rx: 2, class: "chance true" }), legendWords = label("", x + 30, RIVER + 66, "start");
  drawn.push(part("logits", "the chances of what comes next", box(x + 4, RIVER - 84, 170, 158), label("what comes next", x + 89, RIVER - 66), best.map(({ name, bar, words }) => [bar, name, words]), legend, legendWords));
  paints.push(() => {
    const found = chances(state.position), next = model.tokens[state.position + 1], order = found.map((_, id) => id).sort((a, b) => found[b] - found[a]).slice(0, 5);
    best.forEach(({ name, bar, words }, i) => {
      const id = order[i], share = found[id] ?? 0;
      name.textContent = id === undefined ? "" : char(id);
      bar.setAttribute("width", Math.max(1, 90 * share).toFixed(1));
      bar.setAttribute("class", `chance ${id === next ? "true" : ""}`);
      words.textContent = id === undefined ? "" : percent(share, 0);
      words.setAttribute("x", x + 76 + 90 * (share > 0.55 ? 0 : share));
    });
    legendWords.textContent = `what really comes${order.includes(next) ? "" : `: ${percent(found[next], 0)}`}`;
  });
  paints.push(() => {
    const banks = stages.map(([at, key]) => [at + 7, widthOf(key) / 2]), smooth = (points) => points.map(([px, py], i) => i ? `C ${(points[i - 1][0] + px) / 2} ${points[i - 1][1]}, ${(points[i - 1][0] + px) / 2} ${py}, ${px} ${py}` : "").join(" ");
    const upper = [[88, RIVER - banks[0][1]], ...banks.map(([px, w]) => [px, RIVER - w]), [x + 4, RIVER - banks[banks.length - 1][1]]], lower = upper.map(([px, py]) => [px, 2 * RIVER - py]).reverse();
    bed.setAttribute("d", `M${upper[0]} ${smooth(upper)} L${lower[0]} ${smooth(lower)} Z`);
  });
  const longest = () => Math.max(...stages.map(([, key]) => streamLength(key)), 1e-9);
  const widthOf = (key) => 10 + (DEPTH - 10) * (streamLength(key) / longest() || 0);
  const width = x + 194;
  const picture = svg("svg", { class: "river", style: `max-width: ${width}px; min-width: ${Math.min(width, 736) + (width - 736) * (content.config.n_layer > 1 ? 0.8 : 0)}px`, viewBox: `0 0 ${width} 292`, role: "group", "aria-label": "The model as a drawing" }, drawn);
  return [picture, () => paints.forEach((paint) => paint())];
}

const streamLength = (key) => Math.sqrt(here(key).reduce((sum, node) => sum + (numberOf(node, now) || 0) ** 2, 0));

function goToSection(id) {
  const target = document.getElementById(id);
  target.scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "instant" : "smooth" });
  target.setAttribute("tabindex", "-1");
  target.focus({ preventScroll: true });
}

function whereOneIs() {  // mark the part of the drawing, and the entry of the contents, that one has scrolled to
  const marks = [...document.querySelectorAll("#main > section, #main .unit")].filter((mark) => mark.getBoundingClientRect().top < innerHeight * 0.4);
  const id = marks.length ? marks[marks.length - 1].id : "whole", [home] = [document.getElementById(id)?.closest("section")?.id ?? id];
  document.querySelectorAll(".part").forEach((one) => one.classList.toggle("current", one.dataset.section === id || one.dataset.section === home));
  const contents = document.getElementById("contents");
  if (contents.value !== home) contents.value = home;
}
