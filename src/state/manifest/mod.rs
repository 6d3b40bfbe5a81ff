//! The project in the shape of dbt's `manifest.json`, version 12: nodes, sources, macros, and who needs whom.
//!
//! Pure: the same project and clock give the same text. What segue has no use for (metrics, semantic models, groups) is carried
//! for those who read it here.

mod config;
mod entry;
mod semantic;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt::Write,
    path::{Path, PathBuf},
};

use chrono::{DateTime, SecondsFormat, Utc};
use rayon::prelude::*;
use serde_json::{Map, Value as Json, json};

use super::write_atomically;
use crate::{
    diagnostic::Diagnostic,
    graph::Node,
    names::{NodeId, ResourceType},
};

pub use semantic::SemanticEntry;

/// The release whose artifacts, context and grammar segue follows.
pub const DBT_VERSION: &str = "1.11.0";
const SCHEMA: &str = "https://schemas.getdbt.com/dbt/manifest/v12.json";

/// What the manifest says besides the nodes.
#[derive(Clone, Debug)]
pub struct ManifestContext {
    pub project: String,
    /// `datafusion`, `snowflake`.
    pub adapter: String,
    pub invocation: String,
    pub started_at: DateTime<Utc>,
    pub generated_at: DateTime<Utc>,
    /// `DBT_ENV_CUSTOM_ENV_*`, without the prefix.
    pub env: Map<String, Json>,
    pub macros: Vec<MacroEntry>,
    pub docs: Vec<DocEntry>,
    /// `groups:` by name, as written.
    pub groups: indexmap::IndexMap<String, Json>,
    /// dbt's semantic layer, as written.
    pub semantic: Vec<SemanticEntry>,
    /// SQL of nodes that were compiled, and where it was written.
    pub compiled: HashMap<NodeId, (String, Option<PathBuf>)>,
}

#[derive(Clone, Debug)]
pub struct MacroEntry {
    pub package: String,
    pub name: String,
    /// Relative to the project root.
    pub path: PathBuf,
    pub sql: String,
    pub description: String,
    /// Unique ids of macros that it calls, where they are known.
    pub depends_on: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct DocEntry {
    pub package: String,
    pub name: String,
    pub path: PathBuf,
    pub contents: String,
}

/// Writes `manifest.json` into `target`, whole or not at all.
pub fn write(target: &Path, manifest: &Json) -> Result<(), Diagnostic> {
    write_atomically(&target.join("manifest.json"), manifest.to_string().as_bytes())
}

/// The same of nodes, without the whole of it in memory as a tree: of ten thousand models that is a gigabyte.
pub fn write_nodes<'a>(target: &Path, nodes: impl IntoIterator<Item = &'a Node>, context: &ManifestContext) -> Result<(), Diagnostic> {
    write_atomically(&target.join("manifest.json"), text(nodes, context).as_bytes())
}

/// The value of one key at the top.
enum Part<'a> {
    Value(Json),
    /// Entries by id.
    Nodes(Vec<&'a Node>),
    /// The same, each in a list of its own, as dbt has disabled nodes.
    Disabled(Vec<&'a Node>),
    Neighbours(BTreeMap<String, Vec<String>>),
}

/// Disabled nodes go to `disabled`, all else to the key of its type.
pub fn of<'a>(nodes: impl IntoIterator<Item = &'a Node>, context: &ManifestContext) -> Json {
    let entries = |nodes: Vec<&Node>, wrap: &dyn Fn(Json) -> Json| {
        Json::Object(nodes.into_iter().map(|n| (n.id.to_string(), wrap(entry::of(n, context)))).collect())
    };
    let value = |part: Part<'_>| match part {
        Part::Value(value) => value,
        Part::Nodes(nodes) => entries(nodes, &|entry| entry),
        Part::Disabled(nodes) => entries(nodes, &|entry| Json::Array(vec![entry])),
        Part::Neighbours(map) => json!(map),
    };
    Json::Object(parts(nodes, context).into_iter().map(|(key, part)| (key.to_owned(), value(part))).collect())
}

/// [`of`] as text; entries are made and printed on all cores.
fn text<'a>(nodes: impl IntoIterator<Item = &'a Node>, context: &ManifestContext) -> String {
    let mut out = String::from("{");
    for (key, part) in parts(nodes, context) {
        if out.len() > 1 {
            out.push(',');
        }
        let _ = write!(out, "\"{key}\":");
        match part {
            Part::Value(value) => out.push_str(&value.to_string()),
            Part::Nodes(nodes) => entries_text(&mut out, nodes, context, ["", ""]),
            Part::Disabled(nodes) => entries_text(&mut out, nodes, context, ["[", "]"]),
            Part::Neighbours(map) => out.push_str(&serde_json::to_string(&map).unwrap_or_else(|_| "{}".to_owned())),
        }
    }
    out.push('}');
    out
}

