//! Leaves out what nobody uses of `aegis`: its C library looks for the best code of all six ciphers of the
//! family when it starts, which would link 600 KB. Five of the six look here, and find that there is
//! nothing to look for; and the code of AEGIS-128L for processors without AES instructions is none, as
//! `net::cipher` makes no key of it there (docs/performance.md, "Size of the binary").

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

/// Ends the program: to go on would be to seal nothing.
extern "C" fn not_here() -> ! {
    std::process::abort()
}

/// More functions than the library's table of one implementation has.
const FUNCTIONS: usize = 32;

// SAFETY: it stands for a table of function pointers (implementations.h) that is at most as long. The library only keeps
// its address, unless the processor lacks what `is_fast_at_aegis` asks for; then no key is made and no function called.
// Were one called all the same, it would end the program whatever its arguments are.
#[unsafe(no_mangle)]
static libaegis_aegis128l_soft_implementation: [extern "C" fn() -> !; FUNCTIONS] =
    [not_here; FUNCTIONS];
