//! `preprocessor_config.json`, as transformers' image processors write it.
//!
//! What a field means where it is missing depends on the class, and for some fields on the version of transformers; so those
//! (`size`, `crop_size`, `resample`, `image_mean`, `image_std`) must be there when they are used, as they are in every file
//! that `save_pretrained` has written.

use serde_json::{Map, Value};

use super::{Crop, Element, Layout, Normalize, Order, Resize, Rule, Size, VERSION};
use crate::error::RuleError;
use crate::filter::Filter;

/// A class of image processors: its name without `ImageProcessor`, `FeatureExtractor` and what may follow.
struct Class {
    name: &'static str,
    /// Whether a `size` that is one number is both sides, or the shorter one.
    square: bool,
    /// Whether the middle is cut out where nothing is said.
    crops: bool,
    /// What else it does.
    special: Special,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Special {
    Nothing,
    /// Below 384, resizes to `size` ÷ `crop_pct` and cuts `size` out.
    ConvNext,
    /// `rescale_offset`, and `include_top`, which divides by the deviation once more.
    EfficientNet,
    /// `do_flip_channel_order`, which is on where nothing is said; `do_normalize` is off.
    MobileVit,
}

const fn class(name: &'static str, square: bool, crops: bool, special: Special) -> Class {
    Class {
        name,
        square,
        crops,
        special,
    }
}

const CLASSES: [Class; 11] = [
    class("ViT", true, false, Special::Nothing),
    class("DeiT", true, true, Special::Nothing),
    class("Beit", true, false, Special::Nothing),
    class("Siglip", true, false, Special::Nothing),
    class("CLIP", false, true, Special::Nothing),
    class("Bit", false, true, Special::Nothing),
    class("MobileNetV1", false, true, Special::Nothing),
    class("MobileNetV2", false, true, Special::Nothing),
    class("ConvNext", false, false, Special::ConvNext),
    class("EfficientNet", true, false, Special::EfficientNet),
    class("MobileViT", false, true, Special::MobileVit),
];

/// Fields that say nothing about pixels.
const IGNORED: [&str; 8] = [
    "processor_class",
    "_processor_class",
    "_valid_processor_keys",
    "_name_or_path",
    "transformers_version",
    "device",
    "disable_grouping",
    "return_tensors",
];

/// Fields that say nothing as long as they are null or false.
const NEUTRAL: [&str; 7] = [
    "do_pad",
    "pad_size",
    "do_reduce_labels",
    "reduce_labels",
    "image_seq_length",
    "input_data_format",
    "use_square_size",
];

/// A file whose fields are taken out one by one, so that those nobody asked for are left.
struct Fields(Map<String, Value>);

impl Fields {
    /// The field, if it is there and not null.
    fn take(&mut self, field: &str) -> Option<Value> {
        self.0.remove(field).filter(|value| !value.is_null())
    }

    fn flag(&mut self, field: &str, otherwise: bool) -> Result<bool, RuleError> {
        match self.take(field) {
            None => Ok(otherwise),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(other) => Err(bad(field, &other, "true or false")),
        }
    }

    fn number(&mut self, field: &str) -> Result<Option<f64>, RuleError> {
        self.take(field)
            .map(|value| value.as_f64().ok_or_else(|| bad(field, &value, "a number")))
            .transpose()
    }

