//! Statements about objects: text to [`Command`]. sqlparser's grammar of definitions misses much of Snowflake's, and
//! takes some of it for something else, so CREATE, ALTER, DROP, SHOW and their kin are read here, from its tokens.
//! Queries and changes of rows stay with sqlparser.
//!
//! | file | what it reads |
//! |---|---|
//! | `grammar.rs` | words, names, literals, places |
//! | `create.rs` | CREATE of everything but tables |
//! | `table.rs` | CREATE TABLE, its columns and constraints |
//! | `alter.rs` | ALTER, DROP, UNDROP, COMMENT |
//! | `show.rs` | SHOW, DESCRIBE, USE |
//! | `refusal.rs` | statements of the hosted service, refused by name |

mod alter;
mod create;
mod grammar;
mod refusal;
mod show;
mod table;

use sqlparser::ast::{Expr, Ident, ObjectName, Query, Statement};

pub use alter::{ColumnChange, FolderChange, FunctionChange, SequenceChange, TableChange, ViewChange};
pub use create::{NewFunction, NewSequence, NewView, Returns};
use grammar::Grammar;
pub use show::{Listed, Reach, Show};
pub use table::{ColumnType, Existing, NewColumn, NewConstraint, NewTable, Rows};

use super::{SqlError, indirection::Variable, parse};

/// One statement.
#[derive(Debug)]
pub enum Command {
    /// A query, a change of rows, or a setting, as sqlparser reads it.
    Sql(Box<Statement>),
    /// EXECUTE IMMEDIATE: a statement that an expression gives.
    Execute(Box<Expr>),
    CreateTable(Box<NewTable>),
    CreateView(Box<NewView>),
    CreateFolder {
        kind: Kind,
        name: ObjectName,
        existing: Existing,
        transient: bool,
        comment: Option<String>,
        clone: Option<ObjectName>,
    },
    CreateSequence(Box<NewSequence>),
    CreateFunction(Box<NewFunction>),
    AlterTable {
        name: ObjectName,
        if_exists: bool,
        change: TableChange,
    },
    AlterView {
        name: ObjectName,
        if_exists: bool,
        change: ViewChange,
    },
    AlterFolder {
        kind: Kind,
        name: ObjectName,
        if_exists: bool,
        change: FolderChange,
    },
    AlterSequence {
        name: ObjectName,
        if_exists: bool,
        change: SequenceChange,
    },
    AlterFunction {
        name: ObjectName,
        arguments: Vec<String>,
        if_exists: bool,
        change: FunctionChange,
    },
    Drop {
        kind: Kind,
        name: ObjectName,
        if_exists: bool,
        /// Types of the arguments of a function.
        arguments: Vec<String>,
    },
    Undrop {
        kind: Kind,
        name: ObjectName,
    },
    Comment {
        kind: Kind,
        name: ObjectName,
        arguments: Vec<String>,
        if_exists: bool,
        text: String,
    },
    Describe {
        kind: Kind,
        name: ObjectName,
        arguments: Vec<String>,
    },
    Show(Box<Show>),
    Truncate {
        name: ObjectName,
        if_exists: bool,
    },
    Use {
        kind: Option<Kind>,
        name: ObjectName,
    },
    /// ROLE, WAREHOUSE, SECONDARY ROLES: nothing on one machine depends on them, but they can be asked for.
    UseNothing {
        kind: &'static str,
        name: String,
    },
    Begin,
    Commit,
    Rollback,
    /// INSERT ALL / INSERT FIRST.
    InsertAll(Box<InsertAll>),
}

/// Several tables filled from one query.
#[derive(Debug)]
pub struct InsertAll {
    pub overwrite: bool,
    /// Only the first branch whose condition holds.
    pub first: bool,
    pub branches: Vec<Branch>,
    pub query: Box<Query>,
}

/// `WHEN condition THEN INTO ...`; without a condition all rows, or (`otherwise`) those that no branch took.
#[derive(Debug)]
pub struct Branch {
    pub condition: Option<Expr>,
    pub otherwise: bool,
    pub targets: Vec<(ObjectName, Vec<Ident>, Option<Vec<Expr>>)>,
}

/// What a statement is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Table,
    View,
    Schema,
    Database,
    Sequence,
    Function,
    Column,
}

impl Kind {
    pub fn word(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::View => "view",
            Self::Schema => "schema",
            Self::Database => "database",
            Self::Sequence => "sequence",
            Self::Function => "function",
            Self::Column => "column",
        }
    }
}

