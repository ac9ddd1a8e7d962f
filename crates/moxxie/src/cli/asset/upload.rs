//! Putting files on a shelf: small ones at once, large ones in a way that survives a broken
//! connection, a killed command and a restarted server.

use super::memory::Memory;
use super::source::{Flow, Source};
use super::{file_path, shelf};
use crate::cli::client::{Client, ClientError, Result, STALL};
use crate::cli::out::{self, Format};
use crate::cli::progress::Bar;
use crate::cli::work;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::sleep;

/// Files up to this size, in bytes, go in one request.
const SMALL: u64 = 8 * 1024 * 1024;
/// How often a broken transfer is taken up again without getting any further.
const TRIES: u32 = 10;
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long a server may take, after the last byte, to have them safely on its disk.
const SAFE_BY: Duration = Duration::from_secs(600);

/// The shelves of a server, and how what is put there is shown.
#[derive(Debug)]
pub(crate) struct Shelves<'a> {
    pub client: &'a Client,
    pub format: Format,
    memory: Memory,
    /// Larger files go in a way that can be resumed.
    small: u64,
    /// The first pause after a connection broke; each further one is twice as long.
    pause: Duration,
}

/// An upload on its way.
#[derive(Debug)]
struct Upload {
    id: String,
    offset: u64,
}

