//! YAML (and with it JSON) as a tree whose every value knows its line. Knows nothing of kinds.

use super::path::Path;
use serde_json::{Map, Number, Value};
use std::collections::HashMap;
use yaml_rust2::parser::{Event, Parser, Tag};
use yaml_rust2::scanner::{Marker, TScalarStyle};

/// How deep values may nest.
const DEPTH_MAX: usize = 64;
/// How many values one file may have, those that aliases repeat included.
const VALUES_MAX: usize = 2_000_000;

/// A value and the line it begins in, from 1.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) content: Content,
}

#[derive(Debug, Clone)]
pub(super) enum Content {
    Scalar(Value),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key with its own line, and its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    line: usize,
    pub(super) value: Node,
}

/// Where a file stops being YAML, and why.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) line: usize,
    pub(super) message: String,
    pub(super) hint: Option<&'static str>,
}

/// The documents of a text, empty ones left out, and what stopped the reading, if anything did.
pub(super) fn read(text: &str) -> (Vec<Node>, Option<Unreadable>) {
    let mut reader = Reader::default();
    let failed = reader.read(text).err();
    match failed {
        // A few things are JSON and not YAML: tabs for indentation, surrogate pairs.
        Some(_) if text.trim_start().starts_with(['{', '[']) => match serde_json::from_str(text) {
            Ok(value) => (vec![Node::flat(value)], None),
            Err(_) => (reader.documents, failed),
        },
        failed => (reader.documents, failed),
    }
}

impl Node {
    /// The value without lines.
    pub(super) fn to_json(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::List(items) => items.iter().map(Node::to_json).collect(),
            Content::Map(entries) => {
                Value::Object(entries.iter().map(|e| (e.key.clone(), e.value.to_json())).collect())
            }
        }
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        match &self.content {
            Content::Map(entries) => entries.iter().find(|e| e.key == key).map(|e| &e.value),
            Content::Scalar(_) | Content::List(_) => None,
        }
    }

    /// The text, where it is one.
    pub(super) fn as_str(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar(value) => value.as_str(),
            Content::List(_) | Content::Map(_) => None,
        }
    }

    /// The line of the field at the path, or of the deepest part of the path that is there.
    pub(super) fn line_of(&self, path: &Path) -> usize {
        let (mut node, mut line) = (self, self.line);
        for step in path.steps() {
            let next = match &node.content {
                Content::Map(entries) => entries.iter().find(|e| e.key == step).map(|e| (&e.value, e.line)),
                Content::List(items) => {
                    step.parse::<usize>().ok().and_then(|n| items.get(n)).map(|item| (item, item.line))
                }
                Content::Scalar(_) => None,
            };
            match next {
                Some((value, at)) => (node, line) = (value, at),
                None => break,
            }
        }
        line
    }

    /// A value of which no lines are known.
    fn flat(value: Value) -> Self {
        let content = match value {
            Value::Array(items) => Content::List(items.into_iter().map(Node::flat).collect()),
            Value::Object(map) => Content::Map(
                map.into_iter()
                    .map(|(key, value)| Entry { key, line: 1, value: Node::flat(value) })
                    .collect(),
            ),
            scalar @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
                Content::Scalar(scalar)
            }
        };
        Self { line: 1, content }
    }

    fn size(&self) -> usize {
        1 + match &self.content {
            Content::Scalar(_) => 0,
            Content::List(items) => items.iter().map(Node::size).sum(),
            Content::Map(entries) => entries.iter().map(|e| e.value.size()).sum(),
        }
    }
}

#[derive(Default)]
struct Reader {
    documents: Vec<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    values: usize,
}

/// A list or map whose end has not come.
struct Open {
    anchor: usize,
    node: Node,
    /// In a map, between key and value.
    key: Option<(String, usize)>,
}

impl Reader {
    fn read(&mut self, text: &str) -> Result<(), Unreadable> {
        let mut parser = Parser::new_from_str(text);
        loop {
            let (event, mark) = parser.next_token().map_err(|error| Unreadable {
                line: error.marker().line(),
                message: format!("this is not YAML: {}", error.info()),
                hint: text.contains('\t').then_some("YAML is indented with spaces, not with tabs"),
            })?;
            match event {
                Event::StreamEnd => return Ok(()),
                Event::DocumentStart => self.anchors.clear(),
                Event::Nothing | Event::StreamStart | Event::DocumentEnd => {}
                Event::Alias(anchor) => self.repeat(anchor, mark)?,
                Event::Scalar(text, style, anchor, tag) => {
                    let content = Content::Scalar(scalar(text, style, tag.as_ref(), mark)?);
                    self.close(Node { line: mark.line(), content }, anchor, mark)?;
                }
                Event::SequenceStart(anchor, _) => self.begin(Content::List(Vec::new()), anchor, mark)?,
                Event::MappingStart(anchor, _) => self.begin(Content::Map(Vec::new()), anchor, mark)?,
                Event::SequenceEnd | Event::MappingEnd => {
                    if let Some(Open { node, anchor, .. }) = self.open.pop() {
                        self.close(node, anchor, mark)?;
                    }
                }
            }
        }
    }

