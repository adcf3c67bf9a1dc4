//! Links `allocator.c` into the binary, where the C library is the one that it is for, and packs the files of the dashboard.
//!
//! Always true: with other C libraries nothing is linked; the packed files are those of the repository.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write as _;
use std::path::Path;
use std::{env, fs};

use flate2::Compression;
use flate2::write::GzEncoder;

/// The files of the dashboard.
const ASSETS: &str = "src/pages/dashboard/assets";

fn main() {
    println!("cargo:rerun-if-changed=allocator.c");
    println!("cargo:rerun-if-changed={ASSETS}");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    if is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu") {
        for object in cc::Build::new().file("allocator.c").compile_intermediates() {
            println!("cargo:rustc-link-arg-bins={}", object.display());
        }
    }
    pack_assets();
}

/// Writes each file compressed, and the table that `pages/dashboard/assets.rs` includes.
fn pack_assets() {
    let folder = env::var_os("OUT_DIR").expect("cargo sets it");
    let folder = Path::new(&folder);
    let found = fs::read_dir(ASSETS).expect("the folder is in the repository");
    let mut paths: Vec<_> =
        found.map(|entry| entry.expect("the folder can be read").path()).collect();
    paths.sort();
    let mut table = "const ASSETS: &[Asset] = &[\n".to_owned();
    for path in paths {
        let name = path.file_name().and_then(|name| name.to_str()).expect("names are ASCII");
        let content = fs::read(&path).expect("the file is in the repository");
        let content_type = content_type(name).expect("a new kind of file needs a row below");
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        let tag = hasher.finish();
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        packed.write_all(&content).expect("writing to memory cannot fail");
        let packed = packed.finish().expect("writing to memory cannot fail");
        fs::write(folder.join(format!("{name}.gz")), packed).expect("the folder is cargo's own");
        writeln!(
            table,
            "Asset {{ name: {name:?}, content_type: {content_type:?}, tag: \"\\\"{tag:016x}\\\"\", \
             packed: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}.gz\")) }},"
        )
        .expect("writing to a string cannot fail");
    }
    table.push_str("];\n");
    fs::write(folder.join("dashboard_assets.rs"), table).expect("the folder is cargo's own");
}

fn content_type(name: &str) -> Option<&'static str> {
    match name.rsplit('.').next()? {
        "html" => Some("text/html; charset=utf-8"),
        "css" => Some("text/css; charset=utf-8"),
        "js" => Some("text/javascript; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        _ => None,
    }
}
