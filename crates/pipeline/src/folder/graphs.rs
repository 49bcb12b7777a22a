//! Graphs of an export: their free dimensions get sizes or bounds by what they are of.

use super::{FolderError, ImportOptions};
use crate::{Role, Task};
use bytes::Bytes;
use std::collections::BTreeMap;
use synod_model::{
    CanonicalModel, DimSetting, ExternalData, import_onnx,
    proto::{DimensionValue, ValueInfoProto, decode_model},
};

/// What bounds dimensions.
pub(super) struct Bounds {
    pub(super) task: Task,
    pub(super) max_input: u32,
    pub(super) max_length: u32,
    pub(super) max_new: u32,
    pub(super) beams: u32,
    /// The tensor that a picture becomes.
    pub(super) picture: Option<[usize; 4]>,
}

impl Bounds {
    /// What becomes of a free dimension.
    fn setting(&self, role: Role, input: &str, axis: usize) -> Option<DimSetting> {
        let two_sided = self.task == Task::TextToText;
        let prompt = if two_sided {
            1
        } else {
            self.max_input.min(self.max_length.saturating_sub(1))
        };
        // tokens that can be in the cache: all but the last
        let past = if two_sided {
            self.max_new
        } else {
            self.max_length.saturating_sub(1)
        };
        let batch = match role {
            Role::DecoderWithPast => self.beams,
            _ => 1,
        };
        let size = match (input, axis, role) {
            ("pixel_values", axis, _) => return Some(DimSetting::Pin(*self.picture?.get(axis)?)),
            (_, 0, _) => batch,
            ("encoder_hidden_states" | "encoder_attention_mask", 1, _) => self.max_input,
            (name, 2, _) if name.starts_with("past_key_values.") => {
                if name.contains(".encoder.") {
                    self.max_input
                } else {
                    past
                }
            }
            ("input_ids" | "position_ids", 1, Role::DecoderWithPast) => 1,
            ("attention_mask", 1, Role::DecoderWithPast) => past.saturating_add(1),
            ("input_ids" | "position_ids" | "attention_mask", 1, Role::Decoder) => prompt,
            ("input_ids" | "position_ids" | "attention_mask" | "token_type_ids", 1, _) => self.max_input,
            _ => return None,
        } as usize;
        Some(if size == 1 {
            DimSetting::Pin(1)
        } else {
            DimSetting::AtMost(size)
        })
    }
}

/// Imports a graph.
pub(super) fn import(
    role: Role,
    name: &str,
    file: &[u8],
    external: &dyn ExternalData,
    bounds: &Bounds,
    options: &ImportOptions,
) -> Result<CanonicalModel, FolderError> {
    let fail = |error| FolderError::Import {
        file: name.into(),
        error: Box::new(error),
    };
    let mut settings = synod_model::ImportOptions {
        dims: BTreeMap::new(),
        integers: options.integers,
    };
    for (input, axis, dim) in free_dimensions(file) {
        let Some(setting) = bounds.setting(role, &input, axis) else {
            continue;
        };
        let known = settings.dims.entry(dim.clone()).or_insert(setting);
        if *known != setting {
            // one name for two things: the smaller bound would refuse what the other allows
            let (DimSetting::Pin(a) | DimSetting::AtMost(a), DimSetting::Pin(b) | DimSetting::AtMost(b)) =
                (*known, setting);
            *known = DimSetting::AtMost(a.max(b));
        }
    }
    import_onnx(file, external, &settings).map_err(fail)
}

/// Inputs' free dimensions: input, axis and name.
fn free_dimensions(file: &[u8]) -> Vec<(String, usize, String)> {
    // what is not ONNX is refused by the import itself
    let model = decode_model(Bytes::copy_from_slice(file)).ok();
    let inputs = model.and_then(|model| model.graph).map(|graph| graph.input);
    inputs.unwrap_or_default().iter().flat_map(dimensions).collect()
}

fn dimensions(input: &ValueInfoProto) -> Vec<(String, usize, String)> {
    let name = input.name.clone().unwrap_or_default();
    let tensor = input.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref());
    let dims = tensor
        .and_then(|tensor| tensor.shape.as_ref())
        .map(|shape| shape.dim.as_slice());
    dims.unwrap_or_default()
        .iter()
        .enumerate()
        .filter_map(|(axis, dim)| {
            let given = match &dim.value {
                Some(DimensionValue::Value(_)) => return None,
                Some(DimensionValue::Param(param)) if !param.is_empty() => param.clone(),
                _ => format!("{name}.{axis}"),
            };
            Some((name.clone(), axis, given))
        })
        .collect()
}
