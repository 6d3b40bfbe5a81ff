//! One node's entry in the manifest: the keys of its type, all of them, with the right types.

use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};

use super::{ManifestContext, config, seconds, slashes};
use crate::{
    graph::{Column, Node},
    names::{ResourceType, hexadecimal},
};

pub(super) fn of(node: &Node, context: &ManifestContext) -> Json {
    let mut entry = common(node, context);
    let more = match node.kind {
        ResourceType::Source => source(node),
        ResourceType::Exposure => exposure(node),
        ResourceType::UnitTest => unit_test(node),
        _ => compiled(node, context),
    };
    entry.extend(more);
    match node.kind {
        ResourceType::Model => entry.extend(model()),
        ResourceType::Seed => {
            entry.extend(object(json!({"root_path": Json::Null, "depends_on": {"macros": []}, "defer_relation": Json::Null})));
            for key in [
                "refs",
                "sources",
                "metrics",
                "compiled",
                "compiled_code",
                "compiled_path",
                "extra_ctes",
                "extra_ctes_injected",
                "language",
                "contract",
                "functions",
            ] {
                entry.remove(key);
            }
        }
        // unlike all others, the schema gives these no such keys
        ResourceType::UnitTest => ["tags", "meta", "unrendered_config"].iter().for_each(|key| drop(entry.remove(*key))),
        ResourceType::Snapshot => entry.extend(object(json!({"defer_relation": Json::Null}))),
        ResourceType::Test => entry.extend(test(node)),
        ResourceType::Function => entry.extend(object(json!({"returns": Json::Null, "arguments": [], "defer_function": Json::Null}))),
        _ => {}
    }
    // keys of the YAML entry that the type has and that were not filled from typed fields
    for (key, value) in &node.extra {
        if let Some(slot) = entry.get_mut(key)
            && matches!(slot, Json::Null | Json::Array(_) | Json::Object(_) | Json::String(_))
            && !matches!(key.as_str(), "config" | "name" | "unique_id" | "depends_on" | "refs" | "sources" | "columns" | "tags" | "meta")
        {
            *slot = value.clone();
        }
    }
    Json::Object(entry)
}

fn object(value: Json) -> Map<String, Json> {
    match value {
        Json::Object(map) => map,
        _ => Map::new(),
    }
}

fn common(node: &Node, context: &ManifestContext) -> Map<String, Json> {
    let mut entry = object(json!({
        "name": node.name,
        "resource_type": node.kind.as_str(),
        "package_name": node.package,
        "path": slashes(&node.path),
        "original_file_path": slashes(&node.original_file_path),
        "unique_id": node.id,
        "fqn": node.fqn,
        "description": node.description,
        "tags": node.tags,
        "meta": node.meta,
        "config": Json::Null,
        "unrendered_config": Json::Null,
        "created_at": seconds(context),
    }));
    // not in the text above, which would copy trees that are made already
    put(&mut entry, "config", config::of(node));
    put(&mut entry, "unrendered_config", Json::Object(node.config.all.iter().map(|(k, v)| (k.clone(), v.clone())).collect()));
    entry
}

fn put(entry: &mut Map<String, Json>, key: &str, value: Json) {
    if let Some(slot) = entry.get_mut(key) {
        *slot = value;
    }
}

fn relation(node: &Node) -> (Json, Json, Json) {
    match &node.relation {
        Some(r) => (r.database.as_str().into(), r.schema.as_str().into(), r.to_string().into()),
        None => (json!(node.config.database), json!(node.config.schema.clone().unwrap_or_default()), Json::Null),
    }
}

fn columns(node: &Node) -> Map<String, Json> {
    let entry = |c: &Column| {
        let mut column = object(json!({
            "name": c.name,
            "description": c.description,
            "meta": c.meta,
            "data_type": c.data_type,
            "constraints": [],
            "quote": c.quote,
            "config": {"meta": c.meta, "tags": c.tags},
            "tags": c.tags,
            "granularity": Json::Null,
            "doc_blocks": [],
        }));
        for (key, value) in &c.extra {
            if column.contains_key(key) {
                column.insert(key.clone(), value.clone());
            }
        }
        Json::Object(column)
    };
    node.columns.values().map(|c| (c.name.clone(), entry(c))).collect()
}

fn refs(node: &Node) -> Vec<Json> {
    node.refs.iter().map(|r| json!({"name": r.name, "package": r.package, "version": r.version})).collect()
}

fn sources(node: &Node) -> Vec<Json> {
    node.sources.iter().map(|s| json!([s.source, s.table])).collect()
}

