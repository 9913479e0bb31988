"""When is it full, and is the machinery well? Space, index, commit, background work, observation."""

from panels import BAD, GOOD, PLAIN, WARN, Board, Row, graph, heatmap, quantiles, stat, steps, table

_USED = "1 - sum by (instance) (penstock_store_free_bytes) / sum by (instance) (penstock_store_bytes)"
_SOON = steps((86400, WARN), (604800, GOOD), first=BAD)

NOW = Row(
    "Now",
    (
        stat(
            "Full in", "s", "min(penstock:store:seconds_until_full > 0)",
            """Time until the first server is full if it goes on as in the last six hours. Below a
            week: delete, add drives or servers. No number: nothing is filling up.""",
            limits=_SOON, none="not filling",
        ),
        stat(
            "Free", "bytes", "sum(penstock_store_free_bytes)",
            """Bytes for new objects, over all servers. Servers do not share: the fullest one refuses
            writes first; see the table below.""",
        ),
        stat(
            "Space used by the fullest", "percentunit", f"max({_USED})",
            """The fullest server. At 100 % it answers writes with 507 InsufficientStorage; reads and
            deletes go on. Delete there first.""",
            limits=steps((0.85, WARN), (0.95, BAD)), decimals=1,
        ),
        stat(
            "Index used", "percentunit", "max(penstock_store_index_bytes / penstock_store_index_bytes_limit)",
            """The index beside what it may use (index_map). Above 90 %: raise index_map and restart;
            it costs address space alone. A full index refuses writes.""",
            limits=steps((0.8, WARN), (0.9, BAD)), decimals=1,
        ),
        stat(
            "Mutations waiting", "short", "sum(penstock_store_commit_queued)",
            """Writes in line for the commit thread. Tens under load are normal, they share a flush.
            Hundreds that stay: the flush or the index is slow; see 'Time of commits'.""",
        ),
        stat(
            "Draining", "short", "sum(penstock_draining)",
            """Servers on their way down: no new connections, running requests finish. Longer than
            drain_deadline cannot be; a server that stays here hangs.""",
            limits=steps((1, WARN)),
        ),
        table(
            "Servers",
            (
                ("Size", "bytes", "sum by (instance) (penstock_store_bytes)"),
                ("Free", "bytes", "sum by (instance) (penstock_store_free_bytes)"),
                ("Used", "percentunit", _USED),
                ("Up for", "s", "time() - max by (instance) (process_start_time_seconds)"),
            ),
            """Every server's space and age. One that is up for much less time than the others was
            restarted; the log of its last life says why.""",
            sort="Used",
        ),
        table(
            "Versions",
            (("Version", "short", "count by (version, instance) (penstock_build_info)"),),
            """What runs where. More than one version for longer than an upgrade takes: finish the
            upgrade, mixed versions are not what is tested.""",
        ),
    ),
)

SPACE = Row(
    "Space",
    (
        graph(
            "Space used over time", "percentunit", ((_USED, "{{instance}}"),),
            """Share of space in use. Steps are large uploads and deletions. A slope towards the
            dashed line is what 'Full in' is worked out from.""",
            most=1, limits=steps((0.95, BAD)),
        ),
        graph(
            "Time until full", "s",
            (
                ("penstock:store:seconds_until_full > 0", "{{instance}}, six hours"),
                ("sum by (instance) (penstock_store_full_in_seconds)", "{{instance}}, as it says"),
            ),
            """By the slope of the last six hours, and as the server itself says, which looks at its
            last hour, the index included. The second follows bursts; judge by the first. Servers
            that are not filling have no line.""",
            log=True,
        ),
        graph(
            "Index", "bytes",
            (
                ("sum by (instance) (penstock_store_index_bytes)", "{{instance}} used"),
                ("sum by (instance) (penstock_store_index_bytes_limit)", "{{instance}} limit"),
            ),
            """Bytes of the index. It grows with objects, not with bytes; many tiny objects make it
            large. It should fit the machine's free memory, or lookups read a disk.""",
        ),
        graph(
            "Longest free run", "bytes",
            (("sum by (instance) (penstock_store_longest_free_run_bytes)", "{{instance}}"),),
            """The largest extent that could be made now. Small beside the free bytes: space is in
            pieces, and large objects take several extents. It heals as neighbours are deleted.""",
        ),
        graph(
            "Free runs", "short", (("sum by (instance) (penstock_store_free_runs)", "{{instance}}"),),
            """Pieces that the free space is in. Growth at constant free bytes is fragmentation from
            deleting objects of many sizes; it costs little until the longest run is small.""",
        ),
        graph(
            "Held by readers", "short",
            (
                ("sum(penstock_store_held_extents)", "extents waiting"),
                ("sum(penstock_store_pinned_objects)", "objects being read"),
            ),
            """Space that was deleted and waits for a reader. Many for long: clients that stopped
            reading but hold their connection; limits.send_stall ends them.""",
        ),
    ),
)

