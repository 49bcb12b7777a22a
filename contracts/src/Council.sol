// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

// The engine reads this contract: the committee of each epoch (`validators`), what an account may do (`_listed`, `_granted`,
// `_seat`, straight from storage), and the upgrades that begin with an epoch (`upgrades`). The slots are consensus rules,
// written down in docs/spec/chain.md: append, never move.

/// @title The validators of a cluster, and what they decide together
/// @notice Lives at `0x000000000000000000000000000000000000AE03` since genesis. More than two thirds of the validators decide:
/// each sends the same call from its account, and the call that completes the quorum takes effect. A change of validators
/// takes effect for votes on blocks when an epoch ends, and for decisions here at once.
contract Council {
    /// @notice What an account may do, as bits.
    uint8 public constant TRANSACT = 1;
    uint8 public constant DEPLOY = 2;
    uint8 public constant PUBLISH = 4;

    uint256 private constant MAX_VALIDATORS = 256;
    uint256 private constant MAX_TEXT = 255;

    struct Validator {
        /// What people call it; 1 to 64 bytes.
        string name;
        /// The account that decides here.
        address account;
        /// Ed25519 public key by which its peers know it.
        bytes32 identity;
        /// BLS12-381 public key (G1, compressed, 48 bytes) of its votes on blocks.
        bytes voteKey;
        /// Signature (G2, compressed, 96 bytes) over the vote key with itself.
        bytes possession;
        /// `host:port` at which its peers reach it; may be empty.
        string host;
    }

    struct Upgrade {
        /// First epoch under the new rules.
        uint64 epoch;
        /// Number of the rules; a node that does not know them stops before that epoch.
        uint64 protocol;
        /// What changes in `config.synod` of the genesis file, as JSON; empty for nothing.
        string parameters;
    }

    // ------------------------------------------------------------------ storage (slots are consensus rules)

    Validator[] private _validators; // slot 0
    mapping(address account => uint256) private _seat; // slot 1: place in `_validators`, from 1
    uint256 private _listed; // slot 2: bits of what only listed accounts may do
    mapping(address account => uint256) private _granted; // slot 3: bits of what an account is listed for
    uint64 private _epochBlocks; // slot 4: blocks of an epoch
    Upgrade[] private _upgrades; // slot 5: by epoch, ascending
    mapping(bytes32 action => address[]) private _approvals; // slot 6
    bytes32 private _committee; // slot 7: keccak256(abi.encode(_validators)), which a storage proof can show
    uint256[42] private _gap;

    // ------------------------------------------------------------------ events and errors

    event Approved(bytes32 indexed action, address indexed account, uint256 approvals, uint256 needed, bytes call);
    event Withdrawn(bytes32 indexed action, address indexed account);
    event ValidatorAdded(bytes32 indexed identity, address indexed account, string name);
    event ValidatorRemoved(bytes32 indexed identity, address indexed account, string name);
    event HostChanged(bytes32 indexed identity, string host);
    event Listed(uint8 rights);
    event Granted(address indexed account, uint8 rights);
    event UpgradeScheduled(uint64 indexed epoch, uint64 protocol, string parameters);
    event UpgradeCancelled(uint64 indexed epoch);

    /// @notice Only an account of a validator decides.
    error NotValidator(address account);
    error AlreadyInitialised();
    /// @notice The account approved this very call before and waits for the others.
    error AlreadyApproved(bytes32 action);
    error NotApproved(bytes32 action);
    error InvalidValidator(string field);
    /// @notice Another validator has this account, identity, vote key or name.
    error Duplicate(string field);
    error UnknownValidator(bytes32 identity);
    /// @notice One validator must stay, and 256 are the most.
    error CommitteeSize(uint256 size);
    error InvalidRights(uint8 rights);
    /// @notice An epoch has two blocks at least.
    error InvalidEpochLength(uint64 blocks);
    /// @notice An upgrade must begin after the epoch that is running, and each epoch has one.
    error InvalidEpoch(uint64 epoch, uint64 running);
    /// @notice What the engine reverts a frame with that would deploy or publish for an account without the right: the sender
    /// of the transaction, whatever contract it went through. (This contract never does.)
    error NotPermitted(address account, uint8 right);

    // ------------------------------------------------------------------ deciding

    /// Goes on when this call completes a quorum; otherwise notes that the sender wants it.
    modifier decided() {
        if (_approve(keccak256(msg.data))) {
            _;
        }
    }

    function _approve(bytes32 action) private returns (bool) {
        if (_seat[msg.sender] == 0) revert NotValidator(msg.sender);
        address[] storage approvals = _approvals[action];
        // Those who are no validators any more do not count.
        uint256 count = 1;
        uint256 length = approvals.length;
        for (uint256 i = 0; i < length; i++) {
            if (approvals[i] == msg.sender) revert AlreadyApproved(action);
            if (_seat[approvals[i]] != 0) count++;
        }
        uint256 needed = quorum();
        emit Approved(action, msg.sender, count, needed, msg.data);
        if (count >= needed) {
            delete _approvals[action];
            return true;
        }
        approvals.push(msg.sender);
        return false;
    }

    /// @notice Takes back an approval of a call that has not taken effect; `action` is the hash of its call data.
    function withdraw(bytes32 action) external {
        address[] storage approvals = _approvals[action];
        uint256 length = approvals.length;
        for (uint256 i = 0; i < length; i++) {
            if (approvals[i] == msg.sender) {
                approvals[i] = approvals[length - 1];
                approvals.pop();
                emit Withdrawn(action, msg.sender);
                return;
            }
        }
        revert NotApproved(action);
    }

    /// @notice How many validators must want a thing: more than two thirds.
    function quorum() public view returns (uint256) {
        uint256 size = _validators.length;
        return size - (size - 1) / 3;
    }

    /// @notice Who wants the call with this hash of its call data.
    function approvalsOf(bytes32 action) external view returns (address[] memory) {
        return _approvals[action];
    }

    // ------------------------------------------------------------------ validators

    /// @notice Seats the first validators. Called once, while the genesis file is made.
    function initialise(uint64 blocks, Validator[] calldata first) external {
        if (_validators.length != 0) revert AlreadyInitialised();
        if (blocks < 2) revert InvalidEpochLength(blocks);
        if (first.length == 0 || first.length > MAX_VALIDATORS) revert CommitteeSize(first.length);
        _epochBlocks = blocks;
        for (uint256 i = 0; i < first.length; i++) {
            _add(first[i]);
        }
        _committee = keccak256(abi.encode(_validators));
    }

    /// @notice Adds a validator. It votes on blocks from the next epoch on; a key that is none of its curve, or whose proof of
    /// possession does not verify, is passed over then.
    function addValidator(Validator calldata validator) external decided {
        if (_validators.length == MAX_VALIDATORS) revert CommitteeSize(MAX_VALIDATORS + 1);
        _add(validator);
        _committee = keccak256(abi.encode(_validators));
    }

    /// @notice Removes a validator. It votes on blocks until the epoch ends, and decides nothing here any more.
    function removeValidator(bytes32 identity) external decided {
        uint256 last = _validators.length - 1;
        if (last == 0) revert CommitteeSize(0);
        uint256 place = _placeOf(identity);
        Validator storage gone = _validators[place];
        emit ValidatorRemoved(identity, gone.account, gone.name);
        delete _seat[gone.account];
        if (place != last) {
            _validators[place] = _validators[last];
            _seat[_validators[place].account] = place + 1;
        }
        _validators.pop();
        _committee = keccak256(abi.encode(_validators));
    }

    /// @notice A validator says where its peers reach it.
    function setHost(string calldata host) external {
        uint256 seat = _seat[msg.sender];
        if (seat == 0) revert NotValidator(msg.sender);
        if (bytes(host).length > MAX_TEXT) revert InvalidValidator("host");
        Validator storage validator = _validators[seat - 1];
        validator.host = host;
        _committee = keccak256(abi.encode(_validators));
        emit HostChanged(validator.identity, host);
    }

    function _add(Validator calldata validator) private {
        uint256 nameLength = bytes(validator.name).length;
        if (nameLength == 0 || nameLength > 64) revert InvalidValidator("name");
        if (validator.account == address(0)) revert InvalidValidator("account");
        if (validator.identity == 0) revert InvalidValidator("identity");
        if (validator.voteKey.length != 48) revert InvalidValidator("voteKey");
        if (validator.possession.length != 96) revert InvalidValidator("possession");
        if (bytes(validator.host).length > MAX_TEXT) revert InvalidValidator("host");
        if (_seat[validator.account] != 0) revert Duplicate("account");
        bytes32 nameHash = keccak256(bytes(validator.name));
        bytes32 keyHash = keccak256(validator.voteKey);
        for (uint256 i = 0; i < _validators.length; i++) {
            Validator storage other = _validators[i];
            if (other.identity == validator.identity) revert Duplicate("identity");
            if (keccak256(bytes(other.name)) == nameHash) revert Duplicate("name");
            if (keccak256(other.voteKey) == keyHash) revert Duplicate("voteKey");
        }
        _validators.push(validator);
        _seat[validator.account] = _validators.length;
        emit ValidatorAdded(validator.identity, validator.account, validator.name);
    }

    function _placeOf(bytes32 identity) private view returns (uint256) {
        for (uint256 i = 0; i < _validators.length; i++) {
            if (_validators[i].identity == identity) return i;
        }
        revert UnknownValidator(identity);
    }

    /// @notice The validators as decided so far. Those that vote on blocks now are those of the end of the last epoch.
    function validators() external view returns (Validator[] memory) {
        return _validators;
    }

    /// @notice `keccak256(abi.encode(validators()))`, for proofs.
    function committee() external view returns (bytes32) {
        return _committee;
    }

    /// @notice Blocks of an epoch: block `n` is in epoch `n / epochBlocks`.
    function epochBlocks() external view returns (uint64) {
        return _epochBlocks;
    }

    /// @notice The epoch of the block that is being made.
    function epoch() public view returns (uint64) {
        return uint64(block.number) / _epochBlocks;
    }

    // ------------------------------------------------------------------ permissions

    /// @notice Says which rights (a sum of TRANSACT, DEPLOY, PUBLISH) only listed accounts have; all others are open to all.
    function setListed(uint8 rights) external decided {
        if (rights > 7) revert InvalidRights(rights);
        _listed = rights;
        emit Listed(rights);
    }

    /// @notice Lists an account for exactly these rights.
    function grant(address account, uint8 rights) external decided {
        if (rights > 7) revert InvalidRights(rights);
        _granted[account] = rights;
        emit Granted(account, rights);
    }

    /// @notice Which rights only listed accounts have.
    function listed() external view returns (uint8) {
        return uint8(_listed);
    }

    /// @notice What an account may do now. A validator's account may do everything.
    function rightsOf(address account) external view returns (uint8) {
        if (_seat[account] != 0) return 7;
        return uint8((7 & ~_listed) | _granted[account]);
    }

    // ------------------------------------------------------------------ upgrades

    /// @notice Schedules new rules from an epoch on. An epoch that already has an upgrade must be cancelled first.
    function scheduleUpgrade(uint64 first, uint64 protocol, string calldata parameters) external decided {
        uint64 running = epoch();
        if (first <= running) revert InvalidEpoch(first, running);
        _upgrades.push(Upgrade(first, protocol, parameters));
        for (uint256 i = _upgrades.length - 1; i > 0; i--) {
            uint64 before = _upgrades[i - 1].epoch;
            if (before == first) revert InvalidEpoch(first, running);
            if (before < first) break;
            Upgrade memory later = _upgrades[i - 1];
            _upgrades[i - 1] = _upgrades[i];
            _upgrades[i] = later;
        }
        emit UpgradeScheduled(first, protocol, parameters);
    }

    /// @notice Cancels the upgrade of an epoch that has not begun.
    function cancelUpgrade(uint64 first) external decided {
        uint64 running = epoch();
        if (first <= running) revert InvalidEpoch(first, running);
        uint256 last = _upgrades.length;
        for (uint256 i = 0; i < last; i++) {
            if (_upgrades[i].epoch == first) {
                for (uint256 j = i; j + 1 < last; j++) {
                    _upgrades[j] = _upgrades[j + 1];
                }
                _upgrades.pop();
                emit UpgradeCancelled(first);
                return;
            }
        }
        revert InvalidEpoch(first, running);
    }

    /// @notice All upgrades, past and to come, by epoch.
    function upgrades() external view returns (Upgrade[] memory) {
        return _upgrades;
    }
}
