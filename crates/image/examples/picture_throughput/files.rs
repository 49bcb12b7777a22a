//! Files that are common, and files that are made to be slow.

use libjpeg_turbo_rs::{Encoder, PixelFormat, ScanScript, Subsampling};
use miniz_oxide::deflate::compress_to_vec_zlib;

/// Bytes that look random.
pub(crate) fn noise(count: usize) -> Vec<u8> {
    (0..count as u64)
        .map(|index| {
            (index
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .rotate_left(21)
                .wrapping_mul(0xbf58_476d_1ce4_e5b9)
                >> 40) as u8
        })
        .collect()
}

/// A picture with soft areas, edges and a little noise, as photographs have.
fn soft(width: usize, height: usize) -> Vec<u8> {
    let grain = noise(width * height * 3);
    let mut out = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            let edge = u64::from((x / 97 + y / 71) % 3 == 0) * 60;
            for (channel, factor) in [3, 2, 1].into_iter().enumerate() {
                let value =
                    (x * factor / 7 + y / (factor + 1)) as u64 % 160 + edge + u64::from(grain[out.len()] & 7);
                out.push((value + channel as u64) as u8);
            }
        }
    }
    out
}

const SAMPLES: [usize; 7] = [1, 0, 3, 1, 2, 0, 4];
const ADAM7: [(usize, usize, usize, usize); 7] = [
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
];

struct Kind {
    width: usize,
    height: usize,
    depth: usize,
    colour: usize,
    interlaced: bool,
}

fn chunk(file: &mut Vec<u8>, kind: &[u8; 4], body: &[u8]) {
    file.extend((body.len() as u32).to_be_bytes());
    let from = file.len();
    file.extend(kind);
    file.extend(body);
    let checksum = crc32fast::hash(&file[from..]);
    file.extend(checksum.to_be_bytes());
}

impl Kind {
    /// Bytes of each row, in the order of the file.
    fn rows(&self) -> Vec<usize> {
        let passes: &[_] = if self.interlaced { &ADAM7 } else { &[(0, 0, 1, 1)] };
        let mut rows = Vec::new();
        for &(x, y, across, down) in passes {
            let (width, height) = (
                self.width.saturating_sub(x).div_ceil(across),
                self.height.saturating_sub(y).div_ceil(down),
            );
            if width > 0 {
                rows.extend(std::iter::repeat_n(
                    (width * SAMPLES[self.colour] * self.depth).div_ceil(8),
                    height,
                ));
            }
        }
        rows
    }

    /// Rows of these bytes behind this filter; any bytes are a picture.
    fn unpacked(&self, filter: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut bytes = bytes.iter().copied().cycle();
        for row in self.rows() {
            out.push(filter);
            out.extend(bytes.by_ref().take(row));
        }
        out
    }

    fn file(&self, compressed: &[u8], piece: usize) -> Vec<u8> {
        let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
        let mut header = (self.width as u32).to_be_bytes().to_vec();
        header.extend((self.height as u32).to_be_bytes());
        header.extend([
            self.depth as u8,
            self.colour as u8,
            0,
            0,
            u8::from(self.interlaced),
        ]);
        chunk(&mut file, b"IHDR", &header);
        if self.colour == 3 {
            chunk(&mut file, b"PLTE", &noise(768));
        }
        for body in compressed.chunks(piece) {
            chunk(&mut file, b"IDAT", body);
        }
        chunk(&mut file, b"IEND", &[]);
        file
    }
}

/// Bits, the lowest first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: u32,
}

impl Bits {
    fn put(&mut self, value: u32, count: u32) {
        for bit in 0..count {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let last = self.bytes.len() - 1;
            self.bytes[last] |= ((value >> bit & 1) as u8) << (self.used % 8);
            self.used += 1;
        }
    }

    /// A code word, its highest bit first.
    fn code(&mut self, word: u32, length: u32) {
        for bit in (0..length).rev() {
            self.put(word >> bit & 1, 1);
        }
    }

