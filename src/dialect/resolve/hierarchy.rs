//! `START WITH ... CONNECT BY ...` to a recursive CTE (Snowflake documentation, "CONNECT BY").
//!
//! The rows that START WITH selects are the anchor; each step joins the relation to the rows of the step before, which
//! PRIOR names. LEVEL, CONNECT_BY_ROOT and SYS_CONNECT_BY_PATH are columns that the recursion carries along.

use std::ops::ControlFlow;

use sqlparser::ast::{
    ConnectByKind, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Query, Select, SelectItem, SetExpr, Statement,
    TableAlias, TableFactor, TableWithJoins, VisitMut, VisitorMut,
};

use super::{
    Resolver, column,
    columns::Relation,
    join::{conjuncts, owner, owners},
    outside_queries, quoted,
};
use crate::dialect::{SqlError, literal, operator, parse, spelling};

const ROWS: &str = "__HIERARCHY";
const PARENT: &str = "__PRIOR";
const LEVEL: &str = "LEVEL";

/// A column that the recursion carries: its value in the anchor, and in a step.
struct Carried {
    name: String,
    anchor: String,
    step: String,
}

impl Resolver<'_> {
    pub(super) fn hierarchy(&mut self, select: &mut Select) -> Result<(), SqlError> {
        name_relations(&mut select.from);
        // the parts of the query go through text once more
        let _ = select.visit(&mut Plain);
        outside_queries(&mut select.projection, &mut |e| {
            if let Expr::Function(Function { name, args: FunctionArguments::List(list), .. }) = e
                && name.to_string().eq_ignore_ascii_case(spelling::PRIOR)
                && let [FunctionArg::Unnamed(FunctionArgExpr::Expr(value))] = list.args.as_slice()
            {
                *e = Expr::Prior(Box::new(value.clone()));
            }
            Ok(())
        })?;
        let mut relations = vec![];
        for from in &mut select.from {
            relations.extend(self.relations(from)?);
        }
        let unknown = || SqlError::unsupported("CONNECT BY over a relation whose columns are not known here");
        if relations.is_empty() || relations.iter().any(|r| r.columns.is_none()) {
            return Err(unknown());
        }
        let (mut start, mut connect) = (None, None);
        for kind in std::mem::take(&mut select.connect_by) {
            match kind {
                ConnectByKind::StartWith { condition, .. } => start = Some(*condition),
                ConnectByKind::ConnectBy { nocycle, relationships, .. } => {
                    if nocycle {
                        let at = relationships.first().map_or_else(sqlparser::tokenizer::Span::empty, sqlparser::ast::Spanned::span);
                        return Err(SqlError::unsupported("CONNECT BY NOCYCLE").at(self.sql, at));
                    }
                    connect = relationships.into_iter().reduce(super::join::and);
                }
            }
        }
        let Some(connect) = connect else { return Err(SqlError::new("sql/syntax", "START WITH needs CONNECT BY")) };
        // conditions that join the relations come first, the others filter the finished hierarchy
        let (mut joins, mut filters) = (vec![], vec![]);
        for part in select.selection.take().map(conjuncts).unwrap_or_default() {
            if owners(&part, &relations).len() > 1 { joins.push(part) } else { filters.push(part) }
        }
        let names = Names { relations: &relations };
        let mut carried: Vec<Carried> = vec![];
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                names.carry(expr, &mut carried)?;
            }
        }
        for part in filters.iter_mut().chain([&mut select.having, &mut select.qualify].into_iter().flatten()) {
            names.carry(part, &mut carried)?;
        }
        let mut condition = connect;
        outside_queries(&mut condition, &mut |expr| {
            names.qualify(expr);
            names.prior(expr);
            names.level(expr, true);
            Ok(())
        })?;
        let from: Vec<String> = select.from.iter().map(literal::print).collect();
        let from = from.join(", ");
        let columns: Vec<(String, String)> =
            names.all().map(|(r, c)| (column(r, c).to_string(), quoted(&names.shown(r, c)).to_string())).collect();
        let list =
            |f: &dyn Fn(&Carried) -> String| carried.iter().map(|c| format!(", {} as {}", f(c), quoted(&c.name))).collect::<String>();
        let own: Vec<String> = columns.iter().map(|(value, name)| format!("{value} as {name}")).collect();
        let own = own.join(", ");
        let level = quoted(LEVEL);
        let joined: String = joins.iter().map(|j| format!(" and ({})", literal::print(j))).collect();
        let start = start.map_or_else(|| "true".to_owned(), |s| literal::print(&s));
        let condition = literal::print(&condition);
        let anchors = list(&|c| c.anchor.clone());
        let steps = list(&|c| c.step.clone());
        let rows = quoted(ROWS);
        let parent = quoted(PARENT);
        let text = format!(
            "with recursive {rows} as (\
               select {own}, __cast(1, 'NUMBER(38,0)') as {level}{anchors} from {from} where ({start}){joined} \
               union all \
               select {own}, __cast({parent}.{level} + 1, 'NUMBER(38,0)') as {level}{steps} from {from}, {rows} as {parent} where ({condition}){joined}\
             ) select * from {rows}"
        );
        let query = match parse::parse_statement(&text) {
            Ok(Statement::Query(query)) => query,
            Ok(_) | Err(_) => return Err(SqlError::unsupported("this CONNECT BY")),
        };
        self.take_over(select, &relations, query, filters)
    }

    /// The SELECT over the finished hierarchy.
    fn take_over(&mut self, select: &mut Select, relations: &[Relation], query: Box<Query>, filters: Vec<Expr>) -> Result<(), SqlError> {
        let names = Names { relations };
        let alias = match relations {
            [one] => one.name.clone().unwrap_or_else(|| ROWS.into()),
            _ => ROWS.to_owned(),
        };
        let mut rewrite = |expr: &mut Expr| {
            if let Some(at) = owner(expr, relations)
                && let Some(name) = last(expr)
            {
                let shown = names.shown(relations[at].name.as_deref(), &name);
                *expr = column(Some(&alias), &shown);
            }
            Ok(())
        };
        let mut projection = vec![];
        for mut item in std::mem::take(&mut select.projection) {
            match &mut item {
                SelectItem::Wildcard(options) if options.to_string().is_empty() => {
                    projection.extend(
                        names
                            .all()
                            .map(|(r, c)| SelectItem::ExprWithAlias { expr: column(Some(&alias), &names.shown(r, c)), alias: quoted(c) }),
                    );
                    continue;
                }
                SelectItem::UnnamedExpr(expr) => {
                    let name = last(expr);
                    outside_queries(expr, &mut rewrite)?;
                    if let Some(name) = name {
                        let expr = std::mem::replace(expr, Expr::Identifier(Ident::new("x")));
                        projection.push(SelectItem::ExprWithAlias { expr, alias: quoted(&name) });
                        continue;
                    }
                }
                SelectItem::ExprWithAlias { expr, .. } => outside_queries(expr, &mut rewrite)?,
                _ => {}
            }
            projection.push(item);
        }
        select.projection = projection;
        select.selection = filters.into_iter().reduce(super::join::and);
        for part in [&mut select.selection, &mut select.having, &mut select.qualify].into_iter().flatten() {
            outside_queries(part, &mut rewrite)?;
        }
        outside_queries(&mut select.group_by, &mut rewrite)?;
        let text = format!("select * from ({query}) as {}", quoted(&alias));
        let from: Vec<TableWithJoins> = match parse::parse_statement(&text) {
            Ok(Statement::Query(query)) => match *query.body {
                SetExpr::Select(inner) => inner.from,
                _ => vec![],
            },
            _ => vec![],
        };
        if from.is_empty() {
            return Err(SqlError::unsupported("this CONNECT BY"));
        }
        select.from = from;
        Ok(())
    }
}

