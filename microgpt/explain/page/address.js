// The address carries what was done, so that a link shows it: the section, the text, the position, the time, the parts
// that are switched off, the numbers that were changed, and the seed of writing. What is as at first is left out.

const address = { home: "", written: "", first: null, turn: 0 };

function addressNow() {
  const says = new URLSearchParams(), { first } = address;
  if (model.text !== first.text) says.set("text", model.text);
  if (model.text !== first.text || state.position !== first.position) says.set("position", state.position);
  if (model.time !== content.times.length) says.set("time", stepOf(model.time));
  if (model.off.size) says.set("off", [...model.off].join(","));
  if (model.changes.size) says.set("set", [...model.changes].map(([node, { to }]) => `${node}:${to}`).join(","));
  if (pen.seed !== first.seed) says.set("seed", pen.seed);
  if (!says.size) return address.home ? `#${address.home}` : "";
  says.set("model", fingerprint());
  return `#${address.home ? `${address.home}&` : ""}${says}`;
}

function writeAddress() {  // when the numbers have come to rest
  clearTimeout(address.turn);
  address.turn = setTimeout(() => {
    if (tour.left || addressNow() === location.hash) return;
    address.written = addressNow();
    history.replaceState(null, "", address.written || location.pathname + location.search);
  }, 400);
}

function readAddress(again = false) {  // and show what it says; what cannot be shown is said
  const hash = location.hash.slice(1), home = hash.split("&").find((part) => part && !part.includes("=")) ?? "", says = new URLSearchParams(hash.includes("=") ? hash.replace(home, "") : "");
  if (says.size) act(() => {
    const before = { ...numbersNow("showing a link"), found: null };
    if (again || says.has("text")) readTokens(encoded(says.get("text") ?? address.first.text));
    if (says.get("model") !== fingerprint()) refuse("this link was made on the page of another model: its text is shown, but its numbers do not fit here");
    if (again) putAllBack();
    restore(says);
    kept = before;
  }, true);
  if (says.has("position")) choose(Number(says.get("position")) || 0);
  if (made.has(home) || TITLES.has(home)) goToSection(home);
}

function restore(says) {
  if (says.has("time")) goTo(timeOf(Number(says.get("time"))));
  for (const part of says.get("off")?.split(",") ?? []) switchPart(part);
  for (const change of says.get("set")?.split(",") ?? []) setNumber(...change.split(":").map(Number));
  if (says.has("seed")) pen.seed = checkedWriting({ seed: Number(says.get("seed")) }).seed;
}

function timeOf(step) {
  const time = content.times.indexOf(step);
  return time >= 0 ? time : refuse(`the link names step ${step}, of which this page has no numbers`);
}
