//! Products on the tiles of AMX: sixteen rows of up to 64 terms with sixteen columns in one instruction, exact as the others.
//!
//! Nothing is packed for it. A tile of the left operand is sixteen rows at equal distances, of the right one the quads of a panel as
//! they lie ([`super::pack`]). Four tiles of sums, of two tiles of rows and two panels, take up half of the registers, so that each
//! tile that is loaded is used twice.
//!
//! Where the rows go along lines, as under a window over an image, a tile goes on over the end of a line: rows that lie between two
//! lines are computed and not kept.

use super::pack::{self, PANEL, Panels};
use super::product::{Product, Sink, Walk, put_sums};
use super::tile::{self, COLUMNS};
use super::unit::Unit;
use std::{arch::asm, ops::Range, sync::OnceLock};

/// Rows of a tile.
const HEIGHT: usize = 16;
/// Quads of a tile, at most.
const QUADS: usize = 16;
/// Quads of a step, at least: shorter ones are no faster than vectors.
const LEAST_QUADS: usize = 4;

/// Whether the processor has tiles for bytes, and the system lets this process use them, which it is asked the first time.
pub(super) fn is_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| has_tiles() && allow_tiles())
}

/// Whether the processor has AMX-TILE and AMX-INT8 (Intel's manual, volume 1, chapter 18).
fn has_tiles() -> bool {
    const TILE: u32 = 1 << 24;
    const INT8: u32 = 1 << 25;
    let leaves = std::arch::x86_64::__cpuid(0).eax;
    leaves >= 7 && std::arch::x86_64::__cpuid_count(7, 0).edx & (TILE | INT8) == TILE | INT8
}

