//! Time beside the bound, over files and texts that are slow on purpose: the constants of `synod_text::work` are above every line.
//!
//!     cargo run --release -p synod-text --example text_throughput [FILE …]
//!
//! For each tokenizer (those of `testing/text/tokenizers`, hostile ones made here, and FILEs) and each text: nanoseconds for a byte, and
//! the time as a part of the bound. The last lines are the largest parts.

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use std::path::Path;
use synod_text::{Tokenizer, limits, work};

/// Nanoseconds of this thread: other work on the machine does not count.
fn now() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

fn fill(unit: &str, bytes: usize) -> String {
    let mut text = unit.repeat(bytes.div_ceil(unit.len()));
    let mut end = bytes;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

/// Texts of about so many bytes.
fn texts(bytes: usize) -> Vec<(&'static str, String)> {
    let mut all: Vec<(&str, String)> = [
        (
            "english",
            "The apples are good, and the pears in the orchard will be ripe in September. ",
        ),
        ("one letter", "a"),
        ("two letters", "ab"),
        ("words of a letter", "a "),
        ("spaces", " "),
        ("line ends", "\n"),
        ("punctuation", "!"),
        ("digits", "7"),
        ("apostrophes", "'s"),
        ("accents", "é"),
        ("decomposed", "e\u{301}"),
        ("marks of two classes", "\u{315}\u{300}"),
        ("hangul", "한"),
        ("jamo", "\u{1112}\u{1161}\u{11ab}"),
        ("chinese", "中"),
        ("expanding", "\u{fdfa}abcdefgh"),
        ("fullwidth", "Ａ"),
        ("emoji", "👩‍👩‍👧‍👦"),
        ("flags", "🇩🇪"),
        ("joiners", "\u{200d}"),
        ("conjuncts", "क्षि"),
        ("unknown", "\u{e000}"),
        ("special", "</s>"),
        ("almost special", "</s"),
        ("nul", "\0"),
        ("mixed", "aé中👍 ｶﾞ\u{301}\n'll 12 "),
    ]
    .into_iter()
    .map(|(name, unit)| (name, fill(unit, bytes)))
    .collect();
    all.push(("spaces and a letter", format!("{}a", fill(" ", bytes - 1))));
    all.push((
        "a letter and marks",
        format!("a{}", fill("\u{301}\u{315}", bytes - 1)),
    ));
    all.push((
        "words of a hundred",
        fill(&format!("{} ", "ab".repeat(50)), bytes),
    ));
    all
}

const O200K: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

fn tokens(count: usize) -> impl Iterator<Item = String> {
    (1..=count).map(|length| "a".repeat(length))
}

fn file(normalizer: Value, pre_tokenizer: Value, added: Vec<Value>, model: Value) -> Vec<u8> {
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer, "post_processor": null, "decoder": null, "model": model
    })
    .to_string()
    .into_bytes()
}

