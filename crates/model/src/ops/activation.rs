//! Activations: Celu, Elu, Gelu, HardSigmoid, HardSwish, LeakyRelu, Mish, PRelu, Relu, Selu, Sigmoid, Softplus, Softsign, SwiGLU,
//! Swish, Tanh, ThresholdedRelu.
//!
//! Relu is the maximum of the element and +0: NaN stays NaN, -0 becomes +0. Sigmoid and Tanh are correctly rounded in
//! `f32`. Celu, Elu, Gelu, Mish, Selu, Softplus, SwiGLU and Swish are formulas in `f64`, rounded once. HardSigmoid and HardSwish fuse product and
//! sum. The formulas stand in `synod_numerics::math`.

use super::{
    AttributeError, DType, Definition, FLOATS, Inputs, Kernel, OpError, Operator, TensorType, Work,
    elementwise::{
        BinaryFloat, BinaryInteger, Elementwise, InRegisters, PerElement, UnaryFloat, UnaryInteger,
        binary_elementwise, binary_float, elementwise_work, fold_number, unary_elementwise, unary_float,
        unary_number,
    },
};
use crate::shape::broadcast;
use synod_numerics::{fast::Transcendental, float::Float, integer::Integer, math};

/// Defines an activation on floats: its parameters, how they are read, its work, its function and perhaps that of many elements.
macro_rules! activation {
    (
        $constant:ident, $name:ident { $($field:ident: $type:ty),* }, $since:expr, $work:expr,
        parse: $parse:expr, |$me:ident, $x:ident: $t:ident| $body:expr $(, many: $many:expr)?
    ) => {
        #[doc = concat!("`", stringify!($name), "`")]
        pub(super) const $constant: Definition = Definition {
            name: stringify!($name),
            since: &$since,
            inputs: 1..=1,
            outputs: 1..=1,
            parse: $parse,
        };

        #[derive(Debug, Clone, Copy)]
        struct $name { $($field: $type),* }

        impl UnaryFloat for $name {
            #[inline(always)]
            fn float<$t: Float>(self, $x: $t) -> $t {
                let $me = self;
                $body
            }

            $(fn many(self) -> Option<Transcendental> {
                let $me = self;
                Some($many)
            })?
        }

        impl Operator for $name {
            fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
                Ok(vec![inputs.of_types(0, FLOATS)?.tensor_type()])
            }

            fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
                elementwise_work(inputs, outputs, $work)
            }

            fn specialize(&self, _: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
                Ok(unary_float(outputs[0].dtype, *self))
            }

            fn elementwise(&self, _: &Inputs<'_>) -> Option<Elementwise> {
                Some(unary_elementwise(*self))
            }
        }
    };
}

activation!(SIGMOID, Sigmoid {}, [6, 13], PerElement::through_f64(130), parse: |_| Ok(Box::new(Sigmoid {})), |_me, x: T| x.sigmoid(),
    many: Transcendental::Sigmoid);
activation!(TANH, Tanh {}, [6, 13], PerElement::through_f64(130), parse: |_| Ok(Box::new(Tanh {})), |_me, x: T| x.tanh(),
    many: Transcendental::Tanh);
activation!(SOFTPLUS, Softplus {}, [1, 22], 320, parse: |_| Ok(Box::new(Softplus {})), |_me, x: T| math::softplus(x),
    many: Transcendental::Softplus);
