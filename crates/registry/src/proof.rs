//! Decides whether a call may change an entry, and which addresses of the entry are proven.
//!
//! A pure function of the stored state, the call and the time. Times are nanoseconds since the epoch.
//! `docs/registry.md` has the same rules for operators.

use std::net::{IpAddr, SocketAddr};

use thiserror::Error;

const MINUTE: i64 = 60 * 1_000_000_000;

/// A holder that called from an address within this time keeps it, unless a test packet proves otherwise.
const CALLED_RECENTLY: i64 = 2 * MINUTE;

/// An unsigned entry not renewed within this time may be registered from another address.
const RENEWED_RECENTLY: i64 = 10 * MINUTE;

/// Stored state of an identity.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// Last signed call; `None` when the identity has never signed.
    pub(super) signed: Option<LastSigned>,
    /// Entry, listed or pending.
    pub(super) entry: Option<KnownEntry>,
}

/// Last signed call of an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LastSigned {
    pub(super) counter: u64,
    /// Whether that call unregistered the node.
    pub(super) unregistered: bool,
    /// Whether the identity was released since: its calls need no signature.
    pub(super) released: bool,
}

impl Known {
    fn must_sign(&self) -> bool {
        self.signed.is_some_and(|last| !last.released)
    }
}

/// Entry of an identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KnownEntry {
    /// IP address that the registration came from; `None` when a proxy hid it.
    pub(super) registered_from: Option<IpAddr>,
    pub(super) renewed_at: i64,
}

/// Registration or unregistration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Call {
    /// Counter of a valid signature; `None` when the call is not signed.
    pub(super) signed: Option<u64>,
    pub(super) admission: Admission,
    /// IP address that the call came from; `None` when a proxy hid it.
    pub(super) from: Option<IpAddr>,
    pub(super) now: i64,
}

/// Whether the registry admits the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// The registry admits all callers.
    Open,
    /// The registry admits all callers of a private network, where NAT may hide their addresses: an address that no
    /// other identity claims needs no proof.
    OpenPrivate,
    /// Admitted by the list of identities or by the join token.
    Admitted,
    /// Not admitted: the registry is closed.
    Refused,
}

/// Reason for refusing a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum Refusal {
    #[error(
        "this registry is closed: neither the list of admitted identities nor a join token admits this identity; give \
         the file of the join token to the node (--directory-join-token-file) or the prober (--join-token-file), or ask \
         the registry's operator to add the identity to the list"
    )]
    NotAdmitted,
    #[error(
        "this identity has signed its calls and this call is not signed; call with a program that signs, or release the \
         identity: nym-mixnode unregister --release"
    )]
    NotSigned,
    #[error(
        "a newer start of this node has registered; restart this one to take the place (counter {used} is not above \
         {last}, the last of this identity)"
    )]
    NewerStart { used: u64, last: u64 },
    #[error(
        "the node was unregistered; restart it to register again (counter {used} is not above {last}, the last of this \
         identity)"
    )]
    WasUnregistered { used: u64, last: u64 },
    #[error(
        "this identity is registered from another address; unregister it there, or try again 10 minutes after its last \
         report, from the address that it announces"
    )]
    RegisteredElsewhere,
    #[error("only a signed call, or one from an address that the node announced or registered from, may do this")]
    NotTheNode,
}

/// Checks that a registration may replace the entry of its identity.
pub(super) fn registration(known: &Known, call: &Call, claimed: &[SocketAddr]) -> Result<(), Refusal> {
    if call.admission == Admission::Refused {
        return Err(Refusal::NotAdmitted);
    }
    if let Some(used) = call.signed {
        return newest(known, used);
    }
    if known.must_sign() {
        return Err(Refusal::NotSigned);
    }
    let Some(entry) = &known.entry else { return Ok(()) };
    let from = call.from.filter(|from| !from.is_loopback() || claimed.iter().all(|claimed| claimed.ip().is_loopback()));
    let is_registrar = from.is_some() && from == entry.registered_from;
    let is_stale = call.now.saturating_sub(entry.renewed_at) >= RENEWED_RECENTLY;
    let may_move = is_stale && claimed.iter().any(|claimed| comes_from(call, claimed.ip()));
    if is_registrar || may_move { Ok(()) } else { Err(Refusal::RegisteredElsewhere) }
}

