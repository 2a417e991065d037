//! The job agents as they stand: how many jobs each may run at once, which hold a slot, and which wait for one in what order.

use axum::Json;
use axum::extract::State;
use bus::Bucket;
use bus::topology::SLOTS;
use domain::entity::{Entity, JobAgent, Kind, Record};
use domain::id::JobAgentId;
use domain::slots::{self, Slots};
use domain::token::Slug;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::context::App;
use crate::openapi::shapes::Listed;
use crate::problem::Problem;
use crate::request::{Page, Params, Segments};

/// How many records are read at once.
const READS: usize = 16;

/// `GET /agents/standing`
#[utoipa::path(get, path = "/agents/standing", params(Page), responses((status = 200, description = "A page of agents, with who holds their slots and who waits", body = Listed)))]
pub(super) async fn standing(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
    Params(page): Params<Page>,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let bucket = app.bus.bucket(&SLOTS);
    let agents = app
        .catalog
        .entities(&workspace, Kind::JobAgent)
        .into_iter()
        .filter_map(|entity| if let Entity::JobAgent(agent) = entity { Some(agent) } else { None });
    let lines = stream::iter(agents).map(|agent| line(&bucket, &workspace, agent)).buffered(READS);
    let lines: Vec<Value> = lines.try_collect().await?;
    Ok(Json(page.of(lines)))
}

async fn line(bucket: &Bucket, workspace: &Slug, agent: Record<JobAgent>) -> Result<Value, Problem> {
    let key = slots::key(workspace, JobAgentId(agent.meta.id));
    // Only an agent with a limit has slots.
    let slots = match agent.spec.max_concurrent {
        Some(_) => bucket.get_json::<Slots>(&key).await?.map(|(slots, _revision)| slots).unwrap_or_default(),
        None => Slots::default(),
    };
    Ok(json!({
        "id": agent.meta.id,
        "name": agent.meta.name,
        "platform": agent.spec.platform,
        "maxConcurrent": agent.spec.max_concurrent,
        "held": slots.held,
        "waiting": slots.waiting,
    }))
}