/// Reads exactly one statement (a semicolon at its end is fine). Names may be told by session variables.
pub fn parse_command(sql: &str, variable: Variable<'_>) -> Result<Command, SqlError> {
    let mut g = Grammar::new(sql, variable)?;
    if let Some(refused) = refusal::refused(&g) {
        return Err(refused);
    }
    let command = match g.word().as_str() {
        "CREATE" => Some(create::create(&mut g)?),
        "ALTER" => alter::alter(&mut g)?,
        "DROP" => Some(alter::drop_object(&mut g)?),
        "UNDROP" => Some(alter::undrop(&mut g)?),
        "COMMENT" => Some(alter::comment(&mut g)?),
        "DESC" | "DESCRIBE" => Some(show::describe(&mut g)?),
        "SHOW" => Some(show::show(&mut g)?),
        "USE" => Some(show::use_object(&mut g)?),
        "TRUNCATE" => Some(alter::truncate(&mut g)?),
        "BEGIN" if g.after("BEGIN", &["TRANSACTION", "WORK", "NAME"]) => Some(transaction(&mut g, Command::Begin)?),
        "START" if g.is("START TRANSACTION") => Some(transaction(&mut g, Command::Begin)?),
        "COMMIT" => Some(transaction(&mut g, Command::Commit)?),
        "ROLLBACK" => Some(transaction(&mut g, Command::Rollback)?),
        "EXPLAIN" if g.is("EXPLAIN USING") => {
            for _ in 0..3 {
                g.skip();
            }
            // as text whatever is asked for; spaces keep the places of what follows
            let start = g.here().start;
            let text = format!("EXPLAIN{}{}", " ".repeat(start.saturating_sub(7)), sql.get(start..).unwrap_or_default());
            return parse::parse_statement(&text).map(|s| Command::Sql(Box::new(s)));
        }
        "EXECUTE" if g.is("EXECUTE IMMEDIATE") => {
            g.skip();
            g.skip();
            let text = g.expr()?;
            if g.is("USING") {
                return Err(g.unsupported("`USING` of EXECUTE IMMEDIATE"));
            }
            Some(Command::Execute(Box::new(text)))
        }
        "INSERT" if g.is("INSERT ALL") || g.is("INSERT FIRST") || g.is("INSERT OVERWRITE ALL") || g.is("INSERT OVERWRITE FIRST") => {
            Some(insert_all(&mut g)?)
        }
        _ => None,
    };
    match command {
        Some(command) => {
            g.end()?;
            Ok(command)
        }
        None => g.statement().map(|s| Command::Sql(Box::new(s))),
    }
}

fn transaction(g: &mut Grammar, command: Command) -> Result<Command, SqlError> {
    g.skip();
    if !g.take("TRANSACTION") {
        g.take("WORK");
    }
    if g.take("NAME") {
        g.ident()?;
    }
    Ok(command)
}

/// `INSERT [OVERWRITE] {ALL | FIRST} {WHEN .. THEN INTO .. | INTO ..}... [ELSE INTO ..] query` (Snowflake documentation,
/// "INSERT (multi-table)").
fn insert_all(g: &mut Grammar) -> Result<Command, SqlError> {
    g.skip();
    let overwrite = g.take("OVERWRITE");
    let first = g.take("FIRST");
    if !first {
        g.expect("ALL")?;
    }
    let mut branches = vec![];
    loop {
        if g.take("WHEN") {
            let condition = Some(g.expr()?);
            g.expect("THEN")?;
            branches.push(Branch { condition, otherwise: false, targets: targets(g)? });
        } else if g.take("ELSE") {
            branches.push(Branch { condition: None, otherwise: true, targets: targets(g)? });
        } else if g.is("INTO") {
            branches.push(Branch { condition: None, otherwise: false, targets: targets(g)? });
        } else {
            break;
        }
    }
    if branches.is_empty() {
        return Err(g.expected("WHEN or INTO"));
    }
    let query = g.query()?;
    Ok(Command::InsertAll(Box::new(InsertAll { overwrite, first, branches, query })))
}

type Target = (ObjectName, Vec<Ident>, Option<Vec<Expr>>);

fn targets(g: &mut Grammar) -> Result<Vec<Target>, SqlError> {
    let mut targets = vec![];
    while g.take("INTO") {
        let name = g.name()?;
        let columns = if g.at_symbol("(") { g.idents()? } else { vec![] };
        let values = if g.take("VALUES") { Some(g.exprs()?) } else { None };
        targets.push((name, columns, values));
    }
    if targets.is_empty() { Err(g.expected("INTO")) } else { Ok(targets) }
}
