//! The program has its own `main` and needs libc alone.
fn main() {
    println!("cargo:rustc-link-lib=c");
}
