// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Predict} from "../../contracts/src/Predict.sol";

/// @title Gate: a contract that looks at a picture
/// @notice Somebody stores a picture on the chain and shows it here. The contract accepts it if a network says, surely enough, that a
/// hand-written digit is on it, records which, and refuses anything else.
contract Gate {
    /// @notice The network and its version, which never changes: `gate/guard@1`.
    string public guard;
    /// @notice How sure the network must be; 1e18 is certain.
    int256 public immutable threshold;

    /// @notice A picture that was accepted.
    struct Entry {
        address bearer;
        string digit;
        int256 score;
    }

    mapping(address file => Entry) private _entries;

    event Accepted(address indexed file, address indexed bearer, string digit, int256 score);
    event Refused(address indexed file, address indexed bearer, string seen, int256 score);

    error AlreadyAccepted(address file);

    bytes32 private constant NONE = keccak256("none");

    constructor(string memory guard_, int256 threshold_) {
        guard = guard_;
        threshold = threshold_;
    }

    /// @notice Shows a picture that `synod file put` stored.
    /// @return accepted whether it may pass
    function show(address file) external returns (bool accepted) {
        if (_entries[file].bearer != address(0)) revert AlreadyAccepted(file);
        (string memory seen, int256 score) = Predict.image(guard, file);
        accepted = keccak256(bytes(seen)) != NONE && score >= threshold;
        if (accepted) {
            _entries[file] = Entry(msg.sender, seen, score);
            emit Accepted(file, msg.sender, seen, score);
        } else {
            emit Refused(file, msg.sender, seen, score);
        }
    }

    /// @notice What was seen on a picture that was accepted, and who brought it; zero if it was not.
    function entryOf(address file) external view returns (Entry memory) {
        return _entries[file];
    }
}
