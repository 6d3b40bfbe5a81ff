//! What a query names beside tables and library functions, put in place before the lowering: SQL functions become their
//! bodies, sequences and RESULT_SCAN and older versions of tables become local relations, PIVOT's ANY becomes a list.

use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc};

use ::datafusion::logical_expr::ScalarUDF;
use sqlparser::ast::{
    CastKind, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Query, Spanned, Statement, TableAlias,
    TableFactor, TableVersion, Value, VisitMut, VisitorMut,
};

use super::{
    Inner,
    counter::next_value,
    fault,
    planner::{Scope, parts_of, resolve},
};
use crate::{
    dialect::{SqlError, literal, lower, parse},
    engine::EngineError,
    lake::{FunctionFile, FunctionOverload, LakeTable},
    names::{Identifier, RelationName, SchemaName},
};

/// Functions that call functions: deeper than any honest library.
const CALL_DEPTH: usize = 24;

/// What a prepared query needs beside its tables.
#[derive(Default)]
pub(super) struct Prepared {
    /// `(local name, table, AT or BEFORE)`
    versions: Vec<(String, RelationName, Expr)>,
    pub sequences: BTreeMap<String, Arc<ScalarUDF>>,
}

struct Preparation<'a> {
    engine: &'a Inner,
    scope: &'a Scope,
    sql: &'a str,
    prepared: Prepared,
    local: Vec<(String, Arc<dyn ::datafusion::catalog::TableProvider>)>,
    depth: usize,
}

impl Inner {
    /// Prepares a query in place; the scope gains the local relations it needs.
    pub(super) async fn prepare(&self, sql: &str, query: &mut Query, scope: &mut Scope) -> Result<(), EngineError> {
        let snapshot = scope.clone();
        let mut preparation = Preparation { engine: self, scope: &snapshot, sql, prepared: Prepared::default(), local: vec![], depth: 0 };
        if let ControlFlow::Break(error) = query.visit(&mut preparation) {
            return Err(error);
        }
        let Preparation { prepared, local, .. } = preparation;
        scope.local.extend(local);
        scope.sequences.extend(prepared.sequences);
        for (name, relation, at) in prepared.versions {
            // planned only: an older version has the columns of today
            if let Some(shapes) = &self.shapes
                && let Some(known) = shapes.provider(&relation)?
            {
                scope.local.insert(name, known);
                continue;
            }
            let table = self.existing_table(&relation).await?;
            let table = self.at_version(table, &at, &snapshot).await?;
            scope.local.insert(name, table.provider(&self.state, None).await.map_err(fault::lake)?);
        }
        self.list_pivots(sql, query, scope).await
    }

