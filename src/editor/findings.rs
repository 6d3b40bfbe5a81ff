//! Findings to the protocol's diagnostics, by file.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use tower_lsp_server::ls_types::{Diagnostic as Shown, DiagnosticRelatedInformation, DiagnosticSeverity, Location, NumberOrString, Uri};

use super::{lexer::is_word, position::span};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, Severity};

/// By absolute path. What has no place stands at the beginning of `dbt_project.yml`.
pub(super) fn by_file(findings: &Diagnostics, root: &Path) -> BTreeMap<PathBuf, Vec<Shown>> {
    let mut all: BTreeMap<PathBuf, Vec<Shown>> = BTreeMap::new();
    for finding in &findings.0 {
        let path = finding.place.as_ref().map_or_else(|| root.join("dbt_project.yml"), |p| root.join(p.file.path()));
        let shown = one(finding, root);
        let same = all.entry(path).or_default();
        if !same.contains(&shown) {
            same.push(shown);
        }
    }
    all
}

fn one(finding: &Diagnostic, root: &Path) -> Shown {
    let related: Vec<DiagnosticRelatedInformation> = finding
        .related
        .iter()
        .filter_map(|(place, label)| {
            let uri = Uri::from_file_path(root.join(place.file.path()))?;
            let message = if label.is_empty() { "here".to_owned() } else { label.clone() };
            Some(DiagnosticRelatedInformation { location: Location { uri, range: span(&place.file.text, visible(place)) }, message })
        })
        .collect();
    let mut message = finding.message.clone();
    for more in finding.notes.iter().chain(&finding.help) {
        message.push('\n');
        message.push_str(more);
    }
    Shown {
        range: finding.place.as_ref().map(|p| span(&p.file.text, visible(p))).unwrap_or_default(),
        severity: Some(match finding.severity {
            Severity::Error => DiagnosticSeverity::ERROR,
            Severity::Warning => DiagnosticSeverity::WARNING,
        }),
        code: Some(NumberOrString::String(finding.code.to_owned())),
        source: Some("segue".into()),
        message,
        related_information: if related.is_empty() { None } else { Some(related) },
        ..Shown::default()
    }
}

/// An empty place is the word that begins there: editors underline nothing else.
fn visible(place: &Place) -> std::ops::Range<usize> {
    let range = place.range.clone();
    if !range.is_empty() {
        return range;
    }
    let rest = place.file.text.get(range.start..).unwrap_or_default();
    let word = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
    range.start..range.start + if word == 0 { rest.chars().next().filter(|c| *c != '\n').map_or(0, char::len_utf8) } else { word }
}
