//! What watches a network, as the real thing: an OpenTelemetry collector, a trace store, Prometheus, Alertmanager; and
//! the files of `deploy/` that they run by.

mod certificates;
mod checking;
mod collecting;
mod network;
mod process;
mod received;
mod shipped;
mod watching;
