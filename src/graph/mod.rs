//! The project as a graph: nodes, edges, cycles, selection.
//!
//! [`Graph::new`] takes nodes whose `depends_on` is resolved and refuses what no plan could run: two nodes with one id, two
//! nodes that would write one table, a cycle. Nothing here reads files or renders templates.

mod cycle;
mod definition;
mod facts;
mod node;
mod selection;
mod selector;

use std::{cmp::Reverse, collections::BinaryHeap, path::Path};

pub use definition::Definition;
pub use facts::{Changes, Facts};
use indexmap::{IndexMap, IndexSet, map::Entry};
pub use node::*;
use petgraph::{
    Direction,
    graph::{DiGraph, NodeIndex},
};
pub use selection::{IndirectSelection, Named, Selection, SelectionArgs, select};

use crate::{
    diagnostic::{Diagnostic, Diagnostics, Place},
    names::{NodeId, RelationName, ResourceType},
};

/// Nodes and what each needs. An edge goes from the needed to the needing.
#[derive(Clone, Debug)]
pub struct Graph {
    nodes: IndexMap<NodeId, Node>,
    /// Vertex `n` is the `n`th node.
    edges: DiGraph<(), ()>,
    order: Vec<NodeId>,
}

impl Graph {
    /// All faults together: ids used twice, relations written twice, every cycle.
    pub fn new(nodes: Vec<Node>) -> Result<Self, Diagnostics> {
        let mut faults = Diagnostics::default();
        let mut by_id: IndexMap<NodeId, Node> = IndexMap::with_capacity(nodes.len());
        for node in nodes {
            match by_id.entry(node.id.clone()) {
                Entry::Vacant(slot) => {
                    slot.insert(node);
                }
                Entry::Occupied(first) => faults.push(duplicate_id(first.get(), &node)),
            }
        }
        check_relations(&by_id, &mut faults);

        let mut edges = DiGraph::with_capacity(by_id.len(), by_id.len() * 2);
        for _ in 0..by_id.len() {
            edges.add_node(());
        }
        // `update_edge` would walk all edges of a parent for each child of it
        let mut last_child = vec![usize::MAX; by_id.len()];
        for (index, node) in by_id.values().enumerate() {
            for parent in &node.depends_on {
                match by_id.get_index_of(parent) {
                    Some(from) => {
                        if std::mem::replace(&mut last_child[from], index) != index {
                            edges.add_edge(NodeIndex::new(from), NodeIndex::new(index), ());
                        }
                    }
                    None => faults.push(
                        Diagnostic::error("graph/unknown-node", format!("`{}` depends on `{parent}`, which does not exist", node.id))
                            .at(node.declared_at(), "declared here"),
                    ),
                }
            }
        }
        for path in cycle::find(&edges) {
            let path: Vec<&Node> = path.iter().map(|i| &by_id[i.index()]).collect();
            faults.push(cycle::describe(&path));
        }
        if faults.has_errors() {
            return Err(faults);
        }
        let order = topological(&edges).into_iter().map(|i| by_id[i].id.clone()).collect();
        Ok(Self { nodes: by_id, edges, order })
    }

    pub fn node(&self, id: &NodeId) -> Option<&Node> {
        self.nodes.get(id)
    }

    /// In order of declaration.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &Node> {
        self.nodes.values()
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Position in the order of declaration; dense, so that callers can keep facts in a `Vec`.
    pub fn index_of(&self, id: &NodeId) -> Option<usize> {
        self.nodes.get_index_of(id)
    }

    /// What the node needs, in order of declaration.
    pub fn parents(&self, id: &NodeId) -> impl Iterator<Item = &Node> {
        self.neighbours(id, Direction::Incoming)
    }

    /// What needs the node (tests included), in order of declaration.
    pub fn children(&self, id: &NodeId) -> impl Iterator<Item = &Node> {
        self.neighbours(id, Direction::Outgoing)
    }

    /// Everything above, nearest first, without the node itself; `depth` limits the number of edges.
    pub fn ancestors(&self, id: &NodeId, depth: Option<usize>) -> IndexSet<NodeId> {
        self.reach(id, depth, Direction::Incoming)
    }

    /// Everything below, nearest first, without the node itself; `depth` limits the number of edges.
    pub fn descendants(&self, id: &NodeId, depth: Option<usize>) -> IndexSet<NodeId> {
        self.reach(id, depth, Direction::Outgoing)
    }

    /// Topological: parents first, the order of declaration where the graph leaves it open.
    pub fn order(&self) -> &[NodeId] {
        &self.order
    }

    /// Tests that depend on the node, whatever else they depend on.
    pub fn tests_of(&self, id: &NodeId) -> impl Iterator<Item = &Node> {
        self.children(id).filter(|n| matches!(n.kind, ResourceType::Test | ResourceType::UnitTest))
    }

