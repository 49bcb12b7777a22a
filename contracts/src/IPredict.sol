// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

// Models are named `org/model` or `org/model@latest` (the version that the owner chose), `org/model@3` (version 3, which never
// changes), `org/model@stable` (an alias, which the owner moves), `org/model@sha256:…` (the version that has this id), or by
// their 32-byte id alone, which follows from the model's content.
//
// Numbers travel in one of three forms:
// - packed: the elements of all inputs, in declared order, row by row, each big-endian in its declared type;
// - tensors: type, shape and packed elements for each input;
// - fixed point: `int256` values that stand for `value / 10**decimals`.
//
// Exact encodings, gas and errors: docs/spec/predict.md.

/// @title PREDICT, the inference engine of a Synod chain
/// @notice The interface of the precompile at `0x000000000000000000000000000000000000AE01`. The instruction `AE 01`
/// opens a static call to the same code, so both cost and answer the same. Every function is `view`: a prediction
/// reads the chain and writes nothing, works in `eth_call`, in constructors, in nested calls and in `try`/`catch`.
interface IPredict {
    // ------------------------------------------------------------------ data

    /// @param dtype ONNX `TensorProto.DataType`: 1 float32, 2 uint8, 3 int8, 4 uint16, 5 int16, 6 int32, 7 int64,
    /// 9 bool, 10 float16, 11 float64, 12 uint32, 13 uint64, 16 bfloat16
    /// @param shape sizes, slowest axis first; empty for a scalar
    /// @param data elements in row-major order, big-endian
    struct Tensor {
        uint8 dtype;
        uint64[] shape;
        bytes data;
    }

    /// @param symbol empty when the size is fixed, else the name of a free dimension
    /// @param size the size, or the largest size that a free dimension may take; 2**64 - 1 for a dimension of an output that
    /// depends on the values of the input
    struct Dimension {
        string symbol;
        uint64 size;
    }

    /// @notice One input or output of a model.
    struct Port {
        string name;
        uint8 dtype;
        Dimension[] shape;
    }

    /// @notice What a prediction costs, in gas, as the first call of that model in a transaction.
    /// @param total what `run` charges inside the precompile: the sum of the next four
    /// @param transfer name resolution, decoding the input, encoding the output
    /// @param load assembling the model; charged once for each model and transaction
    /// @param planning specialising the model for these shapes
    /// @param execution every node of the graph, and the memory they need
    /// @param peakMemory bytes of tensors alive at the worst moment
    /// @param multiplyAdds multiply-adds of the graph, as the literature counts them
    struct Quote {
        uint64 total;
        uint64 transfer;
        uint64 load;
        uint64 planning;
        uint64 execution;
        uint64 peakMemory;
        uint64 multiplyAdds;
    }

    /// @notice What `validate` established about a model.
    /// @param id the model's content id
    /// @param profile version of the arithmetic and operator profile it was checked against
    /// @param graphBytes length of its graph
    /// @param weightBytes length of its weights
    /// @param chunks number of accounts that hold them, beside the manifest; of a patched model with those of its base, the base's
    /// manifest among them
    /// @param patches how many patches lie between the model and one whose bytes are all on the chain
    /// @param patchBytes the bytes of all these patches
    /// @param steady whether the model stays valid whatever values its weights take, so that a patch of it can be proved
    /// @param kind 0: a network; 1: a pipeline, whose `graphBytes` are those of its description and whose `weightBytes` those of its files
    struct Validated {
        bytes32 id;
        uint32 profile;
        uint64 graphBytes;
        uint64 weightBytes;
        uint32 chunks;
        uint8 patches;
        uint64 patchBytes;
        bool steady;
        uint8 kind;
    }

    /// @notice What a pipeline that writes answers.
    /// @param text what it wrote
    /// @param inputTokens how many tokens it read
    /// @param outputTokens how many it wrote
    /// @param finish 0: the model ended it; 1: `maxTokens` did; 2: `maxGas` did
    struct Generated {
        string text;
        uint32 inputTokens;
        uint32 outputTokens;
        uint8 finish;
    }

    // ------------------------------------------------------------------ errors

