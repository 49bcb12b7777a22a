//! Rows and columns of bytes exchanged: from planes of channels to pixels and back.

/// Where columns of a matrix go as rows: on lines of so many, at equal distances.
#[derive(Clone, Copy)]
pub(super) struct Lines {
    /// The first one.
    pub(super) start: *mut u8,
    /// How many there are on a line.
    pub(super) length: usize,
    /// Bytes from one to the next on a line.
    pub(super) step: usize,
    /// Bytes from line to line.
    pub(super) line: usize,
}

impl Lines {
    /// A single line.
    pub(super) fn one(start: *mut u8, step: usize) -> Self {
        Lines {
            start,
            length: usize::MAX,
            step,
            line: 0,
        }
    }

    /// Some of them from one on.
    fn some<const N: usize>(&self, first: usize) -> [*mut u8; N] {
        let (mut line, mut place) = (first / self.length, first % self.length);
        let mut all = [self.start; N];
        for at in &mut all {
            *at = self.start.wrapping_add(line * self.line + place * self.step);
            place += 1;
            if place == self.length {
                (line, place) = (line + 1, 0);
            }
        }
        all
    }
}

/// Column j of x (its element i at x\[i·from + j\]) becomes row j of the lines, for i < rows, j < columns.
///
/// # Safety
/// Both must have these elements, and they must not overlap.
pub(super) unsafe fn transpose(x: *const u8, from: usize, out: Lines, rows: usize, columns: usize) {
    #[cfg(target_arch = "x86_64")]
    if rows >= 16 && columns >= 4 {
        // SAFETY: by the contract.
        unsafe {
            match columns {
                16.. => blocks::run::<16>(x, from, out, rows, columns),
                8.. => blocks::run::<8>(x, from, out, rows, columns),
                _ => blocks::run::<4>(x, from, out, rows, columns),
            }
        }
        return;
    }
    for j in 0..columns {
        let [at] = out.some(j);
        for i in 0..rows {
            // SAFETY: by the contract.
            unsafe { *at.add(i) = *x.add(i * from + j) };
        }
    }
}

/// Blocks of sixteen rows.
///
/// Written in binary, a byte's place is its row r₃r₂r₁r₀ and column c₃c₂c₁c₀ (or fewer). Shuffling vector i together with the one
/// half of all vectors further on moves the highest digit of a vector's number to the lowest of the place within, and the highest
/// of those to the lowest of the number: after as many steps as a row's number has digits, they are exchanged.
#[cfg(target_arch = "x86_64")]
mod blocks {
    use super::Lines;
    use std::arch::x86_64::{
        __m128i, _mm_cvtsi32_si128, _mm_loadl_epi64, _mm_loadu_si128, _mm_setzero_si128, _mm_storeu_si128,
        _mm_unpackhi_epi8, _mm_unpacklo_epi8,
    };

    /// Rows of which all columns are exchanged before the next ones: they make whole cache lines.
    const GROUP: usize = 64;

    /// Where blocks of a size begin that cover a length, which is no less: the last one ends with it, over the one before.
    fn starts(length: usize, size: usize) -> impl Iterator<Item = usize> {
        (0..length.div_ceil(size)).map(move |index| (index * size).min(length - size))
    }

    /// With blocks of so many columns: 4, 8 or 16.
    ///
    /// # Safety
    /// As [`super::transpose`]; there are at least sixteen rows and `WIDTH` columns.
    pub(super) unsafe fn run<const WIDTH: usize>(
        x: *const u8,
        from: usize,
        out: Lines,
        rows: usize,
        columns: usize,
    ) {
        for group in starts(rows, GROUP.min(rows)) {
            for j in starts(columns, WIDTH) {
                let out: [*mut u8; WIDTH] = out.some(j);
                for i in starts(GROUP.min(rows), 16) {
                    let i = group + i;
                    // SAFETY: rows i to i + 16 and columns j to j + WIDTH are there by the contract.
                    unsafe { block(x.add(i * from + j), from, &out, i) };
                }
            }
        }
    }

    /// One step. (A loop: `from_fn` leaves the vectors in memory.)
    #[inline(always)]
    fn shuffle<const N: usize>(rows: &mut [__m128i; 16]) {
        let x = *rows;
        for i in 0..N / 2 {
            // SAFETY: SSE2 is part of x86-64.
            unsafe {
                rows[2 * i] = _mm_unpacklo_epi8(x[i], x[i + N / 2]);
                rows[2 * i + 1] = _mm_unpackhi_epi8(x[i], x[i + N / 2]);
            }
        }
    }

    /// One step of vectors whose upper halves are empty: half as many remain.
    #[inline(always)]
    fn join<const N: usize>(rows: &mut [__m128i; 16]) {
        for i in 0..N / 2 {
            // SAFETY: SSE2 is part of x86-64.
            rows[i] = unsafe { _mm_unpacklo_epi8(rows[i], rows[i + N / 2]) };
        }
    }

    /// One block: sixteen bytes are written at `at` beyond each address.
    ///
    /// # Safety
    /// The rows and addresses must have these bytes.
    #[inline(always)]
    unsafe fn block<const WIDTH: usize>(x: *const u8, from: usize, out: &[*mut u8; WIDTH], at: usize) {
        // SAFETY: by the contract; SSE2 is part of x86-64.
        unsafe {
            let mut rows = [_mm_setzero_si128(); 16];
            for (i, row) in rows.iter_mut().enumerate() {
                let x = x.add(i * from);
                *row = match WIDTH {
                    16 => _mm_loadu_si128(x.cast()),
                    8 => _mm_loadl_epi64(x.cast()),
                    _ => _mm_cvtsi32_si128(x.cast::<i32>().read_unaligned()),
                };
            }
            match WIDTH {
                16 => {
                    shuffle::<16>(&mut rows);
                    shuffle::<16>(&mut rows);
                    shuffle::<16>(&mut rows);
                    shuffle::<16>(&mut rows);
                }
                8 => {
                    join::<16>(&mut rows);
                    shuffle::<8>(&mut rows);
                    shuffle::<8>(&mut rows);
                    shuffle::<8>(&mut rows);
                }
                _ => {
                    join::<16>(&mut rows);
                    join::<8>(&mut rows);
                    shuffle::<4>(&mut rows);
                    shuffle::<4>(&mut rows);
                }
            }
            for (out, row) in out.iter().zip(rows) {
                _mm_storeu_si128(out.add(at).cast(), row);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Lines, transpose};

    #[test]
    fn every_size_is_exchanged_and_nothing_else_written() {
        for rows in (1..=20).chain([31, 33, 64, 65, 100]) {
            for columns in (1..=20).chain([31, 32, 33, 49]) {
                for length in [1, 3, 7, 100] {
                    let (from, step) = (columns + 3, rows + 2);
                    let line = length * step + 5;
                    // exactly up to the last element
                    let x: Vec<u8> = (0..(rows - 1) * from + columns)
                        .map(|i| (i * 7 % 251) as u8)
                        .collect();
                    let last = columns - 1;
                    let mut out = vec![255; last / length * line + last % length * step + rows];
                    let mut expected = out.clone();
                    for j in 0..columns {
                        for i in 0..rows {
                            expected[j / length * line + j % length * step + i] = x[i * from + j];
                        }
                    }
                    let lines = Lines {
                        start: out.as_mut_ptr(),
                        length,
                        step,
                        line,
                    };
                    // SAFETY: both have the elements.
                    unsafe { transpose(x.as_ptr(), from, lines, rows, columns) };
                    assert_eq!(out, expected, "{rows} x {columns} on lines of {length}");
                }
            }
        }
    }
}
