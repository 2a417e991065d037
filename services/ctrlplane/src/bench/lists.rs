//! `ctrlplane bench lists`: lists of jobs while Redis has many, beside answers as large over the bare bus in the same run.
//! It fails when a list says something else than what was written, never because it was slow.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bus::{Bus, clock};
use chrono::TimeDelta;
use domain::id::derive;
use domain::job::{JobEvent, JobStatus, JobView};
use domain::subject;
use futures::StreamExt as _;
use projections::{JobChange, Projections};
use serde::Serialize;
use serde_json::{Value, json};
use service::Supervisor;

use super::api::{Api, Scene, WORKSPACE};
use crate::args::ListsArgs;
use crate::measure::rounded;
use crate::stage::Stage;

const DEPLOYMENTS: u32 = 10;
const ENVIRONMENTS: [&str; 3] = ["dev", "staging", "production"];
const PLATFORMS: [&str; 4] = ["github-app", "gitlab", "kubernetes-job", "argo-workflow"];
/// One job in so many failed, one runs; the others ended well.
const ONE_IN: u32 = 20;
const BATCH: u32 = 500;
const READY_WITHIN: Duration = Duration::from_secs(30);
const PAGE: u32 = 100;
const RAW_SUBJECT: &str = "bench.lists";

/// A list, and how many it must say there are.
struct Asked {
    name: &'static str,
    query: String,
    total: u32,
}

#[derive(Debug, Serialize)]
struct Line {
    list: &'static str,
    total: u32,
    bytes: usize,
    p50_ms: f64,
    p99_ms: f64,
    raw_p99_ms: f64,
    /// How many times as long as the bare bus takes for as many bytes.
    ratio_p99: f64,
}

#[derive(Debug, Serialize)]
struct Report {
    jobs: u32,
    samples: u32,
    lists: Vec<Line>,
}

/// Measures and reports.
pub(crate) async fn run(args: &ListsArgs, supervisor: Supervisor, stage: Stage) -> anyhow::Result<()> {
    let tell = |what: &str| eprintln!("bench: {what}");
    tell("starting NATS, Redis, and an api of its own process");
    let Scene { dev, bus, api } = Scene::set(&args.servers, &supervisor, &stage).await?;
    tell(&format!("writing {} jobs", args.jobs));
    let facts = facts(&bus, args.jobs).await?;
    write(&dev.servers.redis_url, args.jobs, &facts).await?;

    let mut lists = Vec::new();
    for asked in asked(args.jobs) {
        tell(asked.name);
        lists.push(measured(&api, dev.data.admin_key(), &bus, &asked, args.samples).await?);
    }
    let report = Report { jobs: args.jobs, samples: args.samples, lists };
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{report}");
    }
    api.end().await?;
    bus.drain().await;
    Ok(())
}

/// What people look at.
fn asked(jobs: u32) -> Vec<Asked> {
    let count =
        |wanted: fn(u32) -> bool| u32::try_from((0..jobs).filter(|n| wanted(*n)).count()).unwrap_or(jobs);
    let of = |name: &str| format!("{}", derive(&[name]));
    vec![
        Asked { name: "the newest", query: String::new(), total: jobs },
        Asked { name: "failed", query: "&status=failure".to_owned(), total: count(|n| n % ONE_IN == 0) },
        Asked {
            name: "of a deployment in an environment",
            query: format!("&deployment={}&environment={}", of("deployment-3"), of("production")),
            total: count(|n| n % DEPLOYMENTS == 3 && n % 3 == 2),
        },
        Asked {
            name: "running on a platform",
            query: "&status=in_progress&platform=gitlab".to_owned(),
            total: count(|n| n % ONE_IN == 1 && n % 4 == 1),
        },
        Asked { name: "far from the newest", query: format!("&offset={}", jobs / 20), total: jobs },
    ]
}

/// Whether a list has the job.
type Has = fn(u32) -> bool;

/// Those of whom a page is read: the newest first, as far as each list goes.
fn pages(jobs: u32) -> BTreeSet<u32> {
    let lists: [(Has, u32); 5] = [
        (|_n| true, 0),
        (|n| n % ONE_IN == 0, 0),
        (|n| n % DEPLOYMENTS == 3 && n % 3 == 2, 0),
        (|n| n % ONE_IN == 1 && n % 4 == 1, 0),
        (|_n| true, jobs / 20),
    ];
    let page = |(has, offset): (Has, u32)| {
        (0..jobs).rev().filter(move |n| has(*n)).skip(offset as usize).take(PAGE as usize)
    };
    lists.into_iter().flat_map(page).collect()
}

