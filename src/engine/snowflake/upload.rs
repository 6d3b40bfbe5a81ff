//! A file to where a PUT says: the four kinds of places that Snowflake's stages are kept in.

use std::time::Duration;

use object_store::{ObjectStore, ObjectStoreExt, aws::AmazonS3Builder, path::Path as StorePath};
use serde_json::Value as Json;

use super::Link;
use crate::engine::EngineError;

const ATTEMPTS: u32 = 5;

/// Uploads the bytes under `name` to the place that the answer to a PUT statement describes.
pub(super) async fn upload(link: &Link, answer: &Json, name: &str, bytes: Vec<u8>) -> Result<(), EngineError> {
    let info = answer.get("stageInfo").ok_or_else(|| fault("the answer to PUT names no place"))?;
    let text = |key: &str| info.get(key).and_then(Json::as_str).filter(|t| !t.is_empty());
    let secret = |key: &str| info.pointer(&format!("/creds/{key}")).and_then(Json::as_str).filter(|t| !t.is_empty());
    let location = text("location").unwrap_or_default();
    let kind = text("locationType").unwrap_or_default();
    let presigned = text("presignedUrl").or_else(|| answer.pointer("/presignedUrls/0").and_then(Json::as_str));
    match kind {
        "LOCAL_FS" => {
            let folder = std::path::PathBuf::from(location);
            let (file, data) = (folder.join(name), bytes);
            tokio::fs::create_dir_all(&folder).await.map_err(|e| fault(&e.to_string()))?;
            tokio::fs::write(&file, data).await.map_err(|e| fault(&e.to_string()))
        }
        "S3" => {
            let (bucket, prefix) = location.split_once('/').unwrap_or((location, ""));
            let mut builder = AmazonS3Builder::new().with_bucket_name(bucket);
            if let Some(region) = text("region") {
                builder = builder.with_region(region);
            }
            if let Some(endpoint) = text("endPoint") {
                let endpoint = if endpoint.contains("://") { endpoint.to_owned() } else { format!("https://{endpoint}") };
                builder = builder.with_allow_http(endpoint.starts_with("http://")).with_endpoint(endpoint);
            }
            if let (Some(id), Some(key)) = (secret("AWS_KEY_ID"), secret("AWS_SECRET_KEY")) {
                builder = builder.with_access_key_id(id).with_secret_access_key(key);
            }
            if let Some(token) = secret("AWS_TOKEN") {
                builder = builder.with_token(token);
            }
            let store = builder.build().map_err(|e| fault(&e.to_string()))?;
            let path = StorePath::from(format!("{}/{name}", prefix.trim_end_matches('/')));
            let store: &dyn ObjectStore = &store;
            store.put(&path, bytes.into()).await.map(|_| ()).map_err(|e| fault(&e.to_string()))
        }
        "AZURE" => {
            let account = text("storageAccount").ok_or_else(|| fault("no storage account was named"))?;
            let host = text("endPoint").unwrap_or("blob.core.windows.net");
            let token = secret("AZURE_SAS_TOKEN").unwrap_or_default();
            let base = if host.contains("://") {
                format!("{}/{account}", host.trim_end_matches('/'))
            } else {
                format!("https://{account}.{host}")
            };
            let query = if token.starts_with('?') || token.is_empty() { token.to_owned() } else { format!("?{token}") };
            let url = format!("{base}/{}/{name}{query}", location.trim_end_matches('/'));
            put(link, &url, &[("x-ms-blob-type", "BlockBlob".to_owned())], bytes).await
        }
        "GCS" => match (presigned, secret("GCS_ACCESS_TOKEN")) {
            (Some(url), _) => put(link, url, &[], bytes).await,
            (None, Some(token)) => {
                let host = text("endPoint").map_or_else(
                    || "https://storage.googleapis.com".to_owned(),
                    |e| if e.contains("://") { e.to_owned() } else { format!("https://{e}") },
                );
                let url = format!("{host}/{}/{name}", location.trim_end_matches('/'));
                put(link, &url, &[("authorization", format!("Bearer {token}"))], bytes).await
            }
            (None, None) => Err(fault("neither an address nor a token came for the stage")),
        },
        other => Err(fault(&format!("stages on `{other}` are not known"))),
    }
}

async fn put(link: &Link, url: &str, headers: &[(&str, String)], bytes: Vec<u8>) -> Result<(), EngineError> {
    let mut attempt = 0;
    loop {
        let mut request = link.transport.http().put(url).timeout(Duration::from_secs(600)).body(bytes.clone());
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let sent = request.send().await.and_then(reqwest::Response::error_for_status);
        match sent {
            Ok(_) => return Ok(()),
            Err(e) => {
                attempt += 1;
                let lasting = e.status().is_some_and(|s| s.is_client_error() && !matches!(s.as_u16(), 408 | 429));
                if lasting || attempt >= ATTEMPTS {
                    // the address holds a signature
                    return Err(fault(&e.without_url().to_string()));
                }
                tokio::time::sleep(Duration::from_millis(100 << attempt)).await;
            }
        }
    }
}

fn fault(what: &str) -> EngineError {
    EngineError { transient: true, ..EngineError::new("engine/stage", format!("rows could not be brought to the stage: {what}")) }
}
