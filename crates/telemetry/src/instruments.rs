//! Every metric and every span of the node, defined once: names, units, attributes and the values they may have.
//!
//! `/metrics`, OTLP, `docs/metrics.md` and the tests all come from these tables; what is not in them is not told.
//! What stands last for a metric says why it cannot unmix: how it is rounded, or that it is not about packets.
//! Nothing is told by worker: a worker owns next hops, so its work says how many packets of a window leave to which.
//! Nor is it told how often workers were woken or how long they were at work: a packet that crosses between two makes
//! more of both than one that does not.

use nym_mixnode_mix::DropReason;

/// One metric.
#[derive(Debug, PartialEq)]
pub struct Metric {
    /// Its name in OpenTelemetry.
    pub name: &'static str,
    /// Its name at `/metrics`, with the endings that the conventions of Prometheus ask for.
    pub prometheus: &'static str,
    /// Its unit, in the words of UCUM as OpenTelemetry writes them.
    pub unit: &'static str,
    pub kind: Kind,
    pub attributes: &'static [Attribute],
    /// One sentence, without a dot at its end.
    pub help: &'static str,
    /// Why it may be told.
    pub safe: &'static str,
}

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// A sum that only grows, of whole things.
    Counter,
    /// A sum that only grows, of seconds.
    Seconds,
    /// What goes up and down, and makes no sense added up: a time, a limit, yes or no.
    Gauge,
    /// What goes up and down, and adds up over nodes; OpenTelemetry has a kind of its own for it.
    UpDown,
    /// Counts by size; these are the upper bounds of the buckets, and one more has no bound.
    Histogram(&'static [f64]),
}

/// An attribute of a metric, and a label at `/metrics`.
#[derive(Debug, PartialEq)]
pub struct Attribute {
    pub key: &'static str,
    pub values: Values,
}

/// What an attribute may say.
#[derive(Debug, PartialEq)]
pub enum Values {
    /// One of these words.
    Words(&'static [&'static str]),
    /// The label of a [`DropReason`].
    DropReasons,
    /// A constant of the program.
    Constant,
}

/// One kind of span.
#[derive(Debug, PartialEq)]
pub struct Span {
    pub name: &'static str,
    /// The name of the span that it is a child of.
    pub parent: Option<&'static str>,
    /// The keys of its attributes; one that ends in `.*` stands for one key for each [`DropReason`].
    pub attributes: &'static [&'static str],
    /// One sentence, without a dot at its end.
    pub help: &'static str,
}

impl Kind {
    /// The word for people and for Prometheus.
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
    /// Whether an attribute may say `value`.
    #[must_use]
    pub fn allow(&self, value: &str) -> bool {
        match self {
            Self::Words(words) => words.contains(&value),
            Self::DropReasons => DropReason::ALL.iter().any(|reason| reason.label() == value),
            Self::Constant => true,
        }
    }
}

/// The upper bounds of the lag's buckets, in seconds.
pub const LAG_BOUNDS: &[f64] = &[0.001, 0.002, 0.005, 0.01, 0.05, 0.25];

/// The stages that packets are counted at.
pub const STAGES: &[&str] = &["received", "unwrapped", "delayed", "forwarded", "final"];
/// The queues besides the pool.
pub const QUEUES: &[&str] = &["unwrap", "forward"];
/// The directions of connections.
pub const DIRECTIONS: &[&str] = &["in", "out"];
/// What is asked of the directory.
pub const CALLS: &[&str] = &["register", "topology", "metrics"];
/// The nodes of a topology.
pub const NODES: &[&str] = &["mix", "gateway"];
pub const SKIPPED: &[&str] = &["address", "unresolved"];
/// What is exported.
pub const SIGNALS: &[&str] = &["traces", "metrics"];
/// What can be lost.
pub const LOSABLE: &[&str] = &["traces", "metrics", "logs"];
/// Why an export was lost.
pub const LOSSES: &[&str] = &["failed", "timed_out", "queue_full"];

