//! INFORMATION_SCHEMA: listings of the warehouse as tables, with Snowflake's columns.
//!
//! Nothing is read before the scan, and then only what the query asks for: filters on catalog, schema and name choose the
//! relations, and a table's log is opened only for columns that stand in it.

use std::{fmt, sync::Arc};

use ::datafusion::{
    arrow::{
        array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray},
        datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
        record_batch::{RecordBatch, RecordBatchOptions},
    },
    catalog::{Session, TableProvider},
    common::ScalarValue,
    datasource::{TableType, memory::MemorySourceConfig},
    error::{DataFusionError, Result as DfResult},
    logical_expr::{Expr, Operator, TableProviderFilterPushDown},
    physical_plan::ExecutionPlan,
};
use async_trait::async_trait;

use super::catalog::{ColumnEntry, column_entries};
use crate::{
    dialect::types::Type,
    lake::{Constraint, Entry, FunctionOverload, Lake, LakeError},
    names::{Identifier, RelationName, SchemaName},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Time,
}
use Kind::{Number, Text, Time};

/// Values of one row by column name; what is not named is NULL.
type Row = Vec<(&'static str, Cell)>;

#[derive(Clone, Debug)]
enum Cell {
    Text(String),
    Number(i64),
    /// Milliseconds since 1970.
    Time(i64),
    Null,
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<Option<String>> for Cell {
    fn from(text: Option<String>) -> Self {
        text.map_or(Self::Null, Self::Text)
    }
}

fn time(millis: Option<i64>) -> Cell {
    millis.map_or(Cell::Null, Cell::Time)
}

fn yes(flag: bool) -> Cell {
    if flag { "YES" } else { "NO" }.into()
}

/// The views of the schema, their columns in Snowflake's order (Snowflake documentation, "Snowflake Information Schema").
/// The first columns that name a row are what filters choose by.
#[rustfmt::skip] // a table of names: one to a line would be four pages
const VIEWS: &[(&str, &[(&str, Kind)])] = &[
    (
        "DATABASES",
        &[
            ("DATABASE_NAME", Text),
            ("DATABASE_OWNER", Text),
            ("IS_TRANSIENT", Text),
            ("COMMENT", Text),
            ("CREATED", Time),
            ("LAST_ALTERED", Time),
            ("RETENTION_TIME", Number),
            ("TYPE", Text),
            ("OWNER_ROLE_TYPE", Text),
        ],
    ),
    (
        "SCHEMATA",
        &[
            ("CATALOG_NAME", Text),
            ("SCHEMA_NAME", Text),
            ("SCHEMA_OWNER", Text),
            ("IS_TRANSIENT", Text),
            ("IS_MANAGED_ACCESS", Text),
            ("RETENTION_TIME", Number),
            ("DEFAULT_CHARACTER_SET_CATALOG", Text),
            ("DEFAULT_CHARACTER_SET_SCHEMA", Text),
            ("DEFAULT_CHARACTER_SET_NAME", Text),
            ("SQL_PATH", Text),
            ("CREATED", Time),
            ("LAST_ALTERED", Time),
            ("COMMENT", Text),
            ("OWNER_ROLE_TYPE", Text),
        ],
    ),
    (
        "TABLES",
        &[
            ("TABLE_CATALOG", Text),
            ("TABLE_SCHEMA", Text),
            ("TABLE_NAME", Text),
            ("TABLE_OWNER", Text),
            ("TABLE_TYPE", Text),
            ("IS_TRANSIENT", Text),
            ("CLUSTERING_KEY", Text),
            ("ROW_COUNT", Number),
            ("BYTES", Number),
            ("RETENTION_TIME", Number),
            ("SELF_REFERENCING_COLUMN_NAME", Text),
            ("REFERENCE_GENERATION", Text),
            ("USER_DEFINED_TYPE_CATALOG", Text),
            ("USER_DEFINED_TYPE_SCHEMA", Text),
            ("USER_DEFINED_TYPE_NAME", Text),
            ("IS_INSERTABLE_INTO", Text),
            ("IS_TYPED", Text),
            ("COMMIT_ACTION", Text),
            ("CREATED", Time),
            ("LAST_ALTERED", Time),
            ("LAST_DDL", Time),
            ("LAST_DDL_BY", Text),
            ("AUTO_CLUSTERING_ON", Text),
            ("COMMENT", Text),
            ("IS_TEMPORARY", Text),
            ("IS_ICEBERG", Text),
            ("IS_DYNAMIC", Text),
            ("IS_IMMUTABLE", Text),
            ("IS_HYBRID", Text),
        ],
    ),
    (
        "VIEWS",
        &[
            ("TABLE_CATALOG", Text),
            ("TABLE_SCHEMA", Text),
            ("TABLE_NAME", Text),
            ("TABLE_OWNER", Text),
            ("VIEW_DEFINITION", Text),
            ("CHECK_OPTION", Text),
            ("IS_UPDATABLE", Text),
            ("INSERTABLE_INTO", Text),
            ("IS_SECURE", Text),
            ("CREATED", Time),
            ("LAST_ALTERED", Time),
            ("LAST_DDL", Time),
            ("LAST_DDL_BY", Text),
            ("COMMENT", Text),
        ],
    ),
    (
        "COLUMNS",
        &[
            ("TABLE_CATALOG", Text),
            ("TABLE_SCHEMA", Text),
            ("TABLE_NAME", Text),
            ("COLUMN_NAME", Text),
            ("ORDINAL_POSITION", Number),
            ("COLUMN_DEFAULT", Text),
            ("IS_NULLABLE", Text),
            ("DATA_TYPE", Text),
            ("CHARACTER_MAXIMUM_LENGTH", Number),
            ("CHARACTER_OCTET_LENGTH", Number),
            ("NUMERIC_PRECISION", Number),
            ("NUMERIC_PRECISION_RADIX", Number),
            ("NUMERIC_SCALE", Number),
            ("DATETIME_PRECISION", Number),
            ("INTERVAL_TYPE", Text),
            ("INTERVAL_PRECISION", Number),
            ("CHARACTER_SET_CATALOG", Text),
            ("CHARACTER_SET_SCHEMA", Text),
            ("CHARACTER_SET_NAME", Text),
            ("COLLATION_CATALOG", Text),
            ("COLLATION_SCHEMA", Text),
            ("COLLATION_NAME", Text),
            ("DOMAIN_CATALOG", Text),
            ("DOMAIN_SCHEMA", Text),
            ("DOMAIN_NAME", Text),
            ("UDT_CATALOG", Text),
            ("UDT_SCHEMA", Text),
            ("UDT_NAME", Text),
            ("SCOPE_CATALOG", Text),
            ("SCOPE_SCHEMA", Text),
            ("SCOPE_NAME", Text),
            ("MAXIMUM_CARDINALITY", Number),
            ("DTD_IDENTIFIER", Text),
            ("IS_SELF_REFERENCING", Text),
            ("IS_IDENTITY", Text),
            ("IDENTITY_GENERATION", Text),
            ("IDENTITY_START", Text),
            ("IDENTITY_INCREMENT", Text),
            ("IDENTITY_MAXIMUM", Text),
            ("IDENTITY_MINIMUM", Text),
            ("IDENTITY_CYCLE", Text),
            ("IDENTITY_ORDERED", Text),
            ("SCHEMA_EVOLUTION_RECORD", Text),
            ("COMMENT", Text),
        ],
    ),
    (
        "SEQUENCES",
        &[
            ("SEQUENCE_CATALOG", Text),
            ("SEQUENCE_SCHEMA", Text),
            ("SEQUENCE_NAME", Text),
            ("SEQUENCE_OWNER", Text),
            ("DATA_TYPE", Text),
            ("NUMERIC_PRECISION", Number),
            ("NUMERIC_PRECISION_RADIX", Number),
            ("NUMERIC_SCALE", Number),
            ("START_VALUE", Text),
            ("MINIMUM_VALUE", Text),
            ("MAXIMUM_VALUE", Text),
            ("NEXT_VALUE", Text),
            ("INCREMENT", Text),
            ("CYCLE_OPTION", Text),
            ("CREATED", Time),
            ("LAST_ALTERED", Time),
            ("ORDERED", Text),
            ("COMMENT", Text),
        ],
    ),
    (
        "TABLE_CONSTRAINTS",
        &[
            ("CONSTRAINT_CATALOG", Text),
            ("CONSTRAINT_SCHEMA", Text),
            ("CONSTRAINT_NAME", Text),
            ("TABLE_CATALOG", Text),
            ("TABLE_SCHEMA", Text),
            ("TABLE_NAME", Text),
            ("CONSTRAINT_TYPE", Text),
            ("IS_DEFERRABLE", Text),
            ("INITIALLY_DEFERRED", Text),
            ("ENFORCED", Text),
            ("COMMENT", Text),
            ("CREATED", Time),
            ("LAST_ALTERED", Time),
            ("RELY", Text),
        ],
    ),
    (
        "FUNCTIONS",
        &[
            ("FUNCTION_CATALOG", Text),
            ("FUNCTION_SCHEMA", Text),
            ("FUNCTION_NAME", Text),
            ("FUNCTION_OWNER", Text),
            ("ARGUMENT_SIGNATURE", Text),
            ("DATA_TYPE", Text),
            ("CHARACTER_MAXIMUM_LENGTH", Number),
            ("CHARACTER_OCTET_LENGTH", Number),
            ("NUMERIC_PRECISION", Number),
            ("NUMERIC_PRECISION_RADIX", Number),
            ("NUMERIC_SCALE", Number),
            ("FUNCTION_LANGUAGE", Text),
            ("FUNCTION_DEFINITION", Text),
            ("VOLATILITY", Text),
            ("IS_NULL_CALL", Text),
            ("CREATED", Time),
            ("LAST_ALTERED", Time),
            ("COMMENT", Text),
            ("IS_EXTERNAL", Text),
            ("IS_SECURE", Text),
            ("IS_AGGREGATE", Text),
        ],
    ),
];

/// Columns of TABLES that stand in a table's log.
const IN_THE_LOG: &[&str] = &["ROW_COUNT", "BYTES", "COMMENT", "CREATED", "LAST_ALTERED", "LAST_DDL", "CLUSTERING_KEY", "IS_TRANSIENT"];

/// One view of INFORMATION_SCHEMA of one database.
pub(super) struct Listing {
    lake: Lake,
    database: Identifier,
    view: &'static str,
    columns: &'static [(&'static str, Kind)],
    schema: SchemaRef,
}

