//! Statements of the hosted service: accounts, stages, compute, governance, procedures. Each is refused by its name and
//! its place, so that nothing of it is silently different.

use super::{super::SqlError, grammar::Grammar};

const ACCOUNT: &str = "rights and accounts belong to the hosted service; the local engine has one user";
const STAGE: &str = "describe outside files as a source with an adapter, and ingest them";
const PIPELINE: &str = "declare models in the project; `segue build` runs them in order";
const COMPUTE: &str = "the local engine runs on this machine alone";
const SCRIPTING: &str = "write the statements one after another; `sql` runs scripts";
const GOVERNANCE: &str = "policies and tags belong to the hosted service";

/// First words of a statement, and what to do instead. After CREATE, ALTER, DROP, DESCRIBE, SHOW and UNDROP the words
/// OR REPLACE, OR ALTER, IF (NOT) EXISTS, SECURE and TEMPORARY are passed over.
const REFUSED: &[(&str, &str)] = &[
    ("GRANT", ACCOUNT),
    ("REVOKE", ACCOUNT),
    ("COPY INTO", STAGE),
    ("COPY FILES", STAGE),
    ("PUT", STAGE),
    ("GET", STAGE),
    ("LIST", STAGE),
    ("LS", STAGE),
    ("REMOVE", STAGE),
    ("RM", STAGE),
    ("EXECUTE IMMEDIATE FROM", STAGE),
    ("EXECUTE TASK", PIPELINE),
    ("EXECUTE ALERT", PIPELINE),
    ("EXECUTE NOTEBOOK", SCRIPTING),
    ("EXECUTE JOB", COMPUTE),
    ("EXECUTE DBT", PIPELINE),
    ("CALL", SCRIPTING),
    ("IF", SCRIPTING),
    ("FOR", SCRIPTING),
    ("WHILE", SCRIPTING),
    ("LOOP", SCRIPTING),
    ("REPEAT", SCRIPTING),
    ("LET", SCRIPTING),
    ("RETURN", SCRIPTING),
    ("BREAK", SCRIPTING),
    ("OPEN", SCRIPTING),
    ("FETCH", SCRIPTING),
    ("CLOSE", SCRIPTING),
    ("ASYNC", SCRIPTING),
    ("AWAIT", SCRIPTING),
    ("CREATE MATERIALIZED VIEW", "use a view, or a model with `materialized: table`"),
    ("CREATE DYNAMIC TABLE", "use a model with `materialized: incremental`"),
    ("CREATE EXTERNAL TABLE", STAGE),
    ("CREATE ICEBERG TABLE", "tables are Delta Lake tables; use CREATE TABLE"),
    ("CREATE HYBRID TABLE", "use CREATE TABLE"),
    ("CREATE EVENT TABLE", "use CREATE TABLE"),
    ("CREATE INTERACTIVE TABLE", "use CREATE TABLE"),
    ("CREATE DIRECTORY TABLE", STAGE),
    ("CREATE SEMANTIC VIEW", "use CREATE VIEW"),
    ("CREATE INDEX", "a scan prunes files by their statistics; there are no indexes"),
    ("CREATE STAGE", STAGE),
    ("CREATE FILE FORMAT", STAGE),
    ("CREATE PIPE", STAGE),
    ("CREATE STREAM", PIPELINE),
    ("CREATE TASK", PIPELINE),
    ("CREATE ALERT", PIPELINE),
    ("CREATE PROCEDURE", SCRIPTING),
    ("CREATE EXTERNAL FUNCTION", "write the function in SQL"),
    ("CREATE AGGREGATE FUNCTION", "write the function in SQL"),
    ("CREATE DATA METRIC FUNCTION", "declare a data test in the project"),
    ("CREATE SERVICE", COMPUTE),
    ("CREATE STREAMLIT", COMPUTE),
    ("CREATE NOTEBOOK", SCRIPTING),
    ("CREATE WAREHOUSE", COMPUTE),
    ("CREATE COMPUTE POOL", COMPUTE),
    ("CREATE RESOURCE MONITOR", COMPUTE),
    ("CREATE IMAGE REPOSITORY", COMPUTE),
    ("CREATE GIT REPOSITORY", "the project is a folder; keep it in a repository of your own"),
    ("CREATE ROLE", ACCOUNT),
    ("CREATE DATABASE ROLE", ACCOUNT),
    ("CREATE APPLICATION", ACCOUNT),
    ("CREATE USER", ACCOUNT),
    ("CREATE ACCOUNT", ACCOUNT),
    ("CREATE MANAGED ACCOUNT", ACCOUNT),
    ("CREATE ORGANIZATION", ACCOUNT),
    ("CREATE SHARE", ACCOUNT),
    ("CREATE LISTING", ACCOUNT),
    ("CREATE CONNECTION", ACCOUNT),
    ("CREATE REPLICATION GROUP", ACCOUNT),
    ("CREATE FAILOVER GROUP", ACCOUNT),
    ("CREATE SECURITY INTEGRATION", ACCOUNT),
    ("CREATE STORAGE INTEGRATION", STAGE),
    ("CREATE API INTEGRATION", ACCOUNT),
    ("CREATE NOTIFICATION INTEGRATION", ACCOUNT),
    ("CREATE CATALOG INTEGRATION", STAGE),
    ("CREATE EXTERNAL ACCESS", ACCOUNT),
    ("CREATE EXTERNAL VOLUME", STAGE),
    ("CREATE NETWORK", ACCOUNT),
    ("CREATE SECRET", ACCOUNT),
    ("CREATE PASSWORD POLICY", ACCOUNT),
    ("CREATE SESSION POLICY", ACCOUNT),
    ("CREATE AUTHENTICATION POLICY", ACCOUNT),
    ("CREATE PACKAGES POLICY", ACCOUNT),
    ("CREATE MASKING POLICY", GOVERNANCE),
    ("CREATE ROW ACCESS POLICY", GOVERNANCE),
    ("CREATE AGGREGATION POLICY", GOVERNANCE),
    ("CREATE PROJECTION POLICY", GOVERNANCE),
    ("CREATE JOIN POLICY", GOVERNANCE),
    ("CREATE PRIVACY POLICY", GOVERNANCE),
    ("CREATE STORAGE LIFECYCLE POLICY", GOVERNANCE),
    ("CREATE TAG", GOVERNANCE),
    ("CREATE CONTACT", GOVERNANCE),
    ("CREATE MODEL", COMPUTE),
    ("CREATE CORTEX", COMPUTE),
    ("CREATE SNOWFLAKE", COMPUTE),
];

