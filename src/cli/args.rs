//! What can be typed. No environment, no files: clap's description of the command line and nothing else.

mod engines;
mod knowing;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::engines::{ParityOutput, PullArgs};
pub use self::knowing::{CiArgs, CiOutput, DiffArgs, DiffOutput, FailOn, FindingsOutput, LineageArgs, LineageOutput, WatchArgs};
use crate::{ingest::kafka::SinkAddress, simulate::eventsim::Moment};

/// From Kafka topics, object stores and web charts to tested, served gold tables.
#[derive(Debug, Parser)]
#[command(name = "segue", version, propagate_version = true, max_term_width = 100, disable_help_subcommand = true)]
#[command(after_help = "\
Examples:
  segue init my_project && cd my_project    start a project that builds at once
  segue build                               ingest, build and test everything
  segue build --select +top_artists         one model and all that it needs
  segue show --select top_artists           look at its rows
  segue sql \"select count(*) from t\"        ask the warehouse

Exit codes: 0 all is well, 1 a node failed, 2 the invocation or the project is wrong.")]
pub struct Arguments {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command takes, in front of its name or behind it.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Folder with dbt_project.yml [default: the current folder]
    #[arg(long, global = true, value_name = "DIR")]
    pub project_dir: Option<PathBuf>,
    /// Folder with profiles.yml [default: the project, then ~/.dbt]
    #[arg(long, global = true, value_name = "DIR")]
    pub profiles_dir: Option<PathBuf>,
    /// Profile to use in place of the project's
    #[arg(long, global = true, value_name = "NAME")]
    pub profile: Option<String>,
    /// Target of the profile
    #[arg(short, long, global = true, value_name = "NAME")]
    pub target: Option<String>,
    /// Variables as YAML, e.g. '{run_date: 2025-02-27}'
    #[arg(long, global = true, value_name = "YAML")]
    pub vars: Option<String>,
    /// Nodes that run at the same time
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
    /// Folder for artifacts [default: the project's target-path]
    #[arg(long, global = true, value_name = "DIR")]
    pub target_path: Option<PathBuf>,
    /// Run a Snowflake target on the local engine
    #[arg(long, global = true)]
    pub local: bool,
    /// Stop at the first failure
    #[arg(short = 'x', long, global = true)]
    pub fail_fast: bool,
    /// Treat warnings as errors
    #[arg(long, global = true)]
    pub warn_error: bool,
    /// Shape of messages: text, or one JSON object per line
    #[arg(long, global = true, value_name = "FORMAT")]
    pub log_format: Option<Format>,
    /// Least level of messages
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log_level: Option<Level>,
    /// Show everything, the SQL too
    #[arg(short, long, global = true)]
    pub debug: bool,
    /// Show only errors and data
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Colours, whatever the terminal
    #[arg(long, global = true, overrides_with = "no_use_colors")]
    pub use_colors: bool,
    /// No colours
    #[arg(long, global = true)]
    pub no_use_colors: bool,
    /// Parse every file anew, and keep nothing of it for the next time
    #[arg(long, global = true)]
    pub no_partial_parse: bool,
    /// Load projects that were not written for a version of dbt that segue is like (`require-dbt-version`)
    #[arg(long, global = true, overrides_with = "version_check")]
    pub no_version_check: bool,
    #[arg(long, global = true, hide = true)]
    pub version_check: bool,
    #[command(flatten)]
    pub taken: Taken,
}

