//! Clauses of a query: row limits in all spellings become LIMIT, SAMPLE a filter; what would be read over is refused.

use sqlparser::ast::{
    Distinct, Expr, Ident, JoinConstraint, JoinOperator, LimitClause, Offset, OffsetRows, OrderByKind, Query, Select, SetExpr, Statement,
    TableAlias, TableFactor, TableSample, TableSampleKind, TableSampleUnit, TopQuantity, Value,
};

use super::identifier::fold_name;
use crate::dialect::{SqlError, parse};

/// ORDER BY ALL, which the parser takes for a column of that name.
pub(super) fn order_by_all(query: &mut Query) {
    let Some(order_by) = &mut query.order_by else { return };
    if let OrderByKind::Expressions(exprs) = &order_by.kind
        && let [one] = exprs.as_slice()
        && matches!(&one.expr, Expr::Identifier(i) if i.quote_style.is_none() && i.value.eq_ignore_ascii_case("all"))
    {
        order_by.kind = OrderByKind::All(one.options);
    }
}

/// Clauses that the planner reads over.
pub(super) fn refuse(query: &Query) -> Result<(), SqlError> {
    if !query.locks.is_empty() {
        return Err(SqlError::unsupported("FOR UPDATE").help("a change of rows fails when another commit came first"));
    }
    if query.for_clause.is_some() || query.settings.is_some() || query.format_clause.is_some() {
        return Err(SqlError::unsupported("this clause at the end of a query"));
    }
    if !query.pipe_operators.is_empty() {
        return Err(SqlError::unsupported("the pipe operator").help("use a CTE"));
    }
    Ok(())
}

pub(super) fn refuse_in_select(select: &Select) -> Result<(), SqlError> {
    let at = |error: SqlError| Err(error);
    if select.into.is_some() {
        return at(SqlError::unsupported("SELECT ... INTO").help("use CREATE TABLE ... AS SELECT"));
    }
    if matches!(select.distinct, Some(Distinct::On(_))) {
        return at(SqlError::unsupported("DISTINCT ON").help("use QUALIFY ROW_NUMBER() OVER (...) = 1"));
    }
    if select.exclude.is_some() || select.prewhere.is_some() || !select.distribute_by.is_empty() || select.value_table_mode.is_some() {
        return at(SqlError::unsupported("this clause of SELECT"));
    }
    Ok(())
}

pub(super) fn refuse_in_from(factor: &TableFactor) -> Result<(), SqlError> {
    Err(match factor {
        TableFactor::Table { name, .. } if name.to_string().starts_with('@') => {
            SqlError::unsupported(format!("the stage `{name}`")).help("describe outside files as a source with an adapter, and ingest them")
        }
        TableFactor::Table { partitions, json_path, with_ordinality, index_hints, .. }
            if !partitions.is_empty() || json_path.is_some() || *with_ordinality || !index_hints.is_empty() =>
        {
            SqlError::unsupported("this clause after a table")
        }
        TableFactor::MatchRecognize { .. } => {
            SqlError::unsupported("MATCH_RECOGNIZE").help("use window functions: LAG, LEAD, CONDITIONAL_CHANGE_EVENT")
        }
        TableFactor::SemanticView { .. } => SqlError::unsupported("SEMANTIC_VIEW"),
        TableFactor::JsonTable { .. } | TableFactor::OpenJsonTable { .. } => {
            SqlError::unsupported("JSON_TABLE").help("use LATERAL FLATTEN")
        }
        TableFactor::XmlTable { .. } => SqlError::unsupported("XMLTABLE"),
        TableFactor::UNNEST { .. } => SqlError::unsupported("UNNEST").help("use LATERAL FLATTEN"),
        _ => return Ok(()),
    })
}

fn number(n: u64) -> Expr {
    Expr::Value(Value::Number(n.to_string(), false).with_empty_span())
}

