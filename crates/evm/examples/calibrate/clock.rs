//! CPU time of this thread, and which processor it ran on.

use rustix::time::{ClockId, clock_gettime};

/// How long one case is repeated, at least.
const ENOUGH: f64 = 60e6;

fn now() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Nanoseconds of CPU time that `work` takes: the mean of the faster half of several rounds.
pub(crate) fn nanoseconds(mut work: impl FnMut()) -> f64 {
    work();
    let start = now();
    work();
    let once = now() - start;
    let (rounds, repeats) = if once > ENOUGH {
        (2, 1)
    } else {
        (8, (ENOUGH / 8.0 / (once + 1.0)).ceil() as usize)
    };
    let mut times: Vec<f64> = (0..rounds)
        .map(|_| {
            let start = now();
            (0..repeats).for_each(|_| work());
            (now() - start) / repeats as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let half = &times[..rounds / 2];
    half.iter().sum::<f64>() / half.len() as f64
}

/// How many are timed by [`each`].
pub(crate) const ROUNDS: usize = 6;

/// Nanoseconds of CPU time that `work` takes of each of [`ROUNDS`] things once: the mean of the faster half.
pub(crate) fn each<T>(things: &mut [T], mut work: impl FnMut(&mut T)) -> f64 {
    let mut times: Vec<f64> = things
        .iter_mut()
        .map(|thing| {
            let start = now();
            work(thing);
            now() - start
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let half = &times[..times.len() / 2];
    half.iter().sum::<f64>() / half.len() as f64
}

/// The processor's name, as Linux tells it.
pub(crate) fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name"));
    name.map_or("an unknown processor", |name| {
        name.trim_start_matches([' ', '\t', ':'])
    })
    .to_owned()
}
