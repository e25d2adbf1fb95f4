//! Definitions of all metrics and spans: names, units, attributes and allowed values.
//!
//! `/metrics`, OTLP, `docs/metrics.md` and the tests all use these tables; nothing else is exported. The last column of
//! a metric explains why it cannot help to match packets: how it is rounded, or that it is not about packets. No metric
//! is per worker: a worker owns next hops, so its counts would show how many packets of a window leave to which hop.
//! Wake-ups and busy times of workers are not exported either: a packet that crosses from one worker to another
//! increases both more than a packet that does not.

mod limit;

use nym_mixnode_mix::DropReason;

pub use limit::Limit;

/// One metric.
#[derive(Debug, PartialEq)]
pub struct Metric {
    /// OpenTelemetry name.
    pub name: &'static str,
    /// Name at `/metrics`, with the suffixes of the Prometheus conventions.
    pub prometheus: &'static str,
    /// UCUM unit, as OpenTelemetry writes it.
    pub unit: &'static str,
    pub kind: Kind,
    pub attributes: &'static [Attribute],
    /// One sentence, without a period at its end.
    pub help: &'static str,
    /// Why it is safe to export.
    pub safe: &'static str,
}

/// Types of metrics.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// A monotonic sum of integers.
    Counter,
    /// A monotonic sum of seconds.
    Seconds,
    /// A value that goes up and down and is not additive: a time, a limit, a flag.
    Gauge,
    /// A value that goes up and down and is additive over nodes; OpenTelemetry has a separate kind for it.
    UpDown,
    /// A histogram with these upper bounds, and one more bucket without a bound.
    Histogram(&'static [f64]),
}

/// An attribute of a metric, and a label at `/metrics`.
#[derive(Debug, PartialEq)]
pub struct Attribute {
    pub key: &'static str,
    pub values: Values,
}

/// Allowed values of an attribute.
#[derive(Debug, PartialEq)]
pub enum Values {
    /// One of these values.
    Words(&'static [&'static str]),
    /// The label of a [`DropReason`].
    DropReasons,
    /// The label of a [`Limit`].
    Limits,
    /// A constant of the program.
    Constant,
}

/// One kind of span.
#[derive(Debug, PartialEq)]
pub struct Span {
    pub name: &'static str,
    /// Name of the parent span.
    pub parent: Option<&'static str>,
    /// Attribute keys; one that ends in `.*` is a key for each [`DropReason`].
    pub attributes: &'static [&'static str],
    /// One sentence, without a period at its end.
    pub help: &'static str,
}

