//! Keras' files: `.keras` of Keras 3 (and late 2), `.h5` of Keras 2 and 3.

mod archive;
mod call;
mod config;
mod hdf5;
mod layers;
mod model;
mod tensor;
mod weights;

use crate::ImportError;
use bytes::Bytes;
use tensor::{Layout, Tensor, Writer};

pub use archive::is_keras;

/// What an import is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KerasOptions {
    /// Make what each layer gives an output of the network too, named as in [`LayerReport::name`] with [`LAYER_PREFIX`] before it:
    /// for comparing with Keras layer by layer.
    pub layer_outputs: bool,
}

/// What the names of layers' outputs begin with ([`KerasOptions::layer_outputs`]).
pub const LAYER_PREFIX: &str = "layer:";

/// An imported network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The ONNX file: a `ModelProto` of opset 21 with its weights inside.
    pub onnx: Bytes,
    /// The layers in the order in which they are computed, each call of a shared one.
    pub layers: Vec<LayerReport>,
}

/// Where a layer's outputs are found in the ONNX file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerReport {
    /// Keras' name of the layer; for a layer of a model within the model, `MODEL/LAYER`; for the second call of a shared layer
    /// `LAYER:1` and so on.
    pub name: String,
    /// Keras' class.
    pub class: String,
    /// Its outputs, in order; none for a layer that is no part of the file, since a convolution does its work (ZeroPadding) or nobody
    /// needs it.
    pub outputs: Vec<LayerOutput>,
}

/// An output of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerOutput {
    /// The value's name in the ONNX graph.
    pub value: String,
    /// How the value is to be transposed to have Keras' axes (`numpy.transpose(value, axes)`); `None` if it has them.
    pub axes: Option<Vec<usize>>,
}

/// Converts a Keras model into an ONNX file.
///
/// Inputs and outputs have the names of Keras' layers and Keras' axes (images with channels last stay so). Free dimensions stay free:
/// the batch is called `batch`, axis 1 of input `x` is `x.1`. The result computes in 32-bit floats, as the file does.
///
/// # Errors
/// If the file is damaged or has a layer, option or element type that has no counterpart: [`ImportError`] says which, and what to do.
pub fn import_keras(bytes: Vec<u8>, options: KerasOptions) -> Result<Imported, ImportError> {
    let opened = archive::open(bytes)?;
    let mut context = Context::default();
    let (name, outputs) = model::convert_root(&mut context, &opened)?;
    // The weights are in the graph now: the file need not lie beside it while that is encoded.
    drop(opened);
    let Context { mut writer, calls } = context;
    for (name, tensor) in outputs {
        add_output(&mut writer, &tensor, &name)?;
    }
    if options.layer_outputs {
        for call in &calls {
            for (index, tensor) in call.outputs.iter().enumerate() {
                let number = if index == 0 {
                    String::new()
                } else {
                    format!("[{index}]")
                };
                add_output(
                    &mut writer,
                    tensor,
                    &format!("{LAYER_PREFIX}{}{number}", call.name),
                )?;
            }
        }
    }
    writer.graph.drop_unused();
    let layers = calls.into_iter().map(|call| call.report(&writer)).collect();
    Ok(Imported {
        onnx: writer.graph.encode(&name)?,
        layers,
    })
}

fn add_output(writer: &mut Writer, tensor: &Tensor, name: &str) -> Result<(), ImportError> {
    let value = writer.keras(tensor)?;
    let dims = writer.dims(name, &tensor.shape);
    writer.graph.output(&value, name, tensor.dtype, &dims);
    Ok(())
}

/// A conversion under way.
#[derive(Default)]
struct Context {
    writer: Writer,
    /// What was converted so far.
    calls: Vec<Converted>,
}

/// A call of a layer that was converted.
struct Converted {
    name: String,
    class: String,
    outputs: Vec<Tensor>,
}

impl Converted {
    fn report(self, writer: &Writer) -> LayerReport {
        let output = |tensor: &Tensor| {
            let layout = writer.layout(tensor);
            let place = |axis| layout.place(axis, tensor.rank());
            let axes: Vec<usize> = (0..tensor.rank()).map(place).collect();
            LayerOutput {
                value: writer.graph.final_name(&writer.value(tensor)).to_owned(),
                axes: (layout != Layout::Keras && !axes.is_sorted()).then_some(axes),
            }
        };
        let there = |tensor: &&Tensor| writer.graph.has(&writer.value(tensor));
        LayerReport {
            outputs: self.outputs.iter().filter(there).map(output).collect(),
            name: self.name,
            class: self.class,
        }
    }
}
