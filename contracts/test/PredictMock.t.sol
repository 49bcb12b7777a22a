// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IPredict} from "../src/IPredict.sol";
import {Predict} from "../src/Predict.sol";
import {PredictMock} from "../src/PredictMock.sol";
import {Forge} from "./Forge.sol";

/// @title The stand-in for the engine, and what the library reads of a signature without `viaIR`
contract PredictMockTest is Forge {
    string constant MODEL = "org/model";

    PredictMock mock;

    function setUp() public {
        vm.etch(address(Predict.ENGINE), type(PredictMock).runtimeCode);
        mock = PredictMock(address(Predict.ENGINE));
    }

    function run(bytes memory input) external view returns (bytes memory) {
        return Predict.run(MODEL, input);
    }

    function runAtMost(bytes memory input, uint64 maxGas) external view returns (bytes memory) {
        return Predict.run(MODEL, input, maxGas);
    }

    function test_recorded_calls_are_answered(bytes memory input, bytes memory output) public {
        mock.recordRun(MODEL, input, output);
        same(this.run(input), output);
        same(this.runAtMost(input, 1), output);
    }

    function test_others_say_what_they_are(bytes memory input) public view {
        try this.run(input) returns (bytes memory) {
            revert("answered");
        } catch (bytes memory reason) {
            bytes memory call = abi.encodeCall(IPredict.run, (MODEL, input));
            same(reason, abi.encodeWithSelector(PredictMock.NotRecorded.selector, call));
        }
    }

    function test_refusals_are_as_recorded(bytes memory input, uint256 expected) public {
        bytes memory refusal = abi.encodeWithSelector(IPredict.WrongInputLength.selector, expected, input.length);
        mock.recordRevert(abi.encodeCall(IPredict.run, (MODEL, input)), refusal);
        try this.run(input) returns (bytes memory) {
            revert("answered");
        } catch (bytes memory reason) {
            same(reason, refusal);
        }
    }

    function test_a_signature_is_read_as_it_was_written(bytes32 id, string memory name, uint8 dtype, uint64 size) public {
        IPredict.Dimension[] memory shape = new IPredict.Dimension[](2);
        shape[0] = IPredict.Dimension(name, size);
        shape[1] = IPredict.Dimension("", 13);
        IPredict.Port[] memory given = new IPredict.Port[](2);
        given[0] = IPredict.Port(name, dtype, shape);
        given[1] = IPredict.Port("scalar", 7, new IPredict.Dimension[](0));
        IPredict.Port[] memory none = new IPredict.Port[](0);
        mock.record(abi.encodeCall(IPredict.signatureId, (id)), abi.encode(given, none));
        mock.record(abi.encodeCall(IPredict.signature, (MODEL)), abi.encode(none, given));

        (IPredict.Port[] memory inputs, IPredict.Port[] memory outputs) = Predict.signatureOf(id);
        same(abi.encode(inputs, outputs), abi.encode(given, none));
        (inputs, outputs) = Predict.signatureOf(MODEL);
        same(abi.encode(inputs, outputs), abi.encode(none, given));
    }

    function same(bytes memory found, bytes memory expected) private pure {
        require(keccak256(found) == keccak256(expected), "not the same");
    }
}
