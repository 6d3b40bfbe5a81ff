//! Arguments of the commands that know before they run: `check`, `lineage`, `diff`, `ci`, `watch`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Shape of what `check` finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum FindingsOutput {
    #[default]
    Text,
    Json,
    Sarif,
    /// Annotations of GitHub Actions
    Github,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LineageOutput {
    #[default]
    Text,
    Json,
    Mermaid,
    Dot,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DiffOutput {
    #[default]
    Text,
    Markdown,
    Json,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum CiOutput {
    #[default]
    Text,
    Markdown,
    Junit,
    Sarif,
}

#[derive(Args, Clone, Debug)]
pub struct CiArgs {
    /// Nodes to build [default: with `--state` what the change touches, else everything]
    #[arg(short, long, num_args = 1.., value_name = "SELECTOR")]
    pub select: Vec<String>,
    /// Folder with the manifest.json of the version before the change
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Build with all rows in place of none
    #[arg(long, conflicts_with = "sample")]
    pub full: bool,
    /// Build with a stretch of the inputs that have an `event_time`: `3 days`
    #[arg(long, value_name = "STRETCH")]
    pub sample: Option<String>,
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: CiOutput,
    /// Write JUnit XML besides
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Write SARIF besides
    #[arg(long, value_name = "FILE")]
    pub sarif: Option<PathBuf>,
    /// Write Markdown besides
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub struct WatchArgs {
    /// Steps below a changed node that are built too [default: all]
    #[arg(long, value_name = "N")]
    pub depth: Option<usize>,
    /// Check only
    #[arg(long)]
    pub no_build: bool,
    /// Take in new data of sources too, and build what reads them
    #[arg(long, conflicts_with = "no_build")]
    pub follow: bool,
}

/// What makes `diff` end with exit code 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    #[default]
    Never,
    /// A node or column went, or a column's type changed
    Breaking,
    /// Any difference
    Any,
}

#[derive(Args, Clone, Debug)]
pub struct DiffArgs {
    /// A git revision of the project [default: HEAD]
    #[arg(value_name = "REVISION", conflicts_with_all = ["state", "data"])]
    pub revision: Option<String>,
    /// Folder with another run's manifest.json, or with another copy of the project
    #[arg(long, value_name = "DIR", conflicts_with = "data")]
    pub state: Option<PathBuf>,
    /// Two tables: models or `schema.table`, each with `@7` for a version or `@previous`
    #[arg(long, num_args = 2, value_names = ["A", "B"])]
    pub data: Vec<String>,
    /// Columns that tell rows apart [default: the model's unique_key, or what a test says is unique]
    #[arg(long, num_args = 1.., value_name = "COLUMN", requires = "data")]
    pub key: Vec<String>,
    /// For `watch`: end in silence where there is nothing to compare
    #[arg(long, hide = true, requires = "data")]
    pub if_known: bool,
    /// Rows to show
    #[arg(long, value_name = "N", default_value_t = 10, requires = "data")]
    pub limit: usize,
    /// When to end with exit code 1
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    pub fail_on: FailOn,
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: DiffOutput,
}

#[derive(Args, Clone, Debug)]
pub struct LineageArgs {
    /// `model.column`, `source.table.column`, or `model` for all its columns
    #[arg(value_name = "COLUMN")]
    pub column: String,
    /// What it comes from [default]
    #[arg(long)]
    pub upstream: bool,
    /// What it goes into
    #[arg(long)]
    pub downstream: bool,
    /// Steps to follow [default: all]
    #[arg(long, value_name = "N")]
    pub depth: Option<usize>,
    /// Leave out columns that only decide which rows there are
    #[arg(long)]
    pub no_filters: bool,
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: LineageOutput,
}
