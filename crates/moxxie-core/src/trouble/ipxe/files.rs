//! Which source file of iPXE an error comes from: bits 13 to 23 of its code.
//!
//! The numbers are those of `src/include/ipxe/errfile.h` as the author's tree had it in 2026
//! (mcb30/ipxe 3249e046, past v2.0.0), and of `src/arch/x86/include/bits/errfile.h` (ipxe/ipxe
//! 0c4e8c47). In the older trees that it was compared with (ipxe/ipxe 39ac285a and 018b13dc, the
//! forks of qemu and oracle) no number had moved; some files had another name, which stands behind
//! the newer one. A loader from another tree may know a number differently.

/// The bits of a code that name the file.
pub(super) const BITS: u32 = 0x00ff_e000;

/// A part of iPXE that numbers its files by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Area {
    /// Commands' and settings' foundation.
    Core,
    /// Buses and network cards.
    Driver,
    /// Protocols.
    Net,
    /// What is loaded and started.
    Image,
    /// Everything else: boot logic, cryptography, commands, the UEFI side.
    Other,
}

/// A source file that errors come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceFile {
    /// Its name without the ending; `new/old` where it was renamed.
    pub name: &'static str,
    /// The part of iPXE it belongs to.
    pub area: Area,
}

impl SourceFile {
    /// What the file does, in an operator's words.
    pub fn subsystem(&self) -> &'static str {
        let known = SUBSYSTEMS.iter().find(|(name, _)| *name == self.name);
        known.map_or_else(|| self.area.means(), |(_, means)| means)
    }
}

impl Area {
    fn means(self) -> &'static str {
        match self {
            Area::Core => "the core of iPXE",
            Area::Driver => "a driver of a network card or bus",
            Area::Net => "a network protocol",
            Area::Image => "loading an image",
            Area::Other => "the boot logic of iPXE",
        }
    }
}

/// Files with consecutive numbers. The lowest bits of a number are its area's.
struct Run {
    area: Area,
    first: u32,
    names: &'static [&'static str],
}

/// The file behind the bits of a code; `None` for numbers that were not given out.
pub(super) fn file(code: u32) -> Option<SourceFile> {
    all().find(|(bits, _)| *bits == code & BITS).map(|(_, file)| file)
}

/// Every file with its bits.
pub fn all() -> impl Iterator<Item = (u32, SourceFile)> {
    RUNS.iter().flat_map(|run| {
        let of = |(n, name)| (run.first + (n << 16), SourceFile { name, area: run.area });
        (0u32..).zip(run.names.iter().copied()).map(of)
    })
}

const fn run(area: Area, first: u32, names: &'static [&'static str]) -> Run {
    Run { area, first, names }
}

