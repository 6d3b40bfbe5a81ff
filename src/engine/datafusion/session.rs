//! Statements one after another: queries, definitions, changes, variables, the current schema.

use std::{ops::Range, sync::Arc};

use ::datafusion::arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use async_trait::async_trait;
use sqlparser::ast::{self, Set, Spanned, Statement};

use super::{
    Inner,
    catalog::table_of,
    definition::{relation_of, schema_of},
    fault,
    planner::{Scope, parts_of},
};
use crate::{
    dialect::{SqlError, parse},
    engine::{EngineError, Outcome, Session},
    names::{Identifier, SchemaName},
};

pub(super) struct LocalSession {
    engine: Arc<Inner>,
    scope: Scope,
}

impl LocalSession {
    pub(super) fn new(engine: Arc<Inner>) -> Self {
        let scope = Scope::new(engine.default_schema.clone());
        Self { engine, scope }
    }

    async fn run(&mut self, sql: &str) -> Result<Outcome, EngineError> {
        let statement = parse::parse_statement(sql).map_err(fault::sql)?;
        let engine = self.engine.clone();
        let schema = self.scope.schema.clone();
        match statement {
            Statement::Query(query) => {
                let plan = engine.plan_parsed(sql, *query, &self.scope).await?;
                let (schema, batches) = engine.rows(sql, plan).await?;
                Ok(Outcome { schema, batches, is_query: true, rows_affected: None })
            }
            Statement::Insert(insert) => engine.insert(sql, insert, &self.scope).await.and_then(|n| affected(&[("number of rows inserted", n)])),
            Statement::Update(update) => engine.update(sql, update, &self.scope).await.and_then(|n| affected(&[("number of rows updated", n)])),
            Statement::Delete(delete) => engine.delete(sql, delete, &self.scope).await.and_then(|n| affected(&[("number of rows deleted", n)])),
            Statement::Merge(merge) => engine.merge(sql, merge, &self.scope).await.and_then(|(i, u, d)| {
                affected(&[("number of rows inserted", i), ("number of rows updated", u), ("number of rows deleted", d)])
            }),
            Statement::CreateTable(create) => engine.create_table(create, &schema).await.and_then(status),
            Statement::CreateView(create) => engine.create_view(create, &schema).await.and_then(status),
            Statement::CreateSchema { schema_name, if_not_exists, .. } => {
                let name = match &schema_name {
                    ast::SchemaName::Simple(name) | ast::SchemaName::NamedAuthorization(name, _) => name.clone(),
                    ast::SchemaName::UnnamedAuthorization(_) => return Err(fault::sql(SqlError::unsupported("CREATE SCHEMA AUTHORIZATION"))),
                };
                let target = schema_of(&name, &schema)?;
                if engine.lake.schema_exists(&target) && !if_not_exists {
                    return Err(EngineError::new("sql/exists", format!("the schema `{target}` already exists")).help("use IF NOT EXISTS"));
                }
                engine.lake.create_schema(&target).map_err(fault::lake)?;
                status(format!("Schema {} successfully created.", target.schema.as_str()))
            }
            Statement::Drop { .. } => engine.drop_objects(statement, &schema).await.and_then(status),
            Statement::AlterTable(alter) => engine.alter_table(&alter.name, alter.if_exists, &alter.operations, &schema).await.and_then(status),
            Statement::Truncate(truncate) => {
                for target in &truncate.table_names {
                    engine.truncate(&relation_of(&target.name, &schema)?).await?;
                }
                status("Statement executed successfully.".into())
            }
            Statement::Use(target) => self.use_schema(target),
            Statement::Set(Set::SingleAssignment { variable, values, .. }) => match values.as_slice() {
                [value] => {
                    let name = parts_of(&variable).join(".");
                    let literal = self.value(sql, value).await?;
                    self.scope.lowering.variables.insert(name.to_uppercase(), literal);
                    status("Statement executed successfully.".into())
                }
                _ => Err(fault::sql(SqlError::unsupported("SET with several values"))),
            },
            Statement::AlterSession { .. } => status("Statement executed successfully.".into()),
            Statement::ShowTables { .. } => self.show("select table_name as \"name\", table_catalog as \"database_name\", table_schema as \"schema_name\", table_type as \"kind\", comment as \"comment\" from information_schema.tables order by 2, 3, 1").await,
            Statement::ShowViews { .. } => self.show("select table_name as \"name\", table_catalog as \"database_name\", table_schema as \"schema_name\", comment as \"comment\" from information_schema.views order by 2, 3, 1").await,
            Statement::ShowSchemas { .. } => self.show("select schema_name as \"name\", catalog_name as \"database_name\" from information_schema.schemata order by 2, 1").await,
            Statement::ExplainTable { table_name, .. } => self.describe(&table_name).await,
            Statement::Explain { statement, .. } => self.explain(sql, *statement).await,
            other => {
                let words: Vec<String> = other.to_string().split_whitespace().take(2).map(str::to_uppercase).collect();
                let span = other.span();
                Err(fault::sql(SqlError::unsupported(format!("{} statements", words.join(" "))).at(sql, span)))
            }
        }
    }

