//! Streams a node's packet counts from a request body without buffering the body.
//!
//! Original nodes send a count for every next hop, up to a megabyte. The parser reads and discards these.

use actson::feeder::PushJsonFeeder;
use actson::options::JsonParserOptionsBuilder;
use actson::{JsonEvent, JsonParser};
use axum::body::Body;
use axum::http::StatusCode;
use http_body_util::BodyExt;
use utoipa::ToSchema;

use super::ApiError;
use crate::service::is_storable;

/// Maximum length of a report's body: the counts of about 20 000 next hops.
const REPORT_BYTES_MAX: usize = 1 << 20;

/// Maximum length of a name, string, number or run of white space in it.
const TOKEN_BYTES_MAX: usize = 1 << 10;

/// Maximum nesting: a report has two levels, newer fields may have a few more.
const DEPTH_MAX: usize = 8;

/// Report of a node. Other fields, such as `sent` of 0.9.2, are discarded.
#[derive(Debug, PartialEq, Eq, ToSchema)]
#[schema(as = PacketReport, rename_all = "camelCase")]
pub(super) struct Report {
    /// The node's identity key.
    #[schema(max_length = 1024, pattern = r"^[^\x00]*$")]
    pub(super) pub_key: String,
    /// Packets received since the last report.
    #[schema(maximum = 18_446_744_073_709_551_615_u64)]
    pub(super) received: u64,
}

/// Parses a report while it arrives.
pub(super) async fn read(mut body: Body) -> Result<Report, ApiError> {
    let mut reader = Reader::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| bad(format!("the body cannot be read: {error}")))?;
        // Trailers are not part of the report.
        let Ok(bytes) = frame.into_data() else { continue };
        length += bytes.len();
        if length > REPORT_BYTES_MAX {
            let message = format!("the report is longer than {REPORT_BYTES_MAX} bytes, the maximum");
            return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message));
        }
        reader.push(&bytes)?;
    }
    reader.finish()
}

fn bad(message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, message)
}

/// Field at the top level of the report, or a nested one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    PubKey,
    Received,
    Other,
}

struct Reader {
    parser: JsonParser<PushJsonFeeder>,
    /// End of the text that may be a part of a character.
    unchecked: Vec<u8>,
    depth: usize,
    field: Field,
    last_event_at: usize,
    pub_key: Option<String>,
    received: Option<u64>,
    is_over: bool,
}

impl Reader {
    fn new() -> Self {
        let options = JsonParserOptionsBuilder::default().with_max_depth(DEPTH_MAX).build();
        Self {
            parser: JsonParser::new_with_options(PushJsonFeeder::new(), options),
            unchecked: Vec::new(),
            depth: 0,
            field: Field::Other,
            last_event_at: 0,
            pub_key: None,
            received: None,
            is_over: false,
        }
    }

    fn push(&mut self, mut bytes: &[u8]) -> Result<(), ApiError> {
        self.check_encoding(bytes)?;
        while !bytes.is_empty() {
            let taken = self.parser.feeder.push_bytes(bytes);
            bytes = bytes.get(taken..).unwrap_or_default();
            self.parse()?;
            if self.parser.parsed_bytes() - self.last_event_at > TOKEN_BYTES_MAX {
                return Err(bad(format!("the report has a text longer than {TOKEN_BYTES_MAX} bytes")));
            }
        }
        Ok(())
    }

    /// The parser does not look into texts that it discards.
    fn check_encoding(&mut self, bytes: &[u8]) -> Result<(), ApiError> {
        self.unchecked.extend_from_slice(bytes);
        let checked = match str::from_utf8(&self.unchecked) {
            Ok(text) => text.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => return Err(bad("the report is not UTF-8")),
        };
        self.unchecked.drain(..checked);
        Ok(())
    }

    fn finish(mut self) -> Result<Report, ApiError> {
        if !self.unchecked.is_empty() {
            return Err(bad("the report ends within a character"));
        }
        self.parser.feeder.done();
        self.parse()?;
        match (self.pub_key, self.received) {
            _ if !self.is_over => Err(bad("the report is incomplete JSON")),
            (None, _) => Err(bad("pubKey is missing; it is the node's identity key")),
            (_, None) => Err(bad("received is missing; it is a number of packets")),
            (Some(pub_key), _) if !is_storable(&pub_key) => Err(bad("pubKey contains a NUL character")),
            (Some(pub_key), Some(received)) => Ok(Report { pub_key, received }),
        }
    }

