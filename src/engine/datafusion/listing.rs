//! SHOW and DESCRIBE, with Snowflake's columns.

use ::datafusion::arrow::{
    array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray},
    datatypes::{DataType, Field, Schema, TimeUnit},
    record_batch::{RecordBatch, RecordBatchOptions},
};
use sqlparser::ast::ObjectName;

use super::{
    Inner,
    catalog::ColumnEntry,
    definition::{relation_of, schema_of},
    fault,
    information::type_word,
    object::database_of,
    planner::{Scope, parts_of},
};
use crate::{
    dialect::{
        SqlError,
        command::{Kind, Listed, Reach, Show},
        types::Type,
    },
    engine::{EngineError, Outcome},
    lake::{Constraint, ConstraintKind},
    names::{Identifier, RelationName, SchemaName, nearest},
};

/// Rows of text; a column's name that begins with `#` holds numbers, with `@` milliseconds since 1970.
type Rows = Vec<Vec<Option<String>>>;

pub(super) fn table(columns: &[&str], rows: &Rows) -> Result<Outcome, EngineError> {
    let mut fields = vec![];
    let mut arrays: Vec<ArrayRef> = vec![];
    for (i, name) in columns.iter().enumerate() {
        let values = rows.iter().map(|r| r.get(i).and_then(|v| v.as_deref()));
        if let Some(name) = name.strip_prefix('#') {
            fields.push(Field::new(name, DataType::Int64, true));
            arrays.push(std::sync::Arc::new(values.map(|v| v.and_then(|v| v.parse().ok())).collect::<Int64Array>()));
        } else if let Some(name) = name.strip_prefix('@') {
            let micros = values.map(|v| v.and_then(|v| v.parse::<i64>().ok()).map(|ms| ms * 1000));
            fields.push(Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true));
            arrays.push(std::sync::Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC")));
        } else {
            fields.push(Field::new(*name, DataType::Utf8, true));
            arrays.push(std::sync::Arc::new(values.collect::<StringArray>()));
        }
    }
    let schema = std::sync::Arc::new(Schema::new(fields));
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    let batch = RecordBatch::try_new_with_options(schema.clone(), arrays, &options)
        .map_err(|e| EngineError::new("engine/internal", e.to_string()))?;
    Ok(Outcome { schema, batches: vec![batch], is_query: true, rows_affected: None })
}

fn text(value: impl Into<String>) -> Option<String> {
    Some(value.into())
}

fn flag(value: bool) -> Option<String> {
    text(if value { "Y" } else { "N" })
}

/// Snowflake's patterns: `%` and `_`, case ignored.
fn like(pattern: &str, name: &str) -> bool {
    let mut regex = String::from("(?is)^");
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '%' => regex.push_str(".*"),
            '_' => regex.push('.'),
            '\\' => regex.push_str(&regex::escape(&chars.next().unwrap_or('\\').to_string())),
            c => regex.push_str(&regex::escape(&c.to_string())),
        }
    }
    regex.push('$');
    regex::Regex::new(&regex).is_ok_and(|r| r.is_match(name))
}

/// What SHOW's clauses leave of rows, by the name in column `at`.
fn kept(show: &Show, at: usize, mut rows: Rows) -> Rows {
    rows.retain(|r| {
        let name = r[at].as_deref().unwrap_or_default();
        show.like.as_ref().is_none_or(|p| like(p, name))
            && show.starts_with.as_ref().is_none_or(|p| name.starts_with(p.as_str()))
            && show.from.as_ref().is_none_or(|p| name > p.as_str())
    });
    rows.truncate(show.limit.unwrap_or(usize::MAX));
    rows
}

