//! A project to the columns of its models: every query planned against its parents, nothing read and nothing built.
//!
//! | file | what it does |
//! |---|---|
//! | `schedule.rs` | nodes in the order of the graph, independent ones side by side |
//! | `draft.rs` | one node: its columns, or why they are not known |
//! | `memory.rs` | what was typed before and has not changed |
//! | `described.rs` | what templates are told of relations meanwhile |
//! | `unit_test.rs` | fixtures held against the columns of inputs and models |
//! | [`difference`] | two versions of a project held against each other |
//! | `rules.rs` | what a project demands of itself, and how bad each finding is |
//!
//! A node that cannot be typed (SQL that depends on rows, a source that nobody described) takes only what it needs from
//! others: its children are typed if its columns are declared or stand in the warehouse, and are left alone otherwise.

mod described;
pub mod difference;
mod draft;
mod memory;
mod rules;
mod schedule;
mod unit_test;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, atomic::AtomicBool},
};

use tokio::runtime::Handle;

pub use self::{memory::Memory, rules::Rules};
use crate::{
    diagnostic::{Diagnostic, Diagnostics, Place},
    engine::datafusion::Drafting,
    graph::Node,
    lineage::{Lineage, Origin, Way},
    names::{NodeId, RelationName, ResourceType},
    project::Project,
    run::AdapterFactory,
};

/// One column of a typed node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnType {
    /// As it is stored.
    pub name: String,
    /// Snowflake's spelling.
    pub data_type: String,
}

/// What is known of a node before it is built.
#[derive(Clone, Debug, Default)]
pub struct TypedNode {
    pub columns: Vec<ColumnType>,
    /// Empty for sources and seeds.
    pub lineage: Lineage,
}

/// How a node went.
#[derive(Clone, Debug)]
pub(crate) enum State {
    Typed(Arc<TypedNode>),
    /// The faults are told; what stands below is not held against it.
    Faulty,
    /// Why it cannot be typed without data.
    Untyped(String),
}

/// What typing needs beside the project.
#[derive(Clone)]
pub struct Tools {
    pub drafting: Drafting,
    pub runtime: Handle,
    pub adapters: AdapterFactory,
    /// Whether the local engine runs the project. What it lacks is no fault of a project that runs elsewhere.
    pub is_local: bool,
    /// Set from outside when nobody waits for the answer any more: what is left is not typed.
    pub cancelled: Arc<AtomicBool>,
    /// Of earlier runs.
    pub memory: Arc<Memory>,
}

/// A project with types.
#[derive(Debug, Default)]
pub struct Typing {
    pub nodes: HashMap<NodeId, Arc<TypedNode>>,
    /// Nodes that could not be typed, and why.
    pub untyped: BTreeMap<NodeId, String>,
    pub findings: Diagnostics,
    /// Which node stands for a relation.
    owners: HashMap<RelationName, NodeId>,
}

/// Types the whole project. Findings are in the order of files and lines.
pub fn check(project: &Arc<Project>, tools: &Tools, rules: &Rules) -> Typing {
    let mut typing = schedule::all(project, tools, None);
    typing.owners = owners(project);
    rules::apply(project, &mut typing, rules);
    let key = |d: &Diagnostic| d.place.as_ref().map(|p| (p.file.path().to_owned(), p.range.start));
    typing.findings.0.sort_by_cached_key(key);
    typing.findings.0.dedup_by(|b, a| a.code == b.code && a.message == b.message && key(a) == key(b));
    typing
}

/// The columns of these nodes and of all that they are made from, where they can be told; nothing is held against any rule.
pub fn columns(project: &Arc<Project>, tools: &Tools, of: impl IntoIterator<Item = NodeId>) -> HashMap<NodeId, Arc<TypedNode>> {
    let (mut above, mut open) = (HashSet::new(), of.into_iter().collect::<Vec<_>>());
    while let Some(id) = open.pop() {
        let Some(node) = project.graph.node(&id).filter(|_| !above.contains(&id)) else { continue };
        open.extend(node.depends_on.iter().cloned());
        above.insert(id);
    }
    schedule::all(project, tools, Some(&above)).nodes
}

fn owners(project: &Project) -> HashMap<RelationName, NodeId> {
    let owning = |n: &&Node| matches!(n.kind, ResourceType::Model | ResourceType::Source | ResourceType::Seed | ResourceType::Snapshot);
    project.graph.nodes().filter(owning).filter_map(|n| Some((n.relation.clone()?, n.id.clone()))).collect()
}

/// A column of a node, on the way up or down.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeColumn {
    pub node: NodeId,
    pub column: String,
}

/// One step between two columns.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    pub from: NodeColumn,
    pub to: NodeColumn,
    pub way: Way,
}

impl Typing {
    /// The node that a relation belongs to.
    pub fn owner(&self, relation: &RelationName) -> Option<&NodeId> {
        self.owners.get(relation)
    }

    fn edge(&self, origin: &Origin, to: &NodeColumn, way: Way) -> Option<Edge> {
        let from = NodeColumn { node: self.owner(&origin.relation)?.clone(), column: origin.column.clone() };
        Some(Edge { from, to: to.clone(), way })
    }

    /// Every step between columns; with `filters`, those too that only decide which rows there are.
    pub fn edges(&self, filters: bool) -> Vec<Edge> {
        let mut all = vec![];
        for (id, typed) in &self.nodes {
            for (column, origins) in &typed.lineage.columns {
                let to = NodeColumn { node: id.clone(), column: column.clone() };
                let beside = typed.lineage.filters.iter().filter(|(o, _)| filters && !origins.contains_key(*o));
                let own = origins.iter().filter(|(_, way)| filters || **way != Way::Filter);
                all.extend(own.chain(beside).filter_map(|(origin, way)| self.edge(origin, &to, *way)));
            }
        }
        all.sort();
        all
    }
}

/// Where a YAML entry names a column: the word itself, or the entry where it cannot be found.
pub(crate) fn column_place(node: &Node, column: &str) -> Place {
    let Some(patch) = &node.patch else { return Place::start_of(&node.file) };
    let mut from = Place::new(&patch.file, patch.range.end..patch.range.end);
    while let Some(found) = word_after(&from, column) {
        let before = patch.file.text[..found.range.start].trim_end_matches(['"', '\'']).trim_end();
        if before.ends_with("name:") {
            return found;
        }
        from = Place::new(&patch.file, found.range.end..found.range.end);
    }
    patch.clone()
}

/// The first place where a whole word stands behind a place of its file.
pub(crate) fn word_after(place: &Place, word: &str) -> Option<Place> {
    let text = &place.file.text;
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut from = place.range.start;
    while let Some(at) = text.get(from..)?.to_ascii_lowercase().find(&word.to_ascii_lowercase()).map(|n| n + from) {
        let end = at + word.len();
        let before = text[..at].chars().next_back();
        let after = text.get(end..)?.chars().next();
        if !before.is_some_and(is_word) && !after.is_some_and(is_word) {
            return Some(Place::new(&place.file, at..end));
        }
        from = end;
    }
    None
}
