//! From a profile and a machine to what is sent: kernel arguments, boot plan, config. Pure; used
//! by the boot routes, by `explain`, and by the checks when something is saved.

use crate::http::links::Links;
use moxxie_core::assignment::Assignment;
use moxxie_core::boot::claims::BootClaims;
use moxxie_core::boot::decide::Shelf;
use moxxie_core::boot::plan::{BootPlan, Image};
use moxxie_core::ipxe::Word;
use moxxie_core::params;
use moxxie_core::platform::{self, ConfigBody, Platform};
use moxxie_core::profile::{ProfileSpec, Source};
use moxxie_core::render::{self, MachineValues, ProfileValues, RenderContext, ServiceValues};
use moxxie_core::site::Site;

/// Why nothing can be sent to a machine. Names the cause and never a value of a parameter.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// The profile's platform is not known to this version.
    #[error("profile type {0:?} is not known to this version")]
    Platform(String),
    /// A template failed.
    #[error(transparent)]
    Template(#[from] render::TemplateError),
    /// The kernel arguments cannot be put into a script.
    #[error("boot_params: {0}")]
    Args(String),
    /// A file that is not on the profile's shelf.
    #[error("{0} is not among the profile's assets: upload it with `moxxie asset upload {1} FILE --as {0}`")]
    MissingAsset(String, String),
    /// The profile has no kernel.
    #[error("the profile has no kernel_path")]
    NoKernel,
    /// A word that iPXE would misread.
    #[error("{0}")]
    Word(String),
    /// Values turn a harmless profile into one that erases a disk.
    #[error(
        "the values make this boot destructive ({0}), but the profile is not marked so: set `destructive: true` on it"
    )]
    Danger(&'static str),
    /// A value brings an argument that opens a shell.
    #[error("a value brings the kernel argument {0}: such an argument must stand in boot_params itself")]
    Shell(&'static str),
}

/// The tokens of a boot session.
#[derive(Debug, Clone, Copy)]
pub struct Tokens<'a> {
    /// Fetches the config.
    pub config: &'a str,
    /// Reports.
    pub report: &'a str,
}

/// The machine that something is made for.
#[derive(Debug, Clone, Copy)]
pub struct For<'a> {
    /// Its profile.
    pub spec: &'a ProfileSpec,
    /// Its assignment; without one it is a stranger who chose from the menu.
    pub assignment: Option<&'a Assignment>,
    /// What it says of itself.
    pub claims: &'a BootClaims,
    /// The address it asks from.
    pub peer: Option<std::net::IpAddr>,
}

/// The values that templates see.
pub fn context(machine: For<'_>, site: &Site, links: &Links, tokens: Option<Tokens<'_>>) -> RenderContext {
    let For { spec, assignment, claims, peer } = machine;
    let none = params::Params::new();
    let own = assignment.map_or(&none, |a| &a.spec.boot_params_override);
    let mac = assignment.map(|a| a.spec.mac_address).or(claims.mac);
    let text = |value: Option<String>| value.unwrap_or_default();
    let uuid = assignment.and_then(|a| a.spec.uuid).or(claims.uuid);
    let serial = assignment.and_then(|a| a.spec.serial.clone()).or_else(|| claims.serial.clone());
    // The firmware's own word for 32-bit BIOS builds; every machine of this century runs amd64.
    let arch = match claims.arch.as_deref() {
        None | Some("i386" | "x86_64") => "amd64".to_owned(),
        Some(arch) => arch.to_owned(),
    };
    RenderContext {
        machine: MachineValues {
            mac: text(mac.map(|m| m.to_string())),
            mac_hyphen: text(mac.map(|m| m.hyphenated())),
            uuid: text(uuid.map(|u| u.to_string())),
            serial: text(serial.map(|s| s.to_string())),
            arch,
            platform: text(claims.platform.clone()),
            node_name: text(assignment.map(|a| a.spec.node_name.to_string())),
            ip: text(peer.map(|p| p.to_canonical().to_string())),
        },
        params: params::merge(&[&site.params, &spec.params, own]),
        profile: ProfileValues { name: spec.name.to_string(), profile_type: spec.profile_type.clone() },
        moxxie: ServiceValues {
            base_url: links.base().to_owned(),
            asset_url: links.assets(&spec.name),
            config_url: match mac {
                Some(mac) => links.config(&spec.name, mac, tokens.map(|t| t.config)),
                None => String::new(),
            },
            report_url: text(tokens.map(|t| links.report(t.report))),
        },
    }
}

/// The platform of a profile.
pub fn platform(spec: &ProfileSpec) -> Result<&'static dyn Platform, ComposeError> {
    platform::find(&spec.profile_type).ok_or_else(|| ComposeError::Platform(spec.profile_type.clone()))
}

/// The kernel arguments: the platform's own and the operator's. Refused when values make more of
/// them than the profile was judged by: a template's source does not show what a value can bring.
pub fn kernel_args(spec: &ProfileSpec, context: &RenderContext) -> Result<Vec<Word>, ComposeError> {
    let rendered = render::render(&spec.boot_params, context, render::BOOT_PARAMS)?;
    let own = render::split_args(&rendered).map_err(|e| ComposeError::Args(e.to_string()))?;
    let args = platform::kernel_args(platform(spec)?, spec, own, context)
        .map_err(|e| ComposeError::Args(e.to_string()))?;
    let found = platform::rendered_args_reasons(args.iter().map(Word::as_str), &context.moxxie.base_url);
    if let Some(reason) = unjudged(spec, found) {
        return Err(ComposeError::Danger(reason));
    }
    match platform::foreign_shell(&spec.boot_params, args.iter().map(Word::as_str)) {
        Some(shell) => Err(ComposeError::Shell(shell)),
        None => Ok(args),
    }
}

