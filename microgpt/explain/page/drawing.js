// The first screen: the whole model in one picture. Each character of the text has a lane. From left to right (on a
// phone from top to bottom) its lane is the residual stream: the embedding goes in, the heads of each block carry
// numbers over from earlier lanes, the MLP works within the lane, and at the end are the chances of the next character.
// What a line or a cell stands for is told on hover, and a click opens it. The names over the parts unfold their sections.

const MOST_TILES = 64;   // cells of a strip in the picture
const FAINT = 0.02;      // shares below are not drawn
const picture = { box: null, canvas: null, tip: null, columns: [], colors: null, pointed: null, drawn: [] };

function whole() {
  picture.canvas = h("canvas", { id: "picture", role: "img", onpointermove: (event) => point(event), onpointerleave: () => point(null), onclick: chooseThere });
  picture.tip = h("div", { class: "tip", hidden: "", "aria-hidden": "true" });
  picture.links = h("div", {});
  picture.box = h("div", { class: "picture" }, picture.canvas, picture.links, picture.tip);
  new ResizeObserver(() => { fitScreen(); paintWhole(); }).observe(picture.box);
  for (const scheme of ["(prefers-color-scheme: dark)", "(forced-colors: active)"]) matchMedia(scheme).addEventListener("change", () => { picture.colors = null; paintWhole(); });
  for (const when of ["beforeprint", "afterprint"]) window.addEventListener(when, () => { document.documentElement.classList.toggle("printed", when === "beforeprint"); picture.colors = null; paintWhole(); });
  return h("section", { id: "whole", "aria-label": "The model" }, picture.box, controls());
}

function fitScreen() {  // the picture and what belongs to it end where the first screen does
  const section = document.getElementById("whole");
  section.style.setProperty("--above", `${section.offsetTop}px`);
}

// Where everything is. Along the stream (`from`, `to`) and across it, from lane to lane.

function layOut() {
  const { clientWidth: width, clientHeight: height } = picture.box, turned = width < 640;
  const [along, across] = turned ? [height, width] : [width, height], lead = turned ? 62 : 42;
  const fits = Math.max(1, Math.floor((across - lead) / 11)), count = Math.min(model.last + 1, fits);
  const first = Math.max(0, Math.min(state.position - Math.floor(count / 2), model.last + 1 - count));
  const pitch = Math.min((across - lead - 4) / count, turned ? 70 : 150), gap = turned ? 4 : 7;
  const between = (least, share, most) => Math.max(least, Math.min(most, along * share));
  const ends = [turned ? 34 : between(44, 0.05, 64), turned ? between(96, 0.22, 150) : between(190, 0.2, 260)], heads = content.config.n_head;
  const plan = [["stream", "embedded", 1, "embedding", ["stream", "embed", "e"], "from a character to numbers"]];
  for (const i of layers) plan.push(
    ["heads", `h.${i}`, 2.2 + 0.35 * Math.min(heads, 8), `block-${i}-attention`, [`block ${i}: attention, ${heads} heads`, `attention ${i}`, `att ${i}`, `a${i}`], `attention of block ${i}`],
    ...(layers.length > 2 ? [] : [["stream", `h.${i}.middle`, 1, `block-${i}-added`, ["stream", "+"], `what the heads of block ${i} add`]]),  // in a deep model, room for the heads counts more
    ["mlp", `h.${i}.gelu`, layers.length > 2 ? 1 : 1.3, `block-${i}-mlp`, [`block ${i}: MLP`, `MLP ${i}`, `m${i}`], `the MLP of block ${i}`], ["stream", `h.${i}.end`, 1, i + 1 < layers.length ? `block-${i + 1}-norm` : "stages", ["stream", "+"], i + 1 < layers.length ? `the stream after block ${i}` : "what each stage knew"]);
  const unit = (along - ends[0] - ends[1] - gap * (plan.length + 1)) / plan.reduce((sum, [, , size]) => sum + size, 0);
  let at = 0;
  const column = (kind, key, size, section, names, words) => { const found = { kind, key, from: at, to: at + size, section, names, words }; at += size + gap; return found; };
  const columns = [column("text", "", ends[0], "reading", ["text", "1"], "the text, and the prediction"), ...plan.map(([kind, key, size, ...rest]) => column(kind, key, size * unit, ...rest)),
    column("chances", "logits", ends[1], "logits", ["what comes next", "next"], "the chances of what comes next")];
  Object.assign(picture, { width, height, turned, lead, pitch, first, count, columns, thick: Math.min(0.56 * pitch, turned ? 40 : 62) });
}

