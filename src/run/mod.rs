//! Executes a plan: permits, retries, skips below failures, cancellation, events.
//!
//! [`execute`] is the one entry, whatever the verb. What a step does lives in one file per action; none of them knows
//! of the others, of threads, or of how events are shown.

mod audit;
mod batches;
pub mod cancel;
mod clone;
pub mod compile;
mod contract;
mod custom;
mod data_test;
pub mod event;
mod executor;
mod export;
mod freshness;
mod function;
mod hooks;
mod in_place;
mod incremental;
mod ingest;
mod introspection;
mod materialize;
mod memory;
mod microbatch;
mod preview;
mod project_source;
mod promote;
mod retry;
mod reuse;
mod schedule;
mod script;
mod seed;
mod snapshot;
mod step;
mod unit_test;

mod warehouse;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};

pub use batches::moment;
pub use cancel::Cancellation;
pub use compile::{Compile, CompiledNode, Nowhere, Places, placed, whole};
pub use contract::contract_differences;
pub use executor::execute;
pub use freshness::Why;
pub use introspection::Introspection;
pub use materialize::header_parts;
pub use preview::{Forecast, preview};
pub use project_source::{ProjectSource, StatementListener};
pub use promote::{Promotion, Switch, promote};
pub use retry::Retry;
pub use reuse::Twins;
pub use seed::read as read_seed;

use crate::{
    diagnostic::{Diagnostic, Diagnostics},
    engine::Engine,
    graph::{AdapterConfig, Node},
    ingest::Adapter,
    names::{NodeId, RelationName, RunId},
    project::project_file::RunHook,
    run::event::NodeResult,
};

/// Builds the adapter of a source; the registry stays outside of the run.
pub type AdapterFactory = Arc<dyn Fn(&Node, &AdapterConfig) -> Result<Arc<dyn Adapter>, Diagnostic> + Send + Sync>;

/// What a run works with.
#[derive(Clone)]
pub struct Deps {
    pub engine: Arc<dyn Engine>,
    pub compile: Arc<dyn Compile>,
    pub adapters: AdapterFactory,
    /// Templates, in order; of all packages.
    pub on_run_start: Vec<RunHook>,
    pub on_run_end: Vec<RunHook>,
    pub foresight: Option<Foresight>,
}

/// The columns (name, type) that a node will have once it is built, told from the SQL of what it is made from; `None` where they
/// cannot be told. Blocks: it plans.
pub type Foresight = Arc<dyn Fn(&NodeId) -> Option<Vec<(String, String)>> + Send + Sync>;

/// How a run is done. The clock and the id are given, so that a replayed run is the same run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    pub project_dir: PathBuf,
    /// `target/`, where compiled and executed SQL is written.
    pub target_dir: PathBuf,
    /// The profile's target, for the header.
    pub target: String,
    /// Part of fingerprints: `datafusion`, `snowflake`.
    pub engine: String,
    /// Nodes may have an engine of their own.
    pub crosses: bool,
    pub threads: usize,
    pub fail_fast: bool,
    pub full_refresh: bool,
    /// `ingest --full-refresh`. A build's flag is for models: what a source no longer has must not be lost to it.
    pub sources_anew: bool,
    /// `--force`: fresh nodes are built too.
    pub force: bool,
    /// Where names of one or two parts in SQL belong: the target's database and schema.
    pub home: Option<crate::names::SchemaName>,
    /// `ingest --follow`: sources go on until a stop is asked for.
    pub follow: bool,
    /// Between two looks at a followed source that had nothing new.
    pub follow_pause: Duration,
    /// `--store-failures`; a test's own configuration wins.
    pub store_failures: bool,
    /// `--empty`: tables get their columns and no rows.
    pub empty: bool,
    /// `--event-time-start` and `--event-time-end`: the stretch that microbatch models are built for.
    pub event_time: (Option<chrono::DateTime<chrono::Utc>>, Option<chrono::DateTime<chrono::Utc>>),
    /// `retry`: the batches of each model that are to be built again.
    pub batches: HashMap<NodeId, Vec<event::Batch>>,
    /// `clone`: where the other run put each node.
    pub clone_from: HashMap<NodeId, RelationName>,
    /// `reuse:` of the profile: where another target has the nodes.
    pub reuse: Option<Arc<Twins>>,
    /// `--warn-error`: warnings of tests are failures.
    pub warnings_are_errors: bool,
    pub now: chrono::DateTime<chrono::Utc>,
    pub invocation: RunId,
    pub retry: Retry,
}

/// The end of a run.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// In order of completion.
    pub results: Vec<Arc<NodeResult>>,
    /// 0 when all is well, 1 when a node failed or the run was cancelled.
    pub exit_code: i32,
    pub elapsed: Duration,
    pub cancelled: bool,
    /// Why the invocation as a whole failed, not only a node.
    pub fatal: Option<Diagnostics>,
}
