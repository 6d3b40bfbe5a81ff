//! Files that are read where they lie, as a table: which of them a query needs, and their rows.
//!
//! Conditions on what names of files tell (folders such as `day=2025-02-27`, `_FILE`) leave files out before any is opened.
//! How a file is read is the reader's, which the project gives.

use std::{fmt, sync::Arc};

use ::datafusion::{
    arrow::{
        array::{Array, AsArray, BooleanArray},
        compute::cast,
        datatypes::{DataType, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType},
        record_batch::RecordBatch,
    },
    catalog::{Session, TableProvider},
    common::{DFSchema, Result as DfResult},
    datasource::TableType,
    error::DataFusionError,
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::{Expr, TableProviderFilterPushDown},
    physical_plan::{
        ExecutionPlan, collect,
        empty::EmptyExec,
        stream::RecordBatchStreamAdapter,
        streaming::{PartitionStream, StreamingTableExec},
    },
};
use async_trait::async_trait;
use futures::StreamExt;

use super::{Inner, fault};
use crate::{
    dialect::types::Type,
    engine::{Attachment, EngineError, FilesInPlace, LAYOUT, Landing, ListedFile, Published},
    lake::{ExternalFile, LakeTable, ViewColumn, ViewFile, storage_schema},
    names::RelationName,
};

impl Inner {
    /// The list of the files is written before the relation that says which list is its own.
    pub(super) async fn attach(&self, attachment: Attachment) -> Result<Published, EngineError> {
        let Attachment { table, schema, files, version, comment, properties } = attachment;
        let is_view = self.lake.view(&table).map_err(fault::lake)?.is_some();
        if !is_view && self.lake.table(&table).await.map_err(fault::lake)?.is_some() {
            let message = format!("`{table}` holds rows that were copied: it cannot be read in place");
            return Err(EngineError::new("engine/copied", message).help(format!("`drop table {table}` gives them up; the files stay")));
        }
        let list = table.with_suffix("__files");
        let count = files.num_rows() as u64;
        let former = self.landing_state(&list).await?;
        self.land(Landing {
            table: list,
            schema: files.schema(),
            batches: vec![files],
            partition_by: vec![],
            replace: None,
            sequence: former.sequence + 1,
            start_over: true,
            position: version.clone(),
            comment: None,
            properties: properties.iter().filter(|(k, _)| *k != LAYOUT).map(|(k, v)| (k.clone(), v.clone())).collect(),
        })
        .await?;
        let schema = storage_schema(&schema).map_err(fault::lake)?;
        let column = |f: &Arc<::datafusion::arrow::datatypes::Field>| ViewColumn {
            name: f.name().clone(),
            data_type: Type::of(f).to_string(),
            comment: None,
        };
        let view = ViewFile {
            sql: String::new(),
            database: table.database.as_str().into(),
            schema: table.schema.as_str().into(),
            columns: schema.fields().iter().map(column).collect(),
            comment,
            properties,
            external: Some(ExternalFile { version: version.clone(), schema: schema.as_ref().clone() }),
        };
        self.lake.put_view(&table, &view).await.map_err(fault::lake)?;
        Ok(Published { rows: None, message: format!("SUCCESS {count}"), version })
    }

    /// The relation for reading. That there is nobody who can read it matters when rows are asked for.
    pub(super) async fn external_provider(
        &self,
        relation: &RelationName,
        view: &ViewFile,
        external: ExternalFile,
    ) -> Result<Arc<dyn TableProvider>, EngineError> {
        let reader = match self.externals.as_ref().and_then(|known| known(relation)) {
            Some(reader) => reader,
            None => {
                Err(EngineError::new("engine/no-reader", format!("nothing in this project says how the files of `{relation}` are read"))
                    .help("a source with `external: true` declares it; `drop table` forgets it"))
            }
        };
        Ok(Arc::new(External {
            relation: relation.clone(),
            schema: Arc::new(external.schema),
            layout: view.properties.get(LAYOUT).cloned().unwrap_or_default(),
            list: self.lake.table(&relation.with_suffix("__files")).await.map_err(fault::lake)?,
            reader,
        }))
    }
}

struct External {
    relation: RelationName,
    schema: SchemaRef,
    layout: String,
    list: Option<LakeTable>,
    reader: Result<Arc<dyn FilesInPlace>, EngineError>,
}

impl fmt::Debug for External {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "files of {}", self.relation)
    }
}

