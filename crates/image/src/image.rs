//! A decoded picture.

use std::fmt;

use crate::error::ImageError;
use crate::limits::{MAX_PIXELS, MAX_SIDE};

/// What a pixel consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channels {
    /// One byte: how light it is.
    Grey,
    /// Three bytes: red, green, blue.
    Rgb,
}

impl Channels {
    /// Bytes of a pixel.
    #[must_use]
    pub const fn count(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Rgb => 3,
        }
    }
}

impl fmt::Display for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Grey => "grey",
            Self::Rgb => "RGB",
        })
    }
}

/// A picture of 8 bits a channel: rows from the top, pixels from the left, the channels of a pixel side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    width: u32,
    height: u32,
    channels: Channels,
    data: Vec<u8>,
}

impl Image {
    /// A picture of these pixels.
    ///
    /// # Errors
    /// [`ImageError`] where a side is 0 or too long, or `data` has not a byte for each channel of each pixel.
    pub fn new(width: u32, height: u32, channels: Channels, data: Vec<u8>) -> Result<Self, ImageError> {
        if !fits(width.into(), height.into()) {
            return Err(ImageError::Size { width, height });
        }
        let expected = width as usize * height as usize * channels.count();
        if data.len() != expected {
            return Err(ImageError::Bytes {
                width,
                height,
                expected,
                found: data.len(),
            });
        }
        Ok(Self {
            width,
            height,
            channels,
            data,
        })
    }

    /// Pixels across.
    #[must_use]
    pub const fn width(&self) -> u32 {
        self.width
    }

    /// Pixels down.
    #[must_use]
    pub const fn height(&self) -> u32 {
        self.height
    }

    /// What a pixel consists of.
    #[must_use]
    pub const fn channels(&self) -> Channels {
        self.channels
    }

    /// All bytes, `height × width × channels`.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// All bytes, `height × width × channels`.
    #[must_use]
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }
}

impl Image {
    /// The picture as it is to be seen, of pixels that lie in one of EXIF's eight ways.
    pub(crate) fn upright(&self, orientation: u8) -> Self {
        let (w, h, channels) = (self.width as usize, self.height as usize, self.channels.count());
        let (width, height) = if orientation > 4 { (h, w) } else { (w, h) };
        let mut data = Vec::with_capacity(self.data.len());
        for y in 0..height {
            for x in 0..width {
                let (from_x, from_y) = match orientation {
                    2 => (w - 1 - x, y),
                    3 => (w - 1 - x, h - 1 - y),
                    4 => (x, h - 1 - y),
                    5 => (y, x),
                    6 => (y, h - 1 - x),
                    7 => (w - 1 - y, h - 1 - x),
                    8 => (w - 1 - y, x),
                    _ => (x, y),
                };
                let at = (from_y * w + from_x) * channels;
                data.extend_from_slice(&self.data[at..at + channels]);
            }
        }
        Self {
            width: width as u32,
            height: height as u32,
            channels: self.channels,
            data,
        }
    }
}

/// Whether a picture may have this size.
pub(crate) fn fits(width: u64, height: u64) -> bool {
    let side = u64::from(MAX_SIDE);
    (1..=side).contains(&width) && (1..=side).contains(&height) && width * height <= MAX_PIXELS
}
