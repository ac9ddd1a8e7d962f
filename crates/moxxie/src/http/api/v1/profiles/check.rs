//! A profile is checked when it is saved, never for the first time when a machine boots.

use crate::compose::{self, ComposeError, For};
use crate::http::error::{ApiError, ApiResult, FieldError};
use crate::http::links::Links;
use moxxie_core::assignment::{Assignment, BootPolicy};
use moxxie_core::boot::claims::BootClaims;
use moxxie_core::boot::place;
use moxxie_core::net::Networks;
use moxxie_core::params;
use moxxie_core::platform::{self, Severity};
use moxxie_core::profile::ProfileSpec;
use moxxie_core::render::{self, RenderContext};
use moxxie_core::site::Site;
use serde_json::Value;

/// Checks a profile with the machines that are assigned to it.
pub fn profile(spec: &ProfileSpec, assigned: &[Assignment], site: &Site) -> ApiResult<()> {
    let Some(platform) = platform::find(&spec.profile_type) else {
        let known: Vec<&str> = platform::PLATFORMS.iter().map(|p| p.name()).collect();
        return Err(ApiError::field("/profile_type", format!("unknown; known are {}", known.join(", "))));
    };
    let mut errors: Vec<FieldError> = platform
        .check(spec)
        .into_iter()
        .filter(|p| p.severity == Severity::Error)
        .map(|p| FieldError::new(p.pointer, p.message))
        .collect();
    if let Err(e) = params::check(&spec.params) {
        errors.push(FieldError::new(format!("/params{}", e.pointer()), e));
    } else if let Some(pointer) = unprintable(&spec.params) {
        errors.push(FieldError::new(format!("/params{pointer}"), UNPRINTABLE));
    }
    if spec.name.as_str() == "menu" {
        errors.push(FieldError::new("/name", "is taken: /boot/menu.ipxe is the menu itself"));
    }
    if spec.menu && spec.destructive {
        errors.push(FieldError::new("/menu", "a destructive profile cannot be offered to unknown machines"));
    }
    if let Some(always) =
        assigned.iter().find(|a| a.spec.boot_policy == BootPolicy::Always).filter(|_| spec.destructive)
    {
        return Err(ApiError::conflict(format!(
            "the profile would be destructive, but {} boots it on every request (boot_policy always): change that first",
            always.spec.node_name
        )));
    }
    let links = sample_links();
    let contexts: Vec<RenderContext> =
        assigned.iter().map(|a| context(spec, Some(a), site, &links)).collect();
    let stranger = context(spec, None, site, &links);
    let templates = [
        (render::BOOT_PARAMS, Some(&spec.boot_params)),
        (render::CONFIG_TEMPLATE, spec.config_template.as_ref()),
    ];
    for (field, source) in templates {
        if let Some(source) = source
            && let Err(e) = render::check(source, field, &contexts, &stranger)
        {
            errors.push(FieldError::new(format!("/{field}"), e));
        }
    }
    if errors.is_empty() {
        stranger_errors(spec, &stranger, &mut errors);
        for (assignment, context) in assigned.iter().zip(&contexts) {
            machine_errors(spec, assignment, context, &mut errors);
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(ApiError::fields(errors)) }
}

/// Checks a list of networks against the site's, which bound it. A list that stays as it is passes:
/// the site's may have changed since, and a change of something else is not refused for that.
pub fn provisioning(list: Option<&Networks>, before: Option<&Networks>, site: &Site) -> ApiResult<()> {
    match list.filter(|_| list != before).and_then(|list| place::beyond(list, site)) {
        None => Ok(()),
        Some(net) => Err(ApiError::field(
            "/provisioning",
            format!(
                "{net} is outside the site's provisioning networks (access.provisioning), which bound this list"
            ),
        )),
    }
}

/// Checks an assignment against its profile: its values must render, today.
pub fn assignment(spec: &ProfileSpec, assignment: &Assignment, site: &Site) -> ApiResult<()> {
    if let Err(e) = params::check(&assignment.spec.boot_params_override) {
        return Err(ApiError::field(format!("/boot_params_override{}", e.pointer()), e));
    }
    if let Some(pointer) = unprintable(&assignment.spec.boot_params_override) {
        return Err(ApiError::field(format!("/boot_params_override{pointer}"), UNPRINTABLE));
    }
    if assignment.spec.boot_policy == BootPolicy::Always && spec.destructive {
        return Err(ApiError::field(
            "/boot_policy",
            format!("always is refused: profile {} can erase a disk", spec.name),
        ));
    }
    let mut errors = Vec::new();
    let context = context(spec, Some(assignment), site, &sample_links());
    machine_errors(spec, assignment, &context, &mut errors);
    for error in &mut errors {
        error.pointer = "/boot_params_override".into();
    }
    if errors.is_empty() { Ok(()) } else { Err(ApiError::fields(errors)) }
}

/// The same for a machine that is not assigned yet. What only its assignment can fill is no error,
/// unless the menu offers the profile to machines that have none.
fn stranger_errors(spec: &ProfileSpec, context: &RenderContext, errors: &mut Vec<FieldError>) {
    match render::render(&spec.boot_params, context, render::BOOT_PARAMS) {
        // Nothing that an assignment could still bring is missing: it is wrong for every machine.
        Err(e) if has_all_params(&spec.boot_params, context) => {
            errors.push(FieldError::new("/boot_params", e))
        }
        Err(e) if spec.menu => errors.push(FieldError::new(
            "/boot_params",
            format!("the menu offers this profile to machines without an assignment: {e}"),
        )),
        Err(_) => {}
        Ok(_) => {
            if let Err(e) = compose::kernel_args(spec, context) {
                errors.push(FieldError::new(pointer(&e), e));
            }
        }
    }
    let Ok(platform) = compose::platform(spec) else { return };
    for file in platform.config_files() {
        // One that needs an assignment's values is read again with them.
        if let Ok(Some((text, _))) = compose::config(spec, context, file.path)
            && let Some(reason) = compose::hidden_danger(spec, &text)
        {
            let message = format!(
                "the values make this config destructive ({reason}): set `destructive: true`, or write what is meant into the template"
            );
            errors.push(FieldError::new("/destructive", message));
        }
    }
}

/// The field to change when kernel arguments are refused.
fn pointer(error: &ComposeError) -> &'static str {
    match error {
        ComposeError::Danger(_) => "/destructive",
        _ => "/boot_params",
    }
}

