//! How heights are cut into epochs.

/// How heights are cut into epochs: block `n` is in epoch `n / blocks`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epochs(u64);

impl Epochs {
    /// Epochs of so many blocks; `None` for fewer than two.
    #[must_use]
    pub const fn new(blocks: u64) -> Option<Self> {
        if blocks < 2 { None } else { Some(Self(blocks)) }
    }

    /// Blocks of an epoch.
    #[must_use]
    pub const fn blocks(self) -> u64 {
        self.0
    }

    /// The epoch of a block.
    #[must_use]
    pub const fn of(self, height: u64) -> u64 {
        height / self.0
    }

    /// The first block of an epoch.
    #[must_use]
    pub const fn first(self, epoch: u64) -> u64 {
        epoch.saturating_mul(self.0)
    }

    /// The last block of an epoch.
    #[must_use]
    pub const fn last(self, epoch: u64) -> u64 {
        self.first(epoch).saturating_add(self.0 - 1)
    }

    /// The epoch that begins after a block, if one does.
    #[must_use]
    pub const fn begins_after(self, height: u64) -> Option<u64> {
        let next = height.saturating_add(1);
        if next.is_multiple_of(self.0) {
            Some(self.of(next))
        } else {
            None
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[test]
    fn heights_fall_into_epochs() {
        assert!(Epochs::new(0).is_none() && Epochs::new(1).is_none());
        let epochs = Epochs::new(5).unwrap();
        assert_eq!(
            (epochs.of(4), epochs.of(5), epochs.first(1), epochs.last(1)),
            (0, 1, 5, 9)
        );
        assert_eq!((epochs.begins_after(4), epochs.begins_after(5)), (Some(1), None));
        let longest = Epochs::new(u64::MAX).unwrap();
        assert_eq!((longest.of(u64::MAX - 1), longest.last(1)), (0, u64::MAX));
    }
}
