//! `GET /api/v1/boot/explain`: what this machine would get and why, without any effect.

use crate::app::App;
use crate::compose::{self, For, Tokens};
use crate::http::api::v1::assets::condition_name;
use crate::http::boot::gate::{self, Request};
use crate::http::error::{ApiError, ApiResult, Problem};
use crate::http::extract::{Door, Query, Viewer};
use crate::http::links::Links;
use crate::shelf;
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use ipnet::IpNet;
use moxxie_core::boot::claims::BootClaims;
use moxxie_core::boot::decide::{Ask, BootView, Decision, Known, Outcome, Shelf, decide};
use moxxie_core::boot::plan::BootPlan;
use moxxie_core::ipxe::{self, Text};
use moxxie_core::net::Networks;
use moxxie_core::profile::{ProfileSpec, Source};
use moxxie_core::render::RenderContext;
use moxxie_core::secret::{MASK, mask_params, mask_text};
use moxxie_core::site::Site;
use moxxie_store::assets::Condition;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// The same decision as the machine's, with secrets masked.
#[utoipa::path(get, path = "/api/v1/boot/explain", tag = "assignments", security(("token" = ["viewer"])), params(
    ("mac" = Option<String>, Query, description = "in any spelling; or uuid"),
    ("uuid" = Option<String>, Query),
    ("ip" = Option<String>, Query, description = "the address it would ask from; also: serial, arch, platform, mac1 to mac7"),
), responses(
    (status = 200, description = "decision, rule won, rules lost with reasons, script, config, assets", body = Value),
    (status = 400, description = "labels that cannot be read", body = Problem),
))]
pub async fn explain(
    State(app): State<Arc<App>>,
    _: Viewer,
    door: Door,
    headers: HeaderMap,
    query: Query,
) -> ApiResult<Json<Value>> {
    let mut claims = BootClaims::parse(query.pairs()).map_err(ApiError::bad_request)?;
    if claims.is_anonymous() {
        return Err(ApiError::field("/mac", "name a machine: mac=… or uuid=…"));
    }
    let config = app.config();
    let links = Links::of(config.public_url.as_deref(), &headers, door).map_err(ApiError::bad_request)?;
    let mut warnings = Vec::new();
    let site = &config.site;
    let view = app.read().boot_view(&claims, None).await?;
    let assumed = assumed(&mut claims, &view);
    let owner = view.by_mac.first().or(view.by_uuid.as_ref());
    let peer = claims
        .ip
        .or(assumed)
        .or_else(|| example(owner.map(|k| k.as_ref()), site, &app.config().access.allow));
    let peer = peer.ok_or_else(|| {
        ApiError::field("/ip", "name the address it asks from: no provisioning network is set")
    })?;
    let now = app.clock.now();
    let mut decision = decide(&claims, &view, Ask::Menu, peer, site, now);
    let known = gate::known(&view);
    let request = Request { ask: Ask::Menu, claims: &claims, peer, links, now, site };

    let mut args = Vec::new();
    let mut assets = Vec::new();
    let mut configs = BTreeMap::new();
    let mut script =
        gate::script_of(&request, &view, &decision).map_err(|e| ApiError::internal(e.to_string()))?;
    if let Some(known) = known {
        let spec = &known.shelf.profile.spec;
        match prepare(&request, known) {
            Ok(Prepared { plan, shown }) => {
                warn_about(&plan, spec, &mut warnings);
                let boots = matches!(decision.outcome, Outcome::Boot { .. });
                match shown {
                    Ok(shown) => {
                        args = shown.args;
                        configs = shown.configs;
                        if boots {
                            script = Some(shown.script);
                        }
                    }
                    // Rather too little than a secret that a filter has turned into something else.
                    Err(error) => warnings
                        .push(format!("its script and config are not shown: with secrets masked, {error}")),
                }
            }
            // The same answer as the machine would get.
            Err(error) if matches!(decision.outcome, Outcome::Boot { .. }) => {
                decision = gate::cannot_boot(known, &error, decision.lost);
                script = gate::script_of(&request, &view, &decision)
                    .map_err(|e| ApiError::internal(e.to_string()))?;
            }
            Err(error) => warnings.push(format!("it cannot boot its profile: {error}")),
        }
        assets = shelf_of(&app, &known.shelf).await;
        for asset in &assets {
            let file = asset["file"].as_str().unwrap_or("a file");
            match asset["condition"].as_str() {
                Some("missing") => warnings.push(format!("{file} is missing")),
                Some("damaged") => warnings.push(format!("{file} is damaged: upload it again")),
                Some("unknown") => {
                    warnings.push(format!("{file} could not be checked: the asset store does not answer"));
                }
                _ => {}
            }
        }
    }
    Ok(Json(json!({
        "machine": machine(&claims, peer, known.map(|k| k.as_ref())),
        "decision": shown(&decision, known.map(|k| k.as_ref())),
        "rules_lost": decision.lost,
        "script": script.map(|text| mask_text(&text)),
        "kernel_args": args,
        "config": if configs.is_empty() { Value::Null } else { json!(configs) },
        "assets": assets,
        "warnings": warnings,
    })))
}

