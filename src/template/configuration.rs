//! `config(...)` and `config.get(...)`: calls in the file merge as dbt merges them.

use indexmap::IndexMap;
use serde_json::Value as Json;

use super::{
    jinja::{Args, Eval, Fault, Machine, Value, display},
    session::{Pass, Session},
};
use crate::diagnostic::Place;

impl Session<'_> {
    /// `{{ config(...) }}`: recorded while collecting, nothing when the configuration is final.
    pub(super) fn configure(&self, machine: &Machine<'_>, mut args: Args) -> Eval<Value> {
        let mut given = std::mem::take(&mut args.keyword);
        if let [Value::Dict(dict)] = args.positional.as_slice() {
            given.extend(dict.borrow().iter().map(|(k, v)| (display(k.value()).into(), v.clone())));
        } else if !args.positional.is_empty() {
            return Err(Fault::kind("`config` takes keyword arguments, or one dict"));
        }
        for (one, other) in [("pre_hook", "pre-hook"), ("post_hook", "post-hook")] {
            if given.iter().any(|(n, _)| &**n == one) && given.iter().any(|(n, _)| &**n == other) {
                return Err(Fault::new("template/config", format!("`config` was given both `{one}` and `{other}`, which are one key")));
            }
        }
        let place = machine.place(args.span);
        let config = &mut self.state.borrow_mut().collected.config;
        for (name, value) in given {
            // hooks may be written either way; YAML has the dash
            let name = match &*name {
                "pre_hook" => "pre-hook",
                "post_hook" => "post-hook",
                other => other,
            };
            merge_config(config, name, value.to_json(), place.clone());
        }
        Ok(Value::text(""))
    }

    pub(super) fn configured(&self, name: &str) -> Option<Value> {
        let dashed = name.replace('_', "-");
        let state = self.state.borrow();
        let in_file = |key: &str| state.collected.config.get(key).map(|(v, _)| v);
        let names = if dashed.ends_with("-hook") { [dashed.as_str(), name] } else { [name, name] };
        let found = if self.pass == Pass::Collect {
            names.iter().find_map(|n| in_file(n)).or_else(|| names.iter().find_map(|n| self.node.config.get(*n)))
        } else {
            names.iter().find_map(|n| self.node.config.get(*n)).or_else(|| names.iter().find_map(|n| in_file(n)))
        };
        found.filter(|v| !v.is_null()).map(Value::from_json)
    }

    pub(super) fn config_method(&self, machine: &mut Machine<'_>, name: &str, args: &mut Args) -> Eval<Option<Value>> {
        Ok(Some(match name {
            "get" => {
                let [key, default, validator] = args.bind_required::<1, 3>(name, ["name", "default", "validator"])?;
                let value = self.configured(&display(&key.unwrap_or(Value::None)));
                if let (Some(value), Some(validator)) = (&value, validator.filter(Value::is_callable)) {
                    machine.call(&validator, Args::of(vec![value.clone()]))?;
                }
                value.or(default).unwrap_or(Value::None)
            }
            "require" => {
                let [key, _] = args.bind_required::<1, 2>(name, ["name", "validator"])?;
                let key = display(&key.unwrap_or(Value::None));
                match self.configured(&key) {
                    Some(value) => value,
                    None if !self.execute() => Value::text(""),
                    None => {
                        let fault = Fault::new("template/config", format!("`{}` needs the configuration `{key}`", self.node.name));
                        return Err(
                            fault.help(format!("add `{{{{ config({key}=...) }}}}` to the file, or `{key}:` under `config:` in YAML"))
                        );
                    }
                }
            }
            "set" => {
                let [key, value] = args.bind_required::<2, 2>(name, ["name", "value"])?;
                let (key, value) = (display(&key.unwrap_or(Value::None)), value.unwrap_or(Value::None).to_json());
                self.state.borrow_mut().collected.config.insert(key, (value, machine.place(args.span)));
                Value::text("")
            }
            "meta_get" | "meta_require" => {
                let [key, default] = args.bind_required::<1, 2>(name, ["name", "default"])?;
                let meta = self.configured("meta").unwrap_or(Value::None);
                meta.get(&display(&key.unwrap_or(Value::None))).or(default).unwrap_or(Value::None)
            }
            "persist_relation_docs" | "persist_column_docs" => {
                let key = if name == "persist_relation_docs" { "relation" } else { "columns" };
                Value::Bool(self.configured("persist_docs").and_then(|d| d.get(key)).is_some_and(|v| v.is_true()))
            }
            _ => return Ok(None),
        }))
    }
}

/// dbt's rules for several `config()` calls and levels: later wins, but lists of tags and hooks add up and `meta` merges.
fn merge_config(config: &mut IndexMap<String, (Json, Place)>, name: &str, value: Json, place: Place) {
    let list = |v: Json| match v {
        Json::Array(items) => items,
        Json::Null => vec![],
        other => vec![other],
    };
    let merged = match (name, config.get(name).map(|(v, _)| v.clone())) {
        ("tags" | "pre-hook" | "post-hook", Some(before)) => Json::Array([list(before), list(value)].concat()),
        ("meta", Some(Json::Object(mut before))) => {
            if let Json::Object(more) = value {
                before.extend(more);
            }
            Json::Object(before)
        }
        (_, _) => value,
    };
    config.insert(name.to_owned(), (merged, place));
}
