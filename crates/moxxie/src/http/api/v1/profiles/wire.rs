//! A profile in JSON.

use crate::http::error::{ApiError, ApiResult, FieldError};
use crate::http::extract::typed;
use moxxie_core::access::Role;
use moxxie_core::boot::approval::Approval;
use moxxie_core::boot::place;
use moxxie_core::boot::rival::Contention;
use moxxie_core::name::ProfileName;
use moxxie_core::net::Networks;
use moxxie_core::params::Params;
use moxxie_core::platform::{self, Reason};
use moxxie_core::profile::{LocalBoot, Profile, ProfileSpec, Source};
use moxxie_core::secret::{MASK, mask_params, mask_text, unmask};
use moxxie_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What people write. Unknown fields are refused.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfileInput {
    /// `^[a-z0-9]([a-z0-9-]{0,62})$`
    #[schema(value_type = String)]
    pub name: ProfileName,
    /// `talos`, `debian`, `custom`, …
    pub profile_type: String,
    /// One line for people. The menu shows it to any machine.
    #[serde(default)]
    pub description: String,
    /// A file of this profile's assets, or an http(s) URL.
    #[schema(value_type = Option<String>)]
    pub kernel_path: Option<Source>,
    /// The same for the initrd.
    #[schema(value_type = Option<String>)]
    pub initrd_path: Option<Source>,
    /// Further initrds, in this order.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub extra_initrds: Vec<Source>,
    /// Kernel arguments, a template.
    #[serde(default)]
    pub boot_params: String,
    /// The per-machine config, a template.
    pub config_template: Option<String>,
    /// Values for the templates.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub params: Params,
    /// Computed when left out. `false` where the lint says otherwise needs an admin who means it.
    pub destructive: Option<bool>,
    /// Offer it to unknown machines.
    #[serde(default)]
    pub menu: bool,
    /// `auto`, `exit`, `sanboot` or `404`.
    #[serde(default)]
    #[schema(value_type = String)]
    pub local_boot: LocalBoot,
    /// Networks that its machines may boot it from, within the site's; null: all of those, empty: none.
    #[serde(default, deserialize_with = "place::networks")]
    #[schema(value_type = Option<Vec<String>>)]
    pub provisioning: Option<Networks>,
    /// `auto`, or `manual`: an operator approves each boot by the code on the machine's screen.
    #[serde(default)]
    #[schema(value_type = String)]
    pub approval: Approval,
    /// When two ask in the name of one machine: `alarm`, or `freeze` to quarantine it as well.
    #[serde(default)]
    #[schema(value_type = String)]
    pub contention: Contention,
}

/// What is shown.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[allow(missing_docs, reason = "the fields are those of ProfileInput")]
pub struct ProfileView {
    pub id: String,
    #[schema(value_type = String)]
    pub name: ProfileName,
    pub profile_type: String,
    pub description: String,
    #[schema(value_type = Option<String>)]
    pub kernel_path: Option<Source>,
    #[schema(value_type = Option<String>)]
    pub initrd_path: Option<Source>,
    #[schema(value_type = Vec<String>)]
    pub extra_initrds: Vec<Source>,
    pub boot_params: String,
    pub config_template: Option<String>,
    #[schema(value_type = Object)]
    pub params: Params,
    pub destructive: bool,
    /// Why the lint calls it destructive; also when an admin has lowered that.
    pub destructive_reasons: Vec<String>,
    pub menu: bool,
    #[schema(value_type = String)]
    pub local_boot: LocalBoot,
    #[schema(value_type = Option<Vec<String>>)]
    pub provisioning: Option<Networks>,
    #[schema(value_type = String)]
    pub approval: Approval,
    #[schema(value_type = String)]
    pub contention: Contention,
    pub revision: i64,
    #[schema(value_type = String)]
    pub created_at: Timestamp,
    #[schema(value_type = String)]
    pub updated_at: Timestamp,
}