const laneAt = (i) => picture.lead + (i - picture.first + 0.5) * picture.pitch;  // the middle of a position's lane
const lanes = () => [...Array(picture.count).keys()].map((i) => picture.first + i);
const headSpan = ({ from, to }, head) => { const each = (to - from) / content.config.n_head; return [from + head * each + 2, from + (head + 1) * each - 2]; };

function tiles(nodes, length, thick) {  // how the numbers of a strip lie in a rectangle: every how many are shown, in how many rows
  const every = Math.ceil(nodes.length / MOST_TILES), n = Math.ceil(nodes.length / every);
  let rows = 1;
  while (rows < n && n / (2 * rows) * thick * 1.5 > length * rows * 2) rows *= 2;
  return { every, rows, perRow: Math.ceil(n / rows) };
}

// Painting.

function paintWhole() {
  if (!picture.box || !picture.box.clientWidth || picture.box.getBoundingClientRect().bottom < 0) return;
  layOut();
  const { canvas, width, height, turned } = picture, ratio = devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) { canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio); }
  const pen2d = canvas.getContext("2d");
  pen2d.setTransform(ratio, 0, 0, ratio, 0, 0);
  picture.colors ??= colorsNow();
  const { card, mark } = picture.colors;
  pen2d.fillStyle = card; pen2d.fillRect(0, 0, width, height);
  if (turned) pen2d.transform(0, 1, 1, 0, 0, 0);  // along the stream is down
  const end = picture.columns[picture.columns.length - 1].to, chosen = laneAt(state.position);
  pen2d.globalAlpha = 0.6; pen2d.fillStyle = mark; pen2d.fillRect(0, chosen - picture.pitch / 2, end, picture.pitch); pen2d.globalAlpha = 1;
  paintStreams(pen2d);
  for (const column of picture.columns) ({ text: paintText, stream: paintTiles, mlp: paintTiles, heads: paintHeads, chances: paintChances })[column.kind](pen2d, column);
  paintPointed(pen2d);
  paintWave(pen2d, end);
  paintLinks();
  canvas.setAttribute("aria-label", `The model reads “${[...model.text].map(show).join("")}”. After ${place(state.position)} it expects ${likeliest(state.position).slice(0, 3).map((id) => `${quoted(id)} with ${percent(chances(state.position)[id], 0)}`).join(", ")}.`);
  paintControls();
}

const WAVE = 450;  // milliseconds in which a text that was just typed passes through the picture

function paintWave(pen2d, end) {  // what it has not reached yet is pale
  if (picture.text !== model.text) {
    picture.begun = picture.text === undefined || pen.turn || matchMedia("(prefers-reduced-motion: reduce)").matches ? -Infinity : performance.now();
    picture.text = model.text;
  }
  const reached = (performance.now() - picture.begun) / WAVE;
  if (reached >= 1) return;
  pen2d.globalAlpha = 0.7; pen2d.fillStyle = picture.colors.card;
  pen2d.fillRect(reached * end, picture.lead - 2, end, picture.count * picture.pitch + 4);
  pen2d.globalAlpha = 1;
  cancelAnimationFrame(picture.frame);
  picture.frame = requestAnimationFrame(paintWhole);
}

const likeliest = (position) => chances(position).map((chance, id) => [chance, id]).sort((a, b) => b[0] - a[0]).map(([, id]) => id);