fn external(error: EngineError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

impl External {
    fn reader(&self) -> DfResult<&Arc<dyn FilesInPlace>> {
        self.reader.as_ref().map_err(|e| external(e.clone()))
    }

    /// Names of the columns that the names of files tell.
    fn told(&self) -> Vec<String> {
        let told = self.reader.as_ref().ok().and_then(|reader| reader.told_by_names(&[]).ok());
        told.map_or_else(Vec::new, |batch| batch.schema().fields().iter().map(|f| f.name().clone()).collect())
    }

    async fn files(&self, state: &dyn Session) -> DfResult<Vec<ListedFile>> {
        let missing = || {
            let message = format!("the list of the files of `{}` is gone", self.relation);
            external(EngineError::new("engine/no-files", message).help("`segue ingest` lists them anew"))
        };
        let list = self.list.as_ref().ok_or_else(missing)?;
        let provider = list.provider(state, None).await.map_err(|e| external(fault::lake(e)))?;
        let plan = provider.scan(state, None, &[], None).await?;
        let mut files = vec![];
        for batch in collect(plan, state.task_ctx()).await? {
            let column = |name: &str, to: DataType| {
                let array = batch.column_by_name(name).ok_or_else(missing)?;
                cast(array, &to).map_err(DataFusionError::from)
            };
            let (names, versions) = (column("FILE", DataType::Utf8)?, column("VERSION", DataType::Utf8)?);
            let sizes = column("SIZE", DataType::Int64)?;
            let modified = column("MODIFIED", DataType::Timestamp(TimeUnit::Microsecond, None))?;
            files.extend((0..batch.num_rows()).map(|row| ListedFile {
                name: names.as_string::<i32>().value(row).to_owned(),
                size: sizes.as_primitive::<Int64Type>().value(row) as u64,
                modified: modified.as_primitive::<TimestampMicrosecondType>().value(row),
                version: versions.as_string::<i32>().value(row).to_owned(),
            }));
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }

    /// Without the files whose names say that they have no row that meets the conditions.
    fn chosen(&self, state: &dyn Session, mut files: Vec<ListedFile>, filters: &[Expr]) -> DfResult<Vec<ListedFile>> {
        let told = self.reader()?.told_by_names(&files).map_err(external)?;
        let schema = DFSchema::try_from(told.schema())?;
        let mut keep = vec![true; files.len()];
        for filter in filters {
            let is_told = filter.column_refs().iter().all(|c| told.schema().index_of(c.name()).is_ok());
            if !is_told || filter.column_refs().is_empty() {
                continue;
            }
            let evaluated = state.create_physical_expr(filter.clone(), &schema).and_then(|e| e.evaluate(&told)?.into_array(files.len()));
            // a condition that has no value here has none over the rows either, and is told there
            let Ok(evaluated) = evaluated else { continue };
            let Some(evaluated) = evaluated.as_any().downcast_ref::<BooleanArray>() else { continue };
            for (row, keep) in keep.iter_mut().enumerate() {
                *keep &= evaluated.is_valid(row) && evaluated.value(row);
            }
        }
        let mut keep = keep.into_iter();
        files.retain(|_| keep.next().unwrap_or(true));
        Ok(files)
    }
}

#[async_trait]
impl TableProvider for External {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DfResult<Vec<TableProviderFilterPushDown>> {
        let told = self.told();
        let of = |filter: &&Expr| match filter.column_refs().iter().all(|c| told.contains(&c.name)) {
            true => TableProviderFilterPushDown::Inexact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(of).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let reader = self.reader()?;
        let files = self.chosen(state, self.files(state).await?, filters)?;
        let wanted = projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let schema: SchemaRef = Arc::new(self.schema.project(&wanted)?);
        if files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let partitions = shares(files, state.config().target_partitions()).into_iter().map(|files| {
            Arc::new(Share {
                files,
                reader: Arc::clone(reader),
                layout: self.layout.clone(),
                whole: Arc::clone(&self.schema),
                wanted: wanted.clone(),
                schema: Arc::clone(&schema),
            }) as Arc<dyn PartitionStream>
        });
        Ok(Arc::new(StreamingTableExec::try_new(Arc::clone(&schema), partitions.collect(), None, None, false, limit)?))
    }
}

/// Neighbouring files, about as many bytes in each share.
fn shares(files: Vec<ListedFile>, most: usize) -> Vec<Vec<ListedFile>> {
    let most = most.clamp(1, files.len().max(1));
    let share = files.iter().map(|f| f.size.max(1)).sum::<u64>().div_ceil(most as u64);
    let (mut shares, mut bytes) = (vec![vec![]], 0);
    for file in files {
        bytes += file.size.max(1);
        if let Some(last) = shares.last_mut() {
            last.push(file);
        }
        if bytes >= share * shares.len() as u64 && shares.len() < most {
            shares.push(vec![]);
        }
    }
    shares.retain(|share| !share.is_empty());
    shares
}

struct Share {
    files: Vec<ListedFile>,
    reader: Arc<dyn FilesInPlace>,
    layout: String,
    whole: SchemaRef,
    wanted: Vec<usize>,
    schema: SchemaRef,
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} files", self.files.len())
    }
}

impl PartitionStream for Share {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let schema = Arc::clone(&self.schema);
        let rows = self.reader.read(self.files.clone(), &self.layout, Arc::clone(&self.whole), self.wanted.clone());
        let typed = rows.map(move |batch| batch.map_err(external).and_then(|batch| with_schema(batch, &schema)));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), typed))
    }
}

/// The same columns under the relation's fields, which carry what a batch's own do not.
fn with_schema(batch: RecordBatch, schema: &Arc<Schema>) -> DfResult<RecordBatch> {
    let options = ::datafusion::arrow::record_batch::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), batch.columns().to_vec(), &options)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_shared_out_by_their_bytes() {
        let check = |sizes: &[u64], most: usize, expect: &[usize]| {
            let file = |(n, size): (usize, &u64)| ListedFile { name: n.to_string(), size: *size, modified: 0, version: String::new() };
            let shared = shares(sizes.iter().enumerate().map(file).collect(), most);
            assert_eq!(shared.iter().map(Vec::len).collect::<Vec<_>>(), expect, "{sizes:?} in {most}");
        };
        check(&[1, 1, 1, 1], 2, &[2, 2]);
        check(&[100, 1, 1, 1], 2, &[1, 3]);
        check(&[0, 0, 0], 8, &[1, 1, 1]);
        check(&[5], 4, &[1]);
        check(&[1, 1, 1, 100], 3, &[4]);
    }
}
