//! Rules: how a picture becomes a network's input, as data.
//!
//! A rule says seven steps, in this order; each may be left out:
//!
//! 1. **channels**: grey pictures become red = green = blue, or colours become grey; red and blue may change places;
//! 2. **resize** ([`crate::resize`]);
//! 3. **crop** of the middle, which fills with 0 what the picture does not have;
//! 4. **rescale**: f32(f64(v) × factor), as transformers' `rescale`;
//! 5. **normalise**: (x − mean) ÷ deviation in `f32`, once or more, as transformers' `normalize`;
//! 6. **pad**: zeros below and to the right of what there is by now, as transformers' `pad`;
//! 7. **layout**: channels first or last.
//!
//! It is JSON with one canonical form ([`Rule::to_json`]), all fields but `pad` always there, unknown ones refused. Rules are made of
//! `preprocessor_config.json` ([`Rule::from_hugging_face`]), which says the same with defaults that depend on the class.

mod hugging_face;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{ApplyError, RuleError};
use crate::filter::Filter;
use crate::image::{Channels, Image, fits};
use crate::limits::{MAX_NORMALIZATIONS, MAX_RULE_BYTES};
use crate::resize::{check, resize, resize_cost};
use crate::tensor::Tensor;

/// The version of rules that this build knows.
pub const VERSION: u32 = 1;

/// How a picture becomes a network's input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// [`VERSION`].
    pub version: u32,
    /// The channels that the network reads.
    pub channels: Order,
    /// To which size the picture is brought.
    pub resize: Option<Resize>,
    /// Which part of it is taken.
    pub crop: Option<Crop>,
    /// By what each value is multiplied: f32(f64(v) × factor). Without it, values stay 0 to 255.
    pub rescale: Option<f64>,
    /// What is subtracted, then divided by, one behind the other.
    pub normalize: Vec<Normalize>,
    /// To which size the tensor is filled up. Left out of the canonical form where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pad: Option<Pad>,
    /// Where the channels stand.
    pub layout: Layout,
    /// Elements of the tensor. [`Element::U8`] goes without rescaling and normalising.
    pub element: Element,
}

/// Channels of a network's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Red, green, blue. A grey picture counts as three equal ones.
    Rgb,
    /// Blue, green, red.
    Bgr,
    /// One: (19595·r + 38470·g + 7471·b + 32768) >> 16 of a coloured picture, which are the weights of ITU-R BT.601.
    Grey,
}

/// To which size, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resize {
    /// The size.
    pub size: Size,
    /// The filter.
    pub filter: Filter,
}

/// A size to resize to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Size {
    /// This one, whatever the picture's.
    Exact {
        /// Pixels down.
        height: u32,
        /// Pixels across.
        width: u32,
    },
    /// The shorter side gets this length, the longer one ⌊length × longer ÷ shorter⌋.
    ShortestEdge(u32),
}

/// The part in the middle: from row ⌊(h − height) ÷ 2⌋ and column ⌊(w − width) ÷ 2⌋ on. Where the picture is smaller, zeros
/// stand around it, as transformers' `center_crop` puts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crop {
    /// Pixels down.
    pub height: u32,
    /// Pixels across.
    pub width: u32,
}

/// The size of the tensor, which zeros below and to the right of the picture fill up: elements that are 0, whatever a black pixel
/// becomes. A picture that is larger is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pad {
    /// Elements down.
    pub height: u32,
    /// Elements across.
    pub width: u32,
}

/// (x − mean) ÷ deviation for each channel, all `f32`; the numbers of the rule are rounded to `f32` first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalize {
    /// One for each channel, in the order of the tensor.
    pub mean: Vec<f64>,
    /// The standard deviations.
    pub std: Vec<f64>,
}

/// Where the channels stand in the tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// Channels, rows, columns: what PyTorch's networks read.
    Chw,
    /// Rows, columns, channels: what TensorFlow's read.
    Hwc,
}

/// The type of the tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Element {
    /// 32-bit floats.
    F32,
    /// Bytes, for networks of integers.
    U8,
}

/// What applying a rule takes at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Units of work, about a nanosecond each.
    pub work: u64,
    /// Bytes allocated at once, beside the picture that is given, the tensor included.
    pub memory: u64,
}

impl Rule {
    /// Reads a rule and checks it.
    ///
    /// # Errors
    /// [`RuleError`] where it is not JSON, has a field too much or too few, or values that make no sense.
    pub fn from_json(json: &[u8]) -> Result<Self, RuleError> {
        if json.len() > MAX_RULE_BYTES {
            return Err(RuleError::TooLong(json.len()));
        }
        let rule: Self = serde_json::from_slice(json)?;
        rule.check()?;
        Ok(rule)
    }

