//! DataFusion's and the lake's errors as [`EngineError`]: the user's words, a place in their SQL, and advice.

use std::ops::Range;

use ::datafusion::{
    common::{Diagnostic, SchemaError},
    error::DataFusionError,
};

use crate::{
    dialect::{
        SqlError,
        error::{Evaluation, byte_offset},
        resolve::REPEATED,
    },
    engine::EngineError,
    lake::LakeError,
    names::nearest,
};

pub(super) fn lake(error: LakeError) -> EngineError {
    let message = error.to_string();
    match error {
        LakeError::Storage { help, transient, .. } => EngineError { help, transient, ..EngineError::new("engine/storage", message) },
        LakeError::Conflict { .. } => EngineError {
            transient: true,
            ..EngineError::new("engine/conflict", message).help("run it again: nothing of this change was published")
        },
        LakeError::NewerWarehouse { .. } | LakeError::NewerTable { .. } => {
            EngineError::new("engine/newer-warehouse", message).help("use the newer segue, or another `path:` in the profile")
        }
        LakeError::UnsupportedLocation { .. } => {
            EngineError::new("engine/location", message).help("set `path:` of the profile to a local directory")
        }
        LakeError::Damaged { .. } => {
            EngineError::new("engine/damaged", message).help("restore the file from a backup, or remove the relation and build it again")
        }
        LakeError::UnsupportedType { .. } => EngineError::new("engine/type", message).help("cast the column to a type that tables have"),
    }
}

pub(super) fn sql(error: SqlError) -> EngineError {
    EngineError { at: error.at, help: error.help, ..EngineError::new(error.code, error.message) }
}

/// An error of planning or running `sql`.
pub(super) fn plan(sql: &str, error: &DataFusionError) -> EngineError {
    let at = error.diagnostic().and_then(|d| range(sql, d));
    let root = root(error);
    let mut fault = match passed_on(&root.strip_backtrace()) {
        // libraries between the operator and us wrap its error into text
        Some(text) if !matches!(root, DataFusionError::Execution(_) | DataFusionError::Plan(_)) => {
            classify(sql, &DataFusionError::Execution(text))
        }
        _ => classify(sql, root),
    };
    while let Some(at) = fault.message.find(REPEATED) {
        let digits = fault.message[at + 1..].chars().take_while(char::is_ascii_digit).count();
        fault.message.replace_range(at..at + 1 + digits, "");
    }
    if fault.at.is_none() {
        fault.at = at.or_else(|| place_of_value(sql, &fault));
    }
    fault
}

/// The text of an error of execution that another library printed: `... Execution("text")`.
fn passed_on(text: &str) -> Option<String> {
    let rest = &text[text.find("Execution(\"")? + "Execution(\"".len()..];
    let mut inner = String::new();
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return Some(inner),
            '\\' => inner.push(match chars.next()? {
                'n' => '\n',
                't' => '\t',
                c => c,
            }),
            c => inner.push(c),
        }
    }
    None
}

