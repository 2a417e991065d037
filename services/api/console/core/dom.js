// Elements from plain values, and bringing a page from one state to the next without losing focus, scroll or open details.
// Text is always text: nothing here reads markup.

const SVG = "http://www.w3.org/2000/svg";
const FILLED_IN = ["INPUT", "TEXTAREA", "SELECT"];

export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
export const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) listen(element, name.slice(2), value);
    else if (name === "style") for (const [property, text] of Object.entries(value)) element.style.setProperty(property, text);
    else if (name === "value") element.value = value;
    else if (name === "key") element.dataset.key = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...flat(children));
  return element;
}

export function flat(children) {
  return children.flat(Infinity).filter((child) => child !== undefined && child !== null && child !== false && child !== "");
}

// Handlers live on the element by name, so that a later state can replace them.
function listen(element, type, handler) {
  element.handlers ??= {};
  if (!(type in element.handlers)) element.addEventListener(type, dispatch);
  element.handlers[type] = handler;
}

function dispatch(event) {
  return event.currentTarget.handlers?.[event.type]?.(event);
}

/** Makes the children of `parent` what `children` are, keeping elements that stay. */
export function show(parent, ...children) {
  const next = document.createElement("div");
  next.append(...flat(children));
  morphChildren(parent, next);
}

function morphChildren(parent, next) {
  const keyed = new Map();
  for (const child of parent.children) if (child.dataset?.key) keyed.set(child.dataset.key, child);
  let at = parent.firstChild;
  for (const wanted of [...next.childNodes]) {
    const key = wanted.dataset?.key;
    let found = key ? keyed.get(key) : at && !at.dataset?.key ? at : undefined;
    if (found && !isSame(found, wanted)) found = undefined;
    if (!found) {
      parent.insertBefore(wanted, at);
      continue;
    }
    keyed.delete(key);
    if (found === at) at = at.nextSibling;
    else parent.insertBefore(found, at);
    morph(found, wanted);
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

function isSame(one, other) {
  return one.nodeType === other.nodeType && one.nodeName === other.nodeName && one.dataset?.key === other.dataset?.key;
}

function morph(old, wanted) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== wanted.data) old.data = wanted.data;
    return;
  }
  for (const { name } of [...old.attributes]) {
    // What a person opened stays open.
    if (name !== "style" && !wanted.hasAttribute(name) && !(name === "open" && old.nodeName === "DETAILS")) old.removeAttribute(name);
  }
  for (const { name, value } of wanted.attributes) {
    if (name !== "style" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  if (old.style && old.style.cssText !== wanted.style.cssText) old.style.cssText = wanted.style.cssText;
  for (const type of Object.keys(old.handlers ?? {})) if (!wanted.handlers?.[type]) old.handlers[type] = undefined;
  for (const [type, handler] of Object.entries(wanted.handlers ?? {})) listen(old, type, handler);
  morphChildren(old, wanted);
  if (FILLED_IN.includes(old.nodeName)) {
    // What a person wrote stays, unless the page has another value to show than before.
    if (old.drawn !== undefined && old.drawn !== wanted.value && old !== document.activeElement) old.value = wanted.value;
    old.drawn = wanted.value;
  }
}

/** Tells something to people, and to those who hear the page: a deed that worked, or one that did not. */
export function say(text, wrong = false) {
  const place = document.getElementById("said");
  const line = h("div", { class: wrong ? "wrong" : undefined }, text);
  place.append(line);
  setTimeout(() => line.remove(), wrong ? 9000 : 4500);
}
