# shellcheck shell=sh disable=SC1091,SC2016,SC2153,SC2154,SC3045
# Process 1 of a guest, run by busybox in the host's root file system. Brings up what settings.sh
# asks for (written by guest.sh), runs the command, reports its status, switches the guest off.
#
# Output goes over virtio-serial ports: 1 is the command's output, 2 its errors, 3 the status.
bb=/run/busybox
exec >/dev/console 2>&1
. /run/guest/settings.sh

share() { # share TAG FOLDER CACHE
    $bb mkdir -p "$2"
    $bb mount -t 9p -o "trans=virtio,version=9p2000.L,msize=512000,rw,cache=$3" "$1" "$2"
}

# awaits COMMAND...: until it succeeds, 12 s at most. Probing and addresses are asynchronous.
awaits() {
    for _ in $($bb seq 600); do
        "$@" && return 0
        $bb usleep 20000
    done
    echo "guest: not within 12 s: $*"
    return 1
}

$bb mkdir -p /lib/modules /dev/pts /dev/shm
$bb mount -o bind "$modules" /lib/modules
share shared "$GUEST_SHARED" none
$bb mount -t devpts devpts /dev/pts
$bb mount -t tmpfs tmpfs /dev/shm
$bb ln -sfn /proc/self/fd /dev/fd
$bb mount -t debugfs none /sys/kernel/debug
tag=0
for folder in $shares; do
    share "share$tag" "$folder" mmap
    tag=$((tag + 1))
done
ulimit -l unlimited
ulimit -n 65536
ulimit -c 0
$bb hostname "guest$GUEST_NODE"
$bb ip link set lo up

drives_are_there() {
    set -- /dev/nvme*n1
    [ -e "$1" ] && [ $# -ge "$drives" ]
}
if [ "$drives" -gt 0 ]; then
    $bb modprobe nvme
    awaits drives_are_there
    # In the order of their serial numbers, which is the command line's: probing has none.
    for drive in $(for it in /sys/class/nvme/nvme*; do
        echo "$($bb cat "$it/serial") ${it##*/}"
    done | $bb sort | $bb awk '{print $2}'); do
        GUEST_NVME="${GUEST_NVME:+$GUEST_NVME }/dev/${drive}n1"
    done
    export GUEST_NVME
fi

# With its ciphers, which it asks the kernel for by name.
for module in tls gcm aesni-intel chacha20poly1305; do $bb modprobe "$module" || true; done

if [ "$GUEST_NODES" -gt 1 ]; then
    $bb modprobe virtio_net
elif [ "$rdma" = 1 ]; then
    $bb modprobe dummy numdummies=0
    ip link add eth0 type dummy
fi
if [ -e /sys/class/net/eth0 ]; then
    # 9000 carries InfiniBand packets of 4096.
    ip link set eth0 mtu 9000 up
    ip addr add "$GUEST_ADDRESS/24" dev eth0
fi
address_is_a_gid() { # 10.77.0.x as ::ffff:0a4d:000x
    $bb grep -qs ffff:0a4d /sys/class/infiniband/rxe0/ports/1/gids/1
}
if [ "$rdma" = 1 ]; then
    for module in rdma_rxe ib_uverbs rdma_ucm; do $bb modprobe $module; done
    rdma link add rxe0 type rxe netdev eth0
    awaits address_is_a_gid
fi

cd "$folder_of_command" || cd /
exec 7>/dev/vport0p3
$bb awk '{print "began", $1}' /proc/uptime >&7
/bin/bash -c "$command" </dev/null >/dev/vport0p1 2>/dev/vport0p2 7>&-
status=$?
$bb awk '{print "ended", $1}' /proc/uptime >&7
# The last word over port 3, not a file: a file on 9p was once not there when the guest had ended.
echo "status $status" >&7
$bb sync
$bb poweroff -f
