//! How many tokens of a long text are kept.

use super::fields::{Fields, unsupported};
use crate::LoadError;
use serde_json::Value;

/// The most tokens of an encoding, special ones included, and which are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Truncation {
    pub(crate) tokens: usize,
    /// The last ones rather than the first ones.
    pub(crate) keep_last: bool,
}

/// Reads the section; a template adds so many tokens.
pub(super) fn read(value: Option<&Value>, added: usize) -> Result<Option<Truncation>, LoadError> {
    let Some(value) = value else { return Ok(None) };
    let mut fields = Fields::new("truncation".into(), value)?;
    let tokens = fields.number("max_length")?;
    if tokens < added {
        return Err(LoadError::Inconsistent {
            field: fields.at("max_length"),
            reason: format!("{tokens} tokens have no room for the {added} that the post-processor adds"),
        });
    }
    match fields.string("strategy")? {
        // the same where there is one text
        "LongestFirst" | "OnlyFirst" => {}
        other => {
            let expected = "LongestFirst or OnlyFirst stands here";
            return Err(unsupported(&fields.at("strategy"), other, expected));
        }
    }
    // how far pieces that are left out would overlap
    fields.number("stride")?;
    let keep_last = match fields.optional("direction") {
        None => false,
        Some(_) => match fields.string("direction")? {
            "Right" => false,
            "Left" => true,
            other => {
                let expected = "Right or Left stands here";
                return Err(unsupported(&fields.at("direction"), other, expected));
            }
        },
    };
    fields.finish()?;
    Ok(Some(Truncation { tokens, keep_last }))
}
