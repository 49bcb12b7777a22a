// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

/// The part of forge's cheat codes that the tests use. With forge-std installed, take its `Vm`.
interface Vm {
    function etch(address target, bytes calldata code) external;
    function expectRevert(bytes calldata reason) external;
    function startBroadcast() external;
    function stopBroadcast() external;
}

Vm constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
