// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IPredict} from "../../contracts/src/IPredict.sol";
import {Predict} from "../../contracts/src/Predict.sol";

/// @title Tenders: posted in English, read in German
/// @notice Whoever posts a tender in English has it translated in the same transaction. Both texts are stored, and the event carries
/// both: a bidder who reads German sees what every validator computed, and nobody can have posted another translation.
contract Tenders {
    /// @notice The translator and its version, which never changes: `words/en-de@1`.
    string public translator;

    struct Tender {
        address author;
        uint64 postedAt;
        string english;
        string german;
    }

    Tender[] private _tenders;

    /// @notice A tender was posted.
    event Posted(uint256 indexed tender, address indexed author, string english, string german);

    /// @notice The translator did not come to an end within what its rule allows.
    error Unfinished(string german);
    error UnknownTender(uint256 tender);

    constructor(string memory translator_) {
        translator = translator_;
    }

    /// @notice Posts a tender; its German text is what the translator makes of it.
    function post(string calldata english) external returns (uint256 tender) {
        IPredict.Generated memory answer = Predict.generate(translator, english, 0, 0);
        if (answer.finish != 0) revert Unfinished(answer.text);
        tender = _tenders.length;
        _tenders.push(Tender(msg.sender, uint64(block.timestamp), english, answer.text));
        emit Posted(tender, msg.sender, english, answer.text);
    }

    /// @notice A tender with both texts.
    function tenderAt(uint256 tender) external view returns (Tender memory) {
        if (tender >= _tenders.length) revert UnknownTender(tender);
        return _tenders[tender];
    }

    /// @notice How many tenders were posted.
    function count() external view returns (uint256) {
        return _tenders.length;
    }
}
