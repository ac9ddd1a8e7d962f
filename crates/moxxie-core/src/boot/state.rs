//! The state machine of one assignment's boot window.
//!
//! ```text
//! local ──arm──▶ armed ──menu──▶ booting ──config──▶ delivered ──report──▶ installed | failed
//!   ▲              │                │                    │ menu, safe profile, attempts left
//!   └── expiry, disarm, protect ────┘                    └──────▶ booting
//! ```
//! A script of a destructive profile is handed out a bounded number of times while booting
//! ([`crate::boot::decide::most_starts`]).
//!
//! Every change is a function from one record to the next, with time as an argument. Nothing
//! here knows how a record is kept; the store changes it by conditional updates that repeat the
//! guards below, and the model test drives both.

use crate::boot::approval::Asking;
use crate::machine::{MachineUuid, Serial};
use crate::site::Site;
use crate::time::Timestamp;
use std::net::IpAddr;
use std::str::FromStr;

/// How far a window has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BootState {
    /// No window: the local disk.
    #[default]
    Local,
    /// An operator opened a window; the machine has not asked yet.
    Armed,
    /// The machine was given its script and a token.
    Booting,
    /// The machine received its config.
    Delivered,
    /// It reported success, or nothing for the settle time.
    Installed,
    /// It reported failure.
    Failed,
}

impl BootState {
    /// The spelling in JSON and in the database.
    pub fn as_str(&self) -> &'static str {
        match self {
            BootState::Local => "local",
            BootState::Armed => "armed",
            BootState::Booting => "booting",
            BootState::Delivered => "delivered",
            BootState::Installed => "installed",
            BootState::Failed => "failed",
        }
    }

    /// Whether a window is open, so that the database has to be asked before answering.
    pub fn is_open(&self) -> bool {
        matches!(self, BootState::Armed | BootState::Booting | BootState::Delivered)
    }
}

impl FromStr for BootState {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        use BootState::*;
        [Local, Armed, Booting, Delivered, Installed, Failed]
            .into_iter()
            .find(|s| s.as_str() == text)
            .ok_or(())
    }
}

/// Deliveries that one arm allows for a profile whose install is harmless to repeat.
pub const SAFE_ATTEMPTS: i64 = 3;
/// Deliveries that one arm allows for a profile that erases disks.
pub const DESTRUCTIVE_ATTEMPTS: i64 = 1;

/// Scripts that one arm allows for a profile that erases disks by its config. A boot that broke
/// off before it fetched the config may be tried again, but an installer that never fetches it
/// must not go round for the whole window.
pub const DESTRUCTIVE_STARTS: i64 = 3;

/// The state of one assignment's window.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BootRecord {
    /// How far it has come.
    pub state: BootState,
    /// Goes up whenever a window opens or is closed by a person. A token of another generation
    /// is worthless.
    pub generation: i64,
    /// An armed machine has to ask before this.
    pub armed_until: Option<Timestamp>,
    /// A started boot has to receive its config before this.
    pub window_ends: Option<Timestamp>,
    /// Deliveries left in this window.
    pub attempts_left: i64,
    /// Scripts that were handed out in this window.
    pub starts: i64,
    /// Whether the profile was destructive when the operator armed it.
    pub armed_destructive: bool,
    /// The UUID of the machine that first answered in this window.
    pub bound_uuid: Option<MachineUuid>,
    /// Its serial number.
    pub bound_serial: Option<Serial>,
    /// The address that was last given a script in this window, or the config.
    pub asked_from: Option<IpAddr>,
    /// Who waits for approval in this window, and who has it.
    pub asking: Asking,
    /// When the state last changed.
    pub since: Timestamp,
}

/// Why a window was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ArmRefused {
    /// The machine is protected.
    #[error(
        "this machine is protected: lift the protection first (moxxie assignment update MAC --unprotect)"
    )]
    Protected,
    /// The machine is quarantined.
    #[error(
        "this machine is quarantined: look at its events, then lift it (moxxie assignment update MAC --quarantined=false)"
    )]
    Quarantined,
    /// Its policy is always the local disk.
    #[error(
        "its boot_policy is `local`: let it boot its profile with moxxie assignment update MAC --policy once"
    )]
    PolicyLocal,
    /// Its policy boots it on every request.
    #[error("its boot_policy is `always`: it boots its profile on every request, without arming")]
    PolicyAlways,
}

/// The flags of an assignment that an arm depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArmGuards {
    /// `protected`.
    pub protected: bool,
    /// `quarantined`.
    pub quarantined: bool,
    /// `boot_policy`.
    pub policy: crate::assignment::BootPolicy,
    /// Whether the profile can erase a disk.
    pub destructive: bool,
}

