//! The floating-point environment that the arithmetic needs: round to nearest, denormals as they are, no exceptions.

use std::arch::asm;

/// MXCSR as the ABI defines it for a new thread, and as the compiler assumes it.
const DEFAULT: u32 = 0x1f80;

/// Sets the environment, and restores the previous one when it is dropped, status flags included.
pub(super) struct DefaultRounding {
    previous: u32,
}

impl DefaultRounding {
    pub(super) fn set() -> Self {
        let (mut previous, default) = (0u32, DEFAULT);
        #[expect(unsafe_code, reason = "the standard library has deprecated its functions for this register")]
        // SAFETY: writes four bytes to a variable, and reads four from another. The new value is what the compiler
        // assumes anyway.
        unsafe {
            asm!("stmxcsr [{}]", "ldmxcsr [{}]", in(reg) &raw mut previous, in(reg) &raw const default,
                options(nostack, preserves_flags));
        }
        Self { previous }
    }
}

impl Drop for DefaultRounding {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "the standard library has deprecated its functions for this register")]
        // SAFETY: reads four bytes from a field, which a previous `stmxcsr` wrote.
        unsafe {
            asm!("ldmxcsr [{}]", in(reg) &raw const self.previous, options(nostack, preserves_flags, readonly));
        }
    }
}
