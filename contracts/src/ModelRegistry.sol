// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IPredict} from "./IPredict.sol";

// A namespace (`org`) belongs to whoever first claims it, and its owner publishes in it. A model may be handed to
// another account. A version never changes and is never removed, so `org/model@3` means the same bits for ever.
//
// The engine reads `_models` and `_records` straight from storage. Their slots and packing are consensus rules,
// written down in docs/spec/predict.md: append, never move.

/// @title Names of models
/// @notice Lives at `0x000000000000000000000000000000000000AE02` since genesis. It maps `org/model` to numbered
/// versions, each of which is the id of a validated model, and keeps for every validated id the manifest that names
/// its bytes.
contract ModelRegistry {
    IPredict private constant ENGINE = IPredict(0x000000000000000000000000000000000000AE01);
    uint256 private constant MAX_PART = 64;

    // ------------------------------------------------------------------ storage (slots are consensus rules)

    struct Namespace {
        address owner;
        address pendingOwner;
        uint256[2] reserved;
    }

    struct Model {
        // word 0
        uint64 latest;
        address owner;
        uint32 status; // 0; later: frozen, deprecated
        // word 1
        mapping(uint256 version => Version) versions;
        // words 2 to 4
        uint256[3] reserved;
    }

    struct Version {
        // word 0
        bytes32 id;
        // word 1
        address publisher;
        uint64 publishedAt;
        uint32 status; // 0; later: deprecated, revoked
    }

    struct Record {
        // word 0
        address manifest;
        uint64 validatedAt;
        uint32 profile;
        // word 1
        uint64 graphBytes;
        uint64 weightBytes;
        uint32 chunks;
        uint96 reserved;
    }

    mapping(bytes32 orgHash => Namespace) private _namespaces; // slot 0
    mapping(bytes32 nameHash => Model) private _models; // slot 1
    mapping(bytes32 id => Record) private _records; // slot 2
    string[] private _names; // slot 3
    uint256[46] private _gap; // for aliases and governance

    // ------------------------------------------------------------------ events and errors

    event NamespaceClaimed(bytes32 indexed orgHash, address indexed owner, string org);
    event NamespaceTransferStarted(bytes32 indexed orgHash, address indexed from, address indexed to);
    event NamespaceTransferred(bytes32 indexed orgHash, address indexed from, address indexed to);
    event ModelCreated(bytes32 indexed nameHash, address indexed owner, string name);
    event ModelTransferred(bytes32 indexed nameHash, address indexed from, address indexed to);
    event ModelValidated(bytes32 indexed id, address indexed manifest, uint64 graphBytes, uint64 weightBytes);
    event ModelPublished(
        bytes32 indexed nameHash, bytes32 indexed id, address indexed publisher, string name, uint64 version
    );

    /// @notice Names are `org/model`; both parts have 1 to 64 of `a-z 0-9 - _ .` and begin with a letter or digit.
    error InvalidName(string name);
    error NamespaceTaken(string org, address owner);
    error NotNamespaceOwner(string org, address owner);
    error NotPendingOwner(string org, address pendingOwner);
    error NotModelOwner(string name, address owner);
    error UnknownModel(string name);
    error UnknownModelId(bytes32 id);
    /// @notice The newest version already is this model: nothing to publish.
    error SameAsLatest(string name, uint64 version);
    error ZeroAddress();

    // ------------------------------------------------------------------ namespaces

    /// @notice Claims an unowned namespace for the sender.
    function claim(string calldata org) external {
        _checkPart(bytes(org), org);
        _claim(org, keccak256(bytes(org)));
    }

    /// @notice Offers a namespace to `to`, who takes it with `acceptNamespace`. Offer it to zero to withdraw an offer.
    function transferNamespace(string calldata org, address to) external {
        bytes32 orgHash = keccak256(bytes(org));
        Namespace storage space = _namespaces[orgHash];
        if (space.owner != msg.sender) revert NotNamespaceOwner(org, space.owner);
        space.pendingOwner = to;
        emit NamespaceTransferStarted(orgHash, msg.sender, to);
    }

    /// @notice Takes a namespace that was offered to the sender.
    function acceptNamespace(string calldata org) external {
        bytes32 orgHash = keccak256(bytes(org));
        Namespace storage space = _namespaces[orgHash];
        if (space.pendingOwner != msg.sender) revert NotPendingOwner(org, space.pendingOwner);
        address from = space.owner;
        space.owner = msg.sender;
        space.pendingOwner = address(0);
        emit NamespaceTransferred(orgHash, from, msg.sender);
    }

    /// @notice The owner of a namespace, zero if nobody claimed it.
    function namespaceOwner(string calldata org) external view returns (address) {
        return _namespaces[keccak256(bytes(org))].owner;
    }

    // ------------------------------------------------------------------ publishing

    /// @notice Validates the model that `manifest` names and publishes it as the next version of `name`.
    /// Claims the namespace if nobody owns it.
    /// @return id the model's content id
    /// @return version 1 for the first
    function publish(string calldata name, address manifest) external returns (bytes32 id, uint256 version) {
        IPredict.Validated memory found = ENGINE.validate(manifest);
        id = found.id;
        Record storage record = _records[id];
        // The same model in other chunks is the same model: the first manifest stays.
        if (record.manifest == address(0)) {
            record.manifest = manifest;
            record.validatedAt = uint64(block.timestamp);
            record.profile = found.profile;
            record.graphBytes = found.graphBytes;
            record.weightBytes = found.weightBytes;
            record.chunks = found.chunks;
            emit ModelValidated(id, manifest, found.graphBytes, found.weightBytes);
        }
        version = _publish(name, id);
    }

    /// @notice Publishes a model that is already validated, under another name or as a newer version, without
    /// validating it again.
    function publishId(string calldata name, bytes32 id) external returns (uint256 version) {
        if (_records[id].manifest == address(0)) revert UnknownModelId(id);
        return _publish(name, id);
    }

    /// @notice Hands a model to another account, which alone publishes its next versions.
    function transferModel(string calldata name, address to) external {
        bytes32 nameHash = keccak256(bytes(name));
        Model storage model = _models[nameHash];
        if (model.latest == 0) revert UnknownModel(name);
        if (model.owner != msg.sender) revert NotModelOwner(name, model.owner);
        if (to == address(0)) revert ZeroAddress();
        model.owner = to;
        emit ModelTransferred(nameHash, msg.sender, to);
    }

    // ------------------------------------------------------------------ questions

    /// @notice The id that a name, with or without a version, stands for now, as the engine resolves it.
    function resolve(string calldata name) external view returns (bytes32 id) {
        return ENGINE.resolve(name);
    }

    /// @notice The number of the newest version of `org/model`, which is how many there are; 0 for an unknown name.
    function versionOf(string calldata name) external view returns (uint256) {
        return _models[keccak256(bytes(name))].latest;
    }

    /// @notice One version of `org/model`.
    function versionAt(string calldata name, uint256 version) external view returns (Version memory) {
        return _models[keccak256(bytes(name))].versions[version];
    }

    /// @notice Who may publish the next version of `org/model`.
    function modelOwner(string calldata name) external view returns (address) {
        return _models[keccak256(bytes(name))].owner;
    }

    /// @notice The validated-model record of an id; `manifest` is zero if there is none.
    function modelOf(bytes32 id) external view returns (Record memory) {
        return _records[id];
    }

    /// @notice How many names exist.
    function modelCount() external view returns (uint256) {
        return _names.length;
    }

    /// @notice One line of a listing.
    struct Listing {
        string name;
        uint64 latest;
        bytes32 id;
        address owner;
    }

    /// @notice Names in order of creation, from `offset`, at most `limit`, each with its newest version.
    function models(uint256 offset, uint256 limit) external view returns (Listing[] memory page) {
        uint256 count = _names.length;
        uint256 left = offset < count ? count - offset : 0;
        page = new Listing[](limit < left ? limit : left);
        for (uint256 i = 0; i < page.length; ++i) {
            string memory name = _names[offset + i];
            Model storage model = _models[keccak256(bytes(name))];
            page[i] = Listing(name, model.latest, model.versions[model.latest].id, model.owner);
        }
    }

    // ------------------------------------------------------------------ inside

    function _publish(string calldata name, bytes32 id) private returns (uint256) {
        bytes32 nameHash = keccak256(bytes(name));
        Model storage model = _models[nameHash];
        uint64 latest = model.latest;
        if (latest == 0) {
            string calldata org = _checkName(name);
            _authorise(org);
            model.owner = msg.sender;
            _names.push(name);
            emit ModelCreated(nameHash, msg.sender, name);
        } else {
            if (model.owner != msg.sender) revert NotModelOwner(name, model.owner);
            if (model.versions[latest].id == id) revert SameAsLatest(name, latest);
        }
        unchecked {
            ++latest; // 2^64 versions are out of reach
        }
        model.latest = latest;
        model.versions[latest] = Version(id, msg.sender, uint64(block.timestamp), 0);
        emit ModelPublished(nameHash, id, msg.sender, name, latest);
        return latest;
    }

    /// Only a namespace's owner creates names in it; an unowned namespace is claimed on the way.
    function _authorise(string calldata org) private {
        bytes32 orgHash = keccak256(bytes(org));
        address owner = _namespaces[orgHash].owner;
        if (owner == address(0)) _claim(org, orgHash);
        else if (owner != msg.sender) revert NotNamespaceOwner(org, owner);
    }

    function _claim(string calldata org, bytes32 orgHash) private {
        Namespace storage space = _namespaces[orgHash];
        if (space.owner != address(0)) revert NamespaceTaken(org, space.owner);
        space.owner = msg.sender;
        emit NamespaceClaimed(orgHash, msg.sender, org);
    }

    /// Checks `org/model` and returns `org`.
    function _checkName(string calldata name) private pure returns (string calldata org) {
        bytes calldata text = bytes(name);
        uint256 slash = 0;
        while (slash < text.length && slash <= MAX_PART && text[slash] != "/") ++slash;
        if (slash >= text.length) revert InvalidName(name);
        _checkPart(text[:slash], name);
        _checkPart(text[slash + 1:], name);
        return string(text[:slash]);
    }

    function _checkPart(bytes calldata part, string calldata name) private pure {
        if (part.length == 0 || part.length > MAX_PART) revert InvalidName(name);
        for (uint256 i = 0; i < part.length; ++i) {
            bytes1 c = part[i];
            bool alphanumeric = (c >= "a" && c <= "z") || (c >= "0" && c <= "9");
            bool separator = c == "-" || c == "_" || c == ".";
            if (!alphanumeric && (i == 0 || !separator)) revert InvalidName(name);
        }
    }
}
