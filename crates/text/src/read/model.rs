//! The model: vocabulary, merges, scores. The largest section, so it is read as what it is and counted while it is read.

use super::fields::{shortened, unsupported};
use crate::{
    LoadError,
    limits::{
        MAX_ID, MAX_MERGES, MAX_PIECE_BYTES, MAX_PREFIXES, MAX_TOKEN_BYTES, MAX_VOCABULARY, MAX_WORD_CHARS,
    },
    work::Algorithm,
};
use ahash::AHashMap;
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use std::{collections::BTreeMap, fmt, marker::PhantomData};
use tokenizers::{
    ModelWrapper,
    models::{bpe::BPE, unigram::Unigram, wordlevel::WordLevel, wordpiece::WordPiece},
};

/// The section with the fields of all kinds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawModel {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    vocab: Vocabulary,
    #[serde(default)]
    merges: Option<Counted<Merge, MAX_MERGES>>,
    #[serde(default)]
    unk_token: Option<String>,
    #[serde(default)]
    unk_id: Option<u32>,
    #[serde(default)]
    continuing_subword_prefix: Option<String>,
    #[serde(default)]
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    max_input_chars_per_word: Option<usize>,
    #[serde(default)]
    dropout: Option<f64>,
    #[serde(default)]
    fuse_unk: Option<bool>,
    #[serde(default)]
    byte_fallback: Option<bool>,
    #[serde(default)]
    ignore_merges: Option<bool>,
}

/// Tokens with their ids, or in the order of their ids with scores.
enum Vocabulary {
    Ids(Vec<(String, u32)>),
    Scores(Vec<(String, f64)>),
}

impl<'de> Deserialize<'de> for Vocabulary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Vocabulary;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("tokens with ids, or a list of tokens with scores")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vocabulary, A::Error> {
                let mut list = Vec::new();
                while let Some(entry) = map.next_entry::<String, u32>()? {
                    check_count::<A::Error>(list.len(), MAX_VOCABULARY)?;
                    list.push(entry);
                }
                Ok(Vocabulary::Ids(list))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Vocabulary, A::Error> {
                let list = Counted::<(String, f64), MAX_VOCABULARY>::collect(seq)?;
                Ok(Vocabulary::Scores(list.0))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

/// A list with a limit.
struct Counted<T, const LIMIT: usize>(Vec<T>);

impl<T, const LIMIT: usize> Counted<T, LIMIT> {
    fn collect<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<Self, A::Error>
    where
        T: Deserialize<'de>,
    {
        let mut list = Vec::new();
        while let Some(entry) = seq.next_element()? {
            check_count::<A::Error>(list.len(), LIMIT)?;
            list.push(entry);
        }
        Ok(Self(list))
    }
}

fn check_count<E: Error>(before: usize, limit: usize) -> Result<(), E> {
    if before == limit {
        return Err(E::custom(format!("more than {limit} entries")));
    }
    Ok(())
}

impl<'de, T: Deserialize<'de>, const LIMIT: usize> Deserialize<'de> for Counted<T, LIMIT> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<T, const LIMIT: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const LIMIT: usize> Visitor<'de> for List<T, LIMIT> {
            type Value = Counted<T, LIMIT>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                Counted::collect(seq)
            }
        }

        deserializer.deserialize_seq(List::<T, LIMIT>(PhantomData))
    }
}

/// Two tokens that become one: `"a b"`, or `["a", "b"]` where tokens have spaces.
struct Merge(String, String);

impl<'de> Deserialize<'de> for Merge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Merge;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("two tokens")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Merge, E> {
                match text.split_once(' ') {
                    Some((left, right)) if !right.contains(' ') => Ok(Merge(left.into(), right.into())),
                    _ => Err(E::custom(format!(
                        "a merge is two tokens, not `{}`",
                        shortened(text)
                    ))),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Merge, A::Error> {
                let mut next = || {
                    seq.next_element()?
                        .ok_or_else(|| A::Error::custom("a merge is two tokens"))
                };
                let (left, right) = (next()?, next()?);
                match seq.next_element::<String>()? {
                    None => Ok(Merge(left, right)),
                    Some(_) => Err(A::Error::custom("a merge is two tokens")),
                }
            }
        }

        deserializer.deserialize_any(Either)
    }
}

/// A model with what its work follows from.
pub(super) struct BuiltModel {
    pub(super) model: ModelWrapper,
    pub(super) largest_id: u32,
    pub(super) longest_token: usize,
    pub(super) algorithm: Algorithm,
    pub(super) entries: usize,
    pub(super) prefixes: usize,
}

