"""Which drive? Rates, latency, queue, errors, state and wear of each device."""

from panels import BAD, GOOD, WARN, Board, Choice, Row, graph, heatmap, stat, steps, table

_D = '{device=~"$device"}'
_LEGEND = "{{instance}} {{device}}"


def _rate(metric: str) -> str:
    return f"sum by (instance, device) (rate({metric}{_D}[R]))"


def _p(value: str, metric: str) -> str:
    return f"histogram_quantile({value}, sum by (le, instance, device) (rate({metric}_bucket{_D}[R])))"


STATE = Row(
    "State",
    (
        stat(
            "Failed drives", "short",
            'sum(penstock_store_device_state{device=~"$device", state="failed"})',
            """Drives whose flush failed. The server has stopped writing and goes on reading. Copy
            off what matters, replace the drive, restart; see the alert PenstockDeviceFailed.""",
            limits=steps((1, BAD)),
        ),
        stat(
            "Suspect drives", "short",
            'sum(penstock_store_device_state{device=~"$device", state="suspect"})',
            """Drives with an error, a wrong checksum, or far slower than their own habit in the
            last minute. Once is noise; again and again is a drive to replace: read smartctl -a and
            dmesg.""",
            limits=steps((1, WARN)),
        ),
        stat(
            "Blocks with wrong checksums", "short",
            f"sum(increase(penstock_store_checksum_failures_total{_D}[1h]))",
            """Blocks read in the last hour that were not what had been written, each attempt
            counted. Clients got an error, never wrong bytes. Find the drive below, run penstock
            check on the stopped store, replace it.""",
            limits=steps((0.5, BAD)), decimals=0,
        ),
        stat(
            "Failed operations", "short",
            f"sum(increase(penstock_store_device_read_errors_total{_D}[1h]))"
            f" + sum(increase(penstock_store_device_write_errors_total{_D}[1h]))"
            f" + sum(increase(penstock_store_device_flush_errors_total{_D}[1h]))",
            """Reads, writes and flushes that the kernel answered with an error in the last hour.
            dmesg names sector and cause; a cable or slot makes the same picture as a drive.""",
            limits=steps((0.5, BAD)), decimals=0,
        ),
        stat(
            "Drives past the page cache", "short",
            f"sum(penstock_device_direct_io{_D})",
            """Devices read and written directly. Fewer than there are devices: the file system of
            the extent file has no O_DIRECT, and memory is used twice. Use raw drives, ext4 or
            XFS.""",
        ),
        stat(
            "Fullest queue", "percentunit",
            f"max(penstock_store_device_in_flight{_D} / penstock_store_device_queue_depth_limit{_D})",
            """Share of its places in use at the drive that has the most. Staying near 100 % means
            that the drive gets more than it can do: see which one below, spread data over more
            drives.""",
            limits=steps((0.7, WARN), (0.95, BAD)), decimals=0,
        ),
        table(
            "State of each drive",
            (("State", "short", 'penstock_store_device_state{device=~"$device"} == 1'),),
            """What each drive is now: ok, suspect or failed, in the column 'state'. Suspect goes
            away by itself when a minute was clean; failed stays until the restart.""",
            width=12, height=7,
        ),
        graph(
            "Suspect or failed", "short",
            (
                (
                    'max by (instance, device, state) '
                    '(penstock_store_device_state{device=~"$device", state!="ok"})',
                    _LEGEND + " {{state}}",
                ),
            ),
            """1 while a drive is not ok. Compare with the latency below: slow at the same hour each
            day is a neighbour's load or a self-test; slow at random is the drive.""",
            width=12, height=7, most=1,
        ),
    ),
)

RATES = Row(
    "Rates",
    (
        graph(
            "Reads", "iops", ((_rate("penstock_store_device_reads_total"), _LEGEND),),
            """Reads per second of each drive. One drive far above the others: its objects are the
            hot ones. Near the drive's rated figure it is the limit; a larger cache takes the load
            away.""",
        ),
        graph(
            "Writes", "iops", ((_rate("penstock_store_device_writes_total"), _LEGEND),),
            """Writes per second of each drive. Uneven writes mean uneven free space: new extents
            go where there is room. See 'Capacity and health'.""",
        ),
        graph(
            "Flushes", "iops", ((_rate("penstock_store_device_flushes_total"), _LEGEND),),
            """Flushes per second. Many, with few mutations each, are writers one after the other;
            the commit row of 'Capacity and health' shows how many share a flush.""",
        ),
        graph(
            "Bytes read", "Bps", ((_rate("penstock_store_device_read_bytes_total"), _LEGEND),),
            """Read throughput. Far above 'Bytes out' of the overview: reads are of small ranges,
            which cost whole blocks. At the drive's rated figure it is the limit.""",
        ),
        graph(
            "Bytes written", "Bps", ((_rate("penstock_store_device_written_bytes_total"), _LEGEND),),
            """Write throughput. Consumer drives fall to a fraction after their fast cache is full,
            which shows here as a step down under constant load.""",
        ),
        graph(
            "Mean size of a read", "bytes",
            (
                (
                    f"sum by (instance, device) (rate(penstock_store_device_read_bytes_total{_D}[R]))"
                    f" / sum by (instance, device) (rate(penstock_store_device_reads_total{_D}[R]))",
                    _LEGEND,
                ),
            ),
            """Bytes of a mean read. Small reads are many small objects or ranges: pack samples into
            larger objects (tar shards), and drives give several times more.""",
        ),
    ),
)