/// Where a fault of a value can only have come from: the one division, or the one place of the literal it names.
fn place_of_value(sql: &str, fault: &EngineError) -> Option<Range<usize>> {
    use sqlparser::tokenizer::{Token, Tokenizer};
    if !matches!(fault.code, "sql/division-by-zero" | "sql/value") || sql.is_empty() {
        return None;
    }
    let tokens = Tokenizer::new(&sqlparser::dialect::SnowflakeDialect, sql).tokenize_with_location().ok()?;
    let quoted = fault.message.split('\'').nth(1);
    let found: Vec<_> = tokens
        .iter()
        .filter(|t| match (&t.token, fault.code) {
            (Token::Div | Token::Mod, "sql/division-by-zero") => true,
            (Token::Word(w), "sql/division-by-zero") => matches!(w.keyword, sqlparser::keywords::Keyword::DIV),
            (Token::SingleQuotedString(text), "sql/value") => quoted == Some(text.as_str()),
            (Token::Number(text, _), "sql/value") => quoted == Some(text.as_str()),
            _ => false,
        })
        .collect();
    let [one] = found.as_slice() else { return None };
    let start = byte_offset(sql, one.span.start.line, one.span.start.column)?;
    let end = byte_offset(sql, one.span.end.line, one.span.end.column).unwrap_or(start);
    if fault.code == "sql/value" {
        return Some(start..end);
    }
    // the operands beside the operator, as far as they are single words
    let at = tokens.iter().position(|t| std::ptr::eq(t, *one))?;
    let word = |t: &&sqlparser::tokenizer::TokenWithSpan| matches!(t.token, Token::Word(_) | Token::Number(..));
    let before = tokens[..at].iter().rev().find(|t| !matches!(t.token, Token::Whitespace(_))).filter(word);
    let after = tokens[at + 1..].iter().find(|t| !matches!(t.token, Token::Whitespace(_))).filter(word);
    let start = before.and_then(|t| byte_offset(sql, t.span.start.line, t.span.start.column)).unwrap_or(start);
    let end = after.and_then(|t| byte_offset(sql, t.span.end.line, t.span.end.column)).unwrap_or(end);
    Some(start..end)
}

fn range(sql: &str, diagnostic: &Diagnostic) -> Option<Range<usize>> {
    let span = diagnostic.span?;
    let start = byte_offset(sql, span.start.line, span.start.column)?;
    let end = byte_offset(sql, span.end.line, span.end.column).unwrap_or(start);
    Some(start..end.max(start))
}

/// Below contexts, collections and shared errors.
fn root(error: &DataFusionError) -> &DataFusionError {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => root(inner),
        DataFusionError::Shared(inner) => root(inner),
        DataFusionError::Collection(errors) => errors.first().map_or(error, root),
        DataFusionError::ArrowError(arrow, _) => match arrow.as_ref() {
            ::datafusion::arrow::error::ArrowError::ExternalError(e) => e.downcast_ref::<DataFusionError>().map_or(error, root),
            _ => error,
        },
        DataFusionError::External(e) => e.downcast_ref::<DataFusionError>().map_or(error, root),
        other => other,
    }
}

fn classify(sql: &str, error: &DataFusionError) -> EngineError {
    match error {
        DataFusionError::SchemaError(schema, _) => schema_error(sql, schema),
        DataFusionError::ResourcesExhausted(text) => {
            EngineError::new("engine/memory", format!("the query does not fit into its memory: {}", first_line(text)))
                .help("raise `memory_limit:` of the profile's output, or lower `threads:`")
        }
        DataFusionError::NotImplemented(text) => {
            EngineError::new("sql/unsupported", format!("the local engine does not support this: {}", first_line(text)))
        }
        DataFusionError::Execution(text) if text.eq_ignore_ascii_case("division by zero") => division_by_zero(),
        DataFusionError::Execution(text) => EngineError::new("sql/value", lower_first(first_line(text))),
        DataFusionError::Plan(text) => plan_text(sql, first_line(text)),
        DataFusionError::ArrowError(e, _) => arrow(&e.to_string()),
        DataFusionError::External(e) => {
            if let Some(known) = e.downcast_ref::<EngineError>() {
                return known.clone();
            }
            if let Some(known) = e.downcast_ref::<crate::dialect::SqlError>() {
                return super::fault::sql(known.clone());
            }
            if let Some(delta) = e.downcast_ref::<deltalake::DeltaTableError>() {
                return EngineError::new("engine/storage", format!("a table could not be read: {delta}"));
            }
            if let Some(fault) = e.downcast_ref::<Evaluation>() {
                return self::sql(fault.in_statement(sql));
            }
            if let Some(fault) = e.downcast_ref::<SqlError>() {
                return self::sql(fault.clone());
            }
            if e.downcast_ref::<LakeError>().is_some() || e.source().is_some() {
                return lake(LakeError::storage("read", "the warehouse", e.as_ref()));
            }
            EngineError::new("sql/value", first_line(&e.to_string()))
        }
        DataFusionError::ObjectStore(e) => lake(LakeError::storage("access", "the warehouse", e.as_ref())),
        DataFusionError::IoError(e) => lake(LakeError::storage("access", "the warehouse", e)),
        other => EngineError::new("sql/plan", lower_first(first_line(&other.strip_backtrace()))),
    }
}

