//! PNG: which chunks there are, what they cost, and their pixels as 8 bits a channel.
//!
//! Chunks are walked and their checksums compared here, and the rows inflated ([`inflate`]); the `png` crate, which undoes filters and
//! interlacing, is handed a file of IHDR, PLTE, those rows and IEND alone. So texts, profiles, animations and whatever else hides
//! behind compression is never looked at.
//!
//! As Pillow's `convert("RGB")` does: transparency is left out, the colour under it stays; of 16 bits the upper 8 count; grey of 1,
//! 2 and 4 bits is spread over 0 to 255.

mod inflate;

use crate::encoded::{Format, guarded};
use crate::error::DecodeError;
use crate::image::{Channels, Image, fits};

/// What every PNG begins with.
pub(crate) const SIGNATURE: [u8; 8] = [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n'];

/// Length, type, checksum.
const CHUNK: usize = 12;
/// The header's length.
const IHDR: usize = 13;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Colour {
    Grey,
    Rgb,
    Palette,
    GreyAlpha,
    Rgba,
}

impl Colour {
    const fn samples(self) -> u64 {
        match self {
            Self::Grey | Self::Palette => 1,
            Self::GreyAlpha => 2,
            Self::Rgb => 3,
            Self::Rgba => 4,
        }
    }
}

/// A PNG file whose chunks have been read.
#[derive(Debug, Clone)]
pub(crate) struct Png<'a> {
    width: u32,
    height: u32,
    depth: u8,
    colour: Colour,
    interlaced: bool,
    /// The colours, three bytes each; empty without a palette.
    palette: &'a [u8],
    /// Chunks as they stand in the file, each with length and checksum: IHDR, and the IDAT chunks, which follow each other.
    header: &'a [u8],
    data: &'a [u8],
    exif: Option<&'a [u8]>,
}

/// A chunk: its type, and where its contents lie.
struct Chunk<'a> {
    kind: [u8; 4],
    at: usize,
    body: &'a [u8],
}

impl<'a> Png<'a> {
    /// Reads all chunks up to IEND. What follows IEND is left alone.
    pub(crate) fn read(file: &'a [u8]) -> Result<Self, DecodeError> {
        let mut at = SIGNATURE.len();
        let header = chunk(file, &mut at)?;
        if &header.kind != b"IHDR" || header.body.len() != IHDR {
            return Err(malformed(
                header.at,
                format!(
                    "the first chunk is {} of {} bytes, and should be IHDR of 13",
                    name(header.kind),
                    header.body.len()
                ),
            ));
        }
        let mut png = Self::header(&header)?;
        png.header = &file[header.at..at];
        let mut data: Option<(usize, usize)> = None;
        loop {
            let chunk = chunk(file, &mut at)?;
            match &chunk.kind {
                b"IDAT" => match &mut data {
                    None if png.colour == Colour::Palette && png.palette.is_empty() => {
                        return Err(malformed(
                            chunk.at,
                            "IDAT without a PLTE before it, in a picture with a palette".to_owned(),
                        ));
                    }
                    None => data = Some((chunk.at, at)),
                    Some((_, end)) if *end == chunk.at => *end = at,
                    Some(_) => {
                        return Err(malformed(
                            chunk.at,
                            "IDAT chunks with others between them".to_owned(),
                        ));
                    }
                },
                b"PLTE" => {
                    let entries = chunk.body.len() / 3;
                    if !chunk.body.len().is_multiple_of(3) || !(1..=256).contains(&entries) {
                        return Err(malformed(
                            chunk.at,
                            format!(
                                "PLTE of {} bytes: 3 for each of 1 to 256 colours",
                                chunk.body.len()
                            ),
                        ));
                    }
                    if !png.palette.is_empty()
                        || data.is_some()
                        || matches!(png.colour, Colour::Grey | Colour::GreyAlpha)
                    {
                        return Err(malformed(
                            chunk.at,
                            "PLTE a second time, behind IDAT, or in a grey picture".to_owned(),
                        ));
                    }
                    png.palette = chunk.body;
                }
                b"eXIf" => png.exif = png.exif.or(Some(chunk.body)),
                b"IEND" => break,
                b"IHDR" => return Err(malformed(chunk.at, "IHDR a second time".to_owned())),
                // bit 5 of the first letter: whether a reader may pass over it
                kind if kind[0] & 0x20 == 0 => {
                    return Err(malformed(
                        chunk.at,
                        format!("a critical chunk {} that no specification has", name(*kind)),
                    ));
                }
                _ => {}
            }
        }
        let Some((from, to)) = data else {
            return Err(malformed(at - CHUNK, "IEND without an IDAT before it".to_owned()));
        };
        png.data = &file[from..to];
        Ok(png)
    }

