//! Two loads of one project held against each other: the nodes that a build should look at again.
//!
//! What counts as a change is what `state:modified` says of two manifests. Their entries are made of those nodes only that differ
//! in anything at all, which a digest tells: an edit touches a few of thousands.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use rayon::prelude::*;

use crate::{
    cli::{artifacts, config::Config},
    graph::Node,
    names::{NodeId, ResourceType},
    project::Project,
    state::comparison,
};

const BUILT: [ResourceType; 5] =
    [ResourceType::Model, ResourceType::Seed, ResourceType::Snapshot, ResourceType::Test, ResourceType::UnitTest];

/// A load of the project, as the next one is held against it.
pub(super) struct Known {
    project: Arc<Project>,
    digests: HashMap<NodeId, u64>,
    /// Of what every node may depend on: texts of macros.
    shared: u64,
}

impl Known {
    pub(super) fn new(project: &Arc<Project>) -> Self {
        let nodes: Vec<&Node> = project.graph.nodes().collect();
        let digests = nodes.par_iter().map(|n| (n.id.clone(), digest(n))).collect();
        Self { project: Arc::clone(project), digests, shared: shared(project) }
    }

    /// Nodes that a build can do something about and that differ from before, each with how a selection names it.
    pub(super) fn changed(&self, before: &Self, config: &Config) -> Vec<(NodeId, String)> {
        let same = |id: &NodeId| self.shared == before.shared && self.digests.get(id) == before.digests.get(id);
        let suspects: HashSet<&NodeId> = self.digests.keys().filter(|id| !same(id)).collect();
        if suspects.is_empty() {
            return vec![];
        }
        let entries = |project: &Project| artifacts::manifest_of(project, |n| suspects.contains(&n.id), config);
        let (old, new) = rayon::join(|| entries(&before.project), || entries(&self.project));
        let changes = comparison::changes(&old, &new);
        let differs = |id: &NodeId| changes.get(id).is_some_and(|c| c.meets("modified") == Some(true));
        let nodes = self.project.graph.nodes().filter(|n| BUILT.contains(&n.kind) && differs(&n.id));
        nodes.map(|n| (n.id.clone(), n.fqn.join("."))).collect()
    }
}

fn digest(node: &Node) -> u64 {
    let mut hasher = DefaultHasher::new();
    node.raw_code.hash(&mut hasher);
    // of a seed the file is all that there is
    if node.kind == ResourceType::Seed {
        node.file.text.hash(&mut hasher);
    }
    let said = format!(
        "{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{}",
        node.config, node.columns, node.test, node.relation, node.depends_on, node.extra, node.source, node.description
    );
    said.hash(&mut hasher);
    hasher.finish()
}

fn shared(project: &Project) -> u64 {
    let mut hasher = DefaultHasher::new();
    let macros: Vec<_> = project.environment.macros().filter(|m| !m.is_builtin).collect();
    let mut files: Vec<(&str, &str)> = macros.iter().map(|m| (m.name.as_str(), m.place.file.text.as_str())).collect();
    files.sort_unstable();
    files.hash(&mut hasher);
    hasher.finish()
}
