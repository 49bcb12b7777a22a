//! The range of real numbers that the 256 bytes of an activation stand for.

use std::fmt;

/// Bins of a histogram: some for each of the 256 steps.
const BINS: usize = 2048;
/// How many ends of a range are tried on each side.
const ENDS: usize = 48;

/// Steps of one size, from `-zero` to `255 - zero` of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    /// The size of a step.
    pub scale: f32,
    /// The byte that stands for 0.
    pub zero: u8,
}

impl Grid {
    /// The grid over this range, widened to have zero in it.
    pub(crate) fn over(low: f64, high: f64) -> Self {
        let (low, high) = (lower(low, 0.0), higher(high, 0.0));
        let scale = ((high - low) / 255.0) as f32;
        if !scale.is_normal() {
            return Self { scale: 1.0, zero: 0 };
        }
        let zero = (-low / f64::from(scale)).round().clamp(0.0, 255.0) as u8;
        Self { scale, zero }
    }

    /// The number that a number becomes.
    fn nearest(&self, x: f64) -> f64 {
        let (scale, zero) = (f64::from(self.scale), f64::from(self.zero));
        let byte = ((x / scale).round_ties_even() + zero).clamp(0.0, 255.0);
        (byte - zero) * scale
    }

    /// The least and the largest number.
    pub fn ends(&self) -> (f32, f32) {
        let zero = f32::from(self.zero);
        (-zero * self.scale, (255.0 - zero) * self.scale)
    }
}

/// How a range was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Method {
    /// All numbers seen.
    MinMax,
    /// All but so many in a hundred, on each side.
    Percentile(f64),
    /// The least mean squared error of the numbers seen.
    Mse,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MinMax => f.write_str("min-max"),
            Self::Percentile(percent) => write!(f, "percentile {percent}"),
            Self::Mse => f.write_str("mse"),
        }
    }
}

/// The methods that are tried.
pub(crate) const METHODS: [Method; 4] = [
    Method::MinMax,
    Method::Percentile(99.99),
    Method::Percentile(99.9),
    Method::Mse,
];

/// What was seen of a value: its ends first, then how often which part between them.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    pub(crate) low: f64,
    pub(crate) high: f64,
    bins: Vec<u64>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            low: f64::INFINITY,
            high: f64::NEG_INFINITY,
            bins: Vec::new(),
        }
    }
}

impl Histogram {
    /// Widens the ends.
    pub(crate) fn widen(&mut self, values: &[f32]) {
        let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
        for &value in values {
            low = if value < low { value } else { low };
            high = if value > high { value } else { high };
        }
        self.low = lower(self.low, low.into());
        self.high = higher(self.high, high.into());
    }

    pub(crate) fn width(&self) -> f64 {
        higher(self.high, 0.0) - lower(self.low, 0.0)
    }

    /// Counts numbers between the ends.
    pub(crate) fn count(&mut self, values: &[f32]) {
        self.bins.resize(BINS, 0);
        let per_unit = BINS as f64 / (self.high - self.low);
        for &value in values {
            let place = (f64::from(value) - self.low) * per_unit;
            // a range without width gives NaN, which becomes 0
            self.bins[(place as usize).clamp(0, BINS - 1)] += 1;
        }
    }

    /// The centre of a bin.
    fn centre(&self, bin: usize) -> f64 {
        self.low + (bin as f64 + 0.5) * (self.high - self.low) / BINS as f64
    }

    /// The mean squared error that a grid makes.
    pub(crate) fn error(&self, grid: Grid) -> f64 {
        let bins = self.bins.iter().enumerate().filter(|(_, count)| **count > 0);
        let (mut sum, mut total) = (0.0, 0.0);
        for (bin, &count) in bins {
            let x = self.centre(bin);
            let off = grid.nearest(x) - x;
            sum += count as f64 * off * off;
            total += count as f64;
        }
        if total > 0.0 { sum / total } else { 0.0 }
    }

