//! The files on S3: one object for each digest, under `PREFIX/sha256/ab/DIGEST`. An object is seen
//! whole or not at all; S3 itself sees to that.
//!
//! Needs `s3:GetObject`, `PutObject`, `DeleteObject`, `AbortMultipartUpload`, and `ListBucket`,
//! without which S3 answers 403 instead of 404 for what is missing.

use super::writer::Sealed;
use super::{AssetError, AssetsConfig, Place, Times, blocking, failed, locked};
use futures_util::TryStreamExt;
use futures_util::stream::FuturesUnordered;
use moxxie_core::asset::Digest;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path;
use object_store::signer::{Method, Signer};
use object_store::{
    BackoffConfig, ClientOptions, Error, GetOptions, GetRange, GetResult, MultipartUpload, ObjectStore,
    ObjectStoreExt, PutPayload, RetryConfig,
};
use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Parts of one upload on their way at once; each is held in memory.
const PARTS: usize = 2;
/// S3 takes so many parts for one object.
const MOST_PARTS: u64 = 10_000;
/// After a failed look, looks fail at once for this long: a list of files must not wait for each.
const REST: Duration = Duration::from_secs(2);

/// A bucket.
pub(super) struct Remote {
    /// Tries once: whoever reads has his own patience.
    once: AmazonS3,
    /// Tries again when S3 says that it is busy.
    stubborn: AmazonS3,
    prefix: String,
    times: Times,
    /// When a look failed, and why.
    failed: Mutex<Option<(Instant, AssetError)>>,
    /// When S3 was asked for its health, and what it said.
    health: tokio::sync::Mutex<Option<(Instant, Result<(), AssetError>)>>,
}