impl Listing {
    /// `None` when there is no such view.
    pub(super) fn new(lake: Lake, relation: &RelationName) -> Option<Self> {
        let (view, columns) = VIEWS.iter().copied().find(|(name, _)| *name == relation.name.as_str())?;
        let fields: Vec<Field> = columns
            .iter()
            .map(|(name, kind)| {
                let data_type = match kind {
                    Text => DataType::Utf8,
                    Number => DataType::Int64,
                    Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
                };
                Field::new(*name, data_type, true)
            })
            .collect();
        Some(Self { lake, database: relation.database.clone(), view, columns, schema: Arc::new(Schema::new(fields)) })
    }

    /// Names of all views, for hints.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        VIEWS.iter().map(|(name, _)| *name)
    }

    async fn rows(&self, wanted: &Wanted) -> Result<Vec<Row>, LakeError> {
        let mut rows = vec![];
        if self.view == "DATABASES" {
            for database in self.lake.databases()? {
                let file = self.lake.database_file(&database)?;
                rows.push(vec![
                    ("DATABASE_NAME", database.as_str().into()),
                    ("IS_TRANSIENT", yes(file.transient)),
                    ("COMMENT", file.comment.into()),
                    ("RETENTION_TIME", Cell::Number(1)),
                    ("TYPE", "STANDARD".into()),
                ]);
            }
            return Ok(rows);
        }
        let schemas: Vec<SchemaName> = self.lake.schemas()?.into_iter().filter(|s| s.database == self.database).collect();
        if self.view == "SCHEMATA" {
            for schema in &schemas {
                let file = self.lake.schema_file(schema)?;
                rows.push(vec![
                    ("CATALOG_NAME", schema.database.as_str().into()),
                    ("SCHEMA_NAME", schema.schema.as_str().into()),
                    ("IS_TRANSIENT", yes(file.transient)),
                    ("IS_MANAGED_ACCESS", "NO".into()),
                    ("RETENTION_TIME", Cell::Number(1)),
                    ("COMMENT", file.comment.into()),
                ]);
            }
            rows.push(vec![
                ("CATALOG_NAME", self.database.as_str().into()),
                ("SCHEMA_NAME", "INFORMATION_SCHEMA".into()),
                ("IS_TRANSIENT", "NO".into()),
                ("IS_MANAGED_ACCESS", "NO".into()),
                ("RETENTION_TIME", Cell::Number(1)),
                ("COMMENT", "Views describing the contents of schemas in this database".into()),
            ]);
            return Ok(rows);
        }
        for schema in schemas.iter().filter(|s| wanted.schema.takes(s.schema.as_str())) {
            match self.view {
                "SEQUENCES" => {
                    for name in self.lake.sequences(schema)? {
                        rows.extend(self.sequence(&name)?);
                    }
                }
                "FUNCTIONS" => {
                    for name in self.lake.functions(schema)? {
                        for overload in self.lake.function(&name)?.unwrap_or_default().overloads {
                            rows.push(function(&name, &overload));
                        }
                    }
                }
                _ => {
                    for entry in self.lake.entries(schema)?.into_iter().filter(|e| wanted.name.takes(e.relation.name.as_str())) {
                        match self.view {
                            "TABLES" => rows.push(self.table(&entry, wanted).await?),
                            "VIEWS" => rows.extend(self.definition_of(&entry)?),
                            "COLUMNS" => {
                                let columns = column_entries(&self.lake, &entry.relation).await?.unwrap_or_default();
                                rows.extend(columns.into_iter().enumerate().map(|(i, c)| column(&entry.relation, i, c)));
                            }
                            _ => rows.extend(self.constraints(&entry).await?),
                        }
                    }
                }
            }
        }
        Ok(rows)
    }

    async fn table(&self, entry: &Entry, wanted: &Wanted) -> Result<Row, LakeError> {
        let relation = &entry.relation;
        let temporary = self.lake.is_temporary(relation);
        let external = entry.is_view && self.lake.view(relation)?.is_some_and(|v| v.external.is_some());
        let mut row: Row = names("TABLE", relation);
        row.extend([
            (
                "TABLE_TYPE",
                if external {
                    "EXTERNAL TABLE"
                } else if entry.is_view {
                    "VIEW"
                } else if temporary {
                    "LOCAL TEMPORARY"
                } else {
                    "BASE TABLE"
                }
                .into(),
            ),
            ("IS_TEMPORARY", yes(temporary)),
            ("IS_ICEBERG", "NO".into()),
            ("IS_DYNAMIC", "NO".into()),
            ("IS_IMMUTABLE", "NO".into()),
            ("IS_HYBRID", "NO".into()),
            ("IS_INSERTABLE_INTO", "YES".into()),
            ("IS_TYPED", "YES".into()),
            ("AUTO_CLUSTERING_ON", "NO".into()),
        ]);
        if !wanted.details {
            return Ok(row);
        }
        if entry.is_view {
            row.push(("COMMENT", self.lake.view(relation)?.and_then(|v| v.comment).into()));
            let altered = self.lake.view_altered(relation);
            row.extend([("CREATED", time(altered)), ("LAST_ALTERED", time(altered)), ("LAST_DDL", time(altered))]);
        } else if let Some(table) = self.lake.table(relation).await? {
            let (rows, bytes) = table.size().await?;
            let (created, altered) = table.times();
            let properties = table.properties();
            row.extend([
                ("IS_TRANSIENT", yes(properties.contains_key("segue.transient"))),
                ("CLUSTERING_KEY", properties.get("segue.cluster_by").filter(|k| !k.is_empty()).map(|k| format!("LINEAR{k}")).into()),
                ("ROW_COUNT", Cell::Number(rows as i64)),
                ("BYTES", Cell::Number(bytes as i64)),
                ("RETENTION_TIME", Cell::Number(1)),
                ("COMMENT", table.comment().filter(|c| !c.is_empty()).into()),
                ("CREATED", time(created)),
                ("LAST_ALTERED", time(altered)),
                ("LAST_DDL", time(altered)),
            ]);
        }
        Ok(row)
    }

    fn definition_of(&self, entry: &Entry) -> Result<Option<Row>, LakeError> {
        if !entry.is_view {
            return Ok(None);
        }
        let Some(view) = self.lake.view(&entry.relation)?.filter(|v| v.external.is_none()) else { return Ok(None) };
        let altered = self.lake.view_altered(&entry.relation);
        let secure = view.properties.contains_key("segue.secure");
        let text = view.properties.get("segue.text").cloned().unwrap_or(view.sql);
        let mut row = names("TABLE", &entry.relation);
        row.extend([
            ("VIEW_DEFINITION", Cell::Text(text)),
            ("CHECK_OPTION", "NONE".into()),
            ("IS_UPDATABLE", "NO".into()),
            ("INSERTABLE_INTO", "NO".into()),
            ("IS_SECURE", yes(secure)),
            ("CREATED", time(altered)),
            ("LAST_ALTERED", time(altered)),
            ("LAST_DDL", time(altered)),
            ("COMMENT", view.comment.into()),
        ]);
        Ok(Some(row))
    }

    async fn constraints(&self, entry: &Entry) -> Result<Vec<Row>, LakeError> {
        if entry.is_view {
            return Ok(vec![]);
        }
        let Some(table) = self.lake.table(&entry.relation).await? else { return Ok(vec![]) };
        let (created, altered) = table.times();
        Ok(Constraint::list(&table.properties())
            .into_iter()
            .map(|c| {
                let mut row = names("TABLE", &entry.relation);
                row.extend([
                    ("CONSTRAINT_CATALOG", entry.relation.database.as_str().into()),
                    ("CONSTRAINT_SCHEMA", entry.relation.schema.as_str().into()),
                    ("CONSTRAINT_NAME", Cell::Text(c.name)),
                    ("CONSTRAINT_TYPE", c.kind.words().into()),
                    ("IS_DEFERRABLE", "NO".into()),
                    ("INITIALLY_DEFERRED", "YES".into()),
                    ("ENFORCED", "NO".into()),
                    ("RELY", "NO".into()),
                    ("CREATED", time(created)),
                    ("LAST_ALTERED", time(altered)),
                ]);
                row
            })
            .collect())
    }

    fn sequence(&self, name: &RelationName) -> Result<Option<Row>, LakeError> {
        let Some(sequence) = self.lake.sequence(name)? else { return Ok(None) };
        let mut row = names("SEQUENCE", name);
        row.extend([
            ("DATA_TYPE", "NUMBER".into()),
            ("NUMERIC_PRECISION", Cell::Number(38)),
            ("NUMERIC_PRECISION_RADIX", Cell::Number(10)),
            ("NUMERIC_SCALE", Cell::Number(0)),
            ("START_VALUE", Cell::Text(sequence.start.to_string())),
            ("MINIMUM_VALUE", Cell::Text("-9223372036854775808".into())),
            ("MAXIMUM_VALUE", Cell::Text(i64::MAX.to_string())),
            ("NEXT_VALUE", Cell::Text(sequence.next.to_string())),
            ("INCREMENT", Cell::Text(sequence.increment.to_string())),
            ("CYCLE_OPTION", "NO".into()),
            ("ORDERED", yes(sequence.ordered)),
            ("COMMENT", sequence.comment.into()),
        ]);
        Ok(Some(row))
    }
}

