//! Links `allocator.c` into the binary, where the C library is the one that it is for.
//!
//! Always true: with other C libraries nothing is linked.

fn main() {
    println!("cargo:rerun-if-changed=allocator.c");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    if is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu") {
        for object in cc::Build::new().file("allocator.c").compile_intermediates() {
            println!("cargo:rustc-link-arg-bins={}", object.display());
        }
    }
}
