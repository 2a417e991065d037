use super::*;
use chrono::{Datelike, Days, NaiveDate, NaiveDateTime, TimeZone, Timelike, Utc, Weekday};
use chrono_tz::Tz;
use proptest::prelude::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn window(rrule: &str, minutes: u32, timezone: &str) -> DeploymentWindow {
    DeploymentWindow {
        rrule: rrule.to_owned(),
        duration_minutes: minutes,
        timezone: timezone.to_owned(),
        allow_window: true,
    }
}

fn calendar(rrule: &str, minutes: u32, timezone: &str) -> Calendar {
    // A Thursday, 08:30 in Berlin and 02:30 in New York.
    Calendar::new(&window(rrule, minutes, timezone), at("2026-01-01T07:30:00Z"))
        .unwrap_or_else(|error| panic!("{rrule}: {error}"))
}

/// `open since → until`, `closed until`, with `never` and `?` for what is not there.
fn told(state: State) -> String {
    let said = |at: Option<Timestamp>, without: &str| {
        at.map_or(without.to_owned(), |at| at.format("%Y-%m-%dT%H:%M:%SZ").to_string())
    };
    match state.open {
        true => format!("open {} → {}", said(state.since, "?"), said(state.changes_at, "never")),
        false => format!("closed → {}", said(state.changes_at, "never")),
    }
}

