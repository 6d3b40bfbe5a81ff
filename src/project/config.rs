//! Configuration of nodes: folder trees of `dbt_project.yml`, YAML `config:`, `config()` in the file, merged by dbt's rules.
//!
//! Later wins, but tags and hooks add up and mappings such as `meta` merge (dbt documentation, "Configs and properties").
//! Keys that segue does not know stay in [`NodeConfig::all`] for `config.get(...)` and the manifest.

use indexmap::IndexMap;
use serde_json::{Value as Json, json};

use super::yaml::{At, Value, as_bool};
use crate::{
    diagnostic::{Diagnostic, Diagnostics, Place},
    graph::{Hook, NodeConfig, OnSchemaChange, TestSeverity},
    names::{ResourceType, nearest},
};

/// One key with the place of its value.
#[derive(Clone, Debug)]
pub struct ConfigItem {
    pub key: String,
    pub value: Json,
    pub place: Place,
}

/// Keys that dbt's adapters or segue give a meaning.
pub const KNOWN: &[&str] = &[
    "access",
    "alias",
    "audit",
    "automatic_clustering",
    "batch_size",
    "begin",
    "catalog_name",
    "cluster_by",
    "column_types",
    "concurrent_batches",
    "contract",
    "copy_grants",
    "check_cols",
    "database",
    "delimiter",
    "docs",
    "dbt_valid_to_current",
    "enabled",
    "engine",
    "error_if",
    "event_time",
    "export",
    "fail_calc",
    "file_format",
    "full_refresh",
    "freshness",
    "grants",
    "group",
    "hard_deletes",
    "incremental_predicates",
    "incremental_strategy",
    "invalidate_hard_deletes",
    "limit",
    "loaded_at_field",
    "loaded_at_query",
    "lookback",
    "materialized",
    "merge_exclude_columns",
    "merge_update_columns",
    "meta",
    "on_configuration_change",
    "on_schema_change",
    "packages",
    "partition_by",
    "persist_docs",
    "post-hook",
    "pre-hook",
    "query_tag",
    "quote_columns",
    "quoting",
    "schema",
    "secure",
    "severity",
    "snapshot_meta_column_names",
    "snowflake_warehouse",
    "sql_header",
    "static_analysis",
    "store_failures",
    "store_failures_as",
    "strategy",
    "table_type",
    "tags",
    "target_database",
    "target_lag",
    "target_schema",
    "tmp_relation_type",
    "transient",
    "unique_key",
    "updated_at",
    "volatile",
    "warn_if",
    "where",
];

/// Keys whose values add up or merge instead of replacing each other.
fn merge_value(key: &str, old: &Json, new: Json) -> Json {
    match (key, old, new) {
        ("tags" | "pre-hook" | "post-hook" | "packages", old, new) => {
            let mut all = as_list(old.clone());
            for item in as_list(new) {
                if key != "tags" || !all.contains(&item) {
                    all.push(item);
                }
            }
            Json::Array(all)
        }
        ("meta" | "docs" | "column_types" | "quoting" | "persist_docs" | "contract", Json::Object(old), Json::Object(new)) => {
            let mut all = old.clone();
            all.extend(new);
            Json::Object(all)
        }
        ("grants", Json::Object(old), Json::Object(new)) => {
            let mut all = old.clone();
            for (privilege, grantees) in new {
                match privilege.strip_prefix('+') {
                    Some(name) => {
                        let mut list = all.get(name).cloned().map_or_else(Vec::new, as_list);
                        list.extend(as_list(grantees));
                        all.insert(name.to_owned(), Json::Array(list));
                    }
                    None => drop(all.insert(privilege, Json::Array(as_list(grantees)))),
                }
            }
            Json::Object(all)
        }
        (_, _, new) => new,
    }
}

fn as_list(value: Json) -> Vec<Json> {
    match value {
        Json::Array(items) => items,
        Json::Null => vec![],
        one => vec![one],
    }
}

fn canonical(key: &str) -> &str {
    match key {
        "pre_hook" => "pre-hook",
        "post_hook" => "post-hook",
        other => other,
    }
}

/// Keys merged so far, each with the place of its last value.
#[derive(Clone, Debug, Default)]
pub struct Merged(pub IndexMap<String, (Json, Place)>);

impl Merged {
    pub fn add(&mut self, key: &str, value: Json, place: Place) {
        let key = canonical(key);
        let value = match self.0.get(key) {
            Some((old, _)) => merge_value(key, old, value),
            None if matches!(key, "tags" | "pre-hook" | "post-hook") => Json::Array(as_list(value)),
            None => value,
        };
        self.0.insert(key.to_owned(), (value, place));
    }

