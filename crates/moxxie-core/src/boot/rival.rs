//! Two that ask in one machine's name. On a flat network nobody can be kept from using another's
//! MAC address; that it happened can be seen.

use crate::boot::decide::Known;
use crate::boot::state::{BootRecord, BootState};
use crate::machine::{MachineUuid, Serial};
use crate::site::Site;
use crate::time::Timestamp;
use std::net::IpAddr;
use std::str::FromStr;

/// What happens when a second one asks in a machine's name while the first one boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Contention {
    /// An event says so; the boot goes on.
    #[default]
    Alarm,
    /// The machine is quarantined: neither of them boots until an operator has looked.
    Freeze,
}

impl Contention {
    /// The spelling in JSON and in the database.
    pub fn as_str(&self) -> &'static str {
        match self {
            Contention::Alarm => "alarm",
            Contention::Freeze => "freeze",
        }
    }
}

impl FromStr for Contention {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        [Contention::Alarm, Contention::Freeze].into_iter().find(|c| c.as_str() == text).ok_or(())
    }
}

/// How the second asker differs from the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rival {
    /// By its UUID or serial number; which of them.
    Identity(&'static str),
    /// It leaves out the UUID or serial number of the machine that boots, at another address; which
    /// of them.
    Silent(&'static str),
    /// By its network; the address that asked before.
    Place(IpAddr),
}

/// Whether a boot of this machine is under way: it has its script, or its config for no longer than
/// that is repeated.
pub fn is_live(record: &BootRecord, site: &Site, now: Timestamp) -> bool {
    match record.state {
        BootState::Booting => true,
        BootState::Delivered => now < record.since + site.repeat_window,
        _ => false,
    }
}

/// The UUID and serial number that are pinned, or bound in the open window.
fn expected<'a>(known: &'a Known, record: &'a BootRecord) -> (Option<MachineUuid>, Option<&'a Serial>) {
    let spec = &known.assignment.spec;
    let open = record.state.is_open();
    let uuid = spec.uuid.or(record.bound_uuid.filter(|_| open));
    (uuid, spec.serial.as_ref().or(record.bound_serial.as_ref().filter(|_| open)))
}

/// In what this UUID and serial number differ from what is pinned, or bound in the open window.
pub fn differs(
    known: &Known,
    record: &BootRecord,
    uuid: Option<MachineUuid>,
    serial: Option<&Serial>,
) -> Option<&'static str> {
    let (expected_uuid, expected_serial) = expected(known, record);
    match (expected_uuid, uuid) {
        (Some(pinned), Some(sent)) if !pinned.same_machine(&sent) => return Some("UUID"),
        _ => {}
    }
    match (expected_serial, serial) {
        (Some(pinned), Some(sent)) if pinned != sent => Some("serial number"),
        _ => None,
    }
}

/// What of the pinned or bound UUID and serial number this asker leaves out.
fn leaves_out(
    known: &Known,
    record: &BootRecord,
    uuid: Option<MachineUuid>,
    serial: Option<&Serial>,
) -> Option<&'static str> {
    match expected(known, record) {
        (Some(_), _) if uuid.is_none() => Some("UUID"),
        (_, Some(_)) if serial.is_none() => Some("serial number"),
        _ => None,
    }
}

/// The rival that this asker would be, while a boot is under way. `record` is as time has left it.
///
/// A change of the network alone is no rival when UUID and serial number are those of the machine
/// that was started and its config is not fetched yet: it tries its other NIC. Without a UUID
/// nothing shows that it is the same machine. A later stage of one boot may say less of the machine
/// than an earlier one did, but then at the same address.
pub fn rival(
    known: &Known,
    record: &BootRecord,
    (uuid, serial): (Option<MachineUuid>, Option<&Serial>),
    peer: IpAddr,
    site: &Site,
    now: Timestamp,
) -> Option<Rival> {
    if !is_live(record, site, now) {
        return None;
    }
    if let Some(what) = differs(known, record, uuid, serial) {
        return Some(Rival::Identity(what));
    }
    let before = record.asked_from?;
    if let Some(what) = leaves_out(known, record, uuid, serial).filter(|_| before != peer.to_canonical()) {
        return Some(Rival::Silent(what));
    }
    let same = matches!((record.bound_uuid, uuid), (Some(a), Some(b)) if a.same_machine(&b))
        && record.bound_serial.as_ref() == serial;
    let moved = same && record.state == BootState::Booting;
    let elsewhere = site.token_network(before) != site.token_network(peer);
    (elsewhere && !moved).then_some(Rival::Place(before))
}

impl Rival {
    /// Cause, for events and for the machine's screen.
    pub fn told(&self, known: &Known, peer: IpAddr) -> String {
        let node = &known.assignment.spec.node_name;
        let peer = peer.to_canonical();
        match self {
            Rival::Identity(what) => {
                format!("two machines ask as {node}: {peer} shows another {what} than the one that boots")
            }
            Rival::Silent(what) => {
                format!("two machines ask as {node}: {peer} shows no {what}, unlike the one that boots")
            }
            Rival::Place(before) => {
                format!("two machines ask as {node}: {before}, which boots now, and {peer}")
            }
        }
    }
}

/// What an operator can do about it.
pub const NEXT: &str = "find out who uses its MAC address; its config may be in the wrong hands";
