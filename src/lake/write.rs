//! Streams of rows to Parquet files below a table. The files mean nothing until a commit names them.

use std::{collections::HashMap, sync::Arc};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, UInt32Array},
        compute::{partition, take_record_batch},
        datatypes::{Schema, SchemaRef},
        record_batch::RecordBatch,
        util::display::{ArrayFormatter, FormatOptions},
    },
    error::DataFusionError,
    execution::SendableRecordBatchStream,
    parquet::{
        arrow::AsyncArrowWriter,
        basic::{Compression, ZstdLevel},
        file::properties::WriterProperties,
    },
};
use deltalake::kernel::Add;
use futures::StreamExt;
use object_store::{ObjectStore, ObjectStoreExt, buffered::BufWriter, path::Path};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::{sync::mpsc, task::JoinHandle};

use super::LakeError;

/// A file rolls over when this many bytes were written to it.
const TARGET_FILE_BYTES: usize = 256 * 1024 * 1024;

/// A data file that no commit names yet.
#[derive(Clone, Debug)]
pub struct WrittenFile {
    pub(super) add: Add,
    pub rows: u64,
    pub bytes: u64,
}

/// Why a stream could not be written: the query that fed it, or the storage below it.
pub enum WriteError {
    Query(DataFusionError),
    Lake(LakeError),
}

impl From<LakeError> for WriteError {
    fn from(e: LakeError) -> Self {
        Self::Lake(e)
    }
}

impl WrittenFile {
    /// A file of another version of the table.
    pub(super) fn of(add: Add) -> Self {
        let stats = add.stats.as_deref().and_then(|s| serde_json::from_str::<serde_json::Value>(s).ok());
        let rows = stats.and_then(|s| s.get("numRecords")?.as_u64()).unwrap_or(0);
        let bytes = add.size.max(0) as u64;
        Self { add, rows, bytes }
    }

    /// Relative to the table's folder.
    pub fn path(&self) -> &str {
        &self.add.path
    }
}

struct OpenFile {
    path: String,
    values: Vec<Option<String>>,
    writer: AsyncArrowWriter<BufWriter>,
    rows: u64,
}

/// Writes one stream, whose columns already have the stored layout, into files of `store` (rooted at the table).
/// Files written before an error stay behind as garbage that no reader sees.
pub async fn write_stream(
    store: Arc<dyn ObjectStore>,
    schema: SchemaRef,
    partition_by: &[String],
    mut stream: SendableRecordBatchStream,
) -> Result<Vec<WrittenFile>, WriteError> {
    let partition_indices: Vec<usize> = partition_by.iter().filter_map(|c| schema.index_of(c).ok()).collect();
    let data_indices: Vec<usize> = (0..schema.fields().len()).filter(|i| !partition_indices.contains(i)).collect();
    let file_schema: SchemaRef = Arc::new(Schema::new(data_indices.iter().map(|i| schema.field(*i).clone()).collect::<Vec<_>>()));
    let mut open: HashMap<PartitionValues, Partition> = HashMap::new();
    'stream: while let Some(batch) = stream.next().await {
        let batch = batch.map_err(WriteError::Query)?;
        if batch.num_rows() == 0 {
            continue;
        }
        for (values, part) in split(&batch, &partition_indices).map_err(|e| WriteError::Query(e.into()))? {
            let columns: Vec<ArrayRef> = data_indices.iter().map(|i| part.column(*i).clone()).collect();
            let part = RecordBatch::try_new(file_schema.clone(), columns).map_err(|e| WriteError::Query(e.into()))?;
            let partition = open.entry(values).or_insert_with_key(|values| {
                Partition::open(Arc::clone(&store), Arc::clone(&file_schema), partition_by.to_vec(), values.clone())
            });
            // one that takes no more has failed, and tells why at its end
            if partition.batches.send(part).await.is_err() {
                break 'stream;
            }
        }
    }
    let mut done = vec![];
    for partition in open.into_values() {
        done.extend(partition.close().await?);
    }
    Ok(done)
}

/// Batches that wait for their partition's encoder.
const WAITING: usize = 2;

/// The files of one partition, encoded beside those of the others.
struct Partition {
    batches: mpsc::Sender<RecordBatch>,
    encoder: AbortOnDrop,
}

