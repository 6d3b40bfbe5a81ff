//! Files to drafts: what has changed since the last time is parsed and drafted, the rest comes from the [`cache`](super::cache).
//!
//! Which is which never shows in the result: drafts come in the order of their files either way.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use rayon::prelude::*;
use serde_json::Value as Json;

use super::{
    cache::{self, Asked, Cache, Known, Renewed, Segment, State},
    draft::{Blueprint, Body, Draft, Drafting, Patches, blueprints},
    fixture,
    load::render,
    package::{Package, PackageFiles, ResourceFile, fqn},
    profile::Profile,
    properties::{self, MacroProperties, NodeProperties, Properties},
    reference,
    relation::Namer,
    unused, version, yaml,
};
use crate::{
    diagnostic::{Diagnostic, Diagnostics, Place, SourceFile},
    names::ResourceType,
    template::{Environment, EnvironmentLookup},
};

/// What one file gives.
pub struct Yield {
    pub file: Arc<SourceFile>,
    /// Each with the tests that YAML declares on it.
    pub drafts: Vec<(Draft, Vec<Draft>)>,
    /// Exposures and unit tests.
    pub rest: Vec<Draft>,
    pub groups: Vec<(String, Json)>,
    pub semantic: Vec<(&'static str, String, Json)>,
    pub macros: Vec<MacroProperties>,
}

/// What a YAML file says beside its nodes.
pub(super) struct Leftover {
    pub(super) package: usize,
    pub(super) path: PathBuf,
    pub(super) original_path: PathBuf,
    pub(super) groups: Vec<(String, Json)>,
    pub(super) semantic: Vec<(&'static str, String, Json)>,
    pub(super) macros: Vec<MacroProperties>,
}

pub(super) struct Harvest {
    /// In the order that the graph keeps among equals: sources, seeds, models, snapshots, analyses, tests, exposures.
    pub(super) drafts: Vec<Draft>,
    pub(super) leftovers: Vec<Leftover>,
    /// The cache as it should be from now on, if that is another one.
    pub(super) renewed: Option<Renewed>,
}

/// What one YAML file says, and where it lies.
pub(super) struct ReadProperties<'a> {
    pub(super) package: usize,
    pub(super) file: &'a ResourceFile,
    pub(super) found: Properties,
}

/// The cache of this load, and what decides whether it holds.
pub(super) struct Remembered<'a> {
    pub(super) cache: &'a Cache,
    pub(super) program: &'a str,
    pub(super) asked: &'a Asked,
    pub(super) env: &'a EnvironmentLookup,
}

pub(super) struct Field<'a> {
    pub(super) environment: &'a Environment,
    pub(super) packages: &'a [Package],
    pub(super) profile: &'a Profile,
    pub(super) files: &'a [PackageFiles],
    pub(super) remembered: Option<Remembered<'a>>,
}

/// A file with its package, in the order of drafting: files that are nodes, then YAML.
type Listed<'a> = (usize, &'a ResourceFile);

impl<'a> Field<'a> {
    pub(super) fn harvest(&self, faults: &mut Diagnostics) -> Harvest {
        let resources = self.files.iter().enumerate().flat_map(|(p, f)| f.resources.iter().map(move |r| (p, r)));
        let properties = self.files.iter().enumerate().flat_map(|(p, f)| f.properties.iter().map(move |r| (p, r)));
        let listed: Vec<Listed<'a>> = resources.chain(properties).collect();
        let first_yaml = self.files.iter().map(|f| f.resources.len()).sum::<usize>();
        let at: HashMap<&Path, usize> = listed.iter().enumerate().map(|(n, (_, f))| (f.file.path(), n)).collect();
        let Some(memory) = &self.remembered else {
            let dirty = vec![true; listed.len()];
            let mut fresh = self.fresh(&listed, first_yaml, &dirty, vec![], faults);
            fresh.unused(&[], faults);
            return assemble(&listed, first_yaml, fresh.yields.into_iter().flatten().collect(), &at, None);
        };
        let present: Vec<&ResourceFile> = listed.iter().map(|(_, f)| *f).collect();
        let key = cache::key(memory.program, self.packages, self.files, self.environment.context(), self.profile);
        let known = cache::known(self.packages, self.files);
        let before = faults.0.len();
        let (mut dirty, mut clean, mut parsed) =
            self.divide(memory.cache, memory.cache.clean(key, memory.env, &present), &listed, first_yaml, &at, faults);
        let kept = memory.cache.read(&clean, &known).unwrap_or_else(|| {
            // not what was written: as if there were no cache
            faults.0.truncate(before);
            clean.clear();
            parsed.clear();
            dirty = vec![true; listed.len()];
            vec![]
        });
        let mut fresh = self.fresh(&listed, first_yaml, &dirty, parsed, faults);
        let kept_drafts: Vec<&Draft> = kept.iter().flat_map(|y| &y.drafts).map(|(d, _)| d).collect();
        fresh.unused(&kept_drafts, faults);
        let renewed = fresh.renewed(memory, key, &present, &known, &clean, &at, &faults.0[before..]);
        let all = kept.into_iter().chain(fresh.yields.into_iter().flatten()).collect();
        assemble(&listed, first_yaml, all, &at, renewed)
    }

