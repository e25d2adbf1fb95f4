//! Tests of every transition, one per line.

use super::*;

const NOW: i64 = 1_600_000_000_000_000_000;
const SECOND: i64 = MINUTE / 60;

/// Name, stored state, call, announced or proven address, and expected result.
type Case = (&'static str, Known, Call, &'static str, Result<(), Refusal>);

/// Name, address, call, existing proof, holder of the address, and expected result.
type AddressCase = (&'static str, &'static str, Call, Option<ProvedBy>, Option<Holder>, Verdict);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn signed(counter: u64, unregistered: bool) -> Known {
    Known { signed: Some(LastSigned { counter, unregistered, released: false }), entry: None }
}

/// State of an identity released after this counter.
fn released(counter: u64) -> Known {
    Known { signed: Some(LastSigned { counter, unregistered: true, released: true }), entry: None }
}

fn with_unsigned_entry(known: &Known, from: Option<&str>) -> Known {
    Known { signed: known.signed, ..unsigned(from, 0) }
}

/// An unsigned entry, registered from this address, that was renewed this long ago.
fn unsigned(from: Option<&str>, age: i64) -> Known {
    let entry = KnownEntry { registered_from: from.map(ip), renewed_at: NOW - age };
    Known { signed: None, entry: Some(entry) }
}

fn with_entry(known: &Known) -> Known {
    Known { signed: known.signed, ..unsigned(Some("192.0.2.1"), 0) }
}

fn call(signed: Option<u64>, from: Option<&str>) -> Call {
    Call { signed, admission: Admission::Open, from: from.map(ip), now: NOW }
}

#[test]
fn registrations() {
    use Refusal::{NewerStart, NotAdmitted, NotSigned, RegisteredElsewhere, WasUnregistered};
    let (node, other) = (Some("192.0.2.1"), Some("192.0.2.9"));
    let local = Some("127.0.0.1");
    let cases: [Case; 27] = [
        ("the first call, unsigned", Known::default(), call(None, node), "192.0.2.1:1", Ok(())),
        ("the first call, signed", Known::default(), call(Some(1), None), "192.0.2.1:1", Ok(())),
        (
            "a greater counter, from anywhere",
            with_entry(&signed(5, false)),
            call(Some(6), other),
            "192.0.2.9:1",
            Ok(()),
        ),
        ("a much greater counter", signed(5, false), call(Some(500), node), "192.0.2.1:1", Ok(())),
        ("the same counter again", signed(5, false), call(Some(5), node), "192.0.2.1:1", {
            Err(NewerStart { used: 5, last: 5 })
        }),
        ("a smaller counter", with_entry(&signed(5, false)), call(Some(4), node), "192.0.2.1:1", {
            Err(NewerStart { used: 4, last: 5 })
        }),
        ("a call from before an unregistration", signed(5, true), call(Some(5), node), "192.0.2.1:1", {
            Err(WasUnregistered { used: 5, last: 5 })
        }),
        ("a start after an unregistration", signed(5, true), call(Some(6), node), "192.0.2.1:1", Ok(())),
        ("unsigned for a signer", with_entry(&signed(5, false)), call(None, node), "192.0.2.1:1", Err(NotSigned)),
        ("unsigned for a signer that is gone", signed(5, true), call(None, node), "192.0.2.1:1", Err(NotSigned)),
        ("unsigned for a released one", released(5), call(None, other), "192.0.2.9:1", Ok(())),
        ("signed for a released one", released(5), call(Some(6), node), "192.0.2.1:1", Ok(())),
        ("signed before the release", released(5), call(Some(5), node), "192.0.2.1:1", {
            Err(WasUnregistered { used: 5, last: 5 })
        }),
        (
            "a released one again, from where it registered",
            with_unsigned_entry(&released(5), node),
            call(None, node),
            "192.0.2.1:1",
            Ok(()),
        ),
        (
            "a released one, from elsewhere",
            with_unsigned_entry(&released(5), node),
            call(None, other),
            "192.0.2.9:1",
            { Err(RegisteredElsewhere) },
        ),
        ("a first signature takes over from unsigned", unsigned(node, 0), call(Some(1), other), "192.0.2.9:1", Ok(())),
        ("unsigned from where it registered", unsigned(node, 0), call(None, node), "192.0.2.7:1", Ok(())),
        ("unsigned from elsewhere", unsigned(node, 0), call(None, other), "192.0.2.9:1", Err(RegisteredElsewhere)),
        (
            "unsigned from elsewhere, a second too soon",
            unsigned(node, 10 * MINUTE - SECOND),
            call(None, other),
            { "192.0.2.9:1" },
            Err(RegisteredElsewhere),
        ),
        (
            "unsigned, where it is, 10 minutes later",
            unsigned(node, 10 * MINUTE),
            call(None, other),
            "192.0.2.9:1",
            Ok(()),
        ),
        (
            "unsigned, 10 minutes later, at an address of others",
            unsigned(node, 10 * MINUTE),
            call(None, other),
            { "192.0.2.1:1" },
            Err(RegisteredElsewhere),
        ),
        ("unsigned, both hidden by a proxy", unsigned(None, 0), call(None, None), "192.0.2.1:1", {
            Err(RegisteredElsewhere)
        }),
        ("unsigned, hidden by a proxy, later", unsigned(None, 10 * MINUTE), call(None, None), "192.0.2.1:1", {
            Err(RegisteredElsewhere)
        }),
        ("unsigned loopback nodes", unsigned(local, 0), call(None, local), "127.0.0.1:1", Ok(())),
        ("a proxy on this machine", unsigned(local, 0), call(None, local), "192.0.2.1:1", Err(RegisteredElsewhere)),
        ("signed, not admitted", Known::default(), refused(call(Some(1), node)), "192.0.2.1:1", Err(NotAdmitted)),
        ("unsigned, not admitted", Known::default(), refused(call(None, node)), "192.0.2.1:1", Err(NotAdmitted)),
    ];
    for (name, known, call, claimed, expected) in cases {
        assert_eq!(registration(&known, &call, &[at(claimed)]), expected, "{name}");
    }
}

