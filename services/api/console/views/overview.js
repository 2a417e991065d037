// The first look: what runs now on every platform, what failed, what waits for whom.
import { all, jobsOf, of } from "/console/static/core/api.js";
import { bars, hours, lengths } from "/console/static/core/chart.js";
import { h } from "/console/static/core/dom.js";
import { icon } from "/console/static/core/icons.js";
import { approvals, called, cancel, deepLinks, keyOf, ruleName, speak, title, version } from "/console/static/core/jobs.js";
import { names } from "/console/static/core/names.js";
import { empty, head } from "/console/static/core/page.js";
import { to } from "/console/static/core/router.js";
import { ACTIVE, BAD, jobStatus, platformFill, platformMark, platformName, reasonOf, toneOf } from "/console/static/core/status.js";
import { ago, between, localised, running, since } from "/console/static/core/time.js";

const DAY_MS = 86_400_000;
const CHARTS_EVERY_MS = 20_000;
const SHOWN = 8;
let past = { of: undefined, at: 0, jobs: [] };

export default {
  title: "Overview",
  follows: true,
  every: 6_000,
  async load(_, signal) {
    const [known, active, targets, waiting, freezes, recent] = await Promise.all([
      names(signal), jobsOf({ status: ACTIVE.join(","), limit: 200 }, signal), all(of("/release-targets"), {}, signal, 3000),
      all(of("/waiting"), {}, signal, 1000), all(of("/freezes"), {}, signal, 200), jobsOf({ limit: 12 }, signal)]);
    if (past.of !== of("") || Date.now() - past.at > CHARTS_EVERY_MS) {
      const page = await jobsOf({ limit: 1000 }, signal);
      const jobs = page.items.filter((job) => Date.now() - Date.parse(job.createdAt) < DAY_MS);
      past = { of: of(""), at: Date.now(), jobs, is_part: jobs.length === page.items.length && page.total > page.items.length };
    }
    return { known, active, targets: targets.items, waiting: waiting.items, freezes: freezes.items, recent: recent.items, past };
  },
  draw(data, _, again) {
    const { known, active, targets, waiting, freezes, recent } = data;
    const on = freezes.filter((freeze) => (!freeze.from || Date.parse(freeze.from) <= Date.now()) && (!freeze.until || Date.parse(freeze.until) > Date.now()));
    const failed = targets.filter((target) => target.state === "failed" || (BAD.includes(target.last?.status) && !target.active));
    const asked = approvals(waiting).filter((entry) => entry.newest);
    const others = waiting.filter((held) => held.newest && !held.rules.some((rule) => rule.rule === "anyApproval" && rule.verdict.is === "wait"));
    const queued = active.items.filter((job) => job.status !== "in_progress");
    const runs = active.items.filter((job) => job.status === "in_progress");
    return [
      head("Overview", sentence(runs.length, queued.length, failed.length, asked.length, on.length)),
      h("div", { class: "stack", key: "stack" },
        on.length > 0 && h("div", { class: "note cold", role: "status", key: "frozen" }, icon("freeze", "cold"), h("div", { class: "grow" }, h("span", { class: "strong" }, `${on.length === 1 ? "A freeze is" : `${on.length} freezes are`} on. `), `Nothing new starts where it applies: ${on.map((freeze) => freeze.reason).join("; ")}.`), h("a", { class: "link", href: to("freeze") }, "Look")),
        h("div", { class: "tiles", key: "tiles" },
          tile("run", "Running now", runs.length, queued.length > 0 ? `${queued.length} more on their way` : "on all platforms", to("jobs", undefined, { status: ACTIVE.join(",") })),
          tile("bad", "Failed", failed.length, failed.length > 0 ? "last job ended badly" : "nothing is broken", to("why", undefined, { state: "failed" })),
          tile("person", "Waiting for a person", asked.length, asked.length > 0 ? "versions to approve" : "nobody is asked", to("approvals")),
          tile("queued", "Waiting for a rule", others.length, others.length > 0 ? "targets with a newer version" : "nothing is held back", to("why", undefined, { state: "waiting" }))),
        failed.length > 0 && failures(failed, known),
        asked.length > 0 && forPeople(asked, again),
        now(active, runs, known, again),
        others.length > 0 && forRules(others),
        charts(data.past),
        latest(recent, known)),
    ];
  },
};

