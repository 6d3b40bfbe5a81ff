//! Two runs' artifacts held against each other: what is new, what was modified and in which respect, what failed, what is fresher.

use std::collections::HashMap;

use chrono::DateTime;
use serde_json::Value as Json;

use crate::{graph::Changes, names::NodeId};

const GROUPS: [&str; 4] = ["nodes", "sources", "exposures", "unit_tests"];

/// How each node of `now` differs from `before`; both are manifests.
pub fn changes(before: &Json, now: &Json) -> HashMap<NodeId, Changes> {
    let mut found = HashMap::new();
    for (id, entry) in GROUPS.iter().filter_map(|g| now.get(*g)?.as_object()).flatten() {
        let old = GROUPS.iter().find_map(|g| before.get(*g)?.get(id));
        let changes = match old {
            None => Changes { new: true, ..Changes::default() },
            Some(old) => compare(old, entry, before, now),
        };
        found.insert(NodeId::new(id.as_str()), changes);
    }
    found
}

fn compare(old: &Json, new: &Json, before: &Json, now: &Json) -> Changes {
    let differs = |key: &str| old.get(key) != new.get(key);
    let body = match new.get("checksum").and_then(|c| c.get("checksum")) {
        Some(_) => differs("checksum"),
        // sources and exposures have no text: all that they say is their body
        None => ["identifier", "freshness", "loaded_at_field", "owner", "type", "url", "depends_on", "given", "expect", "overrides"]
            .iter()
            .any(|key| differs(key)),
    };
    Changes {
        new: false,
        body,
        configs: configuration(old) != configuration(new),
        relation: ["database", "schema", "alias", "identifier"].iter().any(|key| differs(key)),
        persisted_descriptions: persisted(old) != persisted(new),
        macros: macros(old, before) != macros(new, now),
        contract: contract(old) != contract(new),
    }
}

/// Without what depends on the target: two environments of one project are not two versions of it.
fn configuration(entry: &Json) -> Json {
    let mut config = entry.get("unrendered_config").or_else(|| entry.get("config")).cloned().unwrap_or(Json::Null);
    if let Json::Object(map) = &mut config {
        for key in ["schema", "database", "alias"] {
            map.remove(key);
        }
    }
    config
}

/// Descriptions matter where they are written to the warehouse.
fn persisted(entry: &Json) -> Option<(Json, Vec<(String, Json)>)> {
    let docs = entry.get("config")?.get("persist_docs")?;
    let on = |key: &str| docs.get(key).and_then(Json::as_bool) == Some(true);
    let relation = if on("relation") { entry.get("description").cloned().unwrap_or(Json::Null) } else { Json::Null };
    let columns = entry.get("columns").and_then(Json::as_object).filter(|_| on("columns"));
    let columns = columns.into_iter().flatten().map(|(name, c)| (name.clone(), c.get("description").cloned().unwrap_or(Json::Null)));
    Some((relation, columns.collect()))
}

/// The texts of the macros that the node calls, those called by macros included.
fn macros(entry: &Json, manifest: &Json) -> Vec<(String, Option<String>)> {
    let mut names: Vec<String> = vec![];
    let mut open = called(entry);
    while let Some(name) = open.pop() {
        if names.contains(&name) {
            continue;
        }
        if let Some(inner) = manifest.get("macros").and_then(|m| m.get(&name)) {
            open.extend(called(inner));
        }
        names.push(name);
    }
    names.sort();
    let text = |name: &String| manifest.get("macros")?.get(name)?.get("macro_sql")?.as_str().map(str::to_owned);
    names.into_iter().map(|n| (n.clone(), text(&n))).collect()
}

fn called(entry: &Json) -> Vec<String> {
    let list = entry.get("depends_on").and_then(|d| d.get("macros")).and_then(Json::as_array);
    list.into_iter().flatten().filter_map(|m| m.as_str().map(str::to_owned)).collect()
}

fn contract(entry: &Json) -> (bool, Json) {
    let enforced =
        entry.get("config").and_then(|c| c.get("contract")).and_then(|c| c.get("enforced")).and_then(Json::as_bool) == Some(true);
    let columns = entry.get("columns").and_then(Json::as_object).filter(|_| enforced);
    let types = columns.into_iter().flatten().map(|(name, c)| (name.clone(), c.get("data_type").cloned().unwrap_or(Json::Null)));
    (enforced, Json::Object(types.collect()))
}

/// The status of each node in `run_results.json`.
pub fn statuses(results: &Json) -> HashMap<NodeId, String> {
    let each = results.get("results").and_then(Json::as_array);
    each.into_iter()
        .flatten()
        .filter_map(|r| Some((NodeId::new(r.get("unique_id")?.as_str()?), r.get("status")?.as_str()?.to_owned())))
        .collect()
}

/// Sources whose newest row is newer in the second `sources.json`.
pub fn fresher(before: &Json, now: &Json) -> Vec<NodeId> {
    let newest = |sources: &Json| -> HashMap<String, String> {
        let each = sources.get("results").and_then(Json::as_array);
        each.into_iter()
            .flatten()
            .filter_map(|r| Some((r.get("unique_id")?.as_str()?.to_owned(), r.get("max_loaded_at")?.as_str()?.to_owned())))
            .collect()
    };
    let old = newest(before);
    let at = |text: &str| DateTime::parse_from_rfc3339(text).ok();
    let newer = |id: &String, text: &String| match old.get(id) {
        None => true,
        Some(before) => matches!((at(text), at(before)), (Some(now), Some(before)) if now > before),
    };
    newest(now).iter().filter(|(id, text)| newer(id, text)).map(|(id, _)| NodeId::new(id.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_have_names() {
        let node = |checksum: &str, config: Json, schema: &str| json!({"checksum": {"checksum": checksum}, "unrendered_config": config, "schema": schema});
        let before = json!({"nodes": {"model.p.a": node("1", json!({}), "s"), "model.p.b": node("1", json!({"x": 1}), "s")}});
        let now = json!({"nodes": {
            "model.p.a": node("2", json!({}), "s"),
            "model.p.b": node("1", json!({"x": 2, "schema": "t"}), "s"),
            "model.p.c": node("1", json!({}), "s"),
        }});
        let found = changes(&before, &now);
        assert_eq!(found[&NodeId::new("model.p.a")], Changes { body: true, ..Changes::default() });
        assert_eq!(found[&NodeId::new("model.p.b")], Changes { configs: true, ..Changes::default() });
        assert_eq!(found[&NodeId::new("model.p.c")], Changes { new: true, ..Changes::default() });
    }

    #[test]
    fn newer_rows_make_a_source_fresher() {
        let sources = |at: &str| json!({"results": [{"unique_id": "source.p.s.t", "max_loaded_at": at}]});
        let (old, new) = (sources("2024-01-01T00:00:00Z"), sources("2024-01-02T00:00:00Z"));
        assert_eq!(fresher(&old, &new), [NodeId::new("source.p.s.t")]);
        assert!(fresher(&new, &new).is_empty());
    }
}
