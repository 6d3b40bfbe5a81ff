//! One SELECT: aliases used beside their definition, positions `$1`, wildcards with options, names that occur twice.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use sqlparser::{
    ast::{
        ExcludeSelectItem, Expr, GroupByExpr, Ident, OrderBy, OrderByKind, RenameSelectItem, Select, SelectItem,
        SelectItemQualifiedWildcardKind, Spanned, Value, VisitMut, WildcardAdditionalOptions,
    },
    tokenizer::Span,
};

use super::{REPEATED, Resolver, column, columns::Relation, outside_queries, quoted};
use crate::dialect::{SqlError, lower::stored};

/// Expressions that aliases may grow into by naming each other; beyond is a mistake or an attack.
const EXPANDED_LIMIT: usize = 200_000;

impl Resolver<'_> {
    /// The names of the columns, where they are known.
    pub(super) fn select(&mut self, select: &mut Select, order_by: Option<&mut OrderBy>) -> Result<Option<Vec<String>>, SqlError> {
        if !select.connect_by.is_empty() {
            self.hierarchy(select)?;
        }
        let mut relations = vec![];
        for from in &mut select.from {
            relations.extend(self.relations(from)?);
        }
        super::join::outer_joins(select, &relations, self.sql)?;
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                super::subquery::quantified(expr)?;
                super::subquery::tuples_in(expr)?;
                super::subquery::exists_as_value(expr)?;
                super::subquery::in_as_value(expr)?;
            }
        }
        for condition in [&mut select.selection, &mut select.having, &mut select.qualify].into_iter().flatten() {
            super::subquery::quantified(condition)?;
            super::subquery::tuples_in(condition)?;
        }
        let merged = super::join::merged_columns(select, &relations, self.inside > 0);
        self.subqueries(&mut select.projection)?;
        for part in [&mut select.selection, &mut select.having, &mut select.qualify].into_iter().flatten() {
            self.subqueries(part)?;
        }
        self.subqueries(&mut select.group_by)?;
        positions(select, &relations, self.sql)?;
        expand_wildcards(select, &relations, &merged, self.sql)?;
        if !merged.is_empty() {
            merge(select, &merged)?;
        }
        let known: Option<Vec<String>> = relations.iter().map(|r| r.columns.clone()).collect::<Option<Vec<_>>>().map(|c| c.concat());
        if let Some(known) = &known {
            aliases(select, known, self.sql)?;
        }
        if let Some(order_by) = order_by {
            if let OrderByKind::Expressions(exprs) = &mut order_by.kind {
                let all = all_columns(&relations);
                for expr in exprs.iter_mut() {
                    self.subqueries(&mut expr.expr)?;
                    if self.sql.contains('$') {
                        outside_queries(&mut expr.expr, &mut |e| position(e, all.as_deref(), &relations, self.sql))?;
                    }
                    if let (Some(known), false) = (&known, matches!(expr.expr, Expr::Identifier(_))) {
                        let table = alias_table(select, known);
                        let mut budget = EXPANDED_LIMIT;
                        substitute(&mut expr.expr, &table, known, &mut vec![], &mut budget)?;
                    }
                    if let Some(value) = merged_value(&expr.expr, &merged)
                        && !names_of(select, &relations).is_some_and(|n| matches!(&expr.expr, Expr::Identifier(i) if n.contains(&i.value)))
                    {
                        expr.expr = value;
                    }
                }
            }
        }
        let names = names_of(select, &relations);
        differ(select, &relations);
        Ok(names)
    }
}

fn merged_value(expr: &Expr, merged: &IndexMap<String, Expr>) -> Option<Expr> {
    match expr {
        Expr::Identifier(i) => merged.get(&i.value).cloned(),
        _ => None,
    }
}

/// Unqualified names of columns that a join merged.
fn merge(select: &mut Select, merged: &IndexMap<String, Expr>) -> Result<(), SqlError> {
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(Expr::Identifier(i)) = item
            && let Some(value) = merged.get(&i.value)
        {
            *item = SelectItem::ExprWithAlias { expr: value.clone(), alias: quoted(&i.value) };
        }
    }
    let mut rewrite = |expr: &mut Expr| {
        if let Some(value) = merged_value(expr, merged) {
            *expr = value;
        }
        Ok(())
    };
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
            outside_queries(expr, &mut rewrite)?;
        }
    }
    for part in [&mut select.selection, &mut select.having, &mut select.qualify].into_iter().flatten() {
        outside_queries(part, &mut rewrite)?;
    }
    if let GroupByExpr::Expressions(exprs, _) = &mut select.group_by {
        for expr in exprs {
            outside_queries(expr, &mut rewrite)?;
        }
    }
    Ok(())
}

