//! `sql`: statements one after another in one session, their results to standard output.

use std::{io::Read, path::Path, sync::Arc};

use crate::{
    cli::{
        args::Output,
        config::Config,
        message::{self, Failure},
        stdout::print,
        workspace::{Workspace, load},
    },
    diagnostic::{Diagnostic, Diagnostics, Place, SourceFile},
    engine::{EngineError, Outcome},
    report::table,
};

/// `json` prints the rows of the last statement, `jsonl` one line for each, `table` and `csv` one block for each.
pub(super) fn run(statements: &[String], file: Option<&Path>, output: Output, keep_going: bool, config: &Config) -> Result<i32, Failure> {
    let script = script(statements, file)?;
    let workspace = Workspace::open(load("sql", &[], config)?)?;
    let mut session = workspace.engine.session();
    let (mut last, mut faults) = (None, Diagnostics::default());
    for range in session.split(&script.text) {
        let start = range.start;
        match workspace.runtime.block_on(session.execute(&script.text[range])) {
            Ok(outcome) => {
                match output {
                    Output::Jsonl => print(&table::json_line(&outcome)),
                    Output::Csv => print(&table::csv(&outcome)),
                    Output::Table => print(&shown(&outcome, config)),
                    Output::Json => {}
                }
                last = Some(outcome);
            }
            Err(error) => {
                last = None;
                if output == Output::Jsonl {
                    print(&table::json_line_error(&error.message));
                }
                let fault = placed(error, &script, start);
                if !keep_going {
                    return Err(Failure::of_work(fault));
                }
                // of `jsonl` the lines are the answer, and errors are among them
                if output != Output::Jsonl {
                    message::show(&fault.clone().into(), config);
                }
                faults.push(fault);
            }
        }
    }
    if output == Output::Json {
        print(&last.filter(|o| o.is_query).map_or_else(|| "[]".to_owned(), |o| table::json(&o)));
    }
    Ok(i32::from(faults.has_errors()))
}

fn script(statements: &[String], file: Option<&Path>) -> Result<Arc<SourceFile>, Diagnostic> {
    let unreadable = |what: &str, e: std::io::Error| Diagnostic::error("cli/unreadable", format!("cannot read {what}: {e}"));
    match (file, statements) {
        (Some(path), _) => {
            let text = std::fs::read_to_string(path).map_err(|e| unreadable(&format!("`{}`", path.display()), e))?;
            Ok(SourceFile::new(path, text))
        }
        (None, [dash]) if dash == "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(|e| unreadable("standard input", e))?;
            Ok(SourceFile::new("<stdin>", text))
        }
        (None, []) => Err(Diagnostic::error("cli/no-statement", "there is no statement to run")
            .help("pass statements as arguments, a file with `--file`, or `-` for standard input")),
        (None, several) => Ok(SourceFile::new("<arguments>", several.join("\n;\n"))),
    }
}

fn placed(error: EngineError, script: &Arc<SourceFile>, start: usize) -> Diagnostic {
    let at = error.at.clone();
    let diagnostic = message::of_engine(error);
    match at {
        Some(range) => diagnostic.at(Place::new(script, start + range.start..start + range.end), ""),
        None => diagnostic.at(Place::new(script, start..start), "in this statement"),
    }
}

/// For people: a table, or what a statement without rows says.
fn shown(outcome: &Outcome, config: &Config) -> String {
    if outcome.is_query {
        return table::table(outcome, config.width);
    }
    let row = table::rows(outcome).next().unwrap_or_default();
    let cells = outcome.schema.fields().iter().zip(row).map(|(field, cell)| match (field.name().as_str(), cell.text()) {
        ("status", Some(text)) => text,
        (name, text) => format!("{name}: {}", text.unwrap_or_else(|| "NULL".into())),
    });
    cells.collect::<Vec<_>>().join(", ")
}
