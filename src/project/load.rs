//! The way from a folder to a [`Project`], step by step. Every step collects its faults; only what later steps cannot do
//! without (a name, a profile, macros that parse) ends the way early.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use chrono::{DateTime, Utc};
use indexmap::IndexMap;
use serde_json::{Map, Value as Json};

use super::{
    Project, Semantic, access,
    cache::{Asked, Cache, CacheOptions},
    files::Files,
    harvest::{Field, Harvest, Remembered},
    package::{Package, PackageFiles, read_package, read_project_file},
    profile::{Profile, ProfileSearch},
    project_file::{self, command_line_vars},
    reference::{Lookup, References, State, disabled},
    required_version, unused,
    yaml::{self, Yaml},
};
use crate::{
    diagnostic::{Diagnostic, Diagnostics, Place, SourceFile},
    graph::{Graph, Node},
    names::{NodeId, ResourceType},
    template::{Environment, EnvironmentLookup, MacroFile, ProjectContext, Rows, jinja::named_blocks},
};

/// What the command line and the process environment say. The only door through which either comes in.
#[derive(Clone)]
pub struct LoadOptions {
    pub files: Files,
    pub project_dir: PathBuf,
    /// `--profiles-dir` or `DBT_PROFILES_DIR`.
    pub profiles_dir: Option<PathBuf>,
    /// The user's home, for `~/.dbt`.
    pub home: Option<PathBuf>,
    pub profile: Option<String>,
    pub target: Option<String>,
    /// `--vars`: YAML text.
    pub vars: Option<String>,
    pub threads: Option<usize>,
    /// `--local`: run a Snowflake target on the local engine; `target.type` stays.
    pub local: bool,
    pub env: EnvironmentLookup,
    /// `flags.X` of templates, keys in upper case; over those of `dbt_project.yml`.
    pub flags: Map<String, Json>,
    pub invocation_id: String,
    pub run_started_at: DateTime<Utc>,
    /// `--empty`, `--sample`.
    pub rows: Rows,
    /// Where what was parsed is kept for the next time; `None`: nowhere.
    pub cache: Option<CacheOptions>,
}

impl LoadOptions {
    pub fn new(project_dir: impl Into<PathBuf>) -> Self {
        Self {
            files: Files::Disk,
            project_dir: project_dir.into(),
            profiles_dir: None,
            home: None,
            profile: None,
            target: None,
            vars: None,
            threads: None,
            local: false,
            env: Arc::new(|_| None),
            flags: Map::new(),
            invocation_id: String::new(),
            run_started_at: DateTime::UNIX_EPOCH,
            rows: Rows::All,
            cache: None,
        }
    }
}

/// Loads a project, or tells everything that is wrong with it, file by file.
pub fn load(options: &LoadOptions) -> Result<Project, Diagnostics> {
    match load_steps(options) {
        Ok(mut project) => {
            tidy(&mut project.warnings);
            Ok(project)
        }
        Err(mut faults) => {
            tidy(&mut faults);
            Err(faults)
        }
    }
}

/// In the order of files and lines; what several nodes inherit is told once.
fn tidy(faults: &mut Diagnostics) {
    let key = |d: &Diagnostic| d.place.as_ref().map(|p| (p.file.path().to_owned(), p.range.start));
    faults.0.sort_by_cached_key(key);
    faults.0.dedup_by(|b, a| a.code == b.code && a.message == b.message && key(a) == key(b));
}

