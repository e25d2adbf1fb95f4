//! Small floods of a registry while honest nodes register and read. The kit runs them in full size.

use std::net::{IpAddr, Ipv4Addr};

use super::flood_world::{
    Crowd, FloodWorld, Honest, get, idle_connections, metrics_reports, readers_that_do_not_read, registrations,
    slow_clients,
};

const MEMORY_MAX: u64 = 256 << 20;
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(36, 66, 6, 6));

fn check(world: &FloodWorld, honest: &Honest) {
    assert!(honest.failures.is_empty(), "{:?}", honest.failures);
    assert!(honest.answered > 0, "nothing was asked");
    let peak = world.peak_memory();
    assert!(peak < MEMORY_MAX, "{peak} bytes");
}

#[test]
#[ignore = "needs root and network namespaces: `make kit`"]
fn a_flood_of_registrations_from_one_address_ends_at_its_cap() {
    let world = FloodWorld::new("registrations");
    let (accepted, honest) = world.beside(async || registrations(300, &[STRANGER]).await);
    check(&world, &honest);
    assert_eq!(accepted, 32);
    let neighbours: Vec<IpAddr> = (0..40).map(|last| Ipv4Addr::new(36, 66, 6, last).into()).collect();
    let (accepted, honest) = world.beside(async || registrations(600, &neighbours).await);
    check(&world, &honest);
    assert!(accepted <= 256, "{accepted} in all from one network");
}

#[test]
#[ignore = "needs root and network namespaces: `make kit`"]
fn registrations_from_many_networks_take_the_places_of_others_and_not_of_honest_nodes() {
    let crowd = Crowd::new();
    let world = FloodWorld::with("crowd", &["--entries-max", &crowd.entries_max()]);
    let (accepted, honest) = world.beside(async || crowd.register().await);
    println!("{}, slowest {} ms", crowd.check(&world, accepted), honest.slowest.as_millis());
    check(&world, &honest);
}

#[test]
#[ignore = "needs root and network namespaces: `make kit`"]
fn clients_that_do_not_read_cost_little_and_block_no_others() {
    let world = FloodWorld::new("readers");
    let ((), honest) = world.beside(async || {
        registrations(100, &[STRANGER]).await;
        let readers = readers_that_do_not_read(20).await;
        registrations(100, &[STRANGER]).await;
        drop(readers);
    });
    check(&world, &honest);
}

#[test]
#[ignore = "needs root and network namespaces: `make kit`"]
fn reports_with_thousands_of_next_hops_are_accepted_and_not_kept() {
    let world = FloodWorld::new("reports");
    let (accepted, honest) = world.beside(async || metrics_reports(60, 5000).await);
    check(&world, &honest);
    assert_eq!(accepted, 60);
    let (answer, _) = world.beside(async || get(STRANGER, "/api/metrics/mixes").await.unwrap());
    assert_eq!(answer, (200, b"[]".to_vec()));
}

#[test]
#[ignore = "needs root and network namespaces: `make kit`"]
fn slow_clients_of_four_networks_block_no_others() {
    let world = FloodWorld::new("slow");
    let (clients, honest) = world.beside(async || {
        let clients = slow_clients(256).await;
        registrations(100, &[STRANGER]).await;
        clients.len()
    });
    check(&world, &honest);
    assert_eq!(clients, 1024);
}

#[test]
#[ignore = "needs root and network namespaces: `make kit`"]
fn idle_connections_of_many_networks_block_no_others() {
    let world = FloodWorld::new("idle");
    let (clients, honest) = world.beside(async || {
        let clients = idle_connections(1500).await;
        registrations(50, &[STRANGER]).await;
        clients.len()
    });
    check(&world, &honest);
    assert_eq!(clients, 1500);
}
