// What the sections of the page are put together from.

const state = {
  position: 2, wanted: 2, backward: false, compare: false, heads: new Map(), temperature: 1,
  trail: [], opener: null, binary: false, small: false, unfolded: new Set(),
};

const here = (key) => nodesAt(key, state.position);

function stripNamed(caption, key, options = {}) {
  const found = stripAt.get(`${key} ${state.position}`);
  const then = state.compare && found ? Array.from(model.pinned.members.subarray(found.start, found.start + found.count)) : null;
  return strip(caption, here(key), { ...options, then });
}

const percent = (chance, digits = 1) => `${(100 * chance).toFixed(digits)} %`;

function source(name, summary = "The lines that compute it") {
  const { code, place: where } = content.sources[name];
  const remember = (event) => (event.target.open ? state.unfolded.add(name) : state.unfolded.delete(name));
  return h("details", { class: "source", open: state.unfolded.has(name) ? "" : null, ontoggle: remember }, h("summary", {}, `${summary} (${where})`), h("pre", {}, code));
}

const layers = [...Array(content.config.n_layer).keys()];
const TITLES = new Map([
  ["whole", "The whole of it"], ["reading", "1. The text, and the prediction"], ["embedding", "2. From a character to numbers"],
  ...layers.map((layer) => [`block-${layer}`, `${layers.length > 1 ? `3.${layer + 1}` : "3."} Block ${layer}${layer ? "" : ": read from the past, then think"}`]),
  ["logits", "4. What comes next"], ["stages", "5. What each stage knew"], ["backward-pass", "6. Backward: who is to blame"],
  ["what-if", "7. What if"], ["writing", "8. Let it write"], ["training", "9. Train it"], ["time", "10. Through time"],
  ["atoms", "11. The atoms"], ["run", "12. The run that made it"], ["questions", "13. Seven questions"]]);

function section(id, ...children) {
  return h("section", { id, "aria-labelledby": `${id}-title` }, h("h2", { id: `${id}-title` }, TITLES.get(id)), children);
}