/// Flags of dbt that ask for what segue does anyway, or has nothing of: taken, so that scripts go on working.
#[derive(Args, Clone, Debug, Default)]
pub struct Taken {
    #[arg(long, global = true, hide = true, overrides_with = "no_partial_parse")]
    partial_parse: bool,
    #[arg(long, global = true, hide = true)]
    cache_selected_only: bool,
    #[arg(long, global = true, hide = true)]
    no_cache_selected_only: bool,
    #[arg(long, global = true, hide = true)]
    populate_cache: bool,
    #[arg(long, global = true, hide = true)]
    no_populate_cache: bool,
    #[arg(long, global = true, hide = true)]
    send_anonymous_usage_stats: bool,
    #[arg(long, global = true, hide = true)]
    no_send_anonymous_usage_stats: bool,
    #[arg(long, global = true, hide = true)]
    static_parser: bool,
    #[arg(long, global = true, hide = true)]
    no_static_parser: bool,
    #[arg(long, global = true, hide = true)]
    no_introspect: bool,
    #[arg(long, global = true, hide = true)]
    introspect: bool,
    #[arg(long, global = true, hide = true)]
    no_write_json: bool,
    #[arg(long, global = true, hide = true)]
    write_json: bool,
    #[arg(long, global = true, hide = true, value_name = "LEVEL")]
    log_level_file: Option<String>,
    #[arg(long, global = true, hide = true, value_name = "FORMAT")]
    log_format_file: Option<String>,
    #[arg(long, global = true, hide = true, value_name = "DIR")]
    log_path: Option<PathBuf>,
    #[arg(long, global = true, hide = true)]
    no_fail_fast: bool,
    #[arg(long, global = true, hide = true)]
    no_debug: bool,
    #[arg(long, global = true, hide = true)]
    no_quiet: bool,
    #[arg(long, global = true, hide = true)]
    no_print: bool,
    #[arg(long, global = true, hide = true)]
    print: bool,
    #[arg(long, global = true, hide = true, value_name = "N")]
    printer_width: Option<u32>,
    #[arg(long, global = true, hide = true)]
    single_threaded: bool,
    #[arg(long, global = true, hide = true)]
    strict_mode: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    #[value(alias = "default", alias = "debug")]
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Level {
    Debug,
    Info,
    Warn,
    #[value(alias = "none")]
    Error,
}

/// Which nodes.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Selection")]
pub struct Selecting {
    /// Nodes to take: names, paths, tag:x, source:x, +x, x+, @x; a space is "or", a comma is "and"
    #[arg(short, long, visible_alias = "models", visible_short_alias = 'm', num_args = 1.., value_name = "SELECTOR")]
    pub select: Vec<String>,
    /// Nodes to leave out
    #[arg(long, num_args = 1.., value_name = "SELECTOR")]
    pub exclude: Vec<String>,
    /// Only nodes of these types: model, seed, source, test...
    #[arg(long, num_args = 1.., value_name = "TYPE")]
    pub resource_type: Vec<String>,
    /// No nodes of these types
    #[arg(long, num_args = 1.., value_name = "TYPE")]
    pub exclude_resource_type: Vec<String>,
    /// Which tests come with a selected node: eager, cautious, buildable, empty
    #[arg(long, value_name = "MODE")]
    pub indirect_selection: Option<String>,
    /// A selector of selectors.yml
    #[arg(long, value_name = "NAME", conflicts_with_all = ["select", "exclude"])]
    pub selector: Option<String>,
    /// Folder with the artifacts of another run, for `state:`, `result:`, `--defer`
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Read from the other run's relations what this run does not build
    #[arg(long, overrides_with = "no_defer")]
    pub defer: bool,
    #[arg(long, hide = true)]
    pub no_defer: bool,
    /// The other run's artifacts for `--defer`, when they are not those of `--state`
    #[arg(long, value_name = "DIR")]
    pub defer_state: Option<PathBuf>,
    /// With `--defer`: prefer the other run's relations even where one's own exist
    #[arg(long, overrides_with = "no_favor_state")]
    pub favor_state: bool,
    #[arg(long, hide = true)]
    pub no_favor_state: bool,
}

/// How nodes run.
#[derive(Args, Clone, Debug, Default)]
pub struct Running {
    #[command(flatten)]
    pub selecting: Selecting,
    /// Build incremental models and seeds from nothing
    #[arg(short, long, help_heading = "Options")]
    pub full_refresh: bool,
    /// Build fresh nodes too: those whose inputs have not changed
    #[arg(long, help_heading = "Options")]
    pub force: bool,
    /// Keep failing rows of tests as tables
    #[arg(long, help_heading = "Options")]
    pub store_failures: bool,
    /// Make relations with their columns and without rows
    #[arg(long, overrides_with = "no_empty", help_heading = "Options")]
    pub empty: bool,
    #[arg(long, hide = true)]
    pub no_empty: bool,
    /// Read only a stretch of the inputs that have an `event_time`: `3 days`, or `{start: ..., end: ...}`
    #[arg(long, value_name = "STRETCH", help_heading = "Options")]
    pub sample: Option<String>,
    /// First moment that microbatch models are built for
    #[arg(long, value_name = "MOMENT", requires = "event_time_end", help_heading = "Options")]
    pub event_time_start: Option<String>,
    /// Microbatch models are built for what is before this moment
    #[arg(long, value_name = "MOMENT", help_heading = "Options")]
    pub event_time_end: Option<String>,
    /// Show the first rows of each seed
    #[arg(long, help_heading = "Options")]
    pub show: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    #[default]
    Table,
    Json,
    Jsonl,
    Csv,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PlanOutput {
    #[default]
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ListOutput {
    #[default]
    Selector,
    Name,
    Path,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Ingest sources, build seeds and models, run tests: all in the order of the graph
    #[command(
        after_help = "Examples:\n  segue build\n  segue build --select +music_charts\n  segue build --vars '{run_date: 2025-02-27}' --full-refresh\n  segue build --select source:streams+ --follow --every 10"
    )]
    Build {
        #[command(flatten)]
        running: Running,
        /// Build again and again until Ctrl-C: what comes into the sources goes through the models in small batches
        #[arg(long, help_heading = "Options", conflicts_with = "empty")]
        follow: bool,
        /// Seconds between two builds of --follow
        #[arg(long, value_name = "SECONDS", default_value_t = 5.0, requires = "follow", help_heading = "Options")]
        every: f64,
    },
    /// Build models
    #[command(after_help = "Examples:\n  segue run --select tag:silver+\n  segue run --full-refresh")]
    Run(Running),
    /// Run data tests
    #[command(after_help = "Examples:\n  segue test --select music_charts\n  segue test --store-failures")]
    Test(Running),
    /// Load CSV files
    #[command(after_help = "Example:\n  segue seed --select countries --full-refresh")]
    Seed(Running),
    /// Record how rows have changed since the last time
    #[command(after_help = "Example:\n  segue snapshot --select orders_snapshot")]
    Snapshot(Running),
    /// Make relations of another run one's own
    #[command(name = "clone", after_help = "Example:\n  segue clone --state prod-artifacts")]
    Clone(Running),
    /// Run again what failed or was skipped the last time
    #[command(after_help = "Example:\n  segue retry")]
    Retry {
        /// Folder with run_results.json [default: the target folder]
        #[arg(long, value_name = "DIR")]
        state: Option<PathBuf>,
    },
    /// Call a macro
    #[command(name = "run-operation", after_help = "Example:\n  segue run-operation grant_all --args '{role: reader}'")]
    RunOperation {
        /// The macro: `name` or `package.name`
        #[arg(value_name = "MACRO")]
        name: String,
        /// Its arguments as YAML
        #[arg(long, value_name = "YAML")]
        args: Option<String>,
    },
    /// Describe the project: catalog.json
    #[command(subcommand)]
    Docs(Docs),
    /// Ask sources how old their rows are
    #[command(subcommand)]
    Source(SourceCommand),
    /// Fetch the packages of packages.yml
    #[command(after_help = "Examples:\n  segue deps\n  segue deps --upgrade")]
    Deps {
        /// Resolve anew, whatever package-lock.yml says
        #[arg(long)]
        upgrade: bool,
        /// Write package-lock.yml and fetch nothing
        #[arg(long)]
        lock: bool,
    },
    /// Take in what is new in sources that have an adapter
    #[command(
        after_help = "Examples:\n  segue ingest\n  segue ingest --select source:charts\n  segue ingest --select source:streams --follow"
    )]
    Ingest {
        #[command(flatten)]
        running: Running,
        /// Go on until Ctrl-C, committing what comes in small batches
        #[arg(long, help_heading = "Options")]
        follow: bool,
        /// End when standard input does: for processes that another one started
        #[arg(long, hide = true, requires = "follow")]
        leashed: bool,
    },
    /// Render models to SQL without running them
    #[command(
        after_help = "Examples:\n  segue compile --select music_charts\n  segue compile --inline \"select * from {{ ref('music_charts') }}\""
    )]
    Compile {
        #[command(flatten)]
        selecting: Selecting,
        /// A query to compile in place of nodes
        #[arg(long, value_name = "SQL", conflicts_with = "select", help_heading = "Options")]
        inline: Option<String>,
        /// Compile incremental models as for a full refresh
        #[arg(short, long, help_heading = "Options")]
        full_refresh: bool,
    },
    /// Read the project and report every fault in it
    Parse,
    /// Type every model against its parents without reading data, and report every fault
    #[command(after_help = "\