/// Every column, by position.
fn all_columns(relations: &[Relation]) -> Option<Vec<Expr>> {
    relations
        .iter()
        .map(|r| r.columns.as_ref().map(|c| c.iter().map(|c| column(r.name.as_deref(), c)).collect::<Vec<_>>()))
        .collect::<Option<Vec<_>>>()
        .map(|c| c.concat())
}

/// `$1` and `t.$1` anywhere in the SELECT.
fn positions(select: &mut Select, relations: &[Relation], sql: &str) -> Result<(), SqlError> {
    if !sql.contains('$') {
        return Ok(());
    }
    let all = all_columns(relations);
    let mut rewrite = |expr: &mut Expr| position(expr, all.as_deref(), relations, sql);
    for item in &mut select.projection {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                let shown = shown_position(expr);
                outside_queries(expr, &mut rewrite)?;
                if let Some(name) = shown {
                    let expr = std::mem::replace(expr, Expr::Identifier(Ident::new("x")));
                    *item = SelectItem::ExprWithAlias { expr, alias: quoted(&name) };
                }
            }
            SelectItem::ExprWithAlias { expr, .. } => outside_queries(expr, &mut rewrite)?,
            _ => {}
        }
    }
    for part in [&mut select.selection, &mut select.having, &mut select.qualify].into_iter().flatten() {
        outside_queries(part, &mut rewrite)?;
    }
    for from in &mut select.from {
        for join in &mut from.joins {
            outside_queries(&mut join.join_operator, &mut rewrite)?;
        }
        if let sqlparser::ast::TableFactor::Function { args, .. } = &mut from.relation {
            outside_queries(args, &mut rewrite)?;
        }
    }
    outside_queries(&mut select.group_by, &mut rewrite)
}

/// The column name of a bare position: `$1`.
fn shown_position(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(v) => match &v.value {
            Value::Placeholder(p) if number(p).is_some() => Some(p.clone()),
            _ => None,
        },
        Expr::CompoundIdentifier(parts) => parts.last().filter(|p| number(&p.value).is_some()).map(|p| p.value.clone()),
        _ => None,
    }
}

