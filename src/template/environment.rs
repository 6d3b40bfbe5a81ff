//! The parsed macros of all packages and the passes over a text.

use std::{collections::HashMap, ops::Range, sync::Arc};

use indexmap::IndexMap;
use regex::Regex;
use serde_json::Value as Json;

use super::{
    Collected, MacroFile, NoResolver, NoWarehouse, NodeContext, ProjectContext, Rendered, Resolver, Returned, SourceMap, Warehouse,
    jinja::{
        self, Args, Fault, Key, Limits, Machine, Parsed, Value,
        ast::{ExprKind, MacroDef, Name, Span, Stmt},
        display, file_macro,
    },
    macros::{self, BUILTIN_PACKAGE, Package},
    session::{Pass, Session, State, into_state},
};
use crate::{
    diagnostic::{Diagnostic, Diagnostics, Place, SourceFile},
    names::{ResourceType, nearest},
};

/// Immutable; share it by reference or `Arc`.
pub struct Environment {
    context: ProjectContext,
    packages: HashMap<String, Arc<Package>>,
    /// Texts that are one call, as generic tests' arguments may be: `ref('a')`.
    call_pattern: Regex,
    /// Around strings of YAML files, which belong to no node.
    no_node: NodeContext,
}

const BUILTIN_MATERIALIZATIONS: [&str; 8] = ["table", "view", "incremental", "ephemeral", "seed", "snapshot", "test", "materialized_view"];

/// A macro called from outside a template (`run-operation`, `generate_schema_name`).
#[derive(Clone, Debug, Default)]
pub struct MacroCall {
    /// `name` or `package.name`.
    pub name: String,
    pub args: Vec<Json>,
    pub kwargs: IndexMap<String, Json>,
}

/// A generic test as YAML declares it: calls the macro `test_<name>`.
#[derive(Clone, Debug)]
pub struct TestCall {
    /// `not_null`, or `package.name`.
    pub name: String,
    /// The tested relation as an expression: `ref('orders')`, `source('raw', 'orders')`.
    pub model: String,
    /// Texts with `{{ }}` and texts that are one call of `ref`, `source`, `var`, `env_var` are evaluated; `column_name` never is.
    pub arguments: IndexMap<String, Json>,
    /// The entry in the YAML file, for messages.
    pub place: Place,
}

/// A text to evaluate, and where its faults are shown when it is no part of a file.
struct Source {
    file: Arc<SourceFile>,
    range: Range<usize>,
    shown_at: Option<Place>,
}

impl Source {
    /// A text that stands in a file word by word is evaluated there, so that its places are exact.
    fn of_text(text: &str, place: &Place) -> Self {
        let written = place.file.text.get(place.range.clone()).and_then(|t| t.find(text)).filter(|_| !text.is_empty());
        match written {
            Some(at) => {
                let start = place.range.start + at;
                Self { file: place.file.clone(), range: start..start + text.len(), shown_at: None }
            }
            None => Self::detached(text, place),
        }
    }

    fn detached(text: &str, place: &Place) -> Self {
        Self { file: SourceFile::new(place.file.path.clone(), text), range: 0..text.len(), shown_at: Some(place.clone()) }
    }

    fn moved(&self, place: &mut Place) {
        if let Some(shown) = self.shown_at.as_ref().filter(|_| Arc::ptr_eq(&place.file, &self.file)) {
            *place = shown.clone();
        }
    }

    fn diagnostic(&self, mut d: Diagnostic) -> Diagnostic {
        if let Some(place) = &mut d.place {
            self.moved(place);
        }
        d.related.iter_mut().for_each(|(place, _)| self.moved(place));
        d
    }

    fn fault(&self, fault: Fault) -> Diagnostics {
        match fault {
            Fault::Error(d) => self.diagnostic(*d).into(),
            Fault::Return { .. } => Diagnostic::error("template/type", "`return` works in macros only").into(),
        }
    }

