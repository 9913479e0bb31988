"""Is storage what starves my job? A job is known by its access key and its buckets."""

from panels import BAD, GOOD, WARN, Board, Choice, Row, graph, heatmap, stat, steps

_U = '{user=~"$user"}'
_B = '{bucket=~"$bucket"}'
_STORE = (
    'sum(rate(penstock_request_stage_seconds_sum{group="read", stage=~"index|queue|device|verify"}[R]))'
)
_WAIT = "(" + _STORE + ' + sum(rate(penstock_request_stage_seconds_sum{group="read", stage="send"}[R])))'
_WRITE = 'operation=~"PutObject|UploadPart"'

VERDICT = Row(
    "Is storage the limit",
    (
        stat(
            "Reads' time spent on the store", "percentunit", f"{_STORE} / {_WAIT}",
            """Of the time of reads, the share that waited for the store rather than for the
            client's taking the bytes. Above half: storage is what starves the job; go on to 'Where
            does the time go'. Below: the client or the network is.""",
            width=6, limits=steps((0.5, WARN), (0.8, BAD)), decimals=0,
        ),
        stat(
            "First byte, p99", "s",
            "histogram_quantile(0.99, sum by (le) "
            '(rate(penstock_request_first_byte_seconds_bucket{operation="GetObject"}[R])))',
            """What a data loader's worker waits for before bytes flow, in the worst of 100 reads.
            Multiply by the samples of a batch that one worker reads: if that is more than a step
            takes, add workers.""",
            width=6, limits=steps((0.05, WARN), (0.25, BAD)),
        ),
        stat(
            "Read bandwidth of the job", "Bps",
            f"sum(rate(penstock_user_sent_body_bytes_total{_U}[R]))",
            """Bytes per second that the chosen users read. Compare with what the job needs: samples
            per second times bytes per sample. If it gets that, storage does not starve it.""",
            width=6,
        ),
        stat(
            "Reads out of memory", "percentunit",
            'sum(rate(penstock_response_bytes_total{source=~"cache|joined"}[R]))'
            ' / sum(rate(penstock_response_bytes_total{source!="document"}[R]))',
            """Share of objects' bytes that no drive had to read again. Near 0 in the second epoch:
            the data set does not fit the cache; raise memory or read in shards.""",
            width=6, decimals=0,
        ),
    ),
)

READING = Row(
    "Reading samples",
    (
        graph(
            "Bandwidth by user", "Bps",
            ((f"sum by (user) (rate(penstock_user_sent_body_bytes_total{_U}[R]))", "{{user}}"),),
            """What each job reads. A saw-tooth is a loader that fills its queue and stops: storage
            is fast enough. A flat line below what the job needs is a limit: find which with the
            panels beside.""",
            stack=True,
        ),
        graph(
            "Requests by user", "reqps",
            ((f"sum by (user) (rate(penstock_user_requests_total{_U}[R]))", "{{user}}"),),
            """Reads and writes of each job. Many requests for little bandwidth are small samples:
            pack them into shards, and the same drives feed several times more.""",
        ),
        graph(
            "Requests in progress by user", "short",
            ((f"sum by (user) (rate(penstock_user_request_seconds_total{_U}[R]))", "{{user}}"),),
            """How many of each job's requests are being served on average. Far below its number of
            workers: the workers wait for something else, not for storage.""",
        ),
        graph(
            "Mean bytes of an answer by bucket", "bytes",
            (
                (
                    f"sum by (bucket) (rate(penstock_bucket_sent_body_bytes_total{_B}[R]))"
                    f" / sum by (bucket) (rate(penstock_bucket_requests_total{_B}[R]))",
                    "{{bucket}}",
                ),
            ),
            """Size of a mean answer. Below 128 KiB, drives spend more on the request than on the
            bytes. Shards of 64 MiB and more, read in ranges of megabytes, are what drives like.""",
            log=True,
        ),
        graph(
            "Where the bytes came from", "Bps",
            (('sum by (source) (rate(penstock_response_bytes_total{source!="document"}[R]))', "{{source}}"),),
            """The first epoch comes from 'device', later ones from 'cache' when the data fits. A
            herd of workers that open one file shows as 'joined': one drive read for all of
            them.""",
            stack=True,
        ),
        graph(
            "How the bytes left", "Bps",
            (("sum by (delivery) (rate(penstock_response_bytes_total[R]))", "{{delivery}}"),),
            """By socket or by RDMA into the job's memory. A job that should use RDMA and does not:
            see 'Declines by reason' on the board RDMA.""",
            stack=True,
        ),
        heatmap(
            "First byte of reads", "s",
            'penstock_request_first_byte_seconds_bucket{operation="GetObject"}',
            """One slow worker holds up the whole step, so the upper edge matters more than the
            middle. A thin cloud high up: look at single drives, and at slow requests in the
            console.""",
        ),
        heatmap(
            "Bodies being sent", "s",
            'penstock_request_stage_seconds_bucket{stage="send", group="read"}',
            """How long clients take for the bodies. Weight at seconds: workers that decode while
            they read; let them read the object first, so that memory is free sooner.""",
        ),
    ),
)

