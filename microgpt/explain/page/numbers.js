// Numbers side by side are written in one way: with as many digits after the point as the largest needs. If that is
// tiny or huge, all are in units of the same power of ten.

function wayToWrite(largest) {
  const size = Math.abs(largest);
  if (!(size > 0 && size < Infinity)) return { power: 0, digits: 0 };
  const power = size >= 9999.5 || size < 0.00995 ? Math.floor(Math.log10(size)) : 0, scaled = size / 10 ** power;
  return { power, digits: scaled >= 99.95 ? 0 : scaled >= 9.995 ? 1 : scaled >= 0.9995 ? 2 : 3 };
}

function inThatWay(x, { power, digits }) {
  if (!Number.isFinite(x)) return Number.isNaN(x) ? "–" : x > 0 ? "∞" : "−∞";
  const text = Math.abs(power ? x / 10 ** power : x).toFixed(digits);
  return (x < 0 && Number(text) ? "−" : "") + text;
}

const unitOf = ({ power }) => power ? ` · 10${[...String(power)].map((c) => c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c]).join("")}` : "";
const largestSize = (numbers) => numbers.reduce((most, x) => Math.abs(x) > Math.abs(most) && Number.isFinite(x) ? x : most, 0);  // with its sign
const countedSteps = (count) => `${count.toLocaleString("en")} step${count === 1 ? "" : "s"}`;
const LOSS = { power: 0, digits: 3 };

function precise(x) {  // for the panel
  if (!Number.isFinite(x)) return Number.isNaN(x) ? "not a number" : x > 0 ? "infinite" : "minus infinite";
  const size = Math.abs(x);
  const text = x === 0 ? "0" : Number.isInteger(x) && size < 1e6 ? String(size) : size >= 1e6 || size < 1e-4 ? size.toExponential(5) : size.toPrecision(6);
  return (x < 0 ? "−" : "") + text.replace("e-", "e−").replace("e+", "e");
}

const FUNCTION_NAMES = { [LOG]: "log", [EXP]: "exp" };

// Random numbers.

function generator(seed) {  // random numbers from 0 to 1, the same for the same seed (mulberry32)
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function shuffled(n, seed) {
  const random = generator(seed), order = [...Array(n).keys()];
  for (let i = n - 1; i > 0; i--) { const j = Math.floor(random() * (i + 1)); [order[i], order[j]] = [order[j], order[i]]; }
  return order;
}

function fingerprint() {  // of the parameters with which the page was made, so that a link to another model says so
  const bytes = new Uint8Array(program.parameters.buffer, program.parameters.byteOffset, program.parameters.byteLength);
  let mixed = 0x811c9dc5;
  for (let i = 0; i < bytes.length; i++) mixed = Math.imul(mixed ^ bytes[i], 0x01000193);
  return (mixed >>> 0).toString(16).padStart(8, "0");
}
