//! The columns of a table of files: declared, or taken from the first file and then frozen; new fields as the policy says.

use std::collections::HashSet;

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use indexmap::IndexMap;

use crate::{
    ingest::{
        IngestError,
        columns::{Column, ColumnType, Columns, Unknown},
        rows::{column, semi_structured},
    },
    names::{Identifier, SemiStructured},
};

pub struct Layout {
    pub columns: Columns,
    names: HashSet<String>,
    /// Columns come from the files.
    inferred: bool,
    /// Columns are more than the project declares.
    grown: bool,
    pub unknown: Unknown,
}

impl Layout {
    /// `own` is `None` where the first file tells. Fails with the name of a column that is there twice.
    pub fn new(own: Option<Vec<Column>>, partitions: Vec<Column>, unknown: Unknown) -> Result<Self, String> {
        let inferred = own.is_none();
        Self::of(own.unwrap_or_default(), partitions, inferred, false, unknown)
    }

    fn of(own: Vec<Column>, partitions: Vec<Column>, inferred: bool, grown: bool, unknown: Unknown) -> Result<Self, String> {
        let names = own.iter().map(|c| c.name.trim_matches('"').to_uppercase()).collect();
        let payload = (!inferred).then(|| semi_structured("PAYLOAD", SemiStructured::Object));
        let metadata = vec![column("_FILE", DataType::Utf8), column("_LINE", DataType::Int64)];
        Ok(Self { columns: Columns::new(own, partitions, payload, metadata)?, names, inferred, grown, unknown })
    }

    pub fn schema(&self) -> SchemaRef {
        self.columns.schema()
    }

    /// The first file has still to tell the columns.
    pub fn is_open(&self) -> bool {
        self.inferred && self.columns.own.is_empty()
    }

    /// Columns that a file lacks are null rather than a fault: others of the files have had them.
    pub fn is_lenient(&self) -> bool {
        self.inferred || self.grown || self.unknown == Unknown::Evolve
    }

    /// Whether fields without a column matter at all.
    pub fn minds(&self) -> bool {
        !self.columns.is_payload() && self.unknown != Unknown::Ignore
    }

    pub fn takes(&self, field: &str) -> bool {
        let field = field.trim();
        self.names.contains(field)
            || self.names.contains(&field.to_uppercase())
            || self.columns.partitions.iter().any(|c| c.name.eq_ignore_ascii_case(field))
    }

    /// What a position has to keep: columns that the project does not declare.
    pub fn frozen(&self) -> Option<Vec<(String, String)>> {
        let own = &self.columns.own;
        ((self.inferred || self.grown) && !own.is_empty())
            .then(|| own.iter().map(|c| (c.name.clone(), c.column_type.to_string())).collect())
    }

    pub fn restored(&self, frozen: &[(String, String)]) -> Result<Self, IngestError> {
        let own: Option<Vec<Column>> =
            frozen.iter().map(|(name, t)| Some(Column { name: name.clone(), column_type: ColumnType::parse(t)? })).collect();
        let restored = own.and_then(|own| Self::of(own, self.columns.partitions.clone(), self.inferred, true, self.unknown).ok());
        restored.ok_or_else(|| {
            IngestError::new("ingest/position", "the recorded columns of the files cannot be read")
                .help("`segue ingest --full-refresh` reads the files from the beginning")
        })
    }

    /// As the project declares it.
    pub fn restored_empty(&self) -> Result<Self, IngestError> {
        let own = self.columns.own.clone();
        let again = Self::of(own, self.columns.partitions.clone(), self.inferred, false, self.unknown);
        again.map_err(|name| IngestError::new("ingest/duplicate-column", format!("the column `{name}` is given twice")))
    }

    pub fn with(&self, new: IndexMap<String, ColumnType>) -> Result<Self, IngestError> {
        let mut own = self.columns.own.clone();
        let mut names = self.names.clone();
        for (field, column_type) in new {
            let field = field.trim();
            let is_partition = self.columns.partitions.iter().any(|c| c.name.eq_ignore_ascii_case(field));
            if !is_partition && names.insert(field.to_uppercase()) {
                own.push(Column { name: Identifier::exact(field.to_uppercase()).to_string(), column_type });
            }
        }
        Self::of(own, self.columns.partitions.clone(), self.inferred, true, self.unknown).map_err(|name| {
            IngestError::new(
                "ingest/duplicate-column",
                format!("a field of the files is named `{name}`, which is a column that is added to every row"),
            )
            .help("declare `columns`, and leave that field out or give it another name")
        })
    }
}