pub(super) fn build(raw: RawModel) -> Result<BuiltModel, LoadError> {
    match raw.kind.as_deref() {
        Some("BPE") => bpe(raw),
        Some("Unigram") => unigram(raw),
        Some("WordPiece") => word_piece(raw),
        Some("WordLevel") => word_level(raw),
        Some(other) => {
            let expected = "BPE, Unigram, WordLevel or WordPiece stands here";
            Err(unsupported("model.type", other, expected))
        }
        None => Err(LoadError::Missing {
            field: "model.type".into(),
        }),
    }
}

/// Refuses a field that a kind of model does not have.
fn absent<T: fmt::Debug>(name: &str, value: Option<&T>) -> Result<(), LoadError> {
    match value {
        None => Ok(()),
        Some(value) => Err(unsupported(
            &format!("model.{name}"),
            &format!("{value:?}"),
            "a model of this type has no such field",
        )),
    }
}

impl RawModel {
    /// The vocabulary by id: tokens and ids are each there once, tokens short and ids low.
    fn ids(&mut self, longest_allowed: usize) -> Result<Ids, LoadError> {
        let Vocabulary::Ids(list) = std::mem::replace(&mut self.vocab, Vocabulary::Ids(Vec::new())) else {
            return Err(unsupported(
                "model.vocab",
                "a list",
                "tokens with their ids stand here",
            ));
        };
        let mut seen = BTreeMap::new();
        let mut longest = 0;
        for (token, id) in &list {
            longest = longest.max(check_token(token, longest_allowed)?);
            if *id >= MAX_ID {
                return Err(LoadError::Limit {
                    field: format!("model.vocab[{:?}]", shortened(token)),
                    got: *id as usize,
                    limit: MAX_ID as usize - 1,
                });
            }
            if let Some(other) = seen.insert(*id, token.as_str()) {
                let reason = format!(
                    "{:?} and {:?} have the id {id}",
                    shortened(other),
                    shortened(token)
                );
                return Err(inconsistent("model.vocab", reason));
            }
        }
        let Some((&largest, _)) = seen.last_key_value() else {
            return Err(inconsistent("model.vocab", "it is empty".into()));
        };
        let entries = list.len();
        let map: AHashMap<String, u32> = list.into_iter().collect();
        if map.len() != entries {
            return Err(inconsistent("model.vocab", "a token is there twice".into()));
        }
        Ok(Ids {
            map,
            largest,
            longest,
        })
    }

    /// The token for what is not known, which must be in the vocabulary.
    fn unknown(&mut self, ids: &Ids) -> Result<String, LoadError> {
        let token = self.unk_token.take().ok_or_else(|| LoadError::Missing {
            field: "model.unk_token".into(),
        })?;
        ids.check_unknown(&token)?;
        Ok(token)
    }
}

struct Ids {
    map: AHashMap<String, u32>,
    largest: u32,
    longest: usize,
}

impl Ids {
    fn check_unknown(&self, token: &str) -> Result<(), LoadError> {
        if self.map.contains_key(token) {
            return Ok(());
        }
        let reason = format!("{:?} is not in the vocabulary", shortened(token));
        Err(inconsistent("model.unk_token", reason))
    }

    fn built(
        self,
        algorithm: Algorithm,
        build: impl FnOnce(Self) -> Result<ModelWrapper, LoadError>,
    ) -> Result<BuiltModel, LoadError> {
        let (largest_id, longest_token, entries) = (self.largest, self.longest, self.map.len());
        Ok(BuiltModel {
            model: build(self)?,
            largest_id,
            longest_token,
            algorithm,
            entries,
            prefixes: 0,
        })
    }
}

fn inconsistent(field: &str, reason: String) -> LoadError {
    LoadError::Inconsistent {
        field: field.into(),
        reason,
    }
}

/// The bytes of a token, which has some.
fn check_token(token: &str, limit: usize) -> Result<usize, LoadError> {
    if token.is_empty() {
        return Err(unsupported("model.vocab", "\"\"", "a token has characters"));
    }
    if token.len() > limit {
        return Err(LoadError::Limit {
            field: format!("model.vocab[{:?}]", shortened(token)),
            got: token.len(),
            limit,
        });
    }
    Ok(token.len())
}

fn failed(error: Box<dyn std::error::Error + Send + Sync>) -> LoadError {
    inconsistent("model", error.to_string())
}