activation!(
    HARD_SWISH, HardSwish {}, [14, 22], 16, parse: |_| Ok(Box::new(HardSwish {})), |_me, x: T| math::hard_swish(x)
);
activation!(
    HARD_SIGMOID,
    HardSigmoid { alpha: f32, beta: f32 },
    [6, 22],
    12,
    parse: |node| {
        let alpha = node.attributes.float("alpha")?.unwrap_or(0.2);
        Ok(Box::new(HardSigmoid { alpha, beta: node.attributes.float("beta")?.unwrap_or(0.5) }))
    },
    |me, x: T| math::hard_sigmoid(x, me.alpha, me.beta)
);
activation!(
    LEAKY_RELU,
    LeakyRelu { alpha: f32 },
    [6, 16],
    8,
    parse: |node| Ok(Box::new(LeakyRelu { alpha: node.attributes.float("alpha")?.unwrap_or(0.01) })),
    |me, x: T| math::leaky_relu(x, T::from_f32(me.alpha))
);
activation!(
    ELU,
    Elu { alpha: f32 },
    [6, 22],
    PerElement::through_f64(210),
    parse: |node| Ok(Box::new(Elu { alpha: node.attributes.float("alpha")?.unwrap_or(1.0) })),
    |me, x: T| math::elu(x, me.alpha)
);
activation!(
    SELU,
    Selu { alpha: f32, gamma: f32 },
    [6, 22],
    PerElement::through_f64(210),
    parse: |node| {
        let alpha = node.attributes.float("alpha")?.unwrap_or(1.673_263_2);
        Ok(Box::new(Selu { alpha, gamma: node.attributes.float("gamma")?.unwrap_or(1.050_701) }))
    },
    |me, x: T| math::selu(x, me.alpha, me.gamma)
);
activation!(
    GELU,
    Gelu { tanh: bool },
    [20],
    260,
    parse: |node| match node.attributes.string("approximate")?.as_deref() {
        None | Some("none") => Ok(Box::new(Gelu { tanh: false })),
        Some("tanh") => Ok(Box::new(Gelu { tanh: true })),
        Some(other) => Err(AttributeError::Value {
            name: "approximate",
            value: other.to_owned(),
            expected: "none, tanh",
        }
        .into()),
    },
    |me, x: T| if me.tanh { math::gelu_tanh(x) } else { math::gelu(x) },
    many: if me.tanh { Transcendental::GeluTanh } else { Transcendental::Gelu }
);

activation!(
    CELU,
    Celu { alpha: f32 },
    [12, 28],
    360,
    parse: |node| Ok(Box::new(Celu { alpha: node.attributes.float("alpha")?.unwrap_or(1.0) })),
    |me, x: T| math::celu(x, me.alpha)
);
activation!(MISH, Mish {}, [18, 22], PerElement { f64: 1_100, ..160.into() }, parse: |_| Ok(Box::new(Mish {})), |_me, x: T| math::mish(x),
    many: Transcendental::Mish);
activation!(SOFTSIGN, Softsign {}, [1, 22], 16, parse: |_| Ok(Box::new(Softsign {})), |_me, x: T| {
    (x / (T::ONE + x.abs())).canonical()
});
activation!(
    SWISH,
    Swish { alpha: f32 },
    [24],
    PerElement::through_f64(250),
    parse: |node| Ok(Box::new(Swish { alpha: node.attributes.float("alpha")?.unwrap_or(1.0) })),
    |me, x: T| x.through_f64(|x| math::swish(x, me.alpha))
);
activation!(
    THRESHOLDED_RELU,
    ThresholdedRelu { alpha: f32 },
    [10, 22],
    8,
    parse: |node| Ok(Box::new(ThresholdedRelu { alpha: node.attributes.float("alpha")?.unwrap_or(1.0) })),
    |me, x: T| if x > T::from_f32(me.alpha) { x } else { T::ZERO }
);

/// `SwiGLU`
pub(super) const SWI_GLU: Definition = Definition {
    name: "SwiGLU",
    since: &[28],
    inputs: 2..=2,
    outputs: 1..=1,
    parse: |node| {
        let alpha = node.attributes.float("alpha")?.unwrap_or(1.0);
        Ok(Box::new(SwiGlu { alpha }))
    },
};

/// The gate's Swish times the linear input: both roundings but the last are of `f64`.
#[derive(Debug, Clone, Copy)]
struct SwiGlu {
    alpha: f32,
}

