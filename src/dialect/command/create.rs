//! CREATE of views, schemas, databases, sequences and SQL functions; tables are read in `table.rs`.

use sqlparser::ast::{Ident, ObjectName, Query};

use super::{
    super::SqlError,
    Command, Kind,
    grammar::Grammar,
    table::{self, ColumnType, Existing},
};

#[derive(Debug)]
pub struct NewView {
    pub name: ObjectName,
    pub existing: Existing,
    pub temporary: bool,
    pub secure: bool,
    pub recursive: bool,
    /// Names and comments.
    pub columns: Vec<(Ident, Option<String>)>,
    pub comment: Option<String>,
    pub query: Box<Query>,
    /// The query as written.
    pub text: String,
    /// The whole statement as written.
    pub statement: String,
}

#[derive(Debug)]
pub struct NewSequence {
    pub name: ObjectName,
    pub existing: Existing,
    pub start: i64,
    pub increment: i64,
    pub ordered: bool,
    pub comment: Option<String>,
}

/// `CREATE FUNCTION ... AS 'expression or query'`.
#[derive(Debug)]
pub struct NewFunction {
    pub name: ObjectName,
    pub existing: Existing,
    pub secure: bool,
    /// Name, type, default.
    pub arguments: Vec<(Ident, String, Option<String>)>,
    pub returns: Returns,
    pub body: String,
    pub comment: Option<String>,
}

#[derive(Debug)]
pub enum Returns {
    Scalar(String),
    Table(Vec<(Ident, String)>),
}

pub(super) fn create(g: &mut Grammar) -> Result<Command, SqlError> {
    let statement = g.sql.trim().trim_end_matches(';').trim_end().to_owned();
    g.skip();
    let mut existing = if g.take("OR REPLACE") {
        Existing::Replace
    } else if g.take("OR ALTER") {
        Existing::Alter
    } else {
        Existing::Fail
    };
    let (mut temporary, mut transient, mut secure, mut recursive) = (false, false, false, false);
    loop {
        match g.take_one(&["LOCAL", "GLOBAL", "TEMP", "TEMPORARY", "VOLATILE", "TRANSIENT", "SECURE", "RECURSIVE"]).as_deref() {
            Some("TEMP" | "TEMPORARY" | "VOLATILE") => temporary = true,
            Some("TRANSIENT") => transient = true,
            Some("SECURE") => secure = true,
            Some("RECURSIVE") => recursive = true,
            Some(_) => {}
            None => break,
        }
    }
    if g.take("TABLE") {
        return table::create_table(g, existing, temporary, transient);
    }
    if existing == Existing::Alter && !g.is("SCHEMA") && !g.is("VIEW") {
        return Err(g.unsupported(format!("CREATE OR ALTER {}", g.word())).help("use CREATE OR REPLACE"));
    }
    if g.take("VIEW") {
        if g.if_not_exists() {
            existing = Existing::Keep;
        }
        return view(g, existing, temporary, secure, recursive, statement);
    }
    for (word, kind) in [("SCHEMA", Kind::Schema), ("DATABASE", Kind::Database)] {
        if g.take(word) {
            if g.if_not_exists() {
                existing = Existing::Keep;
            }
            return folder(g, kind, existing, transient);
        }
    }
    if g.take("SEQUENCE") {
        if g.if_not_exists() {
            existing = Existing::Keep;
        }
        return sequence(g, existing);
    }
    if g.take("FUNCTION") {
        if g.if_not_exists() {
            existing = Existing::Keep;
        }
        return function(g, existing, secure);
    }
    Err(g.expected("TABLE, VIEW, SCHEMA, DATABASE, SEQUENCE or FUNCTION"))
}

fn view(
    g: &mut Grammar,
    existing: Existing,
    temporary: bool,
    secure: bool,
    recursive: bool,
    statement: String,
) -> Result<Command, SqlError> {
    let name = g.name()?;
    let mut columns = vec![];
    let mut comment = None;
    loop {
        if g.at_symbol("(") && columns.is_empty() {
            columns = g.list(|g| {
                let name = g.ident()?;
                if g.is("MASKING") || g.is("WITH MASKING") || g.is("PROJECTION") || g.is("WITH PROJECTION") {
                    return Err(g.unsupported("policies on columns"));
                }
                if g.take("WITH TAG") || g.take("TAG") {
                    g.skip_parentheses();
                }
                Ok((name, g.comment()?))
            })?;
        } else if let Some(text) = g.comment()? {
            comment = Some(text);
        } else if g.take("COPY GRANTS") {
        } else if g.take("CHANGE_TRACKING") {
            g.skip_value()?;
        } else if g.is("WITH TAG") || g.is("TAG") {
            g.take("WITH");
            g.skip();
            g.skip_parentheses();
        } else if g.is("ROW ACCESS") || g.is("WITH ROW") || g.is("AGGREGATION POLICY") || g.is("WITH AGGREGATION") {
            return Err(g.unsupported("policies on views"));
        } else {
            break;
        }
    }
    g.expect("AS")?;
    let start = g.here().start;
    let query = g.query()?;
    let text = g.text_from(start);
    Ok(Command::CreateView(Box::new(NewView { name, existing, temporary, secure, recursive, columns, comment, query, text, statement })))
}

