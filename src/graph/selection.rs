//! `--select` and `--exclude` to a set of nodes, as dbt's documentation "Node selector syntax" has it.
//!
//! Spaces unite, commas intersect, `+` and `@` walk the graph; what one criterion means is [`super::selector`]'s. Tests come
//! along with the nodes they look at ("Indirect selection"). What criteria that compare with an earlier run (`state:`,
//! `result:`, `source_status:`) mean is in [`Facts`], which the caller brings.

use indexmap::{IndexMap, IndexSet};
use petgraph::Direction;

use super::{Definition, Facts, Graph, Node, selector::Criterion};
use crate::{
    diagnostic::{Diagnostic, Diagnostics, Place, SourceFile},
    names::{NodeId, ResourceType, nearest},
};

/// What the command line said. Empty lists: everything.
#[derive(Clone, Debug, Default)]
pub struct SelectionArgs {
    pub select: Vec<String>,
    pub exclude: Vec<String>,
    /// Only these, when there are any.
    pub resource_types: Vec<ResourceType>,
    pub exclude_resource_types: Vec<ResourceType>,
    pub indirect: IndirectSelection,
    /// What `package:this` means.
    pub root_package: Option<String>,
    /// What is known of an earlier run.
    pub facts: Facts,
    /// Selectors of `selectors.yml`.
    pub named: Named,
}

/// Selectors by name, and the one that this invocation takes in the place of `--select`.
#[derive(Clone, Debug, Default)]
pub struct Named {
    pub definitions: IndexMap<String, Definition>,
    pub chosen: Option<String>,
}

/// Which tests come along with the nodes they look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IndirectSelection {
    /// Those that touch any selected node.
    #[default]
    Eager,
    /// Those that touch selected nodes only.
    Cautious,
    /// As cautious, but ancestors of selected nodes count as selected.
    Buildable,
    /// None.
    Empty,
}

impl IndirectSelection {
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "eager" => Some(Self::Eager),
            "cautious" => Some(Self::Cautious),
            "buildable" => Some(Self::Buildable),
            "empty" => Some(Self::Empty),
            _ => None,
        }
    }
}

/// The chosen nodes in topological order, and a warning for each criterion that chose nothing.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    pub nodes: IndexSet<NodeId>,
    pub warnings: Diagnostics,
}

/// Errors are criteria that cannot be read: an unknown method, a bad pattern.
pub fn select(graph: &Graph, args: &SelectionArgs) -> Result<Selection, Diagnostics> {
    let mut faults = Diagnostics::default();
    let select = parse("--select", &args.select, &mut faults);
    let exclude = parse("--exclude", &args.exclude, &mut faults);
    if faults.has_errors() {
        return Err(faults);
    }
    let pass = Pass { graph, args };
    let definition = args.named.chosen.as_ref().and_then(|name| args.named.definitions.get(name));
    let mut chosen = match select.is_empty() {
        true if definition.is_some() => match definition {
            Some(definition) => pass.defined(definition, 0, &mut faults)?,
            None => Chosen { direct: IndexSet::new(), indirect: IndexSet::new() },
        },
        true => Chosen { direct: (0..graph.len()).collect(), indirect: IndexSet::new() },
        false => pass.union(&select, &mut faults)?,
    };
    if !exclude.is_empty() {
        let without = pass.union(&exclude, &mut faults)?;
        chosen.direct.retain(|i| !without.direct.contains(i));
        chosen.indirect.retain(|i| !without.direct.contains(i));
    }
    pass.settle(&mut chosen);
    let wanted = |node: &Node| {
        (args.resource_types.is_empty() || args.resource_types.contains(&node.kind)) && !args.exclude_resource_types.contains(&node.kind)
    };
    let nodes = graph
        .order()
        .iter()
        .filter(|id| graph.index_of(id).is_some_and(|i| chosen.direct.contains(&i) && wanted(&graph.nodes[i])))
        .cloned()
        .collect();
    Ok(Selection { nodes, warnings: faults })
}

/// One blank-separated word: criteria of which all must hold.
struct Word {
    place: Place,
    criteria: Vec<(Criterion, Place)>,
}