impl fmt::Debug for Remote {
    /// Without the clients, which print their key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Remote {
    /// Makes a client. Nothing is sent yet.
    pub fn new(config: &AssetsConfig) -> Result<Remote, AssetError> {
        let Place::S3 { bucket, prefix } = &config.place else {
            return Err(AssetError::Settings("no bucket is named".into()));
        };
        let env = &config.env.0;
        let set = |name: &str| env.get(name).is_some_and(|value| !value.is_empty());
        // Requests are given up by us; a limit on the whole would cut long downloads.
        let options = ClientOptions::new()
            .with_timeout_disabled()
            .with_connect_timeout(config.times.look)
            .with_allow_http(["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"].iter().any(
                |name| env.get(*name).is_some_and(|url| url.to_ascii_lowercase().starts_with("http://")),
            ));
        for name in ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"] {
            // Not repeated: a URL may hold a password.
            if env.get(name).is_some_and(|url| !url.is_empty() && !is_address(url)) {
                return Err(AssetError::Settings(format!("{name} is not http(s)://HOST[:PORT]")));
            }
        }
        let mut builder = AmazonS3Builder::new().with_client_options(options).with_disable_bulk_delete(true);
        for (name, value) in env.iter().filter(|(name, value)| name.starts_with("AWS_") && !value.is_empty())
        {
            if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
                builder = builder.with_config(key, value);
            }
        }
        if !set("AWS_ACCESS_KEY_ID") {
            tracing::info!(
                "AWS_ACCESS_KEY_ID is not set: S3 credentials are asked from the cloud's metadata"
            );
        }
        let builder = builder.with_bucket_name(bucket);
        let build = |retries| {
            let backoff = BackoffConfig {
                init_backoff: Duration::from_millis(100),
                max_backoff: Duration::from_secs(2),
                base: 2.,
            };
            let retry = RetryConfig { backoff, max_retries: retries, retry_timeout: config.times.part };
            // What is wrong may be a value, which may be a secret in the wrong place.
            builder.clone().with_retry(retry).build().map_err(|_| {
                AssetError::Settings("the AWS_* variables do not fit together; see docs/assets.md".into())
            })
        };
        Ok(Remote {
            once: build(0)?,
            stubborn: build(3)?,
            prefix: prefix.clone(),
            times: config.times,
            failed: Mutex::default(),
            health: tokio::sync::Mutex::default(),
        })
    }

    fn key(&self, digest: &Digest) -> Path {
        let name = digest.to_string();
        let parts = self.prefix.split('/').filter(|part| !part.is_empty());
        parts.chain(["sha256", &name[..2], &name]).collect()
    }

    /// Asks for an object from this byte on. The caller watches the time.
    pub async fn get(&self, digest: &Digest, offset: u64) -> Result<GetResult, AssetError> {
        let range = (offset > 0).then_some(GetRange::Offset(offset));
        let options = GetOptions { range, ..GetOptions::default() };
        self.once.get_opts(&self.key(digest), options).await.map_err(|error| match error {
            Error::NotFound { .. } => AssetError::Missing(*digest),
            error => away(&error),
        })
    }

    /// The length of an object; `None` when there is none.
    pub async fn size(&self, digest: &Digest) -> Result<Option<u64>, AssetError> {
        if let Some((at, error)) = locked(&self.failed).as_ref().filter(|(at, _)| at.elapsed() < REST) {
            tracing::debug!(%error, ago = ?at.elapsed(), "S3 is not asked again yet");
            return Err(error.clone());
        }
        let key = self.key(digest);
        let found = match timeout(self.times.look, self.once.head(&key)).await {
            Ok(Ok(meta)) => Ok(Some(meta.size)),
            Ok(Err(Error::NotFound { .. })) => Ok(None),
            Ok(Err(error)) => Err(away(&error)),
            Err(_) => Err(silent(self.times.look)),
        };
        *locked(&self.failed) = found.as_ref().err().map(|error| (Instant::now(), error.clone()));
        found
    }

    /// Stores a file. Gives up what it began when it fails or is dropped.
    pub async fn put(&self, sealed: &Sealed) -> Result<(), AssetError> {
        let key = self.key(&sealed.digest);
        let file = sealed.file.try_clone().map_err(failed(&sealed.temporary.path))?;
        let source = Source { file: Arc::new(file), path: sealed.temporary.path.clone() };
        let part = self.times.part_bytes.max(sealed.size.div_ceil(MOST_PARTS)).max(1);
        if sealed.size <= part {
            let bytes = source.part(0, sealed.size).await?;
            let put = timeout(self.times.part, self.stubborn.put(&key, bytes)).await;
            put.map_err(|_| silent(self.times.part))?.map_err(|error| away(&error))?;
            return Ok(());
        }
        let begun = timeout(self.times.look, self.stubborn.put_multipart(&key)).await;
        let upload = begun.map_err(|_| silent(self.times.look))?.map_err(|error| away(&error))?;
        let mut upload = Upload(Some(upload));
        let mut sending = FuturesUnordered::new();
        let mut offset = 0;
        while offset < sealed.size {
            let length = part.min(sealed.size - offset);
            let bytes = source.part(offset, length).await?;
            sending.push(timeout(self.times.part, upload.get()?.put_part(bytes)));
            offset += length;
            while sending.len() >= PARTS || (offset == sealed.size && !sending.is_empty()) {
                let sent = sending.try_next().await.map_err(|_| silent(self.times.part))?;
                sent.transpose().map_err(|error| away(&error))?;
            }
        }
        drop(sending);
        let whole = timeout(self.times.part, upload.get()?.complete()).await;
        whole.map_err(|_| silent(self.times.part))?.map_err(|error| away(&error))?;
        upload.0 = None;
        Ok(())
    }

    /// Deletes an object, if it is there.
    pub async fn delete(&self, digest: &Digest) -> Result<(), AssetError> {
        match timeout(self.times.look * 2, self.stubborn.delete(&self.key(digest))).await {
            Ok(Ok(()) | Err(Error::NotFound { .. })) => Ok(()),
            Ok(Err(error)) => Err(away(&error)),
            Err(_) => Err(silent(self.times.look * 2)),
        }
    }

    /// A URL that opens an object for this long.
    pub async fn sign(&self, digest: &Digest, ttl: Duration) -> Result<String, AssetError> {
        let signed =
            timeout(self.times.look, self.once.signed_url(Method::GET, &self.key(digest), ttl)).await;
        let url = signed.map_err(|_| silent(self.times.look))?.map_err(|error| away(&error))?;
        Ok(url.into())
    }

    /// Whether S3 answers. Asked at most once in two seconds, however many ask us.
    pub async fn check(&self) -> Result<(), AssetError> {
        let mut health = self.health.lock().await;
        if let Some((_, known)) = health.as_ref().filter(|(at, _)| at.elapsed() < REST) {
            return known.clone();
        }
        // An object that is never there: "not found" is a healthy answer, unless it speaks of
        // the bucket. HEAD would not say which.
        let probe = Digest([0; 32]);
        let key = self.key(&probe);
        let found = match timeout(self.times.look, self.once.get(&key)).await {
            Ok(Err(error @ Error::NotFound { .. })) if error.to_string().contains("NoSuchBucket") => {
                Err(AssetError::Away("S3 has no such bucket".into()))
            }
            Ok(Ok(_) | Err(Error::NotFound { .. })) => Ok(()),
            Ok(Err(error)) => Err(away(&error)),
            Err(_) => Err(silent(self.times.look)),
        };
        *health = Some((Instant::now(), found.clone()));
        found
    }
}