#[test]
fn a_window_is_open_when_its_rule_says() {
    const NINE: &str = "BYHOUR=9;BYMINUTE=0;BYSECOND=0";
    let cases: &[(&str, u32, &str, &str, &str)] = &[
        // The instants at which it opens and closes are of the new state.
        ("FREQ=DAILY;9", 60, "UTC", "2026-03-01T08:59:59Z", "closed → 2026-03-01T09:00:00Z"),
        (
            "FREQ=DAILY;9",
            60,
            "UTC",
            "2026-03-01T09:00:00Z",
            "open 2026-03-01T09:00:00Z → 2026-03-01T10:00:00Z",
        ),
        (
            "FREQ=DAILY;9",
            60,
            "UTC",
            "2026-03-01T09:59:59Z",
            "open 2026-03-01T09:00:00Z → 2026-03-01T10:00:00Z",
        ),
        ("FREQ=DAILY;9", 60, "UTC", "2026-03-01T10:00:00Z", "closed → 2026-03-02T09:00:00Z"),
        ("FREQ=WEEKLY;BYDAY=MO,TU;9", 60, "UTC", "2026-03-03T12:00:00Z", "closed → 2026-03-09T09:00:00Z"),
        // Without DTSTART the time of day, the day of the week and of the month are those of the anchor, on the local clock.
        ("FREQ=DAILY", 60, "UTC", "2026-03-01T07:30:00Z", "open 2026-03-01T07:30:00Z → 2026-03-01T08:30:00Z"),
        (
            "FREQ=DAILY",
            60,
            "Europe/Berlin",
            "2026-07-01T06:30:00Z",
            "open 2026-07-01T06:30:00Z → 2026-07-01T07:30:00Z",
        ),
        ("FREQ=WEEKLY", 60, "America/New_York", "2026-07-01T00:00:00Z", "closed → 2026-07-02T06:30:00Z"),
        ("FREQ=MONTHLY;BYHOUR=9", 60, "UTC", "2026-03-02T00:00:00Z", "closed → 2026-04-01T09:30:00Z"),
        ("FREQ=YEARLY", 60, "UTC", "2026-03-02T00:00:00Z", "closed → 2027-01-01T07:30:00Z"),
        // Not before it begins.
        ("FREQ=DAILY;9", 60, "UTC", "2025-12-31T09:30:00Z", "closed → 2026-01-01T09:00:00Z"),
        (
            "FREQ=DAILY;BYHOUR=7;BYMINUTE=0;BYSECOND=0",
            60,
            "UTC",
            "2026-01-01T07:30:00Z",
            "closed → 2026-01-02T07:00:00Z",
        ),
        // DTSTART: local, in UTC, with its zone, a day.
        (
            "DTSTART:20260310T090000\nRRULE:FREQ=DAILY",
            60,
            "Europe/Berlin",
            "2026-03-01T00:00:00Z",
            "closed → 2026-03-10T08:00:00Z",
        ),
        (
            "DTSTART:20260310T090000Z\nRRULE:FREQ=DAILY",
            60,
            "Europe/Berlin",
            "2026-03-01T00:00:00Z",
            "closed → 2026-03-10T09:00:00Z",
        ),
        (
            "DTSTART:20260310T090000Z\nRRULE:FREQ=DAILY",
            60,
            "Europe/Berlin",
            "2026-07-01T00:00:00Z",
            "closed → 2026-07-01T08:00:00Z",
        ),
        (
            "DTSTART;TZID=Europe/Berlin:20260310T090000 RRULE:FREQ=DAILY",
            60,
            "Europe/Berlin",
            "2026-03-01T00:00:00Z",
            "closed → 2026-03-10T08:00:00Z",
        ),
        (
            "DTSTART;VALUE=DATE:20260310\nFREQ=DAILY",
            60,
            "UTC",
            "2026-03-01T00:00:00Z",
            "closed → 2026-03-10T00:00:00Z",
        ),
        (
            "rrule:freq=daily; byhour=9; byminute=0; bysecond=0",
            60,
            "UTC",
            "2026-03-01T10:00:00Z",
            "closed → 2026-03-02T09:00:00Z",
        ),
        // Every other, counted from the beginning, however long ago.
        (
            "DTSTART:20160101T090000\nRRULE:FREQ=DAILY;INTERVAL=2",
            60,
            "UTC",
            "2026-03-01T00:00:00Z",
            "closed → 2026-03-01T09:00:00Z",
        ),
        (
            "DTSTART:20160104T090000\nRRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR",
            60,
            "UTC",
            "2026-03-03T00:00:00Z",
            "closed → 2026-03-06T09:00:00Z",
        ),
        (
            "DTSTART:20160131T090000\nRRULE:FREQ=MONTHLY;INTERVAL=3",
            60,
            "UTC",
            "2026-02-01T00:00:00Z",
            "closed → 2026-07-31T09:00:00Z",
        ),
        (
            "DTSTART:20160101T090000\nRRULE:FREQ=HOURLY;INTERVAL=5",
            60,
            "UTC",
            "2026-03-01T00:00:00Z",
            "closed → 2026-03-01T01:00:00Z",
        ),
        (
            "DTSTART:20160101T090000\nRRULE:FREQ=MINUTELY;INTERVAL=90",
            30,
            "UTC",
            "2026-03-01T00:10:00Z",
            "open 2026-03-01T00:00:00Z → 2026-03-01T00:30:00Z",
        ),
        // The last and the first of their kind.
        ("FREQ=MONTHLY;BYDAY=-1FR;9", 60, "UTC", "2026-03-01T00:00:00Z", "closed → 2026-03-27T09:00:00Z"),
        (
            "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1;9",
            60,
            "UTC",
            "2026-05-01T00:00:00Z",
            "closed → 2026-05-29T09:00:00Z",
        ),
        ("FREQ=MONTHLY;BYMONTHDAY=-1;9", 60, "UTC", "2028-02-01T00:00:00Z", "closed → 2028-02-29T09:00:00Z"),
        (
            "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO;9",
            60,
            "UTC",
            "2026-01-01T00:00:00Z",
            "closed → 2026-05-11T09:00:00Z",
        ),
        // Across midnight, the end of a month and a leap day.
        (
            "FREQ=DAILY;BYHOUR=22;BYMINUTE=0;BYSECOND=0",
            240,
            "UTC",
            "2026-03-01T01:00:00Z",
            "open 2026-02-28T22:00:00Z → 2026-03-01T02:00:00Z",
        ),
        (
            "FREQ=MONTHLY;BYMONTHDAY=31;BYHOUR=22;BYMINUTE=0;BYSECOND=0",
            240,
            "UTC",
            "2026-06-01T01:00:00Z",
            "open 2026-05-31T22:00:00Z → 2026-06-01T02:00:00Z",
        ),
        ("FREQ=MONTHLY;BYMONTHDAY=31;9", 60, "UTC", "2026-06-01T01:00:00Z", "closed → 2026-07-31T09:00:00Z"),
        (
            "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;9",
            60,
            "UTC",
            "2026-06-01T01:00:00Z",
            "closed → 2028-02-29T09:00:00Z",
        ),
        (
            "FREQ=DAILY;BYHOUR=23;BYMINUTE=0;BYSECOND=0",
            120,
            "UTC",
            "2028-02-29T00:30:00Z",
            "open 2028-02-28T23:00:00Z → 2028-02-29T01:00:00Z",
        ),
        // What overlaps or touches is one.
        (
            "FREQ=DAILY;BYHOUR=9,10,11;BYMINUTE=0;BYSECOND=0",
            60,
            "UTC",
            "2026-03-01T10:30:00Z",
            "open 2026-03-01T09:00:00Z → 2026-03-01T12:00:00Z",
        ),
        (
            "FREQ=WEEKLY;BYDAY=MO,TU,WE;9",
            1500,
            "UTC",
            "2026-03-04T12:00:00Z",
            "open 2026-03-02T09:00:00Z → 2026-03-05T10:00:00Z",
        ),
        (
            "FREQ=DAILY;BYHOUR=9,11;BYMINUTE=0;BYSECOND=0",
            60,
            "UTC",
            "2026-03-01T10:30:00Z",
            "closed → 2026-03-01T11:00:00Z",
        ),
        // Berlin goes forward on March 29th at 01:00 UTC: 02:30 is moved to 03:30; nine o'clock is nine o'clock.
        (
            "FREQ=DAILY;BYHOUR=2;BYMINUTE=30;BYSECOND=0",
            60,
            "Europe/Berlin",
            "2026-03-28T12:00:00Z",
            "closed → 2026-03-29T01:30:00Z",
        ),
        (
            "FREQ=DAILY;BYHOUR=2;BYMINUTE=30;BYSECOND=0",
            60,
            "Europe/Berlin",
            "2026-03-29T12:00:00Z",
            "closed → 2026-03-30T00:30:00Z",
        ),
        ("FREQ=DAILY;9", 60, "Europe/Berlin", "2026-03-28T12:00:00Z", "closed → 2026-03-29T07:00:00Z"),
        // Of 02:30 and 03:00, the former is moved behind the latter.
        (
            "FREQ=DAILY;BYHOUR=2,3;BYMINUTE=0,30;BYSECOND=0;BYMONTHDAY=29;BYMONTH=3",
            10,
            "Europe/Berlin",
            "2026-03-29T00:00:00Z",
            "closed → 2026-03-29T01:00:00Z",
        ),
        (
            "FREQ=DAILY;BYHOUR=2,3;BYMINUTE=0,30;BYSECOND=0;BYMONTHDAY=29;BYMONTH=3",
            10,
            "Europe/Berlin",
            "2026-03-29T01:20:00Z",
            "closed → 2026-03-29T01:30:00Z",
        ),
        (
            "FREQ=DAILY;BYHOUR=2,3;BYMINUTE=0,30;BYSECOND=0;BYMONTHDAY=29;BYMONTH=3",
            10,
            "Europe/Berlin",
            "2026-03-29T01:45:00Z",
            "closed → 2027-03-29T00:00:00Z",
        ),
        // It goes back on October 25th at 01:00 UTC: the first 02:30 counts, and an hour is an hour.
        (
            "FREQ=DAILY;BYHOUR=2;BYMINUTE=30;BYSECOND=0",
            60,
            "Europe/Berlin",
            "2026-10-25T00:40:00Z",
            "open 2026-10-25T00:30:00Z → 2026-10-25T01:30:00Z",
        ),
        (
            "FREQ=DAILY;BYHOUR=2;BYMINUTE=30;BYSECOND=0",
            60,
            "Europe/Berlin",
            "2026-10-25T01:40:00Z",
            "closed → 2026-10-26T01:30:00Z",
        ),
        // A duration is elapsed time: 00:00 and 360 minutes end at seven, or at five.
        (
            "FREQ=DAILY;BYHOUR=0;BYMINUTE=0;BYSECOND=0",
            360,
            "Europe/Berlin",
            "2026-03-29T00:00:00Z",
            "open 2026-03-28T23:00:00Z → 2026-03-29T05:00:00Z",
        ),
        (
            "FREQ=DAILY;BYHOUR=0;BYMINUTE=0;BYSECOND=0",
            360,
            "Europe/Berlin",
            "2026-10-25T00:00:00Z",
            "open 2026-10-24T22:00:00Z → 2026-10-25T04:00:00Z",
        ),
        // New York: March 8th at 07:00 UTC, November 1st at 06:00 UTC.
        (
            "FREQ=DAILY;BYHOUR=2;BYMINUTE=30;BYSECOND=0",
            60,
            "America/New_York",
            "2026-03-08T00:00:00Z",
            "closed → 2026-03-08T07:30:00Z",
        ),
        (
            "FREQ=DAILY;BYHOUR=1;BYMINUTE=30;BYSECOND=0",
            60,
            "America/New_York",
            "2026-11-01T05:40:00Z",
            "open 2026-11-01T05:30:00Z → 2026-11-01T06:30:00Z",
        ),
        (
            "FREQ=DAILY;BYHOUR=1;BYMINUTE=30;BYSECOND=0",
            60,
            "America/New_York",
            "2026-11-01T06:40:00Z",
            "closed → 2026-11-02T06:30:00Z",
        ),
        (
            "FREQ=WEEKLY;BYDAY=FR;BYHOUR=17;BYMINUTE=0;BYSECOND=0",
            3780,
            "America/New_York",
            "2026-11-01T12:00:00Z",
            "open 2026-10-30T21:00:00Z → 2026-11-02T12:00:00Z",
        ),
        // A whole day every day closes for the hour that autumn adds.
        (
            "FREQ=DAILY;BYHOUR=0;BYMINUTE=0;BYSECOND=0",
            1440,
            "Europe/Berlin",
            "2026-10-25T22:30:00Z",
            "closed → 2026-10-25T23:00:00Z",
        ),
        (
            "FREQ=DAILY;BYHOUR=0;BYMINUTE=0;BYSECOND=0",
            1440,
            "Europe/Berlin",
            "2027-05-01T00:00:00Z",
            "open 2026-10-25T23:00:00Z → 2027-10-31T22:00:00Z",
        ),
        // Samoa left out December 30th 2011.
        (
            "DTSTART:20110101T090000\nRRULE:FREQ=DAILY",
            60,
            "Pacific/Apia",
            "2011-12-29T21:00:00Z",
            "closed → 2011-12-30T19:00:00Z",
        ),
        // COUNT and UNTIL.
        (
            "FREQ=DAILY;COUNT=2;9",
            60,
            "UTC",
            "2026-01-02T09:30:00Z",
            "open 2026-01-02T09:00:00Z → 2026-01-02T10:00:00Z",
        ),
        ("FREQ=DAILY;COUNT=2;9", 60, "UTC", "2026-01-02T10:00:00Z", "closed → never"),
        (
            "FREQ=DAILY;UNTIL=20260103T090000Z;9",
            60,
            "UTC",
            "2026-01-02T12:00:00Z",
            "closed → 2026-01-03T09:00:00Z",
        ),
        ("FREQ=DAILY;UNTIL=20260103T085959Z;9", 60, "UTC", "2026-01-02T12:00:00Z", "closed → never"),
        (
            "FREQ=DAILY;UNTIL=20260103T090000;9",
            60,
            "Europe/Berlin",
            "2026-01-02T12:00:00Z",
            "closed → 2026-01-03T08:00:00Z",
        ),
        (
            "FREQ=DAILY;UNTIL=20260103;9",
            60,
            "Europe/Berlin",
            "2026-01-02T12:00:00Z",
            "closed → 2026-01-03T08:00:00Z",
        ),
        ("FREQ=DAILY;UNTIL=20250103;9", 60, "UTC", "2026-01-02T12:00:00Z", "closed → never"),
    ];
    for (rule, minutes, zone, now, expected) in cases {
        let rule = rule.replace(";9", &format!(";{NINE}"));
        assert_eq!(
            &told(calendar(&rule, *minutes, zone).at(at(now))),
            expected,
            "{rule} for {minutes} in {zone} at {now}"
        );
    }
}