/// Writes the facts of those jobs, as a run leaves them, and tells the sequence of each one's last. No fact asks anybody to
/// run anything; those in progress have none, or agents would look for their runs.
async fn facts(bus: &Bus, jobs: u32) -> anyhow::Result<BTreeMap<u32, u64>> {
    let mut last = BTreeMap::new();
    for n in pages(jobs) {
        let view = view(n, jobs, None)?;
        if view.status == JobStatus::InProgress {
            continue;
        }
        for event in run_of(&view)? {
            let subject = subject::job(&view.workspace, view.id);
            last.insert(n, bus.publish_json(subject, &event, None).await?.sequence);
        }
    }
    Ok(last)
}

/// A run that came as far as the view says.
fn run_of(view: &JobView) -> anyhow::Result<Vec<JobEvent>> {
    let job = json!({
        "workspace": view.workspace, "id": view.id, "target": view.target, "version": view.version_id,
        "tag": view.version, "release": view.release_id, "attempt": view.attempt,
        "deployment": view.deployment, "environment": view.environment,
    });
    let external = json!({
        "platform": view.platform, "host": "git.example", "scope": "acme/shop", "id": view.id, "attempt": 1,
    });
    let inputs: BTreeMap<String, String> =
        (0..20).map(|n| (format!("input-{n}"), format!("{:032}", n))).collect();
    let context = json!({ "variables": inputs, "resource": { "config": inputs, "metadata": inputs } });
    let mut facts = vec![
        json!({ "type": "dispatched", "data": {
            "agent": derive(&["agent"]), "agentName": "agent", "platform": view.platform,
            "config": { "workflow": "deploy.yml", "inputs": inputs }, "context": context,
            "deadlines": { "queueSeconds": 86_400, "runSeconds": 86_400 },
        } }),
        json!({ "type": "triggerStarted", "data": { "fence": 1 } }),
        json!({ "type": "triggered", "data": { "external": external, "links": view.links } }),
    ];
    let seen = |n: i64, status: &str| {
        json!({ "type": "observed", "data": {
        "external": external, "status": status, "order": { "attempt": 1, "version": n }, "links": view.links,
        "source": "webhook",
    } })
    };
    facts.extend([seen(1, "in_progress"), seen(2, "in_progress")]);
    if view.status != JobStatus::InProgress {
        facts.push(json!({ "type": "finished", "data": {
            "external": external, "status": view.status, "order": { "attempt": 1, "version": 3 },
            "links": view.links, "source": "webhook",
        } }));
    }
    let event = |mut fact: Value| {
        fact["job"] = job.clone();
        fact["at"] = json!(view.created_at);
        serde_json::from_value(fact).context("a fact of a job")
    };
    facts.into_iter().map(event).collect()
}

