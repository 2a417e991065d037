// Names of things that jobs tell by id. Asked for once in a while, so that every view can show them.
import { all, of, place } from "/console/static/core/api.js";

const KEPT_MS = 20_000;
let known;

/** Deployments, environments, resources, agents and workflows: lists, and a name by id. */
export async function names(signal) {
  if (known?.workspace === place.workspace && Date.now() - known.at < KEPT_MS) return known;
  const kinds = ["deployments", "environments", "resources", "job-agents", "workflows"];
  const [deployments, environments, resources, agents, workflows] = await Promise.all(kinds.map((kind) => all(of(`/${kind}`), {}, signal).then((list) => list.items)));
  const by = new Map([deployments, environments, resources, agents, workflows].flat().map((entity) => [entity.id, entity.name]));
  known = { workspace: place.workspace, at: Date.now(), deployments, environments, resources, agents, workflows, has: (id) => by.has(id), name: (id) => by.get(id) ?? id?.slice(0, 8) };
  return known;
}

/** The name of an id, where it is known without asking. */
export const named = (id) => (known?.workspace === place.workspace && known.has(id) ? known.name(id) : undefined);

/** What was declared since is to be seen at once. */
export const forget = () => { known = undefined; };

export const options = (entities) => entities.map(({ name }) => ({ value: name, label: name }));
