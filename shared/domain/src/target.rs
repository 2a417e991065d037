//! Release targets and releases: a deployment in an environment on a resource, and what runs there.

use crate::id::{DeploymentId, EnvironmentId, ReleaseId, ResourceId, VersionId, derive};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use uuid::Uuid;

/// The length of a uuid in its usual form.
const UUID: usize = 36;

/// Deployment × environment × resource, within one workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetKey {
    /// What.
    pub deployment: DeploymentId,
    /// Where.
    pub environment: EnvironmentId,
    /// On what.
    pub resource: ResourceId,
}

impl TargetKey {
    /// No target: that of a workflow's job, which brings nothing anywhere. It is not written.
    pub const NONE: Self = Self {
        deployment: DeploymentId(Uuid::nil()),
        environment: EnvironmentId(Uuid::nil()),
        resource: ResourceId(Uuid::nil()),
    };

    pub(crate) fn none() -> Self {
        Self::NONE
    }

    /// Whether there is no target.
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }
}

impl fmt::Display for TargetKey {
    /// `resource-environment-deployment`, the form the HTTP API names a target by.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.resource, self.environment, self.deployment)
    }
}

/// Why a string is not a target key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a release target is named resourceId-environmentId-deploymentId, three uuids")]
pub struct TargetKeyError;

impl std::str::FromStr for TargetKey {
    type Err = TargetKeyError;

    fn from_str(text: &str) -> Result<Self, TargetKeyError> {
        let part = |n: usize| text.get(n * (UUID + 1)..n * (UUID + 1) + UUID).ok_or(TargetKeyError);
        let whole = text.len() == 3 * UUID + 2
            && [UUID, 2 * UUID + 1].iter().all(|at| text.as_bytes().get(*at) == Some(&b'-'));
        if !whole {
            return Err(TargetKeyError);
        }
        Ok(Self {
            resource: part(0)?.parse().map_err(|_| TargetKeyError)?,
            environment: part(1)?.parse().map_err(|_| TargetKeyError)?,
            deployment: part(2)?.parse().map_err(|_| TargetKeyError)?,
        })
    }
}

/// Resolved variables of a release, by key.
pub type Variables = BTreeMap<String, Value>;

/// The release of a version with its variables on a target: same content, same release.
pub fn release_id(target: &TargetKey, version: VersionId, variables: &Variables) -> ReleaseId {
    let variables = match variables.is_empty() {
        true => "{}".into(),
        false => Cow::from(serde_json::to_string(variables).expect("a map of JSON values is JSON")),
    };
    let mut place = [b'-'; 3 * UUID + 2];
    for (n, id) in [target.resource.0, target.environment.0, target.deployment.0].iter().enumerate() {
        id.hyphenated().encode_lower(&mut place[n * (UUID + 1)..]);
    }
    let place = str::from_utf8(&place).expect("digits and hyphens");
    let mut buffer = [0; UUID];
    let version = version.0.hyphenated().encode_lower(&mut buffer);
    ReleaseId(derive(&["release", place, version, &variables]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_named_by_target_version_and_variables() {
        let id = |name: &str| derive(&[name]);
        let (deployment, environment) = (DeploymentId(id("d")), EnvironmentId(id("e")));
        let target = TargetKey { deployment, environment, resource: ResourceId(id("r")) };
        let version = VersionId(id("v"));
        let expected = derive(&["release", &target.to_string(), &version.to_string(), r#"{"a":1}"#]);
        let variables = Variables::from([("a".to_owned(), Value::from(1))]);
        assert_eq!(release_id(&target, version, &variables), ReleaseId(expected));
    }

    #[test]
    fn a_key_reads_back_what_it_prints() {
        let key = TargetKey {
            deployment: DeploymentId(derive(&["d"])),
            environment: EnvironmentId(derive(&["e"])),
            resource: ResourceId(derive(&["r"])),
        };
        assert_eq!(key.to_string().parse::<TargetKey>(), Ok(key));
        for bad in ["", "a-b-c", &key.to_string()[1..], &key.to_string().replace('-', "_"), "é"] {
            assert_eq!(bad.parse::<TargetKey>(), Err(TargetKeyError), "{bad:?}");
        }
    }
}
