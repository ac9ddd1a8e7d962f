//! Images as their makers build them, reduced to the files by which they are known. Used here on
//! lists of paths, and by the service's tests on real images that are made of them.

/// An image and what should be found out about it.
pub struct Image {
    /// The volume id.
    pub label: &'static str,
    /// Files with a text in them.
    pub texts: &'static [(&'static str, &'static str)],
    /// Files whose bytes do not matter.
    pub files: &'static [&'static str],
    pub system: &'static str,
    pub version: Option<&'static str>,
    pub arch: Option<&'static str>,
    /// The suggested profile: name, type, description.
    pub profile: (&'static str, &'static str, &'static str),
    /// Kernel and initrds, in the order they are loaded.
    pub boot: &'static [&'static str],
    pub keep_image: bool,
    pub destructive: Option<bool>,
    /// The kernel arguments; the image is called `image.iso`.
    pub boot_params: &'static str,
    /// A word that the notes must have; empty for none.
    pub note: &'static str,
}

const NONE: Image = Image {
    label: "",
    texts: &[],
    files: &[],
    system: "",
    version: None,
    arch: Some("amd64"),
    profile: ("", "custom", ""),
    boot: &[],
    keep_image: true,
    destructive: None,
    boot_params: "",
    note: "",
};

pub const IMAGES: &[Image] = &[
    Image {
        label: "Ubuntu-Server 24.04.1 LTS amd64",
        texts: &[(".disk/info", "Ubuntu-Server 24.04.1 LTS \"Noble Numbat\" - Release amd64 (20240827)")],
        files: &[
            "casper/vmlinuz",
            "casper/initrd",
            "casper/hwe-vmlinuz",
            "casper/hwe-initrd",
            "casper/ubuntu-server-minimal.squashfs",
            "boot/grub/grub.cfg",
        ],
        system: "ubuntu",
        version: Some("24.04.1"),
        profile: ("ubuntu-24-04", "custom", "Ubuntu Server 24.04.1"),
        boot: &["casper/vmlinuz", "casper/initrd"],
        boot_params: "root=/dev/ram0 ramdisk_size=1500000 cloud-config-url=/dev/null ip=dhcp url={{ moxxie.asset_url }}/image.iso",
        note: "memory",
        ..NONE
    },
    Image {
        label: "Debian 12.5.0 amd64 n",
        texts: &[(
            ".disk/info",
            "Debian GNU/Linux 12.5.0 \"Bookworm\" - Official amd64 NETINST with firmware 20240210-11:27",
        )],
        files: &[
            "install.amd/vmlinuz",
            "install.amd/initrd.gz",
            "install.amd/gtk/vmlinuz",
            "install.amd/gtk/initrd.gz",
        ],
        system: "debian",
        version: Some("12.5.0"),
        profile: ("debian-12", "debian", "Debian 12.5.0"),
        boot: &["install.amd/vmlinuz", "install.amd/initrd.gz"],
        keep_image: false,
        boot_params: "--- quiet",
        note: "moxxie asset fetch debian",
        ..NONE
    },
    Image {
        label: "Debian 13.1.0 arm64 1",
        texts: &[(".disk/info", "Debian GNU/Linux 13.1.0 \"Trixie\" - Official arm64 DVD Binary-1")],
        files: &["install.a64/vmlinuz", "install.a64/initrd.gz", "pool/main/l/linux/linux-image.deb"],
        system: "debian",
        version: Some("13.1.0"),
        arch: Some("arm64"),
        profile: ("debian-13", "debian", "Debian 13.1.0"),
        boot: &["install.a64/vmlinuz", "install.a64/initrd.gz"],
        keep_image: false,
        boot_params: "--- quiet",
        note: "moxxie asset fetch debian",
        ..NONE
    },
    Image {
        label: "d-live 12.5.0 st amd64",
        texts: &[(".disk/info", "Debian GNU/Linux Live 12.5.0 \"Bookworm\" - amd64 Standard")],
        files: &[
            "live/vmlinuz-6.1.0-18-amd64",
            "live/initrd.img-6.1.0-18-amd64",
            "live/filesystem.squashfs",
            "install/vmlinuz",
        ],
        system: "debian-live",
        version: Some("12.5.0"),
        profile: ("debian-live-12", "custom", "Debian live 12.5.0"),
        boot: &["live/vmlinuz-6.1.0-18-amd64", "live/initrd.img-6.1.0-18-amd64"],
        destructive: Some(false),
        boot_params: "boot=live components fetch={{ moxxie.asset_url }}/image.iso/live/filesystem.squashfs",
        note: "IP address",
        ..NONE
    },
    Image {
        label: "GParted-live",
        files: &["live/vmlinuz", "live/initrd.img", "live/filesystem.squashfs"],
        system: "debian-live",
        profile: ("gparted", "custom", "GParted"),
        boot: &["live/vmlinuz", "live/initrd.img"],
        destructive: Some(false),
        boot_params: "boot=live components fetch={{ moxxie.asset_url }}/image.iso/live/filesystem.squashfs",
        note: "IP address",
        ..NONE
    },
    Image {
        label: "Rocky-9-4-x86_64-dvd",
        texts: &[(
            ".treeinfo",
            "[general]\narch = x86_64\nfamily = Rocky Linux\nname = Rocky Linux 9.4\nversion = 9.4\n",
        )],
        files: &[
            "images/pxeboot/vmlinuz",
            "images/pxeboot/initrd.img",
            "images/install.img",
            "BaseOS/repodata/repomd.xml",
            "AppStream/repodata/repomd.xml",
        ],
        system: "rhel",
        version: Some("9.4"),
        profile: ("rocky-9-4", "custom", "Rocky Linux 9.4"),
        boot: &["images/pxeboot/vmlinuz", "images/pxeboot/initrd.img"],
        boot_params: "inst.repo={{ moxxie.asset_url }}/image.iso/ ip=dhcp",
        note: "kickstart",
        ..NONE
    },
    Image {
        label: "AlmaLinux-10-0-x86_64-boot",
        texts: &[(".treeinfo", "[general]\nfamily = AlmaLinux\nversion = 10.0\n")],
        files: &["images/pxeboot/vmlinuz", "images/pxeboot/initrd.img", "images/install.img"],
        system: "rhel",
        version: Some("10.0"),
        profile: ("almalinux-10-0", "custom", "AlmaLinux 10.0"),
        boot: &["images/pxeboot/vmlinuz", "images/pxeboot/initrd.img"],
        boot_params: "inst.stage2={{ moxxie.asset_url }}/image.iso/ ip=dhcp",
        note: "inst.repo",
        ..NONE
    },
    Image {
        label: "Fedora-S-dvd-x86_64-41",
        texts: &[(".treeinfo", "[general]\nfamily = Fedora\nversion = 41\n")],
        files: &[
            "images/pxeboot/vmlinuz",
            "images/pxeboot/initrd.img",
            "images/install.img",
            "repodata/repomd.xml",
        ],
        system: "fedora",
        version: Some("41"),
        profile: ("fedora-41", "custom", "Fedora 41"),
        boot: &["images/pxeboot/vmlinuz", "images/pxeboot/initrd.img"],
        boot_params: "inst.repo={{ moxxie.asset_url }}/image.iso/ ip=dhcp",
        note: "kickstart",
        ..NONE
    },
    Image {
        label: "Fedora-WS-Live-41-1-4",
        files: &["images/pxeboot/vmlinuz", "images/pxeboot/initrd.img", "LiveOS/squashfs.img"],
        system: "fedora-live",
        version: Some("41"),
        profile: ("fedora-live-41", "custom", "Fedora live 41"),
        boot: &["images/pxeboot/vmlinuz", "images/pxeboot/initrd.img"],
        destructive: Some(false),
        boot_params: "root=live:{{ moxxie.asset_url }}/image.iso/LiveOS/squashfs.img rd.live.image ip=dhcp",
        note: "memory",
        ..NONE
    },
    Image {
        label: "RESCUE1101",
        texts: &[("sysresccd/VERSION", "11.01\n")],
        files: &[
            "sysresccd/boot/x86_64/vmlinuz",
            "sysresccd/boot/x86_64/sysresccd.img",
            "sysresccd/boot/intel_ucode.img",
            "sysresccd/boot/amd_ucode.img",
            "sysresccd/x86_64/airootfs.sfs",
            "sysresccd/x86_64/airootfs.sha512",
        ],
        system: "systemrescue",
        version: Some("11.01"),
        profile: ("systemrescue-11-01", "custom", "SystemRescue 11.01"),
        boot: &[
            "sysresccd/boot/x86_64/vmlinuz",
            "sysresccd/boot/intel_ucode.img",
            "sysresccd/boot/amd_ucode.img",
            "sysresccd/boot/x86_64/sysresccd.img",
        ],
        destructive: Some(false),
        boot_params: "archisobasedir=sysresccd ip=dhcp archiso_http_srv={{ moxxie.asset_url }}/image.iso/ checksum",
        note: "memory",
        ..NONE
    },
    Image {
        label: "RESCUE1200",
        files: &["sysresccd/boot/x86_64/vmlinuz", "sysresccd/boot/x86_64/sysresccd.img"],
        system: "systemrescue",
        version: Some("12.00"),
        profile: ("systemrescue-12-00", "custom", "SystemRescue 12.00"),
        boot: &["sysresccd/boot/x86_64/vmlinuz", "sysresccd/boot/x86_64/sysresccd.img"],
        destructive: Some(false),
        boot_params: "archisobasedir=sysresccd ip=dhcp archiso_http_srv={{ moxxie.asset_url }}/image.iso/ checksum",
        note: "memory",
        ..NONE
    },
    Image {
        label: "ARCH_202411",
        texts: &[("arch/version", "2024.11.01\n")],
        files: &[
            "arch/boot/x86_64/vmlinuz-linux",
            "arch/boot/x86_64/initramfs-linux.img",
            "arch/x86_64/airootfs.sfs",
        ],
        system: "arch",
        version: Some("2024.11.01"),
        profile: ("arch-2024-11", "custom", "Arch Linux 2024.11.01"),
        boot: &["arch/boot/x86_64/vmlinuz-linux", "arch/boot/x86_64/initramfs-linux.img"],
        destructive: Some(false),
        boot_params: "archisobasedir=arch ip=dhcp archiso_http_srv={{ moxxie.asset_url }}/image.iso/ checksum=y",
        note: "memory",
        ..NONE
    },
    Image {
        label: "PVE",
        texts: &[(".cd-info", "PRODUCT='pve'\nPRODUCTLONG='Proxmox VE'\nRELEASE='8.2'\nISORELEASE='1'\n")],
        files: &["boot/linux26", "boot/initrd.img", "pve-base.squashfs"],
        system: "proxmox",
        version: Some("8.2"),
        profile: ("proxmox-pve-8-2", "custom", "Proxmox VE 8.2"),
        boot: &["boot/linux26", "boot/initrd.img"],
        boot_params: "ramdisk_size=16777216 rw quiet splash=silent",
        note: "proxmox-auto-install-assistant",
        ..NONE
    },
    Image {
        label: "PBS",
        texts: &[
            (".cd-info", "PRODUCT='pbs'\nRELEASE='3.2'\n"),
            ("auto-installer-mode.toml", "mode = \"http\"\n"),
        ],
        files: &["boot/linux26", "boot/initrd.img"],
        system: "proxmox",
        version: Some("3.2"),
        profile: ("proxmox-pbs-3-2", "custom", "Proxmox Backup Server 3.2"),
        boot: &["boot/linux26", "boot/initrd.img"],
        boot_params: "ramdisk_size=16777216 rw quiet splash=silent proxmox-start-auto-installer",
        note: "proxmox.cpio",
        ..NONE
    },
    Image {
        label: "TALOS_V1_13_9",
        files: &["boot/vmlinuz", "boot/initramfs.xz"],
        system: "talos",
        version: Some("1.13.9"),
        profile: ("talos-1-13", "talos", "Talos Linux 1.13.9"),
        boot: &["boot/vmlinuz", "boot/initramfs.xz"],
        keep_image: false,
        note: "config_template",
        ..NONE
    },
    Image {
        label: "ISOIMAGE",
        texts: &[("boot/grub/grub.cfg", "linux /boot/vmlinuz talos.platform=metal console=tty0\n")],
        files: &["boot/vmlinuz", "boot/initramfs.xz"],
        system: "talos",
        profile: ("talos", "talos", "Talos Linux"),
        boot: &["boot/vmlinuz", "boot/initramfs.xz"],
        keep_image: false,
        note: "config_template",
        ..NONE
    },
    Image {
        label: "alpine-std 3.20.3 x86_64",
        texts: &[(".alpine-release", "alpine-standard 3.20.3 240906\n")],
        files: &["boot/vmlinuz-lts", "boot/initramfs-lts", "boot/modloop-lts", "apks/x86_64/APKINDEX.tar.gz"],
        system: "alpine",
        version: Some("3.20.3"),
        profile: ("alpine-3-20", "custom", "Alpine Linux 3.20.3"),
        boot: &["boot/vmlinuz-lts", "boot/initramfs-lts"],
        destructive: Some(false),
        boot_params: "ip=dhcp modules=loop,squashfs alpine_repo={{ moxxie.asset_url }}/image.iso/apks modloop={{ moxxie.asset_url }}/image.iso/boot/modloop-lts",
        note: "drivers",
        ..NONE
    },
    Image {
        label: "openSUSE-Leap-15.6-DVD-x86_64",
        texts: &[("media.1/products", "/ openSUSE-Leap 15.6-0\n")],
        files: &["boot/x86_64/loader/linux", "boot/x86_64/loader/initrd", "boot/x86_64/root"],
        system: "opensuse",
        version: Some("15.6"),
        profile: ("opensuse-leap-15-6", "custom", "openSUSE-Leap 15.6"),
        boot: &["boot/x86_64/loader/linux", "boot/x86_64/loader/initrd"],
        boot_params: "install={{ moxxie.asset_url }}/image.iso/ ifcfg=*=dhcp",
        note: "AutoYaST",
        ..NONE
    },
    // What nobody knows, with one kernel and one initrd.
    Image {
        label: "HOMEMADE",
        files: &["kernel/vmlinuz-6.6", "kernel/initramfs-6.6.img", "isolinux/isolinux.cfg"],
        system: "generic",
        arch: None,
        profile: ("image", "custom", "Kernel and initrd of image.iso"),
        boot: &["kernel/vmlinuz-6.6", "kernel/initramfs-6.6.img"],
        note: "boot menu",
        ..NONE
    },
];
