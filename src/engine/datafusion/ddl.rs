//! GET_DDL: the statement that makes an object again.

use std::{collections::BTreeMap, ops::ControlFlow};

use sqlparser::ast::{Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Query, Value, VisitMut, VisitorMut};

use super::{
    Inner, fault,
    object::{missing, overload_at},
    planner::{Scope, resolve},
};
use crate::{
    dialect::{command::Kind, parse},
    engine::EngineError,
    lake::{Constraint, ConstraintKind},
    names::{Identifier, RelationName},
};

fn literals(f: &Function) -> Option<Vec<String>> {
    let FunctionArguments::List(list) = &f.args else { return None };
    list.args
        .iter()
        .map(|a| match a {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(v))) => match &v.value {
                Value::SingleQuotedString(s) => Some(s.clone()),
                Value::Boolean(b) => Some(b.to_string()),
                _ => None,
            },
            _ => None,
        })
        .collect()
}

/// Calls with literal arguments: first collected, then replaced by the statements.
#[derive(Default)]
struct Calls {
    wanted: Vec<Vec<String>>,
    known: BTreeMap<Vec<String>, String>,
}

impl VisitorMut for Calls {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Expr::Function(f) = expr else { return ControlFlow::Continue(()) };
        if !f.name.to_string().eq_ignore_ascii_case("get_ddl") {
            return ControlFlow::Continue(());
        }
        let Some(arguments) = literals(f) else { return ControlFlow::Continue(()) };
        match self.known.get(&arguments) {
            Some(text) => *expr = Expr::Value(Value::SingleQuotedString(text.clone()).with_empty_span()),
            None => self.wanted.push(arguments),
        }
        ControlFlow::Continue(())
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

impl Inner {
    /// Calls of GET_DDL in a query become the texts.
    pub(super) async fn put_ddl(&self, query: &mut Query, scope: &Scope) -> Result<(), EngineError> {
        let mut calls = Calls::default();
        let _ = query.visit(&mut calls);
        if calls.wanted.is_empty() {
            return Ok(());
        }
        for arguments in std::mem::take(&mut calls.wanted) {
            let text = self.ddl(&arguments, scope).await?;
            calls.known.insert(arguments, text);
        }
        let _ = query.visit(&mut calls);
        Ok(())
    }

    async fn ddl(&self, arguments: &[String], scope: &Scope) -> Result<String, EngineError> {
        let (Some(kind), Some(name)) = (arguments.first(), arguments.get(1)) else {
            return Err(EngineError::new("sql/arguments", "GET_DDL takes the type of an object and its name"));
        };
        let full = arguments.get(2).is_some_and(|f| f.eq_ignore_ascii_case("true"));
        let (name, types) = match name.split_once('(') {
            Some((name, types)) => {
                (name, types.trim_end_matches(')').split(',').map(|t| t.trim().to_owned()).filter(|t| !t.is_empty()).collect())
            }
            None => (name.as_str(), vec![]),
        };
        let parsed = parse::parse_expression(name).map_err(|_| EngineError::new("sql/name", format!("`{name}` is not a name")))?;
        let parts: Vec<String> = match parsed {
            Expr::Identifier(i) => vec![crate::dialect::lower::stored(&i)],
            Expr::CompoundIdentifier(parts) => parts.iter().map(crate::dialect::lower::stored).collect(),
            _ => return Err(EngineError::new("sql/name", format!("`{name}` is not a name"))),
        };
        let Some(relation) = resolve(&parts, &scope.schema) else {
            return Err(EngineError::new("sql/name", format!("`{name}` is not a name")));
        };
        match kind.to_uppercase().as_str() {
            "TABLE" | "VIEW" => self.relation_ddl(&relation, full).await,
            "SEQUENCE" => {
                let Some(s) = self.lake.sequence(&relation).map_err(fault::lake)? else { return Err(missing("sequence", &relation)) };
                let order = if s.ordered { "order" } else { "noorder" };
                let comment = s.comment.map(|c| format!(" COMMENT={}", quoted(&c))).unwrap_or_default();
                let shown = shown(&relation, full);
                Ok(format!("create or replace sequence {shown} start with {} increment by {} {order}{comment};", s.start, s.increment))
            }
            "FUNCTION" => {
                let file = self.lake.function(&relation).map_err(fault::lake)?.unwrap_or_default();
                let Some(at) = overload_at(&file, &types) else { return Err(missing("function", &relation)) };
                let o = &file.overloads[at];
                let list = |list: &[crate::lake::FunctionArgument]| {
                    list.iter().map(|a| format!("{} {}", Identifier::exact(&*a.name), a.data_type)).collect::<Vec<_>>().join(", ")
                };
                let returns = if o.columns.is_empty() { o.returns.clone() } else { format!("TABLE ({})", list(&o.columns)) };
                let secure = if o.secure { " SECURE" } else { "" };
                Ok(format!(
                    "CREATE OR REPLACE{secure} FUNCTION {}({})\nRETURNS {returns}\nLANGUAGE SQL\nAS {};",
                    shown(&relation, full),
                    list(&o.arguments),
                    quoted(&o.body)
                ))
            }
            "SCHEMA" => {
                let schema = match parts.as_slice() {
                    [s] => crate::names::SchemaName::new(scope.schema.database.clone(), Identifier::exact(s.clone())),
                    [d, s] => crate::names::SchemaName::new(Identifier::exact(d.clone()), Identifier::exact(s.clone())),
                    _ => return Err(missing(Kind::Schema.word(), &name)),
                };
                if !self.lake.schema_exists(&schema) {
                    return Err(missing("schema", &schema));
                }
                let mut text = format!("create or replace schema {};\n", schema.schema);
                for entry in self.lake.entries(&schema).map_err(fault::lake)? {
                    text.push('\n');
                    text.push_str(&self.relation_ddl(&entry.relation, full).await?);
                    text.push('\n');
                }
                Ok(text)
            }
            other => Err(fault::sql(crate::dialect::SqlError::unsupported(format!("GET_DDL of {other}")))),
        }
    }

