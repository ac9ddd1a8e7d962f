# shellcheck shell=bash
# A part of scripts/bench-assets: how a cold S3 store feels. The store is the lab's own, on the same machine.

(cd "$REPO" && cargo build --release --quiet -p moxxie-lab) || die "the lab's S3 server does not build"
lab_s3=${CARGO_TARGET_DIR:-$REPO/target}/release/lab-s3

s3_start() {
    : > "$WORK/s3.out"
    ip netns exec "$LAB_NS" "$lab_s3" --listen 127.0.0.1:18103 --dir "$WORK/s3" >> "$WORK/s3.out" &
    s3_pid=$!
    on_exit "stop_pid $s3_pid"
    wait_until 10 "the S3 server answers" grep -q MOXXIE_ASSETS_URL "$WORK/s3.out"
}
cold_start() { # Moxxie with an empty cache
    stop_pid "$SERVER_PID"
    rm -rf "$WORK/s3-data/asset-cache"
    start_server 127.0.0.1:18102 --assets-url "$MOXXIE_ASSETS_URL"
}

stop_pid "$moxxie_pid"
port[s3]=18102
mkdir -p "$WORK/s3"
s3_start
# shellcheck disable=SC1091
source "$WORK/s3.out"
DATA_DIR=$WORK/s3-data SERVER_LOG=$WORK/s3-server.log
no_limits
start_server 127.0.0.1:18102 --assets-url "$MOXXIE_ASSETS_URL"
create_profile bench custom f60 '' '' ''
upload_asset bench "$WORK/files/f$largest"
for ((i = 1; i <= rounds; i++)); do
    head -c 60000000 /dev/urandom > "$WORK/one"
    upload_asset bench "$WORK/one" "cold$i"
done

cold_start
declare -A first_ms=([cold]='' [warm]='')
for ((i = 1; i <= rounds; i++)); do
    for kind in cold warm; do
        read -r _ _ _ errors first _ <<< "$(sink s3 "cold$i" 1 0 1)"
        ((errors == 0)) || die "a download from S3 broke"
        first_ms[$kind]+=$first$'\n'
    done
done
middle() { sort -n <<< "${1%$'\n'}" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
printf '\nFrom S3 (on the same machine), one machine, a 60 MB file, median of %s: first byte after %s ms when cold, %s ms from the cache\n' \
    "$rounds" "$(middle "${first_ms[cold]}")" "$(middle "${first_ms[warm]}")"

cold_start
stop_pid "$s3_pid"
s3_start
echo 5 > "/proc/$SERVER_PID/clear_refs"
read -r got took done_downloads errors first last <<< "$(sink s3 "f$largest" 50 0 1)"
stop_pid "$s3_pid"
printf '50 machines at once, one cold %s MB file: %s downloads in %s s, %s broken; first byte after %s ms (median), %s ms (last);\n' \
    "$largest" "$done_downloads" "$took" "$errors" "$first" "$last"
printf 'sent %s bytes to machines, S3 says:%s; peak RSS %s MB\n' "$got" "$(sed -n 's/^#//p' "$WORK/s3.out")" \
    "$(awk '/^VmHWM:/ { printf "%.0f", $2 / 1024 }' "/proc/$SERVER_PID/status")"