#[rustfmt::skip]
const RUNS: &[Run] = &[
    run(Area::Core, 0x0000_2000, &[
        "asprintf", "downloader", "exec", "hw", "iobuf", "job", "linebuf", "monojob", "nvo", "open", "posix_io",
        "resolv", "settings", "vsprintf", "xfer", "bitmap", "base64", "base16", "blockdev", "acpi",
        "null_sanboot", "edd", "parseopt", "test", "xferbuf", "pending", "null_reboot", "pinger", "fbcon",
        "ansicol", "ansicoldef", "fault", "blocktrans", "pixbuf", "efi_block", "sanboot", "dummy_sanboot",
        "fdt", "dma", "cachedhcp", "acpimac", "efi_strings", "uuid", "efi_path", "efi_mp", "efi_service",
        "null_smbios", "efi_open", "efi_table", "efi_connect", "gpio", "spcr", "disklog", "efi_disklog",
    ]),
    run(Area::Driver, 0x0000_4000, &[
        "eisa", "isa", "isapnp", "mca", "pci", "linux", "pcivpd", "usb", "usbhub", "xhci", "ehci", "uhci",
        "usbhid", "usbkbd", "usbio",
    ]),
    run(Area::Driver, 0x0010_4000, &[
        "nvs", "spi", "i2c_bit", "spi_bit", "nvsvpd", "uart", "ns16550", "dwuart",
    ]),
    run(Area::Driver, 0x0020_4000, &[
        "3c509", "bnx2", "cs89x0", "eepro", "etherfabric", "legacy", "natsemi", "pnic", "prism2_pci",
        "prism2_plx", "rtl8139", "smc9000", "tg3", "3c509_eisa", "3c515", "3c529", "3c595", "3c5x9", "3c90x",
        "amd8111e", "davicom", "depca", "dmfe",
    ]),
    run(Area::Driver, 0x0038_4000, &[
        "eepro100", "epic100", "forcedeth", "mtd80x", "ns83820", "ns8390", "pcnet32", "r8169", "sis900",
        "sundance", "tlan", "tulip", "rhine/via_rhine", "velocity/via_velocity", "w89c840", "ipoib",
        "e1000_main", "e1000e_main", "mtnic", "phantom", "ne2k_isa", "b44", "rtl818x", "sky2", "ath5k",
        "atl1e", "sis190", "myri10ge", "skge", "vxge_main", "vxge_config", "vxge_traffic", "igb_main",
        "snpnet", "snponly", "jme", "virtio_net", "tap", "igbvf_main", "ath9k", "ath", "vmxnet3", "mii",
        "realtek", "skeleton", "intel", "myson", "intelx", "snp", "netfront", "nii", "netvsc", "ecm", "ncm",
        "usbnet", "dm96xx", "scsi", "arbel", "hermon", "linda", "ata", "srp", "qib7322", "smsc75xx",
        "intelvf", "intelxvf", "smsc95xx", "acm", "eoib", "golan", "flexboot_nodnic", "virtio_pci",
    ]),
    run(Area::Driver, 0x00c0_4000, &[
        "pciea", "axge", "thunderx", "af_packet", "sfc_hunt", "efx_hunt", "exanic", "smscusb", "lan78xx",
        "ena", "icplus", "intelxl", "pcimsix", "intelxlvf", "usbblk", "iphone", "slirp", "rdc", "ice",
        "ecam", "pcibridge", "mnpnet", "gve", "aqc1xx", "atl_hw", "atl2_hw", "devtree", "cgem", "dwmac",
        "dwusb", "dwgpio", "virtio",
    ]),
    run(Area::Net, 0x0000_6000, &[
        "aoe", "arp", "dhcpopts", "ethernet", "icmpv6", "ipv4", "ipv6", "ndp", "netdevice", "nullnet", "tcp",
        "ftp", "httpcore", "iscsi", "tcpip", "udp", "dhcp", "dns", "tftp", "infiniband", "netdev_settings",
        "dhcppkt", "slam", "ib_sma", "ib_packet", "icmpv4/icmp", "ib_qset", "ib_gma", "ib_pathrec",
        "ib_mcast", "ib_cm", "net80211", "ib_mi", "ib_cmrc", "ib_srp", "sec80211", "wep", "eapol", "wpa",
        "wpa_psk", "wpa_tkip", "wpa_ccmp", "eth_slow", "fc", "fcels", "fcp", "fcoe", "fcns", "vlan",
        "oncrpc", "portmap", "nfs", "nfs_open", "mount", "oncrpc_iob", "neighbour", "socket", "icmp", "ping",
        "dhcpv6", "nfs_uri", "rndis", "pccrc", "stp", "pccrd", "httpconn", "httpauth", "httpbasic",
        "httpdigest", "peerdisc", "peerblk", "peermux", "xsigo", "ntp", "httpntlm", "eap", "lldp", "eap_md5",
        "eap_mschapv2", "syslogs",
    ]),
    run(Area::Image, 0x0000_8000, &[
        "image", "elf", "script", "segment", "efi_image", "embedded", "pnm", "png", "der", "pem", "archive",
        "zlib", "gzip", "efi_siglist", "lkrn", "initrd",
    ]),
    run(Area::Other, 0x0000_e000, &[
        "asn1", "chap", "aoeboot", "autoboot", "dhcpmgmt", "imgmgmt", "pxe_tftp", "pxe_udp", "aes/axtls_aes",
        "cipher", "image_cmd", "uri_test", "ibft", "tls", "ifmgmt", "iscsiboot", "efi_pci", "efi_snp",
        "smbios", "smbios_settings", "efi_smbios", "pxemenu", "x509", "login_ui", "ib_srpboot", "iwmgmt",
        "linux_smbios", "lotest", "config_cmd", "ifmgmt_cmd", "fcmgmt_cmd", "gdbstub_cmd", "sanboot_cmd",
        "bofm", "prompt", "nvo_cmd", "hmac_drbg", "drbg", "entropy", "rsa", "linux_entropy", "x509_test",
        "cms", "imgtrust", "menu_ui", "dynui_cmd/menu_cmd", "validator", "ocsp", "nslookup", "efi_snp_hii",
        "readline", "efi_bofm", "efi_console", "efi_debug", "efi_download", "efi_driver", "efi_file",
        "efi_init", "efi_timer", "efi_umalloc", "linux_pci", "pci_settings", "efi_reboot", "memmap_settings",
        "param_cmd", "deflate", "xenstore", "xenbus", "xengrant", "efi_utils", "efi_wrap", "vmbus",
        "efi_time", "efi_watchdog", "efi_pxe", "efi_usb", "efi_fbcon", "efi_local", "efi_entropy",
        "cert_cmd", "acpi_settings", "ntlm", "efi_veto/efi_blacklist", "efi_autoboot", "efi_autoexec",
        "efi_cachedhcp", "linux_sysfs", "linux_acpi", "dynkeymap", "pci_cmd", "dhe", "efi_cmdline",
        "efi_rng", "efi_shim", "efi_settings", "x25519", "des", "editstring", "widget_ui", "form_ui",
        "usb_cmd", "usb_settings", "weierstrass", "efi_cacert", "ecdhe", "ecdsa", "crypto_null",
    ]),
    // Files of the BIOS side carry bit 23. Its Driver numbers end before the newer drivers begin.
    run(Area::Core, 0x0080_2000, &[
        "memtop_umalloc", "memmap", "pnpbios", "bios_smbios", "biosint", "int13", "pxeparent", "runtime",
        "vmware", "guestrpc", "guestinfo", "apm", "vesafb", "int13con", "gdbmach", "rtc_entropy", "acpipwr",
        "cpuid", "rdtsc_timer", "acpi_timer", "rdrand",
    ]),
    run(Area::Driver, 0x0080_4000, &["timer_rdtsc", "timer_bios", "hvm", "hyperv", "x86_uart"]),
    run(Area::Net, 0x0080_6000, &["undi", "undiload", "undinet", "undionly", "undirom"]),
    run(Area::Image, 0x0080_8000, &[
        "bootsector", "bzimage", "eltorito", "multiboot", "nbi", "pxe_image", "elfboot", "comboot", "com32",
        "comboot_resolv", "comboot_call", "sdi", "initrd", "pxe_call",
    ]),
    run(Area::Other, 0x0080_e000, &["cpuid_cmd", "cpuid_settings"]),
];

