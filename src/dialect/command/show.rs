//! SHOW, DESCRIBE and USE.

use sqlparser::ast::{Ident, ObjectName};

use super::{super::SqlError, Command, Kind, alter, grammar::Grammar};

/// What is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    Tables,
    Views,
    Objects,
    Schemas,
    Databases,
    Columns,
    Sequences,
    /// SQL functions of the project.
    UserFunctions,
    /// The library and the project's.
    Functions,
    Parameters,
    Variables,
    PrimaryKeys,
    UniqueKeys,
    ImportedKeys,
    Transactions,
    /// Kinds that a local warehouse never has: an empty listing with these columns.
    Nothing,
}

/// Where it is looked for.
#[derive(Debug)]
pub enum Reach {
    /// The current schema (or database).
    Here,
    Account,
    Database(Option<ObjectName>),
    Schema(Option<ObjectName>),
    Relation(ObjectName),
    /// Without a word for its kind.
    Named(ObjectName),
}

#[derive(Debug)]
pub struct Show {
    pub listed: Listed,
    pub terse: bool,
    /// Dropped objects too; the local engine lists none.
    pub history: bool,
    /// Case-insensitive pattern.
    pub like: Option<String>,
    pub reach: Reach,
    /// Case-sensitive.
    pub starts_with: Option<String>,
    pub limit: Option<usize>,
    pub from: Option<String>,
}

pub(super) fn show(g: &mut Grammar) -> Result<Command, SqlError> {
    g.skip();
    let terse = g.take("TERSE");
    const KINDS: &[(&str, Listed)] = &[
        ("TABLES", Listed::Tables),
        ("VIEWS", Listed::Views),
        ("OBJECTS", Listed::Objects),
        ("SCHEMAS", Listed::Schemas),
        ("DATABASES", Listed::Databases),
        ("COLUMNS", Listed::Columns),
        ("SEQUENCES", Listed::Sequences),
        ("USER FUNCTIONS", Listed::UserFunctions),
        ("BUILTIN FUNCTIONS", Listed::Functions),
        ("FUNCTIONS", Listed::Functions),
        ("PARAMETERS", Listed::Parameters),
        ("VARIABLES", Listed::Variables),
        ("PRIMARY KEYS", Listed::PrimaryKeys),
        ("UNIQUE KEYS", Listed::UniqueKeys),
        ("IMPORTED KEYS", Listed::ImportedKeys),
        ("EXPORTED KEYS", Listed::ImportedKeys),
        ("TRANSACTIONS", Listed::Transactions),
        ("MATERIALIZED VIEWS", Listed::Nothing),
        ("DYNAMIC TABLES", Listed::Nothing),
        ("EXTERNAL TABLES", Listed::Nothing),
        ("ICEBERG TABLES", Listed::Nothing),
    ];
    let Some((_, listed)) = KINDS.iter().find(|(words, _)| g.is(words)) else {
        return Err(g
            .unsupported(format!("SHOW {}", g.word()))
            .help("it lists tables, views, objects, schemas, databases, columns, sequences, functions, parameters, variables and keys"));
    };
    if let Some((words, _)) = KINDS.iter().find(|(words, _)| g.is(words)) {
        g.take(words);
    }
    let mut show = Show {
        listed: *listed,
        terse,
        history: g.take("HISTORY"),
        like: None,
        reach: Reach::Here,
        starts_with: None,
        limit: None,
        from: None,
    };
    while !g.at_end() {
        if g.take("LIKE") {
            show.like = Some(g.string()?);
        } else if g.take("IN") || g.take("FOR") {
            show.reach = reach(g)?;
        } else if g.take("STARTS WITH") {
            show.starts_with = Some(g.string()?);
        } else if g.take("LIMIT") {
            show.limit = Some(g.integer()?.max(0) as usize);
            if g.take("FROM") {
                show.from = Some(g.string()?);
            }
        } else if g.take("WITH PRIVILEGES") {
            g.rest();
        } else {
            return Err(g.expected("LIKE, IN, STARTS WITH or LIMIT"));
        }
    }
    Ok(Command::Show(Box::new(show)))
}

fn reach(g: &mut Grammar) -> Result<Reach, SqlError> {
    let named = |g: &Grammar| !g.at_end() && !g.is("STARTS WITH") && !g.is("LIMIT") && !g.is("LIKE");
    if g.take("ACCOUNT") || g.take("SESSION") {
        return Ok(Reach::Account);
    }
    if g.take("DATABASE") {
        return Ok(Reach::Database(if named(g) { Some(g.name()?) } else { None }));
    }
    if g.take("SCHEMA") {
        return Ok(Reach::Schema(if named(g) { Some(g.name()?) } else { None }));
    }
    if g.take("TABLE") || g.take("VIEW") {
        return Ok(Reach::Relation(g.name()?));
    }
    if g.is("APPLICATION") || g.is("WAREHOUSE") || g.is("USER") || g.is("TASK") {
        return Err(g.unsupported(format!("SHOW ... IN {}", g.word())));
    }
    Ok(Reach::Named(g.name()?))
}

pub(super) fn describe(g: &mut Grammar) -> Result<Command, SqlError> {
    g.skip();
    let known = ["TABLE", "VIEW", "SCHEMA", "DATABASE", "SEQUENCE", "FUNCTION"];
    let kind = if known.contains(&g.word().as_str()) {
        alter::kind(g)?
    } else {
        // DESC name, as many clients write it
        Kind::Table
    };
    let name = g.name()?;
    let arguments = if kind == Kind::Function { g.argument_types()? } else { vec![] };
    if g.take("TYPE") {
        g.symbol("=");
        if g.is("STAGE") {
            return Err(g.unsupported("DESCRIBE TABLE ... TYPE = STAGE"));
        }
        g.expect("COLUMNS")?;
    }
    Ok(Command::Describe { kind, name, arguments })
}

pub(super) fn use_object(g: &mut Grammar) -> Result<Command, SqlError> {
    g.skip();
    if g.take("SECONDARY ROLES") {
        return Ok(Command::UseNothing { kind: "SECONDARY ROLES", name: g.rest().to_uppercase() });
    }
    for word in ["ROLE", "WAREHOUSE"] {
        if g.take(word) {
            let name = g.name()?;
            let name = name.0.last().and_then(|p| p.as_ident()).map(crate::dialect::lower::stored).unwrap_or_default();
            return Ok(Command::UseNothing { kind: word, name });
        }
    }
    let kind = if g.take("DATABASE") {
        Some(Kind::Database)
    } else if g.take("SCHEMA") {
        Some(Kind::Schema)
    } else {
        None
    };
    if g.at_end() {
        return Err(g.expected("a name"));
    }
    let name: ObjectName = g.name()?;
    if name.0.is_empty() {
        return Err(g.expected(&format!("a name instead of `{}`", Ident::new(""))));
    }
    Ok(Command::Use { kind, name })
}