fn load_steps(options: &LoadOptions) -> Result<Project, Diagnostics> {
    let mut faults = Diagnostics::default();
    let (asked, env) = (Asked::default(), options.env.clone());
    let options = &LoadOptions { env: asked.listen(&env), ..options.clone() };
    let cli_vars = match &options.vars {
        Some(text) => command_line_vars(text)?,
        None => Map::new(),
    };
    let early = early_environment(options, &cli_vars)?;
    let Some(packages) = packages(options, &early, &mut faults) else {
        // a profile that was named on the command line is looked for whatever the project says
        if options.profile.is_some() {
            let search = ProfileSearch {
                files: &options.files,
                project_dir: &options.project_dir,
                profiles_dir: options.profiles_dir.as_deref(),
                home: options.home.as_deref(),
                name: options.profile.as_deref(),
                named_at: None,
                target: options.target.as_deref(),
                threads: options.threads,
            };
            search.load(&|text, place| early.render_yaml_text_with_secrets(text, place), &mut faults);
        }
        return Err(faults);
    };
    // the command line, the environment, `flags:` of the root project: the first that says something
    let unchecked = |flags: &Map<String, Json>, key: &str| flags.get(key).and_then(Json::as_bool).map(|checked| !checked);
    if !unchecked(&options.flags, "VERSION_CHECK").or_else(|| unchecked(&packages[0].file.flags, "version_check")).unwrap_or_default() {
        for package in &packages {
            let ours = &early.context().dbt_version;
            required_version::check(&package.file.required_version, package.name(), ours, &mut faults);
        }
    }
    let profile = profile(options, &packages[0], &early, &mut faults);
    let cache = options.cache.as_ref().map(|place| Cache::open(place, &packages[0]));
    let files: Vec<PackageFiles> = packages.iter().map(|p| read_package(&options.files, p, cache.as_ref(), &mut faults)).collect();
    let (docs, doc_places) = docs(&files, &mut faults);
    let Some(profile) = profile else { return Err(faults) };

    let context = context(options, &packages, &profile, cli_vars, &docs);
    let macros: Vec<MacroFile> = files.iter().flat_map(|f| f.macros.iter().cloned()).collect();
    let environment = match Environment::new(context, &macros) {
        Ok(environment) => Arc::new(environment),
        Err(more) => {
            faults.extend(more);
            return Err(faults);
        }
    };
    let mut packages = packages;
    for package in &mut packages {
        let (mut yaml, file) = (package.yaml.clone(), package.file.file.clone());
        render(&environment, &mut yaml, &file, project_file::UNRENDERED, &mut faults);
        package.file.read_configs(&yaml, &mut faults);
    }
    let remembered = cache.as_ref().zip(options.cache.as_ref());
    let field = Field {
        environment: &environment,
        packages: &packages,
        profile: &profile,
        files: &files,
        remembered: remembered.map(|(cache, place)| Remembered { cache, program: &place.program, asked: &asked, env: &env }),
    };
    let mut harvest = field.harvest(&mut faults);
    let renewed = harvest.renewed.take();
    let project = finish(options, packages, profile, environment, (docs, doc_places), harvest, faults)?;
    // only what turned out to be sound is kept
    if let (Some(cache), Some(renewed)) = (&cache, renewed) {
        cache.write(&renewed);
    }
    Ok(project)
}

/// Knows variables of the command line and the environment only: enough for `dbt_project.yml` and `profiles.yml`.
fn early_environment(options: &LoadOptions, cli_vars: &Map<String, Json>) -> Result<Environment, Diagnostics> {
    let mut context = ProjectContext::new("");
    context.env = options.env.clone();
    context.cli_vars = cli_vars.clone();
    context.flags = options.flags.clone();
    context.invocation_id = options.invocation_id.clone();
    context.run_started_at = options.run_started_at;
    Environment::new(context, &[])
}

pub(super) fn render(environment: &Environment, yaml: &mut Yaml, file: &Arc<SourceFile>, skip: &[&str], faults: &mut Diagnostics) {
    if !yaml::has_template(&file.text) {
        return;
    }
    yaml.render(skip, &mut |text, range| match environment.render_yaml_text(text, &Place::new(file, range)) {
        Ok(json) => Some(json),
        Err(more) => {
            faults.extend(more);
            None
        }
    });
}

/// The root project first, then what is installed, by folder name.
fn packages(options: &LoadOptions, early: &Environment, faults: &mut Diagnostics) -> Option<Vec<Package>> {
    const LATER: [&str; 9] = ["models", "seeds", "snapshots", "sources", "data_tests", "tests", "analyses", "exposures", "unit_tests"];
    let skip: Vec<&str> = project_file::UNRENDERED.iter().copied().chain(LATER).collect();
    let mut render_early = |yaml: &mut Yaml, file: &Arc<SourceFile>, faults: &mut Diagnostics| render(early, yaml, file, &skip, faults);
    let root = read_project_file(&options.files, &options.project_dir, Path::new(""), &mut render_early, faults)?;
    let installed = options.project_dir.join(&root.file.folders.packages);
    let mut all = vec![root];
    for folder in options.files.folders(&installed) {
        if options.files.is_file(&folder.join("dbt_project.yml")) {
            let shown = folder.strip_prefix(&options.project_dir).unwrap_or(&folder).to_owned();
            all.extend(read_project_file(&options.files, &folder, &shown, &mut render_early, faults));
        }
    }
    Some(all)
}

fn profile(options: &LoadOptions, root: &Package, early: &Environment, faults: &mut Diagnostics) -> Option<Profile> {
    let named = root.file.profile.as_ref();
    let search = ProfileSearch {
        files: &options.files,
        project_dir: &options.project_dir,
        profiles_dir: options.profiles_dir.as_deref(),
        home: options.home.as_deref(),
        name: options.profile.as_deref().or(named.map(|(name, _)| name.as_str())),
        named_at: if options.profile.is_none() { named.map(|(_, place)| place.clone()) } else { None },
        target: options.target.as_deref(),
        threads: options.threads,
    };
    search.load(&|text, place| early.render_yaml_text_with_secrets(text, place), faults)
}