    /// Parses the complete tokens that have arrived.
    fn parse(&mut self) -> Result<(), ApiError> {
        loop {
            let event = self.parser.next_event().map_err(|error| bad(format!("the report is not JSON: {error}")))?;
            match event {
                None => {
                    self.is_over = true;
                    return Ok(());
                }
                Some(JsonEvent::NeedMoreInput) => return Ok(()),
                Some(event) => self.take(event)?,
            }
            self.last_event_at = self.parser.parsed_bytes();
        }
    }

    fn take(&mut self, event: JsonEvent) -> Result<(), ApiError> {
        match event {
            JsonEvent::StartObject | JsonEvent::StartArray => self.depth += 1,
            JsonEvent::EndObject | JsonEvent::EndArray => self.depth = self.depth.saturating_sub(1),
            JsonEvent::FieldName if self.depth == 1 => {
                self.field = match self.parser.current_str() {
                    Ok("pubKey") => Field::PubKey,
                    Ok("received") => Field::Received,
                    _ => Field::Other,
                };
                return Ok(());
            }
            _ if self.depth != 1 => return Ok(()),
            JsonEvent::ValueString if self.field == Field::PubKey => {
                self.pub_key = self.parser.current_str().ok().map(str::to_owned);
            }
            JsonEvent::ValueInt if self.field == Field::Received => {
                let received = self.parser.current_int();
                self.received = Some(received.map_err(|_| bad("received is not a number of packets"))?);
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read_in_pieces(text: &str, piece_bytes: usize) -> Result<Report, ApiError> {
        let mut reader = Reader::new();
        for piece in text.as_bytes().chunks(piece_bytes) {
            reader.push(piece)?;
        }
        reader.finish()
    }

    fn with_next_hops(count: u32) -> Value {
        let sent: serde_json::Map<_, _> = (0..count).map(|i| (format!("192.0.2.1:{i}"), json!(i))).collect();
        json!({"pubKey": "key", "received": 640, "sent": sent})
    }

    #[test]
    fn a_report_is_read_however_it_is_cut_and_whatever_else_is_in_it() {
        let expected = Report { pub_key: "key".into(), received: 640 };
        let nested = json!({
            "sent": {"pubKey": "other", "received": 1}, "pubKey": "key", "more": [{"received": 2}, null, 1.5, true],
            "received": 640,
        });
        for report in [nested, with_next_hops(0), with_next_hops(5000)] {
            for piece_bytes in [1, 7, 1024, 1 << 20] {
                assert_eq!(read_in_pieces(&report.to_string(), piece_bytes).unwrap(), expected);
            }
        }
    }

    #[test]
    fn a_report_is_utf_8_however_it_is_cut() {
        let text = r#"{"pubKey":"key","received":640,"sent":{"Zürich € 𝄞":1}}"#;
        for piece_bytes in 1..9 {
            assert_eq!(read_in_pieces(text, piece_bytes).unwrap().received, 640, "{piece_bytes}");
            for wrong in [&b"\xff"[..], b"\xc3\x28", b"\xe2\x82", b"\xed\xa0\x80", b"\xf5\x80\x80\x80"] {
                let report = [b"{\"pubKey\":\"key\",\"received\":640,\"sent\":{\"", wrong, b"\":1}}"].concat();
                let mut reader = Reader::new();
                let read = report.chunks(piece_bytes).try_for_each(|piece| reader.push(piece));
                assert!(read.and_then(|()| reader.finish()).is_err(), "{wrong:?} {piece_bytes}");
            }
        }
    }

    #[test]
    fn a_malformed_report_is_refused_and_the_error_names_the_field() {
        let long = "x".repeat(70_000);
        for (text, word) in [
            ("", "JSON"),
            ("{", "JSON"),
            ("nonsense", "JSON"),
            (r#"{"pubKey":"key","received":1}x"#, "JSON"),
            (r#"{"received":1}"#, "pubKey"),
            (r#"{"pubKey":7,"received":1}"#, "pubKey"),
            (r#"{"pubKey":"key"}"#, "received"),
            (r#"{"pubKey":"key","received":-1}"#, "received"),
            (r#"{"pubKey":"key","received":1.5}"#, "received"),
            (r#"{"pubKey":"key","received":18446744073709551616}"#, "received"),
            ("[[[[[[[[[[[[", "JSON"),
            (&format!(r#"{{"pubKey":"{long}"}}"#), "text"),
            (&format!(r#"{{"pubKey":"key","received":{}}}"#, "1".repeat(70_000)), "text"),
            (&" ".repeat(70_000), "text"),
        ] {
            let error = format!("{:?}", read_in_pieces(text, 1024).unwrap_err());
            assert!(error.contains(word), "{text:.40}: {error}");
        }
        let largest = r#"{"pubKey":"key","received":18446744073709551615}"#;
        assert_eq!(read_in_pieces(largest, 5).unwrap().received, u64::MAX);
    }
}
