//! Damaged and malicious tokenizers: whatever a file says, it is loaded or refused, and what was loaded answers every text, in bounded memory
//! and without a panic, not even one that [`Tokenizer`] would turn into an error.
//!
//! Mutations of the committed tokenizers, from a seed: a failing seed is the bug report. `SYNOD_TOKENIZER_MUTATIONS` sets how many for each.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../../model/tests/build/random.rs"]
#[allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "this binary uses its part"
)]
mod random;

#[path = "../../image/tests/it/counting.rs"]
mod counting;

use counting::most_held;
use random::Random;
use serde_json::{Value, json};
use std::{
    cell::Cell,
    fs,
    panic::{set_hook, take_hook},
    path::Path,
    sync::Once,
};
use synod_text::{LoadError, TextError, Tokenizer, limits};

thread_local! {
    /// Panics, also those that are caught.
    static PANICS: Cell<usize> = const { Cell::new(0) };
}

/// What loading may hold: expressions that are compiled, and so many bytes for each of the file.
const LOAD_BASE: u64 = 24 << 20;
const LOAD_PER_BYTE: u64 = 96;

/// Counts panics; they are shown as ever.
fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let shown = take_hook();
        set_hook(Box::new(move |info| {
            PANICS.set(PANICS.get() + 1);
            shown(info);
        }));
    });
}

fn mutations() -> u64 {
    std::env::var("SYNOD_TOKENIZER_MUTATIONS").map_or(50, |text| text.parse().unwrap())
}

/// The committed tokenizers with their names.
fn files() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testing/text/tokenizers");
    let mut files: Vec<(String, Vec<u8>)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, fs::read(path).unwrap())
        })
        .collect();
    files.sort();
    assert!(files.len() >= 8, "{} tokenizers", files.len());
    files
}

/// Texts that find weak places: empty, long, in many scripts, with what the tokenizers add, with half a character's worth of everything.
fn texts() -> Vec<String> {
    [
        "",
        " ",
        "the apples are ripe",
        "<unk></s><s>[CLS]##s▁▁<0x0A>",
        "ﬁ ﷺ ǅ İ ß e\u{301}\u{301}\u{301} \u{200d}\u{fe0f}👩‍👩‍👧 日本語 ไทย \u{0}\u{1}\u{7f}\u{85}\u{2028}",
    ]
    .map(str::to_owned)
    .into_iter()
    .chain([
        "a".repeat(1000),
        "\u{fdfa}".repeat(300),
        "\u{301}".repeat(500),
        "x ".repeat(400),
        "0123456789'll".repeat(100),
    ])
    .collect()
}

/// Loads a file and, if that goes, encodes and decodes with it.
fn try_all(what: &str, file: &[u8], texts: &[String]) {
    let panics = PANICS.get();
    let (held, loaded) = most_held(|| Tokenizer::from_json(file));
    let bound = LOAD_BASE + LOAD_PER_BYTE * file.len() as u64;
    assert!(held <= bound, "{what}: loading held {held} bytes of {bound}");
    match loaded {
        Ok(tokenizer) => use_it(what, &tokenizer, texts),
        Err(LoadError::Json { line, .. }) => assert!(line <= file.len() + 1),
        Err(error) => assert!(error.to_string().len() < 8192, "{what}: {error}"),
    }
    assert_eq!(PANICS.get(), panics, "{what}: a panic");
}

fn use_it(what: &str, tokenizer: &Tokenizer, texts: &[String]) {
    for text in texts {
        // the first call fills what expressions keep for the process
        let first = tokenizer.encode(text, true);
        let (held, encoded) = most_held(|| tokenizer.encode(text, true));
        assert_eq!(first, encoded, "{what}: two encodings of one text");
        let stated = Tokenizer::encode_memory(text.len());
        assert!(
            held <= stated,
            "{what}: encoding {} bytes held {held} of {stated} stated",
            text.len()
        );
        match encoded {
            Ok(ids) => {
                assert!(
                    ids.iter().all(|&id| (id as usize) < tokenizer.vocabulary_size()),
                    "{what}: an id outside of the vocabulary"
                );
                if let Some(most) = tokenizer.max_tokens() {
                    assert!(ids.len() <= most, "{what}: {} tokens of {most}", ids.len());
                }
                check_decoding(what, tokenizer, &ids);
            }
            Err(TextError::Expands { .. } | TextError::Failed { .. }) => {}
            Err(other) => panic!("{what}: {other}"),
        }
    }
    let strange = [
        0,
        1,
        u32::MAX,
        limits::MAX_ID,
        tokenizer.vocabulary_size() as u32,
        2,
        2,
        2,
    ];
    check_decoding(what, tokenizer, &strange);
}

fn check_decoding(what: &str, tokenizer: &Tokenizer, ids: &[u32]) {
    let most = tokenizer.decoded_bytes(ids.len());
    match tokenizer.decode(ids, false) {
        Ok(text) => assert!(text.len() <= most, "{what}: {} bytes of {most}", text.len()),
        Err(TextError::Expands { .. } | TextError::DecodedTooLong | TextError::Failed { .. }) => {}
        Err(other) => panic!("{what}: {other}"),
    }
}

