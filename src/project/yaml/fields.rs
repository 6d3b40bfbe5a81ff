//! Typed reading of one mapping: what is asked for is known, everything else is an unknown key.

use indexmap::IndexMap;
use serde_json::Value as Json;

use super::{At, Value};
use crate::{
    diagnostic::{Diagnostic, Diagnostics, Place, Severity},
    names::nearest,
};

/// Reads keys of a mapping and collects faults. A key without a value counts as absent, as in dbt.
pub struct Fields<'a, 'f> {
    pub at: At<'a>,
    /// What the mapping describes, for messages: `a model`.
    what: &'static str,
    asked: Vec<&'static str>,
    pub faults: &'f mut Diagnostics,
}

impl<'a, 'f> Fields<'a, 'f> {
    /// `None`, with a fault, when the value is no mapping; an empty value is an empty mapping.
    pub fn of(at: At<'a>, what: &'static str, faults: &'f mut Diagnostics) -> Option<Self> {
        if !matches!(at.yaml.value, Value::Map(_) | Value::Null) {
            faults.push(wrong_type(at, what, "a mapping"));
            return None;
        }
        Some(Self { at, what, asked: vec![], faults })
    }

    /// The value of a key, whatever it is.
    pub fn take(&mut self, key: &'static str) -> Option<At<'a>> {
        self.asked.push(key);
        self.at.get(key).filter(|v| !v.is_null())
    }

    /// Keys that are fine and not read.
    pub fn accept(&mut self, keys: &[&'static str]) {
        self.asked.extend_from_slice(keys);
    }

    pub fn has(&self, key: &str) -> bool {
        self.at.get(key).is_some_and(|v| !v.is_null())
    }

    /// A text; numbers and booleans are taken as written.
    pub fn string(&mut self, key: &'static str) -> Option<String> {
        let value = self.take(key)?;
        let text = value.as_text();
        if text.is_none() {
            self.wrong(value, key, "a text");
        }
        text
    }

    /// A text that must be there; `None` comes with a fault.
    pub fn required(&mut self, key: &'static str) -> Option<String> {
        if !self.has(key) {
            self.asked.push(key);
            let message = format!("{} has no `{key}`", self.what);
            let place = Place::new(self.at.file, first_line(self.at));
            self.faults.push(Diagnostic::error("project/missing-key", message).at(place, format!("`{key}:` is missing here")));
            return None;
        }
        self.string(key)
    }

    pub fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let value = self.take(key)?;
        match as_bool(&value.yaml.to_json()) {
            Some(b) => Some(b),
            None => {
                self.wrong(value, key, "true or false");
                None
            }
        }
    }

    pub fn integer(&mut self, key: &'static str) -> Option<u64> {
        let value = self.take(key)?;
        let number = value.as_text().and_then(|t| t.trim().parse().ok());
        if number.is_none() {
            self.wrong(value, key, "a whole number");
        }
        number
    }

    /// A list of texts, or one text alone.
    pub fn strings(&mut self, key: &'static str) -> Option<Vec<String>> {
        let value = self.take(key)?;
        if let Some(text) = value.as_text() {
            return Some(vec![text]);
        }
        if !matches!(value.yaml.value, Value::List(_)) {
            self.wrong(value, key, "a text or a list of texts");
            return None;
        }
        let mut all = vec![];
        for item in value.items() {
            match item.as_text() {
                Some(text) => all.push(text),
                None => self.wrong(item, key, "a text"),
            }
        }
        Some(all)
    }

    /// The items of a list; a single mapping or text in its place is a fault.
    pub fn list(&mut self, key: &'static str) -> Vec<At<'a>> {
        let Some(value) = self.take(key) else { return vec![] };
        if !matches!(value.yaml.value, Value::List(_)) {
            self.wrong(value, key, "a list");
        }
        value.items().collect()
    }

    /// A mapping as values without positions.
    pub fn mapping(&mut self, key: &'static str) -> IndexMap<String, Json> {
        let Some(value) = self.map_at(key) else { return IndexMap::new() };
        value.entries().iter().map(|e| (e.key.clone(), e.value.to_json())).collect()
    }

    pub fn map_at(&mut self, key: &'static str) -> Option<At<'a>> {
        let value = self.take(key)?;
        if matches!(value.yaml.value, Value::Map(_)) {
            return Some(value);
        }
        self.wrong(value, key, "a mapping");
        None
    }

    pub fn wrong(&mut self, value: At<'a>, key: &str, wanted: &str) {
        self.faults.push(wrong_type(value, &format!("`{key}`"), wanted));
    }

    /// Every key that nobody asked for is a warning with the nearest known one.
    pub fn finish(self) {
        self.finish_with(&|_| None);
    }

    /// The same; `hint` knows better help for some keys.
    pub fn finish_with(self, hint: &dyn Fn(&str) -> Option<String>) {
        for entry in self.at.entries().iter().filter(|e| !self.asked.contains(&e.key.as_str())) {
            let place = Place::new(self.at.file, entry.key_range.clone());
            let mut fault = unknown_key(&entry.key, self.what, place, self.asked.iter().copied(), Severity::Warning);
            fault.help = hint(&entry.key).or(fault.help);
            self.faults.push(fault);
        }
    }
}

/// Booleans as YAML and templates give them.
pub fn as_bool(json: &Json) -> Option<bool> {
    match json {
        Json::Bool(b) => Some(*b),
        Json::String(s) => match s.trim().to_lowercase().as_str() {
            "true" | "yes" | "on" => Some(true),
            "false" | "no" | "off" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

pub fn unknown_key<'a>(key: &str, what: &str, place: Place, known: impl IntoIterator<Item = &'a str>, severity: Severity) -> Diagnostic {
    let message = format!("{what} has no key `{key}`");
    let fault = Diagnostic { severity, ..Diagnostic::error("project/unknown-key", message).at(place, "unknown key, ignored") };
    match nearest(key, known) {
        Some(near) => fault.help(format!("did you mean `{near}`?")),
        None => fault,
    }
}

pub fn wrong_type(value: At<'_>, what: &str, wanted: &str) -> Diagnostic {
    let found = value.yaml.value.kind();
    Diagnostic::error("project/wrong-type", format!("{what} must be {wanted}, not {found}"))
        .at(Place::new(value.file, first_line(value)), format!("this is {found}"))
}

fn first_line(value: At<'_>) -> std::ops::Range<usize> {
    let range = value.yaml.range.clone();
    let text = value.file.text.get(range.clone()).unwrap_or("");
    range.start..range.start + text.lines().next().unwrap_or("").trim_end().len()
}
