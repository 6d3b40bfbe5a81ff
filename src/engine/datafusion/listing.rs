//! SHOW, with Snowflake's columns.

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
        command::{Listed, Reach, Show},
        types::Type,
    },
    engine::{EngineError, Outcome},
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

pub(super) fn text(value: impl Into<String>) -> Option<String> {
    Some(value.into())
}

pub(super) fn flag(value: bool) -> Option<String> {
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
pub(super) fn kept(show: &Show, at: usize, mut rows: Rows) -> Rows {
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
                let rows = super::parameter::shown(self.settings())
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

    pub(super) fn known_database(&self, name: &ObjectName) -> Result<Identifier, EngineError> {
        let database = database_of(name)?;
        if self.lake.database_exists(&database) {
            return Ok(database);
        }
        let known = self.lake.databases().map_err(fault::lake)?;
        Err(unknown("database", database.as_str(), known.iter().map(Identifier::as_str)))
    }

    /// The schemas that a SHOW looks into.
    pub(super) fn reached(&self, reach: &Reach, scope: &Scope) -> Result<Vec<SchemaName>, EngineError> {
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
                let view = if entry.is_view { self.lake.view(&entry.relation).map_err(fault::lake)? } else { None };
                if view.as_ref().is_some_and(|v| v.external.is_some()) {
                    // Snowflake lists them by a statement of their own
                    continue;
                }
                if (show.listed == Listed::Tables && entry.is_view) || (show.listed == Listed::Views && !entry.is_view) {
                    continue;
                }
                let relation = &entry.relation;
                let base = [text(relation.name.as_str()), text(schema.database.as_str()), text(schema.schema.as_str())];
                if entry.is_view {
                    let Some(view) = view else { continue };
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
                    None,
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
            "schema_evolution_record",
        ];
        table(&columns, &kept(show, 2, rows))
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
