//! Requests to responses, politely: time-outs, bounded concurrency, a rate per host, retries with backoff and jitter
//! that honour `Retry-After`, and a limit on the size of a response.
//!
//! Knows nothing of charts or keys. What cannot be mended here is an [`IngestError`] that says what was asked of
//! whom, what came back, and after how many attempts.

mod clock;
mod limit;
mod request;
mod retry;

use std::{sync::Arc, time::Duration};

#[cfg(test)]
pub use clock::ManualClock;
pub use clock::{Clock, SystemClock};
pub use request::Request;
use retry::{Failure, Next};
pub use retry::{RetryPolicy, retry_after};
use tokio::sync::Semaphore;

use super::{IngestError, RawResponse, settings::Settings};

/// Settings that every remote adapter has.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    pub connect_timeout: Duration,
    /// Between two pieces of a response.
    pub read_timeout: Duration,
    /// Of a whole attempt.
    pub timeout: Duration,
    pub retry: RetryPolicy,
    /// Requests per second and host; 0 does not limit.
    pub rate_per_s: f64,
    pub concurrency: usize,
    pub max_response_bytes: u64,
    pub user_agent: String,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(20),
            timeout: Duration::from_secs(60),
            retry: RetryPolicy::default(),
            rate_per_s: 5.0,
            concurrency: 4,
            max_response_bytes: 64 << 20,
            user_agent: concat!("segue/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

impl HttpSettings {
    /// `timeout_s`, `connect_timeout_s`, `read_timeout_s`, `retries`, `backoff_s`, `max_retry_after_s`, `rate_per_s`,
    /// `concurrency`, `max_response_mb`, `user_agent`.
    pub fn read(settings: &Settings<'_>, defaults: Self) -> Self {
        let seconds =
            |key, default: Duration| settings.number(key, 0.001).and_then(|s| Duration::try_from_secs_f64(s).ok()).unwrap_or(default);
        Self {
            timeout: seconds("timeout_s", defaults.timeout),
            connect_timeout: seconds("connect_timeout_s", defaults.connect_timeout),
            read_timeout: seconds("read_timeout_s", defaults.read_timeout),
            retry: RetryPolicy {
                retries: settings.integer("retries", 0).map_or(defaults.retry.retries, |n| u32::try_from(n).unwrap_or(u32::MAX)),
                base: seconds("backoff_s", defaults.retry.base),
                longest_retry_after: seconds("max_retry_after_s", defaults.retry.longest_retry_after),
                longest: defaults.retry.longest,
            },
            rate_per_s: settings.number("rate_per_s", 0.0).unwrap_or(defaults.rate_per_s),
            concurrency: settings.integer("concurrency", 1).map_or(defaults.concurrency, |n| usize::try_from(n).unwrap_or(1).min(1000)),
            max_response_bytes: settings.integer("max_response_mb", 1).map_or(defaults.max_response_bytes, |mb| mb.saturating_mul(1 << 20)),
            user_agent: settings.text("user_agent").unwrap_or(defaults.user_agent),
        }
    }
}

/// An answer whose status the request accepts.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    /// Those worth keeping, names in lower case.
    pub headers: serde_json::Map<String, serde_json::Value>,
    pub body: String,
}

impl Response {
    pub fn into_raw(self, subject: impl Into<String>, request: &Request, fetched_at: chrono::DateTime<chrono::Utc>) -> RawResponse {
        RawResponse {
            subject: subject.into(),
            url: request.shown_url(),
            status: self.status,
            fetched_at,
            headers: serde_json::Value::Object(self.headers).to_string(),
            payload: self.body,
        }
    }
}

/// One per source. Clones share the limits.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    settings: Arc<HttpSettings>,
    permits: Arc<Semaphore>,
    rate: Arc<limit::RateLimit>,
    clock: Arc<dyn Clock>,
}

/// One attempt's end other than an answer.
struct Failed {
    kind: Failure,
    code: &'static str,
    what: String,
}

impl Client {
    pub fn new(settings: HttpSettings, clock: Arc<dyn Clock>) -> Result<Self, IngestError> {
        let http = reqwest::Client::builder()
            .connect_timeout(settings.connect_timeout)
            .read_timeout(settings.read_timeout)
            .timeout(settings.timeout)
            .user_agent(&settings.user_agent)
            .build()
            .map_err(|e| IngestError::new("ingest/http-client", format!("the HTTP client cannot be set up: {}", causes(e))))?;
        Ok(Self {
            http,
            permits: Arc::new(Semaphore::new(settings.concurrency)),
            rate: Arc::new(limit::RateLimit::new(settings.rate_per_s)),
            settings: Arc::new(settings),
            clock,
        })
    }

    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub fn concurrency(&self) -> usize {
        self.settings.concurrency
    }

