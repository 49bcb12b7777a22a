// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

// The baseline that PREDICT is measured against: a network in Solidity as a careful author would write it, in fixed
// point, with weights in code and four multiply-adds for each MUL.
//
// A word holds four signed lanes of 64 bits as one integer, w = w0 + w1·2^64 + w2·2^128 + w3·2^192 (mod 2^256). That is
// linear, so a scalar times a word is four products, and sums of words are four sums; a lane that is negative borrows from
// the next, which `unpack` gives back. Activations are Q16 (one is 2^16), weights Q16, sums and biases Q32. A lane
// overflows at 2^63, which |activation| < 2^15, |weight| < 2^7 and a hundred terms stay far below.

/// @title Four multiply-adds in one multiplication
library PackedLanes {
    /// @notice Code that holds `data` behind a STOP; the return value is where it lives.
    function store(bytes memory data) internal returns (address pointer) {
        // PUSH4 size, DUP1, PUSH1 12, PUSH0, CODECOPY, PUSH0, RETURN, STOP: the size counts the leading STOP.
        bytes memory code = abi.encodePacked(hex"63", uint32(data.length + 1), hex"80600c5f395ff300", data);
        assembly ("memory-safe") {
            pointer := create(0, add(code, 32), mload(code))
        }
        require(pointer != address(0), "weights do not fit in code");
    }

    /// @notice Copies `words` words of weights into fresh memory and returns where.
    function load(address pointer, uint256 words) internal view returns (uint256 memoryStart) {
        assembly ("memory-safe") {
            memoryStart := mload(0x40)
            let size := shl(5, words)
            extcodecopy(pointer, memoryStart, 1, size)
            mstore(0x40, add(memoryStart, size))
        }
    }

    /// @notice Zeroed memory for `words` words.
    function reserve(uint256 words) internal pure returns (uint256 memoryStart) {
        assembly ("memory-safe") {
            memoryStart := mload(0x40)
            let size := shl(5, words)
            calldatacopy(memoryStart, calldatasize(), size)
            mstore(0x40, add(memoryStart, size))
        }
    }

    /// @notice Four outputs of a dense layer: the bias word at `w`, then one word of weights for each of `count` inputs.
    function dense(uint256 x, uint256 w, uint256 count) internal pure returns (uint256 sum) {
        assembly ("memory-safe") {
            sum := mload(w)
            w := add(w, 32)
            for { let end := add(x, shl(5, count)) } lt(x, end) {} {
                sum := add(sum, mul(mload(x), mload(w)))
                x := add(x, 32)
                w := add(w, 32)
            }
        }
    }

    /// @notice Four output channels of a convolution with five taps at one position: the bias word at `w`, then five
    /// words of weights for each of `channels` input channels, whose rows lie `stride` bytes apart.
    function convolve5(uint256 x, uint256 stride, uint256 w, uint256 channels) internal pure returns (uint256 sum) {
        assembly ("memory-safe") {
            sum := mload(w)
            w := add(w, 32)
            for { let end := add(w, mul(channels, 160)) } lt(w, end) {} {
                sum := add(sum, mul(mload(x), mload(w)))
                sum := add(sum, mul(mload(add(x, 32)), mload(add(w, 32))))
                sum := add(sum, mul(mload(add(x, 64)), mload(add(w, 64))))
                sum := add(sum, mul(mload(add(x, 96)), mload(add(w, 96))))
                sum := add(sum, mul(mload(add(x, 128)), mload(add(w, 128))))
                x := add(x, stride)
                w := add(w, 160)
            }
        }
    }

    /// @notice Writes the four lanes of `sum`, rectified and brought from Q32 to Q16, to `out`, `stride` bytes apart.
    function relu(uint256 sum, uint256 out, uint256 stride) internal pure {
        assembly ("memory-safe") {
            for { let end := add(out, shl(2, stride)) } lt(out, end) { out := add(out, stride) } {
                let lane := signextend(7, sum)
                sum := sar(64, sub(sum, lane))
                mstore(out, mul(sgt(lane, 0), shr(16, lane)))
            }
        }
    }

    /// @notice The lane with the largest value among the first `lanes`; the lowest of equals.
    function argMax(uint256 sum, uint256 lanes) internal pure returns (uint256 best) {
        assembly ("memory-safe") {
            let most := signextend(7, sum)
            sum := sar(64, sub(sum, most))
            for { let i := 1 } lt(i, lanes) { i := add(i, 1) } {
                let lane := signextend(7, sum)
                sum := sar(64, sub(sum, lane))
                if sgt(lane, most) {
                    most := lane
                    best := i
                }
            }
        }
    }

    /// @notice `(x - mean) · scale` for `count` values: x and mean in Q16, scale in Q32.
    function standardise(uint256 x, uint256 count, int256 mean, int256 scale) internal pure {
        assembly ("memory-safe") {
            for { let end := add(x, shl(5, count)) } lt(x, end) { x := add(x, 32) } {
                mstore(x, sar(32, mul(sub(mload(x), mean), scale)))
            }
        }
    }
}
