//! The settings of a bucket to a store: address, credentials, who pays.
//!
//! Credentials, first found: the settings, the environment, a profile of the shared files, and then what the client asks
//! for when it needs them: a web identity, the container, the machine's metadata.

use std::{path::PathBuf, sync::Arc, time::Duration};

use indexmap::IndexMap;
use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey as Key},
};

use crate::{diagnostic::Diagnostic, ingest::settings::Settings};

pub struct Bucket {
    pub objects: Arc<dyn ObjectStore>,
    pub name: String,
    pub prefix: String,
}

/// From `bucket` and `prefix`, or both as `path: s3://bucket/prefix`.
pub fn read(settings: &Settings<'_>) -> Option<Bucket> {
    let path = settings.text("path");
    let (mut name, mut prefix) = (settings.text("bucket"), settings.text("prefix"));
    if let Some(path) = path {
        let Some(rest) = path.strip_prefix("s3://").or_else(|| path.strip_prefix("s3a://")) else {
            // the other settings are told with it
            let _ = store(settings, "bucket");
            return settings.wrong("path", "an address such as `s3://bucket/prefix`", &path.into());
        };
        let (bucket, below) = rest.split_once('/').unwrap_or((rest, ""));
        name = name.or_else(|| Some(bucket.to_owned()));
        prefix = prefix.or_else(|| Some(below.to_owned()));
    }
    let name = match name.filter(|name| !name.is_empty()) {
        Some(name) => name,
        None => settings.required_text("bucket", "`bucket: name`, or `path: s3://name/prefix`"),
    };
    let objects = store(settings, &name)?;
    Some(Bucket { objects, name, prefix: prefix.unwrap_or_default().trim_matches('/').to_owned() })
}

pub fn store(settings: &Settings<'_>, bucket: &str) -> Option<Arc<dyn ObjectStore>> {
    let timeout = settings.number("timeout_s", 0.1).unwrap_or(60.0).min(86_400.0);
    let retries = settings.integer("retries", 0).unwrap_or(4);
    let flag = |key| settings.flag(key).unwrap_or(false);
    let (allow_http, anonymous, virtual_hosted) = (flag("allow_http"), flag("anonymous"), flag("virtual_hosted"));
    let requester_pays = flag("requester_pays");
    let (region, endpoint) = (settings.text("region"), settings.text("endpoint"));
    let options = ClientOptions::new()
        .with_timeout(Duration::from_secs_f64(timeout * 10.0))
        .with_connect_timeout(Duration::from_secs_f64((timeout / 4.0).max(0.1)))
        .with_allow_http(allow_http);
    let retry = RetryConfig {
        backoff: BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: Duration::from_secs(10), base: 2.0 },
        max_retries: usize::try_from(retries).unwrap_or(usize::MAX),
        retry_timeout: Duration::from_secs_f64(timeout),
    };
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_client_options(options).with_retry(retry);
    let (key, secret) = (settings.text("access_key_id"), settings.text("secret_access_key"));
    let token = settings.text("session_token");
    if key.is_some() != secret.is_some() {
        settings.fault(
            Diagnostic::error("ingest/missing-setting", "`access_key_id` and `secret_access_key` belong together")
                .at(settings.place_of(if key.is_some() { "access_key_id" } else { "secret_access_key" }), ""),
        );
    }
    let profile = settings.text("profile");
    let own_keys = key.is_some();
    if let (Some(key), Some(secret)) = (key, secret) {
        builder = builder.with_access_key_id(key).with_secret_access_key(secret).with_config(Key::Token, token.unwrap_or_default());
    }
    if !own_keys && (profile.is_some() || builder.get_config_value(&Key::AccessKeyId).is_none()) {
        builder = with_profile(builder, settings, profile)?;
    }
    if let Some(region) = region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = endpoint {
        if endpoint.starts_with("http://") && !allow_http {
            settings.fault(
                Diagnostic::error("ingest/insecure", format!("the endpoint `{endpoint}` is not encrypted"))
                    .at(settings.place_of("endpoint"), "")
                    .help("`allow_http: true` allows it"),
            );
        }
        builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
    }
    if requester_pays {
        builder = builder.with_request_payer(true);
    }
    if anonymous {
        builder = builder.with_skip_signature(true);
    }
    if virtual_hosted {
        builder = builder.with_virtual_hosted_style_request(true);
    }
    match builder.build() {
        Ok(store) => Some(Arc::new(store)),
        Err(e) => {
            let why = e.to_string();
            let why = why.strip_prefix("Generic S3 error: ").unwrap_or(&why).to_owned();
            settings.fault(
                Diagnostic::error("ingest/bucket", format!("the bucket `{bucket}` cannot be addressed: {why}"))
                    .at(settings.place_of("bucket"), ""),
            );
            None
        }
    }
}

