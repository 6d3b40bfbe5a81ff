//! INSERT, UPDATE, DELETE and MERGE statements, each one commit.
//!
//! UPDATE ... FROM and DELETE ... USING are special cases of MERGE. The source of a MERGE is read once into memory,
//! so that every part of the statement sees the same rows.

use std::{collections::BTreeMap, sync::Arc};

use ::datafusion::{
    arrow::datatypes::{Field, SchemaRef},
    common::Column,
    datasource::MemTable,
    logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder},
};
use sqlparser::ast::{
    self, Assignment, AssignmentTarget, Delete, FromTable, Insert, Merge, MergeAction, MergeClauseKind, MergeInsertKind, TableFactor,
    TableObject, TableWithJoins, Update, UpdateTableFromKind,
};

use super::{
    Inner,
    change::{FILE_COLUMN, SOURCE, Staged, TARGET, quoted},
    counter::Counters,
    definition::{position, relation_of},
    fault,
    planner::Scope,
    publish::{commit_of, fitted_column, plain, rows_of},
};
use crate::{
    dialect::{SqlError, command::InsertAll, lower, spelling},
    engine::{Content, EngineError, How},
    lake::{Change, ColumnRules, Commit, LakeTable, Removed, WrittenFile},
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
    /// `None`: no source, `on` is a condition on the target alone.
    source: Option<Source>,
    on: String,
    matched: Vec<Matched>,
    inserts: Vec<Insertion>,
    /// A target row that matches several source rows is an error (MERGE), or takes any one of them (UPDATE, DELETE).
    strict: bool,
}

/// Where the changing rows come from, as FROM text.
enum Source {
    /// One relation, read once.
    One { from: String, alias: String },
    /// Several, joined by the condition.
    Several(String),
}

/// Whether a column stands for all, matched by name.
fn is_all(name: &sqlparser::ast::ObjectName) -> bool {
    super::planner::parts_of(name).last().is_some_and(|n| n == spelling::ALL_BY_NAME)
}

/// Each column of the target with the source's value of that name.
fn by_name(schema: &SchemaRef, source: &str) -> Vec<(String, String)> {
    schema.fields().iter().map(|f| (f.name().clone(), format!("{}.{}", quoted(source), quoted(f.name())))).collect()
}

impl Inner {
    async fn commit_with(
        &self,
        table: &LakeTable,
        schema: SchemaRef,
        add: Vec<WrittenFile>,
        remove: Removed,
        properties: BTreeMap<String, String>,
    ) -> Result<(), EngineError> {
        let mut publish = plain(table.relation(), How::Table, Content::Rows(vec![], schema.clone()));
        publish.properties = properties;
        let change = if matches!(remove, Removed::None) { Change::Append } else { Change::Rewrite };
        let commit = Commit { add, remove, partition_by: table.partition_columns(), ..commit_of(&publish, change, schema) };
        self.lake.commit(Some(table), commit).await.map_err(fault::lake)?;
        Ok(())
    }

    pub(super) async fn insert(&self, sql: &str, insert: Insert, scope: &Scope) -> Result<u64, EngineError> {
        let TableObject::TableName(name) = &insert.table else { return Err(unsupported("INSERT into anything but a table")) };
        let relation = relation_of(name, &scope.schema)?;
        let table = self.existing_table(&relation).await?;
        let schema = table.schema().map_err(fault::lake)?;
        let columns: Vec<String> = insert.columns.iter().map(|c| super::planner::parts_of(c).pop().unwrap_or_default()).collect();
        let Some(mut query) = insert.source else { return Err(unsupported("INSERT without rows")) };
        fill_defaults(&mut query, &schema, &columns)?;
        let plan = self.plan_parsed(sql, *query, scope).await?;
        self.insert_plan(sql, &table, &columns, plan, insert.overwrite, scope).await
    }

