// Which freezes are on.

/** Whether a freeze has begun and is not over. Made for `filter`, which gives a place in the list as well. */
export function isOn({ from, until }) {
  const now = Date.now();
  return (!from || Date.parse(from) <= now) && (!until || Date.parse(until) > now);
}
