use super::*;
use proptest::prelude::*;
use serde_json::json;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

fn metric(count: u32, success: Option<u32>, failure: Option<u32>) -> Metric {
    serde_json::from_value(json!({
        "name": "errors", "intervalSeconds": 10, "count": count,
        "successThreshold": success, "failureThreshold": failure,
        "provider": { "type": "http", "url": "http://x" },
    }))
    .unwrap()
}

fn sleep(seconds: u32) -> Metric {
    let provider = json!({ "type": "sleep", "durationSeconds": seconds });
    serde_json::from_value(json!({ "name": "settle", "provider": provider })).unwrap()
}

/// `+` good, `-` bad, `?` unclear, `!` error.
fn readings(text: &str) -> Vec<Reading> {
    let read = |c| match c {
        '+' => Reading::Good,
        '-' => Reading::Bad,
        '?' => Reading::Unclear,
        _ => Reading::Error,
    };
    text.chars().map(read).collect()
}

/// Measures whenever something is due, and says what came of it, how often was measured, and when it was over.
fn run(metric: Metric, text: &str) -> (Option<Verdict>, u32) {
    let metrics = [metric];
    let mut course = Course::begin(&metrics, at(0));
    for reading in readings(text) {
        let Some((n, due)) = course.due(&metrics).first().copied() else { break };
        course.take(&metrics, n, reading, "", due);
    }
    (course.verdict(), course.metrics[0].measured)
}

#[test]
fn rows_decide_and_a_count_that_is_used_up_tells_nothing() {
    use Verdict::{Failed, Inconclusive, Passed};
    for (count, success, failure, text, verdict, measured) in [
        (1, None, None, "+", Some(Passed), 1),
        (1, None, None, "-", Some(Failed), 1),
        (1, None, None, "?", Some(Inconclusive), 1),
        (1, None, None, "!", Some(Inconclusive), 1),
        (3, None, None, "++", None, 2),
        (3, None, None, "+++", Some(Passed), 3),
        (3, None, None, "++-", Some(Failed), 3),
        (3, None, None, "-++", Some(Failed), 1),
        (3, None, Some(2), "-++", Some(Inconclusive), 3),
        (5, Some(2), Some(2), "+-+-+", Some(Inconclusive), 5),
        (5, Some(2), Some(2), "+-++", Some(Passed), 4),
        (5, Some(2), Some(2), "-+--", Some(Failed), 4),
        // What tells nothing ends a row, whichever it is.
        (6, Some(2), Some(2), "+?+!+?", Some(Inconclusive), 6),
        (6, Some(2), Some(2), "-?-!-?", Some(Inconclusive), 6),
        (9, None, None, "!!!!!", Some(Inconclusive), 5),
        (9, None, Some(2), "!!!!+!!!!", Some(Inconclusive), 9),
        (9, None, Some(2), "????????", None, 8),
        // A threshold that cannot be reached is never reached.
        (2, Some(3), None, "++", Some(Inconclusive), 2),
    ] {
        assert_eq!(run(metric(count, success, failure), text), (verdict, measured), "{text} of {count}");
    }
}

#[test]
fn the_first_is_measured_at_once_and_each_after_its_interval() {
    let metrics = [metric(3, None, None), sleep(90)];
    let mut course = Course::begin(&metrics, at(0));
    assert_eq!(course.due(&metrics), [(0, at(0)), (1, at(90))]);
    // Late is late: what was missed is not caught up with.
    course.take(&metrics, 0, Reading::Good, "", at(50));
    assert_eq!(course.due(&metrics), [(0, at(60)), (1, at(90))]);
    course.take(&metrics, 0, Reading::Good, "", at(60));
    course.take(&metrics, 0, Reading::Good, "", at(70));
    assert_eq!((course.verdict(), course.due(&metrics)), (None, vec![(1, at(90))]));
    course.take(&metrics, 1, Reading::Good, "", at(90));
    assert_eq!((course.verdict(), course.due(&metrics)), (Some(Verdict::Passed), vec![]));
}

#[test]
fn one_failed_metric_decides_and_all_must_pass() {
    let metrics = [metric(1, None, None), metric(1, None, None)];
    let verdict = |text: &str| {
        let mut course = Course::begin(&metrics, at(0));
        for (n, reading) in readings(text).into_iter().enumerate() {
            course.take(&metrics, n, reading, "", at(0));
        }
        course.verdict()
    };
    for (text, expected) in [
        ("+", None),
        ("?", None),
        ("-", Some(Verdict::Failed)),
        ("++", Some(Verdict::Passed)),
        ("+?", Some(Verdict::Inconclusive)),
        ("?-", Some(Verdict::Failed)),
    ] {
        assert_eq!(verdict(text), expected, "{text}");
    }
}