const WINDOW_64: &str = "of closed windows, each rounded up to 64";
const WINDOW_8: &str = "of closed windows, each rounded up to 8";
const WINDOW_1: &str = "of closed windows, each rounded up to 1; a generation is of thousands of packets or more";
const TICK_64: &str = "sampled at the end of a window, rounded up to 64";
const TICK_4: &str = "sampled at the end of a window, rounded up to 4";
const UNWRAPPING: &str = "sampled at the end of a window, rounded up to 10 ms; the work before it is known where a \
    packet goes";
const PROCESS: &str = "of closed windows, each rounded up to 1 s, or to 5 % of the workers' time where that is more: \
    packets that cross between workers cost more, see telemetry.md";
const TICK_MEMORY: &str = "sampled at the end of a window, rounded up to 1 MiB";
const NO_PACKETS: &str = "tells nothing of packets";

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
use Values::{Constant, DropReasons, Words};

metrics! {
    PACKETS = "mix.packets", "mix_packets_total", "{packet}", Counter, ["stage": Words(STAGES)],
        "Packets that passed a stage of the mix", WINDOW_64;
    DROPPED = "mix.dropped", "mix_dropped_total", "{packet}", Counter, ["reason": DropReasons],
        "Packets that were given up, by reason", WINDOW_8;
    BAD_FRAMES = "mix.bad_frames", "mix_bad_frames_total", "{frame}", Counter, [],
        "Frames that were none and closed their connection", WINDOW_8;
    POOL_SIZE = "mix.pool.size", "mix_pool_size", "{packet}", UpDown, [],
        "Packets that wait for their delay to pass", TICK_64;
    QUEUE_SIZE = "mix.queue.size", "mix_queue_size", "{packet}", UpDown, ["queue": Words(QUEUES)],
        "Packets that wait to be unwrapped, or for their next hop to take them", TICK_64;
    FORWARD_LAG = "mix.forward.lag", "mix_forward_lag_seconds", "s", Histogram(LAG_BOUNDS), [],
        "How long after its time a packet was handed to the network; the sum is made of the buckets' bounds",
        "of closed windows, each bucket rounded up to 8; held back until there are 256 packets; no delays in it";
    UNWRAP_CPU = "mix.unwrap.cpu", "mix_unwrap_cpu_seconds_total", "s", Seconds, [],
        "CPU time of unwrapping", UNWRAPPING;
    CONNECTIONS = "mix.connections", "mix_connections", "{connection}", UpDown, ["direction": Words(DIRECTIONS)],
        "Open connections", TICK_4;
    CONNECTION_REFUSALS = "mix.connection.refusals", "mix_connection_refusals_total", "{connection}", Counter, [],
        "Connections closed at once because there were too many", WINDOW_8;
    CONNECTION_TIMEOUTS = "mix.connection.timeouts", "mix_connection_timeouts_total", "{connection}", Counter, [],
        "Connections closed because a frame took too long or nothing came at all", WINDOW_8;
    CONNECTION_FAILURES = "mix.connection.failures", "mix_connection_failures_total", "{connection}", Counter, [],
        "Connections to next hops that failed or broke", WINDOW_8;
    REPLAY_EARLY_ENDS = "mix.replay.early_ends", "mix_replay_early_ends_total", "{generation}", Counter, [],
        "Generations of the replay filter that were full before their time, which shortens replay.window",
        WINDOW_1;

    READY = "mixnode.ready", "mixnode_ready", "{node}", Gauge, [],
        "1 while packets should be sent here, as /readyz says", NO_PACKETS;
    LIVE = "mixnode.live", "mixnode_live", "{node}", Gauge, [],
        "1 while all workers turn, as /livez says", NO_PACKETS;
    BUILD_INFO = "mixnode.build_info", "mixnode_build_info", "{build}", Gauge,
        ["version": Constant, "protocol": Constant],
        "Always 1; its labels say which release runs", NO_PACKETS;
    WORKERS = "mixnode.workers", "mixnode_workers", "{thread}", Gauge, [],
        "Worker threads", NO_PACKETS;
    WINDOW = "telemetry.window", "telemetry_window_seconds", "s", Gauge, [],
        "The length of the windows over which packets are counted", NO_PACKETS;
    ANNOUNCE_CHANGES = "announce.changes", "announce_changes_total", "{change}", Counter, [],
        "How often the announced addresses have changed", NO_PACKETS;

    DIRECTORY_UP = "directory.up", "directory_up", "{directory}", Gauge, [],
        "1 while the directory answers and lists the node", NO_PACKETS;
    DIRECTORY_FAILURES = "directory.failures", "directory_failures_total", "{request}", Counter, ["call": Words(CALLS)],
        "Requests to the directory that failed", NO_PACKETS;
    TOPOLOGY_NODES = "directory.topology.nodes", "directory_topology_nodes", "{node}", Gauge, ["kind": Words(NODES)],
        "Nodes of the topology with an address that packets may be sent to", NO_PACKETS;
    TOPOLOGY_SKIPPED = "directory.topology.skipped", "directory_topology_skipped", "{node}", Gauge,
        ["reason": Words(SKIPPED)],
        "Nodes of the topology without such an address", NO_PACKETS;
    TOPOLOGY_AGE = "directory.topology.age", "directory_topology_age_seconds", "s", Gauge, [],
        "Time since the topology was fetched; absent until it was", NO_PACKETS;

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
        "Spans, and sets of metrics, that a collector took", NO_PACKETS;
    LOST = "telemetry.lost", "telemetry_lost_total", "{item}", Counter,
        ["signal": Words(LOSABLE), "reason": Words(LOSSES)],
        "Spans, sets of metrics, and lines of the log that nobody took", NO_PACKETS;
}

