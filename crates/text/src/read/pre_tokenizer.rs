//! Pre-tokenisers.

use super::{
    components,
    fields::{Fields, unsupported},
    pattern::{self, Pattern},
};
use crate::{LoadError, limits::MAX_REGULAR_EXPRESSIONS};
use serde_json::Value;
use tokenizers::{
    PreTokenizedString, PreTokenizer, PreTokenizerWrapper, SplitDelimiterBehavior,
    pattern::Invert,
    pre_tokenizers::{
        bert::BertPreTokenizer,
        byte_level::ByteLevel,
        delimiter::CharDelimiterSplit,
        digits::Digits,
        metaspace::{Metaspace, PrependScheme},
        punctuation::Punctuation,
        split::{Split, SplitPattern},
        whitespace::{Whitespace, WhitespaceSplit},
    },
    utils::SysRegex,
};

/// A step that cuts pieces.
#[derive(Debug)]
pub(crate) enum Cut {
    /// The library's.
    Library(PreTokenizerWrapper),
    /// The library's `Split` by a known expression, which all tokenizers share.
    Expression {
        regex: &'static SysRegex,
        behavior: SplitDelimiterBehavior,
        invert: bool,
    },
}

impl PreTokenizer for Cut {
    fn pre_tokenize(&self, pieces: &mut PreTokenizedString) -> tokenizers::Result<()> {
        match *self {
            Self::Library(ref step) => step.pre_tokenize(pieces),
            Self::Expression {
                regex,
                behavior,
                invert: true,
            } => pieces.split(|_, piece| piece.split(Invert(regex), behavior)),
            Self::Expression { regex, behavior, .. } => pieces.split(|_, piece| piece.split(regex, behavior)),
        }
    }
}

const KNOWN: &str = "BertPreTokenizer, ByteLevel, CharDelimiterSplit, Digits, Metaspace, Punctuation, Sequence, Split, Whitespace or \
                     WhitespaceSplit stands here";

pub(super) fn read(value: Option<&Value>) -> Result<Vec<Cut>, LoadError> {
    let mut expressions = 0;
    components(
        "pre_tokenizer",
        value,
        "pretokenizers",
        &mut |mut fields, list| {
            let step = match fields.kind()? {
                "BertPreTokenizer" => PreTokenizerWrapper::BertPreTokenizer(BertPreTokenizer),
                "ByteLevel" => PreTokenizerWrapper::ByteLevel(byte_level(&mut fields)?),
                "CharDelimiterSplit" => {
                    PreTokenizerWrapper::Delimiter(CharDelimiterSplit::new(fields.character("delimiter")?))
                }
                "Digits" => {
                    PreTokenizerWrapper::Digits(Digits::new(fields.boolean("individual_digits", None)?))
                }
                "Metaspace" => PreTokenizerWrapper::Metaspace(metaspace(&mut fields)?),
                "Punctuation" => PreTokenizerWrapper::Punctuation(Punctuation::new(behavior(
                    &mut fields,
                    Some(SplitDelimiterBehavior::Isolated),
                )?)),
                "Split" => {
                    list.push(split(&mut fields, &mut expressions)?);
                    return fields.finish();
                }
                "Whitespace" => PreTokenizerWrapper::Whitespace(Whitespace),
                "WhitespaceSplit" => PreTokenizerWrapper::WhitespaceSplit(WhitespaceSplit),
                other => return Err(unsupported(&fields.at("type"), other, KNOWN)),
            };
            list.push(Cut::Library(step));
            fields.finish()
        },
    )
}

/// `ByteLevel`, which decoders have too.
pub(super) fn byte_level(fields: &mut Fields<'_>) -> Result<ByteLevel, LoadError> {
    Ok(ByteLevel::new(
        fields.boolean("add_prefix_space", Some(true))?,
        fields.boolean("trim_offsets", Some(true))?,
        fields.boolean("use_regex", Some(true))?,
    ))
}

/// `Metaspace`, which decoders have too. Older files say `add_prefix_space` instead of, or beside, `prepend_scheme`.
pub(super) fn metaspace(fields: &mut Fields<'_>) -> Result<Metaspace, LoadError> {
    let replacement = fields.character("replacement")?;
    if fields.optional("str_rep").is_some() && fields.character("str_rep")? != replacement {
        let text = fields.string("str_rep")?;
        return Err(unsupported(
            &fields.at("str_rep"),
            text,
            "it says what replacement says",
        ));
    }
    let mut scheme = match fields.optional("prepend_scheme") {
        None => PrependScheme::Always,
        Some(_) => match fields.string("prepend_scheme")? {
            "always" => PrependScheme::Always,
            "first" => PrependScheme::First,
            "never" => PrependScheme::Never,
            other => {
                let expected = "always, first or never stands here";
                return Err(unsupported(&fields.at("prepend_scheme"), other, expected));
            }
        },
    };
    if !fields.boolean("add_prefix_space", Some(true))? {
        if fields.optional("prepend_scheme").is_some() && scheme != PrependScheme::Never {
            let expected = "with add_prefix_space false it is never";
            return Err(unsupported(
                &fields.at("prepend_scheme"),
                &scheme.to_string(),
                expected,
            ));
        }
        scheme = PrependScheme::Never;
    }
    Ok(Metaspace::new(
        replacement,
        scheme,
        fields.boolean("split", Some(true))?,
    ))
}

fn split(fields: &mut Fields<'_>, expressions: &mut usize) -> Result<Cut, LoadError> {
    let pattern = pattern::read(fields, "pattern", &pattern::SPLIT)?;
    let behavior = behavior(fields, None)?;
    let invert = fields.boolean("invert", None)?;
    let string = match pattern {
        Pattern::String(string) => string,
        Pattern::Regex(expression) => {
            *expressions += 1;
            if *expressions > MAX_REGULAR_EXPRESSIONS {
                return Err(LoadError::Limit {
                    field: fields.at("pattern.Regex"),
                    got: *expressions,
                    limit: MAX_REGULAR_EXPRESSIONS,
                });
            }
            let regex = pattern::compiled(expression).expect("what is read is on the list");
            return Ok(Cut::Expression {
                regex,
                behavior,
                invert,
            });
        }
    };
    let split = Split::new(SplitPattern::String(string.into()), behavior, invert);
    split
        .map(|split| Cut::Library(PreTokenizerWrapper::Split(split)))
        .map_err(|error| LoadError::Inconsistent {
            field: fields.at("pattern"),
            reason: error.to_string(),
        })
}

fn behavior(
    fields: &mut Fields<'_>,
    default: Option<SplitDelimiterBehavior>,
) -> Result<SplitDelimiterBehavior, LoadError> {
    if let (None, Some(default)) = (fields.optional("behavior"), default) {
        return Ok(default);
    }
    match fields.string("behavior")? {
        "Removed" => Ok(SplitDelimiterBehavior::Removed),
        "Isolated" => Ok(SplitDelimiterBehavior::Isolated),
        "MergedWithPrevious" => Ok(SplitDelimiterBehavior::MergedWithPrevious),
        "MergedWithNext" => Ok(SplitDelimiterBehavior::MergedWithNext),
        "Contiguous" => Ok(SplitDelimiterBehavior::Contiguous),
        other => {
            let expected = "Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous stands here";
            Err(unsupported(&fields.at("behavior"), other, expected))
        }
    }
}
