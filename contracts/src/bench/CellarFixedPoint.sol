// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {PackedLanes} from "./PackedLanes.sol";

/// @title The network of `examples/cellar` in plain Solidity: 13 measurements, 16 hidden units, 3 cultivars
/// @notice For the benchmark of PREDICT. It leaves out the last softmax, which does not change the winner.
contract CellarFixedPoint {
    uint256 private constant INPUTS = 13;
    uint256 private constant HIDDEN = 16;
    /// 13 means, 13 scales, four groups of hidden units, one group of outputs.
    uint256 private constant WORDS = 2 * INPUTS + 4 * (1 + INPUTS) + 1 + HIDDEN;

    address private immutable WEIGHTS;

    constructor(bytes memory weights) {
        require(weights.length == WORDS * 32, "wrong number of weights");
        WEIGHTS = PackedLanes.store(weights);
    }

    /// @notice The likeliest cultivar of an analysis in Q16.
    function classify(int256[INPUTS] memory analysis) external view returns (uint256) {
        uint256 w = PackedLanes.load(WEIGHTS, WORDS);
        uint256 x;
        assembly ("memory-safe") {
            x := analysis
            for { let i := 0 } lt(i, 416) { i := add(i, 32) } {
                let to := add(x, i)
                let mean := mload(add(w, i))
                let scale := mload(add(add(w, 416), i))
                mstore(to, sar(32, mul(sub(mload(to), mean), scale)))
            }
        }
        w += 64 * INPUTS;
        uint256 hidden = PackedLanes.reserve(HIDDEN);
        for (uint256 unit = 0; unit < HIDDEN; unit += 4) {
            PackedLanes.relu(PackedLanes.dense(x, w, INPUTS), hidden + 32 * unit, 32);
            w += 32 * (1 + INPUTS);
        }
        return PackedLanes.argMax(PackedLanes.dense(hidden, w, HIDDEN), 3);
    }
}
