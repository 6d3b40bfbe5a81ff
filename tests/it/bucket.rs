//! A bucket served from a folder inside the test process, which remembers what was asked and fails when it is told to.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};

pub struct Bucket {
    root: tempfile::TempDir,
    address: SocketAddr,
    /// Method, path and query, payer of every request.
    pub asked: Arc<Mutex<Vec<String>>>,
    /// Requests that are still answered; below zero connections are closed instead.
    pub left: Arc<AtomicI64>,
    _runtime: tokio::runtime::Runtime,
}

impl Bucket {
    /// A bucket named `data`; its key is `key`, `secret`.
    pub fn new() -> Self {
        let root = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(root.path().join("data")).expect("a bucket");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(root.path()).expect("a file system"));
        builder.set_auth(SimpleAuth::from_single("key", "secret"));
        let service = builder.build();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address");
        let (asked, left) = (Arc::new(Mutex::new(vec![])), Arc::new(AtomicI64::new(i64::MAX)));
        let (asking, leaving) = (Arc::clone(&asked), Arc::clone(&left));
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (service, asked, left) = (service.clone(), Arc::clone(&asking), Arc::clone(&leaving));
                tokio::spawn(async move {
                    let answer = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                        let payer = request.headers().get("x-amz-request-payer").and_then(|v| v.to_str().ok()).unwrap_or("-").to_owned();
                        asked.lock().push(format!("{} {} {payer}", request.method(), request.uri()));
                        let is_up = left.fetch_sub(1, Ordering::SeqCst) > 0;
                        let service = service.clone();
                        async move {
                            if !is_up {
                                return Err(std::io::Error::other("the plug is pulled"));
                            }
                            hyper::service::Service::call(&service, request).await.map_err(|e| std::io::Error::other(format!("{e:?}")))
                        }
                    });
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), answer).await;
                });
            }
        });
        Self { root, address, asked, left, _runtime: runtime }
    }

    pub fn path(&self, key: &str) -> PathBuf {
        self.root.path().join("data").join(key)
    }

    pub fn put(&self, key: &str, content: impl AsRef<[u8]>) {
        let path = self.path(key);
        std::fs::create_dir_all(path.parent().expect("below the bucket")).expect("a folder");
        std::fs::write(path, content).expect("an object");
    }

    /// Settings of an adapter that reach it.
    pub fn settings(&self) -> String {
        format!("endpoint: 'http://{}', allow_http: true, retries: 1, timeout_s: 5", self.address)
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn keys(&self) -> &'static str {
        "access_key_id: key, secret_access_key: secret"
    }

    /// Requests that begin so, since the last look.
    pub fn take(&self, method: &str, holding: &str) -> usize {
        let asked = std::mem::take(&mut *self.asked.lock());
        asked.iter().filter(|request| request.starts_with(method) && request.contains(holding)).count()
    }
}
