//! Names of models: `org/model`, and `org/model@…` with a version's number, an alias, or an id.

use alloy_primitives::{B256, hex, keccak256};
use std::fmt;

/// Characters of each part of a name and of an alias, at most. The registry enforces the same limit.
pub const MAX_PART: usize = 64;

/// What an id in a name begins with.
const ID_PREFIX: &str = "sha256:";

/// Characters of the longest name: one with an id.
const LONGEST: usize = MAX_PART + 1 + MAX_PART + 1 + ID_PREFIX.len() + 64;

/// A well-formed name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelName {
    /// The name as it was given.
    text: String,
    /// Bytes of `org/model` in it.
    path: usize,
    version: Version,
}

/// Which version a name asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    /// The one that the bare name stands for: `org/model`, `org/model@latest`.
    Latest,
    /// A version's number: `org/model@3`.
    Number(u64),
    /// What an alias stands for: `org/model@stable`.
    Alias(String),
    /// The version that has this id: `org/model@sha256:` and 64 lower-case hexadecimal digits.
    Id(B256),
}

/// Not of any form that a name has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name:?} is not a model's name: write org/model, org/model@3, org/model@ALIAS or org/model@sha256:ID, org, model and ALIAS of 1 to 64 of a-z 0-9 - _ . beginning with a letter or digit, ID of 64 digits in lower case"
)]
pub struct InvalidName {
    /// The text refused, cut to a bounded length.
    pub name: String,
}

impl ModelName {
    /// Reads a name from the bytes of a Solidity string.
    ///
    /// # Errors
    /// If the text is not a name.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidName> {
        Self::try_parse(text).ok_or_else(|| InvalidName { name: echo(text) })
    }

    fn try_parse(text: &[u8]) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let text = std::str::from_utf8(text).ok()?;
        let (path, version) = match text.split_once('@') {
            Some((path, version)) => (path, Version::parse(version)?),
            None => (text, Version::Latest),
        };
        let (org, model) = path.split_once('/')?;
        (is_part(org) && is_part(model)).then(|| Self {
            text: text.to_owned(),
            path: path.len(),
            version,
        })
    }

    /// `org/model`, without a version.
    pub fn path(&self) -> &str {
        &self.text[..self.path]
    }

    /// Whether it is `org/model` and no more.
    pub fn is_bare(&self) -> bool {
        self.text.len() == self.path
    }

    /// The version asked for.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// The registry's key of this model.
    pub fn hash(&self) -> B256 {
        keccak256(self.path().as_bytes())
    }
}

impl Version {
    /// Reads what follows the `@`.
    fn parse(text: &str) -> Option<Self> {
        if let Some(digits) = text.strip_prefix(ID_PREFIX) {
            return parse_id(digits).map(Self::Id);
        }
        if text == "latest" {
            return Some(Self::Latest);
        }
        if text.bytes().all(|c| c.is_ascii_digit()) {
            return parse_number(text).map(Self::Number);
        }
        is_part(text).then(|| Self::Alias(text.to_owned()))
    }
}

impl std::str::FromStr for ModelName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::parse(text.as_bytes())
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether `text` can be an alias of a version: formed like a part of a name, and neither `latest` nor a number.
pub fn is_alias(text: &str) -> bool {
    matches!(Version::parse(text), Some(Version::Alias(_)))
}

fn is_part(part: &str) -> bool {
    let alphanumeric = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    part.len() <= MAX_PART
        && part.bytes().next().is_some_and(alphanumeric)
        && part
            .bytes()
            .all(|c| alphanumeric(c) || matches!(c, b'-' | b'_' | b'.'))
}

/// A decimal from 1 without leading zeros, so that one version has one spelling.
fn parse_number(digits: &str) -> Option<u64> {
    let canonical = digits.bytes().all(|c| c.is_ascii_digit()) && !digits.starts_with('0');
    canonical.then(|| digits.parse().ok()).flatten()
}