fn division_by_zero() -> EngineError {
    EngineError::new("sql/division-by-zero", "division by zero").help("guard the divisor: DIV0(a, b), or NULLIF(b, 0)")
}

fn arrow(text: &str) -> EngineError {
    if text.contains("Divide by zero") {
        return division_by_zero();
    }
    let text = text.strip_prefix("Cast error: ").or_else(|| text.strip_prefix("Arithmetic overflow: ")).unwrap_or(text);
    EngineError::new("sql/value", lower_first(first_line(text)))
}

fn schema_error(sql: &str, error: &SchemaError) -> EngineError {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let name = field.name();
            let mut fault = EngineError::new("sql/unknown-column", format!("there is no column `{}`", field.flat_name()));
            fault.at = find_word(sql, name);
            // two relations may have columns of one name
            let mut seen = std::collections::HashSet::new();
            let known: Vec<&str> = valid_fields.iter().map(|c| c.name()).filter(|name| seen.insert(*name)).collect();
            fault.help = match nearest(name, known.iter().copied()) {
                Some(near) => Some(format!("a column named `{near}` exists")),
                None if known.is_empty() => None,
                None => Some(format!("there are: {}", listed(&known))),
            };
            fault
        }
        SchemaError::AmbiguousReference { field } => {
            let mut fault =
                EngineError::new("sql/ambiguous-column", format!("the column `{}` is in more than one of the relations", field.name()));
            fault.at = find_word(sql, field.name());
            fault.help("write the relation's name in front of it")
        }
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            EngineError::new("sql/duplicate-column", format!("the column name `{name}` occurs twice"))
                .help("give one of them another alias")
        }
    }
}

fn plan_text(sql: &str, text: &str) -> EngineError {
    if let Some(name) = text.strip_prefix("table '").and_then(|t| t.strip_suffix("' not found")) {
        let mut fault = EngineError::new("sql/unknown-table", format!("there is no table or view `{name}`"));
        fault.at = find_word(sql, name.rsplit('.').next().unwrap_or(name).trim_matches('"'));
        return fault;
    }
    if let Some(rest) = text.strip_prefix("Invalid function '") {
        let name = rest.split('\'').next().unwrap_or(rest);
        let mut fault = EngineError::new("sql/unknown-function", format!("the local engine has no function `{}`", name.to_uppercase()));
        fault.at = find_word(sql, name);
        if let Some(near) = nearest(name, crate::dialect::function::names().filter(|n| !n.starts_with("__"))) {
            fault.help = Some(format!("there is `{}`", near.to_uppercase()));
        }
        return fault;
    }
    EngineError::new("sql/plan", lower_first(text))
}

/// Where a name stands as a whole word, case ignored.
fn find_word(sql: &str, word: &str) -> Option<Range<usize>> {
    if word.is_empty() {
        return None;
    }
    let pattern = regex::RegexBuilder::new(&format!(r"(?:\b|_){}(?:\b|_)", regex::escape(word))).case_insensitive(true).build().ok()?;
    let whole = |m: &regex::Match| m.len() == word.len();
    pattern.find_iter(sql).find(whole).map(|m| m.range())
}

fn listed(names: &[&str]) -> String {
    const SHOWN: usize = 12;
    let mut text = names.iter().take(SHOWN).map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or(text).trim_end_matches('.')
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), text.chars().nth(1)) {
        // words in capitals are names
        (Some(_), Some(second)) if second.is_uppercase() => text.to_owned(),
        (Some(first), _) => first.to_lowercase().chain(chars).collect(),
        (None, _) => String::new(),
    }
}
