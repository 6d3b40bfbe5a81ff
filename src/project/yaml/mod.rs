//! YAML with positions: every key and value knows its byte range in the user's file.
//!
//! [`parse`] makes the tree from parser events, [`Fields`] reads typed values out of it and collects faults. Scalars are
//! resolved as PyYAML does (YAML 1.1: `yes` is true), because dbt projects are written for it; dates stay text.

mod fields;
mod parse;
mod scalar;

use std::{ops::Range, sync::Arc};

pub use fields::{Fields, as_bool, unknown_key, wrong_type};
pub use parse::parse;
use serde_json::{Map, Number, Value as Json};

use crate::diagnostic::{Place, SourceFile};

#[derive(Clone, Debug, PartialEq)]
pub struct Yaml {
    pub range: Range<usize>,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    /// With the text as written: `1.10` as a version is not 1.1.
    Number(Number, String),
    String(String),
    List(Vec<Yaml>),
    Map(Vec<Entry>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub key: String,
    pub key_range: Range<usize>,
    pub value: Yaml,
}

impl Value {
    /// With its article, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Number(..) => "a number",
            Self::String(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

impl Yaml {
    pub fn to_json(&self) -> Json {
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(b) => Json::Bool(*b),
            Value::Number(n, _) => Json::Number(n.clone()),
            Value::String(s) => Json::String(s.clone()),
            Value::List(items) => items.iter().map(Yaml::to_json).collect(),
            Value::Map(entries) => Json::Object(entries.iter().map(|e| (e.key.clone(), e.value.to_json())).collect::<Map<_, _>>()),
        }
    }

    /// A computed value that stands for what was written at `range`.
    pub fn from_json(json: Json, range: Range<usize>) -> Self {
        let value = match json {
            Json::Null => Value::Null,
            Json::Bool(b) => Value::Bool(b),
            Json::Number(n) => {
                let text = n.to_string();
                Value::Number(n, text)
            }
            Json::String(s) => Value::String(s),
            Json::Array(items) => Value::List(items.into_iter().map(|v| Self::from_json(v, range.clone())).collect()),
            Json::Object(map) => Value::Map(
                map.into_iter().map(|(key, v)| Entry { key, key_range: range.clone(), value: Self::from_json(v, range.clone()) }).collect(),
            ),
        };
        Self { range, value }
    }

    /// Replaces every text with a template in it by what `render` makes of it; `None` leaves it. Values of the keys
    /// that `skip` names stay as they are, whole subtrees included.
    pub fn render(&mut self, skip: &[&str], render: &mut dyn FnMut(&str, Range<usize>) -> Option<Json>) {
        match &mut self.value {
            Value::String(text) if has_template(text) => {
                if let Some(json) = render(text, self.range.clone()) {
                    *self = Self::from_json(json, self.range.clone());
                }
            }
            Value::List(items) => items.iter_mut().for_each(|i| i.render(skip, render)),
            Value::Map(entries) => {
                for entry in entries.iter_mut().filter(|e| !skip.contains(&e.key.trim_start_matches('+'))) {
                    entry.value.render(skip, render);
                }
            }
            _ => {}
        }
    }

    /// Visits the value of every key of this name, wherever it stands.
    pub fn each(&mut self, key: &str, visit: &mut dyn FnMut(&mut Yaml)) {
        match &mut self.value {
            Value::List(items) => items.iter_mut().for_each(|i| i.each(key, visit)),
            Value::Map(entries) => {
                for entry in entries {
                    if entry.key == key { visit(&mut entry.value) } else { entry.value.each(key, visit) }
                }
            }
            _ => {}
        }
    }
}

pub fn has_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

/// A value together with the file that it stands in. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    pub file: &'a Arc<SourceFile>,
    pub yaml: &'a Yaml,
}

impl<'a> At<'a> {
    pub fn place(self) -> Place {
        Place::new(self.file, self.yaml.range.clone())
    }

    pub fn with(self, yaml: &'a Yaml) -> Self {
        Self { file: self.file, yaml }
    }

    pub fn entries(self) -> &'a [Entry] {
        match &self.yaml.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    pub fn items(self) -> impl Iterator<Item = At<'a>> {
        let items: &'a [Yaml] = match &self.yaml.value {
            Value::List(items) => items,
            _ => &[],
        };
        items.iter().map(move |i| self.with(i))
    }

    pub fn get(self, key: &str) -> Option<At<'a>> {
        self.entries().iter().find(|e| e.key == key).map(|e| self.with(&e.value))
    }

    /// Scalars as the user wrote them.
    pub fn as_text(self) -> Option<String> {
        match &self.yaml.value {
            Value::String(s) => Some(s.clone()),
            Value::Number(_, text) => Some(text.clone()),
            Value::Bool(b) => Some(b.to_string()),
            _ => None,
        }
    }

    pub fn is_null(self) -> bool {
        self.yaml.value == Value::Null
    }
}
