//! Queries: aliases and CTE names folded, unnamed columns named as Snowflake names them, lateral table functions
//! joined to what stands before them, VALUES with COLUMN1....

use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Join, JoinConstraint, JoinOperator, ObjectName,
    PivotValueSource, Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, SetOperator, TableFactor, TableWithJoins, Value,
    WildcardAdditionalOptions,
};

use super::{
    clause,
    expression::{cast, is_part},
    identifier::{fold, fold_alias, fold_name},
};
use crate::dialect::{SqlError, spelling, structured, types::Type};

/// Table functions that read columns of the relations before them.
fn is_lateral_function(name: &ObjectName) -> bool {
    let text = name.to_string().to_lowercase();
    matches!(text.as_str(), "flatten" | "split_to_table" | "generator" | "strtok_split_to_table" | "result_scan")
}

pub(super) fn before(query: &mut Query) -> Result<(), SqlError> {
    if let Some(with) = &mut query.with {
        for cte in &mut with.cte_tables {
            fold_alias(&mut cte.alias);
            // Snowflake needs no RECURSIVE; DataFusion does
            if !with.recursive {
                let name = cte.alias.name.value.clone();
                with.recursive = refers_to(&cte.query, &name);
            }
        }
    }
    clause::order_by_all(query);
    clause::refuse(query)?;
    clause::limits(query)?;
    body(&mut query.body)
}

pub(super) fn after(query: &mut Query) -> Result<(), SqlError> {
    conditions(&mut query.body);
    Ok(())
}

/// A part of a semi-structured value that is a condition: `WHERE v:active`.
fn conditions(set: &mut SetExpr) {
    match set {
        SetExpr::Select(select) => {
            for condition in [&mut select.selection, &mut select.having, &mut select.qualify].into_iter().flatten() {
                if is_part(condition) {
                    *condition = cast(condition.clone(), Type::Boolean, false);
                }
            }
        }
        SetExpr::SetOperation { left, right, .. } => {
            conditions(left);
            conditions(right);
        }
        _ => {}
    }
}

fn refers_to(query: &Query, name: &str) -> bool {
    use std::ops::ControlFlow;
    let SetExpr::SetOperation { right, .. } = query.body.as_ref() else { return false };
    sqlparser::ast::visit_relations(right.as_ref(), |relation| {
        let mut relation = relation.clone();
        fold_name(&mut relation);
        match relation.0.as_slice() {
            [part] if part.as_ident().is_some_and(|i| i.value == name) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    })
    .is_break()
}

fn body(set: &mut SetExpr) -> Result<(), SqlError> {
    match set {
        SetExpr::Select(s) => select(s),
        SetExpr::SetOperation { op, left, right, .. } => {
            if *op == SetOperator::Minus {
                *op = SetOperator::Except;
            }
            body(left)?;
            body(right)
        }
        _ => Ok(()),
    }
}

pub(super) fn name_columns(set: &mut SetExpr) {
    match set {
        SetExpr::Select(select) => {
            for item in &mut select.projection {
                name_column(item);
            }
        }
        SetExpr::SetOperation { left, right, .. } => {
            name_columns(left);
            name_columns(right);
        }
        _ => {}
    }
}

fn name_column(item: &mut SelectItem) {
    if let SelectItem::UnnamedExpr(expr) = item
        && let Some(name) = unnamed(expr)
    {
        let expr = std::mem::replace(expr, Expr::Identifier(Ident::new("x")));
        *item = SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', name) };
    }
}

fn select(select: &mut Select) -> Result<(), SqlError> {
    clause::refuse_in_select(select)?;
    for item in &mut select.projection {
        match item {
            SelectItem::ExprWithAlias { alias, .. } => fold(alias),
            SelectItem::UnnamedExpr(_) => name_column(item),
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                fold_name(name);
                wildcard(options)?;
            }
            SelectItem::Wildcard(options) => wildcard(options)?,
            _ => {}
        }
    }
    for window in &mut select.named_window {
        fold(&mut window.0);
    }
    for join in select.from.iter_mut().flat_map(|f| &mut f.joins) {
        clause::fold_using(&mut join.join_operator);
        // a lateral subquery says itself which rows belong together
        if let TableFactor::Derived { lateral: true, .. } = &join.relation
            && let JoinOperator::Join(c) | JoinOperator::Inner(c) | JoinOperator::Left(c) | JoinOperator::LeftOuter(c) =
                &mut join.join_operator
            && matches!(c, JoinConstraint::None)
        {
            *c = JoinConstraint::On(Expr::Value(Value::Boolean(true).into()));
        }
    }
    join_lateral_functions(select);
    Ok(())
}