/// Asks Linux for the process' right to the tiles' state, 8 KiB for each thread that uses them (`arch_prctl(2)`).
#[cfg(target_os = "linux")]
fn allow_tiles() -> bool {
    const SYS_ARCH_PRCTL: u64 = 158;
    const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
    const XFEATURE_XTILEDATA: u64 = 18;
    let mut result = SYS_ARCH_PRCTL;
    // SAFETY: a system call that gives this process a right and touches no memory of ours; it overwrites these two registers.
    unsafe {
        asm!(
            "syscall",
            inout("rax") result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result == 0
}

#[cfg(not(target_os = "linux"))]
fn allow_tiles() -> bool {
    false
}

/// `LDTILECFG`'s operand: how large the tiles are.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    /// Bytes of a row of each tile; there are eight.
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Configuration {
    /// Tiles 0 to 3 are sums, 4 and 5 rows of so many quads, 6 and 7 as many quads of a panel.
    fn of(quads: usize) -> Self {
        let (mut row_bytes, mut rows) = ([0; 16], [0; 16]);
        for tile in 0..8 {
            (row_bytes[tile], rows[tile]) = match tile {
                4 | 5 => (4 * quads as u16, HEIGHT as u8),
                6 | 7 => (64, quads as u8),
                _ => (64, HEIGHT as u8),
            };
        }
        Configuration {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes,
            rows,
        }
    }
}

/// The registers of this thread, configured; given back when dropped.
struct Tiles;

impl Tiles {
    /// # Safety
    /// [`is_available`] must be true.
    unsafe fn configured(quads: usize) -> Self {
        let configuration = Configuration::of(quads);
        // SAFETY: the tiles are there by the contract; the operand is 64 bytes that are read. No code that the compiler makes uses them.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &raw const configuration, options(nostack, readonly, preserves_flags));
        }
        Tiles
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: the tiles are there, since they were configured.
        unsafe { asm!("tilerelease", options(nostack, nomem, preserves_flags)) };
    }
}

/// Bytes of packed weights beyond which they are not expected in the second cache.
const FAR: usize = 256 << 10;

/// What a block of sums is computed of, as the kernel reads it.
#[derive(Clone, Copy)]
#[repr(C)]
struct Block {
    /// From the start of a row to its runs.
    offsets: *const usize,
    runs: usize,
    /// Steps of a run.
    steps: usize,
    /// Bytes of a step, from row to row, and in the panels.
    row_step: usize,
    panel_step: usize,
    /// From row to row.
    row: usize,
    /// From quad to quad of a panel.
    quad: usize,
    /// The first row of each of two tiles.
    rows: [*const u8; 2],
    /// Cache lines of panels that are fetched in each step, and how far ahead in bytes.
    fetched: usize,
    ahead: usize,
    /// What the columns' sums start at.
    starts: *const i32,
}

/// The kernel: products of one or two tiles of rows and one or two panels at `panel`; the sums are written at `out`, [`COLUMNS`] from
/// row to row. Tiles take lines of the panels out of order, which no prefetcher foresees: where weights are far away, the first tiles to
/// meet a block fetch all its panels.
macro_rules! kernel {
    ($name:ident, $multiply:literal, $second:literal, $both:literal) => {
        /// # Safety
        /// The tiles must be configured for the step's quads, each row readable at each run, and the panels, and the sums writable.
        unsafe fn $name(block: &Block, panel: *const i8, out: *mut i32) {
            // SAFETY: by the contract. The tiles' registers are this block's own: they are zeroed first, and nobody reads them after.
            unsafe {
                asm!(
                    "mov {fetch}, [{block} + 88]",
                    "xor {lines:e}, {lines:e}",
                    "tileloadd tmm0, [{fetch} + {lines}]",
                    concat!($second, "tileloadd tmm2, [{fetch} + {lines}]"),
                    concat!($both, "tileloadd tmm1, [{fetch} + {lines} + 64]"),
                    concat!($second, $both, "tileloadd tmm3, [{fetch} + {lines} + 64]"),
                    "2:",
                    "mov {first}, [{offsets}]",
                    "mov {second}, [{block} + 64]",
                    "add {second}, {first}",
                    "add {first}, [{block} + 56]",
                    "mov {steps}, [{block} + 16]",
                    "3:",
                    "mov {lines}, [{block} + 72]",
                    "test {lines}, {lines}",
                    "jz 5f",
                    "mov {fetch}, [{block} + 80]",
                    "add {fetch}, {panel}",
                    "4:",
                    "prefetcht1 [{fetch}]",
                    "add {fetch}, 64",
                    "dec {lines}",
                    "jnz 4b",
                    "5:",
                    "tileloadd tmm4, [{first} + {row}]",
                    "tileloadd tmm6, [{panel} + {quad}]",
                    concat!($multiply, " tmm0, tmm4, tmm6"),
                    concat!($second, "tileloadd tmm5, [{second} + {row}]"),
                    concat!($second, $multiply, " tmm2, tmm5, tmm6"),
                    concat!($both, "tileloadd tmm7, [{panel} + {quad} + 64]"),
                    concat!($both, $multiply, " tmm1, tmm4, tmm7"),
                    concat!($second, $both, $multiply, " tmm3, tmm5, tmm7"),
                    "add {first}, [{block} + 24]",
                    "add {second}, [{block} + 24]",
                    "add {panel}, [{block} + 32]",
                    "dec {steps}",
                    "jnz 3b",
                    "add {offsets}, 8",
                    "dec {runs}",
                    "jnz 2b",
                    "mov {row}, {out_row}",
                    "tilestored [{out} + {row}], tmm0",
                    concat!($both, "tilestored [{out} + {row} + 64], tmm1"),
                    concat!($second, "tilestored [{out} + {row} + {tile}], tmm2"),
                    concat!($second, $both, "tilestored [{out} + {row} + {tile} + 64], tmm3"),
                    block = in(reg) block,
                    offsets = inout(reg) block.offsets => _,
                    runs = inout(reg) block.runs => _,
                    fetch = out(reg) _,
                    lines = out(reg) _,
                    panel = inout(reg) panel => _,
                    row = inout(reg) block.row => _,
                    quad = in(reg) block.quad,
                    out = in(reg) out,
                    first = out(reg) _,
                    second = out(reg) _,
                    steps = out(reg) _,
                    out_row = const COLUMNS * 4,
                    tile = const HEIGHT * COLUMNS * 4,
                    out("tmm0") _,
                    out("tmm1") _,
                    out("tmm2") _,
                    out("tmm3") _,
                    out("tmm4") _,
                    out("tmm5") _,
                    out("tmm6") _,
                    out("tmm7") _,
                    options(nostack),
                );
            }
        }
    };
}
// a line that begins a comment is left out
kernel!(two_by_two, "tdpbusd", "", "");
kernel!(two_by_one, "tdpbusd", "", "#");
kernel!(one_by_two, "tdpbusd", "#", "");
kernel!(one_by_one, "tdpbusd", "#", "#");
kernel!(signed_two_by_two, "tdpbssd", "", "");
kernel!(signed_two_by_one, "tdpbssd", "", "#");
kernel!(signed_one_by_two, "tdpbssd", "#", "");
kernel!(signed_one_by_one, "tdpbssd", "#", "#");

/// Rows at equal distances, some of which count.
#[derive(Clone, Copy)]
struct Spaced {
    start: *const u8,
    /// Bytes from row to row.
    row: usize,
    /// Rows from a line to the next, and those of them that count.
    line: usize,
    width: usize,
    /// The first and the last that count.
    begin: usize,
    last: usize,
}

impl Spaced {
    /// The rows of a walk; `None` if they lie at no equal distances, or are too few for a tile.
    fn of(walk: &Walk, first: usize, count: usize) -> Option<Self> {
        let end = first.checked_add(count.checked_sub(1)?)?;
        let one_line = first / walk.width == end / walk.width;
        let (line, width) = if one_line {
            (usize::MAX, usize::MAX)
        } else if walk.row > 0 && walk.line.is_multiple_of(walk.row) && walk.line / walk.row >= walk.width {
            (walk.line / walk.row, walk.width)
        } else {
            return None;
        };
        let place = |index: usize| match one_line {
            true => index % walk.width,
            false => index / width * line + index % width,
        };
        let start = match one_line {
            true => walk.start.wrapping_add(first / walk.width * walk.line),
            false => walk.start,
        };
        let spaced = Spaced {
            start,
            row: walk.row,
            line,
            width,
            begin: place(first),
            last: place(end),
        };
        (spaced.last - spaced.begin + 1 >= HEIGHT).then_some(spaced)
    }

    /// The numbers of a tile's rows among all that count, where they do.
    fn numbers(&self, first: usize) -> [Option<usize>; HEIGHT] {
        let (line, mut place) = (first / self.line, first % self.line);
        let mut before = line.wrapping_mul(self.width);
        // the end of a line may come several times
        std::array::from_fn(|_| {
            let number = (place < self.width).then(|| before + place);
            place += 1;
            if place == self.line {
                (before, place) = (before + self.width, 0);
            }
            number
        })
    }

    /// The next row from this one on that counts.
    fn next(&self, row: usize) -> usize {
        match row % self.line {
            place if place < self.width => row,
            place => row + (self.line - place),
        }
    }

    /// The first row of each tile, and the first of its rows that is not of the one before.
    fn tiles(&self) -> impl Iterator<Item = (usize, usize)> {
        let mut next = self.begin;
        std::iter::from_fn(move || {
            if next > self.last {
                return None;
            }
            let (new, start) = (next, next.min(self.last + 1 - HEIGHT));
            next = self.next(start + HEIGHT);
            Some((start, new))
        })
    }
}

/// Quads of a step of runs of so many: all steps are equally long.
fn step(quads: usize) -> Option<usize> {
    (LEAST_QUADS..=QUADS.min(quads))
        .rev()
        .find(|&step| quads.is_multiple_of(step))
}

/// A product whose rows fit tiles.
pub(super) struct OnTiles<'a> {
    product: &'a Product<'a>,
    panels: &'a [i8],
    rows: Spaced,
    /// The number of the first row among all that count on these lines.
    number: usize,
    step: usize,
}