/// Fields that only the server writes. A body may repeat them as they are.
pub const READ_ONLY: [&str; 5] = ["id", "destructive_reasons", "revision", "created_at", "updated_at"];

/// Shows a profile. Only an admin sees secrets.
pub fn view(profile: &Profile, role: Role) -> ProfileView {
    let spec = &profile.spec;
    let admin = role == Role::Admin;
    // Another server's URL may carry a password.
    let source = |source: &Source| match source {
        Source::Url(url) if !admin => Source::Url(mask_text(url)),
        other => other.clone(),
    };
    ProfileView {
        id: profile.id.clone(),
        name: spec.name.clone(),
        profile_type: spec.profile_type.clone(),
        description: spec.description.clone(),
        kernel_path: spec.kernel_path.as_ref().map(source),
        initrd_path: spec.initrd_path.as_ref().map(source),
        extra_initrds: spec.extra_initrds.iter().map(source).collect(),
        boot_params: if admin { spec.boot_params.clone() } else { mask_text(&spec.boot_params) },
        config_template: match &spec.config_template {
            Some(text) if !admin => Some(mask_text(text)),
            other => other.clone(),
        },
        params: if admin { spec.params.clone() } else { mask_params(&spec.params) },
        destructive: spec.destructive,
        destructive_reasons: texts(&reasons(spec)),
        menu: spec.menu,
        local_boot: spec.local_boot,
        provisioning: spec.provisioning.clone(),
        approval: spec.approval,
        contention: spec.contention,
        revision: profile.revision,
        created_at: profile.created_at,
        updated_at: profile.updated_at,
    }
}

/// The fields of a profile that people write, as JSON with secrets: what a merge patch works on.
pub fn writable(profile: &Profile) -> Value {
    let mut value = serde_json::to_value(view(profile, Role::Admin)).unwrap_or_default();
    if let Some(object) = value.as_object_mut() {
        READ_ONLY.iter().for_each(|field| {
            object.remove(*field);
        });
    }
    value
}

/// The reasons for people, each once: one may be found in the arguments and in the config.
fn texts(reasons: &[Reason]) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    for reason in reasons {
        if !texts.iter().any(|text| text == reason.text) {
            texts.push(reason.text.to_owned());
        }
    }
    texts
}

/// Why the lint calls it destructive.
pub fn reasons(spec: &ProfileSpec) -> Vec<Reason> {
    platform::destructive_reasons(&spec.profile_type, &spec.boot_params, spec.config_template.as_deref())
}

/// What it means that a body does not mention `destructive`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// An admin's word stays: a patch of other fields.
    Keeps,
    /// The lint's word counts: the body describes the whole profile, or takes the word back.
    Computes,
}

/// The fields that are shown with secrets masked.
const MASKED: [&str; 6] =
    ["kernel_path", "initrd_path", "extra_initrds", "boot_params", "config_template", "params"];

/// Puts back what was masked: a field that is, masked, what `old` looks like masked, becomes what
/// it is. Other fields stay as they were sent. With `guesses` also those that carry no mask, for
/// callers who may not see secrets: whether they guess right makes no difference to what they hear.
pub fn unmasked(mut body: Value, old: &Profile, guesses: bool) -> Value {
    let shown = serde_json::to_value(view(old, Role::Viewer)).unwrap_or_default();
    let real = writable(old);
    for field in MASKED {
        if let Some(sent) = body.get_mut(field)
            && (guesses || sent.to_string().contains(MASK))
            && masked(sent) == shown[field]
        {
            *sent = real[field].clone();
        }
    }
    body
}

fn masked(value: &Value) -> Value {
    match value {
        Value::String(text) => mask_text(text).into(),
        Value::Array(items) => items.iter().map(masked).collect(),
        Value::Object(params) => mask_params(params).into(),
        other => other.clone(),
    }
}

