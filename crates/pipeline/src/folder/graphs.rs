//! Graphs of an export: their free dimensions get sizes or bounds by what they are of.

use super::{FolderError, ImportOptions, files::GraphFile};
use crate::{Role, Task};
use std::collections::BTreeMap;
use synod_model::{
    CanonicalModel, DimSetting, ExternalData, import_proto,
    proto::{DimensionValue, ValueInfoProto},
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
    file: GraphFile,
    external: &dyn ExternalData,
    bounds: &Bounds,
    options: &ImportOptions,
) -> Result<CanonicalModel, FolderError> {
    let GraphFile { name, mut model, .. } = file;
    let mut dims = BTreeMap::new();
    let inputs = model.graph.iter_mut().flat_map(|graph| &mut graph.input);
    inputs.for_each(|input| bound(role, input, bounds, &mut dims));
    let settings = synod_model::ImportOptions {
        dims,
        integers: options.integers,
    };
    import_proto(model, external, &settings).map_err(|error| FolderError::Import {
        file: name,
        error: Box::new(error),
    })
}

/// Settles the free dimensions of an input.
fn bound(
    role: Role,
    input: &mut ValueInfoProto,
    bounds: &Bounds,
    settings: &mut BTreeMap<String, DimSetting>,
) {
    let name = input.name().to_owned();
    let tensor = input.r#type.as_mut().and_then(|kind| kind.tensor_type.as_mut());
    let shape = tensor.and_then(|tensor| tensor.shape.as_mut());
    for (axis, dim) in shape.into_iter().flat_map(|shape| &mut shape.dim).enumerate() {
        let own = format!("{name}.{axis}");
        let given = match &dim.value {
            Some(DimensionValue::Value(_)) => continue,
            Some(DimensionValue::Param(param)) if !param.is_empty() => param.clone(),
            _ => own.clone(),
        };
        let Some(setting) = bounds.setting(role, &name, axis) else {
            continue;
        };
        if *settings.entry(given).or_insert(setting) != setting {
            // the file has one name for dimensions that differ
            dim.value = Some(DimensionValue::Param(own.clone()));
            settings.insert(own, setting);
        }
    }
}