impl<'a> OnTiles<'a> {
    /// The product of `count` rows from number `first` of a walk, if tiles suit it.
    pub(super) fn new(
        product: &'a Product<'a>,
        walk: &Walk,
        first: usize,
        count: usize,
        sink: &Sink<'_>,
    ) -> Option<Self> {
        if product.unit != Unit::Amx || product.with.zeros.is_some() || product.with.row_zeros.is_some() {
            return None;
        }
        if let Sink::Bytes { requantize, .. } = sink
            && !requantize.finite
        {
            return None;
        }
        let Panels::Bytes(panels) = product.panels else {
            return None;
        };
        let step = step(product.terms.quads()).filter(|_| !product.offsets.is_empty())?;
        let rows = Spaced::of(walk, first, count)?;
        Some(OnTiles {
            product,
            panels,
            rows,
            number: rows.begin / rows.line * rows.width.min(rows.line) + rows.begin % rows.line,
            step,
        })
    }

    /// Computes some blocks of columns.
    ///
    /// # Safety
    /// As [`Product::run`].
    pub(super) unsafe fn run(&self, blocks: Range<usize>, sink: Sink<'_>) {
        let product = self.product;
        let quads = product.terms.quads();
        // SAFETY: the unit is in use, so the tiles are there.
        let tiles = unsafe { Tiles::configured(self.step) };
        let mut sums = [0i32; 2 * HEIGHT * COLUMNS];
        for index in blocks {
            let block = pack::block(product.columns, index);
            let panels = &self.panels[block.first * product.terms.padded()..]
                [..block.panels * PANEL * product.terms.padded()];
            assert_eq!(
                panels.len(),
                product.offsets.len() * quads * block.panels * PANEL * 4,
                "the operands of a tile have the same terms"
            );
            let mut operands = Block {
                offsets: product.offsets.as_ptr(),
                runs: product.offsets.len(),
                steps: quads / self.step,
                row_step: 4 * self.step,
                panel_step: self.step * block.panels * PANEL * 4,
                row: self.rows.row,
                quad: block.panels * PANEL * 4,
                rows: [self.rows.start; 2],
                fetched: 0,
                ahead: 2 * self.step * block.panels * PANEL * 4,
                starts: std::ptr::null(),
            };
            let mut fetched = if self.panels.len() > FAR {
                self.step * block.panels
            } else {
                0
            };
            let starts = self.starts(block);
            let mut of_rows = self.rows.tiles();
            while let Some(first) = of_rows.next() {
                let pair = [Some(first), of_rows.next()];
                let at = |(row, _): (usize, usize)| self.rows.start.wrapping_add(row * self.rows.row);
                operands.rows = [at(first), at(pair[1].unwrap_or(first))];
                for panel in (0..block.panels).step_by(2) {
                    let kernel = match (product.signed, pair[1].is_some(), panel + 1 < block.panels) {
                        (false, true, true) => two_by_two,
                        (false, true, false) => two_by_one,
                        (false, false, true) => one_by_two,
                        (false, false, false) => one_by_one,
                        (true, true, true) => signed_two_by_two,
                        (true, true, false) => signed_two_by_one,
                        (true, false, true) => signed_one_by_two,
                        (true, false, false) => signed_one_by_one,
                    };
                    let (from, to) = (
                        panels[panel * PANEL * 4..].as_ptr(),
                        sums[panel * PANEL..].as_mut_ptr(),
                    );
                    operands.fetched = std::mem::take(&mut fetched);
                    operands.starts = starts[panel * PANEL..].as_ptr();
                    // SAFETY: the rows of a tile lie between the first and the last of the walk, all of which are readable by the
                    // contract; the panels have these quads (above), and the sums are those of two tiles.
                    unsafe { kernel(&operands, from, to) };
                }
                for (sums, tile) in sums.chunks_exact(HEIGHT * COLUMNS).zip(pair.iter().flatten()) {
                    // SAFETY: by the contract.
                    unsafe { self.put(sums, *tile, block, sink) };
                }
            }
        }
        drop(tiles);
    }

