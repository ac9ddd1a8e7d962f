# shellcheck shell=bash
# Real DHCP servers, each in a network namespace of its own, plugged into the lab's bridge like a switch or router.
# Needs lab_up (net.sh).

SWITCH_COUNT=0
SWITCH_POOL=198.18.16 # addresses that servers give: .10 to .250 of this network, as a /16
SWITCH_MENU=$LAB_URL/boot/menu.ipxe
SWITCH_HTTP=$LAB_URL/boot/firmware

# switch_config SERVER FILE: what the site's server is told. The only place that writes a configuration.
# A server is dnsmasq, kea or dhcpd, or one of these with a mistake: NAME-loop (no rule for iPXE); dnsmasq-proxy
# is a proxyDHCP server, dnsmasq-address only gives addresses, dnsmasq-class says PXEClient and is no PXE server.
switch_config() {
    "config_${1//-/_}" > "$2"
}

config_dnsmasq_pool() {
    cat <<CONF
dhcp-range=$SWITCH_POOL.10,$SWITCH_POOL.250,255.255.0.0,1h
dhcp-option=option:router,$LAB_IP
dhcp-option=option:dns-server,$LAB_IP
dhcp-no-override
CONF
}
config_dnsmasq_archs() { # TAG, to be put before each line's own
    cat <<CONF
dhcp-match=set:bios,option:client-arch,0
dhcp-match=set:efi32,option:client-arch,6
dhcp-match=set:efi64,option:client-arch,7
dhcp-match=set:efi64,option:client-arch,9
dhcp-match=set:arm64,option:client-arch,11
dhcp-match=set:http64,option:client-arch,16
dhcp-match=set:httparm,option:client-arch,19
dhcp-boot=${1:-}tag:bios,undionly.kpxe,,$LAB_IP
dhcp-boot=${1:-}tag:efi32,ipxe-i386.efi,,$LAB_IP
dhcp-boot=${1:-}tag:efi64,ipxe.efi,,$LAB_IP
dhcp-boot=${1:-}tag:arm64,ipxe-arm64.efi,,$LAB_IP
dhcp-option-force=tag:http64,60,HTTPClient
dhcp-option-force=tag:httparm,60,HTTPClient
dhcp-boot=tag:http64,$SWITCH_HTTP/ipxe.efi
dhcp-boot=tag:httparm,$SWITCH_HTTP/ipxe-arm64.efi
CONF
}
config_dnsmasq() {
    config_dnsmasq_pool
    printf 'dhcp-userclass=set:ipxe,iPXE\ndhcp-match=set:ipxe,175\n'
    config_dnsmasq_archs 'tag:!ipxe,'
    printf 'dhcp-boot=tag:ipxe,%s\n' "$SWITCH_MENU"
}
config_dnsmasq_loop() {
    config_dnsmasq_pool
    config_dnsmasq_archs
}
config_dnsmasq_address() {
    config_dnsmasq_pool
}
config_dnsmasq_class() {
    config_dnsmasq_address
    printf 'dhcp-option-force=60,PXEClient\n'
}
config_dnsmasq_proxy() {
    cat <<CONF
dhcp-range=198.18.0.0,proxy,255.255.0.0
dhcp-userclass=set:ipxe,iPXE
pxe-prompt="Moxxie",0
pxe-service=tag:!ipxe,x86PC,"Moxxie",undionly.kpxe,$LAB_IP
pxe-service=tag:!ipxe,IA32_EFI,"Moxxie",ipxe-i386.efi,$LAB_IP
pxe-service=tag:!ipxe,X86-64_EFI,"Moxxie",ipxe.efi,$LAB_IP
pxe-service=tag:!ipxe,BC_EFI,"Moxxie",ipxe.efi,$LAB_IP
pxe-service=tag:!ipxe,ARM64_EFI,"Moxxie",ipxe-arm64.efi,$LAB_IP
dhcp-boot=tag:ipxe,$SWITCH_MENU
CONF
}