fn names(what: &'static str, relation: &RelationName) -> Row {
    let (catalog, schema, name) = match what {
        "SEQUENCE" => ("SEQUENCE_CATALOG", "SEQUENCE_SCHEMA", "SEQUENCE_NAME"),
        "FUNCTION" => ("FUNCTION_CATALOG", "FUNCTION_SCHEMA", "FUNCTION_NAME"),
        _ => ("TABLE_CATALOG", "TABLE_SCHEMA", "TABLE_NAME"),
    };
    vec![(catalog, relation.database.as_str().into()), (schema, relation.schema.as_str().into()), (name, relation.name.as_str().into())]
}

/// The word that INFORMATION_SCHEMA has for a type: TEXT, NUMBER, TIMESTAMP_NTZ...
pub(super) fn type_word(data_type: Type) -> String {
    match data_type {
        Type::Varchar => "TEXT".to_owned(),
        other => other.to_string().split('(').next().unwrap_or_default().to_owned(),
    }
}

/// Length, precision and the like of a type, as far as it has them.
fn type_facts(data_type: Type, length: Option<u64>) -> Row {
    let mut row: Row = vec![];
    match data_type {
        Type::Varchar => {
            let length = length.unwrap_or(16_777_216) as i64;
            row.push(("CHARACTER_MAXIMUM_LENGTH", Cell::Number(length)));
            row.push(("CHARACTER_OCTET_LENGTH", Cell::Number((length * 4).min(16_777_216))));
        }
        Type::Binary => {
            let length = length.unwrap_or(8_388_608) as i64;
            row.push(("CHARACTER_MAXIMUM_LENGTH", Cell::Number(length)));
            row.push(("CHARACTER_OCTET_LENGTH", Cell::Number(length)));
        }
        Type::Number { precision, scale } => {
            row.push(("NUMERIC_PRECISION", Cell::Number(precision.into())));
            row.push(("NUMERIC_PRECISION_RADIX", Cell::Number(10)));
            row.push(("NUMERIC_SCALE", Cell::Number(scale.into())));
        }
        other if other.to_string().starts_with("TIME") => row.push(("DATETIME_PRECISION", Cell::Number(9))),
        _ => {}
    }
    row
}