    /// Reads a rule in its canonical form, which is the only one that a published pipeline has.
    ///
    /// # Errors
    /// [`RuleError`], also where the same rule is written otherwise.
    pub fn from_canonical(json: &[u8]) -> Result<Self, RuleError> {
        let rule = Self::from_json(json)?;
        let canonical = rule.to_json();
        if canonical.as_bytes() == json {
            return Ok(rule);
        }
        let same = canonical.bytes().zip(json).take_while(|(a, b)| a == *b).count();
        Err(RuleError::NotCanonical(same))
    }

    /// The canonical form.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a rule has string keys and no map")
    }

    /// Reads transformers' `preprocessor_config.json` of an image processor for classification.
    ///
    /// # Errors
    /// [`RuleError`], with the field and its value, where the file says what this crate does not do.
    pub fn from_hugging_face(json: &[u8]) -> Result<Self, RuleError> {
        if json.len() > MAX_RULE_BYTES {
            return Err(RuleError::TooLong(json.len()));
        }
        let rule = hugging_face::rule(json)?;
        rule.check()?;
        Ok(rule)
    }

    /// Whether the values make sense. Rules that were read are checked already.
    ///
    /// # Errors
    /// [`RuleError`] with the field that does not.
    pub fn check(&self) -> Result<(), RuleError> {
        if self.version != VERSION {
            return Err(RuleError::Version(self.version));
        }
        let sizes = [
            (
                "resize.size.exact",
                self.resize.and_then(|resize| match resize.size {
                    Size::Exact { height, width } => Some((width, height)),
                    Size::ShortestEdge(_) => None,
                }),
            ),
            (
                "resize.size.shortest_edge",
                self.resize.and_then(|resize| match resize.size {
                    Size::ShortestEdge(edge) => Some((edge, edge)),
                    Size::Exact { .. } => None,
                }),
            ),
            ("crop", self.crop.map(|crop| (crop.width, crop.height))),
            ("pad", self.pad.map(|pad| (pad.width, pad.height))),
        ];
        for (field, size) in sizes {
            if let Some((width, height)) = size
                && !fits(width.into(), height.into())
            {
                return Err(value(
                    field,
                    format!("{width} × {height}"),
                    "at least one pixel, and a picture within the limits",
                ));
            }
        }
        if let Some(factor) = self.rescale
            && !(factor.is_finite() && factor != 0.0)
        {
            return Err(value("rescale", factor, "a number other than 0"));
        }
        if self.normalize.len() > MAX_NORMALIZATIONS {
            return Err(value(
                "normalize",
                format!("{} steps", self.normalize.len()),
                &format!("at most {MAX_NORMALIZATIONS}"),
            ));
        }
        let channels = self.channels.channels().count();
        for step in &self.normalize {
            for (field, numbers) in [("normalize.mean", &step.mean), ("normalize.std", &step.std)] {
                if numbers.len() != channels {
                    return Err(value(
                        field,
                        format!("{numbers:?}"),
                        &format!("a number for each of {channels} channels"),
                    ));
                }
                if let Some(number) = numbers.iter().find(|number| !(**number as f32).is_finite()) {
                    return Err(value(field, number, "numbers within f32"));
                }
            }
            if let Some(std) = step.std.iter().find(|std| **std as f32 == 0.0) {
                return Err(value("normalize.std", std, "numbers other than 0, also as f32"));
            }
        }
        if self.element == Element::U8 && (self.rescale.is_some() || !self.normalize.is_empty()) {
            return Err(value(
                "element",
                "u8",
                "f32, since the values are rescaled or normalised",
            ));
        }
        Ok(())
    }

    /// The size of the picture after resizing.
    fn resized(&self, width: u32, height: u32) -> Result<(u32, u32), ApplyError> {
        let Some(Resize { size, .. }) = self.resize else {
            return Ok((width, height));
        };
        let (to_width, to_height) = match size {
            Size::Exact { height, width } => (u64::from(width), u64::from(height)),
            Size::ShortestEdge(edge) => {
                let (short, long) = (width.min(height), width.max(height));
                let new_long = u64::from(edge) * u64::from(long) / u64::from(short.max(1));
                if width <= height {
                    (edge.into(), new_long)
                } else {
                    (new_long, edge.into())
                }
            }
        };
        check(width, height, to_width, to_height)?;
        Ok((to_width as u32, to_height as u32))
    }

    /// The tensor's dimensions for a picture of this size.
    ///
    /// # Errors
    /// [`ApplyError`] where resizing leads beyond the limits, or beyond the size that is filled up.
    pub fn shape(&self, width: u32, height: u32) -> Result<[usize; 4], ApplyError> {
        let resized = self.resized(width, height)?;
        let (mut width, mut height) = self.crop.map_or(resized, |crop| (crop.width, crop.height));
        if let Some(pad) = self.pad {
            if width > pad.width || height > pad.height {
                return Err(ApplyError::Pad { width, height, pad });
            }
            (width, height) = (pad.width, pad.height);
        }
        let (width, height, channels) = (width as usize, height as usize, self.channels.channels().count());
        Ok(match self.layout {
            Layout::Chw => [1, channels, height, width],
            Layout::Hwc => [1, height, width, channels],
        })
    }

    /// What [`apply`](Self::apply) takes at most for a picture of this size and these channels: known before the file is decoded.
    ///
    /// # Errors
    /// As [`shape`](Self::shape).
    pub fn cost(&self, width: u32, height: u32, channels: Channels) -> Result<Cost, ApplyError> {
        let to = self.resized(width, height)?;
        let elements = self.shape(width, height)?.iter().product::<usize>() as u64;
        let area = |(width, height): (u32, u32), channels: Channels| {
            u64::from(width) * u64::from(height) * channels.count() as u64
        };
        let grey = self.channels == Order::Grey && channels == Channels::Rgb;
        let inner = if grey { Channels::Grey } else { channels };
        let (mut work, mut memory) = (START, 0);
        if grey {
            work += GREY * area((width, height), Channels::Grey);
            memory += area((width, height), Channels::Grey);
        }
        if let Some(Resize { filter, .. }) = self.resize {
            let (resizing, scratch) = resize_cost(inner, (width, height), to, filter);
            work += resizing;
            memory += scratch + area(to, inner);
        }
        let bytes = match self.element {
            Element::F32 => 4,
            Element::U8 => 1,
        };
        Ok(Cost {
            work: work + ELEMENT * elements,
            memory: memory + bytes * elements + TABLES,
        })
    }

    /// The tensor of a picture.
    ///
    /// # Errors
    /// As [`shape`](Self::shape).
    pub fn apply(&self, image: &Image) -> Result<Tensor, ApplyError> {
        let shape = self.shape(image.width(), image.height())?;
        let (to_width, to_height) = self.resized(image.width(), image.height())?;
        let grey =
            (self.channels == Order::Grey && image.channels() == Channels::Rgb).then(|| to_grey(image));
        let image = grey.as_ref().unwrap_or(image);
        let resized = match self.resize {
            Some(Resize { filter, .. }) => Some(resize(image, to_width, to_height, filter)?),
            None => None,
        };
        let image = resized.as_ref().unwrap_or(image);
        Ok(match self.element {
            Element::U8 => Tensor::U8 {
                shape,
                data: self.laid_out(image, &[std::array::from_fn(|v| v as u8); 3]),
            },
            Element::F32 => Tensor::F32 {
                shape,
                data: self.laid_out(image, &self.tables()),
            },
        })
    }

    /// What each byte becomes, for each channel of the tensor: a value depends on nothing but its byte and its channel.
    fn tables(&self) -> [[f32; 256]; 3] {
        std::array::from_fn(|channel| {
            std::array::from_fn(|v| {
                let x = match self.rescale {
                    Some(factor) => (v as f64 * factor) as f32,
                    None => v as f32,
                };
                self.normalize.iter().fold(x, |x, step| {
                    let number = |numbers: &[f64]| numbers.get(channel).map_or(1.0, |number| *number as f32);
                    (x - number(&step.mean)) / number(&step.std)
                })
            })
        })
    }

    /// The part of the picture that the crop takes, each byte looked up, in the tensor's layout.
    fn laid_out<T: Copy + Default>(&self, image: &Image, tables: &[[T; 256]; 3]) -> Vec<T> {
        let (width, height, stride) = (
            image.width() as usize,
            image.height() as usize,
            image.channels().count(),
        );
        let crop = self.crop.unwrap_or(Crop {
            height: image.height(),
            width: image.width(),
        });
        let rows = Window::new(height, crop.height as usize);
        let columns = Window::new(width, crop.width as usize);
        let pad = self.pad.unwrap_or(Pad {
            height: crop.height,
            width: crop.width,
        });
        let (below, behind) = (
            pad.height as usize - rows.length,
            pad.width as usize - columns.length,
        );
        let channels = self.channels.channels().count();
        // where a channel of the tensor stands in a pixel of the picture
        let source = |channel: usize| match (self.channels, image.channels()) {
            (_, Channels::Grey) => 0,
            (Order::Bgr, _) => 2 - channel,
            (Order::Rgb | Order::Grey, _) => channel,
        };
        let mut out = Vec::with_capacity(channels * (pad.height as usize) * (pad.width as usize));
        let fill =
            |out: &mut Vec<T>, elements: usize| out.extend(std::iter::repeat_n(T::default(), elements));
        match self.layout {
            Layout::Chw => {
                for (channel, table) in tables[..channels].iter().enumerate() {
                    let offset = source(channel);
                    for y in 0..rows.length {
                        if let Some(row) = rows.source(y) {
                            let row = &image.data()[row * width * stride..][..width * stride];
                            out.extend(std::iter::repeat_n(table[0], columns.before));
                            let pixels =
                                &row[columns.skip * stride..(columns.skip + columns.inside) * stride];
                            out.extend(
                                pixels
                                    .chunks_exact(stride)
                                    .map(|pixel| table[usize::from(pixel[offset])]),
                            );
                            out.extend(std::iter::repeat_n(table[0], columns.after()));
                        } else {
                            out.extend(std::iter::repeat_n(table[0], columns.length));
                        }
                        fill(&mut out, behind);
                    }
                    fill(&mut out, below * pad.width as usize);
                }
            }
            Layout::Hwc => {
                let zero: [T; 3] = std::array::from_fn(|channel| tables[channel][0]);
                let blank = |out: &mut Vec<T>, pixels: usize| {
                    for _ in 0..pixels {
                        out.extend_from_slice(&zero[..channels]);
                    }
                };
                for y in 0..rows.length {
                    if let Some(row) = rows.source(y) {
                        let row = &image.data()[row * width * stride..][..width * stride];
                        blank(&mut out, columns.before);
                        for pixel in row[columns.skip * stride..(columns.skip + columns.inside) * stride]
                            .chunks_exact(stride)
                        {
                            for (channel, table) in tables[..channels].iter().enumerate() {
                                out.push(table[usize::from(pixel[source(channel)])]);
                            }
                        }
                        blank(&mut out, columns.after());
                    } else {
                        blank(&mut out, columns.length);
                    }
                    fill(&mut out, behind * channels);
                }
                fill(&mut out, below * pad.width as usize * channels);
            }
        }
        out
    }
}