    pub fn add_all<'a>(&mut self, items: impl IntoIterator<Item = &'a ConfigItem>) {
        for item in items {
            self.add(&item.key, item.value.clone(), item.place.clone());
        }
    }

    pub fn values(&self) -> IndexMap<String, Json> {
        self.0.iter().map(|(k, (v, _))| (k.clone(), v.clone())).collect()
    }

    pub fn get(&self, key: &str) -> Option<&Json> {
        self.0.get(key).map(|(v, _)| v)
    }

    pub fn is_enabled(&self) -> bool {
        self.get("enabled").and_then(as_bool).unwrap_or(true)
    }

    /// The typed form; values of the wrong type are faults at their places.
    pub fn resolve(&self, kind: ResourceType, faults: &mut Diagnostics) -> NodeConfig {
        let mut read = Read { merged: self, faults };
        let defaults = NodeConfig::default();
        let materialized = match kind {
            ResourceType::Model => "view",
            ResourceType::Seed => "seed",
            ResourceType::Snapshot => "snapshot",
            ResourceType::Test => "test",
            ResourceType::UnitTest => "unit",
            ResourceType::Function => "function",
            _ => "view",
        };
        let mut config = NodeConfig {
            enabled: read.boolean("enabled").unwrap_or(true),
            materialized: read.text("materialized").unwrap_or_else(|| materialized.into()),
            database: read.text("database").or_else(|| read.text("target_database")),
            schema: read.text("schema").or_else(|| read.text("target_schema")),
            alias: read.text("alias"),
            full_refresh: read.boolean("full_refresh"),
            unique_key: read.texts("unique_key"),
            incremental_strategy: read.text("incremental_strategy"),
            on_schema_change: read
                .choice(
                    "on_schema_change",
                    &[
                        ("ignore", OnSchemaChange::Ignore),
                        ("fail", OnSchemaChange::Fail),
                        ("append_new_columns", OnSchemaChange::AppendNewColumns),
                        ("sync_all_columns", OnSchemaChange::SyncAllColumns),
                    ],
                )
                .unwrap_or(OnSchemaChange::Ignore),
            column_types: read.text_map("column_types"),
            pre_hook: read.hooks("pre-hook"),
            post_hook: read.hooks("post-hook"),
            severity: read
                .choice("severity", &[("error", TestSeverity::Error), ("warn", TestSeverity::Warn)])
                .unwrap_or(TestSeverity::Error),
            warn_if: read.text("warn_if").unwrap_or(defaults.warn_if),
            error_if: read.text("error_if").unwrap_or(defaults.error_if),
            fail_calc: read.text("fail_calc").unwrap_or(defaults.fail_calc),
            limit: read.integer("limit"),
            where_: read.text("where"),
            store_failures: read.boolean("store_failures"),
            all: IndexMap::new(),
        };
        for key in ["warn_if", "error_if"] {
            if read.get(key).is_some_and(|(value, _)| value.as_str().is_some_and(|text| !follows_a_number(text))) {
                read.wrong(key, "a condition that follows a number, as in `> 10`");
            }
        }
        if kind == ResourceType::Model {
            read.choice("materialized", &MATERIALIZATIONS.map(|m| (m, ())));
        }
        read.misspelt();
        config.all = self.values();
        config.all.entry("enabled".into()).or_insert(json!(config.enabled));
        config.all.entry("materialized".into()).or_insert(json!(config.materialized));
        config
    }
}

/// Whether a text can stand behind a count of failures. Anything may come later in it; how it begins tells.
fn follows_a_number(text: &str) -> bool {
    const WORDS: [&str; 8] = ["between", "in", "not", "is", "like", "ilike", "and", "or"];
    let text = text.trim();
    let word = text.split(|c: char| !c.is_alphabetic()).next().unwrap_or_default().to_lowercase();
    text.starts_with(['=', '!', '<', '>', '+', '-', '*', '/', '%', ':']) || WORDS.contains(&word.as_str())
}

/// What a model can be; a materialization of the project's own is looked up among its macros by `run/`.
const MATERIALIZATIONS: [&str; 7] = ["table", "view", "ephemeral", "incremental", "materialized_view", "dynamic_table", "test"];

struct Read<'a> {
    merged: &'a Merged,
    faults: &'a mut Diagnostics,
}

