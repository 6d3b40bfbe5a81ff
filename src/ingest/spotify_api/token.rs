//! The access token of the client-credentials flow (Spotify documentation, "Client Credentials Flow"): asked for once,
//! again shortly before it expires, and when the API refuses it.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::ingest::{
    IngestError,
    http::{Client, Request},
};

/// A token is renewed this long before its end, so that a request does not leave with one that expires on the way.
const MARGIN: Duration = Duration::from_secs(60);

pub struct TokenSource {
    pub token_url: String,
    pub client_id: String,
    pub client_secret: String,
    pub current: Mutex<Option<Token>>,
}

#[derive(Clone)]
pub struct Token {
    pub text: String,
    expires: DateTime<Utc>,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    #[serde(default = "an_hour")]
    expires_in: u64,
}

fn an_hour() -> u64 {
    3600
}

impl TokenSource {
    /// A token that is valid now. `refused` is one that the API did not take. Concurrent callers share one request.
    pub async fn token(&self, client: &Client, refused: Option<&str>) -> Result<String, IngestError> {
        let mut current = self.current.lock().await;
        let now = client.clock().now();
        if let Some(token) = &*current
            && token.expires > now + MARGIN
            && refused != Some(token.text.as_str())
        {
            return Ok(token.text.clone());
        }
        let credentials = STANDARD.encode(format!("{}:{}", self.client_id, self.client_secret));
        // asking twice gives two tokens, which does no harm
        let request = Request::post("spotify_api", &self.token_url)
            .repeatable()
            .secret_header("authorization", format!("Basic {credentials}"))
            .form("grant_type", "client_credentials");
        let response = client.send(&request).await.map_err(|e| match e.code {
            "ingest/http-status" | "ingest/not-authorized" if !e.transient => {
                e.help("check `client_id` and `client_secret` of the source's adapter")
            }
            _ => e,
        })?;
        let granted: Granted = serde_json::from_str(&response.body).map_err(|e| {
            // the body may hold the token: it is not shown
            IngestError::new("ingest/changed-shape", format!("`spotify_api` gave no token for `{}`: {e}", request.shown()))
        })?;
        let lifetime = chrono::TimeDelta::try_seconds(i64::try_from(granted.expires_in).unwrap_or(3600)).unwrap_or_default();
        let token = Token { text: granted.access_token, expires: now.checked_add_signed(lifetime).unwrap_or(now) };
        Ok(current.insert(token).text.clone())
    }
}
