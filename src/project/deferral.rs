//! `--defer --state`: relations of another run that stand in for what this run does not build.
//!
//! Which manifest they come from, and whether they win over relations that exist, is the command line's; nothing is read here.

use std::collections::{HashMap, HashSet};

use crate::{
    names::{NodeId, RelationName},
    template::Warehouse,
};

/// What a reference means when its node is not among the selected ones (dbt documentation, "Defer").
#[derive(Clone, Debug, Default)]
pub struct Deferral {
    /// Where the other run put each node.
    pub relations: HashMap<NodeId, RelationName>,
    /// Nodes that this run builds: never deferred.
    pub selected: HashSet<NodeId>,
    /// `--favor-state`: the other run's relation even where one of our own exists.
    pub favoured: bool,
}

impl Deferral {
    /// The relation to read in the place of `own`.
    pub fn instead_of(&self, id: &NodeId, own: &RelationName, warehouse: &dyn Warehouse) -> Option<RelationName> {
        let other = self.relations.get(id).filter(|other| *other != own && !self.selected.contains(id))?;
        let missing = || matches!(warehouse.relation(own), Ok(None));
        (self.favoured || missing()).then(|| other.clone())
    }
}
