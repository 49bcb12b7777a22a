//! Scores of the next token: what a rule forbids, and which are best.
//!
//! Ties: of equal scores that of the lower beam is better, then that of the lower token. +0 and −0 are equal.

use crate::rules::Generation;
use std::cmp::Ordering;

/// What a rule forbids, for sequences that begin with a prompt.
pub(super) struct Masks<'r> {
    pub(super) rule: &'r Generation,
    /// Tokens of the prompt, or the decoder's first.
    pub(super) prompt: usize,
    /// The most tokens that a sequence has by the rule, the prompt included.
    pub(super) longest: usize,
}

const NEVER: f32 = f32::NEG_INFINITY;

impl Masks<'_> {
    /// Brings the scores of what may not follow a sequence to −∞, in the order in which transformers applies these rules.
    pub(super) fn apply(&self, sequence: &[u32], scores: &mut [f32]) {
        let rule = self.rule;
        let never = |scores: &mut [f32], token: u32| scores[token as usize] = NEVER;
        let size = rule.no_repeat_ngram_size as usize;
        if size > 0 && sequence.len() + 1 >= size {
            let (beginning, last) = sequence.split_at(sequence.len() + 1 - size);
            // each place where the last tokens stand already, and what follows there
            for at in 0..beginning.len() {
                if sequence[at..at + size - 1] == *last
                    && let Some(&next) = sequence.get(at + size - 1)
                {
                    never(scores, next);
                }
            }
        }
        for words in &rule.bad_words_ids {
            let (last, before) = words.split_last().expect("no sequence is empty");
            if before.is_empty() || words.len() <= sequence.len() && sequence.ends_with(before) {
                never(scores, *last);
            }
        }
        let generated = sequence.len() - self.prompt;
        if sequence.len() < rule.min_length as usize || generated < rule.min_new_tokens as usize {
            rule.eos_token_ids.iter().for_each(|&token| never(scores, token));
        }
        let forced = match (rule.forced_bos_token_id, rule.forced_eos_token_id) {
            (_, Some(last)) if sequence.len() + 1 == self.longest => Some(last),
            (Some(first), _) if sequence.len() == 1 => Some(first),
            _ => None,
        };
        if let Some(token) = forced {
            scores.fill(NEVER);
            scores[token as usize] = 0.0;
        }
        rule.suppress_tokens
            .iter()
            .for_each(|&token| never(scores, token));
        // behind a first token that is forced
        let begin = self.prompt + usize::from(self.prompt == 1 && rule.forced_bos_token_id.is_some());
        if sequence.len() == begin {
            rule.begin_suppress_tokens
                .iter()
                .for_each(|&token| never(scores, token));
        }
    }
}

/// The token of the greatest score.
pub(super) fn best(scores: &[f32]) -> u32 {
    let mut best = 0;
    for (token, score) in scores.iter().enumerate() {
        if *score > scores[best] {
            best = token;
        }
    }
    best as u32
}

/// A score and where it stands among those of all beams.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub(super) score: f32,
    pub(super) place: u32,
}

impl Candidate {
    /// Better ones first.
    fn order(&self, other: &Self) -> Ordering {
        let by_score = other.score.partial_cmp(&self.score).expect("no score is NaN");
        by_score.then(self.place.cmp(&other.place))
    }
}

/// The `count` best scores, best first.
pub(super) fn top(scores: &[f32], count: usize) -> Vec<Candidate> {
    let mut kept: Vec<Candidate> = Vec::with_capacity(2 * count);
    let mut least = f32::NEG_INFINITY;
    for (place, &score) in scores.iter().enumerate() {
        // a later one of equal score is worse
        if kept.len() >= count && score <= least {
            continue;
        }
        kept.push(Candidate {
            score,
            place: place as u32,
        });
        if kept.len() == 2 * count {
            kept.select_nth_unstable_by(count - 1, Candidate::order);
            kept.truncate(count);
            least = kept[count - 1].score;
        }
    }
    kept.sort_unstable_by(Candidate::order);
    kept.truncate(count);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> Generation {
        Generation {
            num_beams: 1,
            max_length: 10,
            max_new_tokens: 9,
            ..Generation::default()
        }
    }

    fn allowed(rule: &Generation, sequence: &[u32]) -> Vec<usize> {
        let masks = Masks {
            rule,
            prompt: 1,
            longest: 10,
        };
        let mut scores = vec![1.0; 8];
        masks.apply(sequence, &mut scores);
        (0..8).filter(|&token| scores[token] > NEVER).collect()
    }

    #[test]
    fn no_ngram_stands_twice() {
        let rule = Generation {
            no_repeat_ngram_size: 2,
            ..rule()
        };
        assert_eq!(allowed(&rule, &[0, 1, 2, 1]), [0, 1, 3, 4, 5, 6, 7]);
        assert_eq!(allowed(&rule, &[1, 1]), [0, 2, 3, 4, 5, 6, 7]);
        assert_eq!(allowed(&rule, &[1]), [0, 1, 2, 3, 4, 5, 6, 7]);
        let one = Generation {
            no_repeat_ngram_size: 1,
            ..rule
        };
        assert_eq!(allowed(&one, &[0, 3]), [1, 2, 4, 5, 6, 7]);
        let three = Generation {
            no_repeat_ngram_size: 3,
            ..one
        };
        assert_eq!(allowed(&three, &[5, 6, 7, 5, 6]), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(allowed(&three, &[5]), [0, 1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn words_ends_and_forced_tokens() {
        let rule = Generation {
            bad_words_ids: vec![vec![7], vec![1, 2]],
            eos_token_ids: vec![3],
            min_new_tokens: 2,
            suppress_tokens: vec![6],
            begin_suppress_tokens: vec![5],
            forced_eos_token_id: Some(3),
            ..rule()
        };
        assert_eq!(allowed(&rule, &[0]), [0, 1, 2, 4]);
        assert_eq!(allowed(&rule, &[0, 1]), [0, 1, 4, 5]);
        assert_eq!(allowed(&rule, &[0, 1, 1]), [0, 1, 3, 4, 5]);
        assert_eq!(allowed(&rule, &[0; 9]), [3]);
        let forced = Generation {
            forced_bos_token_id: Some(4),
            ..rule
        };
        assert_eq!(allowed(&forced, &[0]), [4]);
        assert_eq!(allowed(&forced, &[0, 4]), [0, 1, 2, 4]);
    }

    #[test]
    fn the_best_come_first_and_of_equals_the_first() {
        assert_eq!(best(&[1.0, 3.0, 3.0, -0.0]), 1);
        assert_eq!(best(&[-0.0, 0.0]), 0);
        assert_eq!(best(&[NEVER, NEVER]), 0);
        let scores = [0.0, 2.0, 1.0, 2.0, NEVER, 3.0, -0.0];
        let places = |count| -> Vec<u32> { top(&scores, count).iter().map(|c| c.place).collect() };
        assert_eq!(places(1), [5]);
        assert_eq!(places(3), [5, 1, 3]);
        assert_eq!(places(6), [5, 1, 3, 2, 0, 6]);
        // whatever their order, as sorting all of them
        let many: Vec<f32> = (0..500u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 25) as f32)
            .collect();
        let mut all: Vec<Candidate> = (0..)
            .zip(&many)
            .map(|(place, &score)| Candidate { score, place })
            .collect();
        all.sort_by(Candidate::order);
        for count in [1, 2, 7, 60] {
            assert_eq!(top(&many, count), all[..count]);
        }
    }
}