    /// The table at the version that `AT (...)` or `BEFORE (...)` names: TIMESTAMP, OFFSET in seconds, or VERSION, the
    /// number of its Delta commit.
    pub(super) async fn at_version(&self, table: LakeTable, at: &Expr, scope: &Scope) -> Result<LakeTable, EngineError> {
        let wrong =
            || EngineError::new("sql/time-travel", "AT and BEFORE take one of TIMESTAMP => time, OFFSET => seconds, VERSION => number");
        let Expr::Function(Function { name, args: FunctionArguments::List(list), .. }) = at else { return Err(wrong()) };
        let before = name.to_string().eq_ignore_ascii_case("before");
        let [argument] = list.args.as_slice() else { return Err(wrong()) };
        let (word, value) = match argument {
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(e), .. } => (name.value.to_uppercase(), e),
            FunctionArg::ExprNamed { name: Expr::Identifier(name), arg: FunctionArgExpr::Expr(e), .. } => (name.value.to_uppercase(), e),
            _ => return Err(wrong()),
        };
        let relation = table.relation().clone();
        let millis = match word.as_str() {
            "OFFSET" => {
                let sql = format!("select cast(({value}) * 1000 as int)");
                chrono::Utc::now().timestamp_millis() + self.count(&sql, scope).await?
            }
            "TIMESTAMP" => {
                let sql = format!("select date_part('epoch_millisecond', ({value})::timestamp_ltz)");
                self.count(&sql, scope).await?
            }
            "VERSION" => {
                let version = self.count(&format!("select cast(({value}) as int)"), scope).await? - i64::from(before);
                let newest = table.version();
                let wanted = u64::try_from(version).ok().filter(|v| *v <= newest);
                let Some(wanted) = wanted else {
                    return Err(EngineError::new(
                        "sql/time-travel",
                        format!("the table `{relation}` has no version {version}; its newest is {newest}"),
                    ));
                };
                return table.at_version(wanted).await.map_err(fault::lake);
            }
            "STATEMENT" | "STREAM" => {
                return Err(fault::sql(SqlError::unsupported(format!("{word} in AT and BEFORE")).help("use TIMESTAMP, OFFSET or VERSION")));
            }
            _ => return Err(wrong()),
        };
        match table.version_at(millis, before) {
            Some(version) => table.at_version(version).await.map_err(fault::lake),
            None => Err(EngineError::new("sql/time-travel", format!("the table `{relation}` has no data for that time"))
                .help("the time is before its creation, or its history is gone")),
        }
    }

    /// A function's body can be planned with its arguments.
    pub(super) async fn check_function(&self, name: &RelationName, overload: &FunctionOverload) -> Result<(), EngineError> {
        let arguments: Vec<Expr> = overload
            .arguments
            .iter()
            .map(|a| {
                let null = Expr::Value(Value::Null.with_empty_span());
                cast_to(null, &a.data_type)
            })
            .collect::<Result<_, _>>()?;
        let scope = Scope::new(name.schema_name());
        let body = body_of(name, overload, arguments)?;
        let sql = match &body {
            Body::Scalar(expr) => format!("select {}", literal::print(expr)),
            Body::Table(query) => literal::print(query.as_ref()),
        };
        let plan = self.plan_query(&sql, &scope).await.map_err(|e| EngineError {
            at: None,
            notes: vec![format!("in the body of the function `{name}`")],
            ..e
        })?;
        if !overload.columns.is_empty() && plan.schema().fields().len() != overload.columns.len() {
            return Err(EngineError::new(
                "sql/column-count",
                format!("the function returns {} columns, its query has {}", overload.columns.len(), plan.schema().fields().len()),
            ));
        }
        Ok(())
    }
}

enum Body {
    Scalar(Expr),
    Table(Box<Query>),
}

fn cast_to(expr: Expr, data_type: &str) -> Result<Expr, EngineError> {
    Ok(Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(expr),
        data_type: parse::parse_type(data_type).map_err(fault::sql)?,
        array: false,
        format: None,
    })
}

/// The body with arguments in the place of their names, and its relations fully named.
fn body_of(name: &RelationName, overload: &FunctionOverload, arguments: Vec<Expr>) -> Result<Body, EngineError> {
    let noted = |e: SqlError| EngineError { at: None, notes: vec![format!("in the body of the function `{name}`")], ..fault::sql(e) };
    let mut bound = BTreeMap::new();
    for (argument, value) in overload.arguments.iter().zip(arguments) {
        bound.insert(argument.name.clone(), Expr::Nested(Box::new(cast_to(value, &argument.data_type)?)));
    }
    let schema = SchemaName::new(Identifier::exact(overload.database.clone()), Identifier::exact(overload.schema.clone()));
    let mut binding = Binding { bound, schema, ctes: vec![] };
    let first = overload.body.split_whitespace().next().unwrap_or_default().to_uppercase();
    let is_query = matches!(first.as_str(), "SELECT" | "WITH" | "VALUES") || first.starts_with("(SELECT");
    if !is_query && overload.columns.is_empty() {
        let mut expr = parse::parse_expression(&overload.body).map_err(noted)?;
        let _ = expr.visit(&mut binding);
        return Ok(Body::Scalar(Expr::Nested(Box::new(cast_to(expr, &overload.returns)?))));
    }
    let Statement::Query(mut query) = parse::parse_statement(&overload.body).map_err(noted)? else {
        return Err(EngineError::new("sql/function", format!("the body of `{name}` is not a query")));
    };
    let _ = query.visit(&mut binding);
    if overload.columns.is_empty() {
        return Ok(Body::Scalar(Expr::Nested(Box::new(cast_to(Expr::Subquery(query), &overload.returns)?))));
    }
    Ok(Body::Table(query))
}

/// Arguments and names of relations in a function's body.
struct Binding {
    bound: BTreeMap<String, Expr>,
    schema: SchemaName,
    ctes: Vec<String>,
}

