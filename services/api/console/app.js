// The console's beginning: signs in, draws the frame, and shows the view that the address names.
import { all, get, of, place, statusOf } from "/console/static/core/api.js";
import { tell } from "/console/static/core/dialog.js";
import { h, say, show } from "/console/static/core/dom.js";
import { isOn } from "/console/static/core/freezes.js";
import { icon } from "/console/static/core/icons.js";
import { approvals } from "/console/static/core/jobs.js";
import { bind, list, start as startKeys } from "/console/static/core/keys.js";
import { connect, disconnect, listen, state as line } from "/console/static/core/live.js";
import { again, empty, head, open } from "/console/static/core/page.js";
import { go, route, start as startRouter, to } from "/console/static/core/router.js";
import { isActive } from "/console/static/core/status.js";
import { restore, signOut, whenOver, who } from "/console/static/core/session.js";
import { apply, theme, turn } from "/console/static/core/theme.js";
import { tick } from "/console/static/core/time.js";
import agents from "/console/static/views/agents.js";
import approvalsView from "/console/static/views/approvals.js";
import audit from "/console/static/views/audit.js";
import dead from "/console/static/views/dead.js";
import freeze from "/console/static/views/freeze.js";
import job from "/console/static/views/job.js";
import jobs from "/console/static/views/jobs.js";
import { login } from "/console/static/views/login.js";
import matrix from "/console/static/views/matrix.js";
import overview from "/console/static/views/overview.js";
import policies from "/console/static/views/policies.js";
import resources from "/console/static/views/resources.js";
import triggers from "/console/static/views/triggers.js";
import why from "/console/static/views/why.js";
import { workflows } from "/console/static/views/workflows.js";

const WORKSPACE = "ctrlplane.workspace";
const VIEWS = [
  { group: "Now", name: "overview", label: "Overview", letter: "o", of: () => overview },
  { group: "Now", name: "deployments", label: "Deployments", drawing: "matrix", letter: "d", of: () => matrix },
  { group: "Now", name: "jobs", label: "Jobs", letter: "j", of: ({ what }) => (what ? job : jobs) },
  { group: "Now", name: "workflows", label: "Workflows", letter: "k", of: workflows },
  { group: "Now", name: "why", label: "Why", letter: "w", of: () => why },
  { group: "Now", name: "approvals", label: "Approvals", letter: "a", of: () => approvalsView },
  { group: "Set up", name: "resources", label: "Resources", letter: "r", of: () => resources },
  { group: "Set up", name: "policies", label: "Policies", letter: "p", of: () => policies },
  { group: "Set up", name: "agents", label: "Agents", letter: "n", of: () => agents },
  { group: "Set up", name: "triggers", label: "Triggers", letter: "t", of: () => triggers },
  { group: "Control", name: "freeze", label: "Freeze", letter: "f", of: () => freeze },
  { group: "Control", name: "dead-letters", label: "Dead letters", drawing: "dead", letter: "l", of: () => dead },
  { group: "Control", name: "audit", label: "Audit", letter: "u", of: () => audit },
];
const COUNTS_EVERY_MS = 8_000;

const app = document.getElementById("app");
let workspaces = [];
let counts = {};
let is_open = false;
// Dead letters are of all workspaces: not every key may see them.
let sees_dead = true;

apply();
setInterval(tick, 1000);
whenOver(() => {
  disconnect();
  login(app, begin);
});
startRouter(changed);
startKeys(help);
bind(...VIEWS.map((view) => ({ keys: `g ${view.letter}`, label: `Go to ${view.label}`, act: () => go(to(view.name)) })),
  { keys: "t", label: "Change the theme", act: changeTheme }, { keys: "x", label: "Load this view once more", act: again });
listen((news) => { if (news.kind === "line" && workspaces.length > 0) frame(); });
listen((news) => { if (news.kind === "job") countSoon(); });
setInterval(() => { if (!document.hidden && workspaces.length > 0) count(); }, COUNTS_EVERY_MS);

