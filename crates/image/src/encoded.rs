//! A file whose structure has been read: what decoding it will take is known before it begins.

use std::fmt;

use libjpeg_turbo_rs::common::exif::parse_orientation;

use crate::error::DecodeError;
use crate::image::{Channels, Image};
use crate::jpeg::Jpeg;
use crate::png::Png;

/// A file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// ISO/IEC 15948, all colour types, depths and interlacing; of an animation the default image.
    Png,
    /// ITU-T T.81, baseline, extended sequential and progressive, Huffman coded, of 8 bits; grey, YCbCr and RGB.
    Jpeg,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
        })
    }
}

/// A picture's file, of which the structure has been read and checked, and no pixel decoded.
///
/// One unit of work is about a nanosecond of one core of the reference machine, and a bound: decoding hostile files takes
/// little more, others much less.
#[derive(Debug, Clone)]
pub struct Encoded<'a> {
    kind: Kind<'a>,
    /// How the pixels lie, as EXIF numbers it: 1 to 8, 1 as they are in the file.
    orientation: u8,
}

#[derive(Debug, Clone)]
enum Kind<'a> {
    Png(Png<'a>),
    Jpeg(Box<Jpeg<'a>>),
}

/// What [`Encoded::read`] takes at most for a file of so many bytes.
#[must_use]
pub const fn read_work(bytes: usize) -> u64 {
    1_000 + 3 * bytes as u64
}

impl<'a> Encoded<'a> {
    /// Reads the structure of a file: every segment or chunk, its checksum, the header, the tables' and scans' places.
    /// Takes time by the file's length ([`read_work`]) and at most 128 KiB.
    ///
    /// # Errors
    /// [`DecodeError`]: not a picture, cut, damaged, too large, or of a kind that is left out.
    pub fn read(file: &'a [u8]) -> Result<Self, DecodeError> {
        let kind = if file.starts_with(&crate::png::SIGNATURE) {
            Kind::Png(Png::read(file)?)
        } else if file.starts_with(&[0xff, 0xd8, 0xff]) {
            Kind::Jpeg(Box::new(Jpeg::read(file)?))
        } else {
            return Err(DecodeError::UnknownFormat(file[..file.len().min(8)].to_vec()));
        };
        let exif = match &kind {
            Kind::Png(png) => png.exif(),
            Kind::Jpeg(jpeg) => jpeg.exif(),
        };
        Ok(Self {
            kind,
            orientation: exif.and_then(parse_orientation).unwrap_or(1),
        })
    }

    /// What kind of file it is.
    #[must_use]
    pub const fn format(&self) -> Format {
        match self.kind {
            Kind::Png(_) => Format::Png,
            Kind::Jpeg(_) => Format::Jpeg,
        }
    }

    /// Pixels across and down as the file has them.
    fn stored(&self) -> (u32, u32) {
        match &self.kind {
            Kind::Png(png) => (png.width(), png.height()),
            Kind::Jpeg(jpeg) => (jpeg.width(), jpeg.height()),
        }
    }

    /// Pixels across, of the upright picture.
    #[must_use]
    pub fn width(&self) -> u32 {
        let (width, height) = self.stored();
        if self.orientation > 4 { height } else { width }
    }

    /// Pixels down, of the upright picture.
    #[must_use]
    pub fn height(&self) -> u32 {
        let (width, height) = self.stored();
        if self.orientation > 4 { width } else { height }
    }

    /// Bytes of the picture if it has to be turned, else 0.
    fn turned(&self) -> u64 {
        if self.orientation == 1 {
            return 0;
        }
        u64::from(self.width()) * u64::from(self.height()) * self.channels().count() as u64
    }

    /// The channels of the decoded picture.
    #[must_use]
    pub fn channels(&self) -> Channels {
        match &self.kind {
            Kind::Png(png) => png.channels(),
            Kind::Jpeg(jpeg) => jpeg.channels(),
        }
    }

    /// What decoding takes at most, in units of work.
    #[must_use]
    pub fn decode_work(&self) -> u64 {
        let decoding = match &self.kind {
            Kind::Png(png) => png.work(),
            Kind::Jpeg(jpeg) => jpeg.work(),
        };
        decoding + TURNED * self.turned()
    }

    /// What decoding allocates at most at once, in bytes, the picture included.
    #[must_use]
    pub fn decode_memory(&self) -> u64 {
        let decoding = match &self.kind {
            Kind::Png(png) => png.memory(),
            Kind::Jpeg(jpeg) => jpeg.memory(),
        };
        decoding.max(2 * self.turned())
    }

    /// The picture, upright: turned and mirrored as its EXIF tag says, if it has one.
    ///
    /// # Errors
    /// [`DecodeError`] where the compressed data do not make all pixels.
    pub fn decode(&self) -> Result<Image, DecodeError> {
        let image = match &self.kind {
            Kind::Png(png) => png.decode(),
            Kind::Jpeg(jpeg) => jpeg.decode(),
        }?;
        Ok(if self.orientation == 1 {
            image
        } else {
            image.upright(self.orientation)
        })
    }
}

/// Units of work for each byte of a picture that is turned.
const TURNED: u64 = 6;

/// What a decoder of others makes of a file. One that panics has met a file that it should have refused: it is refused.
pub(crate) fn guarded<T>(
    format: Format,
    decode: impl FnOnce() -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(decode)).unwrap_or_else(|_| {
        Err(DecodeError::Data {
            format,
            what: "the decoder gave up".to_owned(),
        })
    })
}
