//! What an installation image is, by its label, its members' paths and a few small texts in it;
//! which of its files boot a machine, and the profile that does so. One row of [`SYSTEMS`] each.
//!
//! Everything here comes out of an image that somebody else made: it ends up in names and
//! descriptions only after it was reduced to the characters that these may have.

mod about;
mod contents;
mod systems;

pub use contents::{Contents, TEXTS};

use crate::name::{FileName, ProfileName};
use crate::params::Params;
use crate::platform;
use contents::{digits, slug};
use systems::{Boot, SYSTEMS, System};

/// A recognized image.
#[derive(Debug, Clone, PartialEq)]
pub struct Media {
    /// `ubuntu`, `debian`, `rhel`, …; `generic` when only a kernel and its initrd were found.
    pub system: &'static str,
    /// As the image says it, such as `24.04.1`.
    pub version: Option<String>,
    /// `amd64` or `arm64`; `None` when the place of the files does not tell.
    pub arch: Option<&'static str>,
    /// The volume id.
    pub label: String,
    /// What a machine loads: the kernel, then the initrds in the order they are loaded.
    pub files: Vec<MediaFile>,
    /// Whether the image itself is needed after these files were taken out.
    pub keep_image: bool,
    /// The profile that boots it.
    pub suggestion: ProfileSuggestion,
    /// What an operator should know before booting it.
    pub notes: Vec<String>,
}

/// A file of an image and its name on a shelf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaFile {
    /// Its path in the image.
    pub member: String,
    /// What it is called on the shelf.
    pub file: FileName,
}

/// The fields of a profile that boots an image. Serializes to what the API takes.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[allow(missing_docs, reason = "the fields are those of ProfileSpec")]
pub struct ProfileSuggestion {
    pub name: ProfileName,
    pub profile_type: &'static str,
    pub description: String,
    pub kernel_path: FileName,
    pub initrd_path: Option<FileName>,
    pub extra_initrds: Vec<FileName>,
    pub boot_params: String,
    #[serde(skip_serializing_if = "Params::is_empty")]
    pub params: Params,
    /// `Some(false)` for systems that touch no disk by themselves; else the lint decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destructive: Option<bool>,
}

/// Recognizes an image that is called `image` on the shelf.
pub fn recognize(contents: &Contents<'_>, image: &FileName) -> Option<Media> {
    let known = SYSTEMS.iter().find_map(|system| known(system, contents, image));
    known.or_else(|| generic(contents, image))
}

/// Members that look like a kernel or an initrd, for people who have to say which it is; at most
/// so many.
pub fn candidates<'c>(contents: &Contents<'c>, limit: usize) -> Vec<&'c str> {
    let like = |path: &&str| is_kernel(path) || is_initrd(path);
    contents.paths().filter(like).take(limit).collect()
}

fn known(system: &System, contents: &Contents<'_>, image: &FileName) -> Option<Media> {
    if !system.marks.iter().all(|mark| contents.find(mark).is_some()) {
        return None;
    }
    let (arch, members) = system.boots.iter().find_map(|boot| Some((boot.arch, members(boot, contents)?)))?;
    let about = (system.about)(contents)?;
    let files = shelf_names(&members, image)?;
    let title = about.title.unwrap_or(system.title.to_owned());
    let description = match &about.version {
        Some(version) => format!("{title} {version}"),
        None => title.clone(),
    };
    let mut params = Params::new();
    if let (Some(name), Some(version)) = (system.version_param, &about.version) {
        params.insert(name.to_owned(), version.as_str().into());
    }
    let short = about.version.as_deref().map(|v| digits(v, system.name_parts)).unwrap_or_default();
    let platform = platform::find(system.platform).map_or("custom", |p| p.name());
    let suggestion = ProfileSuggestion {
        name: profile_name(&slug(&about.name.unwrap_or(system.system.to_owned())), &short)?,
        profile_type: platform,
        description,
        kernel_path: files.first()?.file.clone(),
        initrd_path: files.get(1).map(|f| f.file.clone()),
        extra_initrds: files.iter().skip(2).map(|f| f.file.clone()).collect(),
        boot_params: system.boot_params.replace("IMAGE", image.as_str()),
        params,
        destructive: system.destructive,
    };
    Some(Media {
        system: system.system,
        version: about.version,
        arch: Some(arch),
        label: contents.label().to_owned(),
        files,
        keep_image: system.keep_image,
        suggestion,
        notes: system.notes.iter().map(|note| note.replace("IMAGE", image.as_str())).collect(),
    })
}

