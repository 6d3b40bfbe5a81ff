//! What a query reads, and whether it answers the same when it is asked twice: the questions of a build tool.
//!
//! Names are taken as they stand; nothing is looked up.

use std::{collections::BTreeSet, ops::ControlFlow};

use sqlparser::ast::{Expr, ObjectName, TableFactor, TableSampleKind, Visit, Visitor};

use super::{SqlError, function, lower::stored, parse};

/// Functions whose answer depends on when, by whom or how often they are called.
const VOLATILE: &[&str] = &[
    "current_timestamp",
    "current_date",
    "current_time",
    "getdate",
    "sysdate",
    "systimestamp",
    "localtime",
    "localtimestamp",
    "random",
    "randstr",
    "uuid_string",
    "current_user",
    "current_role",
    "current_session",
    "current_statement",
    "current_transaction",
    "current_ip_address",
    "current_available_roles",
    "current_secondary_roles",
    "last_query_id",
    "last_transaction",
    "result_scan",
    "getvariable",
    "seq1",
    "seq2",
    "seq4",
    "seq8",
];

/// Volatile only in name: within one query over generated rows they count from zero.
const COUNTERS: [&str; 4] = ["seq1", "seq2", "seq4", "seq8"];

/// What [`survey`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Names of relations in their stored forms, one to three parts; names of CTEs too.
    pub relations: BTreeSet<Vec<String>>,
    /// Why the query may answer differently the next time: a function, a sample, a function of the user's.
    pub volatile: Option<String>,
}

/// Reads one query.
pub fn survey(sql: &str) -> Result<Survey, SqlError> {
    let statement = parse::parse_statement(sql)?;
    let mut surveyor = Surveyor::default();
    let _ = stacker::maybe_grow(1 << 20, 16 << 20, || statement.visit(&mut surveyor));
    Ok(surveyor.found)
}

#[derive(Default)]
struct Surveyor {
    found: Survey,
}

impl Surveyor {
    fn volatile(&mut self, what: impl Into<String>) {
        if self.found.volatile.is_none() {
            self.found.volatile = Some(what.into());
        }
    }

    fn call(&mut self, name: &ObjectName) {
        let parts: Vec<String> = name.0.iter().filter_map(|p| p.as_ident()).map(stored).collect();
        let [lone] = parts.as_slice() else {
            return self.volatile(format!("{}, a function of the warehouse", parts.join(".")));
        };
        let lower = lone.to_lowercase();
        if VOLATILE.contains(&lower.as_str()) && !COUNTERS.contains(&lower.as_str()) {
            self.volatile(lone.clone());
        } else if !function::is_documented(&lower) {
            self.volatile(format!("{lone}, a function of the warehouse"));
        }
    }
}

impl Visitor for Surveyor {
    type Break = ();

    fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<()> {
        self.found.relations.insert(name.0.iter().filter_map(|p| p.as_ident()).map(stored).collect());
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { sample: Some(sample), .. } = factor {
            let (TableSampleKind::BeforeTableAlias(sample) | TableSampleKind::AfterTableAlias(sample)) = sample;
            if sample.seed.is_none() {
                self.volatile("SAMPLE without a seed");
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(f) => self.call(&f.name),
            Expr::CompoundIdentifier(parts) if parts.last().is_some_and(|p| p.value.eq_ignore_ascii_case("nextval")) => {
                self.volatile("NEXTVAL");
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_say_what_they_read() {
        for (sql, relations, volatile) in [
            ("select a from t join \"x\".y using (a)", vec!["T", "x.Y"], None),
            ("with c as (select 1 from db.s.t) select * from c", vec!["C", "DB.S.T"], None),
            ("select (select max(a) from t) from u where exists (select 1 from v)", vec!["T", "U", "V"], None),
            ("select upper(a), current_timestamp() from t", vec!["T"], Some("CURRENT_TIMESTAMP")),
            ("select current_date from t", vec!["T"], Some("CURRENT_DATE")),
            ("select s.nextval from t", vec!["T"], Some("NEXTVAL")),
            ("select * from t sample (10)", vec!["T"], Some("SAMPLE without a seed")),
            ("select * from t sample (10) seed (1)", vec!["T"], None),
            ("select my_function(a) from t", vec!["T"], Some("MY_FUNCTION, a function of the warehouse")),
            ("select seq4() from table(generator(rowcount => 3))", vec![], None),
        ] {
            let found = survey(sql).expect(sql);
            let names: Vec<String> = found.relations.iter().map(|r| r.join(".")).collect();
            assert_eq!((names.iter().map(String::as_str).collect::<Vec<_>>(), found.volatile.as_deref()), (relations, volatile), "{sql}");
        }
        assert!(survey("select from from").is_err());
    }
}
