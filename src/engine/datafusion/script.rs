//! Anonymous blocks of Snowflake Scripting, step by step: each statement runs in the session as if it had been written
//! with the values of the variables (`dialect/script/`). Stored procedures and asynchronous jobs are not there.

use std::collections::HashMap;

use ::datafusion::arrow::array::{Array, ArrayRef};
use futures::future::BoxFuture;

use super::{fault, session::LocalSession};
use crate::{
    dialect::{
        function::value::to_text,
        script::{Block, Declaration, Declared, Handler, Loop, Step, parse_immediate, substitution},
        types::Type,
    },
    engine::{EngineError, Outcome},
};

/// What a name stands for.
#[derive(Clone)]
enum Slot {
    /// SQL of the value, and the declared type.
    Value {
        sql: String,
        of: Option<String>,
    },
    Rows(Option<Outcome>),
    Cursor {
        query: String,
        open: Option<(Outcome, usize)>,
    },
    Exception {
        number: i64,
        message: String,
    },
    /// The row of a FOR loop: its columns.
    Row(HashMap<String, String>),
}

/// How a step ended.
enum Flow {
    Next,
    Break(Option<String>),
    Continue(Option<String>),
    Return(Outcome),
}

/// An exception on its way up.
struct Raised {
    name: String,
    number: i64,
    error: EngineError,
}

impl From<EngineError> for Raised {
    fn from(error: EngineError) -> Self {
        let name = if error.code == "sql/script" { "EXPRESSION_ERROR" } else { "STATEMENT_ERROR" };
        Self { name: name.into(), number: 0, error }
    }
}

/// The names of a block and of those around it.
struct Scopes(Vec<HashMap<String, Slot>>);

impl Scopes {
    fn get(&self, name: &str) -> Option<&Slot> {
        self.0.iter().rev().find_map(|s| s.get(name))
    }

    fn get_mut(&mut self, name: &str) -> Option<&mut Slot> {
        self.0.iter_mut().rev().find_map(|s| s.get_mut(name))
    }

    fn declare(&mut self, name: &str, slot: Slot) {
        if let Some(scope) = self.0.last_mut() {
            scope.insert(name.to_owned(), slot);
        }
    }

    fn value(&mut self, name: &str, sql: String) {
        self.declare(name, Slot::Value { sql, of: None });
    }
}

impl substitution::Values for Scopes {
    fn variable(&self, name: &str) -> Option<String> {
        match self.get(name) {
            Some(Slot::Value { sql, .. }) => Some(sql.clone()),
            _ => None,
        }
    }

    fn field(&self, row: &str, name: &str) -> Option<String> {
        match self.get(row) {
            Some(Slot::Row(fields)) => fields.get(name).cloned(),
            _ => None,
        }
    }
}

/// The result of a block, as a statement's.
pub(super) async fn run(session: &mut LocalSession, block: &Block) -> Result<Outcome, EngineError> {
    let mut script = Script { session, scopes: Scopes(vec![HashMap::new()]) };
    for (name, sql) in [("SQLROWCOUNT", "NULL"), ("SQLFOUND", "NULL"), ("SQLNOTFOUND", "NULL")] {
        script.scopes.value(name, sql.into());
    }
    let flow = match script.block(block).await {
        Ok(Flow::Return(outcome)) => return Ok(outcome),
        Ok(_) => script.returned("NULL").await,
        Err(raised) => Err(raised),
    };
    match flow {
        Ok(Flow::Return(outcome)) => Ok(outcome),
        Ok(_) => Err(EngineError::new("sql/script", "the block gave no result")),
        Err(raised) => Err(raised.error),
    }
}

struct Script<'s> {
    session: &'s mut LocalSession,
    scopes: Scopes,
}

