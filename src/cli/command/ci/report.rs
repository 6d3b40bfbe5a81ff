//! One report of findings and cases: text, Markdown for a pull request, JUnit XML for test views.

use super::{Case, errors, slashes};
use crate::{
    cli::findings::counted,
    diagnostic::{Diagnostic, Diagnostics, Style, render},
};

pub(super) struct Report {
    pub(super) findings: Diagnostics,
    pub(super) cases: Vec<Case>,
    pub(super) seconds: f64,
}

const SUITES: [&str; 3] = ["build", "unit tests", "data tests"];

impl Report {
    pub(super) fn failed(&self) -> bool {
        self.findings.has_errors() || self.cases.iter().any(|c| matches!(c.status, "fail" | "error"))
    }

    fn counts(&self, suite: &str) -> String {
        let of = |status: &str| self.cases.iter().filter(|c| c.suite == suite && c.status == status).count();
        let parts = [("pass", "passed"), ("warn", "warned"), ("fail", "failed"), ("error", "with errors"), ("skip", "skipped")];
        let parts: Vec<String> =
            parts.iter().map(|(s, word)| (of(s), word)).filter(|(n, _)| *n > 0).map(|(n, w)| format!("{n} {w}")).collect();
        if parts.is_empty() { "none".into() } else { parts.join(", ") }
    }

    fn summary(&self) -> Vec<(String, String)> {
        let mut rows = vec![("check".to_owned(), counted(&self.findings))];
        rows.extend(SUITES.iter().map(|s| ((*s).to_owned(), if errors(&self.findings) > 0 { "not run".into() } else { self.counts(s) })));
        rows
    }

    fn bad(&self) -> impl Iterator<Item = &Case> {
        self.cases.iter().filter(|c| matches!(c.status, "fail" | "error" | "warn"))
    }

    pub(super) fn text(&self) -> String {
        let mut lines: Vec<String> = self.findings.0.iter().map(|d| format!("{}\n", render(d, Style::Plain))).collect();
        lines.extend(
            self.bad().map(|c| format!("{} {} ({})\n  {}\n", c.status.to_uppercase(), c.name, c.file, c.message.replace('\n', "\n  "))),
        );
        lines.extend(self.summary().iter().map(|(what, text)| format!("{what:<11} {text}")));
        lines.push(format!("{} in {:.1} s", if self.failed() { "FAILED" } else { "passed" }, self.seconds));
        lines.join("\n")
    }

    pub(super) fn markdown(&self) -> String {
        let cell = |text: &str| text.replace('|', "\\|").replace('\n', "<br>");
        let mut lines = vec![format!("### segue ci: {}", if self.failed() { "failed" } else { "passed" }), String::new()];
        lines.extend(["| step | result |".to_owned(), "|---|---|".to_owned()]);
        lines.extend(self.summary().iter().map(|(what, text)| format!("| {what} | {text} |")));
        if !self.findings.0.is_empty() {
            lines.extend([String::new(), "| finding | place | message |".to_owned(), "|---|---|---|".to_owned()]);
            lines.extend(self.findings.0.iter().map(|d| format!("| `{}` | {} | {} |", d.code, place(d), cell(&said(d)))));
        }
        if self.bad().next().is_some() {
            lines.extend([String::new(), "| node | status | message |".to_owned(), "|---|---|---|".to_owned()]);
            lines.extend(self.bad().map(|c| format!("| `{}` | {} | {} |", c.name, c.status, cell(&c.message))));
        }
        lines.join("\n")
    }

    pub(super) fn junit(&self) -> String {
        let mut suites = vec![];
        let findings: Vec<String> = self
            .findings
            .0
            .iter()
            .map(|d| {
                let body = match d.is_error() {
                    true => format!("<failure type=\"{}\" message=\"{}\">{}</failure>", xml(d.code), xml(&d.message), xml(&said(d))),
                    false => format!("<system-out>{}</system-out>", xml(&said(d))),
                };
                format!("    <testcase classname=\"check\" name=\"{} {}\" time=\"0\">{body}</testcase>", xml(d.code), xml(&place(d)))
            })
            .collect();
        // one case that passes, so that a view shows the step
        let findings =
            if findings.is_empty() { vec!["    <testcase classname=\"check\" name=\"check\" time=\"0\"/>".to_owned()] } else { findings };
        suites.push(suite("check", &findings, errors(&self.findings), 0, 0));
        for name in SUITES {
            let cases: Vec<&Case> = self.cases.iter().filter(|c| c.suite == name).collect();
            if cases.is_empty() {
                continue;
            }
            let lines: Vec<String> = cases.iter().map(|c| case(c)).collect();
            let of = |status: &str| cases.iter().filter(|c| c.status == status).count();
            suites.push(suite(name, &lines, of("fail"), of("error"), of("skip")));
        }
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"segue\" time=\"{:.3}\">\n{}\n</testsuites>",
            self.seconds,
            suites.join("\n")
        )
    }
}

fn suite(name: &str, cases: &[String], failures: usize, errors: usize, skipped: usize) -> String {
    format!(
        "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"{skipped}\">\n{}\n  </testsuite>",
        cases.len(),
        cases.join("\n")
    )
}

fn case(case: &Case) -> String {
    let head = format!(
        "    <testcase classname=\"{}\" name=\"{}\" file=\"{}\" time=\"{:.3}\"",
        xml(case.suite),
        xml(&case.name),
        xml(&case.file),
        case.seconds
    );
    let message = xml(&case.message);
    match case.status {
        "fail" => format!("{head}><failure message=\"{}\">{message}</failure></testcase>", first(&message)),
        "error" => format!("{head}><error message=\"{}\">{message}</error></testcase>", first(&message)),
        "skip" => format!("{head}><skipped/></testcase>"),
        "warn" => format!("{head}><system-out>{message}</system-out></testcase>"),
        _ => format!("{head}/>"),
    }
}

fn first(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn place(d: &Diagnostic) -> String {
    d.place.as_ref().map_or_else(String::new, |p| {
        let (line, column) = p.line_column();
        format!("{}:{line}:{column}", slashes(p.file.path()))
    })
}

fn said(d: &Diagnostic) -> String {
    d.help.iter().fold(d.message.clone(), |text, help| format!("{text}; {help}"))
}

/// Characters that XML 1.0 cannot hold are left out.
fn xml(text: &str) -> String {
    let kept = text.chars().filter(|c| matches!(c, '\t' | '\n' | '\r' | ' '..));
    kept.collect::<String>().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
