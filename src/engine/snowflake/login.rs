//! Sessions: begun with credentials, renewed when a token is old, ended when nobody needs them.

use std::sync::Arc;

use parking_lot::Mutex;
use pkcs8::{EncryptedPrivateKeyInfo, LineEnding, SecretDocument};
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::{
    settings::{Credentials, Settings},
    transport::{Call, Transport},
};
use crate::engine::EngineError;

/// The client whose dialect of the protocol is spoken: it is answered in Arrow.
const CLIENT: (&str, &str) = ("Go", "1.6.22");

/// What a session is known by.
#[derive(Clone)]
struct Tokens {
    session: String,
    master: String,
}

/// A session on the server.
pub(super) struct Login {
    tokens: Mutex<Tokens>,
    /// One renewal at a time; the others take its result.
    renewing: tokio::sync::Mutex<()>,
}

impl Login {
    /// A new session, and whether the target's schema exists in it.
    pub(super) async fn begin(transport: &Transport, settings: &Settings) -> Result<(Self, bool), EngineError> {
        let mut data = Map::from_iter([
            ("CLIENT_APP_ID".to_owned(), CLIENT.0.into()),
            ("CLIENT_APP_VERSION".to_owned(), CLIENT.1.into()),
            ("SVN_REVISION".to_owned(), "".into()),
            ("ACCOUNT_NAME".to_owned(), settings.account.as_str().into()),
            ("SESSION_PARAMETERS".to_owned(), parameters(settings).into()),
            (
                "CLIENT_ENVIRONMENT".to_owned(),
                json!({"APPLICATION": "segue", "OS": std::env::consts::OS, "OS_VERSION": std::env::consts::ARCH, "OCSP_MODE": "FAIL_OPEN"}),
            ),
        ]);
        if let Some(user) = &settings.user {
            data.insert("LOGIN_NAME".into(), user.as_str().into());
        }
        match &settings.credentials {
            Credentials::Password(password) => drop(data.insert("PASSWORD".into(), password.as_str().into())),
            Credentials::KeyPair { pem, passphrase } => {
                let user = settings.user.clone().unwrap_or_default();
                data.insert("AUTHENTICATOR".into(), "SNOWFLAKE_JWT".into());
                data.insert("TOKEN".into(), signed(pem, passphrase.as_deref(), &settings.account, &user)?.into());
            }
            Credentials::OAuth(token) => {
                data.insert("AUTHENTICATOR".into(), "OAUTH".into());
                data.insert("TOKEN".into(), token.as_str().into());
            }
            Credentials::Refresh { client_id, client_secret, refresh_token } => {
                data.insert("AUTHENTICATOR".into(), "OAUTH".into());
                let token = exchanged(transport, client_id, client_secret, refresh_token).await?;
                data.insert("TOKEN".into(), token.into());
            }
            Credentials::AccessToken(token) => {
                data.insert("AUTHENTICATOR".into(), "PROGRAMMATIC_ACCESS_TOKEN".into());
                data.insert("TOKEN".into(), token.as_str().into());
            }
        }
        let mut query = vec![
            ("requestId", Uuid::new_v4().to_string()),
            ("databaseName", settings.database.clone()),
            ("schemaName", settings.schema.clone()),
        ];
        query.extend(settings.warehouse.clone().map(|w| ("warehouse", w)));
        query.extend(settings.role.clone().map(|r| ("roleName", r)));
        let call = Call { path: "/session/v1/login-request", parameters: query, token: None, patience: settings.login_timeout };
        let answer = transport.post(call, &json!({ "data": data })).await?.body;
        if answer.get("success").and_then(Json::as_bool) != Some(true) {
            return Err(refused(&answer, settings));
        }
        let token = |key: &str| answer.pointer(&format!("/data/{key}")).and_then(Json::as_str).map(str::to_owned);
        let session = token("token")
            .ok_or_else(|| EngineError::new("engine/login", "Snowflake let segue in without a token").help("report this, please"))?;
        let tokens = Tokens { session, master: token("masterToken").unwrap_or_default() };
        let has_schema = answer.pointer("/data/sessionInfo/schemaName").is_some_and(|s| !s.is_null());
        Ok((Self { tokens: Mutex::new(tokens), renewing: tokio::sync::Mutex::new(()) }, has_schema))
    }

    pub(super) fn token(&self) -> String {
        self.tokens.lock().session.clone()
    }

    /// A new token in place of `old`; whoever comes second takes what the first one got.
    pub(super) async fn renew(&self, old: &str, transport: &Transport, settings: &Settings) -> Result<(), EngineError> {
        let _one = self.renewing.lock().await;
        let tokens = self.tokens.lock().clone();
        if tokens.session != old {
            return Ok(());
        }
        let call = Call {
            path: "/session/token-request",
            parameters: vec![("requestId", Uuid::new_v4().to_string())],
            token: Some(tokens.master),
            patience: settings.network_timeout,
        };
        let answer = transport.post(call, &json!({"oldSessionToken": old, "requestType": "RENEW"})).await?.body;
        let token = |key: &str| answer.pointer(&format!("/data/{key}")).and_then(Json::as_str).map(str::to_owned);
        match (answer.get("success").and_then(Json::as_bool), token("sessionToken")) {
            (Some(true), Some(session)) => {
                let mut tokens = self.tokens.lock();
                tokens.session = session;
                if let Some(master) = token("masterToken") {
                    tokens.master = master;
                }
                Ok(())
            }
            _ => Err(refused(&answer, settings)),
        }
    }

