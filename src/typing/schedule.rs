//! Nodes in the order of the graph on a few threads: a node is drafted when all that it needs has been.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::{Arc, atomic::Ordering},
};

use parking_lot::{Condvar, Mutex};

use super::{
    State, Tools, Typing, draft,
    memory::{Recall, Trace},
};
use crate::{
    diagnostic::Diagnostics,
    names::{NodeId, ResourceType},
    project::Project,
};

/// Planning recurses over expressions, deeper in builds without optimisation.
const STACK_BYTES: usize = 32 << 20;

#[derive(Default)]
struct Board {
    ready: VecDeque<usize>,
    /// How many parents of each node are still open.
    waiting: Vec<usize>,
    open: usize,
}

/// Types these nodes, or all; what a node reads has to be among them.
pub(super) fn all(project: &Arc<Project>, tools: &Tools, only: Option<&HashSet<NodeId>>) -> Typing {
    let typed = |kind: ResourceType| !matches!(kind, ResourceType::Exposure | ResourceType::Operation | ResourceType::Function);
    let asked = |id: &&NodeId| only.is_none_or(|o| o.contains(*id)) && project.graph.node(id).is_some_and(|n| typed(n.kind));
    let ids: Vec<&NodeId> = project.graph.order().iter().filter(asked).collect();
    let at: HashMap<&NodeId, usize> = ids.iter().enumerate().map(|(i, id)| (*id, i)).collect();
    let mut children: Vec<Vec<usize>> = vec![vec![]; ids.len()];
    let mut board = Board { waiting: vec![0; ids.len()], open: ids.len(), ..Board::default() };
    for (i, id) in ids.iter().enumerate() {
        let Some(node) = project.graph.node(id) else { continue };
        for parent in node.depends_on.iter().filter_map(|p| at.get(p)) {
            children[*parent].push(i);
            board.waiting[i] += 1;
        }
    }
    board.ready = (0..ids.len()).filter(|i| board.waiting[*i] == 0).collect();
    let (board, wake) = (Mutex::new(board), Condvar::new());
    let states: Mutex<HashMap<NodeId, State>> = Mutex::default();
    let findings: Mutex<BTreeMap<usize, Diagnostics>> = Mutex::default();
    let recall = Recall::new(project, tools);
    let work = || {
        loop {
            let next = {
                let mut held = board.lock();
                loop {
                    if held.open == 0 || tools.cancelled.load(Ordering::Relaxed) {
                        // whoever waits for a parent of another worker ends too
                        wake.notify_all();
                        return;
                    }
                    if let Some(next) = held.ready.pop_front() {
                        break next;
                    }
                    wake.wait(&mut held);
                }
            };
            if let Some(node) = project.graph.node(ids[next]) {
                let mut faults = Diagnostics::default();
                let above = |id: &NodeId| states.lock().get(id).cloned();
                let key = recall.key(node, &above);
                let state = recall.get(node, key).unwrap_or_else(|| {
                    let mut trace = Trace::default();
                    let state = draft::node(project, tools, node, &above, &mut faults, &mut trace);
                    recall.keep(node, key, &state, faults.0.is_empty(), trace);
                    state
                });
                states.lock().insert(node.id.clone(), state);
                findings.lock().insert(next, faults);
            }
            let mut held = board.lock();
            held.open -= 1;
            for child in &children[next] {
                held.waiting[*child] -= 1;
                if held.waiting[*child] == 0 {
                    held.ready.push_back(*child);
                }
            }
            drop(held);
            wake.notify_all();
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(ids.len().max(1));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            // fewer threads than wished for do the same work
            let _ = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work);
        }
    });
    let mut findings = findings.into_inner();
    // a table that is read by its name alone, without a reference, may have been typed later than its reader: whether it is
    // there is said when all are
    let unknown = |faults: &Diagnostics| faults.0.iter().any(|d| d.code == "sql/unknown-table");
    let again: Vec<usize> = findings.iter().filter(|(_, faults)| unknown(faults)).map(|(at, _)| *at).collect();
    for at in again {
        if tools.cancelled.load(Ordering::Relaxed) {
            break;
        }
        let Some(node) = project.graph.node(ids[at]) else { continue };
        let mut faults = Diagnostics::default();
        let above = |id: &NodeId| states.lock().get(id).cloned();
        let state = draft::node(project, tools, node, &above, &mut faults, &mut Trace::default());
        states.lock().insert(node.id.clone(), state);
        findings.insert(at, faults);
    }
    let mut typing = Typing::default();
    findings.into_values().for_each(|faults| typing.findings.extend(faults));
    for (id, state) in states.into_inner() {
        match state {
            State::Typed(typed) => drop(typing.nodes.insert(id, typed)),
            State::Untyped(why) => drop(typing.untyped.insert(id, why)),
            State::Faulty => {}
        }
    }
    typing
}
