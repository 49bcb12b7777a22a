//! Attributes of a node: typed values, and the reader through which an operator takes them.
//!
//! The reader remembers what was taken. What is left when the operator has been parsed is an attribute that this version
//! of the operator does not know, and the node is refused: an attribute is never ignored silently.

use crate::{
    Tensor,
    ops::{AttributeError, OpError},
};
use std::collections::BTreeMap;

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    /// `INT`
    Int(i64),
    /// `FLOAT`
    Float(f32),
    /// `STRING`
    String(Vec<u8>),
    /// `TENSOR`
    Tensor(Tensor),
    /// `INTS`
    Ints(Vec<i64>),
    /// `FLOATS`
    Floats(Vec<f32>),
    /// `STRINGS`
    Strings(Vec<Vec<u8>>),
}

impl Attribute {
    fn kind(&self) -> &'static str {
        match self {
            Self::Int(_) => "an int",
            Self::Float(_) => "a float",
            Self::String(_) => "a string",
            Self::Tensor(_) => "a tensor",
            Self::Ints(_) => "ints",
            Self::Floats(_) => "floats",
            Self::Strings(_) => "strings",
        }
    }
}

/// A node's attributes, handed to the operator's `parse`, which takes those it knows.
#[derive(Debug, Default)]
pub struct Attributes {
    left: BTreeMap<String, Attribute>,
}

macro_rules! getter {
    ($(#[$doc:meta])* $name:ident, $variant:ident, $type:ty, $expected:literal) => {
        $(#[$doc])*
        ///
        /// # Errors
        /// If the attribute has another type.
        pub fn $name(&mut self, name: &'static str) -> Result<Option<$type>, OpError> {
            match self.left.remove(name) {
                None => Ok(None),
                Some(Attribute::$variant(value)) => Ok(Some(value)),
                Some(other) => Err(AttributeError::Type { name, expected: $expected, got: other.kind() }.into()),
            }
        }
    };
}

impl Attributes {
    /// The attributes of a node.
    pub fn new(attributes: BTreeMap<String, Attribute>) -> Self {
        Self { left: attributes }
    }

    getter!(
        /// Takes an `INT`, if present.
        int, Int, i64, "an int"
    );
    getter!(
        /// Takes a `FLOAT`, if present.
        float, Float, f32, "a float"
    );
    getter!(
        /// Takes a `TENSOR`, if present.
        tensor, Tensor, Tensor, "a tensor"
    );
    getter!(
        /// Takes `INTS`, if present.
        ints, Ints, Vec<i64>, "ints"
    );
    getter!(
        /// Takes `FLOATS`, if present.
        floats, Floats, Vec<f32>, "floats"
    );
    getter!(
        /// Takes `STRINGS`, if present.
        strings, Strings, Vec<Vec<u8>>, "strings"
    );
    getter!(
        /// Takes a `STRING` as bytes, if present.
        bytes, String, Vec<u8>, "a string"
    );

    /// Takes a `STRING`, if present.
    ///
    /// # Errors
    /// If the attribute has another type or is not UTF-8.
    pub fn string(&mut self, name: &'static str) -> Result<Option<String>, OpError> {
        let Some(bytes) = self.bytes(name)? else {
            return Ok(None);
        };
        String::from_utf8(bytes)
            .map(Some)
            .map_err(|_| AttributeError::NotUtf8 { name }.into())
    }

    /// Takes an `INT` that is 0 or 1.
    ///
    /// # Errors
    /// If the attribute has another type or value.
    pub fn flag(&mut self, name: &'static str, default: bool) -> Result<bool, OpError> {
        match self.int(name)? {
            None => Ok(default),
            Some(0) => Ok(false),
            Some(1) => Ok(true),
            Some(value) => Err(AttributeError::Value {
                name,
                value: value.to_string(),
                expected: "0 or 1",
            }
            .into()),
        }
    }

    /// The names not taken yet.
    pub(crate) fn left(&self) -> impl Iterator<Item = &str> {
        self.left.keys().map(String::as_str)
    }
}