    /// Which files are drafted anew. A segment that a changed file has come to describe, or that describes it, is drawn in.
    fn divide<'c>(
        &self,
        cache: &'c Cache,
        mut clean: Vec<&'c Segment>,
        listed: &[Listed<'a>],
        first_yaml: usize,
        at: &HashMap<&Path, usize>,
        faults: &mut Diagnostics,
    ) -> (Vec<bool>, Vec<&'c Segment>, Vec<ReadProperties<'a>>) {
        let mut dirty = vec![true; listed.len()];
        let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
        for (number, segment) in clean.iter().enumerate() {
            cache.files_of(segment).filter_map(|p| at.get(p)).for_each(|n| dirty[*n] = false);
            segment.names.iter().for_each(|n| by_name.entry(n.as_str()).or_default().push(number));
        }
        let mut gone: HashSet<usize> = HashSet::new();
        let mut parsed: Vec<ReadProperties<'a>> = vec![];
        let mut news: Vec<usize> = (0..listed.len()).filter(|n| dirty[*n]).collect();
        while !news.is_empty() {
            let yaml: Vec<Listed<'a>> = news.iter().filter(|n| **n >= first_yaml).map(|n| listed[*n]).collect();
            let read = read_properties(&yaml, self.environment, faults);
            // an entry with versions names files in more ways than can be told from here
            let all = read.iter().any(|r| r.found.nodes.iter().any(|n| n.extra.contains_key("versions")));
            let mut names: HashSet<String> = read.iter().flat_map(|r| r.found.nodes.iter().map(|n| n.name.clone())).collect();
            for (package, file) in news.iter().filter(|n| **n < first_yaml).map(|n| listed[*n]) {
                names.extend(blueprints(package, "", file, &mut Diagnostics::default()).into_iter().map(|b| b.name));
            }
            parsed.extend(read);
            let drawn: Vec<usize> = match all {
                true => (0..clean.len()).collect(),
                false => names.iter().filter_map(|n| by_name.get(n.as_str())).flatten().copied().collect(),
            };
            news.clear();
            for number in drawn.into_iter().filter(|n| gone.insert(*n)) {
                for n in cache.files_of(clean[number]).filter_map(|p| at.get(p)) {
                    dirty[*n] = true;
                    news.push(*n);
                }
            }
        }
        let mut number = 0;
        clean.retain(|_| {
            number += 1;
            !gone.contains(&(number - 1))
        });
        (dirty, clean, parsed)
    }

