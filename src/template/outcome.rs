//! What the two passes hand back: a node's references and configuration, or its SQL with a map to the template.

use indexmap::{IndexMap, IndexSet};
use serde_json::Value as Json;

use super::SourceMap;
use crate::{
    diagnostic::{Diagnostic, Place},
    graph::{RefCall, SourceCall},
};

/// `log(...)` and `print(...)` of a template.
#[derive(Clone, Debug, PartialEq)]
pub struct LogLine {
    /// `log(..., info=True)` and `print` are for the screen, the rest for the debug log.
    pub info: bool,
    pub message: String,
}

/// What a file refers to; the result of the pass with `execute = false`.
#[derive(Clone, Debug, Default)]
pub struct Collected {
    /// In order of appearance, repeated ones included once per place.
    pub refs: Vec<RefCall>,
    pub sources: Vec<SourceCall>,
    /// What `function()` named.
    pub functions: Vec<RefCall>,
    /// `config(...)` calls merged: later wins, `tags` and hooks add up, `meta` merges.
    pub config: IndexMap<String, (Json, Place)>,
    pub vars: IndexSet<String>,
    pub env_vars: IndexSet<String>,
    /// `package.name`, called directly or by another macro.
    pub macros: IndexSet<String>,
    pub logs: Vec<LogLine>,
    pub warnings: Vec<Diagnostic>,
    /// The text looked at something that is another thing in each invocation: the clock, flags, the invocation's id.
    pub varies: bool,
}

/// The result of the pass with `execute = true`.
#[derive(Clone, Debug, Default)]
pub struct Rendered {
    pub sql: String,
    pub map: SourceMap,
    /// `package.name`, in order of first call.
    pub macros_used: Vec<String>,
    /// Ephemeral models whose CTE the text names, in order of first appearance. See [`with_ctes`](super::with_ctes).
    pub ephemerals: Vec<String>,
    pub env_vars: IndexSet<String>,
    pub logs: Vec<LogLine>,
    pub warnings: Vec<Diagnostic>,
    /// `sql_header` of the configuration, as `set_sql_header` set it while rendering.
    pub header: Option<String>,
}

/// What a macro called from outside a template gave back.
#[derive(Clone, Debug, Default)]
pub struct Returned {
    /// The value printed.
    pub text: String,
    /// The value itself; objects that JSON lacks are their text.
    pub value: Json,
    /// What the warehouse said of each named statement (`statement('main')`).
    pub responses: IndexMap<String, Json>,
    pub macros_used: Vec<String>,
    pub ephemerals: Vec<String>,
    pub logs: Vec<LogLine>,
    pub warnings: Vec<Diagnostic>,
    /// As in [`Collected`].
    pub varies: bool,
}