function colorsNow() {
  const style = getComputedStyle(document.documentElement), get = (name) => style.getPropertyValue(`--${name}`).trim();
  const rgb = (name) => `rgb(${get(name)})`;
  return { card: get("card"), ink: get("ink"), soft: get("soft"), mark: get("mark"), line: get("line"), accent: get("accent"), plus: rgb("plus"), minus: rgb("minus"), good: rgb("good") };
}

function paintStreams(pen2d) {  // each as thick as its vector is long
  const stages = picture.columns.filter(({ kind }) => kind === "stream");
  const lengths = lanes().map((i) => stages.map(({ key }) => Math.sqrt(nodesAt(key, i).reduce((sum, node) => sum + (numberOf(node, now) || 0) ** 2, 0))));
  const longest = Math.max(...lengths.flat(), 1e-9), text = picture.columns[0], last = picture.columns[picture.columns.length - 1];
  lanes().forEach((i, lane) => {
    const middle = laneAt(i), half = (size) => 0.5 * picture.thick * (1 + 0.5 * size / longest);
    const points = [[text.to, half(lengths[lane][0])], ...stages.map(({ from, to }, s) => [(from + to) / 2, half(lengths[lane][s])]), [last.from, half(lengths[lane][stages.length - 1])]];
    pen2d.beginPath();
    for (const side of [-1, 1]) {
      const path = side < 0 ? points : points.slice().reverse();
      path.forEach(([x, w], k) => { if (!k) pen2d.lineTo(x, middle + side * w); else { const [px, pw] = path[k - 1], half = (x + px) / 2; pen2d.bezierCurveTo(half, middle + side * pw, half, middle + side * w, x, middle + side * w); } });
    }
    for (const [color, alpha] of [[picture.colors.card, 1], [picture.colors.minus, i === state.position ? 0.25 : 0.13]]) { pen2d.fillStyle = color; pen2d.globalAlpha = alpha; pen2d.fill(); }
    pen2d.globalAlpha = 1;
  });
}

function paintTiles(pen2d, column) {
  const rows = lanes().map((i) => nodesAt(column.key, i)), most = Math.abs(largestSize(rows.flat().map((node) => valueOf(node)))) || 1;
  rows.forEach((nodes, lane) => {
    const { every, rows: count, perRow } = tiles(nodes, column.to - column.from, picture.thick), w = (column.to - column.from) / perRow, t = picture.thick / count, top = laneAt(picture.first + lane) - picture.thick / 2;
    pen2d.fillStyle = picture.colors.card;
    pen2d.fillRect(column.from, top, perRow * w, picture.thick);
    for (let k = 0; k * every < nodes.length; k++) {
      const value = valueOf(nodes[k * every]);
      pen2d.fillStyle = value > 0 ? picture.colors.plus : picture.colors.minus;
      pen2d.globalAlpha = 0.06 + 0.94 * Math.min(1, Math.abs(value || 0) / most);
      pen2d.fillRect(column.from + (k % perRow) * w, top + Math.floor(k / perRow) * t, Math.max(w - 0.4, 0.6), Math.max(t - 0.4, 0.6));
    }
    pen2d.globalAlpha = 1;
  });
}

function sharesOf(key, head) {  // [reader, read, node, size from 0 to 1, value] of the lines of a head
  const found = [], asShares = !state.backward && !state.compare;
  for (const reader of lanes()) nodesAt(`${key}.head.${head}.attention`, reader).forEach((node, read) => { if (read >= picture.first) found.push([reader, read, node, 0, valueOf(node)]); });
  const most = asShares ? 1 : Math.abs(largestSize(found.map(([, , , , value]) => value))) || 1;
  for (const one of found) one[3] = Math.abs(one[4] || 0) / most;
  return found;
}

