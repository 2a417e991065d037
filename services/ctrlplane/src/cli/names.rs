//! Names of things by their ids, asked for once.

use std::collections::HashMap;

use domain::entity::Kind;
use uuid::Uuid;

use super::api::ApiError;
use super::failure::Failure;
use super::session::Session;

/// How many new names are kept; past that, they are asked for again.
const NAMES_MAX: usize = 100_000;

/// The names of one kind.
pub(super) struct Names<'a> {
    session: &'a Session,
    kind: Kind,
    known: HashMap<Uuid, String>,
}

impl<'a> Names<'a> {
    /// Of everything of that kind that there is now.
    pub(super) async fn load(session: &'a Session, kind: Kind) -> Result<Self, Failure> {
        let all = session.all(&["catalog", kind.token()], &[]).await?;
        let known = all
            .iter()
            .filter_map(|entity| {
                let meta = entity.get("meta")?;
                Some((meta["id"].as_str()?.parse().ok()?, meta["name"].as_str()?.to_owned()))
            })
            .collect();
        Ok(Self { session, kind, known })
    }

    /// What is known of it; the beginning of its id where nothing is.
    pub(super) fn of(&self, id: Uuid) -> String {
        self.known.get(&id).cloned().unwrap_or_else(|| short_id(id))
    }

    /// All of them by the text of their ids.
    pub(super) fn into_texts(self) -> HashMap<String, String> {
        self.known.into_iter().map(|(id, name)| (id.to_string(), name)).collect()
    }

    /// As [`Names::of`], and asks for what is not known.
    pub(super) async fn find(&mut self, id: Uuid) -> Result<String, Failure> {
        if let Some(name) = self.known.get(&id) {
            return Ok(name.clone());
        }
        let text = id.to_string();
        let path = self.session.below(&["catalog", self.kind.token(), &text]).await?;
        let name = match self.session.api.get(&path, &[]).await {
            Ok(entity) => entity["meta"]["name"].as_str().map_or_else(|| short_id(id), str::to_owned),
            Err(ApiError::Refused(_gone)) => short_id(id),
            Err(ApiError::Unreachable(_)) => return Ok(short_id(id)),
        };
        if self.known.len() >= NAMES_MAX {
            self.known.clear();
        }
        self.known.insert(id, name.clone());
        Ok(name)
    }
}

/// The first characters of an id: enough to tell a few thousand apart.
pub(super) fn short_id(id: Uuid) -> String {
    id.to_string()[..8].to_owned()
}
