// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The instruction AE 01 (EXTENSION, PREDICT) as a contract: it hands its call data to the instruction and returns what
// comes back. Solidity's inline assembly has no `verbatim`, so Solidity calls the precompile and contracts in pure Yul
// use the instruction; this shim shows how and lets tests compare the two doors.
//
// Stack of AE 01, top first: input offset, input size, output offset, output size -> 1 on success, 0 on failure.
object "PredictShim" {
    code {
        datacopy(0, dataoffset("runtime"), datasize("runtime"))
        return(0, datasize("runtime"))
    }
    object "runtime" {
        code {
            calldatacopy(0, 0, calldatasize())
            let success := verbatim_4i_1o(hex"ae01", 0, calldatasize(), 0, 0)
            returndatacopy(0, 0, returndatasize())
            if iszero(success) { revert(0, returndatasize()) }
            return(0, returndatasize())
        }
    }
}
