//! What watches a network: the files of `deploy/`, and the servers that run by them.

mod checking;
mod shipped;