    /// A block that defines its codes anew and holds a zero and so many runs of 258 zeros.
    fn block(&mut self, last: bool, runs: usize) {
        self.put(u32::from(last), 1);
        self.put(2, 2);
        self.put(29, 5);
        self.put(1, 5);
        self.put(14, 4);
        // lengths of the words for lengths, in deflate's order: 16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1
        for length in [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 2] {
            self.put(length, 3);
        }
        let one = |bits: &mut Self| bits.code(0b10, 2);
        let two = |bits: &mut Self| bits.code(0b11, 2);
        let zeros = |bits: &mut Self, count: u32| {
            bits.code(0, 1);
            bits.put(count - 11, 7);
        };
        one(self); // the byte 0
        zeros(self, 138);
        zeros(self, 117);
        two(self); // 256, the end
        zeros(self, 28);
        two(self); // 285, 258 bytes
        one(self);
        one(self); // distances 1 and 2
        self.code(0, 1);
        for _ in 0..runs {
            self.code(0b11, 2);
            self.code(0, 1);
        }
        self.code(0b10, 2);
    }
}

/// A zlib stream of at least so many zeros, in blocks of 1 + 258 × runs.
fn blocks(length: usize, runs: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.put(0x78, 8);
    bits.put(0x01, 8);
    let each = 1 + 258 * runs;
    let count = length.div_ceil(each);
    for block in 0..count {
        bits.block(block + 1 == count, runs);
    }
    bits.bytes.extend([0; 4]);
    bits.bytes
}

pub(crate) fn pngs() -> impl Iterator<Item = (String, Vec<u8>)> {
    type Make = Box<dyn Fn() -> Vec<u8>>;
    let kind = |width, height, depth, colour, interlaced| Kind {
        width,
        height,
        depth,
        colour,
        interlaced,
    };
    let mut cases: Vec<(String, Make)> = Vec::new();
    let mut add = |name: &str, make: Make| cases.push((name.to_owned(), make));
    add(
        "png, common, 1024 × 1024 RGB",
        Box::new(move || {
            let kind = kind(1024, 1024, 8, 2, false);
            let pixels = soft(1024, 1024);
            // the filter Sub, as encoders choose it for such rows
            let mut rows = Vec::new();
            for row in pixels.chunks(3072) {
                rows.push(1);
                rows.extend((0..3072).map(|at| row[at].wrapping_sub(if at < 3 { 0 } else { row[at - 3] })));
            }
            kind.file(&compress_to_vec_zlib(&rows, 6), 8192)
        }),
    );
    for (depth, colour) in [(8, 2), (16, 6), (8, 3), (1, 0), (8, 4), (16, 0)] {
        for interlaced in [false, true] {
            let name = format!(
                "png, noise, 1024 × 1024, colour type {colour} of {depth} bits{}",
                if interlaced { ", interlaced" } else { "" }
            );
            add(
                &name,
                Box::new(move || {
                    let kind = kind(1024, 1024, depth, colour, interlaced);
                    let filter = if depth == 1 { 0 } else { 4 };
                    kind.file(
                        &compress_to_vec_zlib(&kind.unpacked(filter, &noise(1 << 20)), 6),
                        1 << 20,
                    )
                }),
            );
        }
    }
    for filter in 0..5 {
        add(
            &format!("png, bytes of few values, filter {filter}, RGBA"),
            Box::new(move || {
                let kind = kind(1500, 700, 8, 6, false);
                let bytes: Vec<_> = noise(1 << 20).iter().map(|byte| byte & 3).collect();
                kind.file(&compress_to_vec_zlib(&kind.unpacked(filter, &bytes), 9), 1 << 16)
            }),
        );
    }
    for (name, width, height, depth, colour, interlaced) in [
        ("zeros, 8192 × 8192, 1 bit", 8192, 8192, 1, 0, false),
        ("zeros, 8192 × 8192, RGB", 8192, 8192, 8, 2, false),
        ("zeros, 4096 × 4096, RGBA of 16 bits", 4096, 4096, 16, 6, false),
        ("zeros, 4096 × 4096, 1 bit, interlaced", 4096, 4096, 1, 0, true),
        ("zeros, 4096 × 4096, 2 bits, interlaced", 4096, 4096, 2, 0, true),
        ("zeros, 4096 × 4096, RGB, interlaced", 4096, 4096, 8, 2, true),
        ("zeros, 32768 × 2", 32_768, 2, 8, 2, true),
        ("zeros, 2 × 32768", 2, 32_768, 8, 2, false),
        ("zeros, 1 × 32768, interlaced", 1, 32_768, 8, 2, true),
        ("zeros, 1 × 1", 1, 1, 8, 2, false),
    ] {
        add(
            &format!("png, {name}"),
            Box::new(move || {
                let kind = kind(width, height, depth, colour, interlaced);
                kind.file(&compress_to_vec_zlib(&kind.unpacked(0, &[0]), 9), 1 << 20)
            }),
        );
    }
    for runs in [0, 1, 2, 8] {
        add(
            &format!("png, codes anew every {} bytes", 1 + 258 * runs),
            Box::new(move || {
                let kind = kind(2000, 1000, 8, 2, false);
                kind.file(&blocks(1000 * 6001, runs), 1 << 20)
            }),
        );
    }
    add(
        "png, chunks of one byte",
        Box::new(move || {
            let kind = kind(300, 300, 8, 2, false);
            kind.file(&compress_to_vec_zlib(&kind.unpacked(4, &noise(1 << 18)), 6), 1)
        }),
    );
    cases.into_iter().map(|(name, make)| (name, make()))
}

