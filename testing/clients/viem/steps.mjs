// Runs named steps one after another, as the other flows do: each is tried, and the program ends with 1 if one failed.
export async function run(steps) {
  const context = {};
  let failed = 0;
  for (const [name, step] of Object.entries(steps)) {
    try {
      await step.call(context);
      console.log(`ok    ${name}`);
    } catch (error) {
      console.error(`FAIL  ${name}\n${error.stack ?? error}`);
      failed += 1;
    }
  }
  process.exit(failed === 0 ? 0 : 1);
}

/** Asserts that something is refused with this error of a contract. */
export async function refuses(promise, error) {
  let found = "success";
  try {
    await promise;
  } catch (refusal) {
    if (refusal.name !== "Refused") throw refusal;
    found = refusal.error;
  }
  if (found !== error) throw new Error(`expected ${error}, got ${found}`);
}

/** Numbers that follow from a seed (mulberry32): `below(n)` is from 0 to n - 1. */
export function generator(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
  const below = (n) => next() % n;
  return { next, below, pick: (list) => list[below(list.length)], chance: (percent) => below(100) < percent };
}