/// TOP and FETCH as LIMIT; LIMIT NULL and LIMIT '' as none.
pub(super) fn limits(query: &mut Query) -> Result<(), SqlError> {
    let mut limit = None;
    if let SetExpr::Select(select) = query.body.as_mut()
        && let Some(top) = select.top.take()
    {
        if top.percent || top.with_ties {
            return Err(SqlError::unsupported("TOP with PERCENT or WITH TIES"));
        }
        limit = Some(match top.quantity {
            Some(TopQuantity::Constant(n)) => number(n),
            Some(TopQuantity::Expr(e)) => e,
            None => return Err(SqlError::new("sql/syntax", "TOP needs a number of rows")),
        });
    }
    if let Some(fetch) = query.fetch.take() {
        if fetch.percent || fetch.with_ties {
            return Err(SqlError::unsupported("FETCH with PERCENT or WITH TIES"));
        }
        limit = Some(fetch.quantity.unwrap_or_else(|| number(1)));
    }
    if let Some(limit) = limit {
        let offset = match query.limit_clause.take() {
            None => None,
            Some(LimitClause::LimitOffset { limit: None, offset, .. }) => offset,
            Some(_) => return Err(SqlError::new("sql/syntax", "a query takes one of LIMIT, FETCH and TOP")),
        };
        query.limit_clause = Some(LimitClause::LimitOffset { limit: Some(limit), offset, limit_by: vec![] });
    }
    let none = |e: &Expr| match e {
        Expr::Value(v) => match &v.value {
            Value::Null => true,
            Value::SingleQuotedString(s) => s.is_empty(),
            Value::DollarQuotedString(s) => s.value.is_empty(),
            _ => false,
        },
        _ => false,
    };
    if let Some(LimitClause::LimitOffset { limit, offset, .. }) = &mut query.limit_clause {
        if limit.as_ref().is_some_and(none) {
            *limit = None;
        }
        if offset.as_ref().is_some_and(|o: &Offset| none(&o.value)) {
            *offset = None;
        }
        if let Some(offset) = offset {
            offset.rows = OffsetRows::None;
        }
    }
    Ok(())
}

/// Names in USING.
pub(super) fn fold_using(operator: &mut JoinOperator) {
    use JoinOperator as J;
    if let J::Join(c)
    | J::Inner(c)
    | J::Left(c)
    | J::LeftOuter(c)
    | J::Right(c)
    | J::RightOuter(c)
    | J::FullOuter(c)
    | J::CrossJoin(c)
    | J::AsOf { constraint: c, .. } = operator
        && let JoinConstraint::Using(names) = c
    {
        names.iter_mut().for_each(fold_name);
    }
}

/// SAMPLE and TABLESAMPLE: rows are numbered, and the seed decides over each number (Snowflake documentation, "SAMPLE /
/// TABLESAMPLE"). Blocks are sampled row by row, which the documentation allows to be slower, not different in share.
pub(super) fn sample(factor: &mut TableFactor) -> Result<(), SqlError> {
    let (sample, alias) = match factor {
        TableFactor::Table { sample, alias, .. } | TableFactor::Derived { sample, alias, .. } if sample.is_some() => {
            (sample.take(), alias.take())
        }
        _ => return Ok(()),
    };
    let Some(TableSampleKind::BeforeTableAlias(sample) | TableSampleKind::AfterTableAlias(sample)) = sample else { return Ok(()) };
    let own = match factor {
        TableFactor::Table { name, .. } => name.0.last().and_then(|p| p.as_ident()).cloned(),
        _ => None,
    };
    let TableSample { quantity, seed, bucket, offset, .. } = *sample;
    if bucket.is_some() || offset.is_some() {
        return Err(SqlError::unsupported("BUCKET and OFFSET of SAMPLE"));
    }
    let Some(quantity) = quantity else { return Err(SqlError::new("sql/sample", "SAMPLE needs a share or a number of rows")) };
    let seed: i64 = match seed {
        Some(seed) => seed.value.value.to_string().parse().map_err(|_| SqlError::new("sql/sample", "a seed is a whole number"))?,
        None => i64::from_le_bytes(uuid::Uuid::new_v4().as_bytes()[..8].try_into().unwrap_or_default()),
    };
    let amount = quantity.value.to_string();
    let numbered = format!("SELECT *, row_number() OVER (ORDER BY 1) AS \"__N\" FROM {factor}");
    let text = if quantity.unit == Some(TableSampleUnit::Rows) {
        let rows: u64 = amount.parse().map_err(|_| SqlError::new("sql/sample", "a number of rows is a whole number"))?;
        if rows > 1_000_000 {
            return Err(SqlError::new("sql/sample", "a sample has at most 1000000 rows"));
        }
        format!("SELECT * EXCLUDE (\"__N\") FROM ({numbered}) ORDER BY __fraction({seed}, \"__N\") LIMIT {rows}")
    } else {
        let share: f64 = amount.parse().map_err(|_| SqlError::new("sql/sample", "a share is a number"))?;
        if !(0.0..=100.0).contains(&share) {
            return Err(SqlError::new("sql/sample", format!("a share is between 0 and 100, not {amount}")));
        }
        let part = share / 100.0;
        format!("SELECT * EXCLUDE (\"__N\") FROM ({numbered}) WHERE __fraction({seed}, \"__N\") < {part:?}")
    };
    let Ok(Statement::Query(subquery)) = parse::parse_statement(&text) else {
        return Err(SqlError::unsupported("SAMPLE of this relation"));
    };
    let alias = alias.or_else(|| own.map(|name: Ident| TableAlias { explicit: true, name, columns: vec![], at: None }));
    *factor = TableFactor::Derived { lateral: false, subquery, alias, sample: None };
    Ok(())
}
