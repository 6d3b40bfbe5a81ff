//! CREATE TABLE and CREATE VIEW; names of relations; what changes of definitions have in common.

use std::{collections::BTreeMap, sync::Arc};

use ::datafusion::{
    arrow::datatypes::{Field, Schema, SchemaRef},
    common::Column,
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder},
};
use sqlparser::ast::ObjectName;

use super::{
    Inner,
    execution::stored_schema,
    fault,
    object::{exists, kept},
    planner::{Scope, parts_of, resolve},
    publish::{commit_of, fitted_column, plain},
};
use crate::{
    dialect::{
        SqlError, collation,
        command::{Existing, NewColumn, NewConstraint, NewTable, NewView, Rows},
        lower,
    },
    engine::{Content, EngineError, How},
    lake::{Change, ColumnRules, Commit, Constraint, ConstraintKind, Identity, LakeTable, Removed, with_comment},
    names::{Identifier, RelationName, SchemaName, nearest},
};

pub(super) fn unsupported(what: impl std::fmt::Display) -> EngineError {
    fault::sql(SqlError::unsupported(what))
}

/// The full name of a relation in a statement.
pub(super) fn relation_of(name: &ObjectName, schema: &SchemaName) -> Result<RelationName, EngineError> {
    resolve(&parts_of(name), schema).ok_or_else(|| EngineError::new("sql/name", format!("`{name}` is not a name of a relation")))
}

pub(super) fn schema_of(name: &ObjectName, schema: &SchemaName) -> Result<SchemaName, EngineError> {
    match parts_of(name).as_slice() {
        [s] => Ok(SchemaName::new(schema.database.clone(), Identifier::exact(s.clone()))),
        [d, s] => Ok(SchemaName::new(Identifier::exact(d.clone()), Identifier::exact(s.clone()))),
        _ => Err(EngineError::new("sql/name", format!("`{name}` is not a name of a schema"))),
    }
}

pub(super) fn unknown_column<'a>(relation: &RelationName, column: &str, known: impl IntoIterator<Item = &'a str>) -> EngineError {
    let error = EngineError::new("sql/unknown-column", format!("`{relation}` has no column `{column}`"));
    match nearest(column, known) {
        Some(near) => error.help(format!("a column named `{near}` exists")),
        None => error,
    }
}

/// Where a column stands among the fields of a table.
pub(super) fn position(relation: &RelationName, fields: &[Arc<Field>], name: &str) -> Result<usize, EngineError> {
    fields.iter().position(|f| f.name() == name).ok_or_else(|| unknown_column(relation, name, fields.iter().map(|f| f.name().as_str())))
}

/// The stored field of a declared column; `None` without a type.
pub(super) fn field_of(column: &NewColumn) -> Option<Field> {
    let declared = column.data_type?;
    let field = declared.data_type.field(lower::stored(&column.name));
    let field = collation::tagged(field, column.collation.as_deref());
    Some(ruled(column, field.as_ref().clone()))
}

/// A field with the rules that a column declares.
fn ruled(column: &NewColumn, field: Field) -> Field {
    let rules = ColumnRules {
        length: column.data_type.map_or_else(|| ColumnRules::of(&field).length, |t| t.length),
        not_null: column.not_null,
        default: column.default.clone(),
        identity: column.identity.map(|(start, increment, ordered)| Identity { start, increment, ordered }),
    };
    let field = rules.apply(&field);
    match &column.comment {
        Some(text) => with_comment(&field, text),
        None => field,
    }
}

/// Constraints as a table keeps them; names are made where none are given.
pub(super) fn constraints_of(
    new: &[NewConstraint],
    relation: &RelationName,
    fields: &[Arc<Field>],
) -> Result<Vec<Constraint>, EngineError> {
    new.iter()
        .map(|c| {
            let columns: Vec<String> = c.columns.iter().map(lower::stored).collect();
            for column in &columns {
                position(relation, fields, column)?;
            }
            let kind = match c.kind {
                "PRIMARY KEY" => ConstraintKind::PrimaryKey,
                "UNIQUE" => ConstraintKind::Unique,
                _ => ConstraintKind::ForeignKey,
            };
            let references = match &c.references {
                Some((table, columns)) => {
                    let table = relation_of(table, &relation.schema_name())?;
                    Some((table.to_string(), columns.iter().map(lower::stored).collect()))
                }
                None => None,
            };
            let name = c.name.as_ref().map_or_else(|| format!("SYS_CONSTRAINT_{}", uuid::Uuid::new_v4()), lower::stored);
            Ok(Constraint { name, kind, columns, references })
        })
        .collect()
}

