//! Decoders: from tokens to text.

use super::{components, fields::unsupported, normalizer, pattern, pre_tokenizer};
use crate::LoadError;
use serde_json::Value;
use tokenizers::{
    DecoderWrapper,
    decoders::{
        bpe::BPEDecoder, byte_fallback::ByteFallback, fuse::Fuse, strip::Strip, wordpiece::WordPiece,
    },
};

const KNOWN: &str =
    "BPEDecoder, ByteFallback, ByteLevel, Fuse, Metaspace, Replace, Sequence, Strip or WordPiece stands here";

/// The steps of a decoder; `None` where tokens are joined by spaces.
pub(super) fn read(value: Option<&Value>) -> Result<Option<Vec<DecoderWrapper>>, LoadError> {
    let list = components("decoder", value, "decoders", &mut |mut fields, list| {
        list.push(match fields.kind()? {
            "BPEDecoder" => {
                DecoderWrapper::BPE(BPEDecoder::new(pattern::short(&mut fields, "suffix")?.into()))
            }
            "ByteFallback" => DecoderWrapper::ByteFallback(ByteFallback::new()),
            "ByteLevel" => DecoderWrapper::ByteLevel(pre_tokenizer::byte_level(&mut fields)?),
            "Fuse" => DecoderWrapper::Fuse(Fuse::new()),
            "Metaspace" => DecoderWrapper::Metaspace(pre_tokenizer::metaspace(&mut fields)?),
            "Replace" => DecoderWrapper::Replace(normalizer::replace(&mut fields)?),
            "Strip" => {
                let (content, start, stop) = (
                    fields.character("content")?,
                    fields.number("start")?,
                    fields.number("stop")?,
                );
                if stop != 0 {
                    let expected = "0 stands here: nothing is cut off at the end of tokens";
                    return Err(unsupported(&fields.at("stop"), &stop.to_string(), expected));
                }
                DecoderWrapper::Strip(Strip::new(content, start, stop))
            }
            "WordPiece" => DecoderWrapper::WordPiece(WordPiece::new(
                pattern::short(&mut fields, "prefix")?.into(),
                fields.boolean("cleanup", None)?,
            )),
            other => return Err(unsupported(&fields.at("type"), other, KNOWN)),
        });
        fields.finish()
    })?;
    Ok(value.map(|_| list))
}
