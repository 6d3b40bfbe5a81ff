//! Requests to the account: tried again while the host is away or busy, always under the request id they began with, so that the
//! server can tell a repeated request from a new one.

use std::time::{Duration, Instant};

use reqwest::{Client, Method, Response, StatusCode};
use serde_json::Value as Json;
use uuid::Uuid;

use super::settings::Settings;
use crate::engine::EngineError;

/// The server holds a request for at most 45 s before it answers that the statement still runs.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(90);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(16);
/// What a server may ask for with `Retry-After`.
const LONGEST_WISH: Duration = Duration::from_secs(300);

/// One HTTP client for all sessions of an engine.
#[derive(Clone)]
pub(super) struct Transport {
    http: Client,
    base: String,
}

/// What is sent, apart from its body.
pub(super) struct Call<'a> {
    pub(super) path: &'a str,
    pub(super) parameters: Vec<(&'a str, String)>,
    pub(super) token: Option<String>,
    /// Attempts go on for so long.
    pub(super) patience: Duration,
}

/// An answer, and whether an earlier attempt may have arrived too.
pub(super) struct Answer {
    pub(super) body: Json,
    pub(super) repeated: bool,
}

impl Transport {
    pub(super) fn new(settings: &Settings) -> Result<Self, EngineError> {
        let mut builder = Client::builder()
            .connect_timeout(settings.connect_timeout)
            .timeout(ANSWER_TIMEOUT)
            .gzip(true)
            .user_agent(concat!("segue/", env!("CARGO_PKG_VERSION")));
        if let Some(proxy) = &settings.proxy {
            let proxy = reqwest::Proxy::all(proxy)
                .map_err(|_| EngineError::new("engine/snowflake-settings", "`proxy_host` and `proxy_port` are no address"))?;
            builder = builder.proxy(proxy);
        }
        let http = builder.build().map_err(|e| EngineError::new("engine/internal", format!("no HTTP client: {e}")))?;
        Ok(Self { http, base: settings.base.clone() })
    }

    pub(super) fn host(&self) -> &str {
        &self.base
    }

    pub(super) fn http(&self) -> &Client {
        &self.http
    }

    pub(super) async fn post(&self, call: Call<'_>, body: &Json) -> Result<Answer, EngineError> {
        self.send(Method::POST, call, Some(body)).await
    }

    pub(super) async fn get(&self, call: Call<'_>) -> Result<Answer, EngineError> {
        self.send(Method::GET, call, None).await
    }

    async fn send(&self, method: Method, call: Call<'_>, body: Option<&Json>) -> Result<Answer, EngineError> {
        let began = Instant::now();
        let mut attempt = 0_u32;
        let mut reason = 0;
        // an attempt whose answer was lost may have arrived
        let mut repeated = false;
        loop {
            let mut wish = None;
            let url = if call.path.starts_with("http") { call.path.to_owned() } else { format!("{}{}", self.base, call.path) };
            let mut request = self
                .http
                .request(method.clone(), url)
                .header("accept", "application/snowflake")
                .query(&call.parameters)
                .query(&[("request_guid", Uuid::new_v4().to_string())]);
            if attempt > 0 {
                request = request.query(&[("retryCount", attempt.to_string()), ("retryReason", reason.to_string())]);
            }
            if let Some(token) = &call.token {
                request = request.header("authorization", format!("Snowflake Token=\"{token}\""));
            }
            if let Some(body) = body {
                request = request.json(body);
            }
            let fault = match request.send().await {
                Ok(response) => match read(response).await {
                    Ok(body) => return Ok(Answer { body, repeated }),
                    Err(Failed { error, again, status, after }) => {
                        (reason, wish) = (status, after);
                        repeated |= status == 0;
                        // a login that is forbidden stays so
                        if !again || (status == 403 && call.token.is_none()) {
                            return Err(error);
                        }
                        error
                    }
                },
                Err(e) => {
                    reason = 0;
                    repeated |= !e.is_connect();
                    if e.is_builder() {
                        return Err(EngineError::new("engine/snowflake-settings", format!("`{}` is no address", self.base)));
                    }
                    self.unreachable(&e)
                }
            };
            let pause = wish.map_or_else(|| pause(attempt), |w: Duration| w.min(LONGEST_WISH).max(pause(attempt)));
            if began.elapsed() + pause >= call.patience {
                return Err(fault);
            }
            attempt += 1;
            tokio::time::sleep(pause).await;
        }
    }

    fn unreachable(&self, e: &reqwest::Error) -> EngineError {
        let what = if e.is_timeout() { "did not answer in time" } else { "cannot be reached" };
        let mut root: &dyn std::error::Error = e;
        while let Some(source) = root.source() {
            root = source;
        }
        let mut fault = EngineError::new("engine/unreachable", format!("Snowflake at {} {what}: {root}", self.base));
        fault.transient = true;
        fault.help("check `account`, `host` and the network; `segue debug` tries the connection")
    }
}

/// Twice as long each time, with a part of chance, so that many clients do not come back together.
fn pause(attempt: u32) -> Duration {
    let longest = FIRST_PAUSE.saturating_mul(1 << attempt.min(10)).min(LONGEST_PAUSE);
    longest.mul_f64(rand::random_range(0.5..1.0))
}

struct Failed {
    error: EngineError,
    again: bool,
    /// HTTP status; 0 when the answer broke off.
    status: u16,
    /// How long the server wants to be left alone.
    after: Option<Duration>,
}

async fn read(response: Response) -> Result<Json, Failed> {
    let status = response.status();
    let busy = status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS | StatusCode::FORBIDDEN | StatusCode::METHOD_NOT_ALLOWED
        );
    let after = response.headers().get("retry-after").and_then(|v| v.to_str().ok()?.trim().parse().ok()).map(Duration::from_secs);
    let text = response.text().await.map_err(|e| Failed {
        error: EngineError { transient: true, ..EngineError::new("engine/unreachable", format!("Snowflake's answer broke off: {e}")) },
        again: true,
        status: 0,
        after: None,
    })?;
    let body = serde_json::from_str::<Json>(&text);
    match body {
        // errors of the service itself come as JSON too, with any status
        Ok(body) if !busy && body.get("success").is_some() => Ok(body),
        Ok(body) if status.is_server_error() && body.get("message").is_some_and(|m| !m.is_null()) && !retried(status) => Ok(body),
        _ => {
            let message = match status {
                s if s.is_success() => "Snowflake's answer is no JSON".to_owned(),
                s => format!("Snowflake answered with {s}"),
            };
            let mut error = EngineError::new("engine/unreachable", message);
            if matches!(status, StatusCode::NOT_FOUND | StatusCode::FORBIDDEN) {
                error = error.help("is `account` right? A name that does not exist is answered like that");
            }
            error.transient = busy;
            Err(Failed { error, again: busy || status.is_success(), status: status.as_u16(), after })
        }
    }
}

/// Statuses of a gateway: the service did not see the request, or will see it again under the same id.
fn retried(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        for attempt in 0..40 {
            assert!(pause(attempt) <= LONGEST_PAUSE && pause(attempt) >= FIRST_PAUSE.mul_f64(0.5));
        }
        assert!(pause(9) > pause(0));
    }
}
