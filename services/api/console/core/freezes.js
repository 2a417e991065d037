// Which freezes are on.

/** Whether a freeze has begun and is not over. */
export const isOn = ({ from, until }, now = Date.now()) => (!from || Date.parse(from) <= now) && (!until || Date.parse(until) > now);
