// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {AnswerLayout, Answers} from "../governance/Answers.sol";

/// @title The library `Answers` as a contract, for tests
contract AnswersHarness {
    /// @param signature the encoded answer of `IPredict.signature`
    function layoutOf(bytes calldata signature) external pure returns (AnswerLayout memory) {
        return Answers.layoutOf(signature);
    }

    function label(bytes calldata signature, bytes calldata answer) external pure returns (uint256) {
        return Answers.label(Answers.layoutOf(signature), answer);
    }
}
