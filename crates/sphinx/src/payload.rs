//! The innermost layer of a payload.

const ZERO_PREFIX_LEN: usize = 16;
const END_OF_MESSAGE: u8 = 1;

/// The innermost layer of a payload of `len` bytes; `None` when the message does not fit.
pub(crate) fn innermost(message: &[u8], len: usize) -> Option<Vec<u8>> {
    let end = ZERO_PREFIX_LEN + message.len();
    if end >= len {
        return None;
    }
    let mut payload = vec![0; len];
    payload[ZERO_PREFIX_LEN..end].copy_from_slice(message);
    payload[end] = END_OF_MESSAGE;
    Some(payload)
}

/// The message in an innermost layer, between 16 zero bytes and the last 0x01; `None` when that is not its form.
#[must_use]
pub fn plaintext(innermost: &[u8]) -> Option<&[u8]> {
    let (zeros, padded) = innermost.split_at_checked(ZERO_PREFIX_LEN)?;
    if zeros.iter().any(|byte| *byte != 0) {
        return None;
    }
    let end = padded.iter().rposition(|byte| *byte == END_OF_MESSAGE)?;
    Some(&padded[..end])
}

#[cfg(test)]
mod tests {
    use crate::*;

    #[test]
    fn plaintext_lies_between_the_zeros_and_the_last_one() {
        let mut innermost = vec![0; 64];
        innermost[16..21].copy_from_slice(&[5, 1, 7, 9, 1]);
        assert_eq!(plaintext(&innermost), Some(&[5, 1, 7, 9][..]));
        innermost[3] = 1;
        assert_eq!(plaintext(&innermost), None);
        assert_eq!(plaintext(&[0; 64]), None);
        assert_eq!(plaintext(&[0; 15]), None);
    }
}
