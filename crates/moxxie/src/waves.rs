//! Whose turn it is to boot, in this process: [`wave::Waves`] with the clock, behind a lock.
//!
//! Nothing here is kept: each replica has its own limits, and after a restart the machines that
//! wait ask again and form a new line.

use crate::clock::Clock;
use moxxie_core::boot::decide::{Known, Shelf};
use moxxie_core::boot::wave::{self, Class, Limits, Turn};
use moxxie_core::mac::MacAddr;
use moxxie_core::params;
use moxxie_core::platform;
use moxxie_core::profile::{ProfileSpec, Source};
use moxxie_core::site::Site;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The line of machines whose boots are due. Without limits it costs nothing and admits all.
pub struct Waves {
    line: Mutex<wave::Waves>,
    /// Without limits nobody looks at the line.
    limited: AtomicBool,
    clock: Arc<Clock>,
}

impl Waves {
    /// An empty house with these limits.
    pub fn new(limits: Limits, clock: Arc<Clock>) -> Waves {
        let limited = AtomicBool::new(!limits.is_unlimited());
        Waves { line: Mutex::new(wave::Waves::new(limits)), limited, clock }
    }

    /// Other limits from now on. Who was admitted stays so, and who waits keeps its place. Without
    /// limits nobody waits, and a later line begins with an empty house.
    pub fn set_limits(&self, limits: Limits) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if limits.is_unlimited() {
            *line = wave::Waves::new(limits);
        } else {
            line.set_limits(limits);
        }
        self.limited.store(!limits.is_unlimited(), Ordering::SeqCst);
    }

    /// Whether this machine may boot now. A boot without files of ours costs nobody anything.
    pub fn ask(&self, known: &Known, site: &Site) -> Turn {
        if !self.limited.load(Ordering::SeqCst) {
            return Turn::Admit;
        }
        let (bytes, class) = (Need::of(&known.shelf).all(), class(known, site));
        match self.line() {
            Some(mut line) if bytes > 0 => line.ask(name(known), class, bytes, self.clock.now()),
            _ => Turn::Admit,
        }
    }

    /// Bytes of a file go out to this machine: it is alive.
    pub fn sent(&self, mac: MacAddr) {
        if let Some(mut line) = self.line() {
            line.heard(mac, self.clock.now());
        }
    }

    /// The last byte of a file of `size` bytes went out to this machine.
    pub fn fetched(&self, mac: MacAddr, size: u64) {
        if let Some(mut line) = self.line() {
            line.fetched(mac, size, self.clock.now());
        }
    }

    /// This machine is done, or will not boot: its place is free.
    pub fn finished(&self, mac: MacAddr) {
        if let Some(mut line) = self.line() {
            line.finished(mac);
        }
    }

    /// Its config was delivered: iPXE is done, and so is the machine unless what runs now fetches
    /// further files.
    pub fn delivered(&self, mac: MacAddr, shelf: &Shelf) {
        if !self.limited.load(Ordering::SeqCst) {
            return;
        }
        match Need::of(shelf).later {
            0 => self.finished(mac),
            _ => self.sent(mac),
        }
    }

    /// How many machines are admitted, and how many wait.
    pub fn counts(&self) -> (usize, usize) {
        let Some(mut line) = self.line() else { return (0, 0) };
        line.forget(self.clock.now());
        (line.admitted(), line.waiting())
    }

    fn line(&self) -> Option<MutexGuard<'_, wave::Waves>> {
        // What a panic left is whole: nothing in there is changed in two steps across calls.
        let limited = self.limited.load(Ordering::SeqCst);
        limited.then(|| self.line.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a machine is called here: the address that it is assigned by, whichever it asked with.
pub fn name(known: &Known) -> MacAddr {
    known.assignment.spec.mac_address
}

fn class(known: &Known, site: &Site) -> Class {
    let spec = &known.shelf.profile.spec;
    let merged = params::merge(&[&site.params, &spec.params, &known.assignment.spec.boot_params_override]);
    match platform::boots_first(spec, &merged) {
        true => Class::First,
        false => Class::Usual,
    }
}

/// Bytes that one boot fetches off a shelf.
#[derive(Debug, PartialEq, Eq)]
struct Need {
    /// Kernel and initrds, by iPXE.
    first: u64,
    /// Files that the arguments or the config name, by what iPXE started.
    later: u64,
}

impl Need {
    fn of(shelf: &Shelf) -> Need {
        let spec = &shelf.profile.spec;
        let loads = || spec.kernel_path.iter().chain(&spec.initrd_path).chain(&spec.extra_initrds);
        let mut need = Need { first: 0, later: 0 };
        for asset in &shelf.assets {
            let size = u64::try_from(asset.size).unwrap_or(0);
            let times =
                loads().filter(|s| matches!(s, Source::Asset(file) if *file == asset.file)).count() as u64;
            if times > 0 {
                need.first = need.first.saturating_add(size.saturating_mul(times));
            } else if named(spec, asset.file.as_str()) {
                need.later = need.later.saturating_add(size);
            }
        }
        need
    }

    fn all(&self) -> u64 {
        self.first.saturating_add(self.later)
    }
}

/// Whether a profile's texts name a file of its shelf as the end of a URL.
fn named(spec: &ProfileSpec, file: &str) -> bool {
    let texts = [Some(spec.boot_params.as_str()), spec.config_template.as_deref()];
    let url = format!("/{file}");
    let ends = |rest: &str| {
        !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+' | '/'))
    };
    texts
        .into_iter()
        .flatten()
        .any(|text| text.match_indices(&url).any(|(at, found)| ends(&text[at + found.len()..])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use moxxie_core::asset::{Asset, Digest};
    use moxxie_core::profile::Profile;
    use moxxie_core::time::Timestamp;

    fn shelf(change: impl FnOnce(&mut ProfileSpec), files: &[(&str, i64)]) -> Shelf {
        let mut spec = platform::find("talos").unwrap().sample();
        change(&mut spec);
        let assets = files.iter().map(|(file, size)| Asset {
            file: file.parse().unwrap(),
            sha256: Digest([0; 32]),
            size: *size,
            created_at: Timestamp(0),
        });
        let assets = assets.collect();
        let profile =
            Profile { id: "p".into(), spec, revision: 1, created_at: Timestamp(0), updated_at: Timestamp(0) };
        Shelf { profile, assets }
    }

    const FILES: [(&str, i64); 4] =
        [("vmlinuz-amd64", 20), ("initramfs-amd64.xz", 80), ("live.iso", 3000), ("live.iso.sig", 1)];

    #[test]
    fn a_boot_needs_what_it_loads_and_what_it_names() {
        assert_eq!(Need::of(&shelf(|_| {}, &FILES)), Need { first: 100, later: 0 });
        let later = |text: &str| {
            let need = Need::of(&shelf(|spec| spec.boot_params = text.into(), &FILES));
            assert_eq!(need.first, 100);
            need.later
        };
        assert_eq!(later("url={{ moxxie.asset_url }}/live.iso quiet"), 3000);
        assert_eq!(later("url={{ moxxie.asset_url }}/live.iso.sig"), 1);
        assert_eq!(later("url={{ moxxie.asset_url }}/other/live.isolated live.iso"), 0);
        let named = |spec: &mut ProfileSpec| spec.config_template = Some("get 'http://h/live.iso'\n".into());
        assert_eq!(Need::of(&shelf(named, &FILES)), Need { first: 100, later: 3000 });
    }

    #[test]
    fn sizes_cannot_overflow_and_files_elsewhere_do_not_count() {
        let huge = [("vmlinuz-amd64", i64::MAX), ("initramfs-amd64.xz", i64::MAX)];
        let many = |spec: &mut ProfileSpec| {
            spec.extra_initrds = vec!["initramfs-amd64.xz".parse().unwrap(); 3];
        };
        assert_eq!(Need::of(&shelf(many, &huge)).all(), u64::MAX);
        let elsewhere = |spec: &mut ProfileSpec| {
            spec.kernel_path = "http://mirror/vmlinuz-amd64".parse().ok();
            spec.initrd_path = None;
        };
        assert_eq!(Need::of(&shelf(elsewhere, &huge)).all(), 0);
    }
}
