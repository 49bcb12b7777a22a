// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IPredict} from "./IPredict.sol";

/// @title An engine for tests that run where there is none
/// @notice `forge test` and `hardhat test solidity` run in EVMs of their own, which have no networks. This contract, put at the
/// engine's address, answers the calls that a test recorded, and reverts on all others with the call, so that it can be recorded:
///
///     vm.etch(address(Predict.ENGINE), type(PredictMock).runtimeCode);
///     PredictMock mock = PredictMock(address(Predict.ENGINE));
///     mock.record(abi.encodeCall(IPredict.classify, (model, input)), abi.encode(label, score));
///
/// What the real engine answers to a call, `cast call 0x000000000000000000000000000000000000AE01 CALLDATA` tells on a real chain.
contract PredictMock {
    /// @notice Nobody recorded an answer to this call.
    error NotRecorded(bytes call);

    struct Answer {
        bool recorded;
        bool reverts;
        bytes data;
    }

    mapping(bytes32 call => Answer) private answers;

    /// @notice Answers a call from now on.
    /// @param call the encoded call, for example `abi.encodeCall(IPredict.run, (model, input))`
    /// @param answer what it returns, encoded, for example `abi.encode(output)`
    function record(bytes calldata call, bytes calldata answer) external {
        answers[keccak256(call)] = Answer(true, false, answer);
    }

    /// @notice Refuses a call from now on.
    /// @param reason the error, encoded, for example `abi.encodeWithSelector(IPredict.UnknownModel.selector, model)`
    function recordRevert(bytes calldata call, bytes calldata reason) external {
        answers[keccak256(call)] = Answer(true, true, reason);
    }

    /// @notice Answers `run` with this output.
    function recordRun(string calldata model, bytes calldata input, bytes calldata output) external {
        answers[keccak256(abi.encodeCall(IPredict.run, (model, input)))] = Answer(true, false, abi.encode(output));
    }

    /// @dev `withMaxGas` answers what the call inside it does: a mock costs nothing.
    fallback(bytes calldata call) external returns (bytes memory) {
        if (bytes4(call) == IPredict.withMaxGas.selector) {
            (, bytes memory inner) = abi.decode(call[4:], (uint64, bytes));
            return abi.encode(look(inner));
        }
        return look(call);
    }

    function look(bytes memory call) private view returns (bytes memory data) {
        Answer storage answer = answers[keccak256(call)];
        if (!answer.recorded) revert NotRecorded(call);
        data = answer.data;
        if (answer.reverts) {
            assembly ("memory-safe") {
                revert(add(data, 32), mload(data))
            }
        }
    }
}
