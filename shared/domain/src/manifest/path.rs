//! The path of a field, as people read it: `spec.rules[1].anyApproval.minApprovals`.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

/// Steps from the root: the keys of maps and the numbers of list items.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Path(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Key(String),
    Item(usize),
}

impl Path {
    pub(super) fn key(&self, key: &str) -> Self {
        self.with(Step::Key(key.to_owned()))
    }

    pub(super) fn item(&self, n: usize) -> Self {
        self.with(Step::Item(n))
    }

    /// Every step as text, list items by their number.
    pub(super) fn steps(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|step| match step {
            Step::Key(key) => key.clone(),
            Step::Item(n) => n.to_string(),
        })
    }

    /// The same path below another.
    pub(super) fn steps_under(&self, base: &Self) -> Self {
        Self(base.0.iter().chain(&self.0).cloned().collect())
    }

    /// Whether the other path leads to this one, or is the same.
    pub(super) fn starts_with(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    /// The path without its last step, and that step.
    pub(super) fn split_last(&self) -> Option<(Self, String)> {
        let last = self.steps().last()?;
        Some((Self(self.0[..self.0.len() - 1].to_vec()), last))
    }

    fn with(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, step) in self.0.iter().enumerate() {
            match step {
                Step::Item(item) => write!(f, "[{item}]")?,
                Step::Key(key) if n == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
            }
        }
        Ok(())
    }
}

impl FromStr for Path {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let mut path = Self::default();
        for part in text.split('.').filter(|part| !part.is_empty()) {
            let (key, items) = part.split_once('[').map_or((part, ""), |(key, rest)| (key, rest));
            if !key.is_empty() {
                path = path.key(key);
            }
            for item in items.split('[') {
                if let Ok(n) = item.trim_end_matches(']').parse() {
                    path = path.item(n);
                }
            }
        }
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_back_what_it_prints() {
        for text in ["", "kind", "spec.rules[1].anyApproval.minApprovals", "a[0][2].b"] {
            assert_eq!(text.parse::<Path>().unwrap().to_string(), text);
        }
    }
}
