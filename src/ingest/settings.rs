//! The `adapter:` mapping of a source to typed settings. Collects every fault of the mapping instead of stopping at
//! the first; knows which keys were asked for, so that the others are reported with the nearest known one.
//!
//! Does not know what the settings mean: each adapter reads its own.

use std::{cell::RefCell, collections::BTreeSet};

use serde_json::Value as Json;

use crate::{
    diagnostic::{Diagnostic, Diagnostics, Place},
    graph::AdapterConfig,
    names::nearest,
};

/// A view of one adapter's configuration. Reading a key makes it known.
pub struct Settings<'a> {
    config: &'a AdapterConfig,
    known: RefCell<BTreeSet<&'static str>>,
    faults: RefCell<Diagnostics>,
    /// Given keys that were told as what a missing one was meant to be.
    misspelt: RefCell<BTreeSet<String>>,
}

impl<'a> Settings<'a> {
    pub fn new(config: &'a AdapterConfig) -> Self {
        Self { config, known: RefCell::default(), faults: RefCell::default(), misspelt: RefCell::default() }
    }

    /// The value, `None` where it is absent, null or empty: a template such as `"{{ var('chart_replay', none) }}"`
    /// renders to an empty text or to `None` when the variable is not set.
    pub fn value(&self, key: &'static str) -> Option<&'a Json> {
        self.known.borrow_mut().insert(key);
        self.config.settings.get(key).filter(|v| match v {
            Json::Null => false,
            Json::String(text) => !matches!(text.trim(), "" | "None"),
            _ => true,
        })
    }

    pub fn text(&self, key: &'static str) -> Option<String> {
        match self.value(key)? {
            Json::String(text) => Some(text.clone()),
            // an app version `6.5` or an id `20151` reads as a number in YAML
            Json::Number(number) => Some(number.to_string()),
            other => self.wrong(key, "a text", other),
        }
    }

    pub fn required_text(&self, key: &'static str, help: &str) -> String {
        let text = self.text(key);
        if text.is_none() && self.config.settings.get(key).is_none_or(|v| v.is_null() || v.is_string()) {
            let message = format!("the `{}` adapter needs the setting `{key}`", self.config.type_);
            let fault = Diagnostic::error("ingest/missing-setting", message);
            let written = self.config.settings.keys().find(|given| given.as_str() != key && nearest(given, [key]).is_some());
            let known = self.known.borrow();
            self.fault(match written.filter(|given| !known.contains(given.as_str())) {
                Some(given) => {
                    self.misspelt.borrow_mut().insert(given.clone());
                    fault.at(self.place_of(given), "").help(format!("did you mean `{key}` here?"))
                }
                None => fault.at(self.place_of(key), "").help(help),
            });
        }
        text.unwrap_or_default()
    }

    pub fn flag(&self, key: &'static str) -> Option<bool> {
        match self.value(key)? {
            Json::Bool(flag) => Some(*flag),
            Json::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Json::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
            other => self.wrong(key, "true or false", other),
        }
    }

    /// A number that is at least `least`.
    pub fn number(&self, key: &'static str, least: f64) -> Option<f64> {
        let value = self.value(key)?;
        let number = match value {
            Json::Number(number) => number.as_f64(),
            Json::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        match number.filter(|n| n.is_finite() && *n >= least) {
            Some(number) => Some(number),
            None => self.wrong(key, &format!("a number of at least {least}"), value),
        }
    }

    /// A whole number that is at least `least`.
    pub fn integer(&self, key: &'static str, least: u64) -> Option<u64> {
        let value = self.value(key)?;
        let number = match value {
            Json::Number(number) => number.as_u64(),
            Json::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        match number.filter(|n| *n >= least) {
            Some(number) => Some(number),
            None => self.wrong(key, &format!("a whole number of at least {least}"), value),
        }
    }

    /// A list of texts; a single text is a list of one.
    pub fn list(&self, key: &'static str) -> Option<Vec<String>> {
        let value = self.value(key)?;
        match value {
            Json::String(text) => Some(vec![text.clone()]),
            Json::Array(items) => match items.iter().map(|i| i.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>() {
                Some(items) => Some(items),
                None => self.wrong(key, "a list of texts", value),
            },
            _ => self.wrong(key, "a list of texts", value),
        }
    }

    /// Name and text pairs in the order of the file; a list of names gives `default` for each.
    pub fn mapping(&self, key: &'static str, default: &str) -> Option<Vec<(String, String)>> {
        let value = self.value(key)?;
        let pairs = match value {
            Json::Object(map) => map.iter().map(|(k, v)| v.as_str().map(|v| (k.clone(), v.to_owned()))).collect::<Option<Vec<_>>>(),
            Json::Array(items) => items.iter().map(|i| i.as_str().map(|i| (i.to_owned(), default.to_owned()))).collect(),
            _ => None,
        };
        if pairs.is_none() {
            return self.wrong(key, "a mapping of names to types", value);
        }
        pairs
    }

    /// One of a closed set of words.
    pub fn choice<T: Copy>(&self, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let found = choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(text.trim())).map(|(_, value)| *value);
        if found.is_none() {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            let help = match nearest(&text, names.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("one of {}", quoted(&names)),
            };
            self.fault(
                Diagnostic::error("ingest/unknown-value", format!("`{key}` cannot be `{text}`")).at(self.place_of(key), "").help(help),
            );
        }
        found
    }

    pub fn date(&self, key: &'static str) -> Option<chrono::NaiveDate> {
        let text = self.text(key)?;
        match text.trim().parse() {
            Ok(date) => Some(date),
            Err(_) => self.wrong(key, "a date such as `2025-02-27`", &Json::String(text)),
        }
    }

    pub fn fault(&self, diagnostic: Diagnostic) {
        self.faults.borrow_mut().push(diagnostic);
    }

    pub fn wrong<T>(&self, key: &str, wanted: &str, got: &Json) -> Option<T> {
        self.fault(
            Diagnostic::error("ingest/wrong-type", format!("`{key}` must be {wanted}, not `{got}`")).at(self.place_of(key), "given here"),
        );
        None
    }

    /// All that was given, and where.
    pub fn given(&self) -> (&indexmap::IndexMap<String, Json>, &Place) {
        (&self.config.settings, &self.config.place)
    }

    /// The key in the user's file when it can be found inside the mapping, else the whole mapping.
    pub fn place_of(&self, key: &str) -> Place {
        let whole = &self.config.place;
        let within = whole.range.start..whole.range.end.min(whole.file.text.len());
        let Some(text) = whole.file.text.get(within) else { return whole.clone() };
        let found = text.match_indices(key).find(|(at, _)| {
            let before = text[..*at].chars().next_back();
            before.is_none_or(|c| c.is_whitespace() || "{,\"'".contains(c))
                && text[at + key.len()..].trim_start_matches(['"', '\'', ' ']).starts_with(':')
        });
        match found {
            Some((at, _)) => Place::new(&whole.file, whole.range.start + at..whole.range.start + at + key.len()),
            None => whole.clone(),
        }
    }

    /// All faults, those of unknown keys included.
    pub fn finish<T>(self, value: T) -> Result<T, Diagnostics> {
        let known = self.known.borrow();
        for key in self.config.settings.keys().filter(|key| !known.contains(key.as_str()) && !self.misspelt.borrow().contains(*key)) {
            let help = match nearest(key, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("it knows {}", quoted(&known.iter().copied().collect::<Vec<_>>())),
            };
            self.faults.borrow_mut().push(
                Diagnostic::error("ingest/unknown-setting", format!("the `{}` adapter has no setting `{key}`", self.config.type_))
                    .at(self.place_of(key), "not known")
                    .help(help),
            );
        }
        drop(known);
        let faults = self.faults.into_inner();
        if faults.has_errors() { Err(faults) } else { Ok(value) }
    }
}

/// `` `a`, `b` ``
pub fn quoted<S: AsRef<str>>(names: &[S]) -> String {
    names.iter().map(|n| format!("`{}`", n.as_ref())).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
pub mod tests {
    use serde_json::json;

    use super::*;
    use crate::diagnostic::SourceFile;

    /// A configuration as the project stage hands it over; the YAML text is for the places only.
    pub fn config(type_: &str, settings: Json) -> AdapterConfig {
        let settings = match settings {
            Json::Object(map) => map.into_iter().collect(),
            _ => Default::default(),
        };
        let file = SourceFile::new("sources.yml", serde_yaml_ng::to_string(&settings).unwrap_or_default());
        let place = Place::new(&file, 0..file.text.len());
        AdapterConfig { type_: type_.into(), settings, input: None, place }
    }

    /// With an `input:`.
    pub fn lookup_config(type_: &str, settings: Json) -> AdapterConfig {
        AdapterConfig { input: Some(crate::names::NodeId::new("model.p.keys")), ..config(type_, settings) }
    }

    #[test]
    fn every_fault_is_reported_at_its_key() {
        let config = config("chart", json!({"provider": "melon", "retries": "many", "time_out_s": 3, "replay": "", "flag": 1}));
        let settings = Settings::new(&config);
        assert_eq!(settings.text("provider").as_deref(), Some("melon"));
        assert_eq!(settings.integer("retries", 0), None);
        assert_eq!(settings.number("timeout_s", 0.0), None);
        assert_eq!(settings.text("replay"), None);
        assert_eq!(settings.flag("flag"), None);
        assert_eq!(settings.required_text("base_url", "say where"), "");
        let faults = settings.finish(()).expect_err("faulty").0;
        let shown: Vec<String> = faults
            .iter()
            .map(|d| format!("{} {} {}", d.code, d.message, d.place.as_ref().map(ToString::to_string).unwrap_or_default()))
            .collect();
        assert_eq!(
            shown,
            [
                "ingest/wrong-type `retries` must be a whole number of at least 0, not `\"many\"` sources.yml:2:1",
                "ingest/wrong-type `flag` must be true or false, not `1` sources.yml:5:1",
                "ingest/missing-setting the `chart` adapter needs the setting `base_url` sources.yml:1:1",
                "ingest/unknown-setting the `chart` adapter has no setting `time_out_s` sources.yml:3:1",
            ]
        );
        assert_eq!(faults[3].help.as_deref(), Some("did you mean `timeout_s`?"));
    }
}
