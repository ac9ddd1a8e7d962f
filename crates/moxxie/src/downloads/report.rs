//! The ends of downloads as boot events.

use super::booted::RECENT;
use super::{About, Ended, Role, rate};
use crate::app::App;
use crate::waves;
use moxxie_core::boot::event::EventKind;
use moxxie_core::mac::MacAddr;
use moxxie_core::time::Span;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// A database that takes longer is not waited for: the event then names no machine.
const LOOK: Duration = Duration::from_secs(5);
/// How often running downloads say that their machines are there; a seat lasts minutes.
const SEATS: Duration = Duration::from_secs(20);

/// Writes down the ends of this application's downloads.
pub fn ends(app: &Arc<App>) {
    let weak = Arc::downgrade(app);
    app.downloads.on_end(move |ended| {
        if let Some(app) = weak.upgrade() {
            report(&app, ended);
        }
    });
}

/// Keeps the seats of machines that download: one with a slow line is silent otherwise.
pub async fn keep_seats(app: Weak<App>) {
    loop {
        tokio::time::sleep(SEATS).await;
        let Some(app) = app.upgrade() else { return };
        for download in app.downloads.running() {
            if let Some(machine) = download.about.machine.get().copied().flatten() {
                app.waves.sent(assigned(&app, machine));
            }
        }
    }
}

/// The address that a machine was assigned by; it may download with another one.
fn assigned(app: &App, machine: MacAddr) -> MacAddr {
    let known = app.snapshots.current().and_then(|snapshot| snapshot.known(machine).map(|k| waves::name(k)));
    known.unwrap_or(machine)
}

/// Begins to look for the machine behind a download, unless it is known or nothing depends on it.
pub fn identify(app: &Arc<App>, about: &Arc<About>) {
    if about.role != Role::Other && !about.machine.initialized() {
        let (app, about) = (app.clone(), about.clone());
        tokio::spawn(async move { machine(&app, &about).await });
    }
}

/// The machine behind a download: another replica may have sent it here.
async fn machine(app: &App, about: &About) -> Option<MacAddr> {
    let look = async {
        let look = async {
            let _turn = app.downloads.looks.0.acquire().await;
            Box::pin(look(app, about)).await
        };
        tokio::time::timeout(LOOK, look).await.unwrap_or(None)
    };
    *about.machine.get_or_init(|| look).await
}

async fn look(app: &App, about: &About) -> Option<MacAddr> {
    let since = about.started_at + Span(-RECENT.0);
    let seen = app.read().machines_at(about.peer.to_canonical(), since).await;
    let seen = seen
        .inspect_err(|error| tracing::debug!(%error, "a download's machine was not looked up"))
        .unwrap_or_default();
    let snapshot = app.snapshots.current()?;
    let boots = |mac: &MacAddr| {
        snapshot.known(*mac).is_some_and(|known| known.shelf.profile.spec.name == about.profile)
    };
    let mut found = seen.into_iter().filter(boots);
    found.next().filter(|_| found.next().is_none())
}

fn report(app: &Arc<App>, ended: &Arc<Ended>) {
    let about = &ended.about;
    tracing::debug!(
        profile = %about.profile, file = %about.file, peer = %about.peer, sent = ended.sent,
        length = about.length, complete = ended.complete, "download ended"
    );
    let kind = match about.role {
        Role::Other => return,
        _ if !ended.complete => EventKind::DownloadAborted,
        // A range is a part of somebody's download, and who puts the parts together is unknown.
        _ if !ended.whole() => return,
        Role::Kernel => EventKind::KernelFetched,
        Role::Initrd => EventKind::InitrdFetched,
    };
    // It ended now, however long the look for its machine takes.
    let at = app.clock.now();
    let push = move |app: &App, ended: &Ended, machine: Option<MacAddr>| {
        if let Some(machine) = machine.filter(|_| ended.whole()) {
            app.waves.fetched(assigned(app, machine), ended.about.length);
        }
        let mut event = app.event(kind, machine, Some(ended.about.peer), &message(ended));
        event.at = at;
        event.boot_profile = Some(ended.about.profile.to_string());
        app.events.push(event, None);
    };
    match (about.machine.get(), tokio::runtime::Handle::try_current()) {
        (None, Ok(runtime)) => {
            let (app, ended) = (app.clone(), ended.clone());
            runtime.spawn(async move {
                let machine = machine(&app, &ended.about).await;
                push(&app, &ended, machine);
            });
        }
        (machine, _) => push(app, ended, machine.copied().flatten()),
    }
}

fn message(ended: &Ended) -> String {
    let (file, length) = (&ended.about.file, ended.about.length);
    let (unit, name) = unit(length);
    if ended.complete {
        let rate = rate(length, ended.took);
        let (rate_unit, rate_name) = self::unit(rate);
        let (size, seconds) = (in_units(length, unit), ended.took.as_secs_f64());
        return format!(
            "{file}, {size} {name} in {seconds:.1} s ({} {rate_name}/s)",
            in_units(rate, rate_unit)
        );
    }
    let (sent, of) = (in_units(ended.sent, unit), in_units(length, unit));
    let percent = u128::from(ended.sent) * 100 / u128::from(length.max(1));
    format!("{file} stopped at {sent} of {of} {name} ({percent} %)")
}

/// The unit that a number of bytes is written in.
fn unit(bytes: u64) -> (u64, &'static str) {
    match bytes {
        0..1_000 => (1, "B"),
        1_000..1_000_000 => (1_000, "kB"),
        _ => (1_000_000, "MB"),
    }
}

fn in_units(bytes: u64, unit: u64) -> String {
    match unit {
        1 => bytes.to_string(),
        // Rounded down: what is not whole must not look so.
        _ => format!("{}.{}", bytes / unit, bytes % unit * 10 / unit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use moxxie_core::asset::Digest;
    use moxxie_core::time::Timestamp;
    use tokio::sync::OnceCell;

    #[test]
    fn messages_say_how_far_and_how_fast() {
        let said = |file: &str, length, sent, complete, ms| {
            let about = About {
                profile: "p".parse().unwrap(),
                file: file.parse().unwrap(),
                role: Role::Initrd,
                sha256: Digest([7; 32]),
                first: 0,
                length,
                whole: true,
                peer: "10.0.0.1".parse().unwrap(),
                started_at: Timestamp(0),
                machine: OnceCell::new(),
            };
            let took = Duration::from_millis(ms);
            message(&Ended { about: Arc::new(about), sent, complete, took })
        };
        let whole = said("vmlinuz", 8_200_000, 8_200_000, true, 1_300);
        assert_eq!(whole, "vmlinuz, 8.2 MB in 1.3 s (6.3 MB/s)");
        assert_eq!(said("a", 20, 20, true, 0), "a, 20 B in 0.0 s (20.0 kB/s)");
        let cut = said("initrd.gz", 41_000_000, 12_000_000, false, 900);
        assert_eq!(cut, "initrd.gz stopped at 12.0 of 41.0 MB (29 %)");
        assert_eq!(said("i", 41_000_000, 40_999_999, false, 0), "i stopped at 40.9 of 41.0 MB (99 %)");
    }
}