    /// A field without which its step cannot be done.
    fn needed(&mut self, field: &str, step: &str) -> Result<Value, RuleError> {
        self.take(field).ok_or_else(|| {
            let expected = format!("there, since {step} is on, and what is taken without it depends on the version of transformers");
            bad(field, &Value::from("missing"), &expected)
        })
    }
}

fn bad(field: &str, value: &Value, expected: &str) -> RuleError {
    super::value(field, short(value), expected)
}

/// A value as it stands in the file, cut where it is long.
fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(100) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

pub(super) fn rule(json: &[u8]) -> Result<Rule, RuleError> {
    let mut fields = Fields(serde_json::from_slice(json)?);
    let class = class_of(&mut fields)?;
    for field in IGNORED {
        fields.0.remove(field);
    }
    for field in NEUTRAL {
        if let Some(value) = fields.take(field)
            && value != Value::Bool(false)
        {
            return Err(bad(field, &value, "null or false: this step is not supported"));
        }
    }
    // pictures always become red, green and blue, or grey
    fields.flag("do_convert_rgb", true)?;
    let square = fields.flag("default_to_square", class.square)?;
    let (resize, crop) = sizes(&mut fields, class, square)?;
    let rescale = rescale(&mut fields)?;
    let (normalize, grey) = normalize(&mut fields, class, rescale.is_some())?;
    let flip = class.special == Special::MobileVit;
    let flip = fields.flag("do_flip_channel_order", flip)? && flip;
    let layout = match fields.take("data_format") {
        None => Layout::Chw,
        Some(Value::String(format)) if format == "channels_first" => Layout::Chw,
        Some(Value::String(format)) if format == "channels_last" => Layout::Hwc,
        Some(other) => return Err(bad("data_format", &other, "channels_first or channels_last")),
    };
    if let Some((field, value)) = fields.0.iter().find(|(_, value)| !value.is_null()) {
        return Err(RuleError::UnknownField {
            field: field.clone(),
            value: short(value),
        });
    }
    let element = if rescale.is_none() && normalize.is_empty() {
        Element::U8
    } else {
        Element::F32
    };
    Ok(Rule {
        version: VERSION,
        channels: match (grey, flip) {
            (true, _) => Order::Grey,
            (false, true) => Order::Bgr,
            (false, false) => Order::Rgb,
        },
        resize,
        crop,
        rescale,
        normalize,
        layout,
        element,
    })
}

fn class_of(fields: &mut Fields) -> Result<&'static Class, RuleError> {
    let known = || {
        let names: Vec<_> = CLASSES.iter().map(|class| class.name).collect();
        format!("one of {}, with ImageProcessor behind it", names.join(", "))
    };
    let processor = fields.take("image_processor_type");
    let extractor = fields.take("feature_extractor_type");
    let Some(value) = processor.or(extractor) else {
        return Err(bad("image_processor_type", &Value::from("missing"), &known()));
    };
    let name = value.as_str().unwrap_or_default();
    let stem = ["Fast", "Pil"]
        .iter()
        .find_map(|end| name.strip_suffix(end))
        .unwrap_or(name);
    let stem = stem
        .strip_suffix("ImageProcessor")
        .or_else(|| stem.strip_suffix("FeatureExtractor"));
    CLASSES
        .iter()
        .find(|class| stem == Some(class.name))
        .ok_or_else(|| bad("image_processor_type", &value, &known()))
}

/// What to resize to, and what to cut out.
fn sizes(
    fields: &mut Fields,
    class: &Class,
    square: bool,
) -> Result<(Option<Resize>, Option<Crop>), RuleError> {
    let do_resize = fields.flag("do_resize", true)?;
    let do_crop = fields.flag("do_center_crop", class.crops)?;
    let crop_pct = if class.special == Special::ConvNext {
        fields.number("crop_pct")?
    } else {
        None
    };
    let mut resize = None;
    let mut crop = None;
    if do_crop {
        let value = fields.needed("crop_size", "do_center_crop")?;
        crop = Some(match size("crop_size", &value, true)? {
            Size::Exact { height, width } => Crop { height, width },
            Size::ShortestEdge(_) => return Err(bad("crop_size", &value, "height and width")),
        });
    }
    if do_resize {
        let value = fields.needed("size", "do_resize")?;
        let mut size = size("size", &value, square)?;
        if class.special == Special::ConvNext {
            let Size::ShortestEdge(edge) = size else {
                return Err(bad(
                    "size",
                    &value,
                    "shortest_edge, which is what this class reads",
                ));
            };
            if crop.is_some() {
                return Err(bad(
                    "do_center_crop",
                    &Value::Bool(true),
                    "false: this class cuts by crop_pct",
                ));
            }
            if edge < 384 {
                // as Python: an integer over a fraction, cut off
                let larger = (f64::from(edge) / crop_pct.unwrap_or(224.0 / 256.0)) as u32;
                size = Size::ShortestEdge(larger);
                crop = Some(Crop {
                    height: edge,
                    width: edge,
                });
            } else {
                size = Size::Exact {
                    height: edge,
                    width: edge,
                };
            }
        }
        let resample = fields.needed("resample", "do_resize")?;
        let filter = resample.as_u64().and_then(Filter::from_pillow).ok_or_else(|| {
            bad(
                "resample",
                &resample,
                "0 (nearest), 1 (Lanczos), 2 (bilinear), 3 (bicubic), 4 (box) or 5 (Hamming)",
            )
        })?;
        resize = Some(Resize { size, filter });
    }
    for unused in ["size", "crop_size", "resample"] {
        fields.0.remove(unused);
    }
    Ok((resize, crop))
}

