//! An object of a section, read field by field: what is left at the end is refused.

use crate::LoadError;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// An object and where it is.
pub(super) struct Fields<'v> {
    path: String,
    object: &'v Map<String, Value>,
    seen: BTreeSet<&'static str>,
}

impl<'v> Fields<'v> {
    pub(super) fn new(path: String, value: &'v Value) -> Result<Self, LoadError> {
        let object = value
            .as_object()
            .ok_or_else(|| unsupported(&path, &value.to_string(), "an object with a type stands here"))?;
        Ok(Self {
            path,
            object,
            seen: BTreeSet::new(),
        })
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The path of a field.
    pub(super) fn at(&self, name: &str) -> String {
        format!("{}.{name}", self.path)
    }

    pub(super) fn kind(&mut self) -> Result<&'v str, LoadError> {
        self.string("type")
    }

    /// A field that may be missing, or null.
    pub(super) fn optional(&mut self, name: &'static str) -> Option<&'v Value> {
        self.seen.insert(name);
        self.object.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn value(&mut self, name: &'static str) -> Result<&'v Value, LoadError> {
        self.optional(name)
            .ok_or_else(|| LoadError::Missing { field: self.at(name) })
    }

    pub(super) fn string(&mut self, name: &'static str) -> Result<&'v str, LoadError> {
        let value = self.value(name)?;
        value
            .as_str()
            .ok_or_else(|| self.unsupported(name, value, "a string stands here"))
    }

    pub(super) fn boolean(&mut self, name: &'static str, default: Option<bool>) -> Result<bool, LoadError> {
        match (self.optional(name), default) {
            (Some(value), _) => value
                .as_bool()
                .ok_or_else(|| self.unsupported(name, value, "true or false stands here")),
            (None, Some(default)) => Ok(default),
            (None, None) => Err(LoadError::Missing { field: self.at(name) }),
        }
    }

    pub(super) fn number(&mut self, name: &'static str) -> Result<usize, LoadError> {
        let value = self.value(name)?;
        value
            .as_u64()
            .and_then(|number| usize::try_from(number).ok())
            .ok_or_else(|| self.unsupported(name, value, "a whole number stands here"))
    }

    /// A string of one character.
    pub(super) fn character(&mut self, name: &'static str) -> Result<char, LoadError> {
        let string = self.string(name)?;
        let mut characters = string.chars();
        match (characters.next(), characters.next()) {
            (Some(character), None) => Ok(character),
            _ => Err(unsupported(&self.at(name), string, "one character stands here")),
        }
    }

    pub(super) fn array(&mut self, name: &'static str) -> Result<(String, &'v [Value]), LoadError> {
        let value = self.value(name)?;
        let array = value
            .as_array()
            .ok_or_else(|| self.unsupported(name, value, "a list stands here"))?;
        Ok((self.at(name), array))
    }

    /// The object that is a field.
    pub(super) fn object(&mut self, name: &'static str) -> Result<Fields<'v>, LoadError> {
        let value = self.value(name)?;
        Fields::new(self.at(name), value)
    }

    /// Names and values of an object whose names are not known ahead.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'v String, &'v Value)> + use<'v> {
        self.object.iter()
    }

    pub(super) fn unsupported(&self, name: &str, value: &Value, expected: &str) -> LoadError {
        unsupported(&self.at(name), &value.to_string(), expected)
    }

    /// Refuses fields that nobody asked for.
    pub(super) fn finish(self) -> Result<(), LoadError> {
        let unknown = self
            .object
            .iter()
            .find(|(name, _)| !self.seen.contains(name.as_str()));
        match unknown {
            None => Ok(()),
            Some((name, value)) => Err(unsupported(
                &self.at(&shortened(name)),
                &value.to_string(),
                "there is no such field",
            )),
        }
    }
}

pub(super) fn unsupported(field: &str, value: &str, expected: &str) -> LoadError {
    LoadError::Unsupported {
        field: field.into(),
        value: shortened(value),
        expected: expected.into(),
    }
}

/// Enough of a value to know it again.
pub(super) fn shortened(text: &str) -> String {
    const LONGEST: usize = 120;
    match text.char_indices().nth(LONGEST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
