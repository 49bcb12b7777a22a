// OpenZeppelin's contracts on a development node, tested as a Hardhat project tests them. SYNOD_URL is the node's address.
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { network } from "hardhat";
import { encodeFunctionData, getAddress, keccak256, parseEther, parseSignature, toHex, zeroAddress } from "viem";
import { mnemonicToAccount } from "viem/accounts";

const connection = await network.create("synod");
const { viem, networkHelpers } = connection;
const client = await viem.getPublicClient();
const [alice, bob, carol] = await viem.getWalletClients();
const address = (wallet: typeof alice) => wallet.account.address;

after(() => connection.close());

/** Awaits that something is refused with this error of a contract. */
async function refused(call: Promise<unknown>, error: string) {
  await assert.rejects(call, (reason: Error) => {
    assert.match(reason.message, new RegExp(error));
    return true;
  });
}

describe("ERC-20", () => {
  const deployed = async () => await viem.deployContract("Token");

  it("moves balances and allowances, and says why it does not", async () => {
    const token = await networkHelpers.loadFixture(deployed);
    await token.write.transfer([address(bob), 10n]);
    assert.equal(await token.read.balanceOf([address(bob)]), 10n);
    await token.write.approve([address(carol), 4n], { account: bob.account });
    await token.write.transferFrom([address(bob), address(alice), 3n], { account: carol.account });
    assert.equal(await token.read.allowance([address(bob), address(carol)]), 1n);
    await refused(token.write.transfer([address(alice), 8n], { account: bob.account }), "ERC20InsufficientBalance");
    await refused(token.write.transfer([zeroAddress, 1n]), "ERC20InvalidReceiver");
    const events = await client.getContractEvents({ ...token, eventName: "Transfer", fromBlock: 0n });
    assert.deepEqual(events.map((event) => event.args.value), [parseEther("1000"), 10n, 3n]);
  });

  it("takes a permit that the owner signed", async () => {
    const token = await networkHelpers.loadFixture(deployed);
    const owner = mnemonicToAccount("test test test test test test test test test test test junk");
    const deadline = BigInt(await networkHelpers.time.latest()) + 3600n;
    const signature = await owner.signTypedData({
      domain: { name: "Token", version: "1", chainId: await client.getChainId(), verifyingContract: token.address },
      types: {
        Permit: [
          { name: "owner", type: "address" },
          { name: "spender", type: "address" },
          { name: "value", type: "uint256" },
          { name: "nonce", type: "uint256" },
          { name: "deadline", type: "uint256" },
        ],
      },
      primaryType: "Permit",
      message: { owner: owner.address, spender: address(bob), value: 5n, nonce: 0n, deadline },
    });
    const { r, s, v } = parseSignature(signature);
    const permit = [owner.address, address(bob), 5n, deadline, Number(v), r, s] as const;
    await token.write.permit(permit, { account: carol.account });
    assert.equal(await token.read.allowance([owner.address, address(bob)]), 5n);
    await refused(token.write.permit(permit, { account: carol.account }), "ERC2612InvalidSigner");
    await networkHelpers.time.increaseTo(deadline + 1n);
    await refused(token.write.permit(permit, { account: carol.account }), "ERC2612ExpiredSignature");
  });
});

describe("ERC-721", () => {
  it("has one owner for each token and asks contracts whether they want it", async () => {
    const collectible = await viem.deployContract("Collectible");
    await collectible.write.mint([address(alice), 1n]);
    await collectible.write.approve([address(bob), 1n]);
    await collectible.write.safeTransferFrom([address(alice), address(carol), 1n], { account: bob.account });
    assert.equal(await collectible.read.ownerOf([1n]), getAddress(address(carol)));
    await refused(collectible.write.mint([address(bob), 1n]), "ERC721InvalidSender");
    await refused(collectible.write.mint([collectible.address, 2n]), "ERC721InvalidReceiver");
    assert.equal(await collectible.read.supportsInterface(["0x80ac58cd"]), true);
  });
});

describe("Governor", () => {
  it("does what was voted, after the delay, and nothing before", async () => {
    const token = await viem.deployContract("Token");
    const timelock = await viem.deployContract("TimelockController", [3600n, [], [zeroAddress], address(alice)]);
    const government = await viem.deployContract("Government", [token.address, timelock.address]);
    await timelock.write.grantRole([keccak256(toHex("PROPOSER_ROLE")), government.address]);
    await token.write.transfer([timelock.address, 100n]);
    await token.write.delegate([address(alice)]);

    const data = encodeFunctionData({ abi: token.abi, functionName: "transfer", args: [address(bob), 100n] });
    const text = "pay bob";
    const proposal = [[token.address], [0n], [data], text] as const;
    const hashed = [[token.address], [0n], [data], keccak256(toHex(text))] as const;
    await government.write.propose(proposal);
    const id = await government.read.hashProposal(hashed);
    assert.equal(await government.read.state([id]), 0);
    await networkHelpers.mine(3);
    assert.equal(await government.read.state([id]), 1);
    await government.write.castVoteWithReason([id, 1, "he earned it"]);
    await refused(government.write.castVote([id, 1]), "GovernorAlreadyCastVote");
    await networkHelpers.mine(10);
    assert.equal(await government.read.state([id]), 4);
    await government.write.queue(hashed);
    // TimelockUnexpectedOperationState, an error of the timelock, which the governor's ABI does not name.
    await refused(government.write.execute(hashed), "0x5ead8eb5");
    await networkHelpers.time.increase(3600);
    await government.write.execute(hashed);
    assert.equal(await token.read.balanceOf([address(bob)]), 100n);
    assert.equal(await government.read.state([id]), 7);
  });
});

