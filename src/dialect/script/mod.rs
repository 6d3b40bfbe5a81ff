//! Snowflake Scripting: the text of an anonymous block to its steps (Snowflake documentation, "Snowflake Scripting").
//!
//! Statements and expressions within stay text, because what they mean depends on the variables at the time they run:
//! [`substitution`] puts the values in. Whoever runs a block decides what a step does.

mod grammar;
pub mod substitution;

pub use grammar::{block_length, is_block, parse_block, parse_immediate};

/// `DECLARE ... BEGIN ... EXCEPTION ... END`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Block {
    pub declarations: Vec<Declaration>,
    pub steps: Vec<Step>,
    pub handlers: Vec<Handler>,
}

/// A name that DECLARE or LET makes, in upper case unless it was quoted.
#[derive(Clone, Debug, PartialEq)]
pub struct Declaration {
    pub name: String,
    pub what: Declared,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Declared {
    Variable {
        of: Option<String>,
        value: Option<String>,
    },
    /// CURSOR FOR a query or a RESULTSET variable.
    Cursor(String),
    /// RESULTSET, with the query that fills it.
    Rows(Option<String>),
    Exception {
        number: i64,
        message: String,
    },
}

/// `WHEN a OR b THEN ...`; no names for OTHER.
#[derive(Clone, Debug, PartialEq)]
pub struct Handler {
    pub names: Vec<String>,
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// A statement of SQL; where the values of its one row go.
    Sql {
        text: String,
        into: Vec<String>,
    },
    Declare(Declaration),
    Assign {
        name: String,
        value: String,
    },
    /// Conditions in order, each with its steps; a condition of its own is ELSE.
    If(Vec<(Option<String>, Vec<Step>)>),
    Loop {
        kind: Loop,
        label: Option<String>,
        steps: Vec<Step>,
    },
    Break(Option<String>),
    Continue(Option<String>),
    /// RETURN with the expression, if any.
    Return(Option<String>),
    /// RETURN TABLE(...): a variable, or a query.
    ReturnTable(String),
    Raise(Option<String>),
    Open {
        cursor: String,
        using: Vec<String>,
    },
    Fetch {
        cursor: String,
        into: Vec<String>,
    },
    Close(String),
    /// EXECUTE IMMEDIATE expression [USING (...)].
    Execute {
        text: String,
        using: Vec<String>,
        into: Vec<String>,
    },
    Block(Block),
    Null,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Loop {
    Forever,
    While(String),
    /// REPEAT ... UNTIL
    Until(String),
    Counter {
        name: String,
        from: String,
        to: String,
        reverse: bool,
    },
    /// FOR row IN cursor or RESULTSET
    Rows {
        name: String,
        source: String,
    },
}