    fn collected(&self, state: State) -> Collected {
        let mut collected = state.collected;
        if self.shown_at.is_some() {
            collected.refs.iter_mut().for_each(|r| self.moved(&mut r.place));
            collected.sources.iter_mut().for_each(|s| self.moved(&mut s.place));
            collected.functions.iter_mut().for_each(|f| self.moved(&mut f.place));
            collected.config.values_mut().for_each(|(_, place)| self.moved(place));
            collected.warnings = collected.warnings.drain(..).map(|d| self.diagnostic(d)).collect();
        }
        collected
    }
}

/// Whom an evaluation may ask.
#[derive(Clone, Copy)]
struct Surroundings<'a> {
    pass: Pass,
    resolver: &'a dyn Resolver,
    warehouse: &'a dyn Warehouse,
}

const COLLECT: Surroundings<'static> = Surroundings { pass: Pass::Collect, resolver: &NoResolver, warehouse: &NoWarehouse };

impl Environment {
    /// Parses every macro; all faults of all files are reported together.
    pub fn new(context: ProjectContext, macros: &[MacroFile]) -> Result<Self, Diagnostics> {
        let no_node = NodeContext::new(ResourceType::Operation, context.project_name.as_str(), "");
        let call_pattern = Regex::new(r"^\s*(ref|source|var|env_var|doc)\s*\(.*\)\s*$").expect("the pattern is a constant");
        Ok(Self { packages: macros::load(macros)?, context, call_pattern, no_node })
    }

    pub fn context(&self) -> &ProjectContext {
        &self.context
    }

    pub(super) fn package(&self, name: &str) -> Option<&Arc<Package>> {
        self.packages.get(name)
    }

    /// What the text in `range` of `file` refers to.
    pub fn collect(&self, file: &Arc<SourceFile>, range: Range<usize>, node: &NodeContext) -> Result<Collected, Diagnostics> {
        self.collect_source(&Source { file: file.clone(), range, shown_at: None }, node, vec![])
    }

    /// The SQL of the text in `range` of `file`.
    pub fn render(
        &self,
        file: &Arc<SourceFile>,
        range: Range<usize>,
        node: &NodeContext,
        resolver: &dyn Resolver,
        warehouse: &dyn Warehouse,
    ) -> Result<Rendered, Diagnostics> {
        let source = Source { file: file.clone(), range, shown_at: None };
        self.render_source(&source, node, vec![], Surroundings { pass: Pass::Render, resolver, warehouse })
    }

    /// A text that is not a whole file's (a hook, `--inline`): as [`render`](Self::render); `place` is where it stands.
    pub fn render_text(
        &self,
        text: &str,
        place: &Place,
        node: &NodeContext,
        resolver: &dyn Resolver,
        warehouse: &dyn Warehouse,
    ) -> Result<Rendered, Diagnostics> {
        let surroundings = Surroundings { pass: Pass::Render, resolver, warehouse };
        self.render_source(&Source::of_text(text, place), node, vec![], surroundings)
    }

    /// What such a text refers to.
    pub fn collect_text(&self, text: &str, place: &Place, node: &NodeContext) -> Result<Collected, Diagnostics> {
        self.collect_source(&Source::of_text(text, place), node, vec![])
    }

    /// A string of a YAML file: `env_var`, `var`, `target`. A text that is one expression gives that expression's value.
    pub fn render_yaml_text(&self, text: &str, place: &Place) -> Result<Json, Diagnostics> {
        self.yaml_text(text, place, false)
    }

    /// As [`render_yaml_text`](Self::render_yaml_text) for profiles and settings of adapters: `DBT_ENV_SECRET_*` may be read.
    pub fn render_yaml_text_with_secrets(&self, text: &str, place: &Place) -> Result<Json, Diagnostics> {
        self.yaml_text(text, place, true)
    }

    fn yaml_text(&self, text: &str, place: &Place, secrets: bool) -> Result<Json, Diagnostics> {
        if !text.contains("{{") && !text.contains("{%") && !text.contains("{#") {
            return Ok(Json::String(text.to_owned()));
        }
        let source = Source::of_text(text, place);
        let surroundings = Surroundings { pass: Pass::Yaml { secrets }, ..COLLECT };
        let session = self.session(&self.no_node, surroundings);
        self.native(&source, &session).map(|v| v.to_json())
    }

