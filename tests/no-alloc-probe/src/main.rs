//! Calls into proto-core with no std, no allocator and a panic handler of its own. To extend it,
//! add a call to `probe`: what it reaches is what the linker proves.
#![no_std]
#![no_main]

use core::hint::black_box;
use core::time::Duration;
use proto_core::boundary::PeerSlot;
use proto_core::time::Instant;

fn probe(place: usize) -> bool {
    let later = Instant::from_micros(1) + black_box(Duration::from_secs(1));
    PeerSlot::new(place).is_some() && later.as_micros() > 0
}

#[unsafe(no_mangle)]
extern "C" fn main(arguments: i32, _: *const *const u8) -> i32 {
    i32::from(!black_box(probe(black_box(arguments as usize))))
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
