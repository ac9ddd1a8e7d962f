//! The watch folder: what appears as `WATCH/PROFILE/FILE` is put on that profile's shelf once it
//! stands still. Nothing in the folder is ever changed.
//!
//! There is no notification from the kernel in this: it would miss network file systems, and
//! says nothing of when a copy is complete.

mod scan;

use crate::app::App;
use crate::feed::feed;
use crate::http::api::v1::assets::{asset_error, too_large};
use crate::http::error::{ApiError, ApiResult, Problem};
use crate::http::progress::Progress;
use crate::shelf;
use moxxie_core::audit::By;
use moxxie_core::name::{FileName, ProfileName};
use moxxie_core::profile::Profile;
use scan::{Found, Stamp};
use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How often the folder is looked at.
const INTERVAL: Duration = Duration::from_secs(5);
/// Who puts files on shelves here, in the audit log.
const ACTOR: &str = "watch-folder";
/// After failures a file is left alone for at most so many looks.
const LONGEST_REST: u32 = 12;

/// Looks at the folder for as long as the server runs.
pub async fn run(app: Arc<App>, dir: PathBuf) {
    let mut watcher = Watcher::new(app, dir);
    loop {
        watcher.look().await;
        tokio::time::sleep(INTERVAL).await;
    }
}

/// What is known of one folder.
pub struct Watcher {
    app: Arc<App>,
    dir: PathBuf,
    files: HashMap<PathBuf, Known>,
    /// The first look after a start: what lies there may be on its shelf already.
    first: bool,
    /// The folder could not be read, and somebody was told.
    unreadable: bool,
}

/// What is known of one file.
struct Known {
    stamp: Stamp,
    state: State,
    /// Somebody was told what is wrong with it.
    warned: bool,
    failures: u32,
    /// Looks for which it is left alone.
    rest: u32,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    /// It was there at the first look after a start.
    Old,
    /// It may still be growing.
    New,
    /// These bytes are on their shelf.
    Done,
}

/// Why a file is not on its shelf now.
enum Refusal {
    /// It changed while it was read.
    Changed,
    /// Its own fault; it is looked at again in case a profile is made for it.
    Unfit(String),
    /// Perhaps later.
    Failed(ApiError),
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Refusal {
        Refusal::Failed(error)
    }
}

impl Watcher {
    /// On this folder; nothing is done yet.
    pub fn new(app: Arc<App>, dir: PathBuf) -> Watcher {
        Watcher { app, dir, files: HashMap::new(), first: true, unreadable: false }
    }

