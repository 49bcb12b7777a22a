// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IPredict} from "../IPredict.sol";
import {ModelRegistry} from "../ModelRegistry.sol";
import {Predict} from "../Predict.sol";

/// @notice Reaches PREDICT in every way a contract can, for the tests of the engine.
contract Prober {
    ModelRegistry private constant REGISTRY = ModelRegistry(0x000000000000000000000000000000000000ae02);
    address private constant FACTORY = 0x4e59b44847b379578588920cA78FbF26c0B4956C;

    /// @notice What a prediction in the constructor gave.
    bytes public born;
    /// @notice The last answer that was stored.
    bytes public kept;

    error OnPurpose();

    constructor(string memory model, bytes memory input) {
        if (bytes(model).length != 0) born = Predict.run(model, input);
    }

    // ------------------------------------------------------------------ doors

    function viaLibrary(string memory model, bytes memory input) external view returns (bytes memory) {
        return Predict.run(model, input);
    }

    function viaDelegatecall(bytes memory call) external returns (bool success, bytes memory answer) {
        return address(Predict.ENGINE).delegatecall(call);
    }

    function withValue(bytes memory call) external payable returns (bool success, bytes memory answer) {
        return address(Predict.ENGINE).call{value: msg.value}(call);
    }

    /// @notice Calls itself `depth` times before it asks.
    function nested(uint256 depth, string memory model, bytes memory input) external view returns (bytes memory) {
        return depth == 0 ? Predict.run(model, input) : this.nested(depth - 1, model, input);
    }

    /// @notice Asks, remembers the answer, and goes on if the engine refuses.
    function caught(string memory model, bytes memory input) external returns (bool success, bytes memory answer) {
        try Predict.ENGINE.run(model, input) returns (bytes memory output) {
            (success, answer) = (true, output);
        } catch (bytes memory reason) {
            answer = reason;
        }
        kept = answer;
    }

    /// @notice Gas around a raw call with a gas limit of its own.
    function metered(bytes memory call, uint256 limit)
        external
        view
        returns (bool success, bytes memory answer, uint256 used)
    {
        uint256 before = gasleft();
        (success, answer) = address(Predict.ENGINE).staticcall{gas: limit}(call);
        used = before - gasleft();
    }

    // ------------------------------------------------------------------ loading once

    /// @notice Gas of three equal predictions in one transaction.
    function thrice(string memory model, bytes memory input) external view returns (uint256[3] memory used) {
        for (uint256 i = 0; i < 3; ++i) {
            uint256 before = gasleft();
            Predict.run(model, input);
            used[i] = before - gasleft();
        }
    }

    function runAndRevert(string memory model, bytes memory input) external view {
        Predict.run(model, input);
        revert OnPurpose();
    }

    /// @notice Gas of a prediction after one whose frame was reverted.
    function afterRevert(string memory model, bytes memory input) external view returns (uint256 used) {
        try this.runAndRevert(model, input) {} catch {}
        uint256 before = gasleft();
        Predict.run(model, input);
        used = before - gasleft();
    }

    // ------------------------------------------------------------------ publishing

    /// @notice Deploys chunks and manifest (already as call data of the factory), publishes, and asks, in one transaction.
    function publishAndRun(string memory name, bytes[] memory deployments, address manifest, bytes memory input)
        public
        returns (bytes memory)
    {
        for (uint256 i = 0; i < deployments.length; ++i) {
            (bool deployed,) = FACTORY.call(deployments[i]);
            require(deployed, "the factory refused");
        }
        REGISTRY.publish(name, manifest);
        return Predict.run(name, input);
    }

    function publishAndRevert(string memory name, bytes[] memory deployments, address manifest, bytes memory input)
        external
    {
        publishAndRun(name, deployments, manifest, input);
        revert OnPurpose();
    }

    /// @notice Publishes and asks in a frame that reverts, then asks again; the second time must be refused.
    function revertedPublish(string memory name, bytes[] memory deployments, address manifest, bytes memory input)
        external
        returns (bool success, bytes memory answer)
    {
        try this.publishAndRevert(name, deployments, manifest, input) {} catch {}
        try Predict.ENGINE.run(name, input) returns (bytes memory output) {
            return (true, output);
        } catch (bytes memory reason) {
            return (false, reason);
        }
    }
}
