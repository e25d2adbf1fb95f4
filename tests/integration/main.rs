//! All integration tests, in one binary.

mod compat_0_9_2;
mod sphinx_oracle;