#[test]
fn people_hear_of_what_they_can_use_and_not_of_every_measurement() {
    let metrics = [metric(5, None, None)];
    let mut course = Course::begin(&metrics, at(0));
    let mut said = vec![course.message(&metrics)];
    for _ in 0..3 {
        assert!(course.take(&metrics, 0, Reading::Good, "status 200", at(0)));
        said.push(course.message(&metrics));
    }
    assert!(course.take(&metrics, 0, Reading::Error, "no answer in time", at(0)));
    said.push(course.message(&metrics));
    assert_eq!(
        said,
        [
            "errors: 0 of 5 good",
            "errors: 1 of 5 good",
            "errors: 2 of 5 good",
            "errors: 3 of 5 good",
            "errors: cannot be measured (no answer in time)"
        ]
    );
    let metrics = [metric(10_000, None, Some(9_999))];
    let mut course = Course::begin(&metrics, at(0));
    let told = (0..9_999).filter(|_| course.take(&metrics, 0, Reading::Good, "", at(0))).count();
    assert_eq!(told, 19, "twenty steps, of which the last is the end");
    let metrics: Vec<Metric> = (0..100).map(|_| metric(5, None, None)).collect();
    assert!(Course::begin(&metrics, at(0)).message(&metrics).chars().count() <= 1_001);
}

fn any_reading() -> impl Strategy<Value = Reading> {
    prop_oneof![Just(Reading::Good), Just(Reading::Bad), Just(Reading::Unclear), Just(Reading::Error)]
}

fn any_metric() -> impl Strategy<Value = Metric> {
    let threshold = || proptest::option::of(0_u32..8);
    prop_oneof![
        4 => (0_u32..12, threshold(), threshold()).prop_map(|(count, s, f)| metric(count, s, f)),
        1 => (0_u32..100).prop_map(sleep),
    ]
}

/// The readings a metric would get, one after the other, for as long as it is measured.
fn script() -> impl Strategy<Value = (Vec<Metric>, Vec<Vec<Reading>>)> {
    proptest::collection::vec((any_metric(), proptest::collection::vec(any_reading(), 16)), 1..5)
        .prop_map(|both| both.into_iter().unzip())
}

proptest! {
    /// It ends, after no more measurements than were asked for, and never before its time.
    #[test]
    fn it_ends_and_measures_no_more_than_it_may((metrics, script) in script()) {
        let mut course = Course::begin(&metrics, at(0));
        let bound: u32 = metrics.iter().map(count).sum();
        let mut measured = 0;
        let mut now = at(0);
        while let Some((n, due)) = course.due(&metrics).into_iter().min_by_key(|(n, due)| (*due, *n)) {
            prop_assert!(measured < bound, "more than {bound} measurements");
            now = now.max(due);
            let nth = course.metrics[n].measured as usize;
            course.take(&metrics, n, script[n][nth], "", now);
            measured += 1;
        }
        prop_assert!(course.verdict().is_some());
        let longest = metrics.iter().map(|metric| match &metric.provider {
            MetricProvider::Sleep(sleep) => i64::from(sleep.duration_seconds),
            MetricProvider::Http(_) | MetricProvider::Prometheus(_) | MetricProvider::Datadog(_) => {
                i64::from(metric.interval_seconds) * i64::from(count(metric))
            }
        });
        prop_assert!(now <= at(longest.max().unwrap_or(0)));
    }

    /// Which replica measures what, when, and in which order the metrics take their turns: all one to the outcome.
    #[test]
    fn the_outcome_is_that_of_the_readings_alone(
        (metrics, script) in script(),
        turns in proptest::collection::vec(any::<usize>(), 0..80),
        delay in 0_i64..1_000,
    ) {
        let outcome = |turns: &[usize], delay: i64| {
            let mut course = Course::begin(&metrics, at(delay));
            let mut turns = turns.iter();
            loop {
                let due = course.due(&metrics);
                if due.is_empty() {
                    return course.verdict();
                }
                let (n, at) = due[turns.next().copied().unwrap_or(0) % due.len()];
                let nth = course.metrics[n].measured as usize;
                // Whatever is stored in between is read back the same.
                course = serde_json::from_str(&serde_json::to_string(&course).unwrap()).unwrap();
                course.take(&metrics, n, script[n][nth], "", at + TimeDelta::seconds(delay));
            }
        };
        prop_assert_eq!(outcome(&turns, delay), outcome(&[], 0));
    }
}
