// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {Governor} from "@openzeppelin/contracts/governance/Governor.sol";
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {GovernorSettings} from "@openzeppelin/contracts/governance/extensions/GovernorSettings.sol";
import {GovernorTimelockControl} from "@openzeppelin/contracts/governance/extensions/GovernorTimelockControl.sol";
import {Time} from "@openzeppelin/contracts/utils/types/Time.sol";
import {IERC6372} from "@openzeppelin/contracts/interfaces/IERC6372.sol";

/// @notice How a vote goes. All times are in seconds.
/// @param votingDelay from a proposal to its vote; weights are those of that moment
/// @param votingPeriod how long a vote is open
/// @param executionDelay from the vote's result to what it does: time to leave for those who disagree
/// @param proposalThreshold the weight that one needs to propose
struct Rules {
    uint48 votingDelay;
    uint32 votingPeriod;
    uint256 executionDelay;
    uint256 proposalThreshold;
}

/// @dev A timelock that knows one master. It has no administrator but itself: its roles change by a vote or not at all.
function timelockOf(address governor, uint256 delay) returns (TimelockController) {
    address[] memory only = new address[](1);
    only[0] = governor;
    return new TimelockController(delay, only, only, address(0));
}

/// @title A governor that acts through a timelock of its own
/// @notice What the governors of models share: OpenZeppelin's Governor, its settings and its timelock. `timelock()` is who
/// owns the model: give it the model with `ModelRegistry.transferModel`, and let the first vote take it with `acceptModel`.
/// @dev The governor creates the timelock, so that there is no moment at which anybody else has a role in it. Whoever likes
/// may call `queue` and `execute` of the governor. The clock is the block's timestamp: blocks of this chain come when there
/// is something in them, and counting them would measure no time.
abstract contract TimelockedGovernor is Governor, GovernorSettings, GovernorTimelockControl {
    /// @notice How long a successful proposal may wait, after its vote to be queued and after its delay to be executed. Without an
    /// end, one that fails today would stay a threat for ever: that which makes it succeed may happen years later.
    uint256 public constant GRACE_PERIOD = 14 days;

    /// @notice Weights are counted by seconds; `votes` has another clock.
    error WrongClock(address votes, string mode);

    constructor(Rules memory rules)
        GovernorSettings(rules.votingDelay, rules.votingPeriod, rules.proposalThreshold)
        GovernorTimelockControl(timelockOf(address(this), rules.executionDelay))
    {}

    /// @notice The block's timestamp.
    function clock() public view virtual override returns (uint48) {
        return Time.timestamp();
    }

    // solhint-disable-next-line func-name-mixedcase
    function CLOCK_MODE() public view virtual override returns (string memory) {
        return "mode=timestamp";
    }

    /// @notice Like OpenZeppelin's, and a successful proposal that nobody queues or executes within the grace period expires.
    function state(uint256 proposalId)
        public
        view
        virtual
        override(Governor, GovernorTimelockControl)
        returns (ProposalState)
    {
        ProposalState found = super.state(proposalId);
        uint256 since;
        if (found == ProposalState.Succeeded) since = proposalDeadline(proposalId);
        else if (found == ProposalState.Queued) since = proposalEta(proposalId);
        else return found;
        return block.timestamp > since + GRACE_PERIOD ? ProposalState.Expired : found;
    }

    function proposalNeedsQueuing(uint256 proposalId)
        public
        view
        virtual
        override(Governor, GovernorTimelockControl)
        returns (bool)
    {
        return super.proposalNeedsQueuing(proposalId);
    }

    function proposalThreshold() public view virtual override(Governor, GovernorSettings) returns (uint256) {
        return super.proposalThreshold();
    }

    /// Refuses weights that are kept by another clock than this governor's.
    function _requireSameClock(address votes) internal view {
        string memory mode = IERC6372(votes).CLOCK_MODE();
        if (keccak256(bytes(mode)) != keccak256(bytes(CLOCK_MODE()))) revert WrongClock(votes, mode);
    }

    function _queueOperations(
        uint256 proposalId,
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        bytes32 descriptionHash
    ) internal virtual override(Governor, GovernorTimelockControl) returns (uint48) {
        return super._queueOperations(proposalId, targets, values, calldatas, descriptionHash);
    }

    function _executeOperations(
        uint256 proposalId,
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        bytes32 descriptionHash
    ) internal virtual override(Governor, GovernorTimelockControl) {
        super._executeOperations(proposalId, targets, values, calldatas, descriptionHash);
    }

    function _cancel(
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        bytes32 descriptionHash
    ) internal virtual override(Governor, GovernorTimelockControl) returns (uint256) {
        return super._cancel(targets, values, calldatas, descriptionHash);
    }

    function _executor() internal view virtual override(Governor, GovernorTimelockControl) returns (address) {
        return super._executor();
    }
}
