// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {PackedLanes} from "./PackedLanes.sol";

/// @title The network of `examples/fleet` in plain Solidity: two convolutions over 25 samples of 6 channels
/// @notice For the benchmark of PREDICT. It leaves out the last softmax, which does not change the winner.
contract FleetFixedPoint {
    uint256 private constant CHANNELS = 6;
    uint256 private constant SAMPLES = 25;
    uint256 private constant FILTERS = 16;
    uint256 private constant POOLED = 12;
    /// Two samples of padding on either side.
    uint256 private constant ROW = 928; // (SAMPLES + 4) words
    uint256 private constant POOLED_ROW = 512; // (POOLED + 4) words
    uint256 private constant FIRST = 1 + 5 * CHANNELS;
    uint256 private constant SECOND = 1 + 5 * FILTERS;
    /// 6 means, 6 scales, four groups of each convolution, one group of outputs.
    uint256 private constant WORDS = 2 * CHANNELS + 4 * FIRST + 4 * SECOND + 1 + FILTERS;

    address private immutable WEIGHTS;

    constructor(bytes memory weights) {
        require(weights.length == WORDS * 32, "wrong number of weights");
        WEIGHTS = PackedLanes.store(weights);
    }

    /// @notice 0 for a calm window, 1 for a harsh one; samples in Q16, channel by channel.
    function classify(int256[CHANNELS * SAMPLES] memory window) external view returns (uint256) {
        uint256 w = PackedLanes.load(WEIGHTS, WORDS);
        uint256 x = _standardised(window, w);
        w += 64 * CHANNELS;
        uint256 pooled = _first(x, w);
        w += 4 * 32 * FIRST;
        uint256 means = _second(pooled, w);
        w += 4 * 32 * SECOND;
        return PackedLanes.argMax(PackedLanes.dense(means, w, FILTERS), 2);
    }

    /// Rows with padding, each channel brought to its own scale.
    function _standardised(int256[CHANNELS * SAMPLES] memory window, uint256 w) private pure returns (uint256 x) {
        x = PackedLanes.reserve(CHANNELS * (SAMPLES + 4));
        for (uint256 channel = 0; channel < CHANNELS; ++channel) {
            uint256 row = x + channel * ROW + 64;
            int256 mean;
            int256 scale;
            assembly ("memory-safe") {
                mcopy(row, add(window, mul(channel, 800)), 800)
                mean := mload(add(w, shl(5, channel)))
                scale := mload(add(add(w, 192), shl(5, channel)))
            }
            PackedLanes.standardise(row, SAMPLES, mean, scale);
        }
    }

    /// Convolution, rectifier, maximum of neighbours; the last sample has no neighbour and is dropped, as ONNX does.
    function _first(uint256 x, uint256 w) private pure returns (uint256 pooled) {
        pooled = PackedLanes.reserve(FILTERS * (POOLED + 4));
        uint256 pair = PackedLanes.reserve(8);
        for (uint256 group = 0; group < 4; ++group) {
            uint256 out = pooled + group * 4 * POOLED_ROW + 64;
            uint256 position = x;
            for (uint256 sample = 0; sample < POOLED; ++sample) {
                PackedLanes.relu(PackedLanes.convolve5(position, ROW, w, CHANNELS), pair, 32);
                PackedLanes.relu(PackedLanes.convolve5(position + 32, ROW, w, CHANNELS), pair + 128, 32);
                assembly ("memory-safe") {
                    let to := out
                    for { let i := 0 } lt(i, 128) { i := add(i, 32) } {
                        let a := mload(add(pair, i))
                        let b := mload(add(add(pair, 128), i))
                        mstore(to, xor(a, mul(xor(a, b), gt(b, a))))
                        to := add(to, POOLED_ROW)
                    }
                }
                position += 64;
                out += 32;
            }
            w += 32 * FIRST;
        }
    }

    /// Convolution, rectifier, mean over time.
    function _second(uint256 x, uint256 w) private pure returns (uint256 means) {
        means = PackedLanes.reserve(FILTERS);
        uint256 quad = PackedLanes.reserve(4);
        for (uint256 group = 0; group < 4; ++group) {
            uint256 out = means + group * 128;
            for (uint256 sample = 0; sample < POOLED; ++sample) {
                PackedLanes.relu(PackedLanes.convolve5(x + 32 * sample, POOLED_ROW, w, FILTERS), quad, 32);
                assembly ("memory-safe") {
                    for { let i := 0 } lt(i, 128) { i := add(i, 32) } {
                        mstore(add(out, i), add(mload(add(out, i)), mload(add(quad, i))))
                    }
                }
            }
            assembly ("memory-safe") {
                for { let i := 0 } lt(i, 128) { i := add(i, 32) } {
                    mstore(add(out, i), div(mload(add(out, i)), POOLED))
                }
            }
            w += 32 * SECOND;
        }
    }
}