COMMIT = Row(
    "Commit",
    (
        graph(
            "Time of commits", "s", quantiles("penstock_store_commit_seconds"),
            """From submission to answer, when data and index are durable. Its floor is the flush of
            the slowest drive. Above 250 ms in 1 of 100 the objective is missed.""",
            log=True,
        ),
        graph(
            "Where commits spend time", "short",
            (
                ("sum(rate(penstock_store_commit_flush_seconds_total[R]))", "flushing drives"),
                ("sum(rate(penstock_store_commit_index_seconds_total[R]))", "index"),
            ),
            """Share of the commit thread's time. Near 1 together: it is the limit of writes.
            Flushing: drives without power-loss protection. Index: its disk; put the data directory
            on NVMe.""",
            stack=True,
        ),
        graph(
            "Mean wait for a batch", "s",
            (
                (
                    "sum(rate(penstock_store_commit_wait_seconds_total[R]))"
                    " / sum(rate(penstock_store_commit_mutations_total[R]))",
                    "mean",
                ),
            ),
            """How long a mutation waits until its batch begins. About half a commit is normal; much
            more is a queue that is longer than a batch.""",
        ),
        graph(
            "Mutations by batch", "short",
            quantiles("penstock_store_commit_batch_mutations"),
            """How many writes share a flush. More is cheaper; 1 is a writer that waits for each
            answer: let it write in parallel.""",
        ),
        graph(
            "Batches and mutations", "ops",
            (
                ("sum(rate(penstock_store_commit_batches_total[R]))", "batches"),
                ("sum(rate(penstock_store_commit_mutations_total[R]))", "mutations"),
            ),
            """Work of the commit thread. No batches while mutations wait is a stall: the alert
            PenstockCommitStalls; a drive hangs in a flush.""",
        ),
        graph(
            "Failed mutations", "ops",
            (("sum(rate(penstock_store_commit_failures_total[R]))", "failed"),),
            """Mutations answered with an error: the index is full, its disk is, or a drive failed.
            The log names which. Any of them wants looking at.""",
        ),
        graph(
            "Queue", "short", (("sum by (instance) (penstock_store_commit_queued)", "{{instance}}"),),
            """Mutations in line. It follows bursts. A line that never empties is writes beyond what
            flushes allow: more parallel writers will not help, faster drives will.""",
        ),
        heatmap(
            "Commits, all of them", "s", "penstock_store_commit_seconds_bucket",
            """The spread of commits. A second band at tens of milliseconds is one drive's slow
            flush or the index's disk at work.""",
            width=16, height=8,
        ),
    ),
)