LATENCY = Row(
    "Latency",
    (
        graph(
            "Reads, p99", "s", ((_p("0.99", "penstock_store_device_read_seconds"), _LEGEND),),
            """99 of 100 reads of each drive are done within this time. NVMe: below a millisecond
            idle, a few under load. One drive apart from the others is the one to look at.""",
            log=True,
        ),
        graph(
            "Writes, p99", "s", ((_p("0.99", "penstock_store_device_write_seconds"), _LEGEND),),
            """As for reads. Writes that become slow together with many flushes wait behind them;
            writes that become slow alone are a drive at work on itself (garbage collection).""",
            log=True,
        ),
        graph(
            "Flushes, p99", "s", ((_p("0.99", "penstock_store_device_flush_seconds"), _LEGEND),),
            """Every durable write waits for one. Above a few milliseconds the drive has no
            power-loss protection; that is the drive's design, and another model is the remedy.""",
            log=True,
        ),
        graph(
            "Reads, median", "s", ((_p("0.5", "penstock_store_device_read_seconds"), _LEGEND),),
            """The usual read. When the median moves, the whole drive is loaded; when the p99 moves
            alone, something on the drive is not well.""",
            log=True,
        ),
        heatmap(
            "Reads, all drives", "s", f"penstock_store_device_read_seconds_bucket{_D}",
            """The spread of read times. A thin cloud far above the band is one drive of many: pick
            drives one by one in the list above until it is alone.""",
            width=8, height=8,
        ),
        heatmap(
            "Writes, all drives", "s", f"penstock_store_device_write_seconds_bucket{_D}",
            """The spread of write times. Two bands are writes into the drive's cache and past it;
            the upper one growing means that the cache is full.""",
            width=8, height=8,
        ),
    ),
)

QUEUE = Row(
    "Queue and errors",
    (
        graph(
            "In flight and limit", "short",
            (
                (f"sum by (instance, device) (penstock_store_device_in_flight{_D})", _LEGEND),
                (f"sum by (instance, device) (penstock_store_device_queue_depth_limit{_D})", _LEGEND + " limit"),
            ),
            """Operations at the drive, and how many may be. At the limit requests wait before the
            drive, which is the stage 'queue'. The drive is the limit then: more drives, or fewer
            requests at a time.""",
        ),
        graph(
            "Waits for the queue", "ops", ((_rate("penstock_store_device_waits_total"), _LEGEND),),
            """Operations that had to wait for a place. Above 0 for long, the drive has more asked
            of it than it can do; short bursts are harmless.""",
        ),
        graph(
            "Failed reads, writes, flushes", "ops",
            (
                (_rate("penstock_store_device_read_errors_total"), _LEGEND + " reads"),
                (_rate("penstock_store_device_write_errors_total"), _LEGEND + " writes"),
                (_rate("penstock_store_device_flush_errors_total"), _LEGEND + " flushes"),
            ),
            """Errors of the kernel. Any of them wants dmesg and smartctl -a; a failed flush stops
            all writing. Never wait for more of them.""",
        ),
        graph(
            "Wrong checksums", "ops", ((_rate("penstock_store_checksum_failures_total"), _LEGEND),),
            """Blocks that came back other than they were written, by drive. On one drive: replace
            it. On all drives of a server: memory or controller; test the machine before the
            drives.""",
        ),
    ),
)

WEAR = Row(
    "What the drives say of themselves",
    (
        graph(
            "Wear", "percentunit",
            ((f"max by (instance, device) (penstock_store_device_wear_ratio{_D})", _LEGEND),),
            """Share of the rated writes that is used. Order a replacement at 80 %, replace at
            100 %. Absent where smartctl is not installed or the device is no NVMe drive.""",
            width=6,
        ),
        graph(
            "Spare blocks left", "percentunit",
            ((f"min by (instance, device) (penstock_store_device_spare_ratio{_D})", _LEGEND),),
            """Share of the spare blocks that is left. A fall is blocks that have died: replace the
            drive below 10 %. Absent where the drive says nothing.""",
            width=6,
        ),
        graph(
            "Temperature", "celsius",
            ((f"max by (instance, device) (penstock_store_device_temperature_celsius{_D})", _LEGEND),),
            """As the drive says. Above 70 °C NVMe drives slow themselves down, which looks like a
            slow drive: look at fans and filters. Absent where the drive says nothing.""",
            width=6,
        ),
        graph(
            "Errors of the medium", "short",
            ((f"sum by (instance, device) (increase(penstock_store_device_media_errors_total{_D}[1d]))", _LEGEND),),
            """Unrecovered errors that the drive counted in the last day. Any is reason to replace
            the drive. Absent where the drive says nothing.""",
            width=6,
        ),
    ),
)

BOARD = Board(
    "drives", "Drives",
    """Which drive is slow, failing, full of requests or worn? Compare a drive with its
    neighbours and with its own past.""",
    (STATE, RATES, LATENCY, QUEUE, WEAR),
    (Choice("device", "Drive", "penstock_store_device_reads_total"),),
)
