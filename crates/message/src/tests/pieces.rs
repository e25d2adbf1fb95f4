//! Addresses, keys, hashes, fragments.

use std::net::SocketAddr;
use std::time::Instant;

use nym_mixnode_sphinx::{encode_next_hop, multiply_clamped};

use super::{Case, Scripted, array, bytes, hex, list, number, sha256, text};
use crate::ack::{ACK_LEN, AckKey, Acknowledged};
use crate::address::ClientAddress;
use crate::ciphers::{derive, tag};
use crate::content::Content;
use crate::fragment::{Fragment, FragmentError, FragmentHeader, Fragments, SetId};
use crate::key_file::ClientKeyFile;
use crate::node_address::{decode_padded, decode_short, encode_padded, encode_short};
use crate::reassembly::{Bounds, Progress, Reassembly};
use crate::reply::ReplyKey;
use crate::version::is_compatible;

pub(super) fn payload_key(case: &Case) {
    let secret = multiply_clamped(&array(&case.input["private"]), &array(&case.input["remote_public"])).unwrap();
    assert_eq!(*secret, array(&case.out["dh"]));
    assert_eq!(*derive::<16>(&*secret), array(&case.out["key"]));
}

pub(super) fn blake3_primitives(case: &Case) {
    let (input, out) = (&case.input, &case.out);
    let data = bytes(&input["data"]);
    assert_eq!(blake3::hash(&data).as_bytes(), &array(&out["digest"]));
    assert_eq!(tag(&bytes(&input["hmac_key"]), &data), array(&out["hmac"]));
    assert_eq!(tag(&bytes(&input["hmac_long_key"]), &data), array(&out["hmac_with_long_key"]));
    assert_eq!(*derive::<66>(&bytes(&input["ikm"])), array(&out["hkdf_okm"]));
}

pub(super) fn pem(case: &Case) {
    let files = case.out.as_object().unwrap();
    assert_eq!(files.len(), ClientKeyFile::ALL.len());
    for file in ClientKeyFile::ALL {
        let (contents, raw) = (text(&files[file.name()]["file"]), bytes(&files[file.name()]["raw"]));
        assert_eq!(**file.decode(contents.as_bytes()).unwrap(), raw);
        assert_eq!(*file.encode(&raw), contents);
    }
}

pub(super) fn recipient(case: &Case) {
    let key = |name: &str| array(&case.input[name]);
    let address = ClientAddress::new(key("identity"), key("encryption"), key("gateway")).unwrap();
    assert_eq!(address.to_bytes()[..], bytes(&case.out["bytes"]));
    assert_eq!(address.to_string(), text(&case.out["text"]));
    assert_eq!(text(&case.out["text"]).parse(), Ok(address));
    assert_eq!(*address.identity(), array(&case.out["sphinx_destination"]));
}

pub(super) fn recipient_error(case: &Case) {
    let error = text(&case.input["text"]).parse::<ClientAddress>().unwrap_err();
    if !case.wording_free {
        assert_eq!(error.to_string(), text(&case.out["error"]));
    }
}

pub(super) fn node_address(case: &Case) {
    let address: SocketAddr = case.name.parse().unwrap();
    let (short, padded) = (bytes(&case.out["short"]), array(&case.out["in_surb_ack_19"]));
    assert_eq!(encode_next_hop(address)[..], bytes(&case.out["in_sphinx_32"]));
    assert_eq!(encode_short(address), short);
    assert_eq!(encode_padded(address), padded);
    assert_eq!(decode_short(&short), Ok((address, &[][..])));
    assert_eq!(decode_padded(&padded), Ok(address));
}

