//! `ctrlplane doctor`: what the API sees of the system, and what only we can see of the API: whether it answers, which version
//! it is, and whether its clock is ours.

use chrono::TimeDelta;
use domain::Timestamp;
use serde_json::{Value, json};

use super::api::ApiError;
use super::failure::Failure;
use super::output::{self, Format};
use super::session::Session;
use super::table::Table;
use super::words::{plain, text_at, time_at};

/// Clocks kept by NTP differ by much less.
const SKEW_MAX: TimeDelta = TimeDelta::seconds(5);

/// `ctrlplane doctor`
pub(super) async fn run(session: &Session) -> Result<(), Failure> {
    let asked_at = bus::clock::now();
    let answer = session.api.get(&["doctor"], &[]).await;
    let answered_at = bus::clock::now();
    match answer {
        Ok(mut answer) => {
            let ours = vec![
                check("api", "ok", "answers", ""),
                version(&text_at(&answer, "/version")),
                clock(time_at(&answer, "/at"), asked_at, answered_at),
            ];
            let theirs = answer.get_mut("checks").map(Value::take);
            let theirs = theirs.as_ref().and_then(Value::as_array).cloned().unwrap_or_default();
            let checks: Vec<Value> = ours.into_iter().chain(theirs).collect();
            let broken = checks.iter().filter(|check| check["status"] == "fail").count();
            answer["status"] = json!(worst(&checks));
            answer["checks"] = Value::Array(checks);
            show(session, &answer)?;
            match broken {
                0 => Ok(()),
                1 => Err(Failure::Refused("1 check failed".to_owned())),
                count => Err(Failure::Refused(format!("{count} checks failed"))),
            }
        }
        Err(ApiError::Unreachable(why)) => {
            let todo = "see whether the api runs and --url leads to it; its log and its /readyz say what it waits for";
            alone(session, check("api", "fail", &why, todo))?;
            Err(Failure::Unreachable("1 check failed".to_owned()))
        }
        Err(ApiError::Refused(refusal)) => {
            let todo = match refusal.status {
                401 => "give a key the api knows: --key-file or CTRLPLANE_API_KEY",
                404 => "this api is older than this command line: update it",
                _ => "the api's log says more",
            };
            alone(session, check("api", "fail", &refusal.to_string(), todo))?;
            Err(Failure::Refused("1 check failed".to_owned()))
        }
    }
}

fn check(name: &str, status: &str, message: &str, todo: &str) -> Value {
    let mut check = json!({ "check": name, "status": status, "message": message });
    if !todo.is_empty() {
        check["todo"] = json!(todo);
    }
    check
}

fn version(theirs: &str) -> Value {
    let ours = env!("CARGO_PKG_VERSION");
    if theirs == ours {
        return check("version", "ok", ours, "");
    }
    let message = format!("the api is {theirs}, this command line is {ours}");
    check("version", "warn", &message, "update the older one")
}

/// The API told its time somewhere between our two moments.
fn clock(theirs: Option<Timestamp>, asked_at: Timestamp, answered_at: Timestamp) -> Value {
    let Some(theirs) = theirs else {
        return check("clock", "warn", "the api does not tell its time", "update it");
    };
    let skew = if theirs < asked_at {
        theirs - asked_at
    } else if theirs > answered_at {
        theirs - answered_at
    } else {
        TimeDelta::zero()
    };
    if skew.abs() <= SKEW_MAX {
        return check("clock", "ok", "the api's clock is ours", "");
    }
    let (seconds, word) =
        (skew.num_seconds().abs(), if skew > TimeDelta::zero() { "ahead of" } else { "behind" });
    let message = format!("the api's clock is {seconds} s {word} this machine's");
    check("clock", "fail", &message, "let NTP set both: ages and deadlines are wrong by as much")
}

fn worst(checks: &[Value]) -> &'static str {
    let has = |status: &str| checks.iter().any(|check| check["status"] == status);
    if has("fail") {
        "fail"
    } else if has("warn") {
        "warn"
    } else {
        "ok"
    }
}

/// The only check there is.
fn alone(session: &Session, only: Value) -> Result<(), Failure> {
    show(session, &json!({ "status": "fail", "checks": [only] }))
}

fn show(session: &Session, answer: &Value) -> Result<(), Failure> {
    match session.format {
        Format::Json => output::json(answer),
        Format::Yaml => output::yaml(answer),
        Format::Name => {
            let bad = checks(answer).filter(|check| check["status"] != "ok");
            output::print(&bad.map(|check| format!("{}\n", text_at(check, "/check"))).collect::<String>())
        }
        Format::Table => output::print(&table(answer)),
    }
}

fn checks(answer: &Value) -> impl Iterator<Item = &Value> {
    answer["checks"].as_array().into_iter().flatten()
}

/// A line per check; below each that is not fine, what to do.
fn table(answer: &Value) -> String {
    let mut table = Table::new(["STATUS", "CHECK", "SAYS"]);
    for check in checks(answer) {
        table.row([text_at(check, "/status"), text_at(check, "/check"), text_at(check, "/message")]);
    }
    let rendered = table.render();
    let mut lines = rendered.lines();
    let mut text = lines.next().map(|header| format!("{header}\n")).unwrap_or_default();
    for (line, check) in lines.zip(checks(answer)) {
        text.push_str(line);
        text.push('\n');
        let todo = text_at(check, "/todo");
        if !todo.is_empty() {
            text.push_str(&format!("        → {}\n", plain(&todo)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_timestamp(1_800_000_000 + seconds, 0).expect("a moment")
    }

    #[test]
    fn what_is_not_fine_says_what_to_do_below_it() {
        let answer = json!({ "checks": [
            check("api", "ok", "answers", ""),
            check("agent/acme/github", "fail", "GitHub answered\n403", "mend the permissions"),
        ]});
        assert_eq!(
            table(&answer),
            "STATUS  CHECK              SAYS\n\
             ok      api                answers\n\
             fail    agent/acme/github  GitHub answered 403\n        → mend the permissions\n"
        );
        assert_eq!(worst(checks(&answer).cloned().collect::<Vec<_>>().as_slice()), "fail");
    }

    #[test]
    fn a_clock_is_wrong_by_what_is_outside_of_the_call() {
        let told = |theirs| clock(Some(at(theirs)), at(0), at(2))["status"].as_str().map(str::to_owned);
        assert_eq!(told(1).as_deref(), Some("ok"));
        assert_eq!(told(7).as_deref(), Some("ok"));
        assert_eq!(told(8).as_deref(), Some("fail"));
        assert_eq!(told(-6).as_deref(), Some("fail"));
        assert_eq!(clock(None, at(0), at(2))["status"], "warn");
        let message = clock(Some(at(62)), at(0), at(2))["message"].to_string();
        assert!(message.contains("60 s ahead"), "{message}");
        assert_eq!(version(env!("CARGO_PKG_VERSION"))["status"], "ok");
        assert_eq!(version("0.0.0-other")["status"], "warn");
    }
}
