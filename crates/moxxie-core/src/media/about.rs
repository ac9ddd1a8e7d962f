//! Where each system writes its name and version. `None` means that the image is something else.

use super::contents::{Contents, plain, version};

/// What an image says of itself.
#[derive(Default)]
pub(super) struct About {
    /// For the profile's name, when the row's is too general.
    pub name: Option<String>,
    pub title: Option<String>,
    pub version: Option<String>,
}

/// Only the label speaks.
pub(super) fn label(contents: &Contents<'_>) -> Option<About> {
    Some(About { version: version(contents.label()), ..About::default() })
}

/// `Debian GNU/Linux 12.5.0 "Bookworm" - Official amd64 NETINST …`, on the image or in its label.
pub(super) fn disk_info(contents: &Contents<'_>) -> Option<About> {
    let found = version(contents.text(".disk/info")).or_else(|| version(contents.label()));
    Some(About { version: found, ..About::default() })
}

pub(super) fn ubuntu(contents: &Contents<'_>) -> Option<About> {
    let info = contents.text(".disk/info");
    let title = info.split([' ', '"']).next().map(|name| plain(&name.replace('-', " ")));
    let title = title.filter(|title| title.starts_with("Ubuntu"));
    Some(About { title, ..disk_info(contents)? })
}

/// Others build on live-boot as well; their label is their name.
pub(super) fn live(contents: &Contents<'_>) -> Option<About> {
    let about = disk_info(contents)?;
    if contents.text(".disk/info").starts_with("Debian") {
        return Some(About { title: Some("Debian live".to_owned()), ..about });
    }
    let word = contents.label().split([' ', '_', '-']).next().map(plain);
    let title = word.filter(|word| word.starts_with(|c: char| c.is_ascii_alphabetic()));
    let title = title.unwrap_or("Live".to_owned());
    Some(About { name: Some(title.clone()), title: Some(title), ..about })
}

/// `[general] family = Rocky Linux`, `version = 9.4`.
pub(super) fn red_hat(contents: &Contents<'_>) -> Option<About> {
    let tree = |key| contents.value(".treeinfo", key).map(plain);
    let family = tree("family").filter(|family| !family.is_empty());
    let name = family.as_ref().and_then(|family| family.split(' ').next().map(str::to_owned));
    let found = tree("version").and_then(|v| version(&v)).or_else(|| version(contents.label()));
    Some(About { name, title: family, version: found })
}

pub(super) fn fedora(contents: &Contents<'_>) -> Option<About> {
    let fedora = contents.value(".treeinfo", "family").is_some_and(|f| f.starts_with("Fedora"))
        || contents.label().starts_with("Fedora");
    let about = red_hat(contents)?;
    // The label is Fedora-S-dvd-x86_64-41.
    fedora.then_some(About { name: None, title: None, ..about })
}

pub(super) fn system_rescue(contents: &Contents<'_>) -> Option<About> {
    let own = version(contents.text("sysresccd/version"));
    // RESCUE1101 is 11.01.
    let label = contents
        .label()
        .strip_prefix("RESCUE")
        .filter(|rest| (3..=4).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_digit()));
    let from_label = label.map(|rest| {
        let (major, minor) = rest.split_at(rest.len() - 2);
        format!("{major}.{minor}")
    });
    Some(About { version: own.or(from_label), ..About::default() })
}

pub(super) fn arch(contents: &Contents<'_>) -> Option<About> {
    Some(About { version: version(contents.text("arch/version")), ..About::default() })
}

/// `PRODUCTLONG='Proxmox VE'`, `RELEASE='8.2'`; the label is PVE, PBS, PMG or PDM.
pub(super) fn proxmox(contents: &Contents<'_>) -> Option<About> {
    let info = |key| contents.value(".cd-info", key).map(plain).filter(|text| !text.is_empty());
    let product = info("PRODUCT").unwrap_or_else(|| plain(contents.label())).to_ascii_lowercase();
    let title = match product.as_str() {
        "pve" => "Proxmox VE",
        "pbs" => "Proxmox Backup Server",
        "pmg" => "Proxmox Mail Gateway",
        "pdm" => "Proxmox Datacenter Manager",
        // Another system with a kernel of this name.
        _ => return None,
    };
    Some(About {
        name: Some(format!("proxmox-{product}")),
        title: Some(title.to_owned()),
        version: info("RELEASE").and_then(|release| version(&release)),
    })
}

/// The label is TALOS_V1_13_9, or Talos-v1.13.9; the menu of the image says it as well.
pub(super) fn talos(contents: &Contents<'_>) -> Option<About> {
    let label = contents.label();
    let menu = contents.text("boot/grub/grub.cfg");
    let named = label.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("talos"));
    if !named && !menu.contains("talos.platform") {
        return None;
    }
    let spelled = label.get(5..).unwrap_or("").replace('_', ".");
    let found = named.then(|| version(spelled.trim_start_matches(['.', '-']))).flatten();
    Some(About { version: found.filter(|v| v.split('.').count() == 3), ..About::default() })
}

pub(super) fn alpine(contents: &Contents<'_>) -> Option<About> {
    let found = version(contents.text(".alpine-release")).or_else(|| version(contents.label()));
    Some(About { version: found, ..About::default() })
}

/// `/ openSUSE-Leap 15.6-0`.
pub(super) fn suse(contents: &Contents<'_>) -> Option<About> {
    let products = contents.text("media.1/products");
    let line = products.lines().next().unwrap_or("").trim_start_matches(['/', ' ']);
    let title = line.split(' ').next().map(plain).filter(|title| !title.is_empty());
    Some(About { name: title.clone(), title, version: version(line) })
}