impl Read<'_> {
    fn get(&self, key: &str) -> Option<&(Json, Place)> {
        self.merged.0.get(key).filter(|(v, _)| !v.is_null())
    }

    fn wrong(&mut self, key: &str, wanted: &str) {
        let Some((value, place)) = self.get(key).cloned() else { return };
        let message = format!("the config `{key}` must be {wanted}, not `{value}`");
        self.faults.push(Diagnostic::error("project/bad-config", message).at(place, "configured here"));
    }

    fn convert<T>(&mut self, key: &str, wanted: &str, convert: impl Fn(&Json) -> Option<T>) -> Option<T> {
        let (value, _) = self.get(key)?;
        let converted = convert(value);
        if converted.is_none() {
            self.wrong(key, wanted);
        }
        converted
    }

    fn text(&mut self, key: &str) -> Option<String> {
        self.convert(key, "a text", text)
    }

    fn boolean(&mut self, key: &str) -> Option<bool> {
        self.convert(key, "true or false", as_bool)
    }

    fn integer(&mut self, key: &str) -> Option<u64> {
        self.convert(key, "a whole number", |v| v.as_u64().or_else(|| v.as_str()?.trim().parse().ok()))
    }

    fn texts(&mut self, key: &str) -> Vec<String> {
        self.convert(key, "a text or a list of texts", |v| as_list(v.clone()).iter().map(text).collect()).unwrap_or_default()
    }

    fn text_map(&mut self, key: &str) -> IndexMap<String, String> {
        let pairs = |v: &Json| v.as_object()?.iter().map(|(k, v)| Some((k.clone(), text(v)?))).collect();
        self.convert(key, "a mapping of names to texts", pairs).unwrap_or_default()
    }

    fn hooks(&mut self, key: &str) -> Vec<Hook> {
        self.convert(key, "a text, or a list of texts", |v| as_list(v.clone()).iter().map(hook).collect()).unwrap_or_default()
    }

    fn choice<T: Copy>(&mut self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let (value, place) = self.get(key).cloned()?;
        let name = text(&value).unwrap_or_default();
        if let Some((_, choice)) = choices.iter().find(|(c, _)| c.eq_ignore_ascii_case(&name)) {
            return Some(*choice);
        }
        let known = choices.iter().map(|(c, _)| *c);
        let near = nearest(&name, known.clone());
        if key == "materialized" {
            // a materialization that the project brings along is fine: only what looks like a slip is worth a word
            if let Some(near) = near {
                let warning = Diagnostic::warning("project/bad-config", format!("`{name}` is no built-in materialization"));
                self.faults.push(warning.at(place, "configured here").help(format!("did you mean `{near}`?")));
            }
            return None;
        }
        let all = known.collect::<Vec<_>>().join("`, `");
        let fault = Diagnostic::error("project/bad-config", format!("the config `{key}` cannot be `{name}`")).at(place, "configured here");
        self.faults.push(match near {
            Some(near) => fault.help(format!("did you mean `{near}`?")),
            None => fault.help(format!("it is one of `{all}`")),
        });
        None
    }

    /// Own keys are allowed; one letter away from a known key they are more likely a slip.
    fn misspelt(&mut self) {
        for (key, (_, place)) in &self.merged.0 {
            if KNOWN.contains(&key.as_str()) {
                continue;
            }
            let close = KNOWN.iter().find(|k| strsim::damerau_levenshtein(k, key) <= 1 + key.len() / 8 && key.len() > 3);
            if let Some(near) = close {
                let warning = Diagnostic::warning("project/unknown-config", format!("there is no config `{key}`"));
                self.faults.push(warning.at(place.clone(), "kept as a custom config").help(format!("did you mean `{near}`?")));
            }
        }
    }
}

fn text(value: &Json) -> Option<String> {
    match value {
        Json::String(s) => Some(s.clone()),
        Json::Number(n) => Some(n.to_string()),
        Json::Bool(b) => Some(b.to_string()),
        _ => None,
    }
}

/// `"sql"` or `{sql: ..., transaction: false}`, also as JSON text (what `before_begin()` and `after_commit()` give).
pub fn hook(value: &Json) -> Option<Hook> {
    let from_map = |map: &serde_json::Map<String, Json>| {
        Some(Hook { sql: map.get("sql")?.as_str()?.to_owned(), transaction: map.get("transaction").and_then(as_bool).unwrap_or(true) })
    };
    match value {
        Json::String(sql) => match serde_json::from_str::<Json>(sql).ok().as_ref().and_then(Json::as_object) {
            Some(map) if map.contains_key("sql") => from_map(map),
            _ => Some(Hook { sql: sql.clone(), transaction: true }),
        },
        Json::Object(map) => from_map(map),
        _ => None,
    }
}

/// `models:` and its like in `dbt_project.yml`: folders with configuration.
#[derive(Clone, Debug, Default)]
pub struct ConfigTree {
    pub own: Vec<ConfigItem>,
    /// Package, folder or node; with the place of the key.
    pub children: IndexMap<String, (Place, ConfigTree)>,
}

