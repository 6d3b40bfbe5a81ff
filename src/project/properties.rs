//! YAML properties files: what they say of models, sources, seeds, tests and the rest, as written and with places.
//!
//! Nothing is bound to nodes here, and no name is looked up.

use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::Value as Json;

use super::{
    config::{self, ConfigItem},
    project_file::Quoting,
    yaml::{At, Fields, Value, Yaml},
};
use crate::{
    diagnostic::{Diagnostic, Diagnostics, Place, SourceFile},
    graph::Column,
    names::{ResourceType, nearest},
};

/// Keys whose texts are templates for later: documentation, test arguments, hooks, and adapters, which may read secrets.
pub const UNRENDERED: &[&str] = &[
    "description",
    "tests",
    "data_tests",
    "unit_tests",
    "pre-hook",
    "post-hook",
    "pre_hook",
    "post_hook",
    "input",
    "loaded_at_query",
    "relation",
    "depends_on",
    "overrides",
    "given",
    "expect",
    "adapter",
];

/// Everything in one file.
#[derive(Clone, Debug, Default)]
pub struct Properties {
    pub nodes: Vec<NodeProperties>,
    pub sources: Vec<SourceProperties>,
    pub macros: Vec<MacroProperties>,
    pub exposures: Vec<ExposureProperties>,
    pub unit_tests: Vec<UnitTestProperties>,
    pub groups: Vec<(String, Json)>,
    /// Entries of dbt's semantic layer: their key, name and text.
    pub semantic: Vec<(&'static str, String, Json)>,
}

/// A model, seed, snapshot, analysis or singular test.
#[derive(Clone, Debug)]
pub struct NodeProperties {
    pub kind: ResourceType,
    pub name: String,
    /// The name in the file.
    pub place: Place,
    pub description: Text,
    pub columns: Vec<ColumnProperties>,
    pub tests: Vec<TestProperties>,
    pub config: Vec<ConfigItem>,
    pub extra: IndexMap<String, Json>,
    /// Of a snapshot that YAML alone defines: what it selects from.
    pub relation: Option<(String, Place)>,
}

/// A text that may hold `{{ doc('...') }}`.
#[derive(Clone, Debug, Default)]
pub struct Text {
    pub text: String,
    pub place: Option<Place>,
}

#[derive(Clone, Debug)]
pub struct ColumnProperties {
    pub column: Column,
    pub description: Text,
    pub tests: Vec<TestProperties>,
}

/// A generic test as declared on a node or a column.
#[derive(Clone, Debug)]
pub struct TestProperties {
    /// `not_null`, `package.name`.
    pub name: String,
    pub custom_name: Option<String>,
    pub arguments: IndexMap<String, Json>,
    pub config: Vec<ConfigItem>,
    pub description: Text,
    pub place: Place,
}

#[derive(Clone, Debug)]
pub struct SourceProperties {
    pub name: String,
    pub place: Place,
    pub file: Arc<SourceFile>,
    pub database: Option<String>,
    pub schema: Option<String>,
    pub loader: String,
    pub description: Text,
    pub config: Vec<ConfigItem>,
    pub quoting: Quoting,
    pub loaded_at_field: Option<String>,
    pub freshness: Option<Json>,
    pub tables: Vec<TableProperties>,
    pub extra: IndexMap<String, Json>,
}

#[derive(Clone, Debug)]
pub struct TableProperties {
    pub name: String,
    pub place: Place,
    pub identifier: Option<String>,
    pub description: Text,
    pub config: Vec<ConfigItem>,
    pub quoting: Quoting,
    pub loader: Option<String>,
    pub loaded_at_field: Option<String>,
    pub freshness: Option<Json>,
    pub adapter: Option<AdapterProperties>,
    pub columns: Vec<ColumnProperties>,
    pub tests: Vec<TestProperties>,
    pub extra: IndexMap<String, Json>,
}

#[derive(Clone, Debug)]
pub struct AdapterProperties {
    pub type_: String,
    pub settings: IndexMap<String, Json>,
    pub input: Option<(String, Place)>,
    pub place: Place,
}

#[derive(Clone, Debug)]
pub struct MacroProperties {
    pub name: String,
    pub place: Place,
    pub description: Text,
    /// `arguments`, `meta`, `docs`.
    pub extra: IndexMap<String, Json>,
}

#[derive(Clone, Debug)]
pub struct ExposureProperties {
    pub name: String,
    pub place: Place,
    pub file: Arc<SourceFile>,
    pub description: Text,
    /// `ref('x')`, `source('a', 'b')`.
    pub depends_on: Vec<(String, Place)>,
    pub config: Vec<ConfigItem>,
    pub extra: IndexMap<String, Json>,
}

#[derive(Clone, Debug)]
pub struct UnitTestProperties {
    pub name: String,
    pub place: Place,
    pub file: Arc<SourceFile>,
    pub model: String,
    pub model_place: Place,
    pub description: Text,
    pub config: Vec<ConfigItem>,
    /// `given`, `expect`, `overrides` as written.
    pub extra: IndexMap<String, Json>,
}

/// Adapters that sources may have.
pub const ADAPTERS: [&str; 7] = ["chart", "simulate", "spotify_api", "lastfm", "file", "s3", "kafka"];

/// Arguments of `config:` that a test may also carry beside its own arguments.
const TEST_CONFIG: [&str; 15] = [
    "severity",
    "tags",
    "enabled",
    "where",
    "limit",
    "warn_if",
    "error_if",
    "fail_calc",
    "store_failures",
    "store_failures_as",
    "meta",
    "database",
    "schema",
    "alias",
    "materialized",
];

/// dbt's semantic layer: carried to the manifest.
pub const SEMANTIC: [&str; 3] = ["semantic_models", "metrics", "saved_queries"];

impl Properties {
    pub fn read(file: &Arc<SourceFile>, yaml: &Yaml, faults: &mut Diagnostics) -> Self {
        let mut found = Self::default();
        let Some(mut fields) = Fields::of(At { file, yaml }, "a properties file", faults) else { return found };
        fields.accept(&["version", "anchors"]);
        for (key, what, kind) in [
            ("models", "a model", ResourceType::Model),
            ("seeds", "a seed", ResourceType::Seed),
            ("snapshots", "a snapshot", ResourceType::Snapshot),
            ("analyses", "an analysis", ResourceType::Analysis),
            ("data_tests", "a data test", ResourceType::Test),
            ("tests", "a data test", ResourceType::Test),
            ("functions", "a function", ResourceType::Function),
        ] {
            for item in fields.list(key) {
                found.nodes.extend(node(kind, what, item, fields.faults));
            }
        }
        for item in fields.list("sources") {
            found.sources.extend(source(item, fields.faults));
        }
        for item in fields.list("macros") {
            found.macros.extend(macro_(item, fields.faults));
        }
        for item in fields.list("exposures") {
            found.exposures.extend(exposure(item, fields.faults));
        }
        for item in fields.list("unit_tests") {
            found.unit_tests.extend(unit_test(item, fields.faults));
        }
        for item in fields.list("groups") {
            let Some(mut group) = Fields::of(item, "a group", fields.faults) else { continue };
            group.accept(&["owner", "description", "config"]);
            if let Some(name) = group.required("name") {
                found.groups.push((name, item.yaml.to_json()));
            }
            group.finish();
        }
        for key in SEMANTIC {
            for item in fields.list(key) {
                let Some(mut entry) = Fields::of(item, "an entry of the semantic layer", fields.faults) else { continue };
                if let Some(name) = entry.required("name") {
                    found.semantic.push((key, name, item.yaml.to_json()));
                }
            }
        }
        fields.finish();
        found
    }
}

fn node(kind: ResourceType, what: &'static str, at: At<'_>, faults: &mut Diagnostics) -> Option<NodeProperties> {
    let mut fields = Fields::of(at, what, faults)?;
    let (name, place) = name(&mut fields)?;
    let mut config = config_items(&mut fields);
    entry_configs(&mut fields, &mut config);
    let mut tests = vec![];
    let mut columns = vec![];
    if kind != ResourceType::Test {
        tests = node_tests(&mut fields);
        columns = read_columns(&mut fields);
    }
    let relation =
        if kind == ResourceType::Snapshot { fields.string("relation").and_then(|r| Some((r, at.get("relation")?.place()))) } else { None };
    let mut extra = IndexMap::new();
    keep(
        &mut fields,
        &[
            "group",
            "access",
            "latest_version",
            "versions",
            "constraints",
            "deprecation_date",
            "primary_key",
            "time_spine",
            "quote_columns",
            "data_type",
            "arguments",
            "returns",
        ],
        &mut extra,
    );
    let description = description(&mut fields);
    finish(fields);
    Some(NodeProperties { kind, name, place, description, columns, tests, config, extra, relation })
}

/// Keys that are configuration and may stand beside the name.
fn entry_configs(fields: &mut Fields<'_, '_>, config: &mut Vec<ConfigItem>) {
    for key in ["meta", "tags", "docs", "enabled", "export"] {
        if let Some(value) = fields.take(key) {
            config.push(ConfigItem { key: key.into(), value: value.yaml.to_json(), place: value.place() });
        }
    }
}

fn config_items(fields: &mut Fields<'_, '_>) -> Vec<ConfigItem> {
    fields.map_at("config").map_or_else(Vec::new, config::items)
}

fn keep(fields: &mut Fields<'_, '_>, keys: &[&'static str], extra: &mut IndexMap<String, Json>) {
    for key in keys {
        if let Some(value) = fields.take(key) {
            extra.insert((*key).to_owned(), value.yaml.to_json());
        }
    }
}

/// Unknown keys become warnings; one that is a config key is told where it belongs.
fn finish(fields: Fields<'_, '_>) {
    let has_config = fields.has("config");
    fields.finish_with(&|key| {
        let place = if has_config { "the entry's `config:`" } else { "a `config:` of the entry" };
        config::KNOWN.contains(&key.trim_start_matches('+')).then(|| format!("`{key}` is configuration: put it under {place}"))
    });
}

fn name(fields: &mut Fields<'_, '_>) -> Option<(String, Place)> {
    let name = fields.required("name")?;
    let place = fields.at.get("name").map_or_else(|| fields.at.place(), At::place);
    Some((name, place))
}

fn description(fields: &mut Fields<'_, '_>) -> Text {
    let place = fields.at.get("description").map(At::place);
    Text { text: fields.string("description").unwrap_or_default(), place }
}

/// Test lists of a node or a column: `data_tests:` and its old name `tests:`.
fn node_tests(fields: &mut Fields<'_, '_>) -> Vec<TestProperties> {
    let mut items = fields.list("data_tests");
    items.extend(fields.list("tests"));
    items.into_iter().filter_map(|item| test(item, fields.faults)).collect()
}

/// `not_null`, `{accepted_values: {values: [...]}}` or `{name: ..., test_name: accepted_values, values: [...]}`.
fn test(at: At<'_>, faults: &mut Diagnostics) -> Option<TestProperties> {
    let empty = |name: String, place| TestProperties {
        name,
        custom_name: None,
        arguments: IndexMap::new(),
        config: vec![],
        description: Text::default(),
        place,
    };
    let bad = |message: String, place: Place| {
        Diagnostic::error("project/bad-test", message)
            .at(place, "not a data test")
            .help("write `- not_null` or `- accepted_values: {values: [a, b]}`")
    };
    match &at.yaml.value {
        Value::String(name) => Some(empty(name.clone(), at.place())),
        Value::Map(entries) if at.get("test_name").is_some() => {
            let name = at.get("test_name").and_then(At::as_text)?;
            let mut test = empty(name, at.place());
            for entry in entries.iter().filter(|e| e.key != "test_name") {
                test_entry(&mut test, &entry.key, at.with(&entry.value), faults);
            }
            Some(test)
        }
        Value::Map(entries) => match &entries[..] {
            [entry] => {
                let mut test = empty(entry.key.clone(), Place::new(at.file, entry.key_range.clone()));
                let body = at.with(&entry.value);
                match body.yaml.value {
                    Value::Map(_) => {
                        for entry in body.entries() {
                            test_entry(&mut test, &entry.key, body.with(&entry.value), faults);
                        }
                    }
                    Value::Null => {}
                    _ => faults.push(super::yaml::wrong_type(body, &format!("the arguments of `{}`", test.name), "a mapping")),
                }
                Some(test)
            }
            [_, second, ..] => {
                let place = Place::new(at.file, second.key_range.clone());
                let message = format!("a data test has one key, its name, and not `{}` beside it", second.key);
                faults.push(bad(message, place).help("indent its arguments below the name"));
                None
            }
            [] => None,
        },
        other => {
            faults.push(bad(format!("a data test is a name or a mapping, not {}", other.kind()), at.place()));
            None
        }
    }
}

fn test_entry(test: &mut TestProperties, key: &str, value: At<'_>, faults: &mut Diagnostics) {
    match key {
        "name" => test.custom_name = value.as_text(),
        "description" => test.description = Text { text: value.as_text().unwrap_or_default(), place: Some(value.place()) },
        "config" if matches!(value.yaml.value, Value::Map(_)) => test.config.extend(config::items(value)),
        "config" if value.is_null() => {}
        "config" => faults.push(super::yaml::wrong_type(value, "`config`", "a mapping")),
        "arguments" if matches!(value.yaml.value, Value::Map(_)) => {
            test.arguments.extend(value.entries().iter().map(|e| (e.key.clone(), e.value.to_json())));
        }
        key if TEST_CONFIG.contains(&key) => {
            test.config.push(ConfigItem { key: key.to_owned(), value: value.yaml.to_json(), place: value.place() });
        }
        key => drop(test.arguments.insert(key.to_owned(), value.yaml.to_json())),
    }
}

fn read_columns(fields: &mut Fields<'_, '_>) -> Vec<ColumnProperties> {
    let items = fields.list("columns");
    items.into_iter().filter_map(|item| column(item, fields.faults)).collect()
}

fn column(at: At<'_>, faults: &mut Diagnostics) -> Option<ColumnProperties> {
    let mut fields = Fields::of(at, "a column", faults)?;
    let (name, _) = name(&mut fields)?;
    let mut column = Column {
        name,
        description: String::new(),
        data_type: fields.string("data_type"),
        quote: fields.boolean("quote"),
        tags: fields.strings("tags").unwrap_or_default(),
        meta: fields.mapping("meta"),
        extra: IndexMap::new(),
    };
    // dbt 1.10 moved tags and meta of columns below `config`
    if let Some(config) = fields.map_at("config") {
        for item in config::items(config) {
            match (item.key.as_str(), item.value) {
                ("tags", Json::Array(tags)) => column.tags.extend(tags.iter().filter_map(|t| t.as_str()).map(str::to_owned)),
                ("tags", Json::String(tag)) => column.tags.push(tag),
                ("meta", Json::Object(meta)) => column.meta.extend(meta),
                (key, value) => drop(column.extra.insert(key.to_owned(), value)),
            }
        }
    }
    keep(&mut fields, &["constraints", "granularity", "policy_tags", "dimension", "entity", "masking_policy"], &mut column.extra);
    let tests = node_tests(&mut fields);
    let description = description(&mut fields);
    fields.finish();
    Some(ColumnProperties { column, description, tests })
}

fn source(at: At<'_>, faults: &mut Diagnostics) -> Option<SourceProperties> {
    let mut fields = Fields::of(at, "a source", faults)?;
    let (name, place) = name(&mut fields)?;
    let mut config = config_items(&mut fields);
    entry_configs(&mut fields, &mut config);
    let mut extra = IndexMap::new();
    keep(&mut fields, &["overrides", "loaded_at_query"], &mut extra);
    let database = fields.string("database");
    let schema = fields.string("schema");
    let loader = fields.string("loader").unwrap_or_default();
    let loaded_at_field = fields.string("loaded_at_field").or_else(|| config_text(&config, "loaded_at_field"));
    let freshness = fields.take("freshness").map(|v| v.yaml.to_json()).or_else(|| config_value(&config, "freshness"));
    let quoting = fields.map_at("quoting").map_or_else(Quoting::default, |q| Quoting::read(q, fields.faults));
    let tables = fields.list("tables");
    let tables: Vec<TableProperties> = tables.into_iter().filter_map(|t| table(t, fields.faults)).collect();
    let description = description(&mut fields);
    finish(fields);
    Some(SourceProperties {
        name,
        place,
        file: at.file.clone(),
        database,
        schema,
        loader,
        description,
        config,
        quoting,
        loaded_at_field,
        freshness,
        tables,
        extra,
    })
}

fn config_value(config: &[ConfigItem], key: &str) -> Option<Json> {
    config.iter().rfind(|i| i.key == key).map(|i| i.value.clone())
}

fn config_text(config: &[ConfigItem], key: &str) -> Option<String> {
    config_value(config, key)?.as_str().map(str::to_owned)
}

fn table(at: At<'_>, faults: &mut Diagnostics) -> Option<TableProperties> {
    let mut fields = Fields::of(at, "a source table", faults)?;
    let (name, place) = name(&mut fields)?;
    let mut config = config_items(&mut fields);
    entry_configs(&mut fields, &mut config);
    let mut extra = IndexMap::new();
    keep(&mut fields, &["external", "loaded_at_query"], &mut extra);
    let identifier = fields.string("identifier");
    let loader = fields.string("loader");
    let loaded_at_field = fields.string("loaded_at_field").or_else(|| config_text(&config, "loaded_at_field"));
    // `freshness: null` on a table switches the source's off
    let freshness = match at.get("freshness") {
        Some(value) => {
            fields.accept(&["freshness"]);
            Some(value.yaml.to_json())
        }
        None => config_value(&config, "freshness"),
    };
    let quoting = fields.map_at("quoting").map_or_else(Quoting::default, |q| Quoting::read(q, fields.faults));
    let mut adapter = fields.map_at("adapter").and_then(|a| adapter(a, fields.faults));
    // a mapping is what dbt packages of external tables keep there
    if let (Some(adapter), Some(external)) = (&mut adapter, extra.get("external").filter(|e| !e.is_object() && !e.is_null())) {
        adapter.settings.entry("external".into()).or_insert_with(|| external.clone());
    }
    let columns = read_columns(&mut fields);
    let tests = node_tests(&mut fields);
    let description = description(&mut fields);
    finish(fields);
    Some(TableProperties {
        name,
        place,
        identifier,
        description,
        config,
        quoting,
        loader,
        loaded_at_field,
        freshness,
        adapter,
        columns,
        tests,
        extra,
    })
}

/// Which settings an adapter takes is the adapter's own knowledge; here only its type and input are.
fn adapter(at: At<'_>, faults: &mut Diagnostics) -> Option<AdapterProperties> {
    let mut fields = Fields::of(at, "an adapter", faults)?;
    let type_ = fields.required("type")?;
    let input = fields.string("input").and_then(|i| Some((i, at.get("input")?.place())));
    if !ADAPTERS.contains(&type_.as_str()) {
        let place = at.get("type").map_or_else(|| at.place(), At::place);
        let fault =
            Diagnostic::error("project/unknown-adapter", format!("there is no adapter of type `{type_}`")).at(place, "in this source");
        fields.faults.push(match nearest(&type_, ADAPTERS) {
            Some(near) => fault.help(format!("did you mean `{near}`?")),
            None => fault.help(format!("types are `{}`", ADAPTERS.join("`, `"))),
        });
        return None;
    }
    let settings =
        at.entries().iter().filter(|e| e.key != "type" && e.key != "input").map(|e| (e.key.clone(), e.value.to_json())).collect();
    Some(AdapterProperties { type_, settings, input, place: at.place() })
}

fn macro_(at: At<'_>, faults: &mut Diagnostics) -> Option<MacroProperties> {
    let mut fields = Fields::of(at, "a macro", faults)?;
    let (name, place) = name(&mut fields)?;
    let mut extra = IndexMap::new();
    keep(&mut fields, &["arguments", "meta", "docs", "config"], &mut extra);
    let description = description(&mut fields);
    fields.finish();
    Some(MacroProperties { name, place, description, extra })
}

fn exposure(at: At<'_>, faults: &mut Diagnostics) -> Option<ExposureProperties> {
    let mut fields = Fields::of(at, "an exposure", faults)?;
    let (name, place) = name(&mut fields)?;
    let mut config = config_items(&mut fields);
    entry_configs(&mut fields, &mut config);
    let mut extra = IndexMap::new();
    keep(&mut fields, &["type", "url", "maturity", "owner", "label"], &mut extra);
    let mut depends_on = vec![];
    for item in fields.list("depends_on") {
        match item.as_text() {
            Some(text) => depends_on.push((text, item.place())),
            None => fields.wrong(item, "depends_on", "a list of `ref('...')` and `source('...', '...')`"),
        }
    }
    let description = description(&mut fields);
    fields.finish();
    Some(ExposureProperties { name, place, file: at.file.clone(), description, depends_on, config, extra })
}

fn unit_test(at: At<'_>, faults: &mut Diagnostics) -> Option<UnitTestProperties> {
    let mut fields = Fields::of(at, "a unit test", faults)?;
    let (name, place) = name(&mut fields)?;
    let model = fields.required("model")?;
    let model_place = at.get("model").map_or_else(|| at.place(), At::place);
    let config = config_items(&mut fields);
    let mut extra = IndexMap::new();
    keep(&mut fields, &["given", "expect", "overrides", "versions"], &mut extra);
    let description = description(&mut fields);
    fields.finish();
    Some(UnitTestProperties { name, place, file: at.file.clone(), model, model_place, description, config, extra })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::yaml::parse;

    fn read(text: &str) -> (Properties, Vec<String>) {
        let file = SourceFile::new("m.yml", text);
        let yaml = parse(&file).expect("valid");
        let mut faults = Diagnostics::default();
        let found = Properties::read(&file, &yaml, &mut faults);
        let shown = faults.0.iter().map(|d| {
            let place = d.place.as_ref().map(ToString::to_string).unwrap_or_default();
            format!("{place} {}; {}", d.message, d.help.as_deref().unwrap_or(""))
        });
        (found, shown.collect())
    }

    #[test]
    fn tests_are_read_in_all_their_forms() {
        let (found, faults) = read(
            "models:\n- name: m\n  columns:\n  - name: c\n    data_tests:\n    - not_null\n    - unique:\n        config: {severity: warn}\n        where: x > 1\n    \
             - accepted_values:\n        arguments: {values: [a]}\n        name: mine\n    - {test_name: p.relationships, to: ref('x'), field: id}\n",
        );
        assert_eq!(faults, Vec::<String>::new());
        let shown: Vec<String> = found.nodes[0].columns[0]
            .tests
            .iter()
            .map(|t| {
                let config: Vec<&str> = t.config.iter().map(|c| c.key.as_str()).collect();
                format!("{} {:?} {} {config:?}", t.name, t.custom_name, serde_json::to_string(&t.arguments).expect("json"))
            })
            .collect();
        assert_eq!(
            shown,
            [
                "not_null None {} []",
                "unique None {} [\"severity\", \"where\"]",
                "accepted_values Some(\"mine\") {\"values\":[\"a\"]} []",
                "p.relationships None {\"to\":\"ref('x')\",\"field\":\"id\"} []",
            ]
        );
    }

    #[test]
    fn every_fault_is_told_at_its_place() {
        let text = "model:\n- x\nmodels:\n- name: m\n  materialized: table\n  colums: []\n  columns: {a: 1}\n- description: nameless\n- name: n\n  columns:\n  - name: c\n    tests: [3, {not_null: , where: x}]\n\
                    sources:\n- name: s\n  tables:\n  - name: t\n    adapter: {type: chrt}\n  - name: t\n    quoting: yes\n";
        let (_, faults) = read(text);
        assert_eq!(
            faults,
            [
                "m.yml:7:12 `columns` must be a list, not a mapping; ",
                "m.yml:5:3 a model has no key `materialized`; `materialized` is configuration: put it under a `config:` of the entry",
                "m.yml:6:3 a model has no key `colums`; did you mean `columns`?",
                "m.yml:8:3 a model has no `name`; ",
                "m.yml:12:13 a data test is a name or a mapping, not a number; write `- not_null` or `- accepted_values: {values: [a, b]}`",
                "m.yml:12:29 a data test has one key, its name, and not `where` beside it; indent its arguments below the name",
                "m.yml:17:21 there is no adapter of type `chrt`; did you mean `chart`?",
                "m.yml:19:14 `quoting` must be a mapping, not a boolean; ",
                "m.yml:1:1 a properties file has no key `model`; did you mean `models`?",
            ]
        );
    }
}
