#!/usr/bin/env bash
# Installs the packages of deploy/packages.txt that are missing on this machine.
#
#   deploy/setup.sh [GROUP ...]             (run build test when none is given)
#
# Uses sudo when not root. Asks nothing, changes nothing when nothing is missing, and starts no daemon where no
# systemd looks after it.
set -euo pipefail

PACKAGES=$(dirname "${BASH_SOURCE[0]}")/packages.txt
POLICY=/usr/sbin/policy-rc.d

say() {
    printf 'setup: %s\n' "$@"
}

fail() {
    say "$@" >&2
    exit 1
}

packages_of() { # GROUP ...
    local group
    for group; do
        grep -qE "^$group " "$PACKAGES" || fail "no group '$group' in $PACKAGES: it knows run, build and test"
        awk -v group="$group" '$1 == group { print $2 }' "$PACKAGES"
    done
}

missing_of() { # PACKAGE ...
    local package
    for package; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
    done
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi # require_means has asked for the password
}

apt_get() { # its output only when it fails
    local log
    log=$(mktemp)
    if ! as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
        apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "$@" >"$log" 2>&1 </dev/null; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

hold_daemons_back() { # without systemd a package's daemon would be left running with nobody to stop it
    [ -d /run/systemd/system ] || [ -e "$POLICY" ] && return
    printf '#!/bin/sh\nexit 101\n' | as_root sh -c "cat >$POLICY && chmod 755 $POLICY"
    trap 'as_root rm -f "$POLICY"' EXIT
}

require_means() { # PACKAGE ...: what an installation needs, said before it is tried
    command -v apt-get >/dev/null ||
        fail "this is neither Debian nor Ubuntu (no apt-get); install what gives you these by hand:" "$*"
    [ "$(id -u)" = 0 ] && return
    command -v sudo >/dev/null || fail "neither root nor sudo here; as root, run:" "apt-get install $*"
    sudo -n true 2>/dev/null || { [ -t 0 ] && sudo -v; } ||
        fail "sudo needs a password and could not ask for it; in a terminal, run:" "sudo apt-get install $*"
}

main() {
    [ $# -gt 0 ] || set -- run build test
    local wanted missing
    wanted=$(packages_of "$@")
    # shellcheck disable=SC2086 # one argument per package, here and below
    missing=$(missing_of $wanted | tr '\n' ' ')
    [ -n "$missing" ] || return 0

    # shellcheck disable=SC2086
    require_means $missing
    say "installing $missing"
    hold_daemons_back
    apt_get update || fail "apt-get update failed: is the network there, are the sources right?"
    # shellcheck disable=SC2086
    apt_get install --no-install-recommends $missing || fail "apt-get could not install $missing" "(its words are above; is the network there?)"
    say "done"
}

main "$@"
