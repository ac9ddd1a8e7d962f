//! The table of known images. To add one: a row, and an image of it in the tests.

use super::contents::{Contents, plain, version};

/// One kind of image. The first row that fits wins, so that the special stands before the general.
pub(super) struct System {
    /// Its name in the API.
    pub system: &'static str,
    /// Its name for people, unless the image says a better one.
    pub title: &'static str,
    /// The profile type, where this version knows it; else the profile is a custom one.
    pub platform: &'static str,
    /// Members that all have to be there, besides those of one of `boots`. See [`Contents::find`].
    pub marks: &'static [&'static str],
    /// What a machine loads; the first way whose files exist.
    pub boots: &'static [Boot],
    /// What the image says of itself; `None` means that it is something else.
    pub about: fn(&Contents<'_>) -> Option<About>,
    /// How many parts of the version enter the profile's name.
    pub name_parts: usize,
    /// The parameter of the profile that gets the version.
    pub version_param: Option<&'static str>,
    /// Kernel arguments; IMAGE stands for the image's name on the shelf.
    pub boot_params: &'static str,
    /// Whether machines read the image itself.
    pub keep_image: bool,
    /// `Some(false)`: it runs from memory and touches no disk by itself.
    pub destructive: Option<bool>,
    /// For the operator; IMAGE as above.
    pub notes: &'static [&'static str],
}

/// One way to boot an image.
pub(super) struct Boot {
    pub arch: &'static str,
    pub kernel: &'static str,
    /// Loaded first, those that exist.
    pub microcode: &'static [&'static str],
    /// Loaded in this order; all must exist.
    pub initrds: &'static [&'static str],
}

/// What an image says of itself.
#[derive(Default)]
pub(super) struct About {
    /// For the profile's name, when the row's is too general.
    pub name: Option<String>,
    pub title: Option<String>,
    pub version: Option<String>,
}

const fn boot(arch: &'static str, kernel: &'static str, initrds: &'static [&'static str]) -> Boot {
    Boot { arch, kernel, microcode: &[], initrds }
}

/// What most rows have in common.
const ROW: System = System {
    system: "",
    title: "",
    platform: "custom",
    marks: &[],
    boots: &[],
    about: label,
    name_parts: 2,
    version_param: None,
    boot_params: "",
    keep_image: true,
    destructive: None,
    notes: &[],
};