function paintHeads(pen2d, column) {
  const thickest = Math.min(9, picture.pitch * 0.3, (column.to - column.from) / content.config.n_head * 0.12);
  for (let head = 0; head < content.config.n_head; head++) {
    const [from, to] = headSpan(column, head), half = (from + to) / 2;
    for (const line of sharesOf(column.key, head).sort((a, b) => (a[0] === state.position) - (b[0] === state.position))) {
      const [reader, read, , size, value] = line, chosen = reader === state.position;
      if (size < FAINT) continue;
      pen2d.strokeStyle = chosen ? picture.colors.plus : value < 0 ? picture.colors.plus : picture.colors.minus;
      pen2d.globalAlpha = chosen ? 0.35 + 0.65 * size : 0.12 + 0.6 * size;
      pen2d.lineWidth = 0.6 + thickest * size;
      pen2d.beginPath();
      pen2d.moveTo(from, laneAt(read));
      pen2d.bezierCurveTo(half, laneAt(read), half, laneAt(reader), to, laneAt(reader));
      pen2d.stroke();
    }
    pen2d.globalAlpha = 1;
    if (to - from > (picture.turned ? 9 : 12)) letters(pen2d, !picture.turned && to - from > 40 ? `head ${head}` : String(head), half, picture.lead - (picture.turned ? 6 : 10), { size: 10, color: picture.colors.soft });
  }
}

function letters(pen2d, words, along, across, { size = 12, color = picture.colors.ink, anchor = "center", weight = "", mono = false } = {}) {
  pen2d.save();
  pen2d.translate(along, across);
  if (picture.turned) pen2d.transform(0, 1, 1, 0, 0, 0);  // letters stay upright
  pen2d.font = `${weight} ${size}px ${mono ? "ui-monospace, Menlo, Consolas, monospace" : "system-ui, sans-serif"}`;
  pen2d.fillStyle = color; pen2d.textAlign = anchor; pen2d.textBaseline = "middle";
  pen2d.fillText(words, 0, 0.5);
  pen2d.restore();
}

function paintText(pen2d, { from, to }) {
  const size = Math.max(9, Math.min(26, picture.pitch * 0.6));
  for (const i of lanes()) letters(pen2d, char(model.tokens[i]), (from + to) / 2, laneAt(i), { size, mono: true, weight: i === state.position ? "bold" : "" });
}

function shareSpans(position, { from, to }) {  // [character, from, to] of the chances, side by side, the likeliest first
  const found = chances(position), length = picture.turned ? 0.7 * (to - from) : to - from - 76;
  let at = from;
  return likeliest(position).map((id) => { const start = at; at += found[id] * length; return [id, start, at]; });
}

function paintChances(pen2d, column) {
  const thick = Math.min(picture.pitch * 0.7, 34), { colors, turned } = picture;
  for (const i of lanes()) {
    const next = model.tokens[i + 1], spans = shareSpans(i, column), middle = laneAt(i);
    spans.forEach(([id, from, to], k) => {
      pen2d.fillStyle = id === next ? colors.good : colors.minus;
      pen2d.globalAlpha = id === next ? 0.75 : Math.max(0.14, 0.5 - 0.07 * k);
      pen2d.fillRect(from, middle - thick / 2, Math.max(0.4, to - from - 1), thick);
      pen2d.globalAlpha = 1;
      if (to - from > (turned ? 13 : 11) && picture.pitch > 10) letters(pen2d, char(id), (from + to) / 2, middle, { size: Math.min(14, picture.pitch * 0.8), mono: true });
    });
    const chance = percent(chances(i)[next], 0), size = Math.min(12, picture.pitch * 0.7), end = spans[spans.length - 1][2], { good } = colors;
    if (turned) { letters(pen2d, char(next), end + 9, middle, { size, mono: true, color: good, weight: "bold" }); letters(pen2d, picture.pitch > 30 ? chance : chance.replace(" %", ""), end + 22, middle, { size: Math.min(10, picture.pitch * 0.5), color: good }); }
    else letters(pen2d, `→ ${char(next)} ${chance}`, end + 6, middle, { size, color: good, anchor: "left" });
  }
}

// Pointing.

