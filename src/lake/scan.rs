//! A version of a table as DataFusion scans Parquet files, and nothing over it.
//!
//! Every table can be read through the provider of the Delta library: it sets an operator over the scan that finds each row's file,
//! for deletion vectors, renamed columns and partition values that stand in the log alone. Tables that segue writes rarely
//! need any of it, and pay for it with each row. What does need it has no [`FileScan`].

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::{
    arrow::datatypes::{DataType, Field, Schema, SchemaRef},
    catalog::{Session, TableProvider},
    common::{Statistics, project_schema, stats::Precision},
    config::TableParquetOptions,
    datasource::{
        TableType,
        file_format::{FileFormat, parquet::ParquetFormat},
        listing::PartitionedFile,
        physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource},
    },
    error::Result,
    execution::object_store::ObjectStoreUrl,
    logical_expr::{Expr, TableProviderFilterPushDown},
    physical_plan::{ExecutionPlan, empty::EmptyExec},
};
use deltalake::kernel::{Add, Protocol};
use object_store::{ObjectMeta, path::Path};
use url::{Position, Url};

/// Features of a table that change nothing about how its files are read.
const HARMLESS: [&str; 3] = ["timestampNtz", "v2Checkpoint", "vacuumProtocolCheck"];

/// The live files of one version.
#[derive(Debug)]
pub(super) struct FileScan {
    schema: SchemaRef,
    store: ObjectStoreUrl,
    files: Vec<PartitionedFile>,
    statistics: Statistics,
}

/// Whether the protocol asks a reader for nothing that stands outside the files.
pub(super) fn is_plain(protocol: &Protocol, partitioned: bool, mapped: bool) -> bool {
    let features = protocol.reader_features().unwrap_or_default();
    !partitioned && !mapped && features.iter().all(|f| HARMLESS.contains(&f.to_string().as_str()))
}

impl FileScan {
    /// `None` when the files alone do not tell the rows. `schema`: as the table stores it; `root`: the table's folder.
    pub(super) fn new(schema: &Schema, root: &Url, adds: Vec<Add>) -> Option<Self> {
        // files of other writers may have other nullability within nested columns than the log says
        if schema.fields().iter().any(|f| f.data_type().is_nested()) {
            return None;
        }
        let store = ObjectStoreUrl::parse(&root[Position::BeforeScheme..Position::BeforePath]).ok()?;
        let (mut rows, mut bytes, mut files) = (Some(0), 0, Vec::with_capacity(adds.len()));
        for add in adds {
            if add.deletion_vector.is_some() || add.path.contains("://") {
                return None;
            }
            let size = u64::try_from(add.size).ok()?;
            let count = add.get_stats().ok().flatten().and_then(|s| usize::try_from(s.num_records).ok());
            rows = rows.zip(count).map(|(all, n)| all + n);
            bytes += size as usize;
            let location = Path::from_url_path(root.join(&add.path).ok()?.path()).ok()?;
            let mut file: PartitionedFile =
                ObjectMeta { location, size, last_modified: chrono::DateTime::UNIX_EPOCH, e_tag: None, version: None }.into();
            let mut known = Statistics::new_unknown(schema);
            known.num_rows = count.map_or(Precision::Absent, Precision::Exact);
            file.statistics = Some(Arc::new(known));
            files.push(file);
        }
        let mut statistics = Statistics::new_unknown(schema);
        statistics.num_rows = rows.map_or(Precision::Absent, Precision::Exact);
        statistics.total_byte_size = Precision::Inexact(bytes);
        Some(Self { schema: Arc::new(viewed(schema)), store, files, statistics })
    }

    /// Whether rows are better told by the filter before the other columns are read: worth it for columns whose values are long.
    /// For short ones picking rows costs more than reading all.
    fn reads_late(&self, projection: Option<&Vec<usize>>, filters: &[Expr]) -> bool {
        let asked = |f: &Field| filters.iter().any(|e| e.column_refs().iter().any(|c| c.name == *f.name()));
        let is_long = |f: &Field| f.metadata().get("segue.type").is_some_and(|t| ["VARIANT", "ARRAY", "OBJECT"].contains(&t.as_str()));
        let read = |i: usize| projection.is_none_or(|p| p.contains(&i));
        !filters.is_empty() && self.schema.fields().iter().enumerate().any(|(i, f)| read(i) && is_long(f) && !asked(f))
    }
}

/// Text is read as views: a group or a join by text copies nothing.
fn viewed(schema: &Schema) -> Schema {
    let fields = schema.fields().iter().map(|f| match f.data_type() {
        DataType::Utf8 => f.as_ref().clone().with_data_type(DataType::Utf8View),
        DataType::Binary => f.as_ref().clone().with_data_type(DataType::BinaryView),
        _ => f.as_ref().clone(),
    });
    Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone())
}

