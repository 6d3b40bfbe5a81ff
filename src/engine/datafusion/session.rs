//! Statements one after another: queries, definitions, changes, variables, the current schema, transactions.

use std::{ops::Range, sync::Arc};

use ::datafusion::arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use async_trait::async_trait;
use sqlparser::ast::{
    self, Set, Spanned, Statement,
    helpers::key_value_options::{KeyValueOption, KeyValueOptionKind},
};

use super::{
    Inner,
    catalog::table_of,
    definition::{relation_of, schema_of},
    fault,
    history::{History, unique_names},
    object::{EXECUTED, database_of},
    planner::{Scope, parts_of},
};
use crate::{
    dialect::{
        self, SqlError,
        command::{self, ColumnType, Command, Kind, TableChange},
        literal, parse,
    },
    engine::{EngineError, Outcome, Session},
    lake::Transaction,
    names::{Identifier, RelationName, SchemaName},
};

pub(super) struct LocalSession {
    engine: Arc<Inner>,
    scope: Scope,
    transaction: Option<Transaction>,
}

impl LocalSession {
    pub(super) fn new(engine: Arc<Inner>) -> Self {
        let engine = Arc::new(engine.for_session());
        let scope = Scope::of_session(engine.default_schema.clone(), &engine.lake);
        Self { engine, scope, transaction: None }
    }

    /// What the statement can ask about itself and those before it.
    fn begin(&self, sql: &str) {
        let schema = self.scope.schema.clone();
        self.engine.facts.change(|m| {
            let now = chrono::Utc::now().timestamp_micros();
            match (&self.transaction, &m.transaction) {
                (Some(_), None) => m.transaction = Some(now.to_string()),
                (None, Some(_)) => m.last_transaction = m.transaction.take(),
                _ => {}
            }
            m.now = Some(now);
            m.schema = Some(schema);
            m.statement = Some(sql.trim().to_owned());
        });
    }

    fn end(&self) {
        if let Some(id) = self.scope.history.id(-1) {
            self.engine.facts.change(|m| m.queries.push(id));
        }
    }

    /// SET name = value, or (names) = (values): all values are of before the statement.
    async fn assign(&mut self, sql: &str, names: Vec<String>, values: &[ast::Expr]) -> Result<Outcome, EngineError> {
        if names.len() != values.len() {
            return Err(EngineError::new("sql/arguments", format!("SET has {} variables and {} values", names.len(), values.len())));
        }
        let mut literals = vec![];
        for value in values {
            literals.push(self.value(sql, value).await?);
        }
        self.scope.lowering.variables.extend(names.into_iter().map(|n| n.to_uppercase()).zip(literals));
        status(EXECUTED.into())
    }

    fn unset(&mut self, names: &[String]) -> Result<Outcome, EngineError> {
        for name in names {
            self.scope.lowering.variables.remove(&name.to_uppercase());
        }
        status(EXECUTED.into())
    }

    /// TIMESTAMP without a word on time zones is what the session maps it to.
    fn map_type(&self, of: &mut ColumnType) {
        if of.unspecific {
            of.data_type = self.engine.settings().timestamp;
        }
    }

    /// ALTER SESSION SET or UNSET.
    fn alter(&mut self, set: bool, parameters: &[KeyValueOption]) -> Result<Outcome, EngineError> {
        let mut settings = self.engine.settings().clone();
        for parameter in parameters {
            let name = &parameter.option_name;
            if !set {
                settings.reset(name).map_err(fault::sql)?;
                continue;
            }
            let KeyValueOptionKind::Single(value) = &parameter.option_value else {
                return Err(EngineError::new("sql/parameter", format!("the parameter {name} takes one value")));
            };
            let text = match &value.value {
                ast::Value::SingleQuotedString(s) | ast::Value::DoubleQuotedString(s) | ast::Value::Number(s, _) => s.clone(),
                other => other.to_string(),
            };
            settings.assign(name, &text).map_err(fault::sql)?;
        }
        self.engine = Arc::new(self.engine.with_settings(settings));
        status(EXECUTED.into())
    }

