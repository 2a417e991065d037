// What is wrong with the page for those who do not see it, or not well: contrast of every text as it is drawn, landmarks,
// headings, ids, and whether anything sticks out sideways. Answers a list of sentences.
const wrong = [];
const numbers = (colour) => {
  const parts = colour.match(/^rgba?\(([^)]+)\)$/)?.[1].split(/[ ,/]+/).map(Number);
  if (parts) return [parts[0], parts[1], parts[2], parts[3] ?? 1];
  const srgb = colour.match(/^color\(srgb ([^)]+)\)$/)?.[1].split(/[ /]+/).map(Number);
  return srgb ? [srgb[0] * 255, srgb[1] * 255, srgb[2] * 255, srgb[3] ?? 1] : undefined;
};
const over = (front, back) => [0, 1, 2].map((part) => front[part] * front[3] + back[part] * (1 - front[3])).concat(1);
const light = (colour) => {
  const [red, green, blue] = colour.map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
};
const ratio = (one, other) => {
  const [more, less] = [light(one), light(other)].sort((a, b) => b - a);
  return (more + 0.05) / (less + 0.05);
};
const behind = (element) => {
  const layers = [];
  for (let at = element; at; at = at.parentElement) {
    const colour = numbers(getComputedStyle(at).backgroundColor);
    if (colour && colour[3] > 0) layers.push(colour);
    if (colour?.[3] === 1) break;
  }
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  return layers.reverse().reduce((under, layer) => over(layer, under), dark ? [0, 0, 0, 1] : [255, 255, 255, 1]);
};
const seen = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && element.getBoundingClientRect().width > 1 && !element.closest(".unseen, .skip");

const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
let low = 0;
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || !seen(element) || element.closest("noscript, title, script, [disabled]")) continue;
  const style = getComputedStyle(element);
  const colour = numbers(element.closest("svg") ? style.fill : style.color);
  if (!colour) { wrong.push(`the colour ${style.color} cannot be read`); continue; }
  const back = behind(element);
  const found = ratio(over(colour, back), back);
  const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
  if (found < (large ? 3 : 4.5) && low++ < 5) wrong.push(`contrast ${found.toFixed(2)} of "${walker.currentNode.data.trim().slice(0, 40)}" (${element.className || element.nodeName})`);
}

const mains = document.querySelectorAll("main").length;
if (mains !== 1) wrong.push(`${mains} main landmarks`);
if (!document.title.includes("Ctrlplane")) wrong.push("no title");
if (document.documentElement.lang !== "en") wrong.push("no language");
const headings = [...document.querySelectorAll("main h1, main h2, main h3, main h4")].filter((heading) => heading.checkVisibility()).map((heading) => Number(heading.nodeName[1]));
if (headings.filter((level) => level === 1).length !== 1) wrong.push(`${headings.filter((level) => level === 1).length} headings of level 1`);
headings.forEach((level, index) => { if (index > 0 && level > headings[index - 1] + 1) wrong.push(`heading ${level} after ${headings[index - 1]}`); });
const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
for (const id of new Set(ids.filter((id, index) => ids.indexOf(id) !== index))) wrong.push(`the id ${id} twice`);
for (const element of document.querySelectorAll("[aria-labelledby], [aria-describedby], [aria-controls]")) {
  for (const name of ["aria-labelledby", "aria-describedby", "aria-controls"]) {
    for (const id of (element.getAttribute(name) ?? "").split(" ").filter(Boolean)) if (!document.getElementById(id)) wrong.push(`${name} names ${id}, which is not there`);
  }
}
for (const control of document.querySelectorAll("input, select, textarea")) if (!control.labels?.length && !control.getAttribute("aria-label")) wrong.push(`the field ${control.id || control.name} has no label`);
for (const button of document.querySelectorAll("main button, main a.button")) {
  const { width, height } = button.getBoundingClientRect();
  if (width > 0 && (width < 24 || height < 24)) wrong.push(`the button ${button.innerText} is only ${width}×${height}`);
}
if (document.documentElement.scrollWidth > innerWidth + 1) {
  const wide = [...document.querySelectorAll("main *")].filter((element) => element.getBoundingClientRect().right > innerWidth + 1 && element.checkVisibility() && !element.closest(".table-box, pre")).slice(0, 3);
  wrong.push(`the page is ${document.documentElement.scrollWidth} wide on ${innerWidth}: ${wide.map((element) => element.className || element.nodeName).join(", ")}`);
}
return wrong;
