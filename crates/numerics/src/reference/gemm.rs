//! Products of matrices.

use crate::float::Float;
use crate::shape::Matrix;

/// out\[m, n\] = a\[m, k\] · b\[k, n\]; `out` in rows.
///
/// Each output element is one chain: it starts at +0.0 and for ascending k becomes fma(a, b, chain). The chain does
/// not depend on m, n or where the element lies.
///
/// # Panics
/// If a slice is too short for the shape.
pub fn gemm<T: Float>(m: usize, n: usize, k: usize, a: Matrix<'_, T>, b: Matrix<'_, T>, out: &mut [T]) {
    assert!(
        a.covers(m, k) && b.covers(k, n),
        "operands of a matrix product cover its shape"
    );
    assert_eq!(out.len(), m * n, "output of a matrix product");
    for i in 0..m {
        for j in 0..n {
            let mut chain = T::ZERO;
            for p in 0..k {
                chain = a.at(i, p).fma(b.at(p, j), chain);
            }
            out[i * n + j] = chain.canonical();
        }
    }
}
