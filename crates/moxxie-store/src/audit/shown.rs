//! Objects as the audit log shows them.

use crate::ApiToken;
use crate::db::Tx;
use moxxie_core::asset::Asset;
use moxxie_core::assignment::Assignment;
use moxxie_core::loader::Loader;
use moxxie_core::profile::{Profile, Source};
use serde_json::{Value, json};

/// A profile as the log shows it: fingerprints instead of secrets, and of the template, which can be
/// long, only whether it changed.
pub(crate) fn profile_value(tx: &Tx, profile: &Profile) -> Value {
    let (prints, id) = (&tx.prints, profile.id.as_str());
    // A file's name has no secret; another server's URL may carry a password.
    let source = |path: &str, source: &Source| match source {
        Source::Asset(file) => file.to_string(),
        Source::Url(url) => prints.text(id, path, url),
    };
    let spec = &profile.spec;
    let extra = spec.extra_initrds.iter().enumerate();
    let extra: Vec<_> = extra.map(|(n, initrd)| source(&format!("/extra_initrds/{n}"), initrd)).collect();
    json!({
        "id": profile.id,
        "name": spec.name,
        "profile_type": spec.profile_type,
        "description": spec.description,
        "kernel_path": spec.kernel_path.as_ref().map(|kernel| source("/kernel_path", kernel)),
        "initrd_path": spec.initrd_path.as_ref().map(|initrd| source("/initrd_path", initrd)),
        "extra_initrds": extra,
        "boot_params": prints.text(id, "/boot_params", &spec.boot_params),
        "config_template": spec.config_template.as_deref().map(|text| prints.of(id, "/config_template", text)),
        "params": prints.params(id, "/params", &spec.params),
        "destructive": spec.destructive,
        "destructive_lowered": spec.destructive_lowered,
        "menu": spec.menu,
        "local_boot": spec.local_boot,
        "provisioning": spec.provisioning,
        "approval": spec.approval,
        "contention": spec.contention,
        "revision": profile.revision,
    })
}

/// An assignment as the log shows it; see [`profile_value`].
pub(crate) fn assignment_value(tx: &Tx, assignment: &Assignment) -> Value {
    let (spec, boot) = (&assignment.spec, &assignment.boot);
    json!({
        "id": assignment.id,
        "mac_address": spec.mac_address,
        "node_name": spec.node_name,
        "boot_profile_id": spec.boot_profile_id,
        "boot_params_override": tx.prints.params(&assignment.id, "/boot_params_override", &spec.boot_params_override),
        "uuid": spec.uuid,
        "serial": spec.serial,
        "extra_macs": spec.extra_macs,
        "boot_policy": spec.boot_policy,
        "protected": spec.protected,
        "quarantined": spec.quarantined,
        "local_boot": spec.local_boot,
        "provisioning": spec.provisioning,
        "approval": spec.approval,
        "approved": boot.asking.approved,
        "wrong_codes": boot.asking.wrong,
        "source": spec.source,
        "state": boot.state,
        "generation": boot.generation,
        "armed_until": boot.open_until(),
        "revision": assignment.revision,
    })
}

pub(crate) fn asset_value(asset: &Asset) -> Value {
    json!({ "file": asset.file, "sha256": asset.sha256, "size": asset.size })
}

pub(crate) fn loader_value(loader: &Loader) -> Value {
    json!({
        "file": loader.name,
        "sha256": loader.sha256,
        "size": loader.size,
        "for": loader.purpose,
        "source": loader.source,
        "version": loader.version,
    })
}

pub(crate) fn token_value(token: &ApiToken) -> Value {
    json!({
        "id": token.id,
        "name": token.name,
        "role": token.role,
        "expires_at": token.expires_at,
    })
}
