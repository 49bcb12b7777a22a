//! Who votes in which epoch, and how somebody who has the genesis file alone learns it.

use crate::{
    Chain, ChainError,
    council::{COUNCIL, CouncilView, Epochs, ListProof, Validator},
};
use alloy_primitives::{Address, B256, Bytes, keccak256};
use alloy_sol_types::SolValue as _;
use serde::{Deserialize, Serialize};

/// A change of the committee: the last block of an epoch, and what the council named by then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Handover {
    /// RLP of the header of the last block of an epoch.
    pub header: Bytes,
    /// Its certificate, in the engine's encoding.
    pub certificate: Bytes,
    /// The list after that block, proven under the header's state root.
    pub list: ListProof,
}

/// Who votes, and who will.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sitting {
    /// The epoch of the block after the last final one.
    pub epoch: u64,
    /// How long it is.
    pub epochs: Epochs,
    /// Those who vote in it.
    pub validators: Vec<Validator>,
    /// Those who will vote in the next, as decided so far.
    pub next: Vec<Validator>,
}

/// Which epochs ended with other voters than they began with, as far as that was looked up.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// The list at the end of the last epoch that was looked at, and that epoch's number.
    looked_at: Option<(ListMark, u64)>,
    /// The epochs that end with other voters.
    changed: Vec<u64>,
}

/// What tells two lists of validators apart.
#[derive(Clone, Copy, Debug)]
struct ListMark {
    /// [`CouncilView::committee`]: cheap to read.
    list: B256,
    /// The same without the hosts. Every validator may change its own at any time, alone; a proof need not show that, or one liar
    /// could make all proofs longer with every epoch.
    voters: B256,
}

impl ListMark {
    fn of(council: Option<&CouncilView<'_>>) -> Result<Self, ChainError> {
        let Some(council) = council else {
            return Ok(Self {
                list: B256::ZERO,
                voters: B256::ZERO,
            });
        };
        let mut validators = council.validators()?;
        for validator in &mut validators {
            validator.host.clear();
        }
        Ok(Self {
            list: council.committee()?,
            voters: keccak256(validators.abi_encode()),
        })
    }
}

impl Chain {
    /// The council's account, with the roots of the states in which somebody may ask for it however old they are: those after the
    /// genesis block and after the last block of each epoch. By it a node knows and proves who voted when. A chain without a
    /// council is asked whether it has one when it is opened, in the genesis state.
    ///
    /// # Errors
    /// When the chain cannot be read.
    pub fn lasting_councils(&self) -> Result<Vec<(B256, Address)>, ChainError> {
        let (first, head) = (
            self.spec.genesis().number.unwrap_or_default(),
            self.head().number(),
        );
        let ends = self.epochs().into_iter().flat_map(|epochs| {
            let ends = (epochs.of(first)..).map(move |epoch| epochs.last(epoch));
            ends.take_while(|last| *last <= head)
        });
        std::iter::once(first)
            .chain(ends)
            .map(|height| Ok((self.final_header(height)?.state_root, COUNCIL)))
            .collect()
    }

    /// The changes of the committee before the epoch of a final block, oldest first; that a validator moved to another host is none. Each epoch is looked at once in the life of
    /// the process; a change costs a proof each time.
    ///
    /// # Errors
    /// When the chain cannot be read.
    pub fn handovers(&self, height: u64) -> Result<Vec<Handover>, ChainError> {
        let Some(epochs) = self.epochs() else {
            return Ok(Vec::new());
        };
        self.changed_before(epochs, epochs.of(height))?
            .into_iter()
            .map(|epoch| {
                let last = epochs.last(epoch);
                let header = self.final_header(last)?;
                let missing = || ChainError::UnknownHeight(last);
                let council = self.council(&header)?.ok_or_else(missing)?;
                Ok(Handover {
                    header: alloy_rlp::encode(&header).into(),
                    certificate: self.seal(last)?.ok_or_else(missing)?.certificate,
                    list: council.prove()?,
                })
            })
            .collect()
    }

    /// The epochs before this one that end with other voters than they began with.
    fn changed_before(&self, epochs: Epochs, epoch: u64) -> Result<Vec<u64>, ChainError> {
        let mut changes = self.changes.lock();
        let (mut mark, first) = match changes.looked_at {
            Some((mark, last)) => (mark, last + 1),
            None => {
                let genesis = self.spec.genesis().number.unwrap_or_default();
                (ListMark::of(self.council_after(genesis)?.as_ref())?, 0)
            }
        };
        for ended in first..epoch {
            let council = self.council_after(epochs.last(ended))?;
            let list = council.as_ref().map_or(Ok(B256::ZERO), CouncilView::committee)?;
            if list != mark.list {
                let now = ListMark::of(council.as_ref())?;
                if now.voters != mark.voters {
                    changes.changed.push(ended);
                }
                mark = now;
            }
            changes.looked_at = Some((mark, ended));
        }
        let before = changes.changed.iter().copied();
        Ok(before.take_while(|changed| *changed < epoch).collect())
    }

    /// Who votes now and in the next epoch; `None` if the chain has no council.
    ///
    /// # Errors
    /// When the chain cannot be read.
    pub fn sitting(&self) -> Result<Option<Sitting>, ChainError> {
        let head = self.head();
        let (Some(epochs), Some(council)) = (self.epochs(), self.council(head.header())?) else {
            return Ok(None);
        };
        let epoch = epochs.of(head.number().saturating_add(1));
        let before = epochs.first(epoch).saturating_sub(1);
        let sitting = self
            .council_after(before)?
            .ok_or(ChainError::UnknownHeight(before))?;
        Ok(Some(Sitting {
            epoch,
            epochs,
            validators: sitting.validators()?,
            next: council.validators()?,
        }))
    }
}
