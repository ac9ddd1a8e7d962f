# shellcheck shell=bash
# The server under test and the calls the scripts make to it. Everything that knows a route or a JSON name is here.

SERVER_PID=
DATA_DIR=
SERVER_LOG=

# no_limits: in DATA_DIR, for benchmarks, whose load comes from one address.
no_limits() {
    DATA_DIR=${DATA_DIR:-$WORK/data}
    mkdir -p "$DATA_DIR"
    printf '[limits]\n%s = 0\n%s = 0\n%s = 0\n' boot_per_second machine_per_minute api_per_second > "$DATA_DIR/moxxie.toml"
}

# start_server ADDR [serve arguments...]: in the lab's namespace when there is one. Sets SERVER_URL, DATA_DIR, TOKEN.
start_server() {
    local addr=$1 run=()
    shift
    [[ -n ${LAB_NS:-} ]] && run=(ip netns exec "$LAB_NS")
    DATA_DIR=${DATA_DIR:-$WORK/data}
    SERVER_LOG=${SERVER_LOG:-$WORK/server.log}
    SERVER_OUT=$WORK/server.out
    mkdir -p "$DATA_DIR"
    # The lab's network is not a public one: allowed by name, for the mirror that the lab plays.
    [[ -z ${LAB_NS:-} || -e $DATA_DIR/moxxie.toml ]] || printf '[import]\nallow = ["198.18.0.0/15"]\n' > "$DATA_DIR/moxxie.toml"
    : > "$SERVER_OUT"
    "${run[@]}" "$MOXXIE_BIN" serve --listen "$addr" --data-dir "$DATA_DIR" "$@" > "$SERVER_OUT" 2>> "$SERVER_LOG" &
    SERVER_PID=$!
    on_exit "stop_pid $SERVER_PID"
    if ! wait_until 60 "the server says it is listening" server_listens; then
        tail -n 20 "$SERVER_LOG" >&2
        return 1
    fi
    SERVER_URL=$(sed -n 's/^moxxie listening on //p' "$SERVER_OUT" | head -n 1)
    TOKEN=$(cat "$DATA_DIR/admin-token")
}
server_listens() {
    alive "$SERVER_PID" || die "the server ended: $(tail -n 5 "$SERVER_LOG")"
    grep -q '^moxxie listening on ' "$SERVER_OUT"
}

here() { # run a client where the server listens
    if [[ -n ${LAB_NS:-} ]]; then in_lab "$@"; else "$@"; fi
}

# The token goes to curl by a file: a command line is visible to every user of the machine.
web() { # METHOD PATH [curl arguments]: the body on success; else the server's answer on standard error
    local method=$1 path=$2 out code
    shift 2
    out=$(mktemp "$WORK/answer.XXXXXX")
    code=$(here curl -sS -o "$out" -w '%{http_code}' -K <(printf 'header = "Authorization: Bearer %s"\n' "$TOKEN") \
        -X "$method" "$@" "$SERVER_URL$path") || code=000
    if [[ $code == 2?? ]]; then
        cat "$out"
        rm -f "$out"
        return 0
    fi
    note "$method $path: HTTP $code $(head -c 600 "$out")"
    rm -f "$out"
    return 1
}
api() { # METHOD PATH [JSON]
    if (($# > 2)); then
        web "$1" "/api/v1$2" -H 'Content-Type: application/json' --data-binary "$3"
    else
        web "$1" "/api/v1$2"
    fi
}

# create_profile NAME TYPE KERNEL INITRD BOOT_PARAMS TEMPLATE [PARAMS_JSON]; an empty text means none.
create_profile() {
    api POST /boot/profiles "$(jq -n --arg name "$1" --arg type "$2" --arg kernel "$3" --arg initrd "$4" --arg args "$5" \
        --arg template "$6" --argjson params "${7:-{\}}" '
        def text: if . == "" then null else . end;
        {name: $name, profile_type: $type, kernel_path: ($kernel | text), initrd_path: ($initrd | text),
         boot_params: $args, config_template: ($template | text), params: $params}')" > /dev/null
}
upload_asset() { # PROFILE FILE-ON-DISK [NAME]
    web PUT "/api/v1/boot/profiles/$1/assets/${3:-$(basename "$2")}" -T "$2" > /dev/null
}
# create_assignment MAC NODE PROFILE [ARMED] [POLICY]
create_assignment() {
    api POST /boot/assignments "$(jq -n --arg mac "$1" --arg node "$2" --arg profile "$3" --argjson armed "${4:-true}" \
        --arg policy "${5:-once}" \
        '{mac_address: $mac, node_name: $node, boot_profile: $profile, armed: $armed, boot_policy: $policy}')" > /dev/null
}
assignment_state() { api GET "/boot/assignments/$1" | jq -r .state; } # MAC
config_preview() { web GET "/boot/configs/$1/$2"; }                   # PROFILE MAC
boot_events() { api GET "/boot/events?mac=$1" | jq -r '.items[] | tojson'; }
machine_seen() { [[ $(api GET /boot/machines | grep -ciF "$1") -gt 0 ]]; } # MAC
moxxie() { # the command line client
    MOXXIE_TOKEN=$TOKEN MOXXIE_SERVER=$SERVER_URL here "$MOXXIE_BIN" "$@"
}
