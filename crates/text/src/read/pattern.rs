//! Patterns: any short string, and the regular expressions that are known to take time linear in the text.
//!
//! The engine backtracks where an expression looks around, as `\s+(?!\S)` does: one step back, and what it gave up begins the next
//! match. `examples/text_throughput.rs` measures each of them on runs of what it repeats.

use super::fields::{Fields, unsupported};
use crate::{LoadError, limits::MAX_REPLACEMENT_BYTES};
use std::sync::OnceLock;
use tokenizers::utils::SysRegex;

/// What a pattern is.
pub(super) enum Pattern<'v> {
    String(&'v str),
    Regex(&'v str),
}

/// Expressions that split words, by where they come from.
pub(crate) const SPLIT: [&str; 9] = [
    // GPT-2, in two spellings
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    // cl100k: GPT-4, Llama 3
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    // Qwen 2
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    // o200k: GPT-4o
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    // CLIP
    r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
    r"\s+",
    r"\p{N}{1,3}",
    r"\d",
];

/// The expression, compiled: once for a process, as compiling takes milliseconds and a tokenizer has no part in it.
///
/// What searches keep of it (lazy automata, within the engine's own limit) is the process's as well, and in no text's price: there are
/// as many expressions as the list has, whatever is published.
pub(super) fn compiled(expression: &str) -> Option<&'static SysRegex> {
    static COMPILED: [OnceLock<SysRegex>; SPLIT.len()] = [const { OnceLock::new() }; SPLIT.len()];
    let index = SPLIT.iter().position(|known| *known == expression)?;
    let compile = || SysRegex::new(SPLIT[index]).expect("an expression of the list is one of the engine");
    Some(COMPILED[index].get_or_init(compile))
}

/// Expressions that are replaced: runs of white space, as SentencePiece's files have them.
pub(crate) const REPLACE: &[&str] = &[r" {2,}", r" +", r"\s+", r"\s{2,}"];

/// Reads `{"String": …}` or `{"Regex": …}`.
pub(super) fn read<'v>(
    fields: &mut Fields<'v>,
    name: &'static str,
    known: &[&str],
) -> Result<Pattern<'v>, LoadError> {
    let mut pattern = fields.object(name)?;
    let read = if pattern.optional("String").is_some() {
        let string = short(&mut pattern, "String")?;
        if string.is_empty() {
            return Err(unsupported(
                &pattern.at("String"),
                "\"\"",
                "a pattern has characters",
            ));
        }
        Pattern::String(string)
    } else {
        let regex = pattern.string("Regex")?;
        if !known.contains(&regex) {
            let expected = "of regular expressions only known ones of linear time may stand here";
            return Err(unsupported(&pattern.at("Regex"), regex, expected));
        }
        Pattern::Regex(regex)
    };
    pattern.finish()?;
    Ok(read)
}

/// A string that every match may become.
pub(super) fn short<'v>(fields: &mut Fields<'v>, name: &'static str) -> Result<&'v str, LoadError> {
    let string = fields.string(name)?;
    if string.len() > MAX_REPLACEMENT_BYTES {
        return Err(LoadError::Limit {
            field: fields.at(name),
            got: string.len(),
            limit: MAX_REPLACEMENT_BYTES,
        });
    }
    Ok(string)
}
