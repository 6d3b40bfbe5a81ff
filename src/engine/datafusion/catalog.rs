//! What is in the warehouse: listings, columns, INFORMATION_SCHEMA, SHOW.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use ::datafusion::{
    arrow::{
        array::{ArrayRef, Int64Array, StringArray},
        datatypes::{DataType, Field, Schema, SchemaRef},
        record_batch::RecordBatch,
    },
    catalog::TableProvider,
    datasource::MemTable,
};

use super::{Inner, fault};
use crate::{
    dialect::types::Type,
    engine::{ColumnInfo, EngineError, RelationInfo, RelationKind},
    lake::{ViewFile, comment_of},
    names::{Identifier, RelationName, SchemaName},
};

/// Changes with the definition of a view.
pub(super) fn view_version(view: &ViewFile) -> String {
    let mut hash = DefaultHasher::new();
    (&view.sql, &view.database, &view.schema).hash(&mut hash);
    format!("{:016x}", hash.finish())
}

/// One column with all that listings show.
pub(super) struct Listed {
    pub name: String,
    pub data_type: Type,
    pub comment: Option<String>,
}

impl Inner {
    pub(super) async fn relations(&self, schemas: &[SchemaName]) -> Result<Vec<RelationInfo>, EngineError> {
        let mut found = vec![];
        for schema in schemas {
            for entry in self.lake.entries(schema).map_err(fault::lake)? {
                let info = if entry.is_view {
                    let Some(view) = self.lake.view(&entry.relation).map_err(fault::lake)? else { continue };
                    RelationInfo {
                        name: entry.relation,
                        kind: RelationKind::View,
                        version: view_version(&view),
                        properties: view.properties,
                    }
                } else {
                    let Some(table) = self.lake.table(&entry.relation).await.map_err(fault::lake)? else { continue };
                    RelationInfo {
                        name: entry.relation,
                        kind: RelationKind::Table,
                        version: table.version().to_string(),
                        properties: table.properties(),
                    }
                };
                found.push(info);
            }
        }
        Ok(found)
    }

    pub(super) async fn listed(&self, relation: &RelationName) -> Result<Option<Vec<Listed>>, EngineError> {
        if let Some(view) = self.lake.view(relation).map_err(fault::lake)? {
            return Ok(Some(
                view.columns
                    .into_iter()
                    .map(|c| Listed { name: c.name, data_type: Type::parse(&c.data_type).unwrap_or(Type::Varchar), comment: c.comment })
                    .collect(),
            ));
        }
        let Some(table) = self.lake.table(relation).await.map_err(fault::lake)? else { return Ok(None) };
        let schema = table.schema().map_err(fault::lake)?;
        Ok(Some(
            schema
                .fields()
                .iter()
                .map(|f| Listed { name: f.name().clone(), data_type: Type::of(f), comment: comment_of(f).map(str::to_owned) })
                .collect(),
        ))
    }

    pub(super) async fn columns(&self, relation: &RelationName) -> Result<Option<Vec<ColumnInfo>>, EngineError> {
        Ok(self.listed(relation).await?.map(|columns| {
            columns
                .into_iter()
                .map(|c| ColumnInfo { name: Identifier::exact(c.name), data_type: c.data_type.to_string(), nullable: true })
                .collect()
        }))
    }

