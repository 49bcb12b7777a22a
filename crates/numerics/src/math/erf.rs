//! The error function.
//!
//! Two polynomials and a selection, so that it vectorises: x·P(x²) on [0, 1], and one Chebyshev interpolant on
//! [1, 4], where the function is already 1 in `f32`. In `f64` a third piece covers [4, 6].
//! The coefficients are Chebyshev interpolants computed with 300 bits and rounded to `f64`; the error of each
//! piece is below 2^−54 of the result, and what remains is rounding.

use super::horner;

/// 2/√π cut to 29 bits: its product with a 24-bit number is exact in `f64`.
pub(crate) const LEADING: f64 = f64::from_bits(0x3ff2_0dd7_5000_0000);

/// (erf(√u)/√u − LEADING) on u in [0, 1], ascending powers.
pub(crate) const SMALL: [f64; 13] = [
    f64::from_bits(0x3e10_a6db_4461_eff3), // 9.6926135306266e-10
    f64::from_bits(0xbfd8_1274_6b03_79e6), // -0.3761263890318375
    f64::from_bits(0x3fbc_e2f2_1a04_2b30), // 0.11283791670954879
    f64::from_bits(0xbf9b_82ce_3128_4e00), // -0.026866170645076792
    f64::from_bits(0x3f75_65bc_d0db_aa38), // 0.0052239776248180145
    f64::from_bits(0xbf4c_02db_3dac_435f), // -0.000854832698083379
    f64::from_bits(0x3f1f_9a32_1d5b_8e1e), // 0.0001205533111164271
    f64::from_bits(0xbeef_4d1e_3183_f7ae), // -1.4925595266831182e-05
    f64::from_bits(0x3ebb_9df2_24ca_4b97), // 1.6461000484121368e-06
    f64::from_bits(0xbe85_f1ec_b6f0_764c), // -1.6350312701054695e-07
    f64::from_bits(0x3e4f_7b4b_f3b1_3964), // 1.4659775274047436e-08
    f64::from_bits(0xbe13_89d4_f264_1625), // -1.1372848856791674e-09
    f64::from_bits(0x3dd0_5ffd_737f_b32e), // 5.957176147748911e-11
];

/// erf(2.5 + 1.5 t) on t in [−1, 1], ascending powers.
pub(crate) const LARGE: [f64; 29] = [
    f64::from_bits(0x3fef_fcaa_8f4c_9bea), // 0.999593047982555
    f64::from_bits(0x3f6a_c44a_2979_f1ca), // 0.0032674263455289886
    f64::from_bits(0xbf89_1805_86e2_5361), // -0.012252848795734019
    f64::from_bits(0x3f9c_db9f_f4b7_8563), // 0.028181552230198813
    f64::from_bits(0xbfa6_5964_ec21_9021), // -0.04365077383479866
    f64::from_bits(0x3fa7_c8c4_9933_7526), // 0.04645361299638244
    f64::from_bits(0xbfa0_521f_983a_8989), // -0.031876551945305094
    f64::from_bits(0x3f82_fae2_1fd5_7335), // 0.009267584415903233
    f64::from_bits(0x3f7b_5d36_74cf_4848), // 0.006680691451906702
    f64::from_bits(0xbf83_b499_a1b1_e000), // -0.00962181114867633
    f64::from_bits(0x3f72_9cd0_a315_81ba), // 0.004544081676926154
    f64::from_bits(0x3f3d_1ec5_9d26_29b8), // 0.0004443390327188118
    f64::from_bits(0xbf5d_ee47_ca50_8263), // -0.001826830012994795
    f64::from_bits(0x3f4d_ea57_44a5_1b50), // 0.0009129453767763116
    f64::from_bits(0x3f0b_c248_a444_6493), // 5.294593987254753e-05
    f64::from_bits(0xbf32_66c8_4661_2ba2), // -0.0002807845070306685
    f64::from_bits(0x3f1e_dc8b_f473_9500), // 0.00011772731987809773
    f64::from_bits(0x3ef2_9506_e81a_4dc8), // 1.7721306454788495e-05
    f64::from_bits(0xbf02_6732_c269_4916), // -3.510116248563366e-05
    f64::from_bits(0x3ee4_cfef_a30d_408c), // 9.924054298033018e-06
    f64::from_bits(0x3ecf_c2a3_d8ac_0bce), // 3.7861243006322463e-06
    f64::from_bits(0xbecc_9914_a6e9_6018), // -3.409143850146439e-06
    f64::from_bits(0x3e9a_a133_75d1_1628), // 3.968133251468447e-07
    f64::from_bits(0x3ea1_fd74_c3cd_16c4), // 5.361456555184116e-07
    f64::from_bits(0xbe8d_34ee_63ea_de32), // -2.1760733833418164e-07
    f64::from_bits(0xbe66_9e46_ee30_a623), // -4.212981055018828e-08
    f64::from_bits(0x3e64_419f_079a_06cd), // 3.773036012529499e-08
    f64::from_bits(0x3e0c_edff_356d_b950), // 8.419643687609406e-10
    f64::from_bits(0xbe29_087a_f3db_d8c1), // -2.914239432125044e-09
];

