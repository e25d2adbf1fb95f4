//! Log settings, applied at the start and again at each SIGHUP.

use std::convert::Infallible;

use nym_mixnode_config::{LogConfig, NodeHome, NodeId, Values};
use nym_mixnode_telemetry::log::{self, LogFilter};
use tokio::signal::unix::Signal;

use super::load::Sources;
use super::{Exit, Failure};

/// Sources of a node's log settings.
pub(super) struct LogSettings {
    pub(super) home: NodeHome,
    pub(super) id: NodeId,
    pub(super) overrides: Values,
}

impl LogSettings {
    /// Reads the settings again and applies them; returns the filter.
    fn reload(&self) -> Result<LogFilter, Failure> {
        let values = Sources::read(&self.home, &self.id, &self.overrides).checked()?;
        apply(&LogConfig::from_values(&values)?)
    }

    /// Applies them again at each SIGHUP. On an error it logs a warning and keeps the old settings.
    pub(super) async fn follow(&self, mut hangups: Signal) -> Infallible {
        loop {
            hangups.recv().await;
            match self.reload() {
                Ok(filter) => tracing::info!("SIGHUP: the log's filter is {filter}"),
                Err(failure) => {
                    for line in failure.lines() {
                        tracing::warn!("SIGHUP: the log stays as it was: {line}");
                    }
                }
            }
        }
    }
}

/// Applies log settings; returns the filter.
pub(super) fn apply(config: &LogConfig) -> Result<LogFilter, Failure> {
    let rust_log = log::filter_of_environment().map_err(|error| Failure::new(Exit::CONFIG, error))?;
    let filter = config.filter(rust_log);
    log::set(config.format, &filter);
    Ok(filter)
}