    async fn show(&mut self, query: &str) -> Result<Outcome, EngineError> {
        let plan = self.engine.plan_query(query, &self.scope).await?;
        let (schema, batches) = self.engine.rows(query, plan).await?;
        Ok(Outcome { schema, batches, is_query: true, rows_affected: None })
    }

    async fn describe(&self, name: &ast::ObjectName) -> Result<Outcome, EngineError> {
        let relation = relation_of(name, &self.scope.schema)?;
        let Some(columns) = self.engine.listed(&relation).await? else {
            return Err(EngineError::new("sql/unknown-table", format!("there is no table or view `{relation}`")));
        };
        let rows: Vec<Vec<Option<String>>> = columns
            .into_iter()
            .map(|c| {
                let shown = c.shown_type();
                vec![Some(c.name), Some(shown), Some("COLUMN".into()), Some("Y".into()), c.comment]
            })
            .collect();
        let (schema, batch) = table_of(&[("name", false), ("type", false), ("kind", false), ("null?", false), ("comment", false)], &rows)?;
        Ok(query_outcome(schema, batch))
    }

    async fn explain(&self, sql: &str, statement: Statement) -> Result<Outcome, EngineError> {
        let Statement::Query(query) = statement else {
            return Err(fault::sql(SqlError::unsupported("EXPLAIN of anything but a query")));
        };
        let plan = self.engine.plan_parsed(sql, *query, &self.scope).await?;
        let plan = self.engine.state.optimize(&plan).map_err(|e| fault::plan(sql, &e))?;
        let rows: Vec<Vec<Option<String>>> = plan.display_indent().to_string().lines().map(|l| vec![Some(l.to_owned())]).collect();
        let (schema, batch) = table_of(&[("plan", false)], &rows)?;
        Ok(query_outcome(schema, batch))
    }

    fn use_schema(&mut self, target: ast::Use) -> Result<Outcome, EngineError> {
        let current = &self.scope.schema;
        let next = match &target {
            ast::Use::Schema(name) => schema_of(name, current)?,
            ast::Use::Database(name) => {
                let parts = parts_of(name);
                SchemaName::new(Identifier::exact(parts.last().cloned().unwrap_or_default()), Identifier::exact("PUBLIC"))
            }
            ast::Use::Object(name) => match parts_of(name).as_slice() {
                [_, _] => schema_of(name, current)?,
                parts => SchemaName::new(Identifier::exact(parts.last().cloned().unwrap_or_default()), Identifier::exact("PUBLIC")),
            },
            // the local engine has no warehouses or roles; nothing depends on them
            ast::Use::Warehouse(_) | ast::Use::Role(_) | ast::Use::SecondaryRoles(_) => current.clone(),
            other => return Err(fault::sql(SqlError::unsupported(other))),
        };
        self.scope.schema = next;
        status("Statement executed successfully.".into())
    }

    /// The value of an expression as a literal, for SET.
    async fn value(&self, sql: &str, expr: &ast::Expr) -> Result<ast::Expr, EngineError> {
        let query = format!("select {expr}");
        let plan = self.engine.plan_query(&query, &self.scope).await.map_err(|e| EngineError { at: None, ..e })?;
        let (schema, batches) = self.engine.rows(sql, plan).await?;
        let batch =
            batches.first().filter(|b| b.num_rows() == 1).ok_or_else(|| EngineError::new("sql/value", "SET needs exactly one value"))?;
        let of = crate::dialect::types::Type::of(schema.field(0));
        let text = crate::dialect::function::value::to_text(batch.column(0), of).map_err(|e| fault::plan(sql, &e))?;
        let literal = |v: ast::Value| ast::Expr::Value(v.with_empty_span());
        use ::datafusion::arrow::array::Array;
        Ok(if text.is_null(0) {
            literal(ast::Value::Null)
        } else if matches!(of, crate::dialect::types::Type::Number { .. } | crate::dialect::types::Type::Float) {
            literal(ast::Value::Number(text.value(0).to_owned(), false))
        } else {
            literal(ast::Value::SingleQuotedString(text.value(0).to_owned()))
        })
    }
}

#[async_trait]
impl Session for LocalSession {
    async fn execute(&mut self, sql: &str) -> Result<Outcome, EngineError> {
        self.run(sql).await
    }

    fn split(&self, script: &str) -> Vec<Range<usize>> {
        parse::split(script)
    }
}

fn query_outcome(schema: SchemaRef, batch: RecordBatch) -> Outcome {
    Outcome { schema, batches: vec![batch], is_query: true, rows_affected: None }
}

fn status(message: String) -> Result<Outcome, EngineError> {
    let (schema, batch) = table_of(&[("status", false)], &[vec![Some(message)]])?;
    Ok(Outcome { schema, batches: vec![batch], is_query: false, rows_affected: None })
}

fn affected(counts: &[(&str, u64)]) -> Result<Outcome, EngineError> {
    let columns: Vec<(&str, bool)> = counts.iter().map(|(name, _)| (*name, true)).collect();
    let (schema, batch) = table_of(&columns, &[counts.iter().map(|(_, n)| Some(n.to_string())).collect()])?;
    Ok(Outcome { schema, batches: vec![batch], is_query: false, rows_affected: Some(counts.iter().map(|(_, n)| n).sum()) })
}
