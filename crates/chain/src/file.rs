//! A chain in a file: blocks, and the state after the last of them if it is asked for.
//!
//! ```text
//!   "synod/chain-file/1\n" ‖ chunk ‖ chunk ‖ …
//!   chunk = kind (1) ‖ bytes of the payload (4) ‖ payload ‖ CRC-32 of all before (4)        numbers big-endian
//! ```
//!
//! | kind | payload |
//! |---|---|
//! | 0 | one [`FileHead`]: which chain, up to which block, why to believe it |
//! | 1 | [`FileBlock`]s from the first after genesis to the head |
//! | 2, 3 | trie nodes and codes of single accounts of older states (the council at the ends of epochs) |
//! | 4 | trie nodes of the head's state, in the order of a walk from its root |
//! | 5 | codes of its accounts |
//! | 255 | how many of each kind came before: the end |
//!
//! Kinds come in this order. A payload is a row of RLP items. The checksums tell a damaged file from a wrong one, and
//! [`verify`] reads a file to its end before anything is done with it; what is *true* follows from hashes alone
//! ([`crate::transfer`]).

use crate::Proposal;
use alloy_consensus::Header;
use alloy_primitives::{B256, Bytes};
use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};
use std::io::{self, Read, Write};
use synod_state::Receipt;

const MAGIC: &[u8; 19] = b"synod/chain-file/1\n";

/// Bytes of payload after which a chunk is written.
const CHUNK: usize = 1 << 20;

/// The longest payload that is read: a block with its receipts is one item.
const MAX_CHUNK: u32 = 1 << 30;

const HEAD: u8 = 0;
const END: u8 = 255;

/// Kinds of items, in the order in which they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Kind {
    Block = 1,
    LooseNode = 2,
    LooseCode = 3,
    Node = 4,
    Code = 5,
}

const KINDS: [Kind; 5] = [
    Kind::Block,
    Kind::LooseNode,
    Kind::LooseCode,
    Kind::Node,
    Kind::Code,
];

/// What a file says of itself first.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct FileHead {
    /// The chain's id.
    pub chain_id: u64,
    /// Hash of its genesis block.
    pub genesis: B256,
    /// Header of the last block.
    pub head: Header,
    /// Whether the state after it is in the file, and receipts beside blocks.
    pub state: bool,
    /// How many accounts it has.
    pub accounts: u64,
    /// Proof that the last block is final, in the encoding of whoever can check it; empty if there is none.
    pub proof: Bytes,
}

/// A block as it is in a file.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct FileBlock {
    /// The block and its envelope.
    pub proposal: Proposal,
    /// Its certificate, empty if it has none of its own.
    pub certificate: Bytes,
    /// Its receipts, if the file has a state.
    pub receipts: Vec<Receipt>,
}

/// An item of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileItem {
    /// A block.
    Block(Box<FileBlock>),
    /// A node of a single account of an older state.
    LooseNode(Bytes),
    /// The code of one.
    LooseCode(Bytes),
    /// A node of the head's state.
    Node(Bytes),
    /// A code of one of its accounts.
    Code(Bytes),
}

/// A file that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Something else.
    #[error("it is no file of `synod db export`, or one of another version")]
    Magic,
    /// It ends too early.
    #[error("it is cut off: its end is missing after {at} bytes; export or copy it again")]
    Truncated {
        /// Where.
        at: u64,
    },
    /// Bytes that are not those that were written.
    #[error("it is damaged: {reason} at byte {at}; export or copy it again")]
    Damaged {
        /// Where the chunk begins.
        at: u64,
        /// What is wrong.
        reason: String,
    },
    /// It cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Writes a file.
pub(crate) struct FileWriter<W> {
    out: W,
    kind: Kind,
    payload: Vec<u8>,
    counts: [u64; KINDS.len()],
    bytes: u64,
}

impl<W: Write> FileWriter<W> {
    pub(crate) fn new(mut out: W, head: &FileHead) -> Result<Self, FileError> {
        out.write_all(MAGIC)?;
        let mut writer = Self {
            out,
            kind: Kind::Block,
            payload: Vec::new(),
            counts: [0; KINDS.len()],
            bytes: MAGIC.len() as u64,
        };
        writer.chunk(HEAD, &alloy_rlp::encode(head))?;
        Ok(writer)
    }

    /// Adds an item. Kinds must come in their order.
    pub(crate) fn item(&mut self, kind: Kind, item: &impl Encodable) -> Result<(), FileError> {
        if kind != self.kind || self.payload.len() >= CHUNK {
            self.flush()?;
        }
        debug_assert!(kind >= self.kind, "items come in the order of their kinds");
        self.kind = kind;
        self.counts[kind as usize - 1] += 1;
        item.encode(&mut self.payload);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), FileError> {
        let payload = std::mem::take(&mut self.payload);
        if payload.is_empty() {
            return Ok(());
        }
        self.chunk(self.kind as u8, &payload)
    }

    fn chunk(&mut self, kind: u8, payload: &[u8]) -> Result<(), FileError> {
        let length = u32::try_from(payload.len())
            .ok()
            .filter(|length| *length <= MAX_CHUNK)
            .ok_or_else(|| io::Error::other("an item is larger than a gigabyte"))?;
        let mut hasher = crc32fast::Hasher::new();
        for part in [&[kind][..], &length.to_be_bytes(), payload] {
            hasher.update(part);
            self.out.write_all(part)?;
        }
        self.out.write_all(&hasher.finalize().to_be_bytes())?;
        self.bytes += 9 + u64::from(length);
        Ok(())
    }

    /// Writes the end. Gives the file, and how many bytes it has.
    pub(crate) fn finish(mut self) -> Result<(W, u64), FileError> {
        self.flush()?;
        self.chunk(END, &alloy_rlp::encode(self.counts.to_vec()))?;
        self.out.flush()?;
        Ok((self.out, self.bytes))
    }
}