config_kea_body() { # TEST of iPXE, CLASS of iPXE with a comma, or nothing
    cat <<CONF
{"Dhcp4": {
  "interfaces-config": {"interfaces": ["uplink"], "dhcp-socket-type": "raw"},
  "lease-database": {"type": "memfile", "persist": false},
  "valid-lifetime": 3600,
  "client-classes": [
    $2
    {"name": "bios", "test": "$1option[93].hex == 0x0000", "next-server": "$LAB_IP", "boot-file-name": "undionly.kpxe"},
    {"name": "efi32", "test": "$1option[93].hex == 0x0006", "next-server": "$LAB_IP", "boot-file-name": "ipxe-i386.efi"},
    {"name": "efi64", "test": "$1(option[93].hex == 0x0007 or option[93].hex == 0x0009)", "next-server": "$LAB_IP", "boot-file-name": "ipxe.efi"},
    {"name": "arm64", "test": "$1option[93].hex == 0x000b", "next-server": "$LAB_IP", "boot-file-name": "ipxe-arm64.efi"},
    {"name": "http64", "test": "option[93].hex == 0x0010", "boot-file-name": "$SWITCH_HTTP/ipxe.efi",
     "option-data": [{"name": "vendor-class-identifier", "data": "HTTPClient", "always-send": true}]},
    {"name": "httparm", "test": "option[93].hex == 0x0013", "boot-file-name": "$SWITCH_HTTP/ipxe-arm64.efi",
     "option-data": [{"name": "vendor-class-identifier", "data": "HTTPClient", "always-send": true}]}
  ],
  "subnet4": [{"id": 1, "subnet": "198.18.0.0/16", "interface": "uplink",
    "pools": [{"pool": "$SWITCH_POOL.10 - $SWITCH_POOL.250"}],
    "option-data": [{"name": "routers", "data": "$LAB_IP"}, {"name": "domain-name-servers", "data": "$LAB_IP"}]}]
}}
CONF
}
config_kea() {
    config_kea_body "not member('ipxe') and " \
        "{\"name\": \"ipxe\", \"test\": \"option[77].hex == 'iPXE' or option[175].exists\", \"boot-file-name\": \"$SWITCH_MENU\"},"
}
config_kea_loop() { config_kea_body '' ''; }

config_dhcpd_body() { # what stands before the first architecture
    cat <<CONF
option arch code 93 = unsigned integer 16;
option space ipxe;
option ipxe-encap-opts code 175 = encapsulate ipxe;
option ipxe.no-pxedhcp code 176 = unsigned integer 8;
option ipxe.no-pxedhcp 1;
authoritative;
ping-check false;
subnet 198.18.0.0 netmask 255.255.0.0 {
  range $SWITCH_POOL.10 $SWITCH_POOL.250;
  option routers $LAB_IP;
  option domain-name-servers $LAB_IP;
  ${1}if exists arch and option arch = 00:10 {
    option vendor-class-identifier "HTTPClient";
    filename "$SWITCH_HTTP/ipxe.efi";
  } elsif exists arch and option arch = 00:13 {
    option vendor-class-identifier "HTTPClient";
    filename "$SWITCH_HTTP/ipxe-arm64.efi";
  } elsif exists arch and option arch = 00:00 {
    next-server $LAB_IP;
    filename "undionly.kpxe";
  } elsif exists arch and option arch = 00:06 {
    next-server $LAB_IP;
    filename "ipxe-i386.efi";
  } elsif exists arch and (option arch = 00:07 or option arch = 00:09) {
    next-server $LAB_IP;
    filename "ipxe.efi";
  } elsif exists arch and option arch = 00:0b {
    next-server $LAB_IP;
    filename "ipxe-arm64.efi";
  }
}
CONF
}
config_dhcpd() {
    config_dhcpd_body "if exists user-class and option user-class = \"iPXE\" { filename \"$SWITCH_MENU\"; } els"
}
config_dhcpd_loop() { config_dhcpd_body ''; }

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
start_dnsmasq() {
    exec ip netns exec "$1" dnsmasq --keep-in-foreground --conf-file="$2" --pid-file="$3/pid" --dhcp-leasefile="$3/leases" \
        --port=0 --user=root --group=root --interface=uplink --bind-interfaces --no-ping --log-dhcp --log-facility=-
}
start_kea() {
    export KEA_PIDFILE_DIR=$3 KEA_LOCKFILE_DIR=$3
    exec ip netns exec "$1" kea-dhcp4 -c "$2"
}
start_dhcpd() {
    : > "$3/leases"
    exec ip netns exec "$1" dhcpd -4 -f -cf "$2" -lf "$3/leases" -pf "$3/pid" uplink
}
switch_listens() {
    alive "$SWITCH_PID" || die "it ended: $(tail -n 5 "$SWITCH_LOG")"
    case $1 in
        kea) grep -q DHCP4_STARTED "$SWITCH_LOG" ;;
        *) [[ -n $(ip netns exec "$2" ss -Hlun 'sport = :67') ]] ;;
    esac
}