/// The column name that Snowflake gives to an expression without an alias: its text in upper case.
fn unnamed(expr: &Expr) -> Option<String> {
    match expr {
        Expr::CompoundIdentifier(parts)
            if parts.last().is_some_and(|p| p.quote_style.is_none() && p.value.eq_ignore_ascii_case("nextval")) =>
        {
            Some("NEXTVAL".into())
        }
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => None,
        // a position takes its name where the columns are known
        Expr::Value(v) if matches!(&v.value, Value::Placeholder(p) if p[1..].chars().all(|c| c.is_ascii_digit())) => None,
        Expr::JsonAccess { .. } | Expr::CompoundFieldAccess { .. } => Some(structured::shown(expr.to_string())),
        Expr::Value(v) => Some(v.to_string()),
        other if other.to_string().starts_with(spelling::PRIOR) => {
            Some(other.to_string().to_uppercase().replace(&format!("{}(", spelling::PRIOR), "PRIOR ").replacen(')', "", 1))
        }
        other => Some(structured::shown(other.to_string().to_uppercase())),
    }
}

fn wildcard(options: &mut WildcardAdditionalOptions) -> Result<(), SqlError> {
    use sqlparser::ast::{ExcludeSelectItem, RenameSelectItem};
    if let Some(exclude) = &mut options.opt_exclude {
        match exclude {
            ExcludeSelectItem::Single(name) => fold_name(name),
            ExcludeSelectItem::Multiple(names) => names.iter_mut().for_each(fold_name),
        }
    }
    if let Some(replace) = &mut options.opt_replace {
        for item in &mut replace.items {
            fold(&mut item.column_name);
        }
    }
    if let Some(rename) = &mut options.opt_rename {
        match rename {
            RenameSelectItem::Single(r) => {
                fold(&mut r.ident);
                fold(&mut r.alias);
            }
            RenameSelectItem::Multiple(rs) => rs.iter_mut().for_each(|r| {
                fold(&mut r.ident);
                fold(&mut r.alias);
            }),
        }
    }
    Ok(())
}

/// `FROM a, b, LATERAL FLATTEN(a.x) f, c` becomes `FROM ((a CROSS JOIN b) JOIN FLATTEN(a.x) f), c`: a nested join
/// whose last relation is the function; the relation planner sees both sides.
fn join_lateral_functions(select: &mut Select) {
    let has_function = |t: &TableWithJoins| {
        std::iter::once(&t.relation).chain(t.joins.iter().map(|j| &j.relation)).any(|r| as_function(r).is_some())
            || t.joins.iter().any(|j| is_lateral_row(&j.relation))
            || is_lateral_row(&t.relation)
            || t.joins.iter().any(|j| matches!(j.join_operator, JoinOperator::AsOf { .. }))
    };
    if !select.from.iter().any(has_function) {
        return;
    }
    let mut result: Option<TableWithJoins> = None;
    for from in std::mem::take(&mut select.from) {
        let TableWithJoins { relation, joins } = from;
        result = Some(match result {
            None => TableWithJoins { relation: alone(relation), joins: vec![] },
            Some(left) => append(left, Join { relation, global: false, join_operator: JoinOperator::CrossJoin(JoinConstraint::None) }),
        });
        for join in joins {
            result = result.map(|left| append(left, join));
        }
    }
    select.from.extend(result);
}

fn append(mut left: TableWithJoins, join: Join) -> TableWithJoins {
    if matches!(join.join_operator, JoinOperator::AsOf { .. }) {
        left.joins.push(join);
        return TableWithJoins { relation: TableFactor::NestedJoin { table_with_joins: Box::new(left), alias: None }, joins: vec![] };
    }
    if as_function(&join.relation).is_none() && !is_lateral_row(&join.relation) {
        left.joins.push(join);
        return left;
    }
    left.joins.push(Join { relation: as_table_function(join.relation), ..join });
    TableWithJoins { relation: TableFactor::NestedJoin { table_with_joins: Box::new(left), alias: None }, joins: vec![] }
}

