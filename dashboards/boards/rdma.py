"""Was RDMA really used? What it moved, what it declined and why, what went wrong."""

from panels import BAD, GOOD, WARN, Board, Row, graph, stat, steps, table

_OUT = "sum(rate(penstock_response_bytes_total[R]))"
_OBJECTS = 'sum(rate(penstock_response_bytes_total{source!="document"}[R]))'
_BY_RDMA = 'sum(rate(penstock_response_bytes_total{delivery="rdma"}[R]))'

USE = Row(
    "Is it used",
    (
        stat(
            "RDMA enabled", "short", "min(penstock_rdma_enabled)",
            """Whether every server offers RDMA. No: no adapter was found or rdma is off; the start
            message says which. penstock-loadgen rdma-probe says what is missing.""",
            words=((0, "no", WARN), (1, "yes", GOOD)),
        ),
        stat(
            "Device up", "short", "min(penstock_rdma_device_up)",
            """Whether adapter and link work on every server that has one. No: cable, switch port,
            driver; ibv_devinfo and rdma link show it. Requests go by HTTP meanwhile.""",
            words=((0, "no", BAD), (1, "yes", GOOD)), none="no device",
        ),
        stat(
            "Objects' bytes by RDMA", "percentunit", f"({_BY_RDMA} or 0 * {_OBJECTS}) / {_OBJECTS}",
            """Share of the bytes of objects read that left by RDMA. Low although clients ask for
            it: see 'Declines'. Low without declines: clients do not ask; see docs/RDMA.md.""",
            decimals=1,
        ),
        stat(
            "Declines", "cps", "sum(rate(penstock_rdma_declines_total[R]))",
            """Requests per second that wanted RDMA and got HTTP. Every one is a client that is
            slower than it could be; the reasons are below, with their remedies.""",
            limits=steps((0.001, WARN)),
        ),
        stat(
            "Transfers in flight", "short", "sum(penstock_rdma_transfers_in_flight)",
            """RDMA transfers that are not settled. Staying high without bytes moving: peers do not
            answer; see 'Transfers by outcome' for deadlines.""",
            none="no device",
        ),
        stat(
            "Leaked", "short", "sum(increase(penstock_rdma_leaked_total[1h]))",
            """Queue pairs and memory that the device did not give back in the last hour. Above 0
            the driver or adapter misbehaves: restart the server in a quiet hour, update the
            firmware.""",
            limits=steps((0.5, BAD)), none="no device", decimals=0,
        ),
        graph(
            "Response bytes by delivery", "Bps",
            (("sum by (delivery) (rate(penstock_response_bytes_total[R]))", "{{delivery}}"),),
            """Which way bytes left. RDMA that turns to socket at one moment: the link went down or
            a job with other settings began; compare with 'Declines by reason'.""",
            stack=True,
        ),
        graph(
            "Declines by reason", "cps",
            (("sum by (reason) (rate(penstock_rdma_declines_total[R]))", "{{reason}}"),),
            """off: no adapter here. device_down: link or adapter. not_connected, protocol: the
            client speaks another protocol; see docs/RDMA.md. window_too_small: the client's buffer. encrypted: objects that a processor has to touch.
            busy: raise rdma limits. failed: tried and fenced; see completion errors.
            dynamically_connected, libfabric: tokens that need other hardware.""",
            stack=True,
        ),
        graph(
            "Objects' bytes by RDMA and operation", "Bps",
            (("sum by (operation) (rate(penstock_rdma_object_bytes_total[R]))", "{{operation}}"),),
            """Objects and parts moved by RDMA. Reads without writes, or the reverse, is the
            client's choice: checkpoints often still go by HTTP and could be moved.""",
        ),
    ),
)

