//! Layers: a table from Keras' class to its converter, a file for each family.

mod activation;
mod attention;
mod conv;
mod core;
mod encoding;
mod merge;
mod normalization;
mod numpy;
mod operations;
mod padding;
mod pooling;
mod preprocessing;
mod recurrent;
mod resizing;
mod slicing;
mod transposed;
mod wrappers;

use super::{
    Context,
    call::Call,
    config::{Layer, shown},
    model,
    tensor::{Layout, Tensor},
};
use crate::ImportError;
use serde_json::Value as Json;
use std::rc::Rc;

/// Converts a call of a layer: what it is called with into what it gives.
type Convert = for<'a> fn(&mut Context, &Layer<'a>, &Call<'a>) -> Result<Vec<Tensor>, ImportError>;

/// What becomes of the mask of a layer's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mask {
    /// Its outputs have none: what Keras does where a layer does not support masks.
    Drop,
    /// Its outputs have the input's.
    Keep,
    /// The converter says.
    Own,
}

/// A class, its converter, and what becomes of masks.
type Entry = (&'static str, Convert, Mask);

/// Every class.
#[rustfmt::skip]
const LAYERS: &[Entry] = &[
    // core
    ("Dense", core::dense, Mask::Keep),
    ("EinsumDense", core::einsum_dense, Mask::Drop),
    ("Embedding", core::embedding, Mask::Own),
    ("ReversibleEmbedding", core::reversible_embedding, Mask::Own),
    ("Flatten", core::flatten, Mask::Drop),
    ("Masking", core::masking, Mask::Own),
    ("Permute", core::permute, Mask::Drop),
    ("RepeatVector", core::repeat_vector, Mask::Drop),
    ("Reshape", core::reshape, Mask::Drop),
    ("Lambda", core::lambda, Mask::Drop),
    // what is the identity when nobody trains
    ("ActivityRegularization", core::identity, Mask::Keep),
    ("AlphaDropout", core::identity, Mask::Keep),
    ("Dropout", core::identity, Mask::Keep),
    ("GaussianDropout", core::identity, Mask::Keep),
    ("GaussianNoise", core::identity, Mask::Keep),
    ("Identity", core::identity, Mask::Keep),
    ("SpatialDropout1D", core::identity, Mask::Keep),
    ("SpatialDropout2D", core::identity, Mask::Keep),
    ("SpatialDropout3D", core::identity, Mask::Keep),
    ("StochasticDepth", core::identity, Mask::Keep),
    ("AugMix", core::identity, Mask::Drop),
    ("RandAugment", core::identity, Mask::Drop),
    ("RandomBrightness", core::identity, Mask::Drop),
    ("RandomColorDegeneration", core::identity, Mask::Drop),
    ("RandomColorJitter", core::identity, Mask::Drop),
    ("RandomContrast", core::identity, Mask::Drop),
    ("RandomElasticTransform", core::identity, Mask::Drop),
    ("RandomErasing", core::identity, Mask::Drop),
    ("RandomFlip", core::identity, Mask::Drop),
    ("RandomGaussianBlur", core::identity, Mask::Drop),
    ("RandomGrayscale", core::identity, Mask::Drop),
    ("RandomHue", core::identity, Mask::Drop),
    ("RandomInvert", core::identity, Mask::Drop),
    ("RandomPerspective", core::identity, Mask::Drop),
    ("RandomPosterization", core::identity, Mask::Drop),
    ("RandomRotation", core::identity, Mask::Drop),
    ("RandomSaturation", core::identity, Mask::Drop),
    ("RandomSharpness", core::identity, Mask::Drop),
    ("RandomShear", core::identity, Mask::Drop),
    ("RandomTranslation", core::identity, Mask::Drop),
    ("RandomZoom", core::identity, Mask::Drop),
    // activations
    ("Activation", activation::activation, Mask::Keep),
    ("ELU", activation::elu, Mask::Keep),
    ("LeakyReLU", activation::leaky_relu, Mask::Keep),
    ("PReLU", activation::prelu, Mask::Keep),
    ("ReLU", activation::relu, Mask::Keep),
    ("Softmax", activation::softmax, Mask::Keep),
    ("ThresholdedReLU", activation::thresholded_relu, Mask::Keep),
    // convolutions; the names with `Convolution` are aliases that old files have
    ("Conv1D", conv::conv, Mask::Drop),
    ("Conv2D", conv::conv, Mask::Drop),
    ("Conv3D", conv::conv, Mask::Drop),
    ("Convolution1D", conv::conv, Mask::Drop),
    ("Convolution2D", conv::conv, Mask::Drop),
    ("Convolution3D", conv::conv, Mask::Drop),
    ("DepthwiseConv1D", conv::depthwise, Mask::Drop),
    ("DepthwiseConv2D", conv::depthwise, Mask::Drop),
    ("SeparableConv1D", conv::separable, Mask::Drop),
    ("SeparableConv2D", conv::separable, Mask::Drop),
    ("SeparableConvolution1D", conv::separable, Mask::Drop),
    ("SeparableConvolution2D", conv::separable, Mask::Drop),
    ("Conv1DTranspose", transposed::conv_transpose, Mask::Drop),
    ("Conv2DTranspose", transposed::conv_transpose, Mask::Drop),
    ("Conv3DTranspose", transposed::conv_transpose, Mask::Drop),
    // pools
    ("AveragePooling1D", pooling::average, Mask::Drop),
    ("AveragePooling2D", pooling::average, Mask::Drop),
    ("AveragePooling3D", pooling::average, Mask::Drop),
    ("MaxPooling1D", pooling::max, Mask::Drop),
    ("MaxPooling2D", pooling::max, Mask::Drop),
    ("MaxPooling3D", pooling::max, Mask::Drop),
    ("AdaptiveAveragePooling1D", pooling::adaptive_average, Mask::Drop),
    ("AdaptiveAveragePooling2D", pooling::adaptive_average, Mask::Drop),
    ("AdaptiveAveragePooling3D", pooling::adaptive_average, Mask::Drop),
    ("AdaptiveMaxPooling1D", pooling::adaptive_max, Mask::Drop),
    ("AdaptiveMaxPooling2D", pooling::adaptive_max, Mask::Drop),
    ("AdaptiveMaxPooling3D", pooling::adaptive_max, Mask::Drop),
    ("GlobalAveragePooling1D", pooling::global_average, Mask::Own),
    ("GlobalAveragePooling2D", pooling::global_average, Mask::Drop),
    ("GlobalAveragePooling3D", pooling::global_average, Mask::Drop),
    ("GlobalMaxPooling1D", pooling::global_max, Mask::Drop),
    ("GlobalMaxPooling2D", pooling::global_max, Mask::Drop),
    ("GlobalMaxPooling3D", pooling::global_max, Mask::Drop),
    // edges and sizes
    ("CenterCrop", padding::center, Mask::Drop),
    ("Cropping1D", padding::crop, Mask::Drop),
    ("Cropping2D", padding::crop, Mask::Drop),
    ("Cropping3D", padding::crop, Mask::Drop),
    ("ZeroPadding1D", padding::pad, Mask::Drop),
    ("ZeroPadding2D", padding::pad, Mask::Drop),
    ("ZeroPadding3D", padding::pad, Mask::Drop),
    ("UpSampling1D", resizing::up_sampling, Mask::Drop),
    ("UpSampling2D", resizing::up_sampling, Mask::Drop),
    ("UpSampling3D", resizing::up_sampling, Mask::Drop),
    ("Resizing", resizing::resizing, Mask::Drop),
    // normalisation
    ("BatchNormalization", normalization::batch, Mask::Keep),
    ("GroupNormalization", normalization::group, Mask::Keep),
    ("LayerNormalization", normalization::layer, Mask::Keep),
    ("LayerScale", normalization::layer_scale, Mask::Drop),
    ("RMSNormalization", normalization::root_mean_square, Mask::Drop),
    ("UnitNormalization", normalization::unit, Mask::Keep),
    ("Normalization", preprocessing::normalization, Mask::Keep),
    ("Rescaling", preprocessing::rescaling, Mask::Keep),
    // categories
    ("CategoryEncoding", encoding::category, Mask::Drop),
    ("Discretization", encoding::discretization, Mask::Drop),
    // several inputs; CustomScaleLayer is InceptionResNetV2's
    ("Add", merge::add, Mask::Keep),
    ("CustomScaleLayer", merge::scaled_sum, Mask::Drop),
    ("Average", merge::average, Mask::Keep),
    ("Concatenate", merge::concatenate, Mask::Keep),
    ("Dot", merge::dot, Mask::Drop),
    ("Maximum", merge::maximum, Mask::Keep),
    ("Minimum", merge::minimum, Mask::Keep),
    ("Multiply", merge::multiply, Mask::Keep),
    ("Subtract", merge::subtract, Mask::Keep),
    // attention
    ("Attention", attention::attention, Mask::Own),
    ("AdditiveAttention", attention::additive, Mask::Own),
    // files have it under both names
    ("GroupQueryAttention", attention::grouped_query, Mask::Keep),
    ("GroupedQueryAttention", attention::grouped_query, Mask::Keep),
    ("MultiHeadAttention", attention::multi_head, Mask::Keep),
    // sequences
    ("GRU", recurrent::gru, Mask::Own),
    ("LSTM", recurrent::lstm, Mask::Own),
    ("SimpleRNN", recurrent::simple, Mask::Own),
    ("RNN", recurrent::cells, Mask::Own),
    ("Bidirectional", recurrent::bidirectional, Mask::Own),
    ("TimeDistributed", wrappers::time_distributed, Mask::Keep),
    // operations of Keras 2 on tensors
    ("TFOpLambda", operations::of_tensorflow, Mask::Drop),
    ("SlicingOpLambda", slicing::get_item, Mask::Drop),
];

/// Whether a class is a layer that has a converter.
pub(crate) fn is_layer(class: &str) -> bool {
    LAYERS.iter().any(|(of, ..)| *of == class)
}

/// Converts a call of a layer.
pub(crate) fn convert<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    if layer.operation {
        return operations::convert(context, layer, call);
    }
    if model::is_model(layer.class) {
        let weights = layer.weights.clone().into_model(&layer.name)?;
        return model::convert_nested(context, layer, call, &weights);
    }
    check_policy(layer)?;
    let Some((_, convert, rule)) = LAYERS.iter().find(|(class, ..)| *class == layer.class) else {
        return Err(ImportError::UnsupportedLayer {
            layer: layer.name.clone(),
            class: layer.class.to_owned(),
            advice: advice(layer.class),
        });
    };
    let mask = incoming_mask(call)?;
    let outputs = convert(context, layer, call)?;
    check_all_taken(layer)?;
    let masked = |output: Tensor| match rule {
        Mask::Drop => output.masked(None),
        Mask::Keep => output.masked(mask.clone()),
        Mask::Own => output,
    };
    Ok(outputs.into_iter().map(masked).collect())
}

