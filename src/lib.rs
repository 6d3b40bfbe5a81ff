//! segue: from Kafka topics, object stores and web charts to tested, served gold tables.
//!
//! The folders are the stages of a project's way, in reading order; each imports only from those above it.
//!
//! | stage | turns | into |
//! |---|---|---|
//! | [`names`] | text | validated identifiers, relations, node ids, fingerprints |
//! | [`diagnostic`] | a fault and its place | a message that points at the user's file |

pub mod checks;
pub mod cli;
pub mod diagnostic;
pub mod dialect;
pub mod editor;
pub mod engine;
pub mod graph;
pub mod ingest;
pub mod lake;
pub mod lineage;
pub mod names;
pub mod plan;
pub mod project;
pub mod report;
pub mod run;
pub mod serve;
pub mod simulate;
pub mod state;
pub mod template;
pub mod typing;