Examples:
  segue check
  segue check --select state:modified+ --state prod-artifacts
  segue check --output sarif > segue.sarif

How bad a finding is: `checks:` in dbt_project.yml, e.g. `checks: {unused-source: error, missing-test: warn}`.
Exit codes: 0 no errors, 1 a model has one, 2 the project cannot be read.")]
    Check {
        #[command(flatten)]
        selecting: Selecting,
        /// Shape of the findings
        #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT", help_heading = "Options")]
        output: FindingsOutput,
    },
    /// Which columns a column comes from, or goes into
    #[command(after_help = "\
Examples:
  segue lineage top_artists.plays                where it comes from
  segue lineage charts.song_id --downstream      what depends on it
  segue lineage top_artists --output mermaid     every column of a model")]
    Lineage(LineageArgs),
    /// Check a change as before a merge: types, then a build with tests in a throw-away warehouse
    #[command(after_help = "\
Examples:
  segue ci                                            everything, without rows
  segue ci --state prod-artifacts                     what the change touches
  segue ci --full --junit junit.xml --sarif segue.sarif --markdown summary.md

Exit codes: 0 all is well, 1 something failed, 2 the project cannot be read.")]
    Ci(CiArgs),
    /// Check and build what changes, on each save
    #[command(after_help = "Examples:\n  segue watch\n  segue watch --depth 1\n  segue watch --no-build")]
    Watch(WatchArgs),
    /// Serve an editor: findings, definitions, completion over the Language Server Protocol
    #[command(after_help = "\
