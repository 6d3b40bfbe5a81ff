//! One statement on a session: sent once, waited for as long as it runs, aborted when nobody waits any more.
//!
//! A statement has one request id for its whole life. The server runs an id once: whatever is sent again after a lost answer is
//! answered with the result of the first.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::{
    Link, fault,
    login::Login,
    result::Reply,
    transport::{Answer, Call},
};
use crate::engine::EngineError;

pub(super) const SESSION_EXPIRED: &str = "390112";
/// The session is no more, and no token brings it back.
const SESSION_GONE: [&str; 5] = ["390104", "390110", "390111", "390114", "390115"];
/// A token came of age: as with the session's, the master token may bring a new one, once.
const TOKEN_EXPIRED: &str = "390114";
const STILL_RUNNING: [&str; 2] = ["333333", "333334"];

/// A statement and what goes with it.
#[derive(Clone, Debug, Default)]
pub(super) struct Statement {
    pub(super) sql: String,
    /// Only the columns of the result are asked for.
    pub(super) describe_only: bool,
    /// Session parameters for this statement alone: `QUERY_TAG`.
    pub(super) parameters: Map<String, Json>,
}

impl Statement {
    pub(super) fn new(sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), ..Self::default() }
    }
}

/// Why a statement has no result.
pub(super) enum Unanswered {
    Failed(EngineError),
    /// The session has ended; `begun` when the statement may have run all the same.
    Gone {
        begun: bool,
        error: EngineError,
    },
}

impl From<EngineError> for Unanswered {
    fn from(error: EngineError) -> Self {
        Self::Failed(error)
    }
}

/// A session's own counter of statements, which the server expects.
#[derive(Default)]
pub(super) struct Sequence(AtomicU64);

enum Next {
    Send,
    Ask(String),
}

pub(super) async fn run(link: &Arc<Link>, login: &Arc<Login>, sequence: &Sequence, statement: &Statement) -> Result<Reply, Unanswered> {
    let id = Uuid::new_v4();
    let mut body = json!({
        "sqlText": statement.sql,
        "asyncExec": false,
        "sequenceId": sequence.0.fetch_add(1, Ordering::Relaxed) + 1,
        "querySubmissionTime": chrono::Utc::now().timestamp_millis(),
        "describeOnly": statement.describe_only,
        "isInternal": false,
    });
    if !statement.parameters.is_empty() {
        body["parameters"] = Json::Object(statement.parameters.clone());
    }
    let mut abort = AbortOnDrop { link, login, id, sql: &statement.sql, armed: !statement.describe_only };
    let mut next = Next::Send;
    let (mut begun, mut token_expired) = (false, false);
    link.count_statement();
    loop {
        let token = login.token();
        let patience = link.settings.network_timeout;
        let answer = match &next {
            Next::Send => {
                let parameters = vec![("requestId", id.to_string())];
                let call = Call { path: "/queries/v1/query-request", parameters, token: Some(token.clone()), patience };
                link.transport.post(call, &body).await
            }
            Next::Ask(path) => link.transport.get(Call { path, parameters: vec![], token: Some(token.clone()), patience }).await,
        };
        let Answer { body: answered, repeated } = answer?;
        begun |= repeated;
        let code = answered.get("code").map(code_of).unwrap_or_default();
        if code == SESSION_EXPIRED || (code == TOKEN_EXPIRED && !token_expired) {
            token_expired |= code == TOKEN_EXPIRED;
            if let Err(error) = login.renew(&token, &link.transport, &link.settings).await {
                abort.armed = false;
                return Err(if error.code == "engine/login" { Unanswered::Gone { begun, error } } else { error.into() });
            }
            continue;
        }
        if STILL_RUNNING.contains(&code.as_str()) {
            begun = true;
            let Some(path) = answered.pointer("/data/getResultUrl").and_then(Json::as_str) else {
                return Err(EngineError::new("engine/internal", "Snowflake says that a statement still runs, but not where to ask").into());
            };
            next = Next::Ask(path.to_owned());
            continue;
        }
        // whatever it was, it has ended
        abort.armed = false;
        if SESSION_GONE.contains(&code.as_str()) {
            let message = answered.get("message").and_then(Json::as_str).unwrap_or("the session has ended");
            let error = EngineError::new("engine/login", format!("Snowflake ended the session: {message}"));
            return Err(Unanswered::Gone { begun, error });
        }
        if answered.get("success").and_then(Json::as_bool) != Some(true) {
            return Err(fault::of_answer(&answered, &code, &statement.sql).into());
        }
        let reply = Reply::read(answered, link, login)?;
        link.note_query(&reply.query_id);
        return Ok(reply);
    }
}

pub(super) fn code_of(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

/// A statement that nobody waits for is told to stop: Ctrl-C drops the future that ran it.
struct AbortOnDrop<'a> {
    link: &'a Arc<Link>,
    login: &'a Arc<Login>,
    id: Uuid,
    sql: &'a str,
    armed: bool,
}

impl Drop for AbortOnDrop<'_> {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let (link, token) = (Arc::clone(self.link), self.login.token());
        let body = json!({"sqlText": self.sql, "requestId": self.id.to_string()});
        self.link.in_background(async move {
            let call = Call {
                path: "/queries/v1/abort-request",
                parameters: vec![("requestId", Uuid::new_v4().to_string())],
                token: Some(token),
                patience: std::time::Duration::from_secs(5),
            };
            let _ = link.transport.post(call, &body).await;
        });
    }
}
