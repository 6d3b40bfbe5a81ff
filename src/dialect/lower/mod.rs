//! The rewrite of a parsed Snowflake statement into SQL that DataFusion's planner understands.
//!
//! | file | what it rewrites |
//! |---|---|
//! | `identifier.rs` | unquoted names to upper case, everywhere |
//! | `expression.rs` | casts, paths, literals |
//! | `pattern.rs` | LIKE and its kin |
//! | `call.rs` | function names and argument shapes |
//! | `moment.rs` | dates, times, conversions, intervals |
//! | `context.rs` | facts of the session |
//! | `generator.rs` | SEQ4 and its kin over generated rows |
//! | `clause.rs` | LIMIT in its spellings, SAMPLE, USING; clauses that are refused |
//! | `query.rs` | names of unnamed columns, FROM lists with lateral table functions, VALUES |
//!
//! Idempotent on what it makes. Constructs that would silently differ are errors here.

mod call;
mod clause;
mod context;
mod expression;
mod generator;
mod identifier;
mod moment;
mod pattern;
mod query;

use std::{ops::ControlFlow, sync::Arc};

use sqlparser::{
    ast::{
        BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectName, OrderBy, OrderByKind, Query, Spanned,
        Statement, TableFactor, VisitMut, VisitorMut,
    },
    tokenizer::Span,
};

use super::{SqlError, error::byte_range, facts::Facts, function::Place, operator, settings::Settings};
pub use identifier::{fold, fold_name, stored};
pub use moment::is_unspecific;
pub use query::is_lateral_row;

/// Session facts that change what a statement means.
#[derive(Clone, Debug, Default)]
pub struct LowerContext {
    /// Values of `$name`, by upper-case name, as SQL literals.
    pub variables: std::collections::BTreeMap<String, Expr>,
    /// Parameters that decide what types and names mean.
    pub settings: Arc<Settings>,
    pub facts: Arc<Facts>,
}

/// `name(args...)`, for callers that make calls before the lowering.
pub fn function_call(name: &str, args: Vec<Expr>) -> Expr {
    expression::function(name, args)
}

/// Names the unnamed columns of a query as Snowflake does, by their text; before anything else rewrites them.
pub fn name_columns(query: &mut Query) {
    struct Naming;
    impl VisitorMut for Naming {
        type Break = ();

        fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
            query::name_columns(&mut query.body);
            ControlFlow::Continue(())
        }
    }
    let _ = query.visit(&mut Naming);
}

/// Rewrites in place. The first fault ends it.
pub fn lower_statement(sql: &str, statement: &mut Statement, context: &LowerContext) -> Result<(), SqlError> {
    run(sql, statement, context)
}

/// The same for a lone query.
pub fn lower_query(sql: &str, query: &mut Query, context: &LowerContext) -> Result<(), SqlError> {
    run(sql, query, context)
}

/// The same for an expression of a DML statement.
pub fn lower_expression(sql: &str, expr: &mut Expr, context: &LowerContext) -> Result<(), SqlError> {
    run(sql, expr, context)
}

fn run<V: VisitMut>(sql: &str, node: &mut V, context: &LowerContext) -> Result<(), SqlError> {
    match node.visit(&mut Lowering { sql, context }) {
        ControlFlow::Break(e) => Err(e),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Lowering<'a> {
    sql: &'a str,
    context: &'a LowerContext,
}

/// Where a node stands. Asked only for a fault: the answer walks through everything below the node.
fn whole<T: Spanned>(node: &T) -> Span {
    // the walk has large frames and no protection of its own
    stacker::grow(128 << 20, || node.span())
}

/// From the first to the last leaf of an operator or a call, without a walk through what lies between.
fn edges(expr: &Expr) -> Span {
    let leaf = |mut e: &Expr, first: bool| loop {
        e = match e {
            Expr::BinaryOp { left, right, .. } => {
                if first {
                    left
                } else {
                    right
                }
            }
            Expr::Nested(inner) | Expr::UnaryOp { expr: inner, .. } | Expr::Cast { expr: inner, .. } => inner,
            Expr::Function(Function { args: FunctionArguments::List(list), .. }) if !first => match list.args.last() {
                Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(inner))) => inner,
                _ => return brief(e),
            },
            other => return brief(other),
        };
    };
    leaf(expr, true).union(&leaf(expr, false))
}

