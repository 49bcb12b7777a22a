//! `config.json` and `generation_config.json`.

use super::{FolderError, ImportOptions, Source, optional};
use crate::{EarlyStopping, Generation, Task};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

const CONFIG: &str = "config.json";
const GENERATION: &str = "generation_config.json";

/// `config.json`, as far as it is read.
pub(super) struct Config {
    fields: Map<String, Value>,
}

fn object(source: &dyn Source, file: &str) -> Result<Option<Map<String, Value>>, FolderError> {
    let Some(bytes) = optional(source, file)? else {
        return Ok(None);
    };
    let value: Value =
        serde_json::from_slice(&bytes).map_err(|error| FolderError::field(file, "", error.to_string()))?;
    match value {
        Value::Object(fields) => Ok(Some(fields)),
        other => Err(FolderError::field(
            file,
            "",
            format!("an object stands here, not {other}"),
        )),
    }
}

impl Config {
    pub(super) fn read(source: &dyn Source) -> Result<Self, FolderError> {
        let fields = object(source, CONFIG)?.unwrap_or_default();
        Ok(Self { fields })
    }

    pub(super) fn architecture(&self) -> &str {
        let list = self.fields.get("architectures").and_then(Value::as_array);
        list.and_then(|list| list.first())
            .and_then(Value::as_str)
            .unwrap_or("")
    }

    /// Whether it says that an encoder reads for the decoder.
    pub(super) fn is_encoder_decoder(&self) -> bool {
        self.fields.get("is_encoder_decoder") == Some(&Value::Bool(true))
    }

    /// Places that a model knows.
    pub(super) fn positions(&self) -> Option<u32> {
        [
            "max_position_embeddings",
            "n_positions",
            "n_ctx",
            "max_sequence_length",
        ]
        .into_iter()
        .find_map(|name| self.fields.get(name)?.as_u64())
        .map(|places| u32::try_from(places).unwrap_or(u32::MAX))
    }

    /// `id2label`, in the order of its ids.
    pub(super) fn labels(&self) -> Result<Vec<String>, FolderError> {
        let Some(map) = self.fields.get("id2label").and_then(Value::as_object) else {
            return Ok(Vec::new());
        };
        let refuse = || {
            let reason = "its keys are numbers from 0 on without gaps, its values strings";
            FolderError::field(CONFIG, "id2label", reason)
        };
        let mut labels = BTreeMap::new();
        for (id, label) in map {
            let id: usize = id.parse().map_err(|_| refuse())?;
            labels.insert(id, label.as_str().ok_or_else(refuse)?.to_owned());
        }
        if !labels.keys().copied().eq(0..labels.len()) {
            return Err(refuse());
        }
        if let Some(kind) = self.fields.get("problem_type").and_then(Value::as_str)
            && kind != "single_label_classification"
        {
            let reason = format!("{kind} is not done here: a text gets one label");
            return Err(FolderError::field(CONFIG, "problem_type", reason));
        }
        Ok(labels.into_values().collect())
    }

    /// The rule of generation, from its own file if there is one.
    pub(super) fn generation(
        &self,
        source: &dyn Source,
        task: Task,
        positions: Option<u32>,
        options: &ImportOptions,
        notes: &mut Vec<String>,
    ) -> Result<Generation, FolderError> {
        let own = object(source, GENERATION)?;
        let strict = own.is_some();
        let mut fields = Fields {
            file: if strict { GENERATION } else { CONFIG },
            fields: own.unwrap_or_else(|| self.fields.clone()),
        };
        let mut rule = fields.rule(task, positions, options, notes)?;
        if strict {
            fields.finish()?;
        }
        // older exports have the first token in config.json alone
        if rule.decoder_start_token_id.is_none() && task == Task::TextToText {
            let start = self.fields.get("decoder_start_token_id").and_then(Value::as_u64);
            rule.decoder_start_token_id = start.and_then(|id| u32::try_from(id).ok());
        }
        Ok(rule)
    }
}

