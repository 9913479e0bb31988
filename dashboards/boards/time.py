"""Where does the time of requests go? Stages, by kind of work, as means, quantiles and heat maps."""

from panels import Board, Row, graph, heatmap

_SUM = "sum by (stage) (rate(penstock_request_stage_seconds_sum{{group=\"{}\"}}[R]))"
_REQUESTS = 'sum(rate(penstock_request_duration_seconds_count{{operation=~"{}"}}[R]))'
_READS = "GetObject"
_WRITES = "PutObject|CopyObject|UploadPart|UploadPartCopy|CompleteMultipartUpload"
_LISTS = "ListBuckets|ListObjects|ListObjectsV2|ListMultipartUploads|ListParts"
_STORE = "queue|device|verify|index|commit"
_CLIENT = "receive|send"


def _mean(group: str, operations: str) -> tuple:
    """Mean time that a request of the kind spends in each stage; stacked it is the whole."""
    return ((f"{_SUM.format(group)} / on () group_left () {_REQUESTS.format(operations)}", "{{stage}}"),)


def _tail(group: str) -> tuple:
    return (
        (
            "histogram_quantile(0.99, sum by (le, stage) "
            f'(rate(penstock_request_stage_seconds_bucket{{group="{group}"}}[R])))',
            "{{stage}}",
        ),
    )


def _rest(operations: str, group: str) -> str:
    """Mean time of a request that no stage covers; accept and parse lie before its duration."""
    return (
        f'(sum(rate(penstock_request_duration_seconds_sum{{operation=~"{operations}"}}[R])) - '
        f'sum(rate(penstock_request_stage_seconds_sum{{group="{group}", stage!~"accept|parse"}}[R]))) / '
        f"{_REQUESTS.format(operations)}"
    )


def _share(stages: str) -> str:
    return (
        f'sum(rate(penstock_request_stage_seconds_sum{{stage=~"{stages}"}}[R])) / '
        f'sum(rate(penstock_request_stage_seconds_sum{{stage!="accept"}}[R]))'
    )


WHO = Row(
    "Who waits for whom",
    (
        graph(
            "Store or client", "percentunit",
            ((_share(_STORE), "store"), (_share(_CLIENT), "client"), (_share("parse|auth"), "front")),
            """Share of requests' time spent on the store (index, queue, device, verify, commit), on
            the client (receive, send: its bytes or its reading), on the front (parse, auth). Mostly
            store: read on below. Mostly client: the network or the client is the limit, and more
            drives will not help.""",
            most=1, stack=True,
        ),
        graph(
            "Requests in each stage", "short",
            (("sum by (stage) (rate(penstock_request_stage_seconds_sum[R]))", "{{stage}}"),),
            """How many requests are in each stage at a time, on average (seconds per second). The
            widest band is where concurrency is spent, whatever the request rate is.""",
            stack=True,
        ),
        graph(
            "Time that no stage covers", "s",
            ((_rest(_READS, "read"), "reads"), (_rest(_WRITES, "write"), "writes")),
            """Mean time of a request outside all stages: S3's own work on headers and waiting for
            the lane's thread. When it grows the lane is busy: see 'Lanes and memory'.""",
        ),
    ),
)

READS = Row(
    "Reads",
    (
        graph(
            "Reads: mean time by stage", "s", _mean("read", _READS),
            """The parts of a mean read. device: drives; see 'Drives'. queue: memory or a place in
            a drive's queue; see 'Lanes and memory'. verify: checksums, so processor. send: the
            client reads slowly. index: the index does not fit in the page cache.""",
            width=12, stack=True,
        ),
        graph(
            "Reads: p99 by stage", "s", _tail("read"),
            """The worst 1 % in each stage; they do not add up. The stage whose p99 leaves its mean
            far behind makes the tail. For single slow requests use the console or penstock top.""",
            width=12, log=True,
        ),
        heatmap(
            "Waiting for drives", "s",
            'penstock_request_stage_seconds_bucket{stage="device"}',
            """Time that requests waited for a device. A second band far above the first is one slow
            drive; a band that moves up is load near the drives' limit.""",
        ),
        heatmap(
            "Waiting in queues", "s",
            'penstock_request_stage_seconds_bucket{stage="queue"}',
            """Waiting for memory or a place in a drive's queue. Any weight above a few
            milliseconds: raise memory, or spread the load, since more is asked for than the drives
            give.""",
        ),
        heatmap(
            "Sending", "s",
            'penstock_request_stage_seconds_bucket{stage="send"}',
            """From the first byte of a body to the last handed to TCP, without waiting for the
            store. Long sends are clients or networks that take their time; they hold memory
            meanwhile.""",
        ),
        heatmap(
            "Looking records up", "s",
            'penstock_request_stage_seconds_bucket{stage="index"}',
            """Lookups in the index. More than a millisecond means that its pages come from disk:
            give the machine more free memory for the page cache, or move the data directory to
            NVMe.""",
        ),
    ),
)

WRITES = Row(
    "Writes",
    (
        graph(
            "Writes: mean time by stage", "s", _mean("write", _WRITES),
            """The parts of a mean write. receive: the client's sending. device, queue: drives and
            memory. commit: waiting for data and index to be durable, so flushes; see 'Drives' and
            the commit row of 'Capacity and health'.""",
            width=12, stack=True,
        ),
        graph(
            "Writes: p99 by stage", "s", _tail("write"),
            """The worst 1 % in each stage. A high commit beside short flushes is a full commit
            queue; a high receive is the client or the network.""",
            width=12, log=True,
        ),
        heatmap(
            "Waiting until durable", "s",
            'penstock_request_stage_seconds_bucket{stage="commit"}',
            """Time until data and index are durable. It has the flush of the slowest drive in it: a
            drive without power-loss protection shows as a band at milliseconds.""",
        ),
        heatmap(
            "Waiting for clients' bytes", "s",
            'penstock_request_stage_seconds_bucket{stage="receive"}',
            """Time that uploads waited for the client. Long here is nothing that the server can
            mend: look at the client's processor, at its parallel parts, at the network.""",
        ),
    ),
)

FRONT = Row(
    "Listings and the front",
    (
        graph(
            "Listings: mean time by stage", "s", _mean("list", _LISTS),
            """The parts of a mean listing; nearly all should be index. When it grows, listings walk
            over large prefixes: ask jobs to list once and keep the result.""",
            stack=True,
        ),
        graph(
            "Other operations: p99 by stage", "s", _tail("other"),
            """HEAD, deletes, buckets, uploads' beginnings. Commit is what deletes wait for; index
            is what HEAD waits for.""",
            log=True,
        ),
        graph(
            "Front: p99 of accept, parse and auth", "s",
            (
                (
                    "histogram_quantile(0.99, sum by (le, stage) "
                    '(rate(penstock_request_stage_seconds_bucket{stage=~"accept|parse|auth"}[R])))',
                    "{{stage}}",
                ),
            ),
            """accept: until the lane serves a new connection; long means a busy lane. parse: from
            first to last byte of a head; long means clients that send it in pieces. auth:
            signatures; long means a busy processor.""",
            log=True,
        ),
    ),
)

BOARD = Board(
    "time", "Where does the time go",
    """Which stage do requests spend their time in: the client's, the index's, the drives', the
    flush's? Read from top to bottom.""",
    (WHO, READS, WRITES, FRONT),
)