/// A change of a table's definition.
#[derive(Default)]
pub(super) struct Reshape {
    /// The expression of each column over the old ones, when data must be written anew.
    pub rewrite: Option<Vec<(String, String)>>,
    pub comment: Option<String>,
    pub properties: BTreeMap<String, String>,
}

impl Inner {
    pub(super) async fn exists(&self, relation: &RelationName) -> Result<bool, EngineError> {
        Ok(self.lake.view(relation).map_err(fault::lake)?.is_some() || self.lake.table(relation).await.map_err(fault::lake)?.is_some())
    }

    pub(super) async fn existing_table(&self, relation: &RelationName) -> Result<LakeTable, EngineError> {
        if self.lake.view(relation).map_err(fault::lake)?.is_some() {
            return Err(EngineError::new("sql/not-a-table", format!("`{relation}` is a view")));
        }
        match self.lake.table(relation).await.map_err(fault::lake)? {
            Some(table) => Ok(table),
            None => Err(self.unknown_relation(relation)),
        }
    }

    pub(super) async fn create_table(&self, sql: &str, new: NewTable, scope: &Scope) -> Result<String, EngineError> {
        let relation = relation_of(&new.name, &scope.schema)?;
        self.known_schema(&relation.schema_name())?;
        if new.temporary && !self.lake.is_temporary(&relation) {
            scope.make_temporary(&self.lake, &relation)?;
        }
        let made = self.create_table_inner(sql, new, &relation, scope).await;
        if made.is_err() && self.lake.is_temporary(&relation) && !self.exists(&relation).await.unwrap_or(true) {
            self.lake.forget_temporary(&relation);
        }
        made
    }

    async fn create_table_inner(&self, sql: &str, new: NewTable, relation: &RelationName, scope: &Scope) -> Result<String, EngineError> {
        let taken = self.exists(relation).await?;
        match new.existing {
            Existing::Keep if taken => return Ok(kept(relation.name.as_str())),
            Existing::Fail if taken => {
                return Err(
                    EngineError::new("sql/exists", format!("`{relation}` already exists")).help("use CREATE OR REPLACE, or IF NOT EXISTS")
                );
            }
            Existing::Alter if taken => return self.become_table(relation, new).await,
            _ => {}
        }
        let done = format!("Table {} successfully created.", relation.name.as_str());
        if let Rows::Clone(source, at) = &new.rows {
            let source = relation_of(source, &scope.schema)?;
            self.clone_table(relation, &source, at.as_ref().map(|at| (at, scope))).await?;
            return Ok(done);
        }
        let mut properties = BTreeMap::new();
        if new.transient {
            properties.insert("segue.transient".to_owned(), "true".to_owned());
        }
        if let Some(key) = &new.cluster_by {
            properties.insert("segue.cluster_by".to_owned(), key.clone());
        }
        let mut plan = None;
        let mut constraints = vec![];
        let schema: SchemaRef = match new.rows {
            Rows::Query { query, .. } => {
                let planned = self.plan_parsed(sql, *query, scope).await?;
                let (planned, schema) = declared(planned, &new.columns)?;
                plan = Some(planned);
                schema
            }
            Rows::Like(source) => {
                let source = self.existing_table(&relation_of(&source, &scope.schema)?).await?;
                constraints = Constraint::list(&source.properties());
                source.schema().map_err(fault::lake)?
            }
            _ => {
                let mut fields: Vec<Field> = vec![];
                for column in &new.columns {
                    let Some(field) = field_of(column) else {
                        return Err(EngineError::new("sql/type", format!("the column `{}` has no type", column.name)));
                    };
                    if fields.iter().any(|f| f.name() == field.name()) {
                        return Err(EngineError::new("sql/duplicate-column", format!("the column name `{}` occurs twice", field.name())));
                    }
                    fields.push(field);
                }
                Arc::new(Schema::new(fields))
            }
        };
        if schema.fields().is_empty() {
            return Err(EngineError::new("sql/no-columns", "a table needs at least one column"));
        }
        for field in schema.fields() {
            if let Some(default) = ColumnRules::of(field).default {
                self.default_value(&default, field, scope).await?;
            }
        }
        constraints.extend(constraints_of(&new.constraints, relation, schema.fields())?);
        // the columns of a primary key are NOT NULL
        let keyed: Vec<Arc<Field>> = schema
            .fields()
            .iter()
            .map(|f| {
                let key = constraints.iter().any(|c| c.kind == ConstraintKind::PrimaryKey && c.columns.contains(f.name()));
                if key { Arc::new(ColumnRules { not_null: true, ..ColumnRules::of(f) }.apply(f)) } else { f.clone() }
            })
            .collect();
        let schema: SchemaRef = Arc::new(Schema::new(keyed));
        if !constraints.is_empty() {
            properties.insert(Constraint::PROPERTY.to_owned(), Constraint::to_property(&constraints));
        }
        let files = match plan {
            Some(plan) => {
                let store = self.lake.table_store(relation).map_err(fault::lake)?;
                self.write_plan(sql, plan, store, schema.clone(), &[]).await?
            }
            None => vec![],
        };
        let base = self.lake.table(relation).await.map_err(fault::lake)?;
        let mut publish = plain(relation, How::Table, Content::Rows(vec![], schema.clone()));
        publish.comment = new.comment.or_else(|| base.is_some().then(String::new));
        publish.properties = properties;
        let commit = Commit { add: files, remove: Removed::All, ..commit_of(&publish, Change::Replace, schema) };
        self.lake.commit(base.as_ref(), commit).await.map_err(fault::lake)?;
        self.lake.drop_view(relation).map_err(fault::lake)?;
        Ok(done)
    }

