"""What a developer does with web3.py, done against a node. Usage: flow.py HTTP_URL"""

import asyncio
import json
import sys
import traceback
from pathlib import Path

from eth_account import Account
from web3 import AsyncWeb3, Web3, WebSocketProvider
from web3.exceptions import ContractCustomError, ContractLogicError, ContractPanicError, TransactionNotFound, Web3RPCError

MNEMONIC = "test test test test test test test test test test test junk"
CONTRACT = json.loads((Path(__file__).parent.parent / "contracts" / "Counter.json").read_text())

Account.enable_unaudited_hdwallet_features()
ALICE = Account.from_mnemonic(MNEMONIC)
BOB = Account.from_mnemonic(MNEMONIC, account_path="m/44'/60'/0'/0/1")


class Flow:
    def __init__(self, url):
        self.url = url
        self.w3 = Web3(Web3.HTTPProvider(url))
        self.counter = None

    def send(self, account, transaction):
        """Completes, signs and sends a transaction; its receipt, which must say success."""
        w3 = self.w3
        transaction.setdefault("from", account.address)
        transaction.setdefault("nonce", w3.eth.get_transaction_count(account.address))
        transaction.setdefault("chainId", w3.eth.chain_id)
        if "gas" not in transaction:
            transaction["gas"] = w3.eth.estimate_gas(transaction)
        if "gasPrice" not in transaction and "maxFeePerGas" not in transaction:
            tip = w3.eth.max_priority_fee
            base_fee = w3.eth.get_block("latest")["baseFeePerGas"]
            transaction.update(maxFeePerGas=2 * base_fee + tip, maxPriorityFeePerGas=tip)
        signed = account.sign_transaction(transaction)
        digest = w3.eth.send_raw_transaction(signed.raw_transaction)
        assert digest == signed.hash
        receipt = w3.eth.wait_for_transaction_receipt(digest, timeout=60, poll_latency=0.05)
        assert receipt["status"] == 1, receipt
        return receipt

    def step_identity(self):
        w3 = self.w3
        assert w3.is_connected()
        assert w3.eth.chain_id == 1337
        assert w3.net.version == "1337"
        assert w3.eth.accounts[0] == ALICE.address
        assert w3.eth.syncing is False
        assert w3.eth.get_balance(BOB.address, "earliest") == 10_000 * 10**18

    def step_transfers_of_all_types(self):
        w3 = self.w3
        price = w3.eth.gas_price * 2
        to = Account.create().address
        kinds = {
            0: {"gasPrice": price},
            1: {"type": 1, "gasPrice": price, "accessList": [{"address": to, "storageKeys": []}]},
            2: {"maxFeePerGas": price, "maxPriorityFeePerGas": 1},
        }
        for kind, fields in kinds.items():
            before = w3.eth.get_balance(ALICE.address)
            receipt = self.send(ALICE, {"to": to, "value": 12345, **fields})
            assert receipt["type"] == kind
            paid = receipt["gasUsed"] * receipt["effectiveGasPrice"] + 12345
            assert before - w3.eth.get_balance(ALICE.address) == paid
            transaction = w3.eth.get_transaction(receipt["transactionHash"])
            assert transaction["type"] == kind and transaction["blockNumber"] == receipt["blockNumber"]
        assert w3.eth.get_balance(to) == 3 * 12345

    def step_contract(self):
        w3 = self.w3
        factory = w3.eth.contract(abi=CONTRACT["abi"], bytecode=CONTRACT["bytecode"])
        receipt = self.send(ALICE, factory.constructor(5).build_transaction({"from": ALICE.address, "value": 0}))
        self.counter = w3.eth.contract(address=receipt["contractAddress"], abi=CONTRACT["abi"])
        assert w3.eth.get_code(self.counter.address) != b""
        assert self.counter.functions.value().call() == 5
        assert int.from_bytes(w3.eth.get_storage_at(self.counter.address, 0)) == 5
        assert self.counter.functions.count(3, "three").call({"from": ALICE.address}) == 8
        call = self.counter.functions.count(3, "three").build_transaction({"from": ALICE.address})
        sent = self.send(ALICE, call)
        (event,) = self.counter.events.Counted().process_receipt(sent)
        assert dict(event["args"]) == {"by": ALICE.address, "value": 8, "note": "three"}
        assert self.counter.functions.value().call() == 8
        assert self.counter.functions.value().call(block_identifier=receipt["blockNumber"]) == 5
        assert self.counter.functions.value().call(block_identifier=receipt["blockHash"]) == 5
        assert w3.eth.get_code(self.counter.address, receipt["blockNumber"] - 1) == b""

    def step_reverts(self):
        functions = self.counter.functions
        expect(ContractCustomError, lambda: functions.count(101, "").call())
        expect(ContractLogicError, lambda: functions.count(13, "").call(), "unlucky")
        expect(ContractPanicError, lambda: functions.count(14, "").call())
        expect(ContractLogicError, lambda: functions.count(13, "").estimate_gas(), "unlucky")

    def step_estimates(self):
        functions = self.counter.functions
        for function in (functions.burn, functions.nestedOrRevert):
            gas = function(200).estimate_gas({"from": ALICE.address})
            call = function(200).build_transaction({"from": ALICE.address, "gas": gas})
            receipt = self.send(ALICE, call)
            assert gas < 2 * receipt["gasUsed"]
        assert self.w3.eth.estimate_gas({"from": ALICE.address, "to": BOB.address, "value": 1}) == 21_000

    def step_logs_and_filters(self):
        w3 = self.w3
        new = self.counter.events.Counted.create_filter(from_block="latest")
        blocks = w3.eth.filter("latest")
        call = self.counter.functions.count(1, "logged").build_transaction({"from": ALICE.address})
        receipt = self.send(ALICE, call)
        assert [entry["args"]["note"] for entry in new.get_new_entries()] == ["logged"]
        assert new.get_new_entries() == []
        assert receipt["blockHash"] in blocks.get_new_entries()
        logs = self.counter.events.Counted.get_logs(from_block=receipt["blockNumber"])
        assert [log["args"]["note"] for log in logs] == ["logged"]
        by_topic = self.counter.events.Counted.get_logs(
            from_block=receipt["blockNumber"], argument_filters={"by": BOB.address}
        )
        assert list(by_topic) == []
        assert w3.eth.uninstall_filter(new.filter_id)

    def step_blocks_and_fees(self):
        w3 = self.w3
        block = w3.eth.get_block("latest", full_transactions=True)
        assert w3.eth.get_block(block["hash"])["transactions"] == [tx["hash"] for tx in block["transactions"]]
        assert w3.eth.get_block("finalized")["hash"] == block["hash"]
        assert w3.eth.get_block_transaction_count("latest") == len(block["transactions"])
        assert len(w3.eth.get_block_receipts("latest")) == len(block["transactions"])
        history = w3.eth.fee_history(2, "latest", [50])
        assert history["baseFeePerGas"][1] == block["baseFeePerGas"]
        assert len(history["baseFeePerGas"]) == 3 and len(history["reward"]) == 2
        proof = w3.eth.get_proof(self.counter.address, [0], "latest")
        assert proof["storageProof"][0]["value"] == self.counter.functions.value().call().to_bytes(32)
        assert Web3.keccak(proof["accountProof"][0]) == block["stateRoot"]

    def step_eip7702(self):
        w3 = self.w3
        authority = Account.create()
        authorization = authority.sign_authorization(
            {"chainId": 1337, "address": self.counter.address, "nonce": 0}
        )
        delegated = w3.eth.contract(address=authority.address, abi=CONTRACT["abi"])
        receipt = self.send(
            ALICE,
            {
                "to": authority.address,
                "data": delegated.encode_abi("count", args=[9, "delegated"]),
                "authorizationList": [authorization],
                "gas": 300_000,
                "value": 0,
            },
        )
        assert receipt["type"] == 4
        assert w3.eth.get_code(authority.address).hex().endswith(self.counter.address[2:].lower())
        assert delegated.functions.value().call() == 9

    def step_refusals(self):
        w3 = self.w3
        pauper = Account.create()
        price = w3.eth.gas_price
        base = {"to": BOB.address, "value": 1, "gas": 21_000, "gasPrice": price, "chainId": 1337}
        poor = pauper.sign_transaction({**base, "nonce": 0}).raw_transaction
        expect(Web3RPCError, lambda: w3.eth.send_raw_transaction(poor), "insufficient funds for gas * price + value")
        old = ALICE.sign_transaction({**base, "nonce": 0}).raw_transaction
        expect(Web3RPCError, lambda: w3.eth.send_raw_transaction(old), "nonce too low")
        expect(Web3RPCError, lambda: w3.eth.send_raw_transaction(b"\x02\xc0"), "invalid transaction encoding")
        expect(TransactionNotFound, lambda: w3.eth.get_transaction("0x" + "11" * 32))

    def step_node_signs_for_its_accounts(self):
        w3 = self.w3
        digest = w3.eth.send_transaction({"from": w3.eth.accounts[2], "to": BOB.address, "value": 5})
        receipt = w3.eth.wait_for_transaction_receipt(digest, timeout=60, poll_latency=0.05)
        assert receipt["status"] == 1 and receipt["from"] == w3.eth.accounts[2]

    def step_subscriptions(self):
        asyncio.run(asyncio.wait_for(self.subscriptions(), 60))

    async def subscriptions(self):
        async with AsyncWeb3(WebSocketProvider(self.url.replace("http", "ws", 1))) as w3:
            heads = await w3.eth.subscribe("newHeads")
            logs = await w3.eth.subscribe("logs", {"address": self.counter.address})
            call = self.counter.functions.count(2, "pushed").build_transaction({"from": ALICE.address})
            receipt = await asyncio.to_thread(self.send, ALICE, call)
            wanted = {heads, logs}
            async for message in w3.socket.process_subscriptions():
                result = message["result"]
                if message["subscription"] == heads and result["hash"] == receipt["blockHash"]:
                    wanted.discard(heads)
                if message["subscription"] == logs:
                    assert result["transactionHash"] == receipt["transactionHash"]
                    wanted.discard(logs)
                if not wanted:
                    break
            assert await w3.eth.unsubscribe(heads)
            assert await w3.eth.unsubscribe(logs)


def expect(kind, call, words=""):
    try:
        call()
    except kind as error:
        assert words in str(error), f"{words!r} is not in {error}"
        return
    raise AssertionError(f"no {kind.__name__}")


def main():
    flow = Flow(sys.argv[1])
    failed = 0
    for name in [name for name in vars(Flow) if name.startswith("step_")]:
        title = name.removeprefix("step_").replace("_", " ")
        try:
            getattr(flow, name)()
            print("ok   ", title)
        except Exception:
            print("FAIL ", title, file=sys.stderr)
            traceback.print_exc()
            failed += 1
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
