//! Name resolution in a statically linked program.
//!
//! glibc loads a module of the machine for each source in `/etc/nsswitch.conf`, and with it the machine's libc. In a
//! static program with another glibc version this fails or crashes. The sources `files` and `dns` are built into
//! glibc, need no module, and resolve all names that a mixnode uses.

/// The databases that the program uses, with their built-in sources.
#[cfg(target_env = "gnu")]
const BUILT_IN: [(&std::ffi::CStr, &std::ffi::CStr); 2] = [(c"hosts", c"files dns"), (c"passwd", c"files")];

/// Restricts name resolution to built-in sources. Call it before the first look-up.
#[cfg(target_env = "gnu")]
pub(crate) fn use_built_in_sources() {
    use std::ffi::{c_char, c_int};

    #[expect(unsafe_code, reason = "no variable and no file of a program's own chooses the sources")]
    // SAFETY: this is the declaration of glibc's nss.h, which has not changed since 2.0.
    unsafe extern "C" {
        fn __nss_configure_lookup(database: *const c_char, sources: *const c_char) -> c_int;
    }
    // A dynamically linked program can load the machine's modules.
    if !cfg!(target_feature = "crt-static") {
        return;
    }
    for (database, sources) in BUILT_IN {
        #[expect(unsafe_code, reason = "see above")]
        // SAFETY: both are strings that end with a zero and live for ever; the call copies what it keeps of them, and
        // no other thread runs yet.
        let status = unsafe { __nss_configure_lookup(database.as_ptr(), sources.as_ptr()) };
        debug_assert_eq!(status, 0, "glibc knows {database:?}");
    }
}

/// No-op: other C libraries have no modules.
#[cfg(not(target_env = "gnu"))]
pub(crate) const fn use_built_in_sources() {}