/// The fields of a rule; each is taken out as it is read.
struct Fields {
    file: &'static str,
    fields: Map<String, Value>,
}

/// Fields that say nothing about what is generated here.
const WITHOUT_EFFECT: &[&str] = &[
    "_from_model_config",
    "transformers_version",
    "use_cache",
    "cache_implementation",
    "return_dict_in_generate",
    "output_scores",
    "output_attentions",
    "output_hidden_states",
    "output_logits",
    "max_time",
    "bos_token_id",
    "pad_token_id",
];

/// Fields with the one value that is done here.
const ONLY: &[(&str, f64)] = &[
    ("repetition_penalty", 1.0),
    ("encoder_repetition_penalty", 1.0),
    ("diversity_penalty", 0.0),
    ("num_beam_groups", 1.0),
    ("num_return_sequences", 1.0),
    ("encoder_no_repeat_ngram_size", 0.0),
    ("penalty_alpha", 0.0),
    ("guidance_scale", 1.0),
];

/// Fields of sampling.
const SAMPLING: &[&str] = &[
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "typical_p",
    "epsilon_cutoff",
    "eta_cutoff",
    "top_h",
];

impl Fields {
    fn error(&self, field: &str, reason: impl Into<String>) -> FolderError {
        FolderError::field(self.file, field, reason)
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.fields.remove(name).filter(|value| !value.is_null())
    }

