//! Reads a recurrence rule as people write it, and says what is wrong with it so that they can mend it.

use super::WindowError;
use crate::Timestamp;
use crate::near;
use chrono::{NaiveDate, NaiveDateTime, NaiveTime, TimeZone};
use chrono_tz::Tz;

const EXAMPLE: &str = "e.g. `FREQ=WEEKLY;BYDAY=MO,TU;BYHOUR=9;BYMINUTE=0;BYSECOND=0`";
const FREQUENCIES: [&str; 6] = ["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY"];
const DAYS: [&str; 7] = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];
/// Longer rules are not read.
const LONGEST: usize = 1_000;

/// The parts that are numbers, between what, and how they are meant.
const NUMBERS: [(&str, i32, i32, &str); 9] = [
    ("INTERVAL", 1, 1_000, "INTERVAL=2 is every second time; for rarer ones choose a longer FREQ"),
    ("BYSECOND", 0, 59, "seconds begin with 0: `BYSECOND=0`"),
    ("BYMINUTE", 0, 59, "minutes begin with 0: the full hour is `BYMINUTE=0`"),
    ("BYHOUR", 0, 23, "hours begin with 0: midnight is `BYHOUR=0`, nine in the evening `BYHOUR=21`"),
    ("BYMONTHDAY", -31, 31, "`BYMONTHDAY=1` is the first day of a month, `BYMONTHDAY=-1` the last"),
    ("BYYEARDAY", -366, 366, "`BYYEARDAY=1` is the first day of a year, `BYYEARDAY=-1` the last"),
    ("BYWEEKNO", -53, 53, "`BYWEEKNO=1` is the first week of a year (ISO 8601), `BYWEEKNO=-1` the last"),
    ("BYMONTH", 1, 12, "months are numbers: January is `BYMONTH=1`, December `BYMONTH=12`"),
    ("BYSETPOS", -366, 366, "`BYSETPOS=1` is the first opening of each period, `BYSETPOS=-1` the last"),
];

/// A rule in its parts.
#[derive(Debug)]
pub(super) struct Rule {
    /// The recurrence without its ends, for the crate that knows recurrences.
    pub(super) recurrence: rrule::RRule<rrule::Unvalidated>,
    /// `DTSTART`, on the clock of the zone.
    pub(super) start: Option<NaiveDateTime>,
    /// `COUNT`.
    pub(super) count: Option<u32>,
    /// `UNTIL`: nothing opens after it.
    pub(super) until: Option<Timestamp>,
}

/// The time zone of that name.
pub(super) fn zone(name: &str) -> Result<Tz, WindowError> {
    name.parse().map_err(|_| {
        let known = || chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
        let city = known().find(|zone| {
            zone.rsplit('/').next().is_some_and(|city| city.eq_ignore_ascii_case(&name.replace(' ', "_")))
        });
        WindowError {
            problem: format!("there is no time zone `{name}`"),
            hint: city
                .map(|zone| format!("did you mean `{zone}`?"))
                .or_else(|| near::did_you_mean(name, known()))
                .or_else(|| Some("IANA names are understood, e.g. `Europe/Berlin`".to_owned())),
            field: "timezone",
        }
    })
}

/// Reads `[DTSTART…] [RRULE:]FREQ=…`, in any case, on one line or several.
pub(super) fn parse(text: &str, zone: Tz) -> Result<Rule, WindowError> {
    if text.len() > LONGEST || !text.is_ascii() {
        return Err(wrong(
            format!("it is not a rule of up to {LONGEST} ASCII characters"),
            Some(EXAMPLE.to_owned()),
        ));
    }
    let text = text.to_ascii_uppercase();
    let (mut start, mut rule) = (None, None);
    for line in lines(&text) {
        if let Some(rest) = line.strip_prefix("DTSTART") {
            if start.replace(dtstart(rest, zone)?).is_some() {
                return Err(wrong(
                    "it has more than one DTSTART".to_owned(),
                    Some("keep one: the start of its only RRULE".to_owned()),
                ));
            }
        } else if ["RDATE", "EXDATE", "EXRULE", "DTEND", "DURATION"].iter().any(|name| line.starts_with(name))
        {
            return Err(wrong(
                format!("it has `{line}`: only one RRULE is understood, with a DTSTART before it"),
                Some("say single dates by a policy of their own, or by a freeze".to_owned()),
            ));
        } else {
            let parts = line.strip_prefix("RRULE:").unwrap_or(&line).to_owned();
            if rule.replace(parts).is_some() {
                return Err(wrong(
                    "it has more than one RRULE".to_owned(),
                    Some("write a rule for each".to_owned()),
                ));
            }
        }
    }
    let Some(rule) = rule.filter(|rule| !rule.is_empty()) else {
        return Err(wrong("it has no recurrence rule".to_owned(), Some(EXAMPLE.to_owned())));
    };
    parts(&rule, start, zone)
}

