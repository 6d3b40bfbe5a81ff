//! dbt's context for one evaluation: answers the names that the language does not know.
//!
//! Look-ups are a chain, nothing is copied per node: the node's package, the root project, the built-in macros, then the context.

use std::{cell::RefCell, collections::HashMap, sync::Arc};

use indexmap::IndexSet;
use serde_json::{Map, Value as Json};

use super::{
    Collected, Environment, LogLine, NodeContext, Resolved, Resolver, Rows, Warehouse,
    jinja::{self, Args, Eval, Fault, Host, Key, Limits, Machine, Object, Value, ast::MacroDef, display, file_macro, python_json},
    macros::Package,
    python,
    relation::Relation,
};
use crate::{
    diagnostic::{Diagnostic, Place},
    graph::{RefCall, SourceCall},
    names::{Identifier, RelationName, hexadecimal, nearest},
};

/// What an evaluation may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    Collect,
    Render,
    /// Strings of YAML files; secrets may be read where passwords belong.
    Yaml {
        secrets: bool,
    },
}

pub(super) struct Session<'a> {
    pub environment: &'a Environment,
    pub node: &'a NodeContext,
    pub pass: Pass,
    pub resolver: &'a dyn Resolver,
    pub warehouse: &'a dyn Warehouse,
    pub state: RefCell<State>,
}

#[derive(Default)]
pub(super) struct State {
    pub collected: Collected,
    pub ephemerals: IndexSet<String>,
    /// `store_result`
    pub results: HashMap<String, Value>,
    /// Values made once per evaluation: `target`, `model`, `graph`...
    cache: HashMap<&'static str, Value>,
}

/// Functions of dbt's context that are called by name.
const FUNCTIONS: &[&str] = &[
    "ref",
    "source",
    "function",
    "env_var",
    "log",
    "print",
    "fromjson",
    "tojson",
    "fromyaml",
    "toyaml",
    "local_md5",
    "doc",
    "load_result",
    "store_result",
    "store_raw_result",
    "diff_of_two_dicts",
    "set_strict",
    "zip_strict",
    "debug",
    "write",
    "render",
    "submit_python_job",
    "try_or_compiler_error",
];
/// Things with functions of their own; `config` and `var` can be called too.
const MODULES: &[&str] = &["config", "var", "adapter", "exceptions", "modules", "api", "builtins", "context"];
const VALUES: &[&str] = &[
    "execute",
    "this",
    "target",
    "model",
    "graph",
    "flags",
    "invocation_id",
    "run_started_at",
    "dbt_version",
    "project_name",
    "thread_id",
    "selected_resources",
    "pre_hooks",
    "post_hooks",
    "database",
    "schema",
    "dbt_metadata_envs",
    "invocation_args_dict",
    "env",
];

/// Names of what may be another thing in each invocation; `modules` holds the clock.
const VARYING: [&str; 6] = ["flags", "invocation_id", "run_started_at", "thread_id", "invocation_args_dict", "modules"];

