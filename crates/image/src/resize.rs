//! Resizing, as Pillow 13 computes it for 8 bits a channel.
//!
//! Two passes, along rows and along columns, with an 8-bit picture between them. Weights are computed in `f64`, one for each
//! pixel under the filter, divided by their sum, and rounded to integers of 2⁻²²; the rest is integers and therefore the same
//! in any order. `f64` operations are additions, subtractions, multiplications and divisions (and this project's sine, for
//! two filters), each rounded, never fused.

use crate::error::ApplyError;
use crate::filter::Filter;
use crate::image::{Channels, Image, fits};

/// Bits behind the point of a weight.
const PRECISION: u32 = 22;

/// What each pixel of one axis is made of.
struct Weights {
    /// For each: the first pixel under the filter, and how many.
    spans: Vec<(u32, u32)>,
    /// `taps` for each, of which a span's are in use.
    weights: Vec<i32>,
    taps: usize,
}

impl Weights {
    /// Of `to` pixels made of `from`.
    fn new(from: u32, to: u32, filter: Filter) -> Self {
        let scale = f64::from(from) / f64::from(to);
        let stretch = if scale < 1.0 { 1.0 } else { scale };
        let support = filter.support() * stretch;
        let taps = taps(from, to, filter);
        let mut spans = Vec::with_capacity(to as usize);
        let mut weights = vec![0; to as usize * taps];
        let mut exact = vec![0.0; taps];
        let shrink = 1.0 / stretch;
        for (place, weights) in weights.chunks_exact_mut(taps).enumerate() {
            let center = (place as f64 + 0.5) * scale;
            // `as` cuts off towards zero and keeps within u32, as C's cast and Pillow's comparison with 0 do
            let first = (center - support + 0.5) as u32;
            let end = ((center + support + 0.5) as u32).min(from);
            let count = (end - first) as usize;
            let mut sum = 0.0;
            for (tap, exact) in exact[..count].iter_mut().enumerate() {
                *exact = filter.weight((tap as f64 + f64::from(first) - center + 0.5) * shrink);
                sum += *exact;
            }
            for (weight, exact) in weights.iter_mut().zip(&exact[..count]) {
                let share = if sum == 0.0 { *exact } else { exact / sum };
                let scaled = share * f64::from(1 << PRECISION);
                *weight = (if share < 0.0 { -0.5 + scaled } else { 0.5 + scaled }) as i32;
            }
            spans.push((first, count as u32));
        }
        Self { spans, weights, taps }
    }

    /// For each pixel: the first under the filter, and the weights.
    fn iter(&self) -> impl Iterator<Item = (usize, &[i32])> {
        self.spans
            .iter()
            .zip(self.weights.chunks_exact(self.taps))
            .map(|(&(first, count), weights)| (first as usize, &weights[..count as usize]))
    }
}

/// The most pixels that are under the filter at once.
fn taps(from: u32, to: u32, filter: Filter) -> usize {
    let scale = f64::from(from) / f64::from(to);
    let stretch = if scale < 1.0 { 1.0 } else { scale };
    (filter.support() * stretch).ceil() as usize * 2 + 1
}

