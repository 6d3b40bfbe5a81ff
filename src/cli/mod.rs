//! The command line: arguments as typed -> resolved configuration -> one operation per command.
//!
//! `args.rs` knows what may be typed and nothing else; `config.rs` alone reads the environment; each file of `command/`
//! calls one operation. Standard output is for data and for the lines of a run; faults and notes go to standard error.

mod args;
mod artifacts;
mod command;
mod config;
mod cost;
mod crossing;
mod environment;
mod findings;
mod interrupt;
mod message;
mod sampling;
mod stateful;
mod stdout;
mod typed;
mod workspace;

use clap::Parser;

/// Runs the command line of this process and gives its exit code: 0 all good, 1 a node failed, 2 the invocation or the
/// project is wrong, 130 interrupted.
pub fn main() -> i32 {
    let parsed = match args::Arguments::try_parse() {
        Ok(parsed) => parsed,
        Err(error) => {
            // a closed terminal is no reason for another code
            let _ = error.print();
            return if error.use_stderr() { 2 } else { 0 };
        }
    };
    if let Some(folder) = parsed.global.project_dir.as_ref().filter(|f| !f.is_dir()) {
        let message = format!("invalid value for '--project-dir': directory '{}' does not exist", folder.display());
        let error = <args::Arguments as clap::CommandFactory>::command().error(clap::error::ErrorKind::ValueValidation, message);
        let _ = error.print();
        return 2;
    }
    let config = config::Config::resolve(&parsed.global);
    match command::run(parsed.command, &config) {
        Ok(code) => code,
        Err(failure) => {
            message::failure(&failure, &config);
            failure.exit_code
        }
    }
}

/// The command line as documentation and tests see it.
pub fn definition() -> clap::Command {
    <args::Arguments as clap::CommandFactory>::command()
}
