//! The one table of metrics: everything that `/metrics` can show, by the question that it answers.
//!
//! Owns: names, kinds, labels and help texts. `docs/METRICS.md` is written from it (`document.rs`);
//! the dashboards' and rules' queries are tested against a server that has it.
//! Names follow Prometheus: base units, `_total` for counters, no label that a client can choose
//! without a bound.

/// How a metric's values relate over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows while the process lives.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by upper bound, with sum and count.
    Histogram,
}

/// One row of the table.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// Name with its unit, as Prometheus wants it.
    pub name: &'static str,
    /// One or two sentences.
    pub help: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// Names of labels. Their values are an enum's, or name what is bounded by something else.
    pub labels: &'static [&'static str],
}

/// Rows under one heading.
#[derive(Debug)]
pub struct Section {
    /// The heading.
    pub title: &'static str,
    /// What its rows tell.
    pub about: &'static str,
    /// The rows.
    pub metrics: &'static [&'static Metric],
}

macro_rules! metrics {
    ($($title:literal $about:literal {
        $($constant:ident: $kind:ident $name:literal [$($label:literal),*] $help:literal;)*
    })*) => {
        $($(#[doc = $help]
        pub static $constant: Metric =
            Metric { name: $name, help: $help, kind: Kind::$kind, labels: &[$($label),*] };)*)*
        /// All metrics, by heading.
        pub static SECTIONS: &[Section] = &[$(
            Section { title: $title, about: $about, metrics: &[$(&$constant),*] }
        ),*];
    };
}

/// All metrics, in the order of the table.
pub fn all() -> impl Iterator<Item = &'static Metric> {
    SECTIONS.iter().flat_map(|section| section.metrics.iter().copied())
}

