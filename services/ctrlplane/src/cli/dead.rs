//! `ctrlplane dead`: messages nobody could handle.

use reqwest::Method;
use serde_json::json;

use super::args::{DeadListArgs, RedriveArgs};
use super::failure::Failure;
use super::output::{self, Format};
use super::session::Session;
use super::table::Table;
use super::words::{plain, stamp, text_at, time_at};

/// `ctrlplane dead list`
pub(super) async fn list(session: &Session, args: &DeadListArgs) -> Result<(), Failure> {
    let (after, limit) = (args.after.to_string(), args.limit.to_string());
    let answer = session.api.get(&["dead-letters"], &[("after", &after), ("limit", &limit)]).await?;
    let letters = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    match session.format {
        Format::Json => output::json(&answer),
        Format::Yaml => output::yaml(&answer),
        Format::Name => output::print(
            &letters.iter().map(|letter| format!("{}\n", text_at(letter, "/sequence"))).collect::<String>(),
        ),
        Format::Table => {
            let mut table =
                Table::new(["SEQUENCE", "AT", "CONSUMER", "ATTEMPTS", "SUBJECT", "BYTES", "REASON"]);
            for letter in letters {
                let text = |pointer: &str| text_at(letter, pointer);
                let at = time_at(letter, "/at").map(stamp).unwrap_or_default();
                table.row([
                    text("/sequence"),
                    at,
                    text("/consumer"),
                    text("/attempts"),
                    text("/subject"),
                    text("/sizeBytes"),
                    text("/reason"),
                ]);
            }
            let text = table.render();
            if text.is_empty() {
                eprintln!("no dead letters");
            }
            output::print(&text)?;
            if let Some(next) = answer["next"].as_u64() {
                eprintln!("more: ctrlplane dead list --after {next}");
            }
            Ok(())
        }
    }
}

/// `ctrlplane dead redrive`
pub(super) async fn redrive(session: &Session, args: &RedriveArgs) -> Result<(), Failure> {
    let sequence = args.sequence.to_string();
    let path = ["dead-letters", sequence.as_str(), "redrive"];
    let answer = session.api.send_json(Method::POST, &path, &[], &json!({})).await?;
    match session.format {
        Format::Json => output::json(&answer),
        Format::Yaml => output::yaml(&answer),
        Format::Name => output::line(&text_at(&answer, "/sequence")),
        Format::Table => output::line(&format!("{sequence} {}", plain(&text_at(&answer, "/message")))),
    }
}