    /// The value of a text that is one expression, else the text it prints.
    fn native(&self, source: &Source, session: &Session<'_>) -> Result<Value, Diagnostics> {
        let parsed = self.parse(source, session.node)?;
        let mut machine = Machine::new(session, &source.file, Limits::default(), false);
        let is_blank = |s: &&Stmt| !matches!(s, Stmt::Raw(span) if source.file.text[span.range()].trim().is_empty());
        let mut statements = parsed.body.iter().filter(is_blank);
        if let (Some(Stmt::Emit(e)), None) = (statements.next(), statements.next()) {
            return machine.expr(e).map_err(|f| source.fault(f));
        }
        machine.run(&parsed.body).map_err(|f| source.fault(f))?;
        Ok(Value::text(machine.finish().0))
    }

    pub fn collect_test(&self, test: &TestCall, node: &NodeContext) -> Result<Collected, Diagnostics> {
        let session = self.session(node, COLLECT);
        let (text, arguments) = self.test_text(test, &session)?;
        let before = into_state(session);
        let mut collected = self.collect_source(&Source::detached(&text, &test.place), node, arguments)?;
        collected.refs.extend(before.collected.refs);
        collected.sources.extend(before.collected.sources);
        collected.varies |= before.collected.varies;
        Ok(collected)
    }

    pub fn render_test(
        &self,
        test: &TestCall,
        node: &NodeContext,
        resolver: &dyn Resolver,
        warehouse: &dyn Warehouse,
    ) -> Result<Rendered, Diagnostics> {
        let surroundings = Surroundings { pass: Pass::Render, resolver, warehouse };
        let session = self.session(node, surroundings);
        let (text, arguments) = self.test_text(test, &session)?;
        let before = into_state(session);
        let mut rendered = self.render_source(&Source::detached(&text, &test.place), node, arguments, surroundings)?;
        for name in before.ephemerals {
            if !rendered.ephemerals.contains(&name) {
                rendered.ephemerals.push(name);
            }
        }
        Ok(rendered)
    }

    /// The call of the test's macro as a template, and the variables that it names.
    fn test_text(&self, test: &TestCall, session: &Session<'_>) -> Result<(String, Vec<(Name, Value)>), Diagnostics> {
        let (prefix, name) = test.name.split_once('.').map_or(("", test.name.as_str()), |(package, name)| (package, name));
        let macro_name = format!("test_{name}");
        let known = match prefix {
            "" => session.find_macro(&macro_name, None).is_some(),
            package => self.package(package).is_some_and(|macros| macros.contains_key(macro_name.as_str())),
        };
        if !known {
            let mut d = Diagnostic::error("template/unknown-test", format!("no generic test is named `{}`", test.name))
                .at(test.place.clone(), "declared here");
            let names: Vec<&str> = self.packages.values().flat_map(|p| p.keys()).filter_map(|n| n.strip_prefix("test_")).collect();
            if let Some(near) = nearest(name, names) {
                d = d.help(format!("there is `{near}`"));
            }
            return Err(d.into());
        }
        let mut arguments = jinja::Dict::new();
        for (key, value) in &test.arguments {
            arguments.insert(Key::text(key.as_str()), self.test_argument(key, value, test, session)?);
        }
        let dot = if prefix.is_empty() { "" } else { "." };
        let text = format!("{{{{ {prefix}{dot}{macro_name}(model=get_where_subquery({}), **_arguments) }}}}", test.model);
        Ok((text, vec![("_arguments".into(), Value::dict(arguments))]))
    }

    fn test_argument(&self, key: &str, value: &Json, test: &TestCall, session: &Session<'_>) -> Result<Value, Diagnostics> {
        match value {
            Json::String(text) if key != "column_name" && text.contains("{{") => self.native(&Source::of_text(text, &test.place), session),
            Json::String(text) if key != "column_name" && self.call_pattern.is_match(text) => {
                self.native(&Source::detached(&format!("{{{{ {text} }}}}"), &test.place), session)
            }
            Json::Array(items) => {
                let items = items.iter().map(|v| self.test_argument(key, v, test, session)).collect::<Result<_, _>>()?;
                Ok(Value::list(items))
            }
            other => Ok(Value::from_json(other)),
        }
    }