/// Every image that is known. Arguments come from the systems' own documentation, see each row.
pub(super) const SYSTEMS: &[System] = &[
    // Ubuntu's how-to for netbooting the live server: casper downloads the image into memory.
    // `cloud-config-url` keeps cloud-init from downloading it a second time because of `url`.
    System {
        system: "ubuntu",
        title: "Ubuntu",
        platform: "ubuntu",
        boots: &[boot("amd64", "casper/vmlinuz", &["casper/initrd"])],
        about: ubuntu,
        boot_params: "root=/dev/ram0 ramdisk_size=1500000 cloud-config-url=/dev/null ip=dhcp url={{ moxxie.asset_url }}/IMAGE",
        notes: &[
            "Each machine loads the whole image into memory: give it 6 GiB or more.",
            "Without `autoinstall ds=nocloud;s=…` in boot_params the installer asks on the console.",
        ],
        ..ROW
    },
    System {
        system: "ubuntu",
        title: "Ubuntu",
        platform: "ubuntu",
        boots: &[boot("amd64", "casper/hwe-vmlinuz", &["casper/hwe-initrd"])],
        about: ubuntu,
        boot_params: "root=/dev/ram0 ramdisk_size=1500000 cloud-config-url=/dev/null ip=dhcp url={{ moxxie.asset_url }}/IMAGE",
        notes: &["Each machine loads the whole image into memory: give it 6 GiB or more."],
        ..ROW
    },
    // The installer on a CD, netinst or DVD. Its initrd has the drivers of a CD and no others.
    System {
        system: "debian",
        title: "Debian",
        platform: "debian",
        boots: &[
            boot("amd64", "install.amd/vmlinuz", &["install.amd/initrd.gz"]),
            boot("arm64", "install.a64/vmlinuz", &["install.a64/initrd.gz"]),
        ],
        about: disk_info,
        name_parts: 1,
        boot_params: "--- quiet",
        keep_image: false,
        notes: &["This installer looks for a CD-ROM drive and stops where there is none. For machines \
             that boot from the network take Debian's netboot files: `moxxie asset fetch debian`."],
        ..ROW
    },
    // live-boot, man 7: Debian live, Clonezilla, GParted, VyOS.
    System {
        system: "debian-live",
        title: "Live system",
        marks: &["live/filesystem.squashfs"],
        boots: &[boot("amd64", "live/vmlinuz*", &["live/initrd*"])],
        about: live,
        name_parts: 1,
        boot_params: "boot=live components fetch={{ moxxie.asset_url }}/IMAGE/live/filesystem.squashfs",
        destructive: Some(false),
        notes: &[
            "live-boot fetches over plain http and resolves no names: machines must reach this \
             service by an IP address (the DHCP boot URL, or public_url).",
            "The file system is loaded into memory: give a machine 1 GiB more than its size.",
        ],
        ..ROW
    },
    // anaconda's boot options. An image with packages is a repository …
    System {
        system: "rhel",
        title: "Red Hat Enterprise Linux",
        marks: &["images/install.img", "BaseOS/repodata/repomd.xml"],
        boots: RED_HAT,
        about: red_hat,
        boot_params: "inst.repo={{ moxxie.asset_url }}/IMAGE/ ip=dhcp",
        notes: &["Add inst.ks=URL of a kickstart file for an unattended installation."],
        ..ROW
    },
    System {
        system: "fedora",
        title: "Fedora",
        marks: &["images/install.img", "repodata/repomd.xml"],
        boots: RED_HAT,
        about: fedora,
        name_parts: 1,
        boot_params: "inst.repo={{ moxxie.asset_url }}/IMAGE/ ip=dhcp",
        notes: &["Add inst.ks=URL of a kickstart file for an unattended installation."],
        ..ROW
    },
    // … and one without has the installer only.
    System {
        system: "fedora",
        title: "Fedora",
        marks: &["images/install.img"],
        boots: RED_HAT,
        about: fedora,
        name_parts: 1,
        boot_params: "inst.stage2={{ moxxie.asset_url }}/IMAGE/ ip=dhcp",
        notes: &["This image has no packages: they come from Fedora's mirrors, or from inst.repo=URL."],
        ..ROW
    },
    System {
        system: "rhel",
        title: "Red Hat Enterprise Linux",
        marks: &["images/install.img"],
        boots: RED_HAT,
        about: red_hat,
        boot_params: "inst.stage2={{ moxxie.asset_url }}/IMAGE/ ip=dhcp",
        notes: &["This image has no packages: add inst.repo=URL of a repository."],
        ..ROW
    },
    // dracut's livenet module.
    System {
        system: "fedora-live",
        title: "Fedora live",
        marks: &["LiveOS/squashfs.img"],
        boots: RED_HAT,
        name_parts: 1,
        boot_params: "root=live:{{ moxxie.asset_url }}/IMAGE/LiveOS/squashfs.img rd.live.image ip=dhcp",
        destructive: Some(false),
        notes: &["The file system is loaded into memory: give a machine 2 GiB more than its size."],
        ..ROW
    },
    // archiso's hooks; the slash at the end of the URL must stand.
    System {
        system: "systemrescue",
        title: "SystemRescue",
        boots: &[Boot {
            arch: "amd64",
            kernel: "sysresccd/boot/x86_64/vmlinuz",
            microcode: &["sysresccd/boot/intel_ucode.img", "sysresccd/boot/amd_ucode.img"],
            initrds: &["sysresccd/boot/x86_64/sysresccd.img"],
        }],
        about: system_rescue,
        boot_params: "archisobasedir=sysresccd ip=dhcp archiso_http_srv={{ moxxie.asset_url }}/IMAGE/ checksum",
        destructive: Some(false),
        notes: &["It runs from memory: give a machine 2 GiB or more."],
        ..ROW
    },
    System {
        system: "arch",
        title: "Arch Linux",
        boots: &[Boot {
            arch: "amd64",
            kernel: "arch/boot/x86_64/vmlinuz-linux",
            microcode: &["arch/boot/intel-ucode.img", "arch/boot/amd-ucode.img"],
            initrds: &["arch/boot/x86_64/initramfs-linux.img"],
        }],
        about: arch,
        boot_params: "archisobasedir=arch ip=dhcp archiso_http_srv={{ moxxie.asset_url }}/IMAGE/ checksum=y",
        destructive: Some(false),
        notes: &["It runs from memory: give a machine 2 GiB or more."],
        ..ROW
    },
    // An image that proxmox-auto-install-assistant prepared says so by this file.
    System {
        system: "proxmox",
        title: "Proxmox",
        platform: "proxmox",
        marks: &["auto-installer-mode.toml"],
        boots: PROXMOX,
        about: proxmox,
        boot_params: "ramdisk_size=16777216 rw quiet splash=silent proxmox-start-auto-installer",
        notes: &[PROXMOX_IMAGE],
        ..ROW
    },
    System {
        system: "proxmox",
        title: "Proxmox",
        platform: "proxmox",
        boots: PROXMOX,
        about: proxmox,
        boot_params: "ramdisk_size=16777216 rw quiet splash=silent",
        notes: &[
            PROXMOX_IMAGE,
            "For an unattended installation prepare the image first: \
             `proxmox-auto-install-assistant prepare-iso IMAGE --fetch-from http`.",
        ],
        ..ROW
    },
    // Arguments come from the platform.
    System {
        system: "talos",
        title: "Talos Linux",
        platform: "talos",
        boots: &[boot("amd64", "boot/vmlinuz", &["boot/initramfs.xz"])],
        about: talos,
        version_param: Some("talos_version"),
        keep_image: false,
        notes: &["Write the machine config into config_template before a machine boots this profile."],
        ..ROW
    },
    // initramfs-init of Alpine's mkinitfs.
    System {
        system: "alpine",
        title: "Alpine Linux",
        marks: &["boot/modloop-lts"],
        boots: &[boot("amd64", "boot/vmlinuz-lts", &["boot/initramfs-lts"])],
        about: alpine,
        boot_params: "ip=dhcp modules=loop,squashfs alpine_repo={{ moxxie.asset_url }}/IMAGE/apks modloop={{ moxxie.asset_url }}/IMAGE/boot/modloop-lts",
        destructive: Some(false),
        notes: &[ALPINE_DRIVERS],
        ..ROW
    },
    System {
        system: "alpine",
        title: "Alpine Linux",
        marks: &["boot/modloop-virt"],
        boots: &[boot("amd64", "boot/vmlinuz-virt", &["boot/initramfs-virt"])],
        about: alpine,
        boot_params: "ip=dhcp modules=loop,squashfs alpine_repo={{ moxxie.asset_url }}/IMAGE/apks modloop={{ moxxie.asset_url }}/IMAGE/boot/modloop-virt",
        destructive: Some(false),
        notes: &[ALPINE_DRIVERS],
        ..ROW
    },
    // linuxrc, up to Leap 15 and SLES 15.
    System {
        system: "opensuse",
        title: "openSUSE",
        boots: &[
            boot("amd64", "boot/x86_64/loader/linux", &["boot/x86_64/loader/initrd"]),
            boot("arm64", "boot/aarch64/linux", &["boot/aarch64/initrd"]),
        ],
        about: suse,
        boot_params: "install={{ moxxie.asset_url }}/IMAGE/ ifcfg=*=dhcp",
        notes: &["Add autoyast=URL of an AutoYaST file for an unattended installation."],
        ..ROW
    },
];

