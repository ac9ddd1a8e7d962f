//! Asks a server as machines and operators do. Every answer is held against the contract's rules
//! for all answers, whatever a test is about.

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::Value;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Only a hang reaches this; the product's own patience with a database is a few seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// Everything that a server ever answered: `(what was asked, head and body)`.
pub type Tape = Arc<Mutex<Vec<(String, String)>>>;

#[derive(Clone)]
pub struct Client {
    pub base: String,
    token: Option<String>,
    http: reqwest::Client,
    tape: Option<Tape>,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Client {
    pub fn new(base: &str, token: &str) -> Client {
        Client::over(base, token, reqwest::Client::builder().no_proxy())
    }

    /// The same with other means.
    pub fn over(base: &str, token: &str, http: reqwest::ClientBuilder) -> Client {
        let http = http.timeout(PATIENCE).build().unwrap();
        Client { base: base.into(), token: Some(token.into()), http, tape: None }
    }

    /// The same server, asked by somebody else.
    pub fn with(&self, token: Option<&str>) -> Client {
        Client { token: token.map(str::to_owned), ..self.clone() }
    }

    /// The same, with every answer kept.
    pub fn taped(&self, tape: &Tape) -> Client {
        Client { tape: Some(tape.clone()), ..self.clone() }
    }

    /// A request for this path, with the token where the API wants it.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) if path.starts_with("/api") => request.bearer_auth(token),
            _ => request,
        }
    }

    /// Sends it; `None` when the connection is refused or breaks.
    pub async fn try_send(&self, request: reqwest::RequestBuilder) -> Option<Reply> {
        let (http, request) = request.build_split();
        let request = request.unwrap();
        let asked = format!("{} {}", request.method(), request.url());
        let boot = request.url().path().starts_with("/boot");
        let response = match http.execute(request).await {
            Ok(response) => response,
            Err(error) => {
                assert!(!error.is_timeout(), "{asked} was never answered");
                return None;
            }
        };
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = match response.bytes().await {
            Ok(body) => body.to_vec(),
            Err(error) => {
                assert!(!error.is_timeout(), "{asked} was never answered in full");
                return None;
            }
        };
        let reply = Reply { status, headers, body };
        if let Some(tape) = &self.tape {
            let text = format!("{} {:?}\n{}", status, reply.headers, reply.text());
            tape.lock().unwrap().push((asked.clone(), text));
        }
        reply.keeps_the_rules(&asked, boot);
        Some(reply)
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Reply {
        self.try_send(request).await.expect("the server hung up")
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn json(&self, method: Method, path: &str, body: &Value) -> Reply {
        self.send(self.request(method, path).json(body)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.json(Method::POST, path, body).await
    }

    /// POST without a body.
    pub async fn act(&self, path: &str) -> Reply {
        self.send(self.request(Method::POST, path)).await
    }

    pub async fn put_bytes(&self, path: &str, bytes: impl Into<reqwest::Body>) -> Reply {
        self.send(self.request(Method::PUT, path).body(bytes)).await
    }

    /// The menu of a machine.
    pub async fn menu(&self, mac: &str) -> Reply {
        self.get(&format!("/boot/menu.ipxe?mac={mac}")).await
    }
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("not JSON ({e}): {self:?}"))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    pub fn is(self, status: u16) -> Reply {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// A script that boots the assigned profile.
    pub fn boots(&self) -> bool {
        self.status == 200 && self.text().lines().any(|line| line.starts_with("kernel "))
    }

    /// A script that leaves the disk alone: the local disk, or a menu whose time-out is it.
    #[track_caller]
    pub fn is_calm(&self) {
        let text = self.text();
        assert!(self.status == 200 && text.starts_with("#!ipxe"), "{self:?}");
        assert!(!self.boots(), "{text}");
    }

    /// Told to wait, so that iPXE asks again.
    #[track_caller]
    pub fn must_wait(&self) {
        assert_eq!(self.status, 503, "{}", self.text());
    }

    /// The path and query of the config that a script names.
    #[track_caller]
    pub fn config_path(&self) -> String {
        let text = self.text();
        let start = text.find("/boot/configs/").unwrap_or_else(|| panic!("no config in {text}"));
        text[start..].split_whitespace().next().unwrap().to_owned()
    }

    /// The path and query where the machine reports.
    #[track_caller]
    pub fn report_path(&self) -> String {
        let text = self.text();
        let start = text.find("/boot/report?t=").unwrap_or_else(|| panic!("no report in {text}"));
        text[start..].split(|c: char| c.is_whitespace() || c == '&').next().unwrap().to_owned()
    }

    fn keeps_the_rules(&self, asked: &str, boot: bool) {
        let (status, kind) = (self.status, self.header("content-type"));
        if matches!(status, 429 | 503) {
            let wait = self.header("retry-after");
            assert!(wait.parse::<u32>().is_ok_and(|s| s > 0), "{asked}: Retry-After {wait:?}");
        }
        if boot {
            assert!(
                matches!(status, 200 | 204 | 206 | 304 | 503 | 400..=499),
                "{asked} answered {status}: {}",
                self.text()
            );
            if status >= 400 {
                let text = self.text();
                assert!(text.lines().count() == 1 && !text.starts_with('{'), "{asked}: {text}");
            }
            if asked.contains(".ipxe") && status == 200 {
                assert!(self.body.starts_with(b"#!ipxe"), "{asked}: {}", self.text());
            }
        } else if status >= 400 && asked.contains("/api/") {
            assert_eq!(kind, "application/problem+json", "{asked}: {}", self.text());
            assert_eq!(self.value()["status"], status, "{asked}");
        }
    }
}
