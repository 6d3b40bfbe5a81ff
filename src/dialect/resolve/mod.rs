//! Names that only the columns of the relations explain: the second rewrite of a query, after the lowering and once its
//! tables are known by name.
//!
//! | file | what it rewrites |
//! |---|---|
//! | `columns.rs` | nothing: which columns the relations of a FROM have |
//! | `select.rs` | aliases used beside their definition, `$1`, columns named twice, wildcards with options |
//! | `join.rs` | outer joins written `(+)`, columns merged by USING and NATURAL |
//! | `subquery.rs` | EXISTS as a value, tuples IN a subquery, a lone VALUES |
//! | `hierarchy.rs` | CONNECT BY to a recursive CTE |
//!
//! A real column wins over an alias of the same name, everywhere but in ORDER BY (Snowflake documentation, "SELECT").
//! Where the columns of a relation are not known, nothing is rewritten and the planner has the word.

mod columns;
mod hierarchy;
mod join;
mod select;
mod subquery;

use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Ident, ObjectName, OrderBy, OrderByExpr, OrderByKind, Query, SetExpr, SetOperator, SetQuantifier, Spanned, TableAlias,
    TableFactor, Value, VisitMut, VisitorMut,
};

use super::{SqlError, lower::stored};

/// Ends names of columns that a query names twice; results are shown without it and what follows.
pub const REPEATED: char = '\u{1}';

/// Columns of tables and views by their (lowered) names.
pub trait Columns {
    /// `None`: there is no such relation.
    fn columns(&self, name: &ObjectName) -> Option<Vec<String>>;
}

/// Rewrites a lowered query in place.
pub fn resolve(sql: &str, query: &mut Query, catalog: &dyn Columns) -> Result<(), SqlError> {
    subquery::named_values(query);
    Resolver { sql, catalog, ctes: vec![], inside: 0 }.query(query).map(|_| ())
}

pub(super) struct Resolver<'a> {
    sql: &'a str,
    catalog: &'a dyn Columns,
    /// Innermost last; columns where they are known.
    ctes: Vec<(String, Option<Vec<String>>)>,
    /// Expressions whose queries are being resolved: names that those do not know are of the queries around them.
    inside: usize,
}

pub(super) fn quoted(name: &str) -> Ident {
    Ident::with_quote('"', name)
}

pub(super) fn column(relation: Option<&str>, name: &str) -> Expr {
    match relation {
        Some(relation) => Expr::CompoundIdentifier(vec![quoted(relation), quoted(name)]),
        None => Expr::Identifier(quoted(name)),
    }
}

impl Resolver<'_> {
    /// The names of the query's columns, where they are known.
    fn query(&mut self, query: &mut Query) -> Result<Option<Vec<String>>, SqlError> {
        let depth = self.ctes.len();
        let names = self.query_with_ctes(query);
        self.ctes.truncate(depth);
        names
    }

    fn query_with_ctes(&mut self, query: &mut Query) -> Result<Option<Vec<String>>, SqlError> {
        if let Some(with) = &mut query.with {
            for cte in &mut with.cte_tables {
                let name = stored(&cte.alias.name);
                let listed: Vec<String> = cte.alias.columns.iter().map(|c| stored(&c.name)).collect();
                let itself = is_recursive(&cte.query, &name);
                let names = match (itself, cte.query.body.as_mut()) {
                    (true, SetExpr::SetOperation { op, set_quantifier, left, right }) => {
                        if *op != SetOperator::Union || *set_quantifier != SetQuantifier::All {
                            return Err(SqlError::new(
                                "sql/recursive-cte",
                                format!("the recursive CTE `{name}` must join its parts with UNION ALL"),
                            )
                            .at(self.sql, cte.alias.name.span));
                        }
                        let anchor = self.set_expr(left)?;
                        // the planner reads the columns of the recursion from the anchor
                        if let SetExpr::Select(select) = left.as_mut() {
                            select::name_columns(select, &listed);
                        }
                        let names = if listed.is_empty() { anchor } else { Some(listed.clone()) };
                        self.ctes.push((name.clone(), names.clone()));
                        name_itself(right, &name);
                        self.set_expr(right)?;
                        self.ctes.pop();
                        names
                    }
                    _ => self.query(&mut cte.query)?,
                };
                let names = if listed.is_empty() { names } else { Some(listed) };
                self.ctes.push((name, names));
            }
        }
        if let SetExpr::Select(select) = query.body.as_mut() {
            let names = self.select(select, query.order_by.as_mut())?;
            order_by_all(query.order_by.as_mut(), names.as_ref(), self.sql)?;
            return Ok(names);
        }
        let names = self.set_expr(&mut query.body)?;
        order_by_all(query.order_by.as_mut(), names.as_ref(), self.sql)?;
        if let (Some(OrderBy { kind: OrderByKind::Expressions(exprs), .. }), Some(names)) = (&mut query.order_by, &names) {
            for expr in exprs {
                select::replace_positions(&mut expr.expr, names, self.sql)?;
            }
        }
        Ok(names)
    }

    fn set_expr(&mut self, set: &mut SetExpr) -> Result<Option<Vec<String>>, SqlError> {
        match set {
            SetExpr::Select(select) => self.select(select, None),
            SetExpr::Query(query) => self.query(query),
            SetExpr::SetOperation { left, right, .. } => {
                let names = self.set_expr(left)?;
                self.set_expr(right)?;
                Ok(names)
            }
            SetExpr::Values(values) => {
                let width = values.rows.first().map_or(0, |r| r.content.len());
                for expr in values.rows.iter_mut().flat_map(|r| &mut r.content) {
                    self.subqueries(expr)?;
                }
                Ok(Some((1..=width).map(|i| format!("COLUMN{i}")).collect()))
            }
            _ => Ok(None),
        }
    }

    /// Resolves the queries inside an expression.
    pub(super) fn subqueries<V: VisitMut>(&mut self, node: &mut V) -> Result<(), SqlError> {
        struct Inner<'r, 'a> {
            resolver: &'r mut Resolver<'a>,
            depth: usize,
        }
        impl VisitorMut for Inner<'_, '_> {
            type Break = SqlError;

            fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
                self.depth += 1;
                if self.depth == 1 {
                    self.resolver.inside += 1;
                    let resolved = self.resolver.query(query);
                    self.resolver.inside -= 1;
                    if let Err(e) = resolved {
                        return ControlFlow::Break(e);
                    }
                }
                ControlFlow::Continue(())
            }

            fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<SqlError> {
                self.depth -= 1;
                ControlFlow::Continue(())
            }
        }
        match node.visit(&mut Inner { resolver: self, depth: 0 }) {
            ControlFlow::Break(e) => Err(e),
            ControlFlow::Continue(()) => Ok(()),
        }
    }

    pub(super) fn cte(&self, name: &ObjectName) -> Option<&Option<Vec<String>>> {
        let [part] = name.0.as_slice() else { return None };
        let wanted = part.as_ident().map(stored)?;
        self.ctes.iter().rev().find(|(n, _)| *n == wanted).map(|(_, columns)| columns)
    }
}

