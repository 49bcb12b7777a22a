//! What is refused, with the field and the value; and what is defined at the edges.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use serde_json::{Value, json};
use synod_text::{LoadError, TextError, Tokenizer, limits};

/// A small tokenizer of words.
fn words() -> Value {
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [
            {"id": 0, "content": "<unk>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
            {"id": 4, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}
        ],
        "normalizer": {"type": "NFKC"},
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
            "pair": [],
            "special_tokens": {"</s>": {"id": "</s>", "ids": [4], "tokens": ["</s>"]}}
        },
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": {"<unk>": 0, "the": 1, "apples": 2, "fi": 3}, "unk_token": "<unk>"}
    })
}

fn load(file: &Value) -> Result<Tokenizer, LoadError> {
    Tokenizer::from_json(file.to_string().as_bytes())
}

fn with(pointer: &str, value: Value) -> Value {
    let mut file = words();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    file.pointer_mut(parent).unwrap()[name] = value;
    file
}

#[test]
fn edges_are_defined() {
    let tokenizer = load(&words()).unwrap();
    assert_eq!(tokenizer.encode("", true).unwrap(), [4]);
    assert!(tokenizer.encode("", false).unwrap().is_empty());
    assert_eq!(
        tokenizer.encode("the ﬁ pears</s>", true).unwrap(),
        [1, 3, 0, 4, 4]
    );
    assert_eq!(tokenizer.decode(&[1, 2, 4], true).unwrap(), "the apples");
    assert_eq!(tokenizer.decode(&[1, 99, 4], false).unwrap(), "the </s>");
    assert_eq!(tokenizer.decode(&[], false).unwrap(), "");
    assert_eq!(tokenizer.vocabulary_size(), 5);
    assert_eq!(tokenizer.token_to_id("</s>"), Some(4));
    assert!(tokenizer.is_special(4) && !tokenizer.is_special(1) && !tokenizer.is_special(77));

    let not_utf8 = tokenizer.encode_bytes(b"the \xff", true);
    assert_eq!(not_utf8, Err(TextError::NotUtf8 { position: 4 }));
    let length = limits::MAX_TEXT_BYTES + 1;
    assert_eq!(
        tokenizer.encode(&"a".repeat(length), true),
        Err(TextError::TooLong { length })
    );
    // one character of three bytes that becomes eighteen of 33
    let expands = tokenizer.encode(&"\u{fdfa}".repeat(1000), true);
    assert_eq!(expands, Err(TextError::Expands { limit: 12_256 }));
    let count = limits::MAX_TOKENS + 1;
    assert_eq!(
        tokenizer.decode(&vec![1; count], true),
        Err(TextError::TooManyTokens { count })
    );
}

#[test]
fn truncation_leaves_room_for_special_tokens() {
    let truncation = |direction: &str| json!({"direction": direction, "max_length": 3, "strategy": "LongestFirst", "stride": 0});
    let right = load(&with("/truncation", truncation("Right"))).unwrap();
    assert_eq!(right.encode("the apples fi the", true).unwrap(), [1, 2, 4]);
    assert_eq!(right.encode("the apples fi the", false).unwrap(), [1, 2, 3]);
    let left = load(&with("/truncation", truncation("Left"))).unwrap();
    assert_eq!(left.encode("the apples fi the", true).unwrap(), [3, 1, 4]);
}

#[test]
fn what_is_not_on_the_list_is_refused_with_field_and_value() {
    let template = "/post_processor/single";
    for (file, field, value) in [
        (with("/version", json!("2.0")), "version", "2.0"),
        (
            with("/normalizer", json!({"type": "NFQ"})),
            "normalizer.type",
            "NFQ",
        ),
        (with("/normalizer/extra", json!(1)), "normalizer.extra", "1"),
        (
            with(
                "/normalizer",
                json!({"type": "Sequence", "normalizers": [{"type": "NFC"},
                {"type": "Replace", "pattern": {"Regex": "(a+)+$"}, "content": ""}]}),
            ),
            "normalizer.normalizers[1].pattern.Regex",
            "(a+)+$",
        ),
        (
            with(
                "/pre_tokenizer",
                json!({"type": "Split", "pattern": {"Regex": "(?=(a+))b"}, "behavior": "Isolated", "invert": false}),
            ),
            "pre_tokenizer.pattern.Regex",
            "(?=(a+))b",
        ),
        (
            with(
                "/pre_tokenizer",
                json!({"type": "Split", "pattern": {"String": ""}, "behavior": "Isolated", "invert": false}),
            ),
            "pre_tokenizer.pattern.String",
            "\"\"",
        ),
        (
            with("/pre_tokenizer", json!({"type": "UnicodeScripts"})),
            "pre_tokenizer.type",
            "UnicodeScripts",
        ),
        (with("/decoder", json!({"type": "CTC"})), "decoder.type", "CTC"),
        (
            with(
                "/decoder",
                json!({"type": "Strip", "content": " ", "start": 0, "stop": 1}),
            ),
            "decoder.stop",
            "1",
        ),
        (with("/model/type", json!("Other")), "model.type", "Other"),
        (with("/model/dropout", json!(0.1)), "model.dropout", "0.1"),
        (
            with("/post_processor/single/1/SpecialToken/type_id", json!(2)),
            "post_processor.single[1].SpecialToken.type_id",
            "2",
        ),
        (
            with(template, json!([{"Sequence": {"id": "B", "type_id": 0}}])),
            "post_processor.single[0].Sequence.id",
            "B",
        ),
    ] {
        match load(&file) {
            Err(LoadError::Unsupported {
                field: at,
                value: what,
                ..
            }) => {
                assert_eq!((at.as_str(), what.as_str()), (field, value));
            }
            other => panic!("{field}: {other:?}"),
        }
    }
    let bpe = json!({"type": "BPE", "dropout": 0.5, "vocab": {"a": 0}, "merges": []});
    let error = load(&with("/model", bpe)).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("model.dropout: 0.5 is not supported"),
        "{error}"
    );
}