/// 64 lower-case digits, so that one id has one spelling.
fn parse_id(digits: &str) -> Option<B256> {
    let canonical = digits
        .bytes()
        .all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c));
    let mut id = B256::ZERO;
    (canonical && hex::decode_to_slice(digits, id.as_mut_slice()).is_ok()).then_some(id)
}

/// What an error repeats of a text that is not a name: enough to recognise it, and a bounded copy.
fn echo(text: &[u8]) -> String {
    String::from_utf8_lossy(&text[..text.len().min(LONGEST)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_every_form_and_one_spelling_of_each_version() {
        let id = B256::repeat_byte(0xab);
        let by_id = format!("a/b@sha256:{}", "ab".repeat(32));
        let alias = "x".repeat(MAX_PART);
        let by_alias = format!("a/b@{alias}");
        for (text, path, version) in [
            ("orchard/apples", "orchard/apples", Version::Latest),
            ("a/0", "a/0", Version::Latest),
            ("a/b@latest", "a/b", Version::Latest),
            ("a-b_c.d/x.y@1", "a-b_c.d/x.y", Version::Number(1)),
            ("a/b@18446744073709551615", "a/b", Version::Number(u64::MAX)),
            ("a/b@stable", "a/b", Version::Alias("stable".into())),
            ("a/b@1.0", "a/b", Version::Alias("1.0".into())),
            ("a/b@sha256", "a/b", Version::Alias("sha256".into())),
            ("a/b@latest-2", "a/b", Version::Alias("latest-2".into())),
            (&by_alias, "a/b", Version::Alias(alias.clone())),
            (&by_id, "a/b", Version::Id(id)),
        ] {
            let name: ModelName = text.parse().unwrap();
            assert_eq!((name.path(), name.version()), (path, &version));
            assert_eq!(name.to_string(), text);
            assert_eq!(name.is_bare(), !text.contains('@'));
        }
        let longest = format!("{0}/{0}@sha256:{0}", "a".repeat(64));
        assert_eq!(longest.len(), LONGEST);
        assert!(longest.parse::<ModelName>().is_ok());
    }

    #[test]
    fn refuses_everything_else() {
        let long = format!("{}/b", "a".repeat(65));
        let long_alias = format!("a/b@{}", "x".repeat(65));
        let [short, odd, upper, longer] = ["ab".repeat(31), "a".repeat(63), "AB".repeat(32), "ab".repeat(33)]
            .map(|digits| format!("a/b@sha256:{digits}"));
        for text in [
            "",
            "/",
            "a",
            "a/",
            "/b",
            "a/b/c",
            "A/b",
            "a/B",
            "-a/b",
            "a/.b",
            "a b/c",
            "a/b@",
            "a/b@0",
            "a/b@01",
            "a/b@+1",
            "a/b@1@2",
            "a/b@18446744073709551616",
            "a/b@X",
            "a/b@Latest",
            "a/b@-x",
            "a/b@x y",
            "a/b@x/y",
            "a/b@x@y",
            "a/b@sha256:",
            "a/b@sha256:0x",
            "a/b@sha512:00",
            "ä/b",
            "a/b\0",
            &long,
            &long_alias,
            &short,
            &odd,
            &upper,
            &longer,
        ] {
            assert!(ModelName::parse(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(ModelName::parse(&[b'a', b'/', 0xff]).is_err());
        let huge = vec![b'x'; 1 << 20];
        assert_eq!(ModelName::parse(&huge).unwrap_err().name.len(), LONGEST);
    }

    #[test]
    fn an_alias_is_what_a_name_can_end_with_and_nothing_else_means() {
        assert!(is_alias("stable") && is_alias("v1") && is_alias("2024-01"));
        for text in [
            "",
            "latest",
            "1",
            "01",
            "18446744073709551616",
            "A",
            "-a",
            "sha256:",
            "a@b",
        ] {
            assert!(!is_alias(text), "{text:?}");
        }
    }
}
