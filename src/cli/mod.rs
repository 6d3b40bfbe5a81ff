//! The command line: arguments as typed -> resolved settings -> one operation per command.
//!
//! Only `settings.rs` reads the environment. Standard output is for data; messages go to standard error.

mod args;
mod command;
mod message;
mod settings;

use clap::Parser;

/// Runs the command line of this process and gives its exit code: 0 all good, 1 a node failed, 2 the invocation or
/// the project is wrong.
pub fn main() -> i32 {
    let arguments: Vec<std::ffi::OsString> = std::env::args_os().collect();
    let parsed = match args::Arguments::try_parse_from(&arguments) {
        Ok(parsed) => parsed,
        Err(error) => {
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return code;
        }
    };
    let settings = settings::Settings::resolve(&parsed.global);
    match command::run(parsed.command, &settings) {
        Ok(code) => code,
        Err(failure) => {
            message::failure(&failure, &settings);
            failure.exit_code
        }
    }
}
