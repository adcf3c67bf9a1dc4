//! Compresses the price list: as text it is a megabyte of the binary.

use std::io::Write;
use std::path::Path;
use std::{env, fs};

use flate2::Compression;
use flate2::write::ZlibEncoder;

fn main() {
    const LIST: &str = "data/prices.json";
    println!("cargo::rerun-if-changed={LIST}");
    println!("cargo::rerun-if-changed=build.rs");
    let list = fs::read(LIST).expect("the list is in the repository");
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::best());
    packed.write_all(&list).expect("writing to memory cannot fail");
    let packed = packed.finish().expect("writing to memory cannot fail");
    let folder = env::var_os("OUT_DIR").expect("cargo sets it");
    fs::write(Path::new(&folder).join("prices.json.z"), packed).expect("the folder is cargo's own");
    let length = list.len();
    let text = format!("/// Bytes of the list.\nconst LENGTH: usize = {length};\n");
    fs::write(Path::new(&folder).join("prices_length.rs"), text)
        .expect("the folder is cargo's own");
}
