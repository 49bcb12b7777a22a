//! Who put a model there: the registry's entry as the call saw it, and the transaction that wrote it.

use super::report::{ModelFacts, PublishedIn};
use crate::{
    client::{
        Client,
        proofs::{self, ProvenState},
    },
    show::note,
};
use alloy_eips::BlockId;
use alloy_primitives::{B256, LogData};
use alloy_rpc_types_eth::Filter;
use alloy_sol_types::SolEvent as _;
use eyre::{Context as _, ContextCompat as _, Result, ensure};
use revm::DatabaseRef as _;
use std::collections::BTreeMap;
use synod_consensus::simplex::Committee;
use synod_evm::{
    addresses::MODEL_REGISTRY,
    interface::ModelRegistry::ModelPublished,
    name::ModelName,
    registry,
    watch::{Asked, PredictCall},
};

/// Finds publications, each once.
pub(super) struct Publications<'a> {
    client: &'a Client,
    committee: Option<&'a Committee>,
    after: &'a ProvenState,
    /// By id and second.
    found: BTreeMap<(B256, Option<B256>, u64), Option<Found>>,
}

/// A publication as its event tells it.
#[derive(Debug, Clone)]
struct Found {
    /// `org/model@N`
    name: String,
    event: ModelPublished,
    place: PublishedIn,
}

impl<'a> Publications<'a> {
    pub(super) fn new(client: &'a Client, committee: Option<&'a Committee>, after: &'a ProvenState) -> Self {
        Self {
            client,
            committee,
            after,
            found: BTreeMap::new(),
        }
    }

    /// What is known of the model that a call asked for.
    pub(super) fn model(&mut self, asked: Asked<'_>, call: &PredictCall) -> Result<ModelFacts> {
        let mut facts = ModelFacts {
            asked: match asked {
                Asked::Name(text) => printable(text),
                Asked::Id(id) => id.to_string(),
            },
            ..ModelFacts::default()
        };
        if let Some(record) = &call.record {
            facts.id = Some(record.id);
            facts.manifest = Some(record.manifest);
            facts.validated_at = Some(record.validated_at);
            facts.profile = Some(record.profile);
            facts.kind = Some(record.kind.name());
            facts.graph_bytes = Some(record.graph_bytes);
            facts.weight_bytes = Some(record.weight_bytes);
        }
        let (version, found) = match asked {
            Asked::Name(text) => {
                let (Ok(name), Some(version)) = (ModelName::parse(text), call.version) else {
                    return Ok(facts);
                };
                facts.name = Some(name.path().to_owned());
                let found = self.publication(version.id, Some(name.hash()), version.published_at)?;
                (Some(version), found)
            }
            // An id has no name of its own: the first under which it was published stands for it.
            Asked::Id(id) => {
                let Some(record) = &call.record else {
                    return Ok(facts);
                };
                let found = self.publication(id, None, record.validated_at)?;
                let version = found
                    .as_ref()
                    .map(|found| self.entry(found))
                    .transpose()?
                    .flatten();
                if version.is_some() {
                    facts.name = found.as_ref().map(|found| found.event.name.clone());
                }
                (version, found)
            }
        };
        if let Some(version) = version {
            facts.version = Some(version.number);
            facts.publisher = Some(version.publisher);
            facts.published_at = Some(version.published_at);
            // An event that says otherwise than the registry would be another publication.
            facts.published_in = found
                .filter(|found| {
                    found.event.publisher == version.publisher && found.event.version == version.number
                })
                .map(|found| found.place);
        }
        Ok(facts)
    }

    /// The registry's entry that belongs to an event.
    fn entry(&self, found: &Found) -> Result<Option<registry::Publication>> {
        let Ok(name) = found.name.parse::<ModelName>() else {
            return Ok(None);
        };
        let entry = registry::version_of(&name, |slot| self.after.storage_ref(MODEL_REGISTRY, slot))?;
        Ok(entry.filter(|entry| entry.id == found.event.id))
    }