impl BootRecord {
    /// Opens a window. A window that is open already starts again, and its tokens die.
    pub fn arm(&self, guards: ArmGuards, site: &Site, now: Timestamp) -> Result<BootRecord, ArmRefused> {
        use crate::assignment::BootPolicy;
        match guards {
            ArmGuards { protected: true, .. } => return Err(ArmRefused::Protected),
            ArmGuards { quarantined: true, .. } => return Err(ArmRefused::Quarantined),
            ArmGuards { policy: BootPolicy::Local, .. } => return Err(ArmRefused::PolicyLocal),
            ArmGuards { policy: BootPolicy::Always, .. } => return Err(ArmRefused::PolicyAlways),
            ArmGuards { policy: BootPolicy::Once, .. } => {}
        }
        Ok(BootRecord {
            state: BootState::Armed,
            generation: self.generation + 1,
            armed_until: Some(now + site.arm_window),
            window_ends: None,
            attempts_left: if guards.destructive { DESTRUCTIVE_ATTEMPTS } else { SAFE_ATTEMPTS },
            starts: 0,
            armed_destructive: guards.destructive,
            bound_uuid: None,
            bound_serial: None,
            asked_from: None,
            asking: Asking::default(),
            since: now,
        })
    }

    /// Closes the window, whoever asks for it. A finished install keeps saying so.
    pub fn disarm(&self, now: Timestamp) -> BootRecord {
        BootRecord {
            state: if self.state.is_open() { BootState::Local } else { self.state },
            generation: self.generation + 1,
            armed_until: None,
            window_ends: None,
            attempts_left: 0,
            armed_destructive: false,
            asked_from: None,
            asking: Asking::default(),
            since: if self.state.is_open() { now } else { self.since },
            ..self.clone()
        }
    }

    /// The record of a machine that is quarantined by the server itself, and why. Its window is
    /// closed as by [`BootRecord::disarm`]; the next arm or disarm forgets the reason.
    pub fn frozen(&self, why: String, now: Timestamp) -> BootRecord {
        let asking = Asking { frozen: Some(why), ..Asking::default() };
        BootRecord { asking, ..self.disarm(now) }
    }

    /// What time alone has made of the record: windows that nobody used are closed, and a
    /// machine that was delivered its config and said nothing since counts as installed.
    pub fn settled(&self, site: &Site, now: Timestamp) -> BootRecord {
        let over = |deadline: Option<Timestamp>| deadline.is_none_or(|end| now >= end);
        let next = match self.state {
            BootState::Armed if over(self.armed_until) => BootState::Local,
            BootState::Booting if over(self.window_ends) => BootState::Local,
            BootState::Delivered if now >= self.since + site.settle => BootState::Installed,
            _ => return self.clone(),
        };
        BootRecord {
            state: next,
            armed_until: None,
            window_ends: None,
            attempts_left: 0,
            asked_from: None,
            asking: Asking::default(),
            since: now,
            ..self.clone()
        }
    }

    /// The record after the machine was given its script. The caller has found by
    /// [`crate::boot::decide::decide`] that it may be.
    pub fn started(
        &self,
        uuid: Option<MachineUuid>,
        serial: Option<Serial>,
        from: IpAddr,
        site: &Site,
        now: Timestamp,
    ) -> BootRecord {
        BootRecord {
            state: BootState::Booting,
            starts: self.starts.saturating_add(1),
            armed_until: None,
            // The first menu starts the clock; asking again does not wind it up.
            window_ends: self.window_ends.or(Some(now + site.boot_window)),
            bound_uuid: self.bound_uuid.or(uuid),
            bound_serial: self.bound_serial.clone().or(serial),
            asked_from: Some(from.to_canonical()),
            since: now,
            ..self.clone()
        }
    }

    /// The record after its config went out for the first time in a session, which began at `from`.
    pub fn delivered(&self, from: IpAddr, now: Timestamp) -> BootRecord {
        BootRecord {
            state: BootState::Delivered,
            asked_from: Some(from.to_canonical()),
            attempts_left: (self.attempts_left - 1).max(0),
            since: now,
            ..self.clone()
        }
    }

    /// The record after the machine's final report.
    pub fn reported(&self, success: bool, now: Timestamp) -> BootRecord {
        BootRecord {
            state: if success { BootState::Installed } else { BootState::Failed },
            armed_until: None,
            window_ends: None,
            attempts_left: 0,
            asked_from: None,
            asking: Asking::default(),
            since: now,
            ..self.clone()
        }
    }

    /// The end of the window that is open now, for the API's `armed_until`.
    pub fn open_until(&self) -> Option<Timestamp> {
        match self.state {
            BootState::Armed => self.armed_until,
            BootState::Booting | BootState::Delivered => self.window_ends,
            _ => None,
        }
    }
}
