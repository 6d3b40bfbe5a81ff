//! A Parquet file to rows, by columns: each column is cast to the landing table's type; a row with a value that does not
//! fit is rejected.

use std::{collections::HashSet, ops::Range, sync::Arc};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, StringArray, new_null_array},
        compute::{cast, filter_record_batch},
        datatypes::{DataType, Field, Schema, SchemaRef},
        record_batch::RecordBatch,
        util::display::{ArrayFormatter, FormatOptions},
    },
    parquet::{
        arrow::{
            ParquetRecordBatchStreamBuilder, ProjectionMask,
            arrow_reader::ArrowReaderOptions,
            async_reader::{AsyncFileReader, ParquetRecordBatchStream},
        },
        errors::{ParquetError, Result as ParquetResult},
        file::metadata::{ParquetMetaData, ParquetMetaDataReader},
    },
};
use futures::{FutureExt, StreamExt, future::BoxFuture};
use hyper::body::Bytes;
use indexmap::IndexMap;
use object_store::{ObjectStore, ObjectStoreExt, path::Path as ObjectPath};
use serde_json::{Map, Value as Json};
use tokio::runtime::Handle;

use super::{
    layout::Layout,
    store::{self, Found, Store},
};
use crate::{
    ingest::{IngestError, Rejected, columns::ColumnType, rows::canonical},
    names::SemiStructured,
};

pub struct Columnar {
    shown: String,
    stream: ParquetRecordBatchStream<Ranges>,
    /// Of the file, whatever of it is read.
    pub schema: SchemaRef,
    /// Rows that were given.
    row: u64,
}

/// An object read by ranges: the end, then the columns of each row group.
struct Ranges {
    objects: Arc<dyn ObjectStore>,
    key: ObjectPath,
    size: u64,
}

impl AsyncFileReader for Ranges {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        async move { self.objects.get_range(&self.key, range).await.map_err(|e| ParquetError::External(Box::new(e))) }.boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        async move { self.objects.get_ranges(&self.key, &ranges).await.map_err(|e| ParquetError::External(Box::new(e))) }.boxed()
    }

    fn get_metadata<'a>(&'a mut self, options: Option<&'a ArrowReaderOptions>) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        async move {
            let options = options.map(|o| o.metadata_options().clone());
            let size = self.size;
            let reader = ParquetMetaDataReader::new().with_metadata_options(options).with_prefetch_hint(Some(64 << 10));
            Ok(Arc::new(reader.load_and_finish(self, size).await?))
        }
        .boxed()
    }
}

const ROWS_PER_BATCH: usize = 8192;

impl Columnar {
    /// `Ok(Err(reason))` of a file that is no Parquet.
    /// Of the columns `only`, names in upper case, where not all are wanted.
    pub fn open(
        found: &Found,
        store: &Store,
        handle: &Handle,
        only: Option<&HashSet<String>>,
    ) -> Result<Result<Self, String>, IngestError> {
        let (objects, key) = store.random_access(found)?;
        let reader = Ranges { objects, key, size: found.size };
        let opened = handle.block_on(async {
            let mut builder = ParquetRecordBatchStreamBuilder::new(reader).await?;
            let schema = Arc::clone(builder.schema());
            if let Some(only) = only {
                let is_wanted = |(place, field): (usize, &Arc<Field>)| only.contains(&field.name().to_uppercase()).then_some(place);
                let roots: Vec<usize> = schema.fields().iter().enumerate().filter_map(is_wanted).collect();
                let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
                builder = builder.with_projection(mask);
            }
            Ok::<_, ParquetError>((builder.with_batch_size(ROWS_PER_BATCH).build()?, schema))
        });
        match opened {
            Ok((stream, schema)) => Ok(Ok(Self { shown: found.shown.clone(), stream, schema, row: 0 })),
            Err(e) => Ok(Err(format!("not a Parquet file: {}", of_file(&found.shown, &e)?))),
        }
    }

    /// The next rows and the number of the first, counted from one.
    pub fn next(&mut self, handle: &Handle) -> Result<Option<Result<(RecordBatch, u64), String>>, IngestError> {
        match handle.block_on(self.stream.next()) {
            None => Ok(None),
            Some(Ok(batch)) => {
                let first = self.row + 1;
                self.row += batch.num_rows() as u64;
                Ok(Some(Ok((batch, first))))
            }
            Some(Err(e)) => Ok(Some(Err(format!("the file breaks off: {}", of_file(&self.shown, &e)?)))),
        }
    }