/// Where an expression begins to be of its kind, without a walk: the name of a call, an identifier, a literal.
fn brief(expr: &Expr) -> Span {
    match expr {
        Expr::Function(f) => f.name.span(),
        Expr::Identifier(i) => i.span,
        Expr::CompoundIdentifier(parts) => Span::union_iter(parts.iter().map(|p| p.span)),
        Expr::Value(v) => v.span,
        Expr::TypedString(t) => t.value.span,
        Expr::Cast { expr, .. } | Expr::Nested(expr) | Expr::CompoundFieldAccess { root: expr, .. } => match expr.as_ref() {
            Expr::Identifier(i) => i.span,
            Expr::Value(v) => v.span,
            Expr::CompoundIdentifier(parts) => Span::union_iter(parts.iter().map(|p| p.span)),
            _ => Span::empty(),
        },
        _ => Span::empty(),
    }
}

impl Lowering<'_> {
    fn flow(&self, result: Result<(), SqlError>, span: impl FnOnce() -> Span) -> ControlFlow<SqlError> {
        match result {
            Ok(()) => ControlFlow::Continue(()),
            Err(e) => {
                let mut e = e.at(self.sql, span());
                // some nodes have no place of their own: the statement's first word stands for it
                if e.at.is_none() {
                    let start = self.sql.len() - self.sql.trim_start().len();
                    let end = self.sql[start..].find(char::is_whitespace).map_or(self.sql.len(), |n| start + n);
                    e.at = Some(start..end);
                }
                ControlFlow::Break(e)
            }
        }
    }
}

impl Lowering<'_> {
    /// Arithmetic that may overflow is told where it stands.
    fn place(&self, expr: &mut Expr, span: Span) {
        if !matches!(expr, Expr::BinaryOp { .. } | Expr::Function(_)) {
            return;
        }
        let Some(range) = byte_range(self.sql, span) else { return };
        let Some(excerpt) = self.sql.get(range.clone()) else { return };
        let place = Place { excerpt: excerpt.to_owned(), range };
        match expr {
            Expr::BinaryOp { op, .. } => {
                if let Some(placed) = operator::placed(op, place) {
                    *op = placed;
                }
            }
            Expr::Function(function) => call::place(function, &place),
            _ => {}
        }
    }
}

impl VisitorMut for Lowering<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        let result = query::before(query);
        // after columns have their names
        generator::before(query);
        self.flow(result, || whole(query))
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        if let Some(OrderBy { kind: OrderByKind::Expressions(keys), .. }) = &mut query.order_by {
            keys.iter_mut().for_each(|key| expression::sort_key(&mut key.expr));
        }
        let result = query::after(query);
        self.flow(result, || whole(query))
    }

    fn pre_visit_relation(&mut self, name: &mut ObjectName) -> ControlFlow<SqlError> {
        fold_name(name);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<SqlError> {
        let result = query::table_factor(factor);
        self.flow(result, || whole(factor))
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        let start = brief(expr);
        let result = expression::before(expr, self.context).and_then(|()| match expr {
            Expr::Function(function) => call::before(function),
            _ => Ok(()),
        });
        self.flow(result, || if start == Span::empty() { whole(expr) } else { start })
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        let start = brief(expr);
        use BinaryOperator as B;
        let span = match expr {
            Expr::BinaryOp { op: B::Plus | B::Minus | B::Multiply | B::Divide | B::Modulo, .. } | Expr::Function(_) => edges(expr),
            _ => Span::empty(),
        };
        let result = expression::after(expr, self.context);
        self.place(expr, span);
        self.flow(result, || if start == Span::empty() { whole(expr) } else { start })
    }
}
