//! Relations whose rows stay in files outside of the warehouse. The warehouse keeps which files there are; how they are read
//! is known to the project alone, with its addresses and credentials, which never stand in the warehouse.

use std::{collections::BTreeMap, sync::Arc};

use ::datafusion::arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use futures::stream::BoxStream;

use super::EngineError;
use crate::names::RelationName;

/// Of a relation whose files are read in place: what the reader said of the columns, given back when it reads.
pub const LAYOUT: &str = "segue.external.layout";

/// What the files are at the moment, in one step.
#[derive(Clone, Debug)]
pub struct Attachment {
    pub table: RelationName,
    /// Columns of the relation.
    pub schema: SchemaRef,
    /// One row per file: `FILE, SIZE, MODIFIED, VERSION`; goes to `<table>__files`.
    pub files: RecordBatch,
    /// Another text with every change of the files or of how they are read.
    pub version: String,
    pub comment: Option<String>,
    /// With [`LAYOUT`] among them.
    pub properties: BTreeMap<String, String>,
}

/// A file as the last look found it.
#[derive(Clone, Debug)]
pub struct ListedFile {
    pub name: String,
    pub size: u64,
    /// Microseconds since 1970.
    pub modified: i64,
    pub version: String,
}

/// How files are read in place.
pub trait FilesInPlace: Send + Sync {
    /// Columns that the names of files tell, one row per file, with the names of the relation's columns.
    fn told_by_names(&self, files: &[ListedFile]) -> Result<RecordBatch, EngineError>;

    /// Rows of the files, one after the other, with the columns `wanted` of `schema` in this order. A record that does not
    /// fit ends the stream: nothing is left out. `layout` is the text that came with the attachment.
    fn read(
        &self,
        files: Vec<ListedFile>,
        layout: &str,
        schema: SchemaRef,
        wanted: Vec<usize>,
    ) -> BoxStream<'static, Result<RecordBatch, EngineError>>;
}

/// The relations of a project that are read in place. `None`: it has no such relation.
pub type Externals = dyn Fn(&RelationName) -> Option<Result<Arc<dyn FilesInPlace>, EngineError>> + Send + Sync;