/// The fields that still carry a mask: it stands for no secret of this profile.
fn stray_masks(input: &ProfileInput) -> Vec<FieldError> {
    let is_masked = |source: &Source| matches!(source, Source::Url(url) if url.contains(MASK));
    let mut errors = Vec::new();
    for (field, stray) in [
        ("/kernel_path", input.kernel_path.as_ref().is_some_and(is_masked)),
        ("/initrd_path", input.initrd_path.as_ref().is_some_and(is_masked)),
        ("/extra_initrds", input.extra_initrds.iter().any(is_masked)),
        ("/boot_params", input.boot_params.contains(MASK)),
        ("/config_template", input.config_template.as_deref().is_some_and(|t| t.contains(MASK))),
    ] {
        if stray {
            errors.push(FieldError::new(
                field,
                "carries the mask for a secret and is changed: it was read by a token that may not see secrets",
            ));
        }
    }
    errors
}

/// Reads a body. `old` is the profile that it changes.
pub fn read(body: Value, old: Option<&Profile>, silence: Silence) -> ApiResult<ProfileSpec> {
    let body = strip_read_only(
        body,
        &READ_ONLY,
        old.map(|p| serde_json::to_value(view(p, Role::Admin)).unwrap_or_default()),
    )?;
    let body = match old {
        Some(old) => unmasked(body, old, false),
        None => body,
    };
    let input: ProfileInput = typed(body)?;
    let mut errors = stray_masks(&input);
    let old_params = old.map(|p| p.spec.params.clone()).unwrap_or_default();
    let params = unmask(&input.params, &old_params).unwrap_or_else(|pointer| {
        errors.push(FieldError::new(format!("/params{pointer}"), "is the mask for a secret, not a value"));
        Params::new()
    });
    if !errors.is_empty() {
        return Err(ApiError::fields(errors));
    }
    let mut spec = ProfileSpec {
        name: input.name,
        profile_type: input.profile_type,
        description: moxxie_core::boot::event::one_line(&input.description, 200),
        kernel_path: input.kernel_path,
        initrd_path: input.initrd_path,
        extra_initrds: input.extra_initrds,
        boot_params: input.boot_params,
        config_template: input.config_template.filter(|t| !t.is_empty()),
        params,
        destructive: false,
        destructive_lowered: false,
        menu: input.menu,
        local_boot: input.local_boot,
        provisioning: input.provisioning,
        approval: input.approval,
        contention: input.contention,
    };
    judge(&mut spec, input.destructive, old, silence)?;
    Ok(spec)
}

/// Sets `destructive`: the lint's word, unless an admin lowers it, and never lowered in passing.
/// A lowering holds for the reasons it was given for; a new reason needs a new word.
fn judge(
    spec: &mut ProfileSpec,
    said: Option<bool>,
    old: Option<&Profile>,
    silence: Silence,
) -> ApiResult<()> {
    let found = reasons(spec);
    let known = old.map(|p| reasons(&p.spec)).unwrap_or_default();
    let new: Vec<&Reason> = found.iter().filter(|r| known.iter().all(|k| k.code != r.code)).collect();
    let was_lowered = old.is_some_and(|p| p.spec.destructive_lowered);
    let lowered = match (said, old) {
        _ if found.is_empty() => false,
        (Some(true), _) => false,
        (Some(false), None) => true,
        // Sent along unread: the profile was harmless when this body was made of it.
        (Some(false), Some(_)) if !new.is_empty() => {
            let why: Vec<&str> = new.iter().map(|r| r.text).collect();
            return Err(ApiError::field(
                "/destructive",
                format!(
                    "this change makes the profile destructive ({}): leave `destructive` out, or set it to true; to lower it, save first and then send `destructive: false`",
                    why.join("; ")
                ),
            ));
        }
        (Some(false), Some(_)) => true,
        (None, _) => silence == Silence::Keeps && was_lowered && new.is_empty(),
    };
    // An admin may also raise it where the lint sees nothing; that stays until said otherwise.
    let raised = silence == Silence::Keeps && old.is_some_and(|p| p.spec.destructive) && known.is_empty();
    spec.destructive_lowered = lowered;
    spec.destructive = !lowered && (!found.is_empty() || said == Some(true) || (said.is_none() && raised));
    Ok(())
}

