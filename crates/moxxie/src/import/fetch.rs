//! One download, however many connections it takes.

use super::address::{self, Unreachable};
use super::parts::{Known, Sink};
use crate::app::App;
use crate::http::api::v1::assets::too_large;
use crate::http::error::{ApiError, ApiResult};
use crate::http::progress::Progress;
use futures_util::StreamExt;
use moxxie_core::boot::event::one_line;
use moxxie_store::assets::AssetWriter;
use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderValue, IF_RANGE, LOCATION, RANGE, TRANSFER_ENCODING,
};
use reqwest::{Response, StatusCode, Version};
use std::time::Duration;
use tokio::time::{Instant, timeout};
use url::Url;

/// Redirects that are followed.
const REDIRECTS: usize = 3;
/// A try that brought so many bytes was worth its while: the next failure is the first again.
const WORTH: u64 = 1024 * 1024;

/// How long another server is waited for.
#[derive(Debug, Clone)]
pub struct Patience {
    /// For its connection, its answer, and each next byte.
    pub silence: Duration,
    /// For everything, with all tries.
    pub deadline: Duration,
    /// Over each such time...
    pub window: Duration,
    /// ...it has to deliver so many bytes.
    pub least: u64,
    /// Before each further try, once the file has begun to arrive.
    pub pauses: Vec<Duration>,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            silence: Duration::from_secs(30),
            deadline: Duration::from_secs(6 * 3600),
            window: Duration::from_secs(60),
            least: 60 * 1024,
            pauses: [1, 2, 4, 8, 16].map(Duration::from_secs).into(),
        }
    }
}

/// What is to be fetched, and within which limits.
pub(super) struct Download<'a> {
    pub app: &'a App,
    pub url: &'a Url,
    /// The field that the URL came in.
    pub pointer: &'a str,
    /// Most bytes.
    pub most: u64,
    /// The caller knows the digest: bytes of two versions of the file would be noticed.
    pub exact: bool,
    pub patience: &'a Patience,
    pub progress: &'a Progress,
}

/// Why a try ended.
enum Trouble {
    /// Another may do better.
    Broken(String),
    /// None would.
    Final(ApiError),
}

use Trouble::{Broken, Final};

impl From<ApiError> for Trouble {
    fn from(error: ApiError) -> Trouble {
        Final(error)
    }
}

