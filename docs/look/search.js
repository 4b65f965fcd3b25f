// Finds sections with all the words that are typed. Those that have them in the title come first.
const MOST = 12, AROUND = 60;
const input = document.getElementById("search"), found = document.getElementById("found");

function hits(words) {
  const rated = [];
  for (const section of SECTIONS) {
    const title = section.title.toLowerCase(), text = section.text.toLowerCase();
    let rank = 0;
    for (const word of words) {
      if (title.includes(word)) rank += 10;
      else if (text.includes(word)) rank += 1;
      else { rank = -1; break; }
    }
    if (rank > 0) rated.push([rank, section]);
  }
  return rated.sort((a, b) => b[0] - a[0]).slice(0, MOST).map(([, section]) => section);
}

function element(name, text, more = {}) {
  return Object.assign(document.createElement(name), { textContent: text }, more);
}

function excerpt(text, word) {
  const at = text.toLowerCase().indexOf(word), start = Math.max(0, at - AROUND);
  return at < 0 ? text.slice(0, 2 * AROUND) : (start ? "… " : "") + text.slice(start, at + 2 * AROUND) + " …";
}

function search() {
  const words = input.value.toLowerCase().split(/\s+/).filter((word) => word);
  found.hidden = !words.length;
  if (!words.length) return found.replaceChildren();
  const sections = hits(words);
  found.replaceChildren(...sections.map((section) => {
    const entry = element("a", "", { href: `${document.body.dataset.up}${section.page}#${section.id}` });
    const where = section.of === section.title ? section.title : `${section.of}: ${section.title}`;
    entry.append(element("strong", where), element("span", excerpt(section.text, words[0])));
    entry.onclick = () => { found.hidden = true; };
    return entry;
  }));
  if (!sections.length) found.append(element("p", `Nothing has all of: ${words.join(" ")}`));
}

input.addEventListener("input", search);
addEventListener("keydown", (event) => {
  if (event.key === "/" && !/INPUT|TEXTAREA/.test(document.activeElement.tagName)) { event.preventDefault(); input.focus(); }
  if (event.key === "Escape") { input.value = ""; search(); }
});
