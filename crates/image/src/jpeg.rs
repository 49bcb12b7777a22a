//! JPEG: which segments there are, what they cost, and their pixels.
//!
//! The segments are read here ([`read`]); `libjpeg-turbo-rs` is handed a file of tables, frame, scans and their data alone, each
//! table once before the scan that uses it. So it never sees a profile, a thumbnail or a text, and what it is handed has
//! the structure that the cost was computed from. Its arithmetic is libjpeg's: the accurate integer inverse cosine transform, the
//! triangle filter for subsampled colours, BT.601 in 16 bits; `docs/spec/image.md` writes it down.

mod read;

use libjpeg_turbo_rs::JpegError;

use crate::encoded::{Format, guarded};
use crate::error::DecodeError;
use crate::image::{Channels, Image};

/// A JPEG file whose segments have been read.
#[derive(Debug, Clone)]
pub(crate) struct Jpeg<'a> {
    frame: Frame,
    /// How the three channels are to be understood; of one channel without meaning.
    ycbcr: bool,
    scans: Vec<Scan<'a>>,
    exif: Option<&'a [u8]>,
}

/// What the frame header says.
#[derive(Debug, Clone)]
struct Frame {
    progressive: bool,
    /// The marker's second byte, C0, C1 or C2.
    marker: u8,
    width: u16,
    height: u16,
    components: Vec<Component>,
}

#[derive(Debug, Clone, Copy)]
struct Component {
    id: u8,
    /// Samples across and down for each of the smallest component's.
    across: u8,
    down: u8,
    table: u8,
}

/// A scan, with what was defined before it.
#[derive(Debug, Clone)]
struct Scan<'a> {
    /// Tables that are new since the scan before: for quantisation, a byte of precision and number and 64 numbers; for Huffman, a byte
    /// of class and number, 16 lengths, the symbols.
    quantization: Vec<&'a [u8]>,
    huffman: Vec<&'a [u8]>,
    /// Blocks between restarts; 0 without.
    interval: u16,
    /// The segment behind its length.
    header: &'a [u8],
    data: &'a [u8],
    /// Blocks of coefficients that it passes over.
    blocks: u64,
}

impl Frame {
    fn most_across(&self) -> u8 {
        self.components
            .iter()
            .map(|component| component.across)
            .max()
            .unwrap_or(1)
    }

    fn most_down(&self) -> u8 {
        self.components
            .iter()
            .map(|component| component.down)
            .max()
            .unwrap_or(1)
    }

    /// Groups of blocks, across and down, when all components stand in one scan.
    fn groups(&self) -> (u64, u64) {
        (
            u64::from(self.width).div_ceil(8 * u64::from(self.most_across())),
            u64::from(self.height).div_ceil(8 * u64::from(self.most_down())),
        )
    }

    /// Blocks of a component that a scan of it alone has.
    fn own_blocks(&self, component: Component) -> u64 {
        let blocks = |pixels: u16, samples: u8, most: u8| {
            (u64::from(pixels) * u64::from(samples))
                .div_ceil(u64::from(most))
                .div_ceil(8)
        };
        blocks(self.width, component.across, self.most_across())
            * blocks(self.height, component.down, self.most_down())
    }

    /// Blocks of all components, those beyond the edge included.
    fn all_blocks(&self) -> u64 {
        let (across, down) = self.groups();
        across
            * down
            * self
                .components
                .iter()
                .map(|component| u64::from(component.across) * u64::from(component.down))
                .sum::<u64>()
    }
}

impl<'a> Jpeg<'a> {
    /// Reads all segments up to the end of the image. What follows it is left alone.
    pub(crate) fn read(file: &'a [u8]) -> Result<Self, DecodeError> {
        read::read(file)
    }

