//! A project with its types to the page of its documentation: nodes, columns, tests, SQL, and where each column comes from.
//!
//! The page is one file that works from the disk: its data, its style and its program are in it, and it asks no network. What
//! the warehouse holds is not read here.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value as Json, json};

use crate::{
    graph::Node,
    names::{NodeId, ResourceType},
    project::Project,
    typing::{Edge, TypedNode, Typing},
};

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const PROGRAM: &str = include_str!("page.js");

/// What the page tells.
pub struct Facts<'a> {
    pub project: &'a Project,
    pub typing: &'a Typing,
    /// SQL of nodes that could be compiled.
    pub compiled: &'a HashMap<NodeId, String>,
    /// As a reader would say it.
    pub generated_at: String,
}

/// The whole page. Texts of the project are data to it, never markup.
pub fn page(facts: &Facts<'_>) -> String {
    // `</script>` in somebody's SQL ends nothing
    let data = data(facts).to_string().replace('<', "\\u003c");
    let title: String = facts.project.name.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect();
    PAGE.replace("@title@", &title).replace("@style@", STYLE).replace("@program@", PROGRAM).replace("@data@", &data)
}

fn data(facts: &Facts<'_>) -> Json {
    let graph = &facts.project.graph;
    let mut origins: HashMap<(&NodeId, &str), Vec<&Edge>> = HashMap::new();
    let edges = facts.typing.edges(false);
    for edge in &edges {
        origins.entry((&edge.to.node, edge.to.column.as_str())).or_default().push(edge);
    }
    let mut tests: BTreeMap<&NodeId, Vec<&Node>> = BTreeMap::new();
    for test in graph.nodes().filter(|n| matches!(n.kind, ResourceType::Test | ResourceType::UnitTest)) {
        let tested = test.test.as_ref().and_then(|t| t.attached_to.as_ref()).or(test.depends_on.first());
        if let Some(tested) = tested {
            tests.entry(tested).or_default().push(test);
        }
    }
    let shown = |n: &&Node| !matches!(n.kind, ResourceType::Test | ResourceType::UnitTest | ResourceType::Operation);
    let nodes: Vec<Json> = graph
        .order()
        .iter()
        .filter_map(|id| graph.node(id))
        .filter(shown)
        .map(|node| entry(node, facts, &origins, tests.get(&node.id).map_or(&[], Vec::as_slice)))
        .collect();
    let description = facts.project.docs.get("__overview__").map_or("", String::as_str);
    json!({
        "project": facts.project.name,
        "target": facts.project.profile.target_name,
        "generated_at": facts.generated_at,
        "segue": env!("CARGO_PKG_VERSION"),
        "overview": description,
        "nodes": nodes,
    })
}

fn entry(node: &Node, facts: &Facts<'_>, origins: &HashMap<(&NodeId, &str), Vec<&Edge>>, tests: &[&Node]) -> Json {
    let typed = facts.typing.nodes.get(&node.id);
    let source = node.source.as_ref().map(|s| s.source_name.as_str());
    let on_node = tests.iter().filter(|t| column_of(t).is_none()).map(|t| label(t));
    json!({
        "id": node.id.as_str(),
        "name": source.map_or_else(|| node.name.clone(), |s| format!("{s}.{}", node.name)),
        "kind": node.kind.as_str(),
        "package": node.package,
        "file": node.original_file_path.to_string_lossy(),
        "folder": node.fqn.get(1..node.fqn.len().saturating_sub(1)).unwrap_or(&[]),
        "relation": node.relation.as_ref().map(ToString::to_string),
        "materialized": (node.kind == ResourceType::Model).then_some(&node.config.materialized),
        "description": node.description,
        "tags": node.tags,
        "meta": node.meta,
        "parents": node.depends_on.iter().map(NodeId::as_str).collect::<Vec<_>>(),
        "columns": columns(node, typed.map(AsRef::as_ref), origins, tests),
        "untyped": facts.typing.untyped.get(&node.id),
        "tests": on_node.collect::<Vec<_>>(),
        "sql": (node.kind != ResourceType::Source && node.kind != ResourceType::Seed).then_some(&node.raw_code),
        "compiled": facts.compiled.get(&node.id),
    })
}

/// Those of the SQL in its order, then those that only YAML names.
fn columns(node: &Node, typed: Option<&TypedNode>, origins: &HashMap<(&NodeId, &str), Vec<&Edge>>, tests: &[&Node]) -> Vec<Json> {
    let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
    let known: Vec<(&str, Option<&str>)> = typed.map_or(vec![], |t| {
        let all = t.columns.iter();
        all.map(|c| (c.name.as_str(), Some(c.data_type.as_str()))).collect()
    });
    let declared = node.columns.values().filter(|c| !known.iter().any(|(name, _)| same(name, &c.name)));
    let declared: Vec<(&str, Option<&str>)> = declared.map(|c| (c.name.as_str(), c.data_type.as_deref())).collect();
    known
        .into_iter()
        .chain(declared)
        .map(|(name, data_type)| {
            let described = node.columns.values().find(|c| same(&c.name, name)).map_or("", |c| c.description.as_str());
            let own = tests.iter().filter(|t| column_of(t).is_some_and(|c| same(c, name))).map(|t| label(t));
            let from = origins.get(&(&node.id, name)).into_iter().flatten();
            let from = from.map(|e| json!([e.from.node.as_str(), e.from.column, e.way.as_str()]));
            json!({
                "name": name,
                "type": data_type,
                "description": described,
                "tests": own.collect::<Vec<_>>(),
                "from": from.collect::<Vec<_>>(),
            })
        })
        .collect()
}

fn column_of(test: &Node) -> Option<&str> {
    test.test.as_ref().and_then(|t| t.column.as_deref())
}

/// `unique`, `accepted_values`; the name of a test that is no generic one.
fn label(test: &Node) -> &str {
    test.test.as_ref().and_then(|t| t.generic.as_ref()).map_or(&test.name, |g| &g.name)
}