/// Rewrites expressions, but not inside of queries that stand in them.
pub(super) fn outside_queries<V: VisitMut>(
    node: &mut V,
    rewrite: &mut dyn FnMut(&mut Expr) -> Result<(), SqlError>,
) -> Result<(), SqlError> {
    struct Outside<'f> {
        rewrite: &'f mut dyn FnMut(&mut Expr) -> Result<(), SqlError>,
        depth: usize,
    }
    impl VisitorMut for Outside<'_> {
        type Break = SqlError;

        fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<SqlError> {
            self.depth += 1;
            ControlFlow::Continue(())
        }

        fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<SqlError> {
            self.depth -= 1;
            ControlFlow::Continue(())
        }

        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
            if self.depth > 0 {
                return ControlFlow::Continue(());
            }
            match (self.rewrite)(expr) {
                Ok(()) => ControlFlow::Continue(()),
                Err(e) => ControlFlow::Break(e),
            }
        }
    }
    match node.visit(&mut Outside { rewrite, depth: 0 }) {
        ControlFlow::Break(e) => Err(e),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// The recursion reads itself under an alias: the planner folds the bare name of its working table.
fn name_itself(set: &mut SetExpr, name: &str) {
    struct Itself<'a>(&'a str);
    impl VisitorMut for Itself<'_> {
        type Break = ();

        fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
            if let TableFactor::Table { name, alias: alias @ None, .. } = factor
                && matches!(name.0.as_slice(), [part] if part.as_ident().is_some_and(|i| stored(i) == self.0))
            {
                *alias = Some(TableAlias { explicit: true, name: quoted(self.0), columns: vec![], at: None });
            }
            ControlFlow::Continue(())
        }
    }
    let _ = set.visit(&mut Itself(name));
}

/// Whether the right part of a UNION names the CTE itself.
pub fn is_recursive(query: &Query, name: &str) -> bool {
    let SetExpr::SetOperation { right, .. } = query.body.as_ref() else { return false };
    sqlparser::ast::visit_relations(right.as_ref(), |relation| match relation.0.as_slice() {
        [part] if part.as_ident().is_some_and(|i| stored(i) == name) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    })
    .is_break()
}

/// ORDER BY ALL is by every column, from the left.
fn order_by_all(order_by: Option<&mut OrderBy>, names: Option<&Vec<String>>, sql: &str) -> Result<(), SqlError> {
    let Some(order_by) = order_by else { return Ok(()) };
    let OrderByKind::All(options) = &order_by.kind else { return Ok(()) };
    let Some(names) = names else {
        return Err(SqlError::unsupported("ORDER BY ALL over columns that are not known here")
            .help("list the columns")
            .at(sql, order_by.span()));
    };
    let options = *options;
    order_by.kind = OrderByKind::Expressions(
        (1..=names.len())
            .map(|i| OrderByExpr { expr: Expr::Value(Value::Number(i.to_string(), false).with_empty_span()), options, with_fill: None })
            .collect(),
    );
    Ok(())
}