#[test]
fn cut_and_changed_bytes_are_refused_or_loaded() {
    count_panics();
    let texts = texts();
    for (name, file) in files() {
        for seed in 0..mutations() {
            let mut random = Random(seed);
            let mut bytes = file.clone();
            if random.below(8) == 0 {
                bytes.truncate(random.below(bytes.len()));
            } else {
                for _ in 0..=random.below(4) {
                    let at = random.below(bytes.len());
                    match random.below(4) {
                        0 => bytes[at] ^= 1 << random.below(8),
                        1 => bytes[at] = b"0129-.eE\"\\[]{},:\0 "[random.below(18)],
                        2 => drop(bytes.drain(at..(at + random.below(16)).min(bytes.len()))),
                        _ => {
                            let piece = bytes[at..(at + random.below(64)).min(bytes.len())].to_vec();
                            bytes.splice(at..at, piece);
                        }
                    }
                }
            }
            try_all(&format!("{name}, seed {seed}"), &bytes, &texts);
        }
    }
}

/// Every value of a document, by JSON pointer: those of the vocabulary and the merges apart, which are nearly all.
fn pointers(value: &Value, path: &str, few: &mut Vec<String>, many: &mut Vec<String>) {
    let of_model = ["/model/vocab/", "/model/merges/"];
    match of_model.iter().any(|prefix| path.starts_with(prefix)) {
        true => many.push(path.to_owned()),
        false => few.push(path.to_owned()),
    }
    match value {
        Value::Array(list) => {
            for (index, item) in list.iter().enumerate() {
                pointers(item, &format!("{path}/{index}"), few, many);
            }
        }
        Value::Object(object) => {
            for (key, item) in object {
                let key = key.replace('~', "~0").replace('/', "~1");
                pointers(item, &format!("{path}/{key}"), few, many);
            }
        }
        _ => {}
    }
}

fn strange(random: &mut Random) -> Value {
    let values = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1),
        json!(limits::MAX_ID),
        json!(u32::MAX),
        json!(u64::MAX),
        json!(1e308),
        json!(-1e308),
        json!(""),
        json!(" "),
        json!("\u{0}"),
        json!("▁"),
        json!("\u{301}"),
        json!("</s>"),
        json!("a".repeat(5000)),
        json!({"String": ""}),
        json!({"Regex": "(a*)*b"}),
        json!({"Regex": "\\s+(?!\\S)"}),
        json!([]),
        json!({}),
        json!([["a", "b"], ["a", "b"]]),
        json!({"type": "Sequence", "normalizers": [], "pretokenizers": [], "decoders": [], "processors": []}),
        json!({"type": "NFKD"}),
        json!({"type": "Fuse"}),
        json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}),
        json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aaaaaaaaaaaaaaaa"}),
        json!({"type": "Prepend", "prepend": "▁"}),
        json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}),
    ];
    values[random.below(values.len())].clone()
}

/// Changes a document in one place: a strange value, another value of this document or of another, one that is left out or there twice.
fn change(document: &mut Value, place: &str, others: &[(Value, Vec<String>)], random: &mut Random) {
    let graft = {
        let (other, places) = &others[random.below(others.len())];
        // mostly what stands in the same place there
        let there = match random.below(4) {
            0 => other.pointer(&places[random.below(places.len())]),
            _ => other.pointer(place),
        };
        there.cloned()
    };
    let with = |random: &mut Random| graft.clone().unwrap_or_else(|| strange(random));
    let Some(value) = document.pointer_mut(place) else {
        return;
    };
    match (random.below(4), value) {
        (0, Value::Array(list)) if !list.is_empty() => drop(list.remove(random.below(list.len()))),
        (1, Value::Array(list)) if !list.is_empty() => {
            let again = list[random.below(list.len())].clone();
            list.insert(random.below(list.len() + 1), again);
        }
        (0, Value::Object(object)) if !object.is_empty() => {
            let key = object.keys().nth(random.below(object.len())).unwrap().clone();
            object.remove(&key);
        }
        (1, Value::Object(object)) => {
            let value = with(random);
            object.insert(
                ["type", "extra", "a", "▁a", "</s>"][random.below(5)].to_owned(),
                value,
            );
        }
        (2, value) => *value = strange(random),
        (_, value) => *value = with(random),
    }
}

#[test]
fn changed_documents_are_refused_or_loaded() {
    count_panics();
    let texts = texts();
    let documents: Vec<(String, Value)> = files()
        .into_iter()
        .map(|(name, file)| (name, serde_json::from_slice(&file).unwrap()))
        .collect();
    let places: Vec<(Vec<String>, Vec<String>)> = documents
        .iter()
        .map(|(_, document)| {
            let (mut few, mut many) = (Vec::new(), Vec::new());
            pointers(document, "", &mut few, &mut many);
            (few, many)
        })
        .collect();
    let others: Vec<(Value, Vec<String>)> = documents
        .iter()
        .zip(&places)
        .map(|((_, document), (few, _))| (document.clone(), few.clone()))
        .collect();
    let mut loaded = 0;
    for ((name, document), (few, many)) in documents.iter().zip(&places) {
        for seed in 0..2 * mutations() {
            let mut random = Random(seed);
            let mut changed = document.clone();
            for _ in 0..=random.below(3) {
                let from = match random.below(4) {
                    0 if !many.is_empty() => many,
                    _ => few,
                };
                let place = from[random.below(from.len())].clone();
                change(&mut changed, &place, &others, &mut random);
            }
            let file = serde_json::to_vec(&changed).unwrap();
            loaded += usize::from(Tokenizer::from_json(&file).is_ok());
            try_all(&format!("{name}, seed {seed}"), &file, &texts);
        }
    }
    // mutations that are all refused would test the refusals alone
    assert!(loaded as u64 > mutations(), "{loaded} mutations were loaded");
}
