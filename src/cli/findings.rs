//! Findings as a reader wants them: text with excerpts, JSON, SARIF 2.1.0 for code scanning, annotations of GitHub Actions.

use serde_json::{Value as Json, json};

use super::{args::FindingsOutput, config::Config, stdout::print};
use crate::{
    diagnostic::{Diagnostic, Diagnostics, Place, Severity, Style, render},
    names::nearest,
};

/// Findings on standard output: they are the command's answer.
pub(super) fn show(findings: &Diagnostics, summary: &str, output: FindingsOutput, config: &Config) {
    match output {
        FindingsOutput::Text => {
            let style = if config.colour_out { Style::Coloured } else { Style::Plain };
            for finding in &findings.0 {
                print(&format!("{}\n", render(finding, style)));
            }
            if !config.quiet {
                print(summary);
            }
        }
        FindingsOutput::Json => print(&pretty(&as_json(findings))),
        FindingsOutput::Sarif => print(&pretty(&sarif(findings))),
        FindingsOutput::Github => {
            for finding in &findings.0 {
                print(&annotation(finding));
            }
        }
    }
}

pub(super) fn pretty(json: &Json) -> String {
    serde_json::to_string_pretty(json).unwrap_or_else(|_| json.to_string())
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn path(place: &Place) -> String {
    place.file.path.to_string_lossy().replace('\\', "/")
}

fn end(place: &Place) -> (usize, usize) {
    place.file.line_column(place.range.end.max(place.range.start))
}

fn located(place: &Place) -> Json {
    let ((line, column), (end_line, end_column)) = (place.line_column(), end(place));
    json!({"file": path(place), "line": line, "column": column, "end_line": end_line, "end_column": end_column})
}

pub(super) fn as_json(findings: &Diagnostics) -> Json {
    let one = |d: &Diagnostic| {
        json!({
            "code": d.code,
            "severity": level(d.severity),
            "message": d.message,
            "place": d.place.as_ref().map(located),
            "related": d.related.iter().map(|(place, label)| json!({"place": located(place), "message": label})).collect::<Vec<_>>(),
            "notes": d.notes,
            "help": d.help,
        })
    };
    let errors = findings.0.iter().filter(|d| d.is_error()).count();
    json!({
        "errors": errors,
        "warnings": findings.0.len() - errors,
        "findings": findings.0.iter().map(one).collect::<Vec<_>>(),
    })
}

/// SARIF 2.1.0, the form that code-scanning services read.
pub(super) fn sarif(findings: &Diagnostics) -> Json {
    let mut codes: Vec<&str> = findings.0.iter().map(|d| d.code).collect();
    codes.sort_unstable();
    codes.dedup();
    let rules: Vec<Json> = codes.iter().map(|code| json!({"id": code, "name": code})).collect();
    let physical = |place: &Place| {
        let ((line, column), (end_line, end_column)) = (place.line_column(), end(place));
        json!({
            "artifactLocation": {"uri": path(place), "uriBaseId": "%SRCROOT%"},
            "region": {"startLine": line, "startColumn": column, "endLine": end_line, "endColumn": end_column.max(if line == end_line { column + 1 } else { 1 })},
        })
    };
    let result = |d: &Diagnostic| {
        let text = d.notes.iter().chain(&d.help).fold(d.message.clone(), |text, more| format!("{text}\n{more}"));
        let mut result = json!({
            "ruleId": d.code,
            "ruleIndex": codes.binary_search(&d.code).unwrap_or_default(),
            "level": level(d.severity),
            "message": {"text": text},
            "locations": d.place.iter().map(|p| json!({"physicalLocation": physical(p)})).collect::<Vec<_>>(),
        });
        if !d.related.is_empty() {
            let related = |(place, label): &(Place, String)| json!({"physicalLocation": physical(place), "message": {"text": label}});
            result["relatedLocations"] = d.related.iter().map(related).collect();
        }
        result
    };
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "segue", "version": env!("CARGO_PKG_VERSION"), "informationUri": env!("CARGO_PKG_REPOSITORY"), "rules": rules}},
            "columnKind": "unicodeCodePoints",
            "results": findings.0.iter().map(result).collect::<Vec<_>>(),
        }],
    })
}

/// `::error file=...,line=...::message` (GitHub documentation, "Workflow commands").
fn annotation(d: &Diagnostic) -> String {
    let property = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A").replace(':', "%3A").replace(',', "%2C");
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let place = d.place.as_ref().map_or_else(String::new, |p| {
        let ((line, column), (end_line, end_column)) = (p.line_column(), end(p));
        let columns = if line == end_line { format!(",col={column},endColumn={}", end_column.max(column)) } else { String::new() };
        format!("file={},line={line},endLine={end_line}{columns},", property(&path(p)))
    });
    let text = d.help.iter().fold(d.message.clone(), |text, help| format!("{text}\n{help}"));
    format!("::{} {place}title={}::{}", level(d.severity), property(d.code), data(&text))
}

/// `2 errors, 1 warning`
pub(super) fn counted(findings: &Diagnostics) -> String {
    let errors = findings.0.iter().filter(|d| d.is_error()).count();
    let warnings = findings.0.len() - errors;
    let plural = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    format!("{}, {}", plural(errors, "error"), plural(warnings, "warning"))
}

/// The nearest of several names, as help.
pub(super) fn meant<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(name, known).map(|near| format!("did you mean `{near}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::SourceFile;

    fn finding() -> Diagnostics {
        let file = SourceFile::new("models/a.sql", "select x,\n  nope\n");
        Diagnostic::error("sql/unknown-column", "there is no column `NOPE`").at(Place::new(&file, 12..16), "").help("a, b").into()
    }

    #[test]
    fn annotations_point_at_the_columns() {
        assert_eq!(
            annotation(&finding().0[0]),
            "::error file=models/a.sql,line=2,endLine=2,col=3,endColumn=7,title=sql/unknown-column::there is no column `NOPE`%0Aa, b"
        );
    }

    #[test]
    fn sarif_has_a_region() {
        let sarif = sarif(&finding());
        let region = &sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"];
        assert_eq!(region, &json!({"startLine": 2, "startColumn": 3, "endLine": 2, "endColumn": 7}));
        assert_eq!(counted(&finding()), "1 error, 0 warnings");
    }
}
