//! What happens during a run, as data: `report/` turns it into terminal lines, JSON and artifacts.

use std::{path::PathBuf, sync::Arc, time::Duration};

use crate::{
    diagnostic::Diagnostic,
    names::{NodeId, ResourceType},
};

/// Sent in order of happening, from one task at a time.
#[derive(Clone, Debug)]
pub enum Event {
    /// Before the first node. `nodes` counts executable ones by type, in graph order of first appearance.
    Started {
        counts: Vec<(ResourceType, usize)>,
        total: usize,
        threads: usize,
        target: String,
    },
    NodeStarted {
        index: usize,
        node: Arc<NodeLabel>,
    },
    /// Rows or requests done so far, for the progress line.
    NodeProgress {
        node: Arc<NodeLabel>,
        message: String,
    },
    /// A user's `log(...)`/`print(...)`, or a statement at debug level.
    Log {
        level: LogLevel,
        node: Option<Arc<NodeLabel>>,
        message: String,
    },
    Warning {
        node: Option<Arc<NodeLabel>>,
        diagnostic: Diagnostic,
    },
    NodeFinished {
        index: usize,
        result: Arc<NodeResult>,
    },
    /// Ctrl-C was seen: running commits end, nothing new starts.
    Cancelling,
    Finished {
        elapsed: Duration,
        cancelled: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

/// How a node is named on screen.
#[derive(Clone, Debug)]
pub struct NodeLabel {
    pub id: NodeId,
    pub kind: ResourceType,
    /// `model table`, `source chart`, `test`...
    pub what: String,
    /// `ANALYTICS.GENRE_TREND_ANALYSIS`, or the test's name.
    pub name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Success,
    Error,
    Skipped,
    /// Tests.
    Pass,
    Fail,
    Warn,
    /// Nothing to do.
    NoOp,
    /// Some batches of a microbatch model failed.
    PartialSuccess,
}

impl Status {
    /// dbt's word in `run_results.json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Error => "error",
            Self::Skipped => "skipped",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Warn => "warn",
            Self::NoOp => "no-op",
            Self::PartialSuccess => "partial success",
        }
    }

    /// Whether the invocation's exit code becomes 1 and descendants are skipped.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Error | Self::Fail | Self::PartialSuccess)
    }
}

/// The end of one node.
#[derive(Clone, Debug)]
pub struct NodeResult {
    pub node: Arc<NodeLabel>,
    pub status: Status,
    /// `SUCCESS 1`, `Got 3 results, configured to fail if != 0`, an error's first line, why it was skipped.
    pub message: String,
    pub rows: Option<u64>,
    /// Failing rows of a test.
    pub failures: Option<u64>,
    pub diagnostics: Vec<Diagnostic>,
    pub compiled_code: Option<String>,
    pub compiled_path: Option<PathBuf>,
    pub relation_name: Option<String>,
    pub thread: String,
    /// `(name, started, ended)`: `compile` and `execute`, UTC.
    pub timing: Vec<(&'static str, chrono::DateTime<chrono::Utc>, chrono::DateTime<chrono::Utc>)>,
    pub elapsed: Duration,
    pub adapter_response: serde_json::Map<String, serde_json::Value>,
    /// `Compilation Error in model orders (models/orders.sql)`: dbt's first line of a failure.
    pub heading: Option<String>,
    /// Of a microbatch model.
    pub batches: Option<Batches>,
    /// Nothing was done, because nothing that it is made from has changed.
    pub fresh: bool,
}

impl NodeResult {
    /// Whether the invocation fails with it: a failure of its own, or of an ephemeral parent.
    pub fn failed(&self) -> bool {
        self.status.is_failure() || (self.status == Status::Skipped && self.heading.is_some())
    }
}

/// A stretch of time: from the first moment to before the second.
pub type Batch = (chrono::DateTime<chrono::Utc>, chrono::DateTime<chrono::Utc>);

/// Which batches of a microbatch model were built; `retry` builds the failed ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batches {
    pub successful: Vec<Batch>,
    pub failed: Vec<Batch>,
}