    fn header(chunk: &Chunk<'a>) -> Result<Self, DecodeError> {
        let [
            w0,
            w1,
            w2,
            w3,
            h0,
            h1,
            h2,
            h3,
            depth,
            colour,
            compression,
            filter,
            interlace,
        ] = *chunk.body
        else {
            unreachable!("the length was compared");
        };
        let (width, height) = (
            u32::from_be_bytes([w0, w1, w2, w3]),
            u32::from_be_bytes([h0, h1, h2, h3]),
        );
        let (at, bad) = (chunk.at, |what| Err(malformed(chunk.at, what)));
        if width == 0 || height == 0 {
            return bad(format!("{width} × {height} pixels"));
        }
        if !fits(width.into(), height.into()) {
            return Err(DecodeError::TooLarge { width, height });
        }
        let colour = match (colour, depth) {
            (0, 1 | 2 | 4 | 8 | 16) => Colour::Grey,
            (2, 8 | 16) => Colour::Rgb,
            (3, 1 | 2 | 4 | 8) => Colour::Palette,
            (4, 8 | 16) => Colour::GreyAlpha,
            (6, 8 | 16) => Colour::Rgba,
            _ => return bad(format!("colour type {colour} with {depth} bits")),
        };
        if compression != 0 || filter != 0 || interlace > 1 {
            return Err(malformed(
                at,
                format!(
                    "compression {compression}, filter {filter}, interlace {interlace}: 0, 0, and 0 or 1"
                ),
            ));
        }
        Ok(Self {
            width,
            height,
            depth,
            colour,
            interlaced: interlace == 1,
            palette: &[],
            header: &[],
            data: &[],
            exif: None,
        })
    }

