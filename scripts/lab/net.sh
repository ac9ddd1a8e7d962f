# shellcheck shell=bash
# A network of its own for one run: namespace, bridge, taps for machines. switches.sh plugs in what answers DHCP.
# Two runs at once do not see each other: everything lives inside the namespace.

LAB_NS=
LAB_IP=198.18.0.1 # 198.18.0.0/15 is the range for benchmarks (RFC 2544): nobody's real network
LAB_PORT=8080
LAB_URL=http://$LAB_IP:$LAB_PORT
LAB_TAPS=0

# Prints what is missing, one reason a line; nothing when the lab can run here.
lab_missing() {
    ((EUID == 0)) || echo "not root (network namespaces and taps need it)"
    [[ -c /dev/net/tun ]] || echo "/dev/net/tun does not exist"
    local probe=mxprobe$$ out
    if ((EUID == 0)); then
        if ip netns add "$probe" 2>/dev/null; then ip netns del "$probe"; else echo "'ip netns add' is refused"; fi
    fi
    out=$("$REPO/scripts/setup" --check lab 2>&1) || printf '%s\n' "$out"
}

# For commands that are waited for. Not with `&`: $! would be a shell around the command, and ending it ends nothing.
in_lab() { ip netns exec "$LAB_NS" "$@"; }

lab_up() {
    make_work
    LAB_NS=moxxie-$$
    ip netns add "$LAB_NS"
    on_exit 'ip netns del "$LAB_NS"'
    ip -n "$LAB_NS" link set lo up
    ip -n "$LAB_NS" link add br0 type bridge forward_delay 0
    ip -n "$LAB_NS" address add "$LAB_IP/16" dev br0
    ip -n "$LAB_NS" link set br0 up
}

# Sets TAP to a fresh tap on the bridge.
lab_tap() {
    LAB_TAPS=$((LAB_TAPS + 1))
    TAP=tap$LAB_TAPS
    ip -n "$LAB_NS" tuntap add dev "$TAP" mode tap
    ip -n "$LAB_NS" link set "$TAP" master br0 up
}

# Records what the server sends, the first bytes of each packet: lab_capture FILE
lab_capture() {
    CAPTURE=$1
    ip netns exec "$LAB_NS" tcpdump -i br0 -n -U -s 600 -w "$CAPTURE" "tcp src port $LAB_PORT" > "$WORK/tcpdump.log" 2>&1 &
    CAPTURE_PID=$!
    on_exit 'stop_pid "$CAPTURE_PID"'
    wait_until 10 "tcpdump starts" grep -q 'listening on' "$WORK/tcpdump.log"
}
