# shellcheck shell=bash disable=SC2034,SC2154
# Sourced by guest.sh. How QEMU executes the guest's instructions: sets accelerator, cpu (QEMU's
# -cpu) and clock (kernel parameters).

# choose_accelerator QEMU CACHE
choose_accelerator() {
    local flag known measure="$2/tsc-khz" khz
    # A /dev/kvm that can be opened proves nothing: under some hypervisors it belongs to a software
    # KVM that cannot run a stock kernel. The CPU must have the flag as well.
    if [ -w /dev/kvm ] && grep -qwE 'svm|vmx' /proc/cpuinfo; then
        accelerator=kvm cpu=host clock=''
        return
    fi
    accelerator=tcg
    # Emulation runs `rep movsb` and `rep stosb` byte by byte: the flags that make kernel and libc
    # choose them are hidden (10 times faster copies), and those that only cost time here.
    cpu=max
    known=" $("$1" -cpu help | tr '\n' ' ') "
    for flag in erms fsrm fsrs fzrm fsrc la57 smap smep umip mpx pku pks; do
        case "$known" in *" $flag "*) cpu+=",-$flag" ;; esac
    done
    if [ "$measure" -ot "$here/tsc.c" ]; then
        cc -O1 "$here/tsc.c" -o "$measure.$$"
        mv "$measure.$$" "$measure"
    fi
    khz="$("$measure")"
    # lpj: saves the calibration of the delay loop, a second for each CPU. HZ is 250 on Debian.
    clock="tsc_early_khz=$khz lpj=$((khz * 4)) tsc=reliable"
}