/// The members of one way to boot, kernel first; `None` when one is missing.
fn members<'c>(boot: &Boot, contents: &Contents<'c>) -> Option<Vec<&'c str>> {
    let mut members = vec![contents.find(boot.kernel)?];
    // Updates of the processor's microcode have to come before everything else.
    members.extend(boot.microcode.iter().filter_map(|path| contents.find(path)));
    for initrd in boot.initrds {
        members.push(contents.find(initrd)?);
    }
    Some(members)
}

/// A kernel and an initrd side by side, if there is exactly one such pair.
fn generic(contents: &Contents<'_>, image: &FileName) -> Option<Media> {
    let initrds: Vec<&str> = contents.paths().filter(|path| is_initrd(path)).collect();
    let mut pairs = contents.paths().filter(|path| is_kernel(path)).filter_map(|kernel| {
        let mut beside = initrds.iter().filter(|initrd| folder(initrd) == folder(kernel));
        match (beside.next(), beside.next()) {
            (Some(initrd), None) => Some([kernel, initrd]),
            _ => None,
        }
    });
    let (pair, None) = (pairs.next()?, pairs.next()) else { return None };
    let files = shelf_names(&pair, image)?;
    let stem = image.as_str().trim_end_matches(".iso").trim_end_matches(".ISO");
    Some(Media {
        system: "generic",
        version: None,
        arch: None,
        label: contents.label().to_owned(),
        keep_image: true,
        suggestion: ProfileSuggestion {
            name: profile_name(&slug(stem), "")?,
            profile_type: "custom",
            description: format!("Kernel and initrd of {image}"),
            kernel_path: files.first()?.file.clone(),
            initrd_path: files.get(1).map(|f| f.file.clone()),
            extra_initrds: Vec::new(),
            boot_params: String::new(),
            params: Params::new(),
            destructive: None,
        },
        files,
        notes: vec![
            "This image is not known: its boot_params are yours to write. Its own boot menu, below \
             boot/grub or isolinux, shows what its kernel is given."
                .to_owned(),
        ],
    })
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn file(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn is_kernel(path: &str) -> bool {
    let name = file(path).to_ascii_lowercase();
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let kernel = name == "linux"
        || ["vmlinuz", "vmlinux", "bzimage", "linux26", "linux-"].iter().any(|start| name.starts_with(start));
    kernel && !OTHER.contains(&extension)
}

fn is_initrd(path: &str) -> bool {
    let name = file(path).to_ascii_lowercase();
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    ["initrd", "initramfs"].iter().any(|start| name.starts_with(start)) && !OTHER.contains(&extension)
}

/// Files beside a kernel that only have its name.
const OTHER: &[&str] =
    &["c32", "cfg", "conf", "txt", "md5", "sha256", "sha512", "sig", "asc", "deb", "rpm", "apk", "hmac"];

/// The members with their names on the shelf: the last part of the path. Nothing if one of them
/// cannot be a name there, or has the image's own.
fn shelf_names(members: &[&str], image: &FileName) -> Option<Vec<MediaFile>> {
    let mut files: Vec<MediaFile> = Vec::new();
    for member in members {
        let name: FileName = file(member).parse().ok()?;
        if name == *image || files.iter().any(|f| f.file == name) {
            return None;
        }
        files.push(MediaFile { member: (*member).to_owned(), file: name });
    }
    Some(files)
}

/// `ubuntu` and `24.04` are `ubuntu-24-04`.
fn profile_name(system: &str, version: &str) -> Option<ProfileName> {
    let mut name = match slug(version) {
        version if version.is_empty() => system.to_owned(),
        version => format!("{system}-{version}"),
    };
    name.truncate(63);
    match name.trim_matches('-') {
        // The one name that a profile cannot have.
        "" | "menu" => "image".parse().ok(),
        name => name.parse().ok(),
    }
}