describe("Proxies", () => {
  const IMPLEMENTATION = "0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc";
  const ADMIN = "0xb53127684a568b3173ae13b9f8a6016e243e63b6e8ee1178d6a717850b5d6103";
  const slot = async (contract: `0x${string}`, at: `0x${string}`) =>
    getAddress(`0x${(await client.getStorageAt({ address: contract, slot: at }))!.slice(26)}`);
  const initialize = async (abi: readonly unknown[]) =>
    encodeFunctionData({ abi, functionName: "initialize", args: [42n] } as never);

  it("UUPS: the owner upgrades, the storage stays", async () => {
    const [first, second] = [await viem.deployContract("Box"), await viem.deployContract("BoxV2")];
    const proxy = await viem.deployContract("ERC1967Proxy", [first.address, await initialize(first.abi)]);
    assert.equal(await slot(proxy.address, IMPLEMENTATION), getAddress(first.address));
    const box = await viem.getContractAt("BoxV2", proxy.address);
    // The proxy's constructor initialised it, so the proxy's deployer is no owner: the caller of `initialize` was the proxy's maker.
    const owner = await box.read.owner();
    await refused(box.write.upgradeToAndCall([second.address, "0x"], { account: carol.account }), "OnlyOwner");
    await networkHelpers.impersonateAccount(owner);
    await networkHelpers.setBalance(owner, parseEther("1"));
    await box.write.upgradeToAndCall([second.address, "0x"], { account: owner });
    await networkHelpers.stopImpersonatingAccount(owner);
    await box.write.increment();
    assert.equal(await box.read.value(), 43n);
    await refused(box.write.initialize([1n]), "InvalidInitialization");
  });

  it("transparent: only the admin contract upgrades", async () => {
    const [first, second] = [await viem.deployContract("Box"), await viem.deployContract("BoxV2")];
    const proxy = await viem.deployContract("TransparentUpgradeableProxy", [
      first.address,
      address(alice),
      await initialize(first.abi),
    ]);
    const admin = await viem.getContractAt("ProxyAdmin", await slot(proxy.address, ADMIN));
    await refused(
      admin.write.upgradeAndCall([proxy.address, second.address, "0x"], { account: bob.account }),
      "OwnableUnauthorizedAccount",
    );
    await admin.write.upgradeAndCall([proxy.address, second.address, "0x"]);
    const box = await viem.getContractAt("BoxV2", proxy.address);
    await box.write.increment();
    assert.equal(await box.read.value(), 43n);
  });

  it("beacon and clones: one code for many", async () => {
    const [first, second] = [await viem.deployContract("Box"), await viem.deployContract("BoxV2")];
    const beacon = await viem.deployContract("UpgradeableBeacon", [first.address, address(alice)]);
    const proxy = await viem.deployContract("BeaconProxy", [beacon.address, await initialize(first.abi)]);
    await beacon.write.upgradeTo([second.address]);
    const box = await viem.getContractAt("BoxV2", proxy.address);
    await box.write.increment();
    assert.equal(await box.read.value(), 43n);
    const factory = await viem.deployContract("Factory");
    const salt = toHex(1, { size: 32 });
    const { result: clone } = await factory.simulate.clone([second.address, salt]);
    await factory.write.clone([second.address, salt]);
    const cloned = await viem.getContractAt("BoxV2", clone);
    await cloned.write.initialize([7n]);
    assert.equal(await cloned.read.owner(), getAddress(address(alice)));
    await refused(factory.write.clone([second.address, salt]), "FailedDeployment");
  });
});

describe("Hardhat's helpers", () => {
  it("change the state, the clock and the next block", async () => {
    const { time } = networkHelpers;
    const stranger = getAddress("0x00000000000000000000000000000000000000aa");
    const before = await client.getBalance({ address: stranger });
    const snapshot = await networkHelpers.takeSnapshot();
    const token = await viem.deployContract("Token");
    await networkHelpers.setBalance(stranger, 5n);
    await networkHelpers.setNonce(stranger, 9);
    await networkHelpers.setCode(stranger, (await client.getCode({ address: token.address }))!);
    // The third slot is the total supply.
    await networkHelpers.setStorageAt(stranger, 2, 77);
    assert.equal(await client.getBalance({ address: stranger }), 5n);
    assert.equal(await client.getTransactionCount({ address: stranger }), 9);
    const copy = await viem.getContractAt("Token", stranger);
    assert.equal(await copy.read.totalSupply(), 77n);
    await networkHelpers.setCoinbase(stranger);
    await networkHelpers.setNextBlockBaseFeePerGas(3_000_000_000n);
    await networkHelpers.setPrevRandao(5);
    const at = BigInt(await time.latest()) + 1000n;
    await time.setNextBlockTimestamp(at);
    await networkHelpers.mine();
    const block = await client.getBlock();
    assert.equal(block.timestamp, at);
    assert.equal(block.miner.toLowerCase(), stranger.toLowerCase());
    assert.equal(block.baseFeePerGas, 3_000_000_000n);
    await networkHelpers.mineUpTo(block.number + 5n);
    assert.equal(BigInt(await time.latestBlock()), block.number + 5n);
    await snapshot.restore();
    assert.equal(await client.getBalance({ address: stranger }), before);
    assert.equal(await client.getCode({ address: token.address }), undefined);
  });
});