    /// CREATE OR ALTER TABLE on a table that exists: columns and rules become those of the statement.
    async fn become_table(&self, relation: &RelationName, new: NewTable) -> Result<String, EngineError> {
        if !matches!(new.rows, Rows::None) {
            return Err(unsupported("CREATE OR ALTER TABLE with rows").help("use CREATE OR REPLACE TABLE"));
        }
        let table = self.existing_table(relation).await?;
        let current = table.schema().map_err(fault::lake)?;
        let mut fields = vec![];
        let mut columns = vec![];
        for column in &new.columns {
            let Some(field) = field_of(column) else {
                return Err(EngineError::new("sql/type", format!("the column `{}` has no type", column.name)));
            };
            let value = match current.field_with_name(field.name()) {
                Ok(old) => {
                    super::alteration::compatible(relation, old, &field)?;
                    format!("{}.{}", super::change::TARGET, super::change::quoted(field.name()))
                }
                Err(_) => ColumnRules::of(&field).default.unwrap_or_else(|| "null".into()),
            };
            columns.push((field.name().clone(), value));
            fields.push(Arc::new(field));
        }
        let constraints = constraints_of(&new.constraints, relation, &fields)?;
        let properties = [(Constraint::PROPERTY.to_owned(), Constraint::to_property(&constraints))].into();
        let reshape = Reshape { rewrite: Some(columns), comment: Some(new.comment.unwrap_or_default()), properties };
        self.reshape(&table, Arc::new(Schema::new(fields)), reshape).await?;
        Ok(format!("{} successfully altered.", relation.name.as_str()))
    }

    /// Columns, rules and rows of another table; the rows' files are linked, not copied.
    pub(super) async fn clone_table(
        &self,
        relation: &RelationName,
        source: &RelationName,
        at: Option<(&sqlparser::ast::Expr, &Scope)>,
    ) -> Result<(), EngineError> {
        let mut table = self.existing_table(source).await?;
        if let Some((at, scope)) = at {
            table = self.at_version(table, at, scope).await?;
        }
        let schema = table.schema().map_err(fault::lake)?;
        let base = self.lake.table(relation).await.map_err(fault::lake)?;
        let files = self.lake.link_files(&table, relation).await.map_err(fault::lake)?;
        let mut publish = plain(relation, How::Table, Content::Rows(vec![], schema.clone()));
        publish.comment = table.comment();
        publish.properties = table.properties();
        let commit = Commit {
            add: files,
            remove: Removed::All,
            partition_by: table.partition_columns(),
            ..commit_of(&publish, Change::Replace, schema)
        };
        self.lake.commit(base.as_ref(), commit).await.map_err(fault::lake)?;
        self.lake.drop_view(relation).map_err(fault::lake)
    }

