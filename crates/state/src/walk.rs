//! Walks over tries, one or two at a time.
//!
//! A walk over two tries goes only where they differ: equal hashes stand for equal tries, so what two states share is
//! never read. A walk over one trie is the same with nothing on the other side.

use crate::{NodeReader, StateError};
use alloy_primitives::{B256, Bytes};
use alloy_rlp::Decodable;
use alloy_trie::{
    EMPTY_ROOT_HASH, Nibbles,
    nodes::{RlpNode, TrieNode},
};

/// Nibbles of a key.
const KEY: usize = 64;

/// Sees what a walk meets.
pub(crate) trait Visitor {
    /// A node of the new trie is about to be read; `false` leaves out the node and all below it.
    fn enters(&mut self, _hash: &B256) -> bool {
        true
    }

    /// A node of the new trie. A node comes before those below it.
    fn node(&mut self, _hash: &B256, _bytes: &Bytes) -> Result<(), StateError> {
        Ok(())
    }

    /// A value that differs, by its hashed key, in ascending order of keys.
    fn leaf(&mut self, key: B256, old: Option<&[u8]>, new: Option<&[u8]>) -> Result<(), StateError>;
}

/// What is below a point in a trie.
#[derive(Clone, Debug)]
pub(crate) enum Sub {
    /// A node that is stored under its hash.
    Stored(B256),
    /// A stretch without a fork, of one nibble or more, and what is at its end.
    Path(Nibbles, Box<Sub>),
    /// A fork.
    Branch(Box<[Option<Sub>; 16]>),
    /// A value: the key ends here.
    Value(Vec<u8>),
}

fn bad(reason: impl Into<String>) -> StateError {
    StateError::BadNode(reason.into())
}

impl Sub {
    /// Decodes a node.
    pub(crate) fn decode(mut bytes: &[u8]) -> Result<Option<Self>, StateError> {
        let node = TrieNode::decode(&mut bytes).map_err(|e| bad(e.to_string()))?;
        if !bytes.is_empty() {
            return Err(bad("it goes on behind its end"));
        }
        Ok(Some(match node {
            TrieNode::EmptyRoot => return Ok(None),
            TrieNode::Branch(branch) => {
                let mut children = [const { None }; 16];
                for (nibble, child) in branch.as_ref().children() {
                    if let Some(child) = child {
                        children[usize::from(nibble)] = Self::of(child)?;
                    }
                }
                Self::Branch(Box::new(children))
            }
            TrieNode::Extension(extension) => {
                let below = Self::of(&extension.child)?.ok_or_else(|| bad("an extension leads nowhere"))?;
                if extension.key.is_empty() {
                    return Err(bad("an extension has no nibble"));
                }
                Self::Path(extension.key, Box::new(below))
            }
            TrieNode::Leaf(leaf) if leaf.key.is_empty() => Self::Value(leaf.value),
            TrieNode::Leaf(leaf) => Self::Path(leaf.key, Box::new(Self::Value(leaf.value))),
        }))
    }

    /// A node as its parent names it: by its hash, or, if it is short, whole.
    fn of(node: &RlpNode) -> Result<Option<Self>, StateError> {
        match node.as_hash() {
            Some(hash) => Ok(Some(Self::Stored(hash))),
            None => Self::decode(node.as_slice()),
        }
    }

    /// What is below each next nibble.
    fn split(self) -> Result<[Option<Self>; 16], StateError> {
        match self {
            Self::Branch(children) => Ok(*children),
            Self::Path(nibbles, below) => {
                let first = nibbles.first().ok_or_else(|| bad("a path has no nibble"))?;
                let mut children = [const { None }; 16];
                children[usize::from(first)] = Some(below.under(nibbles.slice(1..)));
                Ok(children)
            }
            Self::Stored(_) | Self::Value(_) => Err(bad("a value is above the end of its key")),
        }
    }

    fn under(self, nibbles: Nibbles) -> Self {
        if nibbles.is_empty() {
            self
        } else {
            Self::Path(nibbles, Box::new(self))
        }
    }
}

/// A trie's root as something to walk from.
pub(crate) fn root_of(root: B256) -> Option<Sub> {
    (root != EMPTY_ROOT_HASH).then_some(Sub::Stored(root))
}

/// Walks over a trie.
pub(crate) fn walk(nodes: &dyn NodeReader, root: B256, visitor: &mut dyn Visitor) -> Result<(), StateError> {
    diff(nodes, EMPTY_ROOT_HASH, root, visitor)
}