function hit(x, y) {  // what lies there: {position, section, target, words, line}
  const [along, across] = picture.turned ? [y, x] : [x, y], lane = picture.first + Math.floor((across - picture.lead) / picture.pitch);
  const column = picture.columns.find(({ from, to }) => along >= from && along <= to);
  if (!column || lane < picture.first || lane >= picture.first + picture.count) return null;
  const found = { position: lane, column };
  if (column.kind === "stream" || column.kind === "mlp") {
    const nodes = nodesAt(column.key, lane), { every, rows, perRow } = tiles(nodes, column.to - column.from, picture.thick);
    const col = Math.floor((along - column.from) / (column.to - column.from) * perRow), row = Math.floor((across - laneAt(lane) + picture.thick / 2) / picture.thick * rows);
    const target = row >= 0 && row < rows && col < perRow ? nodes[(row * perRow + col) * every] : undefined;
    if (target !== undefined) Object.assign(found, { target, words: `${modeWords(nameOf(target))}: ${precise(valueOf(target))}` });
  } else if (column.kind === "heads") Object.assign(found, lineAt(column, along, across));
  else if (column.kind === "chances") {
    const [id] = shareSpans(lane, column).find(([, from, to]) => along >= from && along < to) ?? [model.tokens[lane + 1]], target = nodesAt("logits", lane)[id];
    Object.assign(found, { target, words: `after ${place(lane)}: ${quoted(id)} with ${percent(chances(lane)[id])}${id === model.tokens[lane + 1] ? ", which comes next" : ""}` });
  } else found.words = place(lane);
  return found;
}

function lineAt(column, along, across) {  // the line of a head that passes nearest
  const head = Math.max(0, Math.min(content.config.n_head - 1, Math.floor((along - column.from) / (column.to - column.from) * content.config.n_head))), [from, to] = headSpan(column, head);
  let best = null, nearest = 8;
  for (const [reader, read, node, size, value] of sharesOf(column.key, head)) {
    if (size < FAINT) continue;
    const [a, b] = [laneAt(read), laneAt(reader)];
    for (let t = 0; t <= 1; t += 0.04) {
      const s = 1 - t, x = s * s * s * from + 1.5 * s * t * (from + to) + t * t * t * to, y = s * s * (s + 3 * t) * a + t * t * (t + 3 * s) * b, distance = Math.hypot(x - along, y - across) - size;
      if (distance < nearest) { nearest = distance; best = { target: node, position: reader, line: [reader, read, from, to], words: `block ${column.key.slice(2)}, head ${head}: ${place(reader)} reads ${state.backward || state.compare ? precise(value) : percent(value, 0)} from ${place(read)}` }; }
    }
  }
  return best ?? { words: `block ${column.key.slice(2)}, head ${head}` };
}

function point(event) {
  const found = event && hit(event.offsetX, event.offsetY), { tip } = picture;
  picture.pointed = found;
  tip.hidden = !found?.words;
  if (found?.words) {
    tip.textContent = found.words;
    tip.style.left = `${Math.max(0, Math.min(event.offsetX + 12, picture.width - tip.offsetWidth - 4))}px`;
    tip.style.top = `${event.offsetY + (event.offsetY > picture.height - 60 ? -12 - tip.offsetHeight : 18)}px`;
  }
  paintWhole();
}

function paintPointed(pen2d) {
  const line = picture.pointed?.line;
  if (!line) return;
  const [reader, read, from, to] = line, half = (from + to) / 2;
  pen2d.strokeStyle = picture.colors.ink; pen2d.lineWidth = 2;
  pen2d.beginPath(); pen2d.moveTo(from, laneAt(read)); pen2d.bezierCurveTo(half, laneAt(read), half, laneAt(reader), to, laneAt(reader)); pen2d.stroke();
}

function chooseThere(event) {  // the position, and the number if there is one
  const found = hit(event.offsetX, event.offsetY);
  if (!found) return;
  if (found.position !== state.position) choose(found.position);
  if (found.target !== undefined) { state.opener = null; state.trail = []; open(found.target, { quietly: true }); }
}

