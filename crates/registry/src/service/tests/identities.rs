//! Tests of what the store keeps of removed identities.

use super::caps::capped;
use super::*;

const DAY: i64 = 24 * HOUR;
const NODE: &str = "192.0.2.1";
const HOST: &str = "192.0.2.1:1789";

impl Home {
    /// Registers, and unregisters with the next counter.
    async fn come_and_go(&self, keys: &IdentityKeyPair, now: i64) {
        assert_eq!(self.sign(keys, &[HOST], NODE, 1, now).await, Outcome::Done);
        self.go(keys, now).await;
    }

    async fn go(&self, keys: &IdentityKeyPair, now: i64) {
        let call = Call { signed: Some(2), admission: Admission::Open, from: Some(ip(NODE)), now };
        assert_eq!(self.remove(&keys.public_base58(), &call, false).await, Outcome::Done);
    }

    /// Whether the identity has to sign.
    async fn must_sign(&self, keys: &IdentityKeyPair, now: i64) -> bool {
        let identity = keys.public_base58();
        match self.call(&identity, &[HOST], NODE, now).await {
            Outcome::Refused(Refusal::NotSigned) => true,
            Outcome::Done => {
                self.unregister(&identity, Some(NODE), now).await;
                false
            }
            other => panic!("{other:?}"),
        }
    }

    async fn rows(&self, table: &str) -> i64 {
        self.service.store().rows(table).await
    }
}

#[tokio::test]
async fn an_identity_that_is_gone_is_forgotten_after_a_week_and_one_with_reputation_after_a_year() {
    let home = Home::new().await;
    let [gone, reputed] = [(); 2].map(|()| IdentityKeyPair::generate().unwrap());
    home.come_and_go(&gone, NOW).await;
    home.sign(&reputed, &[HOST], NODE, 1, NOW).await;
    home.service.set_reputation(&reputed.public_base58(), 100).await.unwrap();
    home.go(&reputed, NOW).await;
    for (at, expected) in [
        (NOW + 7 * DAY - SECOND, [true, true]),
        (NOW + 7 * DAY, [false, true]),
        (NOW + 365 * DAY - SECOND, [false, true]),
        (NOW + 365 * DAY, [false, false]),
    ] {
        home.service.purge(at).await.unwrap();
        assert_eq!([home.must_sign(&gone, at).await, home.must_sign(&reputed, at).await], expected, "{at}");
    }
    home.call(&reputed.public_base58(), &[HOST], NODE, NOW + 365 * DAY).await;
    let topology = home.service.topology(Selection::All, NOW + 365 * DAY).await.unwrap();
    assert_eq!(topology.mix_nodes[0].reputation, 0, "it is forgotten with the signature");
}

#[tokio::test]
async fn a_listed_identity_is_never_forgotten() {
    let home = Home::new().await;
    let keys = IdentityKeyPair::generate().unwrap();
    assert_eq!(home.sign(&keys, &[HOST], NODE, 1, NOW).await, Outcome::Done);
    for day in (0..400).step_by(40) {
        home.measure(&keys.public_base58(), IpVersion::V4, true, NOW + day * DAY).await;
        home.service.set_reputation(&keys.public_base58(), 0).await.unwrap();
        home.service.purge(NOW + day * DAY + HOUR).await.unwrap();
    }
    assert!(home.must_sign(&keys, NOW + 400 * DAY).await);
}

#[tokio::test]
async fn a_flood_of_short_lived_identities_leaves_a_bounded_store() {
    let home = capped(32, 256, 3).await;
    let first = IdentityKeyPair::generate().unwrap();
    home.come_and_go(&first, NOW).await;
    let reputed = IdentityKeyPair::generate().unwrap();
    home.sign(&reputed, &[HOST], NODE, 1, NOW).await;
    home.service.set_reputation(&reputed.public_base58(), 1).await.unwrap();
    home.go(&reputed, NOW).await;
    for number in 1..=100 {
        home.come_and_go(&IdentityKeyPair::generate().unwrap(), NOW + number).await;
        home.call(&format!("unsigned{number}"), &[HOST], NODE, NOW + number).await;
        home.unregister(&format!("unsigned{number}"), Some(NODE), NOW + number).await;
    }
    assert_eq!((home.rows("signer").await, home.rows("reputation").await), (102, 202));
    home.service.purge(NOW + MINUTE).await.unwrap();
    assert_eq!((home.rows("signer").await, home.rows("reputation").await), (31, 1));
    assert!(!home.must_sign(&first, NOW + MINUTE).await, "the oldest ones are forgotten first");
    assert!(home.must_sign(&reputed, NOW + MINUTE).await);
}
