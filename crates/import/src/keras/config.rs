//! A layer's description: its name, class and options, read with types.

use super::weights::{LayerWeights, WeightError};
use crate::{ImportError, keras::hdf5::Array};
use serde_json::{Map, Value as Json};

/// How much of a wrong value is shown.
const SHOWN: usize = 80;

/// A layer as the file describes it, with its weights.
pub(crate) struct Layer<'a> {
    /// Its name; for a layer within others, theirs and its own with `/` between.
    pub(crate) name: String,
    /// Keras' class.
    pub(crate) class: &'a str,
    /// Whether it is an operation of `keras.ops` and no layer.
    pub(crate) operation: bool,
    /// The options.
    pub(crate) config: &'a Map<String, Json>,
    /// The major version of Keras that wrote the file: some defaults and functions have changed.
    pub(crate) version: u32,
    pub(crate) weights: LayerWeights<'a>,
}

impl<'a> Layer<'a> {
    /// A layer within this one, as a wrapper describes it under an option.
    pub(crate) fn inner(&self, option: &str, weights: LayerWeights<'a>) -> Result<Layer<'a>, ImportError> {
        let described = self.config.get(option).unwrap_or(&Json::Null);
        let described = object(&format!("layer `{}`, option {option}", self.name), described)?;
        let place = format!("the layer in option {option} of `{}`", self.name);
        let class = text(&place, "class_name", described)?;
        check_origin(&format!("{}/{option}", self.name), class, described)?;
        let config = described.get("config").unwrap_or(&Json::Null);
        let config = object(&format!("{place}: config"), config)?;
        Ok(Layer {
            name: format!("{}/{}", self.name, option),
            class,
            operation: false,
            config,
            version: self.version,
            weights,
        })
    }

    /// The layer with the weights of an object within it.
    pub(crate) fn with_weights(&self, weights: LayerWeights<'a>) -> Layer<'a> {
        Layer {
            name: self.name.clone(),
            class: self.class,
            operation: self.operation,
            config: self.config,
            version: self.version,
            weights,
        }
    }

    /// An option's value; `None` if it is absent or null.
    pub(crate) fn get(&self, option: &str) -> Option<&'a Json> {
        self.config.get(option).filter(|value| !value.is_null())
    }

    fn wrong(&self, option: &str, expected: &'static str) -> ImportError {
        ImportError::Config {
            place: format!("layer `{}` ({}), option {option}", self.name, self.class),
            expected,
            got: shown(self.config.get(option)),
        }
    }

    /// A flag.
    pub(crate) fn flag(&self, option: &str, default: bool) -> Result<bool, ImportError> {
        match self.get(option) {
            None => Ok(default),
            Some(value) => value.as_bool().ok_or_else(|| self.wrong(option, "true or false")),
        }
    }

    /// A size from 1.
    pub(crate) fn size(&self, option: &str) -> Result<usize, ImportError> {
        self.get(option)
            .and_then(size_of)
            .filter(|&size| size > 0)
            .ok_or_else(|| self.wrong(option, "a number from 1"))
    }

    /// A size from 1, with a default.
    pub(crate) fn size_or(&self, option: &str, default: usize) -> Result<usize, ImportError> {
        if self.get(option).is_none() {
            return Ok(default);
        }
        self.size(option)
    }

    /// An integer.
    pub(crate) fn integer(&self, option: &str, default: i64) -> Result<i64, ImportError> {
        match self.get(option) {
            None => Ok(default),
            Some(value) => value.as_i64().ok_or_else(|| self.wrong(option, "an integer")),
        }
    }

    /// Integers: one, or a list.
    pub(crate) fn integers(&self, option: &str) -> Result<Option<Vec<i64>>, ImportError> {
        match self.get(option) {
            None => Ok(None),
            Some(Json::Array(list)) => list
                .iter()
                .map(Json::as_i64)
                .collect::<Option<_>>()
                .map(Some)
                .ok_or_else(|| self.wrong(option, "integers")),
            Some(one) => {
                Ok(Some(vec![one.as_i64().ok_or_else(|| {
                    self.wrong(option, "an integer or a list of them")
                })?]))
            }
        }
    }

    /// Sizes for each of so many axes; one number stands for all.
    pub(crate) fn sizes(
        &self,
        option: &str,
        axes: usize,
        default: Option<&[usize]>,
    ) -> Result<Vec<usize>, ImportError> {
        let wrong = || self.wrong(option, "a number from 1, or one for each axis");
        match (self.get(option), default) {
            (None, Some(default)) => Ok(default.to_vec()),
            (None, None) => Err(wrong()),
            (Some(Json::Array(list)), _) => {
                let sizes: Option<Vec<usize>> = list.iter().map(size_of).collect();
                sizes
                    .filter(|sizes| sizes.len() == axes && !sizes.contains(&0))
                    .ok_or_else(wrong)
            }
            (Some(one), _) => Ok(vec![
                size_of(one).filter(|&size| size > 0).ok_or_else(wrong)?;
                axes
            ]),
        }
    }

    /// A number, rounded to f32 as Keras does.
    pub(crate) fn number(&self, option: &str, default: f64) -> Result<f32, ImportError> {
        Ok(self.number_if_any(option)?.unwrap_or(default as f32))
    }

    /// A number, unless it is absent or null.
    pub(crate) fn number_if_any(&self, option: &str) -> Result<Option<f32>, ImportError> {
        match self.get(option) {
            None => Ok(None),
            Some(value) => number_of(value)
                .map(|value| Some(value as f32))
                .ok_or_else(|| self.wrong(option, "a number")),
        }
    }

    /// A string.
    pub(crate) fn text(&self, option: &str, default: &'static str) -> Result<&'a str, ImportError> {
        match self.get(option) {
            None => Ok(default),
            Some(value) => value.as_str().ok_or_else(|| self.wrong(option, "a string")),
        }
    }

    /// An option that is not supported at its value.
    pub(crate) fn refuse(&self, option: &str, advice: impl Into<String>) -> ImportError {
        ImportError::UnsupportedOption {
            layer: self.name.clone(),
            class: self.class.to_owned(),
            option: option.to_owned(),
            value: shown(self.config.get(option)),
            advice: advice.into(),
        }
    }

    /// A flag that must not be set.
    pub(crate) fn refuse_flag(&self, option: &str, advice: &str) -> Result<(), ImportError> {
        if self.flag(option, false)? {
            return Err(self.refuse(option, advice));
        }
        Ok(())
    }

    /// An option that must be absent or null.
    pub(crate) fn refuse_any(&self, option: &str, advice: &str) -> Result<(), ImportError> {
        match self.get(option) {
            None => Ok(()),
            Some(_) => Err(self.refuse(option, advice)),
        }
    }

    /// A call that does not fit the layer.
    pub(crate) fn call_error(&self, why: impl Into<String>) -> ImportError {
        ImportError::Call {
            layer: self.name.clone(),
            class: self.class.to_owned(),
            why: why.into(),
        }
    }

    /// The next weight, which must have this shape.
    pub(crate) fn weight(&self, name: &str, shape: &[usize]) -> Result<Array, ImportError> {
        let taken = self.weights.take(name, shape);
        taken.map_err(|error| self.weight_error(error))
    }

    /// What is wrong with a weight of this layer.
    pub(crate) fn weight_error(&self, error: WeightError) -> ImportError {
        ImportError::Weights {
            layer: self.name.clone(),
            class: self.class.to_owned(),
            weight: error.weight,
            why: error.why,
        }
    }
}

/// Refuses a class that is not Keras': one of somebody's own may be called like a layer of Keras and compute something else. An `.h5`
/// file does not say where a class is from, unless it was registered.
pub(crate) fn check_origin(
    layer: &str,
    class: &str,
    described: &Map<String, Json>,
) -> Result<(), ImportError> {
    let registered = described.get("registered_name").and_then(Json::as_str);
    let foreign = match described.get("module") {
        None => class.contains('>'),
        Some(Json::String(module)) => {
            let package = module.split('.').next().unwrap_or_default();
            !matches!(package, "keras" | "tf_keras" | "tensorflow" | "builtins")
        }
        Some(_) => true,
    };
    if !foreign {
        return Ok(());
    }
    Err(ImportError::UnsupportedLayer {
        layer: layer.to_owned(),
        class: registered.unwrap_or(class).to_owned(),
        advice: "it is a class of one's own, whose code is not in the file: build it from Keras' layers or keras.ops, \
                 or export the model to ONNX with model.export(path, format=\"onnx\")",
    })
}

/// A number; JSON has no infinities, so Keras writes them as a string or as Python does.
pub(crate) fn number_of(value: &Json) -> Option<f64> {
    match value {
        Json::Number(number) => number.as_f64(),
        // how Keras 3 writes NumPy's numbers
        Json::Object(object) => match (object.get("class_name")?.as_str()?, object.get("config")?) {
            ("__numpy__", config) => number_of(config.get("value")?),
            _ => None,
        },
        _ => None,
    }
}

/// A size that fits ONNX's signed numbers with room to compute in.
pub(crate) fn size_of(value: &Json) -> Option<usize> {
    value
        .as_u64()
        .filter(|&size| size < 1 << 40)
        .and_then(|size| usize::try_from(size).ok())
}

/// An object, or an error that names the place.
pub(crate) fn object<'a>(place: &str, value: &'a Json) -> Result<&'a Map<String, Json>, ImportError> {
    value.as_object().ok_or_else(|| ImportError::Config {
        place: place.to_owned(),
        expected: "an object",
        got: shown(Some(value)),
    })
}

/// A string of an object.
pub(crate) fn text<'a>(
    place: &str,
    key: &str,
    object: &'a Map<String, Json>,
) -> Result<&'a str, ImportError> {
    object
        .get(key)
        .and_then(Json::as_str)
        .ok_or_else(|| ImportError::Config {
            place: format!("{place}, {key}"),
            expected: "a string",
            got: shown(object.get(key)),
        })
}

/// A value for a message.
pub(crate) fn shown(value: Option<&Json>) -> String {
    match value {
        None => "nothing".to_owned(),
        Some(value) => {
            let text = value.to_string();
            match text.char_indices().nth(SHOWN) {
                Some((end, _)) => format!("{}…", &text[..end]),
                None => text,
            }
        }
    }
}
