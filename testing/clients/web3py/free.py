"""An account without money on a chain where gas is free: web3.py's own choice of fees. Usage: free.py HTTP_URL"""

import json
import pathlib
import sys

from eth_account import Account
from web3 import Web3
from web3.middleware import SignAndSendRawMiddlewareBuilder

w3 = Web3(Web3.HTTPProvider(sys.argv[1]))
account = Account.create()
w3.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(account), layer=0)
w3.eth.default_account = account.address
artefact = json.loads((pathlib.Path(__file__).parent.parent / "contracts/Counter.json").read_text())


def mined(transaction):
    receipt = w3.eth.wait_for_transaction_receipt(transaction, poll_latency=0.05)
    assert receipt.status == 1 and receipt.effectiveGasPrice == 0, receipt
    return receipt


assert w3.eth.gas_price == 0
deployed = mined(w3.eth.contract(abi=artefact["abi"], bytecode=artefact["bytecode"]).constructor(5).transact())
counter = w3.eth.contract(address=deployed.contractAddress, abi=artefact["abi"])
mined(counter.functions.burn(1).transact())
assert w3.eth.get_balance(account.address) == 0
print("ok    web3.py deploys and calls without money")