fn column(relation: &RelationName, index: usize, column: ColumnEntry) -> Row {
    let mut row = names("TABLE", relation);
    row.extend([
        ("COLUMN_NAME", Cell::Text(column.name)),
        ("ORDINAL_POSITION", Cell::Number(index as i64 + 1)),
        ("COLUMN_DEFAULT", column.rules.default.clone().into()),
        ("IS_NULLABLE", yes(!column.rules.not_null)),
        ("DATA_TYPE", Cell::Text(type_word(column.data_type))),
        ("IS_SELF_REFERENCING", "NO".into()),
        ("IS_IDENTITY", yes(column.rules.identity.is_some())),
        ("COMMENT", column.comment.into()),
    ]);
    if let Some(identity) = column.rules.identity {
        row.extend([
            ("IDENTITY_GENERATION", "BY DEFAULT".into()),
            ("IDENTITY_START", Cell::Text(identity.start.to_string())),
            ("IDENTITY_INCREMENT", Cell::Text(identity.increment.to_string())),
            ("IDENTITY_CYCLE", "NO".into()),
            ("IDENTITY_ORDERED", yes(identity.ordered)),
        ]);
    }
    row.extend(type_facts(column.data_type, column.rules.length));
    row
}

fn function(name: &RelationName, overload: &FunctionOverload) -> Row {
    let arguments: Vec<String> = overload.arguments.iter().map(|a| format!("{} {}", a.name, bare_type(&a.data_type))).collect();
    let table = !overload.columns.is_empty();
    let columns: Vec<String> = overload.columns.iter().map(|a| format!("{} {}", a.name, a.data_type)).collect();
    let returns = if table { format!("TABLE ({})", columns.join(", ")) } else { overload.returns.clone() };
    let mut row = names("FUNCTION", name);
    row.extend([
        ("ARGUMENT_SIGNATURE", Cell::Text(format!("({})", arguments.join(", ")))),
        ("DATA_TYPE", Cell::Text(returns)),
        ("FUNCTION_LANGUAGE", "SQL".into()),
        ("FUNCTION_DEFINITION", Cell::Text(overload.body.clone())),
        ("IS_EXTERNAL", "NO".into()),
        ("IS_SECURE", yes(overload.secure)),
        ("IS_AGGREGATE", "NO".into()),
        ("COMMENT", overload.comment.clone().into()),
    ]);
    if !table && let Ok(returned) = Type::parse(&overload.returns) {
        row.extend(type_facts(returned, None));
    }
    row
}

