//! Which tests decide about the publishing of a node that is audited (`+audit: true`), and what it waits for so that
//! they can be asked before it is published.
//!
//! A test belongs to the node that it is attached to; a singular test over several to the last of them. What else it reads
//! must be there first. Where that is below the node itself the test cannot come before it: it stays a test like any other.

use std::collections::{HashMap, HashSet};

use serde_json::Value as Json;

use crate::{
    graph::Node,
    names::{NodeId, ResourceType},
};

pub(super) fn is_audited(node: &Node) -> bool {
    let publishes = matches!(node.kind, ResourceType::Model | ResourceType::Seed | ResourceType::Snapshot) && !node.is_ephemeral();
    publishes && node.config.all.get("audit").and_then(Json::as_bool) == Some(true)
}

/// Tests by the step that they decide about; the steps wait for what the tests read.
pub(super) fn assign(
    nodes: &[&Node],
    parents: &[Vec<usize>],
    is_step: &[bool],
    selected: &HashSet<NodeId>,
    waits: &mut [HashSet<usize>],
) -> HashMap<usize, Vec<usize>> {
    let mut found: HashMap<usize, Vec<usize>> = HashMap::new();
    let audited: HashMap<&NodeId, usize> =
        (0..nodes.len()).filter(|&i| is_step[i] && is_audited(nodes[i])).map(|i| (&nodes[i].id, i)).collect();
    if audited.is_empty() {
        return found;
    }
    // as long as all waits point up in the graph's order, nothing before a node can wait for it
    let mut ordered = true;
    for (test, node) in nodes.iter().enumerate() {
        let Some(info) = node.test.as_ref().filter(|_| node.kind == ResourceType::Test && node.config.enabled) else { continue };
        if !selected.contains(&node.id) {
            continue;
        }
        let home = match &info.attached_to {
            Some(id) => audited.get(id).copied(),
            None => parents[test].iter().max().filter(|&&last| audited.contains_key(&nodes[last].id)).copied(),
        };
        let Some(home) = home else { continue };
        let others: Vec<usize> = waits[test].iter().copied().filter(|&w| w != home).collect();
        if others.iter().any(|&other| reaches(waits, other, home, ordered)) {
            continue;
        }
        ordered &= others.iter().all(|&other| other < home);
        waits[home].extend(others);
        found.entry(home).or_default().push(test);
    }
    found
}

/// Whether `from` waits for `to`, however far.
fn reaches(waits: &[HashSet<usize>], from: usize, to: usize, ordered: bool) -> bool {
    let (mut open, mut seen) = (vec![from], HashSet::new());
    while let Some(at) = open.pop() {
        if at == to {
            return true;
        }
        if (ordered && at < to) || !seen.insert(at) {
            continue;
        }
        open.extend(waits[at].iter().copied());
    }
    false
}
