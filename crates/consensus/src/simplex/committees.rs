//! Who votes in which epoch.
//!
//! An epoch is [`SimplexParams::epoch_blocks`] blocks: block `n` is in epoch `n / epoch_blocks`. The committee of the first is
//! the genesis file's; that of each later one is what the council's contract names at the end of the epoch before, so it is
//! known exactly from when that epoch's last block is final here, and for ever.
//!
//! [`SimplexParams::epoch_blocks`]: super::SimplexParams::epoch_blocks

use super::{Committee, Scheme, keys::ValidatorKeys};
use alloy_primitives::B256;
use commonware_consensus::types::{Epoch, FixedEpocher};
use commonware_cryptography::certificate::{Provider, Scoped};
use parking_lot::RwLock;
use std::{collections::BTreeMap, num::NonZeroU64, sync::Arc};
use synod_chain::{Application, ChainError, council::Epochs};

/// Committees by epoch, each with the mark of the contract's list that it was made of.
type Known = BTreeMap<u64, (B256, Arc<Committee>)>;

/// The committees of a chain, epoch by epoch. Clones share what is known.
#[derive(Clone)]
pub struct Committees {
    application: Arc<dyn Application>,
    genesis: Arc<Committee>,
    known: Arc<RwLock<Known>>,
}

impl std::fmt::Debug for Committees {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Committees")
            .field("genesis", &self.genesis)
            .finish_non_exhaustive()
    }
}

impl Committees {
    /// The committees of a chain with this first one.
    #[must_use]
    pub fn new(application: Arc<dyn Application>, genesis: Arc<Committee>) -> Self {
        Self {
            application,
            genesis,
            known: Arc::default(),
        }
    }

    /// The chain that they are of.
    pub(super) fn application(&self) -> &Arc<dyn Application> {
        &self.application
    }

    /// The first one.
    #[must_use]
    pub const fn genesis(&self) -> &Arc<Committee> {
        &self.genesis
    }

    /// How heights are cut into epochs.
    #[must_use]
    pub fn epochs(&self) -> Epochs {
        self.genesis.epochs()
    }

    /// The committee of an epoch; `None` while the epoch before it has not ended here. May read the disk.
    ///
    /// # Errors
    /// When the chain cannot be read.
    pub fn of(&self, epoch: u64) -> Result<Option<Arc<Committee>>, ChainError> {
        let Some(before) = epoch.checked_sub(1) else {
            return Ok(Some(self.genesis.clone()));
        };
        if let Some((_, committee)) = self.known.read().get(&epoch) {
            return Ok(Some(committee.clone()));
        }
        let boundary = self.epochs().last(before);
        if self.application.finalized_head().0 < boundary {
            return Ok(None);
        }
        let mark = self.application.validators_mark(boundary)?;
        let same = self
            .known
            .read()
            .get(&before)
            .filter(|known| known.0 == mark)
            .cloned();
        let committee = match same {
            Some((_, committee)) => committee,
            None => match self.application.validators(boundary)? {
                Some(validators) => Arc::new(self.genesis.following(&validators)),
                // A chain without a council keeps its first committee.
                None => self.genesis.clone(),
            },
        };
        self.known.write().insert(epoch, (mark, committee.clone()));
        Ok(Some(committee))
    }

    /// The same for commonware.
    pub(super) fn epocher(&self) -> FixedEpocher {
        let blocks = NonZeroU64::new(self.epochs().blocks());
        FixedEpocher::new(blocks.expect("an epoch has two blocks at least"))
    }
}

/// Checks certificates, for marshal. Votes are made elsewhere.
#[derive(Clone, Debug)]
pub(super) struct Schemes {
    pub(super) committees: Committees,
    pub(super) keys: Arc<ValidatorKeys>,
}

impl Provider for Schemes {
    type Scope = Epoch;
    type Scheme = Scheme;

    fn scoped(&self, epoch: Epoch) -> Option<Scoped<Scheme>> {
        match self.committees.of(epoch.get()) {
            Ok(committee) => Some(Scoped::scheme(Arc::new(committee?.member(&self.keys)))),
            Err(error) => {
                tracing::error!(%error, %epoch, "the validators of an epoch cannot be read");
                None
            }
        }
    }
}
