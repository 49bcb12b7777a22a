// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

/// @notice Labelled inputs that lie on the chain, and cannot change there.
/// @param commitment a hash of all that follows and, by the chunks' addresses, of every byte of the data
/// @param chunks the accounts that hold the data
/// @param chunkBytes of data in each chunk but the last
/// @param samples how many there are
/// @param inputBytes of one packed input
/// @param classes labels are below this
struct TestSet {
    bytes32 commitment;
    address[] chunks;
    uint64 chunkBytes;
    uint64 samples;
    uint64 inputBytes;
    uint32 classes;
}

/// @title Test sets as code of accounts
/// @notice The data are samples one after another, each a label (u16, big-endian) and a packed input. They are cut into chunks of equal
/// length, and each chunk is the code of an account, `00 ‖ data`, deployed as the chunks of models are (docs/spec/predict.md §3): its address
/// follows from its content, so nobody can put other bytes there, now or later.
library TestSets {
    address private constant CHUNK_FACTORY = 0x4e59b44847b379578588920cA78FbF26c0B4956C;
    /// Init code that returns what follows it.
    bytes11 private constant INIT_CODE = 0x600b5981380380925939f3;
    uint256 private constant INIT_BYTES = 11;
    uint256 private constant LABEL_BYTES = 2;

    /// @notice Nothing to be tested on: no chunks, or inputs of no bytes.
    error EmptyTestSet();
    /// @notice Labels are u16: at least 2 classes, at most 65,536.
    error ClassesOutOfRange(uint256 classes);
    /// @notice No chunk: there is no data, or the address does not follow from them.
    error InvalidTestChunk(address chunk);
    /// @notice Only the last chunk may be shorter than the first.
    error WrongChunkLength(address chunk, uint256 expected, uint256 got);
    /// @notice The data are not whole samples.
    error WrongTestSetLength(uint256 sampleBytes, uint256 got);
    error LabelOutOfRange(uint256 sample, uint256 label, uint256 classes);

    /// @notice Checks the data and keeps where they are. Costs by their length: about one gas a byte.
    function commit(TestSet storage set, address[] memory chunks, uint64 inputBytes, uint32 classes) internal {
        if (chunks.length == 0 || inputBytes == 0) revert EmptyTestSet();
        if (classes < 2 || classes > 1 << 16) revert ClassesOutOfRange(classes);
        uint256 length = _checkChunks(chunks);
        uint256 sampleBytes = LABEL_BYTES + uint256(inputBytes);
        if (length % sampleBytes != 0) revert WrongTestSetLength(sampleBytes, length);
        set.commitment = keccak256(abi.encode(chunks, inputBytes, classes));
        set.chunks = chunks;
        set.chunkBytes = uint64(chunks[0].code.length - 1);
        set.samples = uint64(length / sampleBytes);
        set.inputBytes = inputBytes;
        set.classes = classes;
        for (uint256 i = 0; i < set.samples; ++i) {
            uint256 label = labelAt(set, i);
            if (label >= classes) revert LabelOutOfRange(i, label, classes);
        }
    }

    /// @notice The right answer to a sample.
    function labelAt(TestSet storage set, uint256 sample) internal view returns (uint256 label) {
        assembly ("memory-safe") {
            mstore(0, 0)
        }
        _copy(set, sample * (LABEL_BYTES + set.inputBytes), LABEL_BYTES, 32 - LABEL_BYTES);
        assembly ("memory-safe") {
            label := mload(0)
        }
    }

    /// @notice A sample, without the answer.
    function inputAt(TestSet storage set, uint256 sample) internal view returns (bytes memory input) {
        uint256 length = set.inputBytes;
        input = new bytes(length);
        uint256 to;
        assembly ("memory-safe") {
            to := add(input, 32)
        }
        _copy(set, sample * (LABEL_BYTES + length) + LABEL_BYTES, length, to);
    }

    /// Copies data to memory, across chunks.
    function _copy(TestSet storage set, uint256 from, uint256 length, uint256 to) private view {
        uint256 chunkBytes = set.chunkBytes;
        while (length > 0) {
            address chunk = set.chunks[from / chunkBytes];
            uint256 within = from % chunkBytes;
            uint256 part = chunkBytes - within < length ? chunkBytes - within : length;
            assembly ("memory-safe") {
                extcodecopy(chunk, to, add(within, 1), part)
            }
            from += part;
            to += part;
            length -= part;
        }
    }

    /// The length of all data, once every chunk has been found to be one.
    function _checkChunks(address[] memory chunks) private view returns (uint256 length) {
        uint256 full = chunks[0].code.length;
        bytes memory initCode = new bytes(INIT_BYTES + full);
        bytes11 prefix = INIT_CODE;
        assembly ("memory-safe") {
            mstore(add(initCode, 32), prefix)
        }
        for (uint256 i = 0; i < chunks.length; ++i) {
            address chunk = chunks[i];
            uint256 size = chunk.code.length;
            if (size < 2) revert InvalidTestChunk(chunk);
            if (size > full || (size < full && i + 1 < chunks.length)) revert WrongChunkLength(chunk, full - 1, size - 1);
            bytes32 hash;
            uint256 first;
            assembly ("memory-safe") {
                let code := add(initCode, 43)
                extcodecopy(chunk, code, 0, size)
                first := byte(0, mload(code))
                hash := keccak256(add(initCode, 32), add(INIT_BYTES, size))
            }
            hash = keccak256(abi.encodePacked(bytes1(0xff), CHUNK_FACTORY, bytes32(0), hash));
            if (first != 0 || address(uint160(uint256(hash))) != chunk) revert InvalidTestChunk(chunk);
            length += size - 1;
        }
    }
}
