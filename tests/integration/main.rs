//! All integration tests, in one binary.

mod compat_0_9_2;
mod pipeline;
mod sphinx_oracle;
mod support;
