//! The table of known images. To add one: a row, and an image of it in the tests.

use super::about::{
    About, alpine, arch, disk_info, fedora, label, live, proxmox, red_hat, suse, system_rescue, talos, ubuntu,
};
use super::contents::Contents;

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
