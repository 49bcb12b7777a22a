// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IPredict} from "@synod/contracts/src/IPredict.sol";
import {Predict} from "@synod/contracts/src/Predict.sol";
import {PredictMock} from "@synod/contracts/src/PredictMock.sol";
import {Tasting} from "../contracts/Tasting.sol";
import {vm} from "./Vm.sol";

/// Runs in forge's own EVM (`forge test`, `hardhat test solidity`), which has no networks: a mock answers what was recorded.
contract TastingTest {
    string constant MODEL = "template/wine";
    bytes constant GLASS = hex"4164cccd";

    PredictMock mock;
    Tasting tasting;

    function setUp() public {
        vm.etch(address(Predict.ENGINE), type(PredictMock).runtimeCode);
        mock = PredictMock(address(Predict.ENGINE));
        tasting = new Tasting(MODEL);
    }

    function test_it_counts_what_the_network_finds() public {
        mock.record(abi.encodeCall(IPredict.classify, (MODEL, GLASS)), abi.encode(uint256(2), int256(0.9e18)));
        require(tasting.taste(GLASS) == 2, "label");
        require(tasting.taste(GLASS) == 2, "label again");
        require(tasting.found(2) == 2, "count");
    }

    function test_a_refusal_of_the_engine_bubbles_up() public {
        bytes memory reason = abi.encodeWithSelector(IPredict.WrongInputLength.selector, 52, 4);
        mock.recordRevert(abi.encodeCall(IPredict.classify, (MODEL, GLASS)), reason);
        vm.expectRevert(reason);
        tasting.taste(GLASS);
    }
}
