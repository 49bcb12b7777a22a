//! Which arrays of the file are a layer's weights.
//!
//! The formats disagree. A `.keras` file has a tree of groups in the form of the objects: `layers/lstm/cell/vars/0`, where a layer's
//! group is named by its class and a number, and newer versions write its name beside it. An `.h5` file has a group for each
//! layer of the outermost model with a list of all weights in it, those of models inside it in one list, told apart by
//! the names of the layers in their paths. In both a layer's weights come in the order in which it makes them.

use super::hdf5::{Array, Hdf5};
use crate::ImportError;
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
};

/// How a file keeps weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreKind {
    /// A tree of groups (`.keras`).
    Paths,
    /// Lists of names (`.h5`).
    Lists,
}

/// All weights of a file.
pub(crate) struct Store {
    file: Hdf5,
    kind: StoreKind,
    /// Where layers were found, by name: a layer that belongs to two models is stored with the first alone.
    found: RefCell<BTreeMap<String, String>>,
}

/// The weights of a model: which layer's are where.
pub(crate) enum ModelWeights<'s> {
    /// In groups below this path.
    Paths {
        store: &'s Store,
        /// Groups by the name of the layer, as newer files state it.
        named: BTreeMap<String, String>,
        /// The group that holds the layers' groups.
        container: String,
        /// How many layers of a class (in Keras' spelling for groups) there were so far.
        classes: RefCell<BTreeMap<String, usize>>,
    },
    /// Each layer has a group with a list.
    Groups { store: &'s Store },
    /// All layers share a list.
    Shared {
        store: &'s Store,
        list: Rc<[Listed]>,
        /// Names of the models around the layers, outermost first.
        models: Vec<String>,
    },
}

/// A weight of a list.
#[derive(Debug)]
pub(crate) struct Listed {
    /// Its name: a path of names of models, layers and the weight.
    name: String,
    dataset: String,
}

/// The weights of a layer, taken one after the other.
#[derive(Clone)]
pub(crate) struct LayerWeights<'s> {
    store: &'s Store,
    source: Source,
    /// How many were taken.
    next: Rc<Cell<usize>>,
}

#[derive(Clone)]
enum Source {
    /// `PATH/vars/0`, `PATH/vars/1` …
    Path(String),
    List(Rc<[Listed]>),
}

/// What of a weight is not as the layer wants it.
pub(crate) struct WeightError {
    pub(crate) weight: String,
    pub(crate) why: String,
}

impl Store {
    pub(crate) fn new(file: Hdf5, kind: StoreKind) -> Self {
        Self {
            file,
            kind,
            found: RefCell::default(),
        }
    }

    /// The weights of the outermost model.
    pub(crate) fn root(&self) -> Result<ModelWeights<'_>, ImportError> {
        match self.kind {
            StoreKind::Paths => self.model_at(String::new()),
            StoreKind::Lists => Ok(ModelWeights::Groups { store: self }),
        }
    }

    fn model_at(&self, path: String) -> Result<ModelWeights<'_>, ImportError> {
        // The second name is that of Keras 2.12 and 2.13.
        let containers = ["layers", "_layer_checkpoint_dependencies"];
        let container = containers
            .map(|name| join(&path, name))
            .into_iter()
            .find(|container| self.file.has_group(container));
        self.list_at(container.unwrap_or_else(|| join(&path, "layers")))
    }

    /// The weights of the objects whose groups are in a group.
    fn list_at(&self, container: String) -> Result<ModelWeights<'_>, ImportError> {
        let mut named = BTreeMap::new();
        if self.file.has_group(&container) {
            for group in self.file.groups(&container)? {
                let group = join(&container, &group);
                let vars = join(&group, "vars");
                if self.file.has_group(&vars)
                    && let Some(name) = self.file.string(&vars, "name")?
                {
                    named.insert(name, group);
                }
            }
        }
        Ok(ModelWeights::Paths {
            store: self,
            named,
            container,
            classes: RefCell::default(),
        })
    }
}

