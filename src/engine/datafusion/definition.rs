//! Definitions: CREATE, ALTER, DROP, TRUNCATE, COMMENT over tables, views and schemas.

use std::sync::Arc;

use ::datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use sqlparser::ast::{
    AlterTableOperation, ColumnDef, CommentDef, CreateTable, CreateTableLikeKind, CreateView, ObjectName, ObjectType, RenameTableNameKind,
    Statement,
};

use super::{
    Inner, fault,
    planner::{parts_of, resolve},
    publish::{commit_of, plain},
};
use crate::{
    dialect::{SqlError, lower, types::Type},
    engine::{Content, EngineError, How},
    lake::{Change, Commit, LakeTable, Removed},
    names::{Identifier, RelationName, SchemaName},
};

fn unsupported(what: impl std::fmt::Display) -> EngineError {
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

fn field_of(column: &ColumnDef) -> Result<Arc<Field>, EngineError> {
    let data_type = Type::from_sql(&column.data_type).map_err(fault::sql)?;
    Ok(data_type.field(lower::stored(&column.name)))
}

impl Inner {
    async fn exists(&self, relation: &RelationName) -> Result<bool, EngineError> {
        Ok(self.lake.view(relation).map_err(fault::lake)?.is_some() || self.lake.table(relation).await.map_err(fault::lake)?.is_some())
    }

    pub(super) async fn existing_table(&self, relation: &RelationName) -> Result<LakeTable, EngineError> {
        if self.lake.view(relation).map_err(fault::lake)?.is_some() {
            return Err(EngineError::new("sql/not-a-table", format!("`{relation}` is a view")));
        }
        match self.lake.table(relation).await.map_err(fault::lake)? {
            Some(table) => Ok(table),
            None => Err(EngineError::new("sql/unknown-table", format!("there is no table `{relation}`"))),
        }
    }

    pub(super) async fn create_table(&self, create: CreateTable, schema: &SchemaName) -> Result<String, EngineError> {
        let relation = relation_of(&create.name, schema)?;
        if create.if_not_exists && self.exists(&relation).await? {
            return Ok(format!("{} already exists, statement succeeded.", relation.name.as_str()));
        }
        if !create.or_replace && self.exists(&relation).await? {
            return Err(
                EngineError::new("sql/exists", format!("`{relation}` already exists")).help("use CREATE OR REPLACE, or IF NOT EXISTS")
            );
        }
        let comment = match &create.comment {
            Some(CommentDef::WithEq(text) | CommentDef::WithoutEq(text)) => Some(text.clone()),
            None => None,
        };
        if let Some(query) = &create.query {
            let mut publish = plain(&relation, How::Table, Content::Query(query.to_string()));
            publish.comment = comment;
            self.publish_table_from(publish, schema).await?;
        } else {
            let columns: SchemaRef = match (&create.clone, &create.like) {
                (Some(source), _) => return self.clone_table(&relation, &relation_of(source, schema)?).await,
                (None, Some(CreateTableLikeKind::Plain(like) | CreateTableLikeKind::Parenthesized(like))) => {
                    self.existing_table(&relation_of(&like.name, schema)?).await?.schema().map_err(fault::lake)?
                }
                (None, None) => Arc::new(Schema::new(create.columns.iter().map(field_of).collect::<Result<Vec<_>, _>>()?)),
            };
            if columns.fields().is_empty() {
                return Err(EngineError::new("sql/no-columns", "a table needs at least one column"));
            }
            let base = self.lake.table(&relation).await.map_err(fault::lake)?;
            let mut publish = plain(&relation, How::Table, Content::Rows(vec![], columns.clone()));
            publish.comment = comment;
            let commit = Commit { remove: Removed::All, ..commit_of(&publish, Change::Replace, columns) };
            self.lake.commit(base.as_ref(), commit).await.map_err(fault::lake)?;
            self.lake.drop_view(&relation).map_err(fault::lake)?;
        }
        Ok(format!("Table {} successfully created.", relation.name.as_str()))
    }

    async fn clone_table(&self, relation: &RelationName, source: &RelationName) -> Result<String, EngineError> {
        self.existing_table(source).await?;
        self.publish_table(plain(relation, How::Table, Content::Query(format!("select * from {source}")))).await?;
        Ok(format!("Table {} successfully created.", relation.name.as_str()))
    }

    pub(super) async fn create_view(&self, create: CreateView, schema: &SchemaName) -> Result<String, EngineError> {
        let relation = relation_of(&create.name, schema)?;
        if create.if_not_exists && self.exists(&relation).await? {
            return Ok(format!("{} already exists, statement succeeded.", relation.name.as_str()));
        }
        if !create.or_replace && self.exists(&relation).await? {
            return Err(EngineError::new("sql/exists", format!("`{relation}` already exists")).help("use CREATE OR REPLACE VIEW"));
        }
        let mut query = create.query.to_string();
        if !create.columns.is_empty() {
            let names: Vec<String> = create.columns.iter().map(|c| super::change::quoted(&lower::stored(&c.name))).collect();
            query = format!("select * from ({query}) as v ({})", names.join(", "));
        }
        let mut publish = plain(&relation, How::View, Content::Query(query));
        publish.comment = create.comment.clone();
        // unqualified names keep meaning what they mean in this session
        self.publish_view(publish, schema).await?;
        Ok(format!("View {} successfully created.", relation.name.as_str()))
    }

    pub(super) async fn drop_objects(&self, statement: Statement, schema: &SchemaName) -> Result<String, EngineError> {
        let Statement::Drop { object_type, if_exists, names, .. } = statement else { return Err(unsupported("this statement")) };
        let mut last = String::new();
        for name in &names {
            match object_type {
                ObjectType::Schema | ObjectType::Database => {
                    let target = if object_type == ObjectType::Schema {
                        schema_of(name, schema)?
                    } else {
                        return Err(unsupported("DROP DATABASE"));
                    };
                    if !if_exists && !self.lake.schema_exists(&target) {
                        return Err(EngineError::new("sql/unknown-schema", format!("there is no schema `{target}`")));
                    }
                    self.lake.drop_schema(&target).map_err(fault::lake)?;
                }
                ObjectType::Table | ObjectType::View => {
                    let relation = relation_of(name, schema)?;
                    let is_view = self.lake.view(&relation).map_err(fault::lake)?.is_some();
                    let is_table = !is_view && self.lake.table(&relation).await.map_err(fault::lake)?.is_some();
                    match (object_type, is_view, is_table) {
                        (ObjectType::View, true, _) => self.lake.drop_view(&relation).map_err(fault::lake)?,
                        (ObjectType::Table, _, true) => self.lake.drop_table(&relation).map_err(fault::lake)?,
                        (ObjectType::Table, true, _) => {
                            return Err(EngineError::new("sql/not-a-table", format!("`{relation}` is a view")).help("use DROP VIEW"));
                        }
                        (ObjectType::View, _, true) => {
                            return Err(EngineError::new("sql/not-a-view", format!("`{relation}` is a table")).help("use DROP TABLE"));
                        }
                        _ if if_exists => {}
                        _ => return Err(EngineError::new("sql/unknown-table", format!("there is no table or view `{relation}`"))),
                    }
                }
                other => return Err(unsupported(format!("DROP {other}"))),
            }
            last = parts_of(name).pop().unwrap_or_default();
        }
        Ok(format!("{last} successfully dropped."))
    }

    pub(super) async fn alter_table(
        &self,
        name: &ObjectName,
        if_exists: bool,
        operations: &[AlterTableOperation],
        schema: &SchemaName,
    ) -> Result<String, EngineError> {
        let relation = relation_of(name, schema)?;
        if if_exists && !self.exists(&relation).await? {
            return Ok("Statement executed successfully.".into());
        }
        for operation in operations {
            if let AlterTableOperation::RenameTable { table_name: RenameTableNameKind::To(to) | RenameTableNameKind::As(to) } = operation {
                let to = relation_of(to, &relation.schema_name())?;
                if !self.exists(&relation).await? {
                    return Err(EngineError::new("sql/unknown-table", format!("there is no table or view `{relation}`")));
                }
                if self.exists(&to).await? {
                    return Err(EngineError::new("sql/exists", format!("`{to}` already exists")));
                }
                self.lake.rename(&relation, &to).map_err(fault::lake)?;
                continue;
            }
            let table = self.existing_table(&relation).await?;
            let current = table.schema().map_err(fault::lake)?;
            let mut fields: Vec<Arc<Field>> = current.fields().iter().cloned().collect();
            let position = |fields: &[Arc<Field>], name: &str| {
                fields
                    .iter()
                    .position(|f| f.name() == name)
                    .ok_or_else(|| EngineError::new("sql/unknown-column", format!("`{relation}` has no column `{name}`")))
            };
            // the expression of each new column over the old ones, when data must be written anew
            let mut rewrite: Option<Vec<(String, String)>> = None;
            match operation {
                AlterTableOperation::AddColumn { column_def, if_not_exists, .. } => {
                    let field = field_of(column_def)?;
                    if fields.iter().any(|f| f.name() == field.name()) {
                        if *if_not_exists {
                            continue;
                        }
                        return Err(EngineError::new(
                            "sql/duplicate-column",
                            format!("`{relation}` has a column `{}` already", field.name()),
                        ));
                    }
                    let default = column_def.options.iter().find_map(|o| match &o.option {
                        sqlparser::ast::ColumnOption::Default(e) => Some(e.to_string()),
                        _ => None,
                    });
                    if let Some(default) = default {
                        let mut columns = same(&current);
                        columns.push((field.name().clone(), default));
                        rewrite = Some(columns);
                    }
                    fields.push(field);
                }
                AlterTableOperation::DropColumn { column_names, if_exists, .. } => {
                    for column in column_names {
                        match position(&fields, &lower::stored(column)) {
                            Ok(at) => drop(fields.remove(at)),
                            Err(_) if *if_exists => {}
                            Err(e) => return Err(e),
                        }
                    }
                    if fields.is_empty() {
                        return Err(EngineError::new("sql/no-columns", "a table keeps at least one column"));
                    }
                    rewrite = Some(same(&current).into_iter().filter(|(n, _)| fields.iter().any(|f| f.name() == n)).collect());
                }
                AlterTableOperation::RenameColumn { old_column_name, new_column_name } => {
                    let (old, new) = (lower::stored(old_column_name), lower::stored(new_column_name));
                    let at = position(&fields, &old)?;
                    fields[at] = Arc::new(fields[at].as_ref().clone().with_name(&new));
                    rewrite = Some(same(&current).into_iter().map(|(n, e)| if n == old { (new.clone(), e) } else { (n, e) }).collect());
                }
                other => return Err(unsupported(format!("ALTER TABLE {other}"))),
            }
            self.reshape(&table, Arc::new(Schema::new(fields)), rewrite).await?;
        }
        Ok("Statement executed successfully.".into())
    }

    /// A new schema; data files are written anew when they do not fit it.
    async fn reshape(&self, table: &LakeTable, schema: SchemaRef, rewrite: Option<Vec<(String, String)>>) -> Result<(), EngineError> {
        use super::change::{Staged, TARGET, select_list};
        let publish = plain(table.relation(), How::Table, Content::Rows(vec![], schema.clone()));
        let mut commit = commit_of(&publish, Change::Rewrite, schema.clone());
        commit.partition_by = table.partition_columns();
        if let Some(columns) = rewrite {
            let staged = Staged { table, files: vec![], schema: &schema };
            let scope = self.change_scope(&staged).await?;
            let sql = format!("select {} from {TARGET}", select_list(&columns));
            commit.add = self.rewrite(&sql, &scope, &staged).await?;
            commit.remove = Removed::All;
        }
        self.lake.commit(Some(table), commit).await.map_err(fault::lake)?;
        Ok(())
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

/// Every column as itself.
fn same(schema: &SchemaRef) -> Vec<(String, String)> {
    schema.fields().iter().map(|f| (f.name().clone(), format!("{}.{}", super::change::TARGET, super::change::quoted(f.name())))).collect()
}
