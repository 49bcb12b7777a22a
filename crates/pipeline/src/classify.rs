//! A text's label and score, and its vector.

use crate::{
    Charge, Engine, Meter, Pipeline, PipelineError, Role, Task,
    generate::{Call, Failure, Given, encode},
};
use synod_model::Work;
use synod_numerics::{math, reference, shape::ReduceShape};

/// A label and its score.
#[derive(Debug, Clone, PartialEq)]
pub struct Classified {
    /// The class with the greatest logit; of equal ones the first.
    pub class: usize,
    /// What it is called; empty if the pipeline has no labels.
    pub label: String,
    /// Its probability: softmax over the classes, or sigmoid of the only logit.
    pub score: f32,
}

/// A text's vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedded {
    /// As the graph gives it.
    pub vector: Vec<f32>,
}

impl Pipeline {
    /// Classifies a text.
    ///
    /// # Errors
    /// If the task is another, the text is not UTF-8 or too long, the graph fails or its scores are not finite, or the meter stops
    /// the call.
    pub fn classify(
        &self,
        text: &[u8],
        engine: &mut dyn Engine,
        meter: &mut dyn Meter,
    ) -> Result<Classified, PipelineError> {
        let logits = self.vector(Task::TextClassification, "classify texts", text, engine, meter)?;
        self.classified(&logits)
    }

    /// The class of logits.
    pub(crate) fn classified(&self, logits: &[f32]) -> Result<Classified, PipelineError> {
        if logits.iter().any(|logit| !logit.is_finite()) {
            return Err(PipelineError::NotFinite { tokens: 0 });
        }
        let mut class = 0;
        for (index, logit) in logits.iter().enumerate() {
            if *logit > logits[class] {
                class = index;
            }
        }
        let score = match logits {
            [logit] => math::sigmoid(*logit),
            _ => {
                let shape = ReduceShape {
                    outer: 1,
                    length: logits.len(),
                    inner: 1,
                };
                let mut scores = vec![0.0; logits.len()];
                reference::softmax(&shape, logits, &mut scores);
                scores[class]
            }
        };
        let label = self
            .shared
            .description
            .labels
            .get(class)
            .cloned()
            .unwrap_or_default();
        Ok(Classified { class, label, score })
    }

    /// The tokens of a text as the pipeline reads it.
    ///
    /// # Errors
    /// If the task is one of pictures, the text is not UTF-8 or too long, or the meter stops the call.
    pub fn tokenize(&self, text: &[u8], meter: &mut dyn Meter) -> Result<Vec<u32>, PipelineError> {
        let shared = &*self.shared;
        if shared.description.text.is_none() {
            return Err(PipelineError::OtherTask {
                task: shared.description.task.name(),
                asked: "read texts",
            });
        }
        encode(shared, text, meter).map_err(|failure| match failure {
            Failure::Error(error) => error,
            Failure::Limit => PipelineError::Stopped,
        })
    }

    /// The vector of a text.
    ///
    /// # Errors
    /// If the task is another, the text is not UTF-8 or too long, the graph fails, or the meter stops the call.
    pub fn embed(
        &self,
        text: &[u8],
        engine: &mut dyn Engine,
        meter: &mut dyn Meter,
    ) -> Result<Embedded, PipelineError> {
        let vector = self.vector(
            Task::FeatureExtraction,
            "make vectors of texts",
            text,
            engine,
            meter,
        )?;
        Ok(Embedded { vector })
    }

    fn vector(
        &self,
        task: Task,
        asked: &'static str,
        text: &[u8],
        engine: &mut dyn Engine,
        meter: &mut dyn Meter,
    ) -> Result<Vec<f32>, PipelineError> {
        let shared = &*self.shared;
        if shared.description.task != task {
            return Err(PipelineError::OtherTask {
                task: shared.description.task.name(),
                asked,
            });
        }
        let mut call = Call {
            shared,
            engine,
            meter,
        };
        call.vector(text).map_err(|failure| match failure {
            Failure::Error(error) => error,
            Failure::Limit => PipelineError::Stopped,
        })
    }
}

impl Call<'_> {
    /// What the only graph makes of a text.
    fn vector(&mut self, text: &[u8]) -> Result<Vec<f32>, Failure> {
        let shared = self.shared;
        let tokens = encode(shared, text, self.meter)?;
        if tokens.is_empty() {
            return Err(PipelineError::NoTokens.into());
        }
        let mut given = Given {
            rows: vec![&tokens],
            ..Given::default()
        };
        self.logits(&mut given)
    }

    /// What the only graph gives, paid for with a softmax over it.
    pub(crate) fn logits(&mut self, given: &mut Given<'_>) -> Result<Vec<f32>, Failure> {
        let work = Work {
            arithmetic: 20_000 + 700 * self.shared.width as u64,
            bytes: 0,
        };
        let outputs = self.run(Role::Model, given, 0, &[Charge::Step(work)])?;
        let result = &outputs[self.shared.graphs[&Role::Model].result];
        Ok(result.as_slice::<f32>().to_vec())
    }
}