/// The same places on every architecture.
const RED_HAT: &[Boot] = &[boot("amd64", "images/pxeboot/vmlinuz", &["images/pxeboot/initrd.img"])];
const PROXMOX: &[Boot] = &[boot("amd64", "boot/linux26", &["boot/initrd.img"])];

const PROXMOX_IMAGE: &str = "The installer wants its image inside of the initramfs: `ln IMAGE proxmox.iso; echo \
     proxmox.iso | cpio -o -H newc > proxmox.cpio`, upload proxmox.cpio to this profile, and add it \
     to extra_initrds. Machines need 4 GiB of memory or more.";
const ALPINE_DRIVERS: &str = "The initramfs of an ISO image has few drivers for network cards. Where the network does not \
     come up, take kernel, initramfs and modloop of Alpine's netboot files.";

/// Only the label speaks.
fn label(contents: &Contents<'_>) -> Option<About> {
    Some(About { version: version(contents.label()), ..About::default() })
}

/// `Debian GNU/Linux 12.5.0 "Bookworm" - Official amd64 NETINST …`, on the image or in its label.
fn disk_info(contents: &Contents<'_>) -> Option<About> {
    let found = version(contents.text(".disk/info")).or_else(|| version(contents.label()));
    Some(About { version: found, ..About::default() })
}

