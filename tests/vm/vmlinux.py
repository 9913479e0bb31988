#!/usr/bin/env python3
"""Unpacks a bzImage into the ELF file vmlinux: vmlinux.py BZIMAGE VMLINUX.

QEMU enters an ELF kernel directly (PVH). The bzImage's own decompressor would run inside the
emulated guest and take seconds. The header's fields are those of the kernel's Documentation/arch/
x86/boot.rst.
"""

import gzip
import lzma
import pathlib
import struct
import subprocess
import sys


def unpack(image: bytes) -> bytes:
    """The ELF file inside a bzImage."""
    if image[0x202:0x206] != b"HdrS":
        sys.exit("no bzImage: the boot header's signature is missing")
    setup_sectors = image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    payload = image[(setup_sectors + 1) * 512 + offset :][:length]
    # After the compressed data stand four bytes with the size of the result, except with gzip,
    # whose format has them at this place itself.
    if payload[:6] == b"\xfd7zXZ\0":
        return lzma.decompress(payload[:-4])
    if payload[:4] == b"\x28\xb5\x2f\xfd":
        command = ["zstd", "-dcq"]
        return subprocess.run(command, input=payload[:-4], capture_output=True, check=True).stdout
    if payload[:2] == b"\x1f\x8b":
        return gzip.decompress(payload)
    sys.exit(f"unknown kernel compression: the payload begins with {payload[:6].hex()}")


def main() -> None:
    elf = unpack(pathlib.Path(sys.argv[1]).read_bytes())
    if elf[:4] != b"\x7fELF":
        sys.exit("what the bzImage holds is no ELF file")
    pathlib.Path(sys.argv[2]).write_bytes(elf)


if __name__ == "__main__":
    main()