impl Inner {
    pub(super) async fn show(&self, show: &Show, scope: &Scope) -> Result<Outcome, EngineError> {
        let lake = |e| fault::lake(e);
        match show.listed {
            Listed::Databases => {
                let mut rows = vec![];
                for database in self.lake.databases().map_err(lake)? {
                    let file = self.lake.database_file(&database).map_err(lake)?;
                    let current = scope.schema.database == database;
                    rows.push(vec![
                        None,
                        text(database.as_str()),
                        text("N"),
                        flag(current),
                        text(""),
                        text(""),
                        text(file.comment.unwrap_or_default()),
                        text(if file.transient { "TRANSIENT" } else { "" }),
                        text("1"),
                        text("STANDARD"),
                    ]);
                }
                table(
                    &["@created_on", "name", "is_default", "is_current", "origin", "owner", "comment", "options", "retention_time", "kind"],
                    &kept(show, 1, rows),
                )
            }
            Listed::Schemas => {
                let database = match &show.reach {
                    Reach::Here | Reach::Schema(_) | Reach::Database(None) => Some(scope.schema.database.clone()),
                    Reach::Account => None,
                    Reach::Database(Some(name)) | Reach::Named(name) | Reach::Relation(name) => Some(self.known_database(name)?),
                };
                let mut rows = vec![];
                for each in self.lake.databases().map_err(lake)?.into_iter().filter(|d| database.as_ref().is_none_or(|w| w == d)) {
                    let mut schemas: Vec<SchemaName> =
                        self.lake.schemas().map_err(lake)?.into_iter().filter(|s| s.database == each).collect();
                    schemas.push(SchemaName::new(each.clone(), Identifier::exact("INFORMATION_SCHEMA")));
                    schemas.sort();
                    for schema in schemas {
                        let file = self.lake.schema_file(&schema).map_err(lake)?;
                        rows.push(vec![
                            None,
                            text(schema.schema.as_str()),
                            text("N"),
                            flag(scope.schema == schema),
                            text(schema.database.as_str()),
                            text(""),
                            text(file.comment.unwrap_or_default()),
                            text(if file.transient { "TRANSIENT" } else { "" }),
                            text("1"),
                        ]);
                    }
                }
                table(
                    &["@created_on", "name", "is_default", "is_current", "database_name", "owner", "comment", "options", "retention_time"],
                    &kept(show, 1, rows),
                )
            }
            Listed::Tables | Listed::Views | Listed::Objects => self.show_relations(show, scope).await,
            Listed::Columns => self.show_columns(show, scope).await,
            Listed::Sequences => {
                let mut rows = vec![];
                for schema in self.reached(&show.reach, scope)? {
                    for name in self.lake.sequences(&schema).map_err(lake)? {
                        let Some(s) = self.lake.sequence(&name).map_err(lake)? else { continue };
                        rows.push(vec![
                            text(name.name.as_str()),
                            text(schema.database.as_str()),
                            text(schema.schema.as_str()),
                            text(s.next.to_string()),
                            text(s.increment.to_string()),
                            None,
                            text(""),
                            text(s.comment.unwrap_or_default()),
                            flag(s.ordered),
                        ]);
                    }
                }
                table(
                    &["name", "database_name", "schema_name", "#next_value", "#interval", "@created_on", "owner", "comment", "ordered"],
                    &kept(show, 0, rows),
                )
            }
            Listed::UserFunctions | Listed::Functions => self.show_functions(show, scope),
            Listed::PrimaryKeys | Listed::UniqueKeys | Listed::ImportedKeys => self.show_keys(show, scope).await,
            Listed::Variables => {
                let rows = scope
                    .lowering
                    .variables
                    .iter()
                    .map(|(name, value)| {
                        let (value, kind) = match value {
                            sqlparser::ast::Expr::Value(v) => match &v.value {
                                sqlparser::ast::Value::Number(n, _) => (n.clone(), if n.contains('.') { "real" } else { "fixed" }),
                                sqlparser::ast::Value::SingleQuotedString(s) => (s.clone(), "text"),
                                other => (other.to_string().to_lowercase(), "boolean"),
                            },
                            other => (other.to_string(), "text"),
                        };
                        vec![None, None, None, text(name), text(value), text(kind), text("")]
                    })
                    .collect();
                table(&["#session_id", "@created_on", "@updated_on", "name", "value", "type", "comment"], &kept(show, 3, rows))
            }
            Listed::Parameters => {
                let rows = super::parameter::shown(scope)
                    .into_iter()
                    .map(|(name, value, default, kind)| {
                        let level = if value == default { "" } else { "SESSION" };
                        vec![text(name), text(value), text(default), text(level), text(""), text(kind)]
                    })
                    .collect();
                table(&["key", "value", "default", "level", "description", "type"], &kept(show, 0, rows))
            }
            Listed::Transactions => table(&["#id", "user", "session", "name", "@started_on", "state", "scope"], &vec![]),
            Listed::Nothing => table(&["@created_on", "name", "database_name", "schema_name", "owner", "comment"], &vec![]),
        }
    }

