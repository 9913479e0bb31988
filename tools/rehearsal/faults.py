"""The faults: how each is made, and which alerts and panels have to show it."""

import dataclasses
import time
from collections.abc import Callable

from stage import Stage

# How long load runs before a fault, so that rates and a drive's own habit are there to differ from.
QUIET_SECONDS = 45
# How long a drive that writing the objects made suspect stays so, and a little. Prometheus comes
# after it: what preparing does to a drive is no alarm.
SETTLE_SECONDS = 65
# Longer than any fault is watched; load ends by itself.
LOAD_TIME = "15m"


@dataclasses.dataclass
class Fault:
    """One fault."""

    name: str
    # What happens, in words.
    what: str
    # Settings of the server beside the standard ones.
    settings: dict[str, str]
    # Before the fault: objects and ordinary load.
    prepare: Callable[[Stage], None]
    # The fault itself.
    strike: Callable[[Stage], None]
    # Alerts that must fire.
    alerts: list[str]
    # Panels that must show it: board, title, and the least value that does.
    panels: list[tuple[str, str, float]]
    # The view of `penstock top` that is kept.
    view: str
    # How long all that may take.
    seconds: int


STANDARD = {
    "MEMORY": "192M",
    "EXTENT_FILE": "1GiB",
    "LANES": "1",
    # strace can reach what threads of its own do by pread and pwrite; it cannot reach a ring.
    "IO_ENGINE": "blocking",
}


def cold_reads(stage: Stage) -> None:
    """Reads of more objects than memory holds, at a steady rate: most come from the drive."""
    objects = ("-n", "300", "-s", "1MiB")
    stage.load_to_end("put", *objects, "-c", "4", "--create-bucket")
    reads = ("get", *objects, "-c", "8", "--rate", "20", "--duration", LOAD_TIME)
    stage.load(*reads, "--errors-max", "1000000")


def writes(stage: Stage) -> None:
    """A steady stream of small objects."""
    stage.load_to_end("put", "-n", "20", "-s", "64KiB", "--create-bucket")
    puts = ("put", "-n", "20", "-s", "64KiB", "--rate", "10", "--duration", LOAD_TIME)
    stage.load(*puts, "--errors-max", "1000000")


def fill(stage: Stage) -> None:
    """As fast as it goes until nothing fits, and on."""
    puts = ("put", "-n", "100000", "-s", "1MiB", "-c", "2", "--rate", "20", "--prefix", "fill/")
    stage.load(*puts, "--duration", LOAD_TIME, "--errors-max", "1000000")


def one_cold_object(stage: Stage) -> None:
    """An object that is on the drive and not in memory."""
    stage.load_to_end("put", "-n", "1", "-s", "48MiB", "--create-bucket", "--prefix", "herd/")
    stage.load_to_end("put", "-n", "20", "-s", "64KiB")
    stage.restart_server()
    stage.load("get", "-n", "20", "-s", "64KiB", "--rate", "5", "--duration", LOAD_TIME)


def herd(stage: Stage) -> None:
    """64 clients ask for it at the same moment, once each."""
    object_ = ("-n", "1", "-s", "48MiB", "--prefix", "herd/")
    stage.load("get", *object_, "-c", "64", "--requests", "64", "--timeout", "5m")


def polite_reads(stage: Stage) -> None:
    """Somebody who asks five times a second; the objects are in memory."""
    stage.load_to_end("put", "-n", "100", "-s", "4KiB", "--create-bucket")
    stage.load("get", "-n", "100", "-s", "4KiB", "--rate", "5", "--duration", LOAD_TIME)


def aggressor(stage: Stage) -> None:
    """Another access key asks on 64 connections without a pause."""
    added = stage.command("keys", "add")
    words = dict(line.split("=", 1) for line in added.stdout.split())
    key = (words["AWS_ACCESS_KEY_ID"], words["AWS_SECRET_ACCESS_KEY"])
    # The server takes it up within two seconds.
    time.sleep(3)
    flood = ("get", "-n", "100", "-s", "4KiB", "-c", "64", "--auth", "presigned")
    stage.load(*flood, "--duration", LOAD_TIME, key=key)


FAULTS = [
    Fault(
        name="slow device",
        what="every read of the drive takes 250 ms longer (strace delays pread)",
        settings={},
        prepare=cold_reads,
        strike=lambda stage: stage.inject("pread64:delay_enter=250000"),
        alerts=["PenstockDeviceSuspect", "PenstockDeviceSlow", "PenstockReadsBurnsFast"],
        panels=[
            ("drives", "Reads, p99", 0.1),
            ("drives", "Suspect or failed", 1),
            ("overview", "First byte, reads, p99", 0.1),
            ("time", "Reads: p99 by stage", 0.5),
        ],
        view="drives",
        seconds=300,
    ),
    Fault(
        name="failing device",
        what="every fourth read of the drive fails (strace answers pread with EIO)",
        settings={},
        prepare=cold_reads,
        strike=lambda stage: stage.inject("pread64:error=EIO:when=1+4"),
        alerts=["PenstockDeviceErrors", "PenstockDeviceSuspect"],
        panels=[
            ("drives", "Failed reads, writes, flushes", 0.01),
            ("drives", "Suspect or failed", 1),
            ("overview", "Drives not ok", 1),
        ],
        view="drives",
        seconds=240,
    ),
    Fault(
        name="failing flush",
        what="the drive fails to make writes durable (strace answers fdatasync with EIO)",
        settings={},
        prepare=writes,
        strike=lambda stage: stage.inject("fdatasync:error=EIO"),
        alerts=["PenstockReadOnly", "PenstockDeviceFailed", "PenstockServerErrors"],
        panels=[
            ("overview", "Writing stopped", 1),
            ("drives", "Failed drives", 1),
            ("overview", "Share of 5xx", 0.5),
        ],
        view="overview",
        seconds=240,
    ),
    Fault(
        name="full disk",
        what="writes fill an extent file of 320 MiB and go on",
        settings={"EXTENT_FILE": "320MiB"},
        prepare=writes,
        strike=fill,
        alerts=["PenstockAlmostFull", "PenstockServerErrors"],
        panels=[
            ("overview", "Space used", 0.95),
            ("capacity", "Space used by the fullest", 0.95),
            ("overview", "Errors by code", 1),
        ],
        view="memory",
        seconds=300,
    ),
    Fault(
        name="herd",
        what="64 clients ask at once for one object of 48 MiB that is not in memory",
        settings={"MEMORY": "512M"},
        prepare=one_cold_object,
        strike=herd,
        alerts=["PenstockReadHerd"],
        panels=[("training", "Joins of a herd", 1), ("lanes", "Blocks by how they were found", 50)],
        view="time",
        seconds=180,
    ),
    Fault(
        name="aggressor",
        what="one access key asks on 64 connections without a pause",
        settings={},
        prepare=polite_reads,
        strike=aggressor,
        alerts=["PenstockUserFloods"],
        panels=[
            ("overview", "Busiest lane", 0.7),
            ("tenants", "Requests by user", 50),
        ],
        view="tenants",
        seconds=300,
    ),
]
