//! Cycles: one shortest path through each knot of nodes that need each other, told with the places of its references.

use std::collections::{HashMap, VecDeque};

use petgraph::{
    algo::tarjan_scc,
    graph::{DiGraph, NodeIndex},
};

use super::Node;
use crate::diagnostic::{Diagnostic, Place};

/// One cycle per strongly connected component, each in the direction of the edges, without its start repeated.
/// One is enough: when it is cut, the next run shows the next.
pub(super) fn find(edges: &DiGraph<(), ()>) -> Vec<Vec<NodeIndex>> {
    let mut cycles: Vec<Vec<NodeIndex>> = tarjan_scc(edges)
        .into_iter()
        .filter(|knot| knot.len() > 1 || edges.contains_edge(knot[0], knot[0]))
        .filter_map(|knot| knot.iter().min().and_then(|start| shortest(edges, *start)))
        .collect();
    cycles.sort();
    cycles
}

/// Breadth first back to the start.
fn shortest(edges: &DiGraph<(), ()>, start: NodeIndex) -> Option<Vec<NodeIndex>> {
    let mut came_from: HashMap<NodeIndex, NodeIndex> = HashMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(at) = queue.pop_front() {
        for next in edges.neighbors(at) {
            if next == start {
                let mut path = vec![at];
                while let Some(before) = came_from.get(&path[path.len() - 1]) {
                    path.push(*before);
                }
                path.reverse();
                return Some(path);
            }
            came_from.entry(next).or_insert_with(|| {
                queue.push_back(next);
                at
            });
        }
    }
    None
}

/// `path` follows the edges: each node is needed by the next, the last by the first. The message reads the way a user
/// does: `a -> b` when `a` refers to `b`.
pub(super) fn describe(path: &[&Node]) -> Diagnostic {
    let mut reading: Vec<&Node> = path.iter().rev().copied().collect();
    let first = reading.pop().into_iter().collect::<Vec<_>>();
    reading.splice(0..0, first);
    let closed: Vec<&Node> = reading.iter().copied().chain(reading.first().copied()).collect();
    let names: Vec<&str> = closed.iter().map(|n| n.name.as_str()).collect();
    let mut steps = closed.windows(2).map(|pair| {
        let place = pair[0].reference_to(pair[1]).unwrap_or_else(|| Place::start_of(&pair[0].file));
        (place, format!("`{}` needs `{}` here", pair[0].name, pair[1].name))
    });
    let mut diagnostic = Diagnostic::error("graph/cycle", format!("models need each other in a circle: {}", names.join(" -> ")));
    if let Some((place, label)) = steps.next() {
        diagnostic = diagnostic.at(place, label);
    }
    for (place, label) in steps {
        diagnostic = diagnostic.related(place, label);
    }
    diagnostic.help("remove one of these references")
}