STARTS = Row(
    "Starts and checkpoints",
    (
        graph(
            "Listings and HEADs", "reqps",
            (
                ('sum(rate(penstock_requests_total{operation=~"ListObjects|ListObjectsV2"}[R]))', "listings"),
                ('sum(rate(penstock_requests_total{operation="HeadObject"}[R]))', "HEADs"),
            ),
            """The start of an epoch or job. Listings all the time: each worker lists for itself;
            list once and pass the names on. HEADs beside each GET: drop them, GET has the size.""",
        ),
        graph(
            "Listing, p99", "s",
            (
                (
                    "histogram_quantile(0.99, sum by (le) (rate("
                    'penstock_request_duration_seconds_bucket{operation=~"ListObjects|ListObjectsV2"}[R])))',
                    "p99",
                ),
            ),
            """How long the worst of 100 listings takes. Many seconds delay the job's start: use a
            manifest object in place of listings.""",
            log=True,
        ),
        graph(
            "Joins of a herd", "ops",
            (("sum(rate(penstock_store_cache_joins_total[R]))", "joined reads"),),
            """Reads that shared another's: all workers opening the same object at once. Harmless
            and good; without it each would cost a drive read.""",
        ),
        graph(
            "Writing of checkpoints", "Bps",
            (("sum by (operation) (rate(penstock_received_body_bytes_total[R])) > 0", "{{operation}}"),),
            """Upload bandwidth. The job stands still while this is high, unless it writes
            asynchronously. Below the network's rate with one connection: upload parts in parallel.""",
        ),
        graph(
            "Parts and objects, p99", "s",
            (
                (
                    "histogram_quantile(0.99, sum by (le, operation) (rate("
                    f"penstock_request_duration_seconds_bucket{{{_WRITE}}}[R])))",
                    "{{operation}}",
                ),
            ),
            """How long the worst of 100 uploads takes, from head to durable. Compare with the stage
            'receive': what is left over is the store's.""",
            log=True,
        ),
        graph(
            "Finishing uploads, mean", "s",
            (
                (
                    "sum(rate(penstock_request_duration_seconds_sum{operation=\"CompleteMultipartUpload\"}[R]))"
                    " / sum(rate(penstock_request_duration_seconds_count{operation=\"CompleteMultipartUpload\"}[R]))",
                    "CompleteMultipartUpload",
                ),
            ),
            """The step that makes a checkpoint of parts one object. Milliseconds: no data moves.
            Seconds: the commit queue is full or flushes are slow.""",
        ),
        graph(
            "Errors that a job sees", "reqps",
            ((f'sum by (user, status) (rate(penstock_user_requests_total{{user=~"$user", status=~"4xx|5xx"}}[R]))',
              "{{user}} {{status}}"),),
            """Errors of the chosen users. Clients retry 5xx with pauses, which shows as lost
            bandwidth first. SlowDown means that memory for reads is short: fewer workers or more
            memory.""",
        ),
        graph(
            "Responses cut short by clients", "cps",
            (("sum(rate(penstock_responses_aborted_total[R]))", "aborted"),),
            """Bodies that clients did not take to the end: workers that died, or loaders that read
            the beginning of an object only. The second should ask for a range.""",
        ),
        stat(
            "Objects' bytes by RDMA", "percentunit",
            '(sum(rate(penstock_response_bytes_total{delivery="rdma"}[R])) or'
            " 0 * sum(rate(penstock_response_bytes_total[R])))"
            ' / sum(rate(penstock_response_bytes_total{source!="document"}[R]))',
            """Share of the reads' bytes that went straight into registered memory. 0 with a job that
            asks for RDMA: the board RDMA has the reasons.""",
            width=8, height=8, decimals=0, limits=steps((0.01, GOOD), first="blue"),
        ),
    ),
)

BOARD = Board(
    "training", "Training jobs",
    """Is storage what starves my job? Choose the job's access key and buckets. The first row is
    the verdict, the rest says why.""",
    (VERDICT, READING, STARTS),
    (
        Choice("user", "User", "penstock_user_requests_total"),
        Choice("bucket", "Bucket", "penstock_bucket_requests_total"),
    ),
)
