//! OpenAI's tokenizers, unpacked on first use.
//!
//! Used by [`super::token_count`]. Always true: the tables are those of `tiktoken-rs`, which only packs them as text;
//! `build.rs` packs them smaller. Loading takes up to a second, and a loaded table takes about 50 MB.

use std::sync::LazyLock;

use flate2::{Decompress, FlushDecompress, Status};
use rustc_hash::FxHashMap;
use tiktoken_rs::tokenizer::Tokenizer;
use tiktoken_rs::{CoreBPE, O200K_BASE_PAT_STR, Rank};

/// Splits a text into pieces. Source: `cl100k_base` in
/// <https://github.com/openai/tiktoken/blob/main/tiktoken_ext/openai_public.py>.
const CL100K_PATTERN: &str = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s";

/// The tables of a tokenizer of current models; `None` for those of models that are no longer served.
pub(super) fn tables(tokenizer: Tokenizer) -> Option<&'static CoreBPE> {
    match tokenizer {
        Tokenizer::O200kBase | Tokenizer::O200kHarmony => Some(&O200K),
        Tokenizer::Cl100kBase => Some(&CL100K),
        Tokenizer::P50kBase | Tokenizer::R50kBase | Tokenizer::P50kEdit | Tokenizer::Gpt2 => None,
    }
}

static O200K: LazyLock<CoreBPE> = LazyLock::new(|| {
    unpack(include_bytes!(concat!(env!("OUT_DIR"), "/o200k_base.z")), O200K_BASE_PAT_STR)
});

static CL100K: LazyLock<CoreBPE> = LazyLock::new(|| {
    unpack(include_bytes!(concat!(env!("OUT_DIR"), "/cl100k_base.z")), CL100K_PATTERN)
});

fn unpack(packed: &[u8], pattern: &str) -> CoreBPE {
    let mut ranks = FxHashMap::default();
    let tokens = inflate(packed);
    let mut tail = &tokens[..];
    while let Some((&length, after)) = tail.split_first() {
        let (token, after) = after.split_at(usize::from(length));
        let rank = Rank::try_from(ranks.len()).expect("a table has 200,000 tokens");
        ranks.insert(token.to_vec(), rank);
        tail = after;
    }
    // Only texts are counted, in which special tokens mean nothing.
    CoreBPE::new(ranks, FxHashMap::default(), pattern).expect("a test loads the embedded tables")
}

fn inflate(packed: &[u8]) -> Vec<u8> {
    let mut tokens = Vec::new();
    let mut inflater = Decompress::new(true);
    loop {
        tokens.reserve(packed.len());
        let done = usize::try_from(inflater.total_in()).expect("it is a position in memory");
        let status = inflater
            .decompress_vec(&packed[done..], &mut tokens, FlushDecompress::Finish)
            .expect("a test loads the embedded tables");
        if status == Status::StreamEnd {
            return tokens;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Prose, code, digits, white space, other scripts, emoji, text that looks like a special token, and no text.
    const TEXTS: [&str; 8] = [
        "The quick brown fox doesn't jump, it's LAZY.",
        "fn main() {\n\t\tprintln!(\"{:?}\", [1, 22, 333, 4444]);\r\n}\n\n\n",
        "   \t  trailing and leading   ",
        "Größe, naïve, 日本語のテキスト, العربية, हिन्दी, Ελληνικά",
        "👩‍👩‍👧‍👦 🎉🎉 e\u{301}\u{200b}",
        "<|endoftext|> <|im_start|>user",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "",
    ];

    #[test]
    fn the_packed_tables_tokenize_as_the_library_does() {
        let pairs = [
            (Tokenizer::O200kBase, tiktoken_rs::o200k_base()),
            (Tokenizer::Cl100kBase, tiktoken_rs::cl100k_base()),
        ];
        for (tokenizer, expected) in pairs {
            let (packed, expected) = (tables(tokenizer).unwrap(), expected.unwrap());
            for text in TEXTS {
                assert_eq!(packed.encode_ordinary(text), expected.encode_ordinary(text), "{text}");
            }
        }
    }

    #[test]
    fn every_token_has_its_rank() {
        for (tokenizer, expected) in [
            (Tokenizer::O200kBase, tiktoken_rs::o200k_base().unwrap()),
            (Tokenizer::Cl100kBase, tiktoken_rs::cl100k_base().unwrap()),
        ] {
            let packed = tables(tokenizer).unwrap();
            let ranks = (0..).take_while(|rank| {
                let token = expected.decode_bytes(&[*rank]).ok();
                assert_eq!(packed.decode_bytes(&[*rank]).ok(), token, "{rank}");
                token.is_some()
            });
            assert!(ranks.count() > 100_000);
        }
    }
}
