//! One node on one line: index, status, what, name, dots, rows, time.

use std::time::Duration;

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr;

use crate::{
    names::ResourceType,
    run::event::{NodeResult, Status},
};

/// `3 of 48 OK    model table ANALYTICS.GENRE_TREND ............ 1,234 rows   0.42s`
pub(super) fn node(index: usize, total: usize, result: &NodeResult, width: usize, colour: bool) -> String {
    let digits = total.to_string().len();
    let word = format!("{:<5}", if result.fresh { "FRESH" } else { word(result.status) });
    let head = format!("{index:>digits$} of {total} ");
    let middle = format!(" {} {} ", result.node.what, result.node.name);
    let tail = format!(" {}", detail(result));
    let used = head.width() + word.width() + middle.width() + tail.width();
    // a name that is too long for its line keeps three dots and wraps where the terminal wants
    let dots = width.saturating_sub(used).max(3);
    format!(
        "{head}{}{middle}{}{tail}",
        paint(&word, if result.fresh { dim() } else { style(result.status) }, colour),
        paint(&".".repeat(dots), dim(), colour)
    )
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Success => "OK",
        Status::Error => "ERROR",
        Status::Skipped => "SKIP",
        Status::Pass => "PASS",
        Status::Fail => "FAIL",
        Status::Warn => "WARN",
        Status::NoOp => "NO-OP",
        Status::PartialSuccess => "PARTIAL",
    }
}

fn detail(result: &NodeResult) -> String {
    let time = seconds(result.elapsed);
    if result.fresh {
        let told = result.message.strip_prefix("fresh: ").or_else(|| result.message.strip_prefix("fresh, "));
        return format!("{}{time:>8}", told.map(|told| format!("{told} ")).unwrap_or_default());
    }
    match result.status {
        Status::Skipped => result.message.trim_start_matches("skipped ").to_owned(),
        Status::Fail | Status::Warn => {
            let failures = result.failures.unwrap_or_default();
            format!("{} {time:>8}", if failures == 1 { "1 result".into() } else { format!("{} results", thousands(failures)) })
        }
        Status::NoOp => format!("{} {time:>8}", result.message),
        Status::Success if result.message.starts_with("REUSED ") => {
            format!("{} {time:>8}", result.message.replacen("REUSED", "reused", 1))
        }
        _ => match result.rows {
            Some(1) => format!("1 row{} {time:>8}", beside(result, "1 row")),
            Some(rows) => format!("{} rows{} {time:>8}", thousands(rows), beside(result, &format!("{rows} rows"))),
            // files that are read in place have rows that nobody counted
            None if result.node.kind == ResourceType::Source => format!("{} {time:>8}", result.message),
            None => exported(result).map_or_else(|| format!("{time:>8}"), |files| format!("{} {time:>8}", files.trim_start_matches(", "))),
        },
    }
}

/// What a message says behind the number of rows: of a source rejects and lag, of all the files that were exported.
fn beside<'a>(result: &'a NodeResult, rows: &str) -> &'a str {
    match result.node.kind {
        ResourceType::Source => result.message.strip_prefix(rows).unwrap_or(""),
        _ => exported(result).unwrap_or(""),
    }
}

/// `, 2 files exported`
fn exported(result: &NodeResult) -> Option<&str> {
    let message = &result.message;
    message.ends_with(" exported").then(|| message.rfind(", ").map_or(message.as_str(), |at| &message[at..]))
}

fn style(status: Status) -> Style {
    let colour = match status {
        Status::Success | Status::Pass => AnsiColor::Green,
        Status::Error | Status::Fail | Status::PartialSuccess => AnsiColor::Red,
        Status::Skipped | Status::Warn => AnsiColor::Yellow,
        Status::NoOp => return dim(),
    };
    Style::new().fg_color(Some(colour.into())).bold()
}

pub(super) fn dim() -> Style {
    Style::new().dimmed()
}

pub(super) fn paint(text: &str, style: Style, colour: bool) -> String {
    if colour { format!("{}{text}{}", style.render(), style.render_reset()) } else { text.to_owned() }
}

pub(super) fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 60.0 {
        format!("{seconds:.2}s")
    } else {
        let whole = duration.as_secs();
        match whole / 3600 {
            0 => format!("{}m {:02}s", whole / 60, whole % 60),
            hours => format!("{hours}h {:02}m {:02}s", whole % 3600 / 60, whole % 60),
        }
    }
}

/// `1,234,567`
pub(super) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}