metrics! {
    "Process" "What runs, since when, and what it takes of the machine." {
        BUILD: Gauge "penstock_build_info" ["version"] "Always 1; the label is the version.";
        LANES: Gauge "penstock_lanes" ["engine"] "Lanes that serve, by their IO engine.";
        DRAINING: Gauge "penstock_draining" [] "1 from the signal to stop until the end.";
        START_TIME: Gauge "process_start_time_seconds" [] "When the process started, in seconds since 1970.";
        CPU_SECONDS: Counter "process_cpu_seconds_total" [] "Processor time, user and system.";
        OPEN_FDS: Gauge "process_open_fds" [] "Open descriptors.";
        MAX_FDS: Gauge "process_max_fds" [] "Descriptors that may be open.";
        RESIDENT: Gauge "process_resident_memory_bytes" [] "Resident memory without huge pages.";
        VIRTUAL: Gauge "process_virtual_memory_bytes" [] "Address space.";
        RESIDENT_ANONYMOUS: Gauge "process_resident_anonymous_bytes" [] "Resident anonymous memory.";
        RESIDENT_SHARED: Gauge "process_resident_shared_bytes" [] "Resident shared memory.";
        HUGE_PAGES: Gauge "process_huge_page_bytes" [] "Huge pages, which RSS does not count.";
    }

    "Requests" "Rate, errors, duration of every S3 operation." {
        REQUESTS: Counter "penstock_requests_total" ["operation", "status"]
            "Requests answered, by S3 operation and class of HTTP status.";
        ERRORS: Counter "penstock_request_errors_total" ["code"]
            "Answers that were errors, by S3's error code; codes that are not S3's count as `other`.";
        DURATION: Histogram "penstock_request_duration_seconds" ["operation", "status"]
            "From the complete head of a request to the last byte of its response handed to TCP.";
        FIRST_BYTE: Histogram "penstock_request_first_byte_seconds" ["operation"]
            "From the complete head of a request to the head of its answer, for answers that are no errors.";
        STAGES: Histogram "penstock_request_stage_seconds" ["stage", "group"]
            "Where the time of requests goes: one observation for each stage that a request came to.";
        IN_FLIGHT: Gauge "penstock_requests_in_flight" ["operation"]
            "Requests between head and end of response.";
        RECEIVED: Counter "penstock_received_body_bytes_total" ["operation"]
            "Bytes of request bodies received.";
        SENT: Counter "penstock_sent_body_bytes_total" ["operation"]
            "Bytes of response bodies handed to TCP.";
        ABORTED: Counter "penstock_responses_aborted_total" []
            "Responses whose body ended early, by the client's going or by a failed read.";
        REFUSED: Counter "penstock_refused_total" ["reason"]
            "Connections and requests ended by a limit or a fault, before or beside S3's own answers.";
    }

    "Connections" "Who is connected, and by what protocol." {
        ACCEPTED: Counter "penstock_connections_accepted_total" ["protocol"]
            "Connections that spoke the protocol.";
        OPEN: Gauge "penstock_connections" [] "Connections open now.";
        LIMIT: Gauge "penstock_connections_limit" [] "Connections allowed at a time.";
    }

    "TLS" "Handshakes, who encrypts, and how long certificates last." {
        TLS_HANDSHAKES: Counter "penstock_tls_handshakes_total" ["version", "outcome"]
            "TLS handshakes by the version agreed and by their end; those that a limit ended are in `penstock_refused_total`.";
        TLS_HANDSHAKE_SECONDS: Histogram "penstock_tls_handshake_seconds" []
            "From the first service of a connection to the end of its handshake, the client's part included.";
        TLS_AGREED: Counter "penstock_tls_alpn_total" ["protocol"]
            "TLS connections by the protocol that was agreed in the handshake (ALPN).";
        TLS_CONNECTIONS: Counter "penstock_tls_connections_total" ["mode"]
            "TLS connections by who encrypts: this process (`user`) or the kernel (`ktls`).";
        TLS_CERTIFICATE_END: Gauge "penstock_tls_certificate_not_after_seconds" ["file"]
            "When a certificate ends, in seconds since 1970.";
        TLS_RELOADS: Counter "penstock_tls_certificate_reads_total" ["outcome"]
            "Times that changed certificates were read: `taken`, or `rejected`, which leaves the old ones in force.";
        TLS_KERNEL: Gauge "penstock_tls_kernel" []
            "1 where the kernel encrypts for TLS connections, 0 where this process does.";
    }

    "Lanes" "One thread each. A lane that is busy all the time is the limit of the server." {
        LANE_BUSY: Counter "penstock_lane_busy_seconds_total" ["lane"]
            "Time in which the lane's thread was not waiting for events; its rate is the busy share.";
        LANE_WAKEUPS: Counter "penstock_lane_wakeups_total" ["lane"]
            "Times that the lane's thread woke from waiting.";
        LANE_SUBMISSIONS: Counter "penstock_lane_ring_submissions_total" ["lane"]
            "Operations that the kernel took from the lane's io_uring; by wake-ups, the size of a batch.";
        LANE_COMPLETIONS: Counter "penstock_lane_ring_completions_total" ["lane"]
            "Completions that the kernel put into the lane's io_uring.";
        LANE_REQUESTS: Counter "penstock_lane_requests_total" ["lane"] "Requests answered by the lane.";
        LANE_CONNECTIONS: Gauge "penstock_lane_connections" ["lane"] "Connections of the lane now.";
        LANE_IN_FLIGHT: Gauge "penstock_lane_requests_in_flight" ["lane"]
            "Requests of the lane between head and end of response.";
    }

    "Copy receipts" "Which path moved the bytes of responses, and what processors copied of them." {
        RESPONSE_BYTES: Counter "penstock_response_bytes_total" ["source", "delivery"]
            "Bytes of responses by where they come from and how they left. Adds up to what was sent by TCP and by RDMA.";
        COPIED: Counter "penstock_copied_bytes_total" ["path"]
            "Bytes of objects that a processor copied in memory on their way.";
    }

    "Tenants" "The busiest buckets and users; the rest adds up under `other`." {
        BUCKET_REQUESTS: Counter "penstock_bucket_requests_total" ["bucket", "status"]
            "Requests by bucket and class of HTTP status.";
        BUCKET_SECONDS: Counter "penstock_bucket_request_seconds_total" ["bucket"]
            "Time that requests took, summed.";
        BUCKET_RECEIVED: Counter "penstock_bucket_received_body_bytes_total" ["bucket"]
            "Bytes of request bodies by bucket.";
        BUCKET_SENT: Counter "penstock_bucket_sent_body_bytes_total" ["bucket"]
            "Bytes of objects delivered by TCP or RDMA, and of other bodies, by bucket.";
        USER_REQUESTS: Counter "penstock_user_requests_total" ["user", "status"]
            "Requests by access key (`anonymous` without one that was verified) and class of HTTP status.";
        USER_SECONDS: Counter "penstock_user_request_seconds_total" ["user"]
            "Time that requests took, summed.";
        USER_RECEIVED: Counter "penstock_user_received_body_bytes_total" ["user"]
            "Bytes of request bodies by access key.";
        USER_SENT: Counter "penstock_user_sent_body_bytes_total" ["user"]
            "Bytes of objects delivered by TCP or RDMA, and of other bodies, by access key.";
        TENANTS_TRACKED: Gauge "penstock_tenants_tracked" ["kind"]
            "Buckets and users that have series of their own now.";
        TENANTS_LIMIT: Gauge "penstock_tenants_limit" ["kind"]
            "How many may have series of their own.";
    }

    "Capacity" "Space for data and for the index." {
        STORE_BYTES: Gauge "penstock_store_bytes" [] "Bytes for extents.";
        STORE_FREE: Gauge "penstock_store_free_bytes" [] "Bytes in no extent.";
        STORE_FREE_RUNS: Gauge "penstock_store_free_runs" [] "Runs of free bytes; more of them for the same bytes is fragmentation.";
        STORE_LONGEST_RUN: Gauge "penstock_store_longest_free_run_bytes" []
            "The largest extent that could be made now.";
        READ_ONLY: Gauge "penstock_store_read_only" [] "1 after a fault has stopped writing.";
        PINNED: Gauge "penstock_store_pinned_objects" [] "Objects being read now.";
        INDEX_BYTES: Gauge "penstock_store_index_bytes" [] "Bytes that the index uses.";
        INDEX_LIMIT: Gauge "penstock_store_index_bytes_limit" [] "Bytes that it may use.";
        STORE_FULL_IN: Gauge "penstock_store_full_in_seconds" []
            "Seconds until data or index have no room, were they to fill as in the last hour; absent while they do not.";
        HELD_EXTENTS: Gauge "penstock_store_held_extents" []
            "Extents that wait for a reader before their space is free.";
    }

    "Drives" "Each device: rates, latency, queue, errors, state, wear." {
        DEVICE_READS: Counter "penstock_store_device_reads_total" ["device"] "Reads.";
        DEVICE_READ_BYTES: Counter "penstock_store_device_read_bytes_total" ["device"] "Bytes read.";
        DEVICE_READ_ERRORS: Counter "penstock_store_device_read_errors_total" ["device"] "Failed reads.";
        DEVICE_READ_SECONDS: Histogram "penstock_store_device_read_seconds" ["device"]
            "Time of a read from its submission until its completion was noticed.";
        DEVICE_WRITES: Counter "penstock_store_device_writes_total" ["device"] "Writes.";
        DEVICE_WRITTEN_BYTES: Counter "penstock_store_device_written_bytes_total" ["device"]
            "Bytes written.";
        DEVICE_WRITE_ERRORS: Counter "penstock_store_device_write_errors_total" ["device"]
            "Failed writes.";
        DEVICE_WRITE_SECONDS: Histogram "penstock_store_device_write_seconds" ["device"]
            "Time of a write from its submission until its completion was noticed.";
        DEVICE_FLUSHES: Counter "penstock_store_device_flushes_total" ["device"] "Flushes.";
        DEVICE_FLUSH_ERRORS: Counter "penstock_store_device_flush_errors_total" ["device"]
            "Failed flushes.";
        DEVICE_FLUSH_SECONDS: Histogram "penstock_store_device_flush_seconds" ["device"]
            "Time of a flush.";
        DEVICE_WAITS: Counter "penstock_store_device_waits_total" ["device"] "Waits for the queue.";
        DEVICE_IN_FLIGHT: Gauge "penstock_store_device_in_flight" ["device"] "Operations in flight.";
        DEVICE_QUEUE_DEPTH: Gauge "penstock_store_device_queue_depth_limit" ["device"]
            "Operations that may be in flight, over all lanes.";
        DEVICE_STATE: Gauge "penstock_store_device_state" ["device", "state"]
            "1 for the state that the device is in: `ok`; `suspect` for a minute after an error, a wrong checksum, 5 s without any completion, or 3 s of operations over 20 times slower than usual; `failed` (a flush failed; writing has stopped).";
        CHECKSUM_FAILURES: Counter "penstock_store_checksum_failures_total" ["device"]
            "Blocks that were not what had been written, each attempt counted.";
        DEVICE_WEAR: Gauge "penstock_store_device_wear_ratio" ["device"]
            "Share of its rated writes that the drive has used, as the drive says; absent where it says nothing.";
        DEVICE_SPARE: Gauge "penstock_store_device_spare_ratio" ["device"]
            "Share of its spare blocks that the drive has left; absent where it says nothing.";
        DEVICE_TEMPERATURE: Gauge "penstock_store_device_temperature_celsius" ["device"]
            "Temperature as the drive says; absent where it says nothing.";
        DEVICE_MEDIA_ERRORS: Counter "penstock_store_device_media_errors_total" ["device"]
            "Unrecovered errors of the medium in the drive's life; absent where it says nothing.";
        DEVICE_DIRECT: Gauge "penstock_device_direct_io" ["device"]
            "1 where the device is read and written past the page cache.";
    }

    "Memory and cache" "The arena's frames, the shares of readers and writers, the cache." {
        ARENA_BYTES: Gauge "penstock_store_arena_bytes" [] "Size of the arena.";
        ARENA_FREE: Gauge "penstock_store_arena_free_bytes" [] "Bytes in no frame.";
        ARENA_FRAMES: Counter "penstock_store_arena_frames_total" [] "Frames given out.";
        ARENA_RECLAIMS: Counter "penstock_store_arena_reclaims_total" []
            "Rounds in which the cache was asked to let go.";
        ARENA_FRAGMENTED: Counter "penstock_store_arena_fragmented_total" []
            "Large frames for which there was no room in one piece.";
        SHARE_BYTES: Gauge "penstock_store_share_bytes" ["share"] "Size of a share of the arena.";
        SHARE_RESERVED: Gauge "penstock_store_share_reserved_bytes" ["share"] "Bytes of it in use.";
        SHARE_WAITING: Gauge "penstock_store_share_waiting" ["share"] "Requests that wait for it.";
        SHARE_WAITS: Counter "penstock_store_share_waits_total" ["share"]
            "Requests that had to wait for it.";
        SHARE_REFUSED: Counter "penstock_store_share_refused_total" ["share"]
            "Requests refused for want of it.";
        CACHE_BYTES: Gauge "penstock_store_cache_bytes" [] "Bytes of frames cached.";
        CACHE_HITS: Counter "penstock_store_cache_hits_total" [] "Blocks found in memory.";
        CACHE_FILLS: Counter "penstock_store_cache_fills_total" [] "Blocks read.";
        CACHE_JOINS: Counter "penstock_store_cache_joins_total" []
            "Blocks that waited for another's read.";
        CACHE_EVICTIONS: Counter "penstock_store_cache_evictions_total" []
            "Blocks that left the cache, for others or for memory that readers and writers needed.";
        ARENA_LOCKED: Gauge "penstock_arena_locked" [] "1 where the arena is locked in memory.";
        ARENA_PAGES: Gauge "penstock_arena_pages" ["kind"] "1 for the kind of pages that the arena has.";
        IO_URING: Gauge "penstock_io_uring" [] "1 where io_uring is usable.";
        REGISTERED_BUFFERS: Gauge "penstock_registered_buffers" []
            "1 where the arena is registered with every lane's ring.";
        MEMORY_PLAN: Gauge "penstock_memory_plan_bytes" ["reason"]
            "The memory budget as a sum, by what each part is for.";
    }

    "Commit" "The thread that makes writes durable, many at a time." {
        COMMIT_QUEUED: Gauge "penstock_store_commit_queued" [] "Mutations that wait.";
        COMMIT_BATCHES: Counter "penstock_store_commit_batches_total" [] "Transactions.";
        COMMIT_MUTATIONS: Counter "penstock_store_commit_mutations_total" [] "Mutations.";
        COMMIT_FAILURES: Counter "penstock_store_commit_failures_total" []
            "Mutations answered with an error.";
        COMMIT_BATCH_SIZE: Histogram "penstock_store_commit_batch_mutations" [] "Mutations of a transaction.";
        COMMIT_SECONDS: Histogram "penstock_store_commit_seconds" []
            "Time of a mutation from its submission to its answer, when data and index are durable.";
        COMMIT_WAIT: Counter "penstock_store_commit_wait_seconds_total" []
            "Time that mutations waited for their batch.";
        COMMIT_FLUSH: Counter "penstock_store_commit_flush_seconds_total" []
            "Time spent making devices durable.";
        COMMIT_INDEX: Counter "penstock_store_commit_index_seconds_total" []
            "Time spent in the index's transactions.";
    }

    "RDMA" "Whether it is there, what it moved, what it declined and why." {
        RDMA_ENABLED: Gauge "penstock_rdma_enabled" [] "1 where objects' bytes may go by RDMA.";
        RDMA_DECLINES: Counter "penstock_rdma_declines_total" ["reason"]
            "Requests whose bytes went by HTTP, or were to, instead of RDMA.";
        RDMA_OBJECT_BYTES: Counter "penstock_rdma_object_bytes_total" ["operation"]
            "Bytes of objects and parts that went by RDMA.";
        RDMA_DEVICE: Gauge "penstock_rdma_device_info" ["device", "port", "kind"]
            "Always 1; the labels are the RDMA device.";
        RDMA_DEVICE_UP: Gauge "penstock_rdma_device_up" []
            "1 while the RDMA device works and its port has a link.";
        RDMA_EVENTS: Counter "penstock_rdma_device_events_total" ["event"]
            "What the RDMA device has told of itself.";
        RDMA_REGISTERED: Gauge "penstock_rdma_registered_bytes" []
            "Bytes of the arena registered with the RDMA device.";
        RDMA_MTU: Gauge "penstock_rdma_path_mtu_bytes" [] "Bytes per RDMA packet.";
        RDMA_SESSIONS: Gauge "penstock_rdma_sessions" [] "Sessions of hipobj-rc-v2 now.";
        RDMA_CONNECTIONS: Gauge "penstock_rdma_connections" [] "Pooled RDMA connections now.";
        RDMA_QUEUE_PAIRS: Gauge "penstock_rdma_queue_pairs" [] "RDMA queue pairs now.";
        RDMA_STAGING: Gauge "penstock_rdma_staging_bytes" [] "Memory that clients may write to now.";
        RDMA_IN_FLIGHT: Gauge "penstock_rdma_transfers_in_flight" []
            "RDMA transfers that are not settled.";
        RDMA_PREPARED: Counter "penstock_rdma_sessions_prepared_total" []
            "Sessions of hipobj-rc-v2 that were prepared.";
        RDMA_MADE: Counter "penstock_rdma_connections_made_total" []
            "Pooled RDMA connections that were made.";
        RDMA_BUSY: Counter "penstock_rdma_refused_busy_total" []
            "Sessions, connections and requests that a limit refused.";
        RDMA_REARMED: Counter "penstock_rdma_rearmed_total" []
            "Sessions whose client did not answer and may try again.";
        RDMA_WORK_REQUESTS: Counter "penstock_rdma_work_requests_total" []
            "RDMA work requests posted.";
        RDMA_FENCES: Counter "penstock_rdma_fences_total" [] "Queue pairs fenced.";
        RDMA_FENCE_SECONDS: Counter "penstock_rdma_fence_seconds_total" [] "Time that fences took.";
        RDMA_LEAKED: Counter "penstock_rdma_leaked_total" []
            "Queue pairs and memory that the device did not give back.";
        RDMA_SESSIONS_ENDED: Counter "penstock_rdma_sessions_ended_total" ["outcome"]
            "Sessions of hipobj-rc-v2 that have ended.";
        RDMA_CONNECTIONS_ENDED: Counter "penstock_rdma_connections_ended_total" ["outcome"]
            "Pooled RDMA connections that have ended.";
        RDMA_TRANSFERS: Counter "penstock_rdma_transfers_total" ["protocol", "operation", "outcome"]
            "RDMA transfers that were settled.";
        RDMA_BYTES: Counter "penstock_rdma_bytes_total" ["verb"]
            "Payload moved by RDMA, by who did it: our WRITEs, our READs, peers' WRITEs.";
        RDMA_COMPLETION_ERRORS: Counter "penstock_rdma_completion_errors_total" ["status"]
            "RDMA transfers that ended in a failed completion.";
    }

    "Background work" "What runs beside requests." {
        BACKGROUND_PENDING: Gauge "penstock_background_pending" ["task"]
            "1 while the task has work to do: `reclaim` frees the space of what was overwritten or deleted, `lifecycle` goes through buckets that have rules.";
        BACKGROUND_ITEMS: Counter "penstock_background_items_total" ["task"]
            "Items that the task has done: `reclaim` counts rows of the index that it visited, `lifecycle` versions and uploads.";
        LIFECYCLE_ACTIONS: Counter "penstock_lifecycle_actions_total" ["action"]
            "What the lifecycle has done: `expire` deleted a current object or made its delete marker, `noncurrent` deleted a replaced version, `marker` a delete marker, `abort` an upload.";
        LIFECYCLE_SPARED: Counter "penstock_lifecycle_spared_total" ["reason"]
            "What was due and stayed: `locked` by object lock, `changed` since it was looked at, `failed` in the store.";
        LIFECYCLE_ROUND: Gauge "penstock_lifecycle_round_seconds" []
            "How long the last round over all buckets took.";
        LIFECYCLE_BUCKETS: Gauge "penstock_lifecycle_buckets" []
            "Buckets that had rules in the last round.";
        EVENTS: Counter "penstock_events_total" ["target", "outcome"]
            "Event notifications by what became of them: `delivered`, `failed` (an attempt, which is repeated), `refused` by the target, `dropped` for want of room in the queue.";
        EVENTS_QUEUED: Gauge "penstock_events_queued" ["target"]
            "Event notifications that wait for their target.";
        EVENTS_QUEUED_BYTES: Gauge "penstock_events_queued_bytes" ["target"]
            "Memory of those that wait; `events.queue` is the most.";
    }

    "Observation itself" "What is told about requests, and what had to be left out." {
        LOG_LINES: Counter "penstock_access_log_lines_total" ["outcome"]
            "Lines of the access log: `written`, `sampled_out`, `dropped` (the disk did not keep up), `failed`.";
        SPANS: Counter "penstock_trace_spans_total" ["outcome"]
            "Spans of traces: `exported`, `dropped` (the collector did not keep up), `failed`.";
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_prometheus_names_and_distinct() {
        let mut names = BTreeSet::new();
        for metric in all() {
            let Metric { name, help, kind, labels } = metric;
            assert!(names.insert(name), "{name} twice");
            assert!(name.starts_with("penstock_") || name.starts_with("process_"), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            let foreign = ["milliseconds", "microseconds", "ms", "us", "kib", "mb", "percent"];
            assert!(!name.split('_').any(|word| foreign.contains(&word)), "{name}");
            assert!(help.ends_with('.'), "{name}: {help}");
            let unique: BTreeSet<_> = labels.iter().collect();
            assert_eq!(unique.len(), labels.len(), "{name}");
            // Prometheus gives `job` and `instance` to every series itself, and would rename ours.
            for taken in ["le", "job", "instance"] {
                assert!(!labels.contains(&taken), "{name}");
            }
        }
    }
}
