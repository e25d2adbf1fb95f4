use std::sync::Mutex;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber, subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use super::*;
use crate::rounds::FamilySummary;

/// Level of an event, and its field `down`.
type Logged = (Level, Option<String>);

#[derive(Debug, Clone, Default)]
struct Events(Arc<Mutex<Vec<Logged>>>);

#[derive(Default)]
struct Down(Option<String>);

impl Visit for Down {
    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "down" {
            self.0 = Some(value.to_owned());
        }
    }
}

impl<S: Subscriber> Layer<S> for Events {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut down = Down::default();
        event.record(&mut down);
        self.0.lock().unwrap().push((*event.metadata().level(), down.0));
    }
}

/// What the result of this round logs.
fn logged(summary: &Summary) -> Vec<Logged> {
    let events = Events::default();
    let subscriber = tracing_subscriber::registry().with(events.clone());
    subscriber::with_default(subscriber, || RoundLog::default().note(summary, Instant::now()));
    events.0.lock().unwrap().clone()
}

fn summary() -> Summary {
    let all = FamilySummary { tested: 3, up: 3 };
    Summary { nodes: 3, ipv4: all, ipv6: all, empty_layers: vec![3], ..Summary::default() }
}

#[test]
fn an_empty_layer_is_a_warning_once_it_is_overdue() {
    assert_eq!(logged(&summary()), [(Level::INFO, None)]);
    assert_eq!(logged(&Summary { is_overdue: true, ..summary() }), [(Level::WARN, None)]);
}

#[test]
fn nodes_that_are_down_are_a_warning_with_their_names() {
    let down = vec![("a".to_owned(), IpFamily::V4), ("b".to_owned(), IpFamily::V6)];
    let expected = Some("a over IPv4, b over IPv6".to_owned());
    assert_eq!(logged(&Summary { down, ..summary() }), [(Level::WARN, expected)]);
}