fn bpe(mut raw: RawModel) -> Result<BuiltModel, LoadError> {
    absent("unk_id", raw.unk_id.as_ref())?;
    absent("max_input_chars_per_word", raw.max_input_chars_per_word.as_ref())?;
    if let Some(dropout) = raw.dropout.filter(|&dropout| dropout != 0.0) {
        let expected = "null or 0 stands here: encoding leaves nothing to chance";
        return Err(unsupported("model.dropout", &dropout.to_string(), expected));
    }
    if let Some(prefix) = raw
        .continuing_subword_prefix
        .take()
        .filter(|prefix| !prefix.is_empty())
    {
        let expected = "null or an empty string stands here";
        return Err(unsupported("model.continuing_subword_prefix", &prefix, expected));
    }
    let suffix = raw.end_of_word_suffix.take().filter(|suffix| !suffix.is_empty());
    if let Some(suffix) = &suffix {
        check_token(suffix, MAX_PIECE_BYTES)?;
    }
    let ids = raw.ids(MAX_TOKEN_BYTES)?;
    let unknown = raw.unk_token.take();
    if let Some(token) = &unknown {
        ids.check_unknown(token)?;
    }
    let Some(Counted(merges)) = raw.merges else {
        return Err(LoadError::Missing {
            field: "model.merges".into(),
        });
    };
    // the library puts tokens together in as much room as the longest has, before it asks whether there is such a token
    let too_long = |Merge(left, right): &Merge| left.len() + right.len() > ids.longest;
    if let Some(index) = merges.iter().position(too_long) {
        let Merge(left, right) = &merges[index];
        let reason = format!(
            "{:?} and {:?} together are longer than any token of the vocabulary",
            shortened(left),
            shortened(right)
        );
        return Err(inconsistent(&format!("model.merges[{index}]"), reason));
    }
    ids.built(Algorithm::Bpe, |ids| {
        let merges = merges
            .into_iter()
            .map(|Merge(left, right)| (left, right))
            .collect();
        let mut builder = BPE::builder()
            .vocab_and_merges(ids.map, merges)
            // results do not depend on it, but what it holds is never let go of
            .cache_capacity(0)
            .fuse_unk(raw.fuse_unk.unwrap_or(false))
            .byte_fallback(raw.byte_fallback.unwrap_or(false))
            .ignore_merges(raw.ignore_merges.unwrap_or(false));
        if let Some(token) = unknown {
            builder = builder.unk_token(token);
        }
        if let Some(suffix) = suffix {
            builder = builder.end_of_word_suffix(suffix);
        }
        builder.build().map(ModelWrapper::BPE).map_err(failed)
    })
}

fn word_piece(mut raw: RawModel) -> Result<BuiltModel, LoadError> {
    no_merging(&raw)?;
    absent("unk_id", raw.unk_id.as_ref())?;
    let ids = raw.ids(MAX_PIECE_BYTES)?;
    let unknown = raw.unknown(&ids)?;
    let prefix = raw
        .continuing_subword_prefix
        .take()
        .unwrap_or_else(|| "##".into());
    if !prefix.is_empty() {
        check_token(&prefix, MAX_PIECE_BYTES)?;
    }
    let word = raw.max_input_chars_per_word.unwrap_or(100);
    if word > MAX_WORD_CHARS {
        return Err(LoadError::Limit {
            field: "model.max_input_chars_per_word".into(),
            got: word,
            limit: MAX_WORD_CHARS,
        });
    }
    ids.built(
        Algorithm::WordPiece {
            word,
            prefix: prefix.len(),
        },
        |ids| {
            let model = WordPiece::builder()
                .vocab(ids.map)
                .unk_token(unknown)
                .continuing_subword_prefix(prefix)
                .max_input_chars_per_word(word)
                .build();
            model.map(ModelWrapper::WordPiece).map_err(failed)
        },
    )
}

fn word_level(mut raw: RawModel) -> Result<BuiltModel, LoadError> {
    no_merging(&raw)?;
    absent("unk_id", raw.unk_id.as_ref())?;
    absent(
        "continuing_subword_prefix",
        raw.continuing_subword_prefix.as_ref(),
    )?;
    absent("max_input_chars_per_word", raw.max_input_chars_per_word.as_ref())?;
    let ids = raw.ids(MAX_TOKEN_BYTES)?;
    let unknown = raw.unknown(&ids)?;
    ids.built(Algorithm::WordLevel, |ids| {
        let model = WordLevel::builder().vocab(ids.map).unk_token(unknown).build();
        model.map(ModelWrapper::WordLevel).map_err(failed)
    })
}

