//! Functions of a byte that give a byte: a table of 256, which AVX-512 VBMI holds in four registers.

use crate::isa::Isa;

/// out\[i\] = table\[x\[i\]\]
///
/// # Panics
/// If the slices differ in length.
pub fn look_up(table: &[u8; 256], x: &[u8], out: &mut [u8]) {
    assert_eq!(
        x.len(),
        out.len(),
        "a table gives as many bytes as it is asked for"
    );
    let mut done = 0;
    #[cfg(target_arch = "x86_64")]
    if Isa::current() == Isa::Avx512 && std::arch::is_x86_feature_detected!("avx512vbmi") {
        // SAFETY: the processor has the instructions, as was just asked.
        done = unsafe { vectors(table, x, out) };
    }
    for (out, &x) in out[done..].iter_mut().zip(&x[done..]) {
        *out = table[usize::from(x)];
    }
}

/// All whole vectors of 64; returns how many bytes those are.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn vectors(table: &[u8; 256], x: &[u8], out: &mut [u8]) -> usize {
    use std::arch::x86_64::{
        _mm512_loadu_si512, _mm512_mask_blend_epi8, _mm512_movepi8_mask, _mm512_permutex2var_epi8,
        _mm512_storeu_si512,
    };
    // SAFETY: 64 bytes from there on are in the table.
    let part = |quarter: usize| unsafe { _mm512_loadu_si512(table[64 * quarter..].as_ptr().cast()) };
    let (a, b, c, d) = (part(0), part(1), part(2), part(3));
    let (blocks, _) = x.as_chunks::<64>();
    let (results, _) = out.as_chunks_mut::<64>();
    for (x, out) in blocks.iter().zip(results) {
        // the low seven bits choose in half a table, the highest one chooses the half
        // SAFETY: both blocks have 64 bytes.
        unsafe {
            let x = _mm512_loadu_si512(x.as_ptr().cast());
            let low = _mm512_permutex2var_epi8(a, x, b);
            let high = _mm512_permutex2var_epi8(c, x, d);
            let found = _mm512_mask_blend_epi8(_mm512_movepi8_mask(x), low, high);
            _mm512_storeu_si512(out.as_mut_ptr().cast(), found);
        }
    }
    blocks.len() * 64
}
