#!/usr/bin/env bash
# In a guest: runs a command beside two soft-RoCE devices on the two ends of one wire that loses and
# delays packets, and takes them away again. Ends with the command's status.
#
#   tests/vm/netem.sh [--loss PERCENT] [--delay TIME] -- COMMAND [ARGUMENT...]
#
# wire0 has 10.78.0.1, wire1 has 10.78.0.2: interfaces (a veth pair, MTU 9000) and RDMA devices of
# the same names, GID index 1. Each end loses (1%) and delays (2ms) what it sends, as tc-netem(8)
# says. RDMA and TCP between the two addresses really cross the wire, in one guest: soft-RoCE
# listens in the first network namespace alone, so the two ends cannot be in different ones, and the
# kernel would deliver to its own addresses directly were it not for the routing rules below.
set -euo pipefail

loss='' delay=''
while [ $# -gt 0 ]; do
    case "$1" in
    --loss) loss="$2" && shift 2 ;;
    --delay) delay="$2" && shift 2 ;;
    --) shift && break ;;
    *) echo "tests/vm/netem.sh: unknown option $1" >&2 && exit 2 ;;
    esac
done
[ $# -gt 0 ] || { echo "tests/vm/netem.sh: no command" >&2 && exit 2; }

# What listens on the wire must not be asked by its own end: the local table is looked at for what
# comes in over the wire, and for other addresses after the wire's own routes.
rule() {
    ip rule "$1" pref 1 iif wire0 lookup local
    ip rule "$1" pref 1 iif wire1 lookup local
    ip rule "$1" pref 2 to 10.78.0.2 lookup 101
    ip rule "$1" pref 2 to 10.78.0.1 lookup 102
    ip rule "$1" pref 10 lookup local
}
# shellcheck disable=SC2329 # the trap calls it
take_away() {
    ip rule add pref 0 lookup local 2>/dev/null || true
    rule del 2>/dev/null || true
    rdma link del wire0 2>/dev/null || true
    rdma link del wire1 2>/dev/null || true
    # With one end the other goes, and the routes.
    ip link del wire0 2>/dev/null || true
}
trap take_away EXIT

modprobe -a veth sch_netem rdma_rxe
ip link add wire0 type veth peer name wire1
echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter
for end in 0 1; do
    echo 1 >/proc/sys/net/ipv4/conf/wire$end/accept_local
    echo 0 >/proc/sys/net/ipv4/conf/wire$end/rp_filter
    ip link set wire$end mtu 9000 up
    ip addr add 10.78.0.$((end + 1))/32 dev wire$end
done
rule add
ip rule del pref 0
ip route add 10.78.0.2 dev wire0 src 10.78.0.1 table 101
ip route add 10.78.0.1 dev wire1 src 10.78.0.2 table 102
ip neigh replace 10.78.0.2 lladdr "$(cat /sys/class/net/wire1/address)" dev wire0
ip neigh replace 10.78.0.1 lladdr "$(cat /sys/class/net/wire0/address)" dev wire1
for end in 0 1; do
    rdma link add wire$end type rxe netdev wire$end
    for _ in $(seq 200); do
        grep -qs ffff:0a4e /sys/class/infiniband/wire$end/ports/1/gids/1 && break
        sleep 0.02
    done
    [ -z "$loss$delay" ] ||
        tc qdisc add dev wire$end root netem limit 100000 \
            ${loss:+loss "$loss"} ${delay:+delay "$delay"}
done
status=0
"$@" || status=$?
exit "$status"