fn entries_text(out: &mut String, nodes: Vec<&Node>, context: &ManifestContext, around: [&str; 2]) {
    // an id that occurs twice has one entry, the last, as in a map
    let mut seen = HashSet::new();
    let mut kept: Vec<&Node> = nodes.into_iter().rev().filter(|n| seen.insert(&n.id)).collect();
    kept.reverse();
    let printed: Vec<String> = kept
        .par_chunks(64)
        .map(|chunk| {
            let mut text = String::with_capacity(chunk.len() * 2048);
            for node in chunk {
                let _ = write!(text, ",{}:{}{}{}", Json::from(node.id.as_str()), around[0], entry::of(node, context), around[1]);
            }
            text
        })
        .collect();
    out.push('{');
    for (n, chunk) in printed.into_iter().enumerate() {
        out.push_str(if n == 0 { &chunk[1..] } else { &chunk });
    }
    out.push('}');
}

fn parts<'a>(nodes: impl IntoIterator<Item = &'a Node>, context: &ManifestContext) -> Vec<(&'static str, Part<'a>)> {
    let nodes: Vec<&Node> = nodes.into_iter().collect();
    let mut by_key: BTreeMap<&str, Vec<&Node>> = BTreeMap::new();
    let mut disabled = vec![];
    let mut parents: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut children = parents.clone();
    for node in &nodes {
        let id = node.id.to_string();
        if !node.config.enabled {
            disabled.push(*node);
            continue;
        }
        let above = parents.entry(id.clone()).or_default();
        for parent in &node.depends_on {
            above.push(parent.to_string());
            children.entry(parent.to_string()).or_default().push(id.clone());
        }
        children.entry(id).or_default();
        let key = match node.kind {
            ResourceType::Source => "sources",
            ResourceType::Exposure => "exposures",
            ResourceType::UnitTest => "unit_tests",
            ResourceType::Function => "functions",
            _ => "nodes",
        };
        by_key.entry(key).or_default().push(*node);
    }
    let mut semantic = |key: &'static str| {
        let (entries, above) = semantic::of(key, context, &nodes);
        for (id, up) in above {
            up.iter().for_each(|p| children.entry(p.clone()).or_default().push(id.clone()));
            children.entry(id.clone()).or_default();
            parents.insert(id, up);
        }
        Part::Value(Json::Object(entries))
    };
    let (semantic_models, metrics, saved_queries) = (semantic("semantic_models"), semantic("metrics"), semantic("saved_queries"));
    for list in parents.values_mut().chain(children.values_mut()) {
        list.sort();
        list.dedup();
    }
    let mut take = |key: &str| Part::Nodes(by_key.remove(key).unwrap_or_default());
    vec![
        ("metadata", Part::Value(metadata(context))),
        ("nodes", take("nodes")),
        ("sources", take("sources")),
        ("macros", Part::Value(Json::Object(macros(context)))),
        ("docs", Part::Value(Json::Object(docs(context)))),
        ("exposures", take("exposures")),
        ("metrics", metrics),
        ("groups", Part::Value(Json::Object(groups(context)))),
        ("selectors", Part::Value(json!({}))),
        ("disabled", Part::Disabled(disabled)),
        ("parent_map", Part::Neighbours(parents)),
        ("child_map", Part::Neighbours(children)),
        ("group_map", Part::Value(json!({}))),
        ("saved_queries", saved_queries),
        ("semantic_models", semantic_models),
        ("unit_tests", take("unit_tests")),
        ("functions", take("functions")),
    ]
}

fn metadata(context: &ManifestContext) -> Json {
    json!({
        "dbt_schema_version": SCHEMA,
        "dbt_version": DBT_VERSION,
        "generated_at": time(context.generated_at),
        "invocation_id": context.invocation,
        "invocation_started_at": time(context.started_at),
        "env": context.env,
        "project_name": context.project,
        "project_id": format!("{:x}", md5(&context.project)),
        "user_id": Json::Null,
        "send_anonymous_usage_stats": false,
        "adapter_type": context.adapter,
        "quoting": {"database": false, "schema": false, "identifier": false, "column": Json::Null},
        "run_started_at": time(context.started_at),
    })
}

fn macros(context: &ManifestContext) -> Map<String, Json> {
    let entry = |m: &MacroEntry| {
        let id = format!("macro.{}.{}", m.package, m.name);
        let path = slashes(&m.path);
        let entry = json!({
            "name": m.name,
            "resource_type": "macro",
            "package_name": m.package,
            "path": path,
            "original_file_path": path,
            "unique_id": id,
            "macro_sql": m.sql,
            "depends_on": {"macros": m.depends_on},
            "description": m.description,
            "meta": {},
            "docs": {"show": true, "node_color": Json::Null},
            "patch_path": Json::Null,
            "arguments": [],
            "created_at": seconds(context),
            "supported_languages": Json::Null,
            "config": {"meta": {}, "docs": {"show": true, "node_color": Json::Null}},
        });
        (id, entry)
    };
    context.macros.iter().map(entry).collect()
}