/// The error for a statement that the local engine refuses, if this is one.
pub(super) fn refused(g: &Grammar) -> Option<SqlError> {
    let words = leading_words(g);
    if words.is_empty() && g.at_symbol("!") {
        return Some(error(g, "commands of a client", SCRIPTING));
    }
    for (prefix, help) in REFUSED {
        let wanted: Vec<&str> = prefix.split(' ').collect();
        let verbs: &[&str] = if wanted[0] == "CREATE" { &["CREATE", "ALTER", "DROP", "DESCRIBE", "DESC", "UNDROP"] } else { &wanted[..1] };
        if words.len() < wanted.len() || !verbs.contains(&words[0].as_str()) {
            continue;
        }
        // plurals in SHOW are handled where SHOW is read
        if words[1..wanted.len()].iter().zip(&wanted[1..]).all(|(have, want)| have == want) {
            let verb = &words[0];
            let rest = wanted[1..].join(" ");
            let name = if rest.is_empty() { verb.clone() } else { format!("{verb} {rest}") };
            return Some(error(g, &format!("{name} statements"), help));
        }
    }
    None
}

fn error(g: &Grammar, what: &str, help: &str) -> SqlError {
    let mut error = SqlError::unsupported(what).help(help);
    error.at = Some(g.here());
    error
}

fn leading_words(g: &Grammar) -> Vec<String> {
    let mut words = vec![];
    let mut n = 0;
    while words.len() < 4 {
        let word = g.nth_word(n);
        if word.is_empty() {
            break;
        }
        let pair = (word.as_str(), g.nth_word(n + 1));
        n += match (pair.0, pair.1.as_str()) {
            ("OR", "REPLACE" | "ALTER") if words.len() == 1 => 2,
            ("IF", "EXISTS") if words.len() > 1 => 2,
            ("SECURE" | "TEMPORARY" | "TEMP" | "TRANSIENT" | "LOCAL" | "GLOBAL" | "RECURSIVE", _) if words.len() == 1 => 1,
            _ => {
                words.push(word);
                1
            }
        };
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::command::parse_command;

    /// Every entry of the table, with every verb that it stands for, is refused by its name and at its place.
    #[test]
    fn every_entry_is_refused_at_its_place() {
        for (prefix, _) in REFUSED {
            let rest = prefix.strip_prefix("CREATE ");
            let verbs: &[&str] = if rest.is_some() { &["CREATE", "CREATE OR REPLACE", "ALTER", "DROP", "DROP IF EXISTS"] } else { &[""] };
            for verb in verbs {
                let words = match (rest, *verb) {
                    (Some(rest), "DROP IF EXISTS") => format!("DROP {rest} IF EXISTS"),
                    (Some(rest), verb) => format!("{verb} {rest}"),
                    (None, _) => (*prefix).to_owned(),
                };
                let sql = format!("  {words} x");
                let error = match parse_command(&sql, &|_| None) {
                    Err(error) => error,
                    Ok(command) => panic!("{sql}: {command:?}"),
                };
                assert_eq!(error.code, "sql/unsupported", "{sql}: {error:?}");
                assert!(error.message.contains(rest.unwrap_or(prefix).split(' ').next().unwrap_or_default()), "{sql}: {error:?}");
                assert!(error.help.is_some() && error.at.is_some(), "{sql}: {error:?}");
            }
        }
    }
}
