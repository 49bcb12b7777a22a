// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

/// @dev The few of forge's cheat codes that these tests use.
interface Vm {
    function prank(address sender) external;
    function warp(uint256 timestamp) external;
    function etch(address account, bytes calldata code) external;
}

/// @title What a test of forge needs: its cheat codes
abstract contract Forge {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    /// @dev How forge knows tests.
    // solhint-disable-next-line const-name-snakecase
    bool public constant IS_TEST = true;

    function equal(uint256 a, uint256 b, string memory what) internal pure {
        require(a == b, what);
    }
}
