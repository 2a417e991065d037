// All jobs, newest first, by any filter.
import { jobsOf } from "/console/static/core/api.js";
import { h } from "/console/static/core/dom.js";
import { filters } from "/console/static/core/filters.js";
import { icon } from "/console/static/core/icons.js";
import { deepLinks, title } from "/console/static/core/jobs.js";
import { names, options } from "/console/static/core/names.js";
import { empty, head } from "/console/static/core/page.js";
import { to } from "/console/static/core/router.js";
import { ACTIVE, BAD, STATUSES, isActive, jobStatus, platformMark, platformName, reasonOf } from "/console/static/core/status.js";
import { table } from "/console/static/core/table.js";
import { ago, between, length, running } from "/console/static/core/time.js";

const PAGE = 50;

export default {
  title: "Jobs",
  follows: true,
  async load({ query }, signal) {
    const { status, platform, deployment, environment, version, resource, cursor } = query;
    const [known, page] = await Promise.all([names(signal), jobsOf({ status, platform, deployment, environment, version, resource, cursor, limit: PAGE }, signal)]);
    return { known, page };
  },
  draw({ known, page }, { query }) {
    const platforms = [...new Set(known.agents.map((agent) => agent.type))].map((value) => ({ value, label: platformName(value) }));
    const groups = [{ value: ACTIVE.join(","), label: "On the way" }, { value: BAD.join(","), label: "Ended badly" }];
    const is_filtered = ["status", "platform", "deployment", "environment", "version", "resource"].some((name) => query[name]);
    return [
      head("Jobs", `${page.total}${page.totalIsFloor ? "+" : ""} ${page.total === 1 ? "job" : "jobs"}${is_filtered ? " fit the filters" : " on all platforms"}, newest first.`),
      filters(query, [{ name: "status", label: "Status", options: [...groups, ...STATUSES] }, { name: "platform", label: "Platform", options: platforms }, { name: "deployment", label: "Deployment", options: options(known.deployments) },
        { name: "environment", label: "Environment", options: options(known.environments) }, { name: "version", label: "Version", hint: query.deployment ? "tag" : "deployment:tag" }]),
      page.items.length === 0 ? h("div", { class: "card" }, is_filtered ? empty("jobs", "No job fits these filters", "Clear one of them to see more.") : empty("jobs", "No jobs yet", "A version that may go somewhere becomes a job. Publish one:", h("pre", { class: "code" }, "ctrlplane version create DEPLOYMENT TAG")))
        : table({ label: "Jobs", rows: page.items, key: (job) => job.id, columns: [
          { name: "Job", cell: (job) => h("div", {}, title(job, known), job.attempt > 1 && h("span", { class: "soft small" }, ` · attempt ${job.attempt}`)) },
          { name: "Status", cell: (job) => h("div", {}, jobStatus(job), job.reason && h("div", { class: "soft small" }, reasonOf(job.reason))) },
          { name: "Platform", cell: (job) => h("span", { class: "row nowrap" }, platformMark(job.platform), job.platform ? platformName(job.platform) : "not yet") },
          { name: "Took", cell: (job) => (isActive(job.status) ? (job.startedAt ? ago(job.startedAt, running) : undefined) : h("span", { class: "nowrap" }, length(between(job.startedAt ?? job.createdAt, job.completedAt)))) },
          { name: "Asked for", cell: (job) => ago(job.createdAt) },
          { name: "Run", unseen: true, end: true, cell: (job) => h("span", { class: "row nowrap" }, deepLinks(job, "button bare").slice(0, 1)) },
        ] }),
      h("nav", { class: "row", "aria-label": "Pages", key: "pages" }, query.cursor && h("a", { class: "button", href: to("jobs", undefined, { ...query, cursor: undefined }) }, "Newest"), page.cursor && h("a", { class: "button", href: to("jobs", undefined, { ...query, cursor: page.cursor }) }, "Older", icon("more"))),
    ];
  },
};