TRANSFERS = Row(
    "Transfers",
    (
        graph(
            "Transfers by outcome", "ops",
            (
                (
                    "sum by (protocol, operation, outcome) (rate(penstock_rdma_transfers_total[R])) > 0",
                    "{{protocol}} {{operation}} {{outcome}}",
                ),
            ),
            """succeeded is what you want. peer_silent, deadline: the client died or its port is
            congested. aborted: the client gave up. failed: see completion errors. unused: prepared
            and never used.""",
        ),
        graph(
            "Payload by verb", "Bps", (("sum by (verb) (rate(penstock_rdma_bytes_total[R]))", "{{verb}}"),),
            """Bytes by who moved them: our WRITEs (reads of objects), our READs and peers' WRITEs
            (uploads). At the adapter's line rate it is the limit.""",
        ),
        graph(
            "Completion errors", "ops",
            (("sum by (status) (rate(penstock_rdma_completion_errors_total[R])) > 0", "{{status}}"),),
            """What the adapter reported. retry_exceeded, rnr_retry_exceeded: the peer is gone or the
            network loses packets (PFC, MTU). remote_access: the client's registration is gone
            before its time.""",
        ),
        graph(
            "Work requests by transfer", "short",
            (
                (
                    "sum(rate(penstock_rdma_work_requests_total[R])) / sum(rate(penstock_rdma_transfers_total[R]))",
                    "work requests",
                ),
            ),
            """Work requests for each transfer. It grows with object size. Many for small objects:
            the arena is in pieces; see 'Frames and reclaims' on 'Lanes and memory'.""",
        ),
        graph(
            "Fences", "ops", (("sum(rate(penstock_rdma_fences_total[R]))", "fences"),),
            """Queue pairs taken out of service so that memory may be used again after a transfer
            failed. A few belong to clients that die; a constant rate is a sick network.""",
        ),
        graph(
            "Time of a fence", "s",
            (
                (
                    "sum(rate(penstock_rdma_fence_seconds_total[R])) / sum(rate(penstock_rdma_fences_total[R]))",
                    "mean",
                ),
            ),
            """How long a fence takes. Milliseconds are normal. Seconds mean that the adapter is
            slow to take a queue pair down: firmware, or an adapter about to fail.""",
        ),
    ),
)

SESSIONS = Row(
    "Sessions and connections",
    (
        graph(
            "Sessions, connections, queue pairs", "short",
            (
                ("sum(penstock_rdma_sessions)", "sessions"),
                ("sum(penstock_rdma_connections)", "pooled connections"),
                ("sum(penstock_rdma_queue_pairs)", "queue pairs"),
            ),
            """What clients hold. Pooled connections that never go down are clients that do not
            disconnect; they expire. At the limits new ones are refused as busy.""",
        ),
        graph(
            "Begun", "ops",
            (
                ("sum(rate(penstock_rdma_sessions_prepared_total[R]))", "sessions prepared"),
                ("sum(rate(penstock_rdma_connections_made_total[R]))", "connections made"),
            ),
            """How many are set up. As many sessions as transfers is hipobj-rc-v2's way; pooled
            connections are for many transfers, so many of them per transfer is a client that does
            not pool.""",
        ),
        graph(
            "Ended by outcome", "ops",
            (
                ("sum by (outcome) (rate(penstock_rdma_sessions_ended_total[R])) > 0", "sessions {{outcome}}"),
                (
                    "sum by (outcome) (rate(penstock_rdma_connections_ended_total[R])) > 0",
                    "connections {{outcome}}",
                ),
            ),
            """done and cancelled are orderly. expired: clients that died or forgot. failed: see
            completion errors. shut_down: the server stopped.""",
        ),
        graph(
            "Refused as busy, armed again", "ops",
            (
                ("sum(rate(penstock_rdma_refused_busy_total[R]))", "refused as busy"),
                ("sum(rate(penstock_rdma_rearmed_total[R]))", "armed again"),
            ),
            """Refused: a limit of sessions, connections or memory; raise it if the adapter has
            room. Armed again: clients that did not answer in time and may try again; a busy client
            or a lossy network.""",
        ),
        graph(
            "Memory that clients may write to", "bytes",
            (("sum(penstock_rdma_staging_bytes)", "staging"), ("sum(penstock_rdma_registered_bytes)", "registered")),
            """Staging is open for clients' uploads now; registered is what the adapter may read.
            Staging near its limit makes uploads busy: clients that prepare and do not send.""",
        ),
        graph(
            "Events of the device", "cps",
            (("sum by (event) (rate(penstock_rdma_device_events_total[R]))", "{{event}}"),),
            """What the adapter has told of itself. port_lost: cable or switch. address_changed:
            network configuration changed under the server. queue_pair_error in numbers: the
            network; completion_queue_error: please report it.""",
        ),
        graph(
            "Bytes that processors copied for RDMA", "Bps",
            (('sum by (path) (rate(penstock_copied_bytes_total{path=~"rdma|rdma_staging"}[R]))', "{{path}}"),),
            """Bytes that were not moved by the adapter alone. rdma: small objects out of the index,
            harmless. rdma_staging: uploads by hipobj-rc-v2, whose protocol asks for it; pooled
            uploads have none.""",
            width=12,
        ),
        table(
            "Devices",
            (
                ("Device", "short", "penstock_rdma_device_info"),
                ("MTU", "bytes", "penstock_rdma_path_mtu_bytes"),
            ),
            """The adapter of each server, its port and kind, and the path MTU. Unequal MTUs over
            servers or below 4096 cost throughput: set the network's MTU to 9000.""",
            width=12,
        ),
    ),
)

BOARD = Board(
    "rdma", "RDMA",
    """Was RDMA really used, and if not, why not? What it moved, declines by reason, transfers by
    outcome, the adapter's health.""",
    (USE, TRANSFERS, SESSIONS),
)
