//! Variables: which value each has on a target, and what a value means. Pure; a secret stays a name.

mod form;
mod relation;
mod resolver;

pub use form::secret_of;
pub use resolver::Resolver;

use crate::catalog::WorkspaceCatalog;
use crate::target::{TargetKey, Variables};

/// Why a variable has no value here; a sentence for people. The target is blocked by it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct VariableError(pub String);

/// The variables of a deployment on a target. Who asks for many targets keeps a [`Resolver`].
///
/// # Errors
/// As [`Resolver::resolve`].
pub fn resolve(ws: &WorkspaceCatalog, target: &TargetKey) -> Result<Variables, VariableError> {
    Resolver::of(ws, target.deployment).resolve(target)
}

#[cfg(test)]
mod tests;
