//! Events as JSON, one object per line: `info` and `data` under the names that dbt's structured logs have.

use std::{io::Write, sync::Arc};

use chrono::SecondsFormat;
use serde_json::{Value as Json, json};

use super::{ReportOptions, scrub, summary::Summary};
use crate::{
    diagnostic::{self, Severity, render},
    names::ResourceType,
    run::event::{Event, LogLevel, NodeLabel, NodeResult, Status},
};

pub struct JsonLog {
    options: ReportOptions,
    out: Box<dyn Write + Send>,
    total: usize,
    results: Vec<Arc<NodeResult>>,
}

impl JsonLog {
    pub(super) fn new(options: ReportOptions, out: Box<dyn Write + Send>) -> Self {
        Self { options, out, total: 0, results: vec![] }
    }

    pub(super) fn event(&mut self, event: &Event) {
        match event {
            Event::Started { counts, total, threads, target } => {
                self.total = *total;
                let message = format!("Concurrency: {threads} threads (target='{target}')");
                let counts: serde_json::Map<String, Json> = counts.iter().map(|(k, n)| (k.as_str().to_owned(), (*n).into())).collect();
                let data = json!({"num_threads": threads, "target_name": target, "node_count": total, "counts": counts});
                self.write(LogLevel::Info, "ConcurrencyLine", &message, data);
            }
            Event::NodeStarted { index, node } => {
                let message = format!("{index} of {} START {} {}", self.total, node.what, node.name);
                let data = json!({"index": index, "total": self.total, "description": node.what, "node_info": info(node, "started")});
                self.write(LogLevel::Info, "LogStartLine", &message, data);
            }
            Event::NodeProgress { node, message } => {
                self.write(LogLevel::Debug, "NodeProgress", message, json!({"node_info": info(node, "executing")}));
            }
            Event::Log { level, node, message } => {
                // statements that are sent to the warehouse come as debug messages of a node
                match node {
                    Some(node) if *level == LogLevel::Debug => {
                        let data = json!({"sql": message, "conn_name": "", "node_info": info(node, "executing")});
                        self.write(*level, "SQLQuery", message, data);
                    }
                    _ => {
                        let node = node.as_ref().map(|n| info(n, "executing"));
                        self.write(*level, "JinjaLogInfo", message, json!({"msg": message, "node_info": node}));
                    }
                }
            }
            Event::Warning { node, diagnostic } => {
                let message = render(diagnostic, diagnostic::Style::Plain);
                let data = json!({"msg": message, "code": diagnostic.code, "node_info": node.as_ref().map(|n| info(n, "executing"))});
                self.write(LogLevel::Warn, "RunWarning", &message, data);
            }
            Event::NodeFinished { index, result } => self.finished_node(*index, result),
            Event::Cancelling => self.write(LogLevel::Warn, "Cancelling", "cancelling: nothing new starts", json!({})),
            Event::Finished { elapsed, cancelled } => {
                let results = std::mem::take(&mut self.results);
                let summary =
                    Summary { results: &results, elapsed: *elapsed, cancelled: *cancelled, verb: &self.options.verb, colour: false };
                let (headline, counts, advice) = (summary.headline(), summary.counts(), summary.advice());
                let seconds = elapsed.as_secs_f64();
                self.write(LogLevel::Info, "FinishedRunningStats", &headline, json!({"execution_time": seconds}));
                for result in results.iter().filter(|r| r.status.is_failure() || r.status == Status::Warn) {
                    self.problem(result);
                }
                let stats = |wanted: &[Status]| results.iter().filter(|r| wanted.contains(&r.status)).count();
                let data = json!({
                    "stats": {
                        "pass": stats(&[Status::Success, Status::Pass]),
                        "warn": stats(&[Status::Warn]),
                        "error": stats(&[Status::Error, Status::Fail, Status::PartialSuccess]),
                        "skip": stats(&[Status::Skipped]),
                        "noop": stats(&[Status::NoOp]),
                        "total": results.len(),
                    },
                });
                self.write(LogLevel::Info, "StatsLine", &counts, data);
                if let Some(advice) = advice {
                    self.write(LogLevel::Info, "Advice", &advice, json!({}));
                }
                let success = !cancelled && !results.iter().any(|r| r.status.is_failure());
                let data = json!({"command": self.options.verb, "elapsed": seconds, "success": success});
                self.write(LogLevel::Debug, "CommandCompleted", &format!("Command `{}` completed", self.options.verb), data);
            }
        }
    }

