//! What can be typed. No environment, no files: clap's description of the command line and nothing else.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// From Kafka topics, object stores and web charts to tested, served gold tables.
#[derive(Debug, Parser)]
#[command(name = "segue", version, propagate_version = true, max_term_width = 100, disable_help_subcommand = true)]
#[command(
    after_help = "Examples:\n  segue build                          ingest, build and test everything\n  segue build --select +top_songs      one model and all it needs\n  segue show --select top_songs        look at its rows\n  segue sql \"select count(*) from t\"    ask the warehouse\n  segue init my_project                start a project that builds at once"
)]
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
    /// Profile to use instead of the project's
    #[arg(long, global = true, value_name = "NAME")]
    pub profile: Option<String>,
    /// Target of the profile
    #[arg(short, long, global = true, value_name = "NAME")]
    pub target: Option<String>,
    /// Variables, as YAML: '{run_date: 2025-02-27}'
    #[arg(long, global = true, value_name = "YAML")]
    pub vars: Option<String>,
    /// Nodes that run at the same time
    #[arg(long, global = true, value_name = "N")]
    pub threads: Option<usize>,
    /// Folder for artifacts [default: the project's target-path]
    #[arg(long, global = true, value_name = "DIR")]
    pub target_path: Option<PathBuf>,
    /// Run a Snowflake target on the local engine
    #[arg(long, global = true)]
    pub local: bool,
    /// Shape of messages
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
    /// Treat warnings as errors
    #[arg(long, global = true)]
    pub warn_error: bool,
    /// Accepted for compatibility: segue has no partial parse to switch off
    #[arg(long, global = true, hide = true)]
    pub no_partial_parse: bool,
    /// Accepted for compatibility: only the needed schemas are ever listed
    #[arg(long, global = true, hide = true)]
    pub cache_selected_only: bool,
    /// Accepted for compatibility
    #[arg(long, global = true, hide = true)]
    pub no_populate_cache: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Json,
    /// dbt's name for text
    Default,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
    None,
}

/// Which nodes.
#[derive(Args, Clone, Debug, Default)]
pub struct Selecting {
    /// Nodes to take: names, paths, tag:x, source:x, +x, x+, @x; a space is "or", a comma is "and"
    #[arg(short, long, visible_alias = "models", short_alias = 'm', num_args = 1.., value_name = "SELECTOR")]
    pub select: Vec<String>,
    /// Nodes to leave out
    #[arg(long, num_args = 1.., value_name = "SELECTOR")]
    pub exclude: Vec<String>,
    /// Only nodes of these types
    #[arg(long, num_args = 1.., value_name = "TYPE")]
    pub resource_type: Vec<String>,
    /// Not nodes of these types
    #[arg(long, num_args = 1.., value_name = "TYPE")]
    pub exclude_resource_type: Vec<String>,
    /// Which tests come with a selected node: eager, cautious, buildable, empty
    #[arg(long, value_name = "MODE")]
    pub indirect_selection: Option<String>,
}