function sentence(runs, queued, failed, asked, frozen) {
  const parts = [];
  if (failed > 0) parts.push(`${failed} ${failed === 1 ? "target has" : "targets have"} failed`);
  if (runs + queued > 0) parts.push(`${runs + queued} ${runs + queued === 1 ? "job is" : "jobs are"} on the way`);
  if (asked > 0) parts.push(`${asked} ${asked === 1 ? "version waits" : "versions wait"} for a yes`);
  if (frozen > 0) parts.push("a freeze is on");
  return parts.length > 0 ? `${parts.join(", ")}.` : "Everything runs what it should. Nothing waits.";
}

const tile = (drawing, label, count, sub, href) => h("a", { class: "card tile", href, key: label, "data-row": true },
  h("span", { class: "label" }, icon(drawing, count > 0 ? { run: "run", bad: "bad", person: "wait", queued: "wait" }[drawing] : ""), label),
  h("span", { class: count > 0 ? "figure" : "figure zero" }, String(count)), h("span", { class: "sub" }, sub));

const more = (count, href) => count > SHOWN && h("li", {}, h("a", { class: "link", href }, `All ${count}`));

function failures(failed, known) {
  const line = (target) => h("li", { key: target.key, "data-row": true },
    h("div", { class: "what" }, h("a", { class: "strong", href: to("why", keyOf(target)) }, target.deployment.name, h("span", { class: "soft" }, " → "), `${target.environment.name} / ${target.resource.name}`),
      h("div", { class: "sub" }, localised(target.summary))),
    h("div", { class: "aside" }, target.last && version(target.last.tag), target.last && jobStatus(target.last, "pill"), target.last && ago(target.last.at), target.last && h("a", { class: "button", href: to("jobs", target.last.job) }, "Open job")));
  return h("section", { class: "card", key: "failures", "aria-labelledby": "failures" }, h("header", {}, icon("bad", "bad"), h("h2", { id: "failures" }, "Failed")),
    h("ul", { class: "lines" }, failed.slice(0, SHOWN).map(line), more(failed.length, to("why", undefined, { state: "failed" }))));
}

function forPeople(asked, again) {
  const line = (entry) => h("li", { key: entry.key, "data-row": true },
    h("div", { class: "what" }, h("a", { class: "strong", href: to("why", keyOf(entry.targets[0])) }, entry.deployment.name, " ", version(entry.version.tag), h("span", { class: "soft" }, " → "), entry.environment.name),
      h("div", { class: "sub" }, [entry.version.metadata?.message, localised(entry.rule.reason), entry.others.size > 0 ? `also held by ${[...entry.others].map(ruleName).join(", ").toLowerCase()}` : undefined].filter(Boolean).join(" · "))),
    h("div", { class: "aside" }, h("span", {}, `${entry.targets.length} ${entry.targets.length === 1 ? "target" : "targets"}`), ago(entry.version.createdAt),
      h("button", { class: "button", type: "button", onclick: () => speak("rejected", entry, again), "aria-label": `Reject ${entry.version.tag} for ${entry.environment.name}` }, "Reject"),
      h("button", { class: "button main-action", type: "button", onclick: () => speak("approved", entry, again), "aria-label": `Approve ${entry.version.tag} for ${entry.environment.name}` }, "Approve")));
  return h("section", { class: "card", key: "people", "aria-labelledby": "people" }, h("header", {}, icon("person", "wait"), h("h2", { id: "people" }, "Waiting for a person")),
    h("ul", { class: "lines" }, asked.slice(0, SHOWN).map(line), more(asked.length, to("approvals"))));
}

function now(active, runs, known, again) {
  const groups = new Map(known.agents.map((agent) => [agent.type, []]));
  for (const job of active.items) groups.set(job.platform, [...(groups.get(job.platform) ?? []), job]);
  const busy = [...groups].filter(([, jobs]) => jobs.length > 0);
  const idle = [...groups].filter(([, jobs]) => jobs.length === 0).map(([platform]) => platformName(platform));
  const line = (job) => h("li", { key: job.id, "data-row": true }, h("div", { class: "what" }, title(job, known.name(job.target.resource)), (job.reason || job.message) && h("div", { class: "sub" }, [reasonOf(job.reason), job.message].filter(Boolean).join(" · "))),
    h("div", { class: "aside" }, jobStatus(job), ago(job.startedAt ?? job.createdAt, running), deepLinks(job, "button bare").slice(0, 1),
      h("button", { class: "button bare", type: "button", onclick: () => cancel(job, again), "aria-label": `Cancel ${called(job)}${job.target.resource ? ` / ${known.name(job.target.resource)}` : ""}` }, "Cancel")));
  const content = busy.map(([platform, jobs]) => h("div", { key: `on-${platform}` }, h("h3", { class: "platform-name" }, platformMark(platform), platformName(platform), h("span", {}, `· ${jobs.length}`)), h("ul", { class: "lines" }, jobs.slice(0, SHOWN).map(line), more(jobs.length, to("jobs", undefined, { status: ACTIVE.join(","), platform })))));
  return h("section", { class: "card", key: "now", "aria-labelledby": "now" },
    h("header", {}, icon("run", runs.length > 0 ? "run turn" : ""), h("h2", { id: "now" }, "On the way now"), idle.length > 0 && h("span", { class: "soft small" }, `idle: ${idle.join(", ")}`)),
    busy.length > 0 ? h("div", { class: "platforms" }, content) : h("div", { class: "brief" }, empty("ok", "Nothing runs", "A push, a published version or an approval starts the next job; it appears here at once.")));
}