fn groups(context: &ManifestContext) -> Map<String, Json> {
    let entry = |(name, group): (&String, &Json)| {
        let id = format!("group.{}.{name}", context.project);
        let entry = json!({
            "name": name,
            "resource_type": "group",
            "package_name": context.project,
            "path": "",
            "original_file_path": "",
            "unique_id": id,
            "owner": group.get("owner").cloned().unwrap_or(json!({"email": Json::Null, "name": Json::Null})),
            "description": group.get("description"),
            "config": group.get("config").cloned().unwrap_or(json!({})),
        });
        (id, entry)
    };
    context.groups.iter().map(entry).collect()
}

fn docs(context: &ManifestContext) -> Map<String, Json> {
    let entry = |d: &DocEntry| {
        let id = format!("doc.{}.{}", d.package, d.name);
        let path = slashes(&d.path);
        let entry = json!({
            "name": d.name,
            "resource_type": "doc",
            "package_name": d.package,
            "path": path,
            "original_file_path": path,
            "unique_id": id,
            "block_contents": d.contents,
        });
        (id, entry)
    };
    context.docs.iter().map(entry).collect()
}

fn seconds(context: &ManifestContext) -> f64 {
    context.generated_at.timestamp_micros() as f64 / 1e6
}

fn time(t: DateTime<Utc>) -> String {
    t.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// dbt's project id is the MD5 of the project's name.
fn md5(text: &str) -> impl std::fmt::LowerHex {
    use md5::{Digest, Md5};
    u128::from_be_bytes(Md5::digest(text.as_bytes()).into())
}

/// Paths in artifacts have slashes on every system.
fn slashes(path: &Path) -> String {
    path.components().map(|c| c.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::nodes;

    fn context() -> ManifestContext {
        ManifestContext {
            project: "p".into(),
            adapter: "datafusion".into(),
            invocation: "i".into(),
            started_at: DateTime::UNIX_EPOCH,
            generated_at: DateTime::UNIX_EPOCH,
            env: Map::new(),
            macros: vec![MacroEntry {
                package: "p".into(),
                name: "m".into(),
                path: "macros/m.sql".into(),
                sql: "{% macro m() %}{% endmacro %}".into(),
                description: String::new(),
                depends_on: vec![],
            }],
            docs: vec![],
            groups: Default::default(),
            semantic: vec![],
            compiled: HashMap::from([(NodeId::new("model.p.a"), ("select 1".into(), Some("target/compiled/p/a.sql".into())))]),
        }
    }

    fn manifest(graph: &str) -> Json {
        of(&nodes(graph), &context())
    }

    #[test]
    fn every_top_level_key_is_there() {
        let keys = manifest("a");
        let keys: Vec<&str> = keys.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(
            keys,
            [
                "metadata",
                "nodes",
                "sources",
                "macros",
                "docs",
                "exposures",
                "metrics",
                "groups",
                "selectors",
                "disabled",
                "parent_map",
                "child_map",
                "group_map",
                "saved_queries",
                "semantic_models",
                "unit_tests",
                "functions"
            ]
        );
    }

    #[test]
    fn nodes_stand_under_their_type_and_know_their_neighbours() {
        let m = manifest("src_s; seed_x; a < src_s seed_x; test_a < a");
        assert_eq!(m["parent_map"]["model.p.a"], json!(["seed.p.seed_x", "source.p.s.src_s"]));
        assert_eq!(m["child_map"]["model.p.a"], json!(["test.p.test_a"]));
        assert_eq!(m["child_map"]["test.p.test_a"], json!([]));
        assert_eq!(m["nodes"]["model.p.a"]["relation_name"], "DB.S.A");
        assert_eq!(m["nodes"]["model.p.a"]["compiled_code"], "select 1");
        assert_eq!(m["nodes"]["seed.p.seed_x"]["config"]["materialized"], "seed");
        assert_eq!(m["sources"]["source.p.s.src_s"]["source_name"], "s");
        assert_eq!(m["macros"]["macro.p.m"]["name"], "m");
        assert_eq!(m["nodes"]["test.p.test_a"]["config"]["severity"], "ERROR");
        assert_eq!(m["metadata"]["project_id"], "83878c91171338902e0fe0fb97a8c47a");
    }

    #[test]
    fn the_text_is_that_of_the_value() {
        let mut nodes = nodes("src_s; seed_x; a < src_s seed_x; test_a < a; b < a");
        nodes[4].config.enabled = false;
        let context = context();
        assert_eq!(text(&nodes, &context), of(&nodes, &context).to_string());
        assert_eq!(text(&[], &context), of(&[], &context).to_string());
    }

    #[test]
    fn disabled_nodes_stand_apart() {
        let mut nodes = nodes("a; b < a");
        nodes[1].config.enabled = false;
        let m = of(&nodes, &context());
        assert!(m["nodes"].get("model.p.b").is_none());
        assert_eq!(m["disabled"]["model.p.b"][0]["name"], "b");
    }
}
