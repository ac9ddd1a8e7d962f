//! `GET /api/v1/boot/network-config`: what the site's switch, router or DHCP server needs.

use crate::app::App;
use crate::config::Config;
use crate::http::error::{ApiError, ApiResult, FieldError, Problem};
use crate::http::extract::{Door, Query, Viewer};
use crate::http::links::Links;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use ipnet::{IpNet, Ipv4Net};
use moxxie_core::loader::{GENERATED, Loader};
use moxxie_core::machine::MachineSeen;
use moxxie_core::net::Networks;
use moxxie_core::params::Params;
use moxxie_core::switch::{self, Arch, DIALECTS, Known, Lease, Network};
use moxxie_store::{AssignmentFilter, StoreError};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Loaders read; nobody has more.
const SHELF: u32 = 500;
/// Assignments read at once.
const PART: u32 = 500;

/// Ready to paste, with the site's values for what is left out.
#[utoipa::path(get, path = "/api/v1/boot/network-config", tag = "operations", security(("token" = ["viewer"])), params(
    ("vendor" = String, Query, description = "mikrotik, fs, dnsmasq, kea, …: an error lists them"),
    ("format" = Option<String>, Query, description = "text (default) or json; or by Accept"),
    ("version" = Option<String>, Query, description = "mikrotik: 7.16, 7.4 or 6, or a whole version number"),
    ("family" = Option<String>, Query, description = "fs: rgos, accton, bdcom, centec or picos"),
    ("mode" = Option<String>, Query, description = "what some vendors let one choose: relay, pool, proxy, …"),
    ("subnet" = Option<String>, Query, description = "the machines' network, such as 10.0.0.0/24"),
    ("gateway" = Option<String>, Query, description = "their router"),
    ("dns" = Option<String>, Query, description = "their name servers, separated by commas"),
    ("interface" = Option<String>, Query, description = "the device's interface towards the machines"),
    ("uplink" = Option<String>, Query, description = "the port towards the DHCP server"),
    ("dhcp_server" = Option<String>, Query, description = "the DHCP server's name on the device, or the address to relay to"),
    ("pool" = Option<String>, Query, description = "a pool on the device, or a range such as 10.0.0.100-10.0.0.199"),
    ("next_server" = Option<String>, Query, description = "the TFTP server's address"),
    ("tftp" = Option<String>, Query, description = "switch (default) or moxxie"),
    ("boot_url" = Option<String>, Query, description = "default: this server's menu"),
    ("arch" = Option<String>, Query, description = "bios,ia32,x64,arm64,http-x64,http-arm64; default: all"),
    ("secure_boot" = Option<String>, Query, description = "yes or no (default)"),
    ("loader" = Option<String>, Query, description = "ipxe (default) or snponly"),
    ("stage2" = Option<String>, Query, description = "auto (default), class or embedded"),
    ("vlan" = Option<String>, Query, description = "1 to 4094"),
    ("leases" = Option<String>, Query, description = "static: fixed addresses for assigned machines that have the parameter ip or address; seen: else where they were seen last"),
), responses(
    (status = 200, description = "the configuration; as JSON with undo, warnings, how to verify, sources", content(
        (String = "text/plain"), (Value = "application/json"))),
    (status = 422, description = "no such vendor, or values that cannot be used", body = Problem),
    (status = 503, description = "the database does not answer, and assigned machines were asked for", body = Problem),
))]
pub async fn get(
    State(app): State<Arc<App>>,
    _: Viewer,
    door: Door,
    headers: HeaderMap,
    query: Query,
) -> ApiResult<Response> {
    let vendors = || DIALECTS.iter().map(|dialect| dialect.name()).collect::<Vec<_>>().join(", ");
    let name = query.one("vendor").map_err(ApiError::bad_request)?.unwrap_or("");
    let Some(dialect) = switch::find(name) else {
        let message = match name {
            "" => format!("name one: {}", vendors()),
            _ => format!("there is no such vendor; there are {}", vendors()),
        };
        return Err(ApiError::field("/vendor", message));
    };
    let as_json = match query.one("format").map_err(ApiError::bad_request)? {
        Some("json") => true,
        Some("text") => false,
        Some(_) => return Err(ApiError::field("/format", "write text or json")),
        None => wants_json(&headers),
    };
    let given: Vec<(String, String)> = query
        .pairs()
        .filter(|(key, _)| !matches!(*key, "vendor" | "format"))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let config = app.config();
    let mut known = known(&config, &headers, door);
    let mut remarks = Vec::new();
    match given.iter().find(|(key, _)| key == "leases").map(|(_, value)| value.as_str()) {
        Some("static") => (known.leases, remarks) = leases(&app, false).await?,
        Some("seen") => (known.leases, remarks) = leases(&app, true).await?,
        _ => {}
    }
    let mut network = Network::read(dialect, &given, &known).map_err(|problems| {
        let fields = problems.into_iter().map(|p| FieldError::new(format!("/{}", p.key), p.message));
        ApiError::fields(fields.collect())
    })?;
    if config.public_url.is_none() && given.iter().all(|(key, _)| key != "boot_url") {
        network.warnings.push(format!(
            "{} is where you asked this server: check that machines reach it there, or set public_url",
            network.boot_url.origin()
        ));
    }
    network.warnings.extend(remarks);
    match app.read().loaders(None, SHELF).await {
        Ok(shelf) => {
            network.warnings.extend(missing(&network, &shelf));
            // Only where the text leans on it is it a matter of how old iPXE is.
            let leans = dialect.write(&network).is_ok_and(|draft| draft.script.contains("autoexec.ipxe"));
            network.warnings.extend(leans.then(|| too_old(&network, &shelf)).flatten());
        }
        // The text does not depend on it.
        Err(error) => network.warnings.push(format!("which loaders this server has is not known: {error}")),
    }
    let written = dialect.write(&network).map_err(|p| ApiError::field(format!("/{}", p.key), p.message))?;
    if !as_json {
        return Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], written.script).into_response());
    }
    let companions: Vec<Value> =
        written.companions.iter().map(|(name, script)| json!({"name": name, "script": script})).collect();
    Ok(Json(json!({
        "vendor": dialect.name(),
        "title": dialect.title(),
        "script": written.script,
        "undo": written.undo,
        "warnings": written.warnings,
        "verify": written.verify,
        "sources": written.sources,
        "companions": companions,
    }))
    .into_response())
}

