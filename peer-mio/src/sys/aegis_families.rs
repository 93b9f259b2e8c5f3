//! Leaves out what nobody uses of `aegis`: its C library looks for the best code of all six ciphers of the
//! family when it starts, which would link 600 KB. Five of the six look here, and find that there is
//! nothing to look for (docs/performance.md, "Size of the binary").

use std::ffi::c_int;

/// Defines functions that say "done".
macro_rules! nothing_to_pick {
    ($($name:ident)*) => {
        $(
            // SAFETY: it has the name, arguments and result of a function of the library (common.c), touches
            // nothing, and the linker takes this one because it comes first. What the other would set up,
            // the ciphers of another family, nothing of this program calls.
            #[unsafe(no_mangle)]
            extern "C" fn $name() -> c_int {
                0
            }
        )*
    };
}

nothing_to_pick! {
    aegis128x2_pick_best_implementation
    aegis128x4_pick_best_implementation
    aegis256_pick_best_implementation
    aegis256x2_pick_best_implementation
    aegis256x4_pick_best_implementation
}