    /// `place` is where the call comes from, for messages; `None` for the command line.
    pub fn call_macro(
        &self,
        call: &MacroCall,
        place: Option<&Place>,
        node: &NodeContext,
        resolver: &dyn Resolver,
        warehouse: &dyn Warehouse,
    ) -> Result<Returned, Diagnostics> {
        let session = self.session(node, Surroundings { pass: Pass::Render, resolver, warehouse });
        let Some(def) = self.find(&call.name, &session) else {
            let mut d =
                Diagnostic::error("template/unknown-macro", format!("no macro is named `{}`", call.name)).at(place.cloned(), "called here");
            let names: Vec<&str> = self.packages.values().flat_map(|p| p.keys().map(|n| &**n)).collect();
            if let Some(near) = nearest(&call.name, names) {
                d = d.help(format!("there is `{near}`"));
            }
            return Err(d.into());
        };
        let source = match place {
            Some(place) => Source { file: place.file.clone(), range: place.range.clone(), shown_at: None },
            None => Source { file: def.file.clone(), range: def.name_span.range(), shown_at: None },
        };
        let args = Args {
            positional: call.args.iter().map(Value::from_json).collect(),
            keyword: call.kwargs.iter().map(|(k, v)| (Name::from(k.as_str()), Value::from_json(v))).collect(),
            span: Span::new(source.range.start, source.range.end),
            spans: vec![],
        };
        let mut machine = Machine::new(&session, &source.file, Limits::default(), false);
        let value = machine.call_located(&file_macro(&def), args).map_err(|f| source.fault(f))?;
        let (text, json) = (display(&value), value.to_json());
        drop((value, machine));
        let state = into_state(session);
        let ephemerals = state.ephemerals.iter().cloned().collect();
        let responses = state.results.iter().map(|(name, result)| {
            let response = result.get("response").map_or(Json::Null, |r| r.to_json());
            (name.clone(), response)
        });
        let responses = responses.collect();
        let collected = source.collected(state);
        Ok(Returned {
            text,
            value: json,
            responses,
            macros_used: collected.macros.into_iter().collect(),
            ephemerals,
            logs: collected.logs,
            varies: collected.varies,
            warnings: collected.warnings,
        })
    }

    /// `package.name` of every macro, built-in ones as `dbt.name`, in no particular order.
    pub fn macro_names(&self) -> Vec<String> {
        self.packages.iter().flat_map(|(package, macros)| macros.keys().map(move |name| format!("{package}.{name}"))).collect()
    }

    /// By `name` (root project, then built-in, then any package) or `package.name`.
    pub fn has_macro(&self, name: &str) -> bool {
        self.find_anywhere(name).is_some()
    }

    /// The macro of a materialization that projects or packages define: the engine's own variant first, of the root project
    /// before packages. The built-in ones have none.
    pub fn materialization(&self, name: &str, package: &str) -> Option<String> {
        let prefixes: &[&str] = match self.context.engine.as_str() {
            "snowflake" => &["snowflake", "default"],
            _ => &["datafusion", "snowflake", "default"],
        };
        let mut packages = vec![self.context.project_name.as_str(), package];
        let mut others: Vec<&str> = self.packages.keys().map(String::as_str).filter(|p| *p != BUILTIN_PACKAGE).collect();
        others.sort_unstable();
        // a package does not change what models of others are made by, but may bring new materializations
        packages.extend(others.into_iter().filter(|_| !BUILTIN_MATERIALIZATIONS.contains(&name)));
        packages.into_iter().find_map(|package| {
            let macros = self.package(package)?;
            let found =
                prefixes.iter().map(|prefix| format!("materialization_{name}_{prefix}")).find(|m| macros.contains_key(m.as_str()))?;
            Some(format!("{package}.{found}"))
        })
    }