    /// Rows of a plan into columns of a table (none named: all, in order), defaults for the others.
    pub(super) async fn insert_plan(
        &self,
        sql: &str,
        table: &LakeTable,
        columns: &[String],
        plan: LogicalPlan,
        overwrite: bool,
        scope: &Scope,
    ) -> Result<u64, EngineError> {
        let relation = table.relation();
        let schema = table.schema().map_err(fault::lake)?;
        let all: Vec<String>;
        let columns = if columns.is_empty() {
            all = schema.fields().iter().map(|f| f.name().clone()).collect();
            all.as_slice()
        } else {
            columns
        };
        for (i, column) in columns.iter().enumerate() {
            position(relation, schema.fields(), column)?;
            if columns[..i].contains(column) {
                return Err(EngineError::new("sql/duplicate-column", format!("the column `{column}` is named twice")));
            }
        }
        let given = plan.schema().clone();
        if given.fields().len() != columns.len() {
            return Err(EngineError::new(
                "sql/column-count",
                format!("{} columns are to be inserted, the rows have {}", columns.len(), given.fields().len()),
            ));
        }
        let counters = Counters::of(table, &schema);
        let plan = self.completed(sql, plan, columns, &schema, &counters, scope).await?;
        let store = self.lake.table_store(relation).map_err(fault::lake)?;
        let files = self.write_plan(sql, plan, store, schema.clone(), &table.partition_columns()).await?;
        let rows = rows_of(&files);
        let remove = if overwrite { Removed::All } else { Removed::None };
        self.commit_with(table, schema, files, remove, counters.properties()).await?;
        Ok(rows)
    }

    /// Rows of the named columns as rows of the table: types fitted, defaults and numbers for the other columns.
    async fn completed(
        &self,
        sql: &str,
        plan: LogicalPlan,
        columns: &[String],
        schema: &SchemaRef,
        counters: &Counters,
        scope: &Scope,
    ) -> Result<LogicalPlan, EngineError> {
        let given = plan.schema().clone();
        let mut exprs: Vec<Expr> = vec![];
        for wanted in schema.fields() {
            let at = columns.iter().position(|c| c == wanted.name());
            let found =
                at.and_then(|i| given.iter().nth(i)).map(|(q, f)| (Expr::Column(Column::new(q.cloned(), f.name())), f.as_ref() as &Field));
            let default = ColumnRules::of(wanted).default;
            exprs.push(match (found, default, counters.call(wanted.name())) {
                (Some(found), _, _) => fitted_column(Some(found), wanted),
                (None, Some(default), _) => self.default_value(&default, wanted, scope).await?,
                (None, None, Some(number)) => {
                    let field = Field::new("n", ::datafusion::arrow::datatypes::DataType::Int64, true);
                    fitted_column(Some((number, &field)), wanted)
                }
                (None, None, None) => fitted_column(None, wanted),
            });
        }
        LogicalPlanBuilder::from(plan).project(exprs).and_then(LogicalPlanBuilder::build).map_err(|e| fault::plan(sql, &e))
    }

    /// The value of a column's default as an expression of the column's type.
    pub(super) async fn default_value(&self, default: &str, field: &Field, scope: &Scope) -> Result<Expr, EngineError> {
        let sql = format!("select {default}");
        let place = |e: EngineError| EngineError {
            at: None,
            notes: vec![format!("in the default of the column `{}`: {default}", field.name())],
            ..e
        };
        let plan = self.plan_query(&sql, scope).await.map_err(place)?;
        let LogicalPlan::Projection(projection) = plan else {
            return Err(EngineError::new("sql/default", format!("`{default}` is not a default: a value was expected")));
        };
        let [expr] = projection.expr.as_slice() else {
            return Err(EngineError::new("sql/default", format!("`{default}` is not a default: one value was expected")));
        };
        let (_, of) = expr.to_field(projection.input.schema()).map_err(|e| place(fault::plan("", &e)))?;
        Ok(fitted_column(Some((expr.clone().unalias(), &of)), field))
    }