/// Keys and region of a profile; one that is named has to be there.
fn with_profile(mut builder: AmazonS3Builder, settings: &Settings<'_>, named: Option<String>) -> Option<AmazonS3Builder> {
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let file = |variable: &str, usual: &str| {
        let path = env(variable).map(PathBuf::from).or_else(|| Some(PathBuf::from(env("HOME")?).join(".aws").join(usual)));
        path.and_then(|path| std::fs::read_to_string(path).ok()).map(|text| profiles(&text)).unwrap_or_default()
    };
    let name = named.clone().or_else(|| env("AWS_PROFILE")).unwrap_or_else(|| "default".into());
    let credentials = file("AWS_SHARED_CREDENTIALS_FILE", "credentials");
    let config = file("AWS_CONFIG_FILE", "config");
    let sections = [credentials.get(&name), config.get(&name)];
    if named.is_some() && sections.iter().all(Option::is_none) {
        let mut known: Vec<&str> = credentials.keys().chain(config.keys()).map(String::as_str).collect();
        known.dedup();
        let help = match crate::names::nearest(&name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "profiles are read from ~/.aws/credentials and ~/.aws/config".to_owned(),
        };
        let fault = Diagnostic::error("ingest/unknown-profile", format!("there is no profile `{name}`"));
        settings.fault(fault.at(settings.place_of("profile"), "").help(help));
        return None;
    }
    let value = |key: &str| sections.iter().flatten().find_map(|section| section.get(key)).cloned();
    match (value("aws_access_key_id"), value("aws_secret_access_key")) {
        (Some(key), Some(secret)) => {
            builder = builder.with_access_key_id(key).with_secret_access_key(secret);
            builder = builder.with_config(Key::Token, value("aws_session_token").unwrap_or_default());
        }
        _ if named.is_some() => {
            settings.fault(
                Diagnostic::error("ingest/unsupported-profile", format!("the profile `{name}` holds no access key"))
                    .at(settings.place_of("profile"), "")
                    .help("roles and single sign-on of profiles are not supported: `aws configure export-credentials --format env` gives keys"),
            );
            return None;
        }
        _ => {}
    }
    if let Some(region) = value("region")
        && builder.get_config_value(&Key::Region).is_none()
    {
        builder = builder.with_region(region);
    }
    Some(builder)
}

/// Sections of a profile file, `profile x` as `x`, names of settings in lower case.
fn profiles(text: &str) -> IndexMap<String, IndexMap<String, String>> {
    let mut all: IndexMap<String, IndexMap<String, String>> = IndexMap::new();
    let mut current = None;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(section) = trimmed.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            let section = section.trim();
            current = Some(section.strip_prefix("profile ").unwrap_or(section).trim().to_owned());
        } else if let (Some(section), Some((key, value)), false) = (&current, trimmed.split_once('='), line.starts_with([' ', '\t'])) {
            all.entry(section.clone()).or_default().insert(key.trim().to_lowercase(), value.trim().to_owned());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profile_files() {
        let text =
            "# mine\n[default]\naws_access_key_id = A\nregion=eu-west-1\n\n[profile data]\nAWS_Access_Key_Id=B\ns3 =\n  signature = v4\n";
        let found = profiles(text);
        assert_eq!(found["default"]["region"], "eu-west-1");
        assert_eq!(found["data"]["aws_access_key_id"], "B");
        assert!(!found["data"].contains_key("signature"));
        assert_eq!(profiles("a = b\n[broken\nx = 1\n")["broken"]["x"], "1");
    }
}
