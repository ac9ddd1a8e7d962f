//! What a template sees: the names of the contract, and nothing else.

use crate::params::Params;
use serde::Serialize;

/// The values of one machine. What is not known is an empty text, so that a template may print it
/// without asking first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct MachineValues {
    /// `52:54:00:12:34:56`.
    pub mac: String,
    /// `52-54-00-12-34-56`.
    pub mac_hyphen: String,
    /// The SMBIOS UUID.
    pub uuid: String,
    /// The serial number.
    pub serial: String,
    /// `amd64`, `arm64`, …
    pub arch: String,
    /// The firmware: `efi` or `pcbios`.
    pub platform: String,
    /// What the cluster calls the machine.
    pub node_name: String,
    /// The address it asked from.
    pub ip: String,
}

/// What a template may know of its profile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ProfileValues {
    /// The profile's name.
    pub name: String,
    /// Its platform.
    pub profile_type: String,
}

/// Addresses of this service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ServiceValues {
    /// `http://host:port`, without a trailing slash.
    pub base_url: String,
    /// `…/boot/assets/PROFILE`, without a trailing slash.
    pub asset_url: String,
    /// The machine's own config, with its token.
    pub config_url: String,
    /// Where the machine reports, with its token.
    pub report_url: String,
}

/// Everything a template sees.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RenderContext {
    /// `machine.*`
    pub machine: MachineValues,
    /// `params.*`, merged.
    pub params: Params,
    /// `profile.*`
    pub profile: ProfileValues,
    /// `moxxie.*`
    pub moxxie: ServiceValues,
}

/// Top-level names of the context.
pub(super) const ROOTS: [&str; 4] = ["machine", "params", "profile", "moxxie"];

impl RenderContext {
    /// Whether a path such as `params.net.dns` leads to a value. `None` when its first name is
    /// not one of the context's: then it is local to the template, or nothing at all.
    pub(super) fn has(&self, path: &[&str]) -> Option<bool> {
        let (root, rest) = path.split_first()?;
        let fields = match *root {
            "params" => return Some(has_param(&self.params, rest)),
            "machine" => &["mac", "mac_hyphen", "uuid", "serial", "arch", "platform", "node_name", "ip"][..],
            "profile" => &["name", "profile_type"][..],
            "moxxie" => &["base_url", "asset_url", "config_url", "report_url"][..],
            _ => return None,
        };
        Some(match rest {
            [] => true,
            [field] => fields.contains(field),
            _ => false,
        })
    }
}

fn has_param(params: &Params, path: &[&str]) -> bool {
    let Some((first, rest)) = path.split_first() else { return true };
    let mut at = params.get(*first);
    for key in rest {
        at = at.and_then(|value| value.get(*key));
    }
    at.is_some()
}
