//! Tests of several monitors: the majority decides.

use super::*;

const HOST: &str = "192.0.2.1:1789";

/// A round per minute, in which these monitors report: a capital letter for a passed test.
async fn rounds(home: &Home, first: i64, rounds: &[&str]) -> i64 {
    for (round, reports) in (first..).zip(rounds) {
        let at = NOW + round * MINUTE;
        for (second, report) in (0..).zip(reports.chars()) {
            let reporter = match report.to_ascii_lowercase() {
                'o' => Reporter::Own,
                'u' => Reporter::Unnamed,
                other => Reporter::Named(other.to_string()),
            };
            let status = |ip_version| MixStatus { pub_key: "a".into(), ip_version, up: report.is_uppercase() };
            let batch = [status(IpVersion::V4), status(IpVersion::V6)];
            home.service.add_statuses(&reporter, &batch, at + second * SECOND).await.unwrap();
        }
    }
    home.reputation("a").await
}

async fn home() -> Home {
    let home = Home::new().await;
    home.register("a", &[HOST], NOW).await;
    home
}

#[tokio::test]
async fn three_monitors_move_reputation_as_fast_as_one() {
    let home = home().await;
    assert_eq!(rounds(&home, 0, &["O", "O"]).await, 12);
    // The second and third monitor decide from their second verdict on.
    let joined = rounds(&home, 2, &["OUP"]).await;
    assert_eq!(rounds(&home, 3, &["OUP", "PUO", "UPO"]).await, joined + 18);
}

#[tokio::test]
async fn one_faulty_monitor_of_three_neither_brings_a_node_down_nor_up() {
    let home = home().await;
    rounds(&home, 0, &["OUP"; 20]).await;
    let before = rounds(&home, 20, &["OuP"]).await;
    assert!(before > 100);
    assert_eq!(rounds(&home, 21, &["OuP", "uPO", "OPu", "OPu"]).await, before + 24);
    let report = home.service.report("a", NOW + 25 * MINUTE).await.unwrap();
    assert_eq!((report.last_day_ipv4, report.last_hour_ipv6), (100, 100), "its uptime is that of the majority");
    assert!(report.most_recent_ipv4 && report.most_recent_ipv6);
    let active = home.service.topology(Selection::Active, NOW).await.unwrap();
    assert!(active.mix("a").is_some());

    let before = rounds(&home, 25, &["oUp"]).await;
    assert_eq!(rounds(&home, 26, &["oUp", "Upo"]).await, before - 8);
}

#[tokio::test]
async fn two_monitors_that_disagree_change_nothing() {
    let home = home().await;
    rounds(&home, 0, &["OP"; 5]).await;
    rounds(&home, 5, &["Op"]).await;
    let (before, measured) = (home.reputation("a").await, home.service.store().rows("status").await);
    assert_eq!(rounds(&home, 6, &["pO", "oP", "Po"]).await, before);
    assert_eq!(home.service.store().rows("status").await, measured);
    assert!(home.service.report("a", NOW + 9 * MINUTE).await.unwrap().most_recent_ipv4, "its state is kept");
}

#[tokio::test]
async fn a_single_report_beside_a_monitor_changes_nothing() {
    let home = home().await;
    let before = rounds(&home, 0, &["O", "Ou"]).await;
    assert_eq!(before, 12);
    assert_eq!(rounds(&home, 2, &["O", "O"]).await, before + 12);
    // Its next report is one of another day.
    assert_eq!(rounds(&home, 10, &["O", "O", "Ou", "O"]).await, before + 12 + 24);
    assert_eq!(rounds(&home, 60, &["u", "U"]).await, before + 36 - 4 + 6, "without a monitor, every report counts");
}

#[tokio::test]
async fn the_others_decide_when_a_monitor_falls_silent() {
    let home = home().await;
    let before = rounds(&home, 0, &["OP", "OP", "O"]).await;
    // One of two is no majority while the other one is present.
    assert_eq!(rounds(&home, 3, &["O", "o"]).await, before);
    assert_eq!(rounds(&home, 5, &["o", "O", "O"]).await, before - 4 + 12);
    home.service.purge(NOW + 60 * MINUTE).await.unwrap();
    assert_eq!(home.service.store().rows("verdict").await, 0);
}

#[tokio::test]
async fn a_clock_that_was_set_back_leaves_no_monitor_present() {
    let home = home().await;
    let before = rounds(&home, 60, &["OP", "OP"]).await;
    assert_eq!(rounds(&home, 0, &["O", "O"]).await, before + 12);
}

#[tokio::test]
async fn a_passed_test_renews_the_entry_whatever_the_majority_is() {
    let home = home().await;
    rounds(&home, 0, &["opu"]).await;
    for hour in 1..30 {
        rounds(&home, hour * 60, &["opU", "opU"]).await;
        home.service.purge(NOW + hour * HOUR + 2 * MINUTE).await.unwrap();
    }
    assert_eq!(home.identities(NOW + 30 * HOUR).await, ["a"]);
}
