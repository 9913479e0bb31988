"""Is it well? Rate, errors and duration of requests, and the objectives."""

from panels import BAD, GOOD, WARN, Board, Query, Row, graph, heatmap, quantiles, stat, steps

_ALL = "sum(rate(penstock_requests_total[R]))"
_FIFTHS = 'sum(rate(penstock_requests_total{status="5xx"}[R]))'

NOW = Row(
    "Now",
    (
        stat(
            "Servers up", "short", "sum(up)",
            """Servers that Prometheus reaches. Fewer than there should be: look at the alert
            PenstockDown, then at the log of the server that is missing; its instance is the one
            with up == 0.""",
            limits=steps((1, GOOD), first=BAD),
        ),
        stat(
            "Requests", "reqps", _ALL,
            """Requests answered per second. A fall with the same clients running means that they
            wait: see 'First byte of reads' and then the board 'Where does the time go'. A rise
            without a new job is a client that retries or floods: see 'Tenants and buckets'.""",
        ),
        stat(
            "Share of 5xx", "percentunit", f"({_FIFTHS} or 0 * {_ALL}) / {_ALL}",
            """Share of answers that blame the server. Above 0.1 % the objective is missed. See
            'Errors by code' for what it is: InsufficientStorage means full, SlowDown and
            ServiceUnavailable mean a limit, InternalError is in the log with its cause.""",
            limits=steps((0.001, WARN), (0.01, BAD)), decimals=2,
        ),
        stat(
            "First byte, reads, p99", "s",
            'histogram_quantile(0.99, sum by (le) '
            '(rate(penstock_request_first_byte_seconds_bucket{operation="GetObject"}[R])))',
            """99 of 100 reads begin to answer within this time. The objective is 50 ms. When it is
            above, the board 'Where does the time go' says whether the index, the queue or a drive
            takes it.""",
            limits=steps((0.05, WARN), (0.25, BAD)),
        ),
        stat(
            "Bytes out", "Bps", "sum(rate(penstock_response_bytes_total[R]))",
            """Bytes of responses per second, by TCP and by RDMA. At the line rate of the network
            cards the network is the limit, not the store: add cards or servers, or move clients
            to RDMA.""",
        ),
        stat(
            "Bytes in", "Bps", "sum(rate(penstock_received_body_bytes_total[R]))",
            """Bytes of uploads per second. When writers complain and this is low, look at the
            commit thread on 'Capacity and health' and at flush times on 'Drives'.""",
        ),
        stat(
            "Drives not ok", "short",
            'sum(penstock_store_device_state{state=~"suspect|failed"})',
            """Drives that are suspect or failed. Anything above 0: open the board 'Drives', which
            names them. A failed drive has stopped all writing until the server is restarted.""",
            limits=steps((1, BAD)),
        ),
        stat(
            "Space used", "percentunit",
            "1 - sum(penstock_store_free_bytes) / sum(penstock_store_bytes)",
            """Share of the space for objects that is in use. From 85 % on plan deletions or more
            drives; 'Capacity and health' says when it will be full. At 100 % writes get 507, reads
            go on.""",
            limits=steps((0.85, WARN), (0.95, BAD)), decimals=1,
        ),
        stat(
            "Writing stopped", "short", "max(penstock_store_read_only)",
            """Whether a fault has stopped all writing on some server. It stays so until that
            server is restarted, because after a failed flush no later success of the drive can be
            believed. Replace the drive first.""",
            limits=steps((1, BAD)), words=((0, "no", GOOD), (1, "yes", BAD)),
        ),
        stat(
            "In flight", "short", "sum(penstock_requests_in_flight)",
            """Requests between head and end of response. Rising while the rate stays the same means
            that each takes longer: look at 'Where does the time go'. By Little's law it is rate
            times duration.""",
        ),
        stat(
            "Connections", "short", "sum(penstock_connections)",
            """Open connections. Near the limit new clients are refused: raise limits.connections
            and the descriptor limit, or find the client that opens a connection for each request
            on 'Tenants and buckets'.""",
        ),
        stat(
            "Busiest lane", "percentunit", "max(rate(penstock_lane_busy_seconds_total[R]))",
            """Busy share of the busiest lane. Near 100 % that thread is the limit of the server:
            see 'Lanes and memory' for whether all lanes are (add cores) or one (few clients with
            few connections).""",
            limits=steps((0.8, WARN), (0.95, BAD)), decimals=0,
        ),
    ),
)

