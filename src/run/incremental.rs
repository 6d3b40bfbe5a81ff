//! How an incremental model changes its table: dbt's configuration -> [`Strategy`].

use serde_json::Value as Json;

use super::compile::whole;
use crate::{
    diagnostic::Diagnostic,
    engine::Strategy,
    graph::{Node, NodeConfig},
    names::nearest,
};

const STRATEGIES: [&str; 5] = ["append", "merge", "delete+insert", "insert_overwrite", "microbatch"];

/// `columns` are the table's, asked for only where `merge_exclude_columns` needs them.
pub(super) fn strategy(node: &Node, columns: &[String]) -> Result<Strategy, Diagnostic> {
    let config = &node.config;
    // an empty text is no key: dbt treats it as none
    let mut unique_key: Vec<String> = config.unique_key.iter().filter(|k| !k.trim().is_empty()).cloned().collect();
    // a column that is named twice is still one
    let mut seen = std::collections::HashSet::new();
    unique_key.retain(|k| seen.insert(k.to_uppercase()));
    let named = config.incremental_strategy.as_deref().map(str::to_lowercase);
    let strategy = match named.as_deref() {
        // dbt's Snowflake adapter merges by default, and a merge without a key only inserts
        None | Some("default") | Some("merge") if unique_key.is_empty() => Strategy::Append,
        None | Some("default") | Some("merge") => {
            Strategy::Merge { unique_key, update_columns: update_columns(node, columns)?, predicates: predicates(config) }
        }
        Some("append") => Strategy::Append,
        Some("delete+insert" | "delete_insert") if unique_key.is_empty() => Strategy::Append,
        Some("delete+insert" | "delete_insert") => Strategy::DeleteInsert { unique_key, predicates: predicates(config) },
        Some("insert_overwrite") => Strategy::InsertOverwrite,
        Some(other) => {
            // dbt's sentence: programs look for it
            let message = format!(
                "dbt could not find an incremental strategy macro with the name \"get_incremental_{other}_sql\" in {}",
                node.package
            );
            let help = match nearest(other, STRATEGIES).filter(|near| *near != other) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are `{}`", STRATEGIES.join("`, `")),
            };
            return Err(Diagnostic::error("run/unknown-strategy", message).at(whole(node), "").help(help));
        }
    };
    Ok(strategy)
}

pub(super) fn needs_columns(config: &NodeConfig) -> bool {
    config.all.get("merge_exclude_columns").is_some_and(|v| !texts(v).is_empty())
}

fn update_columns(node: &Node, columns: &[String]) -> Result<Option<Vec<String>>, Diagnostic> {
    let list = |key: &str| node.config.all.get(key).map(texts).filter(|l| !l.is_empty());
    match (list("merge_update_columns"), list("merge_exclude_columns")) {
        (Some(_), Some(_)) => Err(Diagnostic::error(
            "run/merge-columns",
            format!("`{}` sets both `merge_update_columns` and `merge_exclude_columns`", node.name),
        )
        .at(whole(node), "")
        .help("keep one of them")),
        (Some(update), None) => Ok(Some(update)),
        (None, Some(exclude)) => {
            let kept = columns.iter().filter(|c| !exclude.iter().any(|e| e.trim_matches('"').eq_ignore_ascii_case(c)));
            Ok(Some(kept.cloned().collect()))
        }
        (None, None) => Ok(None),
    }
}

/// `incremental_predicates`, or its short name `predicates`.
fn predicates(config: &NodeConfig) -> Vec<String> {
    ["incremental_predicates", "predicates"].iter().find_map(|key| config.all.get(*key)).map(texts).unwrap_or_default()
}

/// A list of texts, or one text.
fn texts(value: &Json) -> Vec<String> {
    match value {
        Json::String(one) => vec![one.clone()],
        Json::Array(many) => many.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect(),
        _ => vec![],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::tests::node;

    #[test]
    fn strategies() {
        for (named, key, all, expect) in [
            (None, vec![], json!({}), "Append"),
            (None, vec!["id"], json!({}), r#"Merge { unique_key: ["id"], update_columns: None, predicates: [] }"#),
            (Some("merge"), vec![], json!({}), "Append"),
            (
                Some("merge"),
                vec!["a", "b"],
                json!({"merge_update_columns": ["c"], "incremental_predicates": "x > 1"}),
                r#"Merge { unique_key: ["a", "b"], update_columns: Some(["c"]), predicates: ["x > 1"] }"#,
            ),
            (
                None,
                vec!["id"],
                json!({"merge_exclude_columns": ["created"]}),
                r#"Merge { unique_key: ["id"], update_columns: Some(["ID", "V"]), predicates: [] }"#,
            ),
            (
                Some("delete+insert"),
                vec!["id"],
                json!({"predicates": ["d > 1"]}),
                r#"DeleteInsert { unique_key: ["id"], predicates: ["d > 1"] }"#,
            ),
            (Some("insert_overwrite"), vec![], json!({}), "InsertOverwrite"),
            (
                Some("apend"),
                vec![],
                json!({}),
                "dbt could not find an incremental strategy macro with the name \"get_incremental_apend_sql\" in p; did you mean `append`?",
            ),
            (
                None,
                vec!["id"],
                json!({"merge_update_columns": ["a"], "merge_exclude_columns": ["b"]}),
                "`m` sets both `merge_update_columns` and `merge_exclude_columns`; keep one of them",
            ),
        ] {
            let mut node = node("m", &[]);
            node.config.incremental_strategy = named.map(str::to_owned);
            node.config.unique_key = key.iter().map(|k| (*k).to_owned()).collect();
            node.config.all = serde_json::from_value(all).expect("an object");
            let columns = ["ID", "CREATED", "V"].map(str::to_owned);
            let got = match strategy(&node, &columns) {
                Ok(s) => format!("{s:?}"),
                Err(d) => format!("{}; {}", d.message, d.help.unwrap_or_default()),
            };
            assert_eq!(got, expect);
        }
    }
}