    /// @notice The call's first four bytes name no function of this interface.
    error UnknownFunction(bytes4 selector);
    /// @notice The arguments are not a valid ABI encoding; `position` is the byte of the arguments that is at fault.
    error MalformedCall(uint256 position);
    /// @notice PREDICT takes no ether.
    error NonPayable();
    /// @notice Not the name of a model, with or without a version.
    error InvalidName(string name);
    /// @notice No model of that name, or no such version or alias of it.
    error UnknownModel(string name);
    /// @notice The name leads to a version that its owner has revoked; `ModelRegistry.statusOf` tells why.
    error ModelRevoked(string name, uint64 version);
    /// @notice No validated model has this id.
    error UnknownModelId(bytes32 id);
    /// @notice The model was validated against a profile (arithmetic, operators, canonical form) that this chain's engine
    /// does not run; publish it again under `supported`.
    error UnsupportedProfile(bytes32 id, uint32 profile, uint32 supported);

    /// @notice A packed input has the wrong number of bytes.
    error WrongInputLength(uint256 expected, uint256 got);
    /// @notice A packed input with one free dimension must have `fixedBytes + n * step` bytes, `1 <= n <= maximum`.
    error WrongFreeInputLength(uint256 fixedBytes, uint256 step, uint256 maximum, uint256 got);
    /// @notice The model's free dimensions do not follow from a length: use `runTensors`.
    error AmbiguousShape();
    /// @notice A fixed-point input has the wrong number of values.
    error WrongValueCount(uint256 expected, uint256 got);
    /// @notice A fixed-point input with one free dimension must have `fixedValues + n * step` values, `1 <= n <= maximum`.
    error WrongFreeValueCount(uint256 fixedValues, uint256 step, uint256 maximum, uint256 got);
    /// @notice The number of tensors (or of shapes) is not the number of inputs.
    error WrongInputCount(uint256 expected, uint256 got);
    /// @notice The element type of an input differs from the declared one (ONNX codes).
    error WrongInputType(uint256 input, uint8 expected, uint8 got);
    /// @notice An input has the wrong number of dimensions.
    error WrongInputRank(uint256 input, uint256 expected, uint256 got);
    /// @notice A dimension differs from the declared size, or from the size that the same free dimension has elsewhere.
    error WrongDimension(uint256 input, uint256 axis, uint256 expected, uint256 got);
    /// @notice A free dimension is zero or above its bound.
    error DimensionOutOfRange(uint256 input, uint256 axis, uint256 maximum, uint256 got);
    /// @notice The data of a tensor does not fit its shape.
    error WrongTensorLength(uint256 input, uint256 expected, uint256 got);
    /// @notice An input holds a NaN or an infinity.
    error NotFinite(uint256 input, uint256 element);
    /// @notice A byte of a boolean input is neither 0 nor 1.
    error InvalidBool(uint256 input, uint256 element);
    /// @notice A result holds a NaN or an infinity, which fixed point cannot express.
    error OutputNotFinite(uint256 output, uint256 element);
    /// @notice A fixed-point value does not fit the element type, or a result does not fit `int256`.
    error ValueOutOfRange(uint256 element);
    /// @notice At most 76 decimals, since `10**77` does not fit `int256`.
    error DecimalsOutOfRange(uint8 decimals);
    /// @notice Not an element type that the function takes (ONNX code).
    error UnsupportedType(uint8 dtype);
    /// @notice `classify` needs scores for one sample: a result whose dimensions but the last are 1, and that is not empty.
    error NotAClassifier();

    /// @notice Going on would have cost more than the caller's own limit; `used` is what was charged.
    error MaxGasExceeded(uint64 maxGas, uint64 used);
    /// @notice The prediction needs more memory than the chain allows.
    error MemoryLimitExceeded(uint64 limit, uint64 needed);
    /// @notice The model cannot take these shapes; `node` is the operator that refuses them, in graph order.
    error UnsupportedShape(uint256 node);
    /// @notice No quote: how much is to be done depends on the values of the input. Simulate the call, or bound it with `withMaxGas`.
    error DependsOnInput();
    /// @notice The data led to something an operator refuses, such as an index out of range.
    error ExecutionFailed(uint256 node);

