//! DESCRIBE, SHOW FUNCTIONS and SHOW ... KEYS.

use sqlparser::ast::ObjectName;

use super::{
    Inner,
    definition::{relation_of, schema_of},
    fault,
    listing::{flag, kept, table, text},
    planner::Scope,
};
use crate::{
    dialect::{
        SqlError,
        command::{Kind, Listed, Reach, Show},
    },
    engine::{EngineError, Outcome},
    lake::{Constraint, ConstraintKind},
    names::RelationName,
};

impl Inner {
    pub(super) fn show_functions(&self, show: &Show, scope: &Scope) -> Result<Outcome, EngineError> {
        let mut rows = vec![];
        let row = |name: &str, schema: Option<&RelationName>, signature: String, is_table: bool, description: String| {
            vec![
                None,
                text(name),
                text(schema.map_or("", |r| r.schema.as_str())),
                flag(schema.is_none()),
                text("N"),
                text("N"),
                text("0"),
                text("0"),
                text(signature),
                text(description),
                text(schema.map_or("", |r| r.database.as_str())),
                flag(is_table),
                text("N"),
                text("N"),
                text("N"),
                text("SQL"),
            ]
        };
        for schema in self.reached(&show.reach, scope)? {
            for name in self.lake.functions(&schema).map_err(fault::lake)? {
                for overload in self.lake.function(&name).map_err(fault::lake)?.unwrap_or_default().overloads {
                    let is_table = !overload.columns.is_empty();
                    let returns = if is_table {
                        let columns: Vec<String> = overload.columns.iter().map(|c| format!("{} {}", c.name, c.data_type)).collect();
                        format!("TABLE ({})", columns.join(", "))
                    } else {
                        overload.returns.clone()
                    };
                    let signature = format!("{}{} RETURN {returns}", name.name.as_str(), overload.signature());
                    let comment = overload.comment.clone().unwrap_or_else(|| "user-defined function".into());
                    rows.push(row(name.name.as_str(), Some(&name), signature, is_table, comment));
                }
            }
        }
        if show.listed == Listed::Functions {
            let mut names: Vec<String> = self
                .state
                .scalar_functions()
                .keys()
                .chain(self.state.aggregate_functions().keys())
                .chain(self.state.window_functions().keys())
                .filter(|n| !n.starts_with("__"))
                .map(|n| n.to_uppercase())
                .collect();
            names.sort();
            names.dedup();
            rows.extend(names.iter().map(|n| row(n, None, format!("{n}(...)"), false, String::new())));
        }
        let columns = [
            "@created_on",
            "name",
            "schema_name",
            "is_builtin",
            "is_aggregate",
            "is_ansi",
            "#min_num_arguments",
            "#max_num_arguments",
            "arguments",
            "description",
            "catalog_name",
            "is_table_function",
            "valid_for_clustering",
            "is_secure",
            "is_external_function",
            "language",
        ];
        table(&columns, &kept(show, 1, rows))
    }

    pub(super) async fn show_keys(&self, show: &Show, scope: &Scope) -> Result<Outcome, EngineError> {
        let relations: Vec<RelationName> = match &show.reach {
            Reach::Relation(name) => vec![relation_of(name, &scope.schema)?],
            Reach::Named(name) if self.lake.table(&relation_of(name, &scope.schema)?).await.map_err(fault::lake)?.is_some() => {
                vec![relation_of(name, &scope.schema)?]
            }
            reach => {
                let mut relations = vec![];
                for schema in self.reached(reach, scope)? {
                    let entries = self.lake.entries(&schema).map_err(fault::lake)?;
                    relations.extend(entries.into_iter().filter(|e| !e.is_view).map(|e| e.relation));
                }
                relations
            }
        };
        let wanted = match show.listed {
            Listed::PrimaryKeys => ConstraintKind::PrimaryKey,
            Listed::UniqueKeys => ConstraintKind::Unique,
            _ => ConstraintKind::ForeignKey,
        };
        let mut rows = vec![];
        for relation in relations {
            let Some(found) = self.lake.table(&relation).await.map_err(fault::lake)? else {
                return Err(self.unknown_relation(&relation));
            };
            let created = found.times().0.map(|t| t.to_string());
            for constraint in Constraint::list(&found.properties()).into_iter().filter(|c| c.kind == wanted) {
                for (i, column) in constraint.columns.iter().enumerate() {
                    let place = [
                        text(relation.database.as_str()),
                        text(relation.schema.as_str()),
                        text(relation.name.as_str()),
                        text(column.clone()),
                    ];
                    let sequence = text((i + 1).to_string());
                    let mut row = vec![created.clone()];
                    match &constraint.references {
                        Some((table, columns)) => {
                            let parts: Vec<&str> = table.split('.').collect();
                            let part = |n: usize| parts.len().checked_sub(n).and_then(|at| parts.get(at)).map(|p| (*p).to_owned());
                            row.extend([part(3), part(2), part(1), columns.get(i).cloned()]);
                            row.extend(place);
                            row.extend([
                                sequence,
                                text("NO ACTION"),
                                text("NO ACTION"),
                                text(constraint.name.clone()),
                                None,
                                text("NOT DEFERRABLE"),
                            ]);
                        }
                        None => {
                            row.extend(place);
                            row.extend([sequence, text(constraint.name.clone())]);
                        }
                    }
                    row.extend([text("false"), text("")]);
                    rows.push(row);
                }
            }
        }
        if wanted == ConstraintKind::ForeignKey {
            let columns = [
                "@created_on",
                "pk_database_name",
                "pk_schema_name",
                "pk_table_name",
                "pk_column_name",
                "fk_database_name",
                "fk_schema_name",
                "fk_table_name",
                "fk_column_name",
                "#key_sequence",
                "update_rule",
                "delete_rule",
                "fk_name",
                "pk_name",
                "deferrability",
                "rely",
                "comment",
            ];
            return table(&columns, &kept(show, 7, rows));
        }
        let columns = [
            "@created_on",
            "database_name",
            "schema_name",
            "table_name",
            "column_name",
            "#key_sequence",
            "constraint_name",
            "rely",
            "comment",
        ];
        table(&columns, &kept(show, 3, rows))
    }

