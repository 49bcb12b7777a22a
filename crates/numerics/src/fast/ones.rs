//! Products whose left operand is nothing but zeros and a few ones: it stands for numbers of rows of the right one, as one-hot
//! encodings do. Those rows are added up.

use std::ops::Range;

use super::epilogue;
use super::matrix::{BLOCK_ROWS, Columns};
use super::reduction::tree;
use super::tile::PANEL;
use crate::isa::multiversion;
use crate::pool::Disjoint;
use crate::reference::LANES;
use crate::shape::Matrix;

/// Terms for each one, at least: adding a row up takes as long as multiplying so many terms.
const TERMS_OF_A_ONE: usize = 64;
/// Ones of a block of rows, at most.
const MOST_ONES: usize = 4 * BLOCK_ROWS;

/// Where a block of rows has ones, if it has nothing but zeros and a few ones.
struct Ones {
    columns: [u32; MOST_ONES],
    /// For each row the number of ones up to its end.
    ends: [u32; BLOCK_ROWS],
}

/// Some rows and columns of a product whose left operand has nothing but zeros and a few ones there (it stands for numbers of rows of
/// the right one, as a table of embeddings has), and whether it has. Then terms with a zero are left out, where elements of the right
/// operand are finite: they add +0 or −0 to chains, which begin with +0 and are never −0, since sums of elements do not underflow.
pub(super) fn add_rows(
    [n, k]: [usize; 2],
    a: Matrix<'_, f32>,
    b: Columns<'_>,
    rows: Range<usize>,
    columns: Range<usize>,
    out: &Disjoint<'_, f32>,
) -> bool {
    if !matches!(b, Columns::Panels { finite: true, .. }) || a.column_stride != 1 {
        return false;
    }
    let most = (rows.len() * k / TERMS_OF_A_ONE).min(MOST_ONES);
    if most == 0 {
        return false;
    }
    let mut ones = Ones {
        columns: [0; MOST_ONES],
        ends: [0; BLOCK_ROWS],
    };
    let mut count = Some(0);
    for (row, end) in rows.clone().zip(&mut ones.ends) {
        find_ones(
            &a.data[row * a.row_stride..][..k],
            &mut ones.columns[..most],
            &mut count,
        );
        let Some(count) = count else { return false };
        *end = count as u32;
    }
    let mut first = 0;
    for (row, &end) in rows.zip(&ones.ends) {
        // SAFETY: the rows and columns are the caller's.
        let out = unsafe { out.slice(row * n + columns.start..row * n + columns.end) };
        out.fill(0.0);
        for &term in &ones.columns[first..end as usize] {
            for (part, right) in b.parts(columns.clone(), term as usize) {
                let out = &mut out[part.start - columns.start..part.end - columns.start];
                for (out, panel) in out.chunks_mut(PANEL).zip(right.data.chunks(right.panel)) {
                    epilogue::with_each(out, panel, |sum: f32, element: f32| sum + element);
                }
            }
        }
        epilogue::add_bias(out, None);
        first = end as usize;
    }
    true
}

multiversion! {
    /// Appends the places of ones in a row; no count is left if there is anything but them and zeros, or there are too many.
    fn find_ones[](row: &[f32], ones: &mut [u32], count: &mut Option<usize>) {
        const TOGETHER: usize = 32;
        // most products have none: a look at the first elements is enough
        if row.iter().take(LANES).any(|&x| x * x != x) {
            *count = None;
            return;
        }
        if let Some(place) = only_one(row) {
            if let Some(ones) = count.and_then(|count| ones.get_mut(count)) {
                *ones = place;
                *count = count.map(|count| count + 1);
            } else {
                *count = None;
            }
            return;
        }
        for (index, part) in row.chunks(TOGETHER).enumerate() {
            let (mut others, mut any) = (0_u32, 0_u32);
            for &x in part {
                any |= u32::from(x != 0.0);
                others |= u32::from(x != 0.0 && x != 1.0);
            }
            if others != 0 {
                *count = None;
            }
            let Some(count) = count else { return };
            if any == 0 {
                continue;
            }
            for (place, _) in part.iter().enumerate().filter(|&(_, &x)| x != 0.0) {
                if let Some(one) = ones.get_mut(*count) {
                    *one = (index * TOGETHER + place) as u32;
                }
                *count += 1;
            }
        }
        *count = count.filter(|&count| count <= ones.len());
    }
}

/// The place of the only one of a row that has nothing but zeros beside it: the sum of all elements, each times its place.
#[inline(always)]
fn only_one(row: &[f32]) -> Option<u32> {
    /// Places below it are floats.
    const MOST: usize = 1 << f32::MANTISSA_DIGITS;
    if row.len() > MOST {
        return None;
    }
    let (mut ones, mut places) = ([0.0_f32; LANES], [0.0_f32; LANES]);
    let mut others = [0_u32; LANES];
    let mut here: [f32; LANES] = std::array::from_fn(|l| l as f32);
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for l in 0..LANES {
            let x = chunk[l];
            // zero and one are their squares; so is ∞, of which the sum is not 1
            others[l] |= u32::from(x * x != x);
            ones[l] += x;
            places[l] += x * here[l];
            here[l] += LANES as f32;
        }
    }
    let (mut one, mut place) = (tree(ones, |a, b| a + b), tree(places, |a, b| a + b));
    let mut other = tree(others, |a, b| a | b) != 0;
    for (l, &x) in rest.iter().enumerate() {
        other |= x * x != x;
        one += x;
        place += x * (row.len() - rest.len() + l) as f32;
    }
    (!other && one == 1.0).then_some(place as u32)
}