/// How many messages a stage handled in the window, rounded up to 64.
pub const MESSAGE_COUNT: &str = "messaging.batch.message_count";
/// How often the same call has failed in a row before this one. Each is a request of its own and none sent again.
pub const FAILURES_BEFORE: &str = "directory.failures_before";
/// The root of the pipeline's spans.
pub const MIX_WINDOW: &str = "mix.window";

/// All spans.
pub static SPANS: &[Span] = &[
    Span {
        name: MIX_WINDOW,
        parent: None,
        attributes: &["mix.window.seconds"],
        help: "A closed window, from one multiple of its length to the next by the wall clock",
    },
    Span {
        name: "mix.receive",
        parent: Some(MIX_WINDOW),
        attributes: &[MESSAGE_COUNT, "mix.bad_frames", "mix.connections"],
        help: "Frames taken from the network",
    },
    Span {
        name: "mix.unwrap",
        parent: Some(MIX_WINDOW),
        attributes: &[MESSAGE_COUNT, "mix.final", "mix.unwrap.cpu", "mix.queue.size", "mix.dropped.*", "error.type"],
        help: "Packets unwrapped, and those given up by it",
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
        help: "Packets handed to the network, and those given up on the way",
    },
    directory_span("directory.counter", "Asking the directory for its key and the last counter"),
    directory_span("directory.register", "Registering the node"),
    directory_span("directory.topology", "Fetching the topology"),
    directory_span("directory.unregister", "Taking the node out of the directory"),
    directory_span("directory.metrics", "Reporting rounded packet counts"),
    Span {
        name: "address.detect",
        parent: None,
        attributes: &["address.count", "address.steps", "error.type"],
        help: "Looking for the addresses to announce",
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
    fn the_lag_is_told_in_the_buckets_that_it_is_counted_in() {
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
    fn prometheus_names_end_as_the_conventions_say() {
        for metric in METRICS {
            let name = metric.prometheus;
            let sums = matches!(metric.kind, Counter | Seconds);
            assert_eq!(sums, name.ends_with("_total"), "{name}");
            assert_eq!(metric.unit == "s", name.contains("_seconds"), "{name}");
            assert_eq!(metric.unit == "By", name.ends_with("_bytes"), "{name}");
            // A collector that serves Prometheus would append `_ratio`.
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
    fn attributes_say_only_what_they_may() {
        assert!(DropReasons.allow("replay") && !DropReasons.allow("192.0.2.1"));
        assert!(Words(STAGES).allow("final") && !Words(STAGES).allow("finale"));
    }
}