impl VisitorMut for Binding {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        for cte in query.with.iter().flat_map(|w| &w.cte_tables) {
            self.ctes.push(lower::stored(&cte.alias.name));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, name: &mut ObjectName) -> ControlFlow<()> {
        let parts = parts_of(name);
        if matches!(parts.as_slice(), [one] if self.ctes.contains(one)) {
            return ControlFlow::Continue(());
        }
        if let Some(full) = resolve(&parts, &self.schema)
            && parts.len() < 3
        {
            let quoted = |i: &Identifier| Ident::with_quote('"', i.as_str());
            *name = ObjectName::from(vec![quoted(&full.database), quoted(&full.schema), quoted(&full.name)]);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Identifier(ident) = expr
            && let Some(value) = self.bound.get(&lower::stored(ident))
        {
            *expr = value.clone();
        }
        ControlFlow::Continue(())
    }
}

impl Preparation<'_> {
    fn fail(&self, error: EngineError, span: sqlparser::tokenizer::Span) -> ControlFlow<EngineError> {
        let at = if self.depth == 0 { crate::dialect::error::byte_range(self.sql, span) } else { None };
        ControlFlow::Break(EngineError { at: error.at.clone().or(at), ..error })
    }

    fn functions(&self, name: &ObjectName) -> Result<Option<(RelationName, FunctionFile)>, EngineError> {
        let Some(relation) = resolve(&parts_of(name), &self.scope.schema) else { return Ok(None) };
        Ok(self.engine.lake.function(&relation).map_err(fault::lake)?.map(|f| (relation, f)))
    }

    /// The overload for a call, with its arguments in order.
    fn call(
        &self,
        relation: &RelationName,
        file: &FunctionFile,
        args: &[FunctionArg],
        table: bool,
    ) -> Result<(FunctionOverload, Vec<Expr>), EngineError> {
        let mut fitting = vec![];
        for overload in file.overloads.iter().filter(|o| o.columns.is_empty() != table) {
            if let Some(values) = arguments_for(overload, args)? {
                fitting.push((overload.clone(), values));
            }
        }
        // with several of the same number of arguments, literals decide
        let score = |(overload, values): &(FunctionOverload, Vec<Expr>)| {
            overload.arguments.iter().zip(values).filter(|(a, v)| literal_fits(&a.data_type, v)).count()
        };
        fitting.into_iter().rev().max_by_key(score).ok_or_else(|| {
            let known: Vec<String> = file.overloads.iter().map(FunctionOverload::signature).collect();
            EngineError::new("sql/arguments", format!("the function `{relation}` does not take these {} arguments", args.len()))
                .help(format!("it takes {}", known.join(" or ")))
        })
    }

    /// What stands in a body is prepared too.
    fn inner<T: VisitMut>(&mut self, node: &mut T) -> ControlFlow<EngineError> {
        if self.depth >= CALL_DEPTH {
            return ControlFlow::Break(EngineError::new("sql/function-depth", "a function is defined through itself"));
        }
        self.depth += 1;
        let flow = node.visit(self);
        self.depth -= 1;
        flow
    }

