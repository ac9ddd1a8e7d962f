# shellcheck shell=bash
# Sourced by every script: messages, child processes ended by their id, cleanup on every way out.

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
LAB=$REPO/scripts/lab

say() { printf '%s\n' "$*"; }
note() { printf '%s\n' "$*" >&2; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# --- cleanup: last registered, first run ---------------------------------------------------------
CLEANUP=()
on_exit() { CLEANUP+=("$1"); }
run_cleanup() {
    local rc=$? i
    trap '' INT TERM HUP
    trap - EXIT
    set +e
    for ((i = ${#CLEANUP[@]} - 1; i >= 0; i--)); do eval "${CLEANUP[i]}"; done
    exit "$rc"
}
trap run_cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# --- processes -----------------------------------------------------------------------------------
# Only a child of this shell counts: a process id that the system has given to somebody else is left alone.
# (/proc/PID/stat and not status: the two words wanted stand in its first bytes, so that one read sees both.)
alive() {
    local line='' state parent
    [[ -n ${1:-} ]] || return 1
    { read -r line < "/proc/$1/stat"; } 2> /dev/null || true
    read -r state parent _ <<< "${line##*) }"
    [[ ${parent:-} == "$$" && $state != Z ]]
}

# stop_pid PID [SIGNAL [SECONDS]]: end one child of this shell and collect it; KILL after ten seconds.
stop_pid() {
    local pid=${1:-} signal=${2:-TERM} tenths=$((${3:-10} * 10)) i
    alive "$pid" || return 0
    kill "-$signal" "$pid" 2>/dev/null || true
    for ((i = 0; i < tenths; i++)); do
        alive "$pid" || break
        sleep 0.1
    done
    if alive "$pid"; then kill -KILL "$pid" 2>/dev/null || true; fi
    wait "$pid" 2>/dev/null || true
}

# wait_until SECONDS WHAT COMMAND...: poll until COMMAND succeeds.
wait_until() {
    local limit=$1 what=$2 end
    shift 2
    end=$((SECONDS + limit))
    until "$@"; do
        if ((SECONDS >= end)); then
            note "gave up after ${limit} s: $what"
            return 1
        fi
        sleep 0.2
    done
}

# --- temporary folder, removed at the end --------------------------------------------------------
WORK=
make_work() {
    [[ -n $WORK ]] && return 0
    WORK=$(mktemp -d "${TMPDIR:-/tmp}/moxxie-lab.XXXXXX")
    on_exit 'rm -rf -- "$WORK"'
}

# --- the program under test ----------------------------------------------------------------------
# MOXXIE_BIN names a ready binary; otherwise build one. build_moxxie [release]
build_moxxie() {
    if [[ -n ${MOXXIE_BIN:-} ]]; then
        [[ -x $MOXXIE_BIN ]] || die "MOXXIE_BIN=$MOXXIE_BIN is not an executable file"
        return 0
    fi
    command -v cargo >/dev/null || die "cargo is not in PATH; install Rust (https://rustup.rs) or set MOXXIE_BIN"
    local kind=debug flags=()
    if [[ ${1:-} == release ]]; then kind=release flags=(--release); fi
    (cd "$REPO" && cargo build "${flags[@]}" -p moxxie --bin moxxie) || die "the build failed"
    MOXXIE_BIN=${CARGO_TARGET_DIR:-$REPO/target}/$kind/moxxie
    [[ -x $MOXXIE_BIN ]] || die "the build left no $MOXXIE_BIN"
}
