//! The service in this process, and requests to it.

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use http_body_util::BodyExt;
use moxxie::app::{App, Parts};
use moxxie::clock::Clock;
use moxxie::config::limits::Limits;
use moxxie::config::{Config, Overrides};
use moxxie_core::time::{Span, Timestamp};
use moxxie_core::token::api_token_hash;
use moxxie_store::assets::{Assets, AssetsConfig, S3Env, Times};
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tower::ServiceExt;

/// The first admin token.
pub const ADMIN: &str = "first-admin-token-of-the-tests";
/// What machines and tools write into `Host`.
pub const HOST: &str = "10.0.0.1:8080";
/// Where requests come from unless they say otherwise: inside the allowlist.
pub const PEER: &str = "10.0.0.5";
/// When tests begin.
pub const START: &str = "2026-03-01T12:00:00Z";

/// Actions of audit records that change nothing and are written a little later.
const SEEN: [&str; 4] = ["access.refused", "access.left_out", "secrets.read", "config.preview"];

/// One installation.
pub struct Site {
    pub app: Arc<App>,
    pub router: Router,
    /// Outlives the app.
    pub dir: TempDir,
    viewer: OnceCell<String>,
    operator: OnceCell<String>,
}

impl Site {
    /// With the defaults.
    pub async fn start() -> Site {
        Site::with("").await
    }

    /// With this config file.
    pub async fn with(toml: &str) -> Site {
        Site::with_env(toml, S3Env::default()).await
    }

    /// With this config file and these `AWS_*` variables.
    pub async fn with_env(toml: &str, s3_env: S3Env) -> Site {
        Site::with_times(toml, s3_env, Times::default()).await
    }

