//! `/metrics`: the network in numbers, for Prometheus. All of it is public in the API already.

use std::fmt::{Display, Write};
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderName;
use axum::http::header::CONTENT_TYPE;

use super::{ApiError, CostlyAnswers};
use crate::api::{ACTIVE_REPUTATION, Topology};
use crate::registry::now_ns;
use crate::registry::store::{Measured, Store};

const NANOSECONDS: i64 = 1_000_000_000;

pub(super) async fn metrics(
    State(store): State<Store>,
    State(costly): State<Arc<CostlyAnswers>>,
) -> Result<([(HeaderName, &'static str); 1], Bytes), ApiError> {
    let make = async {
        let now = now_ns();
        let topology = store.topology(0, now).await?;
        let measured = store.measured(now).await?;
        Ok::<_, ApiError>(exposition(&topology, &measured).into_bytes())
    };
    let text = costly.metrics.get(store.generation(), make).await?;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text))
}

fn exposition(topology: &Topology, measured: &[Measured]) -> String {
    let mut text = Text(String::new());
    text.gauge("mix_registry_nodes", "Nodes that are registered.");
    text.sample("mix_registry_nodes", "role=\"mixnode\"", topology.mix_nodes.len());
    text.sample("mix_registry_nodes", "role=\"gateway\"", topology.gateways.len());
    text.gauge("mix_registry_active_mixnodes", "Registered mixnodes with the reputation that the active set asks for.");
    let is_active = |reputation: i64| reputation >= ACTIVE_REPUTATION;
    let active = topology.mix_nodes.iter().filter(|mix| is_active(mix.reputation)).count();
    text.sample("mix_registry_active_mixnodes", "", active);
    text.gauge("mix_registry_node_reputation", "Reputation of a registered mixnode.");
    for mix in &topology.mix_nodes {
        let registration = &mix.registration;
        let labels = format!("identity=\"{}\",layer=\"{}\"", registration.identity_key, registration.layer);
        text.sample("mix_registry_node_reputation", &labels, mix.reputation);
    }
    text.measurements(measured);
    text.0
}

/// The text format. Label values need no escapes: keys of registered nodes are base58.
struct Text(String);

impl Text {
    fn measurements(&mut self, measured: &[Measured]) {
        let labels = |of: &Measured| format!("identity=\"{}\",ip_version=\"{}\"", of.identity, of.ip_version);
        self.gauge("mix_registry_node_up", "Whether the latest measurement of a registered node succeeded.");
        for of in measured {
            self.sample("mix_registry_node_up", &labels(of), u8::from(of.up));
        }
        self.gauge("mix_registry_node_measured_timestamp_seconds", "When the latest measurement arrived.");
        for of in measured {
            self.sample("mix_registry_node_measured_timestamp_seconds", &labels(of), of.at / NANOSECONDS);
        }
        self.gauge("mix_registry_node_uptime_ratio", "Share of the last day's measurements that succeeded.");
        for of in measured {
            self.sample("mix_registry_node_uptime_ratio", &labels(of), of.uptime);
        }
    }

    fn gauge(&mut self, name: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} gauge"));
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        if labels.is_empty() {
            self.line(format_args!("{name} {value}"));
        } else {
            self.line(format_args!("{name}{{{labels}}} {value}"));
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        writeln!(self.0, "{line}").ok();
    }
}
