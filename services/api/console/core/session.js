// Who is signed in, and how requests prove it. The one place that knows: with a cookie session where the API has them
// (its token against forged requests goes with every write), else with an API key that this tab keeps until it is closed.

const KEY = "ctrlplane.key";
const HOW = "ctrlplane.session";
let state;
let onEnd = () => {};

/** What a request carries. */
export function credentials(method) {
  if (state?.how === "key") return { "x-api-key": state.key };
  return state?.csrf && method !== "GET" ? { "x-csrf-token": state.csrf } : {};
}

/** Whose session it is; `name` and `role` are absent where the API does not tell. */
export const who = () => state;
/** What to do when a session is over. */
export const whenOver = (then) => { onEnd = then; };

/** The session of before, if there is one. */
export async function restore() {
  const key = sessionStorage.getItem(KEY);
  if (key) {
    state = { how: "key", key };
    return state;
  }
  // Only somebody who had a session, or just comes back from signing in elsewhere, asks for one.
  const came = new URLSearchParams(location.search).has("signed-in");
  if (!came && localStorage.getItem(HOW) !== "cookie") return undefined;
  const answer = await fetch("/api/v1/session", { headers: { accept: "application/json" } });
  if (!answer.ok) {
    localStorage.removeItem(HOW);
    return undefined;
  }
  state = { how: "cookie", ...(await answer.json()) };
  localStorage.setItem(HOW, "cookie");
  return state;
}

/** Signs in with a key. Throws an `Error` for people where that does not work. */
export async function signIn(key) {
  const headers = { "x-api-key": key, "content-type": "application/json", accept: "application/json" };
  let answer = await fetch("/api/v1/session", { method: "POST", headers, body: JSON.stringify({ key }) });
  if (answer.ok) {
    state = { how: "cookie", ...(await answer.json()) };
    localStorage.setItem(HOW, "cookie");
    return state;
  }
  if (answer.status === 404 || answer.status === 405) {
    answer = await fetch("/api/v1/workspaces", { headers: { "x-api-key": key } });
    if (answer.ok) {
      sessionStorage.setItem(KEY, key);
      state = { how: "key", key };
      return state;
    }
  }
  if (answer.status === 401) throw new Error("No such key. Keys are made by ctrlplane keys create, or stand in the file that auth.keys_file names; ctrlplane dev prints where its own is.");
  const problem = await answer.json().catch(() => ({}));
  throw new Error(problem.detail ?? `The API answers ${answer.status}.`);
}

/** How else one may sign in: `{ oidc, name }`. */
export async function ways() {
  const answer = await fetch("/api/v1/login", { headers: { accept: "application/json" } }).catch(() => undefined);
  return answer?.ok ? answer.json() : {};
}

/** Ends the session. Throws an `Error` for people where the API did not: then they are signed in as before. */
export async function signOut() {
  if (state?.how === "cookie") {
    const answer = await fetch("/api/v1/session", { method: "DELETE", headers: credentials("DELETE") }).catch(() => undefined);
    if (!answer?.ok && answer?.status !== 401) throw new Error(`You are still signed in: ${answer ? `the API answers ${answer.status}` : "the API cannot be reached"}. Try again.`);
  }
  end();
}

/** The API does not know the session any more. */
export function end() {
  state = undefined;
  sessionStorage.removeItem(KEY);
  localStorage.removeItem(HOW);
  onEnd();
}