RATE = Row(
    "Rate",
    (
        graph(
            "Requests by operation", "reqps",
            (("sum by (operation) (rate(penstock_requests_total[R])) > 0", "{{operation}}"),),
            """What clients ask for. Many ListObjectsV2 or HeadObject beside few GetObject are data
            loaders that look before they read: let them keep their listing.""",
            stack=True,
        ),
        graph(
            "Requests by status", "reqps",
            (("sum by (status) (rate(penstock_requests_total[R]))", "{{status}}"),),
            """Answers by class. 5xx blame the server, 4xx the client: 'Errors by code' names them.
            A burst of 4xx from one bucket or user is on 'Tenants and buckets'.""",
            stack=True,
        ),
        graph(
            "In flight by operation", "short",
            (("sum by (operation) (penstock_requests_in_flight) > 0", "{{operation}}"),),
            """Requests being served. One operation that grows without its rate growing is what
            waits; its stages are on 'Where does the time go'.""",
            stack=True,
        ),
        graph(
            "Bytes out and in", "Bps",
            (
                ("sum(rate(penstock_response_bytes_total[R]))", "out"),
                ("sum(rate(penstock_received_body_bytes_total[R]))", "in by TCP"),
            ),
            """Throughput. A flat top at the line rate is the network; a flat top below it, with
            busy drives, is the drives; with neither, look at lanes and at clients.""",
        ),
        graph(
            "Bytes out by TCP and operation", "Bps",
            (("sum by (operation) (rate(penstock_sent_body_bytes_total[R])) > 0", "{{operation}}"),),
            """Bytes of response bodies that TCP took. Listings that take a visible part of it are
            clients that list again and again; what goes by RDMA is on the board RDMA.""",
            stack=True,
        ),
        graph(
            "Requests by server", "reqps",
            (("sum by (instance) (rate(penstock_requests_total[R]))", "{{instance}}"),),
            """Whether load is even over servers. One that gets much more than the others: look at
            how clients choose (DNS, balancer), since servers do not pass requests on.""",
        ),
        graph(
            "Where response bytes come from", "Bps",
            (("sum by (source) (rate(penstock_response_bytes_total[R]))", "{{source}}"),),
            """Memory (cache), drive (device), another request's read (joined), the index's record
            (record) or made for the answer (document). A job in its second epoch that still reads
            from devices has a data set larger than the cache: raise memory.""",
            stack=True,
        ),
    ),
)

ERRORS = Row(
    "Errors",
    (
        graph(
            "Share of 5xx over time", "percentunit",
            (
                (f"({_FIFTHS} or 0 * {_ALL}) / {_ALL}", "5xx"),
                ("max(penstock:faults:ratio_rate5m)", "faults, worst server, 5 min"),
            ),
            """Answers that blame the server; faults leave out NotImplemented, which is the client's
            choice of operation. The dashed line is the objective of 0.1 %. Above it, 'Errors by
            code' and the log say why.""",
            limits=steps((0.001, BAD)),
        ),
        graph(
            "Errors by code", "reqps",
            (("sum by (code) (rate(penstock_request_errors_total[R])) > 0", "{{code}}"),),
            """S3's error codes. SignatureDoesNotMatch, InvalidAccessKeyId: wrong keys.
            RequestTimeTooSkewed: clocks. NoSuchKey in masses: a loader that probes.
            InsufficientStorage: full. SlowDown, ServiceUnavailable: a limit of memory or
            connections. InternalError: read the log.""",
            stack=True,
        ),
        graph(
            "Ended by a limit or a fault", "cps",
            (("sum by (reason) (rate(penstock_refused_total[R])) > 0 or sum(rate(penstock_refused_total[R]))",
              "{{reason}}"),),
            """Connections and requests that the server ended. connections: raise the limit.
            header_time, body_time, send_stall, idle_time: clients that stopped sending or
            reading, usually the network. panic: a defect, please report it with the log.""",
        ),
        graph(
            "Responses cut short", "cps",
            (("sum(rate(penstock_responses_aborted_total[R]))", "aborted"),),
            """Responses whose body ended early: the client went away, or a read failed on the way.
            With drive errors on 'Drives' it is the second; otherwise look at client time-outs and
            at the network.""",
        ),
    ),
)

