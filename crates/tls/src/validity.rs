//! Period in which a certificate is valid. Rustls checks it for clients alone.

use std::time::{SystemTime, UNIX_EPOCH};

use der::asn1::{AnyRef, GeneralizedTime, UtcTime};
use der::{Decode, Reader, SliceReader, Tag, Tagged};

/// Period in which a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
}

impl Validity {
    /// The period in an X.509 certificate in DER (RFC 5280, section 4.1).
    pub(crate) fn of(certificate: &[u8]) -> der::Result<Self> {
        let certificate = sequence(&mut SliceReader::new(certificate)?)?;
        let fields = sequence(&mut SliceReader::new(certificate)?)?;
        let mut fields = SliceReader::new(fields)?;
        // The version is optional: version 1 has none.
        if fields.peek_tag()?.is_context_specific() {
            AnyRef::decode(&mut fields)?;
        }
        let _serial_number = AnyRef::decode(&mut fields)?;
        let _signature_algorithm = AnyRef::decode(&mut fields)?;
        let _issuer = AnyRef::decode(&mut fields)?;
        let mut dates = SliceReader::new(sequence(&mut fields)?)?;
        let (not_before, not_after) = (AnyRef::decode(&mut dates)?, AnyRef::decode(&mut dates)?);
        // The library rejects dates before 1970.
        Ok(Self { not_before: date(not_before).unwrap_or(UNIX_EPOCH), not_after: date(not_after)? })
    }

    /// What is wrong with the certificate at this time; `None` if it is valid.
    pub(crate) fn problem(&self, now: SystemTime) -> Option<&'static str> {
        match now {
            _ if now > self.not_after => Some("the TLS certificate has expired: clients refuse it; renew it"),
            _ if now < self.not_before => {
                Some("the TLS certificate is not valid yet: clients refuse it; check the clock, or replace it")
            }
            _ => None,
        }
    }
}

/// The content of the next value, which must be a sequence.
fn sequence<'a>(reader: &mut SliceReader<'a>) -> der::Result<&'a [u8]> {
    let value = AnyRef::decode(reader)?;
    value.tag().assert_eq(Tag::Sequence)?;
    Ok(value.value())
}

fn date(value: AnyRef<'_>) -> der::Result<SystemTime> {
    match value.tag() {
        Tag::UtcTime => value.decode_as::<UtcTime>().map(|date| date.to_system_time()),
        _ => value.decode_as::<GeneralizedTime>().map(|date| date.to_system_time()),
    }
}
