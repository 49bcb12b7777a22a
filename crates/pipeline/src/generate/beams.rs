//! Several sequences at once.
//!
//! The search is the one of transformers: of the sums of all beams and tokens the best `K = beams × max(2, ends + 1)` are looked
//! at. Those that end, among the first `beams` of the K, become finished sequences; the best `beams` of those that do not end run on.
//! Scores are f32, and each operation rounds once.

use super::{
    Failure, Finish, Found,
    scores::{Masks, top},
};
use crate::{
    PipelineError,
    rules::{EarlyStopping, Generation},
};
use synod_numerics::{fast, math::pow, reference, shape::ReduceShape};

/// A sequence that runs.
#[derive(Debug, Clone)]
struct Running {
    tokens: Vec<u32>,
    /// The sum of its tokens' scores.
    score: f32,
}

/// A sequence that has ended.
#[derive(Debug, Clone)]
struct Finished {
    tokens: Vec<u32>,
    /// Divided by the power of its length.
    score: f32,
}

pub(super) struct Beams<'r> {
    rule: &'r Generation,
    prompt: usize,
    /// Tokens that are generated at most.
    most: usize,
    running: Vec<Running>,
    /// The best so far, best first, at most as many as beams.
    finished: Vec<Finished>,
}

/// Whether the search is over.
pub(super) enum Ended {
    /// The beams that the running ones go on from.
    No(Vec<usize>),
    Yes,
}

impl<'r> Beams<'r> {
    pub(super) fn new(rule: &'r Generation, prompt: Vec<u32>, most: usize) -> Self {
        Self {
            rule,
            prompt: prompt.len(),
            most,
            // beams that are alike would choose alike: the first step has one
            running: vec![Running {
                tokens: prompt,
                score: 0.0,
            }],
            finished: Vec::new(),
        }
    }

    /// Tokens of each running sequence.
    pub(super) fn length(&self) -> usize {
        self.running[0].tokens.len()
    }

    /// What was generated of the best running sequence.
    pub(super) fn first(&self) -> &[u32] {
        &self.running[0].tokens[self.prompt..]
    }

    /// The last token of each running sequence.
    pub(super) fn last_tokens(&self) -> Vec<Vec<u32>> {
        self.running
            .iter()
            .map(|beam| beam.tokens[beam.tokens.len() - 1..].to_vec())
            .collect()
    }

    /// A sum divided by a power of the number of tokens that it is of.
    fn normalized(&self, sum: f32, length: usize) -> f32 {
        let penalty = self.rule.length_penalty_millionths as f64 / 1e6;
        sum / pow::<f64>(length as f64, penalty) as f32
    }

    /// Chooses the next tokens by the logits of each running sequence.
    pub(super) fn step(
        &mut self,
        masks: &Masks<'_>,
        logits: Vec<f32>,
        vocabulary: usize,
        reference: bool,
    ) -> Result<Ended, Failure> {
        let beams = self.rule.num_beams as usize;
        let generated = self.length() - self.prompt;
        let not_finite = || PipelineError::NotFinite { tokens: generated };
        let mut scores = log_softmax(&logits, vocabulary, reference);
        if scores.iter().any(|score| score.is_nan()) {
            return Err(not_finite().into());
        }
        for (beam, row) in self.running.iter().zip(scores.chunks_exact_mut(vocabulary)) {
            masks.apply(&beam.tokens, row);
        }
        if self.rule.renormalize_logits {
            scores = log_softmax(&scores, vocabulary, reference);
            // of a row in which nothing is allowed
            if scores.iter().any(|score| score.is_nan()) {
                return Err(not_finite().into());
            }
        }
        for (beam, row) in self.running.iter().zip(scores.chunks_exact_mut(vocabulary)) {
            row.iter_mut().for_each(|score| *score += beam.score);
        }
        let kept = (self.rule.eos_token_ids.len() + 1).max(2) * beams;
        let length = generated + 1;
        let at_end = length == self.most;
        let mut next = Vec::with_capacity(beams);
        let mut parents = Vec::with_capacity(beams);
        let mut ended = Vec::new();
        for (rank, candidate) in top(&scores, kept).into_iter().enumerate() {
            let (parent, token) = (
                candidate.place as usize / vocabulary,
                candidate.place % vocabulary as u32,
            );
            let ends = at_end || self.rule.eos_token_ids.contains(&token);
            if ends && rank >= beams || !ends && next.len() == beams {
                continue;
            }
            let mut tokens = self.running[parent].tokens.clone();
            tokens.push(token);
            if ends {
                ended.push(Finished {
                    tokens,
                    score: self.normalized(candidate.score, length),
                });
            } else {
                next.push(Running {
                    tokens,
                    score: candidate.score,
                });
                parents.push(parent);
            }
        }
        // sorting keeps the order of equals: earlier ones stay before later ones
        self.finished.extend(ended);
        self.finished
            .sort_by(|a, b| b.score.partial_cmp(&a.score).expect("no score is NaN"));
        self.finished.truncate(beams);
        if at_end {
            return Ok(Ended::Yes);
        }
        self.running = next;
        if self.finished.len() == beams && self.cannot_improve(length) {
            return Ok(Ended::Yes);
        }
        Ok(Ended::No(parents))
    }

    /// Whether the search ends that has as many finished sequences as beams, now that running ones have this length.
    fn cannot_improve(&self, length: usize) -> bool {
        let hypothetical = match self.rule.early_stopping {
            EarlyStopping::Always => return true,
            EarlyStopping::Never if self.rule.length_penalty_millionths > 0 => self.most,
            EarlyStopping::Never | EarlyStopping::Heuristic => length,
        };
        let best = self.normalized(self.running[0].score, hypothetical);
        let worst = self.finished[self.finished.len() - 1].score;
        best <= worst
    }

    /// The best finished sequence.
    pub(super) fn best(&self) -> Found {
        let best = &self.finished[0];
        let ends = best
            .tokens
            .last()
            .is_some_and(|token| self.rule.eos_token_ids.contains(token));
        Found {
            tokens: best.tokens[self.prompt..].to_vec(),
            finish: if ends { Finish::Eos } else { Finish::MaxTokens },
            score: Some(best.score),
        }
    }

    /// The best finished sequence, else the best running one, of a search that stops here.
    pub(super) fn best_so_far(&self) -> Found {
        let (tokens, score) = match self.finished.first() {
            Some(best) => (&best.tokens, Some(best.score)),
            None => (&self.running[0].tokens, None),
        };
        Found {
            tokens: tokens[self.prompt..].to_vec(),
            finish: Finish::MaxGas,
            score,
        }
    }
}

fn log_softmax(scores: &[f32], vocabulary: usize, by_reference: bool) -> Vec<f32> {
    let shape = ReduceShape {
        outer: scores.len() / vocabulary,
        length: vocabulary,
        inner: 1,
    };
    let mut out = vec![0.0; scores.len()];
    if by_reference {
        reference::log_softmax(&shape, scores, &mut out);
    } else {
        fast::log_softmax(&shape, scores, &mut out);
    }
    out
}