fn parse(flag: &str, texts: &[String], faults: &mut Diagnostics) -> Vec<Word> {
    let mut words = vec![];
    for text in texts {
        let file = SourceFile::new(flag, text.as_str());
        let at = |part: &str| {
            let start = part.as_ptr() as usize - text.as_ptr() as usize;
            let file_part = start..start + part.len();
            Place::new(&file, file_part)
        };
        for word in text.split_whitespace() {
            let mut criteria = vec![];
            for part in word.split(',').filter(|p| !p.is_empty()) {
                match Criterion::parse(part) {
                    Ok(criterion) => criteria.push((criterion, at(part))),
                    Err(fault) => faults.push((*fault).at(at(part), "in this criterion")),
                }
            }
            words.push(Word { place: at(word), criteria });
        }
    }
    words
}

/// Positions of nodes; `indirect` are tests that touch the selection but may not come along by themselves.
struct Chosen {
    direct: IndexSet<usize>,
    indirect: IndexSet<usize>,
}

struct Pass<'a> {
    graph: &'a Graph,
    args: &'a SelectionArgs,
}

impl Pass<'_> {
    fn union(&self, words: &[Word], warnings: &mut Diagnostics) -> Result<Chosen, Diagnostics> {
        let mut all = Chosen { direct: IndexSet::new(), indirect: IndexSet::new() };
        for word in words {
            let mut parts = vec![];
            for (criterion, place) in &word.criteria {
                let found = self.criterion(criterion, warnings)?;
                if found.direct.is_empty() {
                    warnings.push(self.nothing(criterion, place));
                }
                parts.push(found);
            }
            let mut parts = parts.into_iter();
            let Some(mut chosen) = parts.next() else { continue };
            let mut silent = chosen.direct.is_empty();
            for part in parts {
                silent |= part.direct.is_empty();
                chosen.indirect.extend(part.indirect.iter().copied());
                // a test that only one side takes by itself still touches both
                chosen.indirect.retain(|i| part.direct.contains(i) || part.indirect.contains(i));
                chosen.direct.retain(|i| part.direct.contains(i));
            }
            if chosen.direct.is_empty() && !silent {
                let message = format!("`{}` selects nothing: no node meets all of its criteria", word.place.text());
                warnings.push(Diagnostic::warning("graph/empty-selection", message).at(word.place.clone(), "matches nothing"));
            }
            all.direct.extend(chosen.direct);
            all.indirect.extend(chosen.indirect);
        }
        Ok(all)
    }

    /// A selector of `selectors.yml`; `depth` ends selectors that name each other.
    fn defined(&self, definition: &Definition, depth: usize, warnings: &mut Diagnostics) -> Result<Chosen, Diagnostics> {
        const DEEPEST: usize = 50;
        if depth > DEEPEST {
            return Err(Diagnostic::error("graph/bad-selector", "the selectors of `selectors.yml` name each other").into());
        }
        match definition {
            Definition::Criterion(text) => {
                if let Some(name) = text.strip_prefix("selector:") {
                    let Some(inner) = self.args.named.definitions.get(name) else { return Err(self.unknown_selector(name).into()) };
                    return self.defined(inner, depth + 1, warnings);
                }
                let mut faults = Diagnostics::default();
                let words = parse("selectors.yml", std::slice::from_ref(text), &mut faults);
                if faults.has_errors() { Err(faults) } else { self.union(&words, warnings) }
            }
            Definition::Union(members) => {
                let mut all = Chosen { direct: IndexSet::new(), indirect: IndexSet::new() };
                for member in members {
                    let found = self.defined(member, depth + 1, warnings)?;
                    all.direct.extend(found.direct);
                    all.indirect.extend(found.indirect);
                }
                Ok(all)
            }
            Definition::Intersection(members) => {
                let mut all: Option<Chosen> = None;
                for member in members {
                    let found = self.defined(member, depth + 1, warnings)?;
                    match &mut all {
                        None => all = Some(found),
                        Some(all) => all.direct.retain(|i| found.direct.contains(i)),
                    }
                }
                Ok(all.unwrap_or(Chosen { direct: IndexSet::new(), indirect: IndexSet::new() }))
            }
            Definition::Difference(of, without) => {
                let mut all = self.defined(of, depth + 1, warnings)?;
                for member in without {
                    let found = self.defined(member, depth + 1, warnings)?;
                    all.direct.retain(|i| !found.direct.contains(i));
                    all.indirect.retain(|i| !found.direct.contains(i));
                }
                Ok(all)
            }
        }
    }

    fn unknown_selector(&self, name: &str) -> Diagnostic {
        let fault = Diagnostic::error("graph/bad-selector", format!("there is no selector `{name}` in selectors.yml"));
        match nearest(name, self.args.named.definitions.keys().map(String::as_str)) {
            Some(near) => fault.help(format!("did you mean `{near}`?")),
            None => fault,
        }
    }

    fn criterion(&self, criterion: &Criterion, warnings: &mut Diagnostics) -> Result<Chosen, Diagnostics> {
        let root = self.args.root_package.as_deref();
        let nodes = self.graph.nodes().enumerate();
        let found: IndexSet<usize> = if let Some(name) = criterion.selector() {
            let Some(definition) = self.args.named.definitions.get(name) else { return Err(self.unknown_selector(name).into()) };
            self.defined(definition, 0, warnings)?.direct
        } else {
            criterion.provided(&self.args.facts).map_err(|d| Diagnostics::from(*d))?;
            nodes.filter(|(_, n)| criterion.matches(n, root, &self.args.facts)).map(|(i, _)| i).collect()
        };
        let reach = |from: &IndexSet<usize>, depth, way| self.graph.reach_all(from.iter().copied(), depth, way);
        let mut walked = found.clone();
        if criterion.childrens_parents {
            let below = reach(&found, None, Direction::Outgoing);
            walked.extend(reach(&below, None, Direction::Incoming));
        }
        if let Some(depth) = criterion.parents {
            walked.extend(reach(&found, depth, Direction::Incoming));
        }
        if let Some(depth) = criterion.children {
            walked.extend(reach(&found, depth, Direction::Outgoing));
        }
        Ok(self.with_tests(walked))
    }

    /// dbt's `expand_selection`.
    fn with_tests(&self, selected: IndexSet<usize>) -> Chosen {
        let mut chosen = Chosen { direct: selected.clone(), indirect: IndexSet::new() };
        if self.args.indirect == IndirectSelection::Empty {
            return chosen;
        }
        let enough = self.counted(&selected);
        for test in self.graph.reach_all(selected.iter().copied(), Some(1), Direction::Outgoing) {
            if !matches!(self.graph.nodes[test].kind, ResourceType::Test | ResourceType::UnitTest) {
                continue;
            }
            if self.args.indirect == IndirectSelection::Eager || self.parents_within(test, &enough) {
                chosen.direct.insert(test);
            } else {
                chosen.indirect.insert(test);
            }
        }
        chosen
    }

    /// Tests over nodes that only several criteria together selected.
    fn settle(&self, chosen: &mut Chosen) {
        if matches!(self.args.indirect, IndirectSelection::Cautious | IndirectSelection::Buildable) {
            let enough = self.counted(&chosen.direct);
            let more: Vec<usize> = chosen.indirect.iter().copied().filter(|t| self.parents_within(*t, &enough)).collect();
            chosen.direct.extend(more);
        }
    }

    /// What counts as selected when a test's parents are looked at.
    fn counted(&self, selected: &IndexSet<usize>) -> IndexSet<usize> {
        let mut enough = selected.clone();
        if self.args.indirect == IndirectSelection::Buildable {
            enough.extend(self.graph.reach_all(selected.iter().copied(), None, Direction::Incoming));
            enough.extend(self.graph.nodes().enumerate().filter(|(_, n)| n.kind == ResourceType::Source).map(|(i, _)| i));
        }
        enough
    }

    fn parents_within(&self, test: usize, set: &IndexSet<usize>) -> bool {
        let node = petgraph::graph::NodeIndex::new(test);
        self.graph.edges.neighbors_directed(node, Direction::Incoming).all(|p| set.contains(&p.index()))
    }

    fn nothing(&self, criterion: &Criterion, place: &Place) -> Diagnostic {
        let warning = Diagnostic::warning("graph/empty-selection", format!("`{}` selects nothing", place.text()))
            .at(place.clone(), "matches no node");
        // a bare name that is a source table needs its method; dbt keeps the two apart
        if let Some(name) = criterion.bare_name() {
            let sources = self.graph.nodes().filter_map(|n| n.source.as_ref());
            if let Some(s) =
                sources.into_iter().find(|s| s.table_name.eq_ignore_ascii_case(name) || s.source_name.eq_ignore_ascii_case(name))
            {
                let table = if s.table_name.eq_ignore_ascii_case(name) { format!(".{}", s.table_name) } else { String::new() };
                return warning.help(format!("a source is selected by `source:{}{table}`", s.source_name));
            }
        }
        match nearest(criterion.value(), criterion.known(self.graph).iter().map(String::as_str)) {
            Some(near) => warning.help(format!("did you mean `{near}`?")),
            None => warning,
        }
    }
}
