//! Selectors of `selectors.yml`: what a name stands for, as a tree of criteria.

use serde_json::Value as Json;

/// A selector's meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Definition {
    /// As on the command line: `tag:nightly+`.
    Criterion(String),
    Union(Vec<Definition>),
    Intersection(Vec<Definition>),
    /// The first without the others.
    Difference(Box<Definition>, Vec<Definition>),
}

impl Definition {
    /// Reads a `definition:` (dbt documentation, "YAML selectors").
    pub fn read(value: &Json) -> Result<Self, String> {
        match value {
            Json::String(text) => Ok(Self::Criterion(text.clone())),
            Json::Array(items) => Self::list(items, Self::Union),
            Json::Object(map) => {
                if let Some(items) = map.get("union").and_then(Json::as_array) {
                    return Self::list(items, Self::Union);
                }
                if let Some(items) = map.get("intersection").and_then(Json::as_array) {
                    return Self::list(items, Self::Intersection);
                }
                if let Some(method) = map.get("method").and_then(Json::as_str) {
                    let value = map.get("value").map(plain).unwrap_or_default();
                    let flag = |key: &str| map.get(key).and_then(Json::as_bool) == Some(true);
                    let depth = |key: &str| map.get(key).map(plain).unwrap_or_default();
                    let mut text = format!("{method}:{value}");
                    if flag("childrens_parents") {
                        text = format!("@{text}");
                    }
                    if flag("parents") {
                        text = format!("{}+{text}", depth("parents_depth"));
                    }
                    if flag("children") {
                        text = format!("{text}+{}", depth("children_depth"));
                    }
                    let criterion = Self::Criterion(text);
                    return match map.get("exclude").and_then(Json::as_array) {
                        Some(without) => {
                            let without = without.iter().map(Self::read).collect::<Result<_, _>>()?;
                            Ok(Self::Difference(Box::new(criterion), without))
                        }
                        None => Ok(criterion),
                    };
                }
                // the short form: `{tag: nightly}`
                match map.iter().next().filter(|_| map.len() == 1) {
                    Some((method, value)) if !matches!(value, Json::Object(_) | Json::Array(_)) => {
                        Ok(Self::Criterion(format!("{method}:{}", plain(value))))
                    }
                    _ => Err("a definition is a criterion, `union:`, `intersection:` or `method:` with `value:`".into()),
                }
            }
            _ => Err("a definition is a text or a mapping".into()),
        }
    }

    /// `exclude:` among the members takes away from all of them.
    fn list(items: &[Json], make: fn(Vec<Self>) -> Self) -> Result<Self, String> {
        let (mut members, mut without) = (vec![], vec![]);
        for item in items {
            match item.as_object().filter(|m| m.len() == 1).and_then(|m| m.get("exclude")) {
                Some(Json::Array(excluded)) => without.extend(excluded.iter().map(Self::read).collect::<Result<Vec<_>, _>>()?),
                Some(one) => without.push(Self::read(one)?),
                None => members.push(Self::read(item)?),
            }
        }
        let all = make(members);
        Ok(if without.is_empty() { all } else { Self::Difference(Box::new(all), without) })
    }
}

fn plain(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn definitions_are_read() {
        let one = |text: &str| Definition::Criterion(text.into());
        for (value, expect) in [
            (json!("tag:a+"), one("tag:a+")),
            (json!({"tag": "a"}), one("tag:a")),
            (json!({"method": "fqn", "value": "m", "parents": true, "parents_depth": 2, "children": true}), one("2+fqn:m+")),
            (json!({"union": ["a", {"tag": "b"}]}), Definition::Union(vec![one("a"), one("tag:b")])),
            (
                json!({"intersection": ["a", {"exclude": ["b"]}]}),
                Definition::Difference(Box::new(Definition::Intersection(vec![one("a")])), vec![one("b")]),
            ),
        ] {
            assert_eq!(Definition::read(&value), Ok(expect), "{value}");
        }
        assert!(Definition::read(&json!(3)).is_err());
    }
}