    /// Drafts of the dirty files. `parsed`: YAML that was read already.
    fn fresh(
        &self,
        listed: &[Listed<'a>],
        first_yaml: usize,
        dirty: &[bool],
        parsed: Vec<ReadProperties<'a>>,
        faults: &mut Diagnostics,
    ) -> Fresh<'a> {
        let mut by_path: HashMap<&Path, ReadProperties<'a>> = parsed.into_iter().map(|r| (r.file.file.path(), r)).collect();
        let wanted: Vec<usize> = (0..listed.len()).filter(|n| dirty[*n]).collect();
        let missing: Vec<Listed<'a>> = wanted
            .iter()
            .map(|n| (*n, listed[*n]))
            .filter(|(n, l)| *n >= first_yaml && !by_path.contains_key(l.1.file.path()))
            .map(|(_, l)| l)
            .collect();
        for read in read_properties(&missing, self.environment, faults) {
            by_path.insert(read.file.file.path(), read);
        }
        // in the order of the files, whichever was parsed when
        let yaml: Vec<(usize, ReadProperties<'a>)> =
            wanted.iter().filter_map(|n| Some((*n, by_path.remove(listed[*n].1.file.path()).filter(|_| *n >= first_yaml)?))).collect();
        let (yaml_at, properties): (Vec<usize>, Vec<ReadProperties<'a>>) = yaml.into_iter().unzip();
        let mut yields: Vec<Option<Yield>> = dirty.iter().zip(listed).map(|(dirty, (_, f))| dirty.then(|| blank(&f.file))).collect();
        let context = self.environment.context();
        let varied = {
            let drafting = Drafting {
                environment: self.environment,
                packages: self.packages,
                namer: Namer::new(self.environment, self.profile, self.packages[0].name()),
                patches: patches(&properties, faults),
                store_failures: context.flags.get("STORE_FAILURES") == Some(&Json::Bool(true)),
            };
            let (mut plans, mut owners) = (vec![], vec![]);
            for n in wanted.iter().filter(|n| **n < first_yaml) {
                let (package, file) = listed[*n];
                plans.extend(blueprints(package, self.packages[package].name(), file, faults));
                owners.resize(plans.len(), *n);
            }
            for (n, read) in yaml_at.iter().zip(&properties) {
                plans.extend(read.found.nodes.iter().filter_map(|node| yaml_snapshot(&drafting, read, node)));
                owners.resize(plans.len(), *n);
            }
            for read in &properties {
                for node in read.found.nodes.iter().filter(|n| n.extra.contains_key("versions")) {
                    version::assign(&mut plans, read.package, node, faults);
                }
            }
            let by_file: HashMap<&Path, &ReadProperties<'_>> = properties.iter().map(|r| (r.file.file.path(), r)).collect();
            let with_tests = |mut draft: Draft| {
                let declared = std::mem::take(&mut draft.tests);
                let tests = match draft.state {
                    reference::State::Disabled => vec![],
                    _ => declared
                        .iter()
                        .filter_map(|(column, test)| {
                            let read = by_file.get(test.place.file.path())?;
                            let mut made = drafting.generic_test(read.package, &read.file.path, &draft, column.as_ref(), test);
                            made.node.original_file_path = read.file.original_path.clone();
                            Some(made)
                        })
                        .collect(),
                };
                (draft, tests)
            };
            let drafted: Vec<(Draft, Vec<Draft>)> = plans.par_iter().map(|p| with_tests(drafting.draft(p))).collect();
            for (owner, draft) in owners.into_iter().zip(drafted) {
                if let Some(made) = yields[owner].as_mut() {
                    made.drafts.push(draft);
                }
            }
            let of_yaml: Vec<(Vec<(Draft, Vec<Draft>)>, Vec<Draft>)> =
                properties.par_iter().map(|read| self.declared(&drafting, read, &with_tests)).collect();
            for (n, (sources, rest)) in yaml_at.iter().zip(of_yaml) {
                if let Some(made) = yields[*n].as_mut() {
                    made.drafts.splice(0..0, sources);
                    made.rest = rest;
                }
            }
            drafting.namer.varied()
        };
        Fresh { properties, yaml_at, yields, varied }
    }

    /// Tables of sources; exposures and unit tests.
    fn declared(
        &self,
        drafting: &Drafting<'_>,
        read: &ReadProperties<'_>,
        with_tests: &dyn Fn(Draft) -> (Draft, Vec<Draft>),
    ) -> (Vec<(Draft, Vec<Draft>)>, Vec<Draft>) {
        let (path, original) = (&read.file.path, &read.file.original_path);
        let tables = read.found.sources.iter().flat_map(|s| s.tables.iter().map(move |t| (s, t)));
        let sources = tables.map(|(s, t)| with_tests(drafting.source(read.package, path, original, s, t))).collect();
        let exposures = read.found.exposures.iter().map(|e| drafting.exposure(read.package, path, e));
        let units = read.found.unit_tests.iter().map(|t| {
            let mut draft = drafting.unit_test(read.package, path, t);
            fixture::fill(&mut draft.node, &t.place, &self.files[read.package].fixtures, &mut draft.faults);
            draft
        });
        let rest = exposures.chain(units).map(|mut d| {
            d.node.original_file_path.clone_from(original);
            d
        });
        (sources, rest.collect())
    }
}

/// What was drafted in this load.
struct Fresh<'a> {
    properties: Vec<ReadProperties<'a>>,
    /// Their numbers among all files.
    yaml_at: Vec<usize>,
    yields: Vec<Option<Yield>>,
    /// Names of relations may be others the next time: nothing of this load is kept.
    varied: bool,
}

impl Fresh<'_> {
    fn unused(&mut self, kept: &[&Draft], faults: &mut Diagnostics) {
        if self.properties.iter().any(|p| !p.found.nodes.is_empty()) {
            let own = self.yields.iter().flatten().flat_map(|y| &y.drafts).map(|(d, _)| d);
            let all: Vec<&Draft> = kept.iter().copied().chain(own).collect();
            unused::entries(&self.properties, &all, faults);
        }
        for (n, read) in self.yaml_at.iter().zip(&mut self.properties) {
            if let Some(made) = self.yields[*n].as_mut() {
                made.groups = std::mem::take(&mut read.found.groups);
                made.semantic = std::mem::take(&mut read.found.semantic);
                made.macros = std::mem::take(&mut read.found.macros);
            }
        }
    }

