//! What a command asks for, what a step does, and why it is done.

use crate::names::ResourceType;

/// The commands that run steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    Build,
    Run,
    Test,
    Seed,
    Snapshot,
    /// Relations of another run, made our own.
    Clone,
    /// Sources with adapters only.
    Ingest,
}

impl Verb {
    pub fn does(self, kind: ResourceType) -> bool {
        use ResourceType as R;
        match self {
            Self::Build => matches!(kind, R::Model | R::Seed | R::Snapshot | R::Source | R::Test | R::UnitTest | R::Function),
            Self::Run => kind == R::Model,
            Self::Test => matches!(kind, R::Test | R::UnitTest),
            Self::Seed => kind == R::Seed,
            Self::Snapshot => kind == R::Snapshot,
            Self::Clone => matches!(kind, R::Model | R::Seed | R::Snapshot),
            Self::Ingest => kind == R::Source,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Run => "run",
            Self::Test => "test",
            Self::Seed => "seed",
            Self::Snapshot => "snapshot",
            Self::Clone => "clone",
            Self::Ingest => "ingest",
        }
    }
}

/// What a step does to its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Fetch and land a source's new records.
    Ingest,
    Seed,
    Materialize,
    Snapshot,
    Clone,
    Test,
}

impl Action {
    pub(super) fn of(kind: ResourceType) -> Self {
        match kind {
            ResourceType::Source => Self::Ingest,
            ResourceType::Seed => Self::Seed,
            ResourceType::Snapshot => Self::Snapshot,
            ResourceType::Test | ResourceType::UnitTest => Self::Test,
            ResourceType::Model | ResourceType::Analysis | ResourceType::Operation | ResourceType::Exposure | ResourceType::Function => {
                Self::Materialize
            }
        }
    }
}

/// Why a step is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Its relation does not exist yet.
    FirstRun,
    /// The selection names it.
    Requested,
    FullRefresh,
    /// A source is asked for what came since the last time.
    NewRows,
}

impl Reason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FirstRun => "first run",
            Self::Requested => "requested",
            Self::FullRefresh => "full refresh",
            Self::NewRows => "new rows",
        }
    }
}
