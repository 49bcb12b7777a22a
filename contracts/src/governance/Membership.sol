// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {Ownable, Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {Votes} from "@openzeppelin/contracts/governance/utils/Votes.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Time} from "@openzeppelin/contracts/utils/types/Time.sol";

/// @title Seats with weights, for a governor to count
/// @notice An electorate that cannot be bought: seats are given and taken by the owner, and nobody can transfer one. A member votes with
/// its own seat from the start, and may delegate its weight, as in every OpenZeppelin `Votes`.
/// @dev Whoever owns this decides who decides. Give it to the timelock of the governor that counts these seats, or to a contract with a rule.
contract Membership is Votes, Ownable2Step {
    /// @notice Who the members are, such as `drivers`.
    string public name;

    /// @notice How many seats there are.
    uint256 public memberCount;

    mapping(address account => uint256) private _weights;

    /// @notice A member's weight is `to`; `from` is 0 on enrolment, `to` on dismissal.
    event WeightChanged(address indexed member, uint256 from, uint256 to);

    error NoMember();
    error NoWeight(address member);
    error AlreadyMember(address member);
    error NotMember(address account);

    constructor(string memory name_, address owner_) EIP712(name_, "1") Ownable(owner_) {
        name = name_;
    }

    // ------------------------------------------------------------------ the owner's

    /// @notice Gives a seat. Votes that are open already count without it.
    function enrol(address member, uint128 weight) external onlyOwner {
        if (member == address(0)) revert NoMember();
        if (_weights[member] != 0) revert AlreadyMember(member);
        if (weight == 0) revert NoWeight(member);
        ++memberCount;
        if (delegates(member) == address(0)) _delegate(member, member);
        _setWeight(member, 0, weight);
    }

    /// @notice Changes the weight of a seat.
    function reweigh(address member, uint128 weight) external onlyOwner {
        uint256 old = _weights[member];
        if (old == 0) revert NotMember(member);
        if (weight == 0) revert NoWeight(member);
        _setWeight(member, old, weight);
    }

    /// @notice Takes a seat. Votes that are open already still count it.
    function dismiss(address member) external onlyOwner {
        uint256 old = _weights[member];
        if (old == 0) revert NotMember(member);
        --memberCount;
        _setWeight(member, old, 0);
    }

    // ------------------------------------------------------------------ questions

    /// @notice The weight of an account's own seat, 0 if it has none. What it may vote with is `getVotes`.
    function weightOf(address account) external view returns (uint256) {
        return _weights[account];
    }

    /// @notice The block's timestamp.
    function clock() public view override returns (uint48) {
        return Time.timestamp();
    }

    // solhint-disable-next-line func-name-mixedcase
    function CLOCK_MODE() public pure override returns (string memory) {
        return "mode=timestamp";
    }

    // ------------------------------------------------------------------ inside

    function _setWeight(address member, uint256 from, uint256 to) private {
        _weights[member] = to;
        if (to > from) _transferVotingUnits(address(0), member, to - from);
        else if (from > to) _transferVotingUnits(member, address(0), from - to);
        emit WeightChanged(member, from, to);
    }

    function _getVotingUnits(address account) internal view override returns (uint256) {
        return _weights[account];
    }
}