impl<'s> ModelWeights<'s> {
    /// The weights of the model's next layer. To be called for every layer, in the order of the description.
    pub(crate) fn layer(&self, name: &str, class: &str) -> Result<LayerWeights<'s>, ImportError> {
        match self {
            Self::Paths {
                store,
                named,
                container,
                classes,
            } => {
                let class = snake_case(class);
                let mut classes = classes.borrow_mut();
                let count = classes.entry(class.clone()).or_default();
                let group = if *count == 0 {
                    class
                } else {
                    format!("{class}_{count}")
                };
                *count += 1;
                let mut path = named
                    .get(name)
                    .cloned()
                    .unwrap_or_else(|| join(container, &group));
                let mut found = store.found.borrow_mut();
                if store.file.has_group(&path) {
                    found.insert(name.to_owned(), path.clone());
                } else if let Some(first) = found.get(name) {
                    path = first.clone();
                }
                Ok(LayerWeights::new(store, Source::Path(path)))
            }
            Self::Groups { store } => {
                let group = join("model_weights", name);
                let list = if store.file.has_group(&group) {
                    let names = store.file.strings(&group, "weight_names")?;
                    let listed = |name: String| Listed {
                        dataset: join(&group, &name),
                        name,
                    };
                    // The states of random generators are no weights.
                    let weight = |name: &String| !name.contains("seed_generator");
                    names.into_iter().filter(weight).map(listed).collect()
                } else {
                    Rc::from([])
                };
                Ok(LayerWeights::new(store, Source::List(list)))
            }
            Self::Shared { store, list, models } => {
                let has = |listed: &Listed, part: &str| listed.name.split('/').any(|name| name == part);
                let mut of_layer: Vec<&Listed> = list.iter().filter(|listed| has(listed, name)).collect();
                // Two models may have layers of one name; then the paths name the models.
                for model in models {
                    if of_layer.iter().any(|listed| has(listed, model)) {
                        of_layer.retain(|listed| has(listed, model));
                    }
                }
                let copy = |listed: &&Listed| Listed {
                    name: listed.name.clone(),
                    dataset: listed.dataset.clone(),
                };
                let list = of_layer.iter().map(copy).collect();
                Ok(LayerWeights::new(store, Source::List(list)))
            }
        }
    }

    /// The weights of an object of a list of Keras' (cells of a stack). Written lists go on where `rest` is.
    pub(crate) fn item(
        &self,
        name: &str,
        class: &str,
        rest: &LayerWeights<'s>,
    ) -> Result<LayerWeights<'s>, ImportError> {
        match self {
            Self::Paths { .. } => self.layer(name, class),
            _ => Ok(rest.clone()),
        }
    }

    /// The weights of a layer of this model that is a model itself.
    pub(crate) fn model(&self, name: &str, weights: LayerWeights<'s>) -> Result<Self, ImportError> {
        match weights.source {
            Source::Path(path) => weights.store.model_at(path),
            Source::List(own) => {
                let (list, mut models) = match self {
                    // Not only what has the model's name in it: often the name is not in the paths.
                    Self::Shared { list, models, .. } => (list.clone(), models.clone()),
                    _ => (own, Vec::new()),
                };
                models.push(name.to_owned());
                Ok(Self::Shared {
                    store: weights.store,
                    list,
                    models,
                })
            }
        }
    }
}

impl<'s> LayerWeights<'s> {
    fn new(store: &'s Store, source: Source) -> Self {
        Self {
            store,
            source,
            next: Rc::default(),
        }
    }

    /// The weights of an object within the layer, which Keras calls by one of these names. In a list they follow where
    /// the last one was taken.
    pub(crate) fn child(&self, names: &[&str]) -> Self {
        match &self.source {
            Source::Path(path) => {
                let paths = names.iter().map(|name| join(path, name));
                let there = paths.clone().find(|path| self.store.file.has_group(path));
                let path = there.or_else(|| paths.clone().next()).unwrap_or_default();
                Self::new(self.store, Source::Path(path))
            }
            Source::List(_) => self.clone(),
        }
    }