fn number(text: &str) -> Option<usize> {
    let digits = text.strip_prefix('$')?;
    (!digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
}

fn position(expr: &mut Expr, all: Option<&[Expr]>, relations: &[Relation], sql: &str) -> Result<(), SqlError> {
    let span = match expr {
        Expr::Value(v) => v.span,
        Expr::CompoundIdentifier(parts) => Span::union_iter(parts.iter().map(|p| p.span)),
        _ => return Ok(()),
    };
    let wrong = |n: usize, count: usize| {
        let columns = if count == 1 { "column" } else { "columns" };
        SqlError::new("sql/unknown-column", format!("there is no column `${n}`: the relations have {count} {columns}")).at(sql, span)
    };
    match expr {
        Expr::Value(v) => {
            let Value::Placeholder(text) = &v.value else { return Ok(()) };
            let Some(n) = number(text) else { return Ok(()) };
            let Some(all) = all else {
                return Err(SqlError::unsupported(format!("`{text}` over columns that are not known here"))
                    .help("name the column")
                    .at(sql, span));
            };
            *expr = n.checked_sub(1).and_then(|i| all.get(i)).cloned().ok_or_else(|| wrong(n, all.len()))?;
        }
        Expr::CompoundIdentifier(parts) => {
            let Some(n) = parts.last().and_then(|p| number(&p.value)) else { return Ok(()) };
            let relation = parts.get(parts.len().wrapping_sub(2)).map(|p| p.value.clone());
            let found = relations.iter().find(|r| r.name == relation).and_then(|r| r.columns.as_ref());
            if let Some(columns) = found {
                let name = n.checked_sub(1).and_then(|i| columns.get(i)).ok_or_else(|| wrong(n, columns.len()))?;
                *expr = column(relation.as_deref(), name);
            }
        }
        _ => {}
    }
    Ok(())
}

/// `$1` in ORDER BY.
pub(super) fn replace_positions(expr: &mut Expr, columns: &[String], sql: &str) -> Result<(), SqlError> {
    let relations = [Relation { name: None, columns: Some(columns.to_vec()) }];
    let all: Vec<Expr> = columns.iter().map(|c| column(None, c)).collect();
    outside_queries(expr, &mut |e| if matches!(e, Expr::Value(_)) { position(e, Some(&all), &relations, sql) } else { Ok(()) })
}

type Table = BTreeMap<String, Expr>;

/// Aliases that are no columns of the relations.
fn alias_table(select: &Select, known: &[String]) -> Table {
    let mut table = Table::new();
    for item in &select.projection {
        if let SelectItem::ExprWithAlias { expr, alias } = item
            && !known.contains(&alias.value)
        {
            table.entry(alias.value.clone()).or_insert_with(|| expr.clone());
        }
    }
    table
}

fn aliases(select: &mut Select, known: &[String], sql: &str) -> Result<(), SqlError> {
    let table = alias_table(select, known);
    if table.is_empty() {
        return Ok(());
    }
    let mut budget = EXPANDED_LIMIT;
    let fail = |result: Result<(), SqlError>, span| result.map_err(|e: SqlError| e.at(sql, span));
    for item in &mut select.projection {
        let span = item.span();
        match item {
            SelectItem::ExprWithAlias { expr, alias } => {
                let mut open = vec![alias.value.clone()];
                fail(substitute(expr, &table, known, &mut open, &mut budget), span)?;
            }
            SelectItem::UnnamedExpr(expr) => {
                let name = match &expr {
                    Expr::Identifier(i) if table.contains_key(&i.value) => Some(i.value.clone()),
                    _ => None,
                };
                fail(substitute(expr, &table, known, &mut vec![], &mut budget), span)?;
                if let Some(name) = name {
                    let expr = std::mem::replace(expr, Expr::Identifier(Ident::new("x")));
                    *item = SelectItem::ExprWithAlias { expr, alias: quoted(&name) };
                }
            }
            _ => {}
        }
    }
    for part in [&mut select.selection, &mut select.having, &mut select.qualify].into_iter().flatten() {
        let span = part.span();
        fail(substitute(part, &table, known, &mut vec![], &mut budget), span)?;
    }
    if let GroupByExpr::Expressions(exprs, _) = &mut select.group_by {
        // the one group of all rows, with whatever else is grouped by
        if exprs.iter().any(is_empty_tuple) {
            match exprs.len() {
                1 => exprs[0] = Expr::GroupingSets(vec![vec![]]),
                _ => exprs.retain(|e| !is_empty_tuple(e)),
            }
        }
        // a bare alias the planner knows; put in place, a number would be a position
        for expr in exprs.iter_mut().filter(|e| !matches!(e, Expr::Identifier(_))) {
            let span = expr.span();
            fail(substitute(expr, &table, known, &mut vec![], &mut budget), span)?;
        }
    }
    for window in &mut select.named_window {
        fail(substitute(&mut window.1, &table, known, &mut vec![], &mut budget), Span::empty())?;
    }
    Ok(())
}

fn is_empty_tuple(expr: &Expr) -> bool {
    matches!(expr, Expr::Tuple(parts) if parts.is_empty())
}

/// Aliases become what they stand for. `open` are those being replaced: an alias in its own definition stays.
fn substitute<V: VisitMut>(
    node: &mut V,
    table: &Table,
    known: &[String],
    open: &mut Vec<String>,
    budget: &mut usize,
) -> Result<(), SqlError> {
    outside_queries(node, &mut |expr| {
        let Expr::Identifier(ident) = expr else { return Ok(()) };
        if known.contains(&ident.value) || open.contains(&ident.value) {
            return Ok(());
        }
        let Some(definition) = table.get(&ident.value) else { return Ok(()) };
        *budget = budget.saturating_sub(1);
        if *budget == 0 {
            return Err(
                SqlError::new("sql/too-deep", "aliases that name each other grow beyond all bounds").help("use a subquery or a CTE")
            );
        }
        let mut value = definition.clone();
        open.push(ident.value.clone());
        let done = substitute(&mut value, table, known, open, budget);
        open.pop();
        done?;
        *expr = match value {
            simple @ (Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_) | Expr::Function(_) | Expr::Nested(_)) => simple,
            other => Expr::Nested(Box::new(other)),
        };
        Ok(())
    })
}

