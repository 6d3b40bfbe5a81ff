//! The processes that a watch starts: builds, comparisons of rows, and what takes in new data. Each may be stopped at any moment,
//! since every publish is one commit.

use std::process::{Child, Command, ExitStatus, Stdio};

use crate::{cli::config::Config, cli::message::Failure, diagnostic::Diagnostic};

/// A process that ends with its owner.
pub(super) struct Process(Child);

impl Process {
    /// `segue VERB` with the options of this invocation and `args` behind them.
    pub(super) fn start<'a>(verb: &str, args: impl IntoIterator<Item = &'a str>, config: &Config) -> Result<Self, Failure> {
        let mut command = segue(verb, config)?;
        command.args(args).stdin(Stdio::null());
        Self::spawn(command)
    }

    /// The same for a process that would go on for ever: its input is a pipe, whose end is its end, however the owner ends.
    pub(super) fn leash<'a>(verb: &str, args: impl IntoIterator<Item = &'a str>, config: &Config) -> Result<Self, Failure> {
        let mut command = segue(verb, config)?;
        command.args(args).stdin(Stdio::piped());
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Result<Self, Failure> {
        Ok(Self(command.spawn().map_err(failed)?))
    }

    /// How it ended, once it has.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().ok().flatten()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn failed(e: std::io::Error) -> Failure {
    Diagnostic::error("cli/watch", format!("segue cannot be started: {e}")).into()
}

fn segue(verb: &str, config: &Config) -> Result<Command, Failure> {
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command.arg(verb).arg("--project-dir").arg(&config.project_dir);
    let options: [(&str, Option<&str>); 3] =
        [("--profile", config.profile.as_deref()), ("--target", config.target.as_deref()), ("--vars", config.vars.as_deref())];
    for (flag, value) in options {
        if let Some(value) = value {
            command.arg(flag).arg(value);
        }
    }
    if let Some(folder) = &config.profiles_dir {
        command.arg("--profiles-dir").arg(folder);
    }
    if let Some(folder) = &config.target_path {
        command.arg("--target-path").arg(folder);
    }
    if config.local {
        command.arg("--local");
    }
    Ok(command)
}
