"""Are processor or memory the limit? Lanes, rings, connections, arena, shares, cache."""

from panels import BAD, GOOD, WARN, Board, Row, bars, graph, quantiles, stat, steps

_LANE = "{{instance}} lane {{lane}}"


def _lane(metric: str) -> str:
    return f"sum by (instance, lane) (rate({metric}[R]))"


_HITS = "sum(rate(penstock_store_cache_hits_total[R]))"
_FILLS = "sum(rate(penstock_store_cache_fills_total[R]))"
_JOINS = "sum(rate(penstock_store_cache_joins_total[R]))"

LANES = Row(
    "Lanes",
    (
        graph(
            "Busy share", "percentunit", ((_lane("penstock_lane_busy_seconds_total"), _LANE),),
            """Share of time that each lane's thread was at work. All near 100 %: the processor is
            the limit; add cores or servers. One near 100 %: few connections carry the load; let
            clients open more.""",
            most=1, limits=steps((0.95, BAD)),
        ),
        graph(
            "Requests by lane", "reqps", ((_lane("penstock_lane_requests_total"), _LANE),),
            """Connections are spread over lanes, requests follow their connection. Very uneven with
            many clients: look at connections by lane; with few clients it is to be expected.""",
        ),
        graph(
            "Connections by lane", "short",
            (("sum by (instance, lane) (penstock_lane_connections)", _LANE),),
            """Open connections of each lane. Even, unless clients are few. A lane with many and few
            requests has idle clients, which cost little.""",
        ),
        graph(
            "Requests in flight by lane", "short",
            (("sum by (instance, lane) (penstock_lane_requests_in_flight)", _LANE),),
            """Requests between head and end of response, by lane. One lane with many while the others
            have few: its clients ask for more at once, or it is the one that is held up.""",
        ),
        graph(
            "Wake-ups", "cps", ((_lane("penstock_lane_wakeups_total"), _LANE),),
            """How often each lane's thread woke. Many with little work each cost processor; under
            load the rate should grow slower than the requests do.""",
        ),
        graph(
            "Work done by wake-up", "short",
            (
                (
                    "sum by (instance, lane) (rate(penstock_lane_requests_total[R]))"
                    " / sum by (instance, lane) (rate(penstock_lane_wakeups_total[R]))",
                    _LANE + " requests",
                ),
            ),
            """Requests for each time that a lane woke. It grows with load, which is what makes a
            loaded lane efficient. Falling under load: many tiny network packets; look at clients'
            buffer sizes.""",
        ),
        graph(
            "Ring submissions", "ops",
            ((_lane("penstock_lane_ring_submissions_total"), _LANE),),
            """Operations that the kernel took from each lane's io_uring. None: the blocking engine
            is in use; the start message says why (kernel, seccomp, limits).""",
        ),
        graph(
            "Ring completions", "ops",
            ((_lane("penstock_lane_ring_completions_total"), _LANE),),
            """What the kernel completed. It follows the submissions; a lasting gap is operations
            that hang in the kernel: look at dmesg and at drives' latency.""",
        ),
        graph(
            "Ring batch", "short",
            (
                (
                    "sum by (instance, lane) (rate(penstock_lane_ring_submissions_total[R]))"
                    " / sum by (instance, lane) (rate(penstock_lane_wakeups_total[R]))",
                    _LANE,
                ),
            ),
            """Submissions for each wake-up: the size of a batch. Larger is cheaper. Near 1 under
            heavy load, lanes wake for each completion: pin_lanes and fewer lanes help.""",
        ),
    ),
)

