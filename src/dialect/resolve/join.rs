//! Outer joins written with `(+)` in WHERE, and columns that USING and NATURAL merge.

use indexmap::IndexMap;
use sqlparser::ast::{BinaryOperator, Expr, Join, JoinConstraint, JoinOperator, Select, Spanned, TableFactor, TableWithJoins};

use super::{column, columns::Relation, outside_queries};
use crate::dialect::{
    SqlError,
    lower::{function_call, stored},
};

/// Values of columns that a join merges, by name; the conditions become ON. DataFusion would take the left side's value in every
/// join, compare as it stores, and in a query `inside` an expression take a name that both sides have for one of the query around.
pub(super) fn merged_columns(select: &mut Select, relations: &[Relation], inside: bool) -> IndexMap<String, Expr> {
    let mut merged = IndexMap::new();
    // a star over columns that nobody knows can only be the planner's
    let known = relations.iter().all(|r| r.columns.is_some());
    let mut start = 0;
    for from in &mut select.from {
        let mut end = start + width(&from.relation);
        for join in &mut from.joins {
            let right = end..end + width(&join.relation);
            if let Some(found) = relations.get(start..right.start).zip(relations.get(right.clone())) {
                merge_join(join, found.0, found.1, known || inside, &mut merged);
            }
            end = right.end;
        }
        start = end;
    }
    merged
}

/// Relations that a factor brings into scope.
fn width(factor: &TableFactor) -> usize {
    match factor {
        TableFactor::NestedJoin { table_with_joins, alias: None } => {
            width(&table_with_joins.relation) + table_with_joins.joins.iter().map(|j| width(&j.relation)).sum::<usize>()
        }
        _ => 1,
    }
}

fn merge_join(join: &mut Join, left: &[Relation], right: &[Relation], all: bool, merged: &mut IndexMap<String, Expr>) {
    use JoinOperator as J;
    let full = matches!(join.join_operator, J::FullOuter(_));
    let (constraint, by_left) = match &mut join.join_operator {
        J::Right(constraint) | J::RightOuter(constraint) | J::FullOuter(constraint) => (constraint, false),
        J::Join(constraint) | J::Inner(constraint) | J::Left(constraint) | J::LeftOuter(constraint) if all => (constraint, true),
        _ => return,
    };
    let has = |relations: &[Relation], name: &str| {
        relations.iter().find(|r| r.columns.iter().flatten().any(|c| c == name)).map(|r| column(r.name.as_deref(), name))
    };
    let names: Vec<String> = match constraint {
        JoinConstraint::Using(names) => names.iter().filter_map(|n| n.0.last()?.as_ident().map(stored)).collect(),
        JoinConstraint::Natural if left.iter().chain(right).all(|r| r.columns.is_some()) => {
            let mut names: Vec<String> = vec![];
            for name in left.iter().flat_map(|r| r.columns.iter().flatten()) {
                if has(right, name).is_some() && !names.contains(name) {
                    names.push(name.clone());
                }
            }
            names
        }
        _ => return,
    };
    let mut conditions = vec![];
    let mut values = vec![];
    for name in names {
        let before = merged.get(&name).cloned().or_else(|| has(left, &name));
        let (Some(l), Some(r)) = (before, has(right, &name)) else { return };
        conditions.push(Expr::BinaryOp { left: Box::new(l.clone()), op: BinaryOperator::Eq, right: Box::new(r.clone()) });
        let value = match (by_left, full) {
            (true, _) => l,
            (false, true) => function_call("coalesce", vec![l, r]),
            (false, false) => r,
        };
        values.push((name, value));
    }
    let Some(on) = conditions.into_iter().reduce(and) else { return };
    *constraint = JoinConstraint::On(on);
    merged.extend(values);
}

pub(super) fn and(left: Expr, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op: BinaryOperator::And, right: Box::new(right) }
}

/// The parts of a condition joined by AND.
pub(super) fn conjuncts(expr: Expr) -> Vec<Expr> {
    match expr {
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            let mut parts = conjuncts(*left);
            parts.extend(conjuncts(*right));
            parts
        }
        Expr::Nested(inner) if matches!(*inner, Expr::BinaryOp { op: BinaryOperator::And, .. }) => conjuncts(*inner),
        other => vec![other],
    }
}

/// Which relation a column belongs to: by its qualifier, or because only one has it.
pub(super) fn owner(expr: &Expr, relations: &[Relation]) -> Option<usize> {
    match expr {
        Expr::CompoundIdentifier(parts) => {
            let qualifier = &parts.get(parts.len().checked_sub(2)?)?.value;
            relations.iter().position(|r| r.name.as_ref() == Some(qualifier))
        }
        Expr::Identifier(i) => relations.iter().position(|r| r.columns.iter().flatten().any(|c| *c == i.value)),
        _ => None,
    }
}