    /// The derived tables of Snowflake's INFORMATION_SCHEMA, for one database.
    pub(super) async fn information_schema(&self, relation: &RelationName) -> Result<Option<Arc<dyn TableProvider>>, EngineError> {
        let schemas: Vec<SchemaName> =
            self.lake.schemas().map_err(fault::lake)?.into_iter().filter(|s| s.database == relation.database).collect();
        let mut rows: Vec<Vec<Option<String>>> = vec![];
        let columns: &[(&str, bool)] = match relation.name.as_str() {
            "SCHEMATA" => {
                rows.extend(schemas.iter().map(|s| vec![Some(s.database.as_str().into()), Some(s.schema.as_str().into()), None]));
                &[("CATALOG_NAME", false), ("SCHEMA_NAME", false), ("COMMENT", false)]
            }
            "TABLES" | "VIEWS" => {
                let only_views = relation.name.as_str() == "VIEWS";
                for schema in &schemas {
                    for entry in self.lake.entries(schema).map_err(fault::lake)? {
                        if only_views && !entry.is_view {
                            continue;
                        }
                        let comment = if entry.is_view {
                            self.lake.view(&entry.relation).map_err(fault::lake)?.and_then(|v| v.comment)
                        } else {
                            self.lake.table(&entry.relation).await.map_err(fault::lake)?.and_then(|t| t.comment())
                        };
                        rows.push(vec![
                            Some(schema.database.as_str().into()),
                            Some(schema.schema.as_str().into()),
                            Some(entry.relation.name.as_str().into()),
                            Some(if entry.is_view { "VIEW" } else { "BASE TABLE" }.into()),
                            comment,
                        ]);
                    }
                }
                &[("TABLE_CATALOG", false), ("TABLE_SCHEMA", false), ("TABLE_NAME", false), ("TABLE_TYPE", false), ("COMMENT", false)]
            }
            "COLUMNS" => {
                for schema in &schemas {
                    for entry in self.lake.entries(schema).map_err(fault::lake)? {
                        for (i, c) in self.listed(&entry.relation).await?.unwrap_or_default().into_iter().enumerate() {
                            let (precision, scale) = match c.data_type {
                                Type::Number { precision, scale } => (Some(precision.to_string()), Some(scale.to_string())),
                                _ => (None, None),
                            };
                            let name = match c.data_type {
                                Type::Varchar => "TEXT".to_owned(),
                                Type::Number { .. } => "NUMBER".to_owned(),
                                other => other.to_string().split('(').next().unwrap_or_default().to_owned(),
                            };
                            let length = (c.data_type == Type::Varchar).then(|| "16777216".to_owned());
                            rows.push(vec![
                                Some(schema.database.as_str().into()),
                                Some(schema.schema.as_str().into()),
                                Some(entry.relation.name.as_str().into()),
                                Some(c.name),
                                Some((i + 1).to_string()),
                                Some("YES".into()),
                                Some(name),
                                length,
                                precision,
                                scale,
                                c.comment,
                            ]);
                        }
                    }
                }
                &[
                    ("TABLE_CATALOG", false),
                    ("TABLE_SCHEMA", false),
                    ("TABLE_NAME", false),
                    ("COLUMN_NAME", false),
                    ("ORDINAL_POSITION", true),
                    ("IS_NULLABLE", false),
                    ("DATA_TYPE", false),
                    ("CHARACTER_MAXIMUM_LENGTH", true),
                    ("NUMERIC_PRECISION", true),
                    ("NUMERIC_SCALE", true),
                    ("COMMENT", false),
                ]
            }
            _ => return Ok(None),
        };
        let (schema, batch) = table_of(columns, &rows)?;
        let table = MemTable::try_new(schema, vec![vec![batch]]).map_err(|e| fault::plan("", &e))?;
        Ok(Some(Arc::new(table)))
    }
}

/// Text (or, where marked, whole number) columns from rows of text.
pub(super) fn table_of(columns: &[(&str, bool)], rows: &[Vec<Option<String>>]) -> Result<(SchemaRef, RecordBatch), EngineError> {
    let fields: Vec<Field> =
        columns.iter().map(|(name, number)| Field::new(*name, if *number { DataType::Int64 } else { DataType::Utf8 }, true)).collect();
    let arrays: Vec<ArrayRef> = columns
        .iter()
        .enumerate()
        .map(|(i, (_, number))| -> ArrayRef {
            let values = rows.iter().map(|r| r[i].as_deref());
            if *number {
                Arc::new(values.map(|v| v.and_then(|v| v.parse().ok())).collect::<Int64Array>())
            } else {
                Arc::new(values.collect::<StringArray>())
            }
        })
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(schema.clone(), arrays).map_err(|e| EngineError::new("engine/internal", e.to_string()))?;
    Ok((schema, batch))
}