    /// What the sums of a block start at. Tiles multiply i8 as they are, all other code moves them by 128.
    fn starts(&self, block: pack::Block) -> [i32; COLUMNS] {
        let mut starts = [0; COLUMNS];
        let width = block.panels * PANEL;
        starts[..width].copy_from_slice(&self.product.with.starts[block.first..][..width]);
        if self.product.signed {
            for (start, sum) in starts
                .iter_mut()
                .zip(&self.product.with.sums[block.first..][..width])
            {
                *start = start.wrapping_add(sum.wrapping_mul(128));
            }
        }
        starts
    }

    /// The places of a tile's rows among those of the sink, if they count and are not rows of the tile before.
    fn places(&self, first: usize, new: usize) -> [Option<usize>; HEIGHT] {
        let rows = &self.rows;
        let (line, place) = (first / rows.line, first % rows.line);
        if new == first && first + HEIGHT <= rows.last + 1 && place + HEIGHT <= rows.width {
            let number = line.wrapping_mul(rows.width).wrapping_add(place) - self.number;
            return std::array::from_fn(|row| Some(number + row));
        }
        let mut places = rows.numbers(first);
        for (row, place) in (first..).zip(&mut places) {
            *place = place
                .filter(|_| (new..=rows.last).contains(&row))
                .map(|number| number - self.number);
        }
        places
    }

    /// Puts the sums of a tile where they belong.
    ///
    /// # Safety
    /// As [`Product::run`].
    unsafe fn put(&self, sums: &[i32], (first, new): (usize, usize), block: pack::Block, sink: Sink<'_>) {
        let columns = (self.product.columns - block.first).min(block.panels * PANEL);
        let places = self.places(first, new);
        match sink {
            Sink::Sums { out, row, column } => {
                for (sums, place) in sums.chunks_exact(COLUMNS).zip(places) {
                    let Some(at) = place else { continue };
                    let out = out.wrapping_add(at * row + block.first * column);
                    // SAFETY: by the contract the sink has this row and its columns.
                    unsafe { put_sums(&sums[..columns], None, out, column) };
                }
            }
            Sink::Bytes { out, row, requantize } => {
                let mask = if columns == COLUMNS {
                    u64::MAX
                } else {
                    (1 << columns) - 1
                };
                let places = places.map(|place| Some(out.wrapping_add(place? * row + block.first)));
                let factors = &requantize.factors[block.first..][..block.panels * PANEL];
                // SAFETY: the sink has the columns at these places by the contract; the factors are finite.
                unsafe {
                    tile::avx512::finish(sums.as_ptr(), block.panels, factors, &requantize, mask, &places);
                }
            }
        }
    }
}