    /// One look: puts what stood still since the look before; how many files.
    pub async fn look(&mut self) -> usize {
        let dir = self.dir.clone();
        let found = match tokio::task::spawn_blocking(move || scan::scan(&dir)).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                if !std::mem::replace(&mut self.unreadable, true) {
                    tracing::warn!(folder = ?self.dir, %error, "the watch folder cannot be read");
                }
                return 0;
            }
            Err(_) => return 0,
        };
        self.unreadable = false;
        let mut files = std::mem::take(&mut self.files);
        let mut put = 0;
        for file in found {
            let known = files.remove(&file.path);
            let known = self.consider(&file, known, &mut put).await;
            self.files.insert(file.path, known);
        }
        self.first = false;
        put
    }

    async fn consider(&self, file: &Found, known: Option<Known>, put: &mut usize) -> Known {
        let mut known = match known {
            Some(known) if known.stamp == file.stamp => known,
            _ => {
                let state = if self.first { State::Old } else { State::New };
                return Known { stamp: file.stamp, state, warned: false, failures: 0, rest: 0 };
            }
        };
        // An empty file is one that is about to be written.
        if known.state == State::Done || file.stamp.size == 0 {
            return known;
        }
        if known.rest > 0 {
            known.rest -= 1;
            return known;
        }
        match self.put(file, known.state == State::Old).await {
            Ok(new) => {
                *put += usize::from(new);
                return Known { state: State::Done, ..known };
            }
            // Whatever its stamp says: it is not taken before two more looks find it unchanged.
            Err(Refusal::Changed) => {
                return Known { stamp: Stamp::default(), state: State::New, ..known };
            }
            Err(Refusal::Unfit(why)) => self.warn(file, &mut known, &why),
            Err(Refusal::Failed(error)) => {
                known.failures += 1;
                known.rest = (1 << known.failures.min(8)).min(LONGEST_REST);
                self.warn(file, &mut known, &format!("{}; it is tried again", Problem::from(error).detail));
            }
        }
        known
    }

    fn warn(&self, file: &Found, known: &mut Known, why: &str) {
        if !std::mem::replace(&mut known.warned, true) {
            tracing::warn!(file = ?file.path, "not put on a shelf: {why}");
        }
    }

    /// Puts one file on its shelf; `false` when these bytes are there already.
    async fn put(&self, file: &Found, old: bool) -> Result<bool, Refusal> {
        let unfit = |why: String| Refusal::Unfit(why);
        let name: FileName = file.name.to_string_lossy().parse().map_err(|e| unfit(format!("{e}")))?;
        let profile = file.profile.to_string_lossy();
        let shelf: ProfileName = profile.parse().map_err(|e| unfit(format!("{e}")))?;
        let max = self.app.config().max_asset_bytes;
        if file.stamp.size > max {
            return Err(unfit(Problem::from(too_large(max)).detail));
        }
        let found = self.app.read().profile(shelf.as_str()).await.map_err(ApiError::from)?;
        let Some(profile) = found else { return Err(unfit(format!("there is no profile {shelf}"))) };
        let label = self.app.read().asset(&shelf, &name).await.map_err(ApiError::from)?;
        // After a start only: the label is younger than the file's last change, so it is of it.
        if let Some(label) = label.as_ref().filter(|_| old)
            && u64::try_from(label.size) == Ok(file.stamp.size)
            && label.created_at >= file.stamp.changed_at()
        {
            return Ok(false);
        }
        let sealed = self.read(file, max).await?;
        if label.is_some_and(|label| label.sha256 == sealed.digest) {
            return Ok(false);
        }
        self.keep(&profile, name, sealed).await?;
        Ok(true)
    }

    async fn read(&self, file: &Found, max: u64) -> Result<moxxie_store::assets::Sealed, Refusal> {
        let (dir, wanted) = (self.dir.clone(), file.clone());
        let opened = tokio::task::spawn_blocking(move || scan::open(&dir, &wanted)).await;
        let opened = opened.map_err(|_| Refusal::Changed)?.map_err(|error| match error.kind() {
            ErrorKind::PermissionDenied => Refusal::Unfit("moxxie may not read it".into()),
            _ => Refusal::Changed,
        })?;
        let again = opened.try_clone().map_err(|_| Refusal::Changed)?;
        let writer =
            feed(&self.app, opened, &file.path, max, &Progress::default()).await.map_err(asset_error)?;
        let after = again.metadata().map_err(|_| Refusal::Changed)?;
        if Stamp::of(&after) != file.stamp || writer.size() != file.stamp.size {
            return Err(Refusal::Changed);
        }
        Ok(writer.seal(None).await.map_err(asset_error)?)
    }

    async fn keep(
        &self,
        profile: &Profile,
        name: FileName,
        sealed: moxxie_store::assets::Sealed,
    ) -> ApiResult<()> {
        let by = By { actor: ACTOR.into(), peer: None, at: self.app.clock.now() };
        let asset = shelf::keep(&self.app, profile, name, sealed, &by).await?;
        let profile = &profile.spec.name;
        tracing::info!(%profile, file = %asset.file, size = asset.size, sha256 = %asset.sha256, "put on a shelf from the watch folder");
        Ok(())
    }
}
