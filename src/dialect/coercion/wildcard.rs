//! `OBJECT_CONSTRUCT(*)`, `HASH(*)` and their kin get the columns of the relations that they stand over.

use datafusion::{
    common::{
        Result,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{Expr, LogicalPlan, expr::ScalarFunction, expr_rewriter::NamePreserver},
    prelude::lit,
};

fn literal_text(e: &Expr) -> Option<String> {
    match e {
        Expr::Literal(v, _) => v.try_as_str().flatten().map(str::to_owned),
        _ => None,
    }
}

/// `exclude` and names, or `ilike` and a pattern.
fn is_chosen(name: &str, chosen: &[String]) -> bool {
    match chosen {
        [verb, names @ ..] if verb == "exclude" => !names.iter().any(|n| n == name),
        [verb, pattern] if verb == "ilike" => {
            let (name, pattern): (Vec<char>, Vec<char>) = (name.to_uppercase().chars().collect(), pattern.to_uppercase().chars().collect());
            // which prefixes of the pattern match what was read of the name
            let mut states = vec![false; pattern.len() + 1];
            states[0] = true;
            let pass = |states: &mut Vec<bool>| (0..pattern.len()).for_each(|i| states[i + 1] |= states[i] && pattern[i] == '%');
            pass(&mut states);
            for c in name {
                let mut next = vec![false; pattern.len() + 1];
                for (i, p) in pattern.iter().enumerate().filter(|(i, _)| states[*i]) {
                    match p {
                        '%' => next[i] = true,
                        p => next[i + 1] |= *p == '_' || *p == c,
                    }
                }
                pass(&mut next);
                states = next;
            }
            states[pattern.len()]
        }
        _ => true,
    }
}

/// Functions that a wildcard may be an argument of.
fn takes_columns(name: &str) -> bool {
    name.starts_with("object_construct") || matches!(name, "hash" | "__row_key" | "__all_present")
}

/// `OBJECT_CONSTRUCT(*)` and `OBJECT_CONSTRUCT(t.*)`: pairs of name and column; the columns alone for others.
#[expect(deprecated, reason = "the planner makes wildcards of the arguments")]
pub(super) fn expand(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    fn is_wildcard(e: &Expr) -> bool {
        matches!(e, Expr::Wildcard { .. })
    }
    let asks = |e: &Expr| matches!(e, Expr::ScalarFunction(f) if takes_columns(f.name()) && f.args.iter().any(is_wildcard));
    let mut found = false;
    for e in plan.expressions() {
        found |= e.exists(|e| Ok(asks(e)))?;
    }
    if !found {
        return Ok(Transformed::no(plan));
    }
    let columns: Vec<_> = plan.inputs().iter().flat_map(|p| p.schema().columns()).collect();
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let expanded = expr.transform_up(|e| match e {
            Expr::ScalarFunction(ScalarFunction { func, args }) if takes_columns(func.name()) && args.iter().any(is_wildcard) => {
                let named = func.name().starts_with("object_construct");
                let chosen: Vec<String> = match args.first() {
                    Some(Expr::ScalarFunction(f)) if f.name() == "__columns" => f.args.iter().filter_map(literal_text).collect(),
                    _ => vec![],
                };
                let args = args.into_iter().skip(usize::from(!chosen.is_empty())).flat_map(|arg| match arg {
                    Expr::Wildcard { qualifier, .. } => columns
                        .iter()
                        .filter(|c| qualifier.as_ref().is_none_or(|q| c.relation.as_ref().is_some_and(|r| r.table() == q.table())))
                        .filter(|c| is_chosen(&c.name, &chosen))
                        .flat_map(|c| named.then(|| lit(c.name.clone())).into_iter().chain([Expr::Column(c.clone())]))
                        .collect(),
                    other => vec![other],
                });
                Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args: args.collect() })))
            }
            other => Ok(Transformed::no(other)),
        })?;
        Ok(expanded.update_data(|e| name.restore(e)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_chosen() {
        let chosen = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        for (name, words, wanted) in [
            ("PROVINCE", vec!["exclude", "PROVINCE"], false),
            ("NAME", vec!["exclude", "PROVINCE"], true),
            ("PROVINCE", vec!["ilike", "prov%"], true),
            ("NAME", vec!["ilike", "prov%"], false),
            ("NAME", vec!["ilike", "%a_e"], true),
            ("NAME", vec!["ilike", "%"], true),
            ("NAME", vec![], true),
        ] {
            assert_eq!(is_chosen(name, &chosen(&words)), wanted, "{name} {words:?}");
        }
    }
}
