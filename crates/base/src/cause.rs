//! Causes of errors.

use std::error::Error;

/// Text of the innermost cause: the most specific one.
#[must_use]
pub fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
