//! The compiled contracts that tests call. Apart from [`crate::world`], because `sol!` reads paths from the package's folder: the
//! fuzz target, a package of its own, brings the same module with its own path.

alloy_sol_types::sol!(
    #[allow(missing_docs)]
    Prober,
    "../../contracts/artifacts/Prober.json"
);
alloy_sol_types::sol!(
    #[allow(missing_docs)]
    PredictShim,
    "../../contracts/artifacts/PredictShim.json"
);
