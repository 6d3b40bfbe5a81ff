//! The end of a run: what failed and why, the counts, and what to do next.

use std::{sync::Arc, time::Duration};

use anstyle::{AnsiColor, Style};

use super::line::{paint, seconds};
use crate::{
    diagnostic::{self, render},
    names::ResourceType,
    run::event::{NodeResult, Status},
};

pub(super) struct Summary<'a> {
    pub(super) results: &'a [Arc<NodeResult>],
    pub(super) elapsed: Duration,
    pub(super) cancelled: bool,
    pub(super) verb: &'a str,
    pub(super) colour: bool,
}

impl Summary<'_> {
    /// Failures with their excerpts; warnings of tests too, unless `errors_only`.
    pub(super) fn problems(&self, errors_only: bool) -> String {
        let style = if self.colour { diagnostic::Style::Coloured } else { diagnostic::Style::Plain };
        let mut out = String::new();
        let shown = |r: &&Arc<NodeResult>| r.status.is_failure() || (!errors_only && r.status == Status::Warn);
        for result in self.results.iter().filter(shown) {
            let (word, colour) = match result.status {
                Status::Warn => ("Warning", AnsiColor::Yellow),
                _ => ("Failure", AnsiColor::Red),
            };
            let title = format!("{word} in {} {}", result.node.what, result.node.name);
            out.push_str(&format!("\n{}\n", paint(&title, Style::new().bold().fg_color(Some(colour.into())), self.colour)));
            if let Some(heading) = &result.heading {
                out.push_str(&format!("{heading}\n"));
            }
            if result.diagnostics.is_empty() {
                out.push_str(&format!("{}\n", result.message));
            }
            for d in &result.diagnostics {
                out.push_str(&render(d, style));
                out.push('\n');
            }
            // tests name it in their own notes
            if let Some(path) = &result.compiled_path
                && result.node.kind != ResourceType::Test
            {
                out.push_str(&format!("compiled SQL: {}\n", path.display()));
            }
        }
        out
    }

    /// `Finished 2 sources, 12 models and 30 tests in 3.21s.`
    pub(super) fn headline(&self) -> String {
        let mut counts: Vec<(ResourceType, usize)> = vec![];
        for result in self.results {
            match counts.iter_mut().find(|(kind, _)| *kind == result.node.kind) {
                Some((_, n)) => *n += 1,
                None => counts.push((result.node.kind, 1)),
            }
        }
        let word = if self.cancelled { "Cancelled" } else { "Finished" };
        format!("{word} {} in {}.", plural(&counts), seconds(self.elapsed))
    }

    /// dbt's last line, which scripts look for.
    pub(super) fn counts(&self) -> String {
        let count = |wanted: &[Status]| self.results.iter().filter(|r| wanted.contains(&r.status)).count();
        format!(
            "Done. PASS={} WARN={} ERROR={} SKIP={} NO-OP={} TOTAL={}",
            count(&[Status::Success, Status::Pass]),
            count(&[Status::Warn]),
            count(&[Status::Error, Status::Fail, Status::PartialSuccess]),
            count(&[Status::Skipped]),
            count(&[Status::NoOp]),
            self.results.len()
        )
    }

    /// What was not done because nothing has changed.
    pub(super) fn fresh(&self) -> Option<String> {
        let fresh = self.results.iter().filter(|r| r.fresh).count();
        let rest = match fresh {
            0 => return None,
            1 => "1 node was fresh: what it is made from has not changed",
            _ => {
                return Some(format!(
                    "{fresh} nodes were fresh: what they are made from has not changed (--force builds them all the same)."
                ));
            }
        };
        Some(format!("{rest} (--force builds it all the same)."))
    }

    /// How to go on after a failure: the failed nodes and what is below them.
    pub(super) fn advice(&self) -> Option<String> {
        let failed: Vec<&Arc<NodeResult>> =
            self.results.iter().filter(|r| r.status.is_failure() && r.node.kind != ResourceType::Operation).collect();
        if failed.is_empty() {
            return self.cancelled.then(|| format!("What was built is kept. To go on: segue {}", self.verb));
        }
        const MOST: usize = 5;
        if failed.len() > MOST {
            return Some(format!("{} failed. After mending them: segue {}", failed.len(), self.verb));
        }
        let selectors: Vec<String> = failed.iter().map(|r| selector(r)).collect();
        Some(format!("After mending: segue {} --select {}", self.verb, selectors.join(" ")))
    }
}

/// `stg_charts+`, `source:charts.melon+`; a test has nothing below it that would be rebuilt by its own name.
fn selector(result: &NodeResult) -> String {
    let id = result.node.id.as_str();
    let mut parts = id.splitn(3, '.').skip(2);
    let name = parts.next().unwrap_or(id);
    match result.node.kind {
        ResourceType::Source => format!("source:{name}+"),
        // `package.test.<hash>`: the name on screen is without the hash
        ResourceType::Test => result.node.name.clone(),
        _ => format!("{name}+"),
    }
}

pub(super) fn plural(counts: &[(ResourceType, usize)]) -> String {
    let parts: Vec<String> = counts
        .iter()
        .map(|(kind, n)| {
            let word = match kind {
                ResourceType::Analysis => "analysis".to_owned(),
                ResourceType::Operation => "hook".to_owned(),
                kind => kind.as_str().replace('_', " "),
            };
            if *n == 1 { format!("1 {word}") } else { format!("{n} {word}s") }
        })
        .collect();
    match parts.as_slice() {
        [] => "nothing".into(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
