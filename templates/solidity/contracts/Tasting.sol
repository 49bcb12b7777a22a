// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {Predict} from "@synod/contracts/src/Predict.sol";

/// @title A wine tasting: a neural network on this chain says what is in a glass
/// @notice Replace the model's name, its input and what happens with the answer by your own.
contract Tasting {
    /// @notice The judge. A name with a version (`template/wine@1`) never changes; one without is what its owner makes of it.
    string public model;

    /// @notice How often each class was found.
    mapping(uint256 label => uint256) public found;

    event Tasted(address indexed taster, uint256 indexed label, int256 score);

    constructor(string memory name) {
        model = name;
    }

    /// @notice Tastes a glass.
    /// @param analysis the model's input: packed, big-endian, in its declared type
    /// @return label the likeliest class
    function taste(bytes calldata analysis) external returns (uint256 label) {
        int256 score;
        (label, score) = Predict.classify(model, analysis);
        ++found[label];
        emit Tasted(msg.sender, label, score);
    }
}
