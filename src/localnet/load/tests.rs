//! The rate against networks that take it, that do not, and that pause.

use super::*;

/// A network that passes `capacity` packets per second, 150 ms after they were sent, and queues the rest.
struct Network {
    capacity: f64,
    queued: f64,
    busy: f64,
}

impl Network {
    fn new(capacity: f64) -> Self {
        Self { capacity, queued: 0.0, busy: 0.3 }
    }

    /// Runs for a time and gives the longest queue on the way.
    fn run(&mut self, control: &mut LoadControl, time: Duration) -> f64 {
        let (seconds, mut longest) = (ADJUST_EVERY.as_secs_f64(), 0.0f64);
        for _ in 0..time.as_millis() / ADJUST_EVERY.as_millis() {
            let sent = control.rate() * seconds;
            let returned = (self.queued + sent).min(self.capacity * seconds);
            self.queued += sent - returned;
            longest = longest.max(self.queued);
            control.observe(&Interval {
                elapsed: ADJUST_EVERY,
                sent: u64::from(whole(sent)),
                returned: u64::from(whole(returned)),
                overdue: whole(self.queued) as usize,
                cpu: ADJUST_EVERY.mul_f64(self.busy),
                ..Interval::default()
            });
        }
        longest
    }
}

const MINUTE: Duration = Duration::from_secs(60);
const DELAY: Duration = Duration::from_millis(150);

#[test]
fn a_rate_that_the_network_takes_is_offered_from_the_first_packet_on() {
    let mut control = LoadControl::new(100, DELAY);
    Network::new(2000.0).run(&mut control, MINUTE);
    let load = control.load();
    assert_eq!((load.asked_per_s, load.not_sent, load.limited_by), (100, 0, None));
    assert!((load.offered_per_s - 100.0).abs() < 1.0, "{load:?}");
    assert_eq!(load.words(), None);
}

#[test]
fn no_more_is_offered_than_the_network_takes_and_most_of_that() {
    let mut control = LoadControl::new(5000, DELAY);
    let longest = Network::new(1500.0).run(&mut control, MINUTE);
    let load = control.load();
    assert!((1200.0..=1510.0).contains(&load.offered_per_s), "{load:?}");
    assert_eq!(load.limited_by, Some(Limit::Nodes));
    assert!(longest < 2000.0, "nodes drop what goes beyond: {longest}");
    let words = load.words().unwrap();
    assert!(words.contains(" 5000 ") && words.contains(&format!(" {:.0}", load.offered_per_s)), "{words}");
    assert!(words.contains("not lost"), "{words}");
}

#[test]
fn a_busy_generator_is_called_the_limit() {
    let mut control = LoadControl::new(5000, DELAY);
    let mut network = Network { busy: 0.97, ..Network::new(1500.0) };
    network.run(&mut control, MINUTE);
    assert_eq!(control.limit(), Some(Limit::Generator));
    assert_eq!(control.load().limited_by, Some(Limit::Generator));
}

#[test]
fn a_thread_that_comes_late_to_its_packets_is_the_limit_also_below_the_first_step() {
    let mut control = LoadControl::new(400, DELAY);
    for _ in 0..50 {
        control.observe(&Interval { elapsed: ADJUST_EVERY, sent: 40, cpu: ADJUST_EVERY, ..Interval::default() });
    }
    let load = control.load();
    assert_eq!((load.limited_by, load.not_sent), (Some(Limit::Generator), 2000));
}

#[test]
fn a_full_way_to_the_first_hop_halves_the_rate_at_once() {
    let mut control = LoadControl::new(400, DELAY);
    control.observe(&Interval { elapsed: ADJUST_EVERY, sent: 80, refused: 1, ..Interval::default() });
    assert!(control.rate() <= 200.0);
    assert_eq!(control.limit(), Some(Limit::Nodes));
}

#[test]
fn the_full_rate_returns_when_the_network_has_recovered() {
    let mut control = LoadControl::new(1000, DELAY);
    let mut network = Network::new(300.0);
    network.run(&mut control, MINUTE / 4);
    assert!(control.rate() < 500.0);
    network.capacity = 5000.0;
    network.run(&mut control, MINUTE);
    assert!((control.rate() - 1000.0).abs() < 1.0, "{}", control.rate());
    assert_eq!(control.limit(), None);
}

#[test]
fn pauses_of_a_busy_machine_cost_little() {
    let mut control = LoadControl::new(5000, DELAY);
    let mut network = Network::new(1500.0);
    for _ in 0..20 {
        network.capacity = 1500.0;
        network.run(&mut control, Duration::from_millis(2600));
        network.capacity = 50.0;
        network.run(&mut control, Duration::from_millis(400));
    }
    let load = control.load();
    assert!(load.offered_per_s > 750.0, "of 1300 that would go through: {load:?}");
}

#[test]
fn packets_that_take_long_let_the_rate_rise_slowly() {
    let rate_after = |delay| {
        let mut control = LoadControl::new(100_000, delay);
        Network::new(1e6).run(&mut control, Duration::from_secs(2));
        control.rate()
    };
    assert!(rate_after(DELAY) > 5000.0);
    assert!(rate_after(MINUTE) < 600.0);
}

#[test]
fn the_json_names_the_limit() {
    let load = Load { asked_per_s: 5, offered_per_s: 1.5, not_sent: 7, limited_by: Some(Limit::Generator) };
    let json = serde_json::to_value(load).unwrap();
    assert_eq!((&json["limited_by"], &json["not_sent"]), (&"generator".into(), &7.into()));
}