WORK = Row(
    "Background work and observation",
    (
        graph(
            "Background work pending", "short",
            (("sum by (instance, task) (penstock_background_pending)", "{{instance}} {{task}}"),),
            """1 while a task has work. reclaim frees what was overwritten or deleted; pending for
            hours without progress beside: please report it with a debug bundle.""",
        ),
        graph(
            "Lifecycle", "ops",
            (("sum by (action) (rate(penstock_lifecycle_actions_total[R]))", "{{action}}"),),
            """What lifecycle rules delete: expire is current objects, noncurrent replaced versions,
            marker delete markers, abort uploads. Bounded by lifecycle.deletes_per_second; a plateau
            there for days: raise it.""",
        ),
        graph(
            "Lifecycle: due and spared", "ops",
            (("sum by (reason) (rate(penstock_lifecycle_spared_total[R]))", "{{reason}}"),),
            """What was due and stayed. locked is object lock at work, changed was replaced meanwhile.
            failed: the log says which bucket and why.""",
        ),
        graph(
            "Lifecycle: time of a round", "s",
            (("max by (instance) (penstock_lifecycle_round_seconds)", "{{instance}}"),),
            """How long the last round over all buckets took. Beyond an hour, objects go later than
            they are due: raise lifecycle.keys_per_second.""",
        ),
        graph(
            "Lifecycle: buckets with rules", "short",
            (("sum by (instance) (penstock_lifecycle_buckets)", "{{instance}}"),),
            """Buckets that had rules in the last round. Fewer than you have set: their rules cannot be read,
            and the log names the bucket.""",
        ),
        graph(
            "Event notifications", "ops",
            (("sum by (target, outcome) (rate(penstock_events_total[R]))", "{{target}} {{outcome}}"),),
            """Events told to targets. failed attempts are repeated: look at the target. refused: it
            answers 4xx to some events, see the log. dropped are lost: the queue was full.""",
        ),
        graph(
            "Event notifications waiting", "short",
            (("sum by (instance, target) (penstock_events_queued)", "{{instance}} {{target}}"),),
            """Events in line for a target. Growing: it is away or slow; when events.queue is full,
            events are dropped.""",
        ),
        graph(
            "Memory of waiting events", "bytes",
            (("sum by (instance, target) (penstock_events_queued_bytes)", "{{instance}} {{target}}"),),
            """Beside events.queue, which is the most: what comes after is dropped. Near it: raise it, or mend the target that takes nothing.""",
        ),
        graph(
            "Background work done", "ops",
            (("sum by (task) (rate(penstock_background_items_total[R]))", "{{task}}"),),
            """Rows of the index visited by each task. High for long after mass deletions is normal;
            it gives way to requests.""",
        ),
        graph(
            "Restarts", "short",
            (("sum by (instance) (changes(process_start_time_seconds[1h]))", "{{instance}}"),),
            """Starts within the last hour. Not yours: something restarts it. journalctl -u penstock
            and dmesg (out of memory) say what.""",
        ),
        graph(
            "Access log", "ops",
            (("sum by (outcome) (rate(penstock_access_log_lines_total[R]))", "{{outcome}}"),),
            """Lines by what became of them. dropped: the log's disk does not keep up; raise
            access_log.sample. failed: it is full or not writable; serving goes on without.""",
        ),
        graph(
            "Traces", "ops",
            (("sum by (outcome) (rate(penstock_trace_spans_total[R]))", "{{outcome}}"),),
            """Spans by what became of them. dropped or failed: the collector does not keep up or is
            away; check trace.endpoint, or raise trace.sample.""",
        ),
        graph(
            "Scrapes", "s",
            (("max by (instance) (scrape_duration_seconds)", "{{instance}}"),),
            """How long a scrape takes. Above a second: many series (metrics.buckets, metrics.users)
            or a server without processor to spare.""",
        ),
        graph(
            "Series", "short",
            (("max by (instance) (scrape_samples_scraped)", "{{instance}}"),),
            """Samples in a scrape. It grows with operations that were ever used and with tenants,
            and is bounded: thousands, not hundreds of thousands.""",
        ),
        graph(
            "Bytes that processors copied", "Bps",
            (("sum by (path) (rate(penstock_copied_bytes_total[R]))", "{{path}}"),),
            """Copies of objects' bytes, by where. socket_send and socket_receive are TCP's price;
            with RDMA they fall away. frame is uploads moved into place for the drive; decrypt and
            encrypt are encrypted objects, which have no zero-copy.""",
            stack=True,
        ),
        stat(
            "Copies for each byte out", "short",
            'sum(rate(penstock_copied_bytes_total{path=~"socket_send|rdma"}[R]))'
            ' / sum(rate(penstock_response_bytes_total[R]))',
            """Bytes copied by processors for each byte delivered: 1 by TCP, near 0 by RDMA. Above 1
            would be a defect; please report it.""",
            width=8, height=8, decimals=2, limits=steps((1.05, WARN), first=PLAIN),
        ),
    ),
)

BOARD = Board(
    "capacity", "Capacity and health",
    """When is it full, and is the machinery behind requests well? Space, index, the commit thread,
    background work, and what observation itself costs.""",
    (NOW, SPACE, COMMIT, WORK),
)
