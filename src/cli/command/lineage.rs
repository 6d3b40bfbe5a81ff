//! `lineage`: the way of a column through the project, up or down, as text, JSON, Mermaid or Graphviz.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::json;

use crate::{
    cli::{
        args::{LineageArgs, LineageOutput},
        config::Config,
        findings,
        message::{self, Failure},
        stdout::print,
        typed::{self, Typed},
    },
    diagnostic::Diagnostic,
    names::{NodeId, nearest},
    project::Project,
    typing::{Edge, NodeColumn},
};

pub(super) fn run(args: &LineageArgs, config: &Config) -> Result<i32, Failure> {
    let typed = typed::load("lineage", config)?;
    let start = wanted(&typed, &args.column)?;
    let edges = typed.typing.edges(!args.no_filters);
    let mut found: BTreeSet<Edge> = BTreeSet::new();
    if args.upstream || !args.downstream {
        found.extend(follow(&edges, &start, args.depth, |e| (&e.to, &e.from)));
    }
    if args.downstream {
        found.extend(follow(&edges, &start, args.depth, |e| (&e.from, &e.to)));
    }
    let found: Vec<Edge> = found.into_iter().collect();
    print(&match args.output {
        LineageOutput::Text => text(&typed.project, &start, &found, args),
        LineageOutput::Json => findings::pretty(&json!({
            "columns": start.iter().map(|c| shown(&typed.project, c)).collect::<Vec<_>>(),
            "edges": found.iter().map(|e| json!({
                "from": {"node": e.from.node.to_string(), "column": e.from.column},
                "to": {"node": e.to.node.to_string(), "column": e.to.column},
                "how": e.way.as_str(),
            })).collect::<Vec<_>>(),
        })),
        LineageOutput::Mermaid => mermaid(&typed.project, &found),
        LineageOutput::Dot => dot(&typed.project, &found),
    });
    let open = typed.typing.untyped.values().filter(|why| !why.is_empty()).count();
    if open > 0 {
        message::note(&format!("{open} nodes are not typed, so their columns are missing here; `segue check` tells more"), config);
    }
    Ok(0)
}

/// The columns that the argument names.
fn wanted(typed: &Typed, text: &str) -> Result<Vec<NodeColumn>, Failure> {
    let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
    let names = |name: &str| -> Vec<NodeId> {
        let is = |id: &NodeId| {
            typed.project.graph.node(id).is_some_and(|n| {
                let full = n.source.as_ref().map(|s| format!("{}.{}", s.source_name, s.table_name));
                same(&n.name, name) || full.is_some_and(|f| same(&f, name)) || same(&id.to_string(), name)
            })
        };
        typed.typing.nodes.keys().filter(|id| is(id)).cloned().collect()
    };
    let whole = names(text);
    let (nodes, column) = match text.rsplit_once('.') {
        Some((node, column)) if whole.is_empty() => (names(node), Some(column)),
        _ => (whole, None),
    };
    if nodes.is_empty() {
        let name = text.rsplit_once('.').map_or(text, |(node, _)| node);
        let fault = Diagnostic::error("cli/lineage", format!("there is no typed node `{name}`"));
        let known: Vec<&str> = typed.project.graph.nodes().map(|n| n.name.as_str()).collect();
        return Err(match nearest(name, known.iter().copied()) {
            Some(near) => fault.help(format!("did you mean `{near}`?")).into(),
            None => fault.help("name a column as `model.column`").into(),
        });
    }
    let all: Vec<NodeColumn> = nodes
        .iter()
        .filter_map(|id| Some((id, typed.typing.nodes.get(id)?)))
        .flat_map(|(id, t)| t.columns.iter().map(move |c| NodeColumn { node: id.clone(), column: c.name.clone() }))
        .collect();
    let Some(column) = column else { return Ok(all) };
    let found: Vec<NodeColumn> = all.iter().filter(|c| same(&c.column, column.trim_matches('"'))).cloned().collect();
    if found.is_empty() {
        let fault =
            Diagnostic::error("cli/lineage", format!("`{}` has no column `{column}`", text.rsplit_once('.').map_or(text, |(n, _)| n)));
        let known: Vec<String> = all.iter().map(|c| c.column.to_lowercase()).collect();
        let help = findings::meant(&column.to_lowercase(), known.iter().map(String::as_str));
        return Err(fault.help(help.unwrap_or_else(|| format!("there are `{}`", known.join("`, `")))).into());
    }
    Ok(found)
}

/// Edges that are reached, breadth first.
fn follow<'a>(
    edges: &'a [Edge],
    start: &[NodeColumn],
    depth: Option<usize>,
    ends: impl Fn(&'a Edge) -> (&'a NodeColumn, &'a NodeColumn),
) -> Vec<Edge> {
    let mut at: BTreeMap<&NodeColumn, Vec<&Edge>> = BTreeMap::new();
    for edge in edges {
        at.entry(ends(edge).0).or_default().push(edge);
    }
    let mut seen: BTreeSet<NodeColumn> = start.iter().cloned().collect();
    let mut queue: VecDeque<(NodeColumn, usize)> = start.iter().map(|c| (c.clone(), 0)).collect();
    let mut found = vec![];
    while let Some((column, level)) = queue.pop_front() {
        if depth.is_some_and(|d| level >= d) {
            continue;
        }
        for edge in at.get(&column).into_iter().flatten() {
            found.push((*edge).clone());
            let next = ends(edge).1;
            // what only filters says nothing of values further on
            if seen.insert(next.clone()) {
                queue.push_back((next.clone(), level + 1));
            }
        }
    }
    found
}