fn no_merging(raw: &RawModel) -> Result<(), LoadError> {
    absent(
        "merges",
        raw.merges.as_ref().map(|merges| merges.0.len()).as_ref(),
    )?;
    absent("dropout", raw.dropout.as_ref())?;
    absent("end_of_word_suffix", raw.end_of_word_suffix.as_ref())?;
    absent("fuse_unk", raw.fuse_unk.as_ref())?;
    absent("byte_fallback", raw.byte_fallback.as_ref())?;
    absent("ignore_merges", raw.ignore_merges.as_ref())
}

fn unigram(mut raw: RawModel) -> Result<BuiltModel, LoadError> {
    let byte_fallback = raw.byte_fallback.take().unwrap_or(false);
    no_merging(&raw)?;
    absent("unk_token", raw.unk_token.as_ref())?;
    absent(
        "continuing_subword_prefix",
        raw.continuing_subword_prefix.as_ref(),
    )?;
    absent("max_input_chars_per_word", raw.max_input_chars_per_word.as_ref())?;
    let Vocabulary::Scores(list) = raw.vocab else {
        let expected = "a list of tokens with scores stands here";
        return Err(unsupported("model.vocab", "an object", expected));
    };
    let unknown = raw.unk_id.ok_or_else(|| LoadError::Missing {
        field: "model.unk_id".into(),
    })? as usize;
    if unknown >= list.len() {
        let reason = format!("{unknown} is not in the vocabulary of {} tokens", list.len());
        return Err(inconsistent("model.unk_id", reason));
    }
    let mut longest = 0;
    for (token, score) in &list {
        longest = longest.max(check_token(token, MAX_PIECE_BYTES)?);
        // sums of so many stay finite and exact enough to compare
        if score.abs() > 1e9 {
            let field = format!("model.vocab[{:?}]", shortened(token));
            return Err(unsupported(
                &field,
                &score.to_string(),
                "a score is from -1e9 to 1e9",
            ));
        }
    }
    let (prefixes, chain) = prefixes(&list)?;
    if prefixes > MAX_PREFIXES {
        return Err(LoadError::Limit {
            field: "model.vocab".into(),
            got: prefixes,
            limit: MAX_PREFIXES,
        });
    }
    let (largest_id, entries) = (list.len() as u32 - 1, list.len());
    let mut model = Unigram::from(list, Some(unknown), byte_fallback).map_err(failed)?;
    // results do not depend on it, but what it holds is never let go of
    model.resize_cache(0);
    Ok(BuiltModel {
        model: ModelWrapper::Unigram(model),
        largest_id,
        longest_token: longest,
        algorithm: Algorithm::Unigram {
            longest_token: longest,
            chain,
        },
        entries,
        prefixes,
    })
}

/// How many different prefixes the tokens have, and how many tokens at most begin one another: what a search at one place of a text
/// walks over and finds.
fn prefixes(list: &[(String, f64)]) -> Result<(usize, usize), LoadError> {
    let mut sorted: Vec<&[u8]> = list.iter().map(|(token, _)| token.as_bytes()).collect();
    sorted.sort_unstable();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        let token = shortened(&String::from_utf8_lossy(pair[0]));
        return Err(inconsistent("model.vocab", format!("{token:?} is there twice")));
    }
    let (mut count, mut longest_chain) = (0, 0);
    let mut chain: Vec<&[u8]> = Vec::new();
    let mut before: &[u8] = b"";
    for token in sorted {
        let common = before.iter().zip(token).take_while(|(a, b)| a == b).count();
        count += token.len() - common;
        while chain.last().is_some_and(|last| !token.starts_with(last)) {
            chain.pop();
        }
        chain.push(token);
        longest_chain = longest_chain.max(chain.len());
        before = token;
    }
    Ok((count, longest_chain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_counted_as_the_tree_has_them() {
        let list = ["a", "ab", "abc", "b", "bcd", "abd"].map(|token| (token.to_owned(), 0.0));
        // a ab abc abd b bc bcd; a, ab and abc begin one another
        assert_eq!(prefixes(&list), Ok((7, 3)));
        let twice = ["a", "b", "a"].map(|token| (token.to_owned(), 0.0));
        assert!(prefixes(&twice).is_err());
    }
}