    /// @notice No account with a manifest lives at this address.
    error InvalidManifest(address manifest);
    /// @notice A chunk named by the manifest is missing, or its address does not follow from its content.
    error InvalidChunk(address chunk);
    /// @notice The manifest's lengths and its chunks differ.
    error WrongModelLength(uint64 expected, uint64 got);
    /// @notice The bytes are not a model in canonical form; check the file with `synod model inspect` for the reason.
    error InvalidModel();
    /// @notice The bytes of a patch are no edits of its base's weights, or would leave no canonical weights.
    error InvalidPatch(address manifest);
    /// @notice The base already lies under as many patches as a model may: publish in full.
    error TooManyPatches(bytes32 base, uint8 limit);
    /// @notice The proof does not fit the base's id and the leaves that the patch touches.
    error InvalidProof();
    /// @notice Whether the base's graph is valid depends on values of its weights: give no proof, and the result is validated in full.
    error NotSteady(bytes32 base);
    /// @notice The account holds no pipeline, or its parts do not fit each other; `synod model publish FOLDER --dry-run` tells why.
    error InvalidPipeline(address manifest);

    /// @notice The model does not do what the function asks for. `task` is what it is: `network`, which takes numbers; `pipeline`, which does
    /// not; or of a pipeline `text-to-text`, `text-generation`, `text-classification`, `feature-extraction`, `image-classification`.
    error WrongTask(bytes32 id, string task);
    /// @notice A text without tokens, where the model needs one to begin with.
    error EmptyText();
    /// @notice A text is not UTF-8; `position` is the first byte that is at fault.
    error InvalidUtf8(uint256 position);
    /// @notice A text has more bytes, or more tokens, than the model takes.
    error TextTooLong(uint256 limit, uint256 got);
    /// @notice No file is stored at this address.
    error InvalidFile(address file);
    /// @notice Not a picture that can be decoded: neither PNG nor JPEG, cut short, damaged, or of a kind that is not supported.
    error InvalidPicture();
    /// @notice The picture has more pixels than a chain decodes.
    error PictureTooLarge(uint256 limit, uint256 got);

    // ------------------------------------------------------------------ predictions

    /// @notice Runs a model on packed input.
    /// @param model its name, with or without a version
    /// @param input all inputs in declared order, packed; one free dimension may follow from the length
    /// @return output all outputs in declared order, packed
    function run(string calldata model, bytes calldata input) external view returns (bytes memory output);

    /// @notice `run`, by model id.
    function runId(bytes32 id, bytes calldata input) external view returns (bytes memory output);

    /// @notice Runs a model on tensors, one for each input, in declared order.
    function runTensors(string calldata model, Tensor[] calldata inputs)
        external
        view
        returns (Tensor[] memory outputs);

    /// @notice `runTensors`, by model id.
    function runTensorsId(bytes32 id, Tensor[] calldata inputs) external view returns (Tensor[] memory outputs);

    /// @notice Runs a model on fixed-point values: `values[i] / 10**inDecimals`, rounded once to the input's type
    /// (to nearest, ties to even). Results are multiplied by `10**outDecimals` and rounded the same way.
    function runFixed(string calldata model, int256[] calldata values, uint8 inDecimals, uint8 outDecimals)
        external
        view
        returns (int256[] memory results);

    /// @notice `runFixed`, by model id.
    function runFixedId(bytes32 id, int256[] calldata values, uint8 inDecimals, uint8 outDecimals)
        external
        view
        returns (int256[] memory results);

    /// @notice The index of the greatest score (the first on ties) and that score times 1e18, of one packed sample.
    /// The scores are the first output of a floating-point type, or the first output if there is none.
    function classify(string calldata model, bytes calldata input)
        external
        view
        returns (uint256 label, int256 score);

    /// @notice `classify`, by model id.
    function classifyId(bytes32 id, bytes calldata input) external view returns (uint256 label, int256 score);

    /// @notice `classify` on fixed-point values.
    function classifyFixed(string calldata model, int256[] calldata values, uint8 decimals)
        external
        view
        returns (uint256 label, int256 score);

    /// @notice Runs a model on many packed inputs; resolves, loads and (for equal shapes) plans once.
    function runBatch(string calldata model, bytes[] calldata inputs) external view returns (bytes[] memory outputs);

    /// @notice `runBatch`, by model id.
    function runBatchId(bytes32 id, bytes[] calldata inputs) external view returns (bytes[] memory outputs);

    /// @notice What a pipeline writes when it reads `input`: a translation, a continuation. Ends where the model ends it, at the
    /// latest after as many tokens as its own rule allows.
    function text(string calldata model, string calldata input) external view returns (string memory output);

    /// @notice `text`, by model id.
    function textId(bytes32 id, string calldata input) external view returns (string memory output);