    /// The same with other limits on what S3 may take.
    pub async fn with_times(toml: &str, s3_env: S3Env, times: Times) -> Site {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("moxxie.toml"), toml).unwrap();
        let data_dir = Some(dir.path().to_owned());
        let mut config = Config::load(Overrides { data_dir, s3_env, ..Overrides::default() }).unwrap();
        // The clock stands, and no allowance would ever recover: only tests that name a rate have one.
        if !toml.contains("_per_") {
            config.limits = Limits { boot: None, machine: None, failures: None, api: None, ..config.limits };
        }
        let store = Arc::new(moxxie_store::testing::open(&config.database_url).await.unwrap());
        store.migrate().await.unwrap();
        let assets = AssetsConfig { times, ..config.assets.clone() };
        let assets = Assets::open(assets).await.unwrap();
        let app = App::start(Parts {
            config,
            port: 8080,
            store,
            assets,
            clock: Arc::new(Clock::stopped_at(Timestamp::parse(START).unwrap())),
            admin_hash: api_token_hash(ADMIN),
        });
        app.migrated.store(true, Ordering::SeqCst);
        let router = moxxie::http::router::router(app.clone());
        Site { app, router, dir, viewer: OnceCell::new(), operator: OnceCell::new() }
    }

    /// A request as an admin.
    pub fn call(&self, method: &str, uri: &str) -> Call<'_> {
        self.anonymous(method, uri).token(ADMIN)
    }

    /// A request without a token, as machines send it.
    pub fn anonymous(&self, method: &str, uri: &str) -> Call<'_> {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static(HOST));
        Call {
            site: self,
            method: method.into(),
            uri: uri.into(),
            headers,
            body: Body::empty(),
            peer: PEER.parse().unwrap(),
        }
    }

    pub async fn get(&self, uri: &str) -> Answer {
        self.call("GET", uri).send().await
    }

    pub async fn post(&self, uri: &str, body: Value) -> Answer {
        self.call("POST", uri).json(&body).send().await
    }

    pub async fn put(&self, uri: &str, body: Value) -> Answer {
        self.call("PUT", uri).json(&body).send().await
    }

    pub async fn patch(&self, uri: &str, body: Value) -> Answer {
        self.call("PATCH", uri).json(&body).send().await
    }

    pub async fn delete(&self, uri: &str) -> Answer {
        self.call("DELETE", uri).send().await
    }

    /// A boot route, asked without a login.
    pub async fn boot(&self, uri: &str) -> Answer {
        self.anonymous("GET", uri).send().await
    }

    /// A new API token.
    pub async fn new_token(&self, name: &str, role: &str) -> String {
        let made = self.post("/api/v1/tokens", json!({"name": name, "role": role})).await.is(201);
        made.json()["token"].as_str().unwrap().to_owned()
    }

    pub async fn viewer(&self) -> &str {
        self.viewer.get_or_init(|| self.new_token("viewer", "viewer")).await
    }

    pub async fn operator(&self) -> &str {
        self.operator.get_or_init(|| self.new_token("operator", "operator")).await
    }

    /// Lets time pass.
    pub fn push(&self, by: Span) {
        self.app.clock.push(by);
    }

    /// Events that were written until now, newest first.
    pub async fn events(&self, query: &str) -> Vec<Value> {
        self.app.events.flush(Duration::from_secs(10)).await;
        let page = self.get(&format!("/api/v1/boot/events?limit=500{query}")).await.is(200);
        page.json()["items"].as_array().unwrap().clone()
    }

    /// The messages of the events of this kind, newest first.
    pub async fn messages(&self, kind: &str) -> Vec<String> {
        let events = self.events(&format!("&kind={kind}")).await;
        events.iter().map(|e| e["message"].as_str().unwrap().to_owned()).collect()
    }

    /// Audit records of changes and deliveries, newest first.
    pub async fn audit(&self) -> Vec<Value> {
        let page = self.get("/api/v1/audit?limit=500").await.is(200);
        let records = page.json()["items"].as_array().unwrap().clone();
        let changes = |record: &Value| !SEEN.iter().any(|seen| record["action"] == *seen);
        records.into_iter().filter(changes).collect()
    }

    /// Audit records of what was seen and changed nothing, newest first.
    pub async fn seen(&self) -> Vec<Value> {
        self.app.witness.flush(Duration::from_secs(10)).await;
        let page = self.get("/api/v1/audit?limit=500").await.is(200);
        let records = page.json()["items"].as_array().unwrap().clone();
        records.into_iter().filter(|record| SEEN.iter().any(|seen| record["action"] == *seen)).collect()
    }

    /// The state of an assignment as the API shows it.
    pub async fn state(&self, mac: &str) -> String {
        let shown = self.get(&format!("/api/v1/boot/assignments/{mac}")).await.is(200);
        shown.json()["state"].as_str().unwrap().to_owned()
    }
}

/// A request under construction.
pub struct Call<'a> {
    site: &'a Site,
    method: String,
    uri: String,
    headers: HeaderMap,
    body: Body,
    peer: IpAddr,
}