    fn number(&mut self, name: &str) -> Result<Option<u32>, FolderError> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        number
            .map(Some)
            .ok_or_else(|| self.error(name, format!("a whole number stands here, not {value}")))
    }

    fn boolean(&mut self, name: &str) -> Result<bool, FolderError> {
        let Some(value) = self.take(name) else {
            return Ok(false);
        };
        value
            .as_bool()
            .ok_or_else(|| self.error(name, format!("true or false stands here, not {value}")))
    }

    /// An id or a list of ids, ascending and each once.
    fn ids(&mut self, name: &str) -> Result<Vec<u32>, FolderError> {
        let Some(value) = self.take(name) else {
            return Ok(Vec::new());
        };
        let mut ids = self.id_list(name, &value)?;
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    fn id_list(&self, name: &str, value: &Value) -> Result<Vec<u32>, FolderError> {
        let list = value
            .as_array()
            .map_or(std::slice::from_ref(value), Vec::as_slice);
        list.iter()
            .map(|id| {
                let number = id.as_u64().and_then(|id| u32::try_from(id).ok());
                number.ok_or_else(|| self.error(name, format!("ids of tokens stand here, not {id}")))
            })
            .collect()
    }

    fn rule(
        &mut self,
        task: Task,
        positions: Option<u32>,
        options: &ImportOptions,
        notes: &mut Vec<String>,
    ) -> Result<Generation, FolderError> {
        self.sampling(options, notes)?;
        let eos_token_ids = self.ids("eos_token_id")?;
        let mut bad_words_ids = Vec::new();
        if let Some(value) = self.take("bad_words_ids") {
            let list = value.as_array().cloned();
            for words in list.ok_or_else(|| self.error("bad_words_ids", "a list of lists stands here"))? {
                let words = self.id_list("bad_words_ids", &words)?;
                // what ends a sequence may not be forbidden: transformers leaves such an entry out, too
                if !matches!(words[..], [word] if eos_token_ids.contains(&word)) {
                    bad_words_ids.push(words);
                }
            }
        }
        let early_stopping = match self.take("early_stopping") {
            None | Some(Value::Bool(false)) => EarlyStopping::Heuristic,
            Some(Value::Bool(true)) => EarlyStopping::Always,
            Some(Value::String(text)) if text == "never" => EarlyStopping::Never,
            Some(other) => {
                let reason = format!("true, false or \"never\" stands here, not {other}");
                return Err(self.error("early_stopping", reason));
            }
        };
        let length_penalty = self.take("length_penalty");
        let length_penalty_millionths = match length_penalty.as_ref().map(|value| (value, value.as_f64())) {
            None => 1_000_000,
            Some((_, Some(penalty))) if penalty.abs() <= 100.0 && (penalty * 1e6).fract() == 0.0 => {
                (penalty * 1e6) as i64
            }
            Some((value, _)) => {
                let reason =
                    format!("a number from -100 to 100 with at most six decimals stands here, not {value}");
                return Err(self.error("length_penalty", reason));
            }
        };
        let two_sided = task == Task::TextToText;
        let start = self.number("decoder_start_token_id")?;
        let (stated_length, stated_new) = (self.number("max_length")?, self.number("max_new_tokens")?);
        let positions = positions.unwrap_or(u32::MAX).min(crate::limits::MAX_TOKENS);
        let prompt = u32::from(two_sided);
        // what transformers does where both are stated: the number of new tokens counts
        let new = options.max_new_tokens.or(stated_new);
        let max_length = match (new, stated_length) {
            (Some(new), _) if two_sided => new.saturating_add(prompt),
            (Some(_), _) => positions,
            (None, Some(length)) => length,
            (None, None) => positions.min(512),
        };
        let max_length = max_length.min(positions);
        let most = max_length.saturating_sub(prompt.max(1));
        let num_beams = self.number("num_beams")?.unwrap_or(1);
        let rule = Generation {
            decoder_start_token_id: if two_sided { start } else { None },
            eos_token_ids,
            forced_bos_token_id: self.number("forced_bos_token_id")?,
            forced_eos_token_id: self.number("forced_eos_token_id")?,
            max_length,
            max_new_tokens: new.unwrap_or(most).min(most),
            min_length: self.number("min_length")?.unwrap_or(0),
            min_new_tokens: self.number("min_new_tokens")?.unwrap_or(0),
            num_beams: options.num_beams.unwrap_or(num_beams),
            length_penalty_millionths,
            early_stopping,
            no_repeat_ngram_size: self.number("no_repeat_ngram_size")?.unwrap_or(0),
            bad_words_ids,
            suppress_tokens: self.ids("suppress_tokens")?,
            begin_suppress_tokens: self.ids("begin_suppress_tokens")?,
            renormalize_logits: self.boolean("renormalize_logits")?,
        };
        if rule.num_beams == 0 {
            return Err(self.error("num_beams", "there is at least one beam"));
        }
        Ok(rule)
    }

    /// Sampling is refused, or left out where the options say so.
    fn sampling(&mut self, options: &ImportOptions, notes: &mut Vec<String>) -> Result<(), FolderError> {
        let sampling = self.boolean("do_sample")?;
        if sampling && !options.without_sampling {
            let reason = "the chain leaves nothing to chance: say that sampling is to be left out, and the best token is taken";
            return Err(self.error("do_sample", reason));
        }
        for name in SAMPLING {
            // without sampling these say nothing
            if let Some(value) = self.take(name)
                && sampling
            {
                notes.push(format!(
                    "{}: {name} {value} is left out with the sampling",
                    self.file
                ));
            }
        }
        if sampling {
            notes.push(format!("{}: do_sample is taken as false", self.file));
        }
        Ok(())
    }

    /// Refuses what is left, but for fields without an effect.
    fn finish(mut self) -> Result<(), FolderError> {
        for name in WITHOUT_EFFECT {
            self.fields.remove(*name);
        }
        for (name, only) in ONLY {
            if let Some(value) = self.take(name)
                && value.as_f64() != Some(*only)
            {
                let reason = format!("{value} is not done here; {only} is");
                return Err(self.error(name, reason));
            }
        }
        self.fields.retain(|_, value| !value.is_null());
        match self.fields.iter().next() {
            None => Ok(()),
            Some((name, value)) => {
                Err(self.error(name, format!("{value}: a rule of this name is not done here")))
            }
        }
    }
}
