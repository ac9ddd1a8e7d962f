//! An assignment in JSON.

use crate::app::App;
use crate::http::api::v1::profiles::check;
use crate::http::api::v1::profiles::wire::strip_read_only;
use crate::http::error::{ApiError, ApiResult};
use crate::http::extract::typed;
use moxxie_core::access::Role;
use moxxie_core::assignment::{Assignment, AssignmentSpec, BootPolicy};
use moxxie_core::boot::approval::Approval;
use moxxie_core::boot::decide::Known;
use moxxie_core::boot::place;
use moxxie_core::boot::state::BootState;
use moxxie_core::mac::MacAddr;
use moxxie_core::machine::{MachineUuid, Serial, UuidError};
use moxxie_core::name::{NodeName, ProfileName};
use moxxie_core::net::Networks;
use moxxie_core::params::Params;
use moxxie_core::profile::{LocalBoot, Profile};
use moxxie_core::secret::{mask_params, unmask};
use moxxie_core::site::Site;
use moxxie_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What people write. Unknown fields are refused.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AssignmentInput {
    /// In any common spelling.
    #[schema(value_type = String)]
    pub mac_address: MacAddr,
    /// A DNS name in lower case.
    #[schema(value_type = String)]
    pub node_name: NodeName,
    /// The profile's name; or `boot_profile_id`.
    #[schema(value_type = Option<String>)]
    pub boot_profile: Option<ProfileName>,
    /// The profile's id; or `boot_profile`.
    pub boot_profile_id: Option<String>,
    /// Values above the profile's and the site's.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub boot_params_override: Params,
    /// Pins the SMBIOS UUID. A placeholder that many machines share counts as absent.
    #[serde(default, deserialize_with = "uuid_or_placeholder")]
    #[schema(value_type = Option<String>)]
    pub uuid: Option<MachineUuid>,
    /// Pins the serial number.
    #[schema(value_type = Option<String>)]
    pub serial: Option<Serial>,
    /// Further NICs.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub extra_macs: Vec<MacAddr>,
    /// `once`, `always` or `local`.
    #[serde(default)]
    #[schema(value_type = String)]
    pub boot_policy: BootPolicy,
    /// Refuses arm, profile change and delete.
    #[serde(default)]
    pub protected: bool,
    /// Holds the machine: local disk, no config.
    #[serde(default)]
    pub quarantined: bool,
    /// Overrides the profile's.
    #[schema(value_type = Option<String>)]
    pub local_boot: Option<LocalBoot>,
    /// Networks that it may boot its profile from, within the site's; overrides the profile's.
    #[serde(default, deserialize_with = "place::networks")]
    #[schema(value_type = Option<Vec<String>>)]
    pub provisioning: Option<Networks>,
    /// Overrides the profile's: `auto` or `manual`.
    #[schema(value_type = Option<String>)]
    pub approval: Option<Approval>,
    /// Only when creating: `false` leaves it unarmed.
    pub armed: Option<bool>,
}

fn uuid_or_placeholder<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<MachineUuid>, D::Error> {
    match Option::<String>::deserialize(from)?.map(|text| text.parse()) {
        None | Some(Err(UuidError::Placeholder(_))) => Ok(None),
        Some(Ok(uuid)) => Ok(Some(uuid)),
        Some(Err(error)) => Err(serde::de::Error::custom(error)),
    }
}

