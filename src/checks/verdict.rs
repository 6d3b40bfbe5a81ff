//! From a count of failures to pass, warn or fail (dbt documentation, "severity, error_if, and warn_if").

use crate::graph::{NodeConfig, TestSeverity};

/// What the counting query gave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counted {
    /// The failure calculation; fractions are possible (`avg(...)`).
    pub failures: f64,
    pub should_warn: bool,
    pub should_error: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    Warn(String),
    Fail(String),
}

/// With severity `error` the error condition is asked first, then the warning's; with `warn` only the warning's.
pub fn verdict(counted: Counted, config: &NodeConfig, warnings_are_errors: bool) -> Verdict {
    let got = format!("Got {}", results(counted.failures));
    if config.severity == TestSeverity::Error && counted.should_error {
        return Verdict::Fail(format!("{got}, configured to fail if {}", config.error_if.trim()));
    }
    if counted.should_warn {
        let message = format!("{got}, configured to warn if {}", config.warn_if.trim());
        return if warnings_are_errors { Verdict::Fail(message) } else { Verdict::Warn(message) };
    }
    Verdict::Pass
}

fn results(failures: f64) -> String {
    if failures == 1.0 { "1 result".into() } else { format!("{failures} results") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::Condition;

    #[test]
    fn verdicts() {
        use TestSeverity::{Error, Warn};
        let pass = || Verdict::Pass;
        let warn = |m: &str| Verdict::Warn(m.into());
        let fail = |m: &str| Verdict::Fail(m.into());
        for (failures, severity, warn_if, error_if, expect) in [
            (0.0, Error, "!= 0", "!= 0", pass()),
            (3.0, Error, "!= 0", "!= 0", fail("Got 3 results, configured to fail if != 0")),
            (1.0, Error, "!= 0", "!= 0", fail("Got 1 result, configured to fail if != 0")),
            (3.0, Warn, "!= 0", "!= 0", warn("Got 3 results, configured to warn if != 0")),
            (3.0, Error, "!= 0", "> 10", warn("Got 3 results, configured to warn if != 0")),
            (11.0, Error, "!= 0", "> 10", fail("Got 11 results, configured to fail if > 10")),
            (11.0, Warn, "> 20", "> 10", pass()),
            (5.0, Error, "> 5", "> 5", pass()),
            (0.5, Error, "> 0", "> 1", warn("Got 0.5 results, configured to warn if > 0")),
        ] {
            let config = NodeConfig { severity, warn_if: warn_if.into(), error_if: error_if.into(), ..NodeConfig::default() };
            let holds = |text: &str| Condition::parse(text).holds(failures).expect("simple");
            let counted = Counted { failures, should_warn: holds(warn_if), should_error: holds(error_if) };
            assert_eq!(verdict(counted, &config, false), expect, "{failures} {severity:?} {warn_if} {error_if}");
        }
    }

    #[test]
    fn warnings_can_be_made_errors() {
        let config = NodeConfig { severity: TestSeverity::Warn, ..NodeConfig::default() };
        let counted = Counted { failures: 2.0, should_warn: true, should_error: true };
        assert_eq!(verdict(counted, &config, true), Verdict::Fail("Got 2 results, configured to warn if != 0".into()));
    }
}
