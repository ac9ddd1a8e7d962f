# shellcheck shell=bash
# Real DHCP servers, each in a network namespace of its own, plugged into the lab's bridge like a switch or router.
# Needs lab_up (net.sh).

SWITCH_COUNT=0
SWITCH_POOL=198.18.16 # addresses that servers give: .10 to .250 of this network, as a /16
SWITCH_MENU=$LAB_URL/boot/menu.ipxe
SWITCH_HTTP=$LAB_URL/boot/firmware

# lab_switch [dnsmasq|kea|dhcpd]: the site's server, configured by `moxxie network-config` and by nothing else.
# Needs start_server. dnsmasq hands out the loaders itself; for Kea and dhcpd, which cannot, Moxxie does.
lab_switch() {
    local server=${1:-dnsmasq} loaders=()
    [[ $server != *-embedded ]] || loaders=("$LAB_IPXE")
    moxxie firmware import "${loaders[@]}" > "$WORK/firmware.out"
    switch_config "$server" "$WORK/$server.conf"
    switch_start "$server" "$WORK/$server.conf"
}

# switch_config SERVER FILE: what the site's server is told.
# dnsmasq, kea and dhcpd are told what Moxxie writes for them. The others are wrong on purpose, or of another kind:
# NAME-loop has no rule for iPXE; dnsmasq-proxy is a proxyDHCP server, dnsmasq-address only gives addresses,
# dnsmasq-class says PXEClient and is no PXE server.
switch_config() {
    "config_${1//-/_}" > "$2"
}
config_generated() { # VENDOR [KEY=VALUE...]
    local vendor=$1
    shift
    # Debian 12's ipxe.efi does not give the machine back to OVMF when it is sent to its disk, snponly.efi does; and
    # where firmware has HTTP boot after PXE, the machine would be offered that before its disk.
    if [[ -n ${FW:-} ]]; then
        set -- "$@" loader=snponly
        [[ $FW == http ]] || set -- "$@" arch=bios,ia32,x64,arm64
    fi
    moxxie network-config "$vendor" subnet=198.18.0.0/16 "pool=$SWITCH_POOL.10-$SWITCH_POOL.250" "gateway=$LAB_IP" \
        interface=uplink "$@" 2> "$WORK/$vendor.notes"
}
config_dnsmasq() { config_generated dnsmasq; }
config_kea() { config_generated kea tftp=moxxie; }
config_dhcpd() { config_generated isc-dhcpd tftp=moxxie; }

config_dnsmasq_embedded() { config_generated dnsmasq stage2=embedded tftp=moxxie; }
config_dnsmasq_proxy() { config_generated dnsmasq mode=proxy tftp=moxxie arch=bios,ia32,x64,arm64; }

config_dnsmasq_loop() { config_dnsmasq | sed '/set:moxxie_ipxe/d; /tag:moxxie_ipxe/d'; }
config_kea_loop() {
    config_kea | sed '/^\/\//d' | jq '.Dhcp4."client-classes" |= (.[1:] | map(.test |= sub("not member[^ ]* and "; "")))'
}
config_dhcpd_loop() { config_dhcpd | sed 's/if option user-class = .* {/if option user-class = "nobody" {/'; }

config_dnsmasq_address() {
    cat <<CONF
interface=uplink
bind-interfaces
no-ping
dhcp-range=$SWITCH_POOL.10,$SWITCH_POOL.250,255.255.0.0,1h
dhcp-option=option:router,$LAB_IP
dhcp-option=option:dns-server,$LAB_IP
CONF
}
config_dnsmasq_class() {
    config_dnsmasq_address
    printf 'dhcp-option-force=60,PXEClient\n'
}

# switch_start SERVER FILE: runs it in a namespace of its own with an address in the lab's network. Sets SWITCH_IP, SWITCH_PID.
switch_start() {
    local kind=${1%%-*} file=$2 ns dir
    SWITCH_COUNT=$((SWITCH_COUNT + 1))
    SWITCH_IP=198.18.1.$SWITCH_COUNT
    ns=$LAB_NS-$SWITCH_COUNT dir=$WORK/switch$SWITCH_COUNT
    SWITCH_LOG=$dir/log
    mkdir -p "$dir"
    ip netns add "$ns"
    on_exit "ip netns del $ns"
    ip -n "$LAB_NS" link add "port$SWITCH_COUNT" type veth peer name uplink netns "$ns"
    ip -n "$LAB_NS" link set "port$SWITCH_COUNT" master br0 up
    ip -n "$ns" link set lo up
    ip -n "$ns" address add "$SWITCH_IP/16" dev uplink
    ip -n "$ns" link set uplink up
    "start_$kind" "$ns" "$file" "$dir" > "$SWITCH_LOG" 2>&1 &
    SWITCH_PID=$!
    on_exit "stop_pid $SWITCH_PID"
    if ! wait_until 15 "$1 starts" switch_listens "$kind" "$ns"; then
        tail -n 20 "$SWITCH_LOG" >&2
        return 1
    fi
}
# The shell of the background job becomes the server, so that its id is the server's.
# A copy of the program runs, because AppArmor keeps those of the packages to their own folders below /etc.
# `ip netns exec` gives it a mount table of its own: /var/lib is empty there, and what it keeps is gone with it.
start_dnsmasq() {
    local loaders=
    [[ $(basename "$2") != dnsmasq.conf ]] || loaders=$(config_generated dnsmasq --companion moxxie-loaders.sh)
    exec ip netns exec "$1" sh -c 'mount -t tmpfs tmpfs /var/lib && { test -z "$0" || sh -c "$0" || true; } && exec dnsmasq "$@"' "$loaders" \
        --keep-in-foreground --conf-file="$2" --pid-file="$3/pid" --dhcp-leasefile="$3/leases" \
        --port=0 --user=root --group=root --log-dhcp --log-facility=-
}
start_kea() {
    cp "$(command -v kea-dhcp4)" "$3/"
    export KEA_PIDFILE_DIR=$3 KEA_LOCKFILE_DIR=$3
    exec ip netns exec "$1" sh -c 'mount -t tmpfs tmpfs /var/lib && mkdir /var/lib/kea && exec "$0" "$@"' "$3/kea-dhcp4" -c "$2"
}
start_dhcpd() {
    : > "$3/leases"
    cp "$(command -v dhcpd)" "$3/"
    exec ip netns exec "$1" "$3/dhcpd" -4 -f -cf "$2" -lf "$3/leases" -pf "$3/pid" uplink
}
switch_listens() {
    alive "$SWITCH_PID" || die "it ended: $(tail -n 5 "$SWITCH_LOG")"
    case $1 in
        kea) grep -q DHCP4_STARTED "$SWITCH_LOG" ;;
        *) [[ -n $(ip netns exec "$2" ss -Hlun 'sport = :67') ]] ;;
    esac
}