/// Names that every template knows: functions and modules, then values.
pub fn context_names() -> (Vec<&'static str>, &'static [&'static str]) {
    ([FUNCTIONS, MODULES].concat(), VALUES)
}

impl<'a> Session<'a> {
    pub fn execute(&self) -> bool {
        self.pass == Pass::Render
    }

    fn cached(&self, name: &'static str, make: impl FnOnce() -> Value) -> Value {
        if let Some(value) = self.state.borrow().cache.get(name) {
            return value.clone();
        }
        let value = make();
        self.state.borrow_mut().cache.insert(name, value.clone());
        value
    }

    fn context_value(&self, name: &'static str) -> Option<Value> {
        let context = self.environment.context();
        Some(match name {
            "execute" => Value::Bool(self.execute()),
            "this" => self.cached(name, || {
                let alias = self.node.model.get("alias").and_then(Json::as_str).unwrap_or(&self.node.name);
                if let Some(cte) = self.node.substitutes.as_ref().and_then(|s| s.relations.get("this")) {
                    return Value::object(Relation::substitute(self.node.this.as_ref(), cte));
                }
                Value::object(self.node.this.as_ref().map_or_else(Relation::nothing, |n| Relation::named(n, Some(alias), "")))
            }),
            "target" | "env" => self.cached("target", || Value::from_json(&Json::Object(context.target.clone()))),
            "model" => self.cached(name, || self.model()),
            "graph" => self.cached(name, || {
                let mut graph = self.resolver.graph();
                for key in ["nodes", "sources", "exposures", "metrics", "groups"] {
                    graph.entry(key).or_insert_with(|| Json::Object(Map::new()));
                }
                Value::from_json(&Json::Object(graph))
            }),
            "flags" => self.cached(name, || {
                let defaults = [
                    ("FULL_REFRESH", false),
                    ("STORE_FAILURES", false),
                    ("EMPTY", false),
                    ("QUIET", false),
                    ("DEFER", false),
                    ("FAIL_FAST", false),
                    ("DEBUG", false),
                    ("WARN_ERROR", false),
                ];
                let mut flags: Map<String, Json> = defaults.iter().map(|(k, v)| ((*k).to_owned(), Json::Bool(*v))).collect();
                flags.insert("WHICH".into(), Json::String(if self.execute() { "run" } else { "parse" }.into()));
                flags.extend(context.flags.clone());
                Value::from_json(&Json::Object(flags))
            }),
            "invocation_id" => Value::text(context.invocation_id.as_str()),
            "run_started_at" => python::aware(context.run_started_at),
            "dbt_version" => Value::text(context.dbt_version.as_str()),
            "project_name" => Value::text(context.project_name.as_str()),
            // Python's name of the thread that a process starts with
            "thread_id" => Value::text(match std::thread::current().name() {
                None | Some("main") => "MainThread",
                Some(name) => name,
            }),
            "selected_resources" => self.cached(name, || match context.selected.get() {
                Some(selected) => Value::list(selected.iter().map(|id| Value::text(id.as_str())).collect()),
                None => Value::list(vec![]),
            }),
            "pre_hooks" | "post_hooks" => self.cached(name, || {
                let key = name.trim_end_matches('s');
                let hooks = self.node.config.get(&key.replace('_', "-")).or(self.node.config.get(key));
                let hooks = match hooks {
                    Some(Json::Array(hooks)) => hooks.iter().map(hook).collect(),
                    Some(Json::Null) | None => vec![],
                    Some(one) => vec![hook(one)],
                };
                Value::from_json(&Json::Array(hooks))
            }),
            "invocation_args_dict" => self.cached(name, || {
                let mut args: Map<String, Json> = context.flags.iter().map(|(k, v)| (k.to_lowercase(), v.clone())).collect();
                args.insert("vars".into(), Json::Object(context.cli_vars.clone()));
                Value::from_json(&Json::Object(args))
            }),
            "database" | "schema" => {
                let of_node = self.node.this.as_ref().map(|t| if name == "schema" { &t.schema } else { &t.database });
                match (of_node, context.target.get(name)) {
                    (Some(part), _) => Value::text(part.as_str()),
                    (None, Some(Json::String(s))) => Value::text(s.as_str()),
                    _ => Value::None,
                }
            }
            "dbt_metadata_envs" => Value::dict(Default::default()),
            _ => return None,
        })
    }

    fn model(&self) -> Value {
        let node = self.node;
        let mut model = Map::new();
        let mut put = |k: &str, v: &str| model.insert(k.into(), Json::String(v.into()));
        put("name", &node.name);
        put("alias", &node.name);
        put("unique_id", &node.unique_id);
        put("package_name", &node.package);
        put("resource_type", node.kind.as_str());
        if let Some(this) = &node.this {
            put("database", this.database.as_str());
            put("schema", this.schema.as_str());
            put("relation_name", &this.to_string());
        }
        model.insert("config".into(), Json::Object(node.config.iter().map(|(k, v)| (k.clone(), v.clone())).collect()));
        for key in ["columns", "meta"] {
            model.insert(key.into(), Json::Object(Map::new()));
        }
        model.insert("tags".into(), Json::Array(vec![]));
        model.extend(node.model.iter().map(|(k, v)| (k.clone(), v.clone())));
        Value::from_json(&Json::Object(model))
    }

    /// The macro that a bare name means: of the node's package, the root project, the package of the macro that asks, built-in.
    pub fn find_macro(&self, name: &str, asking: Option<&str>) -> Option<Arc<MacroDef>> {
        let environment = self.environment;
        [Some(self.node.package.as_str()), Some(environment.context().project_name.as_str()), asking, Some(super::BUILTIN_PACKAGE)]
            .into_iter()
            .flatten()
            .find_map(|package| environment.package(package)?.get(name).cloned())
    }

    fn reference(&self, machine: &mut Machine<'_>, mut args: Args) -> Eval<Value> {
        let version = args.take_keyword("v").or_else(|| args.take_keyword("version")).filter(|v| !v.is_none()).map(|v| display(&v));
        let name_span = args.spans.last().copied().unwrap_or(args.span);
        let (package, name) = match args.positional.as_slice() {
            [name] => (None, name),
            [package, name] => (Some(package), name),
            other => {
                let message = format!("`ref` takes the name of a model, or a package and a name; {} arguments were given", other.len());
                return Err(Fault::kind(message));
            }
        };
        let text = |v: &Value| match v {
            Value::Str(s) => Ok(s.to_string()),
            Value::Undefined(what) => Err(Fault::new("template/undefined", format!("`{what}` is undefined"))),
            other => Err(Fault::kind(format!("`ref` needs the name of a model as a string, not `{}`", other.type_name()))),
        };
        let (package, name) = (package.map(text).transpose()?, text(name)?);
        let place = machine.place(name_span);
        if let Some(substitutes) = &self.node.substitutes
            && let Some(cte) = substitutes.relations.get(&format!("ref('{name}')"))
        {
            return Ok(Value::object(Relation::substitute(None, cte)));
        }
        if self.pass == Pass::Collect {
            let relation = self.placeholder(None, &name);
            self.state.borrow_mut().collected.refs.push(RefCall { package, name, version, place });
            return Ok(relation);
        }
        match self.resolver.resolve_ref(package.as_deref(), &name, version.as_deref()) {
            Ok(Resolved::Relation { name: relation, kind, event_time }) => {
                Ok(Value::object(Relation::named(&relation, Some(&name), &kind).limited(self.filter(event_time.as_deref()))))
            }
            Ok(Resolved::Ephemeral { name }) => {
                let relation = Relation::ephemeral(&name).limited(self.filter(None));
                self.state.borrow_mut().ephemerals.insert(name);
                Ok(Value::object(relation))
            }
            Err(e) => Err(self.unresolved(machine, e, place)),
        }
    }

    fn unresolved(&self, machine: &Machine<'_>, error: super::RefError, place: Place) -> Fault {
        let mut d = Diagnostic::error(error.code, error.message).at(place, "referenced here");
        d.help = error.help;
        d.related = machine.call_stack();
        d.into()
    }

    /// Stands for a relation before the graph is known.
    fn placeholder(&self, schema: Option<&str>, name: &str) -> Value {
        let target = &self.environment.context().target;
        let part = |key: &str| target.get(key).and_then(Json::as_str).unwrap_or(key).to_owned();
        let schema = schema.map_or_else(|| part("schema"), str::to_owned);
        Value::object(Relation::named(&RelationName::parse_parts(&part("database"), &schema, name), Some(name), ""))
    }

    fn source(&self, machine: &mut Machine<'_>, args: Args) -> Eval<Value> {
        let span = args.spans.last().copied().unwrap_or(args.span);
        let [Value::Str(source), Value::Str(table)] = args.positional.as_slice() else {
            return Err(Fault::kind("`source` takes the names of a source and of its table, as strings"));
        };
        let place = machine.place(span);
        if let Some(substitutes) = &self.node.substitutes
            && let Some(cte) = substitutes.relations.get(&format!("source('{source}', '{table}')"))
        {
            return Ok(Value::object(Relation::substitute(None, cte)));
        }
        if self.pass == Pass::Collect {
            let call = SourceCall { source: source.to_string(), table: table.to_string(), place };
            self.state.borrow_mut().collected.sources.push(call);
            return Ok(self.placeholder(Some(source), table));
        }
        match self.resolver.resolve_source(source, table) {
            Ok(Resolved::Relation { name, event_time, .. }) => {
                Ok(Value::object(Relation::named(&name, Some(table), "").limited(self.filter(event_time.as_deref()))))
            }
            Ok(Resolved::Ephemeral { name }) => Ok(Value::object(Relation::ephemeral(&name))),
            Err(e) => Err(self.unresolved(machine, e, place)),
        }
    }

    fn function(&self, machine: &mut Machine<'_>, args: Args) -> Eval<Value> {
        let span = args.spans.last().copied().unwrap_or(args.span);
        let (package, name) = match args.positional.as_slice() {
            [Value::Str(name)] => (None, name.to_string()),
            [Value::Str(package), Value::Str(name)] => (Some(package.to_string()), name.to_string()),
            _ => return Err(Fault::kind("`function` takes the name of a function, or a package and a name, as strings")),
        };
        let place = machine.place(span);
        if self.pass == Pass::Collect {
            let relation = self.placeholder(None, &name);
            self.state.borrow_mut().collected.functions.push(RefCall { package, name, version: None, place });
            return Ok(relation);
        }
        match self.resolver.resolve_function(package.as_deref(), &name) {
            Ok(relation) => Ok(Value::object(Relation::named(&relation, Some(&name), "function"))),
            Err(e) => Err(self.unresolved(machine, e, place)),
        }
    }

    /// What a reference in this node reads of a relation with that `event_time`.
    fn filter(&self, event_time: Option<&str>) -> Option<String> {
        match (&self.node.rows, event_time) {
            (Rows::Nothing, _) => Some("where false limit 0".into()),
            (Rows::Between(from, to), Some(column)) => {
                let moment = |t: &chrono::DateTime<chrono::Utc>| t.format("%Y-%m-%d %H:%M:%S").to_string();
                let (from, to) = (moment(from), moment(to));
                // with its zone: a column without one is read in the session's, as dbt does it on Snowflake
                Some(format!("where {column} >= to_timestamp_tz('{from}+00:00') and {column} < to_timestamp_tz('{to}+00:00')"))
            }
            _ => None,
        }
    }

    fn var(&self, name: &str) -> Option<&'a Json> {
        let context = self.environment.context();
        if let Some(value) = self.node.substitutes.as_ref().and_then(|s| s.vars.get(name)) {
            return Some(value);
        }
        context
            .cli_vars
            .get(name)
            .or_else(|| context.package_vars.get(&self.node.package).and_then(|vars| vars.get(name)))
            .or_else(|| context.vars.get(name))
    }

    fn call_var(&self, mut args: Args) -> Eval<Value> {
        let [name, default] = args.bind_required::<1, 2>("var", ["name", "default"])?;
        let name = display(&name.unwrap_or(Value::None));
        self.state.borrow_mut().collected.vars.insert(name.clone());
        match (self.var(&name), default) {
            (Some(value), _) => Ok(Value::from_json(value)),
            (None, Some(default)) => Ok(default),
            // a missing variable of a model that never runs is no fault (dbt documentation, "About var function")
            (None, None) if self.pass == Pass::Collect => Ok(Value::None),
            (None, None) => {
                let context = self.environment.context();
                let known = context.cli_vars.keys().chain(context.vars.keys()).map(String::as_str);
                let fault = Fault::new("template/var", format!("required var `{name}` is not set"));
                Err(match nearest(&name, known) {
                    Some(near) => fault.help(format!("there is `{near}`")),
                    None => fault.help(format!("set it under `vars:` in dbt_project.yml or with `--vars '{{{name}: ...}}'`")),
                })
            }
        }
    }

    fn call_env_var(&self, mut args: Args) -> Eval<Value> {
        let [name, default] = args.bind_required::<1, 2>("env_var", ["name", "default"])?;
        let name = display(&name.unwrap_or(Value::None));
        let is_secret = name.starts_with("DBT_ENV_SECRET") || name.starts_with("SEGUE_SECRET");
        if is_secret && !matches!(self.pass, Pass::Yaml { secrets: true }) {
            let fault = Fault::new("template/secret", format!("the secret `{name}` cannot be used here"));
            return Err(fault.help("secrets are for profiles.yml, packages.yml and the settings of source adapters"));
        }
        self.state.borrow_mut().collected.env_vars.insert(name.clone());
        if let Some(value) = self.node.substitutes.as_ref().and_then(|s| s.env_vars.get(&name)) {
            return Ok(Value::from_json(value));
        }
        match (self.environment.context().env.as_ref()(&name), default) {
            (Some(value), _) => Ok(Value::text(value)),
            (None, Some(default)) => Ok(default),
            (None, None) => {
                let fault = Fault::new("template/env-var", format!("the environment variable `{name}` is not set"));
                Err(fault.help(format!("set it, or give a default: `env_var('{name}', '...')`")))
            }
        }
    }

    fn exception(&self, machine: &Machine<'_>, name: &str, args: &mut Args) -> Eval<Option<Value>> {
        let message = args.positional.first().or_else(|| args.keyword.iter().find(|(n, _)| &**n == "msg").map(|(_, v)| v)).map(display);
        match name {
            "warn" => {
                let message = message.unwrap_or_default();
                let warning = Diagnostic::warning("template/warned", message).at(machine.place(args.span), "");
                self.state.borrow_mut().collected.warnings.push(warning);
                Ok(Some(Value::text("")))
            }
            _ if name.starts_with("raise_")
                || name.starts_with("missing_")
                || name.ends_with("_type_missing")
                || name == "relation_wrong_type" =>
            {
                Err(Fault::new("template/raised", message.unwrap_or_else(|| name.replace('_', " "))))
            }
            _ => Ok(None),
        }
    }

    fn log(&self, message: String, info: bool) -> Value {
        if !self.warehouse.tell(&message, info) {
            self.state.borrow_mut().collected.logs.push(LogLine { info, message });
        }
        Value::text("")
    }
}