    /// Asks until there is an answer or asking again makes no sense.
    pub async fn send(&self, request: &Request) -> Result<Response, IngestError> {
        let url = request.url().map_err(|why| {
            IngestError::new("ingest/bad-url", format!("`{}` cannot ask `{}`: {why}", request.who(), request.shown_url()))
                .help("check `base_url` of the source's adapter")
        })?;
        let host = format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default());
        let mut attempt = 1;
        loop {
            let wait = self.rate.reserve(&host, self.clock.monotonic());
            if !wait.is_zero() {
                self.clock.sleep(wait).await;
            }
            let failed = {
                let _permit = self.permits.acquire().await.expect("the semaphore is never closed");
                match self.attempt(request, url.clone()).await {
                    Ok(response) => return Ok(response),
                    Err(failed) => failed,
                }
            };
            match self.settings.retry.next(attempt, &failed.kind, request.is_repeatable(), self.clock.jitter()) {
                Next::Wait(time) => {
                    tracing::debug!(request = %request.shown(), attempt, wait = ?time, "{}: asking again", failed.what);
                    if let Failure::Status { retry_after: Some(_), .. } = failed.kind {
                        self.rate.hold(&host, self.clock.monotonic() + time);
                    }
                    self.clock.sleep(time).await;
                    attempt += 1;
                }
                Next::GiveUp => return Err(failed.into_error(request, attempt)),
                Next::TooLong(wish) => {
                    let error = failed.into_error(request, attempt);
                    return Err(error.help(format!(
                        "it asks to wait {} s; run again later, or raise `max_retry_after_s` of the source's adapter",
                        wish.as_secs()
                    )));
                }
            }
        }
    }

    async fn attempt(&self, request: &Request, url: url::Url) -> Result<Response, Failed> {
        let mut response = request.build(&self.http, url).send().await.map_err(|e| self.failed(e))?;
        let status = response.status();
        let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let mut headers = serde_json::Map::new();
        for name in ["content-type", "date", "etag", "last-modified", "retry-after"] {
            if let Some(value) = header(name) {
                headers.insert(name.to_owned(), value.into());
            }
        }
        let retry_after = header("retry-after").and_then(|h| retry_after(&h, self.clock.now()));
        let content_type = header("content-type");
        let limit = self.settings.max_response_bytes;
        let too_large = || Failed {
            kind: Failure::Permanent,
            code: "ingest/response-too-large",
            what: format!("the response is larger than {} MB (setting `max_response_mb`)", limit >> 20),
        };
        if response.content_length().is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.failed(e))? {
            if (body.len() + chunk.len()) as u64 > limit {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        let body = decode(body, content_type.as_deref());
        if request.is_accepted(status.as_u16()) {
            return Ok(Response { status: status.as_u16(), headers, body });
        }
        let excerpt = excerpt(&request.mask(&body));
        Err(Failed {
            kind: Failure::Status { status: status.as_u16(), retry_after },
            code: match status.as_u16() {
                429 => "ingest/rate-limited",
                401 | 403 => "ingest/not-authorized",
                _ => "ingest/http-status",
            },
            what: if excerpt.is_empty() { format!("it answered {status}") } else { format!("it answered {status}: {excerpt}") },
        })
    }

    fn failed(&self, error: reqwest::Error) -> Failed {
        let error = error.without_url(); // the URL may hold a key
        let (kind, code, what) = if error.is_timeout() && !error.is_connect() {
            let (whole, read) = (self.settings.timeout.as_secs_f64(), self.settings.read_timeout.as_secs_f64());
            let what = format!("no complete answer in time (`timeout_s` is {whole}, `read_timeout_s` {read})");
            (Failure::TimeOut, "ingest/http-timeout", what)
        } else if error.is_connect() {
            (Failure::Connect, "ingest/http-connect", format!("no connection: {}", causes(error)))
        } else if error.is_builder() || error.is_redirect() {
            (Failure::Permanent, "ingest/http-request", causes(error))
        } else {
            (Failure::Broken, "ingest/http-broken", format!("the answer broke off: {}", causes(error)))
        };
        Failed { kind, code, what }
    }
}

impl Failed {
    fn into_error(self, request: &Request, attempts: u32) -> IngestError {
        let times = if attempts == 1 { "1 attempt".to_owned() } else { format!("{attempts} attempts") };
        let message = format!("`{}` gave nothing for `{}` after {times}: {}", request.who(), request.shown(), self.what);
        let error = IngestError::new(self.code, message);
        if self.kind.is_transient() { error.transient() } else { error }
    }
}

/// The charset that the server names, else UTF-8; bytes that fit neither become replacement characters, so that the
/// payload is kept whatever it is.
fn decode(body: Vec<u8>, content_type: Option<&str>) -> String {
    let charset = content_type
        .and_then(|t| t.split(';').find_map(|part| part.trim().strip_prefix("charset=")))
        .and_then(|name| encoding_rs::Encoding::for_label(name.trim_matches(['"', ' ']).as_bytes()))
        .unwrap_or(encoding_rs::UTF_8);
    charset.decode(&body).0.into_owned()
}

/// The beginning of a body on one line.
fn excerpt(body: &str) -> String {
    let line = body.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(200) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

/// An error with what caused it, outermost first.
fn causes(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
