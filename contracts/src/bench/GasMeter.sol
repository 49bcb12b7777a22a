// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

/// @title What a call costs, seen from a contract
contract GasMeter {
    /// @notice The gas that a static call of `target` takes, and its answer.
    function measure(address target, bytes memory data) public view returns (uint256 used, bytes memory answer) {
        bool success;
        uint256 before = gasleft();
        (success, answer) = target.staticcall(data);
        used = before - gasleft();
        if (!success) {
            assembly ("memory-safe") {
                revert(add(answer, 32), mload(answer))
            }
        }
    }

    /// @notice Makes the same static call `times` times, and returns the gas of the last.
    function repeat(address target, bytes calldata data, uint256 times) external view returns (uint256 used) {
        bytes memory input = data;
        for (uint256 i = 0; i < times; ++i) {
            uint256 before = gasleft();
            assembly ("memory-safe") {
                // Answers are thrown away, so that memory does not grow with every call.
                if iszero(staticcall(gas(), target, add(input, 32), mload(input), 0, 0)) {
                    let free := mload(0x40)
                    returndatacopy(free, 0, returndatasize())
                    revert(free, returndatasize())
                }
            }
            used = before - gasleft();
        }
    }
}
