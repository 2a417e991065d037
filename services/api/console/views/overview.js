// The first look: what runs now on every platform, what failed, what waits for whom.
import { all, get, jobsOf, of } from "/console/static/core/api.js";
import { bars, hours, lengths } from "/console/static/core/chart.js";
import { h } from "/console/static/core/dom.js";
import { isOn } from "/console/static/core/freezes.js";
import { icon } from "/console/static/core/icons.js";
import { approvals, called, cancel, deepLinks, keyOf, ruleName, speak, title, version, waitsForPeople } from "/console/static/core/jobs.js";
import { names } from "/console/static/core/names.js";
import { empty, head } from "/console/static/core/page.js";
import { to } from "/console/static/core/router.js";
import { ACTIVE, because, jobStatus, platformFill, platformMark, platformName, toneOf } from "/console/static/core/status.js";
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
    const known = await names(signal);
    const platforms = [...new Set(known.agents.map((agent) => agent.type))];
    const on_platform = async (platform) => ({ platform, ...(await jobsOf({ status: ACTIVE.join(","), platform, limit: SHOWN }, signal)) });
    const [active, counts, failed, held, freezes, recent, ...on] = await Promise.all([
      jobsOf({ status: ACTIVE.join(","), limit: SHOWN }, signal), get(of("/jobs/counts"), {}, signal), get(of("/release-targets"), { failed: true, limit: SHOWN }, signal),
      all(of("/waiting/versions"), {}, signal), all(of("/freezes"), {}, signal), jobsOf({ limit: 12 }, signal), ...platforms.map(on_platform)]);
    if (past.of !== of("") || Date.now() - past.at > CHARTS_EVERY_MS) {
      const page = await jobsOf({ limit: 1000 }, signal);
      const jobs = page.items.filter((job) => Date.now() - Date.parse(job.createdAt) < DAY_MS);
      past = { of: of(""), at: Date.now(), jobs, is_part: jobs.length === page.items.length && page.total > page.items.length };
    }
    return { known, active, on, runs: counts.counts.inProgress ?? 0, failed, held: held.items, summary: held.summary, freezes: freezes.items, recent: recent.items, past };
  },
  draw(data, _, again) {
    const { known, active, on, runs, failed, held, summary, freezes, recent } = data;
    const frozen = freezes.filter(isOn);
    const asked = approvals(held).filter((group) => group.newest);
    const others = held.filter((group) => group.newest && !group.rules.some(waitsForPeople));
    const queued = Math.max(active.total - runs, 0);
    return [
      head("Overview", sentence(runs, queued, failed.total, asked.length, frozen.length)),
      h("div", { class: "stack", key: "stack" },
        frozen.length > 0 && h("div", { class: "note cold", role: "status", key: "frozen" }, icon("freeze", "cold"), h("div", { class: "grow" }, h("span", { class: "strong" }, `${frozen.length === 1 ? "A freeze is" : `${frozen.length} freezes are`} on. `), `Nothing new starts where it applies: ${frozen.map((freeze) => freeze.reason).join("; ")}.`), h("a", { class: "link", href: to("freeze") }, "Look")),
        h("div", { class: "tiles", key: "tiles" },
          tile("run", "Running now", runs, queued > 0 ? `${queued} more on their way` : "on all platforms", to("jobs", undefined, { status: ACTIVE.join(",") })),
          tile("bad", "Failed", failed.total, failed.total > 0 ? "last job ended badly" : "nothing is broken", to("why", undefined, { state: "failed" })),
          tile("person", "Waiting for a person", asked.length, asked.length > 0 ? `${asked.length === 1 ? "version" : "versions"} to approve` : "nobody is asked", to("approvals")),
          tile("queued", "Waiting for a rule", summary.forRules, summary.forRules > 0 ? `${summary.forRules === 1 ? "target" : "targets"} with a newer version` : "nothing is held back", to("why", undefined, { state: "waiting" }))),
        failed.total > 0 && failures(failed),
        asked.length > 0 && forPeople(asked, again),
        now(active, on, runs, known, again),
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
  if (frozen > 0) parts.push(frozen === 1 ? "a freeze is on" : `${frozen} freezes are on`);
  return parts.length > 0 ? `${parts.join(", ")}.` : "Everything runs what it should. Nothing waits.";
}

const tile = (drawing, label, count, sub, href) => h("a", { class: "card tile", href, key: label, "data-row": true },
  h("span", { class: "label" }, icon(drawing, count > 0 ? { run: "run", bad: "bad", person: "wait", queued: "wait" }[drawing] : ""), label),
  h("span", { class: count > 0 ? "figure" : "figure zero" }, String(count)), h("span", { class: "sub" }, sub));

const more = (count, href) => count > SHOWN && h("li", {}, h("a", { class: "link", href }, `All ${count}`));

function failures({ items, total }) {
  const line = (target) => h("li", { key: target.key, "data-row": true },
    h("div", { class: "what" }, h("a", { class: "strong", href: to("why", keyOf(target)) }, target.deployment.name, h("span", { class: "soft" }, " → "), `${target.environment.name} / ${target.resource.name}`),
      h("div", { class: "sub" }, localised(target.summary))),
    h("div", { class: "aside" }, target.last && version(target.last.tag), target.last && jobStatus(target.last, "pill"), target.last && ago(target.last.at), target.last && h("a", { class: "button", href: to("jobs", target.last.job) }, "Open job")));
  return h("section", { class: "card", key: "failures", "aria-labelledby": "failures" }, h("header", {}, icon("bad", "bad"), h("h2", { id: "failures" }, "Failed")),
    h("ul", { class: "lines" }, items.map(line), more(total, to("why", undefined, { state: "failed" }))));
}

function forPeople(asked, again) {
  const line = (entry) => h("li", { key: entry.key, "data-row": true },
    h("div", { class: "what" }, h("a", { class: "strong", href: to("why", keyOf(entry.named[0])) }, entry.deployment.name, " ", version(entry.version.tag), h("span", { class: "soft" }, " → "), entry.environment.name),
      h("div", { class: "sub" }, [entry.version.metadata?.message, localised(entry.rule.reason), entry.others.size > 0 ? `also held by ${[...entry.others].map(ruleName).join(", ").toLowerCase()}` : undefined].filter(Boolean).join(" · "))),
    h("div", { class: "aside" }, h("span", {}, `${entry.targets} ${entry.targets === 1 ? "target" : "targets"}`), ago(entry.version.createdAt),
      h("button", { class: "button", type: "button", onclick: () => speak("rejected", entry, again), "aria-label": `Reject ${entry.version.tag} for ${entry.environment.name}` }, "Reject"),
      h("button", { class: "button main-action", type: "button", onclick: () => speak("approved", entry, again), "aria-label": `Approve ${entry.version.tag} for ${entry.environment.name}` }, "Approve")));
  return h("section", { class: "card", key: "people", "aria-labelledby": "people" }, h("header", {}, icon("person", "wait"), h("h2", { id: "people" }, "Waiting for a person")),
    h("ul", { class: "lines" }, asked.slice(0, SHOWN).map(line), more(asked.length, to("approvals"))));
}

function now(active, on, runs, known, again) {
  const busy = on.filter(({ total }) => total > 0);
  const idle = on.filter(({ total }) => total === 0).map(({ platform }) => platformName(platform));
  // A job has no platform before it has an agent; a measurement is on one of ours.
  const shown = new Set(busy.flatMap(({ items }) => items.map(({ id }) => id)));
  const elsewhere = { items: active.items.filter((job) => !shown.has(job.id) && !busy.some(({ platform }) => platform === job.platform)), total: active.total - busy.reduce((sum, { total }) => sum + total, 0) };
  const line = (job) => h("li", { key: job.id, "data-row": true }, h("div", { class: "what" }, title(job, known), (job.reason || job.message) && h("div", { class: "sub" }, because(job))),
    h("div", { class: "aside" }, jobStatus(job), ago(job.startedAt ?? job.createdAt, running), deepLinks(job, "button bare").slice(0, 1),
      h("button", { class: "button bare", type: "button", onclick: () => cancel(job, again), "aria-label": `Cancel ${called(job)}${job.target.resource ? ` / ${known.name(job.target.resource)}` : ""}` }, "Cancel")));
  const content = busy.map(({ platform, items, total }) => h("div", { key: `on-${platform}` }, h("h3", { class: "platform-name" }, platformMark(platform), platformName(platform), h("span", {}, `· ${total}`)), h("ul", { class: "lines" }, items.map(line), more(total, to("jobs", undefined, { status: ACTIVE.join(","), platform })))));
  return h("section", { class: "card", key: "now", "aria-labelledby": "now" },
    h("header", {}, icon("run", runs > 0 ? "run turn" : ""), h("h2", { id: "now" }, "On the way now"), idle.length > 0 && h("span", { class: "soft small" }, `idle: ${idle.join(", ")}`)),
    active.total > 0 ? h("div", { class: "platforms" }, content, elsewhere.total > 0 && h("div", { key: "elsewhere" }, h("h3", { class: "platform-name" }, "Before or beside an agent ", h("span", {}, `· ${elsewhere.total}`)), h("ul", { class: "lines" }, elsewhere.items.map(line), elsewhere.total > elsewhere.items.length && h("li", {}, h("a", { class: "link", href: to("jobs", undefined, { status: ACTIVE.join(",") }) }, "All that are on their way"))))) : h("div", { class: "brief" }, empty("ok", "Nothing runs", "A push, a published version or an approval starts the next job; it appears here at once.")));
}

function forRules(others) {
  const line = (group) => h("li", { key: `${group.version.id}/${group.environment.id}`, "data-row": true },
    h("div", { class: "what" }, h("a", { class: "strong", href: group.targets === 1 ? to("why", keyOf(group.named[0])) : to("why", undefined, { deployment: group.deployment.name, environment: group.environment.name }) }, group.deployment.name, " ", version(group.version.tag), h("span", { class: "soft" }, " → "), `${group.environment.name}${group.targets === 1 ? ` / ${group.named[0].resource.name}` : ""}`),
      h("div", { class: "sub" }, group.rules.map((rule) => `${ruleName(rule.rule)}: ${localised(rule.reason)}`).join(" · "))),
    h("div", { class: "aside" }, h("span", {}, `${group.targets} ${group.targets === 1 ? "target" : "targets"}`), group.nextLook ? h("span", {}, "next instant ", h("time", { datetime: group.nextLook, "data-words": "since" }, since(group.nextLook))) : h("span", {}, "until something else happens")));
  return h("section", { class: "card", key: "rules", "aria-labelledby": "rules" }, h("header", {}, icon("queued", "wait"), h("h2", { id: "rules" }, "Waiting for a rule")), h("ul", { class: "lines" }, others.slice(0, SHOWN).map(line), more(others.length, to("why", undefined, { state: "waiting" }))));
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
    card("queue", "Time until a job runs", span, lengths("Time from request to run, per hour", slots, waited)));
}

function latest(recent, known) {
  const over = recent.filter((job) => !ACTIVE.includes(job.status)).slice(0, SHOWN);
  if (over.length === 0) return undefined;
  const line = (job) => h("li", { key: job.id, "data-row": true }, h("div", { class: "what" }, title(job, known)),
    h("div", { class: "aside even" }, jobStatus(job), h("span", {}, platformName(job.platform)), ago(job.completedAt ?? job.updatedAt)));
  return h("section", { class: "card", key: "latest", "aria-labelledby": "latest" }, h("header", {}, h("h2", { id: "latest" }, "Ended lately"), h("a", { class: "link small", href: to("jobs") }, "All jobs")), h("ul", { class: "lines" }, over.map(line)));
}
