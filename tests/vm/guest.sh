#!/usr/bin/env bash
# Runs one command in a throw-away QEMU guest with what a build machine lacks: kernel RDMA
# (soft-RoCE) and NVMe drives. Ends with the command's status.
#
#   tests/vm/guest.sh [OPTION...] -- COMMAND [ARGUMENT...]
#
# The guest sees the host's whole root file system, read-only, under a layer in its memory: what was
# built on the host runs unchanged under the same path, and what it writes vanishes.
#
#   -r, --rdma           soft-RoCE device rxe0 on eth0: 10.77.0.NODE, GID index 1, MTU 9000
#   -n, --nvme N         NVMe drives, empty                                     (default 0)
#       --nvme-sectors L drives with logical sectors of these sizes instead: 512,4096
#       --nvme-size S    size of each; a sparse file behind it                  (default 4G)
#   -p, --peer COMMAND   one more guest, on a link with the first, running this shell command;
#                        repeatable. Peers are NODE 2, 3, ... and end with the first guest.
#   -w, --share FOLDER   a folder of the host that the guests may write; repeatable. Not below /run,
#                        /dev, /proc, /sys; without spaces.
#   -e, --env NAME[=V]   passes an environment variable; repeatable
#   -m, --memory MIB     of each guest                                          (default 2048)
#   -c, --cpus N         of each guest                                          (default 2)
#   -t, --limit S        ends everything after S seconds                        (default 600)
#   -v, --verbose        shows the kernel's console and times
#
# Status: the command's; 124 when the limit was reached; 125 when a guest ended without a status
# (its console is shown then) or could not be started.
#
# The command runs as root with GUEST_NODE, GUEST_NODES, GUEST_ADDRESS, GUEST_NVME (the drives, in
# order) and GUEST_SHARED (a folder that all guests of this run see). No network leads outside.
# Without hardware virtualisation the guest is emulated, 6 to 30 times slower than the host.

# shellcheck disable=SC2054 # commas belong to QEMU's options
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
PATH="$PATH:/usr/sbin:/sbin"
qemu='qemu-system-x86_64'

fail() {
    echo "tests/vm/guest.sh: $*" >&2
    exit 125
}

memory=2048 cpus=2 sectors=() drive_size=4G rdma=0 limit=600 verbose=0
shares=() passed=() commands=('')
while [ $# -gt 0 ]; do
    case "$1" in
    -h | --help) sed -n '2,/^$/{s/^# \{0,1\}//;p}' "$0" && exit 0 ;;
    -r | --rdma) rdma=1 && shift ;;
    -v | --verbose) verbose=1 && shift ;;
    --) shift && break ;;
    -?*)
        [ $# -gt 1 ] || fail "$1 needs a value (see --help)"
        case "$1" in
        -n | --nvme) mapfile -t sectors < <(yes 512 | head -n "$2") ;;
        --nvme-sectors) IFS=, read -r -a sectors <<<"$2" ;;
        --nvme-size) drive_size="$2" ;;
        -p | --peer) commands+=("$2") ;;
        -w | --share) shares+=("$(realpath "$2")") ;;
        -e | --env) passed+=("$2") ;;
        -m | --memory) memory="$2" ;;
        -c | --cpus) cpus="$2" ;;
        -t | --limit) limit="$2" ;;
        *) fail "unknown option $1 (see --help)" ;;
        esac
        shift 2
        ;;
    *) break ;;
    esac
