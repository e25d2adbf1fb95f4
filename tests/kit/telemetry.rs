//! Monitoring with real programs: an OpenTelemetry collector, a trace store, Prometheus and Alertmanager, with the
//! files of `deploy/`.

pub(crate) mod certificates;
mod checking;
mod collecting;
mod network;
pub(crate) mod process;
mod received;
mod shipped;
mod watching;