/// What the files do that operators meet.
const SUBSYSTEMS: &[(&str, &str)] = &[
    ("downloader", "downloading a file"),
    ("exec", "running a script's command"),
    ("open", "opening a URL"),
    ("resolv", "resolving a name"),
    ("settings", "reading a setting"),
    ("blockdev", "a network disk"),
    ("sanboot", "booting a network disk"),
    ("null_sanboot", "booting a network disk, which this build cannot"),
    ("parseopt", "reading a command's options"),
    ("cachedhcp", "the lease that the firmware handed over"),
    ("xhci", "the USB 3 controller"),
    ("ehci", "the USB 2 controller"),
    ("uhci", "the USB 1 controller"),
    ("snp", "the network card through UEFI (SNP)"),
    ("snpnet", "the network card through UEFI (SNP)"),
    ("snponly", "the network card through UEFI (SNP)"),
    ("nii", "the network card through UEFI (NII/UNDI)"),
    ("mnpnet", "the network card through UEFI (MNP)"),
    ("virtio_net", "the virtio network card"),
    ("undi", "the network card through the BIOS (UNDI)"),
    ("undiload", "loading the BIOS's network driver (UNDI)"),
    ("undinet", "the network card through the BIOS (UNDI)"),
    ("undionly", "the network card through the BIOS (UNDI)"),
    ("arp", "finding a neighbor's address (ARP)"),
    ("neighbour", "finding a neighbor's address"),
    ("dhcp", "DHCP"),
    ("dhcpmgmt", "DHCP"),
    ("dhcppkt", "DHCP packets"),
    ("dhcpopts", "DHCP options"),
    ("dhcpv6", "DHCP for IPv6"),
    ("dns", "DNS"),
    ("ethernet", "Ethernet"),
    ("eth_slow", "LACP and other slow protocols"),
    ("stp", "spanning tree"),
    ("vlan", "VLANs"),
    ("lldp", "LLDP"),
    ("eap", "802.1X"),
    ("eapol", "802.1X"),
    ("icmpv4/icmp", "ICMP"),
    ("icmp", "ICMP"),
    ("icmpv6", "ICMP for IPv6"),
    ("ipv4", "IPv4"),
    ("ipv6", "IPv6"),
    ("ndp", "finding IPv6 neighbors and routers"),
    ("netdevice", "the network interface"),
    ("tcp", "a TCP connection"),
    ("tcpip", "TCP/IP"),
    ("udp", "UDP"),
    ("tftp", "TFTP"),
    ("ftp", "FTP"),
    ("nfs", "NFS"),
    ("nfs_open", "NFS"),
    ("nfs_uri", "an NFS URL"),
    ("mount", "mounting NFS"),
    ("httpcore", "HTTP"),
    ("httpconn", "an HTTP connection"),
    ("httpauth", "HTTP authentication"),
    ("httpbasic", "HTTP authentication"),
    ("httpdigest", "HTTP authentication"),
    ("httpntlm", "HTTP authentication (NTLM)"),
    ("iscsi", "iSCSI"),
    ("iscsiboot", "booting from iSCSI"),
    ("aoe", "ATA over Ethernet"),
    ("infiniband", "InfiniBand"),
    ("fc", "Fibre Channel"),
    ("fcoe", "Fibre Channel over Ethernet"),
    ("ntp", "setting the clock (NTP)"),
    ("syslogs", "sending the log"),
    ("image", "an image that was loaded"),
    ("script", "an iPXE script"),
    ("elf", "an ELF image"),
    ("bzimage", "a Linux kernel (BIOS)"),
    ("lkrn", "a Linux kernel"),
    ("initrd", "an initrd"),
    ("multiboot", "a Multiboot image"),
    ("pxe_image", "a PXE boot program"),
    ("bootsector", "a boot sector"),
    ("efi_image", "a UEFI program"),
    ("efi_shim", "the shim of Secure Boot"),
    ("efi_autoexec", "looking for autoexec.ipxe"),
    ("efi_file", "handing files to a UEFI program"),
    ("efi_pci", "a PCI device through UEFI"),
    ("efi_snp", "handing the network to a UEFI program"),
    ("efi_connect", "connecting UEFI drivers"),
    ("efi_driver", "connecting UEFI drivers"),
    ("efi_cachedhcp", "the lease that UEFI handed over"),
    ("autoboot", "automatic boot"),
    ("ifmgmt", "configuring the network interface"),
    ("ifmgmt_cmd", "an interface command"),
    ("image_cmd", "an image command"),
    ("imgmgmt", "downloading an image"),
    ("imgtrust", "checking an image's signature"),
    ("sanboot_cmd", "booting a disk"),
    ("pxemenu", "the PXE menu"),
    ("pxe_tftp", "TFTP for a PXE program"),
    ("asn1", "a certificate's encoding"),
    ("x509", "certificates"),
    ("validator", "checking certificates"),
    ("ocsp", "asking whether a certificate is revoked"),
    ("cms", "a signature or encrypted message"),
    ("tls", "TLS (https)"),
    ("rsa", "RSA"),
    ("ecdsa", "ECDSA"),
    ("entropy", "random numbers"),
    ("rtc_entropy", "random numbers"),
    ("rdrand", "random numbers"),
    ("menu_ui", "a menu"),
    ("login_ui", "the login form"),
    ("prompt", "a prompt"),
    ("smbios", "the machine's SMBIOS data"),
];
