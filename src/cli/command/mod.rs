//! One file per command, each calling one operation.

mod catalog;
mod check;
mod ci;
mod clean;
mod compile;
mod debug;
mod deps;
mod diff;
mod following;
mod freshness;
pub(super) mod functions;
mod init;
mod lineage;
mod ls;
mod lsp;
mod maintain;
mod nodes;
mod parity;
mod parse;
mod plan;
mod promote;
mod pull;
mod retry;
mod run_operation;
mod show;
mod simulate;
mod sql;
mod version;
mod watch;

pub(super) use nodes::adapters;

use super::{
    args::{Command, Docs, SourceCommand},
    config::Config,
    interrupt,
    message::Failure,
    stdout::Stdout,
};
use crate::plan::Verb;

/// The artifact of `check` with all that is known of columns.
const LINEAGE: &str = "lineage.json";

/// The exit code, or why there was nothing to run.
pub(super) fn run(command: Command, config: &Config) -> Result<i32, Failure> {
    match command {
        Command::Build { running, follow: false, .. } => nodes::run(Verb::Build, &running, config),
        Command::Build { running, follow: true, every } => following::build(&running, every, config),
        Command::Run(running) => nodes::run(Verb::Run, &running, config),
        Command::Test(running) => nodes::run(Verb::Test, &running, config),
        Command::Seed(running) => nodes::run(Verb::Seed, &running, config),
        Command::Snapshot(running) => nodes::run(Verb::Snapshot, &running, config),
        Command::Clone(running) => nodes::run(Verb::Clone, &running, config),
        Command::Retry { state } => retry::run(state.as_deref(), config),
        Command::RunOperation { name, args } => run_operation::run(&name, args.as_deref(), config),
        Command::Docs(Docs::Generate { selecting, no_compile, empty_catalog, .. }) => {
            catalog::run(&selecting, !no_compile, empty_catalog, config)
        }
        Command::Source(SourceCommand::Freshness { selecting, output }) => freshness::run(&selecting, output.as_deref(), config),
        Command::Deps { upgrade, lock } => deps::run(upgrade, lock, config),
        Command::Ingest { running, follow, leashed } => {
            if leashed {
                interrupt::with_input();
            }
            nodes::run_with(Verb::Ingest, &running, nodes::Extra { follow, ..nodes::Extra::default() }, config)
        }
        Command::Compile { selecting, inline, full_refresh } => compile::run(&selecting, inline.as_deref(), full_refresh, config),
        Command::Parse => parse::run(config),
        Command::Check { selecting, output } => check::run(&selecting, output, config),
        Command::Diff(args) => diff::run(&args, config),
        Command::Ci(args) => ci::run(&args, config),
        Command::Watch(args) => watch::run(&args, config),
        Command::Lsp { .. } => lsp::run(config),
        Command::Lineage(args) => lineage::run(&args, config),
        Command::Ls { selecting, output, output_keys } => ls::run(&selecting, output, &output_keys, config),
        Command::Show { selecting, inline, limit, output } => show::run(&selecting, inline.as_deref(), limit, output, config),
        Command::Sql { statements, file, output, keep_going } => sql::run(&statements, file.as_deref(), output, keep_going, config),
        Command::Simulate(what) => simulate::run(what, config),
        Command::Maintain { selecting, dry_run, retention } => maintain::run(&selecting, dry_run, &retention, config),
        Command::Clean => clean::run(config),
        Command::Debug { connection } => debug::run(connection, config),
        Command::Init { name, .. } => init::run(name.as_deref(), config),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut super::definition(), "segue", &mut Stdout);
            Ok(0)
        }
        Command::Plan { running, output } => plan::plan(&running, output, config),
        Command::Promote { running, to, dry_run } => promote::run(&running, to.as_deref(), dry_run, config),
        Command::Explain { node, running, output } => plan::explain(&node, &running, output, config),
        Command::Parity { selecting, output } => parity::run(&selecting, output, config),
        Command::Pull(args) => pull::run(&args, config),
        Command::Functions { pattern, output } => functions::run(pattern.as_deref(), output, config),
        Command::Version => version::run(),
    }
}