struct AbortOnDrop(JoinHandle<Result<Vec<WrittenFile>, LakeError>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Partition {
    fn open(store: Arc<dyn ObjectStore>, schema: SchemaRef, partition_by: Vec<String>, values: PartitionValues) -> Self {
        let (batches, mut waiting) = mpsc::channel::<RecordBatch>(WAITING);
        let encoder = tokio::spawn(async move {
            let (mut done, mut open) = (vec![], None);
            while let Some(batch) = waiting.recv().await {
                let file = match &mut open {
                    Some(file) => file,
                    None => open.insert(open_file(&store, &schema, &partition_by, values.clone())?),
                };
                file.writer.write(&batch).await.map_err(|e| LakeError::storage("write", &file.path, &e))?;
                file.rows += batch.num_rows() as u64;
                if file.writer.bytes_written() + file.writer.in_progress_size() > TARGET_FILE_BYTES
                    && let Some(file) = open.take()
                {
                    done.push(close(&store, file, &partition_by).await?);
                }
            }
            if let Some(file) = open {
                done.push(close(&store, file, &partition_by).await?);
            }
            Ok(done)
        });
        Self { batches, encoder: AbortOnDrop(encoder) }
    }

    async fn close(self) -> Result<Vec<WrittenFile>, LakeError> {
        let Self { batches, mut encoder } = self;
        drop(batches);
        match (&mut encoder.0).await {
            Ok(written) => written,
            Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
            Err(e) => Err(LakeError::storage("write", "a data file", &e)),
        }
    }
}

fn open_file(
    store: &Arc<dyn ObjectStore>,
    schema: &SchemaRef,
    partition_by: &[String],
    values: Vec<Option<String>>,
) -> Result<OpenFile, LakeError> {
    let folder: String = partition_by
        .iter()
        .zip(&values)
        .map(|(c, v)| {
            let value =
                v.as_ref().map_or_else(|| "__HIVE_DEFAULT_PARTITION__".into(), |v| utf8_percent_encode(v, NON_ALPHANUMERIC).to_string());
            format!("{c}={}/", value.replace("%2D", "-").replace("%5F", "_"))
        })
        .collect();
    let path = format!("{folder}part-{}.zstd.parquet", uuid::Uuid::new_v4());
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).map_err(|e| LakeError::storage("write", &path, &e))?))
        .set_max_row_group_row_count(Some(1_048_576))
        .build();
    let sink = BufWriter::new(store.clone(), Path::parse(&path).map_err(|e| LakeError::storage("write", &path, &e))?);
    let writer = AsyncArrowWriter::try_new(sink, schema.clone(), Some(properties)).map_err(|e| LakeError::storage("write", &path, &e))?;
    Ok(OpenFile { path, values, writer, rows: 0 })
}

async fn close(store: &Arc<dyn ObjectStore>, file: OpenFile, partition_by: &[String]) -> Result<WrittenFile, LakeError> {
    let OpenFile { path, values, writer, rows } = file;
    writer.close().await.map_err(|e| LakeError::storage("write", &path, &e))?;
    let location = Path::parse(&path).map_err(|e| LakeError::storage("write", &path, &e))?;
    let bytes = store.head(&location).await.map_err(|e| LakeError::storage("write", &path, &e))?.size;
    let add = Add {
        path,
        partition_values: partition_by.iter().cloned().zip(values).collect(),
        size: bytes as i64,
        modification_time: chrono::Utc::now().timestamp_millis(),
        data_change: true,
        stats: Some(format!("{{\"numRecords\":{rows}}}")),
        ..Add::default()
    };
    Ok(WrittenFile { add, rows, bytes })
}

/// Values of the partition columns, as Delta writes them.
type PartitionValues = Vec<Option<String>>;

/// Rows that one partition's encoder is worth being given by themselves.
const LONG_RUN: usize = 512;

/// Rows by their partition values, in order of first appearance; the whole batch without partition columns.
fn split(
    batch: &RecordBatch,
    partition_indices: &[usize],
) -> Result<Vec<(PartitionValues, RecordBatch)>, datafusion::arrow::error::ArrowError> {
    if partition_indices.is_empty() {
        return Ok(vec![(vec![], batch.clone())]);
    }
    let options = FormatOptions::default();
    let columns: Vec<ArrayRef> = partition_indices.iter().map(|i| Arc::clone(batch.column(*i))).collect();
    let formatters = columns.iter().map(|c| ArrayFormatter::try_new(c.as_ref(), &options)).collect::<Result<Vec<_>, _>>()?;
    let runs = partition(&columns)?.ranges();
    let key = |row: usize| -> PartitionValues {
        columns.iter().zip(&formatters).map(|(c, f)| (!c.is_null(row)).then(|| f.value(row).to_string())).collect()
    };
    // long runs need no copy
    if runs.len() == 1 || batch.num_rows() / runs.len() >= LONG_RUN {
        return Ok(runs.into_iter().map(|run| (key(run.start), batch.slice(run.start, run.len()))).collect());
    }
    let mut order: Vec<PartitionValues> = vec![];
    let mut rows: HashMap<PartitionValues, Vec<u32>> = HashMap::new();
    for run in runs {
        let key = key(run.start);
        if !rows.contains_key(&key) {
            order.push(key.clone());
        }
        rows.entry(key).or_default().extend(run.start as u32..run.end as u32);
    }
    order
        .into_iter()
        .map(|key| {
            let indices = UInt32Array::from(rows.remove(&key).unwrap_or_default());
            Ok((key, take_record_batch(batch, &indices)?))
        })
        .collect()
}