impl Script<'_> {
    fn block<'a>(&'a mut self, block: &'a Block) -> BoxFuture<'a, Result<Flow, Raised>> {
        Box::pin(async move {
            self.scopes.0.push(HashMap::new());
            let depth = self.scopes.0.len();
            let mut done = self.body(block).await;
            // scopes of loops that an exception left
            self.scopes.0.truncate(depth);
            if let Err(raised) = &done
                && let Some(handler) = handler_of(&block.handlers, &raised.name)
            {
                let caught = (text_literal(&raised.error.message), signed(&raised.number.to_string()), raised.name.clone());
                self.scopes.value("SQLERRM", caught.0);
                self.scopes.value("SQLCODE", caught.1);
                self.scopes.value("SQLSTATE", text_literal(if caught.2 == "EXPRESSION_ERROR" { "22000" } else { "P0001" }));
                let again = std::mem::replace(&mut done, Ok(Flow::Next)).err();
                done = match self.steps(&handler.steps).await {
                    // RAISE on its own passes the exception on
                    Err(Raised { name, .. }) if name.is_empty() => again.map_or(Ok(Flow::Next), Err),
                    other => other,
                };
            }
            self.scopes.0.truncate(depth - 1);
            done
        })
    }

    async fn body(&mut self, block: &Block) -> Result<Flow, Raised> {
        for declaration in &block.declarations {
            self.declare(declaration).await?;
        }
        self.steps(&block.steps).await
    }

    fn steps<'a>(&'a mut self, steps: &'a [Step]) -> BoxFuture<'a, Result<Flow, Raised>> {
        Box::pin(async move {
            for step in steps {
                match self.step(step).await? {
                    Flow::Next => {}
                    other => return Ok(other),
                }
            }
            Ok(Flow::Next)
        })
    }

    async fn step(&mut self, step: &Step) -> Result<Flow, Raised> {
        match step {
            Step::Null => {}
            Step::Sql { text, into } => {
                let text = self.statement(text, &[])?;
                let outcome = self.sql(text).await?;
                self.receive(into, &outcome)?;
            }
            Step::Execute { text, using, into } => {
                let outcome = self.immediate(text, using).await?;
                self.receive(into, &outcome)?;
            }
            Step::Declare(declaration) => self.declare(declaration).await?,
            Step::Assign { name, value } => self.assign(name, value).await?,
            Step::If(branches) => {
                for (condition, steps) in branches {
                    let holds = match condition {
                        Some(condition) => self.holds(condition).await?,
                        None => true,
                    };
                    if holds {
                        return self.steps(steps).await;
                    }
                }
            }
            Step::Loop { kind, label, steps } => {
                self.scopes.0.push(HashMap::new());
                let flow = self.repeat(kind, label.as_deref(), steps).await;
                self.scopes.0.pop();
                return flow;
            }
            Step::Break(label) => return Ok(Flow::Break(label.clone())),
            Step::Continue(label) => return Ok(Flow::Continue(label.clone())),
            Step::Return(value) => {
                if let Some(Slot::Rows(Some(_)) | Slot::Cursor { .. }) = value.as_deref().and_then(|v| self.scopes.get(&folded(v))) {
                    return Err(fault_of("a RESULTSET is returned as a table: RETURN TABLE(...)").into());
                }
                return self.returned(value.as_deref().unwrap_or("NULL")).await;
            }
            Step::ReturnTable(source) => return self.rows(source).await.map(Flow::Return),
            Step::Raise(None) => {
                let error = EngineError::new("sql/exception", "RAISE without a name stands in an exception handler");
                return Err(Raised { name: String::new(), number: 0, error });
            }
            Step::Raise(Some(name)) => {
                let Some(Slot::Exception { number, message }) = self.scopes.get(name) else {
                    return Err(fault_of(format!("there is no exception `{name}`")).into());
                };
                let error = EngineError::new("sql/exception", message.clone());
                let error = EngineError { notes: vec![format!("raised as `{name}`, number {number}")], ..error };
                return Err(Raised { name: name.clone(), number: *number, error });
            }
            Step::Open { cursor, using } => {
                let Some(Slot::Cursor { query, .. }) = self.scopes.get(cursor) else { return Err(no_cursor(cursor).into()) };
                let query = query.clone();
                let rows = self.query(&query, using).await?;
                if let Some(Slot::Cursor { open, .. }) = self.scopes.get_mut(cursor) {
                    *open = Some((rows, 0));
                }
            }
            Step::Fetch { cursor, into } => {
                let Some(Slot::Cursor { open, .. }) = self.scopes.get_mut(cursor) else { return Err(no_cursor(cursor).into()) };
                let Some((rows, at)) = open else { return Err(fault_of(format!("the cursor `{cursor}` is not open")).into()) };
                let row = row_of(rows, *at)?;
                *at += 1;
                // behind the last row variables become NULL
                let values = row.unwrap_or_else(|| vec![(String::new(), "NULL".into()); into.len()]);
                self.store(into, values.into_iter().map(|(_, v)| v).collect())?;
            }
            Step::Close(cursor) => match self.scopes.get_mut(cursor) {
                Some(Slot::Cursor { open, .. }) => *open = None,
                _ => return Err(no_cursor(cursor).into()),
            },
            Step::Block(block) => return self.block(block).await,
        }
        Ok(Flow::Next)
    }

    async fn declare(&mut self, declaration: &Declaration) -> Result<(), Raised> {
        let slot = match &declaration.what {
            Declared::Variable { of, value } => {
                if let Some(source) = value.as_deref().filter(|_| of.is_none())
                    && is_query(source)
                {
                    Slot::Rows(Some(self.rows(source).await?))
                } else {
                    let sql = self.value(value.as_deref().unwrap_or("NULL"), of.as_deref()).await?;
                    Slot::Value { sql, of: of.clone() }
                }
            }
            Declared::Cursor(query) => Slot::Cursor { query: query.clone(), open: None },
            Declared::Rows(None) => Slot::Rows(None),
            Declared::Rows(Some(source)) => Slot::Rows(Some(self.rows(source).await?)),
            Declared::Exception { number, message } => Slot::Exception { number: *number, message: message.clone() },
        };
        self.scopes.declare(&declaration.name, slot);
        Ok(())
    }

    async fn assign(&mut self, name: &str, value: &str) -> Result<(), Raised> {
        let slot = match self.scopes.get(name) {
            Some(Slot::Value { of, .. }) => {
                let of = of.clone();
                Slot::Value { sql: self.value(value, of.as_deref()).await?, of }
            }
            Some(Slot::Rows(_)) => Slot::Rows(Some(self.rows(value).await?)),
            Some(_) => return Err(fault_of(format!("`{name}` is not a variable")).into()),
            None => {
                let error = fault_of(format!("there is no variable `{name}`"));
                return Err(EngineError { help: Some(format!("declare it first: LET {name} := ...")), ..error }.into());
            }
        };
        if let Some(place) = self.scopes.get_mut(name) {
            *place = slot;
        }
        Ok(())
    }

    async fn repeat(&mut self, kind: &Loop, label: Option<&str>, steps: &[Step]) -> Result<Flow, Raised> {
        let mut counters = vec![];
        let mut rows = None;
        match kind {
            Loop::Counter { from, to, reverse, .. } => {
                let (from, to) = (self.whole(from).await?, self.whole(to).await?);
                counters = vec![from, to, i64::from(*reverse)];
            }
            Loop::Rows { source, .. } => {
                let outcome = match self.scopes.get(&folded(source)) {
                    Some(Slot::Cursor { open: Some((rows, _)), .. }) | Some(Slot::Rows(Some(rows))) => rows.clone(),
                    Some(Slot::Cursor { query, open: None }) => {
                        let query = query.clone();
                        self.query(&query, &[]).await?
                    }
                    _ => return Err(no_cursor(source).into()),
                };
                rows = Some(outcome);
            }
            _ => {}
        }
        let mut turn = 0_i64;
        loop {
            match kind {
                Loop::Forever | Loop::Until(_) => {}
                Loop::While(condition) => {
                    if !self.holds(condition).await? {
                        break;
                    }
                }
                Loop::Counter { name, .. } => {
                    let (from, to, reverse) = (counters[0], counters[1], counters[2] == 1);
                    let at = if reverse { to.checked_sub(turn) } else { from.checked_add(turn) };
                    match at.filter(|at| (from..=to).contains(at)) {
                        Some(at) => self.scopes.value(name, signed(&at.to_string())),
                        None => break,
                    }
                }
                Loop::Rows { name, .. } => {
                    let row = rows.as_ref().map_or(Ok(None), |rows| row_of(rows, usize::try_from(turn).unwrap_or(usize::MAX)))?;
                    let Some(row) = row else { break };
                    self.scopes.declare(name, Slot::Row(row.into_iter().collect()));
                }
            }
            turn += 1;
            // a loop without statements must be stoppable too
            tokio::task::yield_now().await;
            let depth = self.scopes.0.len();
            let flow = self.steps(steps).await?;
            self.scopes.0.truncate(depth);
            let mine = |to: &Option<String>| to.is_none() || to.as_deref() == label;
            match flow {
                Flow::Next => {}
                Flow::Break(to) if mine(&to) => break,
                Flow::Continue(to) if mine(&to) => {}
                other => return Ok(other),
            }
            if let Loop::Until(condition) = kind
                && self.holds(condition).await?
            {
                break;
            }
        }
        Ok(Flow::Next)
    }

    /// The result of RETURN: one value in a column of this name.
    async fn returned(&mut self, value: &str) -> Result<Flow, Raised> {
        let value = self.expression(value)?;
        Ok(Flow::Return(self.sql(format!("SELECT ({value}\n) AS \"anonymous block\"")).await?))
    }

    /// The rows of a RESULTSET, of a cursor, of a query in parentheses, or of EXECUTE IMMEDIATE.
    async fn rows(&mut self, source: &str) -> Result<Outcome, Raised> {
        match self.scopes.get(&folded(source)) {
            Some(Slot::Rows(Some(rows))) => return Ok(rows.clone()),
            Some(Slot::Rows(None)) => return Err(fault_of(format!("the RESULTSET `{}` has no rows yet", source.trim())).into()),
            Some(Slot::Cursor { query, .. }) => {
                let query = query.clone();
                return self.query(&query, &[]).await;
            }
            _ => {}
        }
        let inner = source.trim();
        let inner = inner.strip_prefix('(').and_then(|s| s.strip_suffix(')')).unwrap_or(inner).trim();
        if let Some((text, using)) = parse_immediate(inner).map_err(fault::sql)? {
            return self.immediate(&text, &using).await;
        }
        self.query(source.trim(), &[]).await
    }

    /// A query, or the name of the RESULTSET that a cursor goes over.
    async fn query(&mut self, query: &str, using: &[String]) -> Result<Outcome, Raised> {
        if let Some(Slot::Rows(Some(rows))) = self.scopes.get(&folded(query)) {
            return Ok(rows.clone());
        }
        let text = self.bound(query, using).await?;
        self.sql(text).await
    }

    async fn immediate(&mut self, text: &str, using: &[String]) -> Result<Outcome, Raised> {
        let text = self.expression(text)?;
        let value = self.sql(format!("SELECT ({text}\n)")).await?;
        let statement = match plain(&value)? {
            Some(text) => text,
            None => return Err(fault_of("EXECUTE IMMEDIATE was given NULL").into()),
        };
        let mut bound = vec![];
        for value in using {
            bound.push(self.value(value, None).await?);
        }
        let statement = substitution::in_statement(&statement, &Scopes(vec![]), &bound).map_err(fault::sql)?;
        self.sql(statement).await
    }

    async fn bound(&mut self, text: &str, using: &[String]) -> Result<String, Raised> {
        let mut bound = vec![];
        for value in using {
            bound.push(self.value(value, None).await?);
        }
        self.statement(text, &bound)
    }

    fn statement(&self, text: &str, bound: &[String]) -> Result<String, Raised> {
        Ok(substitution::in_statement(text, &self.scopes, bound).map_err(fault::sql)?)
    }

    fn expression(&self, text: &str) -> Result<String, Raised> {
        Ok(substitution::in_expression(text, &self.scopes).map_err(fault::sql)?)
    }

    async fn sql(&mut self, text: String) -> Result<Outcome, Raised> {
        let outcome = self.session.run_text(text).await?;
        if let Some(n) = outcome.rows_affected {
            let found = if n > 0 { ("TRUE", "FALSE") } else { ("FALSE", "TRUE") };
            for (name, value) in [("SQLROWCOUNT", n.to_string()), ("SQLFOUND", found.0.into()), ("SQLNOTFOUND", found.1.into())] {
                if let Some(scope) = self.scopes.0.first_mut() {
                    scope.insert(name.into(), Slot::Value { sql: value, of: None });
                }
            }
        }
        Ok(outcome)
    }

    /// The SQL of an expression's value.
    async fn value(&mut self, text: &str, of: Option<&str>) -> Result<String, Raised> {
        let text = self.expression(text)?;
        let query = match of {
            Some(of) => format!("SELECT CAST(({text}\n) AS {of})"),
            None => format!("SELECT ({text}\n)"),
        };
        let outcome = self.sql(query).await?;
        let row = row_of(&outcome, 0)?.and_then(|row| row.into_iter().next());
        Ok(row.map_or_else(|| "NULL".to_owned(), |(_, sql)| sql))
    }

    async fn holds(&mut self, condition: &str) -> Result<bool, Raised> {
        Ok(self.value(condition, Some("BOOLEAN")).await?.eq_ignore_ascii_case("TRUE"))
    }

    async fn whole(&mut self, text: &str) -> Result<i64, Raised> {
        let value = self.value(text, Some("INTEGER")).await?;
        value
            .trim_matches(['(', ')'])
            .parse()
            .map_err(|_| fault_of(format!("the bound `{}` of a FOR loop is not a number", text.trim())).into())
    }

    /// INTO: the values of the one row.
    fn receive(&mut self, into: &[String], outcome: &Outcome) -> Result<(), Raised> {
        if into.is_empty() {
            return Ok(());
        }
        let count: usize = outcome.batches.iter().map(|b| b.num_rows()).sum();
        let Some(row) = row_of(outcome, 0)?.filter(|_| count == 1) else {
            return Err(fault_of(format!("SELECT INTO needs exactly one row, the query gave {count}")).into());
        };
        self.store(into, row.into_iter().map(|(_, v)| v).collect())
    }

    fn store(&mut self, into: &[String], values: Vec<String>) -> Result<(), Raised> {
        if into.len() != values.len() {
            return Err(fault_of(format!("INTO has {} variables for {} columns", into.len(), values.len())).into());
        }
        for (name, value) in into.iter().zip(values) {
            match self.scopes.get_mut(name) {
                Some(Slot::Value { sql, of }) => {
                    *sql = match of {
                        Some(of) => format!("CAST({value} AS {of})"),
                        None => value,
                    }
                }
                _ => return Err(fault_of(format!("there is no variable `{name}`")).into()),
            }
        }
        Ok(())
    }
}