/// Reads a file.
#[derive(Debug)]
pub struct ChainFile<R> {
    input: R,
    head: FileHead,
    kind: Kind,
    payload: Bytes,
    /// Where the chunk begins from which items are taken.
    at: u64,
    next: u64,
    counts: [u64; KINDS.len()],
    ended: bool,
}

/// One chunk; `None` at the end of the input.
fn read_chunk(input: &mut impl Read, at: u64) -> Result<(u8, Vec<u8>), FileError> {
    let cut = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => FileError::Truncated { at },
        _ => error.into(),
    };
    let mut front = [0; 5];
    input.read_exact(&mut front).map_err(cut)?;
    let [kind, length @ ..] = front;
    let length = u32::from_be_bytes(length);
    let damaged = |reason: &str| FileError::Damaged {
        at,
        reason: reason.into(),
    };
    if length > MAX_CHUNK {
        return Err(damaged("a chunk says that it is larger than a gigabyte"));
    }
    // Grows with what is there, not with what is said.
    let mut payload = Vec::new();
    let read = input.take(u64::from(length)).read_to_end(&mut payload)?;
    if read as u64 != u64::from(length) {
        return Err(FileError::Truncated { at });
    }
    let mut sum = [0; 4];
    input.read_exact(&mut sum).map_err(cut)?;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&front);
    hasher.update(&payload);
    if hasher.finalize() != u32::from_be_bytes(sum) {
        return Err(damaged("a chunk does not have its checksum"));
    }
    Ok((kind, payload))
}

impl<R: Read> ChainFile<R> {
    /// Reads what a file says of itself.
    ///
    /// # Errors
    /// When it is none, or damaged.
    pub fn open(mut input: R) -> Result<Self, FileError> {
        let mut magic = [0; MAGIC.len()];
        match input.read_exact(&mut magic) {
            Ok(()) if magic == *MAGIC => {}
            Ok(()) => return Err(FileError::Magic),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(FileError::Magic),
            Err(error) => return Err(error.into()),
        }
        let at = MAGIC.len() as u64;
        let (kind, payload) = read_chunk(&mut input, at)?;
        let head = FileHead::decode(&mut &payload[..])
            .ok()
            .filter(|_| kind == HEAD)
            .ok_or_else(|| FileError::Damaged {
                at,
                reason: "it does not begin with its head".into(),
            })?;
        Ok(Self {
            input,
            head,
            kind: Kind::Block,
            payload: Bytes::new(),
            at,
            next: at + 9 + payload.len() as u64,
            counts: [0; KINDS.len()],
            ended: false,
        })
    }

    /// What it says of itself.
    #[must_use]
    pub const fn head(&self) -> &FileHead {
        &self.head
    }

    /// How many bytes were read.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.next
    }

    fn damaged(&self, reason: impl Into<String>) -> FileError {
        FileError::Damaged {
            at: self.at,
            reason: reason.into(),
        }
    }

    /// The next item; `None` after the last.
    ///
    /// # Errors
    /// When the file is damaged, or ends too early.
    pub fn next_item(&mut self) -> Result<Option<FileItem>, FileError> {
        while self.payload.is_empty() {
            if self.ended || !self.next_chunk()? {
                return Ok(None);
            }
        }
        let mut rest = &self.payload[..];
        let before = rest.len();
        let item = match self.kind {
            Kind::Block => FileBlock::decode(&mut rest).map(|block| FileItem::Block(Box::new(block))),
            Kind::LooseNode => Bytes::decode(&mut rest).map(FileItem::LooseNode),
            Kind::LooseCode => Bytes::decode(&mut rest).map(FileItem::LooseCode),
            Kind::Node => Bytes::decode(&mut rest).map(FileItem::Node),
            Kind::Code => Bytes::decode(&mut rest).map(FileItem::Code),
        };
        let taken = before - rest.len();
        let item = item.map_err(|error| self.damaged(format!("an item does not decode ({error})")))?;
        self.payload = self.payload.slice(taken..);
        self.counts[self.kind as usize - 1] += 1;
        Ok(Some(item))
    }

    /// Reads the next chunk; `false` if it is the end.
    fn next_chunk(&mut self) -> Result<bool, FileError> {
        self.at = self.next;
        let (kind, payload) = read_chunk(&mut self.input, self.at)?;
        self.next += 9 + payload.len() as u64;
        if kind == END {
            let counts = <Vec<u64>>::decode(&mut &payload[..]);
            if counts.ok().as_deref() != Some(&self.counts[..]) {
                return Err(self.damaged("it has not as many items as it says at its end"));
            }
            if self.input.read(&mut [0])? != 0 {
                return Err(self.damaged("it goes on behind its end"));
            }
            self.ended = true;
            return Ok(false);
        }
        let known = KINDS.into_iter().find(|known| *known as u8 == kind);
        match known {
            Some(kind) if kind >= self.kind => self.kind = kind,
            Some(_) => return Err(self.damaged("its parts are not in order")),
            None => return Err(self.damaged(format!("it has a chunk of an unknown kind, {kind}"))),
        }
        self.payload = payload.into();
        Ok(true)
    }
}

/// Reads a file to its end, and says what it says of itself, if nothing is missing or damaged. `read` hears how many bytes were
/// read so far.
///
/// # Errors
/// See [`FileError`].
pub fn verify(input: impl Read, read: &mut dyn FnMut(u64)) -> Result<FileHead, FileError> {
    let mut file = ChainFile::open(input)?;
    let mut last = 0;
    while file.next_item()?.is_some() {
        if file.position() != last {
            last = file.position();
            read(last);
        }
    }
    Ok(file.head)
}
