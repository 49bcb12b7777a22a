// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IGovernor} from "@openzeppelin/contracts/governance/IGovernor.sol";
import {Chamber, ChamberGovernor} from "../src/governance/ChamberGovernor.sol";
import {Membership} from "../src/governance/Membership.sol";
import {Rules} from "../src/governance/TimelockedGovernor.sol";
import {Forge} from "./Forge.sol";

/// @notice Any weights, quorums and votes: a proposal passes if and only if every chamber passes it by itself.
contract ChambersTest is Forge {
    uint256 private constant MEMBERS = 5;
    uint256 private constant ABSENT = 3;

    function testFuzz_passesIfAndOnlyIfEveryChamberDoes(
        uint64[5] calldata left,
        uint64[5] calldata right,
        uint8[5] calldata votes,
        uint16[2] calldata quorums
    ) external {
        Chamber[] memory chambers = new Chamber[](2);
        chambers[0] = Chamber(chamberOf(left), 1 + quorums[0] % 10_000);
        chambers[1] = Chamber(chamberOf(right), 1 + quorums[1] % 10_000);
        ChamberGovernor governor = new ChamberGovernor("Fuzz", chambers, Rules(10, 100, 0, 0));
        uint256 proposal = propose(governor);
        vm.warp(block.timestamp + 11);
        for (uint256 i = 0; i < MEMBERS; ++i) {
            if (votes[i] % 4 == ABSENT) continue;
            vm.prank(member(i));
            governor.castVote(proposal, votes[i] % 4);
        }
        bool passes = passesIn(left, votes, chambers[0].quorum) && passesIn(right, votes, chambers[1].quorum);
        vm.warp(block.timestamp + 101);
        IGovernor.ProposalState expected = passes ? IGovernor.ProposalState.Succeeded : IGovernor.ProposalState.Defeated;
        require(governor.state(proposal) == expected, "the result does not follow from the chambers");
    }

    /// @notice Whatever happens to seats after the vote has opened changes nothing in it.
    function testFuzz_weightsAreThoseOfTheOpening(uint64 before, uint64 later, uint8 support) external {
        uint64[5] memory weights;
        weights[0] = before;
        Membership seats = membership(weights);
        Chamber[] memory chambers = new Chamber[](1);
        chambers[0] = Chamber(seats, 1);
        ChamberGovernor governor = new ChamberGovernor("Fuzz", chambers, Rules(10, 100, 0, 0));
        uint256 proposal = propose(governor);
        vm.warp(block.timestamp + 11);
        if (before != 0) seats.dismiss(member(0));
        if (later != 0) seats.enrol(member(0), later);
        seats.enrol(member(1), 1);
        vm.prank(member(0));
        equal(governor.castVote(proposal, support % 3), before, "its own weight, of then");
        vm.prank(member(1));
        equal(governor.castVote(proposal, 1), 0, "came too late");
    }

    function propose(ChamberGovernor governor) private returns (uint256) {
        address[] memory targets = new address[](1);
        targets[0] = address(this);
        return governor.propose(targets, new uint256[](1), new bytes[](1), "whatever");
    }

    function chamberOf(uint64[5] calldata weights) private returns (Membership) {
        uint64[5] memory copy = weights;
        return membership(copy);
    }

    function membership(uint64[5] memory weights) private returns (Membership seats) {
        seats = new Membership("members", address(this));
        for (uint256 i = 0; i < MEMBERS; ++i) if (weights[i] != 0) seats.enrol(member(i), weights[i]);
    }

    function member(uint256 i) private pure returns (address) {
        return address(uint160(0xbeef00 + i));
    }

    function passesIn(uint64[5] calldata weights, uint8[5] calldata votes, uint256 quorum) private pure returns (bool) {
        uint256 all;
        uint256[4] memory tally;
        for (uint256 i = 0; i < MEMBERS; ++i) {
            all += weights[i];
            tally[votes[i] % 4] += weights[i];
        }
        return tally[1] > tally[0] && (tally[1] + tally[2]) * 10_000 >= all * quorum;
    }
}

/// @dev Does anything that owner and members may do with seats, and keeps the members' weights and delegates for itself.
contract SeatsHandler is Forge {
    Membership public immutable seats = new Membership("members", address(this));
    uint256 public constant MEMBERS = 6;
    mapping(address => uint256) public weights;

    function member(uint256 i) public pure returns (address) {
        return address(uint160(0xcafe00 + i % MEMBERS));
    }

    function enrol(uint256 i, uint64 weight) external {
        if (weights[member(i)] != 0 || weight == 0) return;
        seats.enrol(member(i), weight);
        weights[member(i)] = weight;
    }

    function reweigh(uint256 i, uint64 weight) external {
        if (weights[member(i)] == 0 || weight == 0) return;
        seats.reweigh(member(i), weight);
        weights[member(i)] = weight;
    }

    function dismiss(uint256 i) external {
        if (weights[member(i)] == 0) return;
        seats.dismiss(member(i));
        delete weights[member(i)];
    }

    function delegate(uint256 i, uint256 to) external {
        vm.prank(member(i));
        seats.delegate(to % 7 == 0 ? address(0) : member(to));
    }

    function pass(uint16 time) external {
        vm.warp(block.timestamp + time);
    }
}

/// @notice Seats and votes stay in balance, whatever is done.
contract SeatsInvariants is Forge {
    SeatsHandler private immutable handler = new SeatsHandler();

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function invariant_weightsAreWhatTheOwnerSaid() external view {
        uint256 members;
        for (uint256 i = 0; i < handler.MEMBERS(); ++i) {
            address member = handler.member(i);
            equal(handler.seats().weightOf(member), handler.weights(member), "weight");
            if (handler.weights(member) != 0) ++members;
        }
        equal(handler.seats().memberCount(), members, "members");
    }

    function invariant_votesAreTheWeightsOfThoseWhoDelegate() external view {
        for (uint256 i = 0; i < handler.MEMBERS(); ++i) {
            uint256 votes;
            for (uint256 j = 0; j < handler.MEMBERS(); ++j) {
                address from = handler.member(j);
                if (handler.seats().delegates(from) == handler.member(i)) votes += handler.weights(from);
            }
            equal(handler.seats().getVotes(handler.member(i)), votes, "votes");
        }
    }

    function invariant_theTotalIsTheSumOfWeights() external {
        uint256 sum;
        for (uint256 i = 0; i < handler.MEMBERS(); ++i) sum += handler.weights(handler.member(i));
        uint256 present = block.timestamp;
        vm.warp(present + 1);
        equal(handler.seats().getPastTotalSupply(present), sum, "total");
        vm.warp(present);
    }
}
