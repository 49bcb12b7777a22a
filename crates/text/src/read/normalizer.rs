//! Normalisers.

use super::{
    charsmap, components,
    fields::unsupported,
    pattern::{self, Pattern},
};
use crate::LoadError;
use serde_json::Value;
use tokenizers::{
    NormalizerWrapper,
    normalizers::{
        BertNormalizer, ByteLevel, Lowercase, NFC, NFD, NFKC, NFKD, Nmt, Prepend, Replace, Strip,
        StripAccents, replace::ReplacePattern,
    },
};

const KNOWN: &str = "BertNormalizer, ByteLevel, Lowercase, NFC, NFD, NFKC, NFKD, Nmt, Precompiled, Prepend, Replace, Sequence, Strip \
                     or StripAccents stands here";

pub(super) fn read(value: Option<&Value>) -> Result<Vec<NormalizerWrapper>, LoadError> {
    components("normalizer", value, "normalizers", &mut |mut fields, list| {
        let wrapper = match fields.kind()? {
            "BertNormalizer" => {
                let strip_accents = match fields.optional("strip_accents") {
                    None => None,
                    Some(_) => Some(fields.boolean("strip_accents", None)?),
                };
                NormalizerWrapper::BertNormalizer(BertNormalizer::new(
                    fields.boolean("clean_text", None)?,
                    fields.boolean("handle_chinese_chars", None)?,
                    strip_accents,
                    fields.boolean("lowercase", None)?,
                ))
            }
            "ByteLevel" => NormalizerWrapper::ByteLevel(ByteLevel::new()),
            "Lowercase" => NormalizerWrapper::Lowercase(Lowercase),
            "NFC" => NormalizerWrapper::NFC(NFC),
            "NFD" => NormalizerWrapper::NFD(NFD),
            "NFKC" => NormalizerWrapper::NFKC(NFKC),
            "NFKD" => NormalizerWrapper::NFKD(NFKD),
            "Nmt" => NormalizerWrapper::Nmt(Nmt),
            "Precompiled" => match charsmap::read(&mut fields, "precompiled_charsmap")? {
                Some(table) => NormalizerWrapper::Precompiled(table),
                // an empty table leaves everything as it is
                None => return fields.finish(),
            },
            "Prepend" => {
                NormalizerWrapper::Prepend(Prepend::new(pattern::short(&mut fields, "prepend")?.into()))
            }
            "Replace" => NormalizerWrapper::Replace(replace(&mut fields)?),
            "Strip" => NormalizerWrapper::StripNormalizer(Strip::new(
                fields.boolean("strip_left", None)?,
                fields.boolean("strip_right", None)?,
            )),
            "StripAccents" => NormalizerWrapper::StripAccents(StripAccents),
            other => return Err(unsupported(&fields.at("type"), other, KNOWN)),
        };
        list.push(wrapper);
        fields.finish()
    })
}

/// `Replace`, which decoders have too.
pub(super) fn replace(fields: &mut super::Fields<'_>) -> Result<Replace, LoadError> {
    let content = pattern::short(fields, "content")?.to_owned();
    let pattern = match pattern::read(fields, "pattern", pattern::REPLACE)? {
        Pattern::String(string) => ReplacePattern::String(string.into()),
        Pattern::Regex(regex) => ReplacePattern::Regex(regex.into()),
    };
    Replace::new(pattern, content).map_err(|error| LoadError::Inconsistent {
        field: fields.at("pattern"),
        reason: error.to_string(),
    })
}
