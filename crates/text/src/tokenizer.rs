//! Encoding and decoding, step by step: between steps what has grown is measured.

use crate::{
    LoadError, TextError,
    limits::{MAX_DECODED_BYTES, MAX_TEXT_BYTES, MAX_TOKENS, normalized_limit},
    read::{self, Cut, Template, Truncation},
    work::{self, Algorithm},
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};
use tokenizers::{
    AddedVocabulary, Decoder, DecoderWrapper, Model, ModelWrapper, NormalizedString, Normalizer,
    NormalizerWrapper, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
};

/// What a file's parts are built into.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) normalizers: Vec<NormalizerWrapper>,
    pub(crate) pre_tokenizers: Vec<Cut>,
    pub(crate) model: ModelWrapper,
    pub(crate) added: AddedVocabulary,
    pub(crate) template: Template,
    /// `None`: tokens are joined by spaces.
    pub(crate) decoder: Option<Vec<DecoderWrapper>>,
    pub(crate) truncation: Option<Truncation>,
    pub(crate) figures: Figures,
}

/// What work and memory follow from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) normalizers: usize,
    pub(crate) pre_tokenizers: usize,
    pub(crate) decoders: usize,
    /// Bytes of the longest added token.
    pub(crate) longest_added: usize,
    /// The largest id and one.
    pub(crate) vocabulary: u32,
    /// Bytes of the longest token.
    pub(crate) longest_token: usize,
    pub(crate) algorithm: Algorithm,
    pub(crate) file_bytes: usize,
    pub(crate) entries: usize,
    pub(crate) prefixes: usize,
}

/// A tokenizer. Cheap to clone: clones share everything.
///
/// Encoding and decoding are functions of their arguments: nothing is remembered between calls.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    parts: Arc<Parts>,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// If the bytes are not one, or have something in them that is not on the list of `docs/spec/pipeline.md` §2.
    pub fn from_json(bytes: &[u8]) -> Result<Self, LoadError> {
        let parts = caught(|| read::parts(bytes)).unwrap_or_else(|reason| {
            Err(LoadError::Inconsistent {
                field: "tokenizer.json".into(),
                reason,
            })
        })?;
        Ok(Self {
            parts: Arc::new(parts),
        })
    }

    /// The ids of a text's tokens, with the special ones around them that the file's post-processor adds if `special` is set. Of a
    /// text with more tokens than the file's truncation has, those at the beginning (or end) are left. An empty text has no tokens
    /// but special ones.
    ///
    /// A text that contains an added token, such as `</s>`, gets its id: as in the libraries that write these files.
    ///
    /// # Errors
    /// If the text is above the limits of [`limits`](crate::limits), before or after it is normalised.
    pub fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>, TextError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(TextError::TooLong { length: text.len() });
        }
        caught(|| self.parts.encode(text, special)).unwrap_or_else(|reason| Err(TextError::Failed { reason }))
    }

    /// [`Self::encode`] of bytes that should be UTF-8.
    ///
    /// # Errors
    /// If they are not, and as [`Self::encode`].
    pub fn encode_bytes(&self, bytes: &[u8], special: bool) -> Result<Vec<u32>, TextError> {
        if bytes.len() > MAX_TEXT_BYTES {
            return Err(TextError::TooLong { length: bytes.len() });
        }
        let text = std::str::from_utf8(bytes).map_err(|error| TextError::NotUtf8 {
            position: error.valid_up_to(),
        })?;
        self.encode(text, special)
    }

    /// The text of tokens, without special ones if `skip_special` is set. Ids that no token has give nothing; no tokens are an empty
    /// text. Tokens of bytes that are not UTF-8 give U+FFFD.
    ///
    /// # Errors
    /// If there are more tokens than [`MAX_TOKENS`](crate::limits::MAX_TOKENS), or more text than the limits allow.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, TextError> {
        if ids.len() > MAX_TOKENS {
            return Err(TextError::TooManyTokens { count: ids.len() });
        }
        caught(|| self.parts.decode(ids, skip_special))
            .unwrap_or_else(|reason| Err(TextError::Failed { reason }))
    }

    /// The id of a token: an added one, or one of the vocabulary.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.parts.added.token_to_id(token, &self.parts.model)
    }

    /// The token of an id, as the vocabulary has it.
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        self.parts.token(id)
    }

    /// Whether an id is that of a special token.
    pub fn is_special(&self, id: u32) -> bool {
        self.parts
            .token(id)
            .is_some_and(|token| self.parts.added.is_special_token(&token))
    }

    /// The largest id and one: what a model's table of embeddings must have rows for.
    pub fn vocabulary_size(&self) -> usize {
        self.parts.figures.vocabulary as usize
    }

    /// Tokens that [`Self::encode`] adds if `special` is set.
    pub fn added_tokens(&self) -> usize {
        self.parts.template.len()
    }

    /// The most tokens that an encoding has, if the file says so.
    pub fn max_tokens(&self) -> Option<usize> {
        self.parts.truncation.map(|truncation| truncation.tokens)
    }

    /// Work of [`Self::encode`] at most, for a text of so many bytes. See [`work`].
    pub fn encode_work(&self, bytes: usize) -> u64 {
        work::encode(&self.parts.figures, bytes)
    }

    /// Work of [`Self::decode`] at most, for so many tokens. See [`work`].
    pub fn decode_work(&self, tokens: usize) -> u64 {
        work::decode(&self.parts.figures, tokens)
    }

    /// Bytes of text that so many tokens become at most: what [`Self::decode`] refuses to go beyond, or what the longest token makes of them.
    pub fn decoded_bytes(&self, tokens: usize) -> usize {
        let longest = tokens.saturating_mul(self.parts.figures.longest_token);
        normalized_limit(longest.min(MAX_DECODED_BYTES))
    }

    /// Bytes of memory that the tokenizer takes, roughly: what a cache counts it as.
    pub fn memory_bytes(&self) -> u64 {
        let figures = &self.parts.figures;
        let entry = 2 * (32 + 16) + 32;
        let parts = [
            figures.file_bytes,
            figures.entries * entry,
            figures.prefixes * 400,
        ];
        parts.into_iter().map(|bytes| bytes as u64).sum()
    }

    /// Bytes of memory that encoding a text of so many bytes takes at its peak, beside the tokenizer.
    pub fn encode_memory(bytes: usize) -> u64 {
        // each byte, as a piece of its own, has two strings, places in the text, and a token
        (normalized_limit(bytes) as u64).saturating_mul(512)
    }
}

