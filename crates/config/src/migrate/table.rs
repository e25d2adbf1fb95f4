//! What each key of an older release is converted to.

use super::super::settings::{self as s, About};

/// The conversion of a value.
pub(super) enum Fate {
    /// Identifies the release; not converted.
    Mark,
    /// Another setting's text.
    Text(&'static About),
    /// Another setting's duration.
    Duration(&'static About),
    /// The path of a key file.
    KeyFile(&'static About),
    /// Dropped, for this reason.
    Dropped(&'static str),
}

const REPORTS: &str = "the directory determines when the node reports";

/// The conversion of `section.key`.
pub(super) fn fate(key: &str) -> Fate {
    match key {
        "mixnode.version" => Fate::Mark,
        "mixnode.id" => Fate::Text(&s::NODE_ID.about),
        "mixnode.location" => Fate::Text(&s::NODE_LOCATION.about),
        "mixnode.layer" => Fate::Text(&s::NODE_LAYER.about),
        "mixnode.incentives_address" => Fate::Text(&s::NODE_INCENTIVES_ADDRESS.about),
        "mixnode.listening_address" => Fate::Text(&s::LISTEN_ADDRESSES.about),
        "mixnode.announce_address" => Fate::Text(&s::ANNOUNCE_ADDRESSES.about),
        "mixnode.validator_rest_url" | "mixnode.presence_directory_server" => Fate::Text(&s::DIRECTORY_URL.about),
        "mixnode.metrics_server_url" | "mixnode.metrics_directory_server" => {
            Fate::Text(&s::DIRECTORY_METRICS_URL.about)
        }
        "mixnode.nym_root_directory" => Fate::Dropped("--home sets the directory of all nodes"),
        "debug.packet_forwarding_initial_backoff" => Fate::Duration(&s::FORWARD_BACKOFF_INITIAL.about),
        "debug.packet_forwarding_maximum_backoff" => Fate::Duration(&s::FORWARD_BACKOFF_MAX.about),
        "debug.initial_connection_timeout" => Fate::Duration(&s::FORWARD_CONNECT_TIMEOUT.about),
        "debug.maximum_connection_buffer_size" => Fate::Text(&s::FORWARD_QUEUE_PACKETS_MAX.about),
        "debug.cache_entry_ttl" => Fate::Dropped("packet keys are never cached"),
        "debug.metrics_running_stats_logging_delay" => Fate::Dropped("this setting no longer exists"),
        "debug.presence_sending_delay" | "debug.metrics_sending_delay" => Fate::Dropped(REPORTS),
        _ => key_file(key).map_or(Fate::Dropped("not a setting of any release"), Fate::KeyFile),
    }
}

/// The setting of a key file's path, which was called `mixnode.…_key_file`.
fn key_file(key: &str) -> Option<&'static About> {
    let name = key.strip_prefix("mixnode.")?.strip_suffix("_key_file")?;
    s::KEY_FILES.iter().map(|(_, setting)| &setting.about).find(|about| about.section_and_name().1 == name)
}