#[test]
fn the_first_open_instant_is_now_or_the_next_opening() {
    let calendar = calendar("FREQ=DAILY;BYHOUR=9;BYMINUTE=0;BYSECOND=0;COUNT=2", 60, "UTC");
    for (from, first) in [
        ("2025-01-01T00:00:00Z", Some("2026-01-01T09:00:00Z")),
        ("2026-01-01T09:00:00Z", Some("2026-01-01T09:00:00Z")),
        ("2026-01-01T09:59:59.5Z", Some("2026-01-01T09:59:59.5Z")),
        ("2026-01-01T10:00:00Z", Some("2026-01-02T09:00:00Z")),
        ("2026-01-02T10:00:00Z", None),
        // Asked in any order: what was found before misleads nobody.
        ("2026-01-01T08:00:00Z", Some("2026-01-01T09:00:00Z")),
    ] {
        assert_eq!(calendar.first_open_from(at(from)), first.map(at), "{from}");
        assert_eq!(calendar.is_over(at(from)), first.is_none(), "{from}");
    }
}

#[test]
fn what_never_closes_is_open_and_says_when_to_ask_again() {
    for rule in ["FREQ=DAILY", "FREQ=HOURLY", "FREQ=MINUTELY", "FREQ=MINUTELY;BYSECOND=0"] {
        let calendar = calendar(rule, 1440, "UTC");
        let now = at("2046-07-01T00:00:00Z");
        let state = calendar.at(now);
        assert!(state.open, "{rule}");
        assert_eq!(state.since, None, "{rule}: longer ago than anybody looks");
        let again = state.changes_at.unwrap();
        assert!(again > now);
        assert!(calendar.at(again).open, "{rule} is open when it is asked again");
    }
}