/// What is shown.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[allow(missing_docs, reason = "the fields are those of AssignmentInput")]
pub struct AssignmentView {
    #[schema(value_type = String)]
    pub mac_address: MacAddr,
    #[schema(value_type = String)]
    pub node_name: NodeName,
    pub boot_profile: Option<String>,
    pub boot_profile_id: String,
    #[schema(value_type = Object)]
    pub boot_params_override: Params,
    #[schema(value_type = Option<String>)]
    pub uuid: Option<MachineUuid>,
    #[schema(value_type = Option<String>)]
    pub serial: Option<Serial>,
    #[schema(value_type = Vec<String>)]
    pub extra_macs: Vec<MacAddr>,
    #[schema(value_type = String)]
    pub boot_policy: BootPolicy,
    /// `local`, `armed`, `booting`, `delivered`, `installed` or `failed`.
    #[schema(value_type = String)]
    pub state: BootState,
    pub protected: bool,
    pub quarantined: bool,
    #[schema(value_type = Option<String>)]
    pub local_boot: Option<LocalBoot>,
    #[schema(value_type = Option<Vec<String>>)]
    pub provisioning: Option<Networks>,
    #[schema(value_type = Option<String>)]
    pub approval: Option<Approval>,
    /// `manual`, `apply`, …
    pub source: String,
    /// Deliveries left in the open window.
    pub attempts_left: i64,
    pub revision: i64,
    #[schema(value_type = Option<String>)]
    pub last_boot_at: Option<Timestamp>,
    /// The end of the open window; null when none is open.
    #[schema(value_type = Option<String>)]
    pub armed_until: Option<Timestamp>,
    #[schema(value_type = String)]
    pub created_at: Timestamp,
    #[schema(value_type = String)]
    pub updated_at: Timestamp,
}

/// Fields that only the server writes. A body may repeat them as they are.
pub const READ_ONLY: [&str; 8] = [
    "state",
    "source",
    "attempts_left",
    "revision",
    "last_boot_at",
    "armed_until",
    "created_at",
    "updated_at",
];

/// Shows an assignment as it stands now. Only an admin sees secrets.
pub fn view(
    assignment: &Assignment,
    profile: Option<&str>,
    role: Role,
    site: &Site,
    now: Timestamp,
) -> AssignmentView {
    let spec = &assignment.spec;
    let boot = assignment.boot.settled(site, now);
    AssignmentView {
        mac_address: spec.mac_address,
        node_name: spec.node_name.clone(),
        boot_profile: profile.map(str::to_owned),
        boot_profile_id: spec.boot_profile_id.clone(),
        boot_params_override: match role {
            Role::Admin => spec.boot_params_override.clone(),
            _ => mask_params(&spec.boot_params_override),
        },
        uuid: spec.uuid,
        serial: spec.serial.clone(),
        extra_macs: spec.extra_macs.clone(),
        boot_policy: spec.boot_policy,
        state: boot.state,
        protected: spec.protected,
        quarantined: spec.quarantined,
        local_boot: spec.local_boot,
        provisioning: spec.provisioning.clone(),
        approval: spec.approval,
        source: spec.source.clone(),
        attempts_left: boot.attempts_left,
        revision: assignment.revision,
        last_boot_at: assignment.last_boot_at,
        armed_until: boot.open_until(),
        created_at: assignment.created_at,
        updated_at: assignment.updated_at,
    }
}

/// The same for an assignment that was read with its profile.
pub fn view_known(app: &App, known: &Known, role: Role) -> AssignmentView {
    let name = known.shelf.profile.spec.name.as_str();
    view(&known.assignment, Some(name), role, &app.config().site, app.clock.now())
}

/// The fields that people write, as JSON with secrets: what a merge patch works on.
pub fn writable(app: &App, known: &Known) -> Value {
    let mut value = serde_json::to_value(view_known(app, known, Role::Admin)).unwrap_or_default();
    if let Some(object) = value.as_object_mut() {
        READ_ONLY.iter().for_each(|field| {
            object.remove(*field);
        });
    }
    value
}

/// Reads a body. `old` is the assignment that it changes.
pub async fn read(
    app: &App,
    body: Value,
    old: Option<&Known>,
    source: &str,
    role: Role,
) -> ApiResult<(AssignmentSpec, Profile, Option<bool>)> {
    let current = old.map(|k| serde_json::to_value(view_known(app, k, Role::Admin)).unwrap_or_default());
    // A new one may say where it comes from, as long as that is true.
    let current = current.or_else(|| Some(json!({"source": source})));
    let input: AssignmentInput = typed(strip_read_only(body, &READ_ONLY, current)?)?;
    let profile = profile(app, &input).await?;
    let spec = spec(input.clone(), &profile, old.map(|k| &k.assignment), source)?;
    let before = old.and_then(|k| k.assignment.spec.provisioning.as_ref());
    check::provisioning(spec.provisioning.as_ref(), before, &app.config().site)?;
    may(role, &spec, &profile, old)?;
    Ok((spec, profile, input.armed))
}