/// Which loaders this server lacks, for who is to fetch them from here.
fn missing(network: &Network, shelf: &[Loader]) -> Option<String> {
    let mut files: Vec<String> = network.arches.iter().map(|arch| network.loader(*arch)).collect();
    files.extend(network.files(&network.arches));
    let names = files.iter().filter_map(|file| file.rsplit('/').next());
    let mut missing: Vec<&str> =
        names.filter(|file| on(shelf, file).is_none() && !GENERATED.contains(file)).collect();
    missing.sort_unstable();
    missing.dedup();
    (!missing.is_empty()).then(|| {
        format!(
            "this server does not have {}: machines of that kind cannot load it from here. moxxie firmware fetch gets all, moxxie firmware import what the distribution has",
            missing.join(", ")
        )
    })
}

/// Which of this server's loaders do not look for `autoexec.ipxe`.
fn too_old(network: &Network, shelf: &[Loader]) -> Option<String> {
    let uefi = network.arches.iter().filter(|arch| **arch != Arch::Bios).map(|arch| network.loader(*arch));
    let mut old: Vec<String> = uefi
        .filter_map(|file| on(shelf, file.rsplit('/').next()?))
        .filter_map(|loader| {
            let version = loader.version.as_deref().filter(|version| too_old_for_autoexec(version))?;
            Some(format!("{} is {version}", loader.name))
        })
        .collect();
    old.dedup();
    (!old.is_empty()).then(|| {
        format!(
            "here {}, too old to look for autoexec.ipxe: where DHCP cannot tell iPXE from firmware it loads itself for ever. moxxie firmware fetch gets a newer one",
            old.join(", ")
        )
    })
}

fn on<'a>(shelf: &'a [Loader], file: &str) -> Option<&'a Loader> {
    shelf.iter().find(|loader| loader.name.as_str() == file)
}

/// Whether an iPXE of this version is from before January 17, 2022, as far as it says: the release
/// 1.21.1 is from 2020, packages carry the date after "git".
fn too_old_for_autoexec(version: &str) -> bool {
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).take(8).collect::<String>();
    match version.split_once("git") {
        Some((_, rest)) if digits(rest.trim_start_matches('-')).len() == 8 => {
            digits(rest.trim_start_matches('-')).as_str() < "20220117"
        }
        _ => version.starts_with("1.0") || version == "1.21.1" || version == "1.20.1",
    }
}

/// Whether JSON is named and plain text is not.
fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    accept.contains("application/json") && !accept.contains("text/plain")
}

