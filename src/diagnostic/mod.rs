//! Places in the user's files, and messages that point at them.
//!
//! A stage has its own error type and turns it once into a [`Diagnostic`]; only `report/` and `cli/` print.

mod place;
mod render;

pub use place::{Place, SourceFile};
pub use render::{Style, render};

/// How bad it is. Errors end the stage, warnings do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    Error,
    Warning,
}

/// One message for the user: what went wrong, where in their own file, and what to do.
///
/// `message` is a lower-case phrase without a full stop, names in backticks. `code` is `<stage>/<kebab-case>`.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    pub code: &'static str,
    pub severity: Severity,
    pub message: String,
    /// The main place. `None` only when no file of the user is involved (a full disk, a refused connection).
    pub place: Option<Place>,
    /// What to write under the carets.
    pub label: String,
    /// Other places that explain the first, e.g. the stack of macro calls, innermost first.
    pub related: Vec<(Place, String)>,
    pub notes: Vec<String>,
    pub help: Option<String>,
}

/// dbt's name for the kind of a fault, by its code; programs that read the output look for it.
pub fn kind_of(code: &str) -> &'static str {
    match code {
        "project/no-project" | "project/no-profiles" | "project/no-profile" | "project/unknown-profile" | "project/query-comment" => {
            "Runtime Error"
        }
        "project/unknown-target" | "project/no-target" | "project/unknown-type" | "graph/cycle" | "graph/bad-selector" => "Runtime Error",
        "project/duplicate-entry" | "project/unknown-test" | "project/no-sql" => "Compilation Error",
        "template/query" | "template/warehouse" => "Database Error",
        "engine/schema-change" | "check/store-failures" | "check/unit-test" | "seed/delimiter" => "Compilation Error",
        code => match code.split('/').next().unwrap_or_default() {
            "project" | "yaml" => "Parsing Error",
            "template" | "graph" | "run" => "Compilation Error",
            "engine" | "sql" | "seed" => "Database Error",
            _ => "Runtime Error",
        },
    }
}

impl Diagnostic {
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            place: None,
            label: String::new(),
            related: vec![],
            notes: vec![],
            help: None,
        }
    }

    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    pub fn at(mut self, place: impl Into<Option<Place>>, label: impl Into<String>) -> Self {
        self.place = place.into();
        self.label = label.into();
        self
    }

    pub fn related(mut self, place: Place, label: impl Into<String>) -> Self {
        self.related.push((place, label.into()));
        self
    }

    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// Everything a stage found wrong; never empty where it is returned as an error.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    pub fn has_errors(&self) -> bool {
        self.0.iter().any(Diagnostic::is_error)
    }

    pub fn extend(&mut self, other: Diagnostics) {
        self.0.extend(other.0);
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(d: Diagnostic) -> Self {
        Self(vec![d])
    }
}