/// The address that the machine last asked from in its window, and to the claims what it said of
/// itself then: whoever asks for an explanation of its MAC address means the machine itself, and not a
/// second one.
fn assumed(claims: &mut BootClaims, view: &BootView) -> Option<IpAddr> {
    let boot = &gate::known(view)?.assignment.boot;
    let waiting = boot.asking.waiting.iter().max_by_key(|w| w.seen_at);
    let asker = boot.asking.approved.as_ref().map(|a| &a.asker).or(waiting.map(|w| &w.asker));
    if let Some(asker) = asker {
        claims.uuid = claims.uuid.or(asker.uuid);
        claims.serial = claims.serial.take().or(asker.serial.clone());
    }
    let approved = asker.and_then(|asker| asker.network.hosts().next());
    boot.asked_from.or(waiting.map(|w| w.ip)).or(approved)
}

/// Some address that this machine may boot from: of the narrowest list that counts, and of those that
/// may ask at all, if any is.
fn example(known: Option<&Known>, site: &Site, allow: &Networks) -> Option<IpAddr> {
    let own = known.and_then(|k| k.assignment.spec.provisioning.as_ref());
    let profile = known.and_then(|k| k.shelf.profile.spec.provisioning.as_ref());
    let list = own.or(profile).filter(|list| !list.is_empty()).unwrap_or(&site.provisioning);
    let first =
        |nets: &Networks| nets.prefixes().iter().find_map(|net| net.hosts().find(|ip| !ip.is_unspecified()));
    // Of two networks that overlap the smaller lies inside the other.
    let both = |net: &IpNet| match allow.covers(net) {
        true => Some(*net),
        false => allow.prefixes().iter().copied().find(|inner| net.contains(inner)),
    };
    first(&list.prefixes().iter().filter_map(both).collect()).or_else(|| list.example())
}

struct Prepared {
    /// As it would be sent.
    plan: BootPlan,
    shown: Result<Masked, compose::ComposeError>,
}

/// The same for the eyes of viewers.
struct Masked {
    args: Vec<String>,
    script: String,
    configs: BTreeMap<String, String>,
}

/// What the machine would be sent, with a mask where its tokens would stand.
fn prepare(request: &Request<'_>, known: &Known) -> Result<Prepared, compose::ComposeError> {
    let spec = &known.shelf.profile.spec;
    let machine =
        For { spec, assignment: Some(&known.assignment), claims: request.claims, peer: Some(request.peer) };
    let tokens = Tokens { config: MASK, report: MASK };
    let mut context = compose::context(machine, request.site, &request.links, Some(tokens));
    // First as it would be sent: whatever is wrong with that is said.
    for file in compose::platform(spec)?.config_files() {
        compose::config(spec, &context, file.path)?;
    }
    let plan = compose::plan(&known.shelf, &context, &request.links, Some(MASK))?;
    // Then made of masked values: in a text that is ready, a password that stands where nothing
    // says so can no longer be told from other words.
    context.params = mask_params(&context.params);
    Ok(Prepared { plan, shown: masked(request, known, &context) })
}

