//! Generation: token by token, with a cache, each step paid for before it runs.

mod beams;
mod rehearse;
mod scores;
mod steps;

use crate::{
    Charge, Engine, Meter, Pipeline, PipelineError, Stop, Task, pipeline::Shared, rules::Generation,
};
use beams::{Beams, Ended};
use scores::{Masks, best};
use steps::Steps;
pub(crate) use steps::{Call, Given};

/// What a caller allows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Tokens that are generated at most; the pipeline's own rule may allow fewer.
    pub max_tokens: Option<u32>,
}

/// Why a sequence ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// Its last token ends it.
    Eos,
    /// It has as many tokens as the rule or the caller allows.
    MaxTokens,
    /// The meter took no more for the caller's limit.
    MaxGas,
}

/// A generated text.
#[derive(Debug, Clone, PartialEq)]
pub struct Generated {
    /// The text, without special tokens.
    pub text: String,
    /// How many tokens the text has that it answers, special ones included.
    pub prompt_tokens: u32,
    /// Its tokens, that which ends it included; without the prompt and the decoder's first.
    pub tokens: Vec<u32>,
    /// Why it ends.
    pub finish: Finish,
    /// Of beams: the sum of the logarithms of the tokens' probabilities, divided by the rule's power of their number. `None` of a
    /// greedy search, and where [`Finish::MaxGas`] took a sequence that had not ended.
    pub score: Option<f32>,
}

impl Pipeline {
    /// Generates a text.
    ///
    /// Everything is charged before it is done: encoding the text; of each run of a graph its planning, then the run with the
    /// choice of tokens that follows and decoding the token. Where the meter answers [`Stop::Limit`] the answer is what there is.
    ///
    /// # Errors
    /// If the task is another, the text is not UTF-8 or too long, a graph fails, or the meter stops the call.
    pub fn generate(
        &self,
        text: &[u8],
        limits: &Limits,
        engine: &mut dyn Engine,
        meter: &mut dyn Meter,
    ) -> Result<Generated, PipelineError> {
        self.generate_observed(text, limits, engine, meter, &mut |_| {})
    }

    /// [`Self::generate`], telling after each step what the best sequence so far is. It may still be another in the end, except
    /// in a greedy search.
    ///
    /// # Errors
    /// As [`Self::generate`].
    pub fn generate_observed(
        &self,
        text: &[u8],
        limits: &Limits,
        engine: &mut dyn Engine,
        meter: &mut dyn Meter,
        observe: &mut dyn FnMut(&[u32]),
    ) -> Result<Generated, PipelineError> {
        let shared = &*self.shared;
        let (Some(rule), Task::TextToText | Task::TextGeneration) =
            (&shared.description.generation, shared.description.task)
        else {
            return Err(PipelineError::OtherTask {
                task: shared.description.task.name(),
                asked: "generate text",
            });
        };
        let mut call = Call {
            shared,
            engine,
            meter,
        };
        let mut prompt_tokens = 0;
        let found = match call.generate(rule, text, limits, &mut prompt_tokens, observe) {
            Ok(found) => found,
            Err(Failure::Error(error)) => return Err(error),
            // before there is a first token: an empty answer costs what it used
            Err(Failure::Limit) => Found::default(),
        };
        let text = shared.tokenizer().decode(&found.tokens, true)?;
        Ok(Generated {
            text,
            prompt_tokens,
            tokens: found.tokens,
            finish: found.finish,
            score: found.score,
        })
    }
}

/// Tokens, and why they end.
struct Found {
    tokens: Vec<u32>,
    finish: Finish,
    score: Option<f32>,
}

impl Default for Found {
    fn default() -> Self {
        Self {
            tokens: Vec::new(),
            finish: Finish::MaxGas,
            score: None,
        }
    }
}

/// What ends a step without an outcome.
pub(crate) enum Failure {
    /// The caller's limit.
    Limit,
    /// Anything else.
    Error(PipelineError),
}

impl From<PipelineError> for Failure {
    fn from(error: PipelineError) -> Self {
        Self::Error(error)
    }
}

impl From<synod_text::TextError> for Failure {
    fn from(error: synod_text::TextError) -> Self {
        Self::Error(error.into())
    }
}

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Limit => Self::Limit,
            Stop::Halt => Self::Error(PipelineError::Stopped),
        }
    }
}