    /// Rows per table, in the order of the statement.
    pub(super) async fn insert_all(&self, insert: InsertAll, scope: &Scope) -> Result<Vec<(String, u64)>, EngineError> {
        const ROWS: &str = "__SEGUE_ROWS";
        let sql = insert.query.to_string();
        let plan = self.plan_query(&sql, scope).await?;
        let (schema, batches) = self.rows(&sql, plan).await?;
        let schema = batches.first().map_or(schema, |b| b.schema());
        let rows = MemTable::try_new(schema, vec![batches]).map_err(|e| fault::plan(&sql, &e))?;
        let mut local = scope.clone();
        local.local.insert(ROWS.into(), Arc::new(rows));
        let mut earlier: Vec<String> = vec![];
        let mut counts: Vec<(String, u64)> = vec![];
        for branch in &insert.branches {
            let own = branch.condition.as_ref().map(|c| format!("coalesce(({c}), false)"));
            let mut wanted = own.clone().unwrap_or_else(|| "true".into());
            if insert.first || branch.otherwise {
                earlier.iter().for_each(|e| wanted.push_str(&format!(" and not {e}")));
            }
            earlier.extend(own);
            for (name, columns, values) in &branch.targets {
                let relation = relation_of(name, &scope.schema)?;
                let table = self.existing_table(&relation).await?;
                let schema = table.schema().map_err(fault::lake)?;
                let columns: Vec<String> = columns.iter().map(lower::stored).collect();
                let list = match values {
                    None => "*".to_owned(),
                    Some(values) => {
                        let mut list = vec![];
                        for (i, value) in values.iter().enumerate() {
                            let text = match defaulted(value) {
                                true => default_text(&schema, &columns, i),
                                false => value.to_string(),
                            };
                            list.push(format!("{text} as __C{i}"));
                        }
                        list.join(", ")
                    }
                };
                let sql = format!("select {list} from {ROWS} where {wanted}");
                let plan = self.plan_query(&sql, &local).await.map_err(|e| EngineError { at: None, ..e })?;
                let seen = counts.iter().position(|(t, _)| t == relation.name.as_str());
                let n = self.insert_plan(&sql, &table, &columns, plan, insert.overwrite && seen.is_none(), &local).await?;
                match seen {
                    Some(at) => counts[at].1 += n,
                    None => counts.push((relation.name.as_str().to_owned(), n)),
                }
            }
        }
        Ok(counts)
    }

    pub(super) async fn update(&self, _sql: &str, update: Update, scope: &Scope) -> Result<u64, EngineError> {
        let (table, alias) = self.target(&update.table, scope).await?;
        let sets = assignments(&update.assignments, &table)?;
        let on = update.selection.as_ref().map_or_else(|| "true".to_owned(), ToString::to_string);
        let source = match update.from {
            None => None,
            Some(UpdateTableFromKind::BeforeSet(from) | UpdateTableFromKind::AfterSet(from)) => Some(source_of(&from)),
        };
        let plan = MergePlan { table, alias, source, on, matched: vec![Matched::Update(None, sets)], inserts: vec![], strict: false };
        self.run_merge(plan, scope).await.map(|(_, updated, _)| updated)
    }

    pub(super) async fn delete(&self, _sql: &str, delete: Delete, scope: &Scope) -> Result<u64, EngineError> {
        let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
        let [target] = from.as_slice() else { return Err(unsupported("DELETE from several tables")) };
        let (table, alias) = self.target(target, scope).await?;
        let on = delete.selection.as_ref().map_or_else(|| "true".to_owned(), ToString::to_string);
        let source = delete.using.as_deref().map(source_of);
        let plan = MergePlan { table, alias, source, on, matched: vec![Matched::Delete(None)], inserts: vec![], strict: false };
        self.run_merge(plan, scope).await.map(|(_, _, deleted)| deleted)
    }