Started by an editor, not by hand; see docs/editor.md for VS Code, Neovim and Helix.

Examples:
  segue lsp                                 the project of the editor's workspace
  segue lsp --project-dir analytics         a project below it")]
    Lsp {
        /// What editors pass; standard input and output are the only channel
        #[arg(long, hide = true)]
        stdio: bool,
    },
    /// What differs from an earlier version of the project, or between two tables
    #[command(after_help = "\
Examples:
  segue diff                                     against the last commit
  segue diff origin/main --output markdown       for a pull request
  segue diff --state prod-artifacts --fail-on breaking
  segue diff --data top_artists@previous top_artists
                                                 what the last build changed
  segue diff --data prod.orders dev.orders --key order_id")]
    Diff(DiffArgs),
    /// List nodes
    #[command(
        visible_alias = "list",
        after_help = "Examples:\n  segue ls --select +music_charts --output name\n  segue ls --resource-type test --output json --output-keys name config"
    )]
    Ls {
        #[command(flatten)]
        selecting: Selecting,
        #[arg(long, value_enum, default_value_t, help_heading = "Options")]
        output: ListOutput,
        /// Keys of the JSON output
        #[arg(long, num_args = 1.., value_name = "KEY", help_heading = "Options")]
        output_keys: Vec<String>,
    },
    /// Show rows that a model or a query gives, building nothing
    #[command(
        after_help = "Examples:\n  segue show --select top10_stability --limit 20\n  segue show --inline \"select count(*) from {{ ref('music_charts') }}\" --output json"
    )]
    Show {
        #[command(flatten)]
        selecting: Selecting,
        /// A query in place of a node; it may use ref() and source()
        #[arg(long, value_name = "SQL", conflicts_with = "select", help_heading = "Options")]
        inline: Option<String>,
        /// Rows to show; -1 for all
        #[arg(long, default_value_t = 5, allow_negative_numbers = true, value_name = "N", help_heading = "Options", value_parser = row_limit)]
        limit: i64,
        #[arg(long, value_enum, default_value_t, help_heading = "Options")]
        output: Output,
    },
    /// Run SQL statements on the warehouse, in one session
    #[command(
        after_help = "Examples:\n  segue sql \"select * from analytics.artist_performance limit 5\"\n  segue sql --file script.sql --output json\n  echo 'show tables;' | segue sql -"
    )]
    Sql {
        /// Statements; `-` reads them from standard input
        #[arg(value_name = "STATEMENTS")]
        statements: Vec<String>,
        /// A file with statements
        #[arg(long, value_name = "FILE", conflicts_with = "statements")]
        file: Option<PathBuf>,
        /// `json`: rows of the last statement; `jsonl`: one line per statement
        #[arg(long, value_enum, default_value_t)]
        output: Output,
        /// Go on after a failed statement
        #[arg(long)]
        keep_going: bool,
    },
    /// Make data: streaming events, recordings of charts
    #[command(subcommand)]
    Simulate(Simulate),
    /// Put small files of tables together, remove what no version needs, shorten logs; no row changes
    #[command(
        after_help = "Examples:\n  segue maintain --dry-run\n  segue maintain --select tag:nightly --retention '1 day'\n\nOther builds may go on: a table that one works on is left alone."
    )]
    Maintain {
        #[command(flatten)]
        selecting: Selecting,
        /// Tell what would be done
        #[arg(long)]
        dry_run: bool,
        /// How long older versions stay readable: `12 hours`, `7 days`
        #[arg(long, value_name = "TIME", default_value = "7 days")]
        retention: String,
    },
    /// Remove the folders of clean-targets
    Clean,
    /// Check versions, project, profile and warehouse
    #[command(after_help = "Examples:\n  segue debug\n  segue debug --target prod --connection")]
    Debug {
        /// Only the connection
        #[arg(long)]
        connection: bool,
    },
    /// Start a project that builds at once
    #[command(after_help = "Example:\n  segue init music && cd music && segue build")]
    Init {
        /// Name of the project and of its folder [default: the current folder, when it is empty]
        #[arg(value_name = "NAME")]
        name: Option<String>,
        #[arg(long, short, hide = true)]
        skip_profile_setup: bool,
    },
    /// Write a completion script for a shell
    #[command(after_help = "Example:\n  segue completions bash > ~/.local/share/bash-completion/completions/segue")]
    Completions { shell: clap_complete::Shell },
    /// Tell what a build would do, and why, without doing it
    #[command(after_help = "Examples:\n  segue plan\n  segue plan --select tag:gold+\n  segue plan --full-refresh --output json")]
    Plan {
        #[command(flatten)]
        running: Running,
        /// Shape of the plan
        #[arg(long, short, value_enum, default_value_t, help_heading = "Options")]
        output: PlanOutput,
    },
    /// Make what this target has built and tested what another target serves, without building it again
    #[command(after_help = "Examples:\n  segue promote --target dev --to prod --dry-run\n  segue promote --target dev --select tag:gold")]
    Promote {
        #[command(flatten)]
        running: Running,
        /// The target to promote to; without it the one that `reuse:` of the profile names
        #[arg(long, value_name = "TARGET", help_heading = "Options")]
        to: Option<String>,
        /// Only tell what would be switched
        #[arg(long, help_heading = "Options")]
        dry_run: bool,
    },
    /// Tell why one node would be built, or why it is fresh
    #[command(after_help = "Example:\n  segue explain genre_trend_analysis")]
    Explain {
        /// Name of the node
        node: String,
        #[command(flatten)]
        running: Running,
        /// Shape of the answer
        #[arg(long, short, value_enum, default_value_t, help_heading = "Options")]
        output: PlanOutput,
    },
    /// Run models on both engines over the same inputs, and compare
    #[command(after_help = "Examples:\n  segue parity --target prod --select tag:gold\n  segue parity --output json")]
    Parity {
        #[command(flatten)]
        selecting: Selecting,
        /// Shape of the answer
        #[arg(long, short, value_enum, default_value_t, help_heading = "Options")]
        output: ParityOutput,
    },
    /// Keep samples of a Snowflake target's sources here, for `--local`
    #[command(
        after_help = "Examples:\n  segue pull --target prod --select source:shop --limit 10000\n  segue pull --target prod --select source:shop.orders --where \"day >= '2024-01-01'\""
    )]
    Pull(PullArgs),
    /// List the functions of the SQL dialect, and which engine has each
    #[command(
        after_help = "Examples:\n  segue functions\n  segue functions regexp\n  segue functions 'date and time'\n  segue functions --output json"
    )]
    Functions {
        /// Part of a name, or a category
        #[arg(value_name = "PATTERN")]
        pattern: Option<String>,
        /// Shape of the list
        #[arg(long, short, value_enum, default_value_t)]
        output: super::command::functions::Output,
    },
    /// Tell versions: segue's, and dbt's whose formats it follows
    Version,
}

