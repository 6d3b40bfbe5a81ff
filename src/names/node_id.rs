//! Unique ids of graph nodes in dbt's form: `model.<package>.<name>`, `source.<package>.<source>.<table>`, ...

use std::{fmt, sync::Arc};

/// What a node is; the first part of its unique id and the word `--resource-type` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ResourceType {
    Model,
    Seed,
    Snapshot,
    Source,
    Test,
    UnitTest,
    Analysis,
    Operation,
    Exposure,
    /// A SQL function that the project defines.
    Function,
}

impl ResourceType {
    pub const ALL: [Self; 10] = [
        Self::Model,
        Self::Seed,
        Self::Snapshot,
        Self::Source,
        Self::Test,
        Self::UnitTest,
        Self::Analysis,
        Self::Operation,
        Self::Exposure,
        Self::Function,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Seed => "seed",
            Self::Snapshot => "snapshot",
            Self::Source => "source",
            Self::Test => "test",
            Self::UnitTest => "unit_test",
            Self::Analysis => "analysis",
            Self::Operation => "operation",
            Self::Exposure => "exposure",
            Self::Function => "function",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.as_str() == text)
    }
}

impl fmt::Display for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// dbt's `unique_id`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(Arc<str>);

impl NodeId {
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(Arc::from(text.as_ref()))
    }

    pub fn of(kind: ResourceType, package: &str, rest: &str) -> Self {
        Self::new(format!("{kind}.{package}.{rest}"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for NodeId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}
