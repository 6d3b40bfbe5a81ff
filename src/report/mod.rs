//! Events and results -> what people and programs read: terminal lines, JSON lines, tables, `run_results.json`.
//!
//! Nothing here decides anything about a run; a reporter that is slow or gone does not slow or stop it.

mod json_log;
mod line;
pub mod run_results;
mod summary;
pub mod table;
mod terminal;

use std::io::Write;

use chrono::{DateTime, Utc};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::run::event::{Event, LogLevel, Status};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    /// One object per line, in the shape of dbt's structured logs.
    Json,
}

/// How the report looks. Read from the terminal and the environment by whoever starts it, never here.
#[derive(Clone, Debug)]
pub struct ReportOptions {
    pub format: LogFormat,
    /// Only errors.
    pub quiet: bool,
    /// Least level of log messages that are shown.
    pub level: LogLevel,
    /// Columns that a line may take.
    pub width: usize,
    /// Escape sequences for colour; off when piped or with `NO_COLOR`.
    pub colour: bool,
    /// A progress line on standard error; only when that is a terminal.
    pub progress: bool,
    /// `build`, for the advice at the end.
    pub verb: String,
    pub invocation: String,
    /// Values that never appear, whatever carries them.
    pub secrets: Vec<String>,
    pub clock: fn() -> DateTime<Utc>,
}

impl Default for ReportOptions {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            quiet: false,
            level: LogLevel::Info,
            width: 100,
            colour: false,
            progress: false,
            verb: "build".into(),
            invocation: String::new(),
            secrets: vec![],
            clock: Utc::now,
        }
    }
}

/// Takes events one by one. `out` gets whole lines.
pub enum Reporter {
    Text(Box<terminal::Terminal>),
    Json(Box<json_log::JsonLog>),
}

impl Reporter {
    pub fn new(options: ReportOptions, out: Box<dyn Write + Send>) -> Self {
        match options.format {
            LogFormat::Text => Self::Text(Box::new(terminal::Terminal::new(options, out))),
            LogFormat::Json => Self::Json(Box::new(json_log::JsonLog::new(options, out))),
        }
    }

    pub fn event(&mut self, event: &Event) {
        match self {
            Self::Text(terminal) => terminal.event(event),
            Self::Json(log) => log.event(event),
        }
    }
}

/// Reports until the run drops its end; meant for a thread of its own.
pub fn follow(mut reporter: Reporter, mut events: UnboundedReceiver<Event>) -> bool {
    while let Some(event) = events.blocking_recv() {
        reporter.event(&event);
    }
    true
}

/// As [`follow`], but a run in which no node had anything to do is not told at all: `false`.
pub fn follow_changes(mut reporter: Reporter, mut events: UnboundedReceiver<Event>) -> bool {
    let mut held = vec![];
    let mut tells = false;
    while let Some(event) = events.blocking_recv() {
        tells |= match &event {
            // what the end of following stopped comes with the next one
            Event::NodeFinished { result, .. } if result.diagnostics.iter().any(|d| d.code == "run/cancelled") => false,
            Event::NodeFinished { result, .. } => {
                result.failed() || !(result.fresh || matches!(result.status, Status::NoOp | Status::Skipped))
            }
            Event::Warning { .. } => true,
            _ => false,
        };
        held.push(event);
        if tells {
            held.drain(..).for_each(|event| reporter.event(&event));
        }
    }
    tells
}

/// Text without secrets.
fn scrub(text: &str, secrets: &[String]) -> String {
    secrets.iter().filter(|s| !s.trim().is_empty()).fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "*****"))
}

#[cfg(test)]
mod tests;