done
[ $# -gt 0 ] || fail "no command (see --help)"
commands[0]="$(printf '%q ' "$@")"
nodes=${#commands[@]}

for program in "$qemu" cc setpriv timeout ip; do
    command -v "$program" >/dev/null || fail "$program is missing: tools/packages.sh guest"
done
# shellcheck source=tests/vm/accelerator.sh
. "$here/accelerator.sh"
kernel="$("$here/kernel.sh")" || exit 125
cache="$(dirname "$kernel")"
choose_accelerator "$qemu" "$cache"

# What a run that was killed with -9 has left.
find "$cache" -maxdepth 1 -name 'run.*' -mtime +0 -exec rm -rf {} +
run="$(mktemp -d "$cache/run.XXXXXX")"
children=()
# shellcheck disable=SC2329 # the trap calls it
clean_up() {
    local child stat
    for child in "${children[@]}"; do
        # Only what is still a child of this process: the number of one that has ended may be
        # another's.
        stat="$(cat "/proc/$child/stat" 2>/dev/null)" || continue
        [ "$(cut -d ' ' -f 2 <<<"${stat##*) }")" != $$ ] || kill "$child" 2>/dev/null || true
    done
    rm -rf "$run"
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP
mkdir "$run/shared"

# settings NODE: what boot.sh of that guest reads.
settings() {
    local variable value
    echo "export GUEST_NODE=$1 GUEST_NODES=$nodes GUEST_ADDRESS=10.77.0.$1"
    echo "export GUEST_SHARED=/run/guest-shared TERM=dumb"
    printf 'export PATH=%q HOME=%q\n' "$PATH" "${HOME:-/root}"
    for variable in "${passed[@]}"; do
        value="${variable#*=}"
        case "$variable" in *=*) ;; *) value="${!variable-}" ;; esac
        printf 'export %s=%q\n' "${variable%%=*}" "$value"
    done
    # Drives belong to the first guest.
    echo "rdma=$rdma drives=$(($1 == 1 ? ${#sectors[@]} : 0)) shares='${shares[*]}'"
    printf 'modules=%q folder_of_command=%q\n' "$kernel/modules" "$PWD"
    printf 'command=%q\n' "${commands[$1 - 1]}"
}

drive_options=()
for i in "${!sectors[@]}"; do
    truncate -s "$drive_size" "$run/nvme$i.raw"
    sector="logical_block_size=${sectors[$i]},physical_block_size=${sectors[$i]}"
    file="file.driver=file,file.filename=$run/nvme$i.raw"
    drive_options+=(
        -blockdev "driver=raw,node-name=d$i,discard=unmap,$file"
        -device "nvme,id=nvme$i,serial=penstock$i"
        -device "nvme-ns,drive=d$i,bus=nvme$i,nsid=1,$sector"
    )
done

# launch NODE [QEMU-OPTION...]: starts a guest; sets launched to its process.
launch() {
    local node="$1" options i port
    shift
    mkdir "$run/control$node"
    cp "$here/boot.sh" "$run/control$node/"
    settings "$node" >"$run/control$node/settings.sh"
    options=(
        -nodefaults -no-user-config -display none -no-reboot
        -machine q35,usb=off,smbus=off,sata=off,vmport=off
        -accel "$accelerator" -cpu "$cpu" -smp "$cpus" -m "$memory"
        -kernel "$kernel/vmlinux" -initrd "$kernel/initrd"
        # Without multipath=N a drive hides behind a head that has no queues of its own.
        -append "console=ttyS0 quiet panic=-1 nokaslr mitigations=off random.trust_cpu=on audit=0
            apparmor=0 no_timer_check cryptomgr.notests nvme_core.multipath=N $clock"
        -serial "file:$run/console$node" -device virtio-serial-pci
        -virtfs local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap
        -virtfs "local,path=$run/control$node,mount_tag=control,security_model=none,readonly=on"
        -virtfs "local,path=$run/shared,mount_tag=shared,security_model=none"
    )
    for port in 1 2 3; do
        mkfifo "$run/port$node.$port"
        options+=(-chardev "file,id=c$port,path=$run/port$node.$port"
            -device "virtserialport,nr=$port,chardev=c$port")
    done
    for i in "${!shares[@]}"; do
        options+=(-virtfs
            "local,path=${shares[$i]},mount_tag=share$i,security_model=none,multidevs=remap")
    done
    : >"$run/console$node"
    if [ "$node" = 1 ]; then
        cat "$run/port1.1" &
        readers=($!)
        cat "$run/port1.2" >&2 &
        readers+=($!)
        exec {status_port}< <(exec cat "$run/port1.3")
        children+=("${readers[@]}" $!)
    else
        for port in 1 2 3; do
            sed -u "s/^/[guest $node] /" "$run/port$node.$port" \
                >&"$((port < 3 ? 2 : peers_status))" &
            children+=($!)
        done
    fi
    # With this script QEMU ends too, even when it is killed with -9.
    setpriv --pdeathsig TERM timeout -k 5 "$limit" "$qemu" "${options[@]}" "$@" \
        </dev/null >"$run/qemu$node" 2>&1 &
    launched=$!
    children+=("$launched")
    if [ "$verbose" = 1 ]; then
        tail -n +1 -F --pid="$launched" "$run/console$node" >&2 2>/dev/null &
        children+=($!)
    fi
}

# card NODE NETDEV: its end of the link. Lossless, MTU 9000.
card() {
    echo "virtio-net-pci,netdev=$2,mac=52:54:00:77:00:0$1,host_mtu=9000,romfile="
}

began="$(date +%s%N)"
exec {peers_status}>>"$run/peers-status"
if [ "$nodes" = 1 ]; then
    launch 1 "${drive_options[@]}"
    first="$launched"
else
    # The first guest's QEMU is the hub; peers reach it over unix sockets.
    hub=(-netdev hubport,id=h0,hubid=0 -device "$(card 1 h0)")
    for ((node = 2; node <= nodes; node++)); do
        hub+=(-netdev "stream,id=s$node,server=on,addr.type=unix,addr.path=$run/link$node"
            -netdev "hubport,id=h$node,hubid=0,netdev=s$node")
    done
    launch 1 "${hub[@]}" "${drive_options[@]}"
    first="$launched"
    for ((node = 2; node <= nodes; node++)); do
        for _ in $(seq 250); do
            [ ! -S "$run/link$node" ] || break
            sleep 0.02
        done
        launch "$node" -netdev "stream,id=n0,server=off,addr.type=unix,addr.path=$run/link$node" \
            -device "$(card "$node" n0)"
    done
fi

ended=0
wait "$first" || ended=$?
# A QEMU that did not start has never opened its pipes, and their readers would wait for ever.
for port in 1 2 3; do : <>"$run/port1.$port"; done
wait "${readers[@]}" || true
declare -A said=()
while read -r word value; do said[$word]="$value"; done <&"$status_port"
if [ -n "${said[status]:-}" ]; then
    status="${said[status]}"
else
    case "$ended" in
    124 | 137) status=124 why="the limit of $limit s was reached" ;;
    *) status=125 why="a guest ended without a status" ;;
    esac
    echo "tests/vm/guest.sh: $why; the end of what the consoles show:" >&2
    for ((node = 1; node <= nodes; node++)); do
        [ ! -e "$run/qemu$node" ] || tail -n 25 "$run/console$node" "$run/qemu$node" >&2
    done
fi
[ "$verbose" = 0 ] ||
    awk -v ns=$(($(date +%s%N) - began)) -v began="${said[began]:-0}" -v ended="${said[ended]:-0}" \
        -v how="$accelerator, $(cat "$kernel/release")" 'BEGIN {
            printf "%.1f s in all; up for %.1f s when the command began, which took %.1f s (%s)\n",
                ns / 1e9, began, ended - began, how }' >&2
exit "$status"
