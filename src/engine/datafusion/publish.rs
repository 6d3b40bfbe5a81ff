//! Materializations. Whatever the strategy: files are written first, then one commit makes the new version.

use std::{collections::BTreeMap, sync::Arc};

use ::datafusion::{
    arrow::datatypes::{Field, Schema, SchemaRef},
    common::Column,
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder},
};

use super::{Inner, change::Staged, execution::stored_schema, fault, planner::Scope};
use crate::{
    dialect::{function, types::Type},
    engine::{Content, EngineError, How, Physical, Publish, Published, Strategy},
    graph::OnSchemaChange,
    lake::{Change, ColumnRules, Commit, LakeTable, Removed, ViewColumn, ViewFile, WrittenFile, describes, storage_schema},
    names::{RelationName, SchemaName},
};

/// A commit that replaces, appends to or rewrites a relation, still without files.
pub(super) fn commit_of(publish: &Publish, change: Change, schema: SchemaRef) -> Commit {
    Commit {
        relation: publish.relation.clone(),
        change,
        schema,
        partition_by: vec![],
        add: vec![],
        remove: Removed::None,
        comment: publish.comment.clone(),
        column_comments: publish.column_comments.clone(),
        properties: publish.properties.clone(),
        application: None,
    }
}

pub(super) fn rows_of(files: &[WrittenFile]) -> u64 {
    files.iter().map(|f| f.rows).sum()
}

impl Inner {
    pub(super) async fn publish(&self, publish: Publish) -> Result<Published, EngineError> {
        match &publish.how {
            How::View => {
                let schema = publish.relation.schema_name();
                self.publish_view(publish, &schema).await
            }
            How::Table => self.publish_table(publish).await,
            How::Incremental { strategy, on_schema_change } => {
                let (strategy, on_schema_change) = (strategy.clone(), *on_schema_change);
                let is_view = self.lake.view(&publish.relation).map_err(fault::lake)?.is_some();
                match self.lake.table(&publish.relation).await.map_err(fault::lake)? {
                    Some(table) if !is_view => self.publish_increment(publish, table, strategy, on_schema_change).await,
                    _ => self.publish_table(publish).await,
                }
            }
        }
    }

    /// `names` is the schema that unqualified names of the query resolve in.
    pub(super) async fn publish_view(&self, publish: Publish, names: &SchemaName) -> Result<Published, EngineError> {
        let Content::Query(sql) = &publish.content else {
            return Err(EngineError::new("engine/view", "a view needs a query"));
        };
        let plan = self.plan_query(sql, &Scope::new(names.clone())).await?;
        stored_schema(&plan)?;
        let columns = plan
            .schema()
            .fields()
            .iter()
            .map(|f| ViewColumn {
                name: f.name().clone(),
                data_type: Type::of(f).to_string(),
                comment: publish
                    .column_comments
                    .iter()
                    .find(|(n, _)| describes(n, f.name()))
                    .map(|(_, c)| c.clone())
                    .filter(|c| !c.is_empty()),
            })
            .collect();
        let view = ViewFile {
            sql: sql.clone(),
            database: names.database.as_str().into(),
            schema: names.schema.as_str().into(),
            columns,
            comment: publish.comment,
            properties: publish.properties,
            external: None,
        };
        self.lake.put_view(&publish.relation, &view).await.map_err(fault::lake)?;
        Ok(Published { rows: None, message: "SUCCESS 1".into(), version: super::catalog::view_version(&view) })
    }

    pub(super) async fn publish_table(&self, publish: Publish) -> Result<Published, EngineError> {
        let schema = publish.relation.schema_name();
        self.publish_table_from(publish, &schema).await
    }

