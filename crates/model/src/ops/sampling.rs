//! How Resize samples one axis: where each element of the output lies in the input, and the weights of its neighbours there.
//!
//! All of it in `f64`, each operation rounded, in the order that `docs/spec/arithmetic.md` states.

use super::{OpError, floats::Compute};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Nearest(Nearest),
    Linear,
    Cubic,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nearest {
    PreferFloor,
    PreferCeil,
    Floor,
    Ceil,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coordinates {
    AlignCorners,
    Asymmetric,
    CropAndResize,
    HalfPixel,
    HalfPixelSymmetric,
    PytorchHalfPixel,
}

/// The most taps of an element, and elements of an axis: as for windows.
pub(super) const MOST: f64 = (1 << 24) as f64;

/// How one axis is sampled.
#[derive(Debug, Clone)]
pub(super) struct Sampling {
    pub(super) mode: Mode,
    pub(super) coordinates: Coordinates,
    pub(super) antialias: bool,
    pub(super) exclude_outside: bool,
    pub(super) cubic: f64,
    pub(super) from: usize,
    pub(super) to: usize,
    /// The output's size before it was rounded.
    pub(super) extent: f64,
    pub(super) scale: f64,
    /// Begin and end of the part that is sampled.
    pub(super) region: [f64; 2],
    /// Taps of every element.
    pub(super) taps: usize,
}

/// The place of an element that lies outside of what may be sampled.
pub(super) const OUTSIDE: i32 = i32::MIN;

impl Sampling {
    pub(super) fn scale_by(&mut self, scale: f64) -> Result<(), OpError> {
        let [begin, end] = self.region;
        let extent = if self.coordinates == Coordinates::CropAndResize {
            self.from as f64 * (end - begin) * scale
        } else {
            self.from as f64 * scale
        };
        self.scale_to(extent.floor(), scale)?;
        self.extent = extent;
        Ok(())
    }

    pub(super) fn scale_to(&mut self, size: f64, scale: f64) -> Result<(), OpError> {
        if !(scale > 0.0 && scale.is_finite() && (0.0..=MOST).contains(&size))
            && (size != 0.0 || self.from == 0)
        {
            return Err(OpError::Value(format!(
                "an axis of {} cannot be scaled by {scale} to {size}",
                self.from
            )));
        }
        (self.to, self.extent, self.scale) = (size as usize, size, scale);
        Ok(())
    }

    /// Checks the whole, and counts the taps.
    pub(super) fn settle(&mut self) -> Result<(), OpError> {
        if self.from == 0 && self.to > 0 || self.from as f64 > f64::from(i32::MAX) {
            return Err(OpError::Value(format!(
                "an axis of {} cannot be sampled",
                self.from
            )));
        }
        let reach = match self.mode {
            Mode::Nearest(_) => 0.5,
            Mode::Linear => 1.0,
            Mode::Cubic => 2.0,
        };
        let taps = if self.antialias && self.to > 0 {
            2.0 * (reach / self.shrink()).ceil()
        } else {
            2.0 * reach
        };
        if taps > MOST {
            return Err(OpError::Value(format!(
                "{taps} taps for each element are too many"
            )));
        }
        self.taps = taps as usize;
        Ok(())
    }

    /// The scale that antialiasing stretches the filter by.
    pub(super) fn shrink(&self) -> f64 {
        if self.scale < 1.0 { self.scale } else { 1.0 }
    }

    /// Where element `index` of the output lies in the input.
    pub(super) fn place(&self, index: usize) -> f64 {
        let (y, last) = (index as f64, self.from as f64 - 1.0);
        let half_pixel = (y + 0.5) / self.scale - 0.5;
        match self.coordinates {
            Coordinates::AlignCorners if self.extent == 1.0 => 0.0,
            Coordinates::AlignCorners => y * last / (self.extent - 1.0),
            Coordinates::Asymmetric => y / self.scale,
            Coordinates::CropAndResize => {
                let [begin, end] = self.region;
                let within = if self.extent == 1.0 {
                    (end - begin) * last / 2.0
                } else {
                    y * (end - begin) * last / (self.extent - 1.0)
                };
                within + begin * last
            }
            Coordinates::HalfPixel => half_pixel,
            Coordinates::PytorchHalfPixel if self.extent == 1.0 => -0.5,
            Coordinates::PytorchHalfPixel => half_pixel,
            Coordinates::HalfPixelSymmetric => {
                let adjustment = self.to as f64 / self.extent;
                self.from as f64 / 2.0 * (1.0 - adjustment) + half_pixel
            }
        }
    }

    /// The first tap of element `index`, counted in the input, and how far behind the tap before it the element lies (in (0, 1]).
    /// `None` outside of what may be sampled.
    pub(super) fn first(&self, index: usize) -> Option<(i64, f64)> {
        let place = self.place(index);
        if self.coordinates == Coordinates::CropAndResize
            && !(place >= 0.0 && place <= self.from as f64 - 1.0)
        {
            return None;
        }
        let below = place.floor();
        // an element of the input itself counts as the right one of two
        let (below, ratio) = if place == below {
            (below - 1.0, 1.0)
        } else {
            (below, place - below)
        };
        Some((below as i64, ratio))
    }

    /// An element of the input, the border repeated beyond it.
    pub(super) fn held(&self, index: i64) -> usize {
        index.clamp(0, self.from as i64 - 1) as usize
    }

    /// The nearest element of the input.
    pub(super) fn nearest(&self, nearest: Nearest, index: usize) -> Option<usize> {
        let (below, ratio) = self.first(index)?;
        let right = match nearest {
            _ if ratio == 1.0 => true,
            Nearest::PreferFloor => ratio > 0.5,
            Nearest::PreferCeil => ratio >= 0.5,
            Nearest::Floor => false,
            Nearest::Ceil => true,
        };
        Some(self.held(below.saturating_add(right.into())))
    }

    /// The weight of a tap at this distance from the element.
    pub(super) fn weight(&self, distance: f64) -> f64 {
        let x = f64::from_bits(distance.to_bits() & (u64::MAX >> 1));
        if self.mode == Mode::Linear {
            return if x < 1.0 { 1.0 - x } else { 0.0 };
        }
        let a = self.cubic;
        if x <= 1.0 {
            ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
        } else if x < 2.0 {
            ((x - 5.0) * x + 8.0) * x * a - 4.0 * a
        } else {
            0.0
        }
    }

    /// Writes the weights of element `index`; gives the first tap, counted in the input.
    pub(super) fn weigh<T: Compute>(&self, index: usize, weights: &mut [T]) -> i32 {
        let Some((below, ratio)) = self.first(index) else {
            weights.fill(T::ZERO);
            return OUTSIDE;
        };
        let before = self.taps as i64 / 2 - 1;
        let first = below.saturating_sub(before);
        let scale = if self.antialias { self.shrink() } else { 1.0 };
        let weight = |tap: usize| {
            let at = first.saturating_add(tap as i64);
            if self.exclude_outside && !(0..self.from as i64).contains(&at) {
                0.0
            } else {
                self.weight(scale * ((tap as i64 - before) as f64 - ratio))
            }
        };
        let mut sum = 0.0;
        if self.antialias || self.exclude_outside {
            (0..weights.len()).for_each(|tap| sum += weight(tap));
        }
        for (tap, to) in weights.iter_mut().enumerate() {
            let own = weight(tap);
            *to = T::from_f64(if sum == 0.0 { own } else { own / sum }).canonical();
        }
        first.clamp(i64::from(i32::MIN) + 1, i32::MAX.into()) as i32
    }

    /// Whether every element is the input's own, for certain.
    pub(super) fn is_identity(&self) -> bool {
        let crops = self.coordinates == Coordinates::CropAndResize && self.region != [0.0, 1.0];
        self.from == self.to && self.scale == 1.0 && !crops
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unscaled(mode: Mode, from: usize) -> Sampling {
        Sampling {
            mode,
            coordinates: Coordinates::HalfPixel,
            antialias: false,
            exclude_outside: false,
            cubic: -0.75,
            from,
            to: from,
            extent: from as f64,
            scale: 1.0,
            region: [0.0, 1.0],
            taps: 1,
        }
    }

    fn sampling(mode: Mode, from: usize, scale: f64) -> Sampling {
        let mut sampling = unscaled(mode, from);
        sampling.scale_by(scale).unwrap();
        sampling.settle().unwrap();
        sampling
    }

    #[test]
    fn the_nearest_is_chosen_by_rule() {
        let picks = |nearest| {
            let sampling = sampling(Mode::Nearest(nearest), 4, 0.5);
            [0, 1].map(|index| sampling.nearest(nearest, index))
        };
        assert_eq!(picks(Nearest::PreferFloor), [Some(0), Some(2)]);
        assert_eq!(picks(Nearest::PreferCeil), [Some(1), Some(3)]);
        assert_eq!(picks(Nearest::Floor), [Some(0), Some(2)]);
        assert_eq!(picks(Nearest::Ceil), [Some(1), Some(3)]);
    }

    #[test]
    fn weights_add_up_and_stretch_with_antialiasing() {
        let mut linear = sampling(Mode::Linear, 8, 0.25);
        let mut weights = vec![0.0_f32; linear.taps];
        assert_eq!(linear.weigh(0, &mut weights), 1);
        assert_eq!(weights, [0.5, 0.5]);
        linear.antialias = true;
        linear.settle().unwrap();
        assert_eq!(linear.taps, 8);
        let mut weights = vec![0.0_f64; linear.taps];
        assert_eq!(linear.weigh(0, &mut weights), -2);
        assert_eq!(weights.iter().sum::<f64>(), 1.0);
        let mut cubic = sampling(Mode::Cubic, 4, 2.0);
        cubic.exclude_outside = true;
        let mut weights = vec![0.0_f64; 4];
        assert_eq!(cubic.weigh(0, &mut weights), -2);
        assert_eq!(weights[..2], [0.0, 0.0]);
    }

    #[test]
    fn an_axis_that_stays_is_left_alone() {
        assert!(sampling(Mode::Linear, 5, 1.0).is_identity());
        assert!(!sampling(Mode::Linear, 5, 1.1).is_identity());
    }

    #[test]
    fn scales_that_make_no_size_are_refused() {
        for scale in [-1.0, f64::NAN, f64::INFINITY, 1e30] {
            let mut sampling = unscaled(Mode::Linear, 4);
            assert!(sampling.scale_by(scale).is_err(), "{scale}");
        }
    }
}
