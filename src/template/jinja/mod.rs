//! The Jinja language with Python's values: text -> [`ast`] -> output.
//!
//! minijinja's parser gives the syntax tree; the evaluator is ours, because dbt projects need mutable lists and dicts,
//! `return()`, `caller()` across files, and the place of every piece of output. This folder knows nothing of dbt: names
//! that the language lacks are asked of a [`Host`].

mod arguments;
pub mod ast;
mod blocks;
mod convert;
mod fault;
mod filters;
mod functions;
mod invocation;
mod machine;
mod methods;
mod number;
mod operators;
mod parse;
mod predicates;
mod printing;
mod statements;
mod text_format;
mod value;

#[cfg(test)]
mod language_tests;

pub use arguments::Args;
pub(in crate::template) use arguments::Expect;
pub use blocks::{NamedBlock, named_blocks};
pub use fault::{Eval, Fault};
pub(in crate::template) use filters::python_json;
pub(in crate::template) use functions::zip;
pub use invocation::file_macro;
pub use machine::{Host, Limits, Machine, Scope};
pub use parse::{Parsed, parse};
pub use printing::{display, repr};
pub use value::{Dict, Key, Object, Value};
