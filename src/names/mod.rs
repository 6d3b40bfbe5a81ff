//! Validated names: identifiers and relations as Snowflake resolves them, ids of nodes, runs and fingerprints.
//!
//! Pure values. Nothing here reads a project or touches a warehouse.

mod fingerprint;
mod identifier;
mod nearest;
mod node_id;
mod relation;
mod run_id;
mod semi_structured;

pub use fingerprint::{Fingerprint, hexadecimal};
pub use identifier::Identifier;
pub use nearest::nearest;
pub use node_id::{NodeId, ResourceType};
pub use relation::{RelationName, SchemaName};
pub use run_id::RunId;
pub use semi_structured::SemiStructured;
