//! A node's `config` in the manifest: dbt's keys with their defaults, then everything that the user wrote.

use serde_json::{Map, Value as Json, json};

use crate::{
    graph::{Node, OnSchemaChange, TestSeverity},
    names::ResourceType,
};

pub(super) fn of(node: &Node) -> Json {
    let config = match node.kind {
        ResourceType::Test => test(node),
        ResourceType::Source => source(node),
        ResourceType::Exposure => json!({"enabled": node.config.enabled, "tags": node.tags, "meta": node.meta}),
        ResourceType::UnitTest => {
            json!({"enabled": node.config.enabled, "tags": node.tags, "meta": node.meta, "static_analysis": Json::Null})
        }
        _ => built(node),
    };
    let mut config = match config {
        Json::Object(map) => map,
        _ => Map::new(),
    };
    for (key, value) in &node.config.all {
        // what is typed above is already normalised; `where` and hooks have other spellings in YAML
        let key = match key.as_str() {
            "pre_hook" => "pre-hook",
            "post_hook" => "post-hook",
            key => key,
        };
        let typed = matches!(
            key,
            "enabled"
                | "tags"
                | "meta"
                | "materialized"
                | "unique_key"
                | "pre-hook"
                | "post-hook"
                | "severity"
                | "where"
                | "column_types"
                | "on_schema_change"
        );
        if !typed {
            config.insert(key.to_owned(), value.clone());
        }
    }
    Json::Object(config)
}

fn built(node: &Node) -> Json {
    let c = &node.config;
    let hooks = |hooks: &[crate::graph::Hook]| -> Vec<Json> {
        hooks.iter().map(|h| json!({"sql": h.sql, "transaction": h.transaction, "index": Json::Null})).collect()
    };
    let unique_key = match c.unique_key.as_slice() {
        [] => Json::Null,
        [one] => json!(one),
        many => json!(many),
    };
    let mut config = json!({
        "enabled": c.enabled,
        "alias": c.alias,
        "schema": c.schema,
        "database": c.database,
        "tags": node.tags,
        "meta": node.meta,
        "group": Json::Null,
        "materialized": c.materialized,
        "incremental_strategy": c.incremental_strategy,
        "batch_size": Json::Null,
        "lookback": 1,
        "begin": Json::Null,
        "persist_docs": {},
        "post-hook": hooks(&c.post_hook),
        "pre-hook": hooks(&c.pre_hook),
        "quoting": {},
        "column_types": c.column_types,
        "full_refresh": c.full_refresh,
        "unique_key": unique_key,
        "on_schema_change": schema_change(c.on_schema_change),
        "on_configuration_change": "apply",
        "grants": {},
        "packages": [],
        "docs": {"show": true, "node_color": Json::Null},
        "contract": {"enforced": false, "alias_types": true},
        "event_time": Json::Null,
        "concurrent_batches": Json::Null,
    });
    if let Json::Object(map) = &mut config {
        match node.kind {
            ResourceType::Model => {
                map.insert("access".into(), "protected".into());
                map.insert("freshness".into(), Json::Null);
            }
            ResourceType::Seed => {
                map.insert("delimiter".into(), ",".into());
                map.insert("quote_columns".into(), Json::Null);
            }
            ResourceType::Snapshot => {
                for key in ["strategy", "target_schema", "target_database", "updated_at", "check_cols"] {
                    map.insert(key.into(), Json::Null);
                }
                map.insert("snapshot_meta_column_names".into(), json!({}));
            }
            _ => {}
        }
    }
    config
}

fn test(node: &Node) -> Json {
    let c = &node.config;
    json!({
        "enabled": c.enabled,
        "alias": c.alias,
        "schema": c.schema.as_deref().unwrap_or("dbt_test__audit"),
        "database": c.database,
        "tags": node.tags,
        "meta": node.meta,
        "group": Json::Null,
        "materialized": "test",
        "severity": match c.severity { TestSeverity::Error => "ERROR", TestSeverity::Warn => "WARN" },
        "store_failures": c.store_failures,
        "store_failures_as": Json::Null,
        "where": c.where_,
        "limit": c.limit,
        "fail_calc": c.fail_calc,
        "warn_if": c.warn_if,
        "error_if": c.error_if,
    })
}

fn source(node: &Node) -> Json {
    let info = node.source.as_ref();
    json!({
        "enabled": node.config.enabled,
        "event_time": Json::Null,
        "freshness": info.and_then(|s| s.freshness.clone()),
        "loaded_at_field": info.and_then(|s| s.loaded_at_field.clone()),
        "loaded_at_query": Json::Null,
        "tags": node.tags,
        "meta": node.meta,
    })
}

fn schema_change(change: OnSchemaChange) -> &'static str {
    match change {
        OnSchemaChange::Ignore => "ignore",
        OnSchemaChange::Fail => "fail",
        OnSchemaChange::AppendNewColumns => "append_new_columns",
        OnSchemaChange::SyncAllColumns => "sync_all_columns",
    }
}