/// Encodes a text, paid for.
pub(crate) fn encode(shared: &Shared, text: &[u8], meter: &mut dyn Meter) -> Result<Vec<u32>, Failure> {
    let rule = shared
        .description
        .text
        .as_ref()
        .expect("every task of texts has a rule for them");
    let length = text.len();
    // refused before it is paid for
    if length > synod_text::limits::MAX_TEXT_BYTES {
        return Err(synod_text::TextError::TooLong { length }.into());
    }
    meter.charge(Charge::Text(shared.tokenizer().encode_work(length)))?;
    let tokens = shared.tokenizer().encode_bytes(text, rule.special_tokens)?;
    if tokens.len() > rule.max_tokens as usize {
        return Err(PipelineError::TooManyTokens {
            tokens: tokens.len(),
            limit: rule.max_tokens as usize,
        }
        .into());
    }
    Ok(tokens)
}

impl Call<'_> {
    fn generate(
        &mut self,
        rule: &Generation,
        text: &[u8],
        limits: &Limits,
        prompt_tokens: &mut u32,
        observe: &mut dyn FnMut(&[u32]),
    ) -> Result<Found, Failure> {
        let tokens = encode(self.shared, text, self.meter)?;
        *prompt_tokens = u32::try_from(tokens.len()).unwrap_or(u32::MAX);
        // what decoding costs whatever it decodes
        self.meter
            .charge(Charge::Text(self.shared.tokenizer().decode_work(0)))?;
        let two_sided = self.shared.description.task == Task::TextToText;
        let prompt = match (two_sided, rule.decoder_start_token_id) {
            (true, Some(start)) => vec![start],
            (false, Some(start)) if tokens.is_empty() => vec![start],
            _ => tokens.clone(),
        };
        if tokens.is_empty() && (two_sided || prompt.is_empty()) {
            return Err(PipelineError::NoTokens.into());
        }
        let room = (rule.max_length as usize).saturating_sub(prompt.len());
        let own = room.min(rule.max_new_tokens as usize);
        let most = limits.max_tokens.map_or(own, |limit| own.min(limit as usize));
        if room == 0 {
            return Err(PipelineError::TooManyTokens {
                tokens: prompt.len(),
                limit: rule.max_length as usize - 1,
            }
            .into());
        }
        if most == 0 {
            return Ok(Found {
                finish: Finish::MaxTokens,
                ..Found::default()
            });
        }
        let masks = Masks {
            rule,
            prompt: prompt.len(),
            longest: prompt.len() + own,
        };
        let steps = Steps::begin(self, two_sided.then_some(&tokens[..]))?;
        if rule.num_beams == 1 {
            self.greedy(steps, &masks, prompt, most, observe)
        } else {
            self.beams(steps, &masks, prompt, most, observe)
        }
    }

    /// The best token at each step.
    fn greedy(
        &mut self,
        mut steps: Steps,
        masks: &Masks<'_>,
        prompt: Vec<u32>,
        most: usize,
        observe: &mut dyn FnMut(&[u32]),
    ) -> Result<Found, Failure> {
        let begin = prompt.len();
        let mut sequence = prompt;
        let mut new = sequence.clone();
        loop {
            let generated = sequence.len() - begin;
            let scores = match steps.run(self, &[&new], sequence.len(), masks) {
                Err(Failure::Limit) => {
                    return Ok(Found {
                        tokens: sequence.split_off(begin),
                        ..Found::default()
                    });
                }
                other => other?,
            };
            let mut scores = scores;
            if scores.iter().any(|score| score.is_nan()) {
                return Err(PipelineError::NotFinite { tokens: generated }.into());
            }
            masks.apply(&sequence, &mut scores);
            let token = best(&scores);
            sequence.push(token);
            observe(&sequence[begin..]);
            let finish = if masks.rule.eos_token_ids.contains(&token) {
                Finish::Eos
            } else if sequence.len() - begin == most {
                Finish::MaxTokens
            } else {
                new = vec![token];
                continue;
            };
            return Ok(Found {
                tokens: sequence.split_off(begin),
                finish,
                score: None,
            });
        }
    }

    /// The best of several sequences.
    fn beams(
        &mut self,
        mut steps: Steps,
        masks: &Masks<'_>,
        prompt: Vec<u32>,
        most: usize,
        observe: &mut dyn FnMut(&[u32]),
    ) -> Result<Found, Failure> {
        let mut beams = Beams::new(masks.rule, prompt.clone(), most);
        let mut new = vec![prompt];
        loop {
            let rows: Vec<&[u32]> = new.iter().map(Vec::as_slice).collect();
            let length = beams.length();
            let scores = match steps.run(self, &rows, length, masks) {
                Err(Failure::Limit) => return Ok(beams.best_so_far()),
                other => other?,
            };
            let reference = self.engine.is_reference();
            let chosen = beams.step(masks, scores, self.shared.width, reference)?;
            observe(beams.first());
            let Ended::No(parents) = chosen else {
                return Ok(beams.best());
            };
            steps.keep(&parents);
            new = beams.last_tokens();
        }
    }
}
