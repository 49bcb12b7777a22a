//! Into how many pieces a job is split, so that all threads end together.

use crate::pool;

/// In how many of at most `pieces` parts `units` are best shared out.
pub(super) fn even(units: usize, pieces: usize) -> usize {
    even_after(units, pieces, 0)
}

/// The same where each part begins with work that takes about as long as `first` units: packing what all parts read.
pub(super) fn even_after(units: usize, pieces: usize, first: usize) -> usize {
    let threads = pool::threads();
    let load = |parts: usize| parts.div_ceil(threads) * (first + units.div_ceil(parts));
    (1..=pieces.min(units).max(1))
        .rev()
        .min_by_key(|&parts| load(parts))
        .unwrap_or(1)
}

/// One direction of a job that may be cut in two.
#[derive(Debug, Clone, Copy)]
pub(super) struct Direction {
    /// What lies along it, at least 1.
    pub(super) units: usize,
    /// Parts that it must have, and may have, at least 1.
    pub(super) least: usize,
    pub(super) most: usize,
}

/// In how many parts each direction of a job is best cut for about `pieces` pieces, each of them `times` more: in as many as are worth
/// it of the first, before the second.
pub(super) fn grid(pieces: usize, times: usize, directions: [Direction; 2]) -> [usize; 2] {
    grid_for(pool::threads(), pieces, times, directions)
}

fn grid_for(threads: usize, pieces: usize, times: usize, [first, second]: [Direction; 2]) -> [usize; 2] {
    let mut best = [first.least, second.least];
    if pieces <= 1 {
        return best;
    }
    let load = |[a, b]: [usize; 2]| {
        (times * a * b).div_ceil(threads) * first.units.div_ceil(a) * second.units.div_ceil(b)
    };
    let ideal = (times * first.units * second.units).div_ceil(threads);
    let mut least = usize::MAX;
    for a in (first.least..=first.most.min(pieces).max(first.least)).rev() {
        let most = (pieces / (times * a)).clamp(second.least, second.most.max(second.least));
        for b in second.least..=most {
            let load = load([a, b]);
            if load < least {
                (best, least) = ([a, b], load);
            }
            if load <= ideal {
                return best;
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_as_many_as_asked_for_and_as_equal_as_they_can_be() {
        let direction = |units: usize, least: usize, most: usize| Direction { units, least, most };
        // 24 columns go to both threads, four parts each
        let rows = direction(128, 1, 2);
        assert_eq!(grid_for(2, 8, 1, [direction(24, 1, 24), rows]), [8, 1]);
        // three cannot be halved: the rows are
        assert_eq!(grid_for(2, 8, 1, [direction(3, 1, 3), rows]), [3, 2]);
        // what must be cut is cut, also on one thread
        assert_eq!(
            grid_for(2, 1, 1, [direction(24, 1, 24), direction(128, 4, 4)]),
            [1, 4]
        );
        for pieces in 1..20 {
            for units in 1..12 {
                let [a, b] = grid_for(2, pieces, 2, [direction(units, 1, units), direction(7, 3, 5)]);
                assert!((1..=units).contains(&a) && (3..=5).contains(&b));
                assert!(2 * a * b <= pieces.max(6 * a));
            }
        }
    }
}