    fn table_function(
        &mut self,
        name: &ObjectName,
        args: &[FunctionArg],
        alias: Option<TableAlias>,
    ) -> ControlFlow<EngineError, Option<TableFactor>> {
        let word = name.to_string().to_lowercase();
        match word.as_str() {
            "result_scan" => {
                let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))) = args.first() else {
                    return ControlFlow::Break(EngineError::new("sql/arguments", "RESULT_SCAN takes the id of a query"));
                };
                let id = match argument {
                    Expr::Value(v) => match &v.value {
                        Value::SingleQuotedString(s) => Some(s.clone()),
                        _ => None,
                    },
                    Expr::Function(f) => self.query_id(f),
                    _ => None,
                };
                let Some(result) = id.as_deref().and_then(|id| self.scope.history.result(id)) else {
                    return ControlFlow::Break(
                        EngineError::new("sql/result-scan", "there is no result of that query")
                            .help("the last results of this session are kept, of queries that did not fail"),
                    );
                };
                let local = format!("__RESULT_{}", self.local.len());
                self.local.push((local.clone(), result));
                ControlFlow::Continue(Some(named(&local, alias.or_else(|| Some(plain_alias("RESULT_SCAN"))))))
            }
            "getnextval" => {
                let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))) = args.first() else {
                    return ControlFlow::Break(EngineError::new("sql/arguments", "GETNEXTVAL takes a sequence"));
                };
                let text = format!("select {argument}.nextval as nextval");
                match parse::parse_statement(&text) {
                    Ok(Statement::Query(mut query)) => {
                        self.inner(&mut query)?;
                        let alias = alias.or_else(|| Some(plain_alias("GETNEXTVAL")));
                        ControlFlow::Continue(Some(TableFactor::Derived { lateral: false, subquery: query, alias, sample: None }))
                    }
                    _ => ControlFlow::Break(EngineError::new("sql/arguments", "GETNEXTVAL takes a sequence")),
                }
            }
            _ => {
                let found = match self.functions(name) {
                    Ok(Some(found)) => found,
                    Ok(None) => return ControlFlow::Continue(None),
                    Err(e) => return ControlFlow::Break(e),
                };
                let (relation, file) = found;
                let made = self.call(&relation, &file, args, true).and_then(|(overload, values)| {
                    let columns = overload.columns.clone();
                    Ok((body_of(&relation, &overload, values)?, columns))
                });
                let (body, columns) = match made {
                    Ok(made) => made,
                    Err(e) => return ControlFlow::Break(e),
                };
                let Body::Table(mut query) = body else { return ControlFlow::Continue(None) };
                self.inner(&mut query)?;
                let mut alias = alias.unwrap_or_else(|| plain_alias(relation.name.as_str()));
                if alias.columns.is_empty() {
                    alias.columns = columns
                        .iter()
                        .map(|c| sqlparser::ast::TableAliasColumnDef { name: Ident::with_quote('"', &c.name), data_type: None })
                        .collect();
                }
                ControlFlow::Continue(Some(TableFactor::Derived { lateral: false, subquery: query, alias: Some(alias), sample: None }))
            }
        }
    }

    /// LAST_QUERY_ID([n])
    fn query_id(&self, f: &Function) -> Option<String> {
        if !f.name.to_string().eq_ignore_ascii_case("last_query_id") {
            return None;
        }
        let n = match &f.args {
            FunctionArguments::List(list) => match list.args.first() {
                None => -1,
                Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(e))) => e.to_string().replace(' ', "").parse().ok()?,
                Some(_) => return None,
            },
            _ => -1,
        };
        self.scope.history.id(n)
    }
}

fn plain_alias(name: &str) -> TableAlias {
    TableAlias { explicit: true, name: Ident::with_quote('"', name), columns: vec![], at: None }
}

fn named(name: &str, alias: Option<TableAlias>) -> TableFactor {
    TableFactor::Table {
        name: ObjectName::from(vec![Ident::with_quote('"', name)]),
        alias,
        args: None,
        with_hints: vec![],
        version: None,
        with_ordinality: false,
        partitions: vec![],
        json_path: None,
        sample: None,
        index_hints: vec![],
    }
}

/// Positional, then by name, then defaults; `None` when they do not fit.
fn arguments_for(overload: &FunctionOverload, args: &[FunctionArg]) -> Result<Option<Vec<Expr>>, EngineError> {
    let mut values: Vec<Option<Expr>> = vec![None; overload.arguments.len()];
    for (i, arg) in args.iter().enumerate() {
        let (at, value) = match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => (i, e),
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(e), .. }
            | FunctionArg::ExprNamed { name: Expr::Identifier(name), arg: FunctionArgExpr::Expr(e), .. } => {
                let wanted = lower::stored(name);
                match overload.arguments.iter().position(|a| a.name == wanted) {
                    Some(at) => (at, e),
                    None => return Ok(None),
                }
            }
            _ => return Ok(None),
        };
        match values.get_mut(at) {
            Some(slot) if slot.is_none() => *slot = Some(value.clone()),
            _ => return Ok(None),
        }
    }
    let mut complete = vec![];
    for (value, argument) in values.into_iter().zip(&overload.arguments) {
        match (value, &argument.default) {
            (Some(value), _) => complete.push(value),
            (None, Some(default)) => complete.push(parse::parse_expression(default).map_err(fault::sql)?),
            (None, None) => return Ok(None),
        }
    }
    Ok(Some(complete))
}

fn literal_fits(data_type: &str, value: &Expr) -> bool {
    let number = data_type.starts_with("NUMBER") || data_type == "FLOAT";
    match value {
        Expr::Value(v) => match &v.value {
            Value::Number(..) => number,
            Value::SingleQuotedString(_) => data_type.starts_with("VARCHAR"),
            Value::Boolean(_) => data_type == "BOOLEAN",
            _ => false,
        },
        Expr::Cast { data_type: to, .. } => {
            crate::dialect::types::Type::from_sql(to).is_ok_and(|t| t.to_string().split('(').next() == data_type.split('(').next())
        }
        _ => false,
    }
}