    /// The columns that the file asks for.
    pub fn columns(&self) -> IndexMap<String, ColumnType> {
        self.schema.fields().iter().map(|f| (f.name().clone(), column_type(f.data_type()))).collect()
    }
}

/// A fault of the file as a reason; one of the store is an error.
fn of_file(shown: &str, error: &ParquetError) -> Result<String, IngestError> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = next {
        if let Some(e) = cause.downcast_ref::<object_store::Error>() {
            return Err(store::fault(e, &format!("`{shown}` cannot be read")));
        }
        next = cause.source();
    }
    if let ParquetError::External(inner) = error
        && let Some(e) = inner.downcast_ref::<object_store::Error>()
    {
        return Err(store::fault(e, &format!("`{shown}` cannot be read")));
    }
    let text = error.to_string();
    Ok(text.strip_prefix("Parquet error: ").unwrap_or(&text).lines().next().unwrap_or_default().to_owned())
}

fn column_type(data_type: &DataType) -> ColumnType {
    use DataType as D;
    match data_type {
        D::Boolean => ColumnType::Boolean,
        D::Int8 | D::Int16 | D::Int32 | D::Int64 | D::UInt8 | D::UInt16 | D::UInt32 => ColumnType::Integer,
        D::UInt64 => ColumnType::Decimal { precision: 20, scale: 0 },
        D::Float16 | D::Float32 | D::Float64 => ColumnType::Float,
        D::Decimal32(p, s) | D::Decimal64(p, s) | D::Decimal128(p, s) => match (*p, *s) {
            (p, 0) if p <= 18 => ColumnType::Integer,
            (precision, scale) => ColumnType::Decimal { precision, scale: scale.max(0) },
        },
        D::Date32 | D::Date64 => ColumnType::Date,
        D::Timestamp(..) => ColumnType::Timestamp,
        D::List(_) | D::LargeList(_) | D::FixedSizeList(..) | D::ListView(_) => ColumnType::Semi(SemiStructured::Array),
        D::Struct(_) | D::Map(..) => ColumnType::Semi(SemiStructured::Object),
        D::Dictionary(_, values) => column_type(values),
        _ => ColumnType::Text,
    }
}

/// Rows of the landing table, without those that do not fit; how many those were.
pub fn aligned(
    batch: &RecordBatch,
    first: u64,
    layout: &Layout,
    shown: &str,
    partitions: &RecordBatch,
    rejected: &mut Vec<Rejected>,
) -> Result<RecordBatch, IngestError> {
    let rows = batch.num_rows();
    let target = layout.schema();
    let mut faults: IndexMap<usize, String> = IndexMap::new();
    let mut columns: Vec<ArrayRef> = vec![];
    if layout.columns.is_payload() {
        let objects = (0..rows).map(|row| canonical(&object(batch, row)));
        columns.push(Arc::new(StringArray::from_iter_values(objects)));
    } else {
        for column in &layout.columns.own {
            let field = target.field(columns.len());
            let name = column.name.trim_matches('"');
            let index = batch.schema().index_of(name).ok();
            let index = index.or_else(|| batch.schema().fields().iter().position(|f| f.name().eq_ignore_ascii_case(name)));
            let Some(index) = index else {
                columns.push(new_null_array(field.data_type(), rows));
                continue;
            };
            let given = batch.column(index);
            let made = converted(given, column.column_type, field);
            for row in (0..rows).filter(|row| made.is_null(*row) && !given.is_null(*row)) {
                let value = json_of(given, row);
                faults.entry(row).or_insert_with(|| format!("column `{}`: `{value}` does not fit the column", column.name));
            }
            columns.push(made);
        }
    }
    for column in partitions.columns() {
        let one = datafusion::arrow::array::UInt32Array::from(vec![0; rows]);
        columns.push(datafusion::arrow::compute::take(column, &one, None).map_err(|e| misfit(shown, &e))?);
    }
    columns.push(Arc::new(StringArray::from_iter_values(std::iter::repeat_n(shown, rows))));
    columns.push(Arc::new(Int64Array::from_iter_values((0..rows).map(|row| (first + row as u64) as i64))));
    let mut made = RecordBatch::try_new(target, columns).map_err(|e| misfit(shown, &e))?;
    if !faults.is_empty() {
        let keep: BooleanArray = (0..rows).map(|row| Some(!faults.contains_key(&row))).collect();
        made = filter_record_batch(&made, &keep).map_err(|e| misfit(shown, &e))?;
        faults.sort_keys();
        rejected.extend(faults.into_iter().map(|(row, reason)| Rejected {
            reason,
            position: format!("{shown}:{}", first + row as u64),
            record: object(batch, row).to_string(),
        }));
    }
    Ok(made)
}