#[async_trait]
impl TableProvider for FileScan {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(self.statistics.clone())
    }

    /// Row groups and pages are left out by their statistics; each row is still to be asked.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if self.files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(project_schema(&self.schema, projection)?)));
        }
        let mut options =
            TableParquetOptions { global: state.config_options().execution.parquet.clone(), ..TableParquetOptions::default() };
        options.global.pushdown_filters |= self.reads_late(projection, filters);
        let source = Arc::new(ParquetSource::new(Arc::clone(&self.schema)));
        // one group, in the order of the log: a scan that is worth it is divided by the planner
        let config = FileScanConfigBuilder::new(self.store.clone(), source)
            .with_file_group(FileGroup::new(self.files.clone()))
            .with_statistics(self.statistics.clone())
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        ParquetFormat::new().with_options(options).create_physical_plan(state, config).await
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, slice};

    use datafusion::prelude::{ident, lit};

    use super::*;

    fn add(path: &str, rows: Option<u64>) -> Add {
        Add { path: path.into(), size: 10, stats: rows.map(|n| format!("{{\"numRecords\":{n}}}")), ..Add::default() }
    }

    fn schema() -> Schema {
        let semi = HashMap::from([("segue.type".to_owned(), "VARIANT".to_owned())]);
        Schema::new(vec![
            Field::new("ID", DataType::Int64, true),
            Field::new("NAME", DataType::Utf8, true),
            Field::new("PAYLOAD", DataType::Utf8, true).with_metadata(semi),
        ])
    }

    fn scan(schema: &Schema, adds: Vec<Add>) -> Option<FileScan> {
        FileScan::new(schema, &Url::parse("file:///lake/DB/S/T/").expect("a URL"), adds)
    }

    #[test]
    fn files_are_found_and_counted() {
        let found = scan(&schema(), vec![add("a.parquet", Some(3)), add("with%20space.parquet", Some(4))]).expect("a scan");
        assert_eq!(found.statistics.num_rows, Precision::Exact(7));
        let paths: Vec<String> = found.files.iter().map(|f| f.object_meta.location.to_string()).collect();
        assert_eq!(paths, ["lake/DB/S/T/a.parquet", "lake/DB/S/T/with space.parquet"]);
        assert_eq!(found.store.as_str(), "file:///");
        assert_eq!(found.schema.field(1).data_type(), &DataType::Utf8View);
        // one file that does not tell its rows makes the sum unknown
        let unsure = scan(&schema(), vec![add("a.parquet", Some(3)), add("b.parquet", None)]).expect("a scan");
        assert_eq!(unsure.statistics.num_rows, Precision::Absent);
    }

    #[test]
    fn what_stands_outside_of_the_files_is_left_to_the_library() {
        let vector = serde_json::json!({"storageType": "u", "pathOrInlineDv": "ab^-aqEH.-t@S}K{vb[*k^", "offset": 4, "sizeInBytes": 40, "cardinality": 6});
        let deleted = Add { deletion_vector: Some(serde_json::from_value(vector).expect("a vector")), ..add("a.parquet", Some(3)) };
        assert!(scan(&schema(), vec![deleted]).is_none());
        assert!(scan(&schema(), vec![add("s3://elsewhere/a.parquet", Some(3))]).is_none());
        let nested = Schema::new(vec![Field::new_list("L", Field::new("item", DataType::Int64, true), true)]);
        assert!(scan(&nested, vec![]).is_none());
        let protocol = |features: &[&str]| -> Protocol {
            let json =
                serde_json::json!({"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features, "writerFeatures": features});
            serde_json::from_value(json).expect("a protocol")
        };
        assert!(is_plain(&protocol(&["timestampNtz"]), false, false));
        assert!(!is_plain(&protocol(&["timestampNtz"]), true, false), "partitions");
        assert!(!is_plain(&protocol(&[]), false, true), "renamed columns");
        for other in ["deletionVectors", "columnMapping", "typeWidening"] {
            assert!(!is_plain(&protocol(&[other]), false, false), "{other}");
        }
    }

    #[test]
    fn long_values_wait_for_the_filter() {
        let found = scan(&schema(), vec![]).expect("a scan");
        let by_id = ident("ID").eq(lit(1_i64));
        assert!(found.reads_late(None, slice::from_ref(&by_id)));
        assert!(found.reads_late(Some(&vec![0, 2]), slice::from_ref(&by_id)));
        assert!(!found.reads_late(Some(&vec![0, 1]), slice::from_ref(&by_id)), "short ones only");
        assert!(!found.reads_late(None, &[]), "nothing to wait for");
        assert!(!found.reads_late(Some(&vec![0, 2]), &[by_id, ident("PAYLOAD").is_not_null()]), "asked for by the filter");
    }
}
