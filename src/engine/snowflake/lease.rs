//! Sessions between their users. A login costs a second; a session that nothing was changed in serves the next user.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{
    Link,
    login::Login,
    query::{self, Sequence, Statement, Unanswered},
    result::Reply,
};
use crate::engine::EngineError;

/// Between two heartbeats of waiting sessions.
const HEARTBEAT: std::time::Duration = std::time::Duration::from_secs(900);

/// A session on the server, and what its next user must know.
struct Connection {
    login: Arc<Login>,
    sequence: Sequence,
    /// Variables, temporary objects, another role or schema: nobody else may have it.
    changed: bool,
    /// It stays changed whatever is put back.
    kept: bool,
    in_transaction: bool,
    /// Whether unqualified names have a schema to be in.
    has_schema: bool,
}

pub(super) struct Pool {
    waiting: Mutex<Vec<Connection>>,
    /// All logins that live, for heartbeats.
    logins: Mutex<Vec<std::sync::Weak<Login>>>,
    beating: std::sync::Once,
}

impl Default for Pool {
    fn default() -> Self {
        Self { waiting: Mutex::default(), logins: Mutex::default(), beating: std::sync::Once::new() }
    }
}

impl Pool {
    pub(super) fn end_all(&self, link: &Arc<Link>) {
        for connection in std::mem::take(&mut *self.waiting.lock()) {
            end(link, connection.login);
        }
    }
}

fn end(link: &Arc<Link>, login: Arc<Login>) {
    let of = Arc::clone(link);
    link.in_background(async move { login.end(&of.transport, &of.settings).await });
}

/// A session for one user, begun or taken from the pool at the first statement.
pub(super) struct Lease {
    link: Arc<Link>,
    connection: Option<Connection>,
}

impl Lease {
    pub(super) fn new(link: &Arc<Link>) -> Self {
        Self { link: Arc::clone(link), connection: None }
    }

    pub(super) async fn run(&mut self, sql: &str) -> Result<Reply, EngineError> {
        self.execute(&Statement::new(sql)).await
    }

    pub(super) async fn execute(&mut self, statement: &Statement) -> Result<Reply, EngineError> {
        let effect = Effect::of(&statement.sql);
        for again in [true, false] {
            let link = Arc::clone(&self.link);
            let connection = self.connection().await?;
            match query::run(&link, &connection.login, &connection.sequence, statement).await {
                Ok(reply) => {
                    connection.take_in(&effect);
                    return Ok(reply);
                }
                Err(Unanswered::Failed(error)) => {
                    // a BEGIN whose answer was lost may stand; a transaction may be open after a failed COMMIT
                    connection.changed |= matches!(effect, Effect::Session | Effect::Begin | Effect::End);
                    return Err(error);
                }
                Err(Unanswered::Gone { begun, error }) => {
                    let had_state = connection.changed || connection.in_transaction;
                    self.connection = None;
                    if had_state || begun || !again {
                        return Err(match had_state {
                            true => error.help("its temporary tables and variables went with it: run the command again"),
                            false => error,
                        });
                    }
                }
            }
        }
        Err(EngineError::new("engine/login", "Snowflake ends every session at once"))
    }

    /// Whatever happens to the session from here on, nobody gets it after.
    pub(super) fn keep_to_oneself(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.changed = true;
            connection.kept = true;
        }
    }

    /// What was changed in the session is as it was before.
    pub(super) fn is_clean(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.changed = connection.kept;
        }
    }

    pub(super) async fn has_schema(&mut self) -> Result<bool, EngineError> {
        Ok(self.connection().await?.has_schema)
    }

    /// The session's schema is now the target's.
    pub(super) fn is_home(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.has_schema = true;
        }
    }

    pub(super) fn in_transaction(&self) -> bool {
        self.connection.as_ref().is_some_and(|c| c.in_transaction)
    }

    async fn connection(&mut self) -> Result<&mut Connection, EngineError> {
        if self.connection.is_none() {
            let waiting = self.link.pool.waiting.lock().pop();
            let connection = match waiting {
                Some(connection) => connection,
                None => {
                    let (login, has_schema) = Login::begin(&self.link.transport, &self.link.settings).await?;
                    let login = Arc::new(login);
                    keep_alive(&self.link, &login);
                    Connection { login, sequence: Sequence::default(), changed: false, kept: false, in_transaction: false, has_schema }
                }
            };
            self.connection = Some(connection);
        }
        self.connection.as_mut().ok_or_else(|| EngineError::new("engine/internal", "a session without a connection"))
    }
}

