// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IPredict} from "./IPredict.sol";

// A namespace (`org`) belongs to whoever first claims it, and its owner creates names in it. A model may be handed to another
// account, which alone appends versions to it and moves its pointers.
//
// Versions are numbered from 1 and never change: `org/model@3` names the same bytes for ever, and an id has one number under a
// name. What moves are pointers to versions: `latest`, for which the bare name stands, and aliases. A version may be deprecated
// (it runs as before) and revoked (it does not run by name any more, and nothing undoes that). Both state a reason. Every
// change is an event that holds the name as text, what was before and what is now.
//
// The engine reads `_models` and `_records` straight from storage. Their slots and packing are consensus rules,
// written down in docs/spec/predict.md: append, never move.
//
// No function's work grows with what others stored. The only calls are static ones of the engine, which calls nobody.

/// @title Names of models
/// @notice Lives at `0x000000000000000000000000000000000000AE02` since genesis. It maps `org/model` to numbered
/// versions, each of which is the id of a validated model, and keeps for every validated id the manifest that names
/// its bytes.
contract ModelRegistry {
    IPredict private constant ENGINE = IPredict(0x000000000000000000000000000000000000AE01);
    address private constant CHUNK_FACTORY = 0x4e59b44847b379578588920cA78FbF26c0B4956C;
    /// Init code that returns what follows it (docs/spec/predict.md §3).
    bytes11 private constant INIT_CODE = 0x600b5981380380925939f3;
    uint256 private constant MAX_PART = 64;
    uint256 private constant MAX_REASON = 256;

    // States of a version.
    uint32 private constant ACTIVE = 0;
    uint32 private constant DEPRECATED = 1;
    uint32 private constant REVOKED = 2;

    // ------------------------------------------------------------------ storage (slots are consensus rules)

    struct Namespace {
        address owner;
        address pendingOwner;
        uint256[2] reserved;
    }

    struct Model {
        // word 0
        uint64 latest; // the version that the bare name stands for, 0 if none was chosen
        address owner;
        uint32 status; // 0; later: frozen
        // word 1
        mapping(uint256 version => Version) versions;
        // word 2
        uint64 count; // versions ever published, which is the number of the newest
        address pendingOwner;
        uint32 reserved;
        // word 3
        mapping(bytes32 aliasHash => Alias) aliases;
        // word 4
        mapping(bytes32 id => uint256 version) numbers;
        // word 5
        string[] aliasNames; // in order of first use; those removed stay listed
    }

    /// @notice A version of a model. `status` is 0 active, 1 deprecated, 2 revoked.
    struct Version {
        // word 0
        bytes32 id;
        // word 1
        address publisher;
        uint64 publishedAt;
        uint32 status;
        // word 2
        string reason; // why it is deprecated or revoked
    }

    struct Alias {
        uint64 version; // 0 if removed
        bool listed; // in `aliasNames`
    }

    /// @notice A validated model. The last three fields count the versions, of all names, that have this id.
    struct Record {
        // word 0
        address manifest;
        uint64 validatedAt;
        uint32 profile;
        // word 1
        uint64 graphBytes;
        uint64 weightBytes;
        uint32 chunks;
        uint64 patchBytes;
        uint8 patches;
        bool steady;
        uint8 kind;
        // word 2
        uint32 publications;
        uint32 deprecated;
        uint32 revoked;
    }

    mapping(bytes32 orgHash => Namespace) private _namespaces; // slot 0
    mapping(bytes32 nameHash => Model) private _models; // slot 1
    mapping(bytes32 id => Record) private _records; // slot 2
    string[] private _names; // slot 3
    uint256[46] private _gap; // for governance

    // ------------------------------------------------------------------ events and errors

    event NamespaceClaimed(bytes32 indexed orgHash, address indexed owner, string org);
    /// @notice `to` may take the namespace; zero: nobody may any more.
    event NamespaceTransferStarted(bytes32 indexed orgHash, address indexed from, address indexed to, string org);
    event NamespaceTransferred(bytes32 indexed orgHash, address indexed from, address indexed to, string org);
    event ModelCreated(bytes32 indexed nameHash, address indexed owner, string name);
    /// @notice `to` may take the model; zero: nobody may any more.
    event ModelTransferStarted(bytes32 indexed nameHash, address indexed from, address indexed to, string name);
    event ModelTransferred(bytes32 indexed nameHash, address indexed from, address indexed to, string name);
    event ModelValidated(bytes32 indexed id, address indexed manifest, uint64 graphBytes, uint64 weightBytes);
    event ModelPublished(
        bytes32 indexed nameHash, bytes32 indexed id, address indexed publisher, string name, uint64 version
    );
    /// @notice The bare name stands for version `to`; `from` is 0 if it stood for none.
    event LatestChanged(bytes32 indexed nameHash, address indexed by, string name, uint64 from, uint64 to);
    /// @notice An alias stands for version `to`; 0 is none.
    event AliasChanged(
        bytes32 indexed nameHash,
        bytes32 indexed aliasHash,
        address indexed by,
        string name,
        string aliasName,
        uint64 from,
        uint64 to
    );
    /// @notice A version's state is `to`: 0 active, 1 deprecated, 2 revoked.
    event StatusChanged(
        bytes32 indexed nameHash,
        bytes32 indexed id,
        address indexed by,
        string name,
        uint64 version,
        uint32 from,
        uint32 to,
        string reason
    );

    /// @notice Names are `org/model`; both parts have 1 to 64 of `a-z 0-9 - _ .` and begin with a letter or digit.
    error InvalidName(string name);
    /// @notice An alias is formed like a part of a name, and is neither `latest` nor a number.
    error InvalidAlias(string aliasName);
    /// @notice A reason has 1 to 256 bytes.
    error InvalidReason(uint256 length);
    error NamespaceTaken(string org, address owner);
    error NotNamespaceOwner(string org, address owner);
    error NotPendingOwner(string name, address pendingOwner);
    error NotModelOwner(string name, address owner);
    error UnknownModel(string name);
    error UnknownVersion(string name, uint256 version);
    error UnknownAlias(string name, string aliasName);
    error UnknownModelId(bytes32 id);
    /// @notice This model already is a version of the name: `setLatest` makes the bare name stand for it again.
    error AlreadyPublished(string name, uint64 version);
    /// @notice A revoked version stays as it is, and nothing may point at it anew.
    error VersionRevoked(string name, uint64 version);
    error NotDeprecated(string name, uint64 version);
    /// @notice The chain does not store a patch of this size in one piece: deploy it in chunks and call `publishPatch`.
    error PatchTooLarge(uint256 bytes_);

    // ------------------------------------------------------------------ namespaces

    /// @notice Claims an unowned namespace for the sender.
    function claim(string calldata org) external {
        if (!_isPart(bytes(org))) revert InvalidName(org);
        _claim(org, _hash(org));
    }

    /// @notice Offers a namespace to `to`, who takes it with `acceptNamespace`. Offer it to zero to withdraw an offer.
    function transferNamespace(string calldata org, address to) external {
        bytes32 orgHash = _hash(org);
        Namespace storage space = _namespaces[orgHash];
        if (space.owner != msg.sender) revert NotNamespaceOwner(org, space.owner);
        space.pendingOwner = to;
        emit NamespaceTransferStarted(orgHash, msg.sender, to, org);
    }

    /// @notice Takes a namespace that was offered to the sender.
    function acceptNamespace(string calldata org) external {
        bytes32 orgHash = _hash(org);
        Namespace storage space = _namespaces[orgHash];
        if (space.pendingOwner != msg.sender) revert NotPendingOwner(org, space.pendingOwner);
        address from = space.owner;
        space.owner = msg.sender;
        space.pendingOwner = address(0);
        emit NamespaceTransferred(orgHash, from, msg.sender, org);
    }

    /// @notice The owner of a namespace, zero if nobody claimed it.
    function namespaceOwner(string calldata org) external view returns (address) {
        return _namespaces[_hash(org)].owner;
    }

    /// @notice Whom a namespace is offered to, zero if to nobody.
    function pendingNamespaceOwner(string calldata org) external view returns (address) {
        return _namespaces[_hash(org)].pendingOwner;
    }

    // ------------------------------------------------------------------ publishing

    /// @notice Validates the model that `manifest` names and publishes it as the next version of `name`, for which the bare
    /// name stands from now on. Claims the namespace if nobody owns it.
    /// @return id the model's content id
    /// @return version 1 for the first
    function publish(string calldata name, address manifest) external returns (bytes32 id, uint256 version) {
        id = _validate(manifest);
        version = _publish(name, id, true);
    }

    /// @notice Validates the network or pipeline that `manifest` names and keeps its record, without a name: how the networks of a
    /// pipeline come to the chain.
    /// @return id its content id, by which it runs from now on
    function register(address manifest) external returns (bytes32 id) {
        id = _validate(manifest);
    }

    /// @notice `publish`, of a model that is already validated, without validating it again.
    function publishId(string calldata name, bytes32 id) external returns (uint256 version) {
        version = _publish(name, id, true);
    }

    /// @notice Like `publish`, but the bare name and the aliases stand for what they stood for.
    function publishOnly(string calldata name, address manifest) external returns (bytes32 id, uint256 version) {
        id = _validate(manifest);
        version = _publish(name, id, false);
    }

    /// @notice Like `publishId`, but the bare name and the aliases stand for what they stood for.
    function publishIdOnly(string calldata name, bytes32 id) external returns (uint256 version) {
        version = _publish(name, id, false);
    }

    /// @notice Publishes what a patch makes of a validated model as the next version of `name`. The result is a model like any other:
    /// its id is that of the same bytes published in full, and it stays if its base is revoked.
    /// @param manifest the account with the patch, deployed like a chunk
    /// @param proof as `IPredict.validatePatch` takes it; empty to have the whole model validated
    /// @param latest whether the bare name stands for it from now on
    function publishPatch(string calldata name, address manifest, bytes calldata proof, bool latest)
        external
        returns (bytes32 id, uint256 version)
    {
        id = _record(manifest, ENGINE.validatePatch(manifest, proof));
        version = _publish(name, id, latest);
    }

    /// @notice Stores edits of the weights of `base` and publishes the result as the next version of `name`, in one call: what a
    /// contract does that changes its own model.
    /// @param base the id of a validated model
    /// @param edits for each edit, in ascending order: the gap to the one before, its length, its bytes (docs/spec/model.md §8)
    /// @param proof as `publishPatch` takes it
    /// @param latest whether the bare name stands for the result from now on
    function publishEdits(string calldata name, bytes32 base, bytes calldata edits, bytes calldata proof, bool latest)
        external
        returns (bytes32 id, uint256 version)
    {
        address manifest = _records[base].manifest;
        if (manifest == address(0)) revert UnknownModelId(base);
        manifest = _store(abi.encodePacked(INIT_CODE, hex"0053594e4f4402", base, manifest, uint32(0), edits));
        id = _record(manifest, ENGINE.validatePatch(manifest, proof));
        version = _publish(name, id, latest);
    }

    // ------------------------------------------------------------------ pointers

    /// @notice Makes the bare name (and `org/model@latest`) stand for a version.
    function setLatest(string calldata name, uint256 version) external {
        Model storage model = _owned(name);
        _standing(name, model, version);
        _moveLatest(name, model, uint64(version));
    }

    /// @notice Makes `org/model@aliasName` stand for a version, whatever it stood for.
    function setAlias(string calldata name, string calldata aliasName, uint256 version) external {
        Model storage model = _owned(name);
        if (!_isAlias(bytes(aliasName))) revert InvalidAlias(aliasName);
        _standing(name, model, version);
        bytes32 aliasHash = _hash(aliasName);
        if (!model.aliases[aliasHash].listed) model.aliasNames.push(aliasName);
        uint64 old = model.aliases[aliasHash].version;
        model.aliases[aliasHash] = Alias(uint64(version), true);
        emit AliasChanged(_hash(name), aliasHash, msg.sender, name, aliasName, old, uint64(version));
    }

    /// @notice Makes `org/model@aliasName` stand for nothing.
    function removeAlias(string calldata name, string calldata aliasName) external {
        bytes32 aliasHash = _hash(aliasName);
        Alias storage pointer = _owned(name).aliases[aliasHash];
        uint64 old = pointer.version;
        if (old == 0) revert UnknownAlias(name, aliasName);
        pointer.version = 0;
        emit AliasChanged(_hash(name), aliasHash, msg.sender, name, aliasName, old, 0);
    }

    // ------------------------------------------------------------------ states

    /// @notice Advises against a version. It runs as before. Again, with another reason, replaces the reason.
    function deprecate(string calldata name, uint256 version, string calldata reason) external {
        _setStatus(name, version, DEPRECATED, reason);
    }

    /// @notice Undoes a deprecation.
    function restore(string calldata name, uint256 version) external {
        _setStatus(name, version, ACTIVE, string(bytes(name)[:0]));
    }

    /// @notice Ends a version: from now on PREDICT refuses every name that leads to it. Final. Its bytes and its id stay, and
    /// whoever asks for it by id gets an answer as before; `statusOfId` tells them.
    function revoke(string calldata name, uint256 version, string calldata reason) external {
        _setStatus(name, version, REVOKED, reason);
    }

    // ------------------------------------------------------------------ ownership of models

    /// @notice Offers a model to `to`, who takes it with `acceptModel`. Offer it to zero to withdraw an offer.
    function transferModel(string calldata name, address to) external {
        _owned(name).pendingOwner = to;
        emit ModelTransferStarted(_hash(name), msg.sender, to, name);
    }

    /// @notice Takes a model that was offered to the sender, who alone publishes its next versions and moves its pointers.
    function acceptModel(string calldata name) external {
        bytes32 nameHash = _hash(name);
        Model storage model = _models[nameHash];
        if (model.pendingOwner != msg.sender) revert NotPendingOwner(name, model.pendingOwner);
        address from = model.owner;
        model.owner = msg.sender;
        model.pendingOwner = address(0);
        emit ModelTransferred(nameHash, from, msg.sender, name);
    }

    // ------------------------------------------------------------------ questions

    /// @notice The id that a name in any of its forms stands for now, as the engine resolves it.
    function resolve(string calldata name) external view returns (bytes32 id) {
        return ENGINE.resolve(name);
    }

    /// @notice The number of the version that the bare name stands for; 0 if there is none.
    function versionOf(string calldata name) external view returns (uint256) {
        return _model(name).latest;
    }

    /// @notice How many versions of `org/model` there are, which is the number of the newest; 0 for an unknown name.
    function countOf(string calldata name) external view returns (uint256) {
        return _model(name).count;
    }

    /// @notice The number that a model has under a name; 0 if it is no version of it.
    function versionOfId(string calldata name, bytes32 id) external view returns (uint256) {
        return _model(name).numbers[id];
    }

    /// @notice The number of the version that an alias stands for; 0 if there is none.
    function aliasOf(string calldata name, string calldata aliasName) external view returns (uint256) {
        return _model(name).aliases[_hash(aliasName)].version;
    }

    /// @notice One version of `org/model`; all zero if there is none of that number.
    function versionAt(string calldata name, uint256 version) external view returns (Version memory) {
        return _model(name).versions[version];
    }

    /// @notice The state of a version (0 active, 1 deprecated, 2 revoked) and the reason for it.
    function statusOf(string calldata name, uint256 version) external view returns (uint32 status, string memory reason) {
        Version storage found = _model(name).versions[version];
        if (found.id == 0) revert UnknownVersion(name, version);
        return (found.status, found.reason);
    }

    /// @notice How many versions, of whatever names, have this id, and how many of these are deprecated and revoked. PREDICT
    /// runs an id whatever these say. Anybody may publish an id under a name of their own, and revoke it there: `StatusChanged`,
    /// indexed by id, says who did and why.
    function statusOfId(bytes32 id) external view returns (uint256 publications, uint256 deprecated, uint256 revoked) {
        Record storage record = _records[id];
        return (record.publications, record.deprecated, record.revoked);
    }

    /// @notice Who may publish the next version of `org/model` and move its pointers.
    function modelOwner(string calldata name) external view returns (address) {
        return _model(name).owner;
    }

    /// @notice Whom `org/model` is offered to, zero if to nobody.
    function pendingModelOwner(string calldata name) external view returns (address) {
        return _model(name).pendingOwner;
    }

    /// @notice The validated-model record of an id; `manifest` is zero if there is none.
    function modelOf(bytes32 id) external view returns (Record memory) {
        return _records[id];
    }

    /// @notice How many names exist.
    function modelCount() external view returns (uint256) {
        return _names.length;
    }

    /// @notice One line of a listing. `id` and `status` are those of the version that the bare name stands for.
    struct Listing {
        string name;
        uint64 latest;
        uint64 count;
        bytes32 id;
        address owner;
        uint32 status;
    }

    /// @notice Names in order of creation, from `offset`, at most `limit`.
    function models(uint256 offset, uint256 limit) external view returns (Listing[] memory page) {
        page = new Listing[](_pageLength(_names.length, offset, limit));
        for (uint256 i = 0; i < page.length; ++i) {
            string memory name = _names[offset + i];
            Model storage model = _models[keccak256(bytes(name))];
            Version storage version = model.versions[model.latest];
            page[i] = Listing(name, model.latest, model.count, version.id, model.owner, version.status);
        }
    }

    /// @notice Versions of `org/model` in order, from number `offset + 1`, at most `limit`.
    function versions(string calldata name, uint256 offset, uint256 limit) external view returns (Version[] memory page) {
        Model storage model = _model(name);
        page = new Version[](_pageLength(model.count, offset, limit));
        for (uint256 i = 0; i < page.length; ++i) {
            page[i] = model.versions[offset + i + 1];
        }
    }

    /// @notice An alias and the version it stands for; 0 if it was removed.
    struct Pointer {
        string aliasName;
        uint64 version;
    }

    /// @notice Aliases that `org/model` ever had, in order of first use, from `offset`, at most `limit`.
    function aliases(string calldata name, uint256 offset, uint256 limit) external view returns (Pointer[] memory page) {
        Model storage model = _model(name);
        page = new Pointer[](_pageLength(model.aliasNames.length, offset, limit));
        for (uint256 i = 0; i < page.length; ++i) {
            string memory aliasName = model.aliasNames[offset + i];
            page[i] = Pointer(aliasName, model.aliases[keccak256(bytes(aliasName))].version);
        }
    }

    // ------------------------------------------------------------------ inside

    /// Validates a model and keeps its record.
    function _validate(address manifest) private returns (bytes32) {
        return _record(manifest, ENGINE.validate(manifest));
    }

    /// Keeps the record of a validated model. The same model in other pieces is the same model: the first manifest stays.
    function _record(address manifest, IPredict.Validated memory found) private returns (bytes32 id) {
        id = found.id;
        Record storage record = _records[id];
        if (record.manifest != address(0)) return id;
        record.manifest = manifest;
        record.validatedAt = uint64(block.timestamp);
        record.profile = found.profile;
        record.graphBytes = found.graphBytes;
        record.weightBytes = found.weightBytes;
        record.chunks = found.chunks;
        record.patchBytes = found.patchBytes;
        record.patches = found.patches;
        record.steady = found.steady;
        record.kind = found.kind;
        emit ModelValidated(id, manifest, found.graphBytes, found.weightBytes);
    }

    /// Deploys what `initCode` returns through the chunk factory, unless it is there.
    function _store(bytes memory initCode) private returns (address store) {
        bytes32 hash = keccak256(abi.encodePacked(bytes1(0xff), CHUNK_FACTORY, bytes32(0), keccak256(initCode)));
        store = address(uint160(uint256(hash)));
        if (store.code.length != 0) return store;
        (bool stored, bytes memory answer) = CHUNK_FACTORY.call(abi.encodePacked(bytes32(0), initCode));
        if (stored && store.code.length != 0) return store;
        if (answer.length == 0) revert PatchTooLarge(initCode.length);
        assembly ("memory-safe") {
            revert(add(answer, 32), mload(answer)) // the chain's own reason, such as NotPermitted
        }
    }

    function _publish(string calldata name, bytes32 id, bool becomesLatest) private returns (uint256) {
        Record storage record = _records[id];
        if (record.manifest == address(0)) revert UnknownModelId(id);
        bytes32 nameHash = _hash(name);
        Model storage model = _models[nameHash];
        uint64 count = model.count;
        if (count == 0) {
            string calldata org = _checkName(name);
            _authorise(org);
            model.owner = msg.sender;
            _names.push(name);
            emit ModelCreated(nameHash, msg.sender, name);
        } else {
            if (model.owner != msg.sender) revert NotModelOwner(name, model.owner);
            uint256 number = model.numbers[id];
            if (number != 0) revert AlreadyPublished(name, uint64(number));
        }
        unchecked {
            ++count; // 2^64 versions are out of reach
        }
        model.count = count;
        model.numbers[id] = count;
        Version storage version = model.versions[count];
        version.id = id;
        version.publisher = msg.sender;
        version.publishedAt = uint64(block.timestamp);
        ++record.publications;
        emit ModelPublished(nameHash, id, msg.sender, name, count);
        if (becomesLatest) _moveLatest(name, model, count);
        return count;
    }

    function _moveLatest(string calldata name, Model storage model, uint64 to) private {
        uint64 from = model.latest;
        model.latest = to;
        emit LatestChanged(_hash(name), msg.sender, name, from, to);
    }

    function _setStatus(string calldata name, uint256 version, uint32 to, string calldata reason) private {
        Version storage found = _standing(name, _owned(name), version);
        uint32 from = found.status;
        if (to == ACTIVE) {
            if (from != DEPRECATED) revert NotDeprecated(name, uint64(version));
        } else if (bytes(reason).length == 0 || bytes(reason).length > MAX_REASON) {
            revert InvalidReason(bytes(reason).length);
        }
        found.status = to;
        found.reason = reason;
        _count(_records[found.id], from, to);
        emit StatusChanged(_hash(name), found.id, msg.sender, name, uint64(version), from, to, reason);
    }

    /// Keeps the sums of an id's versions by state.
    function _count(Record storage record, uint32 from, uint32 to) private {
        if (from == DEPRECATED) --record.deprecated;
        if (to == DEPRECATED) ++record.deprecated;
        if (to == REVOKED) ++record.revoked;
    }

    function _hash(string calldata text) private pure returns (bytes32) {
        return keccak256(bytes(text));
    }

    function _model(string calldata name) private view returns (Model storage) {
        return _models[_hash(name)];
    }

    /// A model that exists and belongs to the sender.
    function _owned(string calldata name) private view returns (Model storage model) {
        model = _model(name);
        if (model.count == 0) revert UnknownModel(name);
        if (model.owner != msg.sender) revert NotModelOwner(name, model.owner);
    }

    /// A version that exists and is not revoked.
    function _standing(string calldata name, Model storage model, uint256 version)
        private
        view
        returns (Version storage found)
    {
        found = model.versions[version];
        if (found.id == 0) revert UnknownVersion(name, version);
        if (found.status == REVOKED) revert VersionRevoked(name, uint64(version));
    }

    function _pageLength(uint256 count, uint256 offset, uint256 limit) private pure returns (uint256) {
        uint256 left = offset < count ? count - offset : 0;
        return limit < left ? limit : left;
    }

    /// Only a namespace's owner creates names in it; an unowned namespace is claimed on the way.
    function _authorise(string calldata org) private {
        bytes32 orgHash = _hash(org);
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
        if (!_isPart(text[:slash]) || !_isPart(text[slash + 1:])) revert InvalidName(name);
        return string(text[:slash]);
    }

    function _isAlias(bytes calldata text) private pure returns (bool) {
        if (!_isPart(text) || keccak256(text) == keccak256("latest")) return false;
        for (uint256 i = 0; i < text.length; ++i) {
            if (text[i] < "0" || text[i] > "9") return true;
        }
        return false; // a number is a version
    }

    function _isPart(bytes calldata part) private pure returns (bool) {
        if (part.length == 0 || part.length > MAX_PART) return false;
        for (uint256 i = 0; i < part.length; ++i) {
            bytes1 c = part[i];
            bool alphanumeric = (c >= "a" && c <= "z") || (c >= "0" && c <= "9");
            bool separator = c == "-" || c == "_" || c == ".";
            if (!alphanumeric && (i == 0 || !separator)) return false;
        }
        return true;
    }
}