/// A sealed file that is read in parts.
struct Source {
    file: Arc<File>,
    path: std::path::PathBuf,
}

impl Source {
    async fn part(&self, offset: u64, length: u64) -> Result<PutPayload, AssetError> {
        let (file, path) = (self.file.clone(), self.path.clone());
        blocking(move || {
            let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
            file.read_exact_at(&mut bytes, offset).map_err(failed(&path))?;
            Ok(bytes.into())
        })
        .await
    }
}

/// An upload in parts, which S3 would keep for ever if nobody ended it.
struct Upload(Option<Box<dyn MultipartUpload>>);

impl Upload {
    fn get(&mut self) -> Result<&mut Box<dyn MultipartUpload>, AssetError> {
        self.0.as_mut().ok_or_else(|| AssetError::Away("the upload was given up".into()))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let (Some(mut upload), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        runtime.spawn(async move {
            if let Err(error) = upload.abort().await {
                tracing::warn!(error = %away(&error), "parts of an upload stay on S3: set a lifecycle rule");
            }
        });
    }
}

/// What may be told of an error's text. An answer may repeat the request with its key: of an answer
/// that is the status, and nothing else.
fn told(text: &str) -> String {
    let text = match text.contains("Server returned") {
        true => status(text).map_or("S3 answered with an error".to_owned(), |n| format!("S3 answered {n}")),
        false => text.split(['<', '{', '\n']).next().unwrap_or_default().chars().take(120).collect(),
    };
    if text.is_empty() { "S3 gave no reason".to_owned() } else { text }
}

/// The status in a text such as "… status code: 503 Service Unavailable: …".
fn status(text: &str) -> Option<&str> {
    let number = |word: &&str| word.len() == 3 && word.bytes().all(|b| b.is_ascii_digit());
    text.split(|c: char| !c.is_ascii_alphanumeric()).find(number)
}

/// Whether a text is a web address as far as a host, without anything behind it.
fn is_address(url: &str) -> bool {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")).unwrap_or_default();
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let fine =
        |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_' | b':' | b'[' | b']' | b'/');
    !rest.is_empty() && !rest.starts_with(['/', ':']) && rest.bytes().all(fine)
}

/// S3 said nothing.
pub(super) fn silent(waited: Duration) -> AssetError {
    AssetError::Away(format!("S3 was silent for {} s", waited.as_secs_f32()))
}

/// What S3 or the way to it said, shortened: an answer may quote the request with its key.
pub(super) fn away(error: &Error) -> AssetError {
    let why = match error {
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            "S3 refuses us: check the AWS_* credentials and the bucket's policy".to_owned()
        }
        error => {
            let mut inner: &dyn std::error::Error = error;
            while let Some(source) = inner.source() {
                inner = source;
            }
            told(&inner.to_string())
        }
    };
    AssetError::Away(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_not_repeated() {
        let answer = "Server returned non-2xx status code: 503 Service Unavailable: Credential=AKIACANARY/x";
        assert_eq!(told(answer), "S3 answered 503");
        assert_eq!(told("Server returned error response: AKIACANARY"), "S3 answered with an error");
        assert_eq!(told("connection refused"), "connection refused");
        assert_eq!(told("<Error>"), "S3 gave no reason");
    }

    #[test]
    fn endpoints_are_addresses() {
        for good in ["http://10.0.0.9:9000", "https://s3.example/", "http://[::1]:9000", "http://h/minio"] {
            assert!(is_address(good), "{good}");
        }
        for bad in ["banana", "http://", "ftp://h", "http://u:p@h", "http:///x", "http://h?q", "http://:80"] {
            assert!(!is_address(bad), "{bad}");
        }
    }
}
