// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

/// @title A contract that calls back, for tests
/// @notice Prepared with calls, it makes them all when a governor's timelock calls `act`, and when it is asked for the weight of a vote: it is
/// an electorate too, whose every member has weight 1, and 1,000,000 if one of the calls succeeded.
contract Reentrant {
    /// @dev Enough for each of the calls that the tests make, were they allowed.
    uint256 private constant CALL_GAS = 1_000_000;

    address[] private _targets;
    bytes[] private _calls;

    /// @notice How many calls `act` has made.
    uint256 public tried;
    /// @notice Which of them succeeded, a bit each.
    uint256 public succeeded;

    function prepare(address[] memory targets, bytes[] memory calls) external {
        (_targets, _calls, tried, succeeded) = (targets, calls, 0, 0);
    }

    function act() external {
        (uint256 made, uint256 done) = _callAll();
        tried += made;
        succeeded |= done;
    }

    // ------------------------------------------------------------------ an electorate

    function clock() external view returns (uint48) {
        return uint48(block.timestamp);
    }

    // solhint-disable-next-line func-name-mixedcase
    function CLOCK_MODE() external pure returns (string memory) {
        return "mode=timestamp";
    }

    function getPastTotalSupply(uint256) external pure returns (uint256) {
        return 1;
    }

    /// @dev No view, as that of an honest electorate is.
    function getPastVotes(address, uint256) external returns (uint256) {
        (, uint256 done) = _callAll();
        return done == 0 ? 1 : 1_000_000;
    }

    function _callAll() private returns (uint256 made, uint256 done) {
        for (; made < _targets.length; ++made) {
            // Writing where one may not burns all the gas of the call: leave some for the next.
            (bool success,) = _targets[made].call{gas: CALL_GAS}(_calls[made]);
            if (success) done |= 1 << made;
        }
    }
}