/// `{% docs name %}` blocks of all packages; the root project's win.
fn docs(files: &[PackageFiles], faults: &mut Diagnostics) -> (IndexMap<String, String>, HashMap<String, Place>) {
    let (mut docs, mut places) = (IndexMap::new(), HashMap::new());
    for file in files.iter().flat_map(|f| &f.docs) {
        match named_blocks(file, "docs") {
            Ok(blocks) => {
                for block in blocks {
                    places.entry(block.name.clone()).or_insert_with(|| Place::new(file, block.name_range.clone()));
                    docs.entry(block.name).or_insert_with(|| file.text.get(block.body).unwrap_or("").trim().to_owned());
                }
            }
            Err(fault) => faults.push(*fault),
        }
    }
    (docs, places)
}

fn context(
    options: &LoadOptions,
    packages: &[Package],
    profile: &Profile,
    cli_vars: Map<String, Json>,
    docs: &IndexMap<String, String>,
) -> ProjectContext {
    let root = &packages[0].file;
    let names: Vec<&str> = packages.iter().map(Package::name).collect();
    let (vars, mut package_vars) = root.split_vars(&names);
    for package in &packages[1..] {
        // a package's own variables hold below what the root project says for it
        let (own, _) = package.file.split_vars(&[]);
        let over = package_vars.shift_remove(package.name()).unwrap_or_default();
        let mut merged: Map<String, Json> = own.into_iter().filter(|(k, _)| !vars.contains_key(k)).collect();
        merged.extend(over);
        package_vars.insert(package.name().to_owned(), merged);
    }
    let mut context = ProjectContext::new(packages[0].name());
    context.target = profile.target();
    context.vars = vars;
    context.package_vars = package_vars;
    context.cli_vars = cli_vars;
    context.env = options.env.clone();
    context.invocation_id = options.invocation_id.clone();
    context.run_started_at = options.run_started_at;
    context.flags = root.flags.iter().map(|(k, v)| (k.to_uppercase(), v.clone())).collect();
    context.flags.extend(options.flags.clone());
    context.dispatch = root.dispatch.clone();
    context.engine = if options.local { "datafusion".into() } else { profile.type_.clone() };
    context.docs = docs.clone();
    context
}

/// Binds references, checks what only the whole can show, and builds the graph.
#[allow(clippy::too_many_arguments)] // the last step takes what all others made
fn finish(
    options: &LoadOptions,
    packages: Vec<Package>,
    profile: Profile,
    environment: Arc<Environment>,
    (docs, doc_places): (IndexMap<String, String>, HashMap<String, Place>),
    harvest: Harvest,
    mut faults: Diagnostics,
) -> Result<Project, Diagnostics> {
    let Harvest { mut drafts, leftovers, .. } = harvest;
    let mut references = References::new(packages[0].name());
    for draft in &drafts {
        let Some(first) = references.add(&draft.node, draft.state) else { continue };
        if let Some(source) = &draft.node.source {
            let message = format!("the source `{}` has two tables `{}`", source.source_name, source.table_name);
            faults.push(
                Diagnostic::error("project/duplicate-table", message)
                    .at(draft.node.declared_at(), "the second one")
                    .related(first.place.clone(), "the first one")
                    .help("tables of one name are alternatives when all but one have `config: {enabled: false}`"),
            );
        } else {
            faults.push(
                Diagnostic::error("graph/duplicate-name", format!("`{}` and `{}` have one name", first.id, draft.node.id))
                    .at(draft.node.declared_at(), "the second one")
                    .related(first.place.clone(), "the first one")
                    .help("`ref()` could not tell them apart; rename one of them"),
            );
        }
    }
    unused::configs(&packages[0], &drafts, &mut faults);
    let (mut nodes, mut disabled_nodes, mut bodies) = (Vec::with_capacity(drafts.len()), vec![], HashMap::new());
    for draft in &mut drafts {
        faults.extend(std::mem::take(&mut draft.faults));
    }
    // a model that is broken is left out of the graph with what hangs on it; its own faults say why
    for mut draft in drafts {
        match draft.state {
            State::Disabled => disabled_nodes.push(*draft.node),
            State::Broken => {}
            State::Enabled => {
                if bind(&mut draft.node, &references, &mut faults) {
                    if let Some(body) = draft.body {
                        bodies.insert(draft.node.id.clone(), body);
                    }
                    nodes.push(*draft.node);
                } else {
                    disabled_nodes.push(*draft.node);
                }
            }
        }
    }
    let rules = access::Rules {
        groups: leftovers.iter().flat_map(|r| &r.groups).map(|(name, _)| name.as_str()).collect(),
        restricted: packages.iter().filter(|p| p.file.restrict_access).map(Package::name).collect(),
    };
    access::check(&nodes, &references, &rules, &mut faults);
    let known: HashSet<NodeId> = nodes.iter().map(|n| n.id.clone()).collect();
    for node in &mut nodes {
        node.depends_on.retain(|id| known.contains(id));
    }
    let graph = match Graph::new(nodes) {
        Ok(graph) => graph,
        Err(more) => {
            faults.extend(more);
            return Err(faults);
        }
    };
    if faults.has_errors() {
        return Err(faults);
    }
    let (mut on_run_start, mut on_run_end) = (vec![], vec![]);
    for package in &packages {
        on_run_start.extend(package.file.on_run_start.iter().cloned());
        on_run_end.extend(package.file.on_run_end.iter().cloned());
    }
    let mut groups = IndexMap::new();
    let (mut macros, mut semantic) = (vec![], vec![]);
    for read in leftovers {
        groups.extend(read.groups);
        semantic.extend(read.semantic.into_iter().map(|(key, name, value)| Semantic {
            key,
            name,
            package: packages[read.package].name().to_owned(),
            path: read.path.clone(),
            original_path: read.original_path.clone(),
            value,
        }));
        macros.extend(read.macros);
    }
    Ok(Project {
        name: packages[0].name().to_owned(),
        root: options.project_dir.clone(),
        engine: environment.context().engine.clone(),
        files: options.files.clone(),
        profile,
        graph,
        environment,
        warnings: faults,
        on_run_start,
        on_run_end,
        packages,
        docs,
        doc_places,
        macros,
        groups,
        semantic,
        disabled: disabled_nodes,
        rows: options.rows.clone(),
        deferred: OnceLock::new(),
        references,
        bodies,
    })
}