/// Walks over what differs between two tries.
pub(crate) fn diff(
    nodes: &dyn NodeReader,
    old: B256,
    new: B256,
    visitor: &mut dyn Visitor,
) -> Result<(), StateError> {
    let mut walk = Walk {
        nodes,
        visitor,
        path: Nibbles::new(),
    };
    walk.go(root_of(old), root_of(new))
}

/// Appends a stretch to a path.
pub(crate) fn extend(path: &mut Nibbles, by: &Nibbles) -> Result<(), StateError> {
    if path.len() + by.len() > KEY {
        return Err(bad("a path is longer than a key"));
    }
    path.extend(by);
    Ok(())
}

/// A whole path as the key that it is.
pub(crate) fn key_of(path: &Nibbles) -> Result<B256, StateError> {
    if path.len() != KEY {
        return Err(bad(format!("a key has {} nibbles, not {KEY}", path.len())));
    }
    let mut key = B256::ZERO;
    path.pack_to(&mut key.0);
    Ok(key)
}

struct Walk<'a> {
    nodes: &'a dyn NodeReader,
    visitor: &'a mut dyn Visitor,
    /// From the root to where the walk is.
    path: Nibbles,
}

impl Walk<'_> {
    fn read(&self, hash: &B256) -> Result<Bytes, StateError> {
        self.nodes.node(hash)?.ok_or(StateError::MissingNode(*hash))
    }

    fn go(&mut self, old: Option<Sub>, new: Option<Sub>) -> Result<(), StateError> {
        if let (Some(Sub::Stored(old)), Some(Sub::Stored(new))) = (&old, &new)
            && old == new
        {
            return Ok(());
        }
        let old = match old {
            Some(Sub::Stored(hash)) => Sub::decode(&self.read(&hash)?)?,
            other => other,
        };
        let new = match new {
            Some(Sub::Stored(hash)) => {
                if !self.visitor.enters(&hash) {
                    return Ok(());
                }
                let bytes = self.read(&hash)?;
                self.visitor.node(&hash, &bytes)?;
                Sub::decode(&bytes)?
            }
            other => other,
        };
        match (old, new) {
            (None, None) => Ok(()),
            (Some(Sub::Value(old)), Some(Sub::Value(new))) if old == new => Ok(()),
            (Some(Sub::Value(old)), Some(Sub::Value(new))) => self.leaf(Some(&old), Some(&new)),
            (Some(Sub::Value(old)), None) => self.leaf(Some(&old), None),
            (None, Some(Sub::Value(new))) => self.leaf(None, Some(&new)),
            (Some(Sub::Path(nibbles, below)), None) => self.along(&nibbles, Some(*below), None),
            (None, Some(Sub::Path(nibbles, below))) => self.along(&nibbles, None, Some(*below)),
            (Some(Sub::Path(a, below_a)), Some(Sub::Path(b, below_b))) if a.first() == b.first() => {
                let shared = a.common_prefix_length(&b);
                let (old, new) = (below_a.under(a.slice(shared..)), below_b.under(b.slice(shared..)));
                self.along(&a.slice(..shared), Some(old), Some(new))
            }
            (old, new) => self.fork(old, new),
        }
    }

    fn along(&mut self, nibbles: &Nibbles, old: Option<Sub>, new: Option<Sub>) -> Result<(), StateError> {
        let before = self.path.len();
        extend(&mut self.path, nibbles)?;
        self.go(old, new)?;
        self.path.truncate(before);
        Ok(())
    }

    fn fork(&mut self, old: Option<Sub>, new: Option<Sub>) -> Result<(), StateError> {
        if self.path.len() >= KEY {
            return Err(bad("a trie goes on behind the end of a key"));
        }
        let split = |sub: Option<Sub>| sub.map_or_else(|| Ok([const { None }; 16]), Sub::split);
        let (old, new) = (split(old)?, split(new)?);
        for (nibble, (old, new)) in (0..).zip(old.into_iter().zip(new)) {
            self.path.push(nibble);
            self.go(old, new)?;
            self.path.pop();
        }
        Ok(())
    }

    fn leaf(&mut self, old: Option<&[u8]>, new: Option<&[u8]>) -> Result<(), StateError> {
        self.visitor.leaf(key_of(&self.path)?, old, new)
    }
}
