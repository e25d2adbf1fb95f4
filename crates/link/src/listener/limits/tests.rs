use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Admits a connection that can be evicted.
fn silent(limits: &Arc<ConnectionLimits>, text: &str) -> Permit {
    let mut permit = limits.admit(ip(text)).unwrap();
    permit.can_be_evicted(Waker::noop());
    permit
}

fn refused(limits: &Arc<ConnectionLimits>, text: &str) -> Exceeded {
    limits.admit(ip(text)).map(drop).unwrap_err()
}

fn evicted(permits: &[Permit]) -> Vec<bool> {
    permits.iter().map(Permit::is_evicted).collect()
}

#[test]
fn limits_apply_per_address_and_in_total_and_permits_are_released() {
    let limits = ConnectionLimits::new(3, 2);
    let first = limits.admit(ip("2001:db8::1")).unwrap();
    let _second = limits.admit(ip("2001:db8::2")).unwrap();
    assert_eq!(refused(&limits, "2001:db8::3"), Exceeded::PerAddress, "the same /64");
    let _third = limits.admit(ip("192.0.2.1")).unwrap();
    assert_eq!(refused(&limits, "192.0.2.2"), Exceeded::Total);
    drop(first);
    let _fourth = limits.admit(ip("::ffff:192.0.2.1")).unwrap();
    assert_eq!(refused(&limits, "192.0.2.1"), Exceeded::PerAddress);
    assert_eq!(limits.open(), 3);
}

#[test]
fn a_newcomer_takes_the_place_of_the_oldest_silent_connection_of_the_largest_place() {
    let limits = ConnectionLimits::new(5, 3);
    let mut many: Vec<_> = (0..3).map(|_| silent(&limits, "192.0.2.1")).collect();
    let few: Vec<_> = (0..2).map(|_| silent(&limits, "192.0.2.2")).collect();
    many[0].has_sent();
    assert_eq!(refused(&limits, "192.0.2.1"), Exceeded::PerAddress);
    let newcomer = silent(&limits, "192.0.2.3");
    // Both places have two silent connections, and one of them goes.
    let first = [evicted(&many), evicted(&few)].concat();
    assert_eq!(first.iter().filter(|is_evicted| **is_evicted).count(), 1, "{first:?}");
    assert_eq!((first[0], limits.open()), (false, 5));
    let second = silent(&limits, "192.0.2.4");
    assert!(!evicted(&many)[0] && !newcomer.is_evicted() && !second.is_evicted());
    drop((many, few));
    assert_eq!(limits.open(), 2);
    drop((newcomer, second));
    let open = limits.lock();
    assert_eq!((open.total, open.closing, open.silent.len(), open.places.len()), (0, 0, 0, 0));
}

#[test]
fn connections_that_have_sent_a_packet_stay_and_no_place_evicts_a_smaller_one() {
    let limits = ConnectionLimits::new(3, 2);
    let mut working: Vec<_> = (0..2).map(|_| silent(&limits, "192.0.2.1")).collect();
    working.iter_mut().for_each(Permit::has_sent);
    let single = silent(&limits, "192.0.2.2");
    assert_eq!(evicted(&working), [false, false]);
    let other = silent(&limits, "192.0.2.3");
    assert!(single.is_evicted(), "the only silent one");
    assert_eq!(refused(&limits, "192.0.2.3"), Exceeded::Total, "it has as many as the other place");
    assert!(!other.is_evicted());
    // A connection that was evicted while its first packet arrived is not kept.
    let mut late = single;
    late.has_sent();
    assert!(late.is_evicted());
}

#[test]
fn what_cannot_be_evicted_keeps_its_place() {
    let limits = ConnectionLimits::new(1, 1);
    let permit = limits.admit(ip("192.0.2.1")).unwrap();
    assert_eq!(refused(&limits, "192.0.2.2"), Exceeded::Total);
    assert!(!permit.is_evicted());
}

#[test]
fn evictions_wait_for_the_evicted_connections_to_close() {
    let limits = ConnectionLimits::new(1000, 1000);
    let mut many: Vec<_> = (0..1000).map(|_| silent(&limits, "192.0.2.1")).collect();
    let newcomers: Vec<_> = (0..CLOSING_MAX).map(|_| limits.admit(ip("192.0.2.2")).unwrap()).collect();
    assert_eq!(refused(&limits, "192.0.2.2"), Exceeded::Total);
    drop(many.remove(0));
    assert_eq!(limits.open(), 1000);
    drop(limits.admit(ip("192.0.2.2")).unwrap());
    drop((many, newcomers));
    assert_eq!((limits.open(), limits.lock().closing), (0, 0));
}

#[test]
fn a_listed_address_is_a_place_of_its_own_and_has_connections_kept_for_it() {
    let limits = ConnectionLimits::new(6, 4);
    limits.set_listed([ip("2001:db8::7")].into_iter());
    let mut others: Vec<_> = (0..4).map(|_| silent(&limits, "2001:db8::1")).collect();
    others.iter_mut().for_each(Permit::has_sent);
    // Its network has no more, and there is no silent connection to evict.
    assert_eq!(refused(&limits, "2001:db8::1"), Exceeded::PerAddress);
    assert_eq!(refused(&limits, "192.0.2.1"), Exceeded::Total);
    let listed: Vec<_> = (0..2).map(|_| silent(&limits, "2001:db8::7")).collect();
    assert_eq!(refused(&limits, "2001:db8::7"), Exceeded::Total);
    // A newcomer from elsewhere takes no place that is kept for listed addresses.
    assert_eq!((refused(&limits, "192.0.2.1"), evicted(&listed)), (Exceeded::Total, vec![false, false]));
    // An address that leaves the topology is still counted where it was.
    limits.set_listed(std::iter::empty());
    drop(listed);
    assert_eq!(limits.open(), 4);
    drop(others);
    assert!(limits.lock().places.is_empty());
}
