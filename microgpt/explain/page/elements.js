// What the sections of the page are put together from.

const state = {
  position: 2, wanted: 2, backward: false, compare: false, heads: new Map(), temperature: 1,
  trail: [], opener: null, binary: false, small: false,
  shown: new Set(),     // the sections that are unfolded
  unfolded: new Set(),  // the pieces of source code that are
};

const here = (key) => nodesAt(key, state.position);

function stripNamed(caption, key, options = {}) {
  const found = stripAt.get(`${key} ${state.position}`);
  const then = state.compare && found ? Array.from(model.pinned.members.subarray(found.start, found.start + found.count)) : null;
  return strip(caption, here(key), { ...options, then });
}

const percent = (chance, digits = 1) => `${(100 * chance).toFixed(digits)} %`;

function source(name, summary = "Source") {
  const { code, place: where } = content.sources[name];
  const remember = (event) => (event.target.open ? state.unfolded.add(name) : state.unfolded.delete(name));
  return h("details", { class: "source", open: state.unfolded.has(name) ? "" : null, ontoggle: remember }, h("summary", {}, `${summary} (${where})`), h("pre", {}, code));
}

const layers = [...Array(content.config.n_layer).keys()];
const TITLES = new Map([
  ["reading", "The text, and the prediction"], ["embedding", "From a character to numbers"],
  ...layers.map((layer) => [`block-${layer}`, `Block ${layer}${layer ? "" : ": read from the past, then think"}`]),
  ["logits", "What comes next"], ["stages", "What each stage knew"], ["backward-pass", "Backward: who is to blame"],
  ["what-if", "What if"], ["names", lines ? "Many names at once" : "Many texts at once"], ["writing", "Let it write"], ["training", "Train it"],
  ["time", "Through time"], ["atoms", "The atoms"], ["run", "The run that made it"], ["questions", "Seven questions"]]);

const unit = (...children) => h("div", { class: "unit" }, children);