/// A size in one of its forms: a number, a height and a width, a shortest edge.
fn size(field: &str, value: &Value, square: bool) -> Result<Size, RuleError> {
    let pixels = |value: &Value| value.as_u64().and_then(|pixels| u32::try_from(pixels).ok());
    let size = match value {
        Value::Number(_) => pixels(value).map(|edge| {
            if square {
                Size::Exact {
                    height: edge,
                    width: edge,
                }
            } else {
                Size::ShortestEdge(edge)
            }
        }),
        Value::Object(map) => {
            // newer files list all forms, those that are not meant as null
            let map: Vec<_> = map.iter().filter(|(_, value)| !value.is_null()).collect();
            match map[..] {
                [(name, edge)] if name == "shortest_edge" => pixels(edge).map(Size::ShortestEdge),
                [(first, a), (second, b)] if (first.as_str(), second.as_str()) == ("height", "width") => {
                    pixels(a)
                        .zip(pixels(b))
                        .map(|(height, width)| Size::Exact { height, width })
                }
                [(first, a), (second, b)] if (first.as_str(), second.as_str()) == ("width", "height") => {
                    pixels(b)
                        .zip(pixels(a))
                        .map(|(height, width)| Size::Exact { height, width })
                }
                _ => None,
            }
        }
        _ => None,
    };
    size.ok_or_else(|| {
        bad(
            field,
            value,
            "a number of pixels, {\"height\", \"width\"} or {\"shortest_edge\"}",
        )
    })
}

fn rescale(fields: &mut Fields) -> Result<Option<f64>, RuleError> {
    let on = fields.flag("do_rescale", true)?;
    let factor = fields.number("rescale_factor")?;
    Ok(on.then(|| factor.unwrap_or(1.0 / 255.0)))
}

/// The normalisations, and whether their numbers are for one channel.
fn normalize(
    fields: &mut Fields,
    class: &Class,
    rescaled: bool,
) -> Result<(Vec<Normalize>, bool), RuleError> {
    let on = fields.flag("do_normalize", class.special != Special::MobileVit)?;
    let (mut offset, mut top) = (false, false);
    if class.special == Special::EfficientNet {
        offset = fields.flag("rescale_offset", false)? && rescaled;
        top = fields.flag("include_top", true)?;
    }
    let mut steps = Vec::new();
    let (mut mean, mut std) = (Vec::new(), Vec::new());
    if on {
        mean = numbers("image_mean", &fields.needed("image_mean", "do_normalize")?)?;
    }
    if on || top {
        std = numbers(
            "image_std",
            &fields.needed("image_std", if on { "do_normalize" } else { "include_top" })?,
        )?;
    }
    for unused in ["image_mean", "image_std"] {
        fields.0.remove(unused);
    }
    let grey = on && mean.len() == 1 && std.len() == 1;
    let channels = if grey { 1 } else { 3 };
    if offset {
        // x − 1, which dividing by 1 leaves as it is
        steps.push(Normalize {
            mean: vec![1.0; channels],
            std: vec![1.0; channels],
        });
    }
    if on {
        steps.push(Normalize {
            mean,
            std: std.clone(),
        });
    }
    if top {
        steps.push(Normalize {
            mean: vec![0.0; channels],
            std,
        });
    }
    Ok((steps, grey))
}

/// A number for each channel, or one for all three.
fn numbers(field: &str, value: &Value) -> Result<Vec<f64>, RuleError> {
    let expected = "a number, or a list of one for each channel";
    match value {
        Value::Number(number) => Ok(vec![
            number.as_f64().ok_or_else(|| bad(field, value, expected))?;
            3
        ]),
        Value::Array(list) if list.len() == 1 || list.len() == 3 => list
            .iter()
            .map(|number| number.as_f64().ok_or_else(|| bad(field, value, expected)))
            .collect(),
        _ => Err(bad(field, value, expected)),
    }
}
