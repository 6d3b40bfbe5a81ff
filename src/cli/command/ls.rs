//! `ls`: the chosen nodes, one line each. Opens no warehouse and starts no threads.

use serde_json::{Map, Value as Json, json};

use crate::{
    cli::{
        args::{ListOutput, Selecting},
        config::Config,
        message::{self, Failure},
        stdout::print,
        workspace::{chosen, load},
    },
    graph::Node,
    names::ResourceType,
};

pub(super) fn run(selecting: &Selecting, output: ListOutput, keys: &[String], config: &Config) -> Result<i32, Failure> {
    let project = load("list", &[], config)?;
    let selection = chosen(&project, selecting, config)?;
    let keys: Vec<&str> = keys.iter().flat_map(|k| k.split_whitespace()).collect();
    let mut nodes: Vec<&Node> = selection.nodes.iter().filter_map(|id| project.graph.node(id)).collect();
    if nodes.is_empty() {
        message::note("No nodes selected!", config);
        return Ok(0);
    }
    nodes.sort_by_cached_key(|n| (rank(n.kind), selector(n)));
    let mut text = String::new();
    for node in nodes {
        text.push_str(&match output {
            ListOutput::Selector => selector(node),
            ListOutput::Name => name(node),
            ListOutput::Path => node.original_file_path.display().to_string(),
            ListOutput::Json => object(node, &keys).to_string(),
        });
        text.push('\n');
    }
    print(&text);
    // the process ends here: taking tens of thousands of nodes apart would be the longest part of it
    std::mem::forget(project);
    Ok(0)
}

fn rank(kind: ResourceType) -> usize {
    const ORDER: [ResourceType; 3] = [ResourceType::Source, ResourceType::Exposure, ResourceType::UnitTest];
    // nodes proper first, as dbt lists them
    ORDER.iter().position(|k| *k == kind).map_or(0, |i| i + 1)
}

/// What selects exactly this node.
fn selector(node: &Node) -> String {
    match (node.kind, &node.source) {
        (ResourceType::Source, Some(source)) => format!("source:{}.{}.{}", node.package, source.source_name, source.table_name),
        (ResourceType::Exposure, _) => format!("exposure:{}.{}", node.package, node.name),
        (ResourceType::UnitTest, _) => format!("unit_test:{}.{}", node.package, node.name),
        _ => node.fqn.join("."),
    }
}

fn name(node: &Node) -> String {
    match &node.source {
        Some(source) => format!("{}.{}", source.source_name, source.table_name),
        None => node.name.clone(),
    }
}

/// dbt's keys, or those asked for; unknown keys are left out as dbt does.
fn object(node: &Node, keys: &[&str]) -> Json {
    const DEFAULT: [&str; 11] = [
        "alias",
        "name",
        "package_name",
        "depends_on",
        "tags",
        "config",
        "resource_type",
        "source_name",
        "original_file_path",
        "unique_id",
        "description",
    ];
    let relation = node.relation.as_ref();
    let all = json!({
        "name": node.name,
        "resource_type": node.kind.as_str(),
        "package_name": node.package,
        "original_file_path": node.original_file_path,
        "unique_id": node.id,
        "alias": node.alias,
        "source_name": node.source.as_ref().map(|s| &s.source_name),
        "config": node.config.all,
        "tags": node.tags,
        "depends_on": {"macros": [], "nodes": node.depends_on},
        "description": node.description,
        "database": relation.map(|r| r.database.as_str()),
        "schema": relation.map(|r| r.schema.as_str()),
        "relation_name": relation.map(ToString::to_string),
        "fqn": node.fqn,
        "path": node.path,
        "meta": node.meta,
        "raw_code": node.raw_code,
    });
    let Json::Object(all) = all else { return Json::Null };
    let wanted = |key: &str| if keys.is_empty() { DEFAULT.contains(&key) } else { keys.contains(&key) };
    Json::Object(all.into_iter().filter(|(k, v)| wanted(k) && !v.is_null()).collect::<Map<_, _>>())
}
