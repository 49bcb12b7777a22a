//! Tokenizers of every kind on 10,000 lines in many scripts: the ids and texts that the Python package `tokenizers` gives, by their
//! hashes.
//!
//! `testing/text/generate.py` trains the tokenizers and writes the hashes; a line is put together here as it is there. Tokenizers that
//! packages ship are compared likewise where they are: in `target/real-tokenizers`, or the folder that `SYNOD_REAL_TOKENIZERS` names.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};
use synod_text::{Tokenizer, limits};

const LINES: u64 = 10_000;
const BLOCK: usize = 500;

#[derive(Deserialize)]
struct Words {
    languages: BTreeMap<String, Vec<String>>,
    noise: Vec<String>,
    separators: Vec<String>,
}

#[derive(Deserialize)]
struct Golden {
    corpus: String,
    tokenizers: BTreeMap<String, Hashes>,
    #[serde(default)]
    characters: Vec<Characters>,
}

#[derive(Deserialize)]
struct Characters {
    normalizer: serde_json::Value,
    pre_tokenizer: serde_json::Value,
    hash: String,
}

#[derive(Deserialize)]
struct Hashes {
    tokens: usize,
    ids: Vec<String>,
    texts: Vec<String>,
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn pick<'l, T>(&mut self, list: &'l [T]) -> &'l T {
        &list[self.below(list.len())]
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }
}

fn line(words: &Words, index: u64) -> String {
    let mut random = Random(index << 32);
    let languages: Vec<&Vec<String>> = words.languages.values().collect();
    let language = *random.pick(&languages);
    let mut text = String::new();
    for number in 0..random.below(16) {
        if number > 0 {
            text += random.pick(&words.separators).as_str();
        }
        text += match random.below(12) {
            0 => random.pick(&words.noise).as_str(),
            1 => {
                let other = *random.pick(&languages);
                random.pick(other).as_str()
            }
            _ => random.pick(language).as_str(),
        };
    }
    text
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn hash(parts: impl IntoIterator<Item = Vec<u8>>) -> String {
    let mut hasher = Sha256::new();
    parts.into_iter().for_each(|part| hasher.update(part));
    hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn with_end(text: &str) -> Vec<u8> {
    [text.as_bytes(), b"\xff"].concat()
}

fn corpus(expected: &str) -> Vec<String> {
    let words = std::fs::read(root().join("testing/text/words.json")).unwrap();
    let words: Words = serde_json::from_slice(&words).unwrap();
    let lines: Vec<String> = (0..LINES).map(|index| line(&words, index)).collect();
    assert_eq!(
        hash(lines.iter().map(|text| with_end(text))),
        expected,
        "the lines are others"
    );
    lines
}

fn compare(folder: &Path, golden: &Path) -> usize {
    let golden: Golden = serde_json::from_slice(&std::fs::read(golden).unwrap()).unwrap();
    let lines = corpus(&golden.corpus);
    for (name, expected) in &golden.tokenizers {
        let file = std::fs::read(folder.join(format!("{name}.json"))).unwrap();
        let tokenizer = Tokenizer::from_json(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
        let ids: Vec<Vec<u32>> = lines
            .iter()
            .map(|text| {
                tokenizer
                    .encode(text, true)
                    .unwrap_or_else(|error| panic!("{name}: {text:?}: {error}"))
            })
            .collect();
        let texts: Vec<String> = ids
            .iter()
            .map(|ids| tokenizer.decode(ids, true).unwrap())
            .collect();
        for (block, (ids, texts)) in ids.chunks(BLOCK).zip(texts.chunks(BLOCK)).enumerate() {
            let stream = ids.iter().map(|ids| {
                let end = std::iter::once(u32::MAX);
                ids.iter()
                    .copied()
                    .chain(end)
                    .flat_map(u32::to_le_bytes)
                    .collect()
            });
            let at = block * BLOCK;
            assert_eq!(
                hash(stream),
                expected.ids[block],
                "{name}: ids of the lines from {at} on"
            );
            let texts = texts.iter().map(|text| with_end(text));
            assert_eq!(
                hash(texts),
                expected.texts[block],
                "{name}: texts of the lines from {at} on"
            );
        }
        assert_eq!(ids.iter().map(Vec::len).sum::<usize>(), expected.tokens);
        assert!(
            ids.iter()
                .flatten()
                .all(|&id| (id as usize) < tokenizer.vocabulary_size())
        );
        assert!(lines.iter().all(|text| text.len() < limits::MAX_TEXT_BYTES));
    }
    golden.tokenizers.len()
}

#[test]
fn trained_tokenizers_give_what_the_python_package_gives() {
    let folder = root().join("testing/text");
    assert_eq!(
        compare(&folder.join("tokenizers"), &folder.join("golden.json")),
        7
    );
}

/// Normalisers and pre-tokenisers over every character: their tables are those of the pinned libraries, and of the compiler.
#[test]
fn the_tables_of_unicode_are_the_known_ones() {
    assert_eq!(
        char::UNICODE_VERSION,
        (17, 0, 0),
        "docs/spec/pipeline.md §2 states another version"
    );
    let folder = root().join("testing/text");
    let golden: Golden = serde_json::from_slice(&std::fs::read(folder.join("golden.json")).unwrap()).unwrap();
    let base = std::fs::read(folder.join("tokenizers/bytes.json")).unwrap();
    let mut file: serde_json::Value = serde_json::from_slice(&base).unwrap();
    let every: Vec<char> = ('\0'..'\u{32400}').chain('\u{e0000}'..'\u{e0200}').collect();
    assert_eq!(golden.characters.len(), 14);
    for expected in golden.characters {
        file["normalizer"] = expected.normalizer;
        file["pre_tokenizer"] = expected.pre_tokenizer;
        let tokenizer = Tokenizer::from_json(file.to_string().as_bytes()).unwrap();
        let lines = every.chunks(8).map(|characters| {
            let text: String = characters.iter().collect();
            with_end(
                &tokenizer
                    .decode(&tokenizer.encode(&text, true).unwrap(), true)
                    .unwrap(),
            )
        });
        assert_eq!(
            hash(lines),
            expected.hash,
            "{} {}",
            file["normalizer"],
            file["pre_tokenizer"]
        );
    }
}

#[test]
fn tokenizers_that_packages_ship_give_what_the_python_package_gives() {
    let given = std::env::var_os("SYNOD_REAL_TOKENIZERS").map(PathBuf::from);
    let folder = given
        .clone()
        .unwrap_or_else(|| root().join("target/real-tokenizers"));
    if !folder.is_dir() {
        assert!(
            given.is_none(),
            "SYNOD_REAL_TOKENIZERS names {}, which is not there",
            folder.display()
        );
        eprintln!(
            "skipped: no tokenizers in {}; `cargo xtask test` fetches them",
            folder.display()
        );
        return;
    }
    assert_eq!(compare(&folder, &folder.join("golden.json")), 2);
}
