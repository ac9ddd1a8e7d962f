# shellcheck shell=bash
# A PostgreSQL of our own: temporary folder, unix socket only, never the system's.

PG_PID=

pg_prepare() {
    local bin
    PG_BIN=$(command -v initdb >/dev/null && dirname "$(command -v initdb)" || true)
    for bin in /usr/lib/postgresql/*/bin; do [[ -x $bin/initdb ]] && PG_BIN=$bin; done
    [[ -n $PG_BIN ]] || die "no initdb found (package postgresql)"
    # PostgreSQL refuses to run as root.
    PG_AS=()
    PG_DIR=$(mktemp -d "${TMPDIR:-/tmp}/moxxie-pg.XXXXXX")
    on_exit 'rm -rf -- "$PG_DIR"'
    if ((EUID == 0)); then
        local user=nobody
        getent passwd postgres > /dev/null && user=postgres
        PG_AS=(setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups)
        chown "$user" "$PG_DIR"
    fi
    (cd "$PG_DIR" && "${PG_AS[@]}" "$PG_BIN/initdb" -D "$PG_DIR/data" -U moxxie -A trust -E UTF8 --locale=C -N > "$PG_DIR.log" 2>&1) || {
        cat "$PG_DIR.log" >&2
        return 1
    }
    on_exit 'rm -f -- "$PG_DIR.log"'
    PG_URL="postgres://moxxie@localhost/moxxie?host=${PG_DIR//\//%2F}"
}

pg_start() {
    (cd "$PG_DIR" && exec "${PG_AS[@]}" "$PG_BIN/postgres" -D "$PG_DIR/data" -k "$PG_DIR" -c listen_addresses= \
        -c max_connections=100) >> "$PG_DIR.log" 2>&1 &
    PG_PID=$!
    wait_until 60 "PostgreSQL answers" "$PG_BIN/pg_isready" -q -h "$PG_DIR" -U moxxie -d postgres || {
        tail "$PG_DIR.log" >&2
        return 1
    }
}
pg_stop() {
    stop_pid "$PG_PID" QUIT
    PG_PID=
}
pg_up() {
    pg_prepare
    on_exit 'pg_stop'
    pg_start
    "$PG_BIN/createdb" -h "$PG_DIR" -U moxxie moxxie
}
