//! What a target says of a Snowflake account -> typed settings. The keys are those of dbt's Snowflake adapter; the values were
//! checked for their shape when the profile was read.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use indexmap::IndexMap;
use serde_json::Value as Json;

use crate::engine::EngineError;

/// How a session is begun.
#[derive(Clone)]
pub(super) enum Credentials {
    Password(String),
    /// A private key in PEM (PKCS#8, encrypted or not), and what opens it.
    KeyPair {
        pem: String,
        passphrase: Option<String>,
    },
    OAuth(String),
    /// A refresh token of a registered client, exchanged for a token at the account.
    Refresh {
        client_id: String,
        client_secret: String,
        refresh_token: String,
    },
    AccessToken(String),
}

/// Everything needed to begin and keep sessions. Holds secrets: never print it.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) account: String,
    /// `https://host:port`
    pub(super) base: String,
    pub(super) user: Option<String>,
    pub(super) credentials: Credentials,
    pub(super) role: Option<String>,
    pub(super) warehouse: Option<String>,
    pub(super) database: String,
    pub(super) schema: String,
    pub(super) query_tag: Option<String>,
    pub(super) session_parameters: BTreeMap<String, Json>,
    /// Of one attempt to reach the host.
    pub(super) connect_timeout: Duration,
    /// Of a login with all its attempts.
    pub(super) login_timeout: Duration,
    /// How long a request is tried again while the host is away.
    pub(super) network_timeout: Duration,
    /// The server ends statements that take longer; `None` leaves the account's rule.
    pub(super) statement_timeout: Option<Duration>,
    pub(super) keep_alive: bool,
    pub(super) proxy: Option<String>,
    /// `schema` of the table in which segue keeps what it knows of relations.
    pub(super) state_schema: String,
}

impl Settings {
    /// From the keys of a target (docs/snowflake.md).
    pub(super) fn read(settings: &IndexMap<String, Json>, root: &std::path::Path) -> Result<Self, EngineError> {
        let text = |key: &str| settings.get(key).and_then(text_of).filter(|t| !t.is_empty());
        let number = |key: &str| settings.get(key).and_then(|v| v.as_f64().or_else(|| v.as_str()?.trim().parse().ok()));
        let seconds = |key: &str, default: f64| Duration::from_secs_f64(number(key).unwrap_or(default).clamp(0.05, 1e6));
        let required = |key: &str| text(key).ok_or_else(|| fault(format!("a Snowflake target has no `{key}`")));
        let account = required("account")?;
        let host = match (text("host"), text("region")) {
            (Some(host), _) => host,
            // host names know no underscore
            (None, Some(region)) => format!("{}.{region}.snowflakecomputing.com", account.to_lowercase().replace('_', "-")),
            (None, None) => format!("{}.snowflakecomputing.com", account.to_lowercase().replace('_', "-")),
        };
        let protocol = text("protocol").unwrap_or_else(|| "https".into());
        let base = match text("port") {
            Some(port) => format!("{protocol}://{host}:{port}"),
            None => format!("{protocol}://{host}"),
        };
        let user = text("user");
        let credentials = credentials(&text, root)?;
        if user.is_none() && matches!(credentials, Credentials::Password(_) | Credentials::KeyPair { .. }) {
            return Err(fault("a Snowflake target has no `user`".into()).help("only OAuth and access tokens name the user themselves"));
        }
        let proxy = text("proxy_host").map(|host| {
            let login = text("proxy_user").map(|u| format!("{u}:{}@", text("proxy_password").unwrap_or_default())).unwrap_or_default();
            let port = text("proxy_port").map(|p| format!(":{p}")).unwrap_or_default();
            format!("http://{login}{host}{port}")
        });
        let session_parameters = match settings.get("session_parameters") {
            Some(Json::Object(map)) => map.iter().map(|(k, v)| (k.to_uppercase(), v.clone())).collect(),
            _ => BTreeMap::new(),
        };
        Ok(Self {
            account: account.split('.').next().unwrap_or_default().to_uppercase(),
            base,
            user,
            credentials,
            role: text("role"),
            warehouse: text("warehouse"),
            database: required("database")?,
            schema: required("schema")?,
            query_tag: text("query_tag"),
            session_parameters,
            connect_timeout: seconds("connect_timeout", 10.0),
            login_timeout: seconds("login_timeout", 30.0),
            network_timeout: seconds("network_timeout", 300.0),
            statement_timeout: number("statement_timeout").filter(|s| *s > 0.0).map(Duration::from_secs_f64),
            keep_alive: settings.get("client_session_keep_alive").and_then(Json::as_bool).unwrap_or(false),
            proxy,
            state_schema: text("state_schema").unwrap_or_else(|| "SEGUE".into()),
        })
    }
}

fn text_of(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(b) => Some(b.to_string()),
        _ => None,
    }
}

