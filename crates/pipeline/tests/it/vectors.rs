//! Labels, scores and vectors of texts: as transformers gives them, the same bits in both arithmetics.

use crate::fixture::Fixture;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use synod_pipeline::*;

/// What transformers says of some texts; of a text that is too long nothing.
#[derive(Debug, Deserialize)]
struct Expected<A> {
    texts: Vec<String>,
    answers: Vec<Option<A>>,
}

impl<A> Expected<A> {
    /// The texts that it says something of, each with that.
    fn answered(&self) -> impl Iterator<Item = (&str, &A)> {
        let pairs = self.texts.iter().zip(&self.answers);
        pairs.filter_map(|(text, answer)| Some((text.as_str(), answer.as_ref()?)))
    }
}

#[derive(Debug, Deserialize)]
struct Class {
    input: Vec<u32>,
    label: String,
    score: f32,
}

#[derive(Debug, Deserialize)]
struct Vector {
    input: Vec<u32>,
    vector: Vec<f32>,
}

/// Both add up in orders of their own, over sums of at most some hundred terms.
const TOLERANCE: f32 = 5e-5;

/// The SHA-256 of floats' bits, little-endian.
fn digest(floats: &[f32]) -> String {
    let mut hasher = Sha256::new();
    floats.iter().for_each(|float| hasher.update(float.to_le_bytes()));
    hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Holds the tokens, labels and scores of a fixture to transformers', and all scores' bits to a hash.
fn classes_are_transformers(name: &str, bits: &str) {
    let fixture = Fixture::new(name);
    let expected: Expected<Class> = fixture.expected();
    let pipeline = fixture.import().unwrap().pipeline().unwrap();
    assert_eq!(pipeline.description().task, Task::TextClassification);
    let (mut engine, mut reference) = (Local::default(), Local::reference());
    let mut scores = Vec::new();
    for (text, answer) in expected.answered() {
        let tokens = pipeline.tokenize(text.as_bytes(), &mut Unmetered).unwrap();
        assert_eq!(tokens, answer.input, "{name}: {text:?}");
        let found = pipeline
            .classify(text.as_bytes(), &mut engine, &mut Unmetered)
            .unwrap();
        assert_eq!(found.label, answer.label, "{name}: {text:?}");
        assert!(
            (found.score - answer.score).abs() <= TOLERANCE,
            "{name}: {text:?}: {} and {}",
            found.score,
            answer.score
        );
        let again = pipeline
            .classify(text.as_bytes(), &mut reference, &mut Unmetered)
            .unwrap();
        assert_eq!(again.score.to_bits(), found.score.to_bits(), "{name}: {text:?}");
        scores.push(found.score);
    }
    assert_eq!(scores.len(), 9, "{name}");
    assert_eq!(digest(&scores), bits, "{name}");
}

/// Holds the tokens and vectors of a fixture to transformers', and all vectors' bits to a hash.
fn vectors_are_transformers(name: &str, texts: usize, bits: &str) {
    let fixture = Fixture::new(name);
    let expected: Expected<Vector> = fixture.expected();
    let pipeline = fixture.import().unwrap().pipeline().unwrap();
    assert_eq!(pipeline.description().task, Task::FeatureExtraction);
    let (mut engine, mut reference) = (Local::default(), Local::reference());
    let (mut compared, mut all) = (0, Vec::new());
    for (text, answer) in expected.answered() {
        let tokens = pipeline.tokenize(text.as_bytes(), &mut Unmetered).unwrap();
        assert_eq!(tokens, answer.input, "{name}: {text:?}");
        let found = pipeline
            .embed(text.as_bytes(), &mut engine, &mut Unmetered)
            .unwrap();
        assert_eq!(found.vector.len(), answer.vector.len(), "{name}");
        for (found, expected) in found.vector.iter().zip(&answer.vector) {
            assert!(
                (found - expected).abs() <= TOLERANCE,
                "{name}: {text:?}: {found} and {expected}"
            );
        }
        let again = pipeline
            .embed(text.as_bytes(), &mut reference, &mut Unmetered)
            .unwrap();
        assert_eq!(digest(&again.vector), digest(&found.vector), "{name}: {text:?}");
        all.extend(found.vector);
        compared += 1;
    }
    assert_eq!(compared, texts, "{name}");
    assert_eq!(digest(&all), bits, "{name}");
}

/// BERT with token types; the score is a softmax over five classes.
#[test]
fn a_text_has_the_class_that_transformers_gives() {
    classes_are_transformers(
        "bert",
        "1e2e58f34cc21df2bcf687e8da1eee778270b1ab94ac9aee852985eae3bd1369",
    );
}

/// DistilBERT with one label: the score is its sigmoid.
#[test]
fn one_label_has_the_score_that_transformers_gives() {
    classes_are_transformers(
        "distilbert",
        "d8641b86905e04471d80e1a6a127c61ee524e377248219e94d5e79cef57451b0",
    );
}

/// The mean over the tokens, of length 1, as sentence-transformers has it.
#[test]
fn a_sentence_has_the_vector_that_transformers_gives() {
    vectors_are_transformers(
        "minilm",
        9,
        "48890058385c0694dc131380510b60d5503a4ce746440e59c4f87943be3aff80",
    );
}

/// RoBERTa, whose places follow from its tokens; the vector is the pooler's.
#[test]
fn a_pooled_text_has_the_vector_that_transformers_gives() {
    vectors_are_transformers(
        "roberta",
        8,
        "6de7aa7781d5c9d5f6086cd28646b2c219578daf564d9a0438a5be4a6113bd38",
    );
}
