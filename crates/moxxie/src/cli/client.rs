//! The HTTP client behind every command: bearer token, JSON, errors people can act on, and a
//! bounded patience with a busy server.

use crate::cli::out;
use reqwest::header::{AUTHORIZATION, ETAG, IF_MATCH, LOCATION, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use std::fmt;
use std::time::Duration;
use url::Url;

/// How long an answer of the API may take.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How long a transfer may stand still.
pub const STALL: Duration = Duration::from_secs(60);
/// How often a request is made again when the server is busy.
const RETRIES: u32 = 4;
/// The longest wait that is granted to a busy server, each time.
const LONGEST_WAIT: u64 = 30;

/// An API token. Never shown.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// A token's text, without the line end of the file it came from.
    pub fn new(text: &str) -> Secret {
        Secret(text.trim().to_owned())
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::str::FromStr for Secret {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        Ok(Secret::new(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(********)")
    }
}

/// Why a request did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answered.
    #[error(
        "cannot reach moxxie at {server}: is it running? start it with `moxxie serve`, or name it with --server\n  ({cause})"
    )]
    Unreachable {
        /// The address asked.
        server: String,
        /// What the network said.
        cause: String,
    },
    /// Somebody answered whose certificate this machine does not accept.
    #[error("the certificate of {server} is not accepted by this machine ({cause})\n  {next}")]
    Untrusted {
        /// The address asked.
        server: String,
        /// What is wrong with it.
        cause: String,
        /// What to do about it.
        next: &'static str,
    },
    /// The connection broke, or the answer did not come in time.
    #[error("no usable answer from moxxie at {server}: {cause}")]
    Broken {
        /// The address asked.
        server: String,
        /// What happened.
        cause: String,
    },
    /// The server answered with a status other than success.
    #[error("{0}")]
    Refused(Box<Problem>),
    /// The server sends elsewhere; credentials are not carried along.
    #[error("the server answers from another address: name it with --server {0}")]
    Moved(String),
    /// The request could not be made at all.
    #[error("{0}")]
    Usage(String),
}

impl ClientError {
    /// The HTTP status of a refusal.
    pub fn status(&self) -> Option<u16> {
        match self {
            ClientError::Refused(problem) => Some(problem.status),
            _ => None,
        }
    }
}

/// What every call gives.
pub type Result<T> = std::result::Result<T, ClientError>;

/// An error of the API, RFC 9457, or what could be read of another answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// What kind of problem.
    pub title: String,
    /// What happened here.
    pub detail: String,
    /// Fields that are wrong.
    pub errors: Vec<Field>,
    /// What to do next, as far as the client can tell.
    pub hint: Option<String>,
}

/// A field that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Field {
    /// Where the object stands that has it, when that is not the request itself.
    pub place: Option<String>,
    /// JSON pointer to it.
    pub pointer: String,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        let name = self.pointer.trim_start_matches('/').replace('/', ".");
        if name.is_empty() {
            return f.write_str(&self.message);
        }
        // Messages about a template begin with the field's name, some after the machine's.
        let again = format!("{name}: ");
        match self.message.split_once(&again) {
            Some((before, rest)) if before.is_empty() || before.ends_with(": ") => {
                write!(f, "{name}: {before}{rest}")
            }
            _ => write!(f, "{name}: {}", self.message),
        }
    }
}

