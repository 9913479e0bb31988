#!/usr/bin/env bash
# Prepares what the guest boots, and prints the folder it is in: vmlinux, initrd, release (the
# kernel's version) and modules/ (a /lib/modules of the modules in modules.txt).
#
# All comes from one Debian package that is downloaded and unpacked, never installed: 107 MB and
# about 12 s the first time. The folder is named after the recipe (this file, modules.txt, init,
# vmlinux.py) and used until the recipe changes or GUEST_CACHE is removed.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
cache="${GUEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/penstock-guest}"
PATH="$PATH:/usr/sbin:/sbin"

fail() {
    echo "tests/vm/kernel.sh: $*" >&2
    exit 1
}

# The first of these that the package lists have. Bookworm's security archive carries 6.12 beside
# its own 6.1. The -cloud- kernels have neither rdma_rxe nor 9p.
metapackages=(linux-image-6.12-amd64 linux-image-amd64)

# find_image APT-OPTION...: prints the package that holds the kernel. Metapackages depend on it.
find_image() {
    local metapackage
    for metapackage in "${metapackages[@]}"; do
        apt-cache "$@" show --no-all-versions "$metapackage" 2>/dev/null |
            sed -n 's/^Depends: \(linux-image-[^ ,]*\).*/\1/p' | grep -m 1 . && return 0
    done
    return 1
}

# download FOLDER: puts the kernel's package there. The system's package lists serve, also without
# root; where there are none, they are fetched into the folder.
download() {
    local image lists=(-o APT::Sandbox::User=root)
    if ! image="$(find_image "${lists[@]}")"; then
        mkdir -p "$1/lists/partial" "$1/cache/archives/partial"
        lists+=(-o "Dir::State::lists=$1/lists" -o "Dir::Cache=$1/cache")
        apt-get "${lists[@]}" -qq update ||
            fail "apt-get update failed, and no package lists are here"
        image="$(find_image "${lists[@]}")" ||
            fail "no package ${metapackages[*]}: the guest's kernel is Debian 12's or later"
    fi
    echo "downloading $image" >&2
    (cd "$1" && apt-get "${lists[@]}" -qq download "$image") || fail "cannot download $image"
}

# unpack_modules FROM TO: the modules of the list, closed over their dependencies, uncompressed: xz
# is slow inside the guest. modinfo tells dependencies; depmod over all 4000 would take 17 s.
unpack_modules() {
    local index queue module file depends seen=' '
    index="$(cd "$1" && find . -name '*.ko*')"
    mapfile -t queue < <(sed 's/#.*//' "$here/modules.txt" | tr -s ' ' '\n' | grep .)
    while [ ${#queue[@]} -gt 0 ]; do
        module="${queue[0]//-/_}"
        queue=("${queue[@]:1}")
        case "$seen" in *" $module "*) continue ;; esac
        seen+="$module "
        # One that is no file is built in, or not of this kernel: then the guest says what it lacks.
        file="$(grep -m 1 -E "/${module//_/[-_]}\.ko(\.xz|\.zst)?$" <<<"$index")" || continue
        case "$file" in
        *.xz) xz -dc "$1/$file" ;;
        *.zst) zstd -qdc "$1/$file" ;;
        *) cat "$1/$file" ;;
        esac >"$2/$module.ko"
        depends="$(modinfo -F depends "$2/$module.ko")"
        mapfile -t -O ${#queue[@]} queue < <(tr ',' '\n' <<<"$depends" | grep . || true)
    done
}

# build_initrd MODULES-ROOT RELEASE INITRD: busybox, init, and the modules that init loads, in
# order.
build_initrd() {
    local root="$1/initrd-root" file module
    mkdir -p "$root"/{bin,modules,proc,sys,dev,lower,upper,new}
    cp "$(command -v busybox)" "$root/bin/busybox"
    cp "$here/init" "$root/init"
    for module in virtio_pci virtio_console 9pnet_virtio 9p overlay; do
        # Nothing to load where the kernel has it built in.
        { modprobe -d "$1" -S "$2" --show-depends "$module" 2>/dev/null || true; } |
            sed -n 's/^insmod \([^ ]*\).*/\1/p' |
            while read -r file; do
                [ ! -e "$root/modules/${file##*/}" ] || continue
                cp "$file" "$root/modules/"
                echo "${file##*/}" >>"$root/order"
            done
    done
    (cd "$root" && find . | busybox cpio -o -H newc 2>/dev/null) >"$3"
}

# build FOLDER: everything, from the package in it.
build() {
    local release from to="$1/root/lib/modules"
    mkdir "$1/image"
    dpkg-deb --fsys-tarfile "$1"/linux-image-*.deb |
        tar -x -C "$1/image" --exclude='*/drivers/gpu' --exclude='*/sound' --exclude='*/staging' \
            --exclude='*/drivers/media' --exclude='*/drivers/net/wireless' \
            --exclude='*/drivers/net/ethernet'
    release="$(basename "$1"/image/boot/vmlinuz-*)"
    release="${release#vmlinuz-}"
    from="$1/image/lib/modules/$release"
    [ -d "$from" ] || from="$1/image/usr/lib/modules/$release"
    mkdir -p "$to/$release/kernel"
    unpack_modules "$from" "$to/$release/kernel"
    cp "$from"/modules.{order,builtin,builtin.modinfo} "$to/$release/"
    depmod -b "$1/root" "$release"
    build_initrd "$1/root" "$release" "$1/initrd"
    python3 "$here/vmlinux.py" "$1/image/boot/vmlinuz-$release" "$1/vmlinux"
    mv "$to" "$1/modules"
    echo "$release" >"$1/release"
    rm -rf "$1"/{image,root,lists,cache,*.deb}
}

[ "$(uname -m)" = x86_64 ] || fail "the guest is made for x86_64, this is $(uname -m)"
for program in busybox python3 xz zstd modinfo modprobe depmod dpkg-deb apt-get flock sha256sum; do
    command -v "$program" >/dev/null || fail "$program is missing: tools/packages.sh guest"
done
key="$(cat "$here"/{kernel.sh,modules.txt,init,vmlinux.py} | sha256sum | cut -c 1-16)"
ready="$cache/kernel-$key"
if [ ! -d "$ready" ]; then
    mkdir -p "$cache"
    exec 9>"$cache/lock"
    flock 9
    # Another one may have built it while this one waited.
    if [ ! -d "$ready" ]; then
        rm -rf "$cache/building"
        mkdir "$cache/building"
        download "$cache/building"
        build "$cache/building"
        mv "$cache/building" "$ready"
    fi
fi
echo "$ready"
