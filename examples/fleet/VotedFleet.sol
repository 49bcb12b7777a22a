// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Fleet} from "./Fleet.sol";

/// @title Paying drivers by a judge whom drivers and passengers choose
/// @notice `Fleet` with the bare name of the judge: whatever version its owner makes `latest` judges from the next ride on. That is
/// for a model whose owner is a vote; `Fleet` names a version, since anybody may own its model.
contract VotedFleet is Fleet {
    /// @notice The judge's name, which stands for the version that was voted for.
    string public constant VOTED_MODEL = "fleet/ride";

    /// @param recorder_ The device whose recordings count.
    /// @param fare_ What a calm ride earns, in wei.
    /// @param penalty_ What harsh driving costs of it, in wei; at most the fare.
    constructor(address recorder_, uint256 fare_, uint256 penalty_) payable Fleet(recorder_, fare_, penalty_) {}

    function judgeName() internal pure override returns (string memory) {
        return VOTED_MODEL;
    }
}