fn bare_type(text: &str) -> &str {
    text.split('(').next().unwrap_or(text).trim()
}

/// Which rows a query can want, as far as its filters tell.
#[derive(Clone, Debug, Default)]
struct Wanted {
    schema: Names,
    name: Names,
    details: bool,
}

#[derive(Clone, Debug, Default)]
struct Names(Option<Vec<String>>);

impl Names {
    fn takes(&self, name: &str) -> bool {
        self.0.as_ref().is_none_or(|names| names.iter().any(|n| n == name))
    }
}

/// `column = 'text'` and `column in ('text', ...)`.
fn chosen(filters: &[Expr], column: &str) -> Names {
    let text = |e: &Expr| match e {
        Expr::Literal(ScalarValue::Utf8(Some(t)) | ScalarValue::LargeUtf8(Some(t)) | ScalarValue::Utf8View(Some(t)), _) => Some(t.clone()),
        _ => None,
    };
    let is_column = |e: &Expr| matches!(e, Expr::Column(c) if c.name() == column);
    Names(filters.iter().find_map(|filter| match filter {
        Expr::BinaryExpr(b) if b.op == Operator::Eq && is_column(&b.left) => text(&b.right).map(|t| vec![t]),
        Expr::BinaryExpr(b) if b.op == Operator::Eq && is_column(&b.right) => text(&b.left).map(|t| vec![t]),
        Expr::InList(list) if !list.negated && is_column(&list.expr) => list.list.iter().map(text).collect(),
        _ => None,
    }))
}