fn excluded(options: &WildcardAdditionalOptions) -> Vec<String> {
    let last = |name: &sqlparser::ast::ObjectName| name.0.last().and_then(|p| p.as_ident()).map(stored).unwrap_or_default();
    match &options.opt_exclude {
        Some(ExcludeSelectItem::Single(name)) => vec![last(name)],
        Some(ExcludeSelectItem::Multiple(names)) => names.iter().map(last).collect(),
        None => vec![],
    }
}

fn renamed(options: &WildcardAdditionalOptions) -> Vec<(String, String)> {
    match &options.opt_rename {
        Some(RenameSelectItem::Single(r)) => vec![(stored(&r.ident), stored(&r.alias))],
        Some(RenameSelectItem::Multiple(rs)) => rs.iter().map(|r| (stored(&r.ident), stored(&r.alias))).collect(),
        None => vec![],
    }
}

/// The columns that a wildcard stands for, where it has options or a join merged some of them.
fn expand_wildcards(select: &mut Select, relations: &[Relation], merged: &IndexMap<String, Expr>, sql: &str) -> Result<(), SqlError> {
    let plain = |o: &WildcardAdditionalOptions| {
        o.opt_ilike.is_none() && o.opt_rename.is_none() && o.opt_exclude.is_none() && o.opt_replace.is_none()
    };
    let needs = |item: &SelectItem| match item {
        SelectItem::Wildcard(o) => !plain(o) || !merged.is_empty(),
        SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(_), o) => !plain(o),
        _ => false,
    };
    if !select.projection.iter().any(needs) {
        return Ok(());
    }
    let mut items = vec![];
    for item in std::mem::take(&mut select.projection) {
        let span = item.span();
        let (only, options) = match &item {
            SelectItem::Wildcard(o) if needs(&item) => (None, o.clone()),
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), o) if needs(&item) => {
                (name.0.last().and_then(|p| p.as_ident()).map(stored), o.clone())
            }
            _ => {
                items.push(item);
                continue;
            }
        };
        let taken: Vec<&Relation> = relations.iter().filter(|r| only.is_none() || r.name == only).collect();
        if taken.is_empty() || taken.iter().any(|r| r.columns.is_none()) {
            // EXCLUDE and REPLACE the planner knows too
            if options.opt_ilike.is_none() && options.opt_rename.is_none() && merged.is_empty() {
                items.push(item);
                continue;
            }
            return Err(SqlError::unsupported("`*` with options over columns that are not known here")
                .help("list the columns")
                .at(sql, span));
        }
        let mut columns: Vec<(Expr, String)> = vec![];
        if only.is_none() {
            columns.extend(merged.iter().map(|(name, value)| (value.clone(), name.clone())));
        }
        for relation in &taken {
            for name in relation.columns.iter().flatten() {
                if only.is_none() && merged.contains_key(name) {
                    continue;
                }
                columns.push((column(relation.name.as_deref(), name), name.clone()));
            }
        }
        let (exclude, rename) = (excluded(&options), renamed(&options));
        let replace: Vec<(String, Expr)> =
            options.opt_replace.iter().flat_map(|r| &r.items).map(|r| (stored(&r.column_name), r.expr.clone())).collect();
        let wanted = exclude
            .iter()
            .map(|n| ("EXCLUDE", n))
            .chain(rename.iter().map(|(n, _)| ("RENAME", n)))
            .chain(replace.iter().map(|(n, _)| ("REPLACE", n)));
        for (clause, name) in wanted {
            if !columns.iter().any(|(_, c)| c == name) {
                let error =
                    SqlError::new("sql/unknown-column", format!("{clause} names the column `{name}`, which is not there")).at(sql, span);
                let near =
                    crate::names::nearest(name, columns.iter().map(|(_, c)| c.as_str())).map(|n| format!("a column named `{n}` exists"));
                return Err(match near {
                    Some(help) => error.help(help),
                    None => error,
                });
            }
        }
        let pattern = options.opt_ilike.as_ref().map(|i| like_pattern(&i.pattern));
        let before = items.len();
        for (value, name) in columns {
            if exclude.contains(&name) || pattern.as_ref().is_some_and(|p| !p.as_ref().is_some_and(|p| p.is_match(&name))) {
                continue;
            }
            let value = replace.iter().find(|(n, _)| *n == name).map_or(value, |(_, e)| e.clone());
            let shown = rename.iter().find(|(n, _)| *n == name).map_or(name.clone(), |(_, to)| to.clone());
            items.push(SelectItem::ExprWithAlias { expr: value, alias: quoted(&shown) });
        }
        if items.len() == before {
            return Err(SqlError::new("sql/no-columns", "the wildcard leaves no columns").at(sql, span));
        }
    }
    select.projection = items;
    Ok(())
}