    fn neighbours(&self, id: &NodeId, direction: Direction) -> impl Iterator<Item = &Node> {
        let mut found: Vec<usize> = match self.nodes.get_index_of(id) {
            Some(index) => self.edges.neighbors_directed(NodeIndex::new(index), direction).map(NodeIndex::index).collect(),
            None => vec![],
        };
        found.sort_unstable();
        found.into_iter().map(|i| &self.nodes[i])
    }

    fn reach(&self, id: &NodeId, depth: Option<usize>, direction: Direction) -> IndexSet<NodeId> {
        let Some(start) = self.nodes.get_index_of(id) else { return IndexSet::new() };
        self.reach_all([start], depth, direction).into_iter().filter(|i| *i != start).map(|i| self.nodes[i].id.clone()).collect()
    }

    /// Breadth first from several nodes at once, the starting ones included: one pass however many there are.
    fn reach_all(&self, start: impl IntoIterator<Item = usize>, depth: Option<usize>, direction: Direction) -> IndexSet<usize> {
        let mut seen: IndexSet<usize> = start.into_iter().collect();
        let (mut next, mut level_end, mut level) = (0, seen.len(), 0);
        while next < seen.len() && depth.is_none_or(|d| level < d) {
            let mut around: Vec<usize> =
                self.edges.neighbors_directed(NodeIndex::new(seen[next]), direction).map(NodeIndex::index).collect();
            around.sort_unstable();
            seen.extend(around);
            next += 1;
            if next == level_end {
                (level_end, level) = (seen.len(), level + 1);
            }
        }
        seen
    }
}

impl Node {
    /// Where a message about the node as a whole points: its YAML entry when it is one, else its file.
    pub fn declared_at(&self) -> Place {
        let by_yaml = matches!(self.kind, ResourceType::Source | ResourceType::Exposure | ResourceType::UnitTest)
            || self.test.as_ref().is_some_and(|t| t.generic.is_some());
        match &self.patch {
            Some(place) if by_yaml => place.clone(),
            _ => Place::start_of(&self.file),
        }
    }

    /// Where the node names `parent`, if it does so in a template.
    pub fn reference_to(&self, parent: &Node) -> Option<Place> {
        let by_ref = self.refs.iter().find(|r| parent.kind != ResourceType::Source && r.name.eq_ignore_ascii_case(&parent.name));
        let by_source = || {
            let info = parent.source.as_ref()?;
            self.sources.iter().find(|s| s.source.eq_ignore_ascii_case(&info.source_name) && s.table.eq_ignore_ascii_case(&info.table_name))
        };
        by_ref.map(|r| r.place.clone()).or_else(|| by_source().map(|s| s.place.clone()))
    }

    fn folder(&self) -> &Path {
        self.original_file_path.parent().unwrap_or_else(|| Path::new(""))
    }
}

fn duplicate_id(first: &Node, second: &Node) -> Diagnostic {
    Diagnostic::error("graph/duplicate-name", format!("two {}s are named `{}`", second.kind, second.name))
        .at(second.declared_at(), "the second one")
        .related(first.declared_at(), "the first one")
        .help("names are unique in a project; rename one of them")
}

/// Two writers of one table would overwrite each other. A source without an adapter only reads, so it may share.
fn check_relations(nodes: &IndexMap<NodeId, Node>, faults: &mut Diagnostics) {
    let mut writers: IndexMap<&RelationName, &Node> = IndexMap::new();
    let writes = |n: &&Node| matches!(n.kind, ResourceType::Model | ResourceType::Seed | ResourceType::Snapshot) || n.is_executable();
    for node in nodes.values().filter(writes).filter(|n| n.kind != ResourceType::Test) {
        let Some(relation) = &node.relation else { continue };
        match writers.entry(relation) {
            Entry::Vacant(slot) => {
                slot.insert(node);
            }
            Entry::Occupied(first) => faults.push(
                Diagnostic::error(
                    "graph/duplicate-relation",
                    format!("`{}` and `{}` would both write `{relation}`", first.get().id, node.id),
                )
                .at(node.declared_at(), "the second one")
                .related(first.get().declared_at(), "the first one")
                .note(format!("two resources cannot have the identical database representation `{relation}`"))
                .help("give one of them another `alias`, `schema` or `database`"),
            ),
        }
    }
}

/// Kahn's algorithm over a heap of positions: deterministic, declaration order among equals. The graph has no cycle.
fn topological(edges: &DiGraph<(), ()>) -> Vec<usize> {
    let mut missing: Vec<usize> = edges.node_indices().map(|i| edges.neighbors_directed(i, Direction::Incoming).count()).collect();
    let mut ready: BinaryHeap<Reverse<usize>> = missing.iter().enumerate().filter(|(_, n)| **n == 0).map(|(i, _)| Reverse(i)).collect();
    let mut order = Vec::with_capacity(missing.len());
    while let Some(Reverse(index)) = ready.pop() {
        order.push(index);
        for child in edges.neighbors(NodeIndex::new(index)) {
            missing[child.index()] -= 1;
            if missing[child.index()] == 0 {
                ready.push(Reverse(child.index()));
            }
        }
    }
    order
}

#[cfg(test)]
pub(crate) mod tests;
