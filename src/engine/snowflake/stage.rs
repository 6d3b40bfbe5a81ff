//! Rows to a table: Parquet files in a temporary stage, then one COPY INTO.
//!
//! Numbers, booleans and texts keep their Parquet types. Moments travel as text that Snowflake reads with all its digits: what
//! Parquet says of timestamps depends on options of the account. Semi-structured values travel as their JSON.

use std::sync::Arc;

use ::datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, StringArray},
        compute::cast,
        datatypes::{DataType, Field, Schema, SchemaRef},
        record_batch::{RecordBatch, RecordBatchOptions},
    },
    parquet::{arrow::ArrowWriter, basic::Compression, file::properties::WriterProperties},
};
use futures::{StreamExt, stream, stream::BoxStream};
use uuid::Uuid;

use super::{
    Inner, Loaded,
    ledger::Entry,
    literal,
    publish::{Work, temporary_name},
    quoted,
    upload::upload,
};
use crate::{
    dialect::{moment::tz_of, types::Type},
    engine::{EngineError, Physical, RelationKind, value},
    lake::ColumnRules,
    names::{Identifier, RelationName, SemiStructured},
};

/// A file is sent when it holds so much: large enough for the server, small enough for memory.
const FILE_BYTES: usize = 64 << 20;

impl Inner {
    /// Rows into a table that replaces what has the name, in one statement.
    pub(super) async fn load_rows(
        &self,
        work: &mut Work<'_>,
        relation: &RelationName,
        schema: &SchemaRef,
        batches: &[RecordBatch],
        not_null: &[String],
    ) -> Result<u64, EngineError> {
        let rows = stream::iter(batches.iter().cloned().map(Ok)).boxed();
        Ok(self.replace_by(work, relation, schema, rows, not_null).await?.rows)
    }

    /// The same for rows that come one by one, with a record of it.
    pub(super) async fn load_table(
        &self,
        relation: &RelationName,
        schema: SchemaRef,
        batches: BoxStream<'_, Result<RecordBatch, EngineError>>,
        properties: &std::collections::BTreeMap<String, String>,
    ) -> Result<Loaded, EngineError> {
        self.ledger.ready(&self.link).await?;
        let physical = Physical::default();
        let mut work = Work::begin(self, &physical).await?;
        self.schema_for(&mut work.lease, relation).await?;
        let loaded = self.replace_by(&mut work, relation, &schema, batches, &[]).await?;
        self.known.published(relation, RelationKind::Table);
        let entry = Entry { version: Uuid::new_v4().to_string(), properties: properties.clone(), ..Entry::default() };
        self.ledger.write(&mut work.lease, relation, &entry).await?;
        self.ledger.note(relation, entry);
        work.end().await;
        Ok(loaded)
    }

    async fn replace_by(
        &self,
        work: &mut Work<'_>,
        relation: &RelationName,
        schema: &SchemaRef,
        batches: BoxStream<'_, Result<RecordBatch, EngineError>>,
        not_null: &[String],
    ) -> Result<Loaded, EngineError> {
        let beside = temporary_name(relation);
        let transient = if work.flag("transient") == Some(false) { "" } else { "transient " };
        let declared = declarations(schema, not_null);
        work.run(&format!("create or replace {transient}table {beside} ({declared})")).await?;
        let loaded = async {
            let loaded = self.copy_into(work, &beside, schema, batches).await?;
            if self.known.kind(relation) == Some(RelationKind::View) {
                work.run(&format!("drop view if exists {relation}")).await?;
            }
            work.run(&format!("create or replace {transient}table {relation} clone {beside}")).await?;
            Ok::<_, EngineError>(loaded)
        }
        .await;
        // whether it is needed no more or never was
        let dropped = work.run(&format!("drop table if exists {beside}")).await;
        let loaded = loaded?;
        dropped?;
        Ok(loaded)
    }

