//! The fingerprint of a node: a digest of everything that decides its rows, recorded with the table and compared before the
//! next build (docs/freshness.md).
//!
//! | input | why |
//! |---|---|
//! | compiled SQL, without comments and extra white space | what is computed; macros, vars and env are covered by what they render to |
//! | materialization, keys, strategy, schema change, column types, hooks | how it is stored |
//! | engine and the version of its semantics | the same SQL on another engine is another table |
//! | identities of the relations that the SQL reads | what it is computed from |
//! | contents of a seed's file | a seed has no SQL |
//!
//! Descriptions, tags, meta and tests are not in it: they change no row.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::{graph::NodeConfig, names::Fingerprint};

/// Keys of a publish's properties.
pub const FINGERPRINT: &str = "segue.fingerprint";
pub const INPUTS: &str = "segue.inputs";
pub const NODE: &str = "segue.node";
pub const INVOCATION: &str = "segue.invocation";
/// When it was built, RFC 3339.
pub const BUILT_AT: &str = "segue.built_at";
/// How long that took, milliseconds.
pub const BUILT_IN: &str = "segue.built_in";
/// Relations that a view reads: its rows are as fresh as theirs.
pub const READS: &str = "segue.reads";

/// Of a table that was taken over from another target: that table's version then.
pub const REUSED: &str = "segue.reused";
/// Of a table that another target's was promoted to: that table's version then.
pub const PROMOTED: &str = "segue.promoted";

/// Raised whenever the local engine answers a query differently than before.
const SEMANTICS: u32 = 1;

/// Configuration that decides rows or their storage, besides what [`NodeConfig`] has fields for.
const KEYS: [&str; 8] = [
    "merge_update_columns",
    "merge_exclude_columns",
    "incremental_predicates",
    "predicates",
    "cluster_by",
    "partition_by",
    "transient",
    "contract",
];

/// What [`Inputs::fingerprint`] digests; kept with the table, so that a difference can be told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// Engine and version of its semantics.
    pub engine: String,
    /// The SQL as compiled; compared by its [normal form](normalise).
    pub sql: String,
    pub config: BTreeMap<String, String>,
    /// Relations that the SQL reads, and what each is at the moment.
    pub reads: BTreeMap<String, String>,
}

/// One way in which the inputs of a node are not what they were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Engine {
        before: String,
        after: String,
    },
    Sql {
        before: String,
        after: String,
    },
    Config {
        key: String,
        before: Option<String>,
        after: Option<String>,
    },
    /// Other rows, or another table under the same name.
    Input {
        relation: String,
    },
    /// A relation that was not read before.
    NewInput {
        relation: String,
    },
    LostInput {
        relation: String,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<String>| value.as_deref().filter(|v| !v.is_empty()).map_or("nothing".to_owned(), |v| format!("`{v}`"));
        match self {
            Self::Engine { before, after } => write!(f, "engine changed from {before} to {after}"),
            Self::Sql { .. } => f.write_str("SQL changed"),
            Self::Config { key, before, after } => write!(f, "config `{key}` changed from {} to {}", shown(before), shown(after)),
            Self::Input { relation } => write!(f, "input {relation} has changed"),
            Self::NewInput { relation } => write!(f, "input {relation} is new"),
            Self::LostInput { relation } => write!(f, "input {relation} is no longer read"),
        }
    }
}

impl Inputs {
    /// Of a node with this configuration; what it reads is added by who knows the warehouse.
    pub fn new(engine: &str, sql: impl Into<String>, config: &NodeConfig) -> Self {
        let mut parts: BTreeMap<String, String> = [
            ("materialized", config.materialized.clone()),
            ("unique_key", config.unique_key.join(", ")),
            ("incremental_strategy", config.incremental_strategy.clone().unwrap_or_default()),
            ("on_schema_change", format!("{:?}", config.on_schema_change).to_lowercase()),
        ]
        .map(|(k, v)| (k.to_owned(), v))
        .into();
        parts.extend(config.column_types.iter().map(|(c, t)| (format!("column_types.{c}"), t.clone())));
        for (key, hooks) in [("pre_hook", &config.pre_hook), ("post_hook", &config.post_hook)] {
            if !hooks.is_empty() {
                parts.insert(key.to_owned(), hooks.iter().map(|h| h.sql.as_str()).collect::<Vec<_>>().join(";\n"));
            }
        }
        for key in KEYS {
            if let Some(value) = config.all.get(key) {
                parts.insert(key.to_owned(), value.to_string());
            }
        }
        Self { engine: format!("{engine} {SEMANTICS}"), sql: sql.into(), config: parts, reads: BTreeMap::new() }
    }

    pub fn fingerprint(&self) -> Fingerprint {
        let sql = normalise(&self.sql);
        let head = [("engine", self.engine.as_str()), ("sql", sql.as_str())];
        let config = self.config.iter().flat_map(|(k, v)| [("config", k.as_str()), ("value", v.as_str())]);
        let reads = self.reads.iter().flat_map(|(k, v)| [("reads", k.as_str()), ("identity", v.as_str())]);
        Fingerprint::of(head.into_iter().chain(config).chain(reads))
    }

    /// The properties that a publish records.
    pub fn properties(&self) -> BTreeMap<String, String> {
        let text = serde_json::to_string(self).unwrap_or_default();
        [(FINGERPRINT.to_owned(), self.fingerprint().to_string()), (INPUTS.to_owned(), text)].into()
    }