impl Download<'_> {
    /// Fetches it into a file of the store.
    pub async fn into_file(self) -> ApiResult<AssetWriter> {
        let mut sink = Sink::file(self.app).await?;
        self.run(&mut sink).await?;
        match sink {
            Sink::File(writer) => Ok(*writer),
            Sink::Memory(_) => Err(ApiError::internal("a file became text")),
        }
    }

    /// Fetches it into memory.
    pub async fn into_memory(self) -> ApiResult<Vec<u8>> {
        let mut sink = Sink::Memory(Vec::new());
        self.run(&mut sink).await?;
        match sink {
            Sink::Memory(bytes) => Ok(bytes),
            Sink::File(_) => Err(ApiError::internal("text became a file")),
        }
    }

    async fn run(&self, sink: &mut Sink) -> ApiResult<()> {
        let mut known = Known::default();
        let (mut failures, mut best) = (0, 0);
        loop {
            let why = match self.attempt(sink, &mut known).await {
                Ok(()) => return Ok(()),
                Err(Final(error)) => return Err(error),
                Err(Broken(why)) => why,
            };
            if sink.size() >= best + WORTH {
                (best, failures) = (sink.size(), 0);
            }
            if !known.begun {
                // A wrong URL, or a server that is down: say so at once.
                return Err(ApiError::bad_gateway(why));
            }
            let Some(pause) = self.patience.pauses.get(failures) else {
                let of = known.length.map(|length| format!(" of {length}")).unwrap_or_default();
                let (got, tries) = (sink.size(), failures + 1);
                let why = format!("{why} ({got}{of} bytes, {tries} tries); nothing was stored");
                return Err(ApiError::bad_gateway(why));
            };
            tracing::debug!(%why, bytes = sink.size(), "an import is tried again");
            failures += 1;
            tokio::time::sleep(*pause).await;
        }
    }

    /// One connection's worth.
    async fn attempt(&self, sink: &mut Sink, known: &mut Known) -> Result<(), Trouble> {
        if sink.size() > 0 && known.validator.is_none() && !self.exact {
            // Nothing would tell whether the rest belongs to what is there.
            self.restart(sink, known).await?;
        }
        let from = sink.size();
        let response = self.open(from, known.validator.as_ref()).await?;
        let place = address::place(response.url());
        match response.status() {
            StatusCode::OK => {
                if from > 0 {
                    self.restart(sink, known).await?;
                }
                *known = Known::of(&response);
                self.check(&response, known, &place)?;
                self.progress.at(0, known.length);
            }
            StatusCode::PARTIAL_CONTENT if from > 0 => {
                if !known.continued_by(&response, from) {
                    self.restart(sink, known).await?;
                    return Err(Broken(format!("{place} sent another part than it was asked for")));
                }
                self.check(&response, known, &place)?;
                self.progress.at(from, known.length);
            }
            StatusCode::RANGE_NOT_SATISFIABLE if from > 0 => {
                self.restart(sink, known).await?;
                return Err(Broken(format!("{place} has a shorter file than before")));
            }
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                return Err(Broken(format!("{place} answered {status}")));
            }
            status => return Err(Final(ApiError::bad_gateway(format!("{place} answered {status}")))),
        }
        self.receive(response, sink, known, &place).await
    }

    async fn receive(
        &self,
        response: Response,
        sink: &mut Sink,
        known: &Known,
        place: &str,
    ) -> Result<(), Trouble> {
        let Patience { silence, window, least, .. } = *self.patience;
        let mut body = response.bytes_stream();
        let (mut since, mut lately) = (Instant::now(), 0);
        loop {
            let Ok(chunk) = timeout(silence, body.next()).await else {
                return Err(Broken(format!("{place} fell silent")));
            };
            let Some(chunk) = chunk else { break };
            let chunk = chunk.map_err(|_| Broken(format!("the connection to {place} broke off")))?;
            lately += chunk.len() as u64;
            if sink.size() + chunk.len() as u64 > self.most {
                return Err(Final(self.too_large()));
            }
            sink.write(&chunk).await?;
            self.progress.add(chunk.len() as u64);
            if since.elapsed() >= window {
                if lately < least {
                    return Err(Final(ApiError::bad_gateway(format!(
                        "{place} sends less than {} bytes a second; nothing was stored",
                        least / window.as_secs().max(1)
                    ))));
                }
                (since, lately) = (Instant::now(), 0);
            }
        }
        match (sink.size(), known.length) {
            (0, _) => Err(Final(ApiError::bad_gateway(format!("the file at {place} is empty")))),
            (size, Some(length)) if size < length => Err(Broken(format!("{place} stopped before the end"))),
            (size, Some(length)) if size > length => Err(Final(ApiError::bad_gateway(format!(
                "{place} sent more than the {length} bytes it announced"
            )))),
            _ => Ok(()),
        }
    }

    /// What must hold of an answer before its bytes are taken.
    fn check(&self, response: &Response, known: &Known, place: &str) -> Result<(), Trouble> {
        let refused = |why: String| Err(Final(ApiError::bad_gateway(why)));
        if known.length.is_some_and(|length| length > self.most) {
            return Err(Final(self.too_large()));
        }
        let coding = response.headers().get(CONTENT_ENCODING).and_then(|v| v.to_str().ok()).unwrap_or("");
        // Some servers say this of files that are compressed by themselves; such a file's bytes
        // are what is wanted. Of others they are not, and nothing is decompressed here.
        let compressed_file = self.url.path().ends_with("gz");
        if !matches!(coding, "" | "identity") && !compressed_file && !self.exact {
            return refused(format!("{place} sends the file compressed: give its sha256 if that is meant"));
        }
        // HTTP/1.0's way: the file ends where the connection does, also when that broke.
        let open_end = known.length.is_none()
            && response.version() <= Version::HTTP_11
            && !response.headers().contains_key(TRANSFER_ENCODING);
        if open_end && !self.exact {
            return refused(format!("{place} does not say how long the file is: give its sha256"));
        }
        Ok(())
    }

    fn too_large(&self) -> ApiError {
        match self.pointer {
            "/url" => too_large(self.most),
            _ => ApiError::too_large(format!("the list is larger than {} MiB", self.most >> 20)),
        }
    }

    async fn restart(&self, sink: &mut Sink, known: &mut Known) -> ApiResult<()> {
        *sink = match sink {
            Sink::File(_) => Sink::file(self.app).await?,
            Sink::Memory(_) => Sink::Memory(Vec::new()),
        };
        *known = Known { begun: true, ..Known::default() };
        self.progress.at(0, None);
        Ok(())
    }

    /// The answer to a request for everything from this byte on, behind all redirects.
    async fn open(&self, from: u64, validator: Option<&HeaderValue>) -> Result<Response, Trouble> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if from > 0 {
            let range = HeaderValue::try_from(format!("bytes={from}-"));
            headers.insert(RANGE, range.map_err(|_| ApiError::internal("a number is no header"))?);
            if let Some(validator) = validator {
                headers.insert(IF_RANGE, validator.clone());
            }
        }
        let mut url = self.url.clone();
        for _ in 0..=REDIRECTS {
            let response = self.get(&url, headers.clone()).await?;
            if !response.status().is_redirection() {
                return Ok(response);
            }
            let place = address::place(&url);
            let to = response.headers().get(LOCATION).and_then(|v| v.to_str().ok()).unwrap_or("");
            let next = url.join(to).ok().filter(|_| !to.is_empty());
            let next =
                next.ok_or_else(|| ApiError::bad_gateway(format!("a redirect of {place} leads nowhere")))?;
            if url.scheme() == "https" && next.scheme() != "https" {
                let why = format!("a redirect of {place} leads from https to http");
                return Err(Final(ApiError::bad_gateway(why)));
            }
            url = address::check(next.as_str(), self.pointer)?;
        }
        let place = address::place(self.url);
        Err(Final(ApiError::bad_gateway(format!("{place}: more than {REDIRECTS} redirects"))))
    }

    async fn get(&self, url: &Url, headers: HeaderMap) -> Result<Response, Trouble> {
        let place = address::place(url);
        let silence = self.patience.silence;
        let found = timeout(silence, address::resolve(url, &self.app.config().import_allow)).await;
        let found = match found {
            Ok(Ok(found)) => found,
            Ok(Err(Unreachable::Inside(ip))) => {
                let why = format!(
                    "{place} is at {ip}, which is not a public address: list its network under import.allow"
                );
                return Err(Final(ApiError::field(self.pointer, why)));
            }
            Ok(Err(Unreachable::Unknown)) | Err(_) => return Err(Broken(format!("cannot resolve {place}"))),
        };
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .referer(false)
            .user_agent(concat!("moxxie/", env!("CARGO_PKG_VERSION")))
            .resolve_to_addrs(address::bare_host(url), &found)
            .connect_timeout(silence.min(Duration::from_secs(10)));
        // A system without root certificates can still fetch what needs none.
        let client = if url.scheme() == "http" { client.tls_certs_only([]) } else { client };
        let client = client.build().map_err(|_| ApiError::internal("the HTTP client cannot be made"))?;
        match timeout(silence, client.get(url.clone()).headers(headers).send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(Broken(format!("{place}: {}", cause(&error)))),
            Err(_) => Err(Broken(format!("{place} does not answer"))),
        }
    }
}

/// The innermost cause: what the system or TLS said. The outer ones repeat the URL.
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it does not answer".into();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    match std::ptr::addr_eq(cause, error) {
        true => "the connection failed".into(),
        false => one_line(&cause.to_string(), 120),
    }
}
