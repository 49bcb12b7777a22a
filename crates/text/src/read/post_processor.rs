//! Post-processors: the special tokens before and after a text.

use super::{
    components,
    fields::{Fields, shortened, unsupported},
};
use crate::{LoadError, limits::MAX_TEMPLATE_TOKENS};
use serde_json::Value;
use tokenizers::{AddedVocabulary, ModelWrapper};

const KNOWN: &str =
    "BertProcessing, ByteLevel, RobertaProcessing, Sequence or TemplateProcessing stands here";

/// Ids that stand before and after those of a text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) before: Vec<u32>,
    pub(crate) after: Vec<u32>,
}

impl Template {
    /// Tokens that it adds.
    pub(crate) fn len(&self) -> usize {
        self.before.len() + self.after.len()
    }
}

pub(super) fn read(
    value: Option<&Value>,
    added: &AddedVocabulary,
    model: &ModelWrapper,
) -> Result<Template, LoadError> {
    let known = Known { added, model };
    let templates = components("post_processor", value, "processors", &mut |mut fields, list| {
        match fields.kind()? {
            // concerns places in the text, not ids
            "ByteLevel" => {
                super::pre_tokenizer::byte_level(&mut fields)?;
            }
            "BertProcessing" => list.push(known.pair(&mut fields)?),
            "RobertaProcessing" => {
                list.push(known.pair(&mut fields)?);
                fields.boolean("trim_offsets", Some(true))?;
                fields.boolean("add_prefix_space", Some(true))?;
            }
            "TemplateProcessing" => list.push(known.template(&mut fields)?),
            other => return Err(unsupported(&fields.at("type"), other, KNOWN)),
        }
        fields.finish()
    })?;
    // each puts its tokens around what the one before made
    let mut all = Template::default();
    for template in templates {
        all.before.splice(0..0, template.before);
        all.after.extend(template.after);
    }
    if all.len() > MAX_TEMPLATE_TOKENS {
        return Err(LoadError::Limit {
            field: "post_processor".into(),
            got: all.len(),
            limit: MAX_TEMPLATE_TOKENS,
        });
    }
    Ok(all)
}

struct Known<'t> {
    added: &'t AddedVocabulary,
    model: &'t ModelWrapper,
}

impl Known<'_> {
    /// The id of a token, which must be the one that the file states.
    fn id(&self, field: &str, token: &str, id: Option<u64>) -> Result<u32, LoadError> {
        match self.added.token_to_id(token, self.model) {
            Some(known) if id == Some(known.into()) => Ok(known),
            known => {
                let known = known.map_or("no id".into(), |id| format!("the id {id}"));
                let reason = format!("{:?} has {known} in the vocabulary", shortened(token));
                Err(LoadError::Inconsistent {
                    field: field.into(),
                    reason,
                })
            }
        }
    }

    /// `["[CLS]", 101]`, as `cls` and `sep`.
    fn pair(&self, fields: &mut Fields<'_>) -> Result<Template, LoadError> {
        let mut token = |name| {
            let (path, parts) = fields.array(name)?;
            match parts {
                [Value::String(token), id] => self.id(&path, token, id.as_u64()),
                _ => Err(unsupported(
                    &path,
                    &Value::from(parts).to_string(),
                    "a token and its id stand here",
                )),
            }
        };
        Ok(Template {
            before: vec![token("cls")?],
            after: vec![token("sep")?],
        })
    }

    fn template(&self, fields: &mut Fields<'_>) -> Result<Template, LoadError> {
        // two texts are never encoded together
        fields.array("pair")?;
        let (path, pieces) = fields.array("single")?;
        let mut tokens = fields.object("special_tokens")?;
        let mut template = Template::default();
        let mut text = false;
        for (index, piece) in pieces.iter().enumerate() {
            let mut piece = Fields::new(format!("{path}[{index}]"), piece)?;
            if piece.optional("Sequence").is_some() {
                let mut sequence = piece.object("Sequence")?;
                match sequence.string("id")? {
                    "A" if !text => text = true,
                    other => {
                        let expected = "the text stands here, A, and once";
                        return Err(unsupported(&sequence.at("id"), other, expected));
                    }
                }
                type_id(&mut sequence)?;
                sequence.finish()?;
            } else {
                let mut special = piece.object("SpecialToken")?;
                let name = special.string("id")?;
                type_id(&mut special)?;
                let list = if text {
                    &mut template.after
                } else {
                    &mut template.before
                };
                self.special(&mut tokens, name, &special.at("id"), list)?;
                special.finish()?;
            }
            piece.finish()?;
        }
        if !text {
            return Err(LoadError::Inconsistent {
                field: path,
                reason: "the text, A, is not in it".into(),
            });
        }
        Ok(template)
    }

    /// The ids that a name in a template stands for.
    fn special(
        &self,
        tokens: &mut Fields<'_>,
        name: &str,
        field: &str,
        list: &mut Vec<u32>,
    ) -> Result<(), LoadError> {
        let Some((_, value)) = tokens.entries().find(|(key, _)| *key == name) else {
            return Err(unsupported(
                field,
                name,
                "it is the name of a special token of the template",
            ));
        };
        let mut entry = Fields::new(format!("{}[{:?}]", tokens.path(), shortened(name)), value)?;
        entry.string("id")?;
        let (path, ids) = entry.array("ids")?;
        let (_, names) = entry.array("tokens")?;
        if ids.len() != names.len() {
            let reason = format!("{} ids for {} tokens", ids.len(), names.len());
            return Err(LoadError::Inconsistent { field: path, reason });
        }
        for (id, token) in ids.iter().zip(names) {
            let token = token
                .as_str()
                .ok_or_else(|| unsupported(&path, &token.to_string(), "names of tokens are strings"))?;
            list.push(self.id(&path, token, id.as_u64())?);
            if list.len() > MAX_TEMPLATE_TOKENS {
                return Err(LoadError::Limit {
                    field: field.into(),
                    got: list.len(),
                    limit: MAX_TEMPLATE_TOKENS,
                });
            }
        }
        entry.finish()
    }
}

/// What kind of segment a piece is: all are of one kind.
fn type_id(fields: &mut Fields<'_>) -> Result<(), LoadError> {
    match fields.number("type_id")? {
        0 => Ok(()),
        other => {
            let expected = "0 stands here: a text is one segment";
            Err(unsupported(&fields.at("type_id"), &other.to_string(), expected))
        }
    }
}