impl Host for Session<'_> {
    fn global(&self, _: &mut Machine<'_>, name: &str, package: Option<&str>) -> Eval<Option<Value>> {
        if let Some(value) = self.node.variables.get(name) {
            return Ok(Some(Value::from_json(value)));
        }
        if self.pass_allows_macros()
            && let Some(def) = self.find_macro(name, package)
        {
            return Ok(Some(self.substituted(&def)));
        }
        if VARYING.contains(&name) {
            self.state.borrow_mut().collected.varies = true;
        }
        if let Some(name) = FUNCTIONS.iter().find(|n| **n == name) {
            return Ok(Some(Value::Function(name)));
        }
        if let Some(name) = MODULES.iter().find(|n| **n == name) {
            return Ok(Some(Value::Module(name)));
        }
        if let Some(value) = VALUES.iter().find(|n| **n == name).and_then(|name| self.context_value(name)) {
            return Ok(Some(value));
        }
        let package = self.environment.package(name).filter(|_| self.pass_allows_macros());
        Ok(package.map(|macros| Value::object(Namespace { package: name.to_owned(), macros: macros.clone() })))
    }

    fn known_names(&self) -> Vec<String> {
        let mut known: Vec<String> = [FUNCTIONS, MODULES, VALUES].concat().into_iter().map(str::to_owned).collect();
        for package in [self.node.package.as_str(), &self.environment.context().project_name, super::BUILTIN_PACKAGE] {
            known.extend(self.environment.package(package).into_iter().flat_map(|macros| macros.keys().map(|k| k.to_string())));
        }
        known
    }

    fn call_function(&self, machine: &mut Machine<'_>, name: &'static str, mut args: Args) -> Eval<Value> {
        match name {
            "ref" => self.reference(machine, args),
            "source" => self.source(machine, args),
            "function" => self.function(machine, args),
            "config" => self.configure(machine, args),
            "var" => self.call_var(args),
            "env_var" => self.call_env_var(args),
            "log" => {
                let [message, info] = args.bind_required::<1, 2>(name, ["msg", "info"])?;
                Ok(self.log(display(&message.unwrap_or(Value::None)), info.is_some_and(|i| i.is_true())))
            }
            "print" => {
                let message = args.single(name, "msg")?;
                Ok(if self.execute() { self.log(display(&message), true) } else { Value::text("") })
            }
            "debug" => Ok(Value::text("")),
            "tojson" => {
                let [value, default, sort] = args.bind_required::<1, 3>(name, ["value", "default", "sort_keys"])?;
                let _ = default;
                let mut json = value.unwrap_or(Value::None).to_json();
                if sort.is_some_and(|s| s.is_true()) {
                    json.sort_all_objects();
                }
                Ok(Value::text(python_json(&json)))
            }
            "fromjson" => {
                let [text, default] = args.bind_required::<1, 2>(name, ["string", "default"])?;
                let text = display(&text.unwrap_or(Value::None));
                Ok(serde_json::from_str(&text).map_or_else(|_| default.unwrap_or(Value::None), |json| Value::from_json(&json)))
            }
            "fromyaml" => {
                let [text, default] = args.bind_required::<1, 2>(name, ["value", "default"])?;
                let text = display(&text.unwrap_or(Value::None));
                Ok(serde_yaml_ng::from_str::<Json>(&text).map_or_else(|_| default.unwrap_or(Value::None), |json| Value::from_json(&json)))
            }
            "toyaml" => {
                let [value, default, sort] = args.bind_required::<1, 3>(name, ["value", "default", "sort_keys"])?;
                let mut json = value.unwrap_or(Value::None).to_json();
                if sort.is_some_and(|s| s.is_true()) {
                    json.sort_all_objects();
                }
                Ok(serde_yaml_ng::to_string(&json).map_or_else(|_| default.unwrap_or(Value::None), Value::text))
            }
            "local_md5" => {
                use md5::{Digest, Md5};
                let text = display(&args.single(name, "value")?);
                Ok(Value::text(hexadecimal(&Md5::digest(text.as_bytes()))))
            }
            "doc" => {
                let block = args.positional.last().map(display).unwrap_or_default();
                let docs = &self.environment.context().docs;
                docs.get(&block).map(|t| Value::text(t.as_str())).ok_or_else(|| {
                    let fault = Fault::new("template/doc", format!("there is no docs block `{block}`"));
                    match nearest(&block, docs.keys().map(String::as_str)) {
                        Some(near) => fault.help(format!("there is `{near}`")),
                        None => fault,
                    }
                })
            }
            "load_result" => {
                let key = display(&args.single(name, "name")?);
                Ok(self.state.borrow().results.get(&key).cloned().unwrap_or(Value::None))
            }
            "store_result" => {
                let [key, response, table] = args.bind_required::<1, 3>(name, ["name", "response", "agate_table"])?;
                self.store(&display(&key.unwrap_or(Value::None)), response.unwrap_or(Value::None), table.unwrap_or(Value::None))
            }
            "store_raw_result" => {
                let [key, message, ..] = args.bind_required::<1, 5>(name, ["name", "message", "code", "rows_affected", "agate_table"])?;
                self.store(&display(&key.unwrap_or(Value::None)), message.unwrap_or(Value::None), Value::None)
            }
            "diff_of_two_dicts" => {
                let [a, b] = args.bind_required::<2, 2>(name, ["dict_a", "dict_b"])?;
                diff_of_two_dicts(&a.unwrap_or(Value::None), &b.unwrap_or(Value::None))
            }
            "set_strict" | "zip_strict" => {
                let strict = if name == "set_strict" { "set" } else { "zip" };
                machine.call(&Value::Function(strict), args)
            }
            "render" => {
                let text = display(&args.single(name, "value")?);
                self.render_inside(machine, &text)
            }
            "write" => Ok(Value::text("")),
            "try_or_compiler_error" => {
                let mut given = std::mem::take(&mut args.positional).into_iter();
                let (Some(message), Some(function)) = (given.next(), given.next()) else {
                    return Err(Fault::kind("`try_or_compiler_error` takes a message and a function, and what the function takes"));
                };
                args.positional = given.collect();
                machine.call(&function, args).map_err(|fault| match fault {
                    Fault::Error(_) => Fault::new("template/raised", display(&message)),
                    left @ Fault::Return { .. } => left,
                })
            }
            "api.Column" => super::adapter::column("create", &mut args).map(|c| c.unwrap_or(Value::None)),
            other => Err(Fault::kind(format!("`{other}` cannot be called"))),
        }
    }

    fn module_attribute(&self, machine: &mut Machine<'_>, module: &'static str, name: &str) -> Eval<Option<Value>> {
        Ok(match (module, name) {
            ("context", _) => {
                let found = machine.variable(name)?;
                Some(found).filter(|v| !v.is_undefined())
            }
            ("builtins", "ref" | "source" | "config" | "var" | "env_var") => FUNCTIONS
                .iter()
                .find(|n| **n == name)
                .map(|n| Value::Function(n))
                .or_else(|| MODULES.iter().find(|n| **n == name).map(|n| Value::Module(n))),
            ("api", "Relation") => Some(Value::Module("api.Relation")),
            ("api", "Column") => Some(Value::Module("api.Column")),
            ("adapter", "Relation") => Some(Value::Module("api.Relation")),
            ("adapter", "Column") => Some(Value::Module("api.Column")),
            ("config", "model") => self.context_value("model"),
            _ => python::attribute(module, name),
        })
    }

    fn call_module(&self, machine: &mut Machine<'_>, module: &'static str, name: &str, args: &mut Args) -> Eval<Option<Value>> {
        match (module, name) {
            ("config", _) => self.config_method(machine, name, args),
            ("var", "has_var") => {
                let name = display(&args.single("has_var", "name")?);
                Ok(Some(Value::Bool(self.var(&name).is_some())))
            }
            ("exceptions", _) => self.exception(machine, name, args),
            ("adapter", _) => self.adapter(machine, name, args),
            ("api.Relation", "create") => Relation::create(args).map(|r| Some(Value::object(r))),
            ("api.Column", _) => super::adapter::column(name, args),
            ("context", "get") => {
                let [key, default] = args.bind_required::<1, 2>("get", ["key", "default"])?;
                let found = machine.variable(&display(&key.unwrap_or(Value::None)))?;
                Ok(Some(if found.is_undefined() { default.unwrap_or(Value::None) } else { found }))
            }
            _ => python::call(machine, module, name, args),
        }
    }

    fn filter(&self, _: &mut Machine<'_>, name: &str, value: &Value, _: &mut Args) -> Option<Eval<Value>> {
        Some(match name {
            "as_text" => Ok(Value::text(display(value))),
            "as_native" => Ok(match value {
                Value::Str(s) => super::literal::native(s).unwrap_or_else(|| value.clone()),
                other => other.clone(),
            }),
            "as_bool" => match display(value).to_lowercase().as_str() {
                "true" => Ok(Value::Bool(true)),
                "false" => Ok(Value::Bool(false)),
                other => Err(Fault::kind(format!("`as_bool`: `{other}` is neither true nor false"))),
            },
            "as_number" => {
                let text = display(value);
                let number = text.trim().parse::<i64>().map(Value::Int).or_else(|_| text.trim().parse::<f64>().map(Value::Float));
                number.map_err(|_| Fault::kind(format!("`as_number`: `{text}` is not a number")))
            }
            _ => return None,
        })
    }

    fn macro_called(&self, def: &MacroDef) {
        let mut state = self.state.borrow_mut();
        let name = format!("{}.{}", def.package, def.name);
        if !state.collected.macros.contains(&name) {
            state.collected.macros.insert(name);
        }
    }
}