#[test]
fn later_starts_begin_with_greater_counters() {
    let seconds = 1_600_000_000;
    for (last, now, expected) in [
        (0, NOW, seconds),
        (seconds - 1, NOW, seconds),
        (seconds + 1, NOW, seconds + 1),
        (7, -SECOND, 7),
        (u64::MAX, i64::MAX, u64::MAX),
    ] {
        assert_eq!(counter_of_start(last, now), expected, "{last} {now}");
    }
}

fn refused(call: Call) -> Call {
    Call { admission: Admission::Refused, ..call }
}

#[test]
fn unregistrations() {
    use Refusal::{NewerStart, NotSigned, NotTheNode};
    let (node, other, host) = (Some("192.0.2.1"), Some("192.0.2.9"), Some("192.0.2.5"));
    let local = Some("127.0.0.1");
    let cases: [Case; 14] = [
        ("signed, from anywhere", with_entry(&signed(5, false)), call(Some(6), other), "192.0.2.5:1", Ok(())),
        ("signed once more", with_entry(&signed(5, false)), call(Some(5), node), "192.0.2.5:1", {
            Err(NewerStart { used: 5, last: 5 })
        }),
        ("a first signature", unsigned(node, 0), call(Some(1), other), "192.0.2.5:1", Ok(())),
        ("unsigned for a signer, from its host", with_entry(&signed(5, false)), call(None, host), "192.0.2.5:1", {
            Err(NotSigned)
        }),
        ("a released one, from its host", with_unsigned_entry(&released(5), node), call(None, host), "192.0.2.5:1", {
            Ok(())
        }),
        (
            "a released one, from elsewhere",
            with_unsigned_entry(&released(5), node),
            call(None, other),
            "192.0.2.5:1",
            { Err(NotTheNode) },
        ),
        ("unsigned, from where it registered", unsigned(node, 0), call(None, node), "192.0.2.5:1", Ok(())),
        ("unsigned, from its host", unsigned(node, 0), call(None, host), "192.0.2.5:1", Ok(())),
        ("unsigned, from elsewhere", unsigned(node, 0), call(None, other), "192.0.2.5:1", Err(NotTheNode)),
        ("unsigned, hidden", unsigned(node, 0), call(None, None), "192.0.2.5:1", Err(NotTheNode)),
        ("unsigned, both hidden", unsigned(None, 0), call(None, None), "192.0.2.5:1", Err(NotTheNode)),
        ("this machine, for a node elsewhere", unsigned(node, 0), call(None, local), "192.0.2.5:1", Err(NotTheNode)),
        ("a proxy on this machine", unsigned(local, 0), call(None, local), "192.0.2.5:1", Err(NotTheNode)),
        ("this machine, for a node here", unsigned(local, 0), call(None, local), "127.0.0.1:1", Ok(())),
    ];
    for (name, known, call, proven, expected) in cases {
        assert_eq!(unregistration(&known, &call, &[at(proven)]), expected, "{name}");
    }
}