impl VisitorMut for Preparation<'_> {
    type Break = EngineError;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<EngineError> {
        // TABLE(f(x)) is f(x): seen as an expression, the call would be one of a scalar function
        if let TableFactor::TableFunction { expr: Expr::Function(f), alias } = factor {
            let args = match &mut f.args {
                FunctionArguments::List(list) => std::mem::take(&mut list.args),
                _ => vec![],
            };
            *factor = TableFactor::Function { lateral: false, name: f.name.clone(), args, with_ordinality: false, alias: alias.take() };
        }
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<EngineError> {
        let span = factor.span();
        match factor {
            TableFactor::Table { name, alias, args: None, version: version @ Some(_), .. } => {
                let Some(at) = version.take() else { return ControlFlow::Continue(()) };
                let TableVersion::Function(at) = at else {
                    return self.fail(fault::sql(SqlError::unsupported(format!("`{at}`")).help("use AT (...) or BEFORE (...)")), span);
                };
                if at.to_string().to_uppercase().starts_with("CHANGES") {
                    return self.fail(fault::sql(SqlError::unsupported("CHANGES").help("compare two versions with MINUS")), span);
                }
                let Some(relation) = resolve(&parts_of(name), &self.scope.schema) else { return ControlFlow::Continue(()) };
                let local = format!("__VERSION_{}", self.prepared.versions.len());
                if alias.is_none() {
                    *alias = Some(plain_alias(relation.name.as_str()));
                }
                *name = ObjectName::from(vec![Ident::with_quote('"', &local)]);
                self.prepared.versions.push((local, relation, at));
                ControlFlow::Continue(())
            }
            TableFactor::Function { name, args, alias, .. } => {
                let (name, args, alias) = (name.clone(), args.clone(), alias.clone());
                match self.table_function(&name, &args, alias) {
                    ControlFlow::Continue(Some(made)) => *factor = made,
                    ControlFlow::Continue(None) => {}
                    ControlFlow::Break(e) => return self.fail(e, span),
                }
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Continue(()),
        }
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<EngineError> {
        match expr {
            Expr::CompoundIdentifier(parts) if parts.len() > 1 => {
                let is_next = parts.last().is_some_and(|p| p.quote_style.is_none() && p.value.eq_ignore_ascii_case("nextval"));
                if !is_next {
                    return ControlFlow::Continue(());
                }
                let names: Vec<String> = parts[..parts.len() - 1].iter().map(lower::stored).collect();
                let Some(sequence) = resolve(&names, &self.scope.schema) else { return ControlFlow::Continue(()) };
                match self.engine.lake.sequence(&sequence) {
                    Ok(Some(_)) => {
                        let udf = next_value(&self.engine.lake, &sequence);
                        // occurrences step independently, so each is a function of its own name to the planner
                        let key = format!("__nextval_{}", self.prepared.sequences.len());
                        self.prepared.sequences.insert(key.clone(), Arc::new(udf));
                        *expr = lower::function_call(&key, vec![]);
                    }
                    Ok(None) => {}
                    Err(e) => return ControlFlow::Break(fault::lake(e)),
                }
                ControlFlow::Continue(())
            }
            Expr::Function(f) => {
                let span = f.name.span();
                if f.name.to_string().eq_ignore_ascii_case("last_query_id") {
                    let value = self.query_id(f).map_or(Value::Null, Value::SingleQuotedString);
                    *expr = Expr::Value(value.with_empty_span());
                    return ControlFlow::Continue(());
                }
                let found = match self.functions(&f.name) {
                    Ok(Some(found)) if f.over.is_none() => found,
                    Ok(_) => return ControlFlow::Continue(()),
                    Err(e) => return ControlFlow::Break(e),
                };
                let args = match &f.args {
                    FunctionArguments::List(list) => list.args.clone(),
                    _ => vec![],
                };
                let (relation, file) = found;
                let body = self.call(&relation, &file, &args, false).and_then(|(o, values)| body_of(&relation, &o, values));
                match body {
                    Ok(Body::Scalar(mut made)) => {
                        self.inner(&mut made)?;
                        *expr = made;
                        ControlFlow::Continue(())
                    }
                    Ok(Body::Table(_)) => ControlFlow::Continue(()),
                    Err(e) => self.fail(e, span),
                }
            }
            _ => ControlFlow::Continue(()),
        }
    }
}
