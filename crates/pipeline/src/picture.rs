//! A picture's label and score.

use crate::{
    Charge, Classified, Engine, Meter, Pipeline, PipelineError, Task,
    generate::{Call, Failure, Given},
};
use synod_image::{ApplyError, DecodeError, Encoded, Rule, read_work};
use synod_model::{DType, Tensor};

/// Why a file is no picture that a pipeline can look at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PictureError {
    /// It is not decoded.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The rule makes nothing of it.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

impl PictureError {
    /// Pixels of a picture that is too large.
    pub fn pixels(&self) -> Option<u64> {
        match self {
            Self::Decode(DecodeError::TooLarge { width, height }) => {
                Some(u64::from(*width) * u64::from(*height))
            }
            Self::Apply(ApplyError::Size {
                to_width, to_height, ..
            }) => Some(to_width.saturating_mul(*to_height)),
            _ => None,
        }
    }
}

impl Pipeline {
    /// Classifies a picture, the bytes of a PNG or JPEG file.
    ///
    /// # Errors
    /// If the task is another, the file is no picture, the graph fails or its scores are not finite, or the meter stops the call.
    pub fn classify_picture(
        &self,
        file: &[u8],
        engine: &mut dyn Engine,
        meter: &mut dyn Meter,
    ) -> Result<Classified, PipelineError> {
        let shared = &*self.shared;
        let (Some(rule), Task::ImageClassification) = (&shared.description.image, shared.description.task)
        else {
            return Err(PipelineError::OtherTask {
                task: shared.description.task.name(),
                asked: "look at pictures",
            });
        };
        let mut call = Call {
            shared,
            engine,
            meter,
        };
        let logits = call.look(rule, file).map_err(|failure| match failure {
            Failure::Error(error) => error,
            Failure::Limit => PipelineError::Stopped,
        })?;
        self.classified(&logits)
    }
}

impl Call<'_> {
    /// What the only graph makes of a picture.
    fn look(&mut self, rule: &Rule, file: &[u8]) -> Result<Vec<f32>, Failure> {
        let mut given = Given {
            pixels: Some(pixels(rule, file, self.meter)?),
            ..Given::default()
        };
        self.logits(&mut given)
    }
}

/// The tensor of a picture, each step paid for before it is taken.
fn pixels(rule: &Rule, file: &[u8], meter: &mut dyn Meter) -> Result<Tensor, Failure> {
    let reading = Charge::Picture {
        work: read_work(file.len()),
        memory: 0,
    };
    meter.charge(reading)?;
    let encoded = Encoded::read(file).map_err(refused)?;
    let applying = rule
        .cost(encoded.width(), encoded.height(), encoded.channels())
        .map_err(refused)?;
    meter.charge(Charge::Picture {
        work: encoded.decode_work().saturating_add(applying.work),
        memory: encoded.decode_memory().saturating_add(applying.memory),
    })?;
    let image = encoded.decode().map_err(refused)?;
    let tensor = rule.apply(&image).map_err(refused)?;
    let made = match &tensor {
        synod_image::Tensor::F32 { shape, data } => Tensor::from_slice(DType::F32, shape, data),
        synod_image::Tensor::U8 { shape, data } => Tensor::from_slice(DType::U8, shape, data),
    };
    Ok(made.expect("a tensor of a picture within its limits is within those of tensors"))
}

fn refused(error: impl Into<PictureError>) -> Failure {
    PipelineError::Picture(error.into()).into()
}
