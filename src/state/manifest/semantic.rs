//! dbt's semantic layer in the manifest: what YAML says of semantic models, metrics and saved queries, carried to those
//! who read it there. segue itself does nothing with it.

use std::path::PathBuf;

use serde_json::{Map, Value as Json, json};

use super::{ManifestContext, seconds, slashes};
use crate::{graph::Node, names::ResourceType};

/// One entry as written.
#[derive(Clone, Debug)]
pub struct SemanticEntry {
    /// The key that it stands under: `semantic_models`, `metrics`, `saved_queries`.
    pub key: &'static str,
    pub package: String,
    pub name: String,
    /// Relative to its resource folder.
    pub path: PathBuf,
    /// Relative to the package.
    pub original_path: PathBuf,
    pub value: Json,
}

/// The keys of each type that its entry has, and what they hold when YAML says nothing.
fn defaults(key: &str) -> Json {
    match key {
        "semantic_models" => json!({
            "description": null, "label": null, "defaults": null, "entities": [], "measures": [], "dimensions": [], "metadata": null,
            "primary_entity": null, "group": null, "config": {"enabled": true, "group": null, "meta": {}},
        }),
        "metrics" => json!({
            "description": "", "label": "", "type": "simple", "type_params": {}, "filter": null, "metadata": null, "time_granularity": null,
            "meta": {}, "tags": [], "group": null, "config": {"enabled": true, "group": null, "meta": {}},
        }),
        _ => json!({
            "query_params": {"metrics": [], "group_by": [], "where": null, "order_by": [], "limit": null}, "exports": [], "description": null,
            "label": null, "metadata": null, "group": null, "tags": [],
            "config": {"enabled": true, "group": null, "meta": {}, "export_as": null, "schema": null, "cache": {"enabled": false}},
        }),
    }
}

/// The entries of one key by unique id, with the ids that each depends on.
pub(super) fn of(key: &'static str, context: &ManifestContext, nodes: &[&Node]) -> (Map<String, Json>, Vec<(String, Vec<String>)>) {
    let kind = key.trim_end_matches('s').replace("querie", "query");
    let (mut entries, mut above) = (Map::new(), vec![]);
    for entry in context.semantic.iter().filter(|e| e.key == key) {
        let id = format!("{kind}.{}.{}", entry.package, entry.name);
        let mut map = match defaults(key) {
            Json::Object(map) => map,
            _ => Map::new(),
        };
        if let Json::Object(written) = &entry.value {
            for (name, value) in written {
                match (map.get_mut(name), value) {
                    (Some(Json::Object(old)), Json::Object(new)) => old.extend(new.clone()),
                    _ => drop(map.insert(name.clone(), value.clone())),
                }
            }
        }
        let model = entry.value.get("model").and_then(Json::as_str).and_then(|text| referred(text, nodes));
        let parents: Vec<String> = match (key, model) {
            ("semantic_models", Some(node)) => vec![node.id.to_string()],
            ("metrics", _) => measures(entry, context),
            ("saved_queries", _) => listed(entry, context),
            _ => vec![],
        };
        if key == "semantic_models" {
            let relation = model.and_then(|n| n.relation.as_ref());
            map.insert(
                "node_relation".into(),
                json!({
                    "alias": relation.map_or("", |r| r.name.as_str()),
                    "schema_name": relation.map_or("", |r| r.schema.as_str()),
                    "database": relation.map(|r| r.database.as_str()),
                    "relation_name": relation.map(ToString::to_string),
                }),
            );
        }
        let common = json!({
            "name": entry.name,
            "resource_type": kind,
            "package_name": entry.package,
            "path": slashes(&entry.path),
            "original_file_path": slashes(&entry.original_path),
            "unique_id": id,
            "fqn": fqn(entry),
            "refs": model.map(|n| json!([{"name": n.name, "package": null, "version": null}])).unwrap_or_else(|| json!([])),
            "depends_on": {"macros": [], "nodes": parents},
            "created_at": seconds(context),
            "unrendered_config": entry.value.get("config").cloned().unwrap_or_else(|| json!({})),
        });
        if let Json::Object(common) = common {
            map.extend(common);
        }
        if key == "metrics" {
            map.insert("sources".into(), json!([]));
            map.insert("metrics".into(), json!([]));
        }
        above.push((id.clone(), parents));
        entries.insert(id, Json::Object(map));
    }
    (entries, above)
}

/// `[package, folder, ..., name]`.
fn fqn(entry: &SemanticEntry) -> Vec<String> {
    let folders = entry.path.parent().into_iter().flat_map(|p| p.components()).map(|c| c.as_os_str().to_string_lossy().into_owned());
    std::iter::once(entry.package.clone()).chain(folders).chain([entry.name.clone()]).collect()
}

/// The model of `ref('name')`.
fn referred<'a>(text: &str, nodes: &[&'a Node]) -> Option<&'a Node> {
    let inner = text.trim().trim_start_matches("{{").trim_end_matches("}}").trim().strip_prefix("ref(")?.strip_suffix(')')?;
    let name = inner.rsplit(',').next()?.trim().trim_matches(['\'', '"']);
    nodes.iter().copied().find(|n| n.kind == ResourceType::Model && n.name == name)
}

fn id_of(key: &str, entry: &SemanticEntry) -> String {
    let kind = if key == "metrics" { "metric" } else { "semantic_model" };
    format!("{kind}.{}.{}", entry.package, entry.name)
}

/// The semantic models whose measures a metric reads, and the metrics that it is made of.
fn measures(entry: &SemanticEntry, context: &ManifestContext) -> Vec<String> {
    let mut names = vec![];
    names_below(entry.value.get("type_params").unwrap_or(&Json::Null), &mut names);
    let mut found: Vec<String> = vec![];
    for other in &context.semantic {
        let has_measure = || {
            let measures = other.value.get("measures").and_then(Json::as_array).into_iter().flatten();
            measures.filter_map(|m| m.get("name").and_then(Json::as_str)).any(|m| names.iter().any(|n| n == m))
        };
        let is_parent = match other.key {
            "semantic_models" => has_measure(),
            "metrics" => other.name != entry.name && names.contains(&other.name),
            _ => false,
        };
        if is_parent {
            found.push(id_of(other.key, other));
        }
    }
    found
}

/// The metrics that a saved query asks for.
fn listed(entry: &SemanticEntry, context: &ManifestContext) -> Vec<String> {
    let wanted: Vec<&str> =
        entry.value.pointer("/query_params/metrics").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).collect();
    context.semantic.iter().filter(|e| e.key == "metrics" && wanted.contains(&e.name.as_str())).map(|e| id_of("metrics", e)).collect()
}

fn names_below(value: &Json, names: &mut Vec<String>) {
    match value {
        Json::String(text) => names.push(text.clone()),
        Json::Array(items) => items.iter().for_each(|i| names_below(i, names)),
        Json::Object(map) => map.values().for_each(|v| names_below(v, names)),
        _ => {}
    }
}
