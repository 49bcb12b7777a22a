//! Channels of one tensor brought to ranges alike, since they share a scale (cross-layer equalisation, Nagel et al. 2019, with the ranges that
//! samples show).
//!
//! Between two convolutions with nothing but a cut at zero between them, a channel may be multiplied on one side and divided on the other.
//! Factors are powers of two, so that no weight is rounded. For a depthwise convolution that is free: its weights have a scale for
//! each channel. Otherwise the weights of an input channel become small beside their neighbours, so factors are only as large as the square root.
//!
//! A Clip from 0 to 6 cuts a channel that was multiplied sooner than before, but above all that the samples have shown.

use crate::{
    calibrate::watch,
    error::QuantizeError,
    graph::{Floats, Graph, input},
    layers::{Kind, Layer},
    samples::Samples,
};

/// The largest factor, as a power of two.
const MOST: i32 = 5;

/// Which tensors are equalised.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Equalization {
    /// None.
    #[default]
    None,
    /// Those that only depthwise convolutions read.
    Depthwise,
    /// All between convolutions.
    All,
}

/// A convolution and those that alone read its output.
struct Link {
    producer: usize,
    consumers: Vec<usize>,
    depthwise: bool,
}

fn links(graph: &Graph, layers: &[Layer]) -> Vec<Link> {
    let uses = graph.uses();
    let convolutions = || {
        let all = layers.iter().enumerate();
        all.filter(|(_, layer)| layer.kind == Kind::Convolution)
    };
    convolutions()
        .filter_map(|(producer, layer)| {
            let consumers: Vec<usize> = convolutions()
                .filter(|(_, consumer)| consumer.input == layer.output)
                .map(|(index, _)| index)
                .collect();
            let all = uses.get(layer.output.as_str()) == Some(&consumers.len());
            let depthwise = |&index: &usize| layers[index].groups == layer.channels;
            (all && !consumers.is_empty()).then(|| Link {
                producer,
                depthwise: consumers.iter().all(depthwise),
                consumers,
            })
        })
        .collect()
}

/// A graph with channels equalised; `None` if there is nothing to equalise.
pub(crate) fn equalize(
    graph: &Graph,
    layers: &[Layer],
    samples: &Samples,
    which: Equalization,
    step: &mut dyn FnMut(),
) -> Result<Option<Graph>, QuantizeError> {
    let mut links = links(graph, layers);
    links.retain(|link| match which {
        Equalization::None => false,
        Equalization::Depthwise => link.depthwise,
        Equalization::All => true,
    });
    if links.is_empty() {
        return Ok(None);
    }
    let values: Vec<String> = links
        .iter()
        .map(|link| layers[link.producer].output.clone())
        .collect();
    let mut largest: Vec<Vec<f32>> = links
        .iter()
        .map(|link| vec![0.0; layers[link.producer].channels])
        .collect();
    watch(graph, samples, &values, step, |place, numbers, tensor| {
        let largest = &mut largest[place];
        let inner: usize = tensor.shape().iter().skip(2).product();
        if numbers.is_empty() {
            return;
        }
        let channels = largest.len();
        for (run, part) in numbers.chunks_exact(inner).enumerate() {
            let most = &mut largest[run % channels];
            for value in part.iter().map(|value| value.abs()) {
                if value > *most {
                    *most = value;
                }
            }
        }
    })?;
    let mut equalized = graph.clone();
    for (link, largest) in links.iter().zip(&largest) {
        let factors = factors(largest, link.depthwise);
        scale(
            &mut equalized,
            &layers[link.producer],
            |channel, _| factors[channel],
            true,
        );
        for &consumer in &link.consumers {
            let layer = &layers[consumer];
            scale(
                &mut equalized,
                layer,
                |channel, term| 1.0 / factors[layer.input_channel(channel, term)],
                false,
            );
        }
    }
    Ok(Some(equalized))
}

/// What each channel is multiplied with.
fn factors(largest: &[f32], free: bool) -> Vec<f32> {
    let most = largest
        .iter()
        .fold(0.0, |most: f32, &value| if value > most { value } else { most });
    let factor = |&own: &f32| {
        if own <= 0.0 {
            return 1.0;
        }
        let room = f64::from(most) / f64::from(own);
        let room = if free { room } else { room.sqrt() };
        let mut factor = 1.0;
        for _ in 0..MOST {
            if f64::from(factor) * 2.0 <= room {
                factor *= 2.0;
            }
        }
        factor
    };
    largest.iter().map(factor).collect()
}

/// Multiplies the weights of a layer, and its bias.
fn scale(graph: &mut Graph, layer: &Layer, factor: impl Fn(usize, usize) -> f32, bias_too: bool) {
    let node = graph.nodes[layer.node].clone();
    let terms = layer.terms();
    let change = |graph: &mut Graph, place: usize, of: &dyn Fn(usize) -> f32| {
        let Some(Floats { dims, values }) = input(&node, place).and_then(|name| graph.floats(name)) else {
            return;
        };
        let scaled = values.iter().enumerate().map(|(index, value)| value * of(index));
        let scaled = Floats {
            values: scaled.collect(),
            dims,
        };
        let name = graph.add_floats(&node.input[place], &scaled);
        graph.nodes[layer.node].input[place] = name;
    };
    change(graph, 1, &|index| factor(index / terms, index % terms));
    if bias_too {
        change(graph, 2, &|index| factor(index, 0));
    }
}
