//! JSON: nested lists of numbers, or an object that names several of them.
//!
//! Numbers are kept as they are written and rounded once, to the type that the network takes; a JSON library would round
//! them to `f64` first.

use super::Numbers;
use eyre::{Result, ensure, eyre};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// What a JSON file holds.
pub(super) enum Document {
    Array(Numbers),
    Object(Vec<(String, Numbers)>),
}

pub(super) fn read(bytes: &[u8]) -> Result<Document> {
    let document: &RawValue = serde_json::from_slice(bytes)?;
    if document.get().starts_with('{') {
        let arrays: BTreeMap<String, &RawValue> = serde_json::from_str(document.get())?;
        let named = arrays.into_iter().map(|(name, value)| {
            let numbers = numbers(value).map_err(|error| eyre!("{name:?}: {error}"))?;
            Ok((name, numbers))
        });
        Ok(Document::Object(named.collect::<Result<_>>()?))
    } else {
        Ok(Document::Array(numbers(document)?))
    }
}

fn numbers(value: &RawValue) -> Result<Numbers> {
    let mut words = Vec::new();
    let shape = collect(value, &mut words)?;
    Ok(Numbers::nested(shape, words))
}

/// Appends the numbers of nested lists and returns their shape. Depth is bounded by the parser, which has seen all of it.
fn collect(value: &RawValue, words: &mut Vec<String>) -> Result<Vec<usize>> {
    let text = value.get();
    if !text.starts_with('[') {
        let scalar =
            text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) || matches!(text, "true" | "false");
        ensure!(scalar, "{text} is not a number");
        words.push(text.to_owned());
        return Ok(Vec::new());
    }
    let items: Vec<&RawValue> = serde_json::from_str(text)?;
    let mut inner: Option<Vec<usize>> = None;
    for item in &items {
        let shape = collect(item, words)?;
        match &inner {
            Some(first) => ensure!(
                *first == shape,
                "its lists differ in length: {first:?} and {shape:?}"
            ),
            None => inner = Some(shape),
        }
    }
    Ok(std::iter::once(items.len())
        .chain(inner.unwrap_or_default())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str) -> Option<Vec<usize>> {
        match read(text.as_bytes()) {
            Ok(Document::Array(numbers)) => Some(numbers.shape().to_vec()),
            _ => None,
        }
    }

    #[test]
    fn nested_lists_give_the_shape() {
        assert_eq!(shape("[[1, 2, 3], [4.5, -6e-3, 7]]"), Some(vec![2, 3]));
        assert_eq!(shape("3"), Some(vec![]));
        assert_eq!(shape("[[], []]"), Some(vec![2, 0]));
        assert_eq!(shape("[true, false]"), Some(vec![2]));
        for refused in [
            "[[1], [2, 3]]",
            "[[1], 2]",
            "[\"1\"]",
            "[null]",
            "[NaN]",
            "[1",
            "",
        ] {
            assert_eq!(shape(refused), None, "{refused}");
        }
    }

    #[test]
    fn an_object_names_its_arrays() {
        let Document::Object(arrays) = read(br#"{"b": [1], "a": [[2]]}"#).unwrap() else {
            panic!("an object")
        };
        let shapes: Vec<_> = arrays
            .iter()
            .map(|(name, n)| (name.as_str(), n.shape().to_vec()))
            .collect();
        assert_eq!(shapes, [("a", vec![1, 1]), ("b", vec![1])]);
    }
}