    async fn run(&mut self, sql: &str) -> Result<Outcome, EngineError> {
        if let Some(names) = unset_names(sql) {
            return self.unset(&names);
        }
        if let Some(statements) = dialect::flow::statements(sql) {
            return self.chain(statements).await;
        }
        if dialect::script::is_block(sql) {
            let block = dialect::script::parse_block(sql).map_err(fault::sql)?;
            return super::script::run(self, &block).await;
        }
        let variables = self.scope.lowering.variables.clone();
        let variable = |name: &str| match variables.get(name) {
            Some(ast::Expr::Value(v)) => v.value.clone().into_string(),
            _ => None,
        };
        let command = command::parse_command(sql, &variable).map_err(fault::sql)?;
        let engine = self.engine.clone();
        let scope = self.scope.clone();
        if changes_definitions(&command) {
            // a definition commits what was open before, as in Snowflake
            self.commit().await?;
        }
        let mut command = command;
        match &mut command {
            Command::CreateTable(new) => new.columns.iter_mut().filter_map(|c| c.data_type.as_mut()).for_each(|t| self.map_type(t)),
            Command::AlterTable { change: TableChange::Add(columns, _), .. } => {
                columns.iter_mut().filter_map(|(c, _)| c.data_type.as_mut()).for_each(|t| self.map_type(t));
            }
            _ => {}
        }
        match command {
            Command::Sql(statement) => self.run_sql(sql, *statement).await,
            Command::Execute(text) => {
                let text = match self.value(sql, &text).await? {
                    ast::Expr::Value(v) => v.value.into_string().unwrap_or_default(),
                    _ => String::new(),
                };
                self.run_text(text).await
            }
            Command::InsertAll(mut insert) => {
                literal::printable(insert.query.as_mut());
                for branch in &mut insert.branches {
                    literal::printable(&mut branch.condition);
                    branch.targets.iter_mut().for_each(|(_, _, values)| literal::printable(values));
                }
                for (name, ..) in insert.branches.iter().flat_map(|b| &b.targets) {
                    self.shadow(&relation_of(name, &scope.schema)?).await?;
                }
                let counts = engine.insert_all(*insert, &scope).await?;
                let named: Vec<(String, u64)> =
                    counts.into_iter().map(|(table, n)| (format!("number of rows inserted into {table}"), n)).collect();
                affected(&named.iter().map(|(name, n)| (name.as_str(), *n)).collect::<Vec<_>>())
            }
            Command::CreateTable(new) => engine.create_table(sql, *new, &scope).await.and_then(status),
            Command::CreateView(new) => engine.create_view(sql, *new, &scope).await.and_then(status),
            Command::CreateFolder { kind, name, existing, transient, comment, clone } => {
                let done = engine.create_folder(kind, &name, existing, transient, comment, clone, &scope).await?;
                // what is created is used from then on (Snowflake documentation, "CREATE SCHEMA", "CREATE DATABASE")
                self.enter(Some(kind), &name)?;
                status(done)
            }
            Command::CreateSequence(new) => engine.create_sequence(*new, &scope).await.and_then(status),
            Command::CreateFunction(new) => engine.create_function(*new, &scope).await.and_then(status),
            Command::AlterTable { name, if_exists, change } => engine.alter_table(&name, if_exists, change, &scope).await.and_then(status),
            Command::AlterView { name, if_exists, change } => engine.alter_view(&name, if_exists, change, &scope).await.and_then(status),
            Command::AlterFolder { kind, name, if_exists, change } => {
                engine.alter_folder(kind, &name, if_exists, change, &scope).await.and_then(status)
            }
            Command::AlterSequence { name, if_exists, change } => {
                engine.alter_sequence(&name, if_exists, change, &scope).await.and_then(status)
            }
            Command::AlterFunction { name, arguments, if_exists, change } => {
                engine.alter_function(&name, &arguments, if_exists, change, &scope).await.and_then(status)
            }
            Command::Drop { kind, name, if_exists, arguments } => {
                engine.drop_object(kind, &name, if_exists, &arguments, &scope).await.and_then(status)
            }
            Command::Undrop { kind, name } => engine.undrop(kind, &name, &scope).await.and_then(status),
            Command::Comment { kind, name, arguments, if_exists, text } => {
                engine.comment(kind, &name, &arguments, if_exists, text, &scope).await.and_then(status)
            }
            Command::Describe { kind, name, arguments } => engine.describe(kind, &name, &arguments, &scope).await,
            Command::Show(show) => engine.show(&show, &scope).await,
            Command::Truncate { name, if_exists } => {
                let relation = relation_of(&name, &scope.schema)?;
                if !if_exists || engine.exists(&relation).await? {
                    self.shadow(&relation).await?;
                    engine.truncate(&relation).await?;
                }
                status(EXECUTED.into())
            }
            Command::Use { kind, name } => {
                self.known(kind, &name)?;
                self.enter(kind, &name)?;
                status(EXECUTED.into())
            }
            Command::UseNothing { kind, name } => {
                self.engine.facts.change(|m| match kind {
                    "ROLE" => m.role = Some(name),
                    "WAREHOUSE" => m.warehouse = Some(name),
                    _ => m.secondary_roles = Some(name),
                });
                status(EXECUTED.into())
            }
            Command::Begin => {
                if self.transaction.is_none() {
                    self.transaction = Some(engine.lake.begin());
                }
                status(EXECUTED.into())
            }
            Command::Commit => {
                self.commit().await?;
                status(EXECUTED.into())
            }
            Command::Rollback => {
                if let Some(transaction) = self.transaction.take() {
                    engine.lake.roll_back(transaction);
                }
                status(EXECUTED.into())
            }
        }
    }