/// What `run` gives, or the panic that it ended with. None is known; one must not take a node with it.
fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_default()
    })
}

impl Parts {
    fn token(&self, id: u32) -> Option<String> {
        self.added
            .simple_id_to_token(id)
            .or_else(|| self.model.id_to_token(id))
    }

    fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>, TextError> {
        let limit = normalized_limit(text.len());
        let expands = || TextError::Expands { limit };
        let steps = Steps {
            steps: &self.normalizers,
            left: AtomicUsize::new(limit),
            stopped: AtomicBool::new(false),
        };
        let mut pieces = self.added.extract_and_normalize(Some(&steps), text);
        if steps.stopped.into_inner() {
            return Err(expands());
        }
        for step in &self.pre_tokenizers {
            step.pre_tokenize(&mut pieces).map_err(failed)?;
            if length(&pieces) > limit {
                return Err(expands());
            }
        }
        pieces
            .tokenize(|piece| self.model.tokenize(piece.get()))
            .map_err(failed)?;
        let pieces = pieces.get_splits(OffsetReferential::Normalized, OffsetType::None);
        let tokens = pieces.iter().flat_map(|(_, _, tokens)| tokens.iter().flatten());
        let mut ids: Vec<u32> = tokens.map(|token| token.id).collect();
        if let Some(truncation) = self.truncation {
            let room = truncation.tokens - if special { self.template.len() } else { 0 };
            if ids.len() > room && truncation.keep_last {
                ids.drain(..ids.len() - room);
            }
            ids.truncate(room);
        }
        if special {
            ids.splice(0..0, self.template.before.iter().copied());
            ids.extend(&self.template.after);
        }
        Ok(ids)
    }

    fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, TextError> {
        let mut tokens: Vec<String> = Vec::with_capacity(ids.len());
        let mut bytes = 0;
        for &id in ids {
            let token = self.token(id);
            let Some(token) = token.filter(|token| !skip_special || !self.added.is_special_token(token))
            else {
                continue;
            };
            bytes += token.len();
            if bytes > MAX_DECODED_BYTES {
                return Err(TextError::DecodedTooLong);
            }
            tokens.push(token);
        }
        if tokens.is_empty() {
            return Ok(String::new());
        }
        let Some(steps) = &self.decoder else {
            return Ok(tokens.join(" "));
        };
        let length = |tokens: &[String]| tokens.iter().map(String::len).sum::<usize>();
        let limit = normalized_limit(length(&tokens));
        for step in steps {
            tokens = step.decode_chain(tokens).map_err(failed)?;
            if length(&tokens) > limit {
                return Err(TextError::Expands { limit });
            }
        }
        Ok(tokens.concat())
    }
}

fn failed(error: tokenizers::Error) -> TextError {
    TextError::Failed {
        reason: error.to_string(),
    }
}

/// Bytes of all pieces.
fn length(pieces: &PreTokenizedString) -> usize {
    let pieces = pieces.get_splits(OffsetReferential::Normalized, OffsetType::None);
    pieces.iter().map(|(piece, _, _)| piece.len()).sum()
}

/// Normalisers one after another, as long as the text does not grow too much. What stops is said in a field, since the library does
/// not look at errors here.
#[derive(Debug)]
pub(crate) struct Steps<'n> {
    steps: &'n [NormalizerWrapper],
    /// Bytes that all pieces together may still have.
    left: AtomicUsize,
    stopped: AtomicBool,
}

impl<'n> Steps<'n> {
    /// For added tokens, which are short.
    pub(crate) fn unlimited(steps: &'n [NormalizerWrapper]) -> Self {
        Self {
            steps,
            left: AtomicUsize::new(usize::MAX),
            stopped: AtomicBool::new(false),
        }
    }
}

impl Normalizer for Steps<'_> {
    fn normalize(&self, text: &mut NormalizedString) -> tokenizers::Result<()> {
        let left = self.left.load(Relaxed);
        for step in self.steps {
            if self.stopped.load(Relaxed) {
                return Ok(());
            }
            let result = step.normalize(text);
            if result.is_err() || text.len() > left {
                self.stopped.store(true, Relaxed);
                return result;
            }
        }
        self.left.store(left.saturating_sub(text.len()), Relaxed);
        Ok(())
    }
}