/// Shows so many jobs, as the status syncer does.
async fn write(redis: &str, jobs: u32, facts: &BTreeMap<u32, u64>) -> anyhow::Result<()> {
    let views = Projections::connect(redis).context("redis")?;
    let complete = async {
        while !views.is_complete().await? {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(READY_WITHIN, complete).await.context("the views are not complete in time")??;
    let numbers: Vec<u32> = (0..jobs).collect();
    for batch in numbers.chunks(BATCH as usize) {
        let changes = batch
            .iter()
            .map(|n| Ok(JobChange { view: view(*n, jobs, facts.get(n).copied())?, history: Vec::new() }));
        let changes: Vec<JobChange> = changes.collect::<anyhow::Result<_>>()?;
        views.apply_batch(&changes).await?;
    }
    Ok(())
}

fn view(n: u32, jobs: u32, facts: Option<u64>) -> anyhow::Result<JobView> {
    let (deployment, environment) = (format!("deployment-{}", n % DEPLOYMENTS), ENVIRONMENTS[n as usize % 3]);
    let id = |name: &str| derive(&[name]);
    let at = clock::now() - TimeDelta::seconds(i64::from(jobs - n));
    let status = match n % ONE_IN {
        0 => JobStatus::Failure,
        1 => JobStatus::InProgress,
        _ => JobStatus::Successful,
    };
    let run = format!("https://git.example/acme/shop/runs/{n}");
    let view = json!({
        "id": id(&format!("job-{n}")), "workspace": WORKSPACE, "status": status,
        "deployment": deployment, "environment": environment, "platform": PLATFORMS[n as usize % 4],
        "target": { "deployment": id(&deployment), "environment": id(environment), "resource": id(&format!("resource-{}", n % 1_000)) },
        "versionId": id(&format!("version-{}", n / 1_000)), "version": format!("v{}", n / 1_000),
        "releaseId": id(&format!("release-{n}")), "attempt": 1, "links": { "run": run },
        "message": "3 of 5 steps done", "createdAt": at, "updatedAt": at, "sequence": facts.unwrap_or(u64::from(n) + 1),
    });
    serde_json::from_value(view).context("a job as the views show it")
}

async fn measured(api: &Api, key: &str, bus: &Bus, asked: &Asked, samples: u32) -> anyhow::Result<Line> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let url =
        format!("http://{}/api/v1/workspaces/{WORKSPACE}/jobs?limit={PAGE}{}", api.address, asked.query);
    let ask = async || -> anyhow::Result<String> {
        let answer = http.get(&url).header("X-API-Key", key).send().await?.error_for_status()?;
        Ok(answer.text().await?)
    };
    let text = ask().await.with_context(|| format!("the list {}", asked.name))?;
    let answer: Value = serde_json::from_str(&text)?;
    ensure!(
        answer["total"] == asked.total || answer["totalIsFloor"] == true,
        "{}: {} and not {}",
        asked.name,
        answer["total"],
        asked.total
    );
    let items = answer["items"].as_array().map_or(0, Vec::len);
    ensure!(items == PAGE.min(asked.total) as usize, "{}: a page of {items}", asked.name);
    let mut ours = Vec::new();
    for _ in 0..samples {
        let began = Instant::now();
        ask().await?;
        ours.push(began.elapsed());
    }
    let raw = bare(bus, text.len(), samples).await?;
    let (p99, raw_p99) = (percentile(&mut ours, 99), raw);
    Ok(Line {
        list: asked.name,
        total: asked.total,
        bytes: text.len(),
        p50_ms: percentile(&mut ours, 50),
        p99_ms: p99,
        raw_p99_ms: raw_p99,
        ratio_p99: rounded(p99 / raw_p99.max(f64::EPSILON)),
    })
}

/// Requests over the bus that are answered with so many bytes: the 99th percentile in ms.
async fn bare(bus: &Bus, bytes: usize, samples: u32) -> anyhow::Result<f64> {
    let (client, answer) = (bus.client().clone(), bytes::Bytes::from(vec![b'x'; bytes]));
    let mut requests = client.subscribe(RAW_SUBJECT).await?;
    client.flush().await?;
    let answering = async {
        while let Some(request) = requests.next().await {
            if let Some(reply) = request.reply {
                client.publish(reply, answer.clone()).await?;
            }
        }
        anyhow::Ok(())
    };
    let asking = async {
        let mut took = Vec::new();
        for _ in 0..samples {
            let began = Instant::now();
            client.request(RAW_SUBJECT, bytes::Bytes::new()).await.context("a bare request")?;
            took.push(began.elapsed());
        }
        anyhow::Ok(percentile(&mut took, 99))
    };
    tokio::select! {
        ended = answering => ended.and_then(|()| bail!("the bus ended the subscription")),
        measured = asking => measured,
    }
}

fn percentile(took: &mut [Duration], percent: usize) -> f64 {
    took.sort_unstable();
    let rank = (took.len() * percent).div_ceil(100).max(1);
    rounded(took.get(rank - 1).map_or(0.0, |took| took.as_secs_f64() * 1e3))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} jobs, each list asked for {} times, {PAGE} a page", self.jobs, self.samples)?;
        write!(
            f,
            "{:<36}{:>8}{:>9}{:>9}{:>9}{:>14}{:>8}",
            "", "total", "bytes", "p50 ms", "p99 ms", "bus p99 ms", "ratio"
        )?;
        for line in &self.lists {
            write!(
                f,
                "\n{:<36}{:>8}{:>9}{:>9}{:>9}{:>14}{:>8}",
                line.list, line.total, line.bytes, line.p50_ms, line.p99_ms, line.raw_p99_ms, line.ratio_p99
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::job::evolve;

    #[test]
    fn a_percentile_is_one_of_those_that_were_measured() {
        let mut took: Vec<Duration> = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!((percentile(&mut took, 50), percentile(&mut took, 99)), (100.0, 198.0));
    }

    #[test]
    fn the_facts_of_a_job_tell_what_its_view_shows() {
        for n in 0..ONE_IN {
            let view = view(n, 1_000, None).unwrap();
            let state =
                run_of(&view).unwrap().iter().fold(None, |state, event| Some(evolve(state, event))).unwrap();
            assert_eq!((state.status(), state.job.id), (view.status, view.id));
            assert!(state.assigned.is_some());
        }
        assert!(pages(1_000).contains(&999) && pages(1_000).len() >= PAGE as usize);
    }

    #[test]
    fn what_is_written_is_what_is_asked_for() {
        let views: Vec<JobView> = (0..1_000).map(|n| view(n, 1_000, None).unwrap()).collect();
        let failed = views.iter().filter(|view| view.status == JobStatus::Failure).count();
        let asked = asked(1_000);
        assert_eq!(asked[1].total as usize, failed);
        let there = views.iter().filter(|view| {
            (view.deployment.as_str(), view.environment.as_str()) == ("deployment-3", "production")
        });
        assert_eq!(asked[2].total as usize, there.count());
    }
}