/// erf(5 + t) on t in [−1, 1], ascending powers.
const TAIL: [f64; 20] = [
    f64::from_bits(0x3fef_ffff_ffff_c9e8), // 0.9999999999984626
    f64::from_bits(0x3db1_3af4_f2ce_071e), // 1.5670866666209687e-11
    f64::from_bits(0xbdd5_89b0_8415_a15d), // -7.83542406487843e-11
    f64::from_bits(0x3df1_96d9_eb79_ef3f), // 2.559574596337652e-10
    f64::from_bits(0xbe05_16da_9f8a_7ffd), // -6.137786382285755e-10
    f64::from_bits(0x3e13_c51e_0be7_8916), // 1.150764858072596e-09
    f64::from_bits(0xbe1e_232c_d4dc_bbf3), // -1.7542277244092619e-09
    f64::from_bits(0x3e23_2c6c_2182_9531), // 2.2320920772123733e-09
    f64::from_bits(0xbe24_bd77_763f_cc3a), // -2.414465892838849e-09
    f64::from_bits(0x3e23_5089_acea_9faf), // 2.2485154635189178e-09
    f64::from_bits(0xbe1f_3d0a_830a_289b), // -1.8183166189389494e-09
    f64::from_bits(0x3e16_1660_e6c6_6061), // 1.2856568267456269e-09
    f64::from_bits(0xbe0b_6bda_6b6c_3d25), // -7.980649117646371e-10
    f64::from_bits(0x3dfd_a82d_9202_a3d4), // 4.3156535464223433e-10
    f64::from_bits(0xbdeb_7acc_e037_967f), // -1.9994104992184832e-10
    f64::from_bits(0x3dd6_430c_23f4_f88a), // 8.098833495266459e-11
    f64::from_bits(0xbdc0_71eb_b0a1_b381), // -2.991328545885364e-11
    f64::from_bits(0x3da1_6328_ed86_b40c), // 7.90684828608681e-12
    f64::from_bits(0xbd20_675c_4060_df27), // -2.913891598383194e-14
    f64::from_bits(0xbd61_35df_9bb7_7906), // -4.891502169755016e-13
];

/// erf of a number in [0, 1], where `LEADING * x` is exact if x has at most 24 bits.
#[inline(always)]
fn small(x: f64) -> f64 {
    LEADING * x + x * horner(&SMALL, x * x)
}

/// erf of a number in [1, 4].
#[inline(always)]
fn large(x: f64) -> f64 {
    horner(&LARGE, (x - 2.5) * (2.0 / 3.0))
}

/// erf of a finite |x| that is an `f32`, to be rounded to `f32`.
#[inline(always)]
pub(super) fn erf_for_f32(x: f64) -> f64 {
    let near = if x < 1.0 { x } else { 1.0 };
    let far = if x < 4.0 { x } else { 4.0 };
    // picked on the bits: given a choice of values, the compiler would branch and no longer vectorise
    let mask = u64::from(x < 1.0).wrapping_neg();
    f64::from_bits((small(near).to_bits() & mask) | (large(far).to_bits() & !mask))
}

/// erf of any |x| that is not NaN.
pub(super) fn erf_of_magnitude(x: f64) -> f64 {
    if x < 1.0 {
        small(x)
    } else if x < 4.0 {
        large(x)
    } else if x < 6.0 {
        horner(&TAIL, x - 5.0)
    } else {
        1.0
    }
}
