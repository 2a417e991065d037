// Deployments × environments: which version is where, and how far the next one is.
import { all, of, post } from "/console/static/core/api.js";
import { parts, waves } from "/console/static/core/chart.js";
import { ask } from "/console/static/core/dialog.js";
import { h } from "/console/static/core/dom.js";
import { filters } from "/console/static/core/filters.js";
import { icon } from "/console/static/core/icons.js";
import { version } from "/console/static/core/jobs.js";
import { names, options } from "/console/static/core/names.js";
import { empty, head, part } from "/console/static/core/page.js";
import { to } from "/console/static/core/router.js";
import { labelOfState, targetState, toneOfStanding, toneOfState } from "/console/static/core/status.js";

const SQUARES_MAX = 60;
const ROLLOUTS_SHOWN = 12;
const DRAWN = 24;
const STATES = ["failed", "deploying", "blocked", "waiting", "upToDate", "noVersion"];

export default {
  title: "Deployments",
  follows: true,
  every: 6_000,
  async load({ query }, signal) {
    const { deployment, environment } = query;
    const [known, policies, targets, rollouts] = await Promise.all([names(signal), all(of("/policies"), {}, signal, 500), all(of("/release-targets"), { deployment, environment }, signal, 5000), all(of("/rollouts"), { deployment, environment }, signal, 40)]);
    return { known, policies: policies.items, targets: targets.items.filter((target) => target.state !== "gone"), counted: targets.items.length, total: targets.total, rollouts };
  },
  draw({ known, policies, targets, counted, total, rollouts }, { query }, again) {
    const environments = known.environments.filter(({ name }) => (!query.environment || name === query.environment));
    const deployments = known.deployments.filter(({ name }) => !query.deployment || name === query.deployment);
    const ordered = inOrder(environments, policies);
    const looked_at = worthy(rollouts.items);
    const shown = query.rollouts === "all" ? looked_at : looked_at.slice(0, ROLLOUTS_SHOWN);
    return [
      head("Deployments", "Which version runs where. Every square is one resource; a cell leads to why."),
      filters(query, [{ name: "deployment", label: "Deployment", options: options(known.deployments) }, { name: "environment", label: "Environment", options: options(known.environments) }]),
      part(counted, total, "targets are counted here", "Choose a deployment or an environment to have all of them counted."),
      deployments.length === 0 ? h("div", { class: "card" }, empty("matrix", "No deployments yet", "A deployment says what and how; ctrlplane apply brings it here.", h("pre", { class: "code" }, "ctrlplane apply -f docs/examples/github.yaml")))
        : h("div", { class: "table-box", tabindex: "0", role: "region", "aria-label": "Deployments by environment", key: "matrix" }, h("table", { class: "matrix" }, h("caption", { class: "unseen" }, "Deployments by environment"),
          h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Deployment"), ordered.map((environment) => h("th", { scope: "col" }, environment.name)))),
          h("tbody", {}, deployments.map((deployment) => h("tr", { key: deployment.id, "data-row": true }, h("th", { scope: "row" }, deployment.name), ordered.map((environment) => {
            const here = targets.filter((target) => target.deployment.id === deployment.id && target.environment.id === environment.id).sort((one, other) => one.resource.name.localeCompare(other.resource.name));
            return h("td", { "data-label": environment.name, class: here.length === 0 && "none" }, here.length > 0 ? cell(deployment, environment, here) : h("span", { class: "soft" }, "–"));
          })))))),
      legend(),
      shown.length > 0 && h("section", { class: "section later", key: "rollouts", "aria-labelledby": "rollouts" }, h("header", {}, h("h2", { id: "rollouts" }, "Rollouts in waves")), h("div", { class: "columns wide" }, shown.map((rollout) => wave(rollout, again))),
        part(shown.length, looked_at.length, "rollouts", h("a", { class: "link", href: to("deployments", undefined, { ...query, rollouts: "all" }) }, "Show all")),
        part(rollouts.items.length, rollouts.total, "rollouts are looked at", "Choose a deployment or an environment to see those of others.")),
    ];
  },
};

/** Environments in the order in which policies let versions through: one that another waits for comes before it. */
function inOrder(environments, policies) {
  const names_it = (expression, name) => expression?.includes(`"${name}"`) || expression?.includes(`'${name}'`);
  const after = environments.map((environment) => environments.filter((other) => other !== environment && policies.some((policy) => names_it(policy.selector, environment.name)
    && policy.rules.some((rule) => names_it(rule.environmentProgression?.dependsOnEnvironmentSelector, other.name)))));
  const ranks = new Map(environments.map((environment) => [environment, 0]));
  // As many rounds as there are environments are enough, and end also where policies go in circles.
  for (const _ of environments) environments.forEach((environment, index) => ranks.set(environment, Math.max(ranks.get(environment), ...after[index].map((other) => Math.min(ranks.get(other) + 1, environments.length)))));
  return [...environments].sort((one, other) => ranks.get(one) - ranks.get(other) || one.name.localeCompare(other.name));
}