    /// Counts of the kinds of clauses that the statement has, as Snowflake's status row names them.
    pub(super) async fn merge(&self, _sql: &str, merge: Merge, scope: &Scope) -> Result<Vec<(&'static str, u64)>, EngineError> {
        let target = TableWithJoins { relation: merge.table.clone(), joins: vec![] };
        let (table, alias) = self.target(&target, scope).await?;
        let schema = table.schema().map_err(fault::lake)?;
        let source_alias = alias_of(&merge.source).ok_or_else(|| EngineError::new("sql/alias", "the source of MERGE needs an alias"))?;
        let (mut matched, mut inserts) = (vec![], vec![]);
        for clause in &merge.clauses {
            let predicate = clause.predicate.as_ref().map(ToString::to_string);
            match (&clause.clause_kind, &clause.action) {
                (MergeClauseKind::Matched, MergeAction::Update(update)) if matches!(update.assignments.as_slice(), [Assignment { target: AssignmentTarget::ColumnName(n), .. }] if is_all(n)) => {
                    matched.push(Matched::Update(predicate, by_name(&schema, &source_alias)))
                }
                (MergeClauseKind::NotMatched | MergeClauseKind::NotMatchedByTarget, MergeAction::Insert(insert)) if matches!(insert.columns.as_slice(), [n] if is_all(n)) => {
                    inserts.push((predicate, by_name(&schema, &source_alias)))
                }
                (MergeClauseKind::Matched, MergeAction::Update(update)) => {
                    matched.push(Matched::Update(predicate, assignments(&update.assignments, &table)?))
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
                    let values = row.content.iter().enumerate().map(|(i, v)| match defaulted(v) {
                        true => default_text(&schema, &columns, i),
                        false => v.to_string(),
                    });
                    let values: Vec<String> = values.collect();
                    for column in &columns {
                        position(table.relation(), schema.fields(), column)?;
                    }
                    inserts.push((predicate, columns.into_iter().zip(values).collect()));
                }
                (kind, _) => return Err(unsupported(format!("WHEN {kind} with this action"))),
            }
        }
        let updates = matched.iter().any(|m| matches!(m, Matched::Update(..)));
        let deletes = matched.iter().any(|m| matches!(m, Matched::Delete(..)));
        let has_inserts = !inserts.is_empty();
        let source = Some(Source::One { from: merge.source.to_string(), alias: source_alias });
        let plan = MergePlan { table, alias, source, on: merge.on.to_string(), matched, inserts, strict: true };
        let (inserted, updated, deleted) = self.run_merge(plan, scope).await?;
        let mut counts = vec![];
        for (present, name, n) in [
            (has_inserts, "number of rows inserted", inserted),
            (updates, "number of rows updated", updated),
            (deletes, "number of rows deleted", deleted),
        ] {
            if present {
                counts.push((name, n));
            }
        }
        Ok(counts)
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
            Some(Source::Several(from)) => Some(from.clone()),
            Some(Source::One { from, alias }) => {
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
            Some(s) => format!("{target}, {s} where {on}"),
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
                    Some(s) => format!("{numbered}, {s} where ({on})"),
                    None => format!("{numbered} where {hit}"),
                };
                let row = format!("{}.__SEGUE_ROW", quoted(&plan.alias));
                let repeated = |which: &str| {
                    format!(
                        "select count(*) from (select {row} as r, {clause} as c from {matches}) x where {which} group by r having count(*) > 1 limit 1"
                    )
                };
                if plan.strict && self.count(&repeated("c >= 0"), &local).await? > 0 {
                    return Err(EngineError::new("sql/duplicate-match", "a row of the target matches more than one row of the source")
                        .help("make the source unique in the columns of the condition"));
                }
                // of several matches of a row one counts, rather one whose clause applies
                let matches = if source.is_some() && self.count(&repeated("true"), &local).await? > 0 {
                    format!("{matches} qualify row_number() over (partition by {row} order by ({clause}) desc) = 1")
                } else {
                    matches
                };
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
                let deletes: Vec<String> =
                    plan.matched.iter().enumerate().filter(|(_, m)| matches!(m, Matched::Delete(_))).map(|(i, _)| i.to_string()).collect();
                let keep = if deletes.is_empty() { "true".to_owned() } else { format!("{clause} not in ({})", deletes.join(", ")) };
                let changed = match &source {
                    Some(_) => format!(
                        "select * exclude (__SEGUE_KEEP) from (select {}, ({keep}) as __SEGUE_KEEP from {matches}) x where __SEGUE_KEEP",
                        values.join(", ")
                    ),
                    None => format!("select {} from {numbered} where {hit} and {keep}", values.join(", ")),
                };
                let untouched = format!("select {} from {target} where {files} and not {hit}", columns.join(", "));
                add.extend(self.rewrite(&changed, &local, &staged).await?);
                add.extend(self.rewrite(&untouched, &local, &staged).await?);
                remove = Removed::Files(touched);
            }
        }
        let mut inserted = 0;
        let counters = Counters::of(&plan.table, &schema);
        if let (Some(s), false) = (&source, plan.inserts.is_empty()) {
            let mut earlier: Vec<String> = vec![];
            for (predicate, values) in &plan.inserts {
                let list: Vec<String> = values.iter().map(|(c, v)| format!("{v} as {}", quoted(c))).collect();
                let mut wanted = predicate.as_ref().map_or_else(|| "true".to_owned(), |p| format!("coalesce(({p}), false)"));
                for e in &earlier {
                    wanted.push_str(&format!(" and not {e}"));
                }
                let sql = format!("select {} from {s} where not exists (select 1 from {target} where {on}) and {wanted}", list.join(", "));
                let query = self.plan_query(&sql, &local).await.map_err(|e| EngineError { at: None, ..e })?;
                let columns: Vec<String> = values.iter().map(|(c, _)| c.clone()).collect();
                let query = self.completed(&sql, query, &columns, &schema, &counters, scope).await?;
                let store = self.lake.table_store(plan.table.relation()).map_err(fault::lake)?;
                let files = self
                    .write_plan(&sql, query, store, schema.clone(), &plan.table.partition_columns())
                    .await
                    .map_err(|e| EngineError { at: None, ..e })?;
                inserted += rows_of(&files);
                add.extend(files);
                earlier.push(predicate.as_ref().map_or_else(|| "true".to_owned(), |p| format!("coalesce(({p}), false)")));
            }
        }
        if inserted + updated + deleted > 0 {
            self.commit_with(&plan.table, schema.clone(), add, remove, counters.properties()).await?;
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

fn assignments(assignments: &[Assignment], table: &LakeTable) -> Result<Vec<(String, String)>, EngineError> {
    let schema = table.schema().map_err(fault::lake)?;
    assignments
        .iter()
        .map(|a| match &a.target {
            AssignmentTarget::ColumnName(name) => {
                let column = super::planner::parts_of(name).pop().unwrap_or_default();
                position(table.relation(), schema.fields(), &column)?;
                let value = if defaulted(&a.value) { default_text(&schema, std::slice::from_ref(&column), 0) } else { a.value.to_string() };
                Ok((column, value))
            }
            AssignmentTarget::Tuple(_) => Err(unsupported("tuples in SET")),
        })
        .collect()
}

/// The word DEFAULT in the place of a value.
fn defaulted(value: &ast::Expr) -> bool {
    matches!(value, ast::Expr::Identifier(i) if i.quote_style.is_none() && i.value.eq_ignore_ascii_case("default"))
}

/// What DEFAULT stands for at a position of the named columns (none named: of all).
fn default_text(schema: &SchemaRef, columns: &[String], at: usize) -> String {
    let field = match columns.get(at) {
        Some(name) => schema.field_with_name(name).ok(),
        None if columns.is_empty() => schema.fields().get(at).map(AsRef::as_ref),
        None => None,
    };
    field.and_then(|f| ColumnRules::of(f).default).unwrap_or_else(|| "null".into())
}

/// DEFAULT in the rows of VALUES becomes the column's default.
fn fill_defaults(query: &mut ast::Query, schema: &SchemaRef, columns: &[String]) -> Result<(), EngineError> {
    let ast::SetExpr::Values(values) = query.body.as_mut() else { return Ok(()) };
    for row in &mut values.rows {
        for (i, value) in row.content.iter_mut().enumerate() {
            if defaulted(value) {
                *value = crate::dialect::parse::parse_expression(&default_text(schema, columns, i)).map_err(fault::sql)?;
            }
        }
    }
    Ok(())
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

/// The relations after FROM or USING.
fn source_of(from: &[TableWithJoins]) -> Source {
    if let [one] = from
        && one.joins.is_empty()
        && let Some(alias) = alias_of(&one.relation)
    {
        return Source::One { from: one.to_string(), alias };
    }
    Source::Several(from.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}
