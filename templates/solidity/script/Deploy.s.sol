// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {Tasting} from "../contracts/Tasting.sol";
import {vm} from "../test/Vm.sol";

/// forge script script/Deploy.s.sol --rpc-url http://127.0.0.1:8545 --broadcast --private-key KEY
contract Deploy {
    function run() external returns (Tasting tasting) {
        vm.startBroadcast();
        tasting = new Tasting("template/wine");
        vm.stopBroadcast();
    }
}