impl fmt::Debug for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "INFORMATION_SCHEMA.{}", self.view)
    }
}

#[async_trait]
impl TableProvider for Listing {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DfResult<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.columns.len()).collect();
        let read = projection.unwrap_or(&all);
        let wanted = Wanted {
            schema: chosen(filters, "TABLE_SCHEMA"),
            name: chosen(filters, "TABLE_NAME"),
            details: read.iter().any(|i| IN_THE_LOG.contains(&self.columns[*i].0)),
        };
        let rows =
            self.rows(&wanted).await.map_err(|e| DataFusionError::External(Box::new(e) as Box<dyn std::error::Error + Send + Sync>))?;
        let arrays: Vec<ArrayRef> = self
            .columns
            .iter()
            .map(|(name, kind)| -> ArrayRef {
                let cells = rows.iter().map(|r| r.iter().find(|(n, _)| n == name).map(|(_, c)| c));
                match kind {
                    Text => Arc::new(
                        cells
                            .map(|c| match c {
                                Some(Cell::Text(t)) => Some(t.as_str()),
                                _ => None,
                            })
                            .collect::<StringArray>(),
                    ),
                    Number => Arc::new(
                        cells
                            .map(|c| match c {
                                Some(Cell::Number(n)) => Some(*n),
                                _ => None,
                            })
                            .collect::<Int64Array>(),
                    ),
                    Time => Arc::new(
                        cells
                            .map(|c| match c {
                                Some(Cell::Time(t)) => Some(t * 1000),
                                _ => None,
                            })
                            .collect::<TimestampMicrosecondArray>()
                            .with_timezone("UTC"),
                    ),
                }
            })
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)?;
        Ok(MemorySourceConfig::try_new_exec(&[vec![batch]], self.schema.clone(), projection.cloned())?)
    }
}

