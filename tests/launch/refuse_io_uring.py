#!/usr/bin/env python3
"""Runs a command under a seccomp filter that refuses io_uring, as container runtimes' default does.

io_uring_setup, io_uring_enter and io_uring_register answer EPERM; every other call passes. The
filter is classic BPF, see seccomp(2); it holds for the command and all that it starts.
"""

import ctypes
import os
import struct
import sys

PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
LOAD_WORD = 0x20  # BPF_LD | BPF_W | BPF_ABS
JUMP_IF_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
JUMP_IF_GREATER = 0x25  # BPF_JMP | BPF_JGT | BPF_K
RETURN = 0x06  # BPF_RET | BPF_K
ALLOW = 0x7FFF0000
ERRNO_EPERM = 0x00050000 | 1
FIRST, LAST = 425, 427  # io_uring_setup .. io_uring_register, the same on every architecture


class Program(ctypes.Structure):
    """struct sock_fprog"""

    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit("usage: refuse_io_uring.py COMMAND [ARGUMENT...]")
    instructions = b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in [
            (LOAD_WORD, 0, 0, 0),  # seccomp_data.nr
            (JUMP_IF_AT_LEAST, 0, 2, FIRST),
            (JUMP_IF_GREATER, 1, 0, LAST),
            (RETURN, 0, 0, ERRNO_EPERM),
            (RETURN, 0, 0, ALLOW),
        ]
    )
    buffer = ctypes.create_string_buffer(instructions, len(instructions))
    program = Program(len(instructions) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        sys.exit(f"no_new_privs: {os.strerror(ctypes.get_errno())}")
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
        sys.exit(f"seccomp: {os.strerror(ctypes.get_errno())}")
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
