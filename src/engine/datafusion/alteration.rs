//! ALTER TABLE and ALTER VIEW.

use std::{collections::BTreeMap, sync::Arc};

use ::datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use sqlparser::ast::{Ident, ObjectName};

use super::{
    Inner,
    change::{TARGET, quoted},
    definition::{constraints_of, field_of, position, relation_of, unsupported},
    fault,
    object::{EXECUTED, exists},
    planner::Scope,
};
use crate::{
    dialect::{
        command::{ColumnChange, TableChange, ViewChange},
        lower,
        types::Type,
    },
    engine::EngineError,
    lake::{ColumnRules, Constraint, ConstraintKind, LakeTable, with_comment},
    names::{Identifier, RelationName},
};

/// Whether a column may take another type: the same kind of values, not fewer digits behind the point (Snowflake
/// documentation, "ALTER TABLE ... ALTER COLUMN").
pub(super) fn compatible(relation: &RelationName, old: &Field, new: &Field) -> Result<(), EngineError> {
    let (from, to) = (Type::of(old), Type::of(new));
    let (had, has) = (ColumnRules::of(old).length, ColumnRules::of(new).length);
    let fits = match (from, to) {
        (Type::Number { scale: a, .. }, Type::Number { scale: b, .. }) => a == b,
        (a, b) => a == b,
    };
    if !fits {
        return Err(EngineError::new(
            "sql/type-change",
            format!("the column `{}` of `{relation}` cannot change from {from} to {to}", old.name()),
        )
        .help("add a column of the new type and fill it with UPDATE"));
    }
    match (had, has) {
        (None, Some(n)) | (Some(_), Some(n)) if had.is_none_or(|h| n < h) => {
            Err(EngineError::new("sql/type-change", format!("the column `{}` of `{relation}` cannot become shorter, to {n}", old.name())))
        }
        _ => Ok(()),
    }
}

/// Every column as itself.
fn same(schema: &SchemaRef) -> Vec<(String, String)> {
    schema.fields().iter().map(|f| (f.name().clone(), format!("{TARGET}.{}", quoted(f.name())))).collect()
}

impl Inner {
    pub(super) async fn alter_table(
        &self,
        name: &ObjectName,
        if_exists: bool,
        change: TableChange,
        scope: &Scope,
    ) -> Result<String, EngineError> {
        let relation = relation_of(name, &scope.schema)?;
        if !self.exists(&relation).await? {
            return if if_exists { Ok(EXECUTED.into()) } else { Err(self.unknown_relation(&relation)) };
        }
        match change {
            TableChange::Rename(to) => {
                let to = relation_of(&to, &relation.schema_name())?;
                if self.exists(&to).await? {
                    return Err(exists("table", &to));
                }
                self.lake.rename(&relation, &to).map_err(fault::lake)?;
            }
            TableChange::Swap(other) => {
                let other = relation_of(&other, &relation.schema_name())?;
                self.existing_table(&relation).await?;
                self.existing_table(&other).await?;
                let aside = Identifier::exact(format!("SWAP-{}", uuid::Uuid::new_v4()));
                let aside = relation.schema_name().relation(aside);
                for (from, to) in [(&relation, &aside), (&other, &relation), (&aside, &other)] {
                    self.lake.rename(from, to).map_err(fault::lake)?;
                }
            }
            TableChange::Comment(comment) => return self.put_comment(&relation, None, comment.unwrap_or_default()).await,
            TableChange::Nothing => {}
            change => {
                let table = self.existing_table(&relation).await?;
                self.alter_columns(&table, change, scope).await?;
            }
        }
        Ok(EXECUTED.into())
    }

