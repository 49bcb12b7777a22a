//! Pictures into tensors, to the bit: PNG and JPEG files, resizing as Pillow does it, preprocessing rules.
//!
//! ```text
//!   bytes of a file ──Encoded::read──► Encoded    size, cost and memory known; nothing is decoded yet
//!                                         │ decode
//!                                         ▼
//!                                       Image     8 bits a channel, red green blue or grey
//!                                         │ Rule::apply       resize, crop, rescale, normalise
//!                                         ▼
//!                                       Tensor    f32 or u8, the same bits everywhere
//! ```
//!
//! What a pixel becomes is written in `docs/spec/image.md`: the inverse cosine transform, the upsampling and the colours of a
//! JPEG are libjpeg's, those of libjpeg-turbo and so of Pillow, bit for bit; resizing is Pillow's fixed-point arithmetic; the
//! rest are single IEEE 754 operations in a fixed order. The tests hold all of it against Pillow's and numpy's own results.
//!
//! What can go wrong, and where it is caught: a small file that becomes a huge picture or takes long (the structure of a file
//! is read first, and [`Encoded::decode_work`] and [`Encoded::decode_memory`] bound what decoding takes, so a caller can charge
//! for it or refuse); a file that is cut or damaged (an error that says what and where, never half a picture); compressed
//! texts, colour profiles and thumbnails (never looked into: the decoder is handed only what makes the pixels); a rule that
//! means more than this crate does (refused with the field and its value).
//!
//! The crate knows no model and no chain.
//!
//! # Example
//! ```
//! use synod_image::{Encoded, Rule, Tensor};
//! # fn run(file: &[u8], preprocessor_config: &[u8]) -> Result<Tensor, Box<dyn std::error::Error>> {
//! let rule = Rule::from_hugging_face(preprocessor_config)?;
//! let file = Encoded::read(file)?;
//! let work = file.decode_work() + rule.cost(file.width(), file.height(), file.channels())?.work;
//! println!("{} × {} pixels, about {} µs", file.width(), file.height(), work / 1000);
//! Ok(rule.apply(&file.decode()?)?)
//! # }
//! ```

mod encoded;
mod error;
mod filter;
mod image;
mod jpeg;
pub mod limits;
mod png;
mod resize;
mod rule;
mod tensor;

pub use encoded::{Encoded, Format, read_work};
pub use error::{ApplyError, DecodeError, ImageError, RuleError};
pub use filter::Filter;
pub use image::{Channels, Image};
pub use resize::{resize, resize_cost};
pub use rule::{Cost, Crop, Element, Layout, Normalize, Order, Pad, Resize, Rule, Size, VERSION};
pub use tensor::Tensor;