    /// The camera's notes, as TIFF.
    pub(crate) const fn exif(&self) -> Option<&'a [u8]> {
        self.exif
    }

    pub(crate) const fn width(&self) -> u32 {
        self.width
    }

    pub(crate) const fn height(&self) -> u32 {
        self.height
    }

    pub(crate) const fn channels(&self) -> Channels {
        match self.colour {
            Colour::Grey | Colour::GreyAlpha => Channels::Grey,
            Colour::Rgb | Colour::Palette | Colour::Rgba => Channels::Rgb,
        }
    }

    fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// Bytes of a row, samples packed as in the file.
    fn row(&self) -> u64 {
        (u64::from(self.width) * self.colour.samples() * u64::from(self.depth)).div_ceil(8)
    }

    /// Bytes of the file that is handed on.
    fn kept(&self) -> u64 {
        (SIGNATURE.len() + self.header.len() + self.data.len() + 2 * CHUNK + self.palette.len()) as u64
    }

    /// Bytes of all rows with their filters' numbers: what the data unpack to.
    fn unpacked(&self) -> u64 {
        let passes: &[[u32; 4]] = if self.interlaced { &ADAM7 } else { &[[0, 0, 1, 1]] };
        let rows = passes.iter().map(|[x, y, across, down]| {
            let (width, height) = (
                self.width.saturating_sub(*x).div_ceil(*across),
                self.height.saturating_sub(*y).div_ceil(*down),
            );
            let bits = u64::from(width) * self.colour.samples() * u64::from(self.depth);
            if width == 0 {
                0
            } else {
                u64::from(height) * (bits.div_ceil(8) + 1)
            }
        });
        rows.sum()
    }

    pub(crate) fn work(&self) -> u64 {
        let unpacked = self.unpacked();
        let rows = u64::from(self.height) * if self.interlaced { 2 } else { 1 };
        let scattered = if self.interlaced {
            INTERLACED * self.pixels()
        } else {
            0
        };
        START
            + COMPRESSED * self.kept()
            + DEFLATE_BLOCK * inflate::most_blocks(unpacked).min(self.kept())
            + UNPACKED * unpacked
            + ROW * rows
            + PIXEL * self.pixels()
            + scattered
    }

    pub(crate) fn memory(&self) -> u64 {
        let unpacked = self.unpacked();
        let packed = self.row() * u64::from(self.height);
        let inflating = unpacked;
        // heads of stored blocks, and the slices that they and their rows are
        let unfiltering =
            unpacked + packed + unpacked.div_ceil(1024) + 8 * self.row() + self.palette.len() as u64;
        let unpacking = packed + self.pixels() * self.channels().count() as u64;
        FIXED + inflating.max(unfiltering).max(unpacking)
    }

    pub(crate) fn decode(&self) -> Result<Image, DecodeError> {
        let row = self.row() as usize;
        let packed = guarded(Format::Png, || {
            let rows = inflate::inflate(self.bodies(), self.unpacked() as usize)?;
            let heads = inflate::stored_heads(rows.len());
            let (before, behind) = self.frame(rows.len() + 5 * heads.len());
            let mut decoder = png::Decoder::new(inflate::Pieces::new(&before, &heads, &rows, &behind));
            decoder.set_transformations(png::Transformations::IDENTITY);
            // the file was made here; what was in it has been compared
            decoder.ignore_checksums(true);
            let mut reader = decoder.read_info().map_err(data)?;
            let mut packed = vec![0; row * self.height as usize];
            reader.next_frame(&mut packed).map_err(data)?;
            Ok(packed)
        })?;
        let pixels = self.pixels() as usize;
        let mut out = Vec::with_capacity(pixels * self.channels().count());
        for (y, row) in packed.chunks_exact(row).enumerate() {
            self.unpack(row, y as u32, &mut out)?;
        }
        Ok(Image::new(self.width, self.height, self.channels(), out)
            .expect("the header's size has been compared with the limits"))
    }

    /// What is in the IDAT chunks.
    fn bodies(&self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = self.data;
        std::iter::from_fn(move || {
            let length = u32::from_be_bytes(*rest.first_chunk()?) as usize;
            let body = &rest[8..8 + length];
            rest = &rest[CHUNK + length..];
            Some(body)
        })
    }

    /// What stands before and behind so many bytes of data in a file of the same pixels and nothing else.
    fn frame(&self, data: usize) -> (Vec<u8>, Vec<u8>) {
        let mut before = SIGNATURE.to_vec();
        before.extend_from_slice(self.header);
        if !self.palette.is_empty() {
            write_chunk(&mut before, *b"PLTE", self.palette);
        }
        // a zlib header of 2 bytes before, Adler's sum behind
        before.extend_from_slice(&(data as u32 + 6).to_be_bytes());
        before.extend_from_slice(b"IDAT\x78\x01");
        let mut behind = vec![0; 8];
        write_chunk(&mut behind, *b"IEND", &[]);
        (before, behind)
    }

    /// A row of samples as they are in the file, into bytes.
    fn unpack(&self, row: &[u8], y: u32, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        let width = self.width as usize;
        match (self.colour, self.depth) {
            (Colour::Grey | Colour::Rgb, 8) => out.extend_from_slice(row),
            (Colour::Grey, depth @ 1..8) => {
                let scale = 255 / ((1 << depth) - 1);
                out.extend(samples(row, depth).take(width).map(|sample| sample * scale));
            }
            (Colour::Grey | Colour::Rgb, _) => out.extend(row.iter().step_by(2)),
            (Colour::GreyAlpha, depth) => out.extend(row.iter().step_by(usize::from(depth / 4))),
            (Colour::Rgba, 8) => row
                .chunks_exact(4)
                .for_each(|pixel| out.extend_from_slice(&pixel[..3])),
            (Colour::Rgba, _) => row
                .chunks_exact(8)
                .for_each(|pixel| out.extend([pixel[0], pixel[2], pixel[4]])),
            (Colour::Palette, depth) => {
                let (colours, _) = self.palette.as_chunks::<3>();
                for (x, index) in samples(row, depth).take(width).enumerate() {
                    let colour = colours.get(usize::from(index)).ok_or(DecodeError::Palette {
                        x: x as u32,
                        y,
                        index,
                        entries: colours.len(),
                    })?;
                    out.extend_from_slice(colour);
                }
            }
        }
        Ok(())
    }
}