impl Order {
    /// Channels of the tensor.
    #[must_use]
    pub const fn channels(self) -> Channels {
        match self {
            Self::Rgb | Self::Bgr => Channels::Rgb,
            Self::Grey => Channels::Grey,
        }
    }
}

/// A stretch of an axis that a crop takes: some before it that the picture has not, some of the picture, some behind.
struct Window {
    length: usize,
    before: usize,
    skip: usize,
    inside: usize,
}

impl Window {
    /// The middle `length` of `has`.
    fn new(has: usize, length: usize) -> Self {
        if length <= has {
            return Self {
                length,
                before: 0,
                skip: (has - length) / 2,
                inside: length,
            };
        }
        // transformers lays the picture into ⌈(length − has) ÷ 2⌉ zeros and begins ⌊(has − length) ÷ 2⌋ before it: at the zeros' beginning
        Self {
            length,
            before: (length - has).div_ceil(2),
            skip: 0,
            inside: has,
        }
    }

    const fn after(&self) -> usize {
        self.length - self.before - self.inside
    }

    /// The picture's line for a line of the crop.
    fn source(&self, at: usize) -> Option<usize> {
        let line = at.checked_sub(self.before)?;
        (line < self.inside).then_some(line + self.skip)
    }
}

/// How light each pixel is, as Pillow's `convert("L")`.
fn to_grey(image: &Image) -> Image {
    let data = image
        .data()
        .chunks_exact(3)
        .map(|pixel| {
            let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(u32::from);
            ((19_595 * r + 38_470 * g + 7_471 * b + 0x8000) >> 16) as u8
        })
        .collect();
    Image::new(image.width(), image.height(), Channels::Grey, data).expect("of the same size")
}

fn value(field: &str, value: impl fmt::Display, expected: &str) -> RuleError {
    RuleError::Value {
        field: field.to_owned(),
        value: value.to_string(),
        expected: expected.to_owned(),
    }
}

// Units of work, measured by `examples/picture_throughput` and rounded up.
const START: u64 = 5_000;
const GREY: u64 = 11;
const ELEMENT: u64 = 3;
/// Bytes of [`Rule::tables`] and of allocations' heads.
const TABLES: u64 = 8 << 10;