fn holder(proved_by: ProvedBy, called: Option<i64>, renewed: i64) -> Holder {
    Holder { proved_by, called_at: called.map(|ago| NOW - ago), renewed_at: NOW - renewed }
}

#[test]
fn addresses() {
    use ProvedBy::{Admission as ByAdmission, Call as ByCall, Earlier, Packet};
    let (here, there) = (call(None, Some("192.0.2.1")), call(Some(1), Some("192.0.2.9")));
    let admitted = Call { admission: Admission::Admitted, ..there };
    let (hidden, local) = (call(Some(1), None), call(None, Some("127.0.0.1")));
    let (no_proof, held) = (Verdict::Pending(Reason::NoProof), Verdict::Pending(Reason::Held));
    let recent = holder(ByCall, Some(2 * MINUTE - SECOND), 0);
    let silent = holder(ByCall, Some(2 * MINUTE), 0);
    let answers = holder(Packet, None, 10 * MINUTE - SECOND);
    let gone = holder(Packet, None, 10 * MINUTE);
    let of_before = holder(Earlier, None, 0);
    let cases: [AddressCase; 19] = [
        ("called from it", "192.0.2.1:1", here, None, None, Verdict::Proved(ByCall)),
        ("called from it, another port", "192.0.2.1:2", here, None, None, Verdict::Proved(ByCall)),
        ("called from elsewhere", "192.0.2.1:1", there, None, None, no_proof),
        ("called through a proxy", "192.0.2.1:1", hidden, None, None, no_proof),
        ("the other family", "[2001:db8::1]:1", here, None, None, no_proof),
        ("loopback for loopback", "127.9.9.9:1", local, None, None, Verdict::Proved(ByCall)),
        ("loopback for IPv6 loopback", "[::1]:1", local, None, None, Verdict::Proved(ByCall)),
        ("loopback for elsewhere", "192.0.2.1:1", local, None, None, no_proof),
        ("admitted", "192.0.2.1:1", admitted, None, None, Verdict::Proved(ByAdmission)),
        ("proven before, called from elsewhere", "192.0.2.1:1", there, Some(ByCall), None, Verdict::Kept),
        ("held by one that called", "192.0.2.1:1", here, None, Some(recent), held),
        ("held by one that called, called from elsewhere", "192.0.2.1:1", there, None, Some(recent), no_proof),
        ("held by one that called, admitted", "192.0.2.1:1", admitted, None, Some(recent), held),
        ("held by one that is silent", "192.0.2.1:1", here, None, Some(silent), Verdict::Proved(ByCall)),
        ("held by one that is silent, unproven", "192.0.2.1:1", there, None, Some(silent), no_proof),
        ("held by a packet", "192.0.2.1:1", here, None, Some(answers), held),
        ("held by a packet of one that is gone", "192.0.2.1:1", here, None, Some(gone), Verdict::Proved(ByCall)),
        ("held since an earlier release", "192.0.2.1:1", here, None, Some(of_before), Verdict::Proved(ByCall)),
        ("held since an earlier release, unproven", "192.0.2.1:1", there, None, Some(of_before), no_proof),
    ];
    for (name, claimed, call, own, holder, expected) in cases {
        assert_eq!(address(at(claimed), &call, own, holder.as_ref()), expected, "{name}");
    }
}

#[test]
fn a_private_network_lists_unclaimed_addresses_until_another_identity_proves_them() {
    let claimed: SocketAddr = "10.0.0.7:1789".parse().unwrap();
    let private = |from| Call { admission: Admission::OpenPrivate, ..call(Some(1), Some(from)) };
    let hidden = address(claimed, &private("10.9.9.9"), None, None);
    assert_eq!(hidden, Verdict::Proved(ProvedBy::Earlier));
    let squatter = Holder { proved_by: ProvedBy::Earlier, called_at: None, renewed_at: NOW };
    assert_eq!(address(claimed, &private("10.0.0.7"), None, Some(&squatter)), Verdict::Proved(ProvedBy::Call));
    assert_eq!(address(claimed, &private("10.9.9.9"), None, Some(&squatter)), Verdict::Pending(Reason::NoProof));
}
