//! Profiles: named recipes for what a machine boots.

use crate::boot::approval::Approval;
use crate::boot::rival::Contention;
use crate::name::{FileName, ProfileName};
use crate::net::Networks;
use crate::params::Params;
use crate::time::Timestamp;
use std::str::FromStr;

/// What a machine does when it is told to boot from its own disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LocalBoot {
    /// `exit 1` on UEFI, disk 0x80 and then `exit 1` on BIOS. A plain `exit` would stop UEFI in
    /// its set-up menu.
    #[default]
    Auto,
    /// A plain `exit`, for firmware that wants it.
    Exit,
    /// `sanboot --drive 0x80` on every firmware.
    Sanboot,
    /// No script but HTTP status 404: the firmware goes on to its next boot entry.
    #[serde(rename = "404")]
    NotFound,
}

impl LocalBoot {
    /// The spelling in JSON and in the database.
    pub fn as_str(&self) -> &'static str {
        match self {
            LocalBoot::Auto => "auto",
            LocalBoot::Exit => "exit",
            LocalBoot::Sanboot => "sanboot",
            LocalBoot::NotFound => "404",
        }
    }
}

impl FromStr for LocalBoot {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        [LocalBoot::Auto, LocalBoot::Exit, LocalBoot::Sanboot, LocalBoot::NotFound]
            .into_iter()
            .find(|l| l.as_str() == text)
            .ok_or(())
    }
}

/// Where a kernel or an initrd comes from: a file of the profile's own shelf, or another server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file of this profile's assets.
    Asset(FileName),
    /// An `http://` or `https://` URL, handed to the machine as it is.
    Url(String),
}

impl FromStr for Source {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("http://") || text.starts_with("https://") {
            // The URL becomes one word of an iPXE script; the encoder has the last say there.
            crate::ipxe::Word::new(text).map_err(|e| format!("not usable in a boot script: {e}"))?;
            if text.contains('#') {
                return Err("a URL for a boot script must not carry a fragment (#…)".into());
            }
            Ok(Source::Url(text.to_owned()))
        } else {
            text.parse().map(Source::Asset).map_err(|e: crate::name::NameError| {
                format!("neither a file of this profile ({e}) nor an http(s) URL")
            })
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::Asset(name) => name.fmt(f),
            Source::Url(url) => f.write_str(url),
        }
    }
}

impl serde::Serialize for Source {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Source {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The part of a profile that people write.
#[derive(Debug, Clone, PartialEq)]
pub struct ProfileSpec {
    /// Unique name.
    pub name: ProfileName,
    /// A name out of [`crate::platform::PLATFORMS`].
    pub profile_type: String,
    /// One line for people.
    pub description: String,
    /// The kernel; `None` where the platform needs none.
    pub kernel_path: Option<Source>,
    /// The first initrd.
    pub initrd_path: Option<Source>,
    /// Further initrds, loaded after the first, in this order.
    pub extra_initrds: Vec<Source>,
    /// Kernel arguments, a template.
    pub boot_params: String,
    /// The per-machine config, a template.
    pub config_template: Option<String>,
    /// Values for the templates.
    pub params: Params,
    /// Whether booting it can erase a disk. Computed by lint unless `destructive_lowered`.
    pub destructive: bool,
    /// An admin said that the lint's reasons do not apply.
    pub destructive_lowered: bool,
    /// Whether unknown machines are offered it in their menu.
    pub menu: bool,
    /// How its machines boot from their own disk.
    pub local_boot: LocalBoot,
    /// Networks that its machines may boot it from, within the site's; `None`: all of those.
    pub provisioning: Option<Networks>,
    /// Whether an operator has to approve each boot.
    pub approval: Approval,
    /// What happens when two ask in the name of one of its machines.
    pub contention: Contention,
}

/// A profile as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// UUIDv7, as text.
    pub id: String,
    /// What people wrote.
    pub spec: ProfileSpec,
    /// Goes up by one with every change; the API's `ETag`.
    pub revision: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}
