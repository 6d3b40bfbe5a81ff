//! INSERT, UPDATE, DELETE and MERGE statements, each one commit.
//!
//! UPDATE ... FROM and DELETE ... USING are special cases of MERGE. The source of a MERGE is read once into memory,
//! so that every part of the statement sees the same rows.

use std::sync::Arc;

use ::datafusion::{
    arrow::datatypes::{Field, SchemaRef},
    common::Column,
    datasource::MemTable,
    logical_expr::{Expr, LogicalPlanBuilder},
};
use sqlparser::ast::{
    Assignment, AssignmentTarget, Delete, FromTable, Insert, Merge, MergeAction, MergeClauseKind, MergeInsertKind, TableFactor,
    TableObject, TableWithJoins, Update, UpdateTableFromKind,
};

use super::{
    Inner,
    change::{FILE_COLUMN, SOURCE, Staged, TARGET, quoted},
    definition::relation_of,
    fault,
    planner::Scope,
    publish::{commit_of, fitted_column, plain, rows_of},
};
use crate::{
    dialect::{SqlError, lower},
    engine::{Content, EngineError, How},
    lake::{Change, Commit, LakeTable, Removed, WrittenFile},
};

fn unsupported(what: impl std::fmt::Display) -> EngineError {
    fault::sql(SqlError::unsupported(what))
}

/// What happens to a matched row; texts are SQL over the target's and the source's aliases.
enum Matched {
    Update(Option<String>, Vec<(String, String)>),
    Delete(Option<String>),
}

/// `(predicate, (column, value) pairs)` of a WHEN NOT MATCHED clause.
type Insertion = (Option<String>, Vec<(String, String)>);

/// A statement reduced to MERGE.
struct MergePlan {
    table: LakeTable,
    /// As the statement's expressions call the target.
    alias: String,
    /// FROM text of the source, with its alias; `None`: no source, `on` is a condition on the target alone.
    source: Option<(String, String)>,
    on: String,
    matched: Vec<Matched>,
    inserts: Vec<Insertion>,
}

impl Inner {
    async fn commit_change(&self, table: &LakeTable, schema: SchemaRef, add: Vec<WrittenFile>, remove: Removed) -> Result<(), EngineError> {
        let publish = plain(table.relation(), How::Table, Content::Rows(vec![], schema.clone()));
        let change = if matches!(remove, Removed::None) { Change::Append } else { Change::Rewrite };
        let commit = Commit { add, remove, partition_by: table.partition_columns(), ..commit_of(&publish, change, schema) };
        self.lake.commit(Some(table), commit).await.map_err(fault::lake)?;
        Ok(())
    }

    pub(super) async fn insert(&self, sql: &str, insert: Insert, scope: &Scope) -> Result<u64, EngineError> {
        let TableObject::TableName(name) = &insert.table else { return Err(unsupported("INSERT into anything but a table")) };
        if insert.multi_table_insert_type.is_some() {
            return Err(unsupported("multi-table INSERT").help("write one INSERT per table"));
        }
        let relation = relation_of(name, &scope.schema)?;
        let table = self.existing_table(&relation).await?;
        let schema = table.schema().map_err(fault::lake)?;
        let columns: Vec<String> = if insert.columns.is_empty() {
            schema.fields().iter().map(|f| f.name().clone()).collect()
        } else {
            insert.columns.iter().map(|c| super::planner::parts_of(c).pop().unwrap_or_default()).collect()
        };
        for column in &columns {
            if schema.field_with_name(column).is_err() {
                return Err(EngineError::new("sql/unknown-column", format!("`{relation}` has no column `{column}`")));
            }
        }
        let Some(query) = insert.source else { return Err(unsupported("INSERT without rows")) };
        let plan = self.plan_parsed(sql, *query, scope).await?;
        let given = plan.schema().clone();
        if given.fields().len() != columns.len() {
            return Err(EngineError::new(
                "sql/column-count",
                format!("{} columns are to be inserted, the rows have {}", columns.len(), given.fields().len()),
            ));
        }
        let exprs: Vec<Expr> = schema
            .fields()
            .iter()
            .map(|wanted| {
                let at = columns.iter().position(|c| c == wanted.name());
                let found = at
                    .and_then(|i| given.iter().nth(i))
                    .map(|(q, f)| (Expr::Column(Column::new(q.cloned(), f.name())), f.as_ref() as &Field));
                fitted_column(found, wanted)
            })
            .collect();
        let plan = LogicalPlanBuilder::from(plan).project(exprs).and_then(LogicalPlanBuilder::build).map_err(|e| fault::plan(sql, &e))?;
        let store = self.lake.table_store(&relation).map_err(fault::lake)?;
        let files = self.write_plan(sql, plan, store, schema.clone(), &table.partition_columns()).await?;
        let rows = rows_of(&files);
        let remove = if insert.overwrite { Removed::All } else { Removed::None };
        self.commit_change(&table, schema, files, remove).await?;
        Ok(rows)
    }