    async fn alter_columns(&self, table: &LakeTable, change: TableChange, scope: &Scope) -> Result<(), EngineError> {
        let relation = table.relation();
        let current = table.schema().map_err(fault::lake)?;
        let mut fields: Vec<Arc<Field>> = current.fields().to_vec();
        let mut constraints = Constraint::list(&table.properties());
        let mut properties = BTreeMap::new();
        let mut rewrite: Option<Vec<(String, String)>> = None;
        match change {
            TableChange::Add(columns, new) => {
                let mut values = same(&current);
                let mut computed = false;
                for (column, if_not_exists) in &columns {
                    let Some(field) = field_of(column) else { continue };
                    if fields.iter().any(|f| f.name() == field.name()) {
                        if *if_not_exists {
                            continue;
                        }
                        return Err(EngineError::new(
                            "sql/duplicate-column",
                            format!("`{relation}` has a column `{}` already", field.name()),
                        ));
                    }
                    let rules = ColumnRules::of(&field);
                    let empty = table.size().await.map_err(fault::lake)?.0 == 0;
                    match &rules.default {
                        Some(default) => {
                            self.default_value(default, &field, scope).await?;
                            values.push((field.name().clone(), default.clone()));
                            computed = true;
                        }
                        None if rules.identity.is_some() && !empty => {
                            return Err(unsupported("adding an AUTOINCREMENT column to a table with rows"));
                        }
                        None if rules.not_null && !empty => {
                            return Err(EngineError::new(
                                "sql/not-null",
                                format!("the column `{}` is NOT NULL, and the rows of `{relation}` have no value for it", field.name()),
                            )
                            .help("give it a DEFAULT"));
                        }
                        None => values.push((field.name().clone(), "null".into())),
                    }
                    fields.push(Arc::new(field));
                }
                if computed {
                    rewrite = Some(values);
                }
                constraints.extend(constraints_of(&new, relation, &fields)?);
            }
            TableChange::DropColumns { columns, if_exists } => {
                for column in columns {
                    let column = lower::stored(&column);
                    match position(relation, &fields, &column) {
                        Ok(at) => drop(fields.remove(at)),
                        Err(_) if if_exists => {}
                        Err(e) => return Err(e),
                    }
                    constraints.retain(|c| !c.columns.contains(&column));
                }
                if fields.is_empty() {
                    return Err(EngineError::new("sql/no-columns", "a table keeps at least one column"));
                }
                rewrite = Some(same(&current).into_iter().filter(|(n, _)| fields.iter().any(|f| f.name() == n)).collect());
            }
            TableChange::RenameColumn(old, new) => {
                let (old, new) = (lower::stored(&old), lower::stored(&new));
                let at = position(relation, &fields, &old)?;
                if fields.iter().any(|f| *f.name() == new) {
                    return Err(EngineError::new("sql/duplicate-column", format!("`{relation}` has a column `{new}` already")));
                }
                fields[at] = Arc::new(fields[at].as_ref().clone().with_name(&new));
                for constraint in &mut constraints {
                    constraint.columns.iter_mut().filter(|c| **c == old).for_each(|c| c.clone_from(&new));
                }
                if let Some(next) = table.properties().get(&format!("segue.identity.{old}")) {
                    properties.insert(format!("segue.identity.{new}"), next.clone());
                }
                rewrite = Some(same(&current).into_iter().map(|(n, e)| if n == old { (new.clone(), e) } else { (n, e) }).collect());
            }
            TableChange::Columns(changes) => {
                for (column, change) in changes {
                    let at = position(relation, &fields, &lower::stored(&column))?;
                    let (field, anew) = self.changed_column(table, &fields[at], &column, change, scope).await?;
                    fields[at] = Arc::new(field);
                    if anew {
                        rewrite = Some(same(&current));
                    }
                }
            }
            TableChange::DropConstraint { name, kind, columns } => {
                let before = constraints.len();
                let columns: Vec<String> = columns.iter().map(lower::stored).collect();
                let name = name.as_ref().map(lower::stored);
                constraints.retain(|c| match &name {
                    Some(name) => c.name != *name,
                    None => c.kind.words() != kind || !(columns.is_empty() || c.columns == columns),
                });
                if constraints.len() == before {
                    let what = name.map_or_else(|| kind.to_owned(), |n| format!("`{n}`"));
                    return Err(EngineError::new("sql/unknown-constraint", format!("`{relation}` has no constraint {what}")));
                }
            }
            TableChange::Cluster(key) => {
                properties.insert("segue.cluster_by".to_owned(), key.unwrap_or_default());
            }
            other => return Err(unsupported(format!("{other:?}"))),
        }
        // a primary key makes its columns NOT NULL
        for field in &mut fields {
            let key = constraints.iter().any(|c| c.kind == ConstraintKind::PrimaryKey && c.columns.contains(field.name()));
            let rules = ColumnRules::of(field);
            if key && !rules.not_null && !current.fields().iter().any(|f| f.name() == field.name() && ColumnRules::of(f).not_null) {
                self.no_nulls(table, field.name(), scope).await?;
                *field = Arc::new(ColumnRules { not_null: true, ..rules }.apply(field));
            }
        }
        properties.insert(Constraint::PROPERTY.to_owned(), Constraint::to_property(&constraints));
        self.put_table(table, Arc::new(Schema::new(fields)), rewrite, None, properties).await
    }

