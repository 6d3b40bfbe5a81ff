//! `ls`: the chosen nodes, in order of the graph. Opens no warehouse.

use serde_json::{Map, Value as Json, json};

use super::{chosen, load, print};
use crate::{
    cli::{
        args::{ListOutput, Selecting},
        message::Failure,
        settings::Settings,
    },
    graph::Node,
    names::ResourceType,
};

pub fn run(selecting: &Selecting, output: ListOutput, keys: &[String], settings: &Settings) -> Result<i32, Failure> {
    let project = load("list", false, settings)?;
    let selection = chosen(&project.graph, selecting, &project.name, settings)?;
    let keys: Vec<&str> = keys.iter().flat_map(|k| k.split_whitespace()).collect();
    let mut text = String::new();
    let mut nodes: Vec<&Node> = project.graph.nodes().filter(|n| selection.nodes.contains(&n.id)).collect();
    nodes.sort_by_key(|n| selector(n));
    for node in nodes {
        let line = match output {
            ListOutput::Selector => selector(node),
            ListOutput::Name => node.name.clone(),
            ListOutput::Path => node.original_file_path.display().to_string(),
            ListOutput::Json => object(node, &keys).to_string(),
        };
        text.push_str(&line);
        text.push('\n');
    }
    print(&text);
    Ok(0)
}

/// What selects exactly this node.
fn selector(node: &Node) -> String {
    match (node.kind, &node.source) {
        (ResourceType::Source, Some(source)) => format!("source:{}.{}.{}", node.package, source.source_name, source.table_name),
        (ResourceType::Exposure, _) => format!("exposure:{}.{}", node.package, node.name),
        _ => node.fqn.join("."),
    }
}

fn object(node: &Node, keys: &[&str]) -> Json {
    let all = json!({
        "name": node.name,
        "resource_type": node.kind.as_str(),
        "package_name": node.package,
        "original_file_path": node.original_file_path,
        "unique_id": node.id,
        "alias": node.alias,
        "config": node.config.all,
        "tags": node.tags,
        "depends_on": {"macros": [], "nodes": node.depends_on},
        "source_name": node.source.as_ref().map(|s| &s.source_name),
    });
    const DEFAULT: [&str; 9] =
        ["alias", "name", "package_name", "depends_on", "tags", "config", "resource_type", "original_file_path", "unique_id"];
    let Json::Object(all) = all else { return Json::Null };
    let wanted = |key: &str| if keys.is_empty() { DEFAULT.contains(&key) } else { keys.contains(&key) };
    Json::Object(all.into_iter().filter(|(k, v)| wanted(k) && !v.is_null()).collect::<Map<_, _>>())
}
