#!/usr/bin/env bash
# Builds the small bootable guest of the demo and the tests: a qcow2 disk with a kernel, busybox and ./init.
#
#   deploy/guest/build.sh [OUTPUT]          (build/guest.qcow2 when not given)
#
# Everything comes from Debian packages; neither root nor a loop device is needed. When nothing that goes in has
# changed since the last time, nothing is done. OUTPUT appears whole or not at all.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
OUTPUT=$(realpath -m "${1:-build/guest.qcow2}")
WORK=$(dirname "$OUTPUT")/.$(basename "$OUTPUT").work
BUSYBOX=/bin/busybox

# The disk: a FAT file system that SeaBIOS and syslinux boot from, then room for the counter of its boots.
FAT_MIB=32
DISK_MIB=33
BOOTS_SECTOR=$((FAT_MIB * 2048))

fail() {
    printf 'guest: %s\n' "$@" >&2
    exit 1
}

require_tools() {
    local tool missing=()
    [ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ] || fail "only Debian on amd64 can build the guest"
    for tool in apt-get dpkg-deb flock gzip mformat mcopy qemu-img syslinux; do
        PATH=$PATH:/sbin:/usr/sbin command -v "$tool" >/dev/null || missing+=("$tool")
    done
    [ -x "$BUSYBOX" ] && ! ldd "$BUSYBOX" >/dev/null 2>&1 || missing+=(busybox-static)
    [ ${#missing[@]} = 0 ] || fail "missing on this machine: ${missing[*]}" "run deploy/setup.sh build"
}

# --- the kernel ------------------------------------------------------------------------------------------------

apt_lists=()

use_own_apt_lists() { # when the machine's are empty or out of date, which only root could mend
    apt_lists=(-o "Dir::State::Lists=$WORK/lists" -o "Dir::Cache=$WORK/cache" -o APT::Sandbox::User=)
    mkdir -p "$WORK/lists/partial" "$WORK/cache/archives/partial"
    apt-get "${apt_lists[@]}" -qq update || fail "apt-get update failed: is the network there?"
}

real_kernel_package() { # linux-image-cloud-amd64 -> linux-image-6.1.0-56-cloud-amd64=6.1.192-2
    local name version
    name=$(apt-cache "${apt_lists[@]}" depends linux-image-cloud-amd64 2>/dev/null |
        sed -n 's/^ *Depends: \(linux-image-[0-9].*-cloud-amd64\)$/\1/p')
    version=$(apt-cache "${apt_lists[@]}" policy "${name:-none}" 2>/dev/null | sed -n 's/^ *Candidate: //p')
    [ -z "$name" ] || echo "$name=$version"
}

choose_kernel() {
    KERNEL=$(real_kernel_package)
    [ -n "$KERNEL" ] || choose_kernel_from_own_lists
}

choose_kernel_from_own_lists() {
    use_own_apt_lists
    KERNEL=$(real_kernel_package)
    [ -n "$KERNEL" ] || fail "apt knows no linux-image-cloud-amd64" \
        "the guest is made of Debian's packages: are Debian's sources configured, and is the network there?"
}

download() { # PACKAGE=VERSION: one that lies there already is checked and kept
    (cd "$WORK" && apt-get "${apt_lists[@]}" -qq -o APT::Sandbox::User= download "$1")
}

fetch_kernel() {
    if ! download "$KERNEL" 2>/dev/null; then
        choose_kernel_from_own_lists
        download "$KERNEL" || fail "could not download $KERNEL: is the network there?"
    fi
    local package=${KERNEL/=/_}_amd64.deb
    find "$WORK" -name 'linux-image-*.deb' ! -name "$package" -delete
    dpkg-deb -x "$WORK/$package" "$WORK/kernel"
}

# --- the initramfs ---------------------------------------------------------------------------------------------

load_order() { # the modules named in ./modules and what they need, each once, needed ones first
    awk '
        FILENAME ~ /modules.dep$/ {
            sub(/:/, ""); name = $1; gsub(/.*\/|\.ko.*/, "", name); gsub(/-/, "_", name)
            file[name] = $1; for (i = NF; i > 1; i--) needs[name] = needs[name] " " $i
            next
        }
        /^[^#]/ { n = split(needs[$1], needed, " "); for (i = 1; i <= n; i++) put(needed[i]); put(file[$1]) }
        function put(path) { if (path != "" && !done[path]++) print path }
    ' "$1" "$HERE/modules"
}

pack_modules() { # ROOT
    local modules path
    modules=$(echo "$WORK"/kernel/*/modules/* "$WORK"/kernel/usr/lib/modules/* | tr ' ' '\n' | grep -v '\*' | head -n 1)
    "$BUSYBOX" depmod -b "$WORK/kernel" "$(basename "$modules")"
    mkdir -p "$1/modules"
    load_order "$modules/modules.dep" | while read -r path; do
        uncompressed "$modules/$path" >"$1/modules/$(module_name "$path").ko"
        module_name "$path"
    done >"$1/modules/order"
}

module_name() { # kernel/drivers/block/virtio_blk.ko.xz -> virtio_blk
    basename "$1" | sed 's/\.ko.*//; s/-/_/g'
}

uncompressed() { # Debian 12 ships its modules plain, Debian 13 with xz
    case $1 in
        *.xz) "$BUSYBOX" xzcat "$1" ;;
        *) cat "$1" ;;
    esac
}

pack_initramfs() {
    local root=$WORK/root
    rm -rf "$root"
    mkdir -p "$root"/{bin,config,dev,etc/acpi/PWRF,proc,run,sys}
    install -m 755 "$BUSYBOX" "$root/bin/busybox"
    "$BUSYBOX" --list | grep -v '^busybox$' | while read -r applet; do ln -s busybox "$root/bin/$applet"; done
    install -m 755 "$HERE/init" "$root/init"
    install -m 755 "$HERE/dhcp-lease" "$HERE/flatten-json.awk" "$root/bin/"
    install -m 755 "$HERE/power-button" "$root/etc/acpi/PWRF/00000080" # the name acpid gives the event
    echo "$BOOTS_SECTOR" >"$root/etc/boots-sector"
    pack_modules "$root"
    (cd "$root" && find . | sort | "$BUSYBOX" cpio -o -H newc -R 0:0 2>/dev/null | gzip -9n) >"$WORK/initrd"
}

# --- the disk --------------------------------------------------------------------------------------------------

make_disk() {
    local disk=$WORK/disk.raw
    rm -f "$disk"
    truncate -s "${DISK_MIB}M" "$disk"
    mformat -i "$disk" -T "$BOOTS_SECTOR" -h 64 -s 32 -H 0 -v GUEST ::
    mcopy -i "$disk" "$WORK"/kernel/boot/vmlinuz-* ::vmlinuz
    mcopy -i "$disk" "$WORK/initrd" "$HERE/syslinux.cfg" ::
    syslinux --install "$disk"
    printf 'protostar-boots 0\n' | dd of="$disk" bs=512 seek="$BOOTS_SECTOR" conv=notrunc status=none
}

publish() {
    qemu-img convert -q -c -f raw -O qcow2 "$WORK/disk.raw" "$WORK/disk.qcow2"
    mv "$WORK/disk.qcow2" "$OUTPUT"
    inputs >"$WORK/inputs"
}

remove_scratch() { # the kernel's package stays for the next build
    rm -rf "$WORK"/{kernel,root,disk.raw,disk.qcow2,initrd,lists,cache}
}

inputs() { # what OUTPUT is made of: when this text is the same, so is the guest
    echo "$KERNEL"
    dpkg-query -W busybox-static syslinux
    (cd "$HERE" && sha256sum -- *)
}

is_current() {
    [ -s "$OUTPUT" ] && inputs | cmp -s - "$WORK/inputs"
}

main() {
    require_tools
    mkdir -p "$WORK"
    exec 9>"$WORK/lock" && flock 9 # a second build waits and finds the guest made
    trap remove_scratch EXIT
    choose_kernel
    is_current && return
    echo "guest: building $OUTPUT from $KERNEL"
    fetch_kernel
    pack_initramfs
    make_disk
    publish
    echo "guest: $OUTPUT, $(du -h "$OUTPUT" | cut -f 1)"
}

main
