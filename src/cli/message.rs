//! Messages on standard error: rendered diagnostics, or JSON lines.

use std::io::Write;

use serde_json::json;

use super::settings::Settings;
use crate::{
    diagnostic::{Diagnostic, Diagnostics, Severity, Style, render},
    engine::EngineError,
    report::LogFormat,
};

/// Why a command ended early.
#[derive(Debug)]
pub struct Failure {
    pub diagnostics: Diagnostics,
    pub exit_code: i32,
}

impl From<Diagnostics> for Failure {
    fn from(diagnostics: Diagnostics) -> Self {
        Self { diagnostics, exit_code: 2 }
    }
}

impl From<Diagnostic> for Failure {
    fn from(diagnostic: Diagnostic) -> Self {
        Diagnostics::from(diagnostic).into()
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        of_engine(error).into()
    }
}

/// An engine's error that has no place in a file.
pub fn of_engine(error: EngineError) -> Diagnostic {
    let mut diagnostic = Diagnostic::error(error.code, error.message);
    diagnostic.notes = error.notes;
    diagnostic.help = error.help;
    diagnostic
}

/// dbt's name for the kind of a fault, which programs look for.
fn label(diagnostics: &Diagnostics) -> &'static str {
    let first = diagnostics.0.iter().find(|d| d.is_error()).map_or("", |d| d.code);
    match first.split('/').next().unwrap_or_default() {
        "project" | "yaml" => "Parsing Error",
        "template" | "graph" | "selection" => "Compilation Error",
        "engine" | "sql" => "Database Error",
        _ => "Runtime Error",
    }
}

/// Says why the command ended.
pub fn failure(failure: &Failure, settings: &Settings) {
    if failure.diagnostics.0.is_empty() {
        return;
    }
    match settings.log_format {
        LogFormat::Text => {
            line(&format!("Encountered an error:\n{}\n", label(&failure.diagnostics)), settings);
            show(&failure.diagnostics, settings);
            let errors = failure.diagnostics.0.iter().filter(|d| d.is_error()).count();
            if errors > 1 {
                line(&format!("{errors} errors"), settings);
            }
        }
        LogFormat::Json => {
            let text: Vec<String> = failure.diagnostics.0.iter().map(|d| render(d, Style::Plain)).collect();
            json_line(
                "MainEncounteredError",
                "error",
                &format!("Encountered an error:\n{}\n{}", label(&failure.diagnostics), text.join("\n")),
                settings,
            );
        }
    }
}

/// Warnings and errors as they are.
pub fn show(diagnostics: &Diagnostics, settings: &Settings) {
    for diagnostic in &diagnostics.0 {
        if settings.quiet && !diagnostic.is_error() {
            continue;
        }
        match settings.log_format {
            LogFormat::Text => {
                let style = if settings.colour_err { Style::Coloured } else { Style::Plain };
                line(&format!("{}\n", render(diagnostic, style)), settings);
            }
            LogFormat::Json => {
                let level = if diagnostic.severity == Severity::Error { "error" } else { "warn" };
                json_line("Diagnostic", level, &render(diagnostic, Style::Plain), settings);
            }
        }
    }
}

/// One line for people; left out when quiet.
pub fn note(text: &str, settings: &Settings) {
    if settings.quiet {
        return;
    }
    match settings.log_format {
        LogFormat::Text => line(text, settings),
        LogFormat::Json => json_line("Note", "info", text, settings),
    }
}

fn json_line(name: &str, level: &str, message: &str, settings: &Settings) {
    let object = json!({
        "info": {"name": name, "level": level, "msg": message, "ts": settings.now.to_rfc3339(), "invocation_id": settings.invocation.to_string()},
        "data": {"msg": message},
    });
    line(&object.to_string(), settings);
}

fn line(text: &str, settings: &Settings) {
    let mut text = text.to_owned();
    for secret in &settings.secrets {
        text = text.replace(secret.as_str(), "*****");
    }
    // a closed standard error is nobody's fault
    let _ = writeln!(std::io::stderr(), "{text}");
}