/// A sum with its rounding half in it, as a byte.
fn byte(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// Whether columns are shrunk before rows: where the height loses more than twice as many pixels as the width, as Pillow has
/// it since version 13.
fn columns_first(from: (u32, u32), to: (u32, u32)) -> bool {
    let width = i64::from(from.0) - i64::from(to.0);
    let height = i64::from(from.1) - i64::from(to.1);
    height > 0 && height > 2 * width
}

/// The picture in another size, which may be larger.
///
/// Equals Pillow 13's `Image.resize((width, height), filter)` of a picture in `RGB` or `L`, bit for bit.
///
/// # Errors
/// [`ApplyError::Size`] where a side is 0 or the picture beyond the limits.
pub fn resize(image: &Image, width: u32, height: u32, filter: Filter) -> Result<Image, ApplyError> {
    check(image.width(), image.height(), width.into(), height.into())?;
    let (from, to) = ((image.width(), image.height()), (width, height));
    let data = match image.channels() {
        Channels::Grey => resized::<1>(image.data(), from, to, filter),
        Channels::Rgb => resized::<3>(image.data(), from, to, filter),
    };
    Ok(
        Image::new(width, height, image.channels(), data)
            .expect("the size has been compared with the limits"),
    )
}

/// Whether a picture of that size can be made of one of this.
pub(crate) fn check(width: u32, height: u32, to_width: u64, to_height: u64) -> Result<(), ApplyError> {
    if fits(to_width, to_height) {
        return Ok(());
    }
    Err(ApplyError::Size {
        width,
        height,
        to_width,
        to_height,
    })
}

fn resized<const C: usize>(data: &[u8], from: (u32, u32), to: (u32, u32), filter: Filter) -> Vec<u8> {
    if from == to {
        return data.to_vec();
    }
    if filter == Filter::Nearest {
        return nearest::<C>(data, from, to);
    }
    let rows = |data: &[u8]| along_rows::<C>(data, from.0, &Weights::new(from.0, to.0, filter));
    let columns = |data: &[u8], width: u32| {
        along_columns(data, width as usize * C, &Weights::new(from.1, to.1, filter))
    };
    if from.1 == to.1 {
        rows(data)
    } else if from.0 == to.0 {
        columns(data, from.0)
    } else if columns_first(from, to) {
        rows(&columns(data, from.0))
    } else {
        columns(&rows(data), to.0)
    }
}

/// Each row made longer or shorter.
fn along_rows<const C: usize>(data: &[u8], width: u32, weights: &Weights) -> Vec<u8> {
    let width = width as usize * C;
    let mut out = Vec::with_capacity(data.len() / width * weights.spans.len() * C);
    for row in data.chunks_exact(width) {
        let (row, _) = row.as_chunks::<C>();
        for (first, weights) in weights.iter() {
            let mut sums = [1 << (PRECISION - 1); C];
            for (pixel, weight) in row[first..].iter().zip(weights) {
                for (sum, &value) in sums.iter_mut().zip(pixel) {
                    *sum = i32::wrapping_add(*sum, i32::from(value).wrapping_mul(*weight));
                }
            }
            out.extend(sums.map(byte));
        }
    }
    out
}

/// Each column made longer or shorter; `width` in bytes.
fn along_columns(data: &[u8], width: usize, weights: &Weights) -> Vec<u8> {
    let mut out = Vec::with_capacity(width * weights.spans.len());
    let mut sums = vec![0; width];
    for (first, weights) in weights.iter() {
        sums.fill(1 << (PRECISION - 1));
        for (row, &weight) in data[first * width..].chunks_exact(width).zip(weights) {
            for (sum, &value) in sums.iter_mut().zip(row) {
                *sum = i32::wrapping_add(*sum, i32::from(value).wrapping_mul(weight));
            }
        }
        out.extend(sums.iter().copied().map(byte));
    }
    out
}

/// Pixels under the middles, found by adding up steps as Pillow does.
fn nearest<const C: usize>(data: &[u8], from: (u32, u32), to: (u32, u32)) -> Vec<u8> {
    let places = |from: u32, to: u32| {
        let step = f64::from(from) / f64::from(to);
        let mut at = step * 0.5;
        (0..to)
            .map(|_| {
                let place = at as usize;
                at += step;
                // sums of rounded steps may reach the edge; Pillow leaves such pixels black
                (place < from as usize).then_some(place)
            })
            .collect::<Vec<_>>()
    };
    let columns = places(from.0, to.0);
    let mut out = Vec::with_capacity(to.0 as usize * to.1 as usize * C);
    for place in places(from.1, to.1) {
        let row = place.map(|place| data[place * from.0 as usize * C..].as_chunks::<C>().0);
        for &column in &columns {
            out.extend(
                row.and_then(|row| column.map(|column| row[column]))
                    .unwrap_or([0; C]),
            );
        }
    }
    out
}

/// What resizing takes at most: units of work, and bytes beside the two pictures.
#[must_use]
pub fn resize_cost(channels: Channels, from: (u32, u32), to: (u32, u32), filter: Filter) -> (u64, u64) {
    let channel_bytes = channels.count() as u64;
    let area = |width: u32, height: u32| u64::from(width) * u64::from(height) * channel_bytes;
    if from == to {
        return (START + area(to.0, to.1), 0);
    }
    if filter == Filter::Nearest {
        let places = 16 * (u64::from(to.0) + u64::from(to.1));
        return (START + COPIED * area(to.0, to.1) + places, places);
    }
    let weigh = if matches!(filter, Filter::Lanczos | Filter::Hamming) {
        SINE
    } else {
        WEIGHT
    };
    let (across, down) = (
        taps(from.0, to.0, filter) as u64,
        taps(from.1, to.1, filter) as u64,
    );
    let (weights_across, weights_down) = (across * u64::from(to.0), down * u64::from(to.1));
    let (mut work, mut memory) = (START, 0);
    let columns_first = columns_first(from, to);
    if from.0 != to.0 {
        let height = if columns_first { to.1 } else { from.1 };
        let tap = match channels {
            Channels::Grey => TAP_GREY,
            Channels::Rgb => TAP_RGB,
        };
        work += weigh * weights_across
            + (PIXEL * channel_bytes + tap * across) * area(to.0, height) / channel_bytes;
        memory += 4 * weights_across + 8 * across + 8 * u64::from(to.0);
    }
    if from.1 != to.1 {
        let width = if columns_first { from.0 } else { to.0 };
        work += weigh * weights_down + (PIXEL + TAP_DOWN * down) * area(width, to.1);
        memory += 4 * weights_down + 8 * down + 8 * u64::from(to.1) + 4 * u64::from(width) * channel_bytes;
    }
    if from.0 != to.0 && from.1 != to.1 {
        memory += if columns_first {
            area(from.0, to.1)
        } else {
            area(to.0, from.1)
        };
    }
    (work, memory)
}

// Units of work, measured by `examples/picture_throughput` and rounded up.
const START: u64 = 1_000;
const COPIED: u64 = 4;
const WEIGHT: u64 = 12;
const SINE: u64 = 120;
const PIXEL: u64 = 4;
/// A tap along rows, of all channels of a pixel.
const TAP_GREY: u64 = 6;
const TAP_RGB: u64 = 8;
/// A tap along columns, of one channel.
const TAP_DOWN: u64 = 2;