    pub(super) async fn update(&self, _sql: &str, update: Update, scope: &Scope) -> Result<u64, EngineError> {
        let (table, alias) = self.target(&update.table, scope).await?;
        let sets = assignments(&update.assignments)?;
        let on = update.selection.as_ref().map_or_else(|| "true".to_owned(), ToString::to_string);
        let source = match update.from {
            None => None,
            Some(UpdateTableFromKind::BeforeSet(from) | UpdateTableFromKind::AfterSet(from)) => Some(whole_source(&from)?),
        };
        let plan = MergePlan { table, alias, source, on, matched: vec![Matched::Update(None, sets)], inserts: vec![] };
        self.run_merge(plan, scope).await.map(|(_, updated, _)| updated)
    }

    pub(super) async fn delete(&self, _sql: &str, delete: Delete, scope: &Scope) -> Result<u64, EngineError> {
        let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
        let [target] = from.as_slice() else { return Err(unsupported("DELETE from several tables")) };
        let (table, alias) = self.target(target, scope).await?;
        let on = delete.selection.as_ref().map_or_else(|| "true".to_owned(), ToString::to_string);
        let source = delete.using.as_deref().map(whole_source).transpose()?;
        let plan = MergePlan { table, alias, source, on, matched: vec![Matched::Delete(None)], inserts: vec![] };
        self.run_merge(plan, scope).await.map(|(_, _, deleted)| deleted)
    }

    /// Rows inserted, updated, deleted.
    pub(super) async fn merge(&self, _sql: &str, merge: Merge, scope: &Scope) -> Result<(u64, u64, u64), EngineError> {
        let target = TableWithJoins { relation: merge.table.clone(), joins: vec![] };
        let (table, alias) = self.target(&target, scope).await?;
        let schema = table.schema().map_err(fault::lake)?;
        let source_alias = alias_of(&merge.source).ok_or_else(|| EngineError::new("sql/alias", "the source of MERGE needs an alias"))?;
        let (mut matched, mut inserts) = (vec![], vec![]);
        for clause in &merge.clauses {
            let predicate = clause.predicate.as_ref().map(ToString::to_string);
            match (&clause.clause_kind, &clause.action) {
                (MergeClauseKind::Matched, MergeAction::Update(update)) => {
                    matched.push(Matched::Update(predicate, assignments(&update.assignments)?))
                }
                (MergeClauseKind::Matched, MergeAction::Delete { .. }) => matched.push(Matched::Delete(predicate)),
                (MergeClauseKind::NotMatched | MergeClauseKind::NotMatchedByTarget, MergeAction::Insert(insert)) => {
                    let MergeInsertKind::Values(values) = &insert.kind else { return Err(unsupported("INSERT ROW")) };
                    let [row] = values.rows.as_slice() else { return Err(unsupported("several rows of values in MERGE")) };
                    let columns: Vec<String> = if insert.columns.is_empty() {
                        schema.fields().iter().map(|f| f.name().clone()).collect()
                    } else {
                        insert.columns.iter().map(|c| super::planner::parts_of(c).pop().unwrap_or_default()).collect()
                    };
                    if columns.len() != row.content.len() {
                        return Err(EngineError::new(
                            "sql/column-count",
                            format!("{} columns are to be inserted, {} values are given", columns.len(), row.content.len()),
                        ));
                    }
                    inserts.push((predicate, columns.into_iter().zip(row.content.iter().map(ToString::to_string)).collect()));
                }
                (kind, _) => return Err(unsupported(format!("WHEN {kind} with this action"))),
            }
        }
        let plan =
            MergePlan { table, alias, source: Some((merge.source.to_string(), source_alias)), on: merge.on.to_string(), matched, inserts };
        self.run_merge(plan, scope).await
    }

    async fn target(&self, target: &TableWithJoins, scope: &Scope) -> Result<(LakeTable, String), EngineError> {
        if !target.joins.is_empty() {
            return Err(unsupported("joins in the target of a change"));
        }
        let TableFactor::Table { name, alias, .. } = &target.relation else { return Err(unsupported("a change of anything but a table")) };
        let relation = relation_of(name, &scope.schema)?;
        let alias = alias.as_ref().map_or_else(|| relation.name.as_str().to_owned(), |a| lower::stored(&a.name));
        Ok((self.existing_table(&relation).await?, alias))
    }