impl BinaryFloat for SwiGlu {
    #[inline(always)]
    fn float<T: Float>(self, gate: T, linear: T) -> T {
        gate.through_f64(|gate| math::swish(gate, self.alpha) * linear.to_f64())
    }
}

impl Operator for SwiGlu {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let gate = inputs.of_types(0, FLOATS)?;
        let linear = inputs.like(1, gate.dtype)?;
        if gate.shape != linear.shape {
            return Err(OpError::Shape(format!(
                "the gate {:?} and the linear input {:?} differ in shape",
                gate.shape, linear.shape
            )));
        }
        Ok(vec![gate.tensor_type()])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        elementwise_work(inputs, outputs, PerElement::through_f64(300))
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        binary_float(inputs, &outputs[0], *self)
    }

    fn elementwise(&self, _: &Inputs<'_>) -> Option<Elementwise> {
        Some(binary_elementwise(*self))
    }
}

/// `Relu`
pub(super) const RELU: Definition = Definition {
    name: "Relu",
    since: &[6, 13, 14],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |_| Ok(Box::new(Relu)),
};

#[derive(Debug, Clone, Copy)]
struct Relu;

const RELU_TYPES: &[DType] = &[
    DType::F32,
    DType::F64,
    DType::F16,
    DType::BF16,
    DType::I8,
    DType::I16,
    DType::I32,
    DType::I64,
];

impl UnaryFloat for Relu {
    #[inline(always)]
    fn float<T: Float>(self, x: T) -> T {
        // one comparison and a selection; NaN is not at most 0 and stays
        if x <= T::ZERO { T::ZERO } else { x }
    }
}

impl UnaryInteger for Relu {
    #[inline(always)]
    fn integer<T: Integer>(self, x: T) -> T {
        x.max(T::default())
    }
}

impl Operator for Relu {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        Ok(vec![inputs.of_types(0, RELU_TYPES)?.tensor_type()])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        elementwise_work(inputs, outputs, 6)
    }

    fn specialize(&self, _: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        Ok(unary_number(outputs[0].dtype, *self))
    }

    fn elementwise(&self, _: &Inputs<'_>) -> Option<Elementwise> {
        Some(unary_elementwise(*self))
    }

    fn in_registers(&self, _: &Inputs<'_>) -> Option<InRegisters> {
        Some(InRegisters::Bounds(None))
    }
}

/// `PRelu`
pub(super) const PRELU: Definition = Definition {
    name: "PRelu",
    since: &[7, 9, 16],
    inputs: 2..=2,
    outputs: 1..=1,
    parse: |_| Ok(Box::new(PRelu)),
};

#[derive(Debug, Clone, Copy)]
struct PRelu;

const PRELU_TYPES: &[DType] = &[
    DType::F32,
    DType::F64,
    DType::F16,
    DType::BF16,
    DType::I32,
    DType::I64,
    DType::U32,
    DType::U64,
];

impl BinaryFloat for PRelu {
    #[inline(always)]
    fn float<T: Float>(self, x: T, slope: T) -> T {
        math::leaky_relu(x, slope)
    }
}

impl BinaryInteger for PRelu {
    #[inline(always)]
    fn integer<T: Integer>(self, x: T, slope: T) -> T {
        if x < T::default() { x.mul(slope) } else { x }
    }
}

impl Operator for PRelu {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = inputs.of_types(0, PRELU_TYPES)?;
        let slope = inputs.like(1, x.dtype)?;
        if broadcast(&[x.shape, slope.shape]).as_deref() != Some(x.shape) {
            return Err(OpError::Shape(format!(
                "slopes of shape {:?} do not broadcast to {:?}",
                slope.shape, x.shape
            )));
        }
        Ok(vec![x.tensor_type()])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        elementwise_work(inputs, outputs, 8)
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        fold_number(inputs, &outputs[0], *self)
    }

    fn elementwise(&self, _: &Inputs<'_>) -> Option<Elementwise> {
        Some(binary_elementwise(*self))
    }
}