/// The content lines, also where YAML folded them into one. Blanks within a line mean nothing.
fn lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_ascii_whitespace() {
        let opens = ["DTSTART", "RRULE:", "RDATE", "EXDATE", "EXRULE", "DTEND", "DURATION", "FREQ="]
            .iter()
            .any(|name| word.starts_with(name));
        match lines.last_mut() {
            Some(line) if !opens || line.ends_with([';', ':', ',', '=']) => line.push_str(word),
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}

fn dtstart(rest: &str, zone: Tz) -> Result<NaiveDateTime, WindowError> {
    let shape = || {
        wrong(
        format!("`DTSTART{rest}` is not a start"),
        Some("e.g. `DTSTART:20260105T090000` (local), `DTSTART:20260105T080000Z`, or with `;TZID=Europe/Berlin` before the colon".to_owned()),
    )
    };
    let (parameters, value) = rest.split_once(':').ok_or_else(shape)?;
    for parameter in parameters.split(';').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some(("TZID", name)) if name.eq_ignore_ascii_case(zone.name()) => {}
            Some(("TZID", name)) => {
                return Err(wrong(
                    format!("DTSTART is in `{name}`, but `timezone` says `{}`", zone.name()),
                    Some("say the zone once, as `timezone`".to_owned()),
                ));
            }
            Some(("VALUE", "DATE" | "DATE-TIME")) => {}
            Some(_) | None => return Err(shape()),
        }
    }
    let start = match moment(value).ok_or_else(shape)? {
        Moment::Utc(at) => zone.from_utc_datetime(&at).naive_local(),
        Moment::Local(at) => at,
        Moment::Day(day) => day.and_time(NaiveTime::MIN),
    };
    Ok(start)
}

enum Moment {
    Utc(NaiveDateTime),
    Local(NaiveDateTime),
    Day(NaiveDate),
}

fn moment(text: &str) -> Option<Moment> {
    const FORM: &str = "%Y%m%dT%H%M%S";
    match (text.len(), text.strip_suffix('Z')) {
        (16, Some(utc)) => NaiveDateTime::parse_from_str(utc, FORM).ok().map(Moment::Utc),
        (15, None) => NaiveDateTime::parse_from_str(text, FORM).ok().map(Moment::Local),
        (8, None) => NaiveDate::parse_from_str(text, "%Y%m%d").ok().map(Moment::Day),
        _ => None,
    }
}

fn parts(text: &str, start: Option<NaiveDateTime>, zone: Tz) -> Result<Rule, WindowError> {
    let mut seen: Vec<(&str, &str)> = Vec::new();
    let mut kept: Vec<String> = Vec::new();
    let (mut count, mut until) = (None, None);
    for part in text.split(';').filter(|part| !part.is_empty()) {
        let Some((name, value)) = part.split_once('=') else {
            return Err(wrong(format!("`{part}` is not a part of a rule"), Some(EXAMPLE.to_owned())));
        };
        if let Some((_, one)) = seen.iter().find(|(other, _)| *other == name) {
            let hint = match name {
                "FREQ" | "INTERVAL" | "COUNT" | "UNTIL" | "WKST" => "keep one of them".to_owned(),
                _ => format!("say all of them in one, with commas: `{name}={one},{value}`"),
            };
            return Err(wrong(format!("it says {name} twice"), Some(hint)));
        }
        seen.push((name, value));
        match name {
            "COUNT" => {
                count = Some(value.parse().ok().filter(|count| *count > 0).ok_or_else(|| {
                    wrong(
                        format!("`{value}` is not a count"),
                        Some("COUNT is how often it opens, e.g. `COUNT=10`".to_owned()),
                    )
                })?)
            }
            "UNTIL" => until = Some(end(value, zone)?),
            _ => {
                check(name, value)?;
                kept.push(part.to_owned());
            }
        }
    }
    let said = |wanted: &str| seen.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
    let Some(frequency) = said("FREQ") else {
        return Err(wrong("it has no FREQ: how often it recurs".to_owned(), Some(EXAMPLE.to_owned())));
    };
    if count.is_some() && until.is_some() {
        return Err(wrong(
            "it says COUNT and UNTIL".to_owned(),
            Some("RFC 5545 allows one of them".to_owned()),
        ));
    }
    let minutely_at = frequency == "MINUTELY" && (said("BYHOUR").is_some() || said("BYMINUTE").is_some());
    if minutely_at && said("INTERVAL").is_some_and(|interval| interval != "1") {
        // The crate that knows recurrences loses count there.
        return Err(wrong(
            "FREQ=MINUTELY with INTERVAL cannot be bound to hours or minutes".to_owned(),
            Some("list them, e.g. `FREQ=DAILY;BYHOUR=9,10;BYMINUTE=0,30;BYSECOND=0`".to_owned()),
        ));
    }
    days_fit(frequency, said("BYDAY"), said("BYWEEKNO").is_some())?;
    let recurrence = kept.join(";").parse().map_err(refused)?;
    Ok(Rule { recurrence, start, count, until })
}