    fn known_database(&self, name: &ObjectName) -> Result<Identifier, EngineError> {
        let database = database_of(name)?;
        if self.lake.database_exists(&database) {
            return Ok(database);
        }
        let known = self.lake.databases().map_err(fault::lake)?;
        Err(unknown("database", database.as_str(), known.iter().map(Identifier::as_str)))
    }

    /// The schemas that a SHOW looks into.
    fn reached(&self, reach: &Reach, scope: &Scope) -> Result<Vec<SchemaName>, EngineError> {
        let all = || self.lake.schemas().map_err(fault::lake);
        let of = |database: &Identifier| -> Result<Vec<SchemaName>, EngineError> {
            Ok(all()?.into_iter().filter(|s| s.database == *database).collect())
        };
        let one = |name: &ObjectName| -> Result<Vec<SchemaName>, EngineError> {
            let schema = schema_of(name, &scope.schema)?;
            if self.lake.schema_exists(&schema) || schema == scope.schema || schema.schema.as_str() == "INFORMATION_SCHEMA" {
                return Ok(vec![schema]);
            }
            let known = all()?;
            Err(unknown("schema", &schema.to_string(), known.iter().map(|s| s.schema.as_str())))
        };
        match reach {
            Reach::Here | Reach::Schema(None) => Ok(vec![scope.schema.clone()]),
            Reach::Account => all(),
            Reach::Database(None) => of(&scope.schema.database),
            Reach::Database(Some(name)) => of(&self.known_database(name)?),
            Reach::Schema(Some(name)) => one(name),
            Reach::Relation(name) => Ok(vec![relation_of(name, &scope.schema)?.schema_name()]),
            // a bare name is a database if there is one, else a schema
            Reach::Named(name) => match self.known_database(name) {
                Ok(database) if parts_of(name).len() == 1 => of(&database),
                _ => one(name),
            },
        }
    }