#[derive(Debug, Subcommand)]
pub enum Docs {
    /// Write catalog.json, the manifest, and index.html: a page of every node, column and where it comes from
    #[command(after_help = "Examples:\n  segue docs generate\n  segue docs generate && open target/index.html")]
    Generate {
        #[command(flatten)]
        selecting: Selecting,
        /// Leave the manifest as it is
        #[arg(long, help_heading = "Options")]
        no_compile: bool,
        #[arg(long, hide = true)]
        compile: bool,
        /// Describe no relations
        #[arg(long, help_heading = "Options")]
        empty_catalog: bool,
        #[arg(long = "static", hide = true)]
        static_: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum SourceCommand {
    /// Hold sources against the ages that their `freshness:` allows
    #[command(after_help = "Example:\n  segue source freshness --select source:charts")]
    Freshness {
        #[command(flatten)]
        selecting: Selecting,
        /// Where to write sources.json
        #[arg(short, long, value_name = "FILE", help_heading = "Options")]
        output: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub enum Simulate {
    /// Streaming events of invented listeners, in Eventsim's shape
    #[command(
        after_help = "Examples:\n  segue simulate eventsim --events 1000000 --out events.jsonl\n  segue simulate eventsim --events 1000000 --to 'kafka://localhost:9092/eventsim_music_streaming?partitions=6'\n  segue simulate eventsim --users 5000 --days 30 --config my-config.json --out - | head"
    )]
    Eventsim(Eventsim),
    /// Recordings of the chart services, in the services' own shapes
    #[command(
        after_help = "Example:\n  segue simulate charts --out recordings/charts --lookups-out recordings/lookups --days 21 --end 2025-02-27"
    )]
    Charts {
        /// Folder for `<provider>/<date>.json`
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Recordings of the look-up services, too
        #[arg(long, value_name = "DIR")]
        lookups_out: Option<PathBuf>,
        #[arg(long, default_value_t = 21, value_name = "N")]
        days: u32,
        /// Last day
        #[arg(long, value_name = "DATE")]
        end: Option<chrono::NaiveDate>,
        /// Seed of chance: the same one makes the same charts
        #[arg(long, value_name = "N")]
        seed: Option<u64>,
    },
}

