//! Snowflake SQL: parsing, lowering to what DataFusion plans, Snowflake's types and functions.
//!
//! A statement's way: text -> [`parse`] -> sqlparser AST -> [`lower`] (identifiers folded, Snowflake's constructs
//! rewritten) -> [`resolve`] (aliases, positions and merged columns, by the columns of the tables) -> DataFusion's
//! planner with our operator and relation planners -> [`retag`] (semi-structured types carried through CASE and COALESCE). Functions that DataFusion lacks, or answers differently, are in [`function`].
//!
//! Statements about objects go through [`command`] instead of sqlparser's own grammar.
//!
//! Nothing here opens a table or runs a plan.

mod coercion;
pub mod collation;
pub mod command;
pub mod error;
pub mod facts;
mod field;
pub mod flow;
pub mod function;
pub mod indirection;
pub mod literal;
pub mod lower;
pub mod moment;
pub mod operator;
pub mod parse;
pub mod relation;
pub mod resolve;
pub mod retag;
pub mod script;
pub mod settings;
pub mod spelling;
pub mod structured;
pub mod survey;
pub mod types;
pub mod variant;

pub use error::SqlError;
