//! Claims to addresses: their proofs by calls and test packets, and the renewal of entries.

use std::net::{IpAddr, SocketAddr};

use nym_mixnode_api::{PendingAddress, signing};

use super::Service;
use crate::proof::{self, Call, ProvedBy, Verdict};
use crate::store::{Claim, Transaction};

/// Minimum interval between two renewals of a node: each one is a write.
pub(super) const RENEW_EVERY: i64 = 30 * 1_000_000_000;

/// Delay before the first test packet: a registered node must first learn the return addresses from the topology.
const FIRST_TRY_AFTER: i64 = 500 * 1_000_000;

/// Interval between the first and the second test packet; it doubles this many times.
const TRY_AFTER: i64 = 2 * 1_000_000_000;
const TRIES_DOUBLING: i64 = 7;

/// Longest interval between two test packets for a claim.
pub(super) const TRY_LAST_AFTER: i64 = TRY_AFTER << TRIES_DOUBLING;

const DISPLACED: &str =
    "another node has proved this address since; only a test packet that returns through it can prove it again";

/// Claim that is due for a test packet.
#[derive(Debug, Clone)]
pub(crate) struct DueClaim {
    pub(crate) identity: String,
    pub(crate) address: SocketAddr,
    pub(crate) sphinx_key: [u8; 32],
}

impl Service {
    /// Replaces the claims of an identity that has an entry; returns the unproven ones. Other nodes lose the addresses
    /// that it proves.
    pub(super) async fn claim(
        &self,
        transaction: &mut Transaction,
        identity: &str,
        sphinx_key: &str,
        hosts: &[SocketAddr],
        call: &Call,
    ) -> sqlx::Result<Vec<PendingAddress>> {
        let earlier = transaction.claims(identity).await?;
        transaction.remove_claims(identity).await?;
        let mut pending = Vec::new();
        for host in hosts {
            let earlier = earlier.iter().find(|claim| claim.address == *host);
            let own = earlier.and_then(|claim| own_proof(claim, sphinx_key));
            let holder = transaction.holder(identity, *host).await?;
            let claim = renewed(*host, sphinx_key, earlier, proof::address(*host, call, own, holder.as_ref()), call);
            if let Some(reason) = &claim.reason {
                pending.push(PendingAddress { address: host.to_string(), reason: reason.clone() });
            }
            if let Some((_, by)) = claim.proved {
                transaction.displace(identity, *host, DISPLACED).await?;
                if matches!(by, ProvedBy::Packet | ProvedBy::Admission) {
                    transaction.note_packet_proof(identity, call.now).await?;
                }
            }
            transaction.put_claim(identity, &claim).await?;
        }
        Ok(pending)
    }

    /// Records a call of this identity from this address. Only calls from its registration address and its proven
    /// addresses renew the entry.
    pub(super) async fn renew(
        &self,
        transaction: &mut Transaction,
        identity: &str,
        from: Option<IpAddr>,
        now: i64,
    ) -> sqlx::Result<()> {
        let (Some(from), Some(entry)) = (from, transaction.entry(identity).await?) else { return Ok(()) };
        if now.saturating_sub(entry.renewed_at) < RENEW_EVERY {
            return Ok(());
        }
        let mut may_renew = entry.registered_from == Some(from);
        for claim in transaction.claims(identity).await? {
            if claim.proved.is_some() && claim.address.ip() == from {
                may_renew = true;
                transaction.put_claim(identity, &Claim { called_at: Some(now), ..claim }).await?;
            }
        }
        if may_renew {
            transaction.renew_all(&[identity], now.saturating_sub(RENEW_EVERY), now).await?;
        }
        Ok(())
    }

    /// Claims that are due for a test packet, oldest first. The interval between two packets for a claim grows.
    pub(crate) async fn due_claims(&self, count: i64, now: i64) -> sqlx::Result<Vec<DueClaim>> {
        if !self.store().has_due_claims(now).await? {
            return Ok(Vec::new());
        }
        let mut due = Vec::new();
        let mut transaction = self.store().begin().await?;
        for (identity, claim) in transaction.due_claims(count, now).await? {
            let wait = TRY_AFTER.saturating_mul(1 << claim.tries.clamp(0, TRIES_DOUBLING));
            let (tries, try_at) = (claim.tries.saturating_add(1), now.saturating_add(wait));
            transaction.put_claim(&identity, &Claim { tries, try_at, ..claim.clone() }).await?;
            if let Some(sphinx_key) = claim.sphinx_key.as_deref().and_then(signing::decode) {
                due.push(DueClaim { identity, address: claim.address, sphinx_key });
            }
        }
        transaction.commit_unlisted().await?;
        Ok(due)
    }

    /// Records the return of a test packet; false when the claim is gone or has another Sphinx key.
    pub(crate) async fn prove_by_packet(&self, due: &DueClaim, now: i64) -> sqlx::Result<bool> {
        let DueClaim { identity, address, sphinx_key } = due;
        let key = Some(bs58::encode(sphinx_key).into_string());
        let mut transaction = self.store().begin().await?;
        let claims = transaction.claims(identity).await?;
        let is_tested = |claim: &Claim| claim.address == *address && claim.sphinx_key == key && claim.proved.is_none();
        let Some(claim) = claims.into_iter().find(is_tested) else {
            transaction.rollback().await?;
            return Ok(false);
        };
        transaction.displace(identity, *address, DISPLACED).await?;
        let proved = Some((now, ProvedBy::Packet));
        transaction.put_claim(identity, &Claim { proved, reason: None, ..claim }).await?;
        transaction.note_packet_proof(identity, now).await?;
        transaction.renew_all(&[identity], now, now).await?;
        transaction.commit().await?;
        Ok(true)
    }
}

/// Proof of the address for its own identity, with this Sphinx key.
fn own_proof(claim: &Claim, sphinx_key: &str) -> Option<ProvedBy> {
    let (_, by) = claim.proved?;
    (by != ProvedBy::Packet || claim.sphinx_key.as_deref() == Some(sphinx_key)).then_some(by)
}

fn renewed(host: SocketAddr, sphinx_key: &str, earlier: Option<&Claim>, verdict: Verdict, call: &Call) -> Claim {
    let called_now = proof::comes_from(call, host.ip()).then_some(call.now);
    Claim {
        address: host,
        proved: match verdict {
            Verdict::Kept => earlier.and_then(|claim| claim.proved),
            Verdict::Proved(by) => Some((call.now, by)),
            Verdict::Pending(_) => None,
        },
        sphinx_key: Some(sphinx_key.to_owned()),
        called_at: called_now.or_else(|| earlier.and_then(|claim| claim.called_at)),
        reason: if let Verdict::Pending(reason) = verdict { Some(reason.to_string()) } else { None },
        // Repeated registrations must not cause additional test packets.
        tries: earlier.map_or(0, |claim| claim.tries),
        try_at: earlier.map_or(call.now.saturating_add(FIRST_TRY_AFTER), |claim| claim.try_at),
    }
}