    async fn run_merge(&self, plan: MergePlan, scope: &Scope) -> Result<(u64, u64, u64), EngineError> {
        let schema = plan.table.schema().map_err(fault::lake)?;
        let staged = Staged { table: &plan.table, files: vec![], schema: &schema };
        let mut local = scope.clone();
        local.local.extend(self.change_scope(&staged).await?.local);
        let target = format!("{TARGET} as {}", quoted(&plan.alias));
        let file = format!("{}.{FILE_COLUMN}", quoted(&plan.alias));

        // the source once, under the alias that the statement uses
        let source = match &plan.source {
            None => None,
            Some((from, alias)) => {
                let sql = format!("select * from {from}");
                let rows = self.plan_query(&sql, scope).await?;
                let (source_schema, batches) = self.rows(&sql, rows).await?;
                let batches_schema = batches.first().map_or_else(|| source_schema.clone(), |b| b.schema());
                let table = MemTable::try_new(batches_schema, vec![batches]).map_err(|e| fault::plan(&sql, &e))?;
                local.local.insert(SOURCE.into(), Arc::new(table));
                Some(format!("{SOURCE} as {}", quoted(alias)))
            }
        };
        let on = &plan.on;
        let hit = match &source {
            Some(s) => format!("exists (select 1 from {s} where {on})"),
            None => format!("coalesce(({on}), false)"),
        };

        // which clause a matched row takes: the first whose predicate holds
        let mut clause = String::from("case");
        for (i, m) in plan.matched.iter().enumerate() {
            let (Matched::Update(p, _) | Matched::Delete(p)) = m;
            clause.push_str(&format!(" when {} then {i}", p.as_deref().unwrap_or("true")));
        }
        clause.push_str(" else -1 end");
        let joined = match &source {
            Some(s) => format!("{target} join {s} on {on}"),
            None => format!("{target} where {hit}"),
        };
        let (mut updated, mut deleted, mut add, mut remove) = (0, 0, vec![], Removed::None);
        if !plan.matched.is_empty() {
            let sql = format!("select distinct {file} from {joined}");
            let touched = self.column_text(&sql, &local).await?;
            if !touched.is_empty() {
                let files = format!(
                    "{file} in ({})",
                    touched.iter().map(|f| format!("'{}'", f.replace('\\', "\\\\").replace('\'', "''"))).collect::<Vec<_>>().join(", ")
                );
                // rows of the touched files, numbered, with the clause that each match takes
                let columns: Vec<String> =
                    schema.fields().iter().map(|f| format!("{}.{}", quoted(&plan.alias), quoted(f.name()))).collect();
                let numbered = format!(
                    "(select {}, {file}, row_number() over (order by {file}) as __SEGUE_ROW from {target} where {files}) as {}",
                    columns.join(", "),
                    quoted(&plan.alias)
                );
                let matches = match &source {
                    Some(s) => format!("{numbered} join {s} on {on}"),
                    None => format!("{numbered} where {hit}"),
                };
                let row = format!("{}.__SEGUE_ROW", quoted(&plan.alias));
                let ambiguous = self.count(&format!("select count(*) from (select {row} as r, {clause} as c from {matches}) x where c >= 0 group by r having count(*) > 1 limit 1"), &local).await?;
                if ambiguous > 0 {
                    return Err(EngineError::new("sql/duplicate-match", "a row of the target matches more than one row of the source")
                        .help("make the source unique in the columns of the condition"));
                }
                for (i, m) in plan.matched.iter().enumerate() {
                    let n = self
                        .count(&format!("select count(*) from (select {clause} as c from {matches}) x where c = {i}"), &local)
                        .await?
                        .max(0) as u64;
                    match m {
                        Matched::Update(..) => updated += n,
                        Matched::Delete(_) => deleted += n,
                    }
                }
                let values: Vec<String> = schema
                    .fields()
                    .iter()
                    .map(|f| {
                        let old = format!("{}.{}", quoted(&plan.alias), quoted(f.name()));
                        let mut value = String::from("case");
                        let mut any = false;
                        for (i, m) in plan.matched.iter().enumerate() {
                            if let Matched::Update(_, sets) = m
                                && let Some((_, new)) = sets.iter().find(|(c, _)| c == f.name())
                            {
                                let target_type = crate::dialect::types::Type::of(f);
                                value.push_str(&format!(" when {clause} = {i} then ({new})::{target_type}"));
                                any = true;
                            }
                        }
                        let value = if any { format!("{value} else {old} end") } else { old };
                        format!("{value} as {}", quoted(f.name()))
                    })
                    .collect();
                for m in &plan.matched {
                    if let Matched::Update(_, sets) = m {
                        for (column, _) in sets {
                            if schema.field_with_name(column).is_err() {
                                return Err(EngineError::new(
                                    "sql/unknown-column",
                                    format!("`{}` has no column `{column}`", plan.table.relation()),
                                ));
                            }
                        }
                    }
                }
                let deletes: Vec<String> =
                    plan.matched.iter().enumerate().filter(|(_, m)| matches!(m, Matched::Delete(_))).map(|(i, _)| i.to_string()).collect();
                let keep = if deletes.is_empty() { "true".to_owned() } else { format!("{clause} not in ({})", deletes.join(", ")) };
                let changed = match &source {
                    Some(s) => format!("select {} from {numbered} join {s} on {on} where {keep}", values.join(", ")),
                    None => format!("select {} from {numbered} where {hit} and {keep}", values.join(", ")),
                };
                let untouched = format!("select {} from {target} where {files} and not {hit}", columns.join(", "));
                add.extend(self.rewrite(&changed, &local, &staged).await?);
                add.extend(self.rewrite(&untouched, &local, &staged).await?);
                remove = Removed::Files(touched);
            }
        }
        let mut inserted = 0;
        if let (Some(s), false) = (&source, plan.inserts.is_empty()) {
            let mut earlier: Vec<String> = vec![];
            for (predicate, values) in &plan.inserts {
                let list: Vec<String> = values.iter().map(|(c, v)| format!("{v} as {}", quoted(c))).collect();
                let mut wanted = predicate.as_ref().map_or_else(|| "true".to_owned(), |p| format!("coalesce(({p}), false)"));
                for e in &earlier {
                    wanted.push_str(&format!(" and not {e}"));
                }
                let sql = format!("select {} from {s} where not exists (select 1 from {target} where {on}) and {wanted}", list.join(", "));
                let files = self.rewrite(&sql, &local, &staged).await?;
                inserted += rows_of(&files);
                add.extend(files);
                earlier.push(predicate.as_ref().map_or_else(|| "true".to_owned(), |p| format!("coalesce(({p}), false)")));
            }
        }
        if inserted + updated + deleted > 0 {
            self.commit_change(&plan.table, schema.clone(), add, remove).await?;
        }
        Ok((inserted, updated, deleted))
    }

