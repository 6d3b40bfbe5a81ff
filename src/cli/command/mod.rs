//! One file per command, each calling one operation.

mod clean;
mod compile;
mod debug;
mod init;
mod ls;
mod nodes;
mod parse;
mod show;
mod simulate;
mod sql;
mod version;

use super::{args::Command, config::Config, message::Failure, stdout::Stdout};
use crate::plan::Verb;

/// The exit code, or why there was nothing to run.
pub(super) fn run(command: Command, config: &Config) -> Result<i32, Failure> {
    match command {
        Command::Build(running) => nodes::run(Verb::Build, &running, false, config),
        Command::Run(running) => nodes::run(Verb::Run, &running, false, config),
        Command::Test(running) => nodes::run(Verb::Test, &running, false, config),
        Command::Seed(running) => nodes::run(Verb::Seed, &running, false, config),
        Command::Ingest { running, follow } => nodes::run(Verb::Ingest, &running, follow, config),
        Command::Compile { selecting, inline, full_refresh } => compile::run(&selecting, inline.as_deref(), full_refresh, config),
        Command::Parse => parse::run(config),
        Command::Ls { selecting, output, output_keys } => ls::run(&selecting, output, &output_keys, config),
        Command::Show { selecting, inline, limit, output } => show::run(&selecting, inline.as_deref(), limit, output, config),
        Command::Sql { statements, file, output, keep_going } => sql::run(&statements, file.as_deref(), output, keep_going, config),
        Command::Simulate(what) => simulate::run(what, config),
        Command::Clean => clean::run(config),
        Command::Debug { connection } => debug::run(connection, config),
        Command::Init { name, .. } => init::run(name.as_deref(), config),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut super::definition(), "segue", &mut Stdout);
            Ok(0)
        }
        Command::Version => version::run(),
    }
}
