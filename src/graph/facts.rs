//! What selection may know of an earlier run. Filled by whoever read its artifacts; nothing here reads or compares.

use std::collections::HashMap;

use crate::names::NodeId;

/// Absent parts were not asked for or not found: a criterion that needs them is an error.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// How each node differs from the earlier manifest; nodes without an entry are as they were.
    pub changes: Option<HashMap<NodeId, Changes>>,
    /// The status of each node in the earlier run results: `success`, `error`, `fail`...
    pub results: Option<HashMap<NodeId, String>>,
    /// Sources whose newest row is newer than at the earlier freshness check.
    pub fresher: Option<Vec<NodeId>>,
}

/// In which respects a node differs (dbt documentation, "The state method").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub new: bool,
    pub body: bool,
    pub configs: bool,
    pub relation: bool,
    pub persisted_descriptions: bool,
    pub macros: bool,
    pub contract: bool,
}

impl Changes {
    /// Whether `state:<word>` holds; `None` for an unknown word.
    pub fn meets(&self, word: &str) -> Option<bool> {
        let modified =
            self.new || self.body || self.configs || self.relation || self.persisted_descriptions || self.macros || self.contract;
        Some(match word {
            "new" => self.new,
            "old" => !self.new,
            "modified" => modified,
            "unmodified" => !modified,
            "modified.body" => self.body,
            "modified.configs" => self.configs,
            "modified.relation" => self.relation,
            "modified.persisted_descriptions" => self.persisted_descriptions,
            "modified.macros" => self.macros,
            "modified.contract" => self.contract,
            _ => return None,
        })
    }
}
