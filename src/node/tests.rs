//! Tests of the node as a whole.

use super::*;

mod stop;
mod tagging;