    fn begin(&mut self, content: Content, anchor: usize, mark: Marker) -> Result<(), Unreadable> {
        if self.open.len() >= DEPTH_MAX {
            return Err(at(mark, format!("values are nested deeper than {DEPTH_MAX} levels")));
        }
        self.open.push(Open { anchor, node: Node { line: mark.line(), content }, key: None });
        Ok(())
    }

    fn repeat(&mut self, anchor: usize, mark: Marker) -> Result<(), Unreadable> {
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(at(mark, "an alias names an anchor that is not complete yet"));
        };
        // Counted before it is copied: aliases of aliases grow without bound.
        self.values = self.values.saturating_add(node.size());
        self.bounded(mark)?;
        let node = node.clone();
        self.close(node, 0, mark)
    }

    /// Puts a finished value where it belongs.
    fn close(&mut self, node: Node, anchor: usize, mark: Marker) -> Result<(), Unreadable> {
        self.values += 1;
        self.bounded(mark)?;
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
            self.values = self.values.saturating_add(node.size());
        }
        let Some(open) = self.open.last_mut() else {
            if !matches!(node.content, Content::Scalar(Value::Null)) {
                self.documents.push(node);
            }
            return Ok(());
        };
        match &mut open.node.content {
            Content::List(items) => items.push(node),
            Content::Map(entries) => match open.key.take() {
                Some((key, line)) => entries.push(Entry { key, line, value: node }),
                None => {
                    let key = key_of(&node, mark)?;
                    if entries.iter().any(|e| e.key == key) {
                        return Err(at(mark, format!("`{key}` is there twice")));
                    }
                    open.key = Some((key, node.line));
                }
            },
            Content::Scalar(_) => return Err(at(mark, "a value stands inside a plain value")),
        }
        Ok(())
    }

    fn bounded(&self, mark: Marker) -> Result<(), Unreadable> {
        if self.values > VALUES_MAX {
            return Err(at(mark, format!("more than {VALUES_MAX} values in one file")));
        }
        Ok(())
    }
}

fn at(mark: Marker, message: impl Into<String>) -> Unreadable {
    Unreadable { line: mark.line(), message: message.into(), hint: None }
}

fn key_of(node: &Node, mark: Marker) -> Result<String, Unreadable> {
    match &node.content {
        Content::Scalar(Value::String(text)) => Ok(text.clone()),
        Content::Scalar(value @ (Value::Number(_) | Value::Bool(_))) => Ok(value.to_string()),
        Content::Scalar(_) | Content::List(_) | Content::Map(_) => Err(Unreadable {
            hint: Some("a text that begins with { or [ must be quoted: \"{{ … }}\""),
            ..at(mark, "the key of a map must be a text")
        }),
    }
}

/// What a scalar is: by its tag, else a text when it is quoted, else by the core schema of YAML 1.2.
fn scalar(text: String, style: TScalarStyle, tag: Option<&Tag>, mark: Marker) -> Result<Value, Unreadable> {
    match tag.map(|tag| (tag.handle.as_str(), tag.suffix.as_str())) {
        Some(("tag:yaml.org,2002:" | "!!", "str")) | Some(("!", "")) => return Ok(Value::String(text)),
        Some((handle, suffix)) if handle != "tag:yaml.org,2002:" => {
            return Err(at(mark, format!("the tag {handle}{suffix} means nothing here")));
        }
        Some(_) | None => {}
    }
    if style != TScalarStyle::Plain {
        return Ok(Value::String(text));
    }
    Ok(match text.as_str() {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => number(&text).map_or(Value::String(text), Value::Number),
    })
}

fn number(text: &str) -> Option<Number> {
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok().map(Number::from);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return u64::from_str_radix(digits, 8).ok().map(Number::from);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    // Rust reads `inf`, `nan` and `1_0` differently from YAML: only what looks like a number is asked.
    let looks_so = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.contains(|c: char| c.is_ascii_digit())
        && unsigned.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'));
    if !looks_so {
        return None;
    }
    let whole = text.strip_prefix('+').unwrap_or(text);
    whole
        .parse::<i64>()
        .map(Number::from)
        .or_else(|_| whole.parse::<u64>().map(Number::from))
        .ok()
        .or_else(|| text.parse::<f64>().ok().and_then(Number::from_f64))
}