function paintLinks() {  // the names of the parts, which lead to their sections
  const says = JSON.stringify([picture.width, picture.height, picture.turned]);
  if (picture.links.dataset.says === says) return;
  picture.links.dataset.says = says;
  const room = (size) => picture.turned ? 60 : size;
  picture.links.replaceChildren(...picture.columns.filter(({ kind, from, to }) => kind !== "stream" || to - from >= 24).map(({ from, to, section, names, words }) => {
    const name = names.find((one) => one.length * 6.6 + 8 < room(to - from)) ?? names[names.length - 1];
    const style = picture.turned ? { left: 0, top: `${(from + to) / 2 - 12}px`, width: "60px", height: "24px" } : { left: `${(from + to) / 2 - Math.max(24, to - from) / 2}px`, top: 0, width: `${Math.max(24, to - from)}px`, height: "24px" };
    return partLink(section, name, words, style);
  }));
}

function partLink(section, name, words, style = {}) {
  return h("a", { href: `#${section}`, class: "part", "data-section": section, title: words, "aria-label": name.length > 3 ? `${name}: ${words}` : `${words} (${name})`, style, onclick: (event) => { event.preventDefault(); goToSection(section); } }, name);
}

// What one can do with the whole: train, write, and go on to the sections.

function controls() {
  const more = [["training", "training"], ["writing", "writing"], ["what-if", "what if"], ["names", lines ? "100 names" : "many texts"], ["stages", "stages"], ["backward-pass", "backward"], ["time", "time"], ["atoms", "atoms"], ["run", "the run"], ["questions", "questions"]];
  return h("div", { class: "controls" },
    h("div", { class: "heads" },
      button("Train from nothing", trainFromNothing, { id: "from-nothing" }),
      button("train on", togglePlaying, { id: "picture-play" }),
      button("write on", toggleWriting, { id: "write-on" })),
    h("span", { id: "said", class: "note", role: "status" }),
    h("figure", { class: "small-curve" }, svg("svg", { viewBox: "0 0 240 48", preserveAspectRatio: "none", "aria-hidden": "true" }, svg("path", { class: "level" }), svg("path", { class: "thin" }), svg("path", { class: "thick" })), h("figcaption", { id: "small-curve-words" })),
    h("nav", { class: "more-parts", "aria-label": "Other sections" }, more.map(([section, name]) => partLink(section, name, TITLES.get(section)))));
}

function trainFromNothing() {
  stopPlaying();
  startAtRandom("training from nothing");
  if (texts.length) learnFrom("data");
  startPlaying();
}

function paintControls() {
  const words = document.getElementById("small-curve-words"), figure = words.closest("figure"), points = thinned(trainer.losses, 120), n = trainer.steps;
  document.getElementById("picture-play").textContent = trainer.playing ? "pause" : "train on";
  document.getElementById("write-on").textContent = pen.turn ? "stop" : "write on";
  figure.classList.toggle("empty", !n);
  if (!n) { words.textContent = "Point at a line or a cell; click it; type another text."; return; }
  const guess = Math.log(vocabulary.length), [low, high] = [Math.min, Math.max].map((most) => most(guess, ...points.map(([, y]) => y))), x = (step) => (240 * step / Math.max(1, n)).toFixed(1), y = (loss) => (2 + 44 * (high - loss) / (high - low || 1)).toFixed(1);
  const path = (some) => some.length ? "M" + some.map(([step, loss]) => `${x(step)} ${y(loss)}`).join("L") : "";
  const [level, thin, thick] = figure.querySelectorAll("path");
  level.setAttribute("d", `M0 ${y(guess)}H240`);
  thin.setAttribute("d", trainer.mode === "text" ? "" : path(points));
  thick.setAttribute("d", path(trainer.mode === "text" ? points : runningMean(points)));
  words.textContent = `${countedSteps(n)}, loss ${inThatWay(trainer.losses[trainer.losses.length - 1][1], LOSS)}${trainer.mode === "text" ? "" : ` on ${trainer.batch} ${kinds}`}`;
}