/// What the machine is told to load.
pub fn plan(
    shelf: &Shelf,
    context: &RenderContext,
    links: &Links,
    report: Option<&str>,
) -> Result<BootPlan, ComposeError> {
    let spec = &shelf.profile.spec;
    // A config that cannot be rendered, or must not be sent, must not start a boot that waits for it.
    for file in platform(spec)?.config_files() {
        if let Some((text, _)) = config(spec, context, file.path)?
            && let Some(reason) = hidden_danger(spec, &text)
        {
            return Err(ComposeError::Danger(reason));
        }
    }
    let kernel = image(shelf, links, spec.kernel_path.as_ref().ok_or(ComposeError::NoKernel)?)?;
    let initrds = spec
        .initrd_path
        .iter()
        .chain(&spec.extra_initrds)
        .map(|source| image(shelf, links, source))
        .collect::<Result<Vec<_>, _>>()?;
    let (kernel, initrds) = distinct(kernel, initrds)?;
    let report = match report {
        Some(token) => Some(word(links.report(token))?),
        None => None,
    };
    Ok(BootPlan { kernel, initrds, args: kernel_args(spec, context)?, report })
}

/// Gives images of the same name, such as two URLs that end in `/linux`, names of their own: iPXE
/// and UEFI know them by name, whatever the case.
fn distinct(kernel: Image, initrds: Vec<Image>) -> Result<(Image, Vec<Image>), ComposeError> {
    let mut taken = vec![kernel.name.as_str().to_ascii_lowercase()];
    let mut renamed = Vec::new();
    for image in initrds {
        let own = image.name.as_str().to_owned();
        let mut names = std::iter::once(own.clone()).chain((2..).map(|n| format!("{own}-{n}")));
        let free = names.find(|name| !taken.contains(&name.to_ascii_lowercase())).unwrap_or(own);
        taken.push(free.to_ascii_lowercase());
        renamed.push(Image { name: word(free)?, url: image.url });
    }
    Ok((kernel, renamed))
}

fn image(shelf: &Shelf, links: &Links, source: &Source) -> Result<Image, ComposeError> {
    let profile = &shelf.profile.spec.name;
    match source {
        Source::Asset(file) => {
            if !shelf.assets.iter().any(|a| a.file == *file) {
                return Err(ComposeError::MissingAsset(file.to_string(), profile.to_string()));
            }
            // `+` and the other characters of a file name stand for themselves in a path.
            Ok(Image { name: word(file.as_str())?, url: word(format!("{}/{file}", links.assets(profile)))? })
        }
        Source::Url(url) => {
            let path = url.split(['?', '#']).next().unwrap_or(url);
            let name =
                path.rsplit('/').next().filter(|n| !n.is_empty() && !n.contains('%')).unwrap_or("image");
            Ok(Image { name: word(name)?, url: word(url.as_str())? })
        }
    }
}

fn word(text: impl Into<String>) -> Result<Word, ComposeError> {
    let text = text.into();
    Word::new(text.clone()).map_err(|e| ComposeError::Word(format!("{text:?} {e}")))
}

/// A config file: its bytes and their media type. `None` when the profile has no such file.
pub fn config(
    spec: &ProfileSpec,
    context: &RenderContext,
    resource: &str,
) -> Result<Option<(String, &'static str)>, ComposeError> {
    let Some(template) = &spec.config_template else { return Ok(None) };
    let Some(file) = platform(spec)?.config_files().iter().find(|f| f.path == resource) else {
        return Ok(None);
    };
    let source = match file.body {
        ConfigBody::Template => template.as_str(),
        ConfigBody::BuiltIn(source) => source,
    };
    Ok(Some((render::render(source, context, render::CONFIG_TEMPLATE)?, file.content_type)))
}

/// What the values of one machine make a config do that its template alone does not show: reasons
/// to take it for destructive, beyond those that the profile was judged by.
pub fn hidden_danger(spec: &ProfileSpec, rendered: &str) -> Option<&'static str> {
    let template = spec.config_template.as_deref().unwrap_or_default();
    unjudged(spec, platform::rendered_config_reasons(template, &without_tokens(rendered)))
}

/// The first reason beyond those that a profile was judged by.
fn unjudged(spec: &ProfileSpec, found: Vec<platform::Reason>) -> Option<&'static str> {
    if spec.destructive || found.is_empty() {
        return None;
    }
    let judged =
        platform::destructive_reasons(&spec.profile_type, &spec.boot_params, spec.config_template.as_deref());
    found.into_iter().find(|reason| judged.iter().all(|j| j.code != reason.code)).map(|reason| reason.text)
}

/// The text without the tokens of its URLs: random letters may spell any word.
fn without_tokens(text: &str) -> String {
    let mut parts = text.split("?t=");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
        out.push_str("?t=");
        out.push_str(if part.len() - rest.len() == 43 { rest } else { part });
    }
    out
}