impl Call<'_> {
    pub fn token(self, token: &str) -> Self {
        self.set("authorization", &format!("Bearer {token}"))
    }

    /// Replaces a header.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().unwrap();
        self.headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        self
    }

    /// Adds a header beside those of the same name.
    pub fn also(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().unwrap();
        self.headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    pub fn from(mut self, peer: &str) -> Self {
        self.peer = peer.parse().unwrap();
        self
    }

    pub fn json(self, body: &Value) -> Self {
        self.set("content-type", "application/json").body(body.to_string())
    }

    pub fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    /// The answer before its body is read.
    pub async fn open(self) -> axum::response::Response {
        let mut request = Request::new(self.body);
        *request.method_mut() = Method::from_bytes(self.method.as_bytes()).unwrap();
        *request.uri_mut() = self.uri.parse().unwrap_or_else(|e| panic!("{}: {e}", self.uri));
        *request.headers_mut() = self.headers;
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(self.peer, 40_000)));
        self.site.router.clone().oneshot(request).await.unwrap()
    }

    pub async fn send(self) -> Answer {
        let what = format!("{} {:.200}", self.method, self.uri);
        let method = self.method.clone();
        let path = self.uri.split('?').next().unwrap_or("").to_owned();
        let installer = self.headers.get("user-agent").is_some_and(|ua| ua == "debian-installer");
        let (parts, body) = self.open().await.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        let answer = Answer { status: parts.status.as_u16(), headers: parts.headers, body, what };
        if path.starts_with("/boot/") && !installer {
            answer.keeps_the_boot_promises(&method, &path);
        }
        answer
    }
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// The request, for messages.
    pub what: String,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{}: {e}: {}", self.what, self.text()))
    }

    /// A header that was sent at most once; empty when it was not.
    pub fn header(&self, name: &str) -> &str {
        assert!(self.headers.get_all(name).iter().count() <= 1, "{}: {name} twice", self.what);
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    #[track_caller]
    pub fn is(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}\n{:.2000}", self.what, self.text());
        self
    }

    /// An error in the API's form; its JSON.
    #[track_caller]
    pub fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}\n{:.2000}", self.what, self.text());
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.what);
        let problem = self.json();
        assert_eq!(problem["status"], status, "{}: the body says another status", self.what);
        for field in ["type", "title", "detail"] {
            let text = problem[field].as_str().unwrap_or("");
            assert!(!text.is_empty(), "{}: no {field}", self.what);
        }
        for error in problem["errors"].as_array().into_iter().flatten() {
            assert!(error["pointer"].is_string() && error["message"].is_string(), "{}: {error}", self.what);
        }
        problem
    }

    /// The pointers of the fields that a 422 names.
    #[track_caller]
    pub fn pointers(&self) -> Vec<String> {
        let problem = self.problem(422);
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|e| e["pointer"].as_str().unwrap().to_owned()).collect()
    }

    /// What holds for every answer to a machine, whatever it asked: checked on each request that
    /// any test sends to a boot route.
    fn keeps_the_boot_promises(&self, method: &str, path: &str) {
        let what = &self.what;
        // A redirect is for files that a store serves itself, when the site says so.
        let elsewhere = self.status == 302 && path.starts_with("/boot/assets/");
        let fine = matches!(self.status, 200 | 204 | 206 | 304 | 400..=499 | 503) || elsewhere;
        assert!(fine, "{what}: status {}", self.status);
        for name in ["transfer-encoding", "content-encoding"] {
            assert!(!self.headers.contains_key(name), "{what}: {name}");
        }
        if method != "HEAD" && !matches!(self.status, 204 | 304) {
            assert_eq!(
                self.header("content-length"),
                self.body.len().to_string(),
                "{what}: never without its length"
            );
        }
        if matches!(self.status, 429 | 503) {
            let seconds = self.header("retry-after");
            assert!(seconds.parse::<u32>().is_ok(), "{what}: Retry-After {seconds:?}");
        } else {
            assert_eq!(self.header("retry-after"), "", "{what}: iPXE would wait on any status");
        }
        if self.status >= 400 && method != "HEAD" && self.status != 416 {
            let text = self.text();
            assert!(self.header("content-type").starts_with("text/plain"), "{what}: {:?}", self.headers);
            assert!(
                text.starts_with("moxxie: ") && text.ends_with('\n') && text.lines().count() == 1,
                "{what}: {text:?}"
            );
            assert!(
                text.len() <= 210 && !text.contains(|c: char| c.is_control() && c != '\n'),
                "{what}: {text:?}"
            );
        }
        if self.status == 200 && path.ends_with(".ipxe") && method == "GET" {
            assert!(self.body.starts_with(b"#!ipxe\n"), "{what}: BIOS iPXE would run it: {}", self.text());
            assert_eq!(self.header("content-type"), "text/plain; charset=utf-8", "{what}");
            assert_eq!(self.header("cache-control"), "no-store", "{what}");
        }
    }
}
