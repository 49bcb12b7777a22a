//! Rules: what surrounds the graphs, in numbers.

use crate::{
    Misfit,
    limits::{MAX_BEAMS, MAX_EOS, MAX_FORBIDDEN, MAX_FORBIDDEN_LENGTH, MAX_TOKENS},
};
use serde::{Deserialize, Serialize};

/// How a text becomes tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextRule {
    /// Whether the tokenizer's post-processor adds its special tokens.
    pub special_tokens: bool,
    /// The most tokens, special ones included; a longer text is refused.
    pub max_tokens: u32,
}

/// When a search with several beams ends that has as many finished sequences as beams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EarlyStopping {
    /// At once.
    Always,
    /// When the best running beam, ended now, would be worse than all of them.
    #[default]
    Heuristic,
    /// When no running beam can become better than the worst of them.
    Never,
}

/// How tokens are generated. Names are those of `generation_config.json`; ids are the tokenizer's. Nothing is left to chance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// The first token of a decoder that has an encoder; the token of an empty prompt of one that has none (or nothing: it is
    /// refused then).
    pub decoder_start_token_id: Option<u32>,
    /// What ends a sequence.
    pub eos_token_ids: Vec<u32>,
    /// The token that must come first.
    pub forced_bos_token_id: Option<u32>,
    /// The token that must come last where a sequence would be longest.
    pub forced_eos_token_id: Option<u32>,
    /// The most tokens of a sequence, prompt or first token included.
    pub max_length: u32,
    /// The most tokens that are generated.
    pub max_new_tokens: u32,
    /// Tokens of a sequence, prompt or first token included, before it may end.
    pub min_length: u32,
    /// Generated tokens before a sequence may end.
    pub min_new_tokens: u32,
    /// Beams; 1 is greedy.
    pub num_beams: u32,
    /// The power of a sequence's length by which its score is divided, in millionths.
    pub length_penalty_millionths: i64,
    /// When beams stop.
    pub early_stopping: EarlyStopping,
    /// No so many tokens stand twice in a sequence in the same order; 0 does not look.
    pub no_repeat_ngram_size: u32,
    /// Sequences that are never completed; of one token: never generated.
    pub bad_words_ids: Vec<Vec<u32>>,
    /// Never generated.
    pub suppress_tokens: Vec<u32>,
    /// Not generated first.
    pub begin_suppress_tokens: Vec<u32>,
    /// Whether scores of beams are made to add up to one again after what is forbidden has left.
    pub renormalize_logits: bool,
}

impl Generation {
    /// Checks what concerns the rule alone, and that ids are below a model's vocabulary.
    pub(crate) fn check(&self, vocabulary: usize) -> Result<(), Misfit> {
        let field = |name: &str| format!("generation.{name}");
        let limit = |name: &str, got: usize, limit: usize| -> Result<(), Misfit> {
            if got > limit {
                return Err(Misfit::new(
                    field(name),
                    format!("{got} is above the limit of {limit}"),
                ));
            }
            Ok(())
        };
        let id = |name: &str, id: u32| -> Result<(), Misfit> {
            if id as usize >= vocabulary {
                let reason =
                    format!("the token {id} is not among the {vocabulary} that the decoder's logits have");
                return Err(Misfit::new(field(name), reason));
            }
            Ok(())
        };
        if self.num_beams == 0 {
            return Err(Misfit::new(
                field("num_beams"),
                "there is at least one beam".into(),
            ));
        }
        limit("num_beams", self.num_beams as usize, MAX_BEAMS as usize)?;
        limit("eos_token_ids", self.eos_token_ids.len(), MAX_EOS)?;
        limit("bad_words_ids", self.bad_words_ids.len(), MAX_FORBIDDEN)?;
        limit("suppress_tokens", self.suppress_tokens.len(), MAX_FORBIDDEN)?;
        limit(
            "begin_suppress_tokens",
            self.begin_suppress_tokens.len(),
            MAX_FORBIDDEN,
        )?;
        for (name, value) in [
            ("max_length", self.max_length),
            ("max_new_tokens", self.max_new_tokens),
            ("min_length", self.min_length),
            ("min_new_tokens", self.min_new_tokens),
            ("no_repeat_ngram_size", self.no_repeat_ngram_size),
        ] {
            limit(name, value as usize, MAX_TOKENS as usize)?;
        }
        if self.max_length < 2 || self.max_new_tokens == 0 {
            let reason = "at least one token can be generated".into();
            return Err(Misfit::new(field("max_length"), reason));
        }
        if self.length_penalty_millionths.unsigned_abs() > 100_000_000 {
            let reason = "it is from -100 to 100".into();
            return Err(Misfit::new(field("length_penalty_millionths"), reason));
        }
        for words in &self.bad_words_ids {
            limit("bad_words_ids", words.len(), MAX_FORBIDDEN_LENGTH)?;
            if words.is_empty() {
                return Err(Misfit::new(field("bad_words_ids"), "a sequence is empty".into()));
            }
            words.iter().try_for_each(|&word| id("bad_words_ids", word))?;
        }
        for (name, list) in [
            ("eos_token_ids", &self.eos_token_ids),
            ("suppress_tokens", &self.suppress_tokens),
            ("begin_suppress_tokens", &self.begin_suppress_tokens),
        ] {
            list.iter().try_for_each(|&token| id(name, token))?;
            if !list.windows(2).all(|pair| pair[0] < pair[1]) {
                return Err(Misfit::new(
                    field(name),
                    "ids stand in ascending order, each once".into(),
                ));
            }
        }
        for (name, token) in [
            ("decoder_start_token_id", self.decoder_start_token_id),
            ("forced_bos_token_id", self.forced_bos_token_id),
            ("forced_eos_token_id", self.forced_eos_token_id),
        ] {
            token.map_or(Ok(()), |token| id(name, token))?;
        }
        // as many candidates are needed as sequences are kept in sight
        let kept = (self.eos_token_ids.len() + 1).max(2) * self.num_beams as usize;
        if kept > vocabulary {
            let reason = format!("{vocabulary} tokens are too few for that many beams");
            return Err(Misfit::new(field("num_beams"), reason));
        }
        Ok(())
    }
}