/// What the crate that knows recurrences has against a rule, which is more than what is asked here.
pub(super) fn refused(error: rrule::RRuleError) -> WindowError {
    let hint = "RFC 5545 says which parts go together; fewer of them are safe, ".to_owned() + EXAMPLE;
    wrong(error.to_string(), Some(hint))
}

fn end(value: &str, zone: Tz) -> Result<Timestamp, WindowError> {
    let until = match moment(value) {
        Some(Moment::Utc(at)) => at.and_utc(),
        Some(Moment::Local(at)) => super::recurrence::instant(zone, at),
        // A day counts to its end.
        Some(Moment::Day(day)) => {
            super::recurrence::instant(zone, day.and_hms_opt(23, 59, 59).unwrap_or_default())
        }
        None => {
            return Err(wrong(
                format!("`{value}` is not the end of a rule"),
                Some("e.g. `UNTIL=20261231T235959Z`, or without Z in the window's time zone".to_owned()),
            ));
        }
    };
    Ok(until)
}

fn check(name: &str, value: &str) -> Result<(), WindowError> {
    match name {
        "FREQ" if value == "SECONDLY" => Err(wrong(
            "FREQ=SECONDLY is not supported: nobody deploys by the second".to_owned(),
            Some(EXAMPLE.to_owned()),
        )),
        "FREQ" => known(value, &FREQUENCIES, "a frequency"),
        "WKST" => known(value, &DAYS, "a day of the week"),
        "BYDAY" => value.split(',').try_for_each(|day| {
            let whole = day;
            // Words are left to be looked up as they are; a number comes before two letters.
            let letters = match day.starts_with(|c: char| c.is_ascii_digit() || "+-".contains(c)) {
                true => day.len().saturating_sub(2),
                false => 0,
            };
            let (number, day) = day.split_at(letters);
            let numbered = number.is_empty() || number.parse::<i16>().is_ok_and(|n| n != 0 && n.abs() <= 53);
            if !numbered {
                return Err(wrong(
                    format!("`{whole}` is not a day"),
                    Some("e.g. `MO`, `1MO` (the first of the month or year), `-1FR` (the last)".to_owned()),
                ));
            }
            known(day, &DAYS, "a day of the week")
        }),
        _ => match NUMBERS.iter().find(|(known, ..)| *known == name) {
            Some((_, least, most, hint)) => value.split(',').try_for_each(|number| {
                let zero = *least == 0;
                match number.parse::<i32>() {
                    Ok(n) if (*least..=*most).contains(&n) && (zero || n != 0) => Ok(()),
                    Ok(_) | Err(_) => Err(wrong(
                        format!(
                            "`{number}` is no value of {name}: it is {least} to {most}{}",
                            if zero || *least > 0 { "" } else { ", and not 0" }
                        ),
                        Some((*hint).to_owned()),
                    )),
                }
            }),
            None => {
                let known = NUMBERS
                    .iter()
                    .map(|(known, ..)| *known)
                    .chain(["FREQ", "WKST", "BYDAY", "COUNT", "UNTIL"]);
                let hint = match name {
                    "DTSTART" => Some(
                        "DTSTART is a line of its own: `DTSTART:20260105T090000`, then `RRULE:FREQ=…`"
                            .to_owned(),
                    ),
                    _ => near::did_you_mean(name, known),
                };
                Err(wrong(format!("{name} is not a part of a rule"), hint))
            }
        },
    }
}

fn known(value: &str, words: &[&'static str], what: &str) -> Result<(), WindowError> {
    if words.contains(&value) {
        return Ok(());
    }
    let hint = match DAYS.iter().find(|day| value.len() > 2 && value.starts_with(**day)) {
        Some(day) if words.contains(day) => Some(format!("did you mean `{day}`?")),
        Some(_) | None => Some(match near::did_you_mean(value, words.iter().copied()) {
            // Two letters are near to everything of two letters.
            Some(_) if value.len() <= 2 => format!("there are {}", words.join(", ")),
            Some(hint) => hint,
            None => format!("there are {}", words.join(", ")),
        }),
    };
    Err(wrong(format!("`{value}` is not {what}"), hint))
}

/// Numbered days need a month or a year to be counted in, and are not mixed with others.
fn days_fit(frequency: &str, days: Option<&str>, weeks: bool) -> Result<(), WindowError> {
    let Some(days) = days else { return Ok(()) };
    let numbered = days.split(',').filter(|day| day.len() > 2).count();
    if numbered == 0 {
        return Ok(());
    }
    if weeks || !matches!(frequency, "MONTHLY" | "YEARLY") {
        return Err(wrong(
            "days with numbers are counted in a month or a year".to_owned(),
            Some("use FREQ=MONTHLY or FREQ=YEARLY without BYWEEKNO, or days without numbers".to_owned()),
        ));
    }
    if numbered < days.split(',').count() {
        return Err(wrong(
            "BYDAY mixes days with numbers and days without".to_owned(),
            Some("write a rule for each".to_owned()),
        ));
    }
    Ok(())
}

pub(super) fn wrong(problem: String, hint: Option<String>) -> WindowError {
    WindowError { problem, hint, field: "rrule" }
}
