// News of jobs as it comes: server-sent events read over fetch, which can carry a key, and gone on from the last id after
// every loss. Whoever listens is told that there is news, and asks for what it shows.
import { credentials } from "/console/static/core/session.js";
import { of, spelt } from "/console/static/core/api.js";

const QUIET_MS = 45_000;
const AGAIN_FIRST_MS = 500;
const AGAIN_MOST_MS = 15_000;
const listeners = new Set();
let standing = "connecting";
let is_wanted = false;
let last;
let stop = () => {};

export const state = () => standing;

/** Calls `listener({ kind, job })` on news (`job`), when all may have changed (`reset`), and when the line changes (`line`). */
export function listen(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

const tell = (news) => listeners.forEach((listener) => listener(news));

function become(word) {
  if (standing === word) return;
  const was = standing;
  standing = word;
  tell({ kind: "line", was });
}

/** Listens to the workspace until it is told to stop or to listen to another. */
export function connect() {
  last = undefined;
  is_wanted = true;
  resume();
}

export function disconnect() {
  is_wanted = false;
  stop();
}

// A browser has few connections to one place: a page that nobody sees gives its own up, and goes on where it was.
function resume() {
  stop();
  if (!is_wanted || document.hidden) return;
  const end = new AbortController();
  stop = () => end.abort();
  keep(end.signal);
}

document.addEventListener("visibilitychange", resume);
addEventListener("pagehide", () => stop());
addEventListener("pageshow", (event) => { if (event.persisted) resume(); });

async function keep(signal) {
  let pause = AGAIN_FIRST_MS;
  while (!signal.aborted) {
    become("connecting");
    try {
      const heard = (id) => { last = id ?? last; pause = AGAIN_FIRST_MS; };
      await read(signal, heard);
    } catch {
      // Lost, refused or silent: all end in the same way, by coming back.
    }
    if (signal.aborted) return;
    become("offline");
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, pause);
      signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
    });
    pause = Math.min(pause * 2, AGAIN_MOST_MS);
  }
}

async function read(signal, heard) {
  const line = new AbortController();
  const give_up = () => line.abort();
  signal.addEventListener("abort", give_up, { once: true });
  let timer = setTimeout(give_up, QUIET_MS);
  try {
    const headers = { accept: "text/event-stream", ...credentials("GET") };
    if (last !== undefined) headers["last-event-id"] = last;
    const answer = await fetch(of("/events?snapshot=false"), { headers, signal: line.signal, cache: "no-store" });
    if (!answer.ok) throw new Error(`${answer.status}`);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(give_up, QUIET_MS);
      rest += value;
      const events = rest.split(/\r?\n\r?\n/);
      rest = events.pop();
      events.map(parse).forEach((event) => take(event, heard));
    }
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", give_up);
    line.abort();
  }
}

function take({ event, id, data }, heard) {
  if (event === "job") tell({ kind: "job", job: JSON.parse(data, spelt) });
  if (event === "live") become("live");
  if (event === "reset") tell({ kind: "reset" });
  if (event) heard(id);
}

function parse(block) {
  const event = { data: "" };
  for (const line of block.split(/\r?\n/)) {
    const colon = line.indexOf(":");
    if (colon <= 0) continue;
    const value = line.slice(colon + 1).replace(/^ /, "");
    const field = line.slice(0, colon);
    if (field === "data") event.data += value;
    else if (field === "event" || field === "id") event[field] = value;
  }
  return event;
}
