//! What a run asks of the project: nodes, their compiled SQL, and the way from that SQL back to the user's files.
//!
//! The trait sits with its consumer; the project implements it. Compiling may ask the warehouse (`run_query`,
//! `is_incremental()`), so the executor calls it from blocking threads, never from an async one.

use std::{fmt, ops::Range, path::PathBuf, sync::Arc};

use serde_json::{Map, Value as Json};

use crate::{
    diagnostic::{Diagnostic, Diagnostics, Place},
    engine::{Engine, EngineError},
    graph::Node,
    names::{NodeId, SchemaName},
    project::World,
    template::{LogLine, MacroCall, Returned, SourceMap},
};

pub trait Compile: Send + Sync {
    fn node(&self, id: &NodeId) -> Option<Arc<Node>>;

    /// The same project, whose templates ask another engine.
    fn over(&self, engine: &Arc<dyn Engine>) -> Arc<dyn Compile>;

    /// The SQL of a model, test or snapshot, ephemeral parents included as CTEs.
    fn compile(&self, id: &NodeId) -> Result<CompiledNode, Diagnostics> {
        self.compile_in(id, &World::default())
    }

    /// The same in a world of its own: a batch, a unit test.
    fn compile_in(&self, id: &NodeId, world: &World) -> Result<CompiledNode, Diagnostics>;

    /// A hook's template that was written at `place`, in the context of a node (`this`, `config`...) or of the project;
    /// `variables` are added (`results`, `schemas` of on-run-end).
    fn render(&self, id: Option<&NodeId>, template: &str, place: &Place, variables: &Map<String, Json>) -> Result<Text, Diagnostics>;

    /// Calls a macro in the context of a node.
    fn call(&self, id: Option<&NodeId>, call: &MacroCall, variables: &Map<String, Json>) -> Result<Returned, Diagnostics>;

    /// The macro that makes the node, where the project brings its own materialization.
    fn materialization(&self, node: &Node) -> Option<String>;

    /// What every statement for the node carries, so that it can be told apart in the warehouse's history.
    fn comment(&self, id: Option<&NodeId>) -> Result<Option<QueryComment>, Diagnostics>;

    /// A schema as the profile writes it, database first: names fold, but templates compare texts.
    fn written(&self, schema: &SchemaName) -> (String, String);

    /// A seed's file on disk; that of an installed package is below the package's folder.
    fn seed_file(&self, node: &Node) -> PathBuf;
}

/// What a text around a node rendered to.
#[derive(Clone, Debug, Default)]
pub struct Text {
    pub sql: String,
    pub logs: Vec<LogLine>,
}

/// `query-comment` of `dbt_project.yml`, rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryComment {
    pub text: String,
    /// Behind the statement instead of in front of it.
    pub append: bool,
}

impl QueryComment {
    /// What stands before and behind a statement.
    pub fn around(&self) -> (String, String) {
        match self.append {
            true => (String::new(), format!("\n/* {} */", self.text)),
            false => (format!("/* {} */\n", self.text), String::new()),
        }
    }

    pub fn with(&self, sql: &str) -> String {
        match self.append {
            true => format!("{}\n/* {} */", sql.trim_end().trim_end_matches(';'), self.text),
            false => format!("/* {} */\n{sql}", self.text),
        }
    }
}

/// SQL, and where each piece of it came from.
#[derive(Clone)]
pub struct CompiledNode {
    pub sql: String,
    pub places: Arc<dyn Places>,
    /// What the template said by `log(...)` and `print(...)`.
    pub logs: Vec<LogLine>,
    pub warnings: Diagnostics,
    /// `sql_header`: statements to run before, in the same session.
    pub header: Option<String>,
}

impl fmt::Debug for CompiledNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompiledNode").field("sql", &self.sql).finish_non_exhaustive()
    }
}

/// From a byte range of compiled SQL to the user's file.
pub trait Places: Send + Sync {
    /// The place, and the macro calls that led there, innermost first. `None` when nobody wrote that text.
    fn place_of(&self, range: Range<usize>) -> Option<(Place, Vec<(Place, String)>)>;
}

impl Places for SourceMap {
    fn place_of(&self, range: Range<usize>) -> Option<(Place, Vec<(Place, String)>)> {
        self.place(range)
    }
}

/// Knows no places: for SQL that segue made itself.
pub struct Nowhere;

impl Places for Nowhere {
    fn place_of(&self, _: Range<usize>) -> Option<(Place, Vec<(Place, String)>)> {
        None
    }
}

/// An engine's error as the user reads it. `offset` is where the compiled SQL begins in the SQL that was run.
pub fn placed(error: EngineError, node: &Node, compiled: Option<&CompiledNode>, offset: usize) -> Diagnostic {
    let mut diagnostic = Diagnostic::error(error.code, error.message);
    diagnostic.notes = error.notes;
    diagnostic.help = error.help;
    let inside = |range: &Range<usize>| {
        let compiled = compiled?;
        let range = range.start.checked_sub(offset)?..range.end.checked_sub(offset)?;
        (range.end <= compiled.sql.len()).then_some((compiled, range))
    };
    match error.at.as_ref().and_then(inside) {
        Some((compiled, range)) => match compiled.places.place_of(range.clone()) {
            Some((place, related)) => {
                diagnostic.place = Some(place);
                diagnostic.related = related;
            }
            None => {
                let before = compiled.sql.get(..range.start).unwrap_or(&compiled.sql);
                let line = before.matches('\n').count() + 1;
                let text = compiled.sql.lines().nth(line - 1).unwrap_or_default().trim();
                diagnostic.notes.push(format!("at line {line} of the compiled SQL: {text}"));
                diagnostic.place = Some(whole(node));
            }
        },
        None => diagnostic.place = Some(whole(node)),
    }
    diagnostic
}

/// Where a fault without a place of its own is shown: the YAML entry of a source or test, the file of all else.
pub fn whole(node: &Node) -> Place {
    match &node.patch {
        Some(patch) if node.test.is_some() || node.source.is_some() => patch.clone(),
        _ => Place::start_of(&node.file),
    }
}
