//! Added tokens: found in the text before anything else is done with it.

use super::fields::{shortened, unsupported};
use crate::{
    LoadError,
    limits::{MAX_ADDED_TOKEN_BYTES, MAX_ADDED_TOKENS, MAX_ID},
    tokenizer::Steps,
};
use serde::Deserialize;
use std::collections::BTreeSet;
use tokenizers::{AddedToken, AddedVocabulary, ModelWrapper, NormalizerWrapper};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAddedToken {
    id: u32,
    content: String,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    normalized: bool,
    special: bool,
}

pub(super) struct Added {
    pub(super) vocabulary: AddedVocabulary,
    /// Bytes of the longest.
    pub(super) longest: usize,
    pub(super) largest_id: u32,
}

pub(super) fn build(
    list: Vec<RawAddedToken>,
    model: &ModelWrapper,
    normalizers: &[NormalizerWrapper],
) -> Result<Added, LoadError> {
    if list.len() > MAX_ADDED_TOKENS {
        return Err(LoadError::Limit {
            field: "added_tokens".into(),
            got: list.len(),
            limit: MAX_ADDED_TOKENS,
        });
    }
    let mut contents = BTreeSet::new();
    let (mut longest, mut largest_id) = (0, 0);
    for (index, token) in list.iter().enumerate() {
        let field = |name| format!("added_tokens[{index}].{name}");
        if token.content.is_empty() {
            return Err(unsupported(&field("content"), "\"\"", "a token has characters"));
        }
        for (name, got, limit) in [
            ("content", token.content.len(), MAX_ADDED_TOKEN_BYTES),
            ("id", token.id as usize, MAX_ID as usize - 1),
        ] {
            if got > limit {
                let field = field(name);
                return Err(LoadError::Limit { field, got, limit });
            }
        }
        if !contents.insert(token.content.as_str()) {
            let reason = format!("{:?} is there twice", shortened(&token.content));
            return Err(LoadError::Inconsistent {
                field: field("content"),
                reason,
            });
        }
        longest = longest.max(token.content.len());
        largest_id = largest_id.max(token.id);
    }
    drop(contents);
    let ids: Vec<(String, u32)> = list
        .iter()
        .map(|token| (token.content.clone(), token.id))
        .collect();
    let tokens = list.into_iter().map(|token| {
        AddedToken::from(token.content, token.special)
            .single_word(token.single_word)
            .lstrip(token.lstrip)
            .rstrip(token.rstrip)
            .normalized(token.normalized)
    });
    let mut vocabulary = AddedVocabulary::new();
    let steps = Steps::unlimited(normalizers);
    vocabulary
        .add_tokens(tokens, model, Some(&steps))
        .map_err(|error| LoadError::Inconsistent {
            field: "added_tokens".into(),
            reason: error.to_string(),
        })?;
    for (index, (content, id)) in ids.iter().enumerate() {
        let given = vocabulary.token_to_id(content, model);
        let back = vocabulary.get_added_tokens_decoder().get(id);
        if given != Some(*id) || back.is_none_or(|token| token.content != *content) {
            let reason = format!(
                "{:?} has the id {}: one of the vocabulary keeps its id, others go on behind the largest",
                shortened(content),
                given.map_or("of another token".into(), |id| id.to_string())
            );
            return Err(LoadError::Inconsistent {
                field: format!("added_tokens[{index}].id"),
                reason,
            });
        }
    }
    Ok(Added {
        vocabulary,
        longest,
        largest_id,
    })
}