fn scan(components: &[u8], ss: u8, se: u8, ah: u8, al: u8) -> ScanScript {
    ScanScript {
        components: components.to_vec(),
        ss,
        se,
        ah,
        al,
    }
}

/// As many scans as a script may have: each coefficient in one of its own.
fn one_by_one() -> Vec<ScanScript> {
    let mut script = vec![scan(&[0, 1, 2], 0, 0, 0, 0)];
    script.extend((0..3).flat_map(|component| (1..64).map(move |k| scan(&[component], k, k, 0, 0))));
    script
}

/// All coefficients bit by bit.
fn bit_by_bit(bits: u8) -> Vec<ScanScript> {
    let mut script = vec![scan(&[0, 1, 2], 0, 0, 0, 0)];
    for component in 0..3 {
        script.push(scan(&[component], 1, 63, 0, bits));
        script.extend((0..bits).rev().map(|low| scan(&[component], 1, 63, low + 1, low)));
    }
    script
}

/// Eight large tables that nothing uses before each scan.
fn with_tables(file: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = file;
    while let Some(at) = rest.windows(2).position(|pair| pair == [0xff, 0xda]) {
        out.extend_from_slice(&rest[..at]);
        for number in 2..4 {
            for class in 0..2 {
                let count = if class == 0 { 12 } else { 255 };
                out.extend([0xff, 0xc4]);
                out.extend((19 + count as u16).to_be_bytes());
                out.push(class << 4 | number);
                out.extend((0..16).map(|length| if length == 8 { count } else { 0 }));
                out.extend(0..count);
            }
        }
        out.extend_from_slice(&rest[at..at + 2]);
        rest = &rest[at + 2..];
    }
    out.extend_from_slice(rest);
    out
}

