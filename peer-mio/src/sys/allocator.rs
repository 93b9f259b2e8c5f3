//! The heap of a static binary. What a musl tool chain brings may map every buffer of some 100 KB from
//! the kernel and write zeros over it, each time: indexing 20,000 small files then takes 2.7 times as
//! long as with glibc (docs/performance.md, "The heap"). This is dlmalloc, and mmap(2) for what is huge.

use dlmalloc::GlobalDlmalloc;
use std::alloc::{GlobalAlloc, Layout};
use std::ptr;

/// From so many bytes on, memory comes from the kernel and goes back to it. It takes up no room until
/// it is written to, also if it is to be zero.
const HUGE: usize = 1024 * 1024;
/// The smallest page of any kernel: what mmap aligns to.
const PAGE: usize = 4096;

/// dlmalloc, and mmap for what is huge.
#[derive(Debug)]
pub struct Allocator;

fn is_huge(size: usize, align: usize) -> bool {
    size >= HUGE && align <= PAGE
}

/// Fresh memory of zeros; null if there is none.
fn map(size: usize) -> *mut u8 {
    // SAFETY: a new anonymous mapping at a place that the kernel chooses touches no memory in use.
    let address = unsafe {
        libc::mmap(
            ptr::null_mut(),
            size,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if address == libc::MAP_FAILED {
        ptr::null_mut()
    } else {
        address.cast()
    }
}

// Not inlined: every place that allocates would get a copy.
// SAFETY: each block comes from one of two allocators, which size and alignment tell, and goes back to
// the same one with the same layout; nothing here unwinds.
unsafe impl GlobalAlloc for Allocator {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_huge(layout.size(), layout.align()) {
            return map(layout.size());
        }
        // SAFETY: the caller's promises are those that are asked for.
        unsafe { GlobalDlmalloc.alloc(layout) }
    }

    #[inline(never)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if is_huge(layout.size(), layout.align()) {
            return map(layout.size());
        }
        // SAFETY: the caller's promises are those that are asked for.
        unsafe { GlobalDlmalloc.alloc_zeroed(layout) }
    }

    #[inline(never)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if is_huge(layout.size(), layout.align()) {
            // SAFETY: the block is a mapping of this size, by the caller's promise and `alloc`.
            let _ended = unsafe { libc::munmap(block.cast(), layout.size()) };
            return;
        }
        // SAFETY: not huge, so the block is dlmalloc's; the caller promises the rest.
        unsafe { GlobalDlmalloc.dealloc(block, layout) }
    }

    #[inline(never)]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !is_huge(layout.size(), layout.align()) && !is_huge(size, layout.align()) {
            // SAFETY: the block is dlmalloc's and stays so; the caller promises the rest.
            return unsafe { GlobalDlmalloc.realloc(block, layout, size) };
        }
        // SAFETY: the caller promises that the new size is none that overflows with this alignment and
        // is not 0, and that the block has the bytes of its layout. The two blocks do not overlap.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                ptr::copy_nonoverlapping(block, new, layout.size().min(size));
                self.dealloc(block, layout);
            }
            new
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Grows and shrinks a block over the border between the two allocators; its bytes must stay.
    #[test]
    fn blocks_keep_their_bytes_over_the_border() {
        for align in [1, 16, PAGE, 4 * PAGE] {
            let mut layout = Layout::from_size_align(100, align).unwrap();
            // SAFETY: not of size 0; freed below with the layout it has then.
            let mut block = unsafe { Allocator.alloc_zeroed(layout) };
            let mut kept = 0;
            for size in [5000, HUGE - 1, HUGE, 3 * HUGE + 7, HUGE + 1, 70_000, 10] {
                // SAFETY: the block has this layout.
                block = unsafe { Allocator.realloc(block, layout, size) };
                assert!(!block.is_null() && block.addr().is_multiple_of(align));
                layout = Layout::from_size_align(size, align).unwrap();
                // SAFETY: the block has `size` bytes, of which the first `kept` are written.
                unsafe {
                    for at in 0..size.min(kept) {
                        assert_eq!(*block.add(at), at as u8, "{at} of {size}");
                    }
                    for at in 0..size {
                        block.add(at).write(at as u8);
                    }
                }
                kept = size;
            }
            // SAFETY: the block has this layout.
            unsafe { Allocator.dealloc(block, layout) };
        }
    }

    #[test]
    fn zeroed_blocks_are_zero_also_after_use() {
        for size in [64, 266_240, HUGE, 4 * HUGE] {
            let layout = Layout::from_size_align(size, 8).unwrap();
            for _ in 0..3 {
                // SAFETY: not of size 0; written and freed within its layout.
                unsafe {
                    let block = Allocator.alloc_zeroed(layout);
                    assert!((0..size).all(|at| *block.add(at) == 0));
                    block.write_bytes(0xff, size);
                    Allocator.dealloc(block, layout);
                }
            }
        }
    }
}