/// Files that make the algorithms as slow as the limits allow.
fn hostile() -> Vec<(String, Vec<u8>)> {
    let scores = |tokens: &mut dyn Iterator<Item = String>| {
        let list = tokens.map(|token| json!([token, -(token.len() as f64)]));
        Value::Array(std::iter::once(json!(["<unk>", 0.0])).chain(list).collect())
    };
    let unigram = |tokens: &mut dyn Iterator<Item = String>| json!({"type": "Unigram", "unk_id": 0, "vocab": scores(tokens)});
    let ids = |tokens: &mut dyn Iterator<Item = String>| {
        let map = tokens.enumerate().map(|(id, token)| (token, json!(id)));
        Value::Object(map.collect())
    };
    let mut merges = Vec::new();
    let mut doubled = vec!["a".to_owned(), "b".to_owned()];
    while doubled.last().is_some_and(|token| token.len() < 256) {
        let last = doubled.last().cloned().unwrap_or_default();
        let next = if last == "b" {
            "aa".to_owned()
        } else {
            last.repeat(2)
        };
        merges.push(if last == "b" {
            json!(["a", "a"])
        } else {
            json!([last, last])
        });
        doubled.push(next);
    }
    let added = (1..=limits::MAX_ADDED_TOKEN_BYTES).map(|length| {
        let content = if length == 1 { "a".to_owned() } else { format!("{}b", "a".repeat(length - 1)) };
        json!({"id": length, "content": content, "single_word": length % 2 == 0, "lstrip": true, "rstrip": true,
               "normalized": length % 3 == 0, "special": false})
    });
    let word = |max: usize| {
        let mut few = ["[UNK]", "a", "##a", "##b"].map(String::from).into_iter();
        json!({"type": "WordPiece", "vocab": ids(&mut few), "unk_token": "[UNK]", "continuing_subword_prefix": "##",
               "max_input_chars_per_word": max})
    };
    let steps = |types: &[&str]| {
        let list: Vec<Value> = types.iter().map(|name| json!({ "type": name })).collect();
        list
    };
    let all = [
        "NFKD",
        "NFKC",
        "NFD",
        "NFC",
        "Nmt",
        "Lowercase",
        "StripAccents",
        "NFKD",
        "NFKC",
        "Lowercase",
        "NFD",
        "NFC",
    ];
    let long = ["NFD", "NFC"].repeat(6);
    vec![
        (
            "unigram, each token begins the next".into(),
            file(
                Value::Null,
                Value::Null,
                vec![],
                unigram(&mut tokens(limits::MAX_PIECE_BYTES)),
            ),
        ),
        (
            "unigram, one long token".into(),
            file(
                Value::Null,
                Value::Null,
                vec![],
                unigram(&mut std::iter::once("a".repeat(limits::MAX_PIECE_BYTES))),
            ),
        ),
        (
            "unigram, many prefixes".into(),
            file(
                Value::Null,
                Value::Null,
                vec![],
                unigram(&mut (0..200_000u32).map(|i| {
                    char::from_u32(0x4e00 + i % 20_000)
                        .into_iter()
                        .chain(char::from_u32(0x3041 + i / 20_000))
                        .collect()
                })),
            ),
        ),
        (
            "bpe, every pair merges".into(),
            file(
                Value::Null,
                Value::Null,
                vec![],
                json!({"type": "BPE", "vocab": ids(&mut doubled.into_iter()), "merges": merges}),
            ),
        ),
        (
            "word-piece, 256 characters".into(),
            file(Value::Null, json!({"type": "WhitespaceSplit"}), vec![], word(256)),
        ),
        (
            "word-piece, 100 characters".into(),
            file(Value::Null, json!({"type": "WhitespaceSplit"}), vec![], word(100)),
        ),
        (
            "all normalisers".into(),
            file(
                json!({"type": "Sequence", "normalizers": steps(&all)}),
                Value::Null,
                vec![],
                unigram(&mut tokens(1)),
            ),
        ),
        (
            "decomposing and composing".into(),
            file(
                json!({"type": "Sequence", "normalizers": steps(&long)}),
                Value::Null,
                vec![],
                unigram(&mut tokens(1)),
            ),
        ),
        (
            "all pre-tokenisers".into(),
            file(
                Value::Null,
                json!({"type": "Sequence", "pretokenizers": [
            {"type": "Digits", "individual_digits": true}, {"type": "Punctuation"}, {"type": "BertPreTokenizer"}, {"type": "Whitespace"},
            {"type": "Metaspace", "replacement": "▁"}, {"type": "WhitespaceSplit"}, {"type": "ByteLevel", "add_prefix_space": false}]}),
                vec![],
                unigram(&mut tokens(1)),
            ),
        ),
        (
            "two long expressions".into(),
            file(
                Value::Null,
                json!({"type": "Sequence", "pretokenizers": vec![
            json!({"type": "Split", "pattern": {"Regex": O200K}, "behavior": "Isolated", "invert": false}); 2]}),
                vec![],
                unigram(&mut tokens(1)),
            ),
        ),
        (
            "added tokens that begin alike".into(),
            file(
                Value::Null,
                Value::Null,
                added.collect(),
                json!({"type": "WordLevel", "unk_token": "u", "vocab": {"u": 0}}),
            ),
        ),
    ]
}

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testing/text/tokenizers");
    let mut files: Vec<(String, Vec<u8>)> = std::env::args()
        .skip(1)
        .chain(
            std::fs::read_dir(folder)
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.path().display().to_string()),
        )
        .filter_map(|path| {
            Some((
                Path::new(&path).file_stem()?.to_string_lossy().into_owned(),
                std::fs::read(&path).ok()?,
            ))
        })
        .collect();
    files.sort();
    files.extend(hostile());
    let mut worst: Vec<(f64, String)> = Vec::new();
    for (name, bytes) in &files {
        let start = now();
        let tokenizer = match Tokenizer::from_json(bytes) {
            Ok(tokenizer) => tokenizer,
            Err(error) => {
                println!("{name}: refused: {error}");
                continue;
            }
        };
        let time = now() - start;
        let part = time / work::load(bytes.len()) as f64;
        println!(
            "{name}: {} bytes load at {:.0} ns/byte, {part:.2} of the bound; {} MB counted",
            bytes.len(),
            time / bytes.len() as f64,
            tokenizer.memory_bytes() >> 20
        );
        worst.push((part, format!("load {name}")));
        for size in [200, 4_096, limits::MAX_TEXT_BYTES] {
            for (kind, text) in texts(size) {
                let repeat = if size < 10_000 { 5 } else { 1 };
                let mut time = f64::INFINITY;
                let mut ids = Ok(Vec::new());
                for _ in 0..repeat {
                    let start = now();
                    ids = tokenizer.encode(&text, true);
                    let taken = now() - start;
                    time = if taken < time { taken } else { time };
                }
                let part = time / tokenizer.encode_work(text.len()) as f64;
                let count = match &ids {
                    Ok(ids) => format!("{} tokens", ids.len()),
                    Err(error) => error.to_string(),
                };
                if part > 0.1 || kind == "english" {
                    println!(
                        "  {size:>6} {kind:<22} {:>9.1} ns/byte {part:>6.3} of the bound  {count}",
                        time / text.len() as f64
                    );
                }
                worst.push((part, format!("{name}: {kind}, {size} bytes")));
                let Ok(ids) = ids else { continue };
                let ids = &ids[..ids.len().min(limits::MAX_TOKENS)];
                let start = now();
                let _ = tokenizer.decode(ids, false);
                let part = (now() - start) / tokenizer.decode_work(ids.len()) as f64;
                worst.push((part, format!("{name}: decode {} tokens of {kind}", ids.len())));
            }
        }
    }
    worst.sort_by(|a, b| b.0.total_cmp(&a.0));
    println!("\nlargest parts of the bound");
    for (part, what) in worst.iter().take(25) {
        println!("{part:>7.3}  {what}");
    }
}