impl Session<'_> {
    /// Strings of YAML files see variables, not macros (dbt documentation, "dbt_project.yml context").
    fn pass_allows_macros(&self) -> bool {
        !matches!(self.pass, Pass::Yaml { .. })
    }

    /// A text rendered within this evaluation, as hooks are.
    fn render_inside(&self, machine: &mut Machine<'_>, text: &str) -> Eval<Value> {
        if !text.contains("{{") && !text.contains("{%") && !text.contains("{#") {
            return Ok(Value::text(text));
        }
        let file = crate::diagnostic::SourceFile::new(machine.file().path.clone(), text);
        let parsed = jinja::parse(&file, 0..text.len(), &self.node.package.as_str().into()).map_err(Fault::Error)?;
        let mut inner = Machine::new(self, &file, Limits::default(), false);
        inner.run(&parsed.body)?;
        Ok(Value::text(inner.finish().0))
    }

    /// A macro, or what a unit test says that calling it gives.
    fn substituted(&self, def: &Arc<MacroDef>) -> Value {
        let Some(substitutes) = &self.node.substitutes else { return file_macro(def) };
        let full = format!("{}.{}", def.package, def.name);
        match substitutes.macros.get(&*def.name).or_else(|| substitutes.macros.get(&full)) {
            Some(value) => Value::object(Answer(value.clone())),
            None => file_macro(def),
        }
    }

    pub fn store(&self, name: &str, response: Value, table: Value) -> Eval<Value> {
        let data = table.downcast::<super::results::Table>().map_or_else(|| Value::list(vec![]), |t| t.data());
        let result = [("response", response), ("data", data), ("table", table)];
        let result = result.into_iter().map(|(k, v)| (Key::text(k), v)).collect();
        self.state.borrow_mut().results.insert(name.to_owned(), Value::dict(result));
        Ok(Value::text(""))
    }

    pub fn target_part(&self, name: &str) -> Identifier {
        let target = &self.environment.context().target;
        Identifier::parse(target.get(name).and_then(Json::as_str).unwrap_or_default())
    }
}

