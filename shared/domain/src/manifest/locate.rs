//! On which line a field stands.

use marked_yaml::Node;
use std::collections::BTreeMap;

/// The lines of all fields of one document, counted from the beginning of its file.
#[derive(Debug, Clone, Default)]
pub(super) struct Lines {
    first: usize,
    fields: BTreeMap<String, usize>,
}

impl Lines {
    /// The lines of a document whose text begins on line `first` of its file. A document that cannot be walked has
    /// only its first line.
    pub(super) fn new(text: &str, first: usize) -> Self {
        let mut lines = Self { first, fields: BTreeMap::new() };
        if let Ok(root) = marked_yaml::parse_yaml(0, text) {
            lines.walk(&root, "");
        }
        lines
    }

    /// The line of the field, or of the nearest thing around it.
    pub(super) fn of(&self, field: &str) -> usize {
        let mut path = field;
        loop {
            if let Some(line) = self.fields.get(path) {
                return *line;
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => return self.first,
            }
        }
    }

    fn walk(&mut self, node: &Node, path: &str) {
        match node {
            Node::Mapping(mapping) => {
                for (key, value) in mapping.iter() {
                    let field = if path.is_empty() {
                        key.as_str().to_owned()
                    } else {
                        format!("{path}.{}", key.as_str())
                    };
                    if let Some(marker) = key.span().start() {
                        self.fields.insert(field.clone(), self.first + marker.line().saturating_sub(1));
                    }
                    self.walk(value, &field);
                }
            }
            Node::Sequence(items) => {
                for (n, item) in items.iter().enumerate() {
                    let field = format!("{path}[{n}]");
                    if let Some(marker) = item.span().start() {
                        self.fields.insert(field.clone(), self.first + marker.line().saturating_sub(1));
                    }
                    self.walk(item, &field);
                }
            }
            Node::Scalar(_) => {}
        }
    }
}