    #[allow(clippy::too_many_arguments)] // one step of `harvest`, split off for its length
    fn renewed(
        &self,
        memory: &Remembered<'_>,
        key: [u8; 32],
        present: &[&ResourceFile],
        known: &Known,
        clean: &[&Segment],
        at: &HashMap<&Path, usize>,
        faults: &[Diagnostic],
    ) -> Option<Renewed> {
        if self.varied {
            return None;
        }
        // what was told of a file as a whole would not be told again if its nodes came from the cache
        let mut varying: HashSet<PathBuf> = HashSet::new();
        for fault in faults {
            varying.insert(fault.place.as_ref()?.file.path.clone());
            varying.extend(fault.related.iter().map(|(place, _)| place.file.path.clone()));
        }
        let made = || self.yields.iter().flatten();
        for found in made() {
            let own = found.drafts.iter().flat_map(|(d, tests)| std::iter::once(d).chain(tests)).chain(&found.rest);
            if own.clone().any(|d| d.varies) {
                varying.insert(found.file.path.clone());
            }
        }
        for read in &self.properties {
            let text = &read.file.file.text;
            if cache::varies(text) || cache::holds_secrets(text) {
                varying.insert(read.file.file.path.clone());
            }
        }
        let entries: HashMap<&Path, Vec<&str>> =
            self.properties.iter().map(|r| (r.file.file.path(), r.found.nodes.iter().map(|n| n.name.as_str()).collect())).collect();
        let groups = self.groups(at, &entries);
        let state = State { key, present, known, varying: &varying, asked: memory.asked, env: memory.env };
        memory.cache.renewed(&state, clean, &groups, &entries)
    }

    /// Files that describe each other: a node's file and its YAML entry's, entries of one name, a test and what it tests.
    fn groups(&self, at: &HashMap<&Path, usize>, entries: &HashMap<&Path, Vec<&str>>) -> Vec<Vec<&Yield>> {
        let mut leader: Vec<usize> = (0..self.yields.len()).collect();
        fn find(leader: &mut [usize], mut n: usize) -> usize {
            while leader[n] != n {
                leader[n] = leader[leader[n]];
                n = leader[n];
            }
            n
        }
        let mut join = |a: usize, b: usize| {
            let (a, b) = (find(&mut leader, a), find(&mut leader, b));
            leader[a.max(b)] = a.min(b);
        };
        let mut named: HashMap<&str, usize> = HashMap::new();
        for (n, made) in self.yields.iter().enumerate().filter_map(|(n, y)| Some((n, y.as_ref()?))) {
            let drafts = made.drafts.iter().flat_map(|(d, tests)| std::iter::once(d).chain(tests)).chain(&made.rest);
            for draft in drafts {
                let places = draft.node.patch.iter().map(|p| p.file.path()).chain([draft.node.file.path()]);
                places.filter_map(|p| at.get(p)).for_each(|other| join(n, *other));
            }
            let names = made.drafts.iter().map(|(d, _)| d.node.name.as_str());
            for name in names.chain(entries.get(made.file.path()).into_iter().flatten().copied()) {
                let first = *named.entry(name).or_insert(n);
                join(n, first);
            }
        }
        let mut groups: Vec<Vec<&Yield>> = vec![vec![]; self.yields.len()];
        for (n, made) in self.yields.iter().enumerate().filter_map(|(n, y)| Some((n, y.as_ref()?))) {
            groups[find(&mut leader, n)].push(made);
        }
        groups.retain(|g| !g.is_empty());
        groups
    }
}

fn blank(file: &Arc<SourceFile>) -> Yield {
    Yield { file: file.clone(), drafts: vec![], rest: vec![], groups: vec![], semantic: vec![], macros: vec![] }
}