fn like_pattern(pattern: &str) -> Option<regex::Regex> {
    let mut text = String::from("(?is)^");
    for c in pattern.chars() {
        match c {
            '%' => text.push_str(".*"),
            '_' => text.push('.'),
            c => text.push_str(&regex::escape(&c.to_string())),
        }
    }
    text.push('$');
    regex::Regex::new(&text).ok()
}

/// The names of the columns of a SELECT.
fn names_of(select: &Select, relations: &[Relation]) -> Option<Vec<String>> {
    let mut names = vec![];
    for item in &select.projection {
        match item {
            SelectItem::ExprWithAlias { alias, .. } => names.push(stored(alias)),
            SelectItem::UnnamedExpr(Expr::Identifier(i)) => names.push(stored(i)),
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => names.extend(parts.last().map(stored)),
            SelectItem::UnnamedExpr(other) => names.push(other.to_string()),
            SelectItem::Wildcard(o) => {
                let all: Option<Vec<Vec<String>>> = relations.iter().map(|r| r.columns.clone()).collect();
                let gone = excluded(o);
                names.extend(all?.concat().into_iter().filter(|n| !gone.contains(n)));
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), o) => {
                let wanted = name.0.last().and_then(|p| p.as_ident()).map(stored);
                let relation = relations.iter().find(|r| r.name == wanted)?;
                let gone = excluded(o);
                names.extend(relation.columns.clone()?.into_iter().filter(|n| !gone.contains(n)));
            }
            _ => return None,
        }
    }
    Some(names)
}

/// Names given to the first columns, from the left; nothing when a wildcard hides which they are.
pub(super) fn name_columns(select: &mut Select, names: &[String]) {
    if select.projection.iter().any(|i| matches!(i, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..))) {
        return;
    }
    for (item, name) in select.projection.iter_mut().zip(names) {
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
            let expr = std::mem::replace(expr, Expr::Identifier(Ident::new("x")));
            *item = SelectItem::ExprWithAlias { expr, alias: quoted(name) };
        }
    }
}

/// The planner wants each name once: a repeated one is marked, results are shown without the mark.
fn differ(select: &mut Select, relations: &[Relation]) {
    let mut seen: Vec<String> = vec![];
    for item in &mut select.projection {
        let name = match item {
            SelectItem::ExprWithAlias { alias, .. } => alias.value.clone(),
            SelectItem::UnnamedExpr(Expr::Identifier(i)) => i.value.clone(),
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => parts.last().map(|p| p.value.clone()).unwrap_or_default(),
            SelectItem::Wildcard(o) => {
                let gone = excluded(o);
                seen.extend(relations.iter().flat_map(|r| r.columns.iter().flatten()).filter(|n| !gone.contains(n)).cloned());
                continue;
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                let wanted = name.0.last().and_then(|p| p.as_ident()).map(stored);
                seen.extend(relations.iter().filter(|r| r.name == wanted).flat_map(|r| r.columns.iter().flatten()).cloned());
                continue;
            }
            _ => continue,
        };
        let times = seen.iter().filter(|n| **n == name).count();
        seen.push(name.clone());
        if times == 0 {
            continue;
        }
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
            let expr = std::mem::replace(expr, Expr::Identifier(Ident::new("x")));
            *item = SelectItem::ExprWithAlias { expr, alias: quoted(&format!("{name}{REPEATED}{}", times + 1)) };
        }
    }
}
