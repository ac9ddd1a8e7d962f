//! Care for the stored files: they are read anew slowly, and whoever must act is told what is wrong.

use crate::app::App;
use crate::firmware;
use futures_util::future::BoxFuture;
use moxxie_core::asset::Digest;
use moxxie_core::boot::event::EventKind;
use moxxie_store::assets::{Alarm, AssetError, Pace};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::time::Instant;

/// Each file is read anew once a week, with a day to spare.
const ROUND: Duration = Duration::from_secs(6 * 24 * 3600);
/// A file that could not be read now is tried again after this.
const AGAIN: Duration = Duration::from_secs(600);
/// How often it is looked whether anything is to be done.
const LOOK: Duration = Duration::from_secs(30);
/// How many files an event names.
const NAMED: usize = 5;

/// How the scrub waits: an argument, so that tests need not.
pub type Wait = Arc<dyn Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync>;

/// How the scrub goes about it.
pub struct Scrub {
    /// A file that was verified this long ago is read anew.
    pub round: Duration,
    /// How it waits.
    pub wait: Wait,
}

/// Starts the tasks of a server.
pub fn start(app: &Arc<App>) {
    tokio::spawn(report(app.clone(), app.assets.alarms()));
    tokio::spawn(watch(app.clone()));
    let wait: Wait = Arc::new(|time| Box::pin(tokio::time::sleep(time)));
    tokio::spawn(Scrub { round: ROUND, wait }.run(app.clone()));
}

/// Whether files can be read; the gauge says whether they can be written.
pub async fn check(app: &App) -> Result<Result<(), AssetError>, AssetError> {
    let health = app.assets.check().await;
    let writable = matches!(&health, Ok(health) if health.writable.is_ok());
    metrics::gauge!("moxxie_assets_writable").set(if writable { 1.0 } else { 0.0 });
    health.map(|health| health.writable)
}

/// Says in the log when the store can no longer be used, and when it can again.
async fn watch(app: Arc<App>) {
    let mut well = true;
    loop {
        let trouble = match check(&app).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(("new assets cannot be stored; stored ones are served", error)),
            Err(error) => Some(("assets cannot be read", error)),
        };
        match &trouble {
            Some((what, error)) if well => tracing::warn!(%error, "{what}"),
            None if !well => tracing::info!("assets can be read and stored again"),
            _ => {}
        }
        well = trouble.is_none();
        tokio::time::sleep(LOOK).await;
    }
}

impl Scrub {
    /// Reads files anew for ever, the least recently verified first, as fast as the settings say at
    /// each moment.
    pub async fn run(self, app: Arc<App>) {
        let (slow, settings) = (self.wait.clone(), app.clone());
        let pace: Box<Pace> = Box::new(move |bytes| {
            metrics::counter!("moxxie_assets_scrubbed_bytes_total").increment(bytes);
            let rate = settings.config().scrub_rate.max(1);
            slow(Duration::from_secs_f64(bytes as f64 / rate as f64))
        });
        // When files are due whose last verification does not say it.
        let mut due = HashMap::new();
        loop {
            let next = match app.config().scrub_rate {
                0 => None,
                _ => self.next(&app, &mut due).await,
            };
            let Some((digest, size)) = next else {
                (self.wait)(LOOK).await;
                continue;
            };
            let after = match app.assets.scrub(&digest, size, &*pace).await {
                Ok(_) => self.round,
                Err(error) => {
                    tracing::debug!(%error, sha256 = %digest, "the scrub comes back later");
                    AGAIN
                }
            };
            due.insert(digest, Instant::now() + after);
        }
    }

    /// The file whose turn it is, if it is anyone's.
    async fn next(&self, app: &App, due: &mut HashMap<Digest, Instant>) -> Option<(Digest, u64)> {
        let snapshot = app.snapshots.current()?;
        // Loaders are in no menu, so only the database knows them. While it is away the scrub waits.
        let loaders = firmware::all(app).await.ok()?;
        let assets = snapshot.shelves().flat_map(|shelf| &shelf.assets).map(|a| (a.sha256, a.size));
        let files: HashMap<Digest, u64> = assets
            .chain(loaders.iter().map(|loader| (loader.sha256, loader.size)))
            .map(|(digest, size)| (digest, u64::try_from(size).unwrap_or(0)))
            .collect();
        due.retain(|digest, _| files.contains_key(digest));
        let turn = |digest: &Digest| {
            let verified = app.assets.verified_at(digest).map(|at| at + self.round);
            verified.max(due.get(digest).copied())
        };
        let first = files.into_iter().min_by_key(|(digest, _)| (turn(digest), *digest))?;
        turn(&first.0).is_none_or(|turn| turn <= Instant::now()).then_some(first)
    }
}

/// Makes an event of each alarm about a file that has a label, of a profile or as a loader.
pub async fn report(app: Arc<App>, mut alarms: Receiver<Alarm>) {
    loop {
        match alarms.recv().await {
            Ok(alarm) => tell(&app, &alarm).await,
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(missed, "more files are damaged than were reported")
            }
            Err(RecvError::Closed) => return,
        }
    }
}

async fn tell(app: &App, alarm: &Alarm) {
    metrics::counter!("moxxie_assets_damaged_total").increment(1);
    if alarm.wrong {
        app.downloads.condemn(&alarm.digest);
    }
    let what = &alarm.what;
    let snapshot = app.snapshots.look().await.snapshot;
    let shelves = snapshot.iter().flat_map(|snapshot| snapshot.shelves());
    let mut assets: Vec<_> = shelves
        .flat_map(|shelf| shelf.assets.iter().map(move |asset| (&shelf.profile.spec.name, asset)))
        .filter(|(_, asset)| asset.sha256 == alarm.digest)
        .map(|(profile, asset)| (profile, &asset.file))
        .collect();
    assets.sort();
    let mut loaders = firmware::all(app).await.unwrap_or_else(|error| {
        tracing::warn!(%error, sha256 = %alarm.digest, "whether it is a loader is not known: {what}");
        Vec::new()
    });
    loaders.retain(|loader| loader.sha256 == alarm.digest);
    let next = match (assets.first(), loaders.first()) {
        (Some((profile, file)), _) => {
            format!("upload it again: moxxie asset upload {profile} FILE --as {file}")
        }
        (None, Some(_)) => "upload it again: moxxie firmware import".to_owned(),
        // Nobody's file: it was deleted meanwhile.
        (None, None) => return,
    };
    let names = assets.iter().map(|(profile, file)| format!("{profile}/{file}"));
    let mut names = names.chain(loaders.iter().map(|loader| format!("firmware/{}", loader.name)));
    let mut named = names.by_ref().take(NAMED).collect::<Vec<_>>().join(", ");
    match names.count() {
        0 => {}
        more => named += &format!(" and {more} more"),
    }
    tracing::error!(sha256 = %alarm.digest, "{named}: {what}; {next}");
    let mut event = app.event(EventKind::AssetDamaged, None, None, &format!("{named}: {what}; {next}"));
    event.boot_profile = match assets.first() {
        Some((profile, _)) if loaders.is_empty() && assets.iter().all(|(p, _)| p == profile) => {
            Some(profile.to_string())
        }
        _ => None,
    };
    app.events.push(event, None);
}