    /// Where a macro's name stands.
    pub fn macro_place(&self, name: &str) -> Option<Place> {
        self.find_anywhere(name).map(|def| Place::new(&def.file, def.name_span.range()))
    }

    fn find_anywhere(&self, name: &str) -> Option<Arc<MacroDef>> {
        self.find(name, &self.session(&self.no_node, COLLECT))
    }

    fn find(&self, name: &str, session: &Session<'_>) -> Option<Arc<MacroDef>> {
        if let Some((package, name)) = name.split_once('.') {
            return self.package(package)?.get(name).cloned();
        }
        session.find_macro(name, None).or_else(|| {
            let mut packages: Vec<_> = self.packages.iter().filter(|(p, _)| *p != BUILTIN_PACKAGE).collect();
            packages.sort_by_key(|(package, _)| *package);
            packages.into_iter().find_map(|(_, macros)| macros.get(name).cloned())
        })
    }

    fn session<'a>(&'a self, node: &'a NodeContext, s: Surroundings<'a>) -> Session<'a> {
        Session { environment: self, node, pass: s.pass, resolver: s.resolver, warehouse: s.warehouse, state: Default::default() }
    }

    fn parse(&self, source: &Source, node: &NodeContext) -> Result<Parsed, Diagnostics> {
        jinja::parse(&source.file, source.range.clone(), &Name::from(node.package.as_str())).map_err(|d| source.diagnostic(*d).into())
    }

    fn collect_source(&self, source: &Source, node: &NodeContext, variables: Vec<(Name, Value)>) -> Result<Collected, Diagnostics> {
        let parsed = self.parse(source, node)?;
        let session = self.session(node, COLLECT);
        if !only_text(&parsed.body) {
            let mut machine = Machine::new(&session, &source.file, Limits::default(), false);
            variables.into_iter().for_each(|(name, value)| machine.scope().set(&name, value));
            machine.run(&parsed.body).map_err(|f| source.fault(f))?;
        }
        Ok(source.collected(into_state(session)))
    }

    fn render_source(
        &self,
        source: &Source,
        node: &NodeContext,
        variables: Vec<(Name, Value)>,
        surroundings: Surroundings<'_>,
    ) -> Result<Rendered, Diagnostics> {
        let parsed = self.parse(source, node)?;
        let session = self.session(node, surroundings);
        let mut machine = Machine::new(&session, &source.file, Limits::default(), true);
        variables.into_iter().for_each(|(name, value)| machine.scope().set(&name, value));
        machine.run(&parsed.body).map_err(|f| source.fault(f))?;
        let (sql, mut segments, mut calls) = machine.finish();
        if let Some(shown) = &source.shown_at {
            let range = shown.range.start as u32..shown.range.end as u32;
            for segment in segments.iter_mut().filter(|s| Arc::ptr_eq(&s.file, &source.file)) {
                (segment.file, segment.range, segment.raw) = (shown.file.clone(), range.clone(), false);
            }
            for call in calls.iter_mut().filter(|c| Arc::ptr_eq(&c.file, &source.file)) {
                (call.file, call.range) = (shown.file.clone(), range.clone());
            }
        }
        let state = into_state(session);
        let ephemerals = state.ephemerals.iter().cloned().collect();
        let collected = source.collected(state);
        let header = collected.config.get("sql_header").map(|(v, _)| v).or_else(|| node.config.get("sql_header"));
        let header = header.and_then(Json::as_str).filter(|h| !h.trim().is_empty()).map(str::to_owned);
        Ok(Rendered {
            header,
            sql,
            map: SourceMap { segments, calls: calls.into(), insertions: vec![] },
            macros_used: collected.macros.into_iter().collect(),
            ephemerals,
            env_vars: collected.env_vars,
            logs: collected.logs,
            warnings: collected.warnings,
        })
    }
}

fn only_text(body: &[Stmt]) -> bool {
    body.iter().all(|s| match s {
        Stmt::Raw(_) => true,
        Stmt::Emit(e) => matches!(e.kind, ExprKind::Const(_)),
        _ => false,
    })
}