    fn finished_node(&mut self, index: usize, result: &Arc<NodeResult>) {
        self.results.push(Arc::clone(result));
        let (name, level) = match (result.status, result.node.kind) {
            (Status::Skipped, _) => ("SkippingDetails", LogLevel::Info),
            (status, ResourceType::Test) => ("LogTestResult", level_of(status)),
            (status, ResourceType::Seed) => ("LogSeedResult", level_of(status)),
            (status, ResourceType::Source) => ("LogIngestResult", level_of(status)),
            (status, _) => ("LogModelResult", level_of(status)),
        };
        let message = super::line::node(index, self.total.max(index), result, 0, false);
        let data = json!({
            "index": index,
            "total": self.total,
            "description": result.node.what,
            "status": result.status.as_str(),
            "message": result.message,
            "rows": result.rows,
            "num_failures": result.failures,
            "execution_time": result.elapsed.as_secs_f64(),
            "node_info": info(&result.node, result.status.as_str()),
        });
        self.write(level, name, &message, data);
    }

    fn problem(&mut self, result: &NodeResult) {
        let node_info = info(&result.node, result.status.as_str());
        if result.diagnostics.is_empty() {
            let data = json!({"msg": result.message, "node_info": node_info});
            let name = if result.status == Status::Warn { "RunResultWarning" } else { "RunResultError" };
            self.write(level_of(result.status), name, &result.message, data);
        }
        for d in &result.diagnostics {
            let message = render(d, diagnostic::Style::Plain);
            let message = result.heading.as_ref().filter(|_| d.is_error()).map_or(message.clone(), |h| format!("{h}\n{message}"));
            let (level, name) = match d.severity {
                Severity::Error => (LogLevel::Error, "RunResultError"),
                Severity::Warning => (LogLevel::Warn, "RunResultWarning"),
            };
            let place = d.place.as_ref().map(|p| {
                let (line, column) = p.line_column();
                json!({"file": p.file.path.display().to_string(), "line": line, "column": column})
            });
            let data = json!({"msg": message, "code": d.code, "place": place, "help": d.help, "node_info": node_info});
            self.write(level, name, &message, data);
        }
    }

    fn write(&mut self, level: LogLevel, name: &str, message: &str, data: Json) {
        if level < self.options.level || (self.options.quiet && level < LogLevel::Error) {
            return;
        }
        let ts = (self.options.clock)().to_rfc3339_opts(SecondsFormat::Micros, true);
        let line = json!({
            "info": {
                "name": name,
                "level": word(level),
                "msg": message,
                "ts": ts,
                "invocation_id": self.options.invocation,
                "pid": std::process::id(),
                "thread": "MainThread",
                "category": "",
                "code": "",
                "extra": {},
            },
            "data": data,
        });
        // secrets within JSON strings are escaped as the strings are
        let secrets: Vec<String> =
            self.options.secrets.iter().map(|s| Json::from(s.as_str()).to_string()).map(|s| s[1..s.len() - 1].to_owned()).collect();
        let _ = writeln!(self.out, "{}", scrub(&line.to_string(), &secrets));
        let _ = self.out.flush();
    }
}

fn info(node: &NodeLabel, status: &str) -> Json {
    json!({
        "unique_id": node.id,
        "node_name": node.id.as_str().splitn(3, '.').nth(2).unwrap_or_default(),
        "resource_type": node.kind.as_str(),
        "node_status": status,
        "materialized": node.what.strip_prefix("model ").unwrap_or_default(),
    })
}

fn level_of(status: Status) -> LogLevel {
    match status {
        Status::Error | Status::Fail | Status::PartialSuccess => LogLevel::Error,
        Status::Warn => LogLevel::Warn,
        _ => LogLevel::Info,
    }
}

fn word(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    }
}
