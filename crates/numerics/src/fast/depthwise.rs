//! Convolutions with few output channels in a group (depthwise ones have one): sixteen output positions at a time, tap by tap.
//!
//! A tile of a matrix product would be mostly empty. Here the weights are broadcast and the elements under a tap come straight from
//! the channel ([`super::patches`]), edges included: a lane over padding multiplies with +0.0, as the definition wants.

use super::lanes::{first_lanes, on_isa};
use super::patches::{self, Table};
use super::tile::VECTOR;
use crate::isa::Isa;
use crate::shape::ConvShape;

/// Output positions of one channel.
pub(super) struct Job<'a> {
    pub(super) shape: &'a ConvShape,
    /// The input channels of the group.
    pub(super) x: &'a [f32],
    /// Which of them, and which taps, are terms; the patches are of these taps.
    pub(super) channels: std::ops::Range<usize>,
    pub(super) taps: std::ops::Range<usize>,
    /// The weights of the output channel.
    pub(super) w: &'a [f32],
    pub(super) table: &'a Table,
    /// Number of the first run in the table.
    pub(super) first: usize,
    /// Continue the chains in the output.
    pub(super) resume: bool,
}

/// Adds the terms to the chains of consecutive positions, sixteen of them a run of the table; `out` has these positions.
pub(super) fn add_terms(isa: Isa, job: &Job<'_>, out: &mut [f32]) {
    let size = job.shape.input_size();
    assert!(
        job.channels.end * size <= job.x.len(),
        "a group has all its channels"
    );
    assert!(
        job.channels.is_empty()
            || (job.channels.end - 1) * job.shape.kernel_size() + job.taps.end <= job.w.len(),
        "a channel has all its weights"
    );
    // SAFETY: the channels and weights are there (checked above), and the patches, made for this shape, name elements of a channel.
    unsafe {
        match job.shape.axes[2].stride {
            1 => runs::<1>(isa, job, out),
            2 => runs::<2>(isa, job, out),
            _ => runs::<3>(isa, job, out),
        }
    }
}

on_isa! {
    /// # Safety
    /// See [`add_terms`].
    unsafe fn runs<L, const STRIDE: usize>(job: &Job<'_>, out: &mut [f32]) {
        let (size, stride) = (job.shape.input_size(), job.shape.axes[2].stride);
        let taps = job.shape.kernel_size();
        for (index, out) in out.chunks_mut(VECTOR).enumerate() {
            let patches = job.table.run(job.first + index);
            let mask = first_lanes(out.len());
            // SAFETY: `out` has as many elements as the mask, the rest is the caller's to promise.
            unsafe {
                let mut chain = if job.resume { L::load_some(out.as_ptr(), mask) } else { L::zero() };
                for channel in job.channels.clone() {
                    let plane = job.x.as_ptr().add(channel * size);
                    let w = job.w.as_ptr().add(channel * taps);
                    let mut used = 0;
                    for tap in job.taps.clone() {
                        let x = patches::load::<L, STRIDE>(plane, stride, patches.as_ptr(), &mut used);
                        chain = L::splat(w.add(tap)).fma(x, chain);
                    }
                }
                chain.store_some(out.as_mut_ptr(), mask);
            }
        }
    }
}
