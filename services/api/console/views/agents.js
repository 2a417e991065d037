// The job agents: whether their platforms can be heard and asked, how many jobs they run, and who waits in what order.
import { all, get, jobsOf, of, place } from "/console/static/core/api.js";
import { h } from "/console/static/core/dom.js";
import { icon } from "/console/static/core/icons.js";
import { called } from "/console/static/core/jobs.js";
import { names } from "/console/static/core/names.js";
import { empty, head } from "/console/static/core/page.js";
import { to } from "/console/static/core/router.js";
import { ACTIVE, check, platformMark, platformName } from "/console/static/core/status.js";
import { ago, since } from "/console/static/core/time.js";

const RANK = ["ok", "warn", "fail"];
const SLOTS_DRAWN = 40;

export default {
  title: "Agents",
  follows: true,
  every: 6_000,
  async load(_, signal) {
    const [doctor, agents, active] = await Promise.all([get("/api/v1/doctor", {}, signal), all(of("/agents/standing"), {}, signal), jobsOf({ status: "queued", limit: 1000 }, signal)]);
    await names(signal);
    // An agent without a limit keeps no account of what it runs.
    const without = agents.items.filter((agent) => !agent.maxConcurrent);
    const totals = await Promise.all(without.map(({ id }) => jobsOf({ status: ACTIVE.join(","), agent: id, limit: 1 }, signal).then(({ total, totalIsFloor }) => [id, `${total}${totalIsFloor ? "+" : ""}`])));
    return { doctor, agents: agents.items, active: active.items, running: new Map(totals) };
  },
  draw({ doctor, agents, active, running }) {
    const system = doctor.checks.filter((one) => !one.check.startsWith("agent/") && !one.check.startsWith("budget/")).sort((one, other) => RANK.indexOf(other.status) - RANK.indexOf(one.status));
    const wrong = doctor.checks.filter((one) => one.status !== "ok");
    return [
      head("Agents", wrong.length === 0 ? "Every platform can be heard and asked, and every service works." : `${wrong.length} ${wrong.length === 1 ? "thing needs" : "things need"} a look.`),
      h("div", { class: "stack", key: "stack" },
        agents.length === 0 ? h("div", { class: "card" }, empty("agents", "No agents yet", "An agent says which platform runs the jobs, and how it is reached. docs/examples has one for each platform.", h("pre", { class: "code" }, "ctrlplane apply -f docs/examples/github.yaml")))
          : h("div", { class: "columns wide" }, agents.map((agent) => card(agent, doctor, active, running.get(agent.id)))),
        doctor.budgets.length > 0 && h("section", { class: "card", "aria-labelledby": "budgets" }, h("header", {}, h("h2", { id: "budgets" }, "API budgets"), h("span", { class: "soft small" }, "what is left of the platforms' limits, per credential")), h("div", { class: "in columns" }, doctor.budgets.map(budget))),
        system.length > 0 && h("section", { class: "card", "aria-labelledby": "system" }, h("header", {}, h("h2", { id: "system" }, "The system itself"), check(worst(system), "pill")), system.some((one) => one.status !== "ok") && h("ul", { class: "lines" }, system.filter((one) => one.status !== "ok").map((one) => h("li", { key: one.check }, h("div", { class: "what" }, h("span", { class: "mono" }, one.check), h("div", { class: "sub" }, one.message, one.todo && ` — ${one.todo}`)), check(one.status)))),
          h("ul", { class: "in fine" }, system.filter((one) => one.status === "ok").map((one) => h("li", { key: one.check }, icon("ok", "ok"), h("div", {}, one.check.replace("service/", ""), h("div", { class: "soft small" }, one.message))))))),
    ];
  },
};

const worst = (checks) => RANK[Math.max(0, ...checks.map((one) => RANK.indexOf(one.status)))];