impl Kind {
    /// The Prometheus type.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Counter | Self::Seconds => "counter",
            Self::Gauge | Self::UpDown => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

impl Values {
    /// Whether `value` is allowed.
    #[must_use]
    pub fn allow(&self, value: &str) -> bool {
        match self {
            Self::Words(words) => words.contains(&value),
            Self::DropReasons => DropReason::ALL.iter().any(|reason| reason.label() == value),
            Self::Limits => Limit::ALL.iter().any(|limit| limit.label() == value),
            Self::Constant => true,
        }
    }
}

/// Upper bounds of the lag's buckets, in seconds.
pub(crate) const LAG_BOUNDS: &[f64] = &[0.001, 0.002, 0.005, 0.01, 0.05, 0.25];

/// Stages at which packets are counted.
const STAGES: &[&str] = &["received", "unwrapped", "delayed", "forwarded", "final"];
/// Queues besides the pool.
const QUEUES: &[&str] = &["unwrap", "forward"];
/// Directions of connections.
const DIRECTIONS: &[&str] = &["in", "out"];
/// Calls to the directory.
const CALLS: &[&str] = &["register", "topology", "metrics"];
/// Kinds of nodes in a topology.
const NODES: &[&str] = &["mix", "gateway"];
pub const SKIPPED: &[&str] = &["address", "unresolved"];
/// Signals that are exported.
pub(crate) const SIGNALS: &[&str] = &["traces", "metrics"];
/// Signals that can be lost.
const LOSABLE: &[&str] = &["traces", "metrics", "logs"];
/// Reasons for a lost export.
pub(crate) const LOSSES: &[&str] = &["failed", "timed_out", "queue_full"];

const WINDOW_64: &str = "of closed windows, each rounded up to 64";
const WINDOW_8: &str = "of closed windows, each rounded up to 8";
const WINDOW_1: &str = "of closed windows, each rounded up to 1; a generation covers thousands of packets";
const TICK_64: &str = "sampled at the end of a window, rounded up to 64";
const TICK_4: &str = "sampled at the end of a window, rounded up to 4";
const UNWRAPPING: &str = "sampled at the end of a window, rounded up to 10 ms; unwrapping comes before the next hop \
    is known";
const PROCESS: &str = "of closed windows, each rounded up to 1 s, or to 5 % of the workers' time if that is more: \
    packets that cross between workers cost more, see telemetry.md";
const TICK_MEMORY: &str = "sampled at the end of a window, rounded up to 1 MiB";
const NO_PACKETS: &str = "contains no packet data";

macro_rules! metrics {
    ($($const:ident = $name:literal, $prometheus:literal, $unit:literal, $kind:expr,
       [$($key:literal: $values:expr),*], $help:literal, $safe:expr;)*) => {
        $(
            #[doc = $help]
            pub static $const: Metric = Metric {
                name: $name,
                prometheus: $prometheus,
                unit: $unit,
                kind: $kind,
                attributes: &[$(Attribute { key: $key, values: $values }),*],
                help: $help,
                safe: $safe,
            };
        )*
        /// All metrics.
        pub static METRICS: &[&Metric] = &[$(&$const),*];
    };
}

use Kind::{Counter, Gauge, Histogram, Seconds, UpDown};
use Values::{Constant, DropReasons, Limits, Words};

metrics! {
    PACKETS = "mix.packets", "mix_packets_total", "{packet}", Counter, ["stage": Words(STAGES)],
        "Packets that passed a stage of the mix", WINDOW_64;
    DROPPED = "mix.dropped", "mix_dropped_total", "{packet}", Counter, ["reason": DropReasons],
        "Dropped packets, by reason", WINDOW_8;
    BAD_FRAMES = "mix.bad_frames", "mix_bad_frames_total", "{frame}", Counter, [],
        "Malformed frames, each of which closed its connection", WINDOW_8;
    POOL_SIZE = "mix.pool.size", "mix_pool_size", "{packet}", UpDown, [],
        "Packets in their mix delay", TICK_64;
    QUEUE_SIZE = "mix.queue.size", "mix_queue_size", "{packet}", UpDown, ["queue": Words(QUEUES)],
        "Packets queued for unwrapping or for their next hop", TICK_64;
    FORWARD_LAG = "mix.forward.lag", "mix_forward_lag_seconds", "s", Histogram(LAG_BOUNDS), [],
        "Time between the end of a packet's mix delay and its sending; the sum is computed from the bucket bounds",
        "of closed windows, each bucket rounded up to 8; exported once it covers 256 packets; excludes the mix delays";
    UNWRAP_CPU = "mix.unwrap.cpu", "mix_unwrap_cpu_seconds_total", "s", Seconds, [],
        "CPU time of unwrapping", UNWRAPPING;
    CONNECTIONS = "mix.connections", "mix_connections", "{connection}", UpDown, ["direction": Words(DIRECTIONS)],
        "Open connections", TICK_4;
    CONNECTION_REFUSALS = "mix.connection.refusals", "mix_connection_refusals_total", "{connection}", Counter, [],
        "Connections refused because of a connection limit", WINDOW_8;
    CONNECTION_TIMEOUTS = "mix.connection.timeouts", "mix_connection_timeouts_total", "{connection}", Counter, [],
        "Connections closed because a frame took too long or no data arrived", WINDOW_8;
    CONNECTION_FAILURES = "mix.connection.failures", "mix_connection_failures_total", "{connection}", Counter, [],
        "Connections to next hops that failed or broke", WINDOW_8;
    LIMITS_REACHED = "mix.limits.reached", "mix_limits_reached_total", "{event}", Counter, ["limit": Limits],
        "How often a limit on connections, next hops or memory was reached", WINDOW_8;
    REPLAY_EARLY_ENDS = "mix.replay.early_ends", "mix_replay_early_ends_total", "{generation}", Counter, [],
        "Generations of the replay filter that filled up early, which shortens replay.window",
        WINDOW_1;

    READY = "mixnode.ready", "mixnode_ready", "{node}", Gauge, [],
        "1 while packets should be sent to this node, as in /readyz", NO_PACKETS;
    LIVE = "mixnode.live", "mixnode_live", "{node}", Gauge, [],
        "1 while all workers run, as in /livez", NO_PACKETS;
    BUILD_INFO = "mixnode.build_info", "mixnode_build_info", "{build}", Gauge,
        ["version": Constant, "protocol": Constant],
        "Always 1; the labels show the running release", NO_PACKETS;
    WORKERS = "mixnode.workers", "mixnode_workers", "{thread}", Gauge, [],
        "Worker threads", NO_PACKETS;
    WINDOW = "telemetry.window", "telemetry_window_seconds", "s", Gauge, [],
        "The length of the windows over which packets are counted", NO_PACKETS;
    ANNOUNCE_CHANGES = "announce.changes", "announce_changes_total", "{change}", Counter, [],
        "How often the announced addresses have changed", NO_PACKETS;

    DIRECTORY_UP = "directory.up", "directory_up", "{directory}", Gauge, [],
        "1 while the directory answers and lists the node", NO_PACKETS;
    DIRECTORY_FAILURES = "directory.failures", "directory_failures_total", "{request}", Counter, ["call": Words(CALLS)],
        "Failed requests to the directory", NO_PACKETS;
    TOPOLOGY_NODES = "directory.topology.nodes", "directory_topology_nodes", "{node}", Gauge, ["kind": Words(NODES)],
        "Nodes of the topology with a usable address", NO_PACKETS;
    TOPOLOGY_SKIPPED = "directory.topology.skipped", "directory_topology_skipped", "{node}", Gauge,
        ["reason": Words(SKIPPED)],
        "Nodes of the topology without a usable address", NO_PACKETS;
    TOPOLOGY_AGE = "directory.topology.age", "directory_topology_age_seconds", "s", Gauge, [],
        "Time since the topology was fetched; absent before the first fetch", NO_PACKETS;

    PROCESS_CPU = "process.cpu.time", "process_cpu_seconds_total", "s", Seconds, [],
        "CPU time of the process, rounded up by the window", PROCESS;
    PROCESS_MEMORY = "process.memory.usage", "process_resident_memory_bytes", "By", UpDown, [],
        "Resident memory of the process", TICK_MEMORY;
    PROCESS_VIRTUAL = "process.memory.virtual", "process_virtual_memory_bytes", "By", UpDown, [],
        "Virtual memory of the process", TICK_MEMORY;
    PROCESS_OPEN_FDS = "process.unix.file_descriptor.count", "process_open_fds", "{file_descriptor}", UpDown, [],
        "Open file descriptors", TICK_4;
    PROCESS_MAX_FDS = "process.unix.file_descriptor.limit", "process_max_fds", "{file_descriptor}", Gauge, [],
        "File descriptors that the process may open", NO_PACKETS;
    PROCESS_THREADS = "process.thread.count", "process_threads", "{thread}", UpDown, [],
        "Threads of the process", TICK_4;
    PROCESS_START = "process.start_time", "process_start_time_seconds", "s", Gauge, [],
        "When the process started, in seconds since the epoch", NO_PACKETS;
    PROCESS_UPTIME = "process.uptime", "process_uptime_seconds", "s", Gauge, [],
        "Time since the node started", NO_PACKETS;

    TOKIO_TASKS = "tokio.tasks", "tokio_tasks", "{task}", UpDown, [],
        "Tasks of all runtimes, without those that serve one packet connection", TICK_4;

    EXPORTED = "telemetry.exported", "telemetry_exported_total", "{item}", Counter, ["signal": Words(SIGNALS)],
        "Spans and sets of metrics that a collector accepted", NO_PACKETS;
    LOST = "telemetry.lost", "telemetry_lost_total", "{item}", Counter,
        ["signal": Words(LOSABLE), "reason": Words(LOSSES)],
        "Spans, sets of metrics and log lines that were lost", NO_PACKETS;
}

/// Number of messages that a stage handled in the window, rounded up to 64.
pub(crate) const MESSAGE_COUNT: &str = "messaging.batch.message_count";
/// Number of consecutive failures of the same call before this one. Each call is a new request; none is repeated.
pub(crate) const FAILURES_BEFORE: &str = "directory.failures_before";
/// The root of the pipeline's spans.
pub(crate) const MIX_WINDOW: &str = "mix.window";

/// All spans.
pub static SPANS: &[Span] = &[
    Span {
        name: MIX_WINDOW,
        parent: None,
        attributes: &["mix.window.seconds"],
        help: "A closed window, between two multiples of its length by the wall clock",
    },
    Span {
        name: "mix.receive",
        parent: Some(MIX_WINDOW),
        attributes: &[MESSAGE_COUNT, "mix.bad_frames", "mix.connections"],
        help: "Frames received from the network",
    },
    Span {
        name: "mix.unwrap",
        parent: Some(MIX_WINDOW),
        attributes: &[MESSAGE_COUNT, "mix.final", "mix.unwrap.cpu", "mix.queue.size", "mix.dropped.*", "error.type"],
        help: "Unwrapped packets, and those dropped by unwrapping",
    },
    Span {
        name: "mix.delay",
        parent: Some(MIX_WINDOW),
        attributes: &[MESSAGE_COUNT, "mix.pool.size"],
        help: "Packets whose delay has passed",
    },
    Span {
        name: "mix.forward",
        parent: Some(MIX_WINDOW),
        attributes: &[MESSAGE_COUNT, "mix.connections", "mix.queue.size", "mix.dropped.*", "error.type"],
        help: "Packets sent to the network, and those dropped on the way",
    },
    directory_span("directory.counter", "Fetching the directory's key and the last counter"),
    directory_span("directory.register", "Registering the node"),
    directory_span("directory.topology", "Fetching the topology"),
    directory_span("directory.unregister", "Unregistering the node"),
    directory_span("directory.metrics", "Reporting rounded packet counts"),
    Span {
        name: "address.detect",
        parent: None,
        attributes: &["address.count", "address.steps", "error.type"],
        help: "Detecting the announce addresses",
    },
];

const fn directory_span(name: &'static str, help: &'static str) -> Span {
    let attributes =
        &["http.request.method", "url.template", "http.response.status_code", FAILURES_BEFORE, "error.type"];
    Span { name, parent: None, attributes, help }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_lag_is_exported_in_the_buckets_of_its_counts() {
        let counted = nym_mixnode_mix::LAG_BOUNDS_MS.map(|ms| std::time::Duration::from_millis(ms).as_secs_f64());
        assert_eq!(LAG_BOUNDS, counted);
    }

    #[test]
    fn no_two_metrics_share_a_name() {
        let names: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
        let prometheus: BTreeSet<_> = METRICS.iter().map(|metric| metric.prometheus).collect();
        assert_eq!((names.len(), prometheus.len()), (METRICS.len(), METRICS.len()));
    }

    #[test]
    fn prometheus_names_end_as_the_conventions_require() {
        for metric in METRICS {
            let name = metric.prometheus;
            let sums = matches!(metric.kind, Counter | Seconds);
            assert_eq!(sums, name.ends_with("_total"), "{name}");
            assert_eq!(metric.unit == "s", name.contains("_seconds"), "{name}");
            assert_eq!(metric.unit == "By", name.ends_with("_bytes"), "{name}");
            // Prometheus collectors would append `_ratio`.
            assert_ne!(metric.unit, "1", "{name}");
            assert!(metric.kind != Seconds || metric.unit == "s", "{name}");
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
        }
    }

    #[test]
    fn outside_process_the_two_names_are_the_same() {
        let words = |name: &str| name.replace('.', "_");
        for metric in METRICS.iter().filter(|metric| !metric.name.starts_with("process.")) {
            let expected = match (metric.unit, metric.kind) {
                ("s", Seconds) => format!("{}_seconds_total", words(metric.name)),
                ("s", _) => format!("{}_seconds", words(metric.name)),
                (_, Counter) => format!("{}_total", words(metric.name)),
                _ => words(metric.name),
            };
            assert_eq!(metric.prometheus, expected);
        }
    }

    #[test]
    fn parents_of_spans_are_spans() {
        for span in SPANS {
            assert!(span.parent.is_none_or(|parent| SPANS.iter().any(|other| other.name == parent)), "{}", span.name);
        }
    }

    #[test]
    fn attributes_allow_only_their_values() {
        assert!(DropReasons.allow("replay") && !DropReasons.allow("192.0.2.1"));
        assert!(Words(STAGES).allow("final") && !Words(STAGES).allow("finale"));
    }
}
