//! An S3 server in this process, on loopback, over a folder.

use crate::faults::{Faults, pass};
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The only bucket.
pub const BUCKET: &str = "shelf";
/// The only key.
pub const KEY_ID: &str = "AKIALABLABLABLABLABL";
/// Its secret.
pub const SECRET: &str = "lab-secret-lab-secret-lab-secret-lab-se";

/// The server. Dropping it ends it.
pub struct TestS3 {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    dir: PathBuf,
    accepting: JoinHandle<()>,
    _temporary: Option<TempDir>,
}

struct Shared {
    service: S3Service,
    faults: Mutex<Faults>,
    requests: Mutex<Vec<(Method, String)>>,
    sent: AtomicU64,
}

impl TestS3 {
    /// A server over a new folder.
    pub async fn start() -> TestS3 {
        let dir = tempfile::tempdir().unwrap();
        let mut server = TestS3::at("127.0.0.1:0".parse().unwrap(), dir.path()).await.unwrap();
        server._temporary = Some(dir);
        server
    }

    /// A server over this folder.
    pub async fn at(listen: SocketAddr, dir: &Path) -> io::Result<TestS3> {
        std::fs::create_dir_all(dir.join(BUCKET))?;
        let files = FileSystem::new(dir).map_err(|error| io::Error::other(format!("{error:?}")))?;
        let mut service = S3ServiceBuilder::new(files);
        service.set_auth(SimpleAuth::from_single(KEY_ID, SECRET));
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            service: service.build(),
            faults: Mutex::default(),
            requests: Mutex::default(),
            sent: AtomicU64::new(0),
        });
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Ok(TestS3 { address, shared, dir: dir.to_owned(), accepting, _temporary: None })
    }

    /// The variables by which clients find it.
    pub fn env(&self) -> BTreeMap<String, String> {
        let env = [
            ("AWS_ENDPOINT_URL", format!("http://{}", self.address)),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", KEY_ID.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
        ];
        env.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// What goes wrong from now on.
    pub fn set(&self, faults: Faults) {
        *self.shared.faults.lock().unwrap() = faults;
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) {
        self.set(Faults::default());
    }

    /// How many requests came with this method.
    pub fn count(&self, method: &str) -> usize {
        self.shared.requests.lock().unwrap().iter().filter(|(m, _)| m.as_str() == method).count()
    }

    /// Bytes of bodies that were sent.
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::SeqCst)
    }

    /// Where the bytes of an object lie, for spoiling them.
    pub fn object(&self, key: &str) -> PathBuf {
        self.dir.join(BUCKET).join(key)
    }

    /// The keys of all objects.
    pub fn keys(&self) -> Vec<String> {
        let root = self.dir.join(BUCKET);
        let mut keys = Vec::new();
        let mut dirs = vec![root.clone()];
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(&dir).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => dirs.push(path),
                    false => keys.push(path.strip_prefix(&root).unwrap().to_string_lossy().into_owned()),
                }
            }
        }
        keys.sort();
        keys
    }
}

impl Drop for TestS3 {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        if shared.faults.lock().unwrap().down {
            continue;
        }
        let shared = shared.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(shared.clone(), request));
            let mut http = http1::Builder::new();
            let _ = http.timer(TokioTimer::new()).serve_connection(TokioIo::new(socket), service).await;
        });
    }
}

type Body = UnsyncBoxBody<Bytes, io::Error>;

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> io::Result<Response<Body>> {
    let method = request.method().clone();
    let mut faults = shared.faults.lock().unwrap().clone();
    if faults.down {
        return Err(io::Error::other("down"));
    }
    shared.requests.lock().unwrap().push((method.clone(), request.uri().path().to_owned()));
    if let Some(delay) = faults.delay {
        tokio::time::sleep(delay).await;
    }
    if faults.slow_down {
        return Ok(refusal(StatusCode::SERVICE_UNAVAILABLE, "SlowDown"));
    }
    // As S3 says it; the server below would speak of the key.
    if request.uri().path().split('/').nth(1) != Some(BUCKET) {
        return Ok(refusal(StatusCode::NOT_FOUND, "NoSuchBucket"));
    }
    let response = shared
        .service
        .call(request.map(s3s::Body::from))
        .await
        .map_err(|error| io::Error::other(format!("{error:?}")))?;
    let (head, body) = response.into_parts();
    let object = method == Method::GET && head.status.is_success();
    if !object || (faults.cut.is_some() && !one_more_cut(&shared)) {
        faults.cut = None;
    }
    if !object {
        faults = Faults::default();
    }
    let base = head.headers.get(header::CONTENT_RANGE).and_then(|range| {
        let range = range.to_str().ok()?.strip_prefix("bytes ")?;
        range.split('-').next()?.parse().ok()
    });
    let counted = shared.clone();
    let count = move |bytes| {
        counted.sent.fetch_add(bytes, Ordering::SeqCst);
    };
    let body = StreamBody::new(pass(body, faults, base.unwrap_or(0), count)).boxed_unsync();
    Ok(Response::from_parts(head, body))
}

fn refusal(status: StatusCode, code: &str) -> Response<Body> {
    let text = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>");
    let mut response = Response::new(Full::from(text).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response
}

/// Whether this body is to be cut, too.
fn one_more_cut(shared: &Shared) -> bool {
    let mut faults = shared.faults.lock().unwrap();
    let cut = faults.cuts != Some(0);
    faults.cuts = faults.cuts.map(|left| left.saturating_sub(1));
    cut
}
