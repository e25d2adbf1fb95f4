//! Where names are looked up by a program that is linked statically.
//!
//! glibc reads `/etc/nsswitch.conf` and loads a module of the machine for each source in it, and with the module the
//! machine's whole libc. In a static program of another glibc version that fails, or crashes. The two sources that are
//! part of libc itself, files and DNS, need nothing of the machine; they know all names that a mixnode asks for.

/// The databases that the program looks into, and the sources that are built in for each.
#[cfg(target_env = "gnu")]
const BUILT_IN: [(&std::ffi::CStr, &std::ffi::CStr); 2] = [(c"hosts", c"files dns"), (c"passwd", c"files")];

/// Looks names up without the machine's modules. To be called before anything looks for a name.
#[cfg(target_env = "gnu")]
pub(crate) fn use_built_in_sources() {
    use std::ffi::{c_char, c_int};

    #[expect(unsafe_code, reason = "no variable and no file of a program's own chooses the sources")]
    // SAFETY: this is the declaration of glibc's nss.h, which has not changed since 2.0.
    unsafe extern "C" {
        fn __nss_configure_lookup(database: *const c_char, sources: *const c_char) -> c_int;
    }
    // A program that is linked to the machine's libc fits its modules.
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

/// Other libraries have no modules.
#[cfg(not(target_env = "gnu"))]
pub(crate) const fn use_built_in_sources() {}