    /// What a relation recorded; `None` for those that nobody built, or that were changed by hand since.
    pub fn recorded(properties: &BTreeMap<String, String>) -> Option<Self> {
        properties.get(FINGERPRINT)?;
        serde_json::from_str(properties.get(INPUTS)?).ok()
    }

    /// What is different from `before`, in the order of weight; empty when nothing is.
    pub fn changes(&self, before: &Self) -> Vec<Change> {
        let mut changes = vec![];
        if self.engine != before.engine {
            changes.push(Change::Engine { before: before.engine.clone(), after: self.engine.clone() });
        }
        if normalise(&self.sql) != normalise(&before.sql) {
            changes.push(Change::Sql { before: before.sql.clone(), after: self.sql.clone() });
        }
        let keys: std::collections::BTreeSet<&String> = self.config.keys().chain(before.config.keys()).collect();
        for key in keys {
            let (old, new) = (before.config.get(key), self.config.get(key));
            if old != new {
                changes.push(Change::Config { key: key.clone(), before: old.cloned(), after: new.cloned() });
            }
        }
        for (relation, identity) in &self.reads {
            match before.reads.get(relation) {
                None => changes.push(Change::NewInput { relation: relation.clone() }),
                Some(old) if old != identity => changes.push(Change::Input { relation: relation.clone() }),
                Some(_) => {}
            }
        }
        let lost = before.reads.keys().filter(|r| !self.reads.contains_key(*r));
        changes.extend(lost.map(|r| Change::LostInput { relation: r.clone() }));
        changes
    }
}

/// SQL without comments, every run of white space as one blank, quoted text untouched.
pub fn normalise(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len());
    let mut rest = sql;
    let mut gap = false;
    while let Some(c) = rest.chars().next() {
        let skipped = if c.is_whitespace() {
            c.len_utf8()
        } else if rest.starts_with("--") || rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |at| at + 2)
        } else {
            0
        };
        if skipped > 0 {
            gap = true;
            rest = &rest[skipped..];
            continue;
        }
        if gap && !out.is_empty() {
            out.push(' ');
        }
        gap = false;
        let taken = match c {
            '\'' => quoted(rest, '\'', true),
            '"' => quoted(rest, '"', false),
            '$' if rest.starts_with("$$") => rest[2..].find("$$").map_or(rest.len(), |at| at + 4),
            _ => c.len_utf8(),
        };
        out.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    out.trim_end_matches([';', ' ']).to_owned()
}

/// Length of the quoted text at the start, both quotes included; a doubled quote reads as two texts side by side.
fn quoted(text: &str, quote: char, escapes: bool) -> usize {
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if escapes && c == '\\' {
            chars.next();
        } else if c == quote {
            return at + 1;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_forms() {
        for (sql, expect) in [
            ("select  1\n", "select 1"),
            ("-- what\nselect 1 -- one\n, 2 // two\n;\n", "select 1 , 2"),
            ("select /* a\nb */ 'x  -- y' as \"a  b\"", "select 'x  -- y' as \"a  b\""),
            ("select 'it''s  -- x', 'a\\'  b'", "select 'it''s  -- x', 'a\\'  b'"),
            ("select $$ a  -- b $$", "select $$ a  -- b $$"),
            ("select 'open  ", "select 'open"),
            ("/* open", ""),
        ] {
            assert_eq!(normalise(sql), expect, "{sql}");
        }
    }

    #[test]
    fn only_what_decides_the_rows_counts() {
        let table = NodeConfig { materialized: "table".into(), ..NodeConfig::default() };
        let of = |sql: &str, config: &NodeConfig, reads: &[(&str, &str)]| {
            let mut inputs = Inputs::new("datafusion", sql, config);
            inputs.reads = reads.iter().map(|(r, v)| ((*r).to_owned(), (*v).to_owned())).collect();
            inputs
        };
        let base = of("select 1", &table, &[("D.S.A", "1"), ("D.S.B", "1")]);
        let same = of("select  1 -- x", &table, &[("D.S.B", "1"), ("D.S.A", "1")]);
        assert_eq!((base.fingerprint(), base.changes(&same)), (same.fingerprint(), vec![]));
        let view = NodeConfig { materialized: "view".into(), ..NodeConfig::default() };
        for (other, told) in [
            (of("select 2", &table, &[("D.S.A", "1"), ("D.S.B", "1")]), "SQL changed"),
            (of("select 1", &table, &[("D.S.A", "2"), ("D.S.B", "1")]), "input D.S.A has changed"),
            (of("select 1", &table, &[("D.S.A", "1"), ("D.S.B", "1"), ("D.S.C", "1")]), "input D.S.C is new"),
            (of("select 1", &table, &[("D.S.A", "1")]), "input D.S.B is no longer read"),
            (of("select 1", &view, &[("D.S.A", "1"), ("D.S.B", "1")]), "config `materialized` changed from `table` to `view`"),
        ] {
            assert_ne!(base.fingerprint(), other.fingerprint(), "{told}");
            assert_eq!(other.changes(&base).iter().map(ToString::to_string).collect::<Vec<_>>(), [told]);
        }
    }

    #[test]
    fn what_is_recorded_is_read_back() {
        let inputs = Inputs::new("datafusion", "select 'it''s'", &NodeConfig::default());
        assert_eq!(Inputs::recorded(&inputs.properties()), Some(inputs));
        assert_eq!(Inputs::recorded(&BTreeMap::new()), None);
    }
}
