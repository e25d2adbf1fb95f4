//! Protects the memory of the process from core dumps and debuggers.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Disables core dumps, and access of the user's other processes to this process's memory.
///
/// # Errors
/// When the kernel refuses.
pub fn forbid_memory_dumps() -> io::Result<()> {
    // The limit as well: it is inherited by child processes, while the dumpable flag is reset by exec.
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}