/// Takes out the fields that only the server writes, when they say what is there already.
pub fn strip_read_only(mut body: Value, fields: &[&str], current: Option<Value>) -> ApiResult<Value> {
    let Some(object) = body.as_object_mut() else {
        return Err(ApiError::field("", "must be a JSON object"));
    };
    let mut errors = Vec::new();
    for field in fields {
        if let Some(sent) = object.remove(*field) {
            let same = current.as_ref().is_some_and(|c| c[*field] == sent);
            if !same {
                errors.push(FieldError::new(format!("/{field}"), "is read-only"));
            }
        }
    }
    if errors.is_empty() { Ok(body) } else { Err(ApiError::fields(errors)) }
}

/// Applies a merge patch (RFC 7396).
pub fn merge_patch(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Default::default());
    }
    if let Some(object) = target.as_object_mut() {
        for (key, value) in patch {
            if value.is_null() {
                object.remove(&key);
            } else {
                merge_patch(object.entry(key).or_insert(Value::Null), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn profile(spec: ProfileSpec) -> Profile {
        Profile { id: "p".into(), spec, revision: 1, created_at: Timestamp(0), updated_at: Timestamp(0) }
    }

    fn body(template: &str) -> Value {
        json!({"name": "d", "profile_type": "debian", "kernel_path": "linux", "initrd_path": "initrd.gz", "config_template": template})
    }

    #[test]
    fn a_lowering_holds_for_its_reasons_only() {
        let wipes = "d-i partman-auto/method string regular\n";
        let spec = read(body(wipes), None, Silence::Computes).unwrap();
        assert!(spec.destructive && !spec.destructive_lowered);
        let mut lowered = body(wipes);
        lowered["destructive"] = json!(false);
        let spec = read(lowered.clone(), Some(&profile(spec)), Silence::Computes).unwrap();
        assert!(!spec.destructive && spec.destructive_lowered);
        // Left out afterwards, it stays lowered; a new reason takes it back.
        assert!(!read(body(wipes), Some(&profile(spec.clone())), Silence::Keeps).unwrap().destructive);
        // A body that describes the whole profile without the word means the lint's.
        assert!(read(body(wipes), Some(&profile(spec.clone())), Silence::Computes).unwrap().destructive);
        let worse = format!("{wipes}zerombr\n");
        assert!(read(body(&worse), Some(&profile(spec)), Silence::Keeps).unwrap().destructive);
        // A harmless profile's own `destructive: false`, sent along with a template that wipes.
        let harmless = read(body("d-i x string y\n"), None, Silence::Computes).unwrap();
        assert!(!harmless.destructive);
        assert!(read(lowered, Some(&profile(harmless)), Silence::Computes).is_err());
    }

    #[test]
    fn read_only_fields_may_be_repeated_but_not_changed() {
        let current = json!({"id": "a", "revision": 2});
        let ok = strip_read_only(json!({"id": "a", "x": 1}), &["id"], Some(current.clone())).unwrap();
        assert_eq!(ok, json!({"x": 1}));
        assert!(strip_read_only(json!({"id": "b"}), &["id"], Some(current)).is_err());
        assert!(strip_read_only(json!({"id": "b"}), &["id"], None).is_err());
        assert!(strip_read_only(json!([]), &[], None).is_err());
    }

    #[test]
    fn merge_patches() {
        let mut value = json!({"a": {"b": 1, "c": 2}, "d": 3});
        merge_patch(&mut value, json!({"a": {"b": null, "e": {"f": null, "g": 1}}, "d": [null]}));
        assert_eq!(value, json!({"a": {"c": 2, "e": {"g": 1}}, "d": [null]}));
    }
}
