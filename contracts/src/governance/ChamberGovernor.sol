// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {Governor} from "@openzeppelin/contracts/governance/Governor.sol";
import {IVotes} from "@openzeppelin/contracts/governance/utils/IVotes.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {Rules, TimelockedGovernor} from "./TimelockedGovernor.sol";

/// @notice An electorate that must agree by itself.
/// @param votes who has how much weight in it, by timestamps: a `Membership`, an ERC20Votes token, …
/// @param quorum the share of all its weight that must vote for or abstain, in basis points, 1 to 10,000
struct Chamber {
    IVotes votes;
    uint16 quorum;
}

/// @title A governor of models, of several chambers
/// @notice A proposal passes only if every chamber passes it: in each, more weight is for than against, and as much as its
/// quorum is for or abstains. One vote counts in every chamber in which the account has weight when the vote opens.
/// @dev The chambers are fixed. Other chambers are another governor, to which a vote of these hands the model over. A chamber without
/// members passes nothing, so see to it that its own weights do not depend on this governor alone.
contract ChamberGovernor is TimelockedGovernor {
    /// @notice Each vote asks every chamber: more would cost voters too much.
    uint256 public constant MAX_CHAMBERS = 8;
    uint256 private constant BASIS_POINTS = 10_000;

    // Kinds of votes, as Governor Bravo numbers them.
    uint8 private constant ABSTAIN = 2;

    /// @dev By kind of vote: against, for, abstain.
    mapping(uint256 proposalId => mapping(uint256 chamber => uint256[3])) private _tallies;
    mapping(uint256 proposalId => mapping(address account => bool)) private _voted;
    Chamber[] private _chambers;

    /// @notice A vote of `account` added `weight` to a chamber; 0 chambers are left out.
    event ChamberVote(uint256 indexed proposalId, address indexed account, uint256 chamber, uint8 support, uint256 weight);

    /// @notice A governor has 1 to `MAX_CHAMBERS` chambers.
    error WrongChamberCount(uint256 count);
    /// @notice A quorum is 1 to 10,000 basis points.
    error QuorumOutOfRange(uint256 chamber, uint16 quorum);
    /// @notice The same electorate twice is one chamber.
    error SameChamber(address votes);
    error UnknownChamber(uint256 chamber);

    /// @param name_ what signatures of votes name
    constructor(string memory name_, Chamber[] memory chambers_, Rules memory rules)
        Governor(name_)
        TimelockedGovernor(rules)
    {
        if (chambers_.length == 0 || chambers_.length > MAX_CHAMBERS) revert WrongChamberCount(chambers_.length);
        for (uint256 i = 0; i < chambers_.length; ++i) {
            if (chambers_[i].quorum == 0 || chambers_[i].quorum > BASIS_POINTS) {
                revert QuorumOutOfRange(i, chambers_[i].quorum);
            }
            address votes = address(chambers_[i].votes);
            for (uint256 j = 0; j < i; ++j) {
                if (address(chambers_[j].votes) == votes) revert SameChamber(votes);
            }
            _requireSameClock(votes);
            _chambers.push(chambers_[i]);
        }
    }

    // ------------------------------------------------------------------ questions

    /// @notice How many chambers there are; they are numbered from 0.
    function chamberCount() external view returns (uint256) {
        return _chambers.length;
    }

    function chamberAt(uint256 chamber) external view returns (Chamber memory) {
        return _chamber(chamber);
    }

    /// @notice What was voted in one chamber.
    function chamberVotes(uint256 proposalId, uint256 chamber)
        external
        view
        returns (uint256 againstVotes, uint256 forVotes, uint256 abstainVotes)
    {
        _chamber(chamber);
        uint256[3] storage tally = _tallies[proposalId][chamber];
        return (tally[0], tally[1], tally[2]);
    }

    /// @notice The weight that must vote for or abstain in one chamber, rounded up.
    function chamberQuorum(uint256 chamber, uint256 timepoint) public view returns (uint256) {
        Chamber storage found = _chamber(chamber);
        return Math.mulDiv(found.votes.getPastTotalSupply(timepoint), found.quorum, BASIS_POINTS, Math.Rounding.Ceil);
    }

    /// @notice Whether a chamber, by what was voted in it until now, passes a proposal whose vote has opened.
    function chamberPasses(uint256 proposalId, uint256 chamber) external view returns (bool) {
        return _chamberQuorumReached(proposalId, chamber) && _chamberSucceeded(proposalId, chamber);
    }

    /// @notice The sum of the chambers' quorums. To reach it is not enough: each chamber must reach its own.
    function quorum(uint256 timepoint) public view override returns (uint256 sum) {
        for (uint256 i = 0; i < _chambers.length; ++i) sum += chamberQuorum(i, timepoint);
    }

    /// @notice The sums of what was voted in all chambers. Whether a proposal passes does not follow from them.
    function proposalVotes(uint256 proposalId)
        external
        view
        returns (uint256 againstVotes, uint256 forVotes, uint256 abstainVotes)
    {
        for (uint256 i = 0; i < _chambers.length; ++i) {
            uint256[3] storage tally = _tallies[proposalId][i];
            againstVotes += tally[0];
            forVotes += tally[1];
            abstainVotes += tally[2];
        }
    }

    // solhint-disable-next-line func-name-mixedcase
    function COUNTING_MODE() public pure override returns (string memory) {
        return "support=bravo&quorum=for,abstain";
    }

    function hasVoted(uint256 proposalId, address account) public view override returns (bool) {
        return _voted[proposalId][account];
    }

    // ------------------------------------------------------------------ inside

    function _quorumReached(uint256 proposalId) internal view override returns (bool) {
        for (uint256 i = 0; i < _chambers.length; ++i) {
            if (!_chamberQuorumReached(proposalId, i)) return false;
        }
        return true;
    }

    function _voteSucceeded(uint256 proposalId) internal view override returns (bool) {
        for (uint256 i = 0; i < _chambers.length; ++i) {
            if (!_chamberSucceeded(proposalId, i)) return false;
        }
        return true;
    }

    /// The sum over all chambers: what `proposalThreshold` is held against.
    function _getVotes(address account, uint256 timepoint, bytes memory) internal view override returns (uint256 sum) {
        for (uint256 i = 0; i < _chambers.length; ++i) sum += _chambers[i].votes.getPastVotes(account, timepoint);
    }

    function _countVote(uint256 proposalId, address account, uint8 support, uint256 totalWeight, bytes memory)
        internal
        override
        returns (uint256)
    {
        if (_voted[proposalId][account]) revert GovernorAlreadyCastVote(account);
        if (support > ABSTAIN) revert GovernorInvalidVoteType();
        _voted[proposalId][account] = true;
        uint256 snapshot = proposalSnapshot(proposalId);
        for (uint256 i = 0; i < _chambers.length; ++i) {
            uint256 weight = _chambers[i].votes.getPastVotes(account, snapshot);
            if (weight == 0) continue;
            _tallies[proposalId][i][support] += weight;
            emit ChamberVote(proposalId, account, i, support, weight);
        }
        return totalWeight;
    }

    function _chamberQuorumReached(uint256 proposalId, uint256 chamber) private view returns (bool) {
        uint256[3] storage tally = _tallies[proposalId][chamber];
        return tally[1] + tally[2] >= chamberQuorum(chamber, proposalSnapshot(proposalId));
    }

    function _chamberSucceeded(uint256 proposalId, uint256 chamber) private view returns (bool) {
        uint256[3] storage tally = _tallies[proposalId][chamber];
        return tally[1] > tally[0];
    }

    function _chamber(uint256 chamber) private view returns (Chamber storage) {
        if (chamber >= _chambers.length) revert UnknownChamber(chamber);
        return _chambers[chamber];
    }
}