/// What the settings and the request say.
fn known(config: &Config, headers: &HeaderMap, door: Door) -> Known {
    let links = Links::of(config.public_url.as_deref(), headers, door).ok();
    Known {
        boot_url: links.and_then(|links| links.script(None).parse().ok()),
        subnet: one_network(&config.site.provisioning).or_else(|| one_network(&config.access.allow)),
        tftp: config.tftp.listen.is_some(),
        leases: Vec::new(),
    }
}

/// The one IPv4 network of a list that names one, and not the default.
fn one_network(networks: &Networks) -> Option<Ipv4Net> {
    let mut v4 = networks.prefixes().iter().filter_map(|net| match net {
        IpNet::V4(net) if !net.addr().is_loopback() => Some(*net),
        _ => None,
    });
    match (v4.next(), v4.next()) {
        (Some(net), None) => Some(net),
        _ => None,
    }
}

/// The assigned machines whose address is known: written down as the parameter `ip` or `address`,
/// else, if that is wanted, where it was seen last. What is seen is what somebody said of himself: by
/// itself it decides nobody's address and nobody's boot file.
async fn leases(app: &App, also_seen: bool) -> Result<(Vec<Lease>, Vec<String>), StoreError> {
    let store = app.read();
    let seen = if also_seen { store.assigned_machines().await? } else { Vec::new() };
    let seen: BTreeMap<_, _> = seen.into_iter().map(|seen| (seen.mac_address, seen)).collect();
    let (mut leases, mut unread, mut believed) = (Vec::new(), Vec::new(), Vec::new());
    let mut after: Option<String> = None;
    loop {
        let part = store.assignments(&AssignmentFilter::default(), after.as_deref(), PART).await?;
        let Some(last) = part.last() else { break };
        after = Some(last.spec.mac_address.to_string());
        for assignment in &part {
            let spec = &assignment.spec;
            let written = match written_down(&spec.boot_params_override) {
                Some(Err(())) => {
                    unread.push(spec.node_name.to_string());
                    continue;
                }
                Some(Ok(address)) => Some(address),
                None => None,
            };
            // The NIC that it was seen with last; else the one it is known by.
            let seen =
                assignment.macs().filter_map(|mac| seen.get(&mac)).max_by_key(|seen| seen.last_seen_at);
            let was_at = || seen.and_then(|seen| seen.ip.as_deref()?.parse().ok());
            let Some(address) = written.or_else(was_at) else { continue };
            if written.is_none() {
                believed.push(format!("{} {address}", spec.node_name));
            }
            leases.push(Lease {
                mac: seen.map_or(spec.mac_address, |seen| seen.mac_address),
                node: spec.node_name.clone(),
                address,
                arch: seen.and_then(arch),
            });
        }
    }
    let mut remarks = Vec::new();
    if !unread.is_empty() {
        let names = unread.join(", ");
        remarks.push(format!("left out, because the parameter ip or address is no IPv4 address: {names}"));
    }
    if !believed.is_empty() {
        remarks.push(format!(
            "leases=seen: these have no address written down, and get the one they were seen at; anybody in the network can have asked in a machine's name, so check them: {}",
            believed.join(", ")
        ));
    }
    Ok((leases, remarks))
}

/// What the parameters say; an error when that is no address.
fn written_down(params: &Params) -> Option<Result<Ipv4Addr, ()>> {
    let value = ["ip", "address"].iter().find_map(|key| params.get(*key))?;
    let text = value.as_str().and_then(|text| text.split('/').next());
    Some(text.and_then(|text| text.parse().ok()).ok_or(()))
}

/// iPXE's `buildarch` and `platform`, as Moxxie's own scripts send them.
fn arch(seen: &MachineSeen) -> Option<Arch> {
    match (seen.platform.as_deref()?, seen.arch.as_deref().unwrap_or("")) {
        ("pcbios", _) => Some(Arch::Bios),
        ("efi", "i386") => Some(Arch::Ia32),
        ("efi", "x86_64" | "amd64") => Some(Arch::X64),
        ("efi", "arm64" | "aarch64") => Some(Arch::Arm64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::too_old_for_autoexec;

    #[test]
    fn ages_of_ipxe() {
        for old in ["1.0.0+git-20190125.36a4c85-5.1", "1.21.1", "1.21.1+git20220113.fbbdc3926"] {
            assert!(too_old_for_autoexec(old), "{old}");
        }
        for new in ["1.21.1+git20250501.dad20602+dfsg-1", "2.0.0", "2.0.0+ (g0ab22)", "1.21.1+"] {
            assert!(!too_old_for_autoexec(new), "{new}");
        }
    }
}