impl Problem {
    /// What an object of RFC 9457 says.
    pub fn of(json: &Value) -> Problem {
        let status = json["status"].as_u64().and_then(|status| u16::try_from(status).ok());
        let status = status.and_then(|status| StatusCode::from_u16(status).ok());
        Problem::said(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), json)
    }

    fn said(status: StatusCode, json: &Value) -> Problem {
        let text = |value: &Value| value.as_str().unwrap_or_default().trim().to_owned();
        let errors = json["errors"].as_array().into_iter().flatten();
        let field = |error: &Value| Field {
            place: None,
            pointer: text(&error["pointer"]),
            message: text(&error["message"]),
        };
        let title = text(&json["title"]);
        let known = || status.canonical_reason().unwrap_or("refused").to_owned();
        Problem {
            status: status.as_u16(),
            title: if title.is_empty() { known() } else { title },
            detail: text(&json["detail"]),
            errors: errors.map(field).collect(),
            hint: None,
        }
    }

    fn read(status: StatusCode, body: &[u8], had_token: bool) -> Problem {
        let json = match serde_json::from_slice::<Value>(body) {
            Ok(json) if json.is_object() => json,
            _ => {
                // The boot routes answer with one plain line; a page of a proxy is cut short.
                let body = String::from_utf8_lossy(body);
                serde_json::json!({ "detail": body.trim().chars().take(200).collect::<String>() })
            }
        };
        let mut problem = Problem::said(status, &json);
        let hint = match status {
            StatusCode::UNAUTHORIZED if had_token => Some(
                "the token is unknown, revoked or expired. Tokens come from `moxxie token create`; the first one is in <data-dir>/admin-token on the server. Give it with --token or MOXXIE_TOKEN",
            ),
            StatusCode::UNAUTHORIZED => Some(
                "a token is needed. The first one is in <data-dir>/admin-token on the server, further ones come from `moxxie token create`. Give it with --token or MOXXIE_TOKEN, or name the data directory with --data-dir",
            ),
            StatusCode::PRECONDITION_FAILED => {
                Some("somebody changed it in the meantime: look at it again, then repeat")
            }
            StatusCode::TOO_MANY_REQUESTS => Some("the server limits this client: try later"),
            _ => None,
        };
        problem.hint = hint.map(str::to_owned);
        problem
    }

    /// What to do when a machine's own flags or policy stand in the way, in this program's words.
    /// A server that names the command already has said it.
    pub fn hint_about(&mut self, mac: &str) {
        const STEPS: [(&str, &str); 3] = [
            ("is protected", "--unprotect"),
            ("is quarantined", "--quarantined=false"),
            ("boot_policy is `local`", "--policy once"),
        ];
        if self.status != 409 {
            return;
        }
        // The server's words do not always know which machine: the step follows with its address.
        const STEP: &str = " (moxxie assignment update MAC ";
        if let Some((before, rest)) = self.detail.split_once(STEP)
            && let Some((flags, after)) = rest.split_once(')')
        {
            self.hint = Some(format!("next step: moxxie assignment update {mac} {flags}"));
            self.detail = format!("{before}{after}");
            return;
        }
        if self.detail.contains("moxxie assignment update") {
            return;
        }
        let step = STEPS.iter().find(|(about, _)| self.detail.contains(about));
        if let Some((_, flag)) = step {
            // The same step in the API's words.
            self.detail = self.detail.replace(" (`protected: false`)", "");
            self.hint = Some(format!("next step: moxxie assignment update {mac} {flag}"));
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.title, self.status)?;
        match self.errors.as_slice() {
            // The detail of a single field repeats the field.
            [only] if self.detail.is_empty() || self.detail.ends_with(&only.message) => {
                write!(f, ": {only}")?;
            }
            fields => {
                if !self.detail.is_empty() && self.detail != self.title {
                    write!(f, ": {}", self.detail)?;
                }
                fields.iter().try_for_each(|field| write!(f, "\n  {field}"))?;
            }
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  {hint}")?;
        }
        Ok(())
    }
}

/// A successful answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Its JSON; null when it had no body.
    pub body: Value,
    /// Its version, for `If-Match`.
    pub etag: Option<String>,
}

/// The client.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<Secret>,
}