CONNECTIONS = Row(
    "Connections and process",
    (
        graph(
            "Connections and limit", "short",
            (
                ("sum by (instance) (penstock_connections)", "{{instance}}"),
                ("sum by (instance) (penstock_connections_limit)", "{{instance}} limit"),
            ),
            """Open connections beside what is allowed. Near the limit: raise limits.connections
            together with the descriptor limit, or find the client without keep-alive.""",
        ),
        graph(
            "New connections by protocol", "cps",
            (("sum by (protocol) (rate(penstock_connections_accepted_total[R]))", "{{protocol}}"),),
            """Connections that began to speak. Nearly as many as requests: clients do not keep
            connections alive, and pay a round trip each time. Mend the client's pool.""",
        ),
        graph(
            "Processor", "percentunit",
            (("sum by (instance) (rate(process_cpu_seconds_total[R]))", "{{instance}}"),),
            """Processor time of the server; 100 % is one core. Far more than the lanes' busy shares
            add up to: kernel threads of the server, the commit thread, logs or traces.""",
        ),
        graph(
            "Resident memory", "bytes",
            (
                ("sum by (instance) (process_resident_memory_bytes)", "{{instance}} resident"),
                ("sum by (instance) (process_huge_page_bytes)", "{{instance}} huge pages"),
            ),
            """What the process holds; huge pages come on top. The budget 'memory' bounds both.
            Shared resident memory is the index's page cache, which the kernel takes back when it
            needs it.""",
        ),
        graph(
            "Resident memory by kind", "bytes",
            (
                ("sum by (instance) (process_resident_anonymous_bytes)", "{{instance}} anonymous"),
                ("sum by (instance) (process_resident_shared_bytes)", "{{instance}} shared"),
            ),
            """Anonymous memory is the server's own and stays in the budget; shared memory is pages
            of the index. Anonymous growth over days would be a leak: please report it.""",
        ),
        graph(
            "Address space", "bytes",
            (("sum by (instance) (process_virtual_memory_bytes)", "{{instance}}"),),
            """Mostly the index's map (index_map), which costs neither memory nor disk until it is
            used. Only with a limit (ulimit -v) does it matter; lower index_map then.""",
        ),
        graph(
            "Descriptors", "short",
            (
                ("sum by (instance) (process_open_fds)", "{{instance}} open"),
                ("sum by (instance) (process_max_fds)", "{{instance}} limit"),
            ),
            """Open descriptors beside their limit. Near it accepting fails (refused: accept). Raise
            LimitNOFILE in the unit; each connection needs one.""",
        ),
        stat(
            "Lanes", "short", (("sum by (engine) (penstock_lanes)", "{{engine}}"),),
            """Lanes by IO engine. 'blocking' in place of io_uring costs processor and latency: the
            start message names what forbids io_uring and the remedy.""",
        ),
        stat(
            "io_uring usable", "short", "min(penstock_io_uring)",
            """Whether every server can use io_uring. No: a kernel without it, a container's seccomp
            profile, or kernel.io_uring_disabled. The start message says which.""",
            words=((0, "no", WARN), (1, "yes", GOOD)),
        ),
        stat(
            "Buffers registered", "short", "min(penstock_registered_buffers)",
            """Whether the arena is registered with every lane's ring. No: locked memory is too
            small; set LimitMEMLOCK= to what the start message says. Costs a few percent of
            processor.""",
            words=((0, "no", WARN), (1, "yes", GOOD)),
        ),
        stat(
            "Arena locked", "short", "min(penstock_arena_locked)",
            """Whether the arena cannot be swapped out. No: raise LimitMEMLOCK=, or see that the
            machine has no swap. Without either, reads may wait for swap.""",
            words=((0, "no", WARN), (1, "yes", GOOD)),
        ),
    ),
)

TLS = Row(
    "TLS",
    (
        graph(
            "Handshakes", "cps",
            (
                (
                    "sum by (version, outcome) (rate(penstock_tls_handshakes_total[R])) > 0",
                    "{{version}} {{outcome}}",
                ),
            ),
            """TLS handshakes by version and end. Nearly as many as requests: clients do not keep
            connections alive, and a full one costs a lane 0.1 to 1 ms; resumed ones a third. Failed:
            the log at level debug says what each client cannot do.""",
            stack=True,
        ),
        graph(
            "Time of handshakes", "s", quantiles("penstock_tls_handshake_seconds"),
            """From the first service to the end, one or two round trips of the network included.
            Longer than those: lanes are busy, or the certificate has an RSA key, which takes ten
            times the time of an ECDSA key.""",
        ),
        graph(
            "Connections by who encrypts", "cps",
            (("sum by (mode) (rate(penstock_tls_connections_total[R]))", "{{mode}}"),),
            """user: in the server's own memory, one more copy of each byte. ktls: in the kernel. With
            tls.kernel on or auto and user here, the start message says what the kernel lacks.""",
            stack=True,
        ),
        graph(
            "Connections by protocol agreed", "cps",
            (("sum by (protocol) (rate(penstock_tls_alpn_total[R]))", "{{protocol}}"),),
            """What clients chose in the handshake (ALPN). none: a client that says nothing, which is
            served by what its first bytes are.""",
            stack=True,
        ),
        stat(
            "Certificates end in", "s",
            (("min by (file) (penstock_tls_certificate_not_after_seconds) - time()", "{{file}}"),),
            """Time until each certificate ends. Clients refuse one that has ended. Replace the file:
            the server reads it again by itself.""",
            limits=steps((0, WARN), (14 * 86400, GOOD), first=BAD),
        ),
        graph(
            "Certificates read", "ops",
            (
                (
                    "sum by (outcome) (increase(penstock_tls_certificate_reads_total[R]))",
                    "{{outcome}}",
                ),
            ),
            """Changed certificates that were taken, or rejected: then the old ones stay in force, and
            the log and /readyz say what is wrong with the new.""",
        ),
        stat(
            "Kernel encrypts", "short", "min(penstock_tls_kernel)",
            """Whether the kernel of every server encrypts (kTLS). No: load its module (modprobe tls),
            or see tls.kernel. Without it TLS costs one more copy of each byte.""",
            words=((0, "no", WARN), (1, "yes", GOOD)),
        ),
    ),
)