function forRules(others) {
  const groups = new Map();
  for (const held of others) {
    const key = `${held.version.id}/${held.target.environment.id}`;
    groups.set(key, [...(groups.get(key) ?? []), held]);
  }
  const soonest = (list) => list.map((held) => held.nextLook).filter(Boolean).sort()[0];
  const line = ([key, list]) => [{ ...list[0], nextLook: soonest(list) }].map((held) => h("li", { key, "data-row": true },
    h("div", { class: "what" }, h("a", { class: "strong", href: list.length === 1 ? to("why", keyOf(held.target)) : to("why", undefined, { deployment: held.target.deployment.name, environment: held.target.environment.name }) }, held.target.deployment.name, " ", version(held.version.tag), h("span", { class: "soft" }, " → "), `${held.target.environment.name}${list.length === 1 ? ` / ${held.target.resource.name}` : ""}`),
      h("div", { class: "sub" }, held.rules.map((rule) => `${ruleName(rule.rule)}: ${localised(rule.reason)}`).join(" · "))),
    h("div", { class: "aside" }, h("span", {}, `${list.length} ${list.length === 1 ? "target" : "targets"}`), held.nextLook ? h("span", {}, "next instant ", h("time", { datetime: held.nextLook, "data-words": "since" }, since(held.nextLook))) : h("span", {}, "until something else happens"))));
  return h("section", { class: "card", key: "rules", "aria-labelledby": "rules" }, h("header", {}, icon("queued", "wait"), h("h2", { id: "rules" }, "Waiting for a rule")), h("ul", { class: "lines" }, [...groups].slice(0, SHOWN).map(line), more(groups.size, to("why"))));
}

function charts({ jobs, is_part }) {
  const slots = hours(jobs, (job) => job.createdAt);
  const platforms = [...new Set(jobs.map((job) => job.platform))].filter(Boolean).sort();
  const by_platform = platforms.map((platform) => ({ name: platformName(platform), fill: platformFill(platform), count: (items) => items.filter((job) => job.platform === platform).length }));
  const tones = [["successful", "ok"], ["failed", "bad"], ["on the way", "run"], ["cancelled or skipped", "idle"]];
  const tone = (job) => (ACTIVE.includes(job.status) ? "run" : toneOf(job.status));
  const by_status = tones.map(([name, kind]) => ({ name, fill: `fill-${kind}`, count: (items) => items.filter((job) => tone(job) === kind).length }));
  const waited = (job) => between(job.createdAt, job.startedAt);
  if (jobs.length === 0) return undefined;
  const card = (id, label, text, chart) => h("section", { class: "card", key: id, "aria-labelledby": id }, h("header", {}, h("h2", { id }, label), h("span", { class: "soft small" }, text)), h("div", { class: "in" }, chart));
  const span = is_part ? "per hour, newest 1000" : "per hour, 24 h";
  return h("div", { class: "columns", key: "charts" },
    card("by-status", "Jobs by status", span, bars("Jobs per hour by status", slots, by_status)),
    card("by-platform", "Jobs by platform", span, bars("Jobs per hour by platform", slots, by_platform)),
    card("queue", "Time to run", span, lengths("Time from request to run, per hour", slots, waited)));
}

function latest(recent, known) {
  const over = recent.filter((job) => !ACTIVE.includes(job.status)).slice(0, SHOWN);
  if (over.length === 0) return undefined;
  const line = (job) => h("li", { key: job.id, "data-row": true }, h("div", { class: "what" }, title(job, known.name(job.target.resource))),
    h("div", { class: "aside even" }, jobStatus(job), h("span", {}, platformName(job.platform)), ago(job.completedAt ?? job.updatedAt)));
  return h("section", { class: "card", key: "latest", "aria-labelledby": "latest" }, h("header", {}, h("h2", { id: "latest" }, "Ended lately"), h("a", { class: "link small", href: to("jobs") }, "All jobs")), h("ul", { class: "lines" }, over.map(line)));
}