/// Weights that nobody asked for belong to an option that the converter does not know.
fn check_all_taken(layer: &Layer<'_>) -> Result<(), ImportError> {
    let left = layer.weights.left()?;
    // Normalization also keeps of how many samples its mean is.
    if left == 0 || layer.class == "Normalization" {
        return Ok(());
    }
    Err(ImportError::Weights {
        layer: layer.name.clone(),
        class: layer.class.to_owned(),
        weight: format!("the last {left}"),
        why:
            "the layer has no use for it, so the file is of another version of Keras than this importer knows"
                .to_owned(),
    })
}

/// The mask with which a layer is called: the one that is named, else the one that its first input that has one carries.
fn incoming_mask(call: &Call<'_>) -> Result<Option<Rc<Tensor>>, ImportError> {
    if let [mask] = call.named_tensors("mask").as_slice() {
        return Ok(Some(Rc::new(mask.clone())));
    }
    Ok(call.tensors().into_iter().find_map(|tensor| tensor.mask))
}

/// What to do about a class without a converter.
fn advice(class: &str) -> &'static str {
    match class {
        "StringLookup" | "TextVectorization" | "Hashing" | "IntegerLookup" | "HashedCrossing"
        | "MelSpectrogram" | "STFTSpectrogram" => {
            "it prepares data: do that before the network, and save the part of the model behind it"
        }
        "SpectralNormalization" => {
            "it only does something in training: put the layer within it (its `layer`) in its place and save the model again"
        }
        "ConvLSTM1D" | "ConvLSTM2D" | "ConvLSTM3D" => "use an LSTM over TimeDistributed convolutions",
        "TorchModuleWrapper" | "JaxLayer" | "FlaxLayer" | "TFSMLayer" => {
            "it holds code of another framework: export that model to ONNX there"
        }
        "InputLayer" => "an input layer among other layers has no meaning",
        _ => {
            "build it from supported layers (docs/keras.md lists them), or export the model to ONNX with model.export(path, format=\"onnx\")"
        }
    }
}

