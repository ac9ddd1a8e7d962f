//! Boot events: what machines did. What people did is in [`crate::audit`].

use crate::mac::MacAddr;
use crate::time::Timestamp;

/// The kinds of event, each with the text that scripts filter by.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)*) => {
        /// What happened.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum EventKind { $($(#[$doc])* $name,)* }

        impl EventKind {
            /// Every kind, in the order a boot goes through them.
            pub const ALL: &'static [EventKind] = &[$(EventKind::$name,)*];

            /// The spelling in JSON and in the database.
            pub fn as_str(&self) -> &'static str {
                match self { $(EventKind::$name => $text,)* }
            }
        }
    };
}

kinds! {
    /// An operator opened the window.
    Armed => "armed",
    /// An operator closed it.
    Disarmed => "disarmed",
    /// A machine nobody assigned was shown the menu.
    MenuUnknown => "menu.unknown",
    /// A machine was sent to its local disk.
    Local => "local",
    /// A machine was given its profile's script.
    Boot => "boot",
    /// A machine was told its place in the queue.
    BootWaiting => "boot.waiting",
    /// Two machines ask in the name of one.
    BootContention => "boot.contention",
    /// A machine was quarantined by the server itself.
    Quarantined => "machine.quarantined",
    /// A machine waits for an operator's approval.
    ApprovalAsked => "approval.asked",
    /// An operator approved its boot.
    ApprovalGiven => "approval.given",
    /// A wrong code was given for it.
    ApprovalRefused => "approval.refused",
    /// A machine or an address was told to wait: it asked too often.
    BootLimited => "boot.limited",
    /// The last byte of the kernel was sent to a machine.
    KernelFetched => "kernel_fetched",
    /// The last byte of an initrd was sent to a machine.
    InitrdFetched => "initrd_fetched",
    /// A download ended before its last byte.
    DownloadAborted => "download.aborted",
    /// The stored bytes of a file are damaged; it is kept aside and answered with 503.
    AssetDamaged => "asset.damaged",
    /// A machine received its config.
    ConfigDelivered => "config.delivered",
    /// A config was refused.
    ConfigRefused => "config.refused",
    /// The machine reported that the installer runs.
    Started => "report.started",
    /// The machine reported progress.
    Progress => "report.progress",
    /// The machine reported success.
    Installed => "report.installed",
    /// The machine reported failure.
    Failed => "report.failed",
    /// A destructive profile was asked for again after its one delivery.
    ReinstallSuppressed => "reinstall.suppressed",
    /// MAC, UUID or serial point at different machines.
    IdentityConflict => "identity.conflict",
    /// A window closed with nobody booting.
    WindowExpired => "window.expired",
    /// The boot could not be prepared; the message says why.
    BootError => "boot.error",
}

impl std::str::FromStr for EventKind {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        EventKind::ALL.iter().copied().find(|k| k.as_str() == text).ok_or(())
    }
}

impl serde::Serialize for EventKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One event.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct BootEvent {
    /// Position in the log; 0 until it is stored.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: EventKind,
    /// The machine, when it is known.
    pub mac_address: Option<MacAddr>,
    /// What the cluster calls it.
    pub node_name: Option<String>,
    /// The profile in question.
    pub boot_profile: Option<String>,
    /// The address it asked from.
    pub peer: Option<String>,
    /// For people: cause and next step. Never a secret, at most 1 KiB, one line.
    pub message: String,
    /// How often the same thing happened in a row, when repeats were folded.
    pub count: i64,
}

/// A text from a machine as one printable line of at most `limit` characters.
pub fn one_line(text: &str, limit: usize) -> String {
    let mut line: String =
        text.chars().map(|c| if c.is_control() || is_bidi(c) { ' ' } else { c }).take(limit).collect();
    line.truncate(line.trim_end().len());
    line
}

/// Characters that reorder or hide the text around them on a terminal or a page.
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}
