//! `preprocessor_config.json`, as transformers' image processors write it.
//!
//! What a field means where it is missing depends on the class, and for some fields on the version of transformers; so those
//! (`size`, `crop_size`, `resample`, `image_mean`, `image_std`) must be there when they are used, as they are in every file
//! that `save_pretrained` has written.

use serde_json::{Map, Value};

use super::{Crop, Element, Layout, Normalize, Order, Pad, Resize, Rule, Size, VERSION};
use crate::error::RuleError;
use crate::filter::Filter;

/// A class of image processors: its name without `ImageProcessor`, `FeatureExtractor` and what may follow.
struct Class {
    name: &'static str,
    /// Whether a `size` that is one number is both sides, or the shorter one.
    square: bool,
    /// Whether the middle is cut out where nothing is said.
    crops: bool,
    /// Whether it pads where it is told to.
    pads: bool,
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
    /// Resizes to `size` ÷ `crop_pct` where that is not null.
    PoolFormer,
    /// Resizes a shortest edge to 256 ÷ 224 of it.
    Levit,
    /// Does not cut the middle out.
    Segformer,
    /// `do_flip_channel_order`, which is on where nothing is said; `do_normalize` is off.
    MobileVit,
}

const fn class(name: &'static str, square: bool, crops: bool, pads: bool, special: Special) -> Class {
    Class {
        name,
        square,
        crops,
        pads,
        special,
    }
}

const CLASSES: [Class; 15] = [
    class("ViT", true, false, true, Special::Nothing),
    class("DeiT", true, true, true, Special::Nothing),
    class("Beit", true, false, false, Special::Nothing),
    class("Siglip", true, false, true, Special::Nothing),
    class("CLIP", false, true, true, Special::Nothing),
    class("Bit", false, true, true, Special::Nothing),
    class("MobileNetV1", false, true, true, Special::Nothing),
    class("MobileNetV2", false, true, false, Special::Nothing),
    class("Pvt", true, false, true, Special::Nothing),
    class("ConvNext", false, false, false, Special::ConvNext),
    class("EfficientNet", true, false, false, Special::EfficientNet),
    class("PoolFormer", false, true, true, Special::PoolFormer),
    class("Levit", false, true, true, Special::Levit),
    class("Segformer", true, false, false, Special::Segformer),
    class("MobileViT", false, true, false, Special::MobileVit),
];

/// Fields that say nothing about pixels.
const IGNORED: [&str; 10] = [
    "processor_class",
    "_processor_class",
    "_valid_processor_keys",
    "_name_or_path",
    "transformers_version",
    "device",
    "disable_grouping",
    "return_tensors",
    // of maps that say what each pixel shows, not of pictures
    "do_reduce_labels",
    "reduce_labels",
];

/// Fields that say nothing as long as they are null or false.
const NEUTRAL: [&str; 3] = ["image_seq_length", "input_data_format", "use_square_size"];

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
    let pad = pad(&mut fields, class)?;
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
        pad,
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
    if do_crop && class.special == Special::Segformer {
        return Err(bad(
            "do_center_crop",
            &Value::Bool(true),
            "false: this class does not cut",
        ));
    }
    let crop_pct = match class.special {
        Special::ConvNext => Some(fields.number("crop_pct")?.unwrap_or(224.0 / 256.0)),
        Special::PoolFormer if fields.0.contains_key("crop_pct") => fields.number("crop_pct")?,
        Special::PoolFormer => Some(0.9),
        _ => None,
    };
    // as Python: an integer over a fraction, cut off
    let enlarged = |edge: u32| crop_pct.map_or(edge, |part| (f64::from(edge) / part) as u32);
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
        match (class.special, size) {
            (Special::ConvNext, _) if crop.is_some() => {
                let expected = "false: this class cuts by crop_pct";
                return Err(bad("do_center_crop", &Value::Bool(true), expected));
            }
            (Special::ConvNext, Size::ShortestEdge(edge)) if edge < 384 => {
                size = Size::ShortestEdge(enlarged(edge));
                crop = Some(Crop {
                    height: edge,
                    width: edge,
                });
            }
            (Special::ConvNext, Size::ShortestEdge(edge)) => {
                size = Size::Exact {
                    height: edge,
                    width: edge,
                };
            }
            (Special::ConvNext, Size::Exact { .. }) => {
                return Err(bad(
                    "size",
                    &value,
                    "shortest_edge, which is what this class reads",
                ));
            }
            (Special::PoolFormer, Size::ShortestEdge(edge)) => size = Size::ShortestEdge(enlarged(edge)),
            (Special::PoolFormer, Size::Exact { height, width }) if crop_pct.is_some() => {
                size = if height == width {
                    Size::ShortestEdge(enlarged(height))
                } else {
                    Size::Exact {
                        height: enlarged(height),
                        width: enlarged(width),
                    }
                };
            }
            (Special::Levit, Size::ShortestEdge(edge)) => {
                size = Size::ShortestEdge((256.0 / 224.0 * f64::from(edge)) as u32);
            }
            _ => {}
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

/// To which size the tensor is filled up. Without a size, a picture alone is not.
fn pad(fields: &mut Fields, class: &Class) -> Result<Option<Pad>, RuleError> {
    let on = fields.flag("do_pad", false)?;
    let pad_size = fields.take("pad_size");
    if on && !class.pads {
        return Err(bad(
            "do_pad",
            &Value::Bool(true),
            "null or false: this class does not pad",
        ));
    }
    let Some(value) = pad_size.filter(|_| on) else {
        return Ok(None);
    };
    match size("pad_size", &value, true)? {
        Size::Exact { height, width } => Ok(Some(Pad { height, width })),
        Size::ShortestEdge(_) => Err(bad("pad_size", &value, "height and width")),
    }
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
