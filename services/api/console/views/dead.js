// Dead letters: messages that nobody could handle, why, and a way back.
import { get, post } from "/console/static/core/api.js";
import { ask } from "/console/static/core/dialog.js";
import { h } from "/console/static/core/dom.js";
import { icon } from "/console/static/core/icons.js";
import { empty, head } from "/console/static/core/page.js";
import { to } from "/console/static/core/router.js";
import { table } from "/console/static/core/table.js";
import { ago } from "/console/static/core/time.js";

export default {
  title: "Dead letters",
  follows: false,
  async load({ query }, signal) {
    try {
      return await get("/api/v1/dead-letters", { after: query.after, limit: 50 }, signal);
    } catch (error) {
      if (error.status === 403 || error.status === 404) return { refused: error.message };
      throw error;
    }
  },
  draw({ items, total, next, refused }, { query }, again) {
    return [
      head("Dead letters", "Messages that nobody could handle after every try. Nothing is lost: mend the cause, then send them back."),
      refused ? h("div", { class: "card" }, empty("dead", "Not with this key", `They belong to all workspaces, so only an administrator of all of them sees them (${refused}).`))
        : items.length === 0 ? h("div", { class: "card" }, empty("ok", "None", "Every message that came in was worked."))
          : table({ label: "Dead letters", rows: items, key: (letter) => String(letter.sequence), columns: [
            { name: "Message", cell: (letter) => h("div", {}, h("span", { class: "mono strong" }, letter.subject.split(".").map((part, index) => (index > 0 ? [h("wbr"), `.${part}`] : part))), h("div", { class: "soft small" }, `number ${letter.sequence}, ${letter.stream} ${letter.originalSequence}`)) },
            { name: "Why", cell: (letter) => h("div", {}, h("span", { class: "bad break" }, letter.reason), h("div", { class: "soft small" }, `${letter.consumer}, tried ${letter.attempts} ${letter.attempts === 1 ? "time" : "times"}`)) },
            { name: "Size", end: true, cell: (letter) => h("span", { class: "nowrap" }, `${letter.sizeBytes} B`) },
            { name: "Given up", cell: (letter) => ago(letter.at) },
            { name: "Redrive", unseen: true, end: true, cell: (letter) => h("button", { class: "button", type: "button", onclick: () => redrive(letter, again), "aria-label": `Redrive ${letter.sequence}` }, icon("retry"), "Redrive") },
          ] }),
      total > items.length && h("p", { class: "soft small", key: "of" }, `${items.length} of ${total} messages, the oldest first.`),
      next && h("a", { class: "button", href: to("dead-letters", undefined, { ...query, after: next }) }, "Newer", icon("more")),
    ];
  },
};

const redrive = (letter, again) => ask({
  title: `Send message ${letter.sequence} back?`, text: `It goes to ${letter.subject} once more, and whoever reads there works it again. That is safe: what has had its effect has it once.`, action: "Redrive", then: again,
  act: async () => {
    const answer = await post(`/api/v1/dead-letters/${letter.sequence}/redrive`);
    return answer.message;
  },
});
