//! Faults, warnings and notes on standard error: rendered with excerpts, or as JSON lines.

use std::io::Write;

use chrono::SecondsFormat;
use serde_json::json;

use super::config::Config;
use crate::{
    diagnostic::{Diagnostic, Diagnostics, Severity, Style, kind_of, render},
    engine::EngineError,
    report::LogFormat,
    run::event::LogLevel,
};

/// Why a command ended early.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) diagnostics: Diagnostics,
    pub(super) exit_code: i32,
}

impl Failure {
    /// A node or a statement failed; project and invocation are well.
    pub(super) fn of_work(diagnostics: impl Into<Diagnostics>) -> Self {
        Self { diagnostics: diagnostics.into(), exit_code: 1 }
    }
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

/// An engine's error that has no place in a file.
pub(super) fn of_engine(error: EngineError) -> Diagnostic {
    let mut diagnostic = Diagnostic::error(error.code, error.message);
    diagnostic.notes = error.notes;
    diagnostic.help = error.help;
    diagnostic
}

/// dbt's name for the kind of a fault; programs that read the output look for it.
fn label(diagnostics: &Diagnostics) -> &'static str {
    kind_of(diagnostics.0.iter().find(|d| d.is_error()).map_or("", |d| d.code))
}

/// Says why the command ended.
pub(super) fn failure(failure: &Failure, config: &Config) {
    if failure.diagnostics.0.is_empty() {
        return;
    }
    let kind = label(&failure.diagnostics);
    // of a failed statement dbt's users see the database's words only
    let heading = if failure.exit_code == 2 { format!("Encountered an error:\n{kind}\n") } else { format!("{kind}\n") };
    match config.log_format {
        LogFormat::Text => {
            line(&heading, config);
            show(&failure.diagnostics, config);
            let errors = failure.diagnostics.0.iter().filter(|d| d.is_error()).count();
            if errors > 1 {
                line(&format!("{errors} errors"), config);
            }
        }
        LogFormat::Json => {
            let texts: Vec<String> = failure.diagnostics.0.iter().map(|d| render(d, Style::Plain)).collect();
            json_line("MainEncounteredError", "error", &format!("{heading}{}", texts.join("\n\n")), None, config);
            show(&failure.diagnostics, config);
        }
    }
}

/// Warnings and errors as they are.
pub(super) fn show(diagnostics: &Diagnostics, config: &Config) {
    for diagnostic in &diagnostics.0 {
        if !diagnostic.is_error() && (config.quiet || config.level > LogLevel::Warn) {
            continue;
        }
        match config.log_format {
            LogFormat::Text => {
                let style = if config.colour_err { Style::Coloured } else { Style::Plain };
                line(&format!("{}\n", render(diagnostic, style)), config);
            }
            LogFormat::Json => {
                let level = if diagnostic.severity == Severity::Error { "error" } else { "warn" };
                json_line("Diagnostic", level, &render(diagnostic, Style::Plain), Some(diagnostic), config);
            }
        }
    }
}

/// One line for people; left out when quiet.
pub(super) fn note(text: &str, config: &Config) {
    if config.quiet || config.level > LogLevel::Info {
        return;
    }
    match config.log_format {
        LogFormat::Text => line(text, config),
        LogFormat::Json => json_line("Note", "info", text, None, config),
    }
}

fn json_line(name: &str, level: &str, message: &str, diagnostic: Option<&Diagnostic>, config: &Config) {
    let place = diagnostic.and_then(|d| d.place.as_ref()).map(|p| {
        let (line, column) = p.line_column();
        json!({"file": p.file.path.display().to_string(), "line": line, "column": column})
    });
    let object = json!({
        "info": {
            "name": name,
            "level": level,
            "msg": message,
            "ts": chrono::Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true),
            "invocation_id": config.invocation.to_string(),
        },
        "data": {"msg": message, "code": diagnostic.map(|d| d.code), "place": place, "help": diagnostic.and_then(|d| d.help.as_deref())},
    });
    line(&object.to_string(), config);
}

fn line(text: &str, config: &Config) {
    let text = config.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "*****"));
    // a closed standard error is nobody's fault
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_dbts() {
        for (code, expect) in [
            ("yaml/syntax", "Parsing Error"),
            ("project/unknown-key", "Parsing Error"),
            ("graph/unknown-ref", "Compilation Error"),
            ("template/undefined", "Compilation Error"),
            ("sql/unknown-column", "Database Error"),
            ("project/no-project", "Runtime Error"),
            ("cli/show", "Runtime Error"),
        ] {
            assert_eq!(label(&Diagnostic::error(code, "x").into()), expect, "{code}");
        }
    }
}