    /// The field after the change, and whether files must be written anew.
    async fn changed_column(
        &self,
        table: &LakeTable,
        field: &Field,
        column: &Ident,
        change: ColumnChange,
        scope: &Scope,
    ) -> Result<(Field, bool), EngineError> {
        let rules = ColumnRules::of(field);
        Ok(match change {
            ColumnChange::Default(default) => {
                if let Some(default) = &default {
                    self.default_value(default, field, scope).await?;
                }
                (ColumnRules { default, ..rules }.apply(field), false)
            }
            ColumnChange::NotNull(not_null) => {
                if not_null && !rules.not_null {
                    self.no_nulls(table, &lower::stored(column), scope).await?;
                }
                (ColumnRules { not_null, ..rules }.apply(field), false)
            }
            ColumnChange::Comment(comment) => (with_comment(field, &comment.unwrap_or_default()), false),
            ColumnChange::Type(wanted) => {
                let new = wanted.data_type.field(field.name().clone());
                let new = ColumnRules { length: wanted.length, ..rules }.apply(&new);
                compatible(table.relation(), field, &new)?;
                let new = match crate::lake::comment_of(field) {
                    Some(text) => with_comment(&new, text),
                    None => new,
                };
                let anew = new.data_type() != field.data_type() || Type::of(&new) != Type::of(field);
                (new, anew)
            }
        })
    }

    /// No row has NULL in the column.
    async fn no_nulls(&self, table: &LakeTable, column: &str, scope: &Scope) -> Result<(), EngineError> {
        let mut local = scope.clone();
        local.local.insert(TARGET.into(), table.provider(&self.state, None).await.map_err(fault::lake)?);
        let nulls = self.count(&format!("select count(*) from {TARGET} where {} is null", quoted(column)), &local).await?;
        if nulls == 0 {
            return Ok(());
        }
        Err(EngineError::new("sql/not-null", format!("the column `{column}` of `{}` has {nulls} NULLs", table.relation()))
            .help("fill or delete these rows first"))
    }

    pub(super) async fn alter_view(
        &self,
        name: &ObjectName,
        if_exists: bool,
        change: ViewChange,
        scope: &Scope,
    ) -> Result<String, EngineError> {
        let relation = relation_of(name, &scope.schema)?;
        let Some(mut view) = self.lake.view(&relation).map_err(fault::lake)? else {
            if if_exists {
                return Ok(EXECUTED.into());
            }
            if self.exists(&relation).await? {
                return Err(EngineError::new("sql/not-a-view", format!("`{relation}` is a table")).help("use ALTER TABLE"));
            }
            return Err(self.unknown_relation(&relation));
        };
        match change {
            ViewChange::Rename(to) => {
                let to = relation_of(&to, &relation.schema_name())?;
                if self.exists(&to).await? {
                    return Err(exists("view", &to));
                }
                self.lake.rename(&relation, &to).map_err(fault::lake)?;
                return Ok(EXECUTED.into());
            }
            ViewChange::Comment(comment) => return self.put_comment(&relation, None, comment.unwrap_or_default()).await,
            ViewChange::ColumnComment(column, comment) => {
                return self.put_comment(&relation, Some(&lower::stored(&column)), comment.unwrap_or_default()).await;
            }
            ViewChange::Secure(true) => drop(view.properties.insert("segue.secure".into(), "true".into())),
            ViewChange::Secure(false) => drop(view.properties.remove("segue.secure")),
        }
        self.lake.put_view(&relation, &view).await.map_err(fault::lake)?;
        Ok(EXECUTED.into())
    }
}