/// Where the YAML entry stands: `package://models/schema.yml`.
fn patch_path(node: &Node) -> Json {
    node.patch.as_ref().map_or(Json::Null, |p| format!("{}://{}", node.package, slashes(p.file.path())).into())
}

/// Models, tests, seeds, snapshots, analyses, operations.
fn compiled(node: &Node, context: &ManifestContext) -> Map<String, Json> {
    let (database, schema, relation_name) = relation(node);
    let digest = hexadecimal(&Sha256::digest(node.raw_code.as_bytes()));
    let (code, path) = match context.compiled.get(&node.id) {
        Some((code, path)) => (json!(code), json!(path.as_ref().map(|p| slashes(p)))),
        None => (Json::Null, Json::Null),
    };
    let mut entry = object(json!({
        "database": database,
        "schema": schema,
        "alias": node.alias,
        "checksum": {"name": "sha256", "checksum": digest},
        "columns": Json::Null,
        "group": Json::Null,
        "docs": {"show": true, "node_color": Json::Null},
        "patch_path": patch_path(node),
        "build_path": Json::Null,
        "relation_name": relation_name,
        "raw_code": node.raw_code,
        "doc_blocks": [],
        "language": "sql",
        "refs": refs(node),
        "sources": sources(node),
        "metrics": [],
        "functions": node.functions.iter().map(|f| json!([f.name])).collect::<Vec<_>>(),
        "depends_on": {"macros": [], "nodes": node.depends_on},
        "compiled": !code.is_null(),
        "compiled_code": code,
        "compiled_path": path,
        "extra_ctes_injected": false,
        "extra_ctes": [],
        "contract": {"enforced": false, "alias_types": true, "checksum": Json::Null},
    }));
    put(&mut entry, "columns", Json::Object(columns(node)));
    entry
}

fn model() -> Map<String, Json> {
    object(json!({
        "access": "protected",
        "constraints": [],
        "version": Json::Null,
        "latest_version": Json::Null,
        "deprecation_date": Json::Null,
        "primary_key": [],
        "time_spine": Json::Null,
        "defer_relation": Json::Null,
    }))
}

fn test(node: &Node) -> Map<String, Json> {
    let Some(info) = &node.test else { return Map::new() };
    let Some(generic) = &info.generic else { return Map::new() };
    let (namespace, name) = match generic.name.split_once('.') {
        Some((namespace, name)) => (Some(namespace), name),
        None => (None, generic.name.as_str()),
    };
    object(json!({
        "test_metadata": {"name": name, "kwargs": generic.arguments, "namespace": namespace},
        "column_name": info.column,
        "file_key_name": Json::Null,
        "attached_node": info.attached_to,
    }))
}

fn source(node: &Node) -> Map<String, Json> {
    let (database, schema, relation_name) = relation(node);
    let Some(info) = &node.source else { return Map::new() };
    object(json!({
        "database": database,
        "schema": schema,
        "source_name": info.source_name,
        "source_description": "",
        "loader": info.loader,
        "identifier": node.relation.as_ref().map(|r| r.name.as_str()).unwrap_or(&info.table_name),
        "quoting": {"database": Json::Null, "schema": Json::Null, "identifier": Json::Null, "column": Json::Null},
        "loaded_at_field": info.loaded_at_field,
        "loaded_at_query": Json::Null,
        "freshness": info.freshness,
        "external": Json::Null,
        "columns": columns(node),
        "source_meta": {},
        "patch_path": patch_path(node),
        "relation_name": relation_name,
        "unrendered_database": Json::Null,
        "unrendered_schema": Json::Null,
        "doc_blocks": [],
    }))
}

fn exposure(node: &Node) -> Map<String, Json> {
    object(json!({
        "type": "application",
        "owner": {"email": Json::Null, "name": Json::Null},
        "label": Json::Null,
        "maturity": Json::Null,
        "url": Json::Null,
        "depends_on": {"macros": [], "nodes": node.depends_on},
        "refs": refs(node),
        "sources": sources(node),
        "metrics": [],
    }))
}

fn unit_test(node: &Node) -> Map<String, Json> {
    object(json!({
        "model": "",
        "given": [],
        "expect": {"rows": [], "format": "dict", "fixture": Json::Null},
        "overrides": Json::Null,
        "depends_on": {"macros": [], "nodes": node.depends_on},
        "schema": Json::Null,
        "versions": Json::Null,
        "version": Json::Null,
        "checksum": Json::Null,
    }))
}