fn folder(g: &mut Grammar, kind: Kind, existing: Existing, transient: bool) -> Result<Command, SqlError> {
    let name = g.name()?;
    let (mut comment, mut clone) = (None, None);
    while !g.at_end() {
        if let Some(text) = g.comment()? {
            comment = Some(text);
        } else if g.take("CLONE") {
            clone = Some(g.name()?);
            if g.is("AT") || g.is("BEFORE") {
                return Err(g.unsupported(format!("time travel of a whole {}", kind.word())));
            }
        } else if g.is("FROM SHARE") {
            return Err(g.unsupported("databases of a share"));
        } else if g.is("AS REPLICA") {
            return Err(g.unsupported("replicated databases"));
        } else if g.take("WITH MANAGED ACCESS") {
        } else if g.is("WITH TAG") || g.is("TAG") {
            g.take("WITH");
            g.skip();
            g.skip_parentheses();
        } else if g.word().is_empty() {
            return Err(g.expected(&format!("a clause of CREATE {}", kind.word().to_uppercase())));
        } else {
            // retention, collation, external volumes: settings of the hosted storage
            g.skip();
            g.skip_value()?;
        }
    }
    Ok(Command::CreateFolder { kind, name, existing, transient, comment, clone })
}

fn sequence(g: &mut Grammar, existing: Existing) -> Result<Command, SqlError> {
    let name = g.name()?;
    let mut new = NewSequence { name, existing, start: 1, increment: 1, ordered: false, comment: None };
    g.take("WITH");
    while !g.at_end() {
        if g.take("START") {
            g.take("WITH");
            g.symbol("=");
            new.start = g.integer()?;
        } else if g.take("INCREMENT") {
            g.take("BY");
            g.symbol("=");
            new.increment = g.integer()?;
        } else if g.take("ORDER") {
            new.ordered = true;
        } else if g.take("NOORDER") {
            new.ordered = false;
        } else if let Some(text) = g.comment()? {
            new.comment = Some(text);
        } else {
            return Err(g.expected("START, INCREMENT, ORDER, NOORDER or COMMENT"));
        }
    }
    if new.increment == 0 {
        return Err(SqlError::new("sql/sequence", "an increment of 0 gives the same value for ever"));
    }
    Ok(Command::CreateSequence(Box::new(new)))
}

fn function(g: &mut Grammar, existing: Existing, secure: bool) -> Result<Command, SqlError> {
    let name = g.name()?;
    let arguments = g.list(|g| {
        let name = g.ident()?;
        let data_type = typed(g)?;
        let default = if g.take("DEFAULT") {
            let start = g.here().start;
            g.expr()?;
            Some(g.text_from(start))
        } else {
            None
        };
        Ok((name, data_type, default))
    })?;
    g.take("COPY GRANTS");
    g.expect("RETURNS")?;
    let returns = if g.take("TABLE") { Returns::Table(g.list(|g| Ok((g.ident()?, typed(g)?)))?) } else { Returns::Scalar(typed(g)?) };
    let mut comment = None;
    loop {
        if g.take("NOT NULL")
            || g.take("NULL")
            || g.take("CALLED ON NULL INPUT")
            || g.take("VOLATILE")
            || g.take("IMMUTABLE")
            || g.take("MEMOIZABLE")
        {
        } else if g.is("RETURNS NULL") || g.is("STRICT") {
            return Err(g.unsupported("strict functions").help("test the arguments in the body: IFF(a IS NULL, NULL, ...)"));
        } else if g.is("LANGUAGE") {
            let at = g.here();
            g.skip();
            let language = g.word();
            if language != "SQL" {
                let mut error = SqlError::unsupported(format!("functions in the language {language}"));
                error.at = Some(at);
                return Err(error.help("write the function in SQL"));
            }
            g.skip();
        } else if let Some(text) = g.comment()? {
            comment = Some(text);
        } else {
            break;
        }
    }
    g.expect("AS")?;
    let body = g.string()?.trim().trim_end_matches(';').trim_end().to_owned();
    Ok(Command::CreateFunction(Box::new(NewFunction { name, existing, secure, arguments, returns, body, comment })))
}

/// A type by Snowflake's spelling.
fn typed(g: &mut Grammar) -> Result<String, SqlError> {
    let at = g.here();
    let sql = g.data_type()?;
    match ColumnType::of(&sql) {
        Ok(column) => Ok(column.data_type.to_string()),
        Err(mut e) => {
            e.at.get_or_insert(at);
            Err(e)
        }
    }
}