    /// Statements joined by `->>`; the last one's result is the answer.
    async fn chain(&mut self, statements: Vec<String>) -> Result<Outcome, EngineError> {
        let mut last: Option<(String, Outcome)> = None;
        for text in statements {
            if let Some((text, outcome)) = &last {
                History::record(&self.scope, text, Some(outcome));
            }
            let outcome = self.run_text(text.clone()).await.map(unique_names)?;
            last = Some((text, outcome));
        }
        last.map(|(_, outcome)| outcome).ok_or_else(|| EngineError::new("sql/empty", "there is no statement"))
    }

    /// A statement that a statement gives. Places within its text mean nothing in what was written.
    pub(super) fn run_text(&mut self, text: String) -> futures::future::BoxFuture<'_, Result<Outcome, EngineError>> {
        Box::pin(async move {
            let noted = |e| EngineError { at: None, notes: vec![format!("in the statement `{}`", text.trim())], ..e };
            self.run(&text).await.map_err(noted)
        })
    }

    async fn run_sql(&mut self, sql: &str, mut statement: Statement) -> Result<Outcome, EngineError> {
        let engine = self.engine.clone();
        if matches!(statement, Statement::Update(_) | Statement::Delete(_) | Statement::Merge(_)) {
            // their parts become queries by their texts
            literal::printable(&mut statement);
        }
        match statement {
            Statement::Query(query) => {
                let plan = engine.plan_parsed(sql, *query, &self.scope).await?;
                let (schema, batches) = engine.rows(sql, plan).await?;
                let (schema, batches) = shown_in(engine.settings().timezone.name(), schema, batches)?;
                Ok(Outcome { schema, batches, is_query: true, rows_affected: None })
            }
            Statement::Insert(insert) => {
                if let ast::TableObject::TableName(name) = &insert.table {
                    self.shadow(&relation_of(name, &self.scope.schema)?).await?;
                }
                engine.insert(sql, insert, &self.scope).await.and_then(|n| affected(&[("number of rows inserted", n)]))
            }
            Statement::Update(update) => {
                self.shadow_factor(&update.table.relation).await?;
                engine
                    .update(sql, update, &self.scope)
                    .await
                    .and_then(|n| affected(&[("number of rows updated", n), ("number of multi-joined rows updated", 0)]))
            }
            Statement::Delete(delete) => {
                let (ast::FromTable::WithFromKeyword(from) | ast::FromTable::WithoutKeyword(from)) = &delete.from;
                for target in from {
                    self.shadow_factor(&target.relation).await?;
                }
                engine.delete(sql, delete, &self.scope).await.and_then(|n| affected(&[("number of rows deleted", n)]))
            }
            Statement::Merge(merge) => {
                self.shadow_factor(&merge.table).await?;
                let columns = engine.merge(sql, merge, &self.scope).await?;
                affected(&columns)
            }
            Statement::Set(Set::SingleAssignment { variable, values, .. }) => {
                self.assign(sql, vec![parts_of(&variable).join(".")], &values).await
            }
            Statement::Set(Set::ParenthesizedAssignments { variables, values }) => {
                let names = variables.iter().map(|v| parts_of(v).join(".")).collect();
                self.assign(sql, names, &values).await
            }
            Statement::AlterSession { set, session_params } => self.alter(set, &session_params.options),
            Statement::Explain { statement, .. } => self.explain(sql, *statement).await,
            other => {
                let words: Vec<String> = other.to_string().split_whitespace().take(2).map(str::to_uppercase).collect();
                let start = sql.len() - sql.trim_start().len();
                let first = sql[start..].find(char::is_whitespace).map_or(sql.len(), |n| start + n);
                let mut error = SqlError::unsupported(format!("{} statements", words.join(" "))).at(sql, other.span());
                error.at.get_or_insert(start..first);
                Err(fault::sql(error))
            }
        }
    }

    /// Before a change inside a transaction: the table's working copy.
    async fn shadow(&mut self, relation: &RelationName) -> Result<(), EngineError> {
        match &mut self.transaction {
            Some(transaction) => self.engine.lake.shadow(transaction, relation).await.map_err(fault::lake),
            None => Ok(()),
        }
    }

    async fn shadow_factor(&mut self, factor: &ast::TableFactor) -> Result<(), EngineError> {
        match factor {
            ast::TableFactor::Table { name, .. } => {
                let relation = relation_of(name, &self.scope.schema)?;
                self.shadow(&relation).await
            }
            _ => Ok(()),
        }
    }

    async fn commit(&mut self) -> Result<(), EngineError> {
        match self.transaction.take() {
            Some(transaction) => self.engine.lake.finish(transaction).await.map_err(fault::lake),
            None => Ok(()),
        }
    }

    /// A database or schema that USE names exists.
    fn known(&self, kind: Option<Kind>, name: &ast::ObjectName) -> Result<(), EngineError> {
        let lake = &self.engine.lake;
        let is_default = |d: &Identifier| self.engine.default_schema.database == *d;
        let database = |d: &Identifier| {
            if lake.database_exists(d) || is_default(d) { Ok(()) } else { Err(super::object::missing("database", d)) }
        };
        if kind == Some(Kind::Database) || (kind.is_none() && parts_of(name).len() == 1 && lake.database_exists(&database_of(name)?)) {
            return database(&database_of(name)?);
        }
        let schema = schema_of(name, &self.scope.schema)?;
        if kind.is_none() && parts_of(name).len() == 1 && !lake.schema_exists(&schema) {
            return database(&database_of(name)?);
        }
        self.engine.known_schema(&schema)
    }

    fn enter(&mut self, kind: Option<Kind>, name: &ast::ObjectName) -> Result<(), EngineError> {
        let current = &self.scope.schema;
        let public = |database: Identifier| SchemaName::new(database, Identifier::exact("PUBLIC"));
        self.scope.schema = match (kind, parts_of(name).len()) {
            (Some(Kind::Database), _) => public(database_of(name)?),
            // a bare name is a database, or else a schema of the current one
            (None, 1) => {
                let database = database_of(name)?;
                let schema = schema_of(name, current)?;
                if !self.engine.lake.database_exists(&database) && self.engine.lake.schema_exists(&schema) {
                    schema
                } else {
                    public(database)
                }
            }
            _ => schema_of(name, current)?,
        };
        Ok(())
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

    /// The value of an expression as a literal, for SET.
    async fn value(&self, sql: &str, expr: &ast::Expr) -> Result<ast::Expr, EngineError> {
        let Statement::Query(mut query) = parse::parse_statement("select 1").map_err(fault::sql)? else {
            return Err(EngineError::new("sql/value", "an expression was expected"));
        };
        if let ast::SetExpr::Select(select) = query.body.as_mut() {
            select.projection = vec![ast::SelectItem::UnnamedExpr(expr.clone())];
        }
        let plan = self.engine.plan_parsed(sql, *query, &self.scope).await?;
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
        self.begin(sql);
        let outcome = self.run(sql).await.map(unique_names);
        History::record(&self.scope, sql, outcome.as_ref().ok());
        self.end();
        outcome
    }

    fn split(&self, script: &str) -> Vec<Range<usize>> {
        parse::split(script)
    }
}

