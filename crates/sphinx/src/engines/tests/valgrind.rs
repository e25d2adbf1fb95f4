//! Requests to valgrind, in whose Memcheck "undefined" stands for "secret": it reports branches and addresses that
//! depend on undefined bits. Its callgrind counts instructions.

use std::arch::asm;

const RUNNING_ON_VALGRIND: u64 = 0x1001;
const MAKE_MEM_UNDEFINED: u64 = MEMCHECK + 1;
const MAKE_MEM_DEFINED: u64 = MEMCHECK + 2;
const TOGGLE_COLLECT: u64 = CALLGRIND + 2;
const MEMCHECK: u64 = (b'M' as u64) << 24 | (b'C' as u64) << 16;
const CALLGRIND: u64 = (b'C' as u64) << 24 | (b'T' as u64) << 16;

/// Whether this process runs under valgrind.
pub(crate) fn is_running() -> bool {
    request(RUNNING_ON_VALGRIND, &[]) > 0
}

/// From now on these bytes are secret.
pub(crate) fn hide(bytes: &mut [u8]) {
    request(MAKE_MEM_UNDEFINED, bytes);
}

/// Begins to count instructions, or ends it. Valgrind starts with `--collect-atstart=no`.
pub(crate) fn toggle_counting() {
    request(TOGGLE_COLLECT, &[]);
}

/// The value, which is not secret.
pub(crate) fn public(mut value: i32) -> i32 {
    let bytes = std::slice::from_mut(&mut value).as_ptr().cast::<u8>();
    ask(MAKE_MEM_DEFINED, bytes, size_of::<i32>());
    std::hint::black_box(value)
}

fn request(code: u64, bytes: &[u8]) -> u64 {
    ask(code, bytes.as_ptr(), bytes.len())
}

/// The sequence that valgrind recognises; it changes nothing outside valgrind, where the result is zero.
fn ask(code: u64, bytes: *const u8, len: usize) -> u64 {
    let arguments = [code, bytes.expose_provenance() as u64, len as u64, 0, 0, 0];
    let mut result = 0;
    #[expect(unsafe_code, reason = "valgrind recognises instructions, not a function")]
    // SAFETY: the rotations add up to 128 bits, and the exchange is of a register with itself.
    unsafe {
        asm!("rol rdi, 3", "rol rdi, 13", "rol rdi, 61", "rol rdi, 51", "xchg rbx, rbx",
            inout("rdx") 0u64 => result, in("rax") arguments.as_ptr(), options(nostack));
    }
    result
}