    pub(super) async fn create_view(&self, sql: &str, new: NewView, scope: &Scope) -> Result<String, EngineError> {
        let relation = relation_of(&new.name, &scope.schema)?;
        self.known_schema(&relation.schema_name())?;
        if new.temporary && !self.lake.is_temporary(&relation) {
            scope.make_temporary(&self.lake, &relation)?;
        }
        if self.exists(&relation).await? {
            match new.existing {
                Existing::Keep => return Ok(kept(relation.name.as_str())),
                Existing::Fail => return Err(exists("view", &relation)),
                Existing::Replace | Existing::Alter => {}
            }
        }
        let names: Vec<String> = new.columns.iter().map(|(c, _)| super::change::quoted(&lower::stored(c))).collect();
        let mut query = new.text.clone();
        if new.recursive {
            let own = super::change::quoted(relation.name.as_str());
            query = format!("with recursive {own} ({}) as ({query}) select * from {own}", names.join(", "));
        } else if !names.is_empty() {
            // planned as it stands first, for faults with their place and for the number of columns
            let plan = self.plan_parsed(sql, *new.query, scope).await?;
            if plan.schema().fields().len() != names.len() {
                return Err(EngineError::new(
                    "sql/column-count",
                    format!("the view names {} columns, its query has {}", names.len(), plan.schema().fields().len()),
                ));
            }
            query = format!("select * from ({query}\n) as v ({})", names.join(", "));
        } else {
            self.plan_parsed(sql, *new.query, scope).await?;
        }
        let mut publish = plain(&relation, How::View, Content::Query(query));
        publish.comment = new.comment;
        publish.column_comments = new.columns.iter().filter_map(|(c, comment)| Some((lower::stored(c), comment.clone()?))).collect();
        publish.properties.insert("segue.text".into(), new.statement);
        if new.secure {
            publish.properties.insert("segue.secure".into(), "true".into());
        }
        // unqualified names keep meaning what they mean in this session
        self.publish_view(publish, &scope.schema).await?;
        Ok(format!("View {} successfully created.", relation.name.as_str()))
    }

    /// New columns or rules; data files are written anew when they do not fit.
    pub(super) async fn reshape(&self, table: &LakeTable, schema: SchemaRef, reshape: Reshape) -> Result<(), EngineError> {
        use super::change::{Staged, TARGET, select_list};
        let mut publish = plain(table.relation(), How::Table, Content::Rows(vec![], schema.clone()));
        publish.comment = reshape.comment;
        publish.properties = reshape.properties;
        let mut commit = commit_of(&publish, Change::Rewrite, schema.clone());
        commit.partition_by = table.partition_columns();
        if let Some(columns) = reshape.rewrite {
            let staged = Staged { table, files: vec![], schema: &schema };
            let scope = self.change_scope(&staged).await?;
            let sql = format!("select {} from {TARGET}", select_list(&columns));
            commit.add = self.rewrite(&sql, &scope, &staged).await?;
            commit.remove = Removed::All;
        }
        self.lake.commit(Some(table), commit).await.map_err(fault::lake)?;
        Ok(())
    }

    pub(super) async fn put_table(
        &self,
        table: &LakeTable,
        schema: SchemaRef,
        rewrite: Option<Vec<(String, String)>>,
        comment: Option<String>,
        properties: BTreeMap<String, String>,
    ) -> Result<(), EngineError> {
        self.reshape(table, schema, Reshape { rewrite, comment, properties }).await
    }

    pub(super) async fn truncate(&self, relation: &RelationName) -> Result<(), EngineError> {
        let table = self.existing_table(relation).await?;
        let schema = table.schema().map_err(fault::lake)?;
        let publish = plain(relation, How::Table, Content::Rows(vec![], schema.clone()));
        let commit =
            Commit { remove: Removed::All, partition_by: table.partition_columns(), ..commit_of(&publish, Change::Rewrite, schema) };
        self.lake.commit(Some(&table), commit).await.map_err(fault::lake)?;
        Ok(())
    }
}

/// The rows of CREATE TABLE ... AS with the names, types and rules that the statement declares.
fn declared(plan: LogicalPlan, columns: &[NewColumn]) -> Result<(LogicalPlan, SchemaRef), EngineError> {
    if columns.is_empty() {
        let schema = stored_schema(&plan)?;
        return Ok((plan, schema));
    }
    let given = plan.schema().clone();
    if given.fields().len() != columns.len() {
        return Err(EngineError::new(
            "sql/column-count",
            format!("the table names {} columns, the query has {}", columns.len(), given.fields().len()),
        ));
    }
    let named: Vec<Expr> = given
        .iter()
        .zip(columns)
        .map(|((qualifier, field), column)| {
            let expr = Expr::Column(Column::new(qualifier.cloned(), field.name()));
            match field_of(column) {
                Some(wanted) => fitted_column(Some((expr, field)), &wanted),
                None => expr.alias(lower::stored(&column.name)),
            }
        })
        .collect();
    let plan = LogicalPlanBuilder::from(plan).project(named).and_then(LogicalPlanBuilder::build).map_err(|e| fault::plan("", &e))?;
    let schema = stored_schema(&plan)?;
    let fields: Vec<Field> = schema.fields().iter().zip(columns).map(|(f, c)| ruled(c, f.as_ref().clone())).collect();
    Ok((plan, Arc::new(Schema::new(fields))))
}
