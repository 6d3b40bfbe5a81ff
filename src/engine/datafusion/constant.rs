//! Constants of a plan that have no value: `'abc'::int`, `to_date('x')`. Found by evaluating them, without a row being read.
//!
//! What stands in a branch (CASE, IFF, COALESCE and their kin) may never be evaluated and is left alone.

use ::datafusion::{
    arrow::{
        datatypes::Schema,
        record_batch::{RecordBatch, RecordBatchOptions},
    },
    common::{
        DFSchema,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    logical_expr::{Expr, LogicalPlan, Volatility},
};

use super::{drafting::Drafting, fault};
use crate::engine::EngineError;

/// Functions that need not evaluate all their arguments.
const BRANCHES: [&str; 10] = ["coalesce", "nvl", "nvl2", "iff", "ifnull", "decode", "nullif", "zeroifnull", "case", "__iff"];

/// More of one model are one mistake.
const MOST: usize = 20;

impl Drafting {
    /// A fault for each constant of the plan whose evaluation fails because of its value.
    pub fn constants(&self, sql: &str, plan: &LogicalPlan) -> Vec<EngineError> {
        let mut found: Vec<EngineError> = vec![];
        let Ok(row) = RecordBatch::try_new_with_options(Schema::empty().into(), vec![], &RecordBatchOptions::new().with_row_count(Some(1)))
        else {
            return found;
        };
        let nothing = DFSchema::empty();
        let mut look = |expression: &Expr| {
            let constant = match expression {
                Expr::Case(_) => return TreeNodeRecursion::Jump,
                Expr::ScalarFunction(call) if BRANCHES.contains(&call.name().to_lowercase().as_str()) => return TreeNodeRecursion::Jump,
                Expr::ScalarFunction(call) => {
                    call.func.signature().volatility == Volatility::Immutable
                        && !call.args.is_empty()
                        && call.args.iter().all(|a| matches!(a, Expr::Literal(..)))
                }
                Expr::Cast(cast) => matches!(cast.expr.as_ref(), Expr::Literal(..)),
                _ => false,
            };
            if constant && found.len() < MOST {
                let value = self.state().create_physical_expr(expression.clone(), &nothing).and_then(|e| e.evaluate(&row));
                if let Err(error) = value {
                    let fault = fault::plan(sql, &error);
                    let told = found.iter().any(|f| f.message == fault.message && f.at == fault.at);
                    if fault.code == "sql/value" && !told {
                        found.push(fault);
                    }
                }
            }
            TreeNodeRecursion::Continue
        };
        // a walk that only looks cannot fail
        let _ = plan.apply_with_subqueries(|node| {
            node.apply_expressions(|expression| expression.apply(|e| Ok(look(e))))?;
            Ok(TreeNodeRecursion::Continue)
        });
        found
    }
}