    async fn show_relations(&self, show: &Show, scope: &Scope) -> Result<Outcome, EngineError> {
        let mut rows = vec![];
        for schema in self.reached(&show.reach, scope)? {
            for entry in self.lake.entries(&schema).map_err(fault::lake)? {
                if (show.listed == Listed::Tables && entry.is_view) || (show.listed == Listed::Views && !entry.is_view) {
                    continue;
                }
                let relation = &entry.relation;
                let base = [text(relation.name.as_str()), text(schema.database.as_str()), text(schema.schema.as_str())];
                if entry.is_view {
                    let Some(view) = self.lake.view(relation).map_err(fault::lake)? else { continue };
                    let created = self.lake.view_altered(relation).map(|t| t.to_string());
                    let secure = view.properties.contains_key("segue.secure");
                    let definition = view.properties.get("segue.text").cloned().unwrap_or(view.sql);
                    rows.push((base, "VIEW", created, view.comment.unwrap_or_default(), definition, secure, (None, None), String::new()));
                } else {
                    let Some(found) = self.lake.table(relation).await.map_err(fault::lake)? else { continue };
                    let properties = found.properties();
                    let kind = if self.lake.is_temporary(relation) {
                        "TEMPORARY"
                    } else if properties.contains_key("segue.transient") {
                        "TRANSIENT"
                    } else {
                        "TABLE"
                    };
                    let size = if show.terse {
                        (None, None)
                    } else {
                        let (rows, bytes) = found.size().await.map_err(fault::lake)?;
                        (Some(rows.to_string()), Some(bytes.to_string()))
                    };
                    let created = found.times().0.map(|t| t.to_string());
                    let cluster =
                        properties.get("segue.cluster_by").filter(|k| !k.is_empty()).map(|k| format!("LINEAR{k}")).unwrap_or_default();
                    rows.push((base, kind, created, found.comment().unwrap_or_default(), String::new(), false, size, cluster));
                }
            }
        }
        if show.terse {
            let rows = rows
                .into_iter()
                .map(|([name, database, schema], kind, created, ..)| vec![created, name, text(kind), database, schema])
                .collect();
            return table(&["@created_on", "name", "kind", "database_name", "schema_name"], &kept(show, 1, rows));
        }
        match show.listed {
            Listed::Views => {
                let rows = rows
                    .into_iter()
                    .map(|([name, database, schema], _, created, comment, definition, secure, ..)| {
                        let is = |b: bool| text(if b { "true" } else { "false" });
                        vec![
                            created,
                            name,
                            text(""),
                            database,
                            schema,
                            text(""),
                            text(comment),
                            text(definition),
                            is(secure),
                            is(false),
                            text(""),
                            text("OFF"),
                        ]
                    })
                    .collect();
                let columns = [
                    "@created_on",
                    "name",
                    "reserved",
                    "database_name",
                    "schema_name",
                    "owner",
                    "comment",
                    "text",
                    "is_secure",
                    "is_materialized",
                    "owner_role_type",
                    "change_tracking",
                ];
                table(&columns, &kept(show, 1, rows))
            }
            listed => {
                let objects = listed == Listed::Objects;
                let rows = rows
                    .into_iter()
                    .map(|([name, database, schema], kind, created, comment, _, _, (count, bytes), cluster)| {
                        let mut row = vec![
                            created,
                            name,
                            database,
                            schema,
                            text(kind),
                            text(comment),
                            text(cluster),
                            count,
                            bytes,
                            text(""),
                            text("1"),
                        ];
                        if !objects {
                            row.extend([text("OFF"), text("OFF"), text("N"), text("N"), text("N"), text("N")]);
                        } else {
                            row.extend([text(""), text("N"), text("N"), text("N")]);
                        }
                        row
                    })
                    .collect();
                let mut columns = vec![
                    "@created_on",
                    "name",
                    "database_name",
                    "schema_name",
                    "kind",
                    "comment",
                    "cluster_by",
                    "#rows",
                    "#bytes",
                    "owner",
                    "retention_time",
                ];
                columns.extend(if objects {
                    ["owner_role_type", "is_hybrid", "is_dynamic", "is_iceberg"].iter()
                } else {
                    ["automatic_clustering", "change_tracking", "is_external", "is_hybrid", "is_dynamic", "is_iceberg"].iter()
                });
                table(&columns, &kept(show, 1, rows))
            }
        }
    }

