//! Where assets are kept, as the settings say.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Settings of the store.
#[derive(Debug, Clone)]
pub struct AssetsConfig {
    /// Where the files are.
    pub place: Place,
    /// The folder for copies of what is on S3.
    pub cache_dir: PathBuf,
    /// Most bytes in that folder.
    pub cache_bytes: u64,
    /// Machines may be sent to S3 itself.
    pub redirect: bool,
    /// The usual `AWS_*` variables.
    pub env: S3Env,
    /// How long things may take.
    pub times: Times,
}

/// Where the files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A folder on this machine.
    Folder(PathBuf),
    /// A bucket.
    S3 {
        /// Its name.
        bucket: String,
        /// What all keys begin with; may be empty.
        prefix: String,
    },
}

impl Place {
    /// Reads `file://FOLDER` or `s3://BUCKET[/PREFIX]`. The error does not repeat the text: it may
    /// hold a password, as may every URL.
    pub fn parse(url: &str) -> Result<Place, String> {
        if let Some(path) = url.strip_prefix("file://").filter(|path| !path.is_empty()) {
            return Ok(Place::Folder(PathBuf::from(path)));
        }
        let Some(rest) = url.strip_prefix("s3://") else {
            return Err("it is not a URL such as file:///var/lib/moxxie/assets or s3://bucket/prefix".into());
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'-' | b'.' | b'_');
        if bucket.is_empty() || !bucket.bytes().all(plain) {
            return Err("it is not s3://BUCKET/PREFIX; keys go into AWS_ACCESS_KEY_ID and \
                        AWS_SECRET_ACCESS_KEY, other addresses into AWS_ENDPOINT_URL"
                .into());
        }
        let prefix = prefix.trim_end_matches('/');
        let fine = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_' | b'/');
        let dots = |part: &str| part.is_empty() || part == "." || part == "..";
        if !prefix.bytes().all(fine) || (!prefix.is_empty() && prefix.split('/').any(dots)) {
            return Err("its prefix may have letters, digits, '-', '.', '_' and '/'".into());
        }
        Ok(Place::S3 { bucket: bucket.into(), prefix: prefix.into() })
    }
}

impl AssetsConfig {
    /// A folder, and everything else as it is by default.
    pub fn folder(dir: impl Into<PathBuf>) -> AssetsConfig {
        let dir = dir.into();
        AssetsConfig {
            cache_dir: dir.clone(),
            place: Place::Folder(dir),
            cache_bytes: 20 * 1024 * 1024 * 1024,
            redirect: false,
            env: S3Env::default(),
            times: Times::default(),
        }
    }

    /// The folder on this machine that files are kept in.
    pub fn dir(&self) -> &Path {
        match &self.place {
            Place::Folder(dir) => dir,
            Place::S3 { .. } => &self.cache_dir,
        }
    }
}

impl From<PathBuf> for AssetsConfig {
    fn from(dir: PathBuf) -> AssetsConfig {
        AssetsConfig::folder(dir)
    }
}

impl From<&PathBuf> for AssetsConfig {
    fn from(dir: &PathBuf) -> AssetsConfig {
        AssetsConfig::folder(dir)
    }
}

impl From<&Path> for AssetsConfig {
    fn from(dir: &Path) -> AssetsConfig {
        AssetsConfig::folder(dir)
    }
}

/// The `AWS_*` variables of the environment. Holds secrets, and prints only their names.
#[derive(Clone, Default)]
pub struct S3Env(pub BTreeMap<String, String>);

impl fmt::Debug for S3Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// How long things may take, and how much may happen at once.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// A reader waits this long for a file to be verified.
    pub verify: Duration,
    /// S3: until the first byte of a file. iPXE gives up after 120 s without a byte.
    pub first_byte: Duration,
    /// S3: between two reads in the middle of a file.
    pub silence: Duration,
    /// S3: for an answer without a body.
    pub look: Duration,
    /// S3: for one part of an upload.
    pub part: Duration,
    /// S3: pause before a broken download goes on; doubled each time.
    pub resume: Duration,
    /// S3: an object with wrong bytes is not fetched again for this long.
    pub refuse: Duration,
    /// The cache: how often files are looked at that were in use when they should have gone.
    pub evict: Duration,
    /// S3: files fetched at once.
    pub fills: usize,
    /// S3: larger files are uploaded in parts of this many bytes.
    pub part_bytes: u64,
}

impl Default for Times {
    fn default() -> Times {
        let seconds = Duration::from_secs;
        Times {
            verify: seconds(20),
            first_byte: seconds(30),
            silence: seconds(30),
            look: seconds(5),
            part: seconds(300),
            resume: Duration::from_millis(200),
            refuse: seconds(60),
            evict: seconds(1),
            fills: 8,
            part_bytes: 16 * 1024 * 1024,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let s3 = |bucket: &str, prefix: &str| Place::S3 { bucket: bucket.into(), prefix: prefix.into() };
        assert_eq!(Place::parse("file:///a b"), Ok(Place::Folder("/a b".into())));
        assert_eq!(Place::parse("s3://b"), Ok(s3("b", "")));
        assert_eq!(Place::parse("s3://my-b.x/"), Ok(s3("my-b.x", "")));
        assert_eq!(Place::parse("s3://b/p/q/"), Ok(s3("b", "p/q")));
        for bad in ["", "canary", "file://", "s3://", "s3:///p", "s3://k:canary@b/p", "s3://b/../canary"] {
            let error = Place::parse(bad).unwrap_err();
            assert!(!error.contains("canary"), "{error}");
        }
        for bad in ["s3://b/p//q", "s3://b/p?canary", "s3://b/ü", "s3://B"] {
            assert!(Place::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn secrets_do_not_print() {
        let env = S3Env([("AWS_SECRET_ACCESS_KEY".to_owned(), "canary".to_owned())].into());
        let config = AssetsConfig { env, ..AssetsConfig::folder("/a") };
        let text = format!("{config:?}");
        assert!(text.contains("AWS_SECRET_ACCESS_KEY") && !text.contains("canary"), "{text}");
    }
}