fn shown(project: &Project, column: &NodeColumn) -> String {
    format!("{}.{}", node_name(project, &column.node), column.column)
}

fn node_name(project: &Project, id: &NodeId) -> String {
    match project.graph.node(id) {
        Some(n) => n.source.as_ref().map_or_else(|| n.name.clone(), |s| format!("{}.{}", s.source_name, s.table_name)),
        None => id.to_string(),
    }
}

/// A tree below each column; what was shown once is not shown again.
fn text(project: &Project, start: &[NodeColumn], edges: &[Edge], args: &LineageArgs) -> String {
    let up = args.upstream || !args.downstream;
    let mut lines = vec![];
    for (on, arrow, of) in [(up, "<-", true), (args.downstream, "->", false)] {
        if !on {
            continue;
        }
        let mut at: BTreeMap<&NodeColumn, Vec<(&NodeColumn, &str)>> = BTreeMap::new();
        for edge in edges {
            let (from, to) = if of { (&edge.to, &edge.from) } else { (&edge.from, &edge.to) };
            at.entry(from).or_default().push((to, edge.way.as_str()));
        }
        let mut seen = BTreeSet::new();
        for column in start {
            lines.push(shown(project, column));
            branch(project, column, &at, arrow, 1, &mut seen, &mut lines);
        }
    }
    lines.join("\n")
}

fn branch<'a>(
    project: &Project,
    column: &'a NodeColumn,
    at: &BTreeMap<&'a NodeColumn, Vec<(&'a NodeColumn, &str)>>,
    arrow: &str,
    level: usize,
    seen: &mut BTreeSet<&'a NodeColumn>,
    lines: &mut Vec<String>,
) {
    let Some(next) = at.get(column) else { return };
    if !seen.insert(column) {
        lines.push(format!("{}... as above", "  ".repeat(level)));
        return;
    }
    for (other, way) in next {
        lines.push(format!("{}{arrow} {} ({way})", "  ".repeat(level), shown(project, other)));
        if *way != "filter" {
            branch(project, other, at, arrow, level + 1, seen, lines);
        }
    }
}

/// Columns of the edges by node, each with a short name that any syntax takes.
fn groups(edges: &[Edge]) -> (BTreeMap<&NodeId, BTreeSet<&NodeColumn>>, BTreeMap<&NodeColumn, String>) {
    let mut nodes: BTreeMap<&NodeId, BTreeSet<&NodeColumn>> = BTreeMap::new();
    for column in edges.iter().flat_map(|e| [&e.from, &e.to]) {
        nodes.entry(&column.node).or_default().insert(column);
    }
    let names = nodes.values().flatten().enumerate().map(|(i, c)| (*c, format!("c{i}"))).collect();
    (nodes, names)
}

fn mermaid(project: &Project, edges: &[Edge]) -> String {
    let (nodes, names) = groups(edges);
    let mut lines = vec!["flowchart LR".to_owned()];
    for (i, (node, columns)) in nodes.iter().enumerate() {
        lines.push(format!("  subgraph n{i}[\"{}\"]", node_name(project, node)));
        lines.extend(columns.iter().map(|c| format!("    {}[\"{}\"]", names[c], c.column.replace('"', "#quot;"))));
        lines.push("  end".into());
    }
    lines.extend(edges.iter().map(|e| match e.way.as_str() {
        "copy" => format!("  {} --> {}", names[&e.from], names[&e.to]),
        "filter" => format!("  {} -.->|filter| {}", names[&e.from], names[&e.to]),
        way => format!("  {} -->|{way}| {}", names[&e.from], names[&e.to]),
    }));
    lines.join("\n")
}

fn dot(project: &Project, edges: &[Edge]) -> String {
    let (nodes, names) = groups(edges);
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let mut lines = vec!["digraph lineage {".to_owned(), "  rankdir=LR; node [shape=box];".to_owned()];
    for (i, (node, columns)) in nodes.iter().enumerate() {
        lines.push(format!("  subgraph cluster_{i} {{ label={};", quoted(&node_name(project, node))));
        lines.extend(columns.iter().map(|c| format!("    {} [label={}];", names[c], quoted(&c.column))));
        lines.push("  }".into());
    }
    lines.extend(edges.iter().map(|e| {
        let style = if e.way.as_str() == "filter" { ", style=dashed" } else { "" };
        format!("  {} -> {} [label={}{style}];", names[&e.from], names[&e.to], quoted(e.way.as_str()))
    }));
    lines.push("}".into());
    lines.join("\n")
}