function cell(deployment, environment, here) {
  const by = new Map();
  for (const target of here) {
    const tag = target.current?.tag;
    by.set(tag, [...(by.get(tag) ?? []), target]);
  }
  const versions = [...by].sort(([, one], [, other]) => other.length - one.length);
  const worst = STATES.find((state) => here.some((target) => target.state === state)) ?? "noVersion";
  const next = [...new Set(here.filter((target) => target.active).map((target) => target.active.tag))];
  const to_come = next.length > 0 ? next : [...new Set(here.filter((target) => target.desired && target.desired.tag !== target.current?.tag).map((target) => target.desired.tag))];
  const href = here.length === 1 ? to("why", here[0].key ?? undefined) : to("why", undefined, { deployment: deployment.name, environment: environment.name });
  const said = `${deployment.name} in ${environment.name}: ${versions.map(([tag, list]) => `${tag ?? "nothing"} on ${list.length}`).join(", ")}; ${labelOfState(worst).toLowerCase()}`;
  return h("div", { class: "cell" }, h("a", { class: "whole", href, "aria-label": said },
    h("span", { class: "versions" }, versions.slice(0, 3).map(([tag, list]) => [tag ? version(tag) : h("span", { class: "soft" }, "nothing yet"), versions.length > 1 && h("span", { class: "soft small" }, `×${list.length}`)]),
      to_come.length > 0 && [icon("arrow", "soft"), version(to_come[0])]),
    h("span", { class: "row small" }, targetState(worst), worst !== "upToDate" && here.length > 1 && h("span", { class: "soft" }, `${here.filter((target) => target.state === worst).length} of ${here.length}`)),
    here.length <= SQUARES_MAX ? h("span", { class: "squares" }, here.map((target) => h("i", { class: `fill-${toneOfState(target.state)}`, title: `${target.resource.name}: ${labelOfState(target.state)}, ${target.current?.tag ?? "nothing"}` })))
      : parts(said, STATES.map((state) => ({ name: labelOfState(state).toLowerCase(), fill: `fill-${toneOfState(state)}`, count: here.filter((target) => target.state === state).length })))));
}

const legend = () => h("div", { class: "legend" }, [["ok", "up to date"], ["run", "deploying"], ["wait", "waiting or blocked"], ["bad", "failed"], ["idle", "no version"]].map(([tone, name]) => h("span", {}, h("i", { class: `fill-${tone}` }), name)));

/** The rollouts to look at: of those that have not begun, and of those that are over, the newest one of each place. */
function worthy(rollouts) {
  const seen = new Set();
  const rank = (rollout) => (!rollout.startedAt ? "waits" : rollout.targets.every((target) => target.standing === "done") ? "over" : "goes");
  return rollouts.filter((rollout) => {
    const place = `${rank(rollout)}/${rollout.deployment.id}/${rollout.environment.id}/${rollout.policy}`;
    if (rank(rollout) !== "goes" && seen.has(place)) return false;
    seen.add(place);
    return true;
  }).sort((one, other) => ["goes", "waits", "over"].indexOf(rank(one)) - ["goes", "waits", "over"].indexOf(rank(other)));
}

function wave(rollout, again) {
  const done = rollout.targets.filter((target) => target.standing === "done").length;
  const failed = rollout.targets.filter((target) => target.standing === "failed").length;
  const label = `${rollout.deployment.name} ${rollout.version.tag} in ${rollout.environment.name}: ${done} of ${rollout.targets.length} done`;
  const id = `wave-${rollout.version.id}-${rollout.environment.id}`;
  const marks = [["ok", "done"], ["run", "running"], ["bad", "failed"], ["wait", "due"], ["idle", "to come"]].map(([tone, name]) => ({ fill: `fill-${tone}`, name }));
  const drawn = rollout.targets.slice(0, DRAWN).map((target) => ({ name: target.resource.name, at: target.dueAt ?? rollout.startedAt, fill: `fill-${toneOfStanding(target.standing)}`, said: `${target.standing}; ${target.reason}` }));
  const is_over = done === rollout.targets.length;
  return h("article", { class: "card", key: `${id}-${rollout.policy}`, "aria-labelledby": id },
    h("header", {}, h("h3", { id }, rollout.deployment.name, " ", version(rollout.version.tag), h("span", { class: "soft" }, ` → ${rollout.environment.name}`)), rollout.paused && h("span", { class: "pill wait" }, icon("stopped"), "Paused"),
      !is_over && h("button", { class: "button", type: "button", onclick: () => control(rollout, again), "aria-label": `${rollout.paused ? "Resume" : "Pause"} the rollout of ${rollout.version.tag} in ${rollout.environment.name}` }, rollout.paused ? "Resume" : "Pause")),
    h("div", { class: "in tight" }, h("div", { class: "row" }, h("span", { class: "strong" }, `${done} of ${rollout.targets.length} done`), failed > 0 && h("span", { class: "bad" }, `${failed} failed`), h("span", { class: "soft small" }, rollout.policy)),
      parts(label, ["done", "running", "failed", "due", "waiting"].map((word) => ({ name: word, fill: `fill-${toneOfStanding(word)}`, count: rollout.targets.filter((target) => target.standing === word).length }))),
      rollout.startedAt ? [waves(`When each target is due. ${label}`, drawn, marks, is_over), part(drawn.length, rollout.targets.length, "targets are drawn", h("a", { class: "link", href: to("why", undefined, { deployment: rollout.deployment.name, environment: rollout.environment.name }) }, "All of them"))] : h("p", { class: "soft" }, "It begins when every other rule allows it.")));
}

const control = (rollout, again) => ask({
  title: `${rollout.paused ? "Resume" : "Pause"} ${rollout.deployment.name} ${rollout.version.tag} in ${rollout.environment.name}?`,
  text: rollout.paused ? "It goes on; failures before this count no more." : "No further target starts. What runs is not stopped.",
  fields: [{ name: "reason", label: "Reason" }],
  action: rollout.paused ? "Resume" : "Pause", then: again,
  act: async ({ reason }) => {
    await post(of(`/deployment-versions/${rollout.version.id}/rollout`), { environment: rollout.environment.name, action: rollout.paused ? "resume" : "pause", reason: reason || undefined });
    return rollout.paused ? "The rollout goes on." : "The rollout is paused.";
  },
});