/// A function that stands first: nested alone, so that the relation planner is asked.
fn alone(relation: TableFactor) -> TableFactor {
    if as_function(&relation).is_some() { as_table_function(relation) } else { relation }
}

/// `FLATTEN(...)` in any of its spellings.
fn as_function(factor: &TableFactor) -> Option<&ObjectName> {
    match factor {
        TableFactor::Function { name, .. } if is_lateral_function(name) => Some(name),
        TableFactor::TableFunction { expr: Expr::Function(Function { name, .. }), .. } if is_lateral_function(name) => Some(name),
        TableFactor::Table { name, args: Some(_), .. } if is_lateral_function(name) => Some(name),
        _ => None,
    }
}

/// `LATERAL (SELECT a.x * 2 AS y)`: values beside a row, from no relation of their own.
pub fn is_lateral_row(factor: &TableFactor) -> bool {
    let TableFactor::Derived { lateral: true, subquery, .. } = factor else { return false };
    let SetExpr::Select(select) = subquery.body.as_ref() else { return false };
    let is_value = |item: &SelectItem| matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. });
    select.from.is_empty()
        && select.selection.is_none()
        && select.having.is_none()
        && select.qualify.is_none()
        && select.distinct.is_none()
        && subquery.with.is_none()
        && subquery.limit_clause.is_none()
        && select.projection.iter().all(is_value)
}

/// All spellings as `TableFactor::Function`.
fn as_table_function(factor: TableFactor) -> TableFactor {
    match factor {
        TableFactor::TableFunction { expr: Expr::Function(f), alias } => {
            let args = match f.args {
                FunctionArguments::List(list) => list.args,
                _ => vec![],
            };
            TableFactor::Function { lateral: true, name: f.name, args, with_ordinality: false, alias }
        }
        TableFactor::Table { name, args: Some(args), alias, .. } => {
            TableFactor::Function { lateral: true, name, args: args.args, with_ordinality: false, alias }
        }
        other => other,
    }
}

/// Aliases of relations; VALUES without column names.
pub(super) fn table_factor(factor: &mut TableFactor) -> Result<(), SqlError> {
    clause::refuse_in_from(factor)?;
    clause::sample(factor)?;
    match factor {
        TableFactor::Table { alias, .. }
        | TableFactor::Derived { alias, .. }
        | TableFactor::NestedJoin { alias, .. }
        | TableFactor::Function { alias, .. }
        | TableFactor::TableFunction { alias, .. }
        | TableFactor::UNNEST { alias, .. } => {
            if let Some(alias) = alias {
                fold_alias(alias);
            }
        }
        TableFactor::Pivot { aggregate_functions, value_source, alias, .. } => {
            if let PivotValueSource::List(values) = value_source {
                values.iter_mut().chain(aggregate_functions).filter_map(|v| v.alias.as_mut()).for_each(fold);
            }
            alias.iter_mut().for_each(fold_alias);
        }
        TableFactor::Unpivot { name, columns, alias, .. } => {
            fold(name);
            columns.iter_mut().filter_map(|v| v.alias.as_mut()).for_each(fold);
            alias.iter_mut().for_each(fold_alias);
        }
        _ => {}
    }
    if let TableFactor::Derived { subquery, alias, .. } = factor
        && let SetExpr::Values(values) = subquery.body.as_ref()
    {
        let width = values.rows.first().map_or(0, |r| r.content.len());
        let alias = alias.get_or_insert_with(|| sqlparser::ast::TableAlias {
            explicit: true,
            name: Ident::with_quote('"', "VALUES"),
            columns: vec![],
            at: None,
        });
        if alias.columns.is_empty() {
            alias.columns = (1..=width)
                .map(|i| sqlparser::ast::TableAliasColumnDef { name: Ident::with_quote('"', format!("COLUMN{i}")), data_type: None })
                .collect();
        }
    }
    if let TableFactor::Function { args, .. } = factor {
        for arg in args {
            if let FunctionArg::Named { arg: FunctionArgExpr::Expr(Expr::Identifier(i)), name, .. } = arg
                && name.value.eq_ignore_ascii_case("mode")
            {
                return Err(SqlError::new("sql/arguments", format!("`mode` takes 'OBJECT', 'ARRAY' or 'BOTH', not `{i}`")));
            }
        }
    }
    Ok(())
}