    pub(super) async fn heartbeat(self: &Arc<Self>, transport: &Transport, settings: &Settings) -> Result<(), EngineError> {
        let token = self.token();
        let call = Call {
            path: "/session/heartbeat",
            parameters: vec![("requestId", Uuid::new_v4().to_string())],
            token: Some(token.clone()),
            patience: settings.connect_timeout,
        };
        let answer = transport.post(call, &Json::Null).await?.body;
        match answer.get("code").and_then(Json::as_str) {
            Some(super::query::SESSION_EXPIRED) => self.renew(&token, transport, settings).await,
            _ => Ok(()),
        }
    }

    /// Ends the session; a server that does not hear of it ends it by itself after a while.
    pub(super) async fn end(&self, transport: &Transport, settings: &Settings) {
        let call = Call {
            path: "/session",
            parameters: vec![("delete", "true".into()), ("requestId", Uuid::new_v4().to_string())],
            token: Some(self.token()),
            patience: settings.connect_timeout.min(std::time::Duration::from_secs(2)),
        };
        let _ = transport.post(call, &Json::Null).await;
    }
}

fn parameters(settings: &Settings) -> Map<String, Json> {
    let mut parameters = Map::from_iter([
        ("CLIENT_VALIDATE_DEFAULT_PARAMETERS".to_owned(), Json::from(false)),
        ("GO_QUERY_RESULT_FORMAT".to_owned(), Json::from("ARROW")),
        // the dialect's own clock, unless the profile says otherwise
        ("CLIENT_SESSION_KEEP_ALIVE".to_owned(), Json::from(settings.keep_alive)),
    ]);
    if let Some(tag) = &settings.query_tag {
        parameters.insert("QUERY_TAG".into(), tag.as_str().into());
    }
    if let Some(limit) = settings.statement_timeout {
        parameters.insert("STATEMENT_TIMEOUT_IN_SECONDS".into(), limit.as_secs().max(1).into());
    }
    parameters.extend(settings.session_parameters.iter().map(|(k, v)| (k.clone(), v.clone())));
    parameters
}

/// The token of a key pair (Snowflake documentation, "Key-pair authentication").
fn signed(pem: &str, passphrase: Option<&str>, account: &str, user: &str) -> Result<String, EngineError> {
    let fault = |what: String| {
        EngineError::new("engine/login", format!("the private key cannot be used: {what}"))
            .help("it must be an RSA key in PEM (PKCS#8); `private_key_passphrase` opens an encrypted one")
    };
    let open = if pem.contains("BEGIN ENCRYPTED PRIVATE KEY") {
        let passphrase = passphrase.ok_or_else(|| fault("it is encrypted, and there is no `private_key_passphrase`".into()))?;
        let (_, document) = SecretDocument::from_pem(pem.trim()).map_err(|e| fault(e.to_string()))?;
        let info = EncryptedPrivateKeyInfo::try_from(document.as_bytes()).map_err(|e| fault(e.to_string()))?;
        let open = info.decrypt(passphrase).map_err(|_| fault("`private_key_passphrase` does not open it".into()))?;
        open.to_pem("PRIVATE KEY", LineEnding::LF).map_err(|e| fault(e.to_string()))?.to_string()
    } else if pem.contains("BEGIN RSA PRIVATE KEY") {
        return Err(fault("it is in the older PKCS#1 form".into()).help("`openssl pkcs8 -topk8 -nocrypt -in OLD -out NEW` converts it"));
    } else {
        pem.to_owned()
    };
    let identity = format!("{account}.{}", user.to_uppercase());
    snowflake_jwt::generate_jwt_token(&open, &identity).map_err(|e| fault(e.to_string()))
}

/// A refresh token for one that logs in (Snowflake documentation, "OAuth token endpoint").
async fn exchanged(transport: &Transport, client_id: &str, client_secret: &str, refresh_token: &str) -> Result<String, EngineError> {
    let fault = |what: String| EngineError::new("engine/login", format!("the OAuth token was not renewed: {what}"));
    let response = transport
        .http()
        .post(format!("{}/oauth/token-request", transport.host()))
        .basic_auth(client_id, Some(client_secret))
        .form(&[("grant_type", "refresh_token"), ("refresh_token", refresh_token)])
        .send()
        .await
        .map_err(|e| fault(e.without_url().to_string()))?;
    let body: Json = response.json().await.map_err(|e| fault(e.without_url().to_string()))?;
    match body.get("access_token").and_then(Json::as_str) {
        Some(token) => Ok(token.to_owned()),
        None => Err(fault(body.get("message").or(body.get("error")).and_then(Json::as_str).unwrap_or("no token came").to_owned())),
    }
}

fn refused(answer: &Json, settings: &Settings) -> EngineError {
    let message = answer.get("message").and_then(Json::as_str).unwrap_or("no reason was given");
    let code = answer.get("code").and_then(Json::as_str).unwrap_or_default();
    let fault = EngineError::new("engine/login", format!("Snowflake refused the login: {message}"));
    match code {
        "390100" => fault.help("check `user` and `password`"),
        "390144" => fault.help(format!(
            "is the public key set for {}? `alter user ... set rsa_public_key = '...'`",
            settings.user.as_deref().unwrap_or("this user")
        )),
        "390318" | "390303" => fault.help("the OAuth token is old or wrong: get a new one"),
        _ => fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_cannot_be_used_say_why() {
        for (pem, passphrase, expect) in [
            ("-----BEGIN RSA PRIVATE KEY-----", None, "the private key cannot be used: it is in the older PKCS#1 form"),
            (
                "-----BEGIN ENCRYPTED PRIVATE KEY-----",
                None,
                "the private key cannot be used: it is encrypted, and there is no `private_key_passphrase`",
            ),
        ] {
            assert_eq!(signed(pem, passphrase, "A", "u").expect_err("unusable").message, expect);
        }
    }
}