fn handler_of<'a>(handlers: &'a [Handler], name: &str) -> Option<&'a Handler> {
    handlers.iter().find(|h| h.names.iter().any(|n| n == name)).or_else(|| handlers.iter().find(|h| h.names.is_empty()))
}

fn fault_of(message: impl Into<String>) -> EngineError {
    EngineError::new("sql/script", message)
}

fn no_cursor(name: &str) -> EngineError {
    fault_of(format!("there is no cursor or RESULTSET `{name}`"))
}

/// A name as it is declared.
fn folded(text: &str) -> String {
    let text = text.trim().trim_start_matches(':');
    match text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) {
        Some(quoted) => quoted.to_owned(),
        None => text.to_uppercase(),
    }
}

fn is_query(text: &str) -> bool {
    let text = text.trim().trim_start_matches('(').trim_start().to_uppercase();
    text.starts_with("EXECUTE IMMEDIATE")
}

fn text_literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// A number as it may stand anywhere: `1-` before `-2` would begin a comment.
fn signed(digits: &str) -> String {
    if digits.starts_with('-') { format!("({digits})") } else { digits.to_owned() }
}

/// The text of a result's one value.
fn plain(outcome: &Outcome) -> Result<Option<String>, EngineError> {
    let Some(batch) = outcome.batches.iter().find(|b| b.num_rows() > 0) else { return Ok(None) };
    let text = to_text(batch.column(0), Type::of(outcome.schema.field(0))).map_err(|e| fault_of(e.to_string()))?;
    Ok((!text.is_null(0)).then(|| text.value(0).to_owned()))
}

