// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title OpenZeppelin's token as it comes; whoever asks gets some
contract BenchToken is ERC20 {
    constructor() ERC20("Benchmark", "BENCH") {
        _mint(msg.sender, 1e24);
    }

    /// @notice Gives the caller tokens.
    function take() external {
        _mint(msg.sender, 1e24);
    }
}