DURATION = Row(
    "Duration",
    (
        graph(
            "First byte of reads", "s",
            quantiles("penstock_request_first_byte_seconds", 'operation="GetObject"', exemplar=True),
            """From the request's head to the answer's. This is what storage adds; the transfer is
            not in it. A p99 far above the median is queueing or a slow drive: see 'Where does the
            time go'.""",
            log=True,
        ),
        graph(
            "Duration of reads", "s",
            quantiles("penstock_request_duration_seconds", 'operation="GetObject"', exemplar=True),
            """To the last byte handed to TCP, so it contains the client's speed of reading. When it
            rises and the first byte does not, the network or the client is slow, not the store.""",
            log=True,
        ),
        graph(
            "Duration of writes", "s",
            quantiles("penstock_request_duration_seconds", 'operation=~"PutObject|UploadPart"', exemplar=True),
            """From the head to the durable answer. It contains the client's sending ('receive')
            and the flush ('commit'): the stages of writes on 'Where does the time go' tell them
            apart.""",
            log=True,
        ),
        graph(
            "Mean duration by operation", "s",
            (
                (
                    "sum by (operation) (rate(penstock_request_duration_seconds_sum[R]))"
                    " / sum by (operation) (rate(penstock_request_duration_seconds_count[R]))",
                    "{{operation}}",
                ),
            ),
            """Which operation is slow on average. Listings that grow with time are large prefixes
            without delimiter: ask the job to list once and keep the result.""",
            log=True,
        ),
        heatmap(
            "First byte of reads, all of them", "s",
            'penstock_request_first_byte_seconds_bucket{operation="GetObject"}',
            """The spread that quantiles hide. Two bands are two kinds of reads: memory below,
            drives above. A band that moves up is load; a new band far above is one slow drive.""",
            width=16, height=8,
        ),
    ),
)

_BURN = "max(penstock:{}:ratio_rate{}) / {}"

OBJECTIVES = Row(
    "Objectives",
    (
        graph(
            "Burn rate: availability (99.9 %)", "short",
            tuple(Query(_BURN.format("faults", window, 0.001), window) for window in ("5m", "1h", "6h", "3d")),
            """How many times faster than allowed errors come, for the worst server; 1 spends
            exactly the budget of 30 days in 30 days. Above 14.4 for an hour a page goes out. The
            runbook is in the alert PenstockAvailabilityBurnsFast.""",
            limits=steps((1, WARN), (14.4, BAD)),
        ),
        graph(
            "Burn rate: reads begin within 50 ms (99 %)", "short",
            tuple(Query(_BURN.format("slow_reads", window, 0.01), window) for window in ("5m", "1h", "6h", "3d")),
            """As availability, for reads whose first byte took more than 50 ms. Look at the stages
            of reads, then at drives, before you move the objective.""",
            limits=steps((1, WARN), (14.4, BAD)),
        ),
        graph(
            "Burn rate: commits within 250 ms (99 %)", "short",
            tuple(Query(_BURN.format("slow_commits", window, 0.01), window) for window in ("5m", "1h", "6h", "3d")),
            """As availability, for writes that waited more than 250 ms until they were durable.
            Flush time on 'Drives' is nearly always the reason: a drive without power-loss
            protection flushes slowly.""",
            limits=steps((1, WARN), (14.4, BAD)),
        ),
    ),
)

BOARD = Board(
    "overview", "Overview",
    """Is it well? Rate, errors and duration of requests, and how much of the objectives is used
    up. Start here.""",
    (NOW, RATE, ERRORS, DURATION, OBJECTIVES),
)
