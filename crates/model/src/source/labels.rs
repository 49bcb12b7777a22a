//! Strings that a model only hands through, the names of classes above all: read as numbers.
//!
//! Networks have tensors of numbers, the profile has no others. Each string of the file gets a number, in the order in which the file first has
//! it, so that the classes of a classifier are numbered as their names are listed. A label that is a name is then its number, in the
//! outputs too. An input of strings is refused: a caller could not know the numbers.

use super::{ImportError, SourceNode};
use crate::{Attribute, DType, Tensor, ops::ML_DOMAIN, proto::TensorProto, shape::shape_from_i64s};
use std::collections::BTreeMap;

/// `TensorProto.DataType.STRING`.
pub(super) const STRING: i32 = 8;

/// What a LabelEncoder gives for what it does not know, if the file does not say.
const UNKNOWN: i64 = -1;

/// Lists of strings, by operator of `ai.onnx.ml`, and the lists of integers that take their place.
const LISTS: &[(&str, &str, &str)] = &[
    ("LabelEncoder", "keys_strings", "keys_int64s"),
    ("LabelEncoder", "values_strings", "values_int64s"),
    ("LinearClassifier", "classlabels_strings", "classlabels_ints"),
    ("SVMClassifier", "classlabels_strings", "classlabels_ints"),
    (
        "TreeEnsembleClassifier",
        "classlabels_strings",
        "classlabels_int64s",
    ),
];

/// The numbers of strings.
#[derive(Debug, Default)]
pub(super) struct Labels(BTreeMap<Vec<u8>, i64>);

impl Labels {
    fn number(&mut self, label: &[u8]) -> i64 {
        let next = self.0.len() as i64;
        *self.0.entry(label.to_vec()).or_insert(next)
    }

    /// A tensor of strings.
    pub(super) fn read_tensor(&mut self, proto: &TensorProto, name: &str) -> Result<Tensor, ImportError> {
        let fail = |error| ImportError::Tensor {
            name: name.to_owned(),
            error,
        };
        let shape = shape_from_i64s(&proto.dims).map_err(|error| fail(error.into()))?;
        let numbers: Vec<i64> = proto.string_data.iter().map(|label| self.number(label)).collect();
        Tensor::from_slice(DType::I64, &shape, &numbers).map_err(fail)
    }

    /// Puts numbers in the place of the strings among a node's attributes.
    pub(super) fn replace(&mut self, node: &mut SourceNode) {
        if node.domain != ML_DOMAIN {
            return;
        }
        for (operator, strings, integers) in LISTS {
            if node.op_type != *operator {
                continue;
            }
            let Some(Attribute::Strings(labels)) = node.attributes.get(*strings) else {
                continue;
            };
            if labels.is_empty() {
                continue;
            }
            let numbers = labels.iter().map(|label| self.number(label)).collect();
            node.attributes.remove(*strings);
            node.attributes
                .insert((*integers).into(), Attribute::Ints(numbers));
            if *strings == "values_strings" {
                let default = node.attributes.remove("default_string");
                let known = match default {
                    Some(Attribute::String(label)) => self.0.get(&label).copied(),
                    _ => None,
                };
                let default = Attribute::Int(known.unwrap_or(UNKNOWN));
                node.attributes.insert("default_int64".into(), default);
            }
        }
    }
}