impl Connection {
    fn take_in(&mut self, effect: &Effect) {
        match effect {
            Effect::Begin => self.in_transaction = true,
            Effect::End => self.in_transaction = false,
            Effect::Session => self.changed = true,
            Effect::None => {}
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        // the server rolls an open transaction back with its session
        if connection.changed || connection.in_transaction {
            end(&self.link, connection.login);
        } else {
            self.link.pool.waiting.lock().push(connection);
        }
    }
}

/// What a statement does to its session.
#[derive(Debug, PartialEq, Eq)]
enum Effect {
    None,
    Begin,
    End,
    Session,
}

impl Effect {
    fn of(sql: &str) -> Self {
        let words: Vec<String> = words(sql).take(6).collect();
        let word = |i: usize| words.get(i).map_or("", String::as_str);
        match (word(0), word(1)) {
            ("BEGIN", "" | "TRANSACTION" | "WORK" | "NAME") | ("START", "TRANSACTION") => Self::Begin,
            ("COMMIT" | "ROLLBACK", _) => Self::End,
            ("SET" | "UNSET" | "USE", _) | ("ALTER", "SESSION") => Self::Session,
            // a block or a procedure may do anything
            ("BEGIN" | "DECLARE" | "CALL" | "EXECUTE", _) => Self::Session,
            ("CREATE", _) if words.iter().any(|w| matches!(w.as_str(), "TEMP" | "TEMPORARY" | "VOLATILE")) => Self::Session,
            _ => Self::None,
        }
    }
}

/// The words that a statement begins with, comments left out, in upper case.
pub(super) fn words(sql: &str) -> impl Iterator<Item = String> + '_ {
    let mut rest = sql;
    std::iter::from_fn(move || {
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ';' || c == '(');
            if let Some(after) = rest.strip_prefix("--").or_else(|| rest.strip_prefix("//")) {
                rest = after.find('\n').map_or("", |end| &after[end..]);
            } else if let Some(after) = rest.strip_prefix("/*") {
                rest = after.find("*/").map_or("", |end| &after[end + 2..]);
            } else {
                break;
            }
        }
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        (!word.is_empty()).then(|| word.to_uppercase())
    })
}

/// `client_session_keep_alive`: sessions that wait for hours are not ended.
fn keep_alive(link: &Arc<Link>, login: &Arc<Login>) {
    if !link.settings.keep_alive {
        return;
    }
    link.pool.logins.lock().push(Arc::downgrade(login));
    let of = Arc::downgrade(link);
    link.pool.beating.call_once(|| {
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(HEARTBEAT).await;
                let Some(link) = of.upgrade() else { return };
                let living: Vec<Arc<Login>> = {
                    let mut logins = link.pool.logins.lock();
                    logins.retain(|l| l.strong_count() > 0);
                    logins.iter().filter_map(std::sync::Weak::upgrade).collect()
                };
                for login in living {
                    let _ = login.heartbeat(&link.transport, &link.settings).await;
                }
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects_are_told_by_the_first_words() {
        for (sql, expect) in [
            ("select 1", Effect::None),
            ("-- set x\nselect 1", Effect::None),
            ("/* c */ SET x = 1", Effect::Session),
            ("use warehouse w", Effect::Session),
            ("alter session set timezone = 'UTC'", Effect::Session),
            ("alter table t add column c int", Effect::None),
            ("create or replace temporary table t (a int)", Effect::Session),
            ("create table t as select 1 as temp", Effect::None),
            ("begin", Effect::Begin),
            ("BEGIN TRANSACTION", Effect::Begin),
            ("begin let x := 1; end", Effect::Session),
            ("commit;", Effect::End),
        ] {
            assert_eq!(Effect::of(sql), expect, "{sql}");
        }
    }
}
