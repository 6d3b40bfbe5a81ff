//! Nodes that exist in YAML only: source tables, generic tests, exposures, unit tests.

use std::{path::Path, sync::Arc};

use indexmap::{IndexMap, IndexSet};
use serde_json::{Value as Json, json};

use super::{
    config::ConfigItem,
    data_test::{self, Tested},
    draft::{Draft, Drafting, blank_node, declared_tests},
    package::fqn,
    properties::{ExposureProperties, SourceProperties, TableProperties, TestProperties, UnitTestProperties},
    reference::{Call, State},
    relation::relation,
    yaml::has_template,
};
use crate::{
    diagnostic::{Diagnostic, Diagnostics, Place, SourceFile},
    graph::{AdapterConfig, Column, GenericTest, Node, RefCall, SourceCall, SourceInfo, TestInfo},
    names::{NodeId, ResourceType, nearest},
    template::{NodeContext, TestCall},
};

/// Tests whose macros name nothing but their model and `to`; collected without evaluating anything.
const PLAIN_TESTS: [&str; 4] = ["not_null", "unique", "accepted_values", "relationships"];

impl Drafting<'_> {
    /// One table of a source. `path` is the YAML file's, relative to its resource folder.
    pub fn source(&self, package: usize, path: &Path, original: &Path, source: &SourceProperties, table: &TableProperties) -> Draft {
        let mut faults = Diagnostics::default();
        let package_name = self.packages[package].name();
        let fqn = fqn(package_name, path, &[&source.name, &table.name]);
        let mut merged = self.folder_config(package, ResourceType::Source, &fqn);
        merged.add_all(&self.rendered(&source.config, &mut faults));
        merged.add_all(&self.rendered(&table.config, &mut faults));
        let config = merged.resolve(ResourceType::Source, &mut faults);
        let state = if config.enabled { State::Enabled } else { State::Disabled };
        let id = NodeId::of(ResourceType::Source, package_name, &format!("{}.{}", source.name, table.name));
        let mut node = blank_node(id, ResourceType::Source, table.name.clone(), package_name.to_owned(), fqn, &source.file, config);
        let target = self.environment.context();
        let target_database = target.target.get("database").and_then(Json::as_str).unwrap_or_default();
        let identifier = table.identifier.as_deref().unwrap_or(&table.name);
        node.relation = Some(relation(
            source.database.as_deref().unwrap_or(target_database),
            source.schema.as_deref().unwrap_or(&source.name),
            identifier,
            table.quoting.over(source.quoting).over(self.quoting()),
        ));
        node.alias = identifier.to_owned();
        node.path = original.to_owned();
        node.original_file_path = original.to_owned();
        node.patch = Some(table.place.clone());
        node.description = self.text(&table.description, &mut faults);
        node.columns = self.columns(&table.columns, &mut faults);
        let source_description = self.text(&source.description, &mut faults);
        node.extra = source.extra.clone();
        node.extra.extend(table.extra.clone());
        node.extra.insert("source_description".into(), source_description.into());
        if let Some(adapter) = &table.adapter
            && let Some((input, place)) = &adapter.input
        {
            match Call::parse(input) {
                Some(call) => call.note(place.clone(), &mut node),
                None => faults.push(
                    Diagnostic::error("project/bad-input", format!("`{input}` is not a reference"))
                        .at(place.clone(), "the input of this adapter")
                        .help("write `input: ref('model')` or `input: source('source', 'table')`"),
                ),
            }
        }
        node.source = Some(SourceInfo {
            source_name: source.name.clone(),
            table_name: table.name.clone(),
            loader: table.loader.clone().unwrap_or_else(|| source.loader.clone()),
            loaded_at_field: table.loaded_at_field.clone().or_else(|| source.loaded_at_field.clone()),
            freshness: freshness(source.freshness.as_ref(), table.freshness.as_ref()),
            adapter: table.adapter.as_ref().map(|a| AdapterConfig {
                type_: a.type_.clone(),
                settings: a.settings.clone(),
                input: None,
                place: a.place.clone(),
            }),
        });
        Draft {
            node: Box::new(node),
            state,
            body: None,
            tests: declared_tests(&[], &table.columns).into_iter().chain(declared_tests(&table.tests, &[])).collect(),
            faults,
            varies: false,
        }
    }

    /// A generic test on `target`, a drafted node with that YAML entry. `path` as for [`source`](Self::source).
    pub fn generic_test(&self, package: usize, path: &Path, target: &Draft, column: Option<&Column>, test: &TestProperties) -> Draft {
        let mut faults = Diagnostics::default();
        let package_name = self.packages[package].name().to_owned();
        let tested = &target.node;
        let (model, target_name) = match &tested.source {
            Some(s) => (format!("source('{}', '{}')", s.source_name, s.table_name), format!("{}_{}", s.source_name, s.table_name)),
            None => (format!("ref('{}')", tested.name), tested.name.clone()),
        };
        let mut arguments = test.arguments.clone();
        if let Some(column) = column {
            let name = if column.quote == Some(true) { format!("\"{}\"", column.name) } else { column.name.clone() };
            arguments.insert("column_name".into(), name.into());
        }
        let (namespace, short_name) = test.name.rsplit_once('.').map_or((None, test.name.as_str()), |(p, n)| (Some(p), n));
        let names = data_test::names(&Tested {
            test: short_name,
            namespace,
            target: &target_name,
            model: &model,
            is_source: tested.source.is_some(),
            arguments: &arguments,
            custom_name: test.custom_name.as_deref(),
        });
        let fqn = fqn(&package_name, path, &[&names.full]);
        let mut merged = self.folder_config(package, ResourceType::Test, &fqn);
        if let Some(tags) = column.map(|c| &c.tags).filter(|t| !t.is_empty()) {
            merged.add("tags", json!(tags), test.place.clone());
        }
        let config: Vec<ConfigItem> = self.rendered(&test.config, &mut faults);
        merged.add_all(&config);
        let config = merged.resolve(ResourceType::Test, &mut faults);
        let mut state = if config.enabled { State::Enabled } else { State::Disabled };
        let id = NodeId::of(ResourceType::Test, &package_name, &format!("{}.{}", names.full, names.hash));
        let mut node = blank_node(id, ResourceType::Test, names.full, package_name.clone(), fqn, &test.place.file, config);
        if node.config.alias.is_none() {
            node.alias = names.short.clone();
        }
        node.path = format!("{}.sql", names.short).into();
        node.patch = Some(test.place.clone());
        node.description = self.text(&test.description, &mut faults);
        let macro_name = match namespace {
            Some(package) => format!("{package}.test_{short_name}"),
            None => format!("test_{short_name}"),
        };
        node.raw_code = format!("{{{{ {macro_name}(**_dbt_generic_test_kwargs) }}}}");

        let mut varies = false;
        if !self.environment.has_macro(&macro_name) {
            faults.push(self.unknown_test(&test.name, &test.place));
            state = State::Broken;
        } else if state == State::Enabled {
            varies = self.collect_test(&mut node, tested, &model, &arguments, test, &mut state, &mut faults);
        }
        arguments.insert("model".into(), format!("{{{{ get_where_subquery({model}) }}}}").into());
        node.test = Some(TestInfo {
            generic: Some(GenericTest { name: test.name.clone(), arguments }),
            attached_to: Some(tested.id.clone()),
            column: column.map(|c| c.name.clone()),
        });
        if state == State::Enabled {
            self.relate(&mut node, &mut faults, &mut state);
        }
        Draft { node: Box::new(node), state, body: None, tests: vec![], faults, varies }
    }

    #[allow(clippy::too_many_arguments)] // one step of `generic_test`, split off for its length
    fn collect_test(
        &self,
        node: &mut Node,
        tested: &Node,
        model: &str,
        arguments: &IndexMap<String, Json>,
        test: &TestProperties,
        state: &mut State,
        faults: &mut Diagnostics,
    ) -> bool {
        let own: RefOrSource = match &tested.source {
            Some(s) => Err(SourceCall { source: s.source_name.clone(), table: s.table_name.clone(), place: test.place.clone() }),
            None => Ok(RefCall { package: None, name: tested.name.clone(), version: None, place: test.place.clone() }),
        };
        match own {
            Ok(call) => node.refs.push(call),
            Err(call) => node.sources.push(call),
        }
        let root = self.packages[0].name();
        let templated = |v: &Json| v.as_str().is_some_and(has_template);
        let to = arguments.get("to").and_then(Json::as_str);
        let plain = PLAIN_TESTS.contains(&test.name.as_str())
            && !self.environment.has_macro(&format!("{root}.test_{}", test.name))
            && !self.environment.has_macro(&format!("{root}.default__test_{}", test.name))
            && (test.name != "relationships" || to.and_then(Call::parse).is_some())
            && !arguments.iter().any(|(k, v)| k != "to" && templated(v));
        if plain {
            if let Some(call) = to.and_then(Call::parse) {
                call.note(test.place.clone(), node);
            }
            return false;
        }
        let context = test_context(node);
        let call = TestCall { name: test.name.clone(), model: model.to_owned(), arguments: arguments.clone(), place: test.place.clone() };
        match self.environment.collect_test(&call, &context) {
            Ok(collected) => {
                node.refs.extend(collected.refs);
                node.sources.extend(collected.sources);
                // `config()` in a test's macro is the default, YAML is stronger
                for (key, (value, place)) in collected.config {
                    if !node.config.all.contains_key(&key) || key == "materialized" {
                        let mut merged = super::config::Merged::default();
                        for (k, v) in &node.config.all {
                            merged.add(k, v.clone(), test.place.clone());
                        }
                        merged.add(&key, value, place);
                        node.config = merged.resolve(ResourceType::Test, faults);
                    }
                }
                faults.0.extend(collected.warnings);
                collected.varies
            }
            Err(more) => {
                faults.extend(more);
                *state = State::Broken;
                false
            }
        }
    }

    fn unknown_test(&self, name: &str, place: &Place) -> Diagnostic {
        let fault = Diagnostic::error("project/unknown-test", format!("there is no data test `{name}`")).at(place.clone(), "declared here");
        let macros = self.environment.macro_names();
        let known: IndexSet<&str> = macros.iter().filter_map(|m| m.rsplit('.').next()?.strip_prefix("test_")).collect();
        match nearest(name.rsplit('.').next().unwrap_or(name), known.iter().copied()) {
            Some(near) => fault.help(format!("did you mean `{near}`?")),
            None => fault.help(format!("a data test is a block `{{% test {name}(model) %}}` in tests/generic or macros")),
        }
    }

    pub fn exposure(&self, package: usize, path: &Path, exposure: &ExposureProperties) -> Draft {
        let mut faults = Diagnostics::default();
        let fqn = fqn(self.packages[package].name(), path, &[&exposure.name]);
        let mut node = self.entry_node(
            package,
            ResourceType::Exposure,
            &exposure.name,
            &exposure.name,
            fqn,
            &exposure.file,
            &exposure.config,
            &mut faults,
        );
        node.patch = Some(exposure.place.clone());
        node.path = path.to_owned();
        node.description = self.text(&exposure.description, &mut faults);
        node.extra = exposure.extra.clone();
        for (text, place) in &exposure.depends_on {
            match Call::parse(text) {
                Some(call) => call.note(place.clone(), &mut node),
                None => faults.push(
                    Diagnostic::error("project/bad-reference", format!("`{text}` is not a reference"))
                        .at(place.clone(), "this exposure depends on it")
                        .help("write `ref('model')` or `source('source', 'table')`"),
                ),
            }
        }
        let state = if node.config.enabled { State::Enabled } else { State::Disabled };
        Draft { node: Box::new(node), state, body: None, tests: vec![], faults, varies: false }
    }

    pub fn unit_test(&self, package: usize, path: &Path, test: &UnitTestProperties) -> Draft {
        let mut faults = Diagnostics::default();
        let fqn = fqn(self.packages[package].name(), path, &[&test.model, &test.name]);
        let rest = format!("{}.{}", test.model, test.name);
        let mut node = self.entry_node(package, ResourceType::UnitTest, &test.name, &rest, fqn, &test.file, &test.config, &mut faults);
        node.patch = Some(test.place.clone());
        node.path = path.to_owned();
        node.description = self.text(&test.description, &mut faults);
        node.extra = test.extra.clone();
        node.extra.insert("model".into(), test.model.as_str().into());
        node.refs.push(RefCall { package: None, name: test.model.clone(), version: None, place: test.model_place.clone() });
        let state = if node.config.enabled { State::Enabled } else { State::Disabled };
        Draft { node: Box::new(node), state, body: None, tests: vec![], faults, varies: false }
    }

    #[allow(clippy::too_many_arguments)] // the common half of the two above
    fn entry_node(
        &self,
        package: usize,
        kind: ResourceType,
        name: &str,
        rest: &str,
        fqn: Vec<String>,
        file: &Arc<SourceFile>,
        config: &[ConfigItem],
        faults: &mut Diagnostics,
    ) -> Node {
        let package_name = self.packages[package].name();
        let mut merged = self.folder_config(package, kind, &fqn);
        merged.add_all(config);
        let config = merged.resolve(kind, faults);
        blank_node(NodeId::of(kind, package_name, rest), kind, name.to_owned(), package_name.to_owned(), fqn, file, config)
    }
}

type RefOrSource = Result<RefCall, SourceCall>;

/// What templates of a test see of it.
pub fn test_context(node: &Node) -> NodeContext {
    let mut context = NodeContext::new(node.kind, node.package.as_str(), node.name.as_str());
    context.unique_id = node.id.to_string();
    context.config = Arc::new(node.config.all.clone());
    context.this = node.relation.clone();
    context
}

/// The table's keys over the source's; an explicit null switches it off (dbt documentation, "freshness").
fn freshness(source: Option<&Json>, table: Option<&Json>) -> Option<Json> {
    match (source, table) {
        (_, Some(Json::Null)) => None,
        (Some(Json::Object(source)), Some(Json::Object(table))) => {
            let mut all = source.clone();
            all.extend(table.clone());
            Some(Json::Object(all))
        }
        (source, table) => table.or(source).cloned().filter(|f| !f.is_null()),
    }
}
