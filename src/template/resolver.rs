//! Who knows what `ref()` and `source()` mean.
//!
//! The graph implements [`Resolver`]; this stage asks and never decides.

use serde_json::{Map, Value as Json};

use crate::names::RelationName;

/// What a `ref()` stands for.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolved {
    /// A table or view; `kind` is `table`, `view` or empty when nobody knows yet.
    Relation { name: RelationName, kind: String, event_time: Option<String> },
    /// An ephemeral model: its text becomes a CTE of this name's user.
    Ephemeral { name: String },
}

/// Why a reference means nothing. `code` is a diagnostic's code, e.g. `graph/unknown-ref`.
#[derive(Clone, Debug)]
pub struct RefError {
    pub code: &'static str,
    pub message: String,
    pub help: Option<String>,
}

/// Answers while rendering. Names are as written in the template.
pub trait Resolver {
    fn resolve_ref(&self, package: Option<&str>, name: &str, version: Option<&str>) -> Result<Resolved, RefError>;

    fn resolve_source(&self, source: &str, table: &str) -> Result<Resolved, RefError>;

    fn resolve_function(&self, _: Option<&str>, name: &str) -> Result<RelationName, RefError> {
        Err(RefError { code: "template/ref", message: format!("`function('{name}')` has no meaning here"), help: None })
    }

    /// `graph.nodes`, `graph.sources`, ... as the manifest has them. Asked for only by templates that use `graph`.
    fn graph(&self) -> Map<String, Json> {
        Map::new()
    }
}

/// For texts that have no node around them: every reference is an error.
#[derive(Clone, Copy, Debug)]
pub struct NoResolver;

impl Resolver for NoResolver {
    fn resolve_ref(&self, _: Option<&str>, name: &str, _: Option<&str>) -> Result<Resolved, RefError> {
        Err(RefError { code: "template/ref", message: format!("`ref('{name}')` has no meaning here"), help: None })
    }

    fn resolve_source(&self, source: &str, table: &str) -> Result<Resolved, RefError> {
        Err(RefError { code: "template/ref", message: format!("`source('{source}', '{table}')` has no meaning here"), help: None })
    }
}