    pub(super) async fn publish_table_from(&self, publish: Publish, names: &SchemaName) -> Result<Published, EngineError> {
        let base = self.lake.table(&publish.relation).await.map_err(fault::lake)?;
        let (schema, files) = match &publish.content {
            Content::Query(sql) => {
                let plan = self.plan_query(sql, &Scope::new(names.clone())).await?;
                let schema = stored_schema(&plan)?;
                let store = self.lake.table_store(&publish.relation).map_err(fault::lake)?;
                let schema = not_null(&schema, &publish.not_null);
                (schema.clone(), self.write_plan(sql, plan, store, schema, &[]).await?)
            }
            Content::Rows(batches, schema) => {
                let schema = storage_schema(schema).map_err(fault::lake)?;
                let store = self.lake.table_store(&publish.relation).map_err(fault::lake)?;
                (schema.clone(), self.write_batches(batches.clone(), store, schema, &[]).await?)
            }
        };
        let rows = rows_of(&files);
        let commit = Commit { add: files, remove: Removed::All, ..commit_of(&publish, Change::Replace, schema) };
        let version = self.lake.commit(base.as_ref(), commit).await.map_err(fault::lake)?;
        // a view of that name hid the table until now
        self.lake.drop_view(&publish.relation).map_err(fault::lake)?;
        Ok(Published { rows: Some(rows), message: format!("SUCCESS {rows}"), version: version.to_string() })
    }

    async fn publish_increment(
        &self,
        publish: Publish,
        table: LakeTable,
        strategy: Strategy,
        on_schema_change: OnSchemaChange,
    ) -> Result<Published, EngineError> {
        let Content::Query(sql) = &publish.content else {
            return Err(EngineError::new("engine/incremental", "an incremental change needs a query"));
        };
        let plan = self.plan_query(sql, &Scope::new(publish.relation.schema_name())).await?;
        let new = stored_schema(&plan)?;
        let current = table.schema().map_err(fault::lake)?;
        let schema = evolved(&publish.relation, &current, &new, on_schema_change)?;
        let plan = fitted(sql, plan, &schema)?;
        let store = self.lake.table_store(&publish.relation).map_err(fault::lake)?;
        let partition_by = table.partition_columns();
        let finish = |change, add: Vec<WrittenFile>, remove| Commit {
            add,
            remove,
            partition_by: partition_by.clone(),
            ..commit_of(&publish, change, schema.clone())
        };
        let files = self.write_plan(sql, plan, store, not_null(&schema, &publish.not_null), &partition_by).await?;
        let rows = rows_of(&files);
        let commit = match strategy {
            Strategy::Append => finish(Change::Append, files, Removed::None),
            Strategy::InsertOverwrite => finish(Change::Rewrite, files, Removed::All),
            Strategy::Merge { unique_key, update_columns, predicates } => {
                let staged = Staged { table: &table, files, schema: &schema };
                let (add, remove) = self.merge_staged(staged, &unique_key, update_columns.as_deref(), &predicates).await?;
                finish(Change::Rewrite, add, remove)
            }
            Strategy::Replace { predicates } => {
                let staged = Staged { table: &table, files, schema: &schema };
                let (add, remove) = self.replace_matching(staged, &predicates).await?;
                finish(Change::Rewrite, add, remove)
            }
            Strategy::DeleteInsert { unique_key, predicates } => {
                let staged = Staged { table: &table, files, schema: &schema };
                let (add, remove) = self.replace_staged(staged, &unique_key, &predicates).await?;
                finish(Change::Rewrite, add, remove)
            }
        };
        let version = self.lake.commit(Some(&table), commit).await.map_err(fault::lake)?;
        self.look_after(table.relation()).await;
        Ok(Published { rows: Some(rows), message: format!("SUCCESS {rows}"), version: version.to_string() })
    }

    /// A table that grows by small files is put together from time to time. The rows are published already: that it does not
    /// succeed this time is no fault of the publish.
    pub(super) async fn look_after(&self, relation: &RelationName) {
        match self.lake.join_if_earned(relation).await {
            Ok(done) if done.joined > 0 => tracing::debug!("{relation}: {} files were put together", done.joined),
            Ok(_) => {}
            Err(error) => tracing::debug!("{relation}: small files could not be put together: {error}"),
        }
    }
}