impl<'a> Shelves<'a> {
    /// The shelves of this server.
    pub fn new(client: &'a Client, format: Format) -> Shelves<'a> {
        let memory = Memory::of_the_user();
        Shelves { client, format, memory, small: SMALL, pause: Duration::from_millis(500) }
    }

    /// Shelves for tests: their own memory, small files, no pauses.
    #[cfg(test)]
    pub fn hasty(client: &'a Client, memory: Memory) -> Shelves<'a> {
        Shelves { client, format: Format::Json, memory, small: 1000, pause: Duration::ZERO }
    }

    /// Puts bytes on a profile's shelf under a name; the API's view of the file. What was there
    /// under that name is replaced.
    pub async fn put(&self, profile: &str, name: &str, source: &Source) -> Result<Value> {
        // Small files are sent as fast as they are asked for.
        let there = if source.size > self.small { self.label(profile, name, source).await? } else { None };
        match there {
            Some(view) => {
                self.memory.forget(self.client.server(), &source.sha256);
                Ok(view)
            }
            None => self.send(profile, name, source).await,
        }
    }

    /// The same for bytes that the server is known not to have.
    pub async fn send(&self, profile: &str, name: &str, source: &Source) -> Result<Value> {
        match source.size <= self.small {
            true => self.put_whole(profile, name, source).await,
            false => self.put_in_parts(profile, name, source).await,
        }
    }

    /// Names bytes that the server has already; `None` when it has not.
    pub async fn label(&self, profile: &str, name: &str, source: &Source) -> Result<Option<Value>> {
        let body = json!({ "sha256": source.sha256, "file": name });
        let bar = Bar::new(self.format, &format!("looking for {name}"), None);
        match work::post(self.client, &shelf(profile), &body, &bar).await {
            Ok(view) => Ok(Some(view)),
            Err(error) if error.status() == Some(422) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All bytes in one request.
    async fn put_whole(&self, profile: &str, name: &str, source: &Source) -> Result<Value> {
        let path = file_path(profile, name);
        let response = self
            .client
            .send(|| {
                let bar = Bar::new(self.format, &format!("uploading {name}"), Some(source.size));
                let chunks = source.stream(0, Arc::default(), move |sent| bar.at(sent));
                let request = self.client.authorized::<&str>(Method::PUT, &path, &[])?;
                let request = request.header("X-Content-SHA256", source.sha256.to_string());
                Ok(body(request, source.size, chunks))
            })
            .await?;
        Ok(response.json().await.unwrap_or_default())
    }

    async fn put_in_parts(&self, profile: &str, name: &str, source: &Source) -> Result<Value> {
        let server = self.client.server();
        let bar = Arc::new(Bar::new(self.format, &format!("uploading {name}"), Some(source.size)));
        let mut upload = self.begin(source).await?;
        let mut is_second = false;
        loop {
            bar.resume_at(upload.offset);
            let done = match self.fill(&mut upload, source, &bar).await {
                Ok(()) => self.finish(profile, name, &upload.id, source, &bar).await,
                Err(error) => Err(error),
            };
            match done {
                Ok(view) => {
                    self.memory.forget(server, &source.sha256);
                    return Ok(view);
                }
                // It ran out, or another replica answers now.
                Err(error) if error.status() == Some(404) && !is_second => {
                    if self.look(&upload.id, source).await.is_ok() {
                        return Err(error);
                    }
                    is_second = true;
                    bar.note("the server no longer knows this upload: it begins anew");
                    upload = self.create(source).await?;
                }
                Err(error) => {
                    // Refused for good: the server has thrown the bytes away.
                    if error.status() == Some(422) {
                        self.memory.forget(server, &source.sha256);
                    }
                    return Err(error);
                }
            }
        }
    }

    /// The upload of an earlier command, or a new one.
    async fn begin(&self, source: &Source) -> Result<Upload> {
        if let Some(id) = self.memory.find(self.client.server(), &source.sha256) {
            match self.look(&id, source).await {
                Ok(offset) => return Ok(Upload { id, offset }),
                Err(ClientError::Refused(_) | ClientError::Usage(_)) => {}
                Err(error) => return Err(error),
            }
        }
        self.create(source).await
    }

    async fn create(&self, source: &Source) -> Result<Upload> {
        let asked = json!({ "size": source.size, "sha256": source.sha256 });
        let path = ["api", "v1", "uploads"];
        let reply = self.client.call::<&str>(Method::POST, &path, &[], None, Some(&asked)).await?.body;
        let Some(id) = reply["id"].as_str() else {
            return Err(self.broken("it names no upload"));
        };
        self.memory.keep(self.client.server(), &source.sha256, id);
        Ok(Upload { id: id.to_owned(), offset: 0 })
    }

    /// How many bytes the server has safely.
    async fn look(&self, id: &str, source: &Source) -> Result<u64> {
        let reply = self.client.get(&["api", "v1", "uploads", id]).await?.body;
        self.offset(&reply, source)
    }

    fn offset(&self, reply: &Value, source: &Source) -> Result<u64> {
        let is_this = reply["size"].as_u64() == Some(source.size);
        match reply["offset"].as_u64().filter(|offset| is_this && *offset <= source.size) {
            Some(offset) => Ok(offset),
            None => Err(ClientError::Usage("the server's upload is another one".into())),
        }
    }

    /// Sends what is missing, over as many connections as it takes.
    async fn fill(&self, upload: &mut Upload, source: &Source, bar: &Arc<Bar>) -> Result<()> {
        let mut tries = Tries { pause: self.pause, left: TRIES };
        while upload.offset < source.size {
            let mut error = match self.send_rest(upload, source, bar).await {
                Ok(offset) if offset > upload.offset => {
                    upload.offset = offset;
                    tries.left = TRIES;
                    continue;
                }
                Ok(_) => self.broken("it took no bytes"),
                Err(error) if passes(&error) => error,
                Err(error) => return Err(error),
            };
            // How far it came is for the server to say.
            loop {
                tries.wait(error, bar).await?;
                match self.look(&upload.id, source).await {
                    Ok(offset) => {
                        if offset > upload.offset {
                            tries = Tries { pause: self.pause, left: TRIES };
                        }
                        upload.offset = offset;
                        bar.resume_at(offset);
                        break;
                    }
                    Err(next) if passes(&next) => error = next,
                    Err(next) => return Err(next),
                }
            }
        }
        Ok(())
    }

    /// Sends everything from the offset on in one request; the offset afterwards.
    async fn send_rest(&self, upload: &Upload, source: &Source, bar: &Arc<Bar>) -> Result<u64> {
        let flow = Arc::new(Flow::default());
        let shown = Arc::clone(bar);
        let chunks = source.stream(upload.offset, Arc::clone(&flow), move |sent| shown.at(sent));
        let path = ["api", "v1", "uploads", upload.id.as_str()];
        let request = self.client.authorized::<&str>(Method::PATCH, &path, &[])?;
        let request = request.header("Upload-Offset", upload.offset);
        let left = source.size - upload.offset;
        let answer = self.client.send_once(body(request, left, chunks));
        match self.watched(answer, &flow, left).await {
            Ok(response) => {
                let reply = response.json().await.map_err(|e| self.client.broken(e))?;
                self.offset(&reply, source)
            }
            Err(_) if flow.is_spoiled.load(Ordering::Relaxed) => {
                Err(ClientError::Usage("the file was changed while it was read: upload it again".into()))
            }
            Err(error) => Err(error),
        }
    }

    /// Gives up a transfer that stands still.
    async fn watched(
        &self,
        answer: impl Future<Output = Result<Response>>,
        flow: &Flow,
        all: u64,
    ) -> Result<Response> {
        tokio::pin!(answer);
        let mut before = 0;
        loop {
            let patience = if before < all { STALL } else { SAFE_BY };
            tokio::select! {
                answer = &mut answer => return answer,
                () = sleep(patience) => {}
            }
            let sent = flow.sent.load(Ordering::Relaxed);
            if sent == before {
                return Err(self.broken("the transfer stands still"));
            }
            before = sent;
        }
    }

    /// Makes a file of an upload that is complete. A connection that breaks meanwhile leaves it
    /// open whether that was done.
    async fn finish(&self, profile: &str, name: &str, id: &str, source: &Source, bar: &Bar) -> Result<Value> {
        let asked = json!({ "upload": id, "sha256": source.sha256, "file": name });
        let mut tries = Tries { pause: self.pause, left: TRIES };
        loop {
            match work::post(self.client, &shelf(profile), &asked, bar).await {
                Err(error) if passes(&error) && error.status() != Some(409) => {
                    tries.wait(error, bar).await?;
                    match self.label(profile, name, source).await {
                        Ok(Some(view)) => return Ok(view),
                        Ok(None) => {}
                        Err(error) if passes(&error) => {}
                        Err(error) => return Err(error),
                    }
                }
                answer => return answer,
            }
        }
    }

    fn broken(&self, cause: &str) -> ClientError {
        ClientError::Broken { server: self.client.server().into(), cause: cause.into() }
    }
}

fn body(
    request: RequestBuilder,
    length: u64,
    chunks: impl futures_util::Stream<Item = std::io::Result<bytes::Bytes>> + Send + 'static,
) -> RequestBuilder {
    request
        .header(CONTENT_TYPE, "application/octet-stream")
        .header(CONTENT_LENGTH, length)
        .body(reqwest::Body::wrap_stream(chunks))
}

/// Whether the same may succeed a little later.
fn passes(error: &ClientError) -> bool {
    match error {
        ClientError::Unreachable { .. } | ClientError::Broken { .. } => true,
        // 409: the server is further or less far than thought, or still busy with the connection
        // that broke.
        ClientError::Refused(problem) => {
            matches!(problem.status, 408 | 409 | 425 | 429 | 500 | 502 | 503 | 504)
        }
        ClientError::Untrusted { .. } | ClientError::Moved(_) | ClientError::Usage(_) => false,
    }
}

/// How often, and how long apart.
#[derive(Debug)]
struct Tries {
    pause: Duration,
    left: u32,
}

impl Tries {
    /// Waits a little longer each time; gives the error back when that has no more sense.
    async fn wait(&mut self, error: ClientError, bar: &Bar) -> Result<()> {
        if self.left == 0 {
            return Err(match error {
                ClientError::Broken { server, cause } => {
                    let cause = format!("{cause}; the same command goes on where this one stopped");
                    ClientError::Broken { server, cause }
                }
                error => error,
            });
        }
        self.left -= 1;
        bar.note(format!("{}; going on in {} s", out::one_line(&error.to_string()), self.pause.as_secs()));
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::asset::fake::FakeShelf;
    use std::path::Path;

    /// A file of 1 MB, a server, and a memory.
    fn start(dir: &Path) -> (FakeShelf, Vec<u8>, Source, Memory) {
        let bytes: Vec<u8> = (0..1_000_000_u32).map(|n| (n / 251) as u8).collect();
        std::fs::write(dir.join("f"), &bytes).unwrap();
        let source = Source::open(&dir.join("f"), Format::Json).unwrap();
        (FakeShelf::start(), bytes, source, Memory::at(&dir.join("uploads.json")))
    }

    #[tokio::test]
    async fn a_broken_connection_goes_on_where_it_broke() {
        let dir = tempfile::tempdir().unwrap();
        let (server, bytes, source, memory) = start(dir.path());
        server.state.lock().unwrap().cuts = [10, 300_000, 0, 1].into();
        server.state.lock().unwrap().drops_answer = true;
        let client = Client::new(&server.url, None).unwrap();
        let view = Shelves::hasty(&client, memory.clone()).put("p", "k", &source).await.unwrap();
        assert_eq!(view["size"], bytes.len());
        assert!(server.bytes("p", "k") == bytes);
        assert_eq!(server.count("POST /api/v1/uploads"), 1);
        assert_eq!(server.count("PATCH "), 5);
        assert_eq!(memory.find(client.server(), &source.sha256), None, "done is forgotten");

        // What the server has is not sent again.
        Shelves::hasty(&client, memory).put("q", "k2", &source).await.unwrap();
        assert!(server.bytes("q", "k2") == bytes);
        assert_eq!(server.count("PATCH ") + server.count("PUT "), 5);
    }

    #[tokio::test]
    async fn a_second_command_goes_on_where_the_first_was_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let (server, bytes, source, memory) = start(dir.path());
        // It never gets any further after the first 400,000 bytes.
        server.state.lock().unwrap().cuts = [&[400_000][..], &[0; 20]].concat().into();
        let client = Client::new(&server.url, None).unwrap();
        let error = Shelves::hasty(&client, memory.clone()).put("p", "k", &source).await.unwrap_err();
        assert!(error.to_string().contains("the same command goes on"), "{error}");
        assert_eq!(server.count("PATCH "), 1 + 1 + TRIES as usize);
        assert_eq!(memory.find(client.server(), &source.sha256).as_deref(), Some("u1"));
        server.state.lock().unwrap().cuts.clear();
        Shelves::hasty(&client, memory).put("p", "k", &source).await.unwrap();
        assert!(server.bytes("p", "k") == bytes);
        assert_eq!(server.count("POST /api/v1/uploads"), 1);
    }

    #[tokio::test]
    async fn an_upload_that_ran_out_begins_anew_once() {
        let dir = tempfile::tempdir().unwrap();
        let (server, bytes, source, memory) = start(dir.path());
        let client = Client::new(&server.url, None).unwrap();
        memory.keep(client.server(), &source.sha256, "gone");
        server.state.lock().unwrap().forgets = true;
        Shelves::hasty(&client, memory.clone()).put("p", "k", &source).await.unwrap();
        assert!(server.bytes("p", "k") == bytes);
        assert_eq!(server.count("GET /api/v1/uploads/gone"), 1);
        assert_eq!(server.count("POST /api/v1/uploads"), 2, "one for the old note, one for the forgetting");
    }

    #[tokio::test]
    async fn a_lost_answer_is_no_lost_file() {
        let dir = tempfile::tempdir().unwrap();
        let (server, bytes, source, memory) = start(dir.path());
        server.state.lock().unwrap().drops_finish = true;
        let client = Client::new(&server.url, None).unwrap();
        Shelves::hasty(&client, memory).put("p", "k", &source).await.unwrap();
        assert!(server.bytes("p", "k") == bytes);
        assert_eq!(server.count("PATCH "), 1);
    }

    #[tokio::test]
    async fn a_file_that_changes_meanwhile_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (server, _, source, memory) = start(dir.path());
        let client = Client::new(&server.url, None).unwrap();
        std::fs::write(dir.path().join("f"), vec![7; 1_000_000]).unwrap();
        let error = Shelves::hasty(&client, memory.clone()).put("p", "k", &source).await.unwrap_err();
        assert_eq!(error.status(), Some(422));
        assert_eq!(memory.find(client.server(), &source.sha256), None);
        std::fs::write(dir.path().join("f"), b"short").unwrap();
        let error = Shelves::hasty(&client, memory).put("p", "k", &source).await.unwrap_err();
        assert!(error.to_string().contains("was changed"), "{error}");
        assert!(server.state.lock().unwrap().labels.is_empty());
    }

    #[tokio::test]
    async fn nobody_there_is_said_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let (_, _, source, memory) = start(dir.path());
        let client = Client::new("http://127.0.0.1:1", None).unwrap();
        let error = Shelves::hasty(&client, memory).put("p", "k", &source).await.unwrap_err();
        assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
    }
}
