"""Who? The busiest buckets and users: rates, errors, bytes, time."""

from panels import WARN, Board, Choice, Row, bars, graph, stat, steps, table

_SCOPES = {"bucket": '{bucket=~"$bucket"}', "user": '{user=~"$user"}'}


def _top(kind: str, metric: str, more: str = "") -> str:
    select = f'{{{kind}=~"${kind}"{more}}}'
    return f"topk(10, sum by ({kind}) (rate(penstock_{kind}_{metric}{select}[R])))"


def _share(kind: str) -> str:
    """The share of the busiest tenant that has a name."""
    return (
        f'max(sum by ({kind}) (rate(penstock_{kind}_requests_total{{{kind}!="other"}}[R])))'
        f" / sum(rate(penstock_{kind}_requests_total[R]))"
    )


def _row(kind: str, title: str) -> Row:
    legend = f"{{{{{kind}}}}}"
    select = _SCOPES[kind]
    return Row(
        title,
        (
            graph(
                f"Requests by {kind}", "reqps", ((_top(kind, "requests_total"), legend),),
                f"""The ten busiest. One {kind} that grew when others became slow is the one to talk
                to; its errors and bytes are beside. 'other' is everything outside the busiest.""",
                stack=True,
            ),
            graph(
                f"Bytes out by {kind}", "Bps", ((_top(kind, "sent_body_bytes_total"), legend),),
                f"""Who takes the bandwidth, by TCP and RDMA. Compare with the network's rate: a
                {kind} that fills it starves the rest; limit its workers.""",
                stack=True,
            ),
            graph(
                f"Bytes in by {kind}", "Bps", ((_top(kind, "received_body_bytes_total"), legend),),
                f"""Who writes. Peaks at even intervals are checkpoints. A {kind} that writes all
                the time fills the store: see 'Capacity and health' for when.""",
                stack=True,
            ),
            graph(
                f"Time spent by {kind}", "short", ((_top(kind, "request_seconds_total"), legend),),
                f"""Requests in progress on average, by {kind} (seconds of requests per second).
                This is who occupies the server, whatever the sizes of its requests.""",
                stack=True,
            ),
            graph(
                f"Mean duration by {kind}", "s",
                (
                    (
                        f"sum by ({kind}) (rate(penstock_{kind}_request_seconds_total{select}[R]))"
                        f" / sum by ({kind}) (rate(penstock_{kind}_requests_total{select}[R]))",
                        legend,
                    ),
                ),
                f"""How long a mean request takes. One {kind} slower than the rest at the same sizes
                reads what is not in memory, or its client reads slowly; see 'Training jobs'.""",
                log=True,
            ),
            graph(
                f"Errors by {kind}", "reqps",
                (
                    (
                        f"topk(10, sum by ({kind}, status) "
                        f'(rate(penstock_{kind}_requests_total{{{kind}=~"${kind}", status=~"4xx|5xx"}}[R])))',
                        legend + " {{status}}",
                    ),
                ),
                f"""Errors of each {kind}. 4xx are the client's: wrong keys, names that are not
                there. Masses of them cost the others time: stop the loop that makes them.""",
            ),
        ),
    )


