#!/usr/bin/env bash
# The two minutes' tour: a real guest created, stopped and started through the four services, and its start as one trace.
#
#   make demo
#
# Everything lives under build/demo, on ports of its own: a Protostar that runs on this machine is not disturbed. What
# was started is stopped again, also when a step fails; logs and traces stay in build/demo until the next run.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
DEMO=$PWD/build/demo
GUEST=$PWD/build/guest.qcow2

free_ports() { # COUNT
    python3 - "$1" <<'PYTHON'
import socket, sys
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(s.getsockname()[1] for s in sockets))
PYTHON
}

use_own_corner() {
    local api compute image netblock
    read -r api compute image netblock < <(free_ports 4)
    export PROTOSTAR_DATA_DIR=$DEMO/data
    export PROTOSTAR_API_ADDRESS=127.0.0.1:$api PROTOSTAR_COMPUTE_ADDRESS=127.0.0.1:$compute
    export PROTOSTAR_IMAGE_ADDRESS=127.0.0.1:$image PROTOSTAR_NETBLOCK_ADDRESS=127.0.0.1:$netblock
}

headline() {
    printf '\n\e[1m%s\e[0m\n' "$*"
}

run() { # shows the command as a reader would type it, then runs it
    printf '\e[36m$ %s\e[0m\n' "$*"
    "$@"
}

console_says() { # BOOT: what the guest has said since it booted for the BOOTth time
    protostar instance console "$INSTANCE" | sed -n "/protostar-guest: boot $1\r*\$/,\$p"
}

show_console() { # BOOT
    printf '\e[36m$ protostar instance console %s\e[0m\n' "$INSTANCE"
    console_says "$1"
}

wait_for_guest() { # BOOT: until the guest is ready, at most a minute
    local seconds
    for seconds in $(seq 60); do
        console_says "$1" | grep -q 'protostar-guest: ready' && return
        sleep 1
    done
    echo "the guest was not ready $seconds seconds after boot $1; its console:" >&2
    protostar instance console "$INSTANCE" >&2
    return 1
}

latest_operation() {
    protostar operation list --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["operations"][0]["name"])'
}

stop_everything() {
    local code=$?
    trap - EXIT INT TERM
    if [ "$code" != 0 ]; then
        headline "The demo failed. What the services wrote last, from $DEMO:"
        find "$DEMO" -name '*.log' -exec tail -n 15 {} + || true
    fi
    protostar instance delete "$INSTANCE" >/dev/null 2>&1 || true
    protostar down >/dev/null 2>&1 || true
    exit "$code"
}

prepare() {
    [ -s "$GUEST" ] || { echo "no $GUEST yet: run 'make demo', or 'make guest' first" >&2 && exit 1; }
    rm -rf "$DEMO"
    mkdir -p "$DEMO"
    printf '#!/bin/sh\necho hello from user data\n' >"$DEMO/user-data"
    use_own_corner
    trap stop_everything EXIT
    trap 'exit 130' INT TERM
}

tour() {
    headline "Four services, one supervisor"
    run protostar up --detach
    run protostar status

    headline "A guest"
    run protostar image import guest "$GUEST"
    run protostar instance create "$INSTANCE" --image guest --vcpus 1 --memory 256 --root 1 \
        --metadata colour=blue --user-data "$DEMO/user-data"
    wait_for_guest 1
    show_console 1

    headline "Stopped, and started again"
    run protostar instance stop "$INSTANCE"
    run protostar instance start "$INSTANCE"
    local start
    start=$(latest_operation)
    wait_for_guest 2

    headline "What the guest says now, what Protostar says, and where the time of the start went"
    show_console 2
    run protostar instance show "$INSTANCE"
    run protostar trace "$start"
}

INSTANCE=demo-1
PATH=$PWD/.venv/bin:$PATH
prepare
tour