if (await restore()) begin();
else login(app, begin);

/** Somebody is signed in. */
async function begin() {
  sees_dead = true;
  let found;
  try {
    found = await get("/api/v1/workspaces");
  } catch (error) {
    if (who()) show(app, h("main", { class: "main", id: "main" }, h("h1", { class: "unseen" }, "Ctrlplane"), empty("warn", "The API does not answer", error.message), h("div", { class: "row" }, h("button", { class: "button", type: "button", onclick: begin }, "Try again"))));
    return;
  }
  workspaces = found.workspaces;
  if (workspaces.length === 0) {
    frame();
    document.getElementById("main").replaceChildren(head("Nothing here yet"), h("div", { class: "card" }, empty("push", "There is no workspace", "Apply a catalog, and this page comes to life.", h("pre", { class: "code" }, "ctrlplane apply -f docs/examples/github.yaml"), h("button", { class: "button", type: "button", onclick: begin }, "Look again"))));
    return;
  }
  const asked = route().workspace;
  const known = (slug) => workspaces.some((workspace) => workspace.slug === slug);
  const chosen = [asked, localStorage.getItem(WORKSPACE)].find(known) ?? workspaces[0].slug;
  choose(chosen);
  if (asked !== chosen) go(to("overview"), { replace: true });
  else changed({ kept: false });
}

function choose(slug) {
  if (place.workspace === slug) return;
  place.workspace = slug;
  localStorage.setItem(WORKSPACE, slug);
  counts = {};
  connect();
  count();
}