/// The columns of a row with the SQL of their values.
fn row_of(outcome: &Outcome, mut at: usize) -> Result<Option<Vec<(String, String)>>, EngineError> {
    for batch in &outcome.batches {
        if at >= batch.num_rows() {
            at -= batch.num_rows();
            continue;
        }
        let columns = outcome.schema.fields().iter().zip(batch.columns());
        let row = columns.map(|(field, column)| Ok((field.name().clone(), literal(&column.slice(at, 1), Type::of(field))?)));
        return row.collect::<Result<_, EngineError>>().map(Some);
    }
    Ok(None)
}

/// SQL that gives the value again, of the same type.
fn literal(value: &ArrayRef, of: Type) -> Result<String, EngineError> {
    let text = to_text(value, of).map_err(|e| fault_of(e.to_string()))?;
    if text.is_null(0) {
        return Ok("NULL".into());
    }
    let quoted = text_literal(text.value(0));
    Ok(match of {
        Type::Varchar => quoted,
        Type::Boolean => text.value(0).to_uppercase(),
        Type::Number { .. } => signed(text.value(0)),
        Type::Semi(_) => format!("CAST(PARSE_JSON({quoted}) AS {of})"),
        _ => format!("CAST({quoted} AS {of})"),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn blocks_give_what_they_return() {
        for (block, expected) in [
            ("begin return 1 + 1; end", "2"),
            ("begin let x := 5; x := x * 2; return x || '!'; end", "10!"),
            ("declare a int; b string; begin select 1, 'it''s' into :a, :b; return a || ' ' || b; end", "1 it's"),
            ("begin let s := 0; for i in 1 to 4 do s := s + i; end for; return s; end", "10"),
            ("begin let s := ''; for i in reverse 1 to 3 do s := s || i; end for; return s; end", "321"),
            ("begin let n := 0; while (n < 10) do n := n + 3; if (n > 5) then break; end if; end while; return n; end", "6"),
            ("begin let n := 0; repeat n := n + 1; until (n >= 3) end repeat; return n; end", "3"),
            ("begin let n := 0; loop n := n + 1; if (n < 5) then continue; end if; break; end loop; return n; end", "5"),
            (
                "declare c cursor for select column1 v from values (1),(2); s int default 0; begin for r in c do s := s + r.v; end for; return s; end",
                "3",
            ),
            (
                "declare c cursor for select column1 from values (1),(2) where column1 > ?; v int; begin open c using (1); fetch c into v; close c; return v; end",
                "2",
            ),
            ("declare e exception (-20002, 'mine'); begin raise e; exception when e then return sqlcode || sqlerrm; end", "-20002mine"),
            ("begin let x := 1/0; exception when other then return 'caught'; end", "caught"),
            ("begin let r resultset := (select 3 as a); return table(r); end", "3"),
            ("begin execute immediate 'select ?' using (7); let x := (select max(column1) from values (4),(9)); return x; end", "9"),
            ("begin case when false then return 1; else return case 2 when 2 then 'b' end; end case; end", "b"),
            ("begin let d date := '2024-01-31'; begin d := dateadd(day, 1, d); end; return d; end", "2024-02-01"),
        ] {
            check(&format!("execute immediate $$ {block} $$"), expected).await;
        }
    }
}
