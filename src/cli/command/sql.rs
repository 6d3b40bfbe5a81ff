//! `sql`: statements one after another in one session.

use std::{io::Read, path::Path};

use super::{load, open, print, runtime};
use crate::{
    cli::{
        args::Output,
        message::{self, Failure},
        settings::Settings,
    },
    diagnostic::{Diagnostic, Place, SourceFile},
    engine::{EngineError, Outcome},
    report::table,
};

pub fn run(statements: &[String], file: Option<&Path>, output: Output, keep_going: bool, settings: &Settings) -> Result<i32, Failure> {
    let (name, script) = match (file, statements) {
        (Some(path), _) => {
            let text = std::fs::read_to_string(path)
                .map_err(|e| Diagnostic::error("cli/unreadable", format!("cannot read `{}`: {e}", path.display())))?;
            (path.display().to_string(), text)
        }
        (None, [one]) if one == "-" => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|e| Diagnostic::error("cli/unreadable", format!("cannot read standard input: {e}")))?;
            ("<stdin>".to_owned(), text)
        }
        (None, []) => {
            return Err(Diagnostic::error("cli/sql", "there is no statement")
                .help("give statements as arguments, with --file, or `-` for standard input")
                .into());
        }
        (None, several) => ("<argument>".to_owned(), several.join(";\n")),
    };
    let project = load("sql", false, settings)?;
    let engine = open(&project)?;
    let runtime = runtime()?;
    let source = SourceFile::new(name, script.clone());
    let mut session = engine.session();
    let (mut last, mut failed) = (None, 0);
    for range in session.split(&script) {
        let start = range.start;
        match runtime.block_on(session.execute(&script[range])) {
            Ok(outcome) => {
                if output == Output::Jsonl {
                    print(&table::json_line(&outcome));
                } else if output != Output::Json {
                    print(&rendered(&outcome, output, settings));
                }
                last = Some(outcome);
            }
            Err(error) => {
                failed += 1;
                if output == Output::Jsonl {
                    print(&table::json_line_error(&error.message));
                }
                let fault = placed(error, &source, start);
                if !keep_going {
                    if output == Output::Jsonl && settings.quiet {
                        return Ok(1);
                    }
                    return Err(Failure { diagnostics: fault.into(), exit_code: 1 });
                }
                if output != Output::Jsonl {
                    message::show(&fault.into(), settings);
                }
            }
        }
    }
    if output == Output::Json {
        let queried = last.filter(|o| o.is_query);
        print(&queried.map_or_else(|| "[]".to_owned(), |o| table::json(&o)));
    }
    Ok(i32::from(failed > 0))
}

fn placed(error: EngineError, source: &std::sync::Arc<SourceFile>, start: usize) -> Diagnostic {
    let at = error.at.clone();
    let diagnostic = message::of_engine(error);
    match at {
        Some(range) => diagnostic.at(Place::new(source, start + range.start..start + range.end), ""),
        None => diagnostic.at(Place::new(source, start..start), "in this statement"),
    }
}

fn rendered(outcome: &Outcome, output: Output, settings: &Settings) -> String {
    match output {
        Output::Csv => table::csv(outcome),
        _ if outcome.is_query => table::table(outcome, Some(u16::try_from(settings.width).unwrap_or(160))),
        _ => {
            let row = table::rows(outcome).next().unwrap_or_default();
            let shown = outcome.schema.fields().iter().zip(row).map(|(f, v)| match (f.name().as_str(), v.text()) {
                ("status", Some(text)) => text,
                (name, value) => format!("{name}: {}", value.unwrap_or_default()),
            });
            shown.collect::<Vec<_>>().join(", ")
        }
    }
}
