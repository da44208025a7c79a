#!/usr/bin/env bash
# Runs make targets on a fresh Debian 12: proof that deploy/packages.txt is complete.
#
#   deploy/fresh-machine.sh [TARGET ...]    (demo when none is given; root, debootstrap)
#
# The machine is a minimal Debian in a folder, in mount and process namespaces of its own, with git, make and a clone of
# the last commit in it, and nothing else. It shares the network, the apt sources and the certificates of this one.
# The bare Debian is kept in build/fresh-machine.tar, so that a second run starts sooner.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
BARE=$PWD/build/fresh-machine.tar
ROOT=$(mktemp -d /var/tmp/fresh-machine.XXXXXX)

make_bare_debian() {
    local folder
    folder=$(mktemp -d /var/tmp/bare-debian.XXXXXX)
    debootstrap --variant=minbase --include=ca-certificates,git,make bookworm "$folder" >/dev/null
    mkdir -p build
    tar -C "$folder" -cf "$BARE.new" .
    mv "$BARE.new" "$BARE"
    rm -rf "$folder"
}

furnish() {
    tar -C "$ROOT" -xf "$BARE"
    cp /etc/resolv.conf /etc/hosts "$ROOT/etc/"
    cp /etc/ssl/certs/ca-certificates.crt "$ROOT/etc/ssl/certs/"
    cp -r /etc/apt/sources.list.d "$ROOT/etc/apt/"
    git clone --quiet --no-hardlinks . "$ROOT/root/protostar"
    mkdir "$ROOT/outside"
}

enter() { # TARGET ...: whatever it leaves running ends with its process namespace
    # shellcheck disable=SC2016 # for the inner shell to expand
    unshare --mount --pid --fork --kill-child bash -euc '
        mount --bind "$ROOT" "$ROOT" && cd "$ROOT"
        mount --rbind /dev dev && mount -t proc proc proc && mount -t sysfs sysfs sys
        pivot_root . outside && umount --lazy /outside
        cd /root/protostar
        env -i CI=true HOME=/root TERM="${TERM:-dumb}" PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
            SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt make "$@"
    ' fresh-machine "$@" </dev/null
}

[ $# -gt 0 ] || set -- demo
trap 'rm -rf --one-file-system "$ROOT"' EXIT
[ -s "$BARE" ] || make_bare_debian
furnish
export ROOT
time enter "$@"
