# shellcheck shell=bash
# What the machines boot: a small Linux made from Debian's installer kernel, and local disks that say so.

hex_bytes() { # hex digits -> bytes
    local hex=${1//[[:space:]]/}
    # shellcheck disable=SC2001
    printf "$(sed 's/../\\x&/g' <<< "$hex")"
}
hex_text() { od -An -v -tx1 | tr -d ' \n'; } # bytes -> hex digits
le32() { printf '%02x%02x%02x%02x' $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24 & 255)); }
zeros() { printf '%0*d' $(($1 * 2)) 0; } # N zero bytes as hex

DISK_SAYS='LOCAL DISK BOOTED'

# make_local_disk bios|uefi: sets LOCAL_DISK. Both hold a few bytes of machine code, written here by hand so that
# no assembler is needed, which send DISK_SAYS to the first serial port and stop.
make_local_disk() {
    local fw=$1 message
    message=$(printf '\r\n%s (%s)\r\n' "$DISK_SAYS" "$fw" | hex_text)00
    if [[ $fw == bios ]]; then
        LOCAL_DISK=$WORK/disk-bios.img
        [[ -e $LOCAL_DISK ]] && return 0
        local code
        #     cli; cld; xor ax,ax; mov ds,ax; mov si,0x7c24
        code='fa fc 31c0 8ed8 be247c'
        # next: lodsb; test al,al; jz stop; mov ah,al; mov dx,0x3fd
        code+='ac 84c0 7411 88c4 bafd03'
        # wait: in al,dx; test al,0x20; jz wait; mov dl,0xf8; mov al,ah; out dx,al; jmp next
        code+='ec a820 74fb b2f8 88e0 ee ebea'
        # stop: hlt; jmp stop
        code+='f4 ebfd'
        code=${code//[[:space:]]/}
        code+=$(zeros $((36 - ${#code} / 2)))$message
        hex_bytes "$code$(zeros $((510 - ${#code} / 2)))55aa" > "$LOCAL_DISK"
        truncate -s 1M "$LOCAL_DISK"
    else
        # QEMU shows a folder as a FAT disk; firmware looks for this path on a disk without boot entries.
        LOCAL_DISK=fat:$WORK/disk-uefi
        mkdir -p "$WORK/disk-uefi/EFI/BOOT"
        local efi=$WORK/disk-uefi/EFI/BOOT/BOOTX64.EFI
        [[ -e $efi ]] || efi_program "$message" > "$efi"
    fi
}

# efi_program MESSAGE_HEX: a PE32+ file with one section of code at 0x1000, for x86-64 UEFI.
efi_program() {
    local code dos pe opt section
    #     cli; cld; lea rsi,[rip+0x1a]: the message right behind the code
    code='fa fc 488d351a000000'
    # next: lodsb; test al,al; jz stop; mov ah,al; mov dx,0x3fd
    code+='ac 84c0 7412 88c4 66bafd03'
    # wait: in al,dx; test al,0x20; jz wait; mov dl,0xf8; mov al,ah; out dx,al; jmp next
    code+='ec a820 74fb b2f8 88e0 ee ebe9'
    # stop: hlt; jmp stop
    code+='f4 ebfd'
    code=${code//[[:space:]]/}$1
    dos="4d5a$(zeros 58)$(le32 64)"
    # signature; machine x86-64, 1 section, no symbols, optional header of 240 bytes, executable
    pe='50450000 6486 0100 00000000 00000000 00000000 f000 2200'
    # PE32+; code size, data, bss; entry 0x1000; base of code; image base; alignments 0x1000 and 0x200
    opt="0b02 0000 $(le32 512) $(le32 0) $(le32 0) $(le32 4096) $(le32 4096) 0000400000000000 $(le32 4096) $(le32 512)"
    # versions; image size 0x2000, headers 0x200, checksum; EFI application; stack, heap; 16 empty directories
    opt+="$(zeros 16) $(le32 8192) $(le32 512) $(le32 0) 0a00 0000 $(zeros 32) $(le32 0) $(le32 16) $(zeros 128)"
    # .text: size, address 0x1000, raw size and offset 0x200; code, executable, readable
    section="2e74657874000000 $(le32 $((${#code} / 2))) $(le32 4096) $(le32 512) $(le32 512) $(zeros 12) $(le32 $((0x60000020)))"
    local head=$dos$pe$opt$section
    head=${head//[[:space:]]/}
    hex_bytes "$head$(zeros $((512 - ${#head} / 2)))$code$(zeros $((512 - ${#code} / 2)))"
}

# make_tiny_linux DIR: DIR/linux and DIR/initrd.gz, a Linux that does what scripts/lab/tiny-init says.
make_tiny_linux() {
    local dir=$1 root=$1/root modules
    mkdir -p "$root"/{bin,dev,etc,proc,sys,tmp,modules}
    cp "$DI/linux" "$dir/linux"
    cp /bin/busybox "$root/bin/busybox"
    cp "$LAB/tiny-init" "$root/init"
    chmod 755 "$root/init"
    # The network drivers come out of the installer's own initrd: they fit its kernel, and no other package is needed.
    modules=(virtio virtio_ring virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci failover net_failover virtio_net e1000)
    (
        cd "$dir"
        mkdir -p di
        cd di
        zcat "$DI/initrd.gz" | cpio -id --quiet 'lib/modules/*/kernel/drivers/virtio/*.ko' \
            'lib/modules/*/kernel/net/core/failover.ko' 'lib/modules/*/kernel/drivers/net/*.ko' \
            'lib/modules/*/kernel/drivers/net/ethernet/intel/e1000/e1000.ko'
    )
    local name file
    for name in "${modules[@]}"; do
        file=$(find "$dir/di" -name "$name.ko" -print -quit)
        [[ -n $file ]] || continue # built into this kernel
        cp "$file" "$root/modules/"
        echo "$name" >> "$root/modules/order"
    done
    grep -q virtio_net "$root/modules/order" || die "no virtio_net driver in $DI/initrd.gz"
    (cd "$root" && find . | cpio -o -H newc --quiet | gzip -6) > "$dir/initrd.gz"
    rm -rf "$dir/di" "$root"
}

# make_ubuntu_iso FILE: a small image with the layout of Ubuntu's live server image; $TINY's Linux is in it.
make_ubuntu_iso() {
    local root=$WORK/iso-root
    mkdir -p "$root/casper" "$root/.disk"
    cp "$TINY/linux" "$root/casper/vmlinuz"
    cp "$TINY/initrd.gz" "$root/casper/initrd"
    echo 'Ubuntu-Server 24.04 LTS "Noble Numbat" - Release amd64 (20240423)' > "$root/.disk/info"
    xorriso -as mkisofs -quiet -r -J -V 'Ubuntu-Server 24.04 LTS amd64' -o "$1" "$root"
    rm -rf "$root"
}

# lab_mirror: the installer's netboot files in the layout of a Debian mirror, with their sums. Sets MIRROR_URL.
lab_mirror() {
    local root=$WORK/mirror images=debian/dists/bookworm/main/installer-amd64/current/images
    local netboot=$images/netboot/debian-installer/amd64
    mkdir -p "$root/$netboot"
    ln -s "$DI/linux" "$DI/initrd.gz" "$root/$netboot/"
    (cd "$root/$images" && find . -type l -exec sha256sum {} + > SHA256SUMS)
    ip netns exec "$LAB_NS" busybox httpd -f -p "$LAB_IP:8081" -h "$root" &
    on_exit "stop_pid $!"
    MIRROR_URL=http://$LAB_IP:8081/debian
    wait_until 10 "the mirror answers" in_lab curl -sf -o /dev/null "$MIRROR_URL/dists/bookworm/main/installer-amd64/current/images/SHA256SUMS"
}