function changed({ kept = false } = {}) {
  if (!who() || workspaces.length === 0) return;
  const now = route();
  if (now.workspace && now.workspace !== place.workspace && workspaces.some((workspace) => workspace.slug === now.workspace)) choose(now.workspace);
  const entry = VIEWS.find((view) => view.name === now.view);
  const shown = entry?.of(now) ?? { title: "Not found", load: async () => ({}), draw: () => [head("Not found", "There is no such view."), h("a", { class: "button", href: to("overview") }, "To the overview")] };
  document.title = `${shown.title} · ${place.workspace} · Ctrlplane`;
  if (!kept) is_open = false;
  frame();
  const main = document.getElementById("main");
  open(shown, now, main, { kept });
  if (!kept) {
    main.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
}

function frame() {
  const main = document.getElementById("main");
  const { view } = route();
  const side = h("div", { class: "side", id: "side", key: "side" },
    h("a", { class: "brand", href: to("overview") }, h("img", { src: "/console/static/icon.svg", alt: "" }), "Ctrlplane"),
    workspaces.length > 1 && h("div", { class: "field" }, h("label", { for: "workspace" }, "Workspace"),
      h("select", { id: "workspace", onchange: (event) => { choose(event.target.value); go(to("overview")); } }, workspaces.map((workspace) => h("option", { value: workspace.slug, selected: workspace.slug === place.workspace }, workspaceName(workspace))))),
    workspaces.length > 0 && h("nav", { class: "nav", "aria-label": "Views" }, [...new Set(VIEWS.map((entry) => entry.group))].map((group) => h("div", {}, h("h2", {}, group),
      h("ul", {}, VIEWS.filter((entry) => entry.group === group).map((entry) => h("li", {}, navLink(entry, view))))))),
    h("div", { class: "side-foot" },
      workspaces.length > 0 && h("div", { class: "row" }, lineState("side-line"), h("button", { class: "button bare square", type: "button", onclick: help, "aria-label": "Keyboard shortcuts", title: "Keyboard shortcuts (?)" }, icon("keys"))),
      h("div", { class: "row" }, h("button", { class: "button bare", type: "button", onclick: changeTheme, title: "Change the theme (t)" }, icon("theme"), `Theme: ${theme()}`)),
      h("div", { class: "row" }, h("button", { class: "button bare", type: "button", onclick: leave }, icon("out"), who()?.name ? `Sign out ${who().name}` : "Sign out"))));
  const top = h("header", { class: "top", key: "top" },
    h("button", { class: "button bare square", type: "button", "aria-expanded": String(is_open), "aria-controls": "side", "aria-label": "Menu", onclick: () => { is_open = !is_open; frame(); } }, icon("menu")),
    h("a", { class: "brand", href: to("overview") }, "Ctrlplane"), workspaces.length > 0 && lineState("top-line"));
  if (main) {
    // The view is its own affair: only what is around it is drawn anew.
    show(document.getElementById("around-top"), top);
    show(document.getElementById("around-side"), side);
    document.getElementById("frame").className = is_open ? "frame open" : "frame";
    return;
  }
  app.replaceChildren(h("a", { class: "skip", href: "#main", onclick: (event) => { event.preventDefault(); document.getElementById("main").focus(); } }, "Skip to the content"),
    h("div", { class: "frame", id: "frame", onclick: (event) => { if (is_open && event.target.id === "frame") { is_open = false; frame(); } } },
      h("div", { id: "around-top" }, top), h("div", { id: "around-side" }, side), h("main", { class: "main", id: "main", tabindex: "-1" })));
}

/** Its name, and where another has the same, its slug as well. */
function workspaceName({ name, slug }) {
  const is_shared = workspaces.some((other) => other.name === name && other.slug !== slug);
  return is_shared ? `${name} (${slug})` : name;
}

function navLink(entry, view) {
  const number = counts[entry.name];
  return h("a", { href: to(entry.name), "aria-current": entry.name === view ? "page" : undefined, title: `g ${entry.letter}` }, icon(entry.drawing ?? entry.name), entry.label,
    number?.count > 0 && h("span", { class: `count ${number.tone}`, title: number.said, "aria-label": number.said }, String(number.count)));
}

function lineState(key) {
  const [tone, text] = { live: ["ok", "Live"], connecting: ["wait", "Connecting"], offline: ["bad", "Offline, trying again"] }[line()];
  return h("span", { class: "live", key, role: "status" }, h("span", { class: `dot ${tone}`, "aria-hidden": "true" }), text);
}

let count_timer;
function countSoon() {
  count_timer ??= setTimeout(() => { count_timer = undefined; count(); }, 1500);
}

/** The numbers beside the views: what waits for people, what failed, what is frozen. */
async function count() {
  try {
    const [waiting, freezes, jobs, dead] = await Promise.all([all(of("/waiting/versions"), { rule: "anyApproval" }), all(of("/freezes")), get(of("/jobs/counts")), deadLetters()]);
    const frozen = freezes.items.filter(isOn).length;
    const asked = approvals(waiting.items).filter((entry) => entry.newest).length;
    const running = Object.entries(jobs.counts).filter(([status]) => isActive(statusOf(status))).reduce((sum, [, number]) => sum + number, 0);
    counts = {
      approvals: { count: asked, tone: "wait", said: `${asked} ${asked === 1 ? "waits" : "wait"} for an approval` },
      freeze: { count: frozen, tone: "cold", said: frozen === 1 ? "a freeze is on" : `${frozen} freezes are on` },
      jobs: { count: running, tone: "", said: running === 1 ? "a job is on its way" : `${running} jobs are on their way` },
      "dead-letters": { count: dead, tone: "bad", said: `${dead} ${dead === 1 ? "message" : "messages"} nobody could handle` },
    };
    frame();
  } catch {
    // The view itself says that the API is away; the numbers come back with it.
  }
}

/** How many messages nobody could handle, as far as that may be known. */
async function deadLetters() {
  if (!sees_dead) return 0;
  try {
    return (await get("/api/v1/dead-letters", { limit: 1 })).total;
  } catch (error) {
    if (error.status !== 403 && error.status !== 404) throw error;
    sees_dead = false;
    return 0;
  }
}

async function leave() {
  try {
    await signOut();
  } catch (error) {
    say(error.message, true);
  }
}

function changeTheme() {
  turn();
  if (who()) frame();
}

function help() {
  tell("Keyboard", list());
}