/// The schema with rules on the columns that refuse NULL.
fn not_null(schema: &SchemaRef, columns: &[String]) -> SchemaRef {
    if columns.is_empty() {
        return schema.clone();
    }
    let fields = schema.fields().iter().map(|f| match columns.iter().any(|c| c.eq_ignore_ascii_case(f.name())) {
        true => Arc::new(ColumnRules { not_null: true, ..ColumnRules::of(f) }.apply(f)),
        false => f.clone(),
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The table's columns after the change (dbt documentation, "What if the columns of my incremental model change?").
fn evolved(relation: &RelationName, current: &SchemaRef, new: &SchemaRef, rule: OnSchemaChange) -> Result<SchemaRef, EngineError> {
    let has = |schema: &SchemaRef, name: &str| schema.fields().iter().any(|f| f.name() == name);
    let added: Vec<Arc<Field>> = new.fields().iter().filter(|f| !has(current, f.name())).cloned().collect();
    let missing: Vec<Arc<Field>> = current.fields().iter().filter(|f| !has(new, f.name())).cloned().collect();
    let current = &widened(current, new);
    let names = |fields: &[Arc<Field>]| fields.iter().map(|f| format!("`{}`", f.name())).collect::<Vec<_>>().join(", ");
    match rule {
        OnSchemaChange::Ignore if !missing.is_empty() => {
            Err(EngineError::new("engine/schema-change", format!("the query does not give the column {} of `{relation}`", names(&missing)))
                .help("add the column, set `on_schema_change: sync_all_columns`, or run with --full-refresh"))
        }
        OnSchemaChange::Ignore => Ok(current.clone()),
        OnSchemaChange::Fail if !added.is_empty() || !missing.is_empty() => {
            let mut error = EngineError::new("engine/schema-change", format!("the columns of the query and of `{relation}` differ"));
            if !added.is_empty() {
                error.notes.push(format!("only in the query: {}", names(&added)));
            }
            if !missing.is_empty() {
                error.notes.push(format!("only in the table: {}", names(&missing)));
            }
            Err(error.help("run with --full-refresh, or set `on_schema_change` to `append_new_columns` or `sync_all_columns`"))
        }
        OnSchemaChange::Fail => Ok(current.clone()),
        OnSchemaChange::AppendNewColumns => Ok(Arc::new(Schema::new(current.fields().iter().cloned().chain(added).collect::<Vec<_>>()))),
        OnSchemaChange::SyncAllColumns => {
            let kept = current.fields().iter().filter(|f| has(new, f.name())).cloned();
            Ok(Arc::new(Schema::new(kept.chain(added).collect::<Vec<_>>())))
        }
    }
}

/// Texts of the table become as long as those of the query, if these may be longer (`expand_target_column_types` of dbt).
fn widened(current: &SchemaRef, new: &SchemaRef) -> SchemaRef {
    let fields = current.fields().iter().map(|f| {
        let rules = ColumnRules::of(f);
        let (Some(has), Ok(comes)) = (rules.length, new.field_with_name(f.name())) else { return f.clone() };
        match ColumnRules::of(comes).length {
            Some(wanted) if wanted <= has => f.clone(),
            length => Arc::new(ColumnRules { length, ..rules }.apply(f)),
        }
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The plan with exactly the columns of `schema`, in its order and types; NULL where the plan has none.
pub(super) fn fitted(sql: &str, plan: LogicalPlan, schema: &SchemaRef) -> Result<LogicalPlan, EngineError> {
    let source = plan.schema().clone();
    let exprs: Vec<Expr> = schema
        .fields()
        .iter()
        .map(|wanted| {
            let found = source.iter().find(|(_, f)| f.name() == wanted.name());
            fitted_column(found.map(|(q, f)| (Expr::Column(Column::new(q.cloned(), f.name())), f.as_ref())), wanted)
        })
        .collect();
    LogicalPlanBuilder::from(plan).project(exprs).and_then(LogicalPlanBuilder::build).map_err(|e| fault::plan(sql, &e))
}

/// A source column as the stored field wants it.
pub(super) fn fitted_column(found: Option<(Expr, &Field)>, wanted: &Field) -> Expr {
    let target = Type::of(wanted);
    match found {
        Some((expr, field)) if Type::of(field) == target => expr.alias(wanted.name()),
        Some((expr, _)) => function::cast(expr, target).alias(wanted.name()),
        None => function::cast(::datafusion::prelude::lit(::datafusion::common::ScalarValue::Utf8(None)), target).alias(wanted.name()),
    }
}

/// Properties that a change by a plain statement keeps.
pub(super) fn plain(relation: &RelationName, how: How, content: Content) -> Publish {
    Publish {
        relation: relation.clone(),
        content,
        how,
        comment: None,
        column_comments: BTreeMap::new(),
        not_null: vec![],
        properties: BTreeMap::new(),
        physical: Physical::default(),
    }
}
