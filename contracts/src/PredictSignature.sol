// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IPredict} from "./IPredict.sol";

/// @title The inputs and outputs of a model, for contracts
/// @dev `IPredict.signature` returns lists of structs with lists of structs, for which the compiler's own decoder is too deep for
/// the stack where code is optimised without `viaIR`. This one reads the same encoding step by step.
library PredictSignature {
    /// @notice No engine answered: this is no Synod chain.
    error NoEngine();

    /// @notice Asks the engine.
    /// @param call `abi.encodeCall(IPredict.signature, (model))` or `abi.encodeCall(IPredict.signatureId, (id))`
    function ask(IPredict engine, bytes memory call)
        internal
        view
        returns (IPredict.Port[] memory inputs, IPredict.Port[] memory outputs)
    {
        (bool answered, bytes memory answer) = address(engine).staticcall(call);
        if (!answered) {
            assembly ("memory-safe") {
                revert(add(answer, 32), mload(answer))
            }
        }
        if (answer.length < 64) revert NoEngine();
        inputs = ports(answer, word(answer, 0));
        outputs = ports(answer, word(answer, 32));
    }

    function ports(bytes memory data, uint256 start) private pure returns (IPredict.Port[] memory list) {
        list = new IPredict.Port[](word(data, start));
        start += 32;
        for (uint256 i = 0; i < list.length; ++i) {
            uint256 port = start + word(data, start + 32 * i);
            list[i].name = text(data, port + word(data, port));
            list[i].dtype = uint8(word(data, port + 32));
            list[i].shape = dimensions(data, port + word(data, port + 64));
        }
    }

    function dimensions(bytes memory data, uint256 start) private pure returns (IPredict.Dimension[] memory list) {
        list = new IPredict.Dimension[](word(data, start));
        start += 32;
        for (uint256 i = 0; i < list.length; ++i) {
            uint256 dimension = start + word(data, start + 32 * i);
            list[i].symbol = text(data, dimension + word(data, dimension));
            list[i].size = uint64(word(data, dimension + 32));
        }
    }

    function text(bytes memory data, uint256 start) private pure returns (string memory) {
        bytes memory found = new bytes(word(data, start));
        for (uint256 i = 0; i < found.length; ++i) {
            found[i] = data[start + 32 + i];
        }
        return string(found);
    }

    function word(bytes memory data, uint256 offset) private pure returns (uint256 value) {
        assembly ("memory-safe") {
            value := mload(add(add(data, 32), offset))
        }
    }
}