/// The top-level documents of a node: a list of maps is a list of documents.
pub(super) fn flatten(node: Node) -> Vec<Node> {
    match node.content {
        Content::List(items) => items,
        content @ (Content::Scalar(_) | Content::Map(_)) => vec![Node { content, ..node }],
    }
}

/// The map of a node, without lines.
pub(super) fn object(node: &Node) -> Option<Map<String, Value>> {
    match node.to_json() {
        Value::Object(map) => Some(map),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn values(text: &str) -> Vec<Value> {
        let (nodes, failed) = read(text);
        assert!(failed.is_none(), "{text}: {failed:?}");
        nodes.iter().map(Node::to_json).collect()
    }

    #[test]
    fn scalars_are_what_yaml_1_2_says() {
        for (text, value) in [
            ("1", json!(1)),
            ("-7", json!(-7)),
            ("+7", json!(7)),
            ("1.5", json!(1.5)),
            ("1e3", json!(1000.0)),
            ("0x10", json!(16)),
            ("0o17", json!(15)),
            ("18446744073709551615", json!(u64::MAX)),
            ("true", json!(true)),
            ("yes", json!("yes")),
            ("on", json!("on")),
            ("'1'", json!("1")),
            ("!!str 1", json!("1")),
            ("1_000", json!("1_000")),
            ("1.2.3", json!("1.2.3")),
            ("-", json!([null])),
            (".", json!(".")),
            ("nan", json!("nan")),
            ("2026-01-01", json!("2026-01-01")),
            ("e2", json!("e2")),
            ("{\"a\": [1, \"\\u00e9\", null]}", json!({"a": [1, "é", null]})),
            ("[a, {b: c}]", json!(["a", {"b": "c"}])),
            ("a: |\n  x\n  y\n", json!({"a": "x\ny\n"})),
            ("a: &x {n: 1}\nb: *x\n", json!({"a": {"n": 1}, "b": {"n": 1}})),
            ("{\n\t\"a\":\t\"\\ud83d\\ude00\"\n}", json!({"a": "😀"})),
        ] {
            assert_eq!(values(text), [value], "{text}");
        }
        assert_eq!(values("# nothing\n---\n---\na: 1\n---\n"), [json!({"a": 1})]);
    }

    #[test]
    fn every_field_knows_its_line() {
        let (nodes, _) =
            read("# a\nkind: X\nspec:\n  rules:\n    - a: 1\n    - b:\n        c: 2\n---\nkind: Y\n");
        for (path, line) in [
            ("", 2),
            ("kind", 2),
            ("spec", 3),
            ("spec.rules", 4),
            ("spec.rules[0].a", 5),
            ("spec.rules[1].b", 6),
            ("spec.rules[1].b.c", 7),
            ("spec.rules[1].b.nothing", 6),
            ("nothing.at.all", 2),
        ] {
            assert_eq!(nodes[0].line_of(&path.parse().unwrap()), line, "{path}");
        }
        assert_eq!(nodes[1].line_of(&"kind".parse().unwrap()), 9);
    }

    #[test]
    fn what_is_no_yaml_says_where_and_keeps_what_came_before() {
        for (text, line, message) in [
            ("a: 1\n---\nb: [1\n", 4, "not YAML"),
            ("a: 1\n---\nb: 1\nb: 2\n", 4, "`b` is there twice"),
            ("a: 1\n---\nb: {{ x }}\n", 3, "key of a map"),
            ("a: 1\n---\nb: !secret x\n", 3, "tag"),
        ] {
            let (nodes, failed) = read(text);
            let failed = failed.unwrap_or_else(|| panic!("{text}"));
            assert_eq!((nodes.len(), failed.line), (1, line), "{text}: {}", failed.message);
            assert!(failed.message.contains(message), "{}", failed.message);
        }
    }

    #[test]
    fn depth_and_repetition_are_bounded() {
        let (_, failed) = read(&"[".repeat(100));
        assert!(failed.unwrap().message.contains("nested deeper"));
        for opening in ["[", "{a: ", "- "] {
            let (_, failed) = read(&opening.repeat(50_000));
            assert!(failed.is_some(), "{opening}");
        }
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for n in 1..9 {
            let alias = format!("*a{}, ", n - 1).repeat(10);
            bomb.push_str(&format!("a{n}: &a{n} [{alias}]\n"));
        }
        let (_, failed) = read(&bomb);
        assert!(failed.unwrap().message.contains("values in one file"));
    }
}
