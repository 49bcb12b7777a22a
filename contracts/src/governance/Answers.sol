// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IPredict} from "../IPredict.sol";

/// @notice Where the scores of a classifier are in its packed answer to one sample.
/// @param length of the whole answer, in bytes
/// @param offset of the scores
/// @param width of one score
/// @param classes how many scores there are
/// @param dtype their type (ONNX code)
/// @param leading the product of the sizes before the last, 1 for a classifier
struct AnswerLayout {
    uint256 length;
    uint256 offset;
    uint256 width;
    uint256 classes;
    uint8 dtype;
    uint256 leading;
}

/// @title Labels in packed answers
/// @notice What `classify` says of one sample (docs/spec/predict.md §4), found in the answers of `runBatch`: the scores are the first output of a
/// floating-point type, or the first output if there is none; the label is the index of the greatest, the first one on ties.
library Answers {
    /// @notice The answer has another length than the model's outputs for one sample.
    error WrongAnswerLength(uint256 expected, uint256 got);
    /// @notice A score is NaN or infinite, which no label follows from.
    error ScoreNotFinite(uint256 class);
    /// @notice The scores' type is none whose packed form has an order (ONNX code).
    error UnsupportedScores(uint8 dtype);

    /// @notice The layout that follows from a model's outputs, free dimensions being 1.
    /// @param signature the encoded answer of `IPredict.signature`. It is read in place: a decoder of all of it needs more of the stack than
    /// Solidity's default code generator has.
    function layoutOf(bytes memory signature) internal pure returns (AnswerLayout memory form) {
        uint256 ports = _word(signature, 32);
        uint256 count = _word(signature, ports);
        ports += 32;
        bool found = false;
        for (uint256 i = 0; i < count; ++i) {
            uint256 port = ports + _word(signature, ports + 32 * i);
            uint8 dtype = uint8(_word(signature, port + 32));
            (uint256 leading, uint256 last) = _elements(signature, port + _word(signature, port + 64));
            uint256 width = widthOf(dtype);
            if (i == 0 || (!found && _isFloat(dtype))) {
                found = _isFloat(dtype);
                form.offset = form.length;
                form.width = width;
                form.leading = leading;
                form.classes = last;
                form.dtype = dtype;
            }
            form.length += leading * last * width;
        }
        if (form.leading != 1) revert IPredict.NotAClassifier();
    }

    /// @notice The index of the greatest score in a packed answer.
    function label(AnswerLayout memory form, bytes memory answer) internal pure returns (uint256 best) {
        if (answer.length != form.length) revert WrongAnswerLength(form.length, answer.length);
        int256 greatest = type(int256).min;
        for (uint256 i = 0; i < form.classes; ++i) {
            uint256 position = form.offset + i * form.width;
            uint256 unused = 256 - 8 * form.width;
            uint256 bits;
            assembly ("memory-safe") {
                bits := shr(unused, mload(add(add(answer, 32), position)))
            }
            int256 rank = rankOf(form.dtype, bits, i);
            if (rank > greatest) (greatest, best) = (rank, i);
        }
    }

    /// @notice Bytes of one packed element.
    function widthOf(uint8 dtype) internal pure returns (uint256) {
        if (dtype == 2 || dtype == 3 || dtype == 9) return 1;
        if (dtype == 4 || dtype == 5 || dtype == 10 || dtype == 16) return 2;
        if (dtype == 1 || dtype == 6 || dtype == 12) return 4;
        if (dtype == 7 || dtype == 11 || dtype == 13) return 8;
        revert UnsupportedScores(dtype);
    }

    /// @notice A number that is ordered as the scores of this type are; equal scores, zeros of both signs among them, have equal ones.
    function rankOf(uint8 dtype, uint256 bits, uint256 class) internal pure returns (int256) {
        uint256 sign = 1 << (8 * widthOf(dtype) - 1);
        if (_isFloat(dtype)) {
            // IEEE 754 magnitudes are ordered as integers.
            uint256 magnitude = bits & (sign - 1);
            if (magnitude >= _infinity(dtype)) revert ScoreNotFinite(class);
            return bits & sign == 0 ? int256(magnitude) : -int256(magnitude);
        }
        bool signed = dtype == 3 || dtype == 5 || dtype == 6 || dtype == 7;
        return signed && bits & sign != 0 ? int256(bits) - int256(sign << 1) : int256(bits);
    }

    /// Of the shape at a position: the product of all sizes but the last, and the last, where a free one is 1.
    function _elements(bytes memory signature, uint256 shape) private pure returns (uint256 leading, uint256 last) {
        (leading, last) = (1, 1);
        uint256 rank = _word(signature, shape);
        shape += 32;
        for (uint256 i = 0; i < rank; ++i) {
            uint256 dimension = shape + _word(signature, shape + 32 * i);
            uint256 symbol = dimension + _word(signature, dimension);
            leading *= last;
            last = _word(signature, symbol) == 0 ? _word(signature, dimension + 32) : 1;
        }
    }

    function _word(bytes memory data, uint256 position) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := mload(add(add(data, 32), position))
        }
    }

    function _isFloat(uint8 dtype) private pure returns (bool) {
        return dtype == 1 || dtype == 10 || dtype == 11 || dtype == 16;
    }

    /// The bits of infinity: greater ones are NaN.
    function _infinity(uint8 dtype) private pure returns (uint256) {
        if (dtype == 1) return 0x7f800000;
        if (dtype == 10) return 0x7c00;
        if (dtype == 11) return 0x7ff0000000000000;
        return 0x7f80;
    }
}