MEMORY = Row(
    "Memory",
    (
        graph(
            "Arena", "bytes",
            (
                ("sum(penstock_store_arena_bytes)", "size"),
                ("sum(penstock_store_arena_free_bytes)", "free"),
                ("sum(penstock_store_cache_bytes)", "cached blocks"),
            ),
            """The memory for objects' bytes. Little free is normal: the cache fills it and gives
            way. It is too small only when shares wait, which the panels beside show.""",
        ),
        graph(
            "Shares in use", "percentunit",
            (
                (
                    "sum by (instance, share) (penstock_store_share_reserved_bytes)"
                    " / sum by (instance, share) (penstock_store_share_bytes)",
                    "{{instance}} {{share}}",
                ),
            ),
            """How much of what readers and writers may take is taken. At 100 % the next request
            waits, then gets SlowDown. Raise memory, or let clients use fewer parallel requests.""",
            most=1,
        ),
        graph(
            "Requests that wait for memory", "short",
            (("sum by (instance, share) (penstock_store_share_waiting)", "{{instance}} {{share}}"),),
            """Requests in line for their share now. A line that lasts is the stage 'queue' of their
            time: slow clients hold memory (see 'Sending'), or memory is too small for the load.""",
        ),
        graph(
            "Waits for memory", "ops",
            (("sum by (share) (rate(penstock_store_share_waits_total[R]))", "{{share}}"),),
            """How many requests had to wait. Bursts are what the line is for; a constant rate means
            that the share is too small: raise memory.""",
        ),
        graph(
            "Refused for want of memory", "ops",
            (("sum by (share) (rate(penstock_store_share_refused_total[R]))", "{{share}}"),),
            """Requests answered with SlowDown because even the line was full. Clients retry. Above
            0 for minutes: raise memory or take load off.""",
        ),
        graph(
            "Frames and reclaims", "ops",
            (
                ("sum(rate(penstock_store_arena_frames_total[R]))", "frames"),
                ("sum(rate(penstock_store_arena_reclaims_total[R]))", "reclaim rounds"),
                ("sum(rate(penstock_store_arena_fragmented_total[R]))", "no room in one piece"),
            ),
            """Frames given out, how often the cache had to let go, and large frames that found no
            room in one piece. Reclaims as frequent as frames: the arena is too small for this
            load.""",
        ),
        bars(
            "Memory plan", "bytes", (("sum by (reason) (penstock_memory_plan_bytes)", "{{reason}}"),),
            """What the budget 'memory' is divided into, as the start message shows it. To change a
            part, change its key; to change the whole, change memory.""",
            width=12,
        ),
        stat(
            "Pages of the arena", "short", (("sum by (kind) (penstock_arena_pages)", "{{kind}}"),),
            """How many servers have their arena in which kind of pages. Huge pages save processor
            on large loads: reserve them (vm.nr_hugepages) and set huge_pages.""",
            height=8,
        ),
        stat(
            "Cached", "percentunit",
            "sum(penstock_store_cache_bytes) / sum(penstock_store_arena_bytes)",
            """Share of the arena that holds blocks for later. Low while the load is reading: the
            server has just started, or writers and slow readers hold the arena.""",
            height=8, decimals=0,
        ),
    ),
)

CACHE = Row(
    "Cache",
    (
        graph(
            "Hit ratio", "percentunit",
            ((f"{_HITS} / ({_HITS} + {_FILLS} + {_JOINS})", "hits"),),
            """Share of blocks that were in memory. A second epoch without hits: the data set is
            larger than the cache; raise memory, or let the job read in the order of shards.""",
            most=1,
        ),
        graph(
            "Blocks by how they were found", "ops",
            ((_HITS, "in memory"), (_FILLS, "read from a drive"), (_JOINS, "joined another's read")),
            """Joins are reads that were saved because another request wanted the same block: a herd
            of workers that open the same object. Many are good; they cost the drive nothing.""",
            stack=True,
        ),
        graph(
            "Evictions", "ops", (("sum(rate(penstock_store_cache_evictions_total[R]))", "evictions"),),
            """Blocks that left the cache for others. As many as fills: the cache turns over without
            use, which is what one pass over a large data set looks like.""",
        ),
    ),
)

BOARD = Board(
    "lanes", "Lanes and memory",
    """Is the server's processor or memory the limit? Busy lanes, full shares, a cache that is too
    small, limits of the system.""",
    (LANES, CONNECTIONS, TLS, MEMORY, CACHE),
)