pub(crate) fn jpegs() -> impl Iterator<Item = (String, Vec<u8>)> {
    type Change = fn(Encoder<'_>) -> Encoder<'_>;
    let fine = [1_u16; 64];
    let mut cases = Vec::new();
    let mut encode = |name: &str,
                      width: usize,
                      height: usize,
                      pixels: &[u8],
                      change: &dyn Fn(Encoder<'_>) -> Encoder<'_>| {
        let encoder = Encoder::new(pixels, width, height, PixelFormat::Rgb).optimize_huffman(true);
        match change(encoder).encode() {
            Ok(file) => cases.push((format!("jpeg, {name}"), file)),
            Err(error) => println!("{name}: {error}"),
        }
    };
    let (photo, grain, flat) = (soft(1024, 1024), noise(3 << 20), vec![90; 3 << 20]);
    // one high frequency in every block
    let striped: Vec<_> = (0..3 << 20)
        .map(|at| if (at / 3) % 2 == 0 { 90 } else { 110 })
        .collect();
    let subsamplings: [(&str, Change); 3] = [
        ("4:4:4", |encoder| encoder.subsampling(Subsampling::S444)),
        ("4:2:2", |encoder| encoder.subsampling(Subsampling::S422)),
        ("4:2:0", |encoder| encoder.subsampling(Subsampling::S420)),
    ];
    for (name, change) in subsamplings {
        encode(
            &format!("common, quality 85, {name}"),
            1024,
            1024,
            &photo,
            &|encoder| change(encoder).quality(85),
        );
        encode(
            &format!("common, quality 85, {name}, progressive"),
            1024,
            1024,
            &photo,
            &|encoder| change(encoder).quality(85).progressive(true),
        );
        for (picture, pixels) in [("noise", &grain), ("flat", &flat), ("stripes", &striped)] {
            encode(&format!("{picture}, {name}"), 1024, 1024, pixels, &|encoder| {
                change(encoder).quant_table(0, fine).quant_table(1, fine)
            });
            encode(
                &format!("{picture}, {name}, progressive"),
                1024,
                1024,
                pixels,
                &|encoder| {
                    change(encoder)
                        .quant_table(0, fine)
                        .quant_table(1, fine)
                        .progressive(true)
                },
            );
        }
    }
    for (picture, pixels) in [("noise", &grain), ("flat", &flat), ("stripes", &striped)] {
        for (name, script) in [
            ("coefficients one by one", one_by_one()),
            ("bit by bit", bit_by_bit(9)),
        ] {
            encode(
                &format!("{picture}, {name}"),
                512,
                512,
                &pixels[..3 << 18],
                &|encoder| {
                    encoder
                        .subsampling(Subsampling::S444)
                        .quant_table(0, fine)
                        .quant_table(1, fine)
                        .progressive(true)
                        .scan_script(script.clone())
                },
            );
        }
        for progressive in [false, true] {
            encode(
                &format!(
                    "{picture}, a restart each group{}",
                    if progressive { ", progressive" } else { "" }
                ),
                512,
                512,
                &pixels[..3 << 18],
                &|encoder| {
                    encoder
                        .subsampling(Subsampling::S444)
                        .quality(90)
                        .progressive(progressive)
                        .restart_blocks(1)
                },
            );
        }
    }
    for (width, height) in [(1, 1), (8, 8), (1, 32_768), (32_768, 1), (8, 32_768), (5000, 200)] {
        encode(
            &format!("noise, {width} × {height}, 4:2:0"),
            width,
            height,
            &grain[..3 * width * height],
            &|encoder| encoder.subsampling(Subsampling::S420).quality(90),
        );
        encode(
            &format!("noise, {width} × {height}, 4:2:0, progressive"),
            width,
            height,
            &grain[..3 * width * height],
            &|encoder| {
                encoder
                    .subsampling(Subsampling::S420)
                    .quality(90)
                    .progressive(true)
            },
        );
    }
    let mut tables = Vec::new();
    for (name, file) in &cases {
        if name.contains("one by one") && name.contains("flat") {
            tables.push((format!("{name}, tables before each scan"), with_tables(file)));
        }
    }
    cases.extend(tables);
    cases.into_iter()
}
