//! Tables and views on storage: a table is a Delta Lake table at `<root>/<DATABASE>/<SCHEMA>/<TABLE>/`, a view a JSON
//! file beside it. Listing the root is the catalog.
//!
//! Invariants: every change of a table is one Delta commit; data files are written before it and are invisible until
//! it. Where a view file and a table of one name both exist (a crash between two steps of a replacement), the view
//! is what readers see. Nothing here knows SQL.

mod commit;
mod definition;
mod error;
mod glance;
mod grave;
mod location;
mod lock;
mod memory;
mod overlay;
mod rules;
mod scan;
mod schema;
mod staging;
mod table;
mod upkeep;
mod view;
mod warehouse;
mod write;

pub use commit::{Change, Commit, Removed, describes};
pub use definition::{FolderFile, FunctionArgument, FunctionFile, FunctionOverload, SequenceFile};
pub use error::LakeError;
pub use glance::Glance;
pub use lock::{Locked, RelationLock};
pub use overlay::Transaction;
pub use rules::{ColumnRules, Constraint, ConstraintKind, Identity};
pub use schema::{comment_of, storage_field, storage_schema, with_comment};
pub use staging::{Staged, Staging};
pub use table::LakeTable;
pub use upkeep::{Upkeep, Upkept};
pub use view::{ExternalFile, ViewColumn, ViewFile};
pub use warehouse::{Entry, Lake};
pub use write::{WriteError, WrittenFile, write_stream};