fn diff_of_two_dicts(a: &Value, b: &Value) -> Eval<Value> {
    let (Value::Dict(a), Value::Dict(b)) = (a, b) else { return Err(Fault::kind("`diff_of_two_dicts` needs two dicts")) };
    let folded = |v: &Value| display(v).to_lowercase();
    let items = |v: &Value| v.iterate().unwrap_or_default();
    let (a, b) = (a.borrow(), b.borrow());
    let diff = a.iter().filter_map(|(key, values)| {
        let present = b.iter().find(|(k, _)| folded(k.value()) == folded(key.value())).map(|(_, v)| items(v)).unwrap_or_default();
        let present: IndexSet<String> = present.iter().map(folded).collect();
        let left: Vec<Value> = items(values).into_iter().filter(|v| !present.contains(&folded(v))).collect();
        (!left.is_empty()).then(|| (key.clone(), Value::list(left)))
    });
    Ok(Value::dict(diff.collect()))
}

/// `dbt_utils.surrogate_key`: the macros of a package.
struct Namespace {
    package: String,
    macros: Arc<Package>,
}

impl Object for Namespace {
    fn type_name(&self) -> &'static str {
        "package"
    }

    fn get_attr(&self, _: &mut Machine<'_>, name: &str) -> Eval<Option<Value>> {
        match self.macros.get(name) {
            Some(def) => Ok(Some(file_macro(def))),
            None => {
                let fault = Fault::new("template/undefined", format!("the package `{}` has no macro `{name}`", self.package));
                Err(match nearest(name, self.macros.keys().map(|k| &**k)) {
                    Some(near) => fault.help(format!("there is `{near}`")),
                    None => fault,
                })
            }
        }
    }

    fn get_item(&self, _: &mut Machine<'_>, key: &Value) -> Eval<Option<Value>> {
        Ok(key.as_str().and_then(|name| self.macros.get(name)).map(file_macro))
    }

    fn call_method(&self, _: &mut Machine<'_>, name: &str, args: &mut Args) -> Eval<Option<Value>> {
        if name != "get" || self.macros.contains_key("get") {
            return Ok(None);
        }
        let [key, default] = args.bind_required::<1, 2>("get", ["key", "default"])?;
        let found = key.as_ref().and_then(Value::as_str).and_then(|name| self.macros.get(name)).map(file_macro);
        Ok(Some(found.or(default).unwrap_or(Value::None)))
    }

    fn display(&self) -> String {
        format!("<package {}>", self.package)
    }
}

/// A hook as `run_hooks` reads it.
fn hook(value: &Json) -> Json {
    let text = match value {
        Json::Object(_) => return value.clone(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    match serde_json::from_str::<Json>(&text) {
        Ok(Json::Object(map)) if map.contains_key("sql") => Json::Object(map),
        _ => serde_json::json!({"sql": text, "transaction": true}),
    }
}

/// In the place of a macro: every call gives the same value (dbt documentation, "Overrides" of unit tests).
struct Answer(Json);

impl Object for Answer {
    fn type_name(&self) -> &'static str {
        "macro"
    }

    fn call(&self, _: &mut Machine<'_>, _: Args) -> Eval<Value> {
        Ok(Value::from_json(&self.0))
    }

    fn is_callable(&self) -> bool {
        true
    }

    fn display(&self) -> String {
        String::new()
    }
}

/// Results of a session, taken when the machine is done.
pub(super) fn into_state(session: Session<'_>) -> State {
    session.state.into_inner()
}