    /// A wrapped model's weights.
    pub(crate) fn into_model(self, name: &str) -> Result<ModelWeights<'s>, ImportError> {
        match self.source {
            Source::Path(path) => self.store.model_at(path),
            Source::List(list) => Ok(ModelWeights::Shared {
                store: self.store,
                list,
                models: vec![name.to_owned()],
            }),
        }
    }

    /// The same from the first weight on: for a layer that is called again.
    pub(crate) fn again(&self) -> Self {
        Self::new(self.store, self.source.clone())
    }

    /// The weights of a list of objects.
    pub(crate) fn into_list(self, name: &str) -> Result<ModelWeights<'s>, ImportError> {
        match self.source {
            Source::Path(path) => self.store.list_at(path),
            Source::List(_) => self.into_model(name),
        }
    }

    /// How many weights are left.
    pub(crate) fn left(&self) -> Result<usize, ImportError> {
        let all = match &self.source {
            Source::Path(path) => {
                let vars = join(path, "vars");
                if self.store.file.has_group(&vars) {
                    self.store.file.datasets(&vars)?.len()
                } else {
                    0
                }
            }
            Source::List(list) => list.len(),
        };
        Ok(all.saturating_sub(self.next.get()))
    }

    fn dataset(&self, index: usize) -> Option<String> {
        match &self.source {
            Source::Path(path) => Some(join(path, &format!("vars/{index}"))),
            Source::List(list) => list.get(index).map(|listed| listed.dataset.clone()),
        }
    }

    /// The next weight, which must have this shape.
    pub(crate) fn take(&self, weight: &str, shape: &[usize]) -> Result<Array, WeightError> {
        let found = self.take_any(weight, |stored| {
            (stored != shape)
                .then(|| format!("it has the shape {stored:?}, the layer's options say {shape:?}"))
        })?;
        Ok(found)
    }

    /// The next weight; `check` says what is wrong with its shape, before it is read.
    pub(crate) fn take_any(
        &self,
        weight: &str,
        check: impl FnOnce(&[usize]) -> Option<String>,
    ) -> Result<Array, WeightError> {
        let fail = |why: String| WeightError {
            weight: weight.to_owned(),
            why,
        };
        let index = self.next.get();
        let Some(dataset) = self.dataset(index) else {
            return Err(fail(format!("the file lists {index} weights for the layer")));
        };
        let shape = self
            .store
            .file
            .shape(&dataset)
            .map_err(|error| fail(error.to_string()))?;
        if let Some(why) = check(&shape) {
            return Err(fail(why));
        }
        self.next.set(index + 1);
        self.store
            .file
            .array(&dataset)
            .map_err(|error| fail(error.to_string()))
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}/{name}")
    }
}

/// A class' name as Keras spells it in paths (`keras.src.utils.naming.to_snake_case`).
fn snake_case(class: &str) -> String {
    let kept: Vec<char> = class
        .chars()
        .filter(|c| c.is_alphanumeric() || *c == '_')
        .collect();
    let mut out = String::with_capacity(class.len() + 4);
    for (index, &c) in kept.iter().enumerate() {
        let before = index.checked_sub(1).map(|index| kept[index]);
        let after = kept.get(index + 1);
        let begins = c.is_uppercase()
            && before.is_some_and(|before| {
                before != '_' && (before.is_lowercase() || after.is_some_and(|after| after.is_lowercase()))
            });
        if begins {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_spelt_as_keras_spells_them() {
        // what naming.to_snake_case of Keras 3.15 gives
        for (class, spelt) in [
            ("Dense", "dense"),
            ("Conv2D", "conv2d"),
            ("Conv2DTranspose", "conv2d_transpose"),
            ("ReLU", "re_lu"),
            ("PReLU", "p_re_lu"),
            ("ELU", "elu"),
            ("LSTM", "lstm"),
            ("GRU", "gru"),
            ("SimpleRNN", "simple_rnn"),
            ("BatchNormalization", "batch_normalization"),
            ("SeparableConv1D", "separable_conv1d"),
            ("GlobalMaxPooling2D", "global_max_pooling2d"),
            ("MultiHeadAttention", "multi_head_attention"),
            ("UpSampling2D", "up_sampling2d"),
        ] {
            assert_eq!(snake_case(class), spelt);
        }
    }
}