/// How many rows are shown.
fn row_limit(text: &str) -> Result<i64, String> {
    text.parse().ok().filter(|n| *n >= -1).ok_or_else(|| "a number of rows is 0 or more, and -1 is all of them".to_owned())
}

/// How many of something are made.
fn count(text: &str) -> Result<u64, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| "a whole number, 1 or more, is wanted".to_owned())
}

#[derive(Args, Debug)]
pub struct Eventsim {
    /// Where to write JSON lines; `-` is standard output
    #[arg(long, default_value = "-", value_name = "FILE")]
    pub out: PathBuf,
    /// A Kafka topic to write to, made when it is missing: `kafka://host:port/topic?partitions=6`
    #[arg(long, value_name = "ADDRESS", conflicts_with = "out", value_parser = SinkAddress::parse)]
    pub to: Option<SinkAddress>,
    /// Roughly how many events; decides the number of users when that is not given
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = count)]
    pub events: Option<u64>,
    /// Users at the start
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = count)]
    pub users: Option<u64>,
    /// Days of events
    #[arg(long, value_name = "N")]
    pub days: Option<u32>,
    /// First moment: a date, or a date with a time (UTC unless it says otherwise)
    #[arg(long, value_name = "MOMENT", conflicts_with = "days", value_parser = moment)]
    pub start: Option<chrono::DateTime<chrono::Utc>>,
    /// Events are before this moment; of a date, the day is included
    #[arg(long, value_name = "MOMENT", value_parser = end_moment)]
    pub end: Option<chrono::DateTime<chrono::Utc>>,
    /// Seed of chance: the same one makes the same events [default: that of the configuration]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Seed of the catalog of songs; that of the recorded charts by default
    #[arg(long, value_name = "N")]
    pub catalog_seed: Option<u64>,
    /// Eventsim's JSON configuration
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Users that come in a year, as a share of those who are there
    #[arg(long, value_name = "SHARE")]
    pub growth_rate: Option<f64>,
    /// Users that leave in a year, as a share
    #[arg(long, value_name = "SHARE")]
    pub attrition_rate: Option<f64>,
    /// Id of the first user
    #[arg(long, value_name = "N")]
    pub first_user_id: Option<u64>,
    /// Text that every event carries as `tag`
    #[arg(long, value_name = "TEXT")]
    pub tag: Option<String>,
    /// Threads that make events [default: one per core]
    #[arg(long = "workers", value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub workers: usize,
}