/// Statements that commit an open transaction before they run.
fn changes_definitions(command: &Command) -> bool {
    !matches!(
        command,
        Command::Sql(_)
            | Command::InsertAll(_)
            | Command::Describe { .. }
            | Command::Show(_)
            | Command::Truncate { .. }
            | Command::Use { .. }
            | Command::UseNothing { .. }
            | Command::Begin
            | Command::Commit
            | Command::Rollback
    )
}

impl Drop for LocalSession {
    fn drop(&mut self) {
        if let Some(transaction) = self.transaction.take() {
            self.engine.lake.roll_back(transaction);
        }
    }
}

/// TIMESTAMP_LTZ columns in the session's zone, which tells how they are shown; the instants stay.
fn shown_in(zone: &str, schema: SchemaRef, batches: Vec<RecordBatch>) -> Result<(SchemaRef, Vec<RecordBatch>), EngineError> {
    use ::datafusion::arrow::{
        compute::cast,
        datatypes::{DataType, Field, Schema},
        record_batch::RecordBatchOptions,
    };
    let is_instant = |f: &Field| matches!(f.data_type(), DataType::Timestamp(_, Some(_)));
    if !schema.fields().iter().any(|f| is_instant(f)) {
        return Ok((schema, batches));
    }
    let zoned = |f: &Field| match f.data_type() {
        DataType::Timestamp(unit, Some(_)) => f.clone().with_data_type(DataType::Timestamp(*unit, Some(zone.into()))),
        _ => f.clone(),
    };
    let relabelled = |schema: &Schema| Arc::new(Schema::new(schema.fields().iter().map(|f| zoned(f)).collect::<Vec<_>>()));
    let fail = |e: ::datafusion::arrow::error::ArrowError| EngineError::new("engine/internal", e.to_string());
    let mut shown = vec![];
    for batch in batches {
        let schema = relabelled(&batch.schema());
        let columns = batch
            .columns()
            .iter()
            .zip(schema.fields())
            .map(|(column, field)| if is_instant(field) { cast(column, field.data_type()) } else { Ok(column.clone()) });
        let columns = columns.collect::<Result<Vec<_>, _>>().map_err(fail)?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        shown.push(RecordBatch::try_new_with_options(schema, columns, &options).map_err(fail)?);
    }
    Ok((relabelled(&schema), shown))
}

/// Names of `UNSET name` or `UNSET (a, b)`, which the parser does not know.
fn unset_names(sql: &str) -> Option<Vec<String>> {
    let rest = sql.trim().trim_end_matches(';');
    let head = rest.get(..5).filter(|h| h.eq_ignore_ascii_case("unset"))?;
    let rest = rest[head.len()..].strip_prefix(|c: char| c.is_whitespace() || c == '(')?.trim();
    let rest = rest.trim_start_matches('(').trim_end_matches(')');
    let names: Vec<String> = rest.split(',').map(|n| n.trim().to_owned()).collect();
    let is_name = |n: &String| !n.is_empty() && n.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '$');
    names.iter().all(is_name).then_some(names)
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
