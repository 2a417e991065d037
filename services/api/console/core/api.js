// Asking the API. What it refuses comes as a `Problem` with the words it said.
import { credentials, end } from "/console/static/core/session.js";
import { STATUSES } from "/console/static/core/status.js";

export class Problem extends Error {
  constructor(status, body) {
    super(body?.detail ?? body?.title ?? `the API answers ${status}`);
    this.status = status;
    this.faults = body?.errors ?? [];
  }
}

/** The workspace that is looked at. */
export const place = { workspace: undefined };

export const of = (path) => `/api/v1/workspaces/${encodeURIComponent(place.workspace)}${path}`;

export function withQuery(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return given.length === 0 ? path : `${path}?${new URLSearchParams(given)}`;
}

export const get = (path, query, signal) => send("GET", withQuery(path, query), undefined, signal);
export const post = (path, body) => send("POST", path, body);
export const put = (path, body) => send("PUT", path, body);
export const remove = (path) => send("DELETE", path);

// The API spells the statuses of jobs in lower camel case. Here they are spelt as streams and files spell them.
const SPELT = Object.fromEntries(STATUSES.map(({ value }) => [value.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase()), value]));
export const statusOf = (word) => (Object.hasOwn(SPELT, word) ? SPELT[word] : word);

/** For `JSON.parse`: what the API says, with statuses as they are spelt here. */
export const spelt = (key, value) => (key === "status" ? statusOf(value) : value);

async function send(method, path, body, signal) {
  const headers = { accept: "application/json", ...credentials(method) };
  if (body !== undefined) headers["content-type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { detail: "The API cannot be reached. It is asked again by itself." });
  }
  const is_json = answer.headers.get("content-type")?.includes("json");
  const text = await answer.text();
  const said = is_json ? JSON.parse(text, spelt) : text;
  if (answer.status === 401) end();
  if (!answer.ok) throw new Problem(answer.status, is_json ? said : undefined);
  return said;
}

/** A page of jobs, each by itself. */
export async function jobsOf(query, signal) {
  const page = await get(of("/jobs"), { ...query, brief: true }, signal);
  return { ...page, items: page.items.map(({ job }) => whole(job)) };
}

/** A job that a workflow asks for has no target: here every job has one, if an empty one. */
export const whole = (job) => ({ ...job, target: job.target ?? {} });

/** Items of a list, page after page, at most `most` of them; `total` says how many there are, and what else a page tells is
 * as its first page tells it. */
export async function all(path, query, signal, most = 5000) {
  const limit = Math.min(most, 1000);
  const items = [];
  let total = 0;
  let first;
  do {
    const page = await get(path, { ...query, limit, offset: items.length }, signal);
    total = page.total ?? page.items.length;
    first ??= page;
    if (page.items.length === 0) break;
    items.push(...page.items);
  } while (items.length < Math.min(total, most));
  return { ...first, items, total };
}