NOW = Row(
    "Now",
    (
        stat(
            "Busiest user's share", "percentunit", _share("user"),
            """Share of all requests that the busiest user makes. Near 100 % while lanes are busy,
            one user floods the rest: the alert PenstockUserFloods. Give that user fewer workers,
            or servers of its own.""",
            limits=steps((0.8, WARN)), decimals=0,
        ),
        stat(
            "Busiest bucket's share", "percentunit", _share("bucket"),
            """Share of all requests that go to the busiest bucket. High is normal for one training
            job; with many jobs it is the one whose data layout is worth a look.""",
            decimals=0,
        ),
        stat(
            "Buckets with series", "short", 'sum(penstock_tenants_tracked{kind="bucket"})',
            """Buckets that have series of their own. At the limit the less busy ones are under
            'other': raise metrics.buckets if you need them apart.""",
        ),
        stat(
            "Users with series", "short", 'sum(penstock_tenants_tracked{kind="user"})',
            """Users (access keys) that have series of their own. At the limit the less busy ones
            are under 'other': raise metrics.users if you need them apart.""",
        ),
        stat(
            "Places used", "percentunit", "max(penstock_tenants_tracked / penstock_tenants_limit)",
            """Share of the places for series that is in use, buckets or users, the fuller of both.
            At 100 % newcomers must be busier than the least busy to get a place of their own.""",
            limits=steps((0.99, WARN)), decimals=0,
        ),
        stat(
            "Buckets under 'other'", "percentunit",
            '(sum(rate(penstock_bucket_requests_total{bucket="other"}[R])) or'
            " 0 * sum(rate(penstock_bucket_requests_total[R])))"
            " / sum(rate(penstock_bucket_requests_total[R]))",
            """Share of requests under no bucket of its own: less busy buckets, names that do not
            exist, listings of buckets. High with few buckets: somebody probes names.""",
            decimals=1,
        ),
        table(
            "Users now",
            (
                ("Requests", "reqps", "sum by (user) (rate(penstock_user_requests_total[R]))"),
                ("Out", "Bps", "sum by (user) (rate(penstock_user_sent_body_bytes_total[R]))"),
                ("In", "Bps", "sum by (user) (rate(penstock_user_received_body_bytes_total[R]))"),
                ("In progress", "short", "sum by (user) (rate(penstock_user_request_seconds_total[R]))"),
            ),
            """All users side by side, busiest first. 'In progress' is how many of the user's
            requests are being served on average: who has most of it occupies the server most.""",
        ),
        table(
            "Buckets now",
            (
                ("Requests", "reqps", "sum by (bucket) (rate(penstock_bucket_requests_total[R]))"),
                ("Out", "Bps", "sum by (bucket) (rate(penstock_bucket_sent_body_bytes_total[R]))"),
                ("In", "Bps", "sum by (bucket) (rate(penstock_bucket_received_body_bytes_total[R]))"),
                ("In progress", "short", "sum by (bucket) (rate(penstock_bucket_request_seconds_total[R]))"),
            ),
            """All buckets side by side, busiest first. Sort by a column to see who reads, who
            writes, who occupies the server; then choose it above.""",
        ),
    ),
)

SPREAD = Row(
    "Spread",
    (
        bars(
            "Share of requests by user", "percentunit",
            (
                (
                    "sort_desc(sum by (user) (rate(penstock_user_requests_total[R]))"
                    " / on () group_left () sum(rate(penstock_user_requests_total[R])))",
                    "{{user}}",
                ),
            ),
            """Who makes the load. An even list is many jobs; one long bar is one job. The bar
            'anonymous' is readers of public buckets.""",
            width=12, most=1,
        ),
        bars(
            "Share of bytes out by bucket", "percentunit",
            (
                (
                    "sort_desc(sum by (bucket) (rate(penstock_bucket_sent_body_bytes_total[R]))"
                    " / on () group_left () sum(rate(penstock_bucket_sent_body_bytes_total[R])))",
                    "{{bucket}}",
                ),
            ),
            """Where the bandwidth goes. A bucket that is read over and over could be held by the
            cache: compare its size with memory.""",
            width=12, most=1,
        ),
    ),
)

BOARD = Board(
    "tenants", "Tenants and buckets",
    """Who makes the load, who the errors, who takes the bandwidth? The busiest buckets and users
    have series of their own; the rest adds up under 'other'.""",
    (NOW, _row("user", "Users"), _row("bucket", "Buckets"), SPREAD),
    (
        Choice("bucket", "Bucket", "penstock_bucket_requests_total"),
        Choice("user", "User", "penstock_user_requests_total"),
    ),
)
