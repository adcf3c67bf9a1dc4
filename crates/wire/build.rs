//! Packs the tables of OpenAI's tokenizers: as the text that `tiktoken-rs` embeds they are five megabytes of the binary.

use std::io::Write;
use std::path::Path;
use std::{env, fs};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use tiktoken_rs::{CoreBPE, Rank, cl100k_base, o200k_base};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let folder = env::var_os("OUT_DIR").expect("cargo sets it");
    let pack = |name: &str, tables: CoreBPE| {
        let tokens = tokens(&tables);
        let mut packed = ZlibEncoder::new(Vec::new(), Compression::best());
        packed.write_all(&tokens).expect("writing to memory cannot fail");
        let packed = packed.finish().expect("writing to memory cannot fail");
        fs::write(Path::new(&folder).join(name), packed).expect("the folder is cargo's own");
    };
    pack("o200k_base.z", o200k_base().expect("the crate tests its own tables"));
    pack("cl100k_base.z", cl100k_base().expect("the crate tests its own tables"));
}

/// Every token in the order of its rank: its length in one byte, then its bytes.
fn tokens(tables: &CoreBPE) -> Vec<u8> {
    let mut all = Vec::new();
    for rank in 0..Rank::MAX {
        // The ranks of special tokens come after a gap.
        let Ok(token) = tables.decode_bytes(&[rank]) else { break };
        all.push(u8::try_from(token.len()).expect("no token is longer than 128 bytes"));
        all.extend(token);
    }
    all
}
