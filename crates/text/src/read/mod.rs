//! Reading a `tokenizer.json`: strictly, section by section.

mod added;
mod charsmap;
mod decoder;
mod fields;
mod model;
mod normalizer;
mod pattern;
mod post_processor;
mod pre_tokenizer;
mod truncation;

use crate::{
    LoadError,
    limits::{MAX_FILE_BYTES, MAX_SECTION_BYTES},
    tokenizer::{Figures, Parts},
};
pub(crate) use post_processor::Template;
pub(crate) use pre_tokenizer::Cut;
pub(crate) use truncation::Truncation;

use added::RawAddedToken;
use fields::Fields;
use model::RawModel;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

/// The file. Sections whose form depends on their type are read in a second step.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File<'a> {
    version: String,
    #[serde(borrow, default)]
    truncation: Option<&'a RawValue>,
    #[serde(borrow, default)]
    padding: Option<&'a RawValue>,
    #[serde(default)]
    added_tokens: Vec<RawAddedToken>,
    #[serde(borrow, default)]
    normalizer: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pre_tokenizer: Option<&'a RawValue>,
    #[serde(borrow, default)]
    post_processor: Option<&'a RawValue>,
    #[serde(borrow, default)]
    decoder: Option<&'a RawValue>,
    model: RawModel,
}

/// Reads a file into the parts of a tokenizer.
pub(crate) fn parts(bytes: &[u8]) -> Result<Parts, LoadError> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(LoadError::TooLarge { length: bytes.len() });
    }
    let file: File<'_> = serde_json::from_slice(bytes).map_err(|error| json(&error))?;
    if file.version != "1.0" {
        return Err(fields::unsupported(
            "version",
            &file.version,
            "the version is 1.0",
        ));
    }
    section("padding", file.padding)?;
    let normalizers = normalizer::read(section("normalizer", file.normalizer)?.as_ref())?;
    let pre_tokenizers = pre_tokenizer::read(section("pre_tokenizer", file.pre_tokenizer)?.as_ref())?;
    let decoder = decoder::read(section("decoder", file.decoder)?.as_ref())?;
    let model = model::build(file.model)?;
    let added = added::build(file.added_tokens, &model.model, &normalizers)?;
    let template = post_processor::read(
        section("post_processor", file.post_processor)?.as_ref(),
        &added.vocabulary,
        &model.model,
    )?;
    let truncation = truncation::read(section("truncation", file.truncation)?.as_ref(), template.len())?;
    let figures = Figures {
        normalizers: normalizers.len(),
        pre_tokenizers: pre_tokenizers.len(),
        decoders: decoder.as_ref().map_or(1, Vec::len),
        longest_added: added.longest,
        vocabulary: model.largest_id.max(added.largest_id) + 1,
        longest_token: model.longest_token.max(added.longest),
        algorithm: model.algorithm,
        file_bytes: bytes.len(),
        entries: model.entries,
        prefixes: model.prefixes,
    };
    Ok(Parts {
        normalizers,
        pre_tokenizers,
        model: model.model,
        added: added.vocabulary,
        template,
        decoder,
        truncation,
        figures,
    })
}

fn json(error: &serde_json::Error) -> LoadError {
    let text = error.to_string();
    // the place is in fields of its own
    let reason = text
        .rsplit_once(" at line ")
        .map_or(text.as_str(), |(reason, _)| reason);
    LoadError::Json {
        line: error.line(),
        column: error.column(),
        reason: fields::shortened(reason),
    }
}

/// A section as a value; `None` where it is null.
fn section(name: &str, raw: Option<&RawValue>) -> Result<Option<Value>, LoadError> {
    let Some(raw) = raw else { return Ok(None) };
    let length = raw.get().len();
    if length > MAX_SECTION_BYTES {
        return Err(LoadError::Limit {
            field: name.into(),
            got: length,
            limit: MAX_SECTION_BYTES,
        });
    }
    let value: Value = serde_json::from_str(raw.get()).map_err(|error| json(&error))?;
    Ok(Some(value).filter(|value| !value.is_null()))
}

/// The components of a section one by one: of a sequence its parts, of anything else itself. `member` is the sequence's field.
fn components<T>(
    section: &str,
    value: Option<&Value>,
    member: &'static str,
    read: &mut impl FnMut(Fields<'_>, &mut Vec<T>) -> Result<(), LoadError>,
) -> Result<Vec<T>, LoadError> {
    let mut list = Vec::new();
    if let Some(value) = value {
        walk(Fields::new(section.to_owned(), value)?, member, read, &mut list)?;
    }
    Ok(list)
}

fn walk<T>(
    mut fields: Fields<'_>,
    member: &'static str,
    read: &mut impl FnMut(Fields<'_>, &mut Vec<T>) -> Result<(), LoadError>,
    list: &mut Vec<T>,
) -> Result<(), LoadError> {
    if fields.kind()? == "Sequence" {
        let (path, parts) = fields.array(member)?;
        for (index, part) in parts.iter().enumerate() {
            walk(Fields::new(format!("{path}[{index}]"), part)?, member, read, list)?;
        }
        return fields.finish();
    }
    let path = fields.path().to_owned();
    read(fields, list)?;
    if list.len() > crate::limits::MAX_COMPONENTS {
        return Err(LoadError::Limit {
            field: path,
            got: list.len(),
            limit: crate::limits::MAX_COMPONENTS,
        });
    }
    Ok(())
}
