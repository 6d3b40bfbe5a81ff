//! Events as lines of text; on a terminal with a progress line below them.

use std::{io::Write, sync::Arc, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{ReportOptions, line, scrub, summary, summary::Summary};
use crate::{
    diagnostic::{self, render},
    run::event::{Event, LogLevel, NodeLabel, NodeResult},
};

pub struct Terminal {
    options: ReportOptions,
    out: Box<dyn Write + Send>,
    bar: Option<ProgressBar>,
    total: usize,
    results: Vec<Arc<NodeResult>>,
    /// What runs, oldest first, with its last message.
    running: Vec<(Arc<NodeLabel>, String)>,
}

impl Terminal {
    pub(super) fn new(options: ReportOptions, out: Box<dyn Write + Send>) -> Self {
        Self { options, out, bar: None, total: 0, results: vec![], running: vec![] }
    }

    pub(super) fn event(&mut self, event: &Event) {
        match event {
            Event::Started { counts, total, threads, target } => self.started(counts, *total, *threads, target),
            Event::NodeStarted { node, .. } => {
                self.running.push((Arc::clone(node), String::new()));
                self.show_running();
            }
            Event::NodeProgress { node, message } => {
                if let Some(running) = self.running.iter_mut().find(|(n, _)| n.id == node.id) {
                    running.1 = message.clone();
                }
                self.show_running();
            }
            Event::Log { level, node, message } => self.log(*level, node.as_deref(), message),
            Event::Warning { diagnostic, .. } => {
                if !self.options.quiet {
                    let style = if self.options.colour { diagnostic::Style::Coloured } else { diagnostic::Style::Plain };
                    self.print(&render(diagnostic, style));
                }
            }
            Event::NodeFinished { index, result } => self.finished_node(*index, result),
            Event::Cancelling => {
                self.print("Cancelling: running nodes come to their end, nothing new starts. Press Ctrl-C again to abort them.");
            }
            Event::Finished { elapsed, cancelled } => self.finished(*elapsed, *cancelled),
        }
    }

    fn started(&mut self, counts: &[(crate::names::ResourceType, usize)], total: usize, threads: usize, target: &str) {
        self.total = total;
        if self.options.quiet {
            return;
        }
        if total == 0 {
            self.print("Nothing to do: the selection matches no node that this command runs.");
            return;
        }
        let threads = if threads == 1 { "1 thread".into() } else { format!("{threads} threads") };
        self.print(&format!("Found {}; target `{target}`, {threads}\n", summary::plural(counts)));
        if self.options.progress {
            let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{bar:24} {pos}/{len} {elapsed} {wide_msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(200));
            self.bar = Some(bar);
        }
    }

    fn finished_node(&mut self, index: usize, result: &Arc<NodeResult>) {
        self.running.retain(|(n, _)| n.id != result.node.id);
        self.results.push(Arc::clone(result));
        if !self.options.quiet || result.status.is_failure() {
            let line = line::node(index, self.total.max(index), result, self.options.width, self.options.colour);
            self.print(&line);
        }
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
        self.show_running();
    }

    fn finished(&mut self, elapsed: Duration, cancelled: bool) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        let results = std::mem::take(&mut self.results);
        let verb = self.options.verb.clone();
        let summary = Summary { results: &results, elapsed, cancelled, verb: &verb, colour: self.options.colour };
        let problems = summary.problems(self.options.quiet);
        if !problems.is_empty() {
            self.print(problems.trim_end_matches('\n'));
        }
        if self.options.quiet || (self.total == 0 && results.is_empty()) {
            return;
        }
        self.print(&format!("\n{}", summary.headline()));
        if let Some(fresh) = summary.fresh() {
            self.print(&fresh);
        }
        self.print(&summary.counts());
        if let Some(advice) = summary.advice() {
            self.print(&advice);
        }
    }

    fn log(&mut self, level: LogLevel, node: Option<&NodeLabel>, message: &str) {
        if level < self.options.level || (self.options.quiet && level < LogLevel::Error) {
            return;
        }
        let text = match (level, node) {
            (LogLevel::Debug, Some(node)) => format!("[{}] {message}", node.name),
            (LogLevel::Warn, _) => format!("warning: {message}"),
            (LogLevel::Error, _) => format!("error: {message}"),
            _ => message.to_owned(),
        };
        let text = if level == LogLevel::Debug { line::paint(&text, line::dim(), self.options.colour) } else { text };
        self.print(&text);
    }

    fn show_running(&self) {
        let Some(bar) = &self.bar else { return };
        let names: Vec<String> = self
            .running
            .iter()
            .map(|(node, message)| if message.is_empty() { node.name.clone() } else { format!("{} ({message})", node.name) })
            .collect();
        bar.set_message(scrub(&names.join(", "), &self.options.secrets));
    }

    /// A reader that went away (`| head`) is no reason to fail.
    fn print(&mut self, text: &str) {
        let text = scrub(text, &self.options.secrets);
        let out = &mut self.out;
        let mut write = || {
            let _ = writeln!(out, "{text}");
            let _ = out.flush();
        };
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}