    /// Appends rows to a table that has their columns. Within a transaction it is part of it.
    pub(super) async fn copy_into(
        &self,
        work: &mut Work<'_>,
        table: &RelationName,
        schema: &SchemaRef,
        mut batches: BoxStream<'_, Result<RecordBatch, EngineError>>,
    ) -> Result<Loaded, EngineError> {
        let staged = self.stage(work, table, schema, &mut batches).await?;
        let Some((stage, loaded)) = staged else { return Ok(Loaded::default()) };
        let copied = self.copy_from(work, table, schema, &stage).await;
        let dropped = work.run(&format!("drop stage if exists {stage}")).await;
        copied?;
        if dropped.is_err() {
            work.lease.keep_to_oneself();
        }
        Ok(loaded)
    }

    /// Rows as files of a new stage. CREATE STAGE would end a transaction: this comes before one.
    pub(super) async fn stage(
        &self,
        work: &mut Work<'_>,
        table: &RelationName,
        schema: &SchemaRef,
        batches: &mut BoxStream<'_, Result<RecordBatch, EngineError>>,
    ) -> Result<Option<(String, Loaded)>, EngineError> {
        let sent = sent_schema(schema);
        let mut stage: Option<String> = None;
        let mut loaded = Loaded::default();
        let mut files = 0_u32;
        let mut writer: Option<ArrowWriter<Vec<u8>>> = None;
        loop {
            let batch = batches.next().await.transpose()?;
            let last = batch.is_none();
            if let Some(batch) = batch.filter(|b| b.num_rows() > 0) {
                loaded.rows += batch.num_rows() as u64;
                let open = match writer.as_mut() {
                    Some(open) => open,
                    None => writer.insert(parquet(&sent)?),
                };
                open.write(&as_sent(&batch, schema, &sent)?).map_err(|e| broken(&e.to_string()))?;
            }
            let full = writer.as_ref().is_some_and(|w| w.bytes_written() + w.in_progress_size() >= FILE_BYTES);
            if (last || full)
                && let Some(open) = writer.take()
            {
                let bytes = open.into_inner().map_err(|e| broken(&e.to_string()))?;
                let stage = match &stage {
                    Some(stage) => stage.clone(),
                    None => {
                        let name = format!("SEGUE_STAGE_{}", Uuid::new_v4().simple().to_string().to_uppercase());
                        let full = table.schema_name().relation(Identifier::exact(name)).to_string();
                        // encrypted by the server; the other kind would have to be encrypted here
                        work.run(&format!("create temporary stage {full} encryption = (type = 'SNOWFLAKE_SSE')")).await?;
                        stage = Some(full.clone());
                        full
                    }
                };
                loaded.bytes += bytes.len() as u64;
                let file = format!("part-{files:05}.parquet");
                files += 1;
                // the path is only a name: the bytes never were a file
                let put = format!("put 'file:///tmp/{file}' @{stage} auto_compress = false overwrite = true");
                let answer = work.run(&put).await?;
                upload(&self.link, &answer.data, &file, bytes).await?;
            }
            if last {
                break;
            }
        }
        Ok(stage.map(|s| (s, loaded)))
    }

    pub(super) async fn copy_from(
        &self,
        work: &mut Work<'_>,
        table: &RelationName,
        schema: &SchemaRef,
        stage: &str,
    ) -> Result<(), EngineError> {
        let columns: Vec<String> = schema.fields().iter().map(|f| quoted(f.name())).collect();
        let values: Vec<String> = schema.fields().iter().map(|f| received(f)).collect();
        work.run(&format!(
            "copy into {table} ({}) from (select {} from @{stage}) file_format = (type = parquet) on_error = abort_statement",
            columns.join(", "),
            values.join(", ")
        ))
        .await
        .map(|_| ())
    }
}

fn parquet(schema: &SchemaRef) -> Result<ArrowWriter<Vec<u8>>, EngineError> {
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    ArrowWriter::try_new(vec![], Arc::clone(schema), Some(properties)).map_err(|e| broken(&e.to_string()))
}

