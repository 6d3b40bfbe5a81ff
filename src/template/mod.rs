//! Templates: text with Jinja in it becomes SQL, or a list of what it refers to.
//!
//! [`jinja`] is the language; the files beside it are dbt's context: [`Environment::collect`] runs a file with
//! `execute = false` and reports references and configuration, [`Environment::render`] runs it with `execute = true` and gives
//! SQL with a [`SourceMap`]. Nothing here reads files, resolves references or talks to a warehouse: [`Resolver`] and
//! [`Warehouse`] are asked. There is no async, and an [`Environment`] is shared between threads as it is.

mod adapter;
mod configuration;
mod context;
mod environment;
mod ephemeral;
pub mod jinja;
mod literal;
mod macros;
mod outcome;
mod python;
mod relation;
mod resolver;
mod results;
mod session;
mod source_map;
mod warehouse;

pub use context::{EnvironmentLookup, MacroFile, NodeContext, ProjectContext, Rows, Substitutes};
pub use environment::{Environment, MacroCall, MacroFacts, TestCall};
pub use ephemeral::{cte_name, with_ctes};
pub use macros::BUILTIN_PACKAGE;
pub use outcome::{Collected, LogLine, Rendered, Returned};
pub use resolver::{NoResolver, RefError, Resolved, Resolver};
pub use session::context_names;
pub use source_map::SourceMap;
pub use warehouse::{Cell, ColumnFacts, NoWarehouse, RelationFacts, ResultTable, Warehouse};

#[cfg(test)]
mod context_tests;
