//! Versions of a model: one YAML entry, several files, one name (dbt documentation, "Model versions").

use std::cmp::Ordering;

use serde_json::Value as Json;

use super::{config::ConfigItem, draft::Blueprint, properties::NodeProperties};
use crate::{
    diagnostic::{Diagnostic, Diagnostics},
    graph::Node,
    names::ResourceType,
};

/// Which version a file is.
#[derive(Clone, Debug)]
pub struct Version {
    /// As written: a number or a text.
    pub number: Json,
    pub latest: Json,
    pub config: Vec<ConfigItem>,
}

impl Version {
    fn text(&self) -> String {
        plain(&self.number)
    }

    /// The last part of the unique id: `orders.v2`.
    pub fn id(&self, name: &str) -> String {
        format!("{name}.v{}", self.text())
    }

    /// What the relation is called unless the configuration says otherwise: `orders_v2`.
    pub fn alias(&self, name: &str) -> String {
        format!("{name}_v{}", self.text().replace('.', "_"))
    }

    pub fn mark(&self, node: &mut Node, alias: String) {
        node.extra.shift_remove("versions");
        node.extra.insert("version".into(), self.number.clone());
        node.extra.insert("latest_version".into(), self.latest.clone());
        if node.config.alias.is_none() {
            node.alias = alias;
        }
    }
}

/// Gives the files of an entry with `versions:` their name and version. A file is `<name>_v<version>`, or what `defined_in` says;
/// the latest version may be in `<name>` itself.
pub fn assign(plans: &mut [Blueprint], package: usize, node: &NodeProperties, faults: &mut Diagnostics) {
    let entries: Vec<&Json> = node.extra.get("versions").and_then(Json::as_array).into_iter().flatten().collect();
    let numbers: Vec<Json> = entries.iter().filter_map(|e| e.get("v").cloned()).collect();
    let latest = node.extra.get("latest_version").cloned().or_else(|| numbers.iter().max_by(|a, b| order(a, b)).cloned());
    let Some(latest) = latest else {
        let fault = Diagnostic::error("project/bad-version", format!("the versions of `{}` have no `v`", node.name));
        return faults.push(fault.at(node.place.clone(), "this model"));
    };
    for entry in entries {
        let Some(number) = entry.get("v").cloned() else { continue };
        let text = plain(&number);
        let given = entry.get("defined_in").and_then(Json::as_str).map(str::to_owned);
        let is_latest = plain(&latest) == text;
        let mut names = vec![given.clone().unwrap_or_else(|| format!("{}_v{text}", node.name))];
        if given.is_none() && is_latest {
            names.push(node.name.clone());
        }
        let found = names.iter().find_map(|name| {
            plans.iter().position(|p| p.package == package && p.kind == ResourceType::Model && p.version.is_none() && p.name == *name)
        });
        let Some(plan) = found.and_then(|at| plans.get_mut(at)) else {
            let fault =
                Diagnostic::error("project/bad-version", format!("version {text} of `{}` has no file `{}.sql`", node.name, names[0]));
            faults.push(fault.at(node.place.clone(), "this model").help("name its file with `defined_in`"));
            continue;
        };
        let place = node.place.clone();
        let items = entry.get("config").and_then(Json::as_object);
        let config =
            items.into_iter().flatten().map(|(key, value)| ConfigItem { key: key.clone(), value: value.clone(), place: place.clone() });
        plan.version = Some(Version { number, latest: latest.clone(), config: config.collect() });
        plan.name.clone_from(&node.name);
        plan.fqn.pop();
        plan.fqn.push(node.name.clone());
        plan.fqn.push(format!("v{text}"));
    }
}

fn plain(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Numbers as numbers, the rest as texts.
fn order(a: &Json, b: &Json) -> Ordering {
    match (plain(a).parse::<f64>(), plain(b).parse::<f64>()) {
        (Ok(a), Ok(b)) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
        _ => plain(a).cmp(&plain(b)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_latest_version_is_the_greatest_number() {
        let numbers = [json!(2), json!(10), json!("9")];
        assert_eq!(numbers.iter().max_by(|a, b| order(a, b)), Some(&json!(10)));
        let version = Version { number: json!(1.5), latest: json!(2), config: vec![] };
        assert_eq!((version.id("m"), version.alias("m")), ("m.v1.5".into(), "m_v1_5".into()));
    }
}
