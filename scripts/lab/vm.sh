# shellcheck shell=bash
# Boots one virtual machine from the lab's network with real firmware.

DI=/usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64
ACCEL=

# KVM only when it is shown to work. /dev/kvm alone proves nothing: on a paravirtual KVM (no vmx or svm)
# SeaBIOS runs, but iPXE, OVMF and Linux hang. LAB_ACCEL decides without asking.
choose_accel() {
    [[ -n $ACCEL ]] && return 0
    ACCEL=${LAB_ACCEL:-}
    [[ -n $ACCEL ]] && return 0
    ACCEL=tcg,tb-size=64
    if [[ -w /dev/kvm ]] && grep -qwE 'vmx|svm' /proc/cpuinfo; then
        local out
        out=$(timeout -k 2 20 qemu-system-x86_64 -nodefaults -display none -machine pc,graphics=off -accel kvm -cpu host -m 256 \
            -no-reboot -serial stdio -kernel "$DI/linux" -append "console=ttyS0 panic=-1" < /dev/null 2> /dev/null | tr -d '\000') || true
        [[ $out != *"Linux version"* ]] || ACCEL=kvm
    fi
}

ovmf_file() { # CODE|VARS
    local f
    for f in "/usr/share/OVMF/OVMF_$1_4M.fd" "/usr/share/OVMF/OVMF_$1.fd"; do
        [[ -r $f ]] && echo "$f" && return
    done
    die "no OVMF_$1 file under /usr/share/OVMF"
}

# The serial log as text: without terminal control sequences.
serial_text() { tr -d '\000\r' < "$1" | sed -E 's/\x1b\[[0-9;?=]*[A-Za-z]//g; s/\x1b([()][A-Z0-9]|c)//g'; }
serial_has() { # LOG REGEX; reads to the end, because with pipefail a writer cut off by grep -q counts as a failure
    local n
    n=$(serial_text "$1" | grep -caE -- "$2") || true
    ((n > 0))
}

show_serial() { # LOG [LINES]
    note "--- the last lines of the machine's serial line ($1)"
    serial_text "$1" | grep -av '^[[:space:]]*$' | tail -n "${2:-40}" | cut -c1-200 | sed 's/^/    /' >&2
    note "---"
}

# monitor COMMAND: one command to the running machine's QEMU.
monitor() { { printf '%s\n' "$1"; sleep 1; } | socat - "UNIX-CONNECT:$VM_MONITOR" > /dev/null 2>&1; }

# boot --fw bios|uefi|http --mac MAC --log FILE (--expect REGEX | --until COMMAND) [--uuid U] [--mem MB]
#      [--disk] [--display] [--timeout S] [--quiet]
# Succeeds as soon as the serial line shows REGEX, or COMMAND succeeds; the machine is switched off then.
# --disk adds a local disk that says LOCAL DISK BOOTED; --display a graphics card and the monitor VM_MONITOR.
boot() {
    local fw=bios mac='' log='' expect='' until='' uuid='' mem='' timeout=${LAB_TIMEOUT:-300} disk=0 display=0 quiet=0
    while (($#)); do
        case $1 in
            --fw) fw=$2; shift ;;
            --mac) mac=$2; shift ;;
            --log) log=$2; shift ;;
            --expect) expect=$2; shift ;;
            --until) until=$2; shift ;;
            --uuid) uuid=$2; shift ;;
            --mem) mem=$2; shift ;;
            --timeout) timeout=$2; shift ;;
            --disk) disk=1 ;;
            --display) display=1 ;;
            --quiet) quiet=1 ;;
            *) die "boot: unknown word $1" ;;
        esac
        shift
    done
    [[ -n $mac && -n $log && -n $expect$until ]] || die "boot: --mac, --log and --expect or --until are needed"
    choose_accel
    lab_tap
    local tap=$TAP cpu=max start=$SECONDS met=0 over=0 plugged=1 args
    [[ $ACCEL == kvm* ]] && cpu=host
    : > "$log"
    args=(-nodefaults -no-user-config -display none -accel "$ACCEL" -cpu "$cpu" -serial "file:$log" -no-reboot)
    args+=(-netdev "tap,id=n0,ifname=$tap,script=no,downscript=no")
    case $fw in
        bios) # the network card's own iPXE ROM asks DHCP and runs the menu
            args+=(-machine "pc,graphics=off" -m "${mem:-192}" -boot reboot-timeout=1)
            args+=(-device "virtio-net-pci,netdev=n0,mac=$mac,bootindex=0")
            ;;
        uefi | http) # no ROM: the firmware's own PXE loads snponly.efi by TFTP, or its HTTP boot does, and that asks DHCP again
            cp "$(ovmf_file VARS)" "$log.vars"
            args+=(-machine q35 -m "${mem:-256}")
            args+=(-drive "if=pflash,format=raw,unit=0,readonly=on,file=$(ovmf_file CODE)")
            args+=(-drive "if=pflash,format=raw,unit=1,file=$log.vars")
            args+=(-device "virtio-net-pci,netdev=n0,mac=$mac,romfile=,bootindex=0")
            # Without PXE the firmware's next try is HTTP boot (OVMF).
            [[ $fw == uefi ]] || args+=(-fw_cfg name=opt/org.tianocore/IPv4PXESupport,string=n -fw_cfg name=opt/org.tianocore/IPv6PXESupport,string=n)
            ;;
        *) die "boot: firmware is bios, uefi or http, not $fw" ;;
    esac
    [[ -n $uuid ]] && args+=(-uuid "$uuid")
    if ((disk)); then
        make_local_disk "$fw"
        args+=(-drive "if=none,id=d0,format=raw,readonly=on,file=$LOCAL_DISK" -device "virtio-blk-pci,drive=d0,bootindex=1")
    fi
    VM_MONITOR=$log.monitor
    ((display)) && args+=(-device VGA)
    args+=(-monitor "unix:$VM_MONITOR,server=on,wait=off")

    ip netns exec "$LAB_NS" qemu-system-x86_64 "${args[@]}" > "$log.qemu" 2>&1 &
    VM_PID=$!
    on_exit "stop_pid $VM_PID"
    while :; do
        alive "$VM_PID" || over=1
        if [[ -n $expect ]] && serial_has "$log" "$expect"; then met=1; fi
        if [[ -n $until ]] && eval "$until"; then met=1; fi
        # OVMF tries every other network entry of the card (IPv6, HTTP: minutes of waiting) before the disk, where a real
        # machine has its disk next. When iPXE has given the machine back to the firmware, the cable is pulled.
        if ((disk && plugged)) && [[ $fw != bios ]] && serial_has "$log" 'No more network devices'; then
            monitor 'set_link n0 off' && plugged=0
        fi
        ((met || over || SECONDS - start >= timeout)) && break
        sleep 0.5
    done
    stop_pid "$VM_PID"
    ip -n "$LAB_NS" link del "$tap" 2>/dev/null || true
    rm -f "$log.vars"
    BOOT_SECONDS=$((SECONDS - start))
    ((met)) && return 0
    if ((over)); then
        note "boot: the machine switched itself off without: ${expect:-$until}"
    else
        note "boot: nothing after $timeout s of: ${expect:-$until}"
    fi
    [[ -s $log.qemu ]] && sed 's/^/    qemu: /' "$log.qemu" >&2
    ((quiet)) || show_serial "$log"
    return 1
}