impl Client {
    /// A client of the server at this URL.
    pub fn new(server: &str, token: Option<Secret>) -> Result<Client> {
        let base = Url::parse(server)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| {
                ClientError::Usage(format!(
                    "--server {}: not an http(s) URL, such as http://127.0.0.1:8080",
                    out::one_line(server)
                ))
            })?;
        if !base.username().is_empty() || base.password().is_some() {
            return Err(ClientError::Usage(
                "--server: no user and password in the URL; moxxie takes tokens, with --token".into(),
            ));
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("moxxie/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10))
            // A redirect would turn a PUT into a GET and could carry the token away.
            .redirect(reqwest::redirect::Policy::none());
        let is_local = match base.host() {
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost",
            None => false,
        };
        if is_local {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|e| ClientError::Usage(causes(&e)))?;
        Ok(Client { http, base, token })
    }

    /// The server's address, for messages.
    pub fn server(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// The server's address, as a URL.
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// Whether a token is sent.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// A request to a path under the server's address. Each segment is percent-encoded.
    pub fn request<Q: AsRef<str>>(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, Q)],
    ) -> Result<RequestBuilder> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty();
            for segment in path {
                if matches!(*segment, "" | "." | "..") {
                    return Err(ClientError::Usage("a name is missing or is not a name".into()));
                }
                segments.push(segment);
            }
        }
        if !query.is_empty() {
            let mut pairs = url::form_urlencoded::Serializer::new(String::new());
            for (key, value) in query {
                pairs.append_pair(key, value.as_ref());
            }
            // The server takes a plus for a plus, so a space is written out.
            url.set_query(Some(&pairs.finish().replace('+', "%20")));
        }
        Ok(self.http.request(method, url))
    }

    /// The same request with the token on it.
    pub fn authorized<Q: AsRef<str>>(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, Q)],
    ) -> Result<RequestBuilder> {
        let request = self.request(method, path, query)?;
        let Some(Secret(token)) = &self.token else { return Ok(request) };
        let mut header = reqwest::header::HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| ClientError::Usage("the token has characters that no token has".into()))?;
        header.set_sensitive(true);
        Ok(request.header(AUTHORIZATION, header))
    }

    /// Sends a request; made again, a bounded number of times, when the server says that it is
    /// busy and for how long. Gives answers of success only.
    pub async fn send(&self, make: impl FnMut() -> Result<RequestBuilder>) -> Result<Response> {
        self.send_patiently(RETRIES, make).await
    }

    /// Sends a request once. Gives an answer of success only.
    pub async fn send_once(&self, request: RequestBuilder) -> Result<Response> {
        let mut request = Some(request);
        let make = || request.take().ok_or_else(|| ClientError::Usage("sent twice".into()));
        self.send_patiently(0, make).await
    }

    async fn send_patiently(
        &self,
        mut left: u32,
        mut make: impl FnMut() -> Result<RequestBuilder>,
    ) -> Result<Response> {
        loop {
            let response = make()?.send().await.map_err(|e| self.broken(e))?;
            let status = response.status();
            if status.is_success() {
                return Ok(response);
            }
            if status.is_redirection() {
                let to = response.headers().get(LOCATION).and_then(|l| l.to_str().ok());
                let to = to.and_then(|to| self.base.join(to).ok());
                return Err(ClientError::Moved(
                    to.map_or("…".into(), |url| url.origin().ascii_serialization()),
                ));
            }
            let busy = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
            let wait = response
                .headers()
                .get(RETRY_AFTER)
                .and_then(|after| after.to_str().ok()?.trim().parse::<u64>().ok());
            match wait {
                Some(seconds) if busy && left > 0 && seconds <= LONGEST_WAIT => {
                    left -= 1;
                    out::note(format!("the server is busy; trying again in {seconds} s"));
                    tokio::time::sleep(Duration::from_secs(seconds)).await;
                }
                _ => {
                    let body = response.bytes().await.unwrap_or_default();
                    let problem = Problem::read(status, &body, self.has_token());
                    return Err(ClientError::Refused(Box::new(problem)));
                }
            }
        }
    }

    /// Calls the API and reads its JSON.
    pub async fn call<Q: AsRef<str>>(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, Q)],
        if_match: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Reply> {
        let response = self
            .send(|| {
                let mut request = self.authorized(method.clone(), path, query)?.timeout(TIMEOUT);
                if let Some(etag) = if_match {
                    request = request.header(IF_MATCH, etag);
                }
                Ok(match body {
                    Some(json) => request.json(json),
                    None => request,
                })
            })
            .await?;
        let etag = response.headers().get(ETAG).and_then(|etag| Some(etag.to_str().ok()?.to_owned()));
        let bytes = response.bytes().await.map_err(|e| self.broken(e))?;
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).map_err(|_| ClientError::Broken {
                server: self.server().into(),
                cause: "the answer is not JSON; is this a moxxie server?".into(),
            })?
        };
        Ok(Reply { body, etag })
    }

    /// Reads one object.
    pub async fn get(&self, path: &[&str]) -> Result<Reply> {
        self.call::<&str>(Method::GET, path, &[], None, None).await
    }

    /// Reads a list, page by page, up to so many items.
    pub async fn list(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        limit: Option<usize>,
    ) -> Result<Vec<Value>> {
        const PAGE: usize = 500;
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let left = limit.map_or(PAGE, |limit| limit.saturating_sub(items.len()));
            if left == 0 {
                return Ok(items);
            }
            let mut query = query.to_vec();
            query.push(("limit", left.min(PAGE).to_string()));
            query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
            let reply = self.call(Method::GET, path, &query, None, None).await?.body;
            let Some(page) = reply["items"].as_array() else {
                return Err(ClientError::Broken {
                    server: self.server().into(),
                    cause: "the answer is not a list; is this a moxxie server?".into(),
                });
            };
            items.extend(page.iter().take(left).cloned());
            cursor = match &reply["next"] {
                Value::String(next) => Some(next.clone()),
                Value::Number(next) => Some(next.to_string()),
                _ => return Ok(items),
            };
            if page.is_empty() {
                return Ok(items);
            }
        }
    }

    /// Reads a text that the API gives as such.
    pub async fn text(&self, path: &[&str], query: &[(&str, String)]) -> Result<String> {
        let response = self.send(|| Ok(self.authorized(Method::GET, path, query)?.timeout(TIMEOUT))).await?;
        response.text().await.map_err(|e| self.broken(e))
    }

    /// What a failure of the connection means to people.
    pub fn broken(&self, error: reqwest::Error) -> ClientError {
        let server = self.server().to_owned();
        let timed_out = error.is_timeout();
        if error.is_connect() {
            let cause = causes(&error.without_url());
            return match distrust(&cause) {
                Some(next) => ClientError::Untrusted { server, cause, next },
                None => ClientError::Unreachable { server, cause },
            };
        }
        let cause = match timed_out {
            true => "it did not come in time".into(),
            false => causes(&error.without_url()),
        };
        ClientError::Broken { server, cause }
    }
}

