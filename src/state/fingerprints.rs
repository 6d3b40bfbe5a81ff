//! The fingerprint of a node: a digest of everything that decides its rows.
//!
//! | input | why |
//! |---|---|
//! | compiled SQL, without comments and extra white space | what is computed; macros are covered by what they render to |
//! | materialization, keys, strategy, schema change, column types, hooks | how it is stored |
//! | engine | the same SQL on another engine is another table |
//! | versions of the relations above | what it is computed from |
//!
//! Descriptions, tags, meta and tests are not in it: they change no row.

use crate::{
    graph::NodeConfig,
    names::{Fingerprint, RelationName},
};

/// Keys of a publish's properties.
pub const FINGERPRINT: &str = "segue.fingerprint";
pub const NODE: &str = "segue.node";
pub const INVOCATION: &str = "segue.invocation";

/// What [`fingerprint`] digests.
pub struct Inputs<'a> {
    pub sql: &'a str,
    pub config: &'a NodeConfig,
    pub engine: &'a str,
    /// Relations that the node reads and their versions; any order.
    pub upstream: &'a [(RelationName, String)],
}

pub fn fingerprint(inputs: &Inputs<'_>) -> Fingerprint {
    let config = inputs.config;
    let mut parts: Vec<(String, String)> = vec![
        ("sql".into(), normalise(inputs.sql)),
        ("materialized".into(), config.materialized.clone()),
        ("unique_key".into(), config.unique_key.join("\u{1f}")),
        ("strategy".into(), config.incremental_strategy.clone().unwrap_or_default()),
        ("on_schema_change".into(), format!("{:?}", config.on_schema_change)),
        ("engine".into(), inputs.engine.into()),
    ];
    parts.extend(config.column_types.iter().map(|(c, t)| (format!("column_types.{c}"), t.clone())));
    parts.extend(config.pre_hook.iter().map(|h| ("pre_hook".to_owned(), h.sql.clone())));
    parts.extend(config.post_hook.iter().map(|h| ("post_hook".to_owned(), h.sql.clone())));
    for key in
        ["merge_update_columns", "merge_exclude_columns", "incremental_predicates", "predicates", "cluster_by", "partition_by", "transient"]
    {
        if let Some(value) = config.all.get(key) {
            parts.push((key.to_owned(), value.to_string()));
        }
    }
    let mut upstream: Vec<(String, String)> = inputs.upstream.iter().map(|(r, v)| (format!("upstream.{r}"), v.clone())).collect();
    upstream.sort();
    parts.extend(upstream);
    Fingerprint::of(parts.iter().map(|(k, v)| (k.as_str(), v.as_str())))
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
        let a = RelationName::parse_parts("d", "s", "a");
        let b = RelationName::parse_parts("d", "s", "b");
        let of = |sql: &str, config: &NodeConfig, upstream: &[(RelationName, String)]| {
            fingerprint(&Inputs { sql, config, engine: "datafusion", upstream })
        };
        let base = of("select 1", &table, &[(a.clone(), "1".into()), (b.clone(), "1".into())]);
        assert_eq!(base, of("select  1 -- x", &table, &[(b.clone(), "1".into()), (a.clone(), "1".into())]));
        assert_ne!(base, of("select 2", &table, &[(a.clone(), "1".into()), (b.clone(), "1".into())]));
        assert_ne!(base, of("select 1", &table, &[(a.clone(), "2".into()), (b.clone(), "1".into())]));
        let view = NodeConfig { materialized: "view".into(), ..NodeConfig::default() };
        assert_ne!(base, of("select 1", &view, &[(a, "1".into()), (b, "1".into())]));
    }
}
