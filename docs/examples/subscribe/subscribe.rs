//! Follows job statuses over NATS: every status once, in order, also over restarts. Only reads.
//!
//!     CTRLPLANE_NATS_URL=nats://127.0.0.1:4222 CTRLPLANE_NATS_USER=subscriber CTRLPLANE_NATS_PASSWORD=... \
//!         subscribe 'ctrlplane.status.acme.>' [STATE_FILE]
//!
//! Prints one JSON document per line. The state file keeps the sequence of the last one; without it everything that the
//! stream keeps comes first. Needs async-nats, futures, serde_json and tokio.
#![allow(clippy::disallowed_methods, reason = "a program of its own: its settings are its environment")]

use std::env;
use std::io::Write as _;
use std::time::Duration;

use futures::StreamExt as _;

const DIRECT_GET: &str = "$JS.API.DIRECT.GET.STATUS";
/// News wakes us; what a lost connection swallowed is found by looking this often.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = env::args().skip(1);
    let subject = args.next().ok_or("usage: subscribe SUBJECT [STATE_FILE]")?;
    let state = args.next();
    // For tests: end after so many.
    let count: u64 = env::var("SUBSCRIBE_COUNT").ok().map_or(Ok(u64::MAX), |text| text.parse())?;
    let client = async_nats::ConnectOptions::with_user_and_password(
        env::var("CTRLPLANE_NATS_USER")?,
        env::var("CTRLPLANE_NATS_PASSWORD")?,
    )
    .custom_inbox_prefix("_INBOX_subscriber")
    .retry_on_initial_connect()
    .connect(env::var("CTRLPLANE_NATS_URL")?)
    .await?;
    let mut last: u64 = match &state {
        Some(file) => std::fs::read_to_string(file).ok().map_or(Ok(0), |text| text.trim().parse())?,
        None => 0,
    };
    let mut news = client.subscribe(subject.clone()).await?;
    let mut told = 0;
    while told < count {
        let next = serde_json::json!({ "seq": last + 1, "next_by_subj": subject }).to_string();
        let answer = match client.request(DIRECT_GET, next.into()).await {
            Ok(answer) => answer,
            // The connection comes back by itself; what was missed is read then.
            Err(error) => {
                eprintln!("reading again: {error}");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let headers = answer.headers.unwrap_or_default();
        let Some(sequence) = headers.get("Nats-Sequence") else {
            // Nothing more yet: wait for news, of which the first is as good as many.
            if tokio::time::timeout(LOOK_AGAIN, news.next()).await.is_ok_and(|woken| woken.is_none()) {
                return Err("the connection is closed".into());
            }
            continue;
        };
        last = sequence.as_str().parse()?;
        // A job's last word where it stood before: the same news stands where it is now.
        if headers.get("Ctrlplane-Moved-To").is_none() {
            println!("{}", String::from_utf8_lossy(&answer.payload));
            std::io::stdout().flush()?;
            told += 1;
        }
        if let Some(file) = &state {
            std::fs::write(file, last.to_string())?;
        }
    }
    Ok(())
}
