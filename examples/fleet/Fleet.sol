// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Predict} from "../../contracts/src/Predict.sol";

/// @title Paying drivers by how they drive
/// @notice An operator funds this contract; a recorder in the car reports 2.5 seconds of its motion; a neural network
/// on the same chain says whether that was calm or harsh. Calm driving is paid in full, harsh driving loses the penalty.
/// @dev The model is named with its version, so that whoever owns the name cannot change the judge afterwards.
contract Fleet {
    /// @notice The judge: 6 channels of 25 raw samples in, probabilities of calm and harsh out.
    string public constant MODEL = "fleet/ride@1";

    /// @notice The judge's label for calm driving; its other label, 1, is harsh driving.
    uint256 public constant CALM = 0;

    /// @notice Who funds the contract and may take back what is left.
    address payable public immutable operator;

    /// @notice The device whose recordings count.
    address public immutable recorder;

    /// @notice What a calm ride earns, in wei.
    uint256 public immutable fare;

    /// @notice What harsh driving costs of the fare, in wei.
    uint256 public immutable penalty;

    /// @notice How many rides have been paid.
    uint256 public rides;

    event Funded(address indexed from, uint256 amount);

    /// @param calm What the network made of it.
    /// @param confidence The probability of that, 1e18 being certainty.
    /// @param paid What the driver got, in wei.
    event Ride(uint256 indexed number, address indexed driver, bool calm, int256 confidence, uint256 paid);

    event Withdrawn(uint256 amount);

    error NoRecorder();
    error NoDriver();
    error PenaltyAboveFare(uint256 penalty, uint256 fare);
    error OnlyRecorder(address recorder);
    error OnlyOperator(address operator);
    error OutOfFunds(uint256 needed, uint256 available);
    error PaymentFailed(address recipient, uint256 amount);

    /// @param recorder_ The device whose recordings count.
    /// @param fare_ What a calm ride earns, in wei.
    /// @param penalty_ What harsh driving costs of it, in wei; at most the fare.
    constructor(address recorder_, uint256 fare_, uint256 penalty_) payable {
        if (recorder_ == address(0)) revert NoRecorder();
        if (penalty_ > fare_) revert PenaltyAboveFare(penalty_, fare_);
        operator = payable(msg.sender);
        recorder = recorder_;
        fare = fare_;
        penalty = penalty_;
        if (msg.value > 0) emit Funded(msg.sender, msg.value);
    }

    /// @notice Adds to what drivers are paid from.
    receive() external payable {
        emit Funded(msg.sender, msg.value);
    }

    /// @notice Judges a stretch of driving and pays the driver for it.
    /// @param driver Who drove.
    /// @param window 6 channels x 25 samples as big-endian IEEE 754 single-precision floats, 600 bytes: accelerometer
    /// x, y, z, then gyroscope x, y, z.
    /// @return paid What the driver got, in wei.
    function ride(address payable driver, bytes calldata window) external returns (uint256 paid) {
        if (msg.sender != recorder) revert OnlyRecorder(recorder);
        if (driver == address(0)) revert NoDriver();

        (bool calm, int256 confidence) = judge(window);
        paid = calm ? fare : fare - penalty;
        if (paid > address(this).balance) revert OutOfFunds(paid, address(this).balance);

        emit Ride(++rides, driver, calm, confidence, paid);
        send(driver, paid);
    }

    /// @notice What the network says about a stretch of driving; free to ask with `eth_call`.
    /// @return calm Whether calm is the more probable.
    /// @return confidence The probability of the answer, 1e18 being certainty.
    function judge(bytes calldata window) public view returns (bool calm, int256 confidence) {
        uint256 label;
        (label, confidence) = Predict.classify(judgeName(), window);
        calm = label == CALM;
    }

    /// @dev What the judge is called, for contracts that want another one.
    function judgeName() internal pure virtual returns (string memory) {
        return MODEL;
    }

    /// @notice Gives the operator back what the drivers have not earned.
    function withdraw() external {
        if (msg.sender != operator) revert OnlyOperator(operator);
        uint256 amount = address(this).balance;
        emit Withdrawn(amount);
        send(operator, amount);
    }

    /// @dev Called last: a recipient that calls back finds every count and event already written.
    function send(address payable recipient, uint256 amount) private {
        (bool paid,) = recipient.call{value: amount}("");
        if (!paid) revert PaymentFailed(recipient, amount);
    }
}
