//! Which check is for which kind.

use super::{Case, capture, gateway, local, packets, pieces};

pub(super) fn check(case: &Case) {
    let check = match case.kind.as_str() {
        "ack_content" => pieces::ack_content,
        "authenticate" => gateway::authenticate,
        "blake3_primitives" => pieces::blake3_primitives,
        "capture" => capture::capture,
        "client_request" => local::client_request,
        "client_request_error" => local::client_request_error,
        "client_response" => local::client_response,
        "cover" => packets::cover,
        "final_hop" => packets::final_hop,
        "forward_request" => gateway::forward_request,
        "forward_request_error" => gateway::forward_request_error,
        "fragment_header" => pieces::fragment_header,
        "fragment_packet" => packets::fragment_packet,
        "fragment_set" => pieces::fragment_set,
        "gateway_response_text" => gateway::gateway_response_text,
        "handshake" => gateway::handshake,
        "node_address" => pieces::node_address,
        "ordered_buffer" => local::ordered_buffer,
        "ordered_sender" => local::ordered_sender,
        "payload_key" => pieces::payload_key,
        "pem" => pieces::pem,
        "pushed_message" => gateway::pushed_message,
        "reassembly" => pieces::reassembly,
        "recipient" => pieces::recipient,
        "recipient_error" => pieces::recipient_error,
        "reply" => packets::reply,
        "reply_key_digest" => pieces::reply_key_digest,
        "socks_request" => local::socks_request,
        "socks_request_error" => local::socks_request_error,
        "socks_response" => local::socks_response,
        "socks_response_error" => local::socks_response_error,
        "sphinx_build" => packets::sphinx_build,
        "surb_ack" => packets::surb_ack,
        "version_filter" => pieces::version_filter,
        unknown => panic!("no check for the kind {unknown}"),
    };
    check(case);
}