fn misfit(shown: &str, e: &dyn std::fmt::Display) -> IngestError {
    IngestError::new("ingest/rows", format!("the rows of `{shown}` do not fit the landing table: {e}"))
}

/// A value that cannot be cast is null.
fn converted(given: &ArrayRef, to: ColumnType, field: &Field) -> ArrayRef {
    let rows = given.len();
    let texts = |of: &dyn Fn(usize) -> Option<String>| -> ArrayRef { Arc::new((0..rows).map(of).collect::<StringArray>()) };
    let is_nested = given.data_type().is_nested();
    let plain = |row: usize| (!given.is_null(row)).then(|| json_of(given, row));
    match to {
        ColumnType::Semi(_) => {
            let is_text = matches!(given.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
            texts(&|row| {
                let mut value = plain(row)?;
                if is_text && let Json::String(text) = &value {
                    // text of a VARIANT that another tool wrote; in a VARIANT column a text may also just be one
                    value = serde_json::from_str(text)
                        .ok()
                        .or_else(|| matches!(to, ColumnType::Semi(SemiStructured::Variant)).then(|| value.clone()))?;
                }
                match (to, &value) {
                    (ColumnType::Semi(SemiStructured::Array), Json::Array(_))
                    | (ColumnType::Semi(SemiStructured::Object), Json::Object(_))
                    | (ColumnType::Semi(SemiStructured::Variant), _) => Some(canonical(&value)),
                    _ => None,
                }
            })
        }
        ColumnType::Text if is_nested => texts(&|row| Some(canonical(&plain(row)?))),
        ColumnType::Text => cast(given, &DataType::Utf8).unwrap_or_else(|_| new_null_array(field.data_type(), rows)),
        ColumnType::Timestamp if matches!(given.data_type(), DataType::Timestamp(_, Some(_))) => {
            // the instant in UTC, whatever zone it is shown in
            let utc = DataType::Timestamp(datafusion::arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into()));
            let made = cast(given, &utc).and_then(|utc| cast(&utc, field.data_type()));
            made.unwrap_or_else(|_| new_null_array(field.data_type(), rows))
        }
        _ => cast(given, field.data_type()).unwrap_or_else(|_| new_null_array(field.data_type(), rows)),
    }
}

fn object(batch: &RecordBatch, row: usize) -> Json {
    let schema: &Schema = batch.schema_ref();
    let fields = schema.fields().iter().zip(batch.columns());
    Json::Object(fields.map(|(field, column)| (field.name().clone(), json_of(column, row))).collect::<Map<_, _>>())
}

fn json_of(array: &ArrayRef, row: usize) -> Json {
    use DataType as D;
    if array.is_null(row) {
        return Json::Null;
    }
    let items = |items: ArrayRef| (0..items.len()).map(|i| json_of(&items, i)).collect::<Vec<_>>();
    match array.data_type() {
        D::Boolean => array.as_boolean().value(row).into(),
        D::Struct(fields) => {
            let columns = fields.iter().zip(array.as_struct().columns());
            Json::Object(columns.map(|(field, column)| (field.name().clone(), json_of(column, row))).collect())
        }
        D::List(_) => items(array.as_list::<i32>().value(row)).into(),
        D::LargeList(_) => items(array.as_list::<i64>().value(row)).into(),
        D::FixedSizeList(..) => items(array.as_fixed_size_list().value(row)).into(),
        D::Map(..) => {
            let entries = array.as_map().value(row);
            let text = |key: Json| key.as_str().map_or_else(|| key.to_string(), str::to_owned);
            let pairs = (0..entries.len()).map(|i| (text(json_of(entries.column(0), i)), json_of(entries.column(1), i)));
            Json::Object(pairs.collect())
        }
        other => {
            let options = FormatOptions::new();
            let text = ArrayFormatter::try_new(array, &options).map(|f| f.value(row).to_string()).unwrap_or_default();
            let is_number = other.is_integer() || other.is_floating();
            match is_number.then(|| serde_json::from_str::<Json>(&text).ok()).flatten() {
                Some(number) => number,
                None => text.into(),
            }
        }
    }
}
