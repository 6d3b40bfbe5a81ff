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
};

use rayon::prelude::*;

use super::{Inner, fault, information::Listing};
use crate::{
    dialect::types::Type,
    engine::{ColumnInfo, EngineError, RelationInfo, RelationKind},
    lake::{ColumnRules, Entry, Glance, Lake, LakeError, ViewFile, comment_of},
    names::{Identifier, RelationName, SchemaName, nearest},
};

/// Changes with the definition of a view.
pub(super) fn view_version(view: &ViewFile) -> String {
    let mut hash = DefaultHasher::new();
    (&view.sql, &view.database, &view.schema).hash(&mut hash);
    format!("{:016x}", hash.finish())
}

/// One column with all that listings show.
#[derive(Clone, Debug)]
pub(super) struct ColumnEntry {
    pub name: String,
    pub data_type: Type,
    pub comment: Option<String>,
    pub rules: ColumnRules,
}

impl ColumnEntry {
    fn of(field: &Field) -> Self {
        Self {
            name: field.name().clone(),
            data_type: Type::of(field),
            comment: comment_of(field).filter(|c| !c.is_empty()).map(str::to_owned),
            rules: ColumnRules::of(field),
        }
    }

    /// `VARCHAR(30)`, `NUMBER(38,0)`, as DESCRIBE shows it.
    pub(super) fn shown_type(&self) -> String {
        shown_type(self.data_type, self.rules.length)
    }
}

pub(super) fn shown_type(data_type: Type, length: Option<u64>) -> String {
    match data_type {
        Type::Varchar => format!("VARCHAR({})", length.unwrap_or(16_777_216)),
        Type::Binary => format!("BINARY({})", length.unwrap_or(8_388_608)),
        other => other.to_string(),
    }
}

/// The columns of a table or view; `None` when there is none of that name.
pub(super) async fn column_entries(lake: &Lake, relation: &RelationName) -> Result<Option<Vec<ColumnEntry>>, LakeError> {
    if let Some(view) = lake.view(relation)? {
        let length = |text: &str| text.split_once('(').and_then(|(_, rest)| rest.trim_end_matches(')').parse().ok());
        return Ok(Some(
            view.columns
                .into_iter()
                .map(|c| {
                    let data_type = Type::parse(&c.data_type).unwrap_or(Type::Varchar);
                    let length = if matches!(data_type, Type::Varchar | Type::Binary) { length(&c.data_type) } else { None };
                    ColumnEntry { name: c.name, data_type, comment: c.comment, rules: ColumnRules { length, ..ColumnRules::default() } }
                })
                .collect(),
        ));
    }
    let Some(table) = lake.table(relation).await? else { return Ok(None) };
    Ok(Some(table.schema()?.fields().iter().map(|f| ColumnEntry::of(f)).collect()))
}

/// What one entry of a schema is.
enum Looked {
    Found(RelationInfo),
    Gone,
    /// A table that has to be loaded.
    Unclear(RelationName),
}

fn look(lake: &Lake, entry: Entry) -> Result<Looked, LakeError> {
    let name = entry.relation;
    if entry.is_view {
        let Some(view) = lake.view(&name)? else { return Ok(Looked::Gone) };
        if let Some(external) = view.external {
            let (kind, properties) = (RelationKind::Table, view.properties);
            return Ok(Looked::Found(RelationInfo { version: external.version, name, kind, properties }));
        }
        return Ok(Looked::Found(RelationInfo {
            version: view_version(&view),
            name,
            kind: RelationKind::View,
            properties: view.properties,
        }));
    }
    Ok(match lake.glance(&name)? {
        Glance::Missing => Looked::Gone,
        Glance::Table { identity, properties } => {
            Looked::Found(RelationInfo { name, kind: RelationKind::Table, version: identity, properties })
        }
        Glance::Unclear => Looked::Unclear(name),
    })
}

impl Inner {
    pub(super) async fn relations(&self, schemas: &[SchemaName]) -> Result<Vec<RelationInfo>, EngineError> {
        let (lake, schemas) = (self.lake.clone(), schemas.to_vec());
        // many small files: on all cores, and not on the threads that drive queries
        let looked = tokio::task::spawn_blocking(move || -> Result<Vec<Looked>, LakeError> {
            let mut entries = vec![];
            for schema in &schemas {
                entries.extend(lake.entries(schema)?);
            }
            entries.into_par_iter().map(|entry| look(&lake, entry)).collect()
        });
        let looked = looked.await.map_err(|e| EngineError::new("engine/internal", e.to_string()))?.map_err(fault::lake)?;
        let mut found = vec![];
        for one in looked {
            match one {
                Looked::Gone => {}
                Looked::Found(info) => found.push(info),
                Looked::Unclear(name) => {
                    let Some(table) = self.lake.table(&name).await.map_err(fault::lake)? else { continue };
                    let (version, properties) = (table.identity(), table.properties());
                    found.push(RelationInfo { name, kind: RelationKind::Table, version, properties });
                }
            }
        }
        Ok(found)
    }

    pub(super) async fn listed(&self, relation: &RelationName) -> Result<Option<Vec<ColumnEntry>>, EngineError> {
        if relation.schema.as_str() == "INFORMATION_SCHEMA" {
            let listing = Listing::new(self.lake.clone(), relation);
            return Ok(listing.map(|l| l.schema().fields().iter().map(|f| ColumnEntry::of(f)).collect()));
        }
        column_entries(&self.lake, relation).await.map_err(fault::lake)
    }

    pub(super) async fn columns(&self, relation: &RelationName) -> Result<Option<Vec<ColumnInfo>>, EngineError> {
        Ok(self.listed(relation).await?.map(|columns| {
            columns
                .into_iter()
                .map(|c| ColumnInfo { name: Identifier::exact(c.name), data_type: c.data_type.to_string(), nullable: !c.rules.not_null })
                .collect()
        }))
    }

    /// A view of Snowflake's INFORMATION_SCHEMA, of one database.
    pub(super) fn information_schema(&self, relation: &RelationName) -> Result<Arc<dyn TableProvider>, EngineError> {
        match Listing::new(self.lake.clone(), relation) {
            Some(listing) => Ok(Arc::new(listing)),
            None => {
                let name = relation.name.as_str();
                let fault = EngineError::new("sql/unknown-table", format!("the local engine has no INFORMATION_SCHEMA.{name}"));
                Err(match nearest(name, Listing::names()) {
                    Some(near) => fault.help(format!("there is `INFORMATION_SCHEMA.{near}`")),
                    None => fault.help(format!("there are: {}", Listing::names().collect::<Vec<_>>().join(", "))),
                })
            }
        }
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