/// Checks that a call may remove the entry of this identity, whose proven addresses are given.
pub(super) fn unregistration(known: &Known, call: &Call, proven: &[SocketAddr]) -> Result<(), Refusal> {
    if let Some(used) = call.signed {
        return newest(known, used);
    }
    if known.must_sign() {
        return Err(Refusal::NotSigned);
    }
    let registered_from = known.entry.as_ref().and_then(|entry| entry.registered_from);
    // A proxy on the registry's machine looks like a local caller, so local calls count for loopback nodes only.
    let is_registrar = call.from.is_some_and(|from| !from.is_loopback() && registered_from == Some(from));
    let is_node = proven.iter().any(|proven| comes_from(call, proven.ip()));
    if is_registrar || is_node { Ok(()) } else { Err(Refusal::NotTheNode) }
}

/// First counter for the next start of an identity whose last signed call had the counter `last`. Counters grow with
/// time, so that old signatures stay void even if the identity was forgotten in between.
pub(super) fn counter_of_start(last: u64, now: i64) -> u64 {
    const SECOND: i64 = 1_000_000_000;
    last.max(u64::try_from(now / SECOND).unwrap_or_default())
}

fn newest(known: &Known, used: u64) -> Result<(), Refusal> {
    match known.signed {
        Some(LastSigned { counter: last, unregistered, .. }) if used <= last => {
            Err(if unregistered { Refusal::WasUnregistered { used, last } } else { Refusal::NewerStart { used, last } })
        }
        _ => Ok(()),
    }
}

/// Kind of proof for an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProvedBy {
    /// A call from the address's IP.
    Call,
    /// A test packet under the claimed Sphinx key.
    Packet,
    /// The registry admitted the identity.
    Admission,
    /// No proof: listed by an earlier release or in a private network.
    Earlier,
}

/// Another identity with a proof for the same address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) proved_by: ProvedBy,
    /// Time of its last call from the address's IP.
    pub(super) called_at: Option<i64>,
    /// Time of its last renewal.
    pub(super) renewed_at: i64,
}

/// Result of a registration for one of its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was already proven for this identity.
    Kept,
    /// It is now proven for this identity, and no longer for others.
    Proved(ProvedBy),
    /// Only a test packet can prove it now.
    Pending(Reason),
}

/// Reason why an address is not proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum Reason {
    #[error("a call from this address, or a test packet that returns through it, proves it")]
    NoProof,
    #[error(
        "another node has proved this address and is still there; a test packet under this node's Sphinx key decides, \
         or a call from this address once the other node has been silent for 2 minutes"
    )]
    Held,
}

/// Decides on one address of a registration. `own` is the existing proof of this identity, `holder` another identity
/// with a proof.
pub(super) fn address(address: SocketAddr, call: &Call, own: Option<ProvedBy>, holder: Option<&Holder>) -> Verdict {
    if own.is_some() {
        return Verdict::Kept;
    }
    let proof = if comes_from(call, address.ip()) {
        ProvedBy::Call
    } else if call.admission == Admission::Admitted {
        ProvedBy::Admission
    } else if call.admission == Admission::OpenPrivate && holder.is_none() {
        ProvedBy::Earlier
    } else {
        return Verdict::Pending(Reason::NoProof);
    };
    match holder {
        Some(holder) if is_protected(holder, call.now) => Verdict::Pending(Reason::Held),
        _ => Verdict::Proved(proof),
    }
}

/// Whether a call comes from this IP. All loopback addresses count as one machine.
pub(super) fn comes_from(call: &Call, ip: IpAddr) -> bool {
    call.from.is_some_and(|from| from == ip || from.is_loopback() && ip.is_loopback())
}

/// Whether only a test packet can take the address from its holder.
fn is_protected(holder: &Holder, now: i64) -> bool {
    let called_recently = holder.called_at.is_some_and(|at| now.saturating_sub(at) < CALLED_RECENTLY);
    // A node behind a load balancer never calls from its own address, so its packet proof counts while its entry
    // exists.
    let answers = holder.proved_by == ProvedBy::Packet && now.saturating_sub(holder.renewed_at) < RENEWED_RECENTLY;
    called_recently || answers
}

#[cfg(test)]
mod tests;
