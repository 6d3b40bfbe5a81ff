//! Data tests: a test's compiled SQL and configuration -> the query that counts, and the verdict on its count.
//!
//! Pure. Who runs the query, stores failing rows and reports is `run/`. A test's `where` is not applied here: as in
//! dbt it restricts the tested model, so it is part of the compiled SQL (`get_where_subquery`).

mod condition;
mod query;
mod verdict;

pub use condition::Condition;
pub use query::{CountQuery, failing_rows};
pub use verdict::{Counted, Verdict, verdict};