/// All relations that an expression names.
pub(super) fn owners(expr: &Expr, relations: &[Relation]) -> Vec<usize> {
    let mut found = vec![];
    let _ = sqlparser::ast::visit_expressions(expr, |e| {
        if let Some(at) = owner(e, relations)
            && !found.contains(&at)
        {
            found.push(at);
        }
        std::ops::ControlFlow::<()>::Continue(())
    });
    found
}

fn has_mark(expr: &Expr) -> bool {
    sqlparser::ast::visit_expressions(expr, |e| match e {
        Expr::OuterJoin(_) => std::ops::ControlFlow::Break(()),
        _ => std::ops::ControlFlow::Continue(()),
    })
    .is_break()
}

/// `FROM a, b WHERE a.x = b.x(+)` becomes `FROM a LEFT JOIN b ON a.x = b.x` (Snowflake documentation, "WHERE").
pub(super) fn outer_joins(select: &mut Select, relations: &[Relation], sql: &str) -> Result<(), SqlError> {
    if !select.selection.as_ref().is_some_and(has_mark) {
        return Ok(());
    }
    let Some(selection) = select.selection.take() else { return Ok(()) };
    let mut rest = vec![];
    // conditions by the relation that they mark
    let mut marked: IndexMap<usize, Vec<Expr>> = IndexMap::new();
    for mut part in conjuncts(selection) {
        if !has_mark(&part) {
            rest.push(part);
            continue;
        }
        let span = part.span();
        let mut owners_marked: Vec<usize> = vec![];
        let mut unknown = false;
        let top = matches!(&part, Expr::BinaryOp { op: BinaryOperator::Or, .. });
        outside_queries(&mut part, &mut |expr| {
            if let Expr::OuterJoin(inner) = expr {
                match owner(inner, relations) {
                    Some(at) if !owners_marked.contains(&at) => owners_marked.push(at),
                    Some(_) => {}
                    None => unknown = true,
                }
                *expr = inner.as_ref().clone();
            }
            Ok(())
        })?;
        if unknown {
            return Err(SqlError::new("sql/unknown-column", "the column before `(+)` belongs to no relation of the FROM").at(sql, span));
        }
        let [one] = owners_marked.as_slice() else {
            return Err(SqlError::new("sql/outer-join", "a condition marks columns of more than one relation with `(+)`")
                .help("write LEFT JOIN ... ON")
                .at(sql, span));
        };
        if top {
            return Err(SqlError::unsupported("`(+)` in an OR").help("write LEFT JOIN ... ON").at(sql, span));
        }
        marked.entry(*one).or_default().push(part);
    }
    let mut placed: Vec<usize> = vec![];
    let mut result: Option<TableWithJoins> = None;
    let mut waiting: Vec<(usize, TableWithJoins)> = vec![];
    let mut index = 0;
    for from in std::mem::take(&mut select.from) {
        let count = width(&from.relation) + from.joins.iter().map(|j| width(&j.relation)).sum::<usize>();
        let own: Vec<usize> = (index..index + count).collect();
        index += count;
        if own.len() == 1 && marked.contains_key(&own[0]) {
            waiting.push((own[0], from));
            continue;
        }
        if let Some(bad) = own.iter().find(|o| marked.contains_key(*o)) {
            let name = relations.get(*bad).and_then(|r| r.name.clone()).unwrap_or_default();
            return Err(SqlError::unsupported(format!("`(+)` on `{name}`, which is joined in the FROM")).help("write LEFT JOIN ... ON"));
        }
        placed.extend(own);
        result = Some(match result {
            None => from,
            Some(mut left) => {
                left.joins.push(Join {
                    relation: from.relation,
                    global: false,
                    join_operator: JoinOperator::CrossJoin(JoinConstraint::None),
                });
                left.joins.extend(from.joins);
                left
            }
        });
    }
    let Some(mut result) = result else {
        return Err(
            SqlError::new("sql/outer-join", "every relation of the FROM is marked with `(+)`").help("one of them must give all its rows")
        );
    };
    while !waiting.is_empty() {
        let ready = waiting.iter().position(|(at, _)| {
            let needed = marked.get(at).into_iter().flatten().flat_map(|c| owners(c, relations));
            needed.into_iter().all(|o| o == *at || placed.contains(&o))
        });
        let Some(ready) = ready else {
            return Err(
                SqlError::new("sql/outer-join", "the relations marked with `(+)` wait for one another").help("write LEFT JOIN ... ON")
            );
        };
        let (at, from) = waiting.remove(ready);
        placed.push(at);
        let Some(on) = marked.swap_remove(&at).unwrap_or_default().into_iter().reduce(and) else { continue };
        result.joins.push(Join { relation: from.relation, global: false, join_operator: JoinOperator::LeftOuter(JoinConstraint::On(on)) });
    }
    select.from = vec![result];
    select.selection = rest.into_iter().reduce(and);
    Ok(())
}
