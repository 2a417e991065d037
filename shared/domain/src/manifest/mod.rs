//! Manifests: the catalog as people write it in files. Reads multi-document YAML (and so JSON), finds names' ids,
//! checks everything that can be checked without the catalog, and says of each mistake where it stands.

mod convert;
mod locate;
mod read;
mod suggest;
mod validate;

#[cfg(test)]
mod tests;

pub use convert::to_manifest;
pub use read::read;
pub use validate::{Fault, validate};

use crate::entity::Entity;
use locate::Lines;

/// A file of manifests.
#[derive(Debug, Clone, Copy)]
pub struct File<'a> {
    /// Its name, for messages.
    pub name: &'a str,
    /// Its text.
    pub text: &'a str,
}

/// One document: an entity, and where it stands.
#[derive(Debug, Clone)]
pub struct Document {
    /// The file.
    pub file: String,
    /// Which document of the file, from 1.
    pub document: usize,
    /// The line on which it begins, from 1.
    pub line: usize,
    /// What it declares.
    pub entity: Entity,
    lines: Lines,
}

impl Document {
    /// The line of a field, or of the nearest thing around it that is there.
    pub fn line_of(&self, field: &str) -> usize {
        self.lines.of(field)
    }
}

/// A mistake in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// Which document of the file, from 1.
    pub document: usize,
    /// The line, from 1.
    pub line: usize,
    /// The field, as in `spec.rules[1].anyApproval.minApprovals`; empty where it is about the whole document.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What may have been meant.
    pub hint: Option<String>,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: ", self.file, self.line)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}