const UNPRINTABLE: &str = "has a control character: only line feeds and tabs are possible";

/// Where a parameter has a character that readers of configs disagree about: for one a new line
/// begins there, for another the comment goes on.
fn unprintable(params: &params::Params) -> Option<String> {
    params.iter().find_map(|(name, value)| unprintable_value(value, &format!("/{name}")))
}

fn unprintable_value(value: &Value, pointer: &str) -> Option<String> {
    let bad = |text: &str| {
        text.contains(|c: char| {
            (c.is_control() && !matches!(c, '\n' | '\t')) || matches!(c, '\u{2028}' | '\u{2029}')
        })
    };
    match value {
        Value::String(text) => bad(text).then(|| pointer.to_owned()),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(index, item)| unprintable_value(item, &format!("{pointer}/{index}"))),
        // A name like that is not repeated in a pointer.
        Value::Object(map) => map.iter().find_map(|(name, item)| match bad(name) {
            true => Some(pointer.to_owned()),
            false => {
                let name = name.replace('~', "~0").replace('/', "~1");
                unprintable_value(item, &format!("{pointer}/{name}"))
            }
        }),
        _ => None,
    }
}

/// Whether every parameter that a template names has a value.
fn has_all_params(source: &str, context: &RenderContext) -> bool {
    let value = |name: &String| {
        let mut parts = name.split('.');
        let first = parts.next().and_then(|part| context.params.get(part));
        parts.try_fold(first?, |value, part| value.get(part))
    };
    render::used_params(source).is_ok_and(|names| names.iter().all(|name| value(name).is_some()))
}

/// What would go wrong when this machine boots.
fn machine_errors(
    spec: &ProfileSpec,
    assignment: &Assignment,
    context: &RenderContext,
    errors: &mut Vec<FieldError>,
) {
    let node = &assignment.spec.node_name;
    if let Err(e) = compose::kernel_args(spec, context) {
        errors.push(FieldError::new(pointer(&e), format!("for {node}: {e}")));
    }
    let Ok(platform) = compose::platform(spec) else { return };
    for file in platform.config_files() {
        match compose::config(spec, context, file.path) {
            Err(e) => errors.push(FieldError::new("/config_template", format!("for {node}: {e}"))),
            Ok(None) => {}
            Ok(Some((text, _))) => {
                if let Some(reason) = compose::hidden_danger(spec, &text) {
                    errors.push(FieldError::new(
                        "/destructive",
                        format!("for {node} the values make this config destructive ({reason}): set `destructive: true` on profile {}", spec.name),
                    ));
                }
            }
        }
    }
}