    /// The camera's notes, as TIFF.
    pub(crate) const fn exif(&self) -> Option<&'a [u8]> {
        self.exif
    }

    pub(crate) fn width(&self) -> u32 {
        self.frame.width.into()
    }

    pub(crate) fn height(&self) -> u32 {
        self.frame.height.into()
    }

    pub(crate) fn channels(&self) -> Channels {
        if self.frame.components.len() == 1 {
            Channels::Grey
        } else {
            Channels::Rgb
        }
    }

    fn pixels(&self) -> u64 {
        u64::from(self.frame.width) * u64::from(self.frame.height)
    }

    /// Bytes of the file that is handed on.
    fn kept(&self) -> u64 {
        let scans = self.scans.iter().map(|scan| {
            let tables = scan
                .quantization
                .iter()
                .chain(&scan.huffman)
                .map(|table| table.len() + 4)
                .sum::<usize>();
            (tables + scan.header.len() + 4 + scan.data.len() + 6) as u64
        });
        scans.sum::<u64>() + 128
    }

    pub(crate) fn work(&self) -> u64 {
        let block = if self.frame.progressive {
            PROGRESSIVE_BLOCK
        } else {
            BASELINE_BLOCK
        };
        let scans = self.scans.iter().map(|scan| {
            let tables = scan.quantization.len() + scan.huffman.len();
            SCAN + TABLE * tables as u64 + block * scan.blocks + DATA * scan.data.len() as u64
        });
        START
            + scans.sum::<u64>()
            + BLOCK * self.frame.all_blocks()
            + PIXEL * self.pixels()
            + ROW * self.height_of_groups()
    }

    /// Rows, those beyond the edge included.
    fn height_of_groups(&self) -> u64 {
        self.frame.groups().1 * 8 * u64::from(self.frame.most_down())
    }

    pub(crate) fn memory(&self) -> u64 {
        let samples = 64 * self.frame.all_blocks();
        let coefficients = if self.frame.progressive {
            2 * samples + samples / 64 * 2
        } else {
            0
        };
        let tables = 8 << 10;
        let rows = 8 * 8 * u64::from(self.frame.most_across()) * self.frame.groups().0 * 8;
        2 * self.kept()
            + coefficients
            + samples
            + self.pixels() * self.channels().count() as u64
            + rows
            + (self.scans.len() as u64 + 8) * tables
            + FIXED
    }

    pub(crate) fn decode(&self) -> Result<Image, DecodeError> {
        let image = guarded(Format::Jpeg, || {
            let file = self.minimal();
            let mut decoder = libjpeg_turbo_rs::Decoder::new(&file).map_err(damaged)?;
            // a scan whose data end before its blocks
            decoder.set_stop_on_warning(true);
            decoder.set_output_format(match self.channels() {
                Channels::Grey => libjpeg_turbo_rs::PixelFormat::Grayscale,
                Channels::Rgb => libjpeg_turbo_rs::PixelFormat::Rgb,
            });
            decoder.decode_image().map_err(damaged)
        })?;
        Image::new(self.width(), self.height(), self.channels(), image.into_vec()).map_err(|error| {
            DecodeError::Data {
                format: Format::Jpeg,
                what: error.to_string(),
            }
        })
    }

    /// A file of the same pixels and nothing else.
    fn minimal(&self) -> Vec<u8> {
        let mut file = Vec::with_capacity(self.kept() as usize);
        file.extend_from_slice(&[0xff, 0xd8]);
        if self.frame.components.len() == 3 {
            // Adobe's segment is what says of three channels whether they are colours or their differences
            let transform = u8::from(self.ycbcr);
            segment(
                &mut file,
                0xee,
                &[&b"Adobe\0\x64\0\0\0\0"[..], &[transform]].concat(),
            );
        }
        let mut interval = 0;
        for (index, scan) in self.scans.iter().enumerate() {
            for table in &scan.quantization {
                segment(&mut file, 0xdb, table);
            }
            if index == 0 {
                segment(&mut file, self.frame.marker, &self.frame.header());
            }
            for table in &scan.huffman {
                segment(&mut file, 0xc4, table);
            }
            if scan.interval != interval {
                segment(&mut file, 0xdd, &scan.interval.to_be_bytes());
                interval = scan.interval;
            }
            segment(&mut file, 0xda, scan.header);
            file.extend_from_slice(scan.data);
        }
        file.extend_from_slice(&[0xff, 0xd9]);
        file
    }
}

impl Frame {
    fn header(&self) -> Vec<u8> {
        let mut body = vec![8];
        body.extend_from_slice(&self.height.to_be_bytes());
        body.extend_from_slice(&self.width.to_be_bytes());
        body.push(self.components.len() as u8);
        for component in &self.components {
            body.extend_from_slice(&[
                component.id,
                component.across << 4 | component.down,
                component.table,
            ]);
        }
        body
    }
}

/// What the decoder found wrong with the data.
fn damaged(error: JpegError) -> DecodeError {
    if let JpegError::AllocationFailed { bytes, .. } = error {
        // a machine without memory says nothing about the file: like everywhere else, the process ends
        let layout =
            std::alloc::Layout::from_size_align(bytes as usize, 1).unwrap_or(std::alloc::Layout::new::<u8>());
        std::alloc::handle_alloc_error(layout);
    }
    DecodeError::Data {
        format: Format::Jpeg,
        what: error.to_string(),
    }
}

fn segment(file: &mut Vec<u8>, marker: u8, body: &[u8]) {
    file.extend_from_slice(&[0xff, marker]);
    file.extend_from_slice(&(body.len() as u16 + 2).to_be_bytes());
    file.extend_from_slice(body);
}

// Units of work, measured by `examples/picture_throughput` and rounded up.
const START: u64 = 40_000;
const SCAN: u64 = 4_000;
const TABLE: u64 = 8_000;
const DATA: u64 = 40;
const BASELINE_BLOCK: u64 = 60;
const PROGRESSIVE_BLOCK: u64 = 250;
const BLOCK: u64 = 350;
const PIXEL: u64 = 8;
const ROW: u64 = 300;
/// What the decoder sets aside whatever the picture.
const FIXED: u64 = 128 << 10;
