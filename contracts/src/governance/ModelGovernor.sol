// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {Governor} from "@openzeppelin/contracts/governance/Governor.sol";
import {GovernorCountingSimple} from "@openzeppelin/contracts/governance/extensions/GovernorCountingSimple.sol";
import {GovernorVotes} from "@openzeppelin/contracts/governance/extensions/GovernorVotes.sol";
import {
    GovernorVotesQuorumFraction
} from "@openzeppelin/contracts/governance/extensions/GovernorVotesQuorumFraction.sol";
import {IVotes} from "@openzeppelin/contracts/governance/utils/IVotes.sol";
import {Rules, TimelockedGovernor} from "./TimelockedGovernor.sol";

/// @title A governor of models, of one electorate
/// @notice OpenZeppelin's governor: for, against or abstain; more for than against, and a share of all weight for or abstaining.
contract ModelGovernor is
    TimelockedGovernor,
    GovernorCountingSimple,
    GovernorVotes,
    GovernorVotesQuorumFraction
{
    /// @param name_ what signatures of votes name
    /// @param votes who has how much weight, by timestamps: a `Membership`, an ERC20Votes token, …
    /// @param quorumPercent of all weight, 0 to 100
    constructor(string memory name_, IVotes votes, uint256 quorumPercent, Rules memory rules)
        Governor(name_)
        TimelockedGovernor(rules)
        GovernorVotes(votes)
        GovernorVotesQuorumFraction(quorumPercent)
    {
        _requireSameClock(address(votes));
    }

    function clock() public view override(Governor, TimelockedGovernor, GovernorVotes) returns (uint48) {
        return TimelockedGovernor.clock();
    }

    // solhint-disable-next-line func-name-mixedcase
    function CLOCK_MODE() public view override(Governor, TimelockedGovernor, GovernorVotes) returns (string memory) {
        return TimelockedGovernor.CLOCK_MODE();
    }

    // Solidity wants it said which of these is meant.

    function state(uint256 proposalId) public view override(Governor, TimelockedGovernor) returns (ProposalState) {
        return super.state(proposalId);
    }

    function proposalNeedsQueuing(uint256 proposalId)
        public
        view
        override(Governor, TimelockedGovernor)
        returns (bool)
    {
        return super.proposalNeedsQueuing(proposalId);
    }

    function proposalThreshold() public view override(Governor, TimelockedGovernor) returns (uint256) {
        return super.proposalThreshold();
    }

    function _queueOperations(
        uint256 proposalId,
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        bytes32 descriptionHash
    ) internal override(Governor, TimelockedGovernor) returns (uint48) {
        return super._queueOperations(proposalId, targets, values, calldatas, descriptionHash);
    }

    function _executeOperations(
        uint256 proposalId,
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        bytes32 descriptionHash
    ) internal override(Governor, TimelockedGovernor) {
        super._executeOperations(proposalId, targets, values, calldatas, descriptionHash);
    }

    function _cancel(
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        bytes32 descriptionHash
    ) internal override(Governor, TimelockedGovernor) returns (uint256) {
        return super._cancel(targets, values, calldatas, descriptionHash);
    }

    function _executor() internal view override(Governor, TimelockedGovernor) returns (address) {
        return super._executor();
    }
}
