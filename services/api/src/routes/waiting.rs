//! What waits, and for what: the versions that are newer than what may go to a target, with each rule that holds them.

use axum::Json;
use axum::extract::State;
use domain::decision::{ConsideredVersion, RuleVerdict, TargetDecision, TargetState};
use domain::entity::{Entity, Kind};
use domain::token::Slug;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use crate::caller::Caller;
use crate::changes::CREATED_BY;
use crate::context::App;
use crate::explain;
use crate::openapi::shapes::Listed;
use crate::problem::Problem;
use crate::request::{Page, Params, Segments};
use crate::spelling::spelt;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Query {
    /// Only what this rule holds back.
    rule: Option<String>,
}

impl Query {
    pub(super) fn rule(&self) -> Option<&str> {
        self.rule.as_deref().filter(|rule| !rule.is_empty())
    }
}

/// `GET /waiting?rule=&limit=&offset=`: per target, its newest version first.
#[utoipa::path(get, path = "/waiting", params(Page, Query), responses((status = 200, description = "A page of what is held back, and by which rules", body = Listed)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
    Params(page): Params<Page>,
    Params(query): Params<Query>,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let decisions = app.decisions.of(&workspace);
    let held: Vec<_> = decisions.iter().flat_map(|decision| held_on(decision, query.rule())).collect();
    let shown = held.iter().map(|held| LazyLine { app: &app, workspace: &workspace, held });
    Ok(Json(page.of(shown)))
}

/// A version that is held back on a target.
pub(super) struct Held<'a> {
    pub(super) decision: &'a TargetDecision,
    pub(super) version: &'a ConsideredVersion,
    /// Whether no newer one waits there.
    pub(super) newest: bool,
}

pub(super) fn held_on<'a>(decision: &'a TargetDecision, rule: Option<&str>) -> Vec<Held<'a>> {
    if decision.state == TargetState::Gone {
        return Vec::new();
    }
    let (current, active) = (decision.current.as_ref(), decision.active.as_ref());
    let there = [current.map(|current| current.version), active.map(|active| active.version)];
    // What runs, or is on its way, is not held back, whatever the rules say to it now; nor is what is older.
    let newer = decision.considered.iter().take_while(|version| !version.allowed);
    let newer = newer.take_while(|version| !there.contains(&Some(version.version)));
    let held = newer.enumerate().map(|(place, version)| Held { decision, version, newest: place == 0 });
    held.filter(|held| {
        let mut holding = holding(held.version);
        rule.is_none_or(|rule| holding.any(|verdict| verdict.rule == rule))
    })
    .collect()
}

/// What holds it.
pub(super) fn holding(version: &ConsideredVersion) -> impl Iterator<Item = &RuleVerdict> {
    version.rules.iter().filter(|verdict| !verdict.verdict.allows())
}

/// A version as lists of what waits show it.
pub(super) fn version_shown(app: &App, workspace: &Slug, version: &ConsideredVersion) -> Value {
    let known = app.catalog.get(workspace, Kind::Version, version.version.0);
    let meta = known.as_ref().map(Entity::meta);
    json!({
        "id": version.version, "tag": version.tag,
        "createdAt": meta.map(|meta| meta.created_at),
        "createdBy": meta.and_then(|meta| meta.metadata.get(CREATED_BY)),
        "metadata": meta.map(|meta| &meta.metadata),
    })
}

/// A line that is made only where the page shows it.
struct LazyLine<'a> {
    app: &'a App,
    workspace: &'a Slug,
    held: &'a Held<'a>,
}

impl serde::Serialize for LazyLine<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { app, workspace, held: Held { decision, version, newest } } = self;
        json!({
            "target": explain::target(&app.catalog, workspace, &decision.target),
            "version": version_shown(app, workspace, version),
            "newest": newest,
            "current": decision.current,
            "rules": spelt(holding(version).collect::<Vec<_>>()),
            "nextLook": decision.next_look,
            "decidedAt": decision.decided_at,
        })
        .serialize(serializer)
    }
}