/// The name of an element type or a policy, however it is written.
pub(crate) fn dtype_name(dtype: &Json) -> Option<&str> {
    match dtype {
        Json::String(name) => Some(name),
        Json::Object(policy) => policy.get("config")?.get("name")?.as_str(),
        _ => None,
    }
}

/// A layer must compute in 32-bit floats: the import neither rounds more nor less than the file says.
fn check_policy(layer: &Layer<'_>) -> Result<(), ImportError> {
    let Some(dtype) = layer.get("dtype") else {
        return Ok(());
    };
    match dtype_name(dtype) {
        Some("float32") => Ok(()),
        // Layers without arithmetic may state the type of their indices.
        Some(name) if name.starts_with("int") => Ok(()),
        name => Err(ImportError::UnsupportedOption {
            layer: layer.name.clone(),
            class: layer.class.to_owned(),
            option: "dtype".to_owned(),
            value: name.map_or_else(|| shown(Some(dtype)), str::to_owned),
            advice: "load the model in Keras, build it again under \
                     keras.config.set_dtype_policy(\"float32\"), copy the weights with set_weights, and save it"
                .to_owned(),
        }),
    }
}

/// Where a layer keeps an image's channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DataFormat {
    ChannelsLast,
    ChannelsFirst,
}

impl DataFormat {
    fn of(layer: &Layer<'_>) -> Result<Self, ImportError> {
        match layer.text("data_format", "channels_last")? {
            "channels_last" => Ok(Self::ChannelsLast),
            "channels_first" => Ok(Self::ChannelsFirst),
            _ => Err(layer.refuse("data_format", "channels_last and channels_first are")),
        }
    }

