//! `functions`: the functions of the dialect, and which engine has each.

use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};

use crate::{
    cli::{config::Config, message::Failure, stdout::print},
    diagnostic::Diagnostic,
    dialect::function::listing::Entry,
    engine::datafusion::function_listing,
    names::nearest,
};

/// How the list is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    #[default]
    Table,
    Json,
    Markdown,
}

/// Functions whose names hold `pattern`, or that are of that category.
pub(super) fn run(pattern: Option<&str>, output: Output, config: &Config) -> Result<i32, Failure> {
    let all = function_listing();
    let wanted = pattern.map(str::to_uppercase);
    let found: Vec<&Entry> = all
        .iter()
        .filter(|e| match &wanted {
            None => true,
            Some(p) => e.name.contains(p.as_str()) || e.category.to_uppercase() == *p,
        })
        .collect();
    if let (Some(pattern), true) = (&wanted, found.is_empty()) {
        let mut fault = Diagnostic::error("cli/unknown-function", format!("no function's name holds `{pattern}`"));
        if let Some(near) = nearest(pattern, all.iter().map(|e| e.name)) {
            fault = fault.help(format!("there is `{near}`"));
        }
        return Err(fault.into());
    }
    print(&match output {
        Output::Table => table(&found, config.width),
        Output::Json => json(&found),
        Output::Markdown => markdown(&found),
    });
    Ok(0)
}

fn support(entry: &Entry) -> &'static str {
    if entry.local { "both engines" } else { "Snowflake" }
}

fn table(entries: &[&Entry], width: Option<u16>) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).force_no_tty().set_header(["function", "category", "engines"]);
    match width {
        Some(width) => table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    for entry in entries {
        table.add_row([entry.signature, entry.category, support(entry)]);
    }
    let local = entries.iter().filter(|e| e.local).count();
    format!("{table}\n{} functions, {local} of them on the local engine", entries.len())
}

fn json(entries: &[&Entry]) -> String {
    let list: Vec<serde_json::Value> = entries
        .iter()
        .map(|e| {
            let engines = if e.local { vec!["datafusion", "snowflake"] } else { vec!["snowflake"] };
            serde_json::json!({"name": e.name, "category": e.category, "signature": e.signature, "engines": engines})
        })
        .collect();
    serde_json::to_string_pretty(&list).unwrap_or_default()
}

/// The page docs/functions.md.
fn markdown(entries: &[&Entry]) -> String {
    let mut text = String::from(
        "# Functions\n\nMade by `segue functions --output markdown` from the registry. A function of Snowflake's that the local engine lacks is an\n\
         error that names it, never a different answer.\n",
    );
    let mut category = "";
    for entry in entries {
        if entry.category != category {
            category = entry.category;
            let mut title = category.to_owned();
            title.get_mut(..1).into_iter().for_each(str::make_ascii_uppercase);
            text.push_str(&format!("\n## {title}\n\n| function | engines |\n| --- | --- |\n"));
        }
        text.push_str(&format!("| `{}` | {} |\n", entry.signature.replace('|', "\\|"), support(entry)));
    }
    text.trim_end().to_owned()
}
