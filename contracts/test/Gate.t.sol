// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {AccuracyGate, Exam} from "../src/governance/AccuracyGate.sol";
import {IPredict} from "../src/IPredict.sol";
import {ModelRegistry} from "../src/ModelRegistry.sol";
import {Forge} from "./Forge.sol";

/// @dev An engine for models that are as good as their manifest's address says: forge has none of its own. An input is one byte, whose lowest bit is its
/// label; a model errs on it if the byte is not below the last byte of the model's id.
contract FakeEngine {
    function validate(address manifest) external pure returns (IPredict.Validated memory found) {
        found.id = bytes32(uint256(uint160(manifest)));
        found.profile = 1;
    }

    function signatureId(bytes32) external pure returns (IPredict.Port[] memory inputs, IPredict.Port[] memory outputs) {
        outputs = new IPredict.Port[](1);
        outputs[0].dtype = 2;
        outputs[0].shape = new IPredict.Dimension[](1);
        outputs[0].shape[0].size = 2;
    }

    function runBatchId(bytes32 id, bytes[] calldata inputs) external pure returns (bytes[] memory answers) {
        answers = new bytes[](inputs.length);
        for (uint256 i = 0; i < inputs.length; ++i) {
            uint8 input = uint8(inputs[i][0]);
            bool one = (input & 1 == 1) == (input < uint8(uint256(id)));
            answers[i] = one ? bytes(hex"0001") : bytes(hex"0100");
        }
    }
}

/// @dev Anybody doing anything to a model under a gate, and to the gate.
contract GateHandler is Forge {
    ModelRegistry private constant REGISTRY = ModelRegistry(0x000000000000000000000000000000000000ae02);
    string public constant NAME = "org/model";
    AccuracyGate public gate;
    /// @notice How many versions were activated, so that one sees that the tests get that far.
    uint256 public activations;

    constructor(AccuracyGate gate_) {
        gate = gate_;
    }

    function member(uint256 seed) private view returns (address) {
        return seed % 4 == 0 ? address(this) : address(uint160(0xabc0 + seed % 4));
    }

    function idOf(uint8 quality) private pure returns (bytes32) {
        return bytes32(uint256(0x1000) + quality);
    }

    function publishCandidate(uint8 quality) external {
        try REGISTRY.publish("engineer/candidates", address(uint160(uint256(idOf(quality))))) {} catch {}
    }

    function score(uint256 who, uint8 quality, uint8 count) external {
        vm.prank(member(who));
        try gate.score(idOf(quality), count) {} catch {}
    }

    function scoreAndActivate(uint256 who, uint8 quality) external {
        try REGISTRY.publish("engineer/candidates", address(uint160(uint256(idOf(quality))))) {} catch {}
        try gate.score(idOf(quality), type(uint256).max) {} catch {}
        vm.prank(member(who));
        try gate.activate(idOf(quality)) {
            ++activations;
        } catch {}
    }

    function pointAlias(uint256 who, uint8 version) external {
        vm.prank(member(who));
        try gate.setAlias("stable", version) {} catch {}
    }

    function lower(uint256 who, uint256 what, uint8 version) external {
        vm.prank(member(who));
        if (what % 3 == 0) try gate.deprecate(version, "why") {} catch {}
        else if (what % 3 == 1) try gate.restore(version) {} catch {}
        else try gate.removeAlias("stable") {} catch {}
    }

    /// @notice Around the gate.
    function attack(uint256 who, uint256 what, uint8 quality, uint8 version) external {
        address sender = member(who);
        bytes[10] memory calls = [
            abi.encodeCall(ModelRegistry.publishId, (NAME, idOf(quality))),
            abi.encodeCall(ModelRegistry.publishIdOnly, (NAME, idOf(quality))),
            abi.encodeCall(ModelRegistry.publish, (NAME, address(uint160(uint256(idOf(quality)))))),
            abi.encodeCall(ModelRegistry.setLatest, (NAME, version)),
            abi.encodeCall(ModelRegistry.setAlias, (NAME, "stable", version)),
            abi.encodeCall(ModelRegistry.transferModel, (NAME, sender)),
            abi.encodeCall(ModelRegistry.acceptModel, (NAME)),
            abi.encodeCall(ModelRegistry.revoke, (NAME, version, "why")),
            abi.encodeCall(ModelRegistry.removeAlias, (NAME, "stable")),
            abi.encodeCall(ModelRegistry.restore, (NAME, version))
        ];
        vm.prank(sender);
        (bool done,) = address(REGISTRY).call(calls[what % calls.length]);
        require(!done, "somebody got around the gate");
        Exam memory easy;
        bytes[3] memory own = [
            abi.encodeCall(AccuracyGate.setExam, (easy)),
            abi.encodeCall(AccuracyGate.transferModel, (sender)),
            abi.encodeWithSignature("transferOwnership(address)", sender)
        ];
        if (sender == address(this)) return; // its owner may
        vm.prank(sender);
        (done,) = address(gate).call(own[what % own.length]);
        require(!done, "somebody took the gate");
    }
}

