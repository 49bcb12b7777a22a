//! With whom a validator talks: those who vote now, and those whom the council has named for the next epoch.
//!
//! A newcomer is let in as soon as the council names it, so that it has the chain when its epoch begins; who was removed is
//! let go when the epoch ends.

use super::{Committees, EngineError, Identity};
use alloy_primitives::B256;
use commonware_codec::{Copying, DecodeExt as _};
use std::{collections::BTreeMap, sync::Arc};

/// Where peers are; empty if nobody said so.
pub type Hosts = BTreeMap<Identity, String>;

/// Hears who the peers are.
pub trait Directory: Send + Sync + 'static {
    /// From now on these are the peers, with the hosts that they gave the council. `id` grows from call to call.
    ///
    /// # Errors
    /// When they are more than the network has memory for ([`EngineError::Peers`]).
    fn track(&self, id: u64, peers: Hosts) -> Result<(), EngineError>;
}

/// A network whose peers are known from the start, and do not change.
#[derive(Clone, Copy, Debug, Default)]
pub struct FixedDirectory;

impl Directory for FixedDirectory {
    fn track(&self, _: u64, _: Hosts) -> Result<(), EngineError> {
        Ok(())
    }
}

/// The peers as last told.
#[derive(Clone)]
pub(super) struct Neighbours {
    directory: Arc<dyn Directory>,
    told: Option<(u64, B256)>,
}

impl Neighbours {
    pub(super) const fn new(directory: Arc<dyn Directory>) -> Self {
        Self {
            directory,
            told: None,
        }
    }

    /// Looks whether the peers are others after a final block. Reads the disk.
    pub(super) fn look(&mut self, committees: &Committees, height: u64) -> Result<(), EngineError> {
        let head = committees.application().finalized_head().0;
        if height < head {
            // A block that was delivered once more; the head's own turn comes.
            return Ok(());
        }
        let epoch = committees.epochs().of(height + 1);
        let now = (epoch, committees.application().validators_mark(height)?);
        if self.told == Some(now) {
            return Ok(());
        }
        let mut peers = Hosts::new();
        if let Some(committee) = committees.of(epoch)? {
            peers.extend(
                committee
                    .members()
                    .keys()
                    .iter()
                    .map(|peer| (peer.clone(), String::new())),
            );
        }
        for validator in committees.application().validators(height)?.unwrap_or_default() {
            if let Ok(identity) = Identity::decode(Copying(&validator.identity[..])) {
                peers.insert(identity, validator.host);
            }
        }
        self.directory.track(height + 1, peers)?;
        self.told = Some(now);
        Ok(())
    }
}