    /// The grid that a method finds.
    pub(crate) fn grid(&self, method: Method) -> Grid {
        match method {
            Method::MinMax => Grid::over(self.low, self.high),
            Method::Percentile(percent) => {
                let total: u64 = self.bins.iter().sum();
                let beyond = (total as f64 * (1.0 - percent / 100.0)) as u64;
                let step = (self.high - self.low) / BINS as f64;
                let cut = |bins: &mut dyn Iterator<Item = &u64>| {
                    let mut left = beyond;
                    bins.take_while(|count| {
                        let goes = left >= **count;
                        left = left.saturating_sub(**count);
                        goes
                    })
                    .count()
                };
                let (below, above) = (cut(&mut self.bins.iter()), cut(&mut self.bins.iter().rev()));
                if below + above >= BINS {
                    return Grid::over(self.low, self.high);
                }
                Grid::over(self.low + below as f64 * step, self.high - above as f64 * step)
            }
            Method::Mse => self.least_error(),
        }
    }

    /// Tries ranges within the ends: both ends by turns, each while the other stays; first what the other methods find.
    fn least_error(&self) -> Grid {
        let (low, high) = (lower(self.low, 0.0), higher(self.high, 0.0));
        let mut best = (self.error(Grid::over(low, high)), low, high);
        for method in METHODS.into_iter().filter(|method| *method != Method::Mse) {
            let grid = self.grid(method);
            let (error, ends) = (self.error(grid), grid.ends());
            if error < best.0 {
                best = (error, ends.0.into(), ends.1.into());
            }
        }
        for _ in 0..2 {
            for (of_low, end) in [(false, high), (true, low)] {
                let (_, kept_low, kept_high) = best;
                for part in (ENDS / 8..ENDS).map(|part| part as f64 / ENDS as f64) {
                    let (low, high) = if of_low {
                        (end * part, kept_high)
                    } else {
                        (kept_low, end * part)
                    };
                    let error = self.error(Grid::over(low, high));
                    if error < best.0 {
                        best = (error, low, high);
                    }
                }
            }
        }
        Grid::over(best.1, best.2)
    }
}

pub(crate) fn lower(a: f64, b: f64) -> f64 {
    if b < a { b } else { a }
}

pub(crate) fn higher(a: f64, b: f64) -> f64 {
    if b > a { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(values: &[f32]) -> Histogram {
        let mut histogram = Histogram::default();
        histogram.widen(values);
        histogram.count(values);
        histogram
    }

    #[test]
    fn a_grid_has_zero_and_its_ends() {
        for (low, high) in [(-1.0, 3.0), (0.5, 2.0), (-4.0, -1.0), (0.0, 6.0)] {
            let grid = Grid::over(low, high);
            let (first, last) = grid.ends();
            assert!(f64::from(first) <= lower(low, 0.0) + f64::from(grid.scale) / 2.0);
            assert!(f64::from(last) >= higher(high, 0.0) - f64::from(grid.scale));
            assert_eq!(grid.nearest(0.0), 0.0);
        }
        // nothing seen, or nothing but zeros
        for (low, high) in [(0.0, 0.0), (f64::INFINITY, f64::NEG_INFINITY)] {
            assert!(Grid::over(low, high).scale > 0.0);
        }
    }

    #[test]
    fn methods_treat_outliers_as_they_should() {
        let mut values: Vec<f32> = (0..100_000).map(|i| (i % 1000) as f32 / 1000.0).collect();
        values.push(100.0);
        let histogram = seen(&values);
        let end = |method| histogram.grid(method).ends().1;
        assert!((end(Method::MinMax) - 100.0).abs() < 1.0);
        assert!(end(Method::Percentile(99.9)) < 1.2);
        let error = |method| histogram.error(histogram.grid(method));
        for method in METHODS {
            assert!(error(Method::Mse) <= error(method), "{method}");
        }
    }

    #[test]
    fn a_value_that_never_changes_has_a_grid() {
        for constant in [0.0, 2.5, -3.0] {
            let histogram = seen(&[constant; 10]);
            for method in METHODS {
                let grid = histogram.grid(method);
                let off = grid.nearest(constant.into()) - f64::from(constant);
                assert!(off.abs() <= f64::from(grid.scale), "{method} {constant}");
            }
        }
    }
}