    pub(super) async fn describe(
        &self,
        kind: Kind,
        name: &ObjectName,
        arguments: &[String],
        scope: &Scope,
    ) -> Result<Outcome, EngineError> {
        match kind {
            Kind::Table | Kind::View => self.describe_relation(kind, &relation_of(name, &scope.schema)?).await,
            Kind::Schema => {
                let schema = schema_of(name, &scope.schema)?;
                if !self.lake.schema_exists(&schema) {
                    return Err(EngineError::new("sql/unknown-schema", format!("there is no schema `{schema}`")));
                }
                let entries = self.lake.entries(&schema).map_err(fault::lake)?;
                let rows = entries
                    .into_iter()
                    .map(|e| vec![None, text(e.relation.name.as_str()), text(if e.is_view { "VIEW" } else { "TABLE" })])
                    .collect();
                table(&["@created_on", "name", "kind"], &rows)
            }
            Kind::Database => {
                let database = self.known_database(name)?;
                let schemas = self.lake.schemas().map_err(fault::lake)?;
                let rows = schemas
                    .into_iter()
                    .filter(|s| s.database == database)
                    .map(|s| vec![None, text(s.schema.as_str()), text("SCHEMA")])
                    .collect();
                table(&["@created_on", "name", "kind"], &rows)
            }
            Kind::Sequence => {
                let relation = relation_of(name, &scope.schema)?;
                let Some(s) = self.lake.sequence(&relation).map_err(fault::lake)? else {
                    return Err(EngineError::new("sql/unknown-sequence", format!("there is no sequence `{relation}`")));
                };
                let row = vec![
                    text(relation.name.as_str()),
                    text(relation.database.as_str()),
                    text(relation.schema.as_str()),
                    text(s.next.to_string()),
                    text(s.increment.to_string()),
                    None,
                    text(""),
                    text(s.comment.unwrap_or_default()),
                    flag(s.ordered),
                ];
                table(
                    &["name", "database_name", "schema_name", "#next_value", "#interval", "@created_on", "owner", "comment", "ordered"],
                    &vec![row],
                )
            }
            Kind::Function => {
                let relation = relation_of(name, &scope.schema)?;
                let file = self.lake.function(&relation).map_err(fault::lake)?.unwrap_or_default();
                let Some(at) = super::object::overload_at(&file, arguments) else {
                    return Err(EngineError::new(
                        "sql/unknown-function",
                        format!("there is no function `{relation}` with these arguments"),
                    ));
                };
                let overload = &file.overloads[at];
                let signature: Vec<String> = overload.arguments.iter().map(|a| format!("{} {}", a.name, a.data_type)).collect();
                let rows = vec![
                    vec![text("signature"), text(format!("({})", signature.join(", ")))],
                    vec![text("returns"), text(overload.returns.clone())],
                    vec![text("language"), text("SQL")],
                    vec![text("body"), text(overload.body.clone())],
                ];
                table(&["property", "value"], &rows)
            }
            Kind::Column => Err(fault::sql(SqlError::unsupported("DESCRIBE COLUMN"))),
        }
    }

    async fn describe_relation(&self, kind: Kind, relation: &RelationName) -> Result<Outcome, EngineError> {
        let Some(columns) = self.listed(relation).await? else {
            return Err(self.unknown_relation(relation));
        };
        let mut constraints = vec![];
        let is_view = self.lake.view(relation).map_err(fault::lake)?.is_some();
        if !is_view && let Some(found) = self.lake.table(relation).await.map_err(fault::lake)? {
            if kind == Kind::View {
                return Err(EngineError::new("sql/not-a-view", format!("`{relation}` is a table")).help("use DESCRIBE TABLE"));
            }
            constraints = Constraint::list(&found.properties());
        }
        let within =
            |kind: ConstraintKind, column: &str| constraints.iter().any(|c| c.kind == kind && c.columns.iter().any(|name| name == column));
        let rows = columns
            .into_iter()
            .map(|c| {
                let default = c.rules.identity.map(|i| i.to_string()).or_else(|| c.rules.default.clone());
                vec![
                    text(c.name.clone()),
                    text(c.shown_type()),
                    text("COLUMN"),
                    flag(!c.rules.not_null),
                    default,
                    flag(within(ConstraintKind::PrimaryKey, &c.name)),
                    flag(within(ConstraintKind::Unique, &c.name)),
                    None,
                    None,
                    c.comment.clone(),
                    None,
                    None,
                ]
            })
            .collect();
        let columns = [
            "name",
            "type",
            "kind",
            "null?",
            "default",
            "primary key",
            "unique key",
            "check",
            "expression",
            "comment",
            "policy name",
            "privacy domain",
        ];
        table(&columns, &rows)
    }
}