#[test]
fn what_is_wrong_is_said_with_what_to_write() {
    let cases: &[(&str, u32, &str, &str, &str)] = &[
        ("", 60, "UTC", "it has no recurrence rule", "e.g. `FREQ=WEEKLY"),
        ("RRULE:", 60, "UTC", "it has no recurrence rule", "e.g. `FREQ=WEEKLY"),
        ("BYDAY=MO", 60, "UTC", "it has no FREQ: how often it recurs", "e.g. `FREQ=WEEKLY"),
        ("weekly", 60, "UTC", "`WEEKLY` is not a part of a rule", "e.g. `FREQ=WEEKLY"),
        ("0 9 * * 1", 60, "UTC", "`09**1` is not a part of a rule", "e.g. `FREQ=WEEKLY"),
        ("FREQ=WEEKLI", 60, "UTC", "`WEEKLI` is not a frequency", "did you mean `WEEKLY`?"),
        ("FREQ=SECONDLY", 60, "UTC", "FREQ=SECONDLY is not supported: nobody deploys by the second", ""),
        ("FREQ=WEEKLY;BYDAY=MON", 60, "UTC", "`MON` is not a day of the week", "did you mean `MO`?"),
        ("FREQ=WEEKLY;BYDAY=MONDAY", 60, "UTC", "`MONDAY` is not a day of the week", "did you mean `MO`?"),
        (
            "FREQ=WEEKLY;BYDAY=XX",
            60,
            "UTC",
            "`XX` is not a day of the week",
            "there are MO, TU, WE, TH, FR, SA, SU",
        ),
        ("FREQ=WEEKLY;BYDAY=", 60, "UTC", "`` is not a day of the week", "there are MO"),
        (
            "FREQ=WEEKLY;BYDAY=1MO",
            60,
            "UTC",
            "days with numbers are counted in a month or a year",
            "FREQ=MONTHLY",
        ),
        (
            "FREQ=MONTHLY;BYDAY=1MO,TU",
            60,
            "UTC",
            "BYDAY mixes days with numbers and days without",
            "a rule for each",
        ),
        ("FREQ=MONTHLY;BYDAY=x1MO", 60, "UTC", "`X1MO` is not a day of the week", ""),
        ("FREQ=DAILY;BYHOURS=9", 60, "UTC", "BYHOURS is not a part of a rule", "did you mean `BYHOUR`?"),
        (
            "FREQ=DAILY;DTSTART=20260101T000000",
            60,
            "UTC",
            "DTSTART is not a part of a rule",
            "a line of its own",
        ),
        (
            "FREQ=DAILY;BYHOUR=24",
            60,
            "UTC",
            "`24` is no value of BYHOUR: it is 0 to 23",
            "midnight is `BYHOUR=0`",
        ),
        ("FREQ=DAILY;BYHOUR=nine", 60, "UTC", "`NINE` is no value of BYHOUR: it is 0 to 23", ""),
        (
            "FREQ=MONTHLY;BYMONTHDAY=0",
            60,
            "UTC",
            "`0` is no value of BYMONTHDAY: it is -31 to 31, and not 0",
            "`BYMONTHDAY=-1` the last",
        ),
        (
            "FREQ=DAILY;INTERVAL=0",
            60,
            "UTC",
            "`0` is no value of INTERVAL: it is 1 to 1000",
            "every second time",
        ),
        ("FREQ=DAILY;COUNT=0", 60, "UTC", "`0` is not a count", "COUNT=10"),
        ("FREQ=DAILY;COUNT=1000000", 60, "UTC", "COUNT is more than 10000", "UNTIL"),
        ("FREQ=DAILY;COUNT=2;UNTIL=20270101", 60, "UTC", "it says COUNT and UNTIL", "one of them"),
        ("FREQ=DAILY;UNTIL=tomorrow", 60, "UTC", "`TOMORROW` is not the end of a rule", "UNTIL=2026"),
        ("FREQ=DAILY;FREQ=WEEKLY", 60, "UTC", "it says FREQ twice", "keep one"),
        ("FREQ=DAILY;BYHOUR=9;BYHOUR=10", 60, "UTC", "it says BYHOUR twice", "`BYHOUR=9,10`"),
        ("FREQ=HOURLY;BYWEEKNO=9", 60, "UTC", "", "RFC 5545"),
        ("FREQ=DAILY\nFREQ=WEEKLY", 60, "UTC", "it has more than one RRULE", "a rule for each"),
        (
            "RRULE:FREQ=DAILY\nEXDATE:20260101T000000",
            60,
            "UTC",
            "it has `EXDATE:20260101T000000`: only one RRULE is understood, with a DTSTART before it",
            "freeze",
        ),
        (
            "DTSTART:2026-01-01\nFREQ=DAILY",
            60,
            "UTC",
            "`DTSTART:2026-01-01` is not a start",
            "e.g. `DTSTART:2026",
        ),
        (
            "DTSTART;TZID=Europe/Berlin:20260101T000000\nFREQ=DAILY",
            60,
            "UTC",
            "DTSTART is in `EUROPE/BERLIN`, but `timezone` says `UTC`",
            "as `timezone`",
        ),
        ("FREQ=DAILY;BYDAY=MÖ", 60, "UTC", "it is not a rule of up to 1000 ASCII characters", ""),
        (
            "FREQ=MONTHLY;BYMONTHDAY=31;BYMONTH=2,4",
            60,
            "UTC",
            "it never opens: no day matches all of its parts",
            "leave out one of its parts",
        ),
        (
            "FREQ=HOURLY;INTERVAL=24;BYHOUR=3",
            60,
            "UTC",
            "it never opens: no day matches all of its parts",
            "leave out one of its parts",
        ),
        ("FREQ=MINUTELY;BYSECOND=0,30", 60, "UTC", "it opens more than 1440 times a day", ""),
        ("FREQ=WEEKLY;BYMONTHDAY=3", 60, "UTC", "", ""),
        (
            "FREQ=DAILY",
            60,
            "Europe/Berln",
            "there is no time zone `Europe/Berln`",
            "did you mean `Europe/Berlin`?",
        ),
        (
            "FREQ=DAILY",
            60,
            "new york",
            "there is no time zone `new york`",
            "did you mean `America/New_York`?",
        ),
        ("FREQ=DAILY", 60, "Mars/Olympus_Mons", "there is no time zone `Mars/Olympus_Mons`", "IANA names"),
        ("FREQ=DAILY", 0, "UTC", "a window is open for 1 to 527040 minutes", ""),
        ("FREQ=DAILY", u32::MAX, "UTC", "a window is open for 1 to 527040 minutes", ""),
    ];
    for (rule, minutes, zone, problem, hint) in cases {
        let error = Calendar::new(&window(rule, *minutes, zone), at("2026-01-01T07:30:00Z"))
            .err()
            .unwrap_or_else(|| panic!("{rule:?} in {zone} is accepted"));
        assert!(problem.is_empty() || error.problem == *problem, "{rule:?} in {zone}: {error}");
        let told = error.hint.unwrap_or_else(|| panic!("{rule:?} in {zone}: no hint"));
        assert!(told.contains(hint), "{rule:?} in {zone}: {told}");
    }
}

