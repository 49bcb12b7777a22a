// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {Ownable, Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {IPredict} from "../IPredict.sol";
import {ModelRegistry} from "../ModelRegistry.sol";
import {AnswerLayout, Answers} from "./Answers.sol";
import {TestSet, TestSets} from "./TestSet.sol";

/// @notice What a version must do to be activated.
/// @param chunks the accounts that hold the test set; see `TestSets`
/// @param inputBytes of one packed input
/// @param classes of the labels, and of the models
/// @param threshold the share of samples that must be answered right, in basis points, 1 to 10,000
struct Exam {
    address[] chunks;
    uint64 inputBytes;
    uint32 classes;
    uint16 threshold;
}

/// @title A gate that only accurate models pass
/// @notice Owns one model in the registry. What it makes `latest`, or points an alias at, has answered enough samples of a test set right, and it was the
/// chain that ran them: `score`, in as many transactions as it takes, by whoever likes to pay for them.
///
/// The gate's owner, such as the timelock of a governor, sets exams, deprecates, revokes, moves aliases and may hand the model on. Not even it
/// gets a version past the exam.
/// @dev To put a model under a gate: deploy it, `ModelRegistry.transferModel(name, gate)`, and anybody calls `accept`. The only accounts called are the
/// registry and the engine, which call nobody back.
contract AccuracyGate is Ownable2Step {
    IPredict private constant ENGINE = IPredict(0x000000000000000000000000000000000000AE01);
    ModelRegistry private constant REGISTRY = ModelRegistry(0x000000000000000000000000000000000000ae02);
    uint256 private constant BASIS_POINTS = 10_000;

    /// @notice The model that this gate is for, `org/model`.
    string public name;

    /// @notice Whether anybody may activate what passes and does better than what is active; else only the owner.
    bool public immutable open;

    /// @notice The share of samples that must be answered right, in basis points.
    uint16 public threshold;

    /// @notice How a model did on a test set until now.
    struct Score {
        uint64 scored;
        uint64 correct;
    }

    TestSet private _testSet;
    mapping(bytes32 commitment => mapping(bytes32 id => Score)) private _scores;

    event ExamSet(bytes32 indexed commitment, uint64 samples, uint64 inputBytes, uint32 classes, uint16 threshold);
    /// @notice Of the first `scored` samples the model has answered `correct` right.
    event Scored(bytes32 indexed id, bytes32 indexed commitment, address indexed by, uint64 scored, uint64 correct);
    event Activated(bytes32 indexed id, bytes32 indexed commitment, address indexed by, uint256 version);

    error ThresholdOutOfRange(uint16 threshold);
    /// @notice `count` must be 1 or more.
    error NothingToScore();
    /// @notice All samples have been scored: nothing can change the result.
    error AlreadyScored(bytes32 id);
    /// @notice The model has another number of classes than the test set.
    error WrongClassCount(bytes32 id, uint256 expected, uint256 got);
    /// @notice Samples are left: call `score`.
    error NotScored(bytes32 id, uint64 scored, uint64 samples);
    /// @notice Not accurate enough.
    error BelowThreshold(bytes32 id, uint64 correct, uint64 samples, uint16 threshold);
    /// @notice Only the owner may activate what does no better than the model `than`, which is active.
    error NotBetter(bytes32 id, uint64 correct, bytes32 than, uint64 active);
    error UnknownVersion(string name, uint256 version);

    /// @param name_ the model that this gate is for
    /// @param owner_ who sets exams
    /// @param open_ whether anybody may activate what passes and does better than what is active; else only the owner
    constructor(string memory name_, address owner_, bool open_, Exam memory exam) Ownable(owner_) {
        name = name_;
        open = open_;
        _setExam(exam);
    }

    // ------------------------------------------------------------------ anybody's

    /// @notice Takes the model that is offered to this gate.
    function accept() external {
        REGISTRY.acceptModel(name);
    }

    /// @notice Runs a model, whoever published it and where, on the next `count` samples and counts its right answers. How many samples fit into a
    /// transaction is for the caller to know: a call that runs out of gas leaves no trace.
    /// @return scored how many samples have been run by now
    /// @return correct how many of them were answered right
    function score(bytes32 id, uint256 count) external returns (uint64 scored, uint64 correct) {
        TestSet storage set = _testSet;
        Score storage found = _scores[set.commitment][id];
        (scored, correct) = (found.scored, found.correct);
        uint256 left = set.samples - scored;
        if (left == 0) revert AlreadyScored(id);
        if (count == 0) revert NothingToScore();
        if (count > left) count = left;

        AnswerLayout memory form = _formOf(id, set.classes);
        bytes[] memory answers = ENGINE.runBatchId(id, _inputs(set, scored, count));
        correct += _countCorrect(set, scored, form, answers);
        scored += uint64(count);

        (found.scored, found.correct) = (scored, correct);
        emit Scored(id, set.commitment, msg.sender, scored, correct);
    }

    /// @notice Publishes a model that passes as the next version, for which the bare name stands from now on; or makes the bare name stand for it again, if it
    /// has been published here. The owner's, and if the gate is open anybody's, for a model that does better than the one that the bare name stands for:
    /// otherwise strangers could put one model in another's place for ever.
    function activate(bytes32 id) external returns (uint256 version) {
        if (msg.sender != owner()) {
            if (!open) revert OwnableUnauthorizedAccount(msg.sender);
            _requireBetter(id);
        }
        requirePass(id);
        version = REGISTRY.versionOfId(name, id);
        if (version == 0) version = REGISTRY.publishId(name, id);
        else REGISTRY.setLatest(name, version);
        emit Activated(id, _testSet.commitment, msg.sender, version);
    }

    // ------------------------------------------------------------------ the owner's

    /// @notice Sets another exam. What is active stays so; scores belong to the test set that they were made on.
    function setExam(Exam calldata exam) external onlyOwner {
        _setExam(exam);
    }

    /// @notice Points an alias at a version that passes.
    function setAlias(string calldata aliasName, uint256 version) external onlyOwner {
        bytes32 id = REGISTRY.versionAt(name, version).id;
        if (id == 0) revert UnknownVersion(name, version);
        requirePass(id);
        REGISTRY.setAlias(name, aliasName, version);
    }

    function removeAlias(string calldata aliasName) external onlyOwner {
        REGISTRY.removeAlias(name, aliasName);
    }

    function deprecate(uint256 version, string calldata reason) external onlyOwner {
        REGISTRY.deprecate(name, version, reason);
    }

    function restore(uint256 version) external onlyOwner {
        REGISTRY.restore(name, version);
    }

    function revoke(uint256 version, string calldata reason) external onlyOwner {
        REGISTRY.revoke(name, version, reason);
    }

    /// @notice Offers the model to another owner, to whom no exam applies; to zero to withdraw an offer.
    function transferModel(address to) external onlyOwner {
        REGISTRY.transferModel(name, to);
    }

    // ------------------------------------------------------------------ questions

    /// @notice Reverts unless a model has been run on all samples and answered enough of them right.
    function requirePass(bytes32 id) public view {
        (uint64 scored, uint64 correct) = scoreOf(id);
        uint64 samples = _testSet.samples;
        if (scored < samples) revert NotScored(id, scored, samples);
        if (correct * BASIS_POINTS < samples * uint256(threshold)) revert BelowThreshold(id, correct, samples, threshold);
    }

    /// @notice How a model has done on the present test set until now.
    function scoreOf(bytes32 id) public view returns (uint64 scored, uint64 correct) {
        Score storage found = _scores[_testSet.commitment][id];
        return (found.scored, found.correct);
    }

    /// @notice The present test set.
    function testSet() external view returns (TestSet memory) {
        return _testSet;
    }

    /// @notice One sample of it: what models are asked, and the right answer.
    function sampleAt(uint256 sample) external view returns (bytes memory input, uint256 label) {
        return (TestSets.inputAt(_testSet, sample), TestSets.labelAt(_testSet, sample));
    }

    // ------------------------------------------------------------------ inside

    /// That a model does better than the one that is active, which must have been scored, too.
    function _requireBetter(bytes32 id) private view {
        bytes32 active = REGISTRY.versionAt(name, REGISTRY.versionOf(name)).id;
        if (active == 0) return;
        (uint64 scored, uint64 best) = scoreOf(active);
        if (scored < _testSet.samples) revert NotScored(active, scored, _testSet.samples);
        (, uint64 correct) = scoreOf(id);
        if (correct <= best) revert NotBetter(id, correct, active, best);
    }

    /// Where a model's answers hold the scores of so many classes.
    function _formOf(bytes32 id, uint256 classes) private view returns (AnswerLayout memory form) {
        (bool answered, bytes memory answer) = address(ENGINE).staticcall(abi.encodeCall(IPredict.signatureId, (id)));
        Address.verifyCallResult(answered, answer);
        form = Answers.layoutOf(answer);
        if (form.classes != classes) revert WrongClassCount(id, classes, form.classes);
    }

    function _inputs(TestSet storage set, uint256 first, uint256 count) private view returns (bytes[] memory inputs) {
        inputs = new bytes[](count);
        for (uint256 i = 0; i < count; ++i) inputs[i] = TestSets.inputAt(set, first + i);
    }

    function _countCorrect(TestSet storage set, uint256 first, AnswerLayout memory form, bytes[] memory answers)
        private
        view
        returns (uint64 correct)
    {
        for (uint256 i = 0; i < answers.length; ++i) {
            if (Answers.label(form, answers[i]) == TestSets.labelAt(set, first + i)) ++correct;
        }
    }

    function _setExam(Exam memory exam) private {
        if (exam.threshold == 0 || exam.threshold > BASIS_POINTS) revert ThresholdOutOfRange(exam.threshold);
        TestSets.commit(_testSet, exam.chunks, exam.inputBytes, exam.classes);
        threshold = exam.threshold;
        emit ExamSet(_testSet.commitment, _testSet.samples, exam.inputBytes, exam.classes, exam.threshold);
    }
}