    async fn column_text(&self, sql: &str, scope: &Scope) -> Result<Vec<String>, EngineError> {
        use ::datafusion::arrow::{array::AsArray, compute::cast, datatypes::DataType};
        let plan = self.plan_query(sql, scope).await.map_err(|e| EngineError { at: None, ..e })?;
        let (_, batches) = self.rows(sql, plan).await.map_err(|e| EngineError { at: None, ..e })?;
        let mut values = vec![];
        for batch in batches {
            let column = cast(batch.column(0), &DataType::Utf8).map_err(|e| EngineError::new("engine/internal", e.to_string()))?;
            values.extend(column.as_string::<i32>().iter().flatten().map(str::to_owned));
        }
        Ok(values)
    }
}

fn assignments(assignments: &[Assignment]) -> Result<Vec<(String, String)>, EngineError> {
    assignments
        .iter()
        .map(|a| match &a.target {
            AssignmentTarget::ColumnName(name) => Ok((super::planner::parts_of(name).pop().unwrap_or_default(), a.value.to_string())),
            AssignmentTarget::Tuple(_) => Err(unsupported("tuples in SET")),
        })
        .collect()
}

fn alias_of(factor: &TableFactor) -> Option<String> {
    match factor {
        TableFactor::Table { name, alias, .. } => {
            alias.as_ref().map(|a| lower::stored(&a.name)).or_else(|| super::planner::parts_of(name).pop())
        }
        TableFactor::Derived { alias: Some(alias), .. } => Some(lower::stored(&alias.name)),
        _ => None,
    }
}

/// The FROM text and alias of the one source relation.
fn whole_source(from: &[TableWithJoins]) -> Result<(String, String), EngineError> {
    match from {
        [one] if one.joins.is_empty() => match alias_of(&one.relation) {
            Some(alias) => Ok((one.to_string(), alias)),
            None => Err(EngineError::new("sql/alias", "the source of a change needs an alias")),
        },
        _ => Err(unsupported("several relations as the source of a change").help("join them in a subquery with an alias")),
    }
}
