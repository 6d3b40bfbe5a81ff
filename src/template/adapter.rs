//! `adapter.*`: dispatch to the engine's variant of a macro, and questions to the warehouse.
//!
//! While collecting there is no warehouse: nothing exists, lists are empty.

use super::{
    jinja::{Args, Eval, Expect, Fault, Key, Machine, Value, display, file_macro},
    relation::{Column, Relation},
    results::Table,
    session::Session,
    warehouse::Cell,
};
use crate::names::{Identifier, RelationName, SchemaName};

impl Session<'_> {
    pub(super) fn adapter(&self, machine: &mut Machine<'_>, name: &str, args: &mut Args) -> Eval<Option<Value>> {
        let failed = |message: String| Fault::new("template/warehouse", message);
        Ok(Some(match name {
            "dispatch" => {
                let [name, namespace, _] = args.bind_required::<1, 3>(name, ["macro_name", "macro_namespace", "packages"])?;
                let name = display(&name.unwrap_or(Value::None));
                let namespace = namespace.filter(|n| !n.is_none()).map(|n| display(&n));
                self.dispatch(&name, namespace.as_deref())?
            }
            "get_relation" | "load_relation" | "already_exists" => {
                let relation = match name {
                    // dbt documentation, "adapter": `already_exists(schema, name)`
                    "already_exists" => {
                        let [schema, identifier] = args.bind_required::<2, 2>(name, ["schema", "name"])?;
                        let part = |v: Option<Value>| Identifier::parse(&display(&v.unwrap_or(Value::None)));
                        Some(RelationName::new(self.target_part("database"), part(schema), part(identifier)))
                    }
                    _ => self.relation_argument(name, args)?,
                };
                let (Some(relation), true) = (relation, self.execute()) else {
                    return Ok(Some(if name == "already_exists" { Value::Bool(false) } else { Value::None }));
                };
                let found = self.warehouse.relation(&relation).map_err(failed)?;
                if name == "already_exists" {
                    return Ok(Some(Value::Bool(found.is_some())));
                }
                found.map_or(Value::None, |facts| Value::object(Relation::named(&relation, None, &facts.kind)))
            }
            "get_columns_in_relation" => {
                let relation = args.single(name, "relation")?;
                Value::list(self.columns(&relation)?.into_iter().map(Value::object).collect())
            }
            "get_column_schema_from_query" => {
                let [sql, _] = args.bind_required::<1, 2>(name, ["sql", "sql_header"])?;
                let sql = display(&sql.unwrap_or(Value::None));
                if !self.execute() {
                    return Ok(Some(Value::list(vec![])));
                }
                let sql = format!("select * from (\n{}\n) as __dbt_sbq where false limit 0", sql.trim().trim_end_matches(';'));
                let table = self.warehouse.query(&sql).map_err(failed)?;
                let types = table.types.into_iter().chain(std::iter::repeat(String::new()));
                Value::list(
                    table.columns.into_iter().zip(types).map(|(name, data_type)| Value::object(Column { name, data_type })).collect(),
                )
            }
            "get_missing_columns" => {
                let [from, to] = args.bind_required::<2, 2>(name, ["from_relation", "to_relation"])?;
                let (from, to) = (self.columns(&from.unwrap_or(Value::None))?, self.columns(&to.unwrap_or(Value::None))?);
                let missing = from.into_iter().filter(|c| !to.iter().any(|t| t.name.eq_ignore_ascii_case(&c.name)));
                Value::list(missing.map(Value::object).collect())
            }
            "list_relations_without_caching" | "list_relations" => {
                let given: Vec<Value> = match name {
                    "list_relations" => args.bind::<2>(name, ["database", "schema"])?.into_iter().flatten().collect(),
                    _ if args.positional.len() > 1 => std::mem::take(&mut args.positional),
                    _ => args.bind::<1>(name, ["schema_relation"])?.into_iter().flatten().collect(),
                };
                let schema = match given.as_slice() {
                    [database, schema] => SchemaName::new(Identifier::parse(&display(database)), Identifier::parse(&display(schema))),
                    [one] => match one.downcast::<Relation>().and_then(Relation::name) {
                        Some(name) => name.schema_name(),
                        None => SchemaName::new(self.target_part("database"), Identifier::parse(&display(one))),
                    },
                    _ => return Err(Fault::kind(format!("`{name}` takes a database and a schema"))),
                };
                if !self.execute() {
                    return Ok(Some(Value::list(vec![])));
                }
                let found = self.warehouse.relations(&schema).map_err(failed)?;
                Value::list(found.into_iter().map(|(n, facts)| Value::object(Relation::named(&n, None, &facts.kind))).collect())
            }
            "check_schema_exists" => {
                let [database, schema] = args.bind_required::<2, 2>(name, ["database", "schema"])?;
                let part = |v: Option<Value>| Identifier::parse(&display(&v.unwrap_or(Value::None)));
                let (database, schema) = (part(database), part(schema));
                if !self.execute() {
                    return Ok(Some(Value::Bool(false)));
                }
                // one without relations is there too
                let name = schema.as_str().replace('\'', "''");
                let sql = format!("select count(*) from {database}.information_schema.schemata where schema_name = '{name}'");
                let found = self.warehouse.query(&sql).map_err(failed)?;
                Value::Bool(matches!(found.rows.first().and_then(|r| r.first()), Some(Cell::Int(n)) if *n > 0))
            }
            "execute" => {
                let [sql, _, fetch, _] = args.bind_required::<1, 4>(name, ["sql", "auto_begin", "fetch", "limit"])?;
                self.run(&display(&sql.unwrap_or(Value::None)), fetch.is_some_and(|f| f.is_true()))?
            }
            "create_schema" | "drop_schema" | "drop_relation" | "truncate_relation" => {
                let relation = args.single(name, "relation")?;
                let Some(relation) = relation.downcast::<Relation>().cloned() else {
                    return Err(Fault::kind(format!("`{name}` needs a relation, not `{}`", relation.type_name())));
                };
                let sql = match (name, relation.name()) {
                    ("create_schema", _) => format!("create schema if not exists {}", relation.schema()),
                    ("drop_schema", _) => format!("drop schema if exists {} cascade", relation.schema()),
                    ("truncate_relation", _) => format!("truncate table {}", relation.render()),
                    ("drop_relation", Some(n)) if self.execute() => match self.warehouse.relation(&n).map_err(failed)? {
                        Some(facts) => format!("drop {} if exists {n}", facts.kind),
                        None => return Ok(Some(Value::text(""))),
                    },
                    _ => return Ok(Some(Value::text(""))),
                };
                self.run(&sql, false)?;
                Value::text("")
            }
            "rename_relation" => {
                let [from, to] = args.bind_required::<2, 2>(name, ["from_relation", "to_relation"])?;
                let (from, to) = (display(&from.unwrap_or(Value::None)), display(&to.unwrap_or(Value::None)));
                self.run(&format!("alter table {from} rename to {to}"), false)?;
                Value::text("")
            }
            "quote" => {
                let identifier = display(&args.single(name, "identifier")?);
                Value::text(format!("\"{}\"", identifier.replace('"', "\"\"")))
            }
            // identifiers are not quoted by default, as in dbt's Snowflake adapter
            "quote_as_configured" | "quote_seed_column" => {
                let [identifier, quoted] = args.bind_required::<1, 2>(name, ["identifier", "quote"])?;
                let identifier = display(&identifier.unwrap_or(Value::None));
                let quoted = matches!(quoted, Some(Value::Bool(true)));
                Value::text(if quoted { format!("\"{identifier}\"") } else { identifier })
            }
            "type" => {
                args.nothing(name)?;
                self.environment.context().target.get("type").map_or(Value::None, Value::from_json)
            }
            "is_replaceable" | "is_before_or_after_supported" => Value::Bool(true),
            "valid_snapshot_target" | "assert_valid_snapshot_target_given_strategy" => Value::text(""),
            "add_query" => {
                let [sql, ..] = args.bind_required::<1, 4>(name, ["sql", "auto_begin", "bindings", "abridge_sql_log"])?;
                self.run(&display(&sql.unwrap_or(Value::None)), false)?
            }
            "clear_transaction" | "commit_if_has_connection" => Value::text(""),
            "nice_connection_name" | "connection_name" => Value::text(self.node.unique_id.as_str()),
            "date_function" => {
                args.nothing(name)?;
                Value::text("current_timestamp()")
            }
            "expand_target_column_types" | "commit" | "cache_added" | "cache_dropped" | "cache_renamed" | "verify_database" => {
                Value::text("")
            }
            // while collecting nobody is asked, whatever the question
            _ if !self.execute() => Value::text(""),
            _ => {
                let _ = machine;
                return Ok(None);
            }
        }))
    }

    /// Project macros before the package's before the built-in ones; in each, the engine's variant first (dbt documentation,
    /// "About dispatch config").
    fn dispatch(&self, name: &str, namespace: Option<&str>) -> Eval<Value> {
        if name.contains('.') {
            let (package, rest) = name.split_once('.').unwrap_or((name, name));
            return Err(Fault::kind("`adapter.dispatch` takes a macro's name without its package")
                .help(format!("write `adapter.dispatch('{rest}', '{package}')`")));
        }
        let context = self.environment.context();
        let prefixes: &[&str] = match context.engine_of(self.node.config.get("engine")) {
            "snowflake" => &["snowflake", "default"],
            _ => &["datafusion", "snowflake", "default"],
        };
        let configured = namespace.and_then(|n| context.dispatch.get(n));
        let packages: Vec<&str> = match (configured, namespace) {
            (Some(order), _) => order.iter().map(String::as_str).collect(),
            (None, Some(namespace)) => vec![&context.project_name, namespace],
            (None, None) => vec![&self.node.package, &context.project_name, super::BUILTIN_PACKAGE],
        };
        let mut searched = vec![];
        for package in packages {
            for prefix in prefixes {
                let candidate = format!("{prefix}__{name}");
                if let Some(def) = self.environment.package(package).and_then(|macros| macros.get(candidate.as_str())) {
                    return Ok(file_macro(def));
                }
                let candidate = format!("`{package}.{candidate}`");
                if !searched.contains(&candidate) {
                    searched.push(candidate);
                }
            }
        }
        Err(Fault::new("template/dispatch", format!("no variant of the macro `{name}` for this engine"))
            .help(format!("searched for {}", searched.join(", "))))
    }

    fn relation_argument(&self, function: &str, args: &mut Args) -> Eval<Option<RelationName>> {
        if let [one] = args.positional.as_slice()
            && let Some(relation) = one.downcast::<Relation>()
        {
            return Ok(relation.name());
        }
        let [database, schema, identifier] = args.bind(function, ["database", "schema", "identifier"])?;
        let part = |v: Option<Value>, default: &str| match v.filter(|v| v.is_true()) {
            Some(v) => Identifier::parse(&display(&v)),
            None => self.target_part(default),
        };
        let Some(identifier) = identifier.filter(|i| i.is_true()) else { return Ok(None) };
        let identifier = Identifier::parse(&display(&identifier));
        Ok(Some(RelationName::new(part(database, "database"), part(schema, "schema"), identifier)))
    }

    fn columns(&self, relation: &Value) -> Eval<Vec<Column>> {
        let Some(relation) = relation.downcast::<Relation>() else {
            return Err(Fault::kind(format!("columns need a relation, not `{}`", relation.type_name())));
        };
        match relation.name() {
            Some(name) if self.execute() => {
                let columns = self.warehouse.columns(&name).map_err(|message| Fault::new("template/warehouse", message))?;
                Ok(columns.into_iter().map(|c| Column { name: c.name, data_type: c.data_type }).collect())
            }
            _ => Ok(vec![]),
        }
    }

    /// `(response, table)`
    fn run(&self, sql: &str, fetch: bool) -> Eval<Value> {
        if !self.execute() {
            return Ok(Value::tuple(vec![Value::text(""), Value::None]));
        }
        let table = self.warehouse.query(sql).map_err(|message| {
            Fault::new("template/query", format!("a query of the template failed: {message}")).help(format!("it was: {}", sql.trim()))
        })?;
        let affected = table.rows_affected.map_or(Value::None, |n| Value::Int(n as i64));
        let response = [("_message", Value::text(table.message.as_str())), ("code", Value::text("SUCCESS")), ("rows_affected", affected)];
        let response = Value::dict(response.into_iter().map(|(k, v)| (Key::text(k), v)).collect());
        let table = if fetch { table } else { Default::default() };
        Ok(Value::tuple(vec![response, Value::object(Table::new(table))]))
    }
}

/// `api.Column.create(name, dtype)` and its class methods.
pub(super) fn column(function: &str, args: &mut Args) -> Eval<Option<Value>> {
    Ok(Some(match function {
        "create" | "from_description" => {
            let [name, data_type] = args.bind_required::<2, 2>(function, ["name", "label_or_dtype"])?;
            let text = |v: Option<Value>| display(&v.unwrap_or(Value::None));
            Value::object(Column { name: text(name), data_type: text(data_type) })
        }
        "translate_type" => {
            let name = args.single(function, "dtype")?;
            let translated = match name.expect_str("the type")?.to_uppercase().as_str() {
                "STRING" => "VARCHAR".to_owned(),
                other => other.to_owned(),
            };
            Value::text(translated)
        }
        "string_type" => Value::text(format!("VARCHAR({})", display(&args.single(function, "size")?))),
        "numeric_type" => {
            let [kind, precision, scale] = args.bind_required::<3, 3>(function, ["dtype", "precision", "scale"])?;
            let text = |v: Option<Value>| display(&v.unwrap_or(Value::None));
            Value::text(format!("{}({},{})", text(kind), text(precision), text(scale)))
        }
        _ => return Ok(None),
    }))
}