/// Columns as CREATE TABLE has them, with the rules that the schema carries.
pub(super) fn declarations(schema: &SchemaRef, not_null: &[String]) -> String {
    let columns = schema.fields().iter().map(|f| {
        let rules = ColumnRules::of(f);
        let required = rules.not_null || not_null.iter().any(|n| super::publish::names_column(n, f.name()));
        let kind = match (Type::of(f), rules.length) {
            (Type::Varchar, Some(length)) => format!("VARCHAR({length})"),
            (other, _) => other.to_string(),
        };
        format!("{} {kind}{}", quoted(f.name()), if required { " not null" } else { "" })
    });
    columns.collect::<Vec<_>>().join(", ")
}

fn travels_as_text(field: &Field) -> bool {
    matches!(
        Type::of(field),
        Type::Date | Type::Time | Type::TimestampNtz | Type::TimestampLtz | Type::TimestampTz | Type::Binary | Type::Semi(_)
    )
}

fn sent_schema(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().map(|f| {
        let kind = match f.data_type() {
            _ if travels_as_text(f) => DataType::Utf8,
            DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
            other => other.clone(),
        };
        Field::new(f.name(), kind, true)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn as_sent(batch: &RecordBatch, schema: &SchemaRef, sent: &SchemaRef) -> Result<RecordBatch, EngineError> {
    let arrays = schema
        .fields()
        .iter()
        .zip(sent.fields())
        .map(|(field, to)| {
            let array = batch.column_by_name(field.name()).ok_or_else(|| broken(&format!("no column `{}`", field.name())))?;
            if !travels_as_text(field) {
                return cast(array, to.data_type()).map_err(|e| broken(&e.to_string()));
            }
            Ok(texts(array, field))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(sent), arrays, &options).map_err(|e| broken(&e.to_string()))
}

fn texts(array: &ArrayRef, field: &Field) -> ArrayRef {
    let type_ = Type::of(field);
    let one = |row: usize| -> Option<String> {
        if array.is_null(row) {
            return None;
        }
        match type_ {
            // stored texts, with tags that only segue knows: as JSON shows them
            Type::TimestampTz => {
                let stamp = tz_of(&stored(array, row)?)?;
                let minutes = stamp.offset.div_euclid(60);
                let sign = if minutes < 0 { '-' } else { '+' };
                Some(format!("{} {sign}{:02}:{:02}", stamp.wall.format("%Y-%m-%d %H:%M:%S%.6f"), minutes.abs() / 60, minutes.abs() % 60))
            }
            Type::TimestampLtz => {
                let micros = cast(&array.slice(row, 1), &DataType::Int64).ok()?;
                let micros = micros.as_primitive::<::datafusion::arrow::datatypes::Int64Type>().value(0);
                Some(chrono::DateTime::from_timestamp_micros(micros)?.format("%Y-%m-%d %H:%M:%S%.6f +00:00").to_string())
            }
            _ => match value::of(array, field, row) {
                value::Value::Null => None,
                other => other.text(),
            },
        }
    };
    Arc::new((0..array.len()).map(one).collect::<StringArray>())
}

fn stored(array: &ArrayRef, row: usize) -> Option<String> {
    let text = cast(&array.slice(row, 1), &DataType::Utf8).ok()?;
    Some(text.as_string::<i32>().value(0).to_owned())
}

/// A column of the file as the table has it.
fn received(field: &Field) -> String {
    let quoted = quoted(field.name());
    match Type::of(field) {
        Type::Semi(SemiStructured::Variant) => format!("parse_json($1:{quoted}::varchar)"),
        Type::Semi(SemiStructured::Array) => format!("parse_json($1:{quoted}::varchar)::array"),
        Type::Semi(SemiStructured::Object) => format!("parse_json($1:{quoted}::varchar)::object"),
        Type::Binary => format!("to_binary($1:{quoted}::varchar, {})", literal("HEX")),
        other => format!("$1:{quoted}::{other}"),
    }
}

fn broken(what: &str) -> EngineError {
    EngineError::new("engine/stage", format!("rows could not be written for the stage: {what}"))
}
