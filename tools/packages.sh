#!/usr/bin/env bash
# Installs the system packages that a target needs: only what is missing, only with apt-get, only
# when root or sudo is at hand; otherwise says what to install.
#
#   tools/packages.sh build|test|bench|gate|guest...
set -euo pipefail

missing=()

# want PROGRAM PACKAGE: the package is missing when its program is.
want() {
    PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1 ||
        missing+=("$2")
}

# want_library NAME PACKAGE: the package is missing when pkg-config doesn't know its library, or isn't
# there to be asked.
want_library() {
    pkg-config --exists "$1" >/dev/null 2>&1 ||
        missing+=("$2")
}

# want_clang: libclang is loaded by the bindings' generator from LIBCLANG_PATH, from what llvm-config
# says, or from where systems keep their libraries.
want_clang() {
    local folder file
    for folder in ${LIBCLANG_PATH:+"$LIBCLANG_PATH"} "$(llvm-config --libdir 2>/dev/null || true)" \
        /usr/lib/llvm-*/lib /usr/lib/*-linux-gnu /usr/lib64 /usr/lib /usr/local/lib; do
        for file in "$folder"/libclang.so "$folder"/libclang.so.* "$folder"/libclang-*.so*; do
            [ ! -e "$file" ] || return 0
        done
    done
    missing+=(libclang-dev)
}

for use in "$@"; do
    case "$use" in
    build)
        if ! command -v cargo >/dev/null 2>&1; then
            echo "cargo is missing. Install Rust 1.95 or later: https://rustup.rs" >&2
            exit 1
        fi
        want cc gcc
        # LMDB and mimalloc are C: the compiler needs the C library's headers too.
        echo '#include <stdlib.h>' | cc -fsyntax-only -x c - >/dev/null 2>&1 || missing+=(libc6-dev)
        # RDMA devices: the libraries, and what the bindings to them are made with from their headers.
        want pkg-config pkg-config
        want_library libibverbs libibverbs-dev
        want_library librdmacm librdmacm-dev
        want_clang
        ;;
    test)
        want python3 python3
        python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || missing+=(python3-venv)
        want strace strace
        want valgrind valgrind
        want nginx nginx-light
        # Prometheus and promtool: dashboards and rules are tried against the real one.
        want promtool prometheus
        want setpriv util-linux
        want prlimit util-linux
        want chromium chromium
        want chromedriver chromium-driver
        # Clients of TLS that share no code with the server.
        want curl curl
        want openssl openssl
        want h2load nghttp2-client
        # A client of S3 that is no Python package; the others are in tests/python/requirements.txt.
        want rclone rclone
        ;;
    bench)
        want python3 python3
        want nginx nginx-light
        want taskset util-linux
        want h2load nghttp2-client
        ;;
    gate)
        want python3 python3
        want valgrind valgrind
        want setarch util-linux
        ;;
    guest)
        # Not the package rdma-core: it brings udev rules and services, and would upgrade systemd.
        want qemu-system-x86_64 qemu-system-x86
        want cc gcc
        want ip iproute2
        want tc iproute2
        want depmod kmod
        want xz xz-utils
        want zstd zstd
        want python3 python3
        want setpriv util-linux
        want flock util-linux
        want curl curl
        want openssl openssl
        want h2load nghttp2-client
        # What libibverbs drives soft-RoCE with, and a program that sends over it.
        compgen -G '/usr/lib/*/libibverbs/librxe*.so' >/dev/null || missing+=(ibverbs-providers)
        want ibv_rc_pingpong ibverbs-utils
        # The initramfs has no shared libraries: a busybox that needs some does not run there.
        if ! command -v busybox >/dev/null 2>&1 ||
            ldd "$(command -v busybox)" >/dev/null 2>&1; then
            missing+=(busybox-static)
        fi
        ;;
    *)
        echo "tools/packages.sh: unknown use $use" >&2
        exit 2
        ;;
    esac
done

[ ${#missing[@]} -gt 0 ] || exit 0
mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
echo "installing ${missing[*]}"

if ! command -v apt-get >/dev/null 2>&1; then
    echo "This system has no apt-get. Install what Debian calls: ${missing[*]}" >&2
    exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "Neither root nor sudo. Ask somebody to run: apt-get install -y ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi

# Debian starts what it installs, and nginx would take port 80, Prometheus 9090. This file forbids it, for as long as
# the installation runs; one that is there already stays as it is.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod 755 "$policy"
    trap '"${as_root[@]}" rm -f "$policy"' EXIT
fi
# Debian 12 with qemu-utils from its backports (cloud images have it) takes no QEMU of its own
# release: the two break each other. Then QEMU comes from backports too, from the same mirror, with
# package lists of its own so that nothing else moves there.
install_qemu_from_backports() {
    local sources=/etc/apt/sources.list.d/debian.sources folder status=0
    folder="$(mktemp -d)"
    mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial"
    {
        cat "$sources"
        printf '\nTypes: deb\nSuites: bookworm-backports\nComponents: main\n'
        grep -m 1 '^URIs:' "$sources"
        grep -m 1 '^Signed-By:' "$sources"
    } >"$folder/all.sources"
    set -- -o "Dir::State::lists=$folder/lists" -o "Dir::Cache=$folder/cache" \
        -o "Dir::Etc::sourcelist=$folder/all.sources" -o Dir::Etc::sourceparts=/dev/null \
        -o APT::Sandbox::User=root
    { "${as_root[@]}" apt-get "$@" -q update &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get "$@" install -q -y \
            --no-install-recommends --no-remove -t bookworm-backports qemu-system-x86; } || status=$?
    "${as_root[@]}" rm -rf "$folder"
    return "$status"
}

"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q
if [[ " ${missing[*]} " == *" qemu-system-x86 "* ]] &&
    [[ "$(dpkg-query -W -f '${Version}' qemu-utils 2>/dev/null)" == *~bpo12* ]]; then
    install_qemu_from_backports
    mapfile -t missing < <(printf '%s\n' "${missing[@]}" | grep -vx qemu-system-x86)
    [ ${#missing[@]} -gt 0 ] || exit 0
fi
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -q -y --no-install-recommends "${missing[@]}"