#[test]
fn an_old_rule_answers_as_a_young_one() {
    let old = calendar("DTSTART:20160101T090000\nRRULE:FREQ=DAILY", 60, "Europe/Berlin");
    let young = calendar("DTSTART:20251201T090000\nRRULE:FREQ=DAILY", 60, "Europe/Berlin");
    for n in 0..2_000 {
        let instant = at("2026-01-01T00:00:00Z") + TimeDelta::minutes(n * 97);
        assert_eq!(old.at(instant), young.at(instant), "{instant}");
    }
}

/// A rule as its parts, which says by itself whether a local minute matches: another way to the same openings.
#[derive(Debug, Clone)]
struct Parts {
    frequency: &'static str,
    interval: i64,
    start: NaiveDateTime,
    months: Vec<u32>,
    month_days: Vec<i32>,
    days: Vec<Weekday>,
    hours: Vec<u32>,
    minutes: Vec<u32>,
}

impl Parts {
    fn text(&self) -> String {
        let mut text = format!(
            "DTSTART:{}\nRRULE:FREQ={};INTERVAL={}",
            self.start.format("%Y%m%dT%H%M%S"),
            self.frequency,
            self.interval
        );
        let mut part = |name: &str, values: Vec<String>| {
            if !values.is_empty() {
                text += &format!(";{name}={}", values.join(","));
            }
        };
        part("BYMONTH", self.months.iter().map(ToString::to_string).collect());
        part("BYMONTHDAY", self.month_days.iter().map(ToString::to_string).collect());
        part("BYDAY", self.days.iter().map(|day| day.to_string()[..2].to_ascii_uppercase()).collect());
        part("BYHOUR", self.hours.iter().map(ToString::to_string).collect());
        part("BYMINUTE", self.minutes.iter().map(ToString::to_string).collect());
        text
    }

