// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// A contract with a bit of everything that clients do: storage, events, calls, reverts of each kind.
contract Counter {
    event Counted(address indexed by, uint256 indexed value, string note);

    error TooMuch(uint256 asked, uint256 limit);

    uint256 public value;

    constructor(uint256 start) payable {
        value = start;
    }

    function count(uint256 by, string calldata note) external payable returns (uint256) {
        if (by > 100) revert TooMuch(by, 100);
        require(by != 13, "unlucky");
        assert(by != 14);
        value += by;
        emit Counted(msg.sender, value, note);
        return value;
    }

    /// Burns through gas in a nested call that is caught: an estimate must leave enough for the 63/64 rule.
    function nested(uint256 rounds) external returns (bool) {
        try this.burn(rounds) {
            return true;
        } catch {
            return false;
        }
    }

    function nestedOrRevert(uint256 rounds) external {
        this.burn(rounds);
    }

    function burn(uint256 rounds) external {
        for (uint256 i = 0; i < rounds; ++i) {
            value = uint256(keccak256(abi.encode(value, i)));
        }
    }
}