/// Fills `depends_on`. `false`: the node is a test that looks at something disabled, and is disabled with it, as in dbt.
fn bind(node: &mut Node, references: &References, faults: &mut Diagnostics) -> bool {
    let mut found: Vec<NodeId> = vec![];
    let mut off = vec![];
    for call in &node.refs {
        match references.node(call.package.as_deref(), &call.name, call.version.as_deref(), &node.package) {
            Lookup::Found(named) => found.push(named.id.clone()),
            Lookup::Disabled(named) => off.push((named, call.place.clone())),
            Lookup::Broken => {}
            Lookup::Unknown => faults.push(references.unknown_ref(call)),
        }
    }
    for call in &node.functions {
        match references.function(call.package.as_deref(), &call.name, &node.package) {
            Lookup::Found(named) => found.push(named.id.clone()),
            Lookup::Disabled(named) => off.push((named, call.place.clone())),
            Lookup::Broken => {}
            Lookup::Unknown => {
                let (message, help) = references.unknown_function(&call.name);
                let fault = Diagnostic::error("graph/unknown-function", message).at(call.place.clone(), "called here");
                faults.push(Diagnostic { help, ..fault });
            }
        }
    }
    for call in &node.sources {
        match references.source(&call.source, &call.table, &node.package) {
            Lookup::Found(named) => found.push(named.id.clone()),
            Lookup::Disabled(named) => off.push((named, call.place.clone())),
            Lookup::Broken => {}
            Lookup::Unknown => faults.push(references.unknown_source(call)),
        }
    }
    let is_test = matches!(node.kind, ResourceType::Test | ResourceType::UnitTest | ResourceType::Exposure);
    for (named, place) in &off {
        if is_test {
            let message = format!("the {} `{}` needs `{}`, which is disabled", node.kind, node.name, named.id);
            faults.push(Diagnostic::warning("graph/disabled-ref", message).at(place.clone(), "so this is left out"));
        } else {
            faults.push(disabled(named, place.clone()));
        }
    }
    let mut seen = HashSet::new();
    found.retain(|id| seen.insert(id.clone()));
    if let Some(adapter) = node.source.as_mut().and_then(|s| s.adapter.as_mut()) {
        adapter.input = found.first().cloned();
    }
    node.depends_on = found;
    if node.kind == ResourceType::Test && node.test.is_none() {
        // a singular test belongs to a node when it looks at that one alone
        let attached_to = if let [only] = &node.depends_on[..] { Some(only.clone()) } else { None };
        node.test = Some(crate::graph::TestInfo { generic: None, attached_to, column: None });
    }
    off.is_empty() || !is_test
}
