// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IPredict} from "./IPredict.sol";
import {PredictSignature} from "./PredictSignature.sol";

/// @title Predict: neural networks for contracts
/// @notice Thin, `view`-safe wrappers around the engine of a Synod chain:
///
///     int256[] memory wine = ...;                                    // thirteen measurements, 1e6 = 1.0
///     (uint256 cultivar, int256 score) = Predict.classifyFixed("cellar/wines", wine, 6);
///
/// A call that fails reverts with one of the errors in `IPredict`, which bubbles up unchanged. To catch one, call the
/// engine itself, since `try` needs an external call:
///
///     try Predict.ENGINE.run("cellar/wines", input) returns (bytes memory output) { ... }
///     catch (bytes memory reason) { ... }
library Predict {
    /// @notice The precompile.
    IPredict internal constant ENGINE = IPredict(0x000000000000000000000000000000000000AE01);

    /// @notice ONNX `TensorProto.DataType` codes.
    uint8 internal constant FLOAT32 = 1;
    uint8 internal constant UINT8 = 2;
    uint8 internal constant INT8 = 3;
    uint8 internal constant UINT16 = 4;
    uint8 internal constant INT16 = 5;
    uint8 internal constant INT32 = 6;
    uint8 internal constant INT64 = 7;
    uint8 internal constant BOOL = 9;
    uint8 internal constant FLOAT16 = 10;
    uint8 internal constant FLOAT64 = 11;
    uint8 internal constant UINT32 = 12;
    uint8 internal constant UINT64 = 13;
    uint8 internal constant BFLOAT16 = 16;

    // ------------------------------------------------------------------ predictions

    /// @notice Runs a model on packed input; see `IPredict.run`.
    function run(string memory model, bytes memory input) internal view returns (bytes memory) {
        return ENGINE.run(model, input);
    }

    /// @notice Runs a model, named by id, on packed input.
    function run(bytes32 id, bytes memory input) internal view returns (bytes memory) {
        return ENGINE.runId(id, input);
    }

    /// @notice Runs a model on packed input and gives up with `MaxGasExceeded` rather than spend more than `maxGas`.
    function run(string memory model, bytes memory input, uint64 maxGas) internal view returns (bytes memory) {
        bytes memory result = ENGINE.withMaxGas(maxGas, abi.encodeCall(IPredict.run, (model, input)));
        return abi.decode(result, (bytes));
    }

    /// @notice Runs a model on many packed inputs; loading and planning are paid once.
    function runBatch(string memory model, bytes[] memory inputs) internal view returns (bytes[] memory) {
        return ENGINE.runBatch(model, inputs);
    }

    /// @notice Runs a model on tensors, one for each input.
    function runTensors(string memory model, IPredict.Tensor[] memory inputs)
        internal
        view
        returns (IPredict.Tensor[] memory)
    {
        return ENGINE.runTensors(model, inputs);
    }

    /// @notice Runs a model on fixed-point values and returns fixed point; see `IPredict.runFixed`.
    function runFixed(string memory model, int256[] memory values, uint8 inDecimals, uint8 outDecimals)
        internal
        view
        returns (int256[] memory)
    {
        return ENGINE.runFixed(model, values, inDecimals, outDecimals);
    }

    /// @notice The likeliest class of one packed sample and its score, where 1e18 is one.
    function classify(string memory model, bytes memory input) internal view returns (uint256 label, int256 score) {
        return ENGINE.classify(model, input);
    }

    /// @notice The likeliest class of one sample in fixed point and its score, where 1e18 is one.
    function classifyFixed(string memory model, int256[] memory values, uint8 decimals)
        internal
        view
        returns (uint256 label, int256 score)
    {
        return ENGINE.classifyFixed(model, values, decimals);
    }

    // ------------------------------------------------------------------ words and pictures

    /// @notice What a model writes when it reads `input`: `Predict.text("words/en-de", "The apples are good.")`.
    function text(string memory model, string memory input) internal view returns (string memory) {
        return ENGINE.text(model, input);
    }

    /// @notice `text` with limits that end it early; see `IPredict.generate`.
    function generate(string memory model, string memory input, uint32 maxTokens, uint64 maxGas)
        internal
        view
        returns (IPredict.Generated memory)
    {
        return ENGINE.generate(model, input, maxTokens, maxGas);
    }

    /// @notice The likeliest class of a text and its probability, where 1e18 is one.
    function classifyText(string memory model, string memory input)
        internal
        view
        returns (string memory name, int256 score)
    {
        (, name, score) = ENGINE.classifyText(model, input);
    }

    /// @notice The likeliest class of a picture (PNG or JPEG) and its probability, where 1e18 is one.
    function image(string memory model, bytes memory picture) internal view returns (string memory name, int256 score) {
        (, name, score) = ENGINE.classifyImage(model, picture);
    }

    /// @notice The likeliest class of a picture that is stored on the chain, and its probability, where 1e18 is one.
    function image(string memory model, address file) internal view returns (string memory name, int256 score) {
        (, name, score) = ENGINE.classifyFile(model, file);
    }

    // ------------------------------------------------------------------ questions

    /// @notice The id that a name stands for now. Keep it to pin a model for good.
    function idOf(string memory model) internal view returns (bytes32) {
        return ENGINE.resolve(model);
    }

    /// @notice What `run` costs inside the engine as the first call of this model in a transaction.
    function gasOf(string memory model) internal view returns (uint64) {
        return ENGINE.quote(model).total;
    }

    /// @notice A model's inputs and outputs; see `IPredict.signature`.
    function signatureOf(string memory model)
        internal
        view
        returns (IPredict.Port[] memory inputs, IPredict.Port[] memory outputs)
    {
        return PredictSignature.ask(ENGINE, abi.encodeCall(IPredict.signature, (model)));
    }

    /// @notice The same of a model named by id.
    function signatureOf(bytes32 id)
        internal
        view
        returns (IPredict.Port[] memory inputs, IPredict.Port[] memory outputs)
    {
        return PredictSignature.ask(ENGINE, abi.encodeCall(IPredict.signatureId, (id)));
    }

    // ------------------------------------------------------------------ numbers

    /// @notice Fixed-point values as packed float32, each rounded to nearest once.
    function packF32(int256[] memory values, uint8 decimals) internal view returns (bytes memory) {
        return ENGINE.pack(FLOAT32, values, decimals);
    }

    /// @notice Packed float32 as fixed-point values, each rounded to nearest once.
    function unpackF32(bytes memory data, uint8 decimals) internal view returns (int256[] memory) {
        return ENGINE.unpack(FLOAT32, data, decimals);
    }

    /// @notice Fixed-point values as packed elements of any type.
    function pack(uint8 dtype, int256[] memory values, uint8 decimals) internal view returns (bytes memory) {
        return ENGINE.pack(dtype, values, decimals);
    }

    /// @notice Packed elements of any type as fixed-point values.
    function unpack(uint8 dtype, bytes memory data, uint8 decimals) internal view returns (int256[] memory) {
        return ENGINE.unpack(dtype, data, decimals);
    }

    /// @notice A float32 tensor from fixed-point values.
    function tensorF32(uint64[] memory shape, int256[] memory values, uint8 decimals)
        internal
        view
        returns (IPredict.Tensor memory)
    {
        return IPredict.Tensor({dtype: FLOAT32, shape: shape, data: ENGINE.pack(FLOAT32, values, decimals)});
    }
}