/// How nodes run.
#[derive(Args, Clone, Debug, Default)]
pub struct Running {
    #[command(flatten)]
    pub selecting: Selecting,
    /// Build incremental models and seeds from nothing
    #[arg(short, long)]
    pub full_refresh: bool,
    /// Stop at the first failure
    #[arg(short = 'x', long)]
    pub fail_fast: bool,
    /// Keep failing rows of tests as tables
    #[arg(long)]
    pub store_failures: bool,
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
pub enum ListOutput {
    #[default]
    Selector,
    Name,
    Path,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Ingest sources, build models, seeds and snapshots, and run tests, in the order of the graph
    #[command(
        after_help = "Examples:\n  segue build\n  segue build --select +music_charts\n  segue build --vars '{run_date: 2025-02-27}' --full-refresh"
    )]
    Build(Running),
    /// Build models
    #[command(after_help = "Examples:\n  segue run --select silver+\n  segue run --full-refresh")]
    Run(Running),
    /// Run data tests
    #[command(after_help = "Examples:\n  segue test --select music_charts\n  segue test --store-failures")]
    Test(Running),
    /// Load CSV files
    #[command(after_help = "Example:\n  segue seed --select countries")]
    Seed(Running),
    /// Take in new data of sources that have an adapter
    #[command(after_help = "Examples:\n  segue ingest\n  segue ingest --select source:charts")]
    Ingest(Running),
    /// Render models to SQL without running them
    #[command(
        after_help = "Examples:\n  segue compile --select music_charts\n  segue compile --inline \"select * from {{ ref('music_charts') }}\""
    )]
    Compile {
        #[command(flatten)]
        selecting: Selecting,
        /// A query to compile in place of a node
        #[arg(long, value_name = "SQL")]
        inline: Option<String>,
        /// Full refresh, as templates see it
        #[arg(short, long)]
        full_refresh: bool,
    },
    /// Read the project and report every fault in it
    Parse,
    /// List nodes
    #[command(
        visible_alias = "list",
        after_help = "Examples:\n  segue ls --select +music_charts --output name\n  segue ls --resource-type test --output json"
    )]
    Ls {
        #[command(flatten)]
        selecting: Selecting,
        #[arg(long, value_enum, default_value_t)]
        output: ListOutput,
        /// Keys of JSON output
        #[arg(long, num_args = 1.., value_name = "KEY")]
        output_keys: Vec<String>,
    },
    /// Show rows of a model, or of a query
    #[command(
        after_help = "Examples:\n  segue show --select top10_stability --limit 20\n  segue show --inline \"select count(*) from {{ ref('music_charts') }}\" --output json"
    )]
    Show {
        #[command(flatten)]
        selecting: Selecting,
        /// A query in place of a node; may use ref() and source()
        #[arg(long, value_name = "SQL")]
        inline: Option<String>,
        /// Rows to show; -1 for all
        #[arg(long, default_value_t = 5, allow_negative_numbers = true)]
        limit: i64,
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Run SQL statements on the warehouse
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
        #[arg(long, value_enum, default_value_t)]
        output: Output,
        /// Go on after a failed statement
        #[arg(long)]
        keep_going: bool,
    },
    /// Make data: streaming events, recordings of charts
    #[command(subcommand)]
    Simulate(Simulate),
    /// Remove the folders of clean-targets
    Clean,
    /// Check versions, project, profile and warehouse
    Debug {
        /// Only the connection
        #[arg(long)]
        connection: bool,
    },
    /// Start a project that builds at once
    #[command(after_help = "Example:\n  segue init charts && cd charts && segue build")]
    Init {
        /// Name of the project and of its folder
        name: Option<String>,
        /// Accepted for compatibility
        #[arg(long, hide = true)]
        skip_profile_setup: bool,
    },
    /// Write a completion script for a shell
    #[command(after_help = "Example:\n  segue completions bash > /etc/bash_completion.d/segue")]
    Completions { shell: clap_complete::Shell },
}

#[derive(Debug, Subcommand)]
pub enum Simulate {
    /// Streaming events of invented listeners, in Eventsim's shape
    #[command(
        after_help = "Examples:\n  segue simulate eventsim --events 1000000 --out events.jsonl\n  segue simulate eventsim --users 5000 --days 30 --config my-config.json --out -"
    )]
    Eventsim {
        /// Where to write JSON lines; `-` is standard output
        #[arg(long, default_value = "-", value_name = "FILE")]
        out: String,
        /// Stop after this many events
        #[arg(long, value_name = "N")]
        events: Option<u64>,
        /// Listeners at the start
        #[arg(long, value_name = "N")]
        users: Option<u64>,
        /// Days of events
        #[arg(long, value_name = "N")]
        days: Option<u32>,
        /// First day
        #[arg(long, value_name = "DATE", conflicts_with = "days")]
        start: Option<chrono::NaiveDate>,
        /// Last day
        #[arg(long, value_name = "DATE")]
        end: Option<chrono::NaiveDate>,
        #[arg(long, value_name = "N")]
        seed: Option<u64>,
        /// Eventsim's JSON configuration
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Recordings of the chart services, in the services' own shapes
    #[command(
        after_help = "Example:\n  segue simulate charts --out recordings/charts --lookups-out recordings/lookups --days 21 --end 2025-02-27"
    )]
    Charts {
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
        #[arg(long, value_name = "N")]
        seed: Option<u64>,
    },
}