    fn publication(&mut self, id: B256, name: Option<B256>, second: u64) -> Result<Option<Found>> {
        if let Some(found) = self.found.get(&(id, name, second)) {
            return Ok(found.clone());
        }
        let found = match self.search(id, name, second) {
            Ok(Some((event, transaction))) => Some(self.prove(event, transaction)?),
            Ok(None) => None,
            Err(error) => {
                note(format_args!(
                    "the transaction that published {id} was not found: {error:#}"
                ));
                None
            }
        };
        self.found.insert((id, name, second), found.clone());
        Ok(found)
    }

    /// The event of a publication in blocks of this second, and its transaction. The node's word alone, until it is proven.
    fn search(&self, id: B256, name: Option<B256>, second: u64) -> Result<Option<(LogData, B256)>> {
        let first = self.first_block_at(second)?;
        let behind = self.first_block_at(second.saturating_add(1))?;
        if first >= behind {
            return Ok(None);
        }
        let mut filter = Filter::new()
            .address(MODEL_REGISTRY)
            .event_signature(ModelPublished::SIGNATURE_HASH)
            .topic2(id)
            .from_block(first)
            .to_block(behind - 1);
        if let Some(name) = name {
            filter = filter.topic1(name);
        }
        let logs = wait(self.client.logs(&filter))?;
        let log = logs.into_iter().find(|log| {
            ModelPublished::decode_log(&log.inner)
                .is_ok_and(|event| event.id == id && name.is_none_or(|name| event.nameHash == name))
        });
        let Some(log) = log else { return Ok(None) };
        let transaction = log.transaction_hash.wrap_err("its event names no transaction")?;
        Ok(Some((log.inner.data, transaction)))
    }

    /// The first block, up to the one behind the audited, whose time is not before this second.
    fn first_block_at(&self, second: u64) -> Result<u64> {
        let (mut low, mut high) = (0, self.after.number().saturating_add(1));
        while low < high {
            let middle = low + (high - low) / 2;
            let time = wait(self.client.timestamp(middle))?
                .wrap_err_with(|| format!("the node has no block {middle}"))?;
            if time < second {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Checks that a transaction emitted this event.
    fn prove(&self, event: LogData, transaction: B256) -> Result<Found> {
        let inclusion = wait(proofs::inclusion(self.client, transaction))?
            .wrap_err_with(|| format!("the node proves no transaction {transaction}"))?;
        let (header, proof) = match self.committee {
            Some(committee) => {
                let number = BlockId::number(inclusion.block_number.to());
                let (proven, _) = wait(proofs::certified(self.client, committee, number))?;
                (proven.header, "certificate")
            }
            None => (wait(proofs::header(self.client, inclusion.block_hash))?, "node"),
        };
        let (found, receipt) = inclusion
            .proof
            .verify(&header)
            .wrap_err("the node's proof of the publication proves nothing")?;
        let emitted = receipt
            .logs()
            .iter()
            .any(|log| log.address == MODEL_REGISTRY && log.data == event);
        ensure!(
            *found.tx_hash() == transaction && emitted,
            "transaction {transaction} did not publish what the node says: do not trust this node"
        );
        let event = ModelPublished::decode_log_data(&event)?;
        Ok(Found {
            name: format!("{}@{}", event.name, event.version),
            event,
            place: PublishedIn {
                transaction,
                block: header.number,
                proof,
            },
        })
    }
}

/// Waits for the node. Only on a thread that may block.
fn wait<F: Future>(future: F) -> F::Output {
    tokio::runtime::Handle::current().block_on(future)
}

/// A name as call data have it, of bounded length and on one line.
fn printable(text: &[u8]) -> String {
    const LONGEST: usize = 150;
    String::from_utf8_lossy(&text[..text.len().min(LONGEST)])
        .escape_debug()
        .to_string()
}
