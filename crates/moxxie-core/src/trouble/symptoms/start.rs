//! From bytes in memory to a running kernel.

use super::Symptom;

#[rustfmt::skip]
pub(super) const SYMPTOMS: &[Symptom] = &[
    Symptom {
        id: "exec-format",
        title: "Exec format error, or straight back to the firmware's menu",
        seen: &["Exec format error", "2e0080", "Not a valid image", "Unsupported"],
        cause: "The file is for another firmware or processor: a .kpxe on UEFI, an .efi on BIOS, arm64 on x64, memdisk on UEFI.",
        check: "Compare option 93 of the machine with the file it was given.",
        fix: "Mend the map: 0 `undionly.kpxe`, 6 `ipxe-i386.efi`, 7 and 9 `ipxe.efi`, 11 `ipxe-arm64.efi`.",
        vendors: &["mikrotik", "fs", "dnsmasq", "kea", "isc-dhcpd", "cisco-ios", "windows"],
        sources: &["github.com/netbootxyz/netboot.xyz issue 383", "github.com/ipxe/ipxe issue 742"],
    },
    Symptom {
        id: "uefi-32-bit",
        title: "A machine with 32-bit UEFI is given a 64-bit file",
        seen: &["option 93 = 6", "arch 6", "IA32", "ipxe-i386.efi"],
        cause: "The firmware is 32-bit (architecture 6) although the processor is not, as in some small machines.",
        check: "Is option 93 of the machine 6?",
        fix: "Give it `ipxe-i386.efi`. There is no signed chain for it: Secure Boot has to be off.",
        vendors: &[],
        sources: &["fog-docs:docs/installation/network-setup/proxy-dhcp.md"],
    },
    Symptom {
        id: "secure-boot",
        title: "Secure Boot: access denied, security violation",
        seen: &["Access Denied", "Security Violation", "Secure Boot Violation", "7f0481", "7f0482", "Verification failed"],
        cause: "Loader or kernel are not signed by a key that the firmware knows. Some laptops switch the third-party UEFI CA off.",
        check: "Is Secure Boot on? Is the third-party CA allowed in the firmware's set-up menu?",
        fix: "Boot through the signed shim and iPXE 2, with a signed kernel; or switch Secure Boot off.",
        vendors: &[],
        sources: &["ipxe:src/image/efi_image.c", "netboot.xyz:CHANGELOG.md"],
    },
    Symptom {
        id: "no-root-fs",
        title: "Kernel panic: unable to mount root fs",
        seen: &["VFS: Unable to mount root fs", "Kernel panic - not syncing", "No working init found"],
        cause: "The kernel did not get its initrd: UEFI with an older kernel needs `initrd=NAME`, the initrd came in half, or there is too little RAM to unpack it.",
        check: "Compare the initrd's size on the screen with the file's. Is `initrd=` with the image's name among the arguments?",
        fix: "Add `initrd=NAME` (Talos: `initrd=initramfs.xz`); more RAM; load the file again.",
        vendors: &[],
        sources: &["siderolabs/docs, matchbox", "ipxe:src/interface/efi/efi_file.c"],
    },
];