fn ubuntu(contents: &Contents<'_>) -> Option<About> {
    let info = contents.text(".disk/info");
    let title = info.split([' ', '"']).next().map(|name| plain(&name.replace('-', " ")));
    let title = title.filter(|title| title.starts_with("Ubuntu"));
    Some(About { title, ..disk_info(contents)? })
}

/// Others build on live-boot as well; their label is their name.
fn live(contents: &Contents<'_>) -> Option<About> {
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
fn red_hat(contents: &Contents<'_>) -> Option<About> {
    let tree = |key| contents.value(".treeinfo", key).map(plain);
    let family = tree("family").filter(|family| !family.is_empty());
    let name = family.as_ref().and_then(|family| family.split(' ').next().map(str::to_owned));
    let found = tree("version").and_then(|v| version(&v)).or_else(|| version(contents.label()));
    Some(About { name, title: family, version: found })
}

fn fedora(contents: &Contents<'_>) -> Option<About> {
    let fedora = contents.value(".treeinfo", "family").is_some_and(|f| f.starts_with("Fedora"))
        || contents.label().starts_with("Fedora");
    let about = red_hat(contents)?;
    // The label is Fedora-S-dvd-x86_64-41.
    fedora.then_some(About { name: None, title: None, ..about })
}

fn system_rescue(contents: &Contents<'_>) -> Option<About> {
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

fn arch(contents: &Contents<'_>) -> Option<About> {
    Some(About { version: version(contents.text("arch/version")), ..About::default() })
}

/// `PRODUCTLONG='Proxmox VE'`, `RELEASE='8.2'`; the label is PVE, PBS, PMG or PDM.
fn proxmox(contents: &Contents<'_>) -> Option<About> {
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
fn talos(contents: &Contents<'_>) -> Option<About> {
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

fn alpine(contents: &Contents<'_>) -> Option<About> {
    let found = version(contents.text(".alpine-release")).or_else(|| version(contents.label()));
    Some(About { version: found, ..About::default() })
}

/// `/ openSUSE-Leap 15.6-0`.
fn suse(contents: &Contents<'_>) -> Option<About> {
    let products = contents.text("media.1/products");
    let line = products.lines().next().unwrap_or("").trim_start_matches(['/', ' ']);
    let title = line.split(' ').next().map(plain).filter(|title| !title.is_empty());
    Some(About { name: title.clone(), title, version: version(line) })
}