/// @notice Whatever anybody does, a name under a gate stands for models that passed. The registry is the real one, the engine is not.
contract GateInvariants is Forge {
    ModelRegistry private constant REGISTRY = ModelRegistry(0x000000000000000000000000000000000000ae02);
    address private constant ENGINE = 0x000000000000000000000000000000000000AE01;
    address private constant CHUNK_FACTORY = 0x4e59b44847b379578588920cA78FbF26c0B4956C;
    uint16 private constant THRESHOLD = 8_000;
    string private constant NAME = "org/model";
    GateHandler private handler;

    function setUp() external {
        vm.etch(ENGINE, type(FakeEngine).runtimeCode);
        vm.etch(address(REGISTRY), type(ModelRegistry).runtimeCode);
        vm.etch(
            CHUNK_FACTORY,
            hex"7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
        );
        // Ten samples, 0 to 225 in steps of 25: a model of quality 176 or more gets the eight right that it takes.
        bytes memory data;
        for (uint256 i = 0; i < 10; ++i) data = abi.encodePacked(data, uint16(i * 25 % 2), uint8(i * 25));
        (, bytes memory at) = CHUNK_FACTORY.call(abi.encodePacked(bytes32(0), hex"600b5981380380925939f300", data));
        Exam memory exam = Exam(new address[](1), 1, 2, THRESHOLD);
        exam.chunks[0] = address(bytes20(at));
        AccuracyGate gate = new AccuracyGate(NAME, address(this), true, exam);
        handler = new GateHandler(gate);
        gate.transferOwnership(address(handler));
        vm.prank(address(handler));
        gate.acceptOwnership();

        (bytes32 id,) = REGISTRY.publish(NAME, address(0x10ff)); // quality 255
        gate.score(id, 10);
        REGISTRY.transferModel(NAME, address(gate));
        gate.accept();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function invariant_theGateKeepsTheModel() external view {
        require(REGISTRY.modelOwner(NAME) == address(handler.gate()), "owner");
        require(REGISTRY.pendingModelOwner(NAME) == address(0), "offer");
    }

    function invariant_everyVersionPassed() external view {
        for (uint256 version = 1; version <= REGISTRY.countOf(NAME); ++version) {
            bytes32 id = REGISTRY.versionAt(NAME, version).id;
            handler.gate().requirePass(id);
            require(uint8(uint256(id)) > 175, "too bad to pass"); // eight of ten are below
        }
        require(REGISTRY.versionOf(NAME) != 0, "latest");
    }

    /// @notice Scores never exceed the samples, and say what the engine said.
    function testFuzz_scoresDoNotDependOnSlices(uint8 quality, uint8[4] calldata slices) external {
        AccuracyGate gate = handler.gate();
        bytes32 id = bytes32(uint256(0x2000) + quality);
        uint256 done;
        for (uint256 i = 0; i < 4 && done < 10; ++i) {
            if (slices[i] == 0) continue;
            done = done + slices[i] > 10 ? 10 : done + slices[i];
            (uint64 scored,) = gate.score(id, slices[i]);
            equal(scored, done, "scored");
        }
        if (done < 10) gate.score(id, 10);
        uint256 right;
        for (uint256 i = 0; i < 10; ++i) if (i * 25 < quality) ++right;
        (uint64 all, uint64 correct) = gate.scoreOf(id);
        equal(all, 10, "all");
        equal(correct, right, "correct");
    }
}