/// Operators without the places that the lowering gave them.
struct Plain;

impl VisitorMut for Plain {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::BinaryOp { op, .. } = expr {
            operator::plain(op);
        }
        ControlFlow::Continue(())
    }
}

/// Queries without an alias get one, so that their columns can be told from those of the rows before.
fn name_relations(from: &mut [TableWithJoins]) {
    let factors = from.iter_mut().flat_map(|f| std::iter::once(&mut f.relation).chain(f.joins.iter_mut().map(|j| &mut j.relation)));
    for (i, factor) in factors.enumerate() {
        if let TableFactor::Derived { alias: alias @ None, .. } = factor {
            *alias = Some(TableAlias { explicit: true, name: quoted(&format!("__RELATION_{i}")), columns: vec![], at: None });
        }
    }
}

fn last(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(i) => Some(i.value.clone()),
        Expr::CompoundIdentifier(parts) => parts.last().map(|p| p.value.clone()),
        _ => None,
    }
}

/// Names of the relations' columns inside the recursion.
struct Names<'a> {
    relations: &'a [Relation],
}

impl Names<'_> {
    fn all(&self) -> impl Iterator<Item = (Option<&str>, &str)> {
        self.relations.iter().flat_map(|r| r.columns.iter().flatten().map(|c| (r.name.as_deref(), c.as_str())))
    }

    /// The name that a column has in the recursion: its own, unless several relations are joined.
    fn shown(&self, relation: Option<&str>, name: &str) -> String {
        if self.relations.len() == 1 { name.to_owned() } else { format!("{}.{name}", relation.unwrap_or_default()) }
    }

    /// Columns below PRIOR are those of the row before.
    fn prior(&self, expr: &mut Expr) {
        let Expr::Prior(inner) = expr else { return };
        let mut value = inner.as_ref().clone();
        let _ = outside_queries(&mut value, &mut |e| {
            if let Some(at) = owner(e, self.relations)
                && let Some(name) = last(e)
            {
                *e = column(Some(PARENT), &self.shown(self.relations[at].name.as_deref(), &name));
            }
            Ok(())
        });
        *expr = Expr::Nested(Box::new(value));
    }

    /// A bare column says which relation it is of: in a step the rows before have the same names.
    fn qualify(&self, expr: &mut Expr) {
        if matches!(expr, Expr::Identifier(_))
            && let Some(at) = owner(expr, self.relations)
            && let Some(name) = last(expr)
        {
            *expr = column(self.relations[at].name.as_deref(), &name);
        }
    }

    fn level(&self, expr: &mut Expr, of_the_step: bool) {
        let is_level = matches!(expr, Expr::Identifier(i) if i.value == LEVEL);
        if !is_level || self.all().any(|(_, c)| c == LEVEL) {
            return;
        }
        if of_the_step && let Ok(next) = parse::parse_expression(&format!("({}.{} + 1)", quoted(PARENT), quoted(LEVEL))) {
            *expr = next;
        }
    }

    fn is_pseudo(&self, expr: &Expr) -> bool {
        match expr {
            Expr::Prefixed { prefix, .. } => prefix.value.eq_ignore_ascii_case("connect_by_root"),
            Expr::Prior(_) => true,
            Expr::Function(f) => f.name.to_string().eq_ignore_ascii_case("sys_connect_by_path"),
            _ => false,
        }
    }

    /// Pseudo-columns of an expression become columns that the recursion carries.
    fn carry(&self, expr: &mut Expr, carried: &mut Vec<Carried>) -> Result<(), SqlError> {
        outside_queries(expr, &mut |e| {
            let name = format!("__CARRIED_{}", carried.len());
            if matches!(e, Expr::Prefixed { .. } | Expr::Prior(_) | Expr::Function(_)) && self.is_pseudo(e) {
                outside_queries(e, &mut |inner| {
                    self.qualify(inner);
                    Ok(())
                })?;
            }
            let made = match e {
                Expr::Prefixed { prefix, value } if prefix.value.eq_ignore_ascii_case("connect_by_root") => {
                    Carried { anchor: literal::print(value.as_ref()), step: format!("{}.{}", quoted(PARENT), quoted(&name)), name }
                }
                Expr::Prior(_) => {
                    let original = literal::print(e);
                    let mut step = e.clone();
                    self.prior(&mut step);
                    let inner = original.strip_prefix("PRIOR ").unwrap_or(&original).to_owned();
                    Carried { anchor: format!("nullif({inner}, {inner})"), step: literal::print(&step), name }
                }
                Expr::Function(Function { name: called, args: FunctionArguments::List(list), .. })
                    if called.to_string().eq_ignore_ascii_case("sys_connect_by_path") =>
                {
                    let args: Vec<&Expr> = list
                        .args
                        .iter()
                        .filter_map(|a| match a {
                            FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => Some(e),
                            _ => None,
                        })
                        .collect();
                    let [value, separator] = args.as_slice() else {
                        return Err(SqlError::new("sql/arguments", "`SYS_CONNECT_BY_PATH` takes 2 arguments: a column and a separator"));
                    };
                    let own = format!("{} || __cast({}, 'VARCHAR')", literal::print(*separator), literal::print(*value));
                    Carried { anchor: own.clone(), step: format!("{}.{} || {own}", quoted(PARENT), quoted(&name)), name }
                }
                _ => return Ok(()),
            };
            *e = Expr::Identifier(quoted(&made.name));
            carried.push(made);
            Ok(())
        })
    }
}