/// Refuses, below admin, to take back what a profile asks for: an approval, or narrow networks. What
/// an admin has set stays as it is while the profile is the same.
pub fn may(role: Role, spec: &AssignmentSpec, profile: &Profile, old: Option<&Known>) -> ApiResult<()> {
    if role >= Role::Admin {
        return Ok(());
    }
    let name = &profile.spec.name;
    let before = old.map(|known| &known.assignment.spec).filter(|old| old.boot_profile_id == profile.id);
    let waived = spec.approval == Some(Approval::Auto) && profile.spec.approval == Approval::Manual;
    if waived && before.is_none_or(|old| old.approval != spec.approval) {
        return Err(ApiError::forbidden(format!(
            "approval auto, where profile {name} says manual, needs the role admin"
        )));
    }
    let Some((list, wider)) = spec.provisioning.as_ref().zip(profile.spec.provisioning.as_ref()) else {
        return Ok(());
    };
    let changed = before.is_none_or(|old| old.provisioning != spec.provisioning);
    match list.prefixes().iter().find(|net| !wider.covers(net)).filter(|_| changed) {
        None => Ok(()),
        Some(net) => Err(ApiError::forbidden(format!(
            "{net} is outside the provisioning networks of profile {name}, and that needs the role admin"
        ))),
    }
}

/// The profile that a body names.
async fn profile(app: &App, input: &AssignmentInput) -> ApiResult<Profile> {
    let wanted = match (&input.boot_profile, &input.boot_profile_id) {
        (Some(name), _) => ("/boot_profile", name.to_string()),
        (None, Some(id)) => ("/boot_profile_id", id.clone()),
        (None, None) => return Err(ApiError::field("/boot_profile", "is missing: name a profile")),
    };
    let found = app.read().profile(&wanted.1).await?;
    let Some(profile) = found else {
        return Err(ApiError::field(
            wanted.0,
            format!("there is no profile {:?}", moxxie_core::boot::event::one_line(&wanted.1, 64)),
        ));
    };
    if input.boot_profile_id.as_ref().is_some_and(|id| *id != profile.id) {
        return Err(ApiError::field("/boot_profile_id", "names another profile than boot_profile"));
    }
    Ok(profile)
}

/// The assignment that a body describes, for its profile.
pub fn spec(
    input: AssignmentInput,
    profile: &Profile,
    old: Option<&Assignment>,
    source: &str,
) -> ApiResult<AssignmentSpec> {
    let none = Params::new();
    let before = old.map_or(&none, |a| &a.spec.boot_params_override);
    let params = unmask(&input.boot_params_override, before).map_err(|pointer| {
        ApiError::field(format!("/boot_params_override{pointer}"), "is the mask for a secret, not a value")
    })?;
    let mut extra_macs = input.extra_macs;
    extra_macs.retain(|m| *m != input.mac_address);
    extra_macs.sort();
    extra_macs.dedup();
    if extra_macs.len() > 15 {
        return Err(ApiError::field("/extra_macs", "at most 15 further NICs"));
    }
    if old.is_some() && input.armed.is_some() {
        return Err(ApiError::field("/armed", "only when creating; use …/arm and …/disarm"));
    }
    Ok(AssignmentSpec {
        mac_address: input.mac_address,
        node_name: input.node_name,
        boot_profile_id: profile.id.clone(),
        boot_params_override: params,
        uuid: input.uuid,
        serial: input.serial,
        extra_macs,
        boot_policy: input.boot_policy,
        protected: input.protected,
        quarantined: input.quarantined,
        local_boot: input.local_boot,
        provisioning: input.provisioning,
        approval: input.approval,
        source: old.map_or_else(|| source.to_owned(), |a| a.spec.source.clone()),
    })
}