    /// The order in which channels lie second, as ONNX wants them.
    fn layout(self) -> Layout {
        match self {
            Self::ChannelsLast => Layout::ChannelsSecond,
            Self::ChannelsFirst => Layout::Keras,
        }
    }

    /// Of a shape in Keras' order, which axis the channels are.
    fn channels(self, rank: usize) -> usize {
        match self {
            Self::ChannelsLast => rank - 1,
            Self::ChannelsFirst => 1,
        }
    }

    /// Of a shape in Keras' order, the first of the axes between which an image extends.
    fn first_spatial(self) -> usize {
        match self {
            Self::ChannelsLast => 1,
            Self::ChannelsFirst => 2,
        }
    }
}

/// The digit in a class' name: how many axes an image has besides batch and channels.
fn spatial_axes(class: &str) -> usize {
    class
        .chars()
        .rev()
        .find_map(|c| c.to_digit(10))
        .map_or(2, |digit| digit as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_class_is_in_the_table_twice() {
        let mut classes: Vec<_> = LAYERS.iter().map(|(class, ..)| class).collect();
        classes.sort();
        let all = classes.len();
        classes.dedup();
        assert_eq!(classes.len(), all);
    }

    #[test]
    fn the_axes_of_an_image_follow_from_the_class() {
        assert_eq!(spatial_axes("Conv2DTranspose"), 2);
        assert_eq!(spatial_axes("GlobalMaxPooling1D"), 1);
        assert_eq!(spatial_axes("ZeroPadding3D"), 3);
    }
}