fn moment(text: &str) -> Result<chrono::DateTime<chrono::Utc>, String> {
    parse_moment(text).map(|(moment, _)| moment)
}

fn end_moment(text: &str) -> Result<chrono::DateTime<chrono::Utc>, String> {
    let (moment, is_day) = parse_moment(text)?;
    if !is_day {
        return Ok(moment);
    }
    moment.checked_add_days(chrono::Days::new(1)).ok_or_else(|| "the day after leaves the calendar".to_owned())
}

/// The moment, and whether only a day was given.
fn parse_moment(text: &str) -> Result<(chrono::DateTime<chrono::Utc>, bool), String> {
    match text.parse::<chrono::NaiveDate>() {
        Ok(day) => Ok((day.and_time(chrono::NaiveTime::MIN).and_utc(), true)),
        Err(_) => Moment::try_from(text.to_owned()).map(|m| (m.0, false)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(std::iter::once("segue").chain(line.split_whitespace()))
    }

    #[test]
    fn the_description_is_sound() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn global_flags_stand_in_front_or_behind() {
        for line in ["--debug -t prod run", "run --debug -t prod", "--target=prod run -d", "-d run --target prod"] {
            let parsed = parse(line).expect(line);
            assert!(parsed.global.debug && parsed.global.target.as_deref() == Some("prod"), "{line}");
        }
    }

    #[test]
    fn selectors_come_in_dbts_forms() {
        for line in ["run --select a b", "run -s a -s b", "run --models a b", "run -m a b", "run --select=a --select=b"] {
            let parsed = parse(line).expect(line);
            let Command::Run(running) = parsed.command else { panic!("{line}") };
            assert_eq!(running.selecting.select, ["a", "b"], "{line}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in ["", "bild", "run --threads 0", "show --select a --inline b", "sql --file a b", "ls --output xml", "run --no-such-flag"]
        {
            let error = parse(line).expect_err(line);
            assert!(error.use_stderr() || line.is_empty(), "{line}");
        }
    }

    #[test]
    fn the_end_of_a_simulation_includes_its_day() {
        for (text, start, end) in [
            ("2025-02-27", "2025-02-27T00:00:00+00:00", "2025-02-28T00:00:00+00:00"),
            ("2025-02-27T13:30:00", "2025-02-27T13:30:00+00:00", "2025-02-27T13:30:00+00:00"),
            ("2025-02-27T13:30:00+09:00", "2025-02-27T04:30:00+00:00", "2025-02-27T04:30:00+00:00"),
        ] {
            assert_eq!(moment(text).expect(text).to_rfc3339(), start);
            assert_eq!(end_moment(text).expect(text).to_rfc3339(), end);
        }
        assert!(moment("yesterday").is_err());
    }
}