fn credentials(text: &dyn Fn(&str) -> Option<String>, root: &std::path::Path) -> Result<Credentials, EngineError> {
    let authenticator = text("authenticator").unwrap_or_default().to_lowercase();
    let passphrase = text("private_key_passphrase");
    let key = match (text("private_key"), text("private_key_path")) {
        (Some(key), _) => Some(pem(&key)),
        (None, Some(path)) => {
            let path = home(&path).unwrap_or_else(|| root.join(&path));
            let pem = std::fs::read_to_string(&path).map_err(|e| {
                fault(format!("the private key `{}` cannot be read: {e}", path.display())).help("`private_key_path` names a PEM file")
            })?;
            Some(pem)
        }
        (None, None) => None,
    };
    match authenticator.as_str() {
        "" | "snowflake" | "snowflake_jwt" | "username_password_mfa" => match (key, text("password")) {
            (Some(pem), _) => Ok(Credentials::KeyPair { pem, passphrase }),
            (None, Some(password)) => Ok(Credentials::Password(password)),
            (None, None) => match text("token") {
                Some(token) => Ok(Credentials::AccessToken(token)),
                None => Err(fault("a Snowflake target says nothing of how to log in".into())
                    .help("give it a `password`, a `private_key_path`, or an `authenticator` with its `token`")),
            },
        },
        "oauth" => match (text("oauth_client_id"), text("oauth_client_secret"), text("token")) {
            (Some(client_id), Some(client_secret), Some(refresh_token)) => {
                Ok(Credentials::Refresh { client_id, client_secret, refresh_token })
            }
            (_, _, Some(token)) => Ok(Credentials::OAuth(token)),
            _ => Err(fault("`authenticator: oauth` needs a `token`".into())),
        },
        "jwt" => text("token").map(Credentials::OAuth).ok_or_else(|| fault("`authenticator: jwt` needs a `token`".into())),
        "programmatic_access_token" => {
            let token = text("token").or_else(|| text("password"));
            token.map(Credentials::AccessToken).ok_or_else(|| fault("`authenticator: programmatic_access_token` needs a `token`".into()))
        }
        other => Err(fault(format!("segue cannot log in with the authenticator `{other}`"))
            .help("there are `snowflake`, `snowflake_jwt`, `oauth`, `jwt` and `programmatic_access_token`; a browser cannot be asked")),
    }
}

/// A key as it stands in a profile: PEM, or its base64 alone.
fn pem(key: &str) -> String {
    let key = key.replace("\\n", "\n");
    if key.contains("-----BEGIN") {
        return key;
    }
    let body: String = key.split_whitespace().collect();
    let lines: Vec<&str> = body.as_bytes().chunks(64).filter_map(|c| std::str::from_utf8(c).ok()).collect();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
}

fn home(path: &str) -> Option<PathBuf> {
    let rest = path.strip_prefix("~/")?;
    std::env::var_os("HOME").map(|home| PathBuf::from(home).join(rest))
}

fn fault(message: String) -> EngineError {
    EngineError::new("engine/snowflake-settings", message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Json) -> Result<Settings, EngineError> {
        let Json::Object(map) = value else { panic!("an object") };
        Settings::read(&map.into_iter().collect(), std::path::Path::new("/p"))
    }

    #[test]
    fn hosts_and_logins() {
        let base = |more: Json| {
            let mut all = json!({"account": "org_x-acc", "user": "u", "database": "d", "schema": "s"});
            all.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            read(all)
        };
        let show = |s: &Settings| {
            let how = match &s.credentials {
                Credentials::Password(_) => "password",
                Credentials::KeyPair { .. } => "key",
                Credentials::OAuth(_) => "oauth",
                Credentials::Refresh { .. } => "refresh",
                Credentials::AccessToken(_) => "token",
            };
            format!("{} {} {how}", s.account, s.base)
        };
        for (more, expect) in [
            (json!({"password": "p"}), "ORG_X-ACC https://org-x-acc.snowflakecomputing.com password"),
            (json!({"password": "p", "account": "ab1.eu-west-1"}), "AB1 https://ab1.eu-west-1.snowflakecomputing.com password"),
            (json!({"password": 1, "host": "127.0.0.1", "port": 99, "protocol": "http"}), "ORG_X-ACC http://127.0.0.1:99 password"),
            (json!({"private_key": "QUJD"}), "ORG_X-ACC https://org-x-acc.snowflakecomputing.com key"),
            (json!({"authenticator": "oauth", "token": "t"}), "ORG_X-ACC https://org-x-acc.snowflakecomputing.com oauth"),
            (
                json!({"authenticator": "programmatic_access_token", "token": "t"}),
                "ORG_X-ACC https://org-x-acc.snowflakecomputing.com token",
            ),
        ] {
            assert_eq!(show(&base(more).expect("settings")), expect);
        }
        let fault = base(json!({})).err().expect("no login");
        assert_eq!(fault.message, "a Snowflake target says nothing of how to log in");
        let fault = base(json!({"authenticator": "externalbrowser"})).err().expect("no browser");
        assert_eq!(fault.message, "segue cannot log in with the authenticator `externalbrowser`");
    }

    #[test]
    fn a_bare_key_becomes_a_pem() {
        assert_eq!(pem("QUJD\nREVG"), "-----BEGIN PRIVATE KEY-----\nQUJDREVG\n-----END PRIVATE KEY-----\n");
    }
}
