// Recurrences (RFC 5545) in words. What these do not cover is shown as it was written.
const EVERY = { SECONDLY: "second", MINUTELY: "minute", HOURLY: "hour", DAILY: "day", WEEKLY: "week", MONTHLY: "month", YEARLY: "year" };
const DAYS = { MO: "Monday", TU: "Tuesday", WE: "Wednesday", TH: "Thursday", FR: "Friday", SA: "Saturday", SU: "Sunday" };
const TOLD = ["FREQ", "INTERVAL", "BYDAY", "BYHOUR", "BYMINUTE", "BYSECOND", "WKST"];

/** `FREQ=WEEKLY;BYDAY=MO,FR;BYHOUR=9;BYMINUTE=0` is "every week on Monday and Friday at 09:00". */
export function recurrence(text) {
  const parts = Object.fromEntries(text.trim().replace(/^RRULE:/, "").split(";").map((part) => part.split("=")));
  const all = (name) => parts[name]?.split(",") ?? [];
  const [hours, minutes] = [all("BYHOUR"), all("BYMINUTE")];
  const is_told = EVERY[parts.FREQ] && Object.keys(parts).every((name) => TOLD.includes(name)) && all("BYDAY").every((day) => DAYS[day])
    && (parts.BYSECOND ?? "0") === "0" && hours.length > 0 === minutes.length > 0;
  if (!is_told) return text;
  const interval = Number(parts.INTERVAL ?? 1);
  const times = hours.flatMap((hour) => minutes.map((minute) => `${hour.padStart(2, "0")}:${minute.padStart(2, "0")}`)).sort();
  return [interval === 1 ? `every ${EVERY[parts.FREQ]}` : `every ${interval} ${EVERY[parts.FREQ]}s`,
    all("BYDAY").length > 0 && `on ${and(all("BYDAY").map((day) => DAYS[day]))}`, times.length > 0 && `at ${and(times)}`].filter(Boolean).join(" ");
}

const and = (words) => (words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`);
