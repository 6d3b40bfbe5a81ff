//! Which of Snowflake's functions each engine has: the reference's names and signatures, asked of the registry and of
//! the lowering. Nothing here is said twice: whether the local engine has a function is found out, not written down.

use std::collections::BTreeSet;

use sqlparser::ast::{Expr, Function, Value};

use crate::dialect::lower;

/// Names and signatures, as the reference has them; the first column is the reference's category.
const REFERENCE: &str = include_str!("listing.txt");

/// Forms with a grammar of their own, and functions that stand where a relation does.
const GRAMMAR: &[&str] =
    &["CAST", "TRY_CAST", "EXTRACT", "LIKE", "FLATTEN", "GENERATOR", "RESULT_SCAN", "SPLIT_TO_TABLE", "STRTOK_SPLIT_TO_TABLE"];

/// The most arguments that a call is tried with.
const MOST_ARGUMENTS: usize = 7;

/// One function of the reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub category: &'static str,
    pub name: &'static str,
    pub signature: &'static str,
    /// Whether the local engine has it; Snowflake has all.
    pub local: bool,
}

/// Names of the reference.
pub fn names() -> impl Iterator<Item = &'static str> {
    let lines = REFERENCE.lines().filter(|l| !l.starts_with('#')).filter_map(|l| l.split_once(" | "));
    lines.map(|(_, signature)| signature.split('(').next().unwrap_or(signature).trim())
}

/// All functions by category and name. `registered` tells whether a planner knows a name, in lower case.
pub fn entries(registered: &dyn Fn(&str) -> bool) -> Vec<Entry> {
    let lines = REFERENCE.lines().filter(|l| !l.starts_with('#')).filter_map(|l| l.split_once(" | "));
    lines
        .map(|(category, signature)| {
            let name = signature.split('(').next().unwrap_or(signature).trim();
            Entry { category, name, signature, local: is_local(name, registered) }
        })
        .collect()
}

fn is_local(name: &str, registered: &dyn Fn(&str) -> bool) -> bool {
    let lower = name.to_lowercase();
    GRAMMAR.contains(&name) || registered(&lower) || is_lowered(&lower, registered)
}

/// Whether the lowering makes something else of a call, or knows how many arguments it takes.
fn is_lowered(name: &str, registered: &dyn Fn(&str) -> bool) -> bool {
    let context = lower::LowerContext::default();
    (0..=MOST_ARGUMENTS).any(|count| {
        let args = std::iter::repeat_with(|| Expr::Value(Value::Null.into())).take(count).collect();
        let mut call = lower::function_call(name, args);
        match lower::lower_expression("", &mut call, &context) {
            Ok(()) => {
                let mut names = BTreeSet::new();
                called(&call, &mut names);
                // CASE and operators need no function; what is called must be there
                !names.contains(name) && names.iter().all(|n| registered(n))
            }
            Err(fault) => fault.code == "sql/arguments",
        }
    })
}

fn called(expr: &Expr, names: &mut BTreeSet<String>) {
    let _ = sqlparser::ast::visit_expressions(expr, |e| {
        if let Expr::Function(Function { name, .. }) = e {
            names.insert(name.to_string().trim_matches('"').to_lowercase());
        }
        std::ops::ControlFlow::<()>::Continue(())
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_is_well_formed() {
        let mut seen = BTreeSet::new();
        for entry in entries(&|_| false) {
            assert!(entry.name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b"_$".contains(&b)), "{}", entry.signature);
            assert!(entry.signature.contains('('), "{}", entry.signature);
            assert!(seen.insert((entry.category, entry.name)), "{} is told twice", entry.name);
        }
        assert!(seen.len() > 400);
    }

    #[test]
    fn names_of_the_library_are_unique() {
        let mut seen = BTreeSet::new();
        for name in crate::dialect::function::names() {
            assert!(seen.insert(name), "`{name}` is registered twice");
        }
    }

    #[test]
    fn what_the_lowering_rewrites_is_local() {
        let none = |name: &str| matches!(name, "coalesce" | "date_part");
        for (name, local) in [("IFF", true), ("NVL", true), ("ENCRYPT", false), ("ST_COLLECT", false), ("CAST", true)] {
            assert_eq!(is_local(name, &none), local, "{name}");
        }
    }
}
