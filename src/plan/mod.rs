//! Graph + selection + verb -> the steps to do, in order, and what each waits for.
//!
//! Pure: nothing here runs, opens a file or asks a warehouse; the plan is data and is tested as data.
//!
//! Edges between steps pass through nodes that are no steps (ephemeral models, unselected nodes). In `build` a node
//! also waits for the tests above it. A test blocks a node only when *all* its parents are ancestors of that node
//! (dbt's rule): so the added edges can never close a circle, and a test that compares `a` with `b` does not make a
//! child of `a` alone depend on `b`.

mod ancestry;
mod audit;
mod verb;

use std::collections::{HashMap, HashSet};

use ancestry::Ancestry;
pub use verb::{Action, Reason, Verb};

use crate::{
    graph::Node,
    names::{NodeId, RelationName, ResourceType},
};

/// What is to be done, in an order in which every step comes after those it waits for.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub id: NodeId,
    pub kind: ResourceType,
    pub action: Action,
    pub reason: Reason,
    /// Indices into [`Plan::steps`], ascending, all smaller than the step's own.
    pub waits_for: Vec<usize>,
    /// Steps on the longest way from here to the end, this one included: what is longest starts first.
    pub height: u32,
    /// Tests that decide whether what the step made is published (`+audit: true`).
    pub audits: Vec<NodeId>,
}

/// What decides besides the graph.
#[derive(Clone, Debug)]
pub struct PlanOptions {
    pub verb: Verb,
    pub full_refresh: bool,
    /// `--resource-type`; `None` means all that the verb does.
    pub resource_types: Option<Vec<ResourceType>>,
    /// Relations that exist already; decides between [`Reason::FirstRun`] and [`Reason::Requested`].
    pub existing: HashSet<RelationName>,
}

impl PlanOptions {
    pub fn new(verb: Verb) -> Self {
        Self { verb, full_refresh: false, resource_types: None, existing: HashSet::new() }
    }
}

impl Plan {
    /// `nodes` are all nodes of the graph, parents before children; `selected` is what the selection chose.
    pub fn new<'a>(nodes: impl IntoIterator<Item = &'a Node>, selected: &HashSet<NodeId>, options: &PlanOptions) -> Self {
        let nodes: Vec<&Node> = nodes.into_iter().collect();
        let index: HashMap<&NodeId, usize> = nodes.iter().enumerate().map(|(i, n)| (&n.id, i)).collect();
        let parents: Vec<Vec<usize>> =
            nodes.iter().map(|n| n.depends_on.iter().filter_map(|id| index.get(id).copied()).collect()).collect();

        let wanted = |n: &Node| {
            selected.contains(&n.id)
                && n.config.enabled
                && n.is_executable()
                && options.verb.does(n.kind)
                && options.resource_types.as_ref().is_none_or(|kinds| kinds.contains(&n.kind))
        };
        let is_step: Vec<bool> = nodes.iter().map(|n| wanted(n)).collect();

        let mut waits: Vec<HashSet<usize>> = nearest_steps(&parents, &is_step);
        if options.verb == Verb::Build {
            unit_tests_first(&nodes, &parents, &is_step, &mut waits);
            add_test_edges(&nodes, &parents, &is_step, &mut waits);
        }
        let audits = match options.verb {
            Verb::Build | Verb::Run | Verb::Seed | Verb::Snapshot => audit::assign(&nodes, &parents, &is_step, selected, &mut waits),
            Verb::Test | Verb::Clone | Verb::Ingest => HashMap::new(),
        };
        let order = order(&is_step, &waits);
        let mut steps = number(&nodes, &order, &waits, options);
        for (step, node) in steps.iter_mut().zip(&order) {
            step.audits = audits.get(node).into_iter().flatten().map(|&test| nodes[test].id.clone()).collect();
        }
        Self { steps }
    }

    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Steps by type, in order of first appearance.
    pub fn counts(&self) -> Vec<(ResourceType, usize)> {
        let mut counts: Vec<(ResourceType, usize)> = vec![];
        for step in &self.steps {
            match counts.iter_mut().find(|(kind, _)| *kind == step.kind) {
                Some((_, n)) => *n += 1,
                None => counts.push((step.kind, 1)),
            }
        }
        counts
    }
}

/// For every node the steps right above it, seen through nodes that are no steps.
fn nearest_steps(parents: &[Vec<usize>], is_step: &[bool]) -> Vec<HashSet<usize>> {
    let mut above: Vec<HashSet<usize>> = Vec::with_capacity(parents.len());
    for (i, direct) in parents.iter().enumerate() {
        let mut set = HashSet::new();
        for &p in direct {
            if is_step[p] {
                set.insert(p);
            } else if p < i {
                set.extend(above[p].iter().copied());
            }
        }
        above.push(set);
    }
    above
}