/// All drafts in one order, wherever they come from.
fn assemble(listed: &[Listed<'_>], first_yaml: usize, yields: Vec<Yield>, at: &HashMap<&Path, usize>, renewed: Option<Renewed>) -> Harvest {
    let mut sorted: Vec<Option<Yield>> = listed.iter().map(|_| None).collect();
    for made in yields {
        if let Some(n) = at.get(made.file.path()) {
            sorted[*n] = Some(made);
        }
    }
    let (mut base, mut rest, mut leftovers) = (vec![], vec![], vec![]);
    let mut of_yaml = vec![];
    for ((package, file), made) in listed.iter().zip(&mut sorted).skip(first_yaml) {
        let Some(made) = made else { continue };
        for (draft, tests) in std::mem::take(&mut made.drafts) {
            let target = if draft.node.kind == ResourceType::Source { &mut base } else { &mut of_yaml };
            target.push((draft, tests));
        }
        rest.append(&mut made.rest);
        leftovers.push(Leftover {
            package: *package,
            path: file.path.clone(),
            original_path: file.original_path.clone(),
            groups: std::mem::take(&mut made.groups),
            semantic: std::mem::take(&mut made.semantic),
            macros: std::mem::take(&mut made.macros),
        });
    }
    base.extend(sorted.into_iter().take(first_yaml).flatten().flat_map(|y| y.drafts));
    base.extend(of_yaml);
    let rank = |kind| match kind {
        ResourceType::Source => 0,
        ResourceType::Seed => 1,
        ResourceType::Model => 2,
        ResourceType::Snapshot => 3,
        ResourceType::Analysis => 4,
        _ => 5,
    };
    base.sort_by_key(|(draft, _)| rank(draft.node.kind));
    let mut drafts = Vec::with_capacity(base.iter().map(|(_, t)| 1 + t.len()).sum::<usize>() + rest.len());
    let mut tests = vec![];
    for (draft, own) in base {
        drafts.push(draft);
        tests.extend(own);
    }
    drafts.extend(tests);
    drafts.extend(rest);
    Harvest { drafts, leftovers, renewed }
}

fn read_properties<'a>(files: &[Listed<'a>], environment: &Environment, faults: &mut Diagnostics) -> Vec<ReadProperties<'a>> {
    let read: Vec<(ReadProperties<'a>, Diagnostics)> = files
        .par_iter()
        .map(|&(package, file)| {
            let mut faults = Diagnostics::default();
            let found = match yaml::parse(&file.file) {
                Ok(mut yaml) => {
                    render(environment, &mut yaml, &file.file, properties::UNRENDERED, &mut faults);
                    yaml.each("adapter", &mut |adapter| {
                        adapter.render(&["input"], &mut |text, range| {
                            let rendered = environment.render_yaml_text_with_secrets(text, &Place::new(&file.file, range));
                            rendered.map_err(|more| faults.extend(more)).ok()
                        });
                    });
                    Properties::read(&file.file, &yaml, &mut faults)
                }
                Err(more) => {
                    faults.extend(more);
                    Properties::default()
                }
            };
            (ReadProperties { package, file, found }, faults)
        })
        .collect();
    read.into_iter()
        .map(|(properties, more)| {
            faults.extend(more);
            properties
        })
        .collect()
}

/// Entries by the node they describe; one node has one entry.
fn patches<'a>(properties: &'a [ReadProperties<'_>], faults: &mut Diagnostics) -> Patches<'a> {
    let mut patches: Patches<'a> = HashMap::new();
    for read in properties {
        for node in &read.found.nodes {
            let key = (read.package, node.kind, node.name.as_str());
            if let Some(first) = patches.get(&key) {
                faults.push(
                    Diagnostic::error("project/duplicate-entry", format!("two YAML entries describe the {} `{}`", node.kind, node.name))
                        .at(node.place.clone(), "the second one")
                        .related(first.place.clone(), "the first one")
                        .help("put them together"),
                );
            } else {
                patches.insert(key, node);
            }
        }
    }
    patches
}

/// A snapshot that only YAML defines: `relation: ref('orders')` (dbt documentation, "Add snapshots to your DAG").
fn yaml_snapshot(drafting: &Drafting<'_>, read: &ReadProperties<'_>, node: &NodeProperties) -> Option<Blueprint> {
    let (relation, place) = node.relation.as_ref()?;
    Some(Blueprint {
        package: read.package,
        kind: ResourceType::Snapshot,
        name: node.name.clone(),
        fqn: fqn(drafting.packages[read.package].name(), &read.file.path, &[&node.name]),
        path: read.file.path.clone(),
        original_path: read.file.original_path.clone(),
        file: read.file.file.clone(),
        body: Some(Body::Text(place.clone())),
        version: None,
        raw_code: format!("select * from {{{{ {relation} }}}}"),
    })
}