/// Samples of 1, 2, 4 or 8 bits, the first in the highest bits.
fn samples(row: &[u8], depth: u8) -> impl Iterator<Item = u8> {
    let mask = (0xff_u16 >> (8 - depth)) as u8;
    row.iter().flat_map(move |&byte| {
        (0..8 / depth)
            .rev()
            .map(move |place| (byte >> (place * depth)) & mask)
    })
}

/// The chunk at `at`, its checksum compared, and `at` moved behind it.
fn chunk<'a>(file: &'a [u8], at: &mut usize) -> Result<Chunk<'a>, DecodeError> {
    let start = *at;
    let truncated = |expected| DecodeError::Truncated {
        format: Format::Png,
        at: file.len(),
        expected,
    };
    let rest = &file[start..];
    let Some((&[l0, l1, l2, l3, k0, k1, k2, k3], rest)) = rest.split_first_chunk::<8>() else {
        return Err(truncated("the next chunk, or IEND,"));
    };
    let (length, kind) = (u32::from_be_bytes([l0, l1, l2, l3]), [k0, k1, k2, k3]);
    if !kind.iter().all(u8::is_ascii_alphabetic) {
        return Err(malformed(
            start,
            format!("a chunk of type {}, which has not four letters", name(kind)),
        ));
    }
    let length = length as usize;
    let Some((body, rest)) = rest.split_at_checked(length) else {
        return Err(truncated("the rest of a chunk"));
    };
    let Some((&checksum, _)) = rest.split_first_chunk::<4>() else {
        return Err(truncated("a chunk's checksum"));
    };
    let found = u32::from_be_bytes(checksum);
    let computed = crc32fast::hash(&file[start + 4..start + 8 + length]);
    if found != computed {
        return Err(malformed(
            start,
            format!(
                "the checksum of {} is {found:08x}, and its bytes have {computed:08x}",
                name(kind)
            ),
        ));
    }
    *at = start + CHUNK + length;
    Ok(Chunk {
        kind,
        at: start,
        body,
    })
}

fn write_chunk(file: &mut Vec<u8>, kind: [u8; 4], body: &[u8]) {
    file.extend_from_slice(&(body.len() as u32).to_be_bytes());
    let from = file.len();
    file.extend_from_slice(&kind);
    file.extend_from_slice(body);
    let checksum = crc32fast::hash(&file[from..]);
    file.extend_from_slice(&checksum.to_be_bytes());
}

fn name(kind: [u8; 4]) -> String {
    kind.escape_ascii().to_string()
}

fn malformed(at: usize, what: String) -> DecodeError {
    DecodeError::Malformed {
        format: Format::Png,
        at,
        what,
    }
}

fn data(error: png::DecodingError) -> DecodeError {
    DecodeError::Data {
        format: Format::Png,
        what: error.to_string(),
    }
}

/// The passes of interlacing: the first pixel across and down, and the steps to the next.
const ADAM7: [[u32; 4]; 7] = [
    [0, 0, 8, 8],
    [4, 0, 8, 8],
    [0, 4, 4, 8],
    [2, 0, 4, 4],
    [0, 2, 2, 4],
    [1, 0, 2, 2],
    [0, 1, 1, 2],
];

// Units of work, measured by `examples/picture_throughput` and rounded up.
const START: u64 = 60_000;
const COMPRESSED: u64 = 16;
const DEFLATE_BLOCK: u64 = 6_000;
const UNPACKED: u64 = 4;
const ROW: u64 = 250;
const PIXEL: u64 = 6;
const INTERLACED: u64 = 30;
/// What the decoders set aside whatever the picture: windows and tables.
const FIXED: u64 = 512 << 10;