impl ConfigTree {
    /// A key with `+` is configuration; without it a mapping is a folder and anything else configuration, as in dbt.
    pub fn read(at: At<'_>, faults: &mut Diagnostics) -> Self {
        let mut tree = Self::default();
        if !matches!(at.yaml.value, Value::Map(_) | Value::Null) {
            faults.push(super::yaml::wrong_type(at, "this block", "a mapping of folders"));
        }
        for entry in at.entries() {
            let value = at.with(&entry.value);
            let key_place = Place::new(at.file, entry.key_range.clone());
            let bare = entry.key.trim_start_matches('+');
            let is_folder = !entry.key.starts_with('+') && matches!(entry.value.value, Value::Map(_));
            if is_folder {
                tree.children.insert(entry.key.clone(), (key_place, Self::read(value, faults)));
            } else if !value.is_null() {
                tree.own.push(ConfigItem { key: bare.to_owned(), value: entry.value.to_json(), place: value.place() });
            }
        }
        tree
    }

    /// Everything that applies to a node, the most specific last.
    pub fn apply(&self, fqn: &[String], merged: &mut Merged) {
        merged.add_all(&self.own);
        let mut level = self;
        for part in fqn {
            let Some((_, next)) = level.children.get(part) else { break };
            merged.add_all(&next.own);
            level = next;
        }
    }

    /// Folders that no node lies in.
    pub fn unused<'a>(&'a self, used: &dyn Fn(&[&str]) -> bool, path: &mut Vec<&'a str>, found: &mut Vec<(Place, String)>) {
        for (name, (place, child)) in &self.children {
            path.push(name);
            if used(path) {
                child.unused(used, path, found);
            } else {
                found.push((place.clone(), path.join(".")));
            }
            path.pop();
        }
    }
}

/// The entries of a `config:` mapping.
pub fn items(at: At<'_>) -> Vec<ConfigItem> {
    let item = |e: &super::yaml::Entry| ConfigItem {
        key: e.key.trim_start_matches('+').to_owned(),
        value: e.value.to_json(),
        place: Place::new(at.file, e.value.range.clone()),
    };
    at.entries().iter().map(item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        diagnostic::SourceFile,
        project::yaml::{Yaml, parse},
    };

    fn tree(text: &str) -> (std::sync::Arc<SourceFile>, Yaml) {
        let file = SourceFile::new("dbt_project.yml", text);
        let yaml = parse(&file).expect("valid");
        (file, yaml)
    }

    #[test]
    fn the_most_specific_folder_wins_and_tags_add_up() {
        let (file, yaml) = tree(
            "+materialized: view\n+tags: a\nshop:\n  +tags: [b]\n  +meta: {x: 1}\n  marts:\n    materialized: table\n    +tags: [b, c]\n    +meta: {y: 2}\n",
        );
        let mut faults = Diagnostics::default();
        let tree = ConfigTree::read(At { file: &file, yaml: &yaml }, &mut faults);
        for (fqn, expect) in [
            ("other.x", r#"{"materialized":"view","tags":["a"]}"#),
            ("shop.x", r#"{"materialized":"view","tags":["a","b"],"meta":{"x":1}}"#),
            ("shop.marts.x", r#"{"materialized":"table","tags":["a","b","c"],"meta":{"x":1,"y":2}}"#),
        ] {
            let mut merged = Merged::default();
            tree.apply(&fqn.split('.').map(str::to_owned).collect::<Vec<_>>(), &mut merged);
            assert_eq!(serde_json::to_string(&merged.values()).expect("json"), expect);
        }
        assert!(faults.0.is_empty());
    }

    #[test]
    fn wrong_values_are_faults_at_their_places() {
        let (file, yaml) = tree(
            "enabled: maybe\nunique_key: {a: 1}\non_schema_change: sync\nseverity: eror\nlimit: many\nmaterialised: table\nown_key: 1\npre_hook: 'x'\n",
        );
        let mut merged = Merged::default();
        merged.add_all(&items(At { file: &file, yaml: &yaml }));
        let mut faults = Diagnostics::default();
        let config = merged.resolve(ResourceType::Model, &mut faults);
        assert_eq!(config.pre_hook, [Hook { sql: "x".into(), transaction: true }]);
        let mut shown: Vec<String> = faults.0.iter().map(|d| format!("{} {}", d.place.as_ref().expect("placed"), d.message)).collect();
        shown.sort();
        assert_eq!(
            shown,
            [
                "dbt_project.yml:1:10 the config `enabled` must be true or false, not `\"maybe\"`",
                "dbt_project.yml:2:13 the config `unique_key` must be a text or a list of texts, not `{\"a\":1}`",
                "dbt_project.yml:3:19 the config `on_schema_change` cannot be `sync`",
                "dbt_project.yml:4:11 the config `severity` cannot be `eror`",
                "dbt_project.yml:5:8 the config `limit` must be a whole number, not `\"many\"`",
                "dbt_project.yml:6:15 there is no config `materialised`",
            ]
        );
    }
}