/// In `build` a unit test runs before its model, and before anything else that needs the model (dbt documentation, "Unit
/// tests"): it needs what the model needs, not the model.
fn unit_tests_first(nodes: &[&Node], parents: &[Vec<usize>], is_step: &[bool], waits: &mut [HashSet<usize>]) {
    for test in (0..nodes.len()).filter(|&i| is_step[i] && nodes[i].kind == ResourceType::UnitTest) {
        let Some(&model) = parents[test].first() else { continue };
        let above = waits[model].iter().copied().filter(|&p| nodes[p].kind != ResourceType::UnitTest);
        waits[test] = above.collect();
        if is_step[model] {
            waits[model].insert(test);
        }
    }
}

/// `test -> node` wherever all parents of the test are ancestors of the node, as near to the test as possible.
fn add_test_edges(nodes: &[&Node], parents: &[Vec<usize>], is_step: &[bool], waits: &mut [HashSet<usize>]) {
    let is_test = |i: usize| nodes[i].kind == ResourceType::Test;
    let mut children: Vec<Vec<usize>> = vec![vec![]; nodes.len()];
    for (child, above) in parents.iter().enumerate() {
        // a unit test runs before its model, so it cannot wait for the tests of what the model built
        if !is_test(child) && nodes[child].kind != ResourceType::UnitTest {
            for &p in above {
                children[p].push(child);
            }
        }
    }
    // only tests over several nodes need the ancestors; most projects have few of them
    let mut ancestry: Option<Ancestry> = None;
    for test in (0..nodes.len()).filter(|&i| is_step[i] && is_test(i)) {
        let tested = &parents[test];
        let Some(&last) = tested.iter().max() else { continue };
        let mut seen = HashSet::new();
        let mut stack = children[last].clone();
        while let Some(node) = stack.pop() {
            if !seen.insert(node) {
                continue;
            }
            let below_all = tested.len() == 1 || {
                let ancestry = ancestry.get_or_insert_with(|| Ancestry::new(parents));
                tested.iter().all(|&t| ancestry.is_above(t, node))
            };
            if below_all && is_step[node] {
                waits[node].insert(test);
            } else {
                stack.extend(children[node].iter().copied());
            }
        }
    }
}

/// A topological order of the steps that keeps graph order where it is free to.
fn order(is_step: &[bool], waits: &[HashSet<usize>]) -> Vec<usize> {
    let mut missing: Vec<usize> = waits.iter().map(HashSet::len).collect();
    let mut below: Vec<Vec<usize>> = vec![vec![]; waits.len()];
    for (node, above) in waits.iter().enumerate().filter(|(i, _)| is_step[*i]) {
        for &a in above {
            below[a].push(node);
        }
    }
    let mut ready: std::collections::BTreeSet<usize> = (0..waits.len()).filter(|&i| is_step[i] && missing[i] == 0).collect();
    let mut order = vec![];
    while let Some(next) = ready.pop_first() {
        order.push(next);
        for &b in &below[next] {
            missing[b] -= 1;
            if missing[b] == 0 {
                ready.insert(b);
            }
        }
    }
    order
}

fn number(nodes: &[&Node], order: &[usize], waits: &[HashSet<usize>], options: &PlanOptions) -> Vec<Step> {
    let position: HashMap<usize, usize> = order.iter().enumerate().map(|(at, &node)| (node, at)).collect();
    let mut steps: Vec<Step> = order
        .iter()
        .map(|&i| {
            let node = nodes[i];
            let mut waits_for: Vec<usize> = waits[i].iter().filter_map(|w| position.get(w).copied()).collect();
            waits_for.sort_unstable();
            Step {
                id: node.id.clone(),
                kind: node.kind,
                action: if options.verb == Verb::Clone { Action::Clone } else { Action::of(node.kind) },
                reason: reason(node, options),
                waits_for,
                height: 1,
                audits: vec![],
            }
        })
        .collect();
    for i in (0..steps.len()).rev() {
        let (height, above) = (steps[i].height, steps[i].waits_for.clone());
        for a in above {
            steps[a].height = steps[a].height.max(height + 1);
        }
    }
    steps
}

fn reason(node: &Node, options: &PlanOptions) -> Reason {
    match node.kind {
        ResourceType::Source => Reason::NewRows,
        ResourceType::Model | ResourceType::Seed | ResourceType::Snapshot => match &node.relation {
            Some(relation) if !options.existing.contains(relation) => Reason::FirstRun,
            _ if node.config.full_refresh.unwrap_or(options.full_refresh) => Reason::FullRefresh,
            _ => Reason::Requested,
        },
        _ => Reason::Requested,
    }
}

#[cfg(test)]
pub(crate) mod tests;