    fn day_matches(&self, day: NaiveDate) -> bool {
        let month = |day: NaiveDate| i64::from(day.year()) * 12 + i64::from(day.month0());
        let week = |day: NaiveDate| day.week(Weekday::Mon).first_day();
        let start = self.start.date();
        let periods = match self.frequency {
            "YEARLY" => (day.year() - start.year()).into(),
            "MONTHLY" => month(day) - month(start),
            "WEEKLY" => (week(day) - week(start)).num_weeks(),
            "DAILY" => (day - start).num_days(),
            _ => 0,
        };
        let from_end = day.day() as i32 - 1 - day.num_days_in_month() as i32;
        let any_day = self.month_days.is_empty() && self.days.is_empty();
        let implied = !any_day
            || match self.frequency {
                "YEARLY" => {
                    day.day() == start.day() && (!self.months.is_empty() || day.month() == start.month())
                }
                "MONTHLY" => day.day() == start.day(),
                "WEEKLY" => day.weekday() == start.weekday(),
                _ => true,
            };
        periods % self.interval == 0
            && implied
            && (self.months.is_empty() || self.months.contains(&day.month()))
            && (self.days.is_empty() || self.days.contains(&day.weekday()))
            && (self.month_days.is_empty()
                || self.month_days.contains(&(day.day() as i32))
                || self.month_days.contains(&from_end))
    }

