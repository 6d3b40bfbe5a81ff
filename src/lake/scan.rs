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
