//! Names and ids of generic tests, to the letter those of dbt: other tools find tests by them.
//!
//! After dbt-core's `synthesize_generic_test_names` and the hash of its schema test parser.

use indexmap::IndexMap;
use md5::{Digest, Md5};
use serde_json::Value as Json;

use crate::names::hexadecimal;

/// The names of one generic test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestNames {
    /// In the unique id and for selection.
    pub full: String,
    /// Of the compiled file and the alias; at most 63 characters.
    pub short: String,
    /// The last part of the unique id.
    pub hash: String,
}

/// What is tested and how.
#[derive(Clone, Copy, Debug)]
pub struct Tested<'a> {
    /// `not_null`, without its package.
    pub test: &'a str,
    pub namespace: Option<&'a str>,
    /// The model's name, or `<source>_<table>`.
    pub target: &'a str,
    /// `ref('m')` or `source('s', 't')`, as it stands in the hashed arguments.
    pub model: &'a str,
    pub is_source: bool,
    /// With `column_name`, without `model`.
    pub arguments: &'a IndexMap<String, Json>,
    pub custom_name: Option<&'a str>,
}

pub fn names(tested: &Tested<'_>) -> TestNames {
    let (mut full, mut short) = synthesized(tested);
    if let Some(name) = tested.custom_name {
        (full, short) = (name.to_owned(), name.to_owned());
    }
    let mut kwargs: Vec<(String, String)> = tested.arguments.iter().map(|(k, v)| (k.clone(), hashable(v))).collect();
    kwargs.push(("model".into(), quoted(&format!("{{{{ get_where_subquery({}) }}}}", tested.model))));
    let metadata = format!(
        "{{'kwargs': {}, 'name': {}, 'namespace': {}}}",
        dict(kwargs),
        quoted(tested.test),
        quoted(tested.namespace.unwrap_or("None")),
    );
    let digest = md5(&format!("{full}{metadata}"));
    let hash = digest[digest.len() - 10..].to_owned();
    TestNames { full, short, hash }
}

fn synthesized(tested: &Tested<'_>) -> (String, String) {
    let mut sorted: Vec<(&String, &Json)> = tested.arguments.iter().collect();
    sorted.sort_by_key(|(name, _)| *name);
    let mut flat = vec![];
    for (_, value) in sorted {
        match value {
            Json::Object(map) => flat.extend(map.values().map(python_str)),
            Json::Array(items) => flat.extend(items.iter().map(python_str)),
            one => flat.push(python_str(one)),
        }
    }
    let unique = flat.iter().map(|part| clean(part)).collect::<Vec<_>>().join("__");
    let test = match tested.namespace {
        Some(namespace) => format!("{namespace}_{}", tested.test),
        None => tested.test.to_owned(),
    };
    let test = if tested.is_source { format!("source_{test}") } else { test };
    let identifier = format!("{test}_{}", tested.target);
    let full = format!("{identifier}_{unique}");
    let short = match full.chars().count() {
        0..=63 => full.clone(),
        _ => format!("{}_{}", identifier.chars().take(30).collect::<String>(), md5(&full)),
    };
    (full, short)
}

/// Runs of anything but letters, digits and `_` become one `_`.
fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_run = false;
    for c in text.chars() {
        let keep = c.is_ascii_alphanumeric() || c == '_';
        if keep {
            out.push(c);
        } else if !in_run {
            out.push('_');
        }
        in_run = !keep;
    }
    out
}

fn md5(text: &str) -> String {
    hexadecimal(&Md5::digest(text.as_bytes()))
}

/// Python's `str()`.
fn python_str(value: &Json) -> String {
    match value {
        Json::String(s) => s.clone(),
        other => python_repr(other),
    }
}

fn python_repr(value: &Json) -> String {
    match value {
        Json::Null => "None".into(),
        Json::Bool(true) => "True".into(),
        Json::Bool(false) => "False".into(),
        Json::Number(n) => n.to_string(),
        Json::String(s) => quoted(s),
        Json::Array(items) => format!("[{}]", items.iter().map(python_repr).collect::<Vec<_>>().join(", ")),
        Json::Object(map) => dict(map.iter().map(|(k, v)| (k.clone(), python_repr(v))).collect::<Vec<_>>().into_iter().collect()),
    }
}

/// dbt's `get_hashable_md`, printed: scalars as their text, keys sorted.
fn hashable(value: &Json) -> String {
    match value {
        Json::Array(items) => format!("[{}]", items.iter().map(hashable).collect::<Vec<_>>().join(", ")),
        Json::Object(map) => dict(map.iter().map(|(k, v)| (k.clone(), hashable(v))).collect()),
        scalar => quoted(&python_str(scalar)),
    }
}

fn dict(mut pairs: Vec<(String, String)>) -> String {
    pairs.sort();
    let pairs: Vec<String> = pairs.into_iter().map(|(k, v)| format!("{}: {v}", quoted(&k))).collect();
    format!("{{{}}}", pairs.join(", "))
}

/// Python's `repr()` of a text.
fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids as dbt prints them for its well-known example project.
    #[test]
    fn names_and_hashes_are_those_of_dbt() {
        let check = |test: &str, target: &str, arguments: Json, expect: &str| {
            let Json::Object(map) = arguments else { panic!("a mapping") };
            let arguments = map.into_iter().collect();
            let model = format!("ref('{target}')");
            let tested =
                Tested { test, namespace: None, target, model: &model, is_source: false, arguments: &arguments, custom_name: None };
            let names = names(&tested);
            assert_eq!(format!("{}.{}", names.full, names.hash), expect);
        };
        use serde_json::json;
        check("unique", "customers", json!({"column_name": "customer_id"}), "unique_customers_customer_id.c5af1ff4b1");
        check("not_null", "customers", json!({"column_name": "customer_id"}), "not_null_customers_customer_id.5c9bf9911d");
        check(
            "accepted_values",
            "orders",
            json!({"column_name": "status", "values": ["placed", "shipped", "completed", "return_pending", "returned"]}),
            "accepted_values_orders_status__placed__shipped__completed__return_pending__returned.be6b5b5ec3",
        );
        check(
            "relationships",
            "orders",
            json!({"column_name": "customer_id", "to": "ref('customers')", "field": "customer_id"}),
            "relationships_orders_customer_id__customer_id__ref_customers_.c6ec7f58f2",
        );
    }

    #[test]
    fn long_names_are_cut_and_sources_are_told_apart() {
        let arguments = IndexMap::from([("column_name".to_owned(), Json::from("c".repeat(50)))]);
        let tested = Tested {
            test: "not_null",
            namespace: Some("pkg"),
            target: "raw_orders",
            model: "source('raw', 'orders')",
            is_source: true,
            arguments: &arguments,
            custom_name: None,
        };
        let names = names(&tested);
        assert!(names.full.starts_with("source_pkg_not_null_raw_orders_ccc"));
        assert_eq!(names.short.len(), 30 + 1 + 32);
        assert!(names.short.starts_with("source_pkg_not_null_raw_orders_"));
    }
}