#[cfg(test)]
mod tests {
    use ::datafusion::prelude::{col, lit};

    use super::*;

    #[test]
    fn filters_on_names_choose_relations() {
        assert!(chosen(&[], "TABLE_NAME").takes("A"));
        let one = chosen(&[col("\"TABLE_NAME\"").eq(lit("A"))], "TABLE_NAME");
        assert!(one.takes("A") && !one.takes("B"));
        let two = chosen(&[col("\"TABLE_NAME\"").in_list(vec![lit("A"), lit("B")], false)], "TABLE_NAME");
        assert!(two.takes("B") && !two.takes("C"));
        assert!(chosen(&[col("\"TABLE_NAME\"").not_eq(lit("A"))], "TABLE_NAME").takes("A"));
    }

    #[test]
    fn a_row_names_only_columns_of_its_view() {
        let name = RelationName::parse_parts("d", "s", "t");
        let entry = ColumnEntry { name: "A".into(), data_type: Type::Varchar, comment: None, rules: Default::default() };
        let columns = VIEWS.iter().find(|(n, _)| *n == "COLUMNS").map(|(_, c)| *c).expect("listed");
        for (cell, _) in column(&name, 0, entry) {
            assert!(columns.iter().any(|(n, _)| *n == cell), "{cell}");
        }
    }
}
