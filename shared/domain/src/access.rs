//! Who may do what where: roles per workspace, and the API keys that carry them. Knows no key, only its hash.

use std::collections::BTreeMap;

use crate::Timestamp;
use crate::audit::Role;
use crate::token::Slug;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A role in one workspace, or in all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Grant {
    /// The workspace; absent: every workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<Slug>,
    /// What may be done there.
    pub role: Role,
}

/// All roles of somebody. In a workspace the highest counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Grant>", into = "Vec<Grant>")]
pub struct Grants {
    everywhere: Option<Role>,
    workspaces: BTreeMap<Slug, Role>,
}

impl Grants {
    /// One role, in the workspace or everywhere.
    pub fn one(workspace: Option<Slug>, role: Role) -> Self {
        [Grant { workspace, role }].into_iter().collect()
    }

    /// The role there; `None`: the workspace does not exist for whoever has these.
    pub fn role_in(&self, workspace: &Slug) -> Option<Role> {
        self.everywhere.max(self.workspaces.get(workspace).copied())
    }

    /// The role that is held in every workspace, also in those to come.
    pub fn everywhere(&self) -> Option<Role> {
        self.everywhere
    }

    /// The highest role anywhere.
    pub fn highest(&self) -> Option<Role> {
        self.everywhere.max(self.workspaces.values().copied().max())
    }

    /// The lowest role anywhere.
    pub fn lowest(&self) -> Option<Role> {
        self.workspaces.values().copied().chain(self.everywhere).min()
    }

    /// The only workspace, where it is only one.
    pub fn only(&self) -> Option<&Slug> {
        let mut workspaces = self.workspaces.keys();
        let first = workspaces.next().filter(|_| self.everywhere.is_none());
        first.filter(|_| workspaces.next().is_none())
    }

    /// Whether nothing may be done anywhere.
    pub fn is_empty(&self) -> bool {
        self.everywhere.is_none() && self.workspaces.is_empty()
    }

    /// Each role, that for everywhere first.
    pub fn iter(&self) -> impl Iterator<Item = Grant> + '_ {
        let everywhere = self.everywhere.map(|role| Grant { workspace: None, role });
        let there = self.workspaces.iter();
        everywhere
            .into_iter()
            .chain(there.map(|(slug, role)| Grant { workspace: Some(slug.clone()), role: *role }))
    }

    /// Whether whoever has these looks after the access of whoever has the others: is admin wherever they may do
    /// anything.
    pub fn administer(&self, others: &Grants) -> bool {
        let is_admin = |grant: Grant| match &grant.workspace {
            Some(workspace) => self.role_in(workspace) == Some(Role::Admin),
            None => self.everywhere == Some(Role::Admin),
        };
        !others.is_empty() && others.iter().all(is_admin)
    }
}

impl FromIterator<Grant> for Grants {
    fn from_iter<I: IntoIterator<Item = Grant>>(grants: I) -> Self {
        let mut all = Self::default();
        for Grant { workspace, role } in grants {
            match workspace {
                None => all.everywhere = all.everywhere.max(Some(role)),
                Some(workspace) => {
                    let known = all.workspaces.entry(workspace).or_insert(role);
                    *known = role.max(*known);
                }
            }
        }
        all
    }
}

impl From<Vec<Grant>> for Grants {
    fn from(grants: Vec<Grant>) -> Self {
        grants.into_iter().collect()
    }
}

impl From<Grants> for Vec<Grant> {
    fn from(grants: Grants) -> Self {
        grants.iter().collect()
    }
}

/// An API key as the bus keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyRecord {
    /// Of the key; no secret.
    pub id: Uuid,
    /// Whose key it is: the actor of what it does.
    pub user: String,
    /// What its user calls it.
    pub name: String,
    /// What it may do where.
    pub roles: Grants,
    /// The SHA-256 of the key in hexadecimal.
    pub sha256: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// From then on it opens nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

impl KeyRecord {
    /// Whether its time is over.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn grants(all: &[(&str, Role)]) -> Grants {
        let grant = |(workspace, role): &(&str, Role)| Grant {
            workspace: (*workspace != "*").then(|| workspace.parse().unwrap()),
            role: *role,
        };
        all.iter().map(grant).collect()
    }

    #[test]
    fn in_a_workspace_the_highest_role_counts_and_without_one_it_does_not_exist() {
        let ann = grants(&[("acme", Role::Operator), ("acme", Role::Viewer), ("globex", Role::Admin)]);
        let role = |grants: &Grants, slug: &str| grants.role_in(&slug.parse().unwrap());
        assert_eq!(role(&ann, "acme"), Some(Role::Operator));
        assert_eq!(role(&ann, "initech"), None);
        assert_eq!(
            (ann.highest(), ann.lowest(), ann.only()),
            (Some(Role::Admin), Some(Role::Operator), None)
        );
        let all = grants(&[("*", Role::Viewer), ("acme", Role::Approver)]);
        assert_eq!((role(&all, "acme"), role(&all, "new")), (Some(Role::Approver), Some(Role::Viewer)));
        assert_eq!(all.only(), None);
        assert_eq!(grants(&[("acme", Role::Admin)]).only().map(Slug::as_str), Some("acme"));
    }

    #[test]
    fn only_an_admin_of_all_of_it_looks_after_access() {
        let acme = grants(&[("acme", Role::Admin)]);
        let everywhere = grants(&[("*", Role::Admin)]);
        let both = grants(&[("acme", Role::Viewer), ("globex", Role::Viewer)]);
        assert!(acme.administer(&grants(&[("acme", Role::Admin)])) && everywhere.administer(&both));
        assert!(everywhere.administer(&everywhere));
        for (who, whom) in [(&acme, &both), (&acme, &everywhere), (&both, &both), (&acme, &Grants::default())]
        {
            assert!(!who.administer(whom), "{who:?} {whom:?}");
        }
    }

    #[test]
    fn roles_are_a_list_on_the_wire() {
        let all = grants(&[("acme", Role::Admin), ("*", Role::Viewer)]);
        let wire = json!([{ "role": "viewer" }, { "workspace": "acme", "role": "admin" }]);
        assert_eq!(serde_json::to_value(&all).unwrap(), wire);
        assert_eq!(serde_json::from_value::<Grants>(wire).unwrap(), all);
    }
}
