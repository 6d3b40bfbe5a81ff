//! SEQ1 to SEQ8 and RANDOM(seed) in a SELECT over TABLE(GENERATOR(...)): they count the generated rows.

use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, OrderByExpr, OrderByKind, Query, Select,
    SetExpr, TableFactor, VisitMut, VisitorMut, WindowSpec, WindowType,
};

use super::expression::{function, number};

/// The column that the planner of GENERATOR makes.
pub(super) const ROW: &str = "__ROW";

/// `seq4` and an argument as a call that takes the row's number.
pub(super) fn sequence(name: &str, sign: Expr, row: Expr) -> Expr {
    let width = name.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(8);
    function("__seq", vec![number(width), sign, row])
}

/// Numbers rows from 0 as they come.
pub(super) fn row_number() -> Expr {
    let mut call = function("row_number", vec![]);
    if let Expr::Function(f) = &mut call {
        // any order will do, but one must be named
        let key = OrderByExpr { expr: number(1), options: Default::default(), with_fill: None };
        f.over =
            Some(WindowType::WindowSpec(WindowSpec { window_name: None, partition_by: vec![], order_by: vec![key], window_frame: None }));
    }
    Expr::Nested(Box::new(Expr::BinaryOp { left: Box::new(call), op: BinaryOperator::Minus, right: Box::new(number(1)) }))
}

fn row_column() -> Expr {
    Expr::Identifier(Ident::with_quote('"', ROW))
}

fn is_generator(factor: &TableFactor) -> bool {
    let named = |name: &str| name.eq_ignore_ascii_case("generator");
    match factor {
        TableFactor::Function { name, .. } => named(&name.to_string()),
        TableFactor::Table { name, args: Some(_), .. } => named(&name.to_string()),
        TableFactor::TableFunction { expr: Expr::Function(f), .. } => named(&f.name.to_string()),
        TableFactor::NestedJoin { table_with_joins, .. } => {
            is_generator(&table_with_joins.relation) || table_with_joins.joins.iter().any(|j| is_generator(&j.relation))
        }
        _ => false,
    }
}

fn over_one_generator(select: &Select) -> bool {
    let factors = select.from.iter().flat_map(|f| std::iter::once(&f.relation).chain(f.joins.iter().map(|j| &j.relation)));
    factors.filter(|f| is_generator(f)).count() == 1
}

/// Before a query is lowered.
pub(super) fn before(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    if !over_one_generator(select) {
        return;
    }
    let mut counter = Counter { depth: 0 };
    let _ = select.projection.visit(&mut counter);
    let _ = select.selection.visit(&mut counter);
    let _ = select.group_by.visit(&mut counter);
    let _ = select.having.visit(&mut counter);
    let _ = select.qualify.visit(&mut counter);
    if let Some(order) = &mut query.order_by
        && let OrderByKind::Expressions(_) = &order.kind
    {
        let _ = order.visit(&mut counter);
    }
}

struct Counter {
    /// Inside of subqueries, whose rows are others.
    depth: usize,
}

impl VisitorMut for Counter {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.depth == 0
            && let Expr::Function(f) = expr
            && let Some(counted) = counted(f)
        {
            *expr = counted;
        }
        ControlFlow::Continue(())
    }
}

fn counted(f: &Function) -> Option<Expr> {
    let name = f.name.to_string().to_lowercase();
    let mut args: Vec<Expr> = match &f.args {
        FunctionArguments::List(list) => list
            .args
            .iter()
            .map(|a| match a {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => Some(e.clone()),
                _ => None,
            })
            .collect::<Option<_>>()?,
        _ => vec![],
    };
    match (name.as_str(), args.len()) {
        ("seq1" | "seq2" | "seq4" | "seq8", 0) => Some(sequence(&name, number(0), row_column())),
        ("seq1" | "seq2" | "seq4" | "seq8", 1) => Some(sequence(&name, args.remove(0), row_column())),
        ("random", 1) => Some(function("__seeded", vec![args.remove(0), row_column()])),
        _ => None,
    }
}