/// What to do about a certificate that rustls does not accept; `None` for every other cause. Its
/// error lies inside an `io::Error` that hides its type, so its words are looked at.
fn distrust(cause: &str) -> Option<&'static str> {
    let why = cause.strip_prefix("invalid peer certificate: ")?;
    Some(if why.contains("not valid for name") || why.contains("NotValidForName") {
        "next step: give --server the name or address that stands in the certificate"
    } else if why.contains("expired") || why.contains("Expired") {
        "next step: renew it on the server, and look at the clock of this machine"
    } else if why.contains("CaUsedAsEndEntity") {
        "next step: make it with basicConstraints=CA:FALSE, or have a CA of your own sign it; then SSL_CERT_FILE=ca.pem"
    } else {
        "next step: name the CA that signed it, PEM, in the environment: SSL_CERT_FILE=ca.pem"
    })
}

/// The innermost cause, which is the one people can act on.
fn causes(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fake::{Answer, Fake};
    use serde_json::json;

    const NONE: &[(&str, &str)] = &[];

    #[test]
    fn problems_are_readable() {
        let body = json!({
            "type": "about:blank", "title": "Invalid profile", "status": 422, "detail": "2 fields are wrong",
            "errors": [{"pointer": "/name", "message": "has 1 to 63 of a-z"},
                       {"pointer": "/config_template", "message": "line 3, column 5: undefined value"}]
        });
        let problem = Problem::read(StatusCode::UNPROCESSABLE_ENTITY, body.to_string().as_bytes(), true);
        assert_eq!(
            problem.to_string(),
            "Invalid profile (422): 2 fields are wrong\n  name: has 1 to 63 of a-z\n  \
             config_template: line 3, column 5: undefined value"
        );
        let plain = Problem::read(StatusCode::BAD_GATEWAY, b"<html>bad gateway</html>\n", true);
        assert_eq!(plain.to_string(), "Bad Gateway (502): <html>bad gateway</html>");
        let empty = Problem::read(StatusCode::NOT_FOUND, b"", true);
        assert_eq!(empty.to_string(), "Not Found (404)");
        let login = Problem::read(StatusCode::UNAUTHORIZED, b"", false).to_string();
        assert!(login.contains("moxxie token create") && login.contains("admin-token"), "{login}");
    }

    #[test]
    fn each_thing_is_said_once() {
        let said = |pointer: &str, message: &str| {
            let body = json!({"title": "Unprocessable Entity", "detail": format!("{pointer}: {message}"),
                "errors": [{"pointer": pointer, "message": message}]});
            Problem::read(StatusCode::UNPROCESSABLE_ENTITY, body.to_string().as_bytes(), true).to_string()
        };
        assert_eq!(
            said("/boot_params", "boot_params: line 1, column 6: x is not defined"),
            "Unprocessable Entity (422): boot_params: line 1, column 6: x is not defined"
        );
        assert_eq!(
            said("/config_template", "for node-1: config_template: line 2, column 1: x is not defined"),
            "Unprocessable Entity (422): config_template: for node-1: line 2, column 1: x is not defined"
        );
        assert_eq!(said("/params/a/b", "is a mask"), "Unprocessable Entity (422): params.a.b: is a mask");
        assert_eq!(said("", "must be a JSON object"), "Unprocessable Entity (422): must be a JSON object");
    }

    #[test]
    fn protection_names_the_next_step_once() {
        let refused = |status, detail: &str| {
            let mut problem =
                Problem { status, title: "Conflict".into(), detail: detail.into(), ..Problem::default() };
            problem.hint_about("52:54:00:12:34:56");
            problem.to_string()
        };
        assert_eq!(
            refused(409, "node-1 is protected: lift the protection first (`protected: false`)"),
            "Conflict (409): node-1 is protected: lift the protection first\n  \
             next step: moxxie assignment update 52:54:00:12:34:56 --unprotect"
        );
        assert!(
            refused(409, "n: this machine is quarantined: look at its events")
                .ends_with("--quarantined=false")
        );
        let named = "it is protected: `moxxie assignment update 52:54:00:12:34:56 --unprotect` lifts it";
        assert_eq!(refused(409, named), format!("Conflict (409): {named}"));
        let word =
            "this machine is protected: lift the protection first (moxxie assignment update MAC --unprotect)";
        assert_eq!(
            refused(409, word),
            "Conflict (409): this machine is protected: lift the protection first\n  \
             next step: moxxie assignment update 52:54:00:12:34:56 --unprotect"
        );
        assert_eq!(refused(409, "taken"), "Conflict (409): taken");
        assert_eq!(refused(422, "is protected"), "Conflict (422): is protected");
    }

    #[test]
    fn certificates_are_not_said_to_be_nobody() {
        let next = |why: &str| distrust(&format!("invalid peer certificate: {why}"));
        assert!(next("UnknownIssuer").is_some_and(|next| next.ends_with("SSL_CERT_FILE=ca.pem")));
        assert!(next("CaUsedAsEndEntity").is_some_and(|next| next.contains("CA:FALSE")));
        assert!(next("certificate expired: verification time …").is_some_and(|next| next.contains("renew")));
        assert!(
            next("certificate not valid for name \"x\"; …").is_some_and(|next| next.contains("--server"))
        );
        assert_eq!(distrust("Connection refused (os error 111)"), None);
    }

    #[tokio::test]
    async fn sends_the_token_and_never_shows_it() {
        let fake = Fake::start(vec![Answer::json(200, json!({})), Answer::json(403, json!({"title": "No"}))]);
        let client = Client::new(&fake.url, Some(Secret::new("mox_canary\n"))).unwrap();
        client.get(&["api", "v1", "boot", "profiles", "a/b?c"]).await.unwrap();
        let request = fake.request();
        assert!(request.head.starts_with("GET /api/v1/boot/profiles/a%2Fb%3Fc HTTP/1.1"), "{}", request.head);
        assert!(request.head.contains("authorization: Bearer mox_canary\r\n"), "{}", request.head);
        let error = client.get(&["x"]).await.unwrap_err();
        assert_eq!(error.status(), Some(403));
        assert!(!format!("{error} {error:?} {client:?}").contains("canary"));
        let error = Client::new(&fake.url, Some(Secret::new("mox_canary\nx")))
            .unwrap()
            .get(&["x"])
            .await
            .unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
        assert!(client.request(Method::GET, &["a", ".."], NONE).is_err());
    }

    #[tokio::test]
    async fn a_busy_server_is_asked_again_a_bounded_number_of_times() {
        let busy = || Answer::json(503, json!({"title": "Busy"})).with("Retry-After: 0");
        let fake = Fake::start(vec![busy(), busy(), Answer::json(200, json!({"a": 1}))]);
        let client = Client::new(&fake.url, None).unwrap();
        assert_eq!(client.get(&["x"]).await.unwrap().body, json!({"a": 1}));
        assert_eq!(fake.count(), 3);

        let fake = Fake::start((0..9).map(|_| busy()).collect());
        let client = Client::new(&fake.url, None).unwrap();
        assert_eq!(client.get(&["x"]).await.unwrap_err().status(), Some(503));
        assert_eq!(fake.count(), 1 + RETRIES as usize);

        // Without a Retry-After, or with an unreasonable one, the answer stands.
        for answer in [Answer::json(503, json!({})), Answer::json(429, json!({})).with("Retry-After: 86400")]
        {
            let fake = Fake::start(vec![answer]);
            assert!(Client::new(&fake.url, None).unwrap().get(&["x"]).await.is_err());
            assert_eq!(fake.count(), 1);
        }
    }

    #[tokio::test]
    async fn lists_follow_their_cursors() {
        let pages = || {
            vec![
                Answer::json(200, json!({"items": [1, 2], "next": "b=="})),
                Answer::json(200, json!({"items": [3], "next": null})),
            ]
        };
        let fake = Fake::start(pages());
        let client = Client::new(&fake.url, None).unwrap();
        assert_eq!(client.list(&["x"], &[], None).await.unwrap(), [1, 2, 3]);
        assert!(fake.request().head.starts_with("GET /x?limit=500 "));
        assert!(fake.request().head.starts_with("GET /x?limit=500&cursor=b%3D%3D "));
        let fake = Fake::start(pages());
        let client = Client::new(&fake.url, None).unwrap();
        let first = client.list(&["x"], &[("q", "a b+c".into())], Some(1)).await.unwrap();
        assert_eq!(first, [1]);
        assert!(fake.request().head.starts_with("GET /x?q=a%20b%2Bc&limit=1 "));
    }

    #[tokio::test]
    async fn nobody_there_says_what_to_do() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let client = Client::new(&format!("http://127.0.0.1:{port}"), None).unwrap();
        let error = client.get(&["x"]).await.unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("cannot reach moxxie at http://127.0.0.1:{port}: is it running?")),
            "{error}"
        );
        let fake =
            Fake::start(vec![Answer::json(301, json!({})).with("Location: https://moxxie.example/api")]);
        let error = Client::new(&fake.url, None).unwrap().get(&["x"]).await.unwrap_err();
        assert!(error.to_string().contains("--server https://moxxie.example"), "{error}");
        for bad in ["", "moxxie:8080", "ftp://x", "http://u:canary@x"] {
            let error = Client::new(bad, None).unwrap_err().to_string();
            assert!(!error.contains("canary"), "{error}");
        }
    }
}
