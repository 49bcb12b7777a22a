//! The arithmetic in code: scalar, obvious, slow.
//!
//! `docs/spec/arithmetic.md` says the same in words. Everything here is written to be read beside it: one output
//! element at a time, loops in the order of the definition. The fast kernels must give these bits.

mod attention;
mod conv;
mod gemm;
mod integer;
mod norm;
mod pool;
mod recurrent;
mod reduce;
mod softmax;

pub use attention::{LinearUpdate, causal_conv, linear_attention_read, linear_attention_write, rotate};
pub use conv::{conv, conv_transpose};
pub use gemm::gemm;
pub use integer::{integer_conv, integer_gemm};
pub use norm::{Moments, batch_moments, batch_norm, group_norm, instance_norm, layer_norm, rms_norm};
pub use pool::{average_pool, global_average_pool, global_max_pool, max_pool, norm_pool};
pub(crate) use recurrent::held;
pub use recurrent::{Activation, GruCell, LstmCell, gru_gates, gru_row, lstm_row, rnn_row};
pub use reduce::{
    Extreme, LANES, Order, arg_extreme, reduce_extreme, reduce_mean, reduce_product, reduce_sum,
    reduce_sum_of_squares, sum_in_lanes, tree,
};
pub use softmax::{log_softmax, softmax};