    /// @notice `text` with limits that end it early: the answer then is what was written until then, says so, and costs what it used.
    /// @param maxTokens tokens to write at most; 0 for as many as the model's rule allows
    /// @param maxGas what the call may charge in all; 0 for no limit of its own
    function generate(string calldata model, string calldata input, uint32 maxTokens, uint64 maxGas)
        external
        view
        returns (Generated memory);

    /// @notice `generate`, by model id.
    function generateId(bytes32 id, string calldata input, uint32 maxTokens, uint64 maxGas)
        external
        view
        returns (Generated memory);

    /// @notice The likeliest class of a text: its index, its name, and its probability times 1e18.
    function classifyText(string calldata model, string calldata input)
        external
        view
        returns (uint256 label, string memory name, int256 score);

    /// @notice The likeliest class of a picture, PNG or JPEG: its index, its name, and its probability times 1e18.
    function classifyImage(string calldata model, bytes calldata picture)
        external
        view
        returns (uint256 label, string memory name, int256 score);

    /// @notice `classifyImage` of a file that is stored on the chain (`synod file put`).
    function classifyFile(string calldata model, address file)
        external
        view
        returns (uint256 label, string memory name, int256 score);

    /// @notice The tokens of a text as a pipeline reads it, those that it adds at the ends included.
    function tokenize(string calldata model, string calldata input) external view returns (uint32[] memory ids);

    /// @notice How many bytes a file has that is stored on the chain.
    function fileSize(address file) external view returns (uint64 size);

    /// @notice Makes another call of this interface with a limit of its own: where the call would charge more than
    /// `maxGas` it reverts with `MaxGasExceeded` and costs what it used until then, where running out of gas would
    /// burn everything that was passed.
    /// @param call the encoded call, for example `abi.encodeCall(IPredict.run, (model, input))`
    /// @return result what that call returns, still encoded
    function withMaxGas(uint64 maxGas, bytes calldata call) external view returns (bytes memory result);

    // ------------------------------------------------------------------ questions

    /// @notice The id that a name stands for now.
    function resolve(string calldata model) external view returns (bytes32 id);

    /// @notice The model's inputs and outputs.
    function signature(string calldata model) external view returns (Port[] memory inputs, Port[] memory outputs);

    /// @notice `signature`, by model id.
    function signatureId(bytes32 id) external view returns (Port[] memory inputs, Port[] memory outputs);

    /// @notice What `run` would cost, or at most where branches or loops decide. Free dimensions count at their bounds.
    function quote(string calldata model) external view returns (Quote memory);

    /// @notice `quote`, by model id (for `runId`).
    function quoteId(bytes32 id) external view returns (Quote memory);

    /// @notice What `run` would cost for these shapes, one for each input.
    function quoteShapes(string calldata model, uint64[][] calldata shapes) external view returns (Quote memory);

    /// @notice `quoteShapes`, by model id.
    function quoteShapesId(bytes32 id, uint64[][] calldata shapes) external view returns (Quote memory);

    /// @notice What `generate` costs at most for a text and so many tokens to write (0: as many as the rule allows). The text is encoded
    /// and every step is planned, but no network runs.
    function quoteText(string calldata model, string calldata input, uint32 maxTokens)
        external
        view
        returns (Quote memory);

    /// @notice Assembles the network or pipeline that a manifest names and checks it in full. `ModelRegistry` calls this before it
    /// gives a model a name. The networks of a pipeline are models of their own, which were validated before.
    function validate(address manifest) external view returns (Validated memory);

    /// @notice Checks the model that a patch makes of a validated one. `ModelRegistry` calls this before it gives it a name.
    /// @param manifest the account with the patch
    /// @param proof the hashes beside the paths of the leaves that the patch touches (docs/spec/model.md §8); the price is then that of
    /// what changes. Empty, and the whole model is assembled and validated.
    function validatePatch(address manifest, bytes calldata proof) external view returns (Validated memory);

    // ------------------------------------------------------------------ numbers

    /// @notice Packs fixed-point values as big-endian elements of a type, each rounded once.
    function pack(uint8 dtype, int256[] calldata values, uint8 decimals) external view returns (bytes memory data);

    /// @notice The reverse of `pack`: packed elements as fixed point, each rounded once.
    function unpack(uint8 dtype, bytes calldata data, uint8 decimals)
        external
        view
        returns (int256[] memory values);
}