pub(super) fn fragment_set(case: &Case) {
    let (data, out) = (bytes(&case.input["message"]), &case.out);
    assert_eq!(case.input["with_reply_surb"], false);
    let mut rng = Scripted(bytes(&case.input["random_bytes"]));
    let fragments = Fragments::of(Content { data: data.clone(), reply_block: None }, &mut rng);
    let sets: Vec<u64> = fragments.sets().iter().map(|set| set.get().into()).collect();
    assert_eq!(sets, list(&out["set_ids"]).iter().map(number).collect::<Vec<_>>());
    assert_eq!(fragments.count() as u64, number(&out["fragments"]));
    for listed in list(&out["listed"]) {
        let fragment = fragments.get(usize::try_from(number(&listed["n"])).unwrap()).unwrap();
        assert_eq!(fragment.header().encode(), bytes(&listed["header"]));
        assert_eq!(sha256(fragment.bytes()), text(&listed["sha256"]));
        if let Some(whole) = listed["bytes"].as_str() {
            assert_eq!(fragment.bytes()[..], hex(whole));
        }
    }
    let all: Vec<u8> = fragments.iter().flat_map(|fragment| fragment.bytes().to_vec()).collect();
    assert_eq!((all.len() as u64, sha256(&all).as_str()), (number(&out["total_len"]), text(&out["sha256_of_all"])));
    let mut reassembly = Reassembly::new(Bounds::default());
    let last = fragments.iter().map(|fragment| reassembly.insert(&fragment, Instant::now()).unwrap()).last();
    let Some(Progress::Complete(content)) = last else { panic!("incomplete") };
    assert!(content.data == data && content.reply_block.is_none());
}

pub(super) fn fragment_header(case: &Case) {
    let (given, out) = (bytes(&case.input["bytes"]), &case.out);
    match FragmentHeader::decode(&given) {
        Ok((header, rest)) => {
            let set = |name: &str| out[name].as_u64().and_then(|id| SetId::new(id.try_into().unwrap()));
            assert_eq!(Some(header.set()), set("id"));
            assert_eq!(u64::from(header.total()), number(&out["total"]));
            assert_eq!(u64::from(header.current().get()), number(&out["current"]));
            assert_eq!((header.previous_set(), header.next_set()), (set("previous_set"), set("next_set")));
            assert_eq!([&header.encode(), rest].concat(), bytes(&out["again"]));
        }
        Err(FragmentError::TooShort) => assert_eq!(out["error"], "TooShortFragmentData"),
        Err(_) => assert_eq!(out["error"], "MalformedHeaderError"),
    }
}

pub(super) fn reassembly(case: &Case) {
    let mut reassembly = Reassembly::new(Bounds::default());
    let mut completed = None;
    for (at, bytes) in (0..).zip(list(&case.input["fragments"]).iter().map(bytes)) {
        let fragment = Fragment::decode(&bytes).unwrap();
        assert!(list(&case.out["set_ids"]).iter().any(|id| number(id) == u64::from(fragment.header().set().get())));
        if let Progress::Complete(content) = reassembly.insert(&fragment, Instant::now()).unwrap() {
            completed = Some((at, content.data));
        }
    }
    assert_eq!(completed, Some((number(&case.out["complete_after"]), bytes(&case.out["message"]))));
}

pub(super) fn reply_key_digest(case: &Case) {
    assert_eq!(ReplyKey::from_bytes(&array(&case.input["key"])).digest(), array(&case.out["digest"]));
}

pub(super) fn ack_content(case: &Case) {
    let key = AckKey::from_bytes(&array(&case.input["ack_key"]));
    let acknowledged = Acknowledged::decode(array(&case.input["fragment_identifier"])).unwrap();
    let meaning = match acknowledged {
        Acknowledged::Cover => "cover",
        Acknowledged::Reply(_) => "reply",
        Acknowledged::Fragment(..) => "fragment",
    };
    assert_eq!(case.out["meaning"], meaning);
    let content: [u8; ACK_LEN] = array(&case.out["content"]);
    assert_eq!(key.seal(acknowledged, &mut Scripted(bytes(&case.input["iv"]))), content);
    assert_eq!(key.open(&content), Ok(acknowledged));
}

pub(super) fn version_filter(case: &Case) {
    assert_eq!(case.input["own_version"], "0.9.2");
    assert_eq!(case.out["kept"], is_compatible(text(&case.input["node_version"])));
}
