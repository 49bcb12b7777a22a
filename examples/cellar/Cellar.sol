// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Predict} from "../../contracts/src/Predict.sol";

/// @title Buying wine by its chemical analysis
/// @notice A buyer leaves the price here, a laboratory reports what was delivered, and a neural network on the same
/// chain says which cultivar that is. If it is the promised one the supplier gets the whole price, otherwise the buyer
/// gets it back. Verdict and payment are one transaction: nobody can keep one and drop the other.
/// @dev The model is named with its version, so that whoever owns the name cannot change the judge of open orders.
contract Cellar {
    /// @notice The judge: 13 measurements in, probabilities of three cultivars out.
    string public constant MODEL = "cellar/wine@1";

    /// @notice How many cultivars the judge can tell apart.
    uint256 public constant CULTIVARS = 3;

    /// @notice How long a laboratory has before the buyer may take the money back.
    uint256 public constant PATIENCE = 30 days;

    enum Status {
        None,
        Open,
        Paid,
        Refunded
    }

    struct Order {
        address payable buyer;
        address payable supplier;
        address laboratory;
        uint8 promised;
        Status status;
        uint64 deadline;
        uint256 price;
    }

    /// @notice Orders by number, counted from 1.
    mapping(uint256 number => Order) public orders;

    /// @notice The number of the latest order.
    uint256 public latest;

    event Ordered(
        uint256 indexed number, address indexed buyer, address indexed supplier, uint8 promised, uint256 price
    );

    /// @param found The cultivar that the network sees in the analysis.
    /// @param confidence Its probability, 1e18 being certainty.
    event Confirmed(uint256 indexed number, address indexed supplier, uint256 found, int256 confidence, uint256 price);

    /// @param found The cultivar that the network sees in the analysis; it is not the promised one.
    event Refused(uint256 indexed number, address indexed buyer, uint256 found, int256 confidence, uint256 price);

    event Cancelled(uint256 indexed number, address indexed buyer, uint256 price);

    error NothingToHold();
    error NoSupplier();
    error NoLaboratory();
    error UnknownCultivar(uint8 promised);
    error NotOpen(uint256 number, Status status);
    error OnlyLaboratory(address laboratory);
    error OnlyBuyer(address buyer);
    error TooEarly(uint64 deadline);
    error PaymentFailed(address recipient, uint256 amount);

    /// @notice Orders wine and leaves its price with the contract.
    /// @param supplier Who is paid if the wine is what it should be.
    /// @param laboratory Whose analysis both sides accept.
    /// @param promised The cultivar that the supplier promises, 0, 1 or 2.
    /// @return number The number of the order.
    function order(address payable supplier, address laboratory, uint8 promised)
        external
        payable
        returns (uint256 number)
    {
        if (msg.value == 0) revert NothingToHold();
        if (supplier == address(0)) revert NoSupplier();
        if (laboratory == address(0)) revert NoLaboratory();
        if (promised >= CULTIVARS) revert UnknownCultivar(promised);

        number = ++latest;
        orders[number] = Order({
            buyer: payable(msg.sender),
            supplier: supplier,
            laboratory: laboratory,
            promised: promised,
            status: Status.Open,
            deadline: uint64(block.timestamp + PATIENCE),
            price: msg.value
        });
        emit Ordered(number, msg.sender, supplier, promised, msg.value);
    }

    /// @notice Reports the analysis of a delivery and settles its order, one way or the other.
    /// @param number The order that was delivered.
    /// @param analysis 13 measurements as big-endian IEEE 754 single-precision floats, 52 bytes, in the order and units
    /// of `examples/cellar/README.md`.
    function deliver(uint256 number, bytes calldata analysis) external {
        Order storage delivered = open(number);
        if (msg.sender != delivered.laboratory) revert OnlyLaboratory(delivered.laboratory);

        (uint256 found, int256 confidence) = judge(analysis);
        uint256 price = delivered.price;
        if (found == delivered.promised) {
            delivered.status = Status.Paid;
            emit Confirmed(number, delivered.supplier, found, confidence, price);
            pay(delivered.supplier, price);
        } else {
            delivered.status = Status.Refunded;
            emit Refused(number, delivered.buyer, found, confidence, price);
            pay(delivered.buyer, price);
        }
    }

    /// @notice Gives the buyer the price back when no analysis came in time.
    function cancel(uint256 number) external {
        Order storage forgotten = open(number);
        if (msg.sender != forgotten.buyer) revert OnlyBuyer(forgotten.buyer);
        if (block.timestamp < forgotten.deadline) revert TooEarly(forgotten.deadline);

        forgotten.status = Status.Refunded;
        emit Cancelled(number, forgotten.buyer, forgotten.price);
        pay(forgotten.buyer, forgotten.price);
    }

    /// @notice What the network says about an analysis; free to ask with `eth_call`.
    /// @return found The cultivar with the highest probability.
    /// @return confidence That probability, 1e18 being certainty.
    function judge(bytes calldata analysis) public view returns (uint256 found, int256 confidence) {
        return Predict.classify(MODEL, analysis);
    }

    function open(uint256 number) private view returns (Order storage found) {
        found = orders[number];
        if (found.status != Status.Open) revert NotOpen(number, found.status);
    }

    /// @dev Called last, when the order is already closed: a recipient that calls back finds nothing left to take.
    function pay(address payable recipient, uint256 amount) private {
        (bool paid,) = recipient.call{value: amount}("");
        if (!paid) revert PaymentFailed(recipient, amount);
    }
}