    fn time_matches(&self, at: NaiveDateTime) -> bool {
        let hour = |at: NaiveDateTime| at.and_utc().timestamp().div_euclid(3600);
        let minute = |at: NaiveDateTime| at.and_utc().timestamp().div_euclid(60);
        let periods = match self.frequency {
            "HOURLY" => hour(at) - hour(self.start),
            "MINUTELY" => minute(at) - minute(self.start),
            _ => 0,
        };
        let fits = |list: &[u32], value: u32, implied: Option<u32>| match implied {
            Some(implied) if list.is_empty() => value == implied,
            Some(_) | None => list.is_empty() || list.contains(&value),
        };
        let hourly = matches!(self.frequency, "HOURLY" | "MINUTELY");
        periods % self.interval == 0
            && fits(&self.hours, at.hour(), (!hourly).then_some(self.start.hour()))
            && fits(&self.minutes, at.minute(), (self.frequency != "MINUTELY").then_some(self.start.minute()))
    }

    /// The openings whose local day is one of these, as instants, in order.
    fn openings(&self, from: NaiveDate, days: u64, zone: Tz) -> Vec<Timestamp> {
        let mut all: Vec<Timestamp> = (0..days)
            .map(|n| from + Days::new(n))
            .filter(|day| self.day_matches(*day))
            .flat_map(|day| (0..1440).map(move |n| day.and_hms_opt(n / 60, n % 60, 0).unwrap()))
            .filter(|at| *at >= self.start && self.time_matches(*at))
            .map(|at| naive_instant(zone, at))
            .collect();
        all.sort_unstable();
        all
    }
}

/// The first instant at which the clock shows the time, or would have, had it not been moved since the day before.
fn naive_instant(zone: Tz, local: NaiveDateTime) -> Timestamp {
    let shows = |at: Timestamp| at.with_timezone(&zone).naive_local();
    let day_before = local.and_utc() - TimeDelta::hours(24);
    let offset = shows(day_before) - day_before.naive_utc();
    // Zones of these tests change by an hour.
    [-60, 0, 60]
        .map(|minutes| local.and_utc() - offset + TimeDelta::minutes(minutes))
        .into_iter()
        .find(|at| shows(*at) == local)
        .unwrap_or(local.and_utc() - offset)
}