    async fn relation_ddl(&self, relation: &RelationName, full: bool) -> Result<String, EngineError> {
        if let Some(view) = self.lake.view(relation).map_err(fault::lake)? {
            if view.external.is_some() {
                let what = format!("GET_DDL of `{relation}`, whose files are read in place");
                return Err(fault::sql(crate::dialect::SqlError::unsupported(what)));
            }
            if let Some(text) = view.properties.get("segue.text") {
                return Ok(format!("{text};"));
            }
            let columns: Vec<String> = view.columns.iter().map(|c| format!("\t{}", Identifier::exact(&*c.name))).collect();
            return Ok(format!("create or replace view {}(\n{}\n) as {};", shown(relation, full), columns.join(",\n"), view.sql));
        }
        let Some(columns) = self.listed(relation).await? else { return Err(self.unknown_relation(relation)) };
        let table = self.existing_table(relation).await?;
        let properties = table.properties();
        let mut lines: Vec<String> = columns
            .iter()
            .map(|c| {
                let mut line = format!("\t{} {}", Identifier::exact(&*c.name), c.shown_type());
                if c.rules.not_null {
                    line.push_str(" NOT NULL");
                }
                if let Some(default) = &c.rules.default {
                    line.push_str(&format!(" DEFAULT {default}"));
                }
                if let Some(i) = c.rules.identity {
                    let order = if i.ordered { "order" } else { "noorder" };
                    line.push_str(&format!(" autoincrement start {} increment {} {order}", i.start, i.increment));
                }
                if let Some(comment) = &c.comment {
                    line.push_str(&format!(" COMMENT {}", quoted(comment)));
                }
                line
            })
            .collect();
        for constraint in Constraint::list(&properties) {
            let list = |names: &[String]| names.iter().map(|n| Identifier::exact(&**n).to_string()).collect::<Vec<_>>().join(", ");
            let name = if constraint.name.starts_with("SYS_CONSTRAINT_") {
                String::new()
            } else {
                format!("constraint {} ", Identifier::exact(&*constraint.name))
            };
            let kind = constraint.kind.words().to_lowercase();
            let references = match (&constraint.kind, &constraint.references) {
                (ConstraintKind::ForeignKey, Some((table, columns))) => format!(" references {table}({})", list(columns)),
                _ => String::new(),
            };
            lines.push(format!("\t{name}{kind} ({}){references}", list(&constraint.columns)));
        }
        let transient = if properties.contains_key("segue.transient") { "TRANSIENT " } else { "" };
        let cluster = properties.get("segue.cluster_by").filter(|k| !k.is_empty()).map(|k| format!(" cluster by {k}")).unwrap_or_default();
        let comment = table.comment().filter(|c| !c.is_empty()).map(|c| format!("COMMENT={}", quoted(&c))).unwrap_or_default();
        Ok(format!("create or replace {transient}TABLE {}{cluster} (\n{}\n){comment};", shown(relation, full), lines.join(",\n")))
    }
}

fn shown(relation: &RelationName, full: bool) -> String {
    if full { relation.to_string() } else { relation.name.to_string() }
}