    async fn show_columns(&self, show: &Show, scope: &Scope) -> Result<Outcome, EngineError> {
        let relations: Vec<RelationName> = match &show.reach {
            Reach::Relation(name) => vec![relation_of(name, &scope.schema)?],
            Reach::Named(name) if self.listed(&relation_of(name, &scope.schema)?).await?.is_some() => {
                vec![relation_of(name, &scope.schema)?]
            }
            reach => {
                let mut relations = vec![];
                for schema in self.reached(reach, scope)? {
                    relations.extend(self.lake.entries(&schema).map_err(fault::lake)?.into_iter().map(|e| e.relation));
                }
                relations
            }
        };
        let mut rows = vec![];
        for relation in relations {
            let Some(columns) = self.listed(&relation).await? else {
                return Err(self.unknown_relation(&relation));
            };
            for c in columns {
                rows.push(vec![
                    text(relation.name.as_str()),
                    text(relation.schema.as_str()),
                    text(c.name.clone()),
                    text(json_type(&c)),
                    text(if c.rules.not_null { "NOT_NULL" } else { "true" }),
                    text(c.rules.default.clone().unwrap_or_default()),
                    text("COLUMN"),
                    text(""),
                    text(c.comment.clone().unwrap_or_default()),
                    text(relation.database.as_str()),
                    text(c.rules.identity.map(|i| i.to_string()).unwrap_or_default()),
                ]);
            }
        }
        let columns = [
            "table_name",
            "schema_name",
            "column_name",
            "data_type",
            "null?",
            "default",
            "kind",
            "expression",
            "comment",
            "database_name",
            "autoincrement",
        ];
        table(&columns, &kept(show, 2, rows))
    }

    fn show_functions(&self, show: &Show, scope: &Scope) -> Result<Outcome, EngineError> {
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

    async fn show_keys(&self, show: &Show, scope: &Scope) -> Result<Outcome, EngineError> {
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

    /// No such table or view, with the nearest name of its schema.
    pub(super) fn unknown_relation(&self, relation: &RelationName) -> EngineError {
        let entries = self.lake.entries(&relation.schema_name()).unwrap_or_default();
        unknown_with("sql/unknown-table", "table or view", &relation.to_string(), relation.name.as_str(), {
            entries.iter().map(|e| e.relation.name.as_str())
        })
    }
}

fn unknown<'a>(what: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> EngineError {
    let code = if what == "schema" { "sql/unknown-schema" } else { "sql/unknown-database" };
    unknown_with(code, what, name, name.rsplit('.').next().unwrap_or(name), known)
}

fn unknown_with<'a>(code: &'static str, what: &str, shown: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> EngineError {
    let error = EngineError::new(code, format!("there is no {what} `{shown}`"));
    match nearest(name, known) {
        Some(near) => error.help(format!("there is `{near}`")),
        None => error,
    }
}

/// The JSON that SHOW COLUMNS gives as `data_type`.
fn json_type(column: &ColumnEntry) -> String {
    let nullable = !column.rules.not_null;
    let json = match column.data_type {
        Type::Number { precision, scale } => {
            serde_json::json!({"type": "FIXED", "precision": precision, "scale": scale, "nullable": nullable})
        }
        Type::Float => serde_json::json!({"type": "REAL", "nullable": nullable}),
        Type::Varchar => {
            let length = column.rules.length.unwrap_or(16_777_216);
            serde_json::json!({"type": "TEXT", "length": length, "byteLength": (length * 4).min(16_777_216), "nullable": nullable, "fixed": false})
        }
        Type::Binary => {
            let length = column.rules.length.unwrap_or(8_388_608);
            serde_json::json!({"type": "BINARY", "length": length, "byteLength": length, "nullable": nullable, "fixed": true})
        }
        other => {
            let word = type_word(other);
            if word.starts_with("TIME") {
                serde_json::json!({"type": word, "precision": 0, "scale": 9, "nullable": nullable})
            } else {
                serde_json::json!({"type": word, "nullable": nullable})
            }
        }
    };
    json.to_string()
}

#[cfg(test)]
mod tests {
    use super::like;

    #[test]
    fn patterns_ignore_case_and_take_wildcards() {
        for (pattern, name, expected) in
            [("t%", "TABLE", true), ("_", "A", true), ("a.b", "AxB", false), ("x\\_y", "x_y", true), ("x\\_y", "xzy", false)]
        {
            assert_eq!(like(pattern, name), expected, "{pattern} {name}");
        }
    }
}
