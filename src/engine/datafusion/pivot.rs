//! PIVOT with ANY or a subquery: the values that there are, asked for before the query is planned.

use std::ops::ControlFlow;

use sqlparser::ast::{CastKind, Expr, PivotValueSource, Query, TableFactor, Value, VisitMut, VisitorMut};

use super::{Inner, fault, planner::Scope};
use crate::{dialect::parse, engine::EngineError};

impl Inner {
    /// `IN (ANY ...)` and `IN (subquery)` of PIVOT become lists of the values that there are.
    pub(super) async fn list_pivots(&self, sql: &str, query: &mut Query, scope: &Scope) -> Result<(), EngineError> {
        let mut found = Pivots { withs: vec![], wanted: vec![], values: None, next: 0 };
        let _ = query.visit(&mut found);
        if found.wanted.is_empty() {
            return Ok(());
        }
        if self.shapes.is_some() {
            return Err(EngineError::new(super::OPAQUE, "the columns of PIVOT with ANY or a subquery depend on the rows"));
        }
        let mut lists = vec![];
        for text in &found.wanted {
            let plan = self.plan_query(text, scope).await.map_err(|e| EngineError { at: None, ..e })?;
            let of = plan.schema().field(0).clone();
            let (_, batches) = self.rows(sql, plan).await?;
            let of = crate::dialect::types::Type::of(&of);
            let mut values = vec![];
            for batch in batches {
                let texts = crate::dialect::function::value::to_text(batch.column(0), of).map_err(|e| fault::plan(sql, &e))?;
                values.extend(texts.iter().flatten().map(|t| {
                    let literal = |v: Value| Expr::Value(v.with_empty_span());
                    let value = match of {
                        crate::dialect::types::Type::Number { .. } => literal(Value::Number(t.to_owned(), false)),
                        crate::dialect::types::Type::Varchar => literal(Value::SingleQuotedString(t.to_owned())),
                        other => Expr::Cast {
                            kind: CastKind::DoubleColon,
                            expr: Box::new(literal(Value::SingleQuotedString(t.to_owned()))),
                            data_type: parse::parse_type(&other.to_string()).unwrap_or(sqlparser::ast::DataType::Text),
                            array: false,
                            format: None,
                        },
                    };
                    sqlparser::ast::ExprWithAlias { expr: value, alias: None }
                }));
            }
            if values.is_empty() {
                return Err(EngineError::new("sql/pivot", "PIVOT has no values to make columns of: its query has no rows"));
            }
            lists.push(values);
        }
        found.values = Some(lists);
        found.next = 0;
        let _ = query.visit(&mut found);
        Ok(())
    }
}

/// PIVOTs whose values are not listed: first their queries are collected, then the lists put in.
struct Pivots {
    withs: Vec<String>,
    wanted: Vec<String>,
    values: Option<Vec<Vec<sqlparser::ast::ExprWithAlias>>>,
    next: usize,
}

impl VisitorMut for Pivots {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let Some(with) = &query.with {
            self.withs.push(with.to_string());
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if query.with.is_some() {
            self.withs.pop();
        }
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        let TableFactor::Pivot { table, value_column, value_source, .. } = factor else { return ControlFlow::Continue(()) };
        let text = match value_source {
            PivotValueSource::List(_) => return ControlFlow::Continue(()),
            PivotValueSource::Any(order) => {
                let column = value_column.iter().map(ToString::to_string).collect::<Vec<_>>().join(".");
                let last = value_column.last().map(ToString::to_string).unwrap_or_default();
                let last = last.rsplit('.').next().unwrap_or_default().to_owned();
                let order = if order.is_empty() { last } else { order.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ") };
                format!("select {column} from {table} where {column} is not null group by {column} order by {order}")
            }
            PivotValueSource::Subquery(query) => query.to_string(),
        };
        if let Some(values) = &mut self.values {
            if let Some(list) = values.get_mut(self.next) {
                *value_source = PivotValueSource::List(std::mem::take(list));
            }
            self.next += 1;
        } else {
            // innermost WITH last; each is put around the next
            let mut nested = text;
            for with in self.withs.iter().rev() {
                nested = format!("{with} select * from ({nested}) as v");
            }
            self.wanted.push(nested);
        }
        ControlFlow::Continue(())
    }
}