fn masked(
    request: &Request<'_>,
    known: &Known,
    context: &RenderContext,
) -> Result<Masked, compose::ComposeError> {
    let spec = &known.shelf.profile.spec;
    let mut configs = BTreeMap::new();
    for file in compose::platform(spec)?.config_files() {
        if let Some((text, _)) = compose::config(spec, context, file.path)? {
            configs.insert(file.path.to_owned(), mask_text(&text));
        }
    }
    let plan = compose::plan(&known.shelf, context, &request.links, Some(MASK))?;
    let title = format!("{} boots {}", known.assignment.spec.node_name, spec.name);
    let script = ipxe::boot(&plan, &Text::new(title), &request.again()?)
        .map_err(|e| compose::ComposeError::Args(e.to_string()))?;
    Ok(Masked { args: plan.args.iter().map(|w| mask_text(w.as_str())).collect(), script, configs })
}

fn warn_about(plan: &BootPlan, spec: &ProfileSpec, warnings: &mut Vec<String>) {
    let length = plan.command_line_len();
    if length > 2047 {
        warnings.push(format!(
            "the kernel's command line has {length} bytes; x86 Linux reads 2047 and cuts the rest off"
        ));
    }
    let urls = spec.kernel_path.iter().chain(&spec.initrd_path).chain(&spec.extra_initrds);
    for source in urls {
        if let Source::Url(url) = source
            && url.starts_with("https://")
        {
            let url = mask_text(url);
            warnings.push(format!("{url}: stock BIOS iPXE has no https; serve it as an asset instead"));
        }
    }
}

/// Each file that the profile names: is it there, and whole?
async fn shelf_of(app: &App, shelf: &Shelf) -> Vec<Value> {
    let spec = &shelf.profile.spec;
    let mut out = Vec::new();
    for source in spec.kernel_path.iter().chain(&spec.initrd_path).chain(&spec.extra_initrds) {
        out.push(match source {
            Source::Url(url) => json!({"file": mask_text(url), "url": mask_text(url), "condition": null, "exists": null, "size": null, "sha256": null}),
            Source::Asset(file) => {
                let label = shelf.assets.iter().find(|a| a.file == *file);
                let found = match label {
                    Some(asset) => shelf::look(app, asset).await,
                    None => Some(Condition::Missing),
                };
                json!({
                    "file": file, "url": format!("/boot/assets/{}/{file}", spec.name), "condition": condition_name(found),
                    "exists": found.map(|found| found == Condition::Stored), "size": label.map(|a| a.size), "sha256": label.map(|a| a.sha256),
                })
            }
        });
    }
    out
}

fn machine(claims: &BootClaims, peer: std::net::IpAddr, known: Option<&Known>) -> Value {
    let assignment = known.map(|k| &k.assignment);
    json!({
        "mac_address": claims.mac.or(assignment.map(|a| a.spec.mac_address)),
        "uuid": claims.uuid,
        "serial": claims.serial,
        // Where it is taken to ask from, unless the caller said ip=…
        "ip": peer,
        "ip_assumed": claims.ip.is_none(),
        "node_name": assignment.map(|a| &a.spec.node_name),
        "boot_profile": known.map(|k| &k.shelf.profile.spec.name),
        "boot_policy": assignment.map(|a| a.spec.boot_policy),
        "protected": assignment.map(|a| a.spec.protected),
        "quarantined": assignment.map(|a| a.spec.quarantined),
    })
}

fn shown(decision: &Decision, known: Option<&Known>) -> Value {
    json!({
        "outcome": gate::outcome_name(&decision.outcome),
        "rule": decision.rule,
        "reason": decision.reason,
        "next_step": decision.next_step,
        "alarm": decision.alarm,
        "profile": known.map(|k| &k.shelf.profile.spec.name),
        "local_boot": match decision.outcome {
            Outcome::Local(how) => Some(how),
            _ => None,
        },
        "armed_until": match &decision.outcome {
            Outcome::Boot { known, .. } => known.assignment.boot.open_until(),
            _ => None,
        },
    })
}
