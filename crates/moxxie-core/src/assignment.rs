//! Assignments: which machine boots which profile, and how far its window has come.

use crate::boot::approval::Approval;
use crate::boot::state::BootRecord;
use crate::mac::MacAddr;
use crate::machine::{MachineUuid, Serial};
use crate::name::NodeName;
use crate::net::Networks;
use crate::params::Params;
use crate::profile::LocalBoot;
use crate::time::Timestamp;
use std::str::FromStr;

/// How often an assignment may boot its profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BootPolicy {
    /// One window per arm; the default.
    #[default]
    Once,
    /// Every request boots the profile. Refused for destructive profiles.
    Always,
    /// Always the local disk.
    Local,
}

impl BootPolicy {
    /// The spelling in JSON and in the database.
    pub fn as_str(&self) -> &'static str {
        match self {
            BootPolicy::Once => "once",
            BootPolicy::Always => "always",
            BootPolicy::Local => "local",
        }
    }
}

impl FromStr for BootPolicy {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        [BootPolicy::Once, BootPolicy::Always, BootPolicy::Local]
            .into_iter()
            .find(|p| p.as_str() == text)
            .ok_or(())
    }
}

/// The part of an assignment that people write.
#[derive(Debug, Clone, PartialEq)]
pub struct AssignmentSpec {
    /// The MAC address it is known by.
    pub mac_address: MacAddr,
    /// What the cluster calls the machine.
    pub node_name: NodeName,
    /// The profile's id.
    pub boot_profile_id: String,
    /// Values that override the profile's and the site's.
    pub boot_params_override: Params,
    /// The SMBIOS UUID, when the operator pins it.
    pub uuid: Option<MachineUuid>,
    /// The serial number, when the operator pins it.
    pub serial: Option<Serial>,
    /// Further NICs of the same machine.
    pub extra_macs: Vec<MacAddr>,
    /// How often it may boot.
    pub boot_policy: BootPolicy,
    /// Refuses arm, profile change and delete.
    pub protected: bool,
    /// Held: local disk, no config, until an operator lifts it.
    pub quarantined: bool,
    /// Overrides the profile's way to the local disk.
    pub local_boot: Option<LocalBoot>,
    /// Networks that it may boot its profile from, within the site's; overrides the profile's.
    pub provisioning: Option<Networks>,
    /// Overrides the profile's.
    pub approval: Option<Approval>,
    /// Who made it: `manual`, `apply`, `proxmox`, …
    pub source: String,
}

/// An assignment as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// UUIDv7, as text.
    pub id: String,
    /// What people wrote.
    pub spec: AssignmentSpec,
    /// How far its window has come.
    pub boot: BootRecord,
    /// Goes up by one with every change by a person; the API's `ETag`.
    pub revision: i64,
    /// When it was last given its profile's script.
    pub last_boot_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When a person last changed it.
    pub updated_at: Timestamp,
}

impl Assignment {
    /// Every MAC address it is known by, the main one first.
    pub fn macs(&self) -> impl Iterator<Item = MacAddr> + '_ {
        std::iter::once(self.spec.mac_address).chain(self.spec.extra_macs.iter().copied())
    }
}