fn parts() -> impl Strategy<Value = Parts> {
    let frequency = prop::sample::select(&["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY"][..]);
    let weekdays = [Weekday::Mon, Weekday::Wed, Weekday::Sat, Weekday::Sun].to_vec();
    let some = |values: Vec<u32>| prop::collection::vec(prop::sample::select(values), 0..3);
    (
        (frequency, 1i64..5, 0u64..4000, 0u32..1440),
        some((1..=12).collect()),
        prop::collection::vec(prop::sample::select(vec![1, 2, 15, 29, 31, -1, -30]), 0..3),
        prop::collection::vec(prop::sample::select(weekdays), 0..3),
        some((0..24).collect()),
        some(vec![0, 15, 30, 59]),
    )
        .prop_map(|((frequency, interval, day, minute), months, month_days, days, hours, minutes)| {
            let first = NaiveDate::from_ymd_opt(2015, 1, 1).unwrap() + Days::new(day);
            let month_days = if frequency == "WEEKLY" { Vec::new() } else { month_days };
            Parts {
                frequency,
                interval: if frequency == "MINUTELY" { interval * 25 } else { interval },
                start: first.and_hms_opt(minute / 60, minute % 60, 0).unwrap(),
                months,
                month_days,
                days,
                hours,
                minutes,
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    /// Every flip within a year, asked forward, backward and twice, is where counting through all minutes puts it.
    #[test]
    fn openings_are_those_of_the_clock_on_the_wall(
        parts in parts(),
        minutes in prop::sample::select(vec![1u32, 30, 60, 90, 1440, 3000]),
        zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Australia/Sydney"]),
        later in 0u64..3000,
    ) {
        const DAYS: u64 = 250;
        let calendar = match Calendar::new(&window(&parts.text(), minutes, zone), at("2026-01-01T00:00:00Z")) {
            Ok(calendar) => calendar,
            Err(error) => {
                let bound = !parts.hours.is_empty() || !parts.minutes.is_empty();
                prop_assume!(!(parts.frequency == "MINUTELY" && bound));
                // Whatever else is refused has no opening in years.
                prop_assert!(error.problem.starts_with("it never opens"), "{}: {error}", parts.text());
                prop_assert_eq!(parts.openings(parts.start.date(), 600, Tz::UTC), Vec::<Timestamp>::new());
                return Ok(());
            }
        };
        let tz: Tz = zone.parse().unwrap();
        let duration = TimeDelta::minutes(minutes.into());
        let first = parts.start.date() + Days::new(later);
        // Spans that reach over the edges are left out: what they join with is not known here.
        let mut spans: Vec<(Timestamp, Timestamp)> = Vec::new();
        for opening in parts.openings(first, DAYS, tz) {
            match spans.last_mut() {
                Some((_, end)) if *end >= opening => *end = opening + duration,
                Some(_) | None => spans.push((opening, opening + duration)),
            }
        }
        let inner = spans.get(1..spans.len().saturating_sub(1)).unwrap_or_default();
        let second = TimeDelta::seconds(1);
        for (n, (start, end)) in inner.iter().enumerate().take(40).chain(inner.iter().enumerate().rev().take(10)) {
            let open = State { open: true, since: Some(*start), changes_at: Some(*end) };
            prop_assert_eq!(calendar.at(*end - second), open, "before the end of {}", start);
            prop_assert_eq!(calendar.at(*start), open, "at {}", start);
            prop_assert!(!calendar.at(*start - second).open, "before {}", start);
            let next = spans[n + 2].0;
            prop_assert_eq!(calendar.at(*end), State { open: false, since: None, changes_at: Some(next) }, "at {}", end);
            prop_assert_eq!(calendar.first_open_from(*end), Some(next));
        }
        if spans.is_empty() {
            let from = tz.from_local_datetime(&(first + Days::new(5)).and_hms_opt(12, 0, 0).unwrap()).unwrap();
            let from = from.with_timezone(&Utc);
            prop_assert!(!calendar.at(from).open);
        }
    }
}

fn values(name: &'static str, least: i32, most: i32) -> impl Strategy<Value = String> {
    prop::collection::vec(least..=most, 0..3).prop_map(move |values| match values.is_empty() {
        true => String::new(),
        false => {
            format!(";{name}={}", values.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Whatever parts a rule is made of, it is refused or answers; and the answers fit each other.
    #[test]
    fn every_rule_is_refused_or_answers(
        frequency in prop::sample::select(&["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY"][..]),
        days in prop::sample::select(&["", ";BYDAY=MO", ";BYDAY=1MO", ";BYDAY=-1SU,5FR", ";BYDAY=53TU", ";BYDAY=-53WE"][..]),
        weeks in values("BYWEEKNO", -53, 53),
        year_days in values("BYYEARDAY", -366, 366),
        positions in values("BYSETPOS", -60, 60),
        ends in prop::sample::select(&["", ";COUNT=7", ";UNTIL=20300101", ";WKST=SU", ";INTERVAL=7"][..]),
        zone in prop::sample::select(&["UTC", "Europe/Berlin", "Pacific/Apia", "Asia/Kathmandu", "America/Sao_Paulo"][..]),
        minutes in 1u32..10_000,
        now in 1_300_000_000i64..2_000_000_000,
    ) {
        let rule = format!("FREQ={frequency}{days}{weeks}{year_days}{positions}{ends};BYHOUR=0,23");
        let anchor = Utc.timestamp_opt(1_290_000_000, 0).unwrap();
        if let Ok(calendar) = Calendar::new(&window(&rule, minutes, zone), anchor) {
            let now = Utc.timestamp_opt(now, 0).unwrap();
            let state = calendar.at(now);
            prop_assert!(state.since.is_none_or(|since| since <= now), "{rule}");
            prop_assert!(state.changes_at.is_none_or(|change| change > now), "{rule}");
            prop_assert_eq!(calendar.at(now), state);
            let again = Calendar::new(&window(&rule, minutes, zone), anchor).map(|calendar| calendar.at(now));
            prop_assert_eq!(again, Ok(state), "{}", rule);
        }
    }
}

#[test]
fn a_calendar_is_shared_between_threads() {
    fn shared<T: Send + Sync + Clone>() {}
    shared::<Calendar>();
}