#[test]
fn what_does_not_go_together_is_refused() {
    let unigram = |vocab: Value| json!({"type": "Unigram", "unk_id": 0, "vocab": vocab});
    for (file, text) in [
        (with("/model/vocab/the", json!(2)), "have the id 2"),
        (
            with("/model/unk_token", json!("?")),
            "\"?\" is not in the vocabulary",
        ),
        (with("/model/vocab", json!({})), "it is empty"),
        (with("/added_tokens/1/id", json!(9)), "\"</s>\" has the id 4"),
        (
            with(
                "/truncation",
                json!({"max_length": 0, "strategy": "OnlyFirst", "stride": 0}),
            ),
            "have no room for the 1",
        ),
        (
            with("/model", unigram(json!([["<unk>", 0.0], ["a", 1.0], ["a", 2.0]]))),
            "\"a\" is there twice",
        ),
        (with("/model", unigram(json!([]))), "0 is not in the vocabulary"),
        (with("/model", unigram(json!([["a", 1e10]]))), "from -1e9 to 1e9"),
        (
            with(
                "/model",
                json!({"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}),
            ),
            "model.merges[0]: \"a\" and \"b\" together are longer than any token",
        ),
        (
            with(
                "/model",
                json!({"type": "BPE", "vocab": {"a": 0, "abc": 1}, "merges": ["a b"]}),
            ),
            "model: ",
        ),
        (
            with(
                "/model",
                json!({"type": "BPE", "vocab": {"a": 0}, "merges": ["a b c"]}),
            ),
            "a merge is two tokens",
        ),
        (
            with("/model/vocab", json!({"<unk>": 0, "a": 4_194_304})),
            "above the limit of 4194303",
        ),
        (
            with("/model/vocab", json!({"<unk>": 0, "x".repeat(4097): 1})),
            "above the limit of 4096",
        ),
        (
            with(
                "/normalizer",
                json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
            ),
            "the table is not valid",
        ),
        (
            with(
                "/normalizer",
                json!({"type": "Precompiled", "precompiled_charsmap": "%"}),
            ),
            "base 64",
        ),
        (
            with(
                "/normalizer",
                json!({"type": "Prepend", "prepend": "x".repeat(17)}),
            ),
            "above the limit of 16",
        ),
        (
            with(
                "/normalizer",
                json!({"type": "Sequence", "normalizers": vec![json!({"type": "NFC"}); 13]}),
            ),
            "above the limit of 12",
        ),
    ] {
        let error = load(&file).unwrap_err();
        assert!(error.to_string().contains(text), "{text}: {error}");
    }
}

/// Truncated and damaged files, and random sections in each other's place: refused or accepted, never a panic.
#[test]
fn damaged_files_are_refused() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testing/text/tokenizers");
    let file = std::fs::read(folder.join("unigram-charsmap.json")).unwrap();
    for end in (0..file.len() - 2).step_by(997) {
        assert!(
            matches!(Tokenizer::from_json(&file[..end]), Err(LoadError::Json { .. })),
            "{end}"
        );
    }
    // bytes of the table of characters: mostly units of its array
    let start = file
        .windows(24)
        .position(|window| window == b"\"precompiled_charsmap\":\"")
        .unwrap()
        + 24;
    let (mut loaded, mut refused) = (0, 0);
    for place in (0..1200).step_by(3) {
        let mut damaged = file.clone();
        damaged[start + place] = if damaged[start + place] == b'/' {
            b'A'
        } else {
            b'/'
        };
        match Tokenizer::from_json(&damaged) {
            Ok(tokenizer) => {
                loaded += 1;
                // whatever the table says now, it leads nowhere
                let text: String = ('\u{1}'..'\u{3000}').chain('\u{ff00}'..'\u{ffff}').collect();
                match tokenizer.encode(&text, true) {
                    Ok(_) | Err(TextError::Expands { .. }) => {}
                    Err(error) => panic!("{place}: {error}"),
                }
            }
            Err(LoadError::Inconsistent { .. }) => refused += 1,
            Err(error) => panic!("{place}: {error}"),
        }
    }
    assert!(loaded > 10 && refused > 10, "{loaded} {refused}");
}