fn context(spec: &ProfileSpec, assignment: Option<&Assignment>, site: &Site, links: &Links) -> RenderContext {
    let claims = BootClaims {
        // Stands for a machine that nobody assigned yet.
        mac: "52:54:00:00:00:01".parse().ok(),
        arch: Some("amd64".into()),
        platform: Some("efi".into()),
        ..BootClaims::default()
    };
    let mut context =
        compose::context(For { spec, assignment, claims: &claims, peer: None }, site, links, None);
    // As long as real ones, so that length limits are tried too.
    let token = "0".repeat(43);
    let mac = context.machine.mac.parse().ok();
    if let Some(mac) = mac {
        context.moxxie.config_url = links.config(&spec.name, mac, Some(&token));
    }
    context.moxxie.report_url = links.report(&token);
    if context.machine.node_name.is_empty() {
        context.machine.node_name = "node-1".into();
    }
    context
}

fn sample_links() -> Links {
    Links::sample()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec(boot_params: &str, config: Option<&str>, own: Value) -> ProfileSpec {
        let mut spec = platform::find("talos").unwrap().sample();
        spec.boot_params = boot_params.to_owned();
        spec.config_template = config.map(str::to_owned);
        spec.params = own.as_object().cloned().unwrap();
        spec
    }

    /// The arguments of a machine with these values.
    fn boots(spec: &ProfileSpec, own: Value) -> Result<(), ComposeError> {
        let site = Site::default();
        let mut context = context(spec, None, &site, &sample_links());
        context.params = params::merge(&[&spec.params, own.as_object().unwrap()]);
        compose::kernel_args(spec, &context).map(drop)
    }

    fn saved(spec: &ProfileSpec) -> String {
        format!("{:?}", profile(spec, &[], &Site::default()).err())
    }

    #[test]
    fn a_value_makes_no_profile_destructive() {
        let plain = spec("talos.platform=metal {{ params.extra }}", None, json!({"extra": "quiet"}));
        assert_eq!(saved(&plain), "None");
        boots(&plain, json!({})).unwrap();
        for extra in ["talos.experimental.wipe=system", "talos.config=http://evil/x", "init=/x"] {
            let error = boots(&plain, json!({"extra": extra})).unwrap_err();
            assert!(matches!(error, ComposeError::Danger(_)), "{extra}: {error}");
            let own = spec(&plain.boot_params, None, json!({"extra": extra}));
            assert!(saved(&own).contains("/destructive"), "{extra}: {}", saved(&own));
        }
        let spelled = spec("{{ 'nw' ~ 'ipe' }}", None, json!({}));
        assert!(saved(&spelled).contains("/destructive"), "{}", saved(&spelled));
        let config = spec("", Some("{{ params.key }}: true\n"), json!({"key": "wipe"}));
        assert!(saved(&config).contains("/destructive"), "{}", saved(&config));
        // Marked, or lowered for the same reason: an admin has said so.
        let mut marked = plain.clone();
        marked.destructive = true;
        boots(&marked, json!({"extra": "talos.experimental.wipe=system"})).unwrap();
        let lowered = spec("talos.experimental.wipe={{ params.extra }}", None, json!({}));
        boots(&lowered, json!({"extra": "system"})).unwrap();
        // The service's own URLs are nobody else's.
        boots(&spec("talos.config={{ moxxie.config_url }}", None, json!({})), json!({})).unwrap();
        boots(&spec("", Some("# wipe: true\nmachine: {}\n"), json!({})), json!({})).unwrap();
        assert_eq!(saved(&spec("", Some("# wipe: true\nmachine: {}\n"), json!({}))), "None");
    }

    #[test]
    fn a_value_opens_no_shell() {
        let mut plain = spec("console={{ params.console }}", None, json!({"console": "tty0"}));
        for destructive in [false, true] {
            plain.destructive = destructive;
            for value in
                ["tty0 init=/bin/sh", "tty0\nrd.break", "tty0 rd.shell", "a systemd.debug-shell", "a single"]
            {
                assert!(boots(&plain, json!({"console": value})).is_err(), "{value:?}");
            }
        }
        boots(&spec("rd.break console={{ params.console }}", None, json!({})), json!({"console": "a"}))
            .unwrap();
    }

    #[test]
    fn values_are_printable() {
        let bad = |value: Value| unprintable(value.as_object().unwrap());
        for text in ["\r", "\u{85}", "\u{2028}", "\u{2029}", "\u{0}", "\u{1b}[2J", "\u{7f}"] {
            assert_eq!(bad(json!({"a": {"b/c": ["x", text]}})).as_deref(), Some("/a/b~1c/1"), "{text:?}");
            assert_eq!(bad(json!({"a": {text: 1}})).as_deref(), Some("/a"));
            assert!(saved(&spec("", None, json!({"a": text}))).contains("/params/a"));
        }
        assert_eq!(bad(json!({"a": "-----BEGIN\n\tx\n", "b": 1, "c": null})), None);
    }
}