function card(agent, doctor, active, running) {
  const id = `agent-${agent.id}`;
  const checks = doctor.checks.filter((one) => one.check === `agent/${place.workspace}/${agent.name}`);
  const hooks = doctor.webhooks.filter((hook) => hook.users.some((user) => user.agent === agent.id));
  const held = agent.held?.length ?? 0;
  return h("article", { class: "card", key: agent.id, "aria-labelledby": id },
    h("header", {}, platformMark(agent.platform), h("h2", { id }, agent.name, h("span", { class: "soft" }, ` ${platformName(agent.platform)}`)), checks.length > 0 ? check(worst(checks), "pill") : undefined),
    h("div", { class: "in tight" },
      h("div", { class: "meter" }, h("div", { class: "row" }, h("span", {}, "Jobs at once"), h("span", { class: "strong" }, agent.maxConcurrent ? `${held} of ${agent.maxConcurrent} slots` : `${running} on the way, no limit`)),
        agent.maxConcurrent && agent.maxConcurrent <= SLOTS_DRAWN && h("div", { class: "slots", "aria-hidden": "true" }, Array.from({ length: agent.maxConcurrent }, (_, index) => h("i", { class: index < held ? "taken" : undefined })))),
      agent.waiting.length > 0 && h("div", {}, h("h3", {}, `${agent.waiting.length} wait for a slot`), h("ol", { class: "lines" }, agent.waiting.slice(0, 10).map((slot, index) => h("li", { key: slot.job, "data-row": true }, h("span", { class: "soft" }, `${index + 1}.`), h("div", { class: "what" }, h("a", { class: "link mono", href: to("jobs", slot.job) }, slot.job.slice(0, 8)), waits(active, slot.job)), h("div", { class: "aside" }, "since ", ago(slot.since)))), agent.waiting.length > 10 && h("li", {}, `and ${agent.waiting.length - 10} more`))),
      hooks.map(webhook),
      checks.filter((one) => one.status !== "ok" || hooks.length === 0).map((one) => h("div", { class: `note ${{ ok: "idle", warn: "wait", fail: "bad" }[one.status]}` }, icon({ ok: "ok", warn: "warn", fail: "bad" }[one.status], { ok: "ok", warn: "wait", fail: "bad" }[one.status]), h("div", { class: "grow small" }, one.message, one.todo && h("div", { class: "strong" }, one.todo))))));
}

const waits = (active, id) => {
  const job = active.find((one) => one.id === id);
  return job && h("span", { class: "soft" }, ` ${called(job)}`);
};

function webhook(hook) {
  const { counts, missing } = hook;
  const cell = (name, value, tone) => h("div", {}, h("div", { class: "soft small" }, name), h("div", { class: `strong ${tone ?? ""}` }, String(value)));
  return h("div", { class: "tight" }, h("h3", {}, "Webhook ", h("span", { class: "soft" }, hook.hook.scope)),
    h("div", { class: "row webhook", style: { gap: "24px" } }, cell("sent", counts.sent), cell("accepted", counts.accepted), cell("missing", missing, missing > 0 ? "wait" : ""), cell("recovered", counts.recovered ?? 0), cell("lost", counts.lost, counts.lost > 0 ? "bad" : "")),
    h("p", { class: "soft small" }, hook.heardAt ? `heard ${since(hook.heardAt)}` : "nothing heard yet", hook.lookedAt && `, looked at ${since(hook.lookedAt)}`));
}

function budget({ platform, host, credential, limit, remaining, resetAt, blockedUntil }) {
  const share = limit && remaining !== undefined && remaining !== null ? remaining / limit : undefined;
  const tone = share === undefined ? "idle" : share < 0.1 ? "bad" : share < 0.3 ? "wait" : "ok";
  return h("div", { class: "meter", key: `${platform}-${host}-${credential}` }, h("div", { class: "row" }, h("span", {}, platformName(platform), h("span", { class: "soft" }, ` ${credential}`)), h("span", { class: "strong" }, share === undefined ? "no limit told" : `${remaining} of ${limit}`)),
    share !== undefined && h("div", { class: "bar", role: "img", "aria-label": `${Math.round(share * 100)} % of the calls left` }, h("i", { class: `fill-${tone}`, style: { width: `${Math.max(1, share * 100)}%` } })),
    h("div", { class: "soft small" }, host, blockedUntil && Date.parse(blockedUntil) > Date.now() ? `, paused by the platform ${since(blockedUntil)}` : resetAt && Date.parse(resetAt) > Date.now() ? `, full again ${since(resetAt)}` : ""));
}
