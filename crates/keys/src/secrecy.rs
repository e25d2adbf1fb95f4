//! Keeps the memory that keys pass through out of core dumps, and away from debuggers.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// From now on this process leaves no core dump, and no other process of its user can look into its memory.
///
/// # Errors
/// When the kernel refuses.
pub fn forbid_memory_dumps() -> io::Result<()> {
    // The limit too: it holds for child processes, and the other does not outlive the start of another program.
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}
