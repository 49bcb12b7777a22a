//! Threads that share the work of one kernel, and memory that each thread keeps for kernels.
//!
//! Spawning a thread costs tens of microseconds, as much as a whole layer of a small network. So a few are started once
//! ([`set_threads`]), wait for work by spinning for a moment and then sleep. [`run`] hands them the pieces of one job, the caller
//! among them. Each takes its own share of the pieces first, the same part of every job, so that what one kernel left in the caches
//! of a processor is mostly read there by the next; who is done takes what is left of the others' shares.
//!
//! **The bits do not depend on it.** A job is split over output elements, never over the terms of a sum, and every piece writes its
//! own elements. How many threads there are, and which of them takes which piece, can change the time only.
//!
//! There is one pool for the process and it does one job at a time. Who finds it busy (another model running at the same time, or
//! a kernel within a piece of a job) does its own work alone, so calls may be nested and concurrent, and none waits for another's.
//!
//! Nothing is allocated by a job. The library starts with one thread, the caller's: whoever runs networks decides.

use std::any::Any;
use std::cell::{RefCell, UnsafeCell};
use std::marker::PhantomData;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crate::environment;

/// The most threads that [`set_threads`] starts, the caller's included.
pub const MAX_THREADS: usize = 64;
/// How long a thread spins for its next job before it sleeps. Waking it then costs several microseconds.
const SPIN: Duration = Duration::from_micros(100);

/// Bit of the state that says that a job is open; the bits above count jobs, those below threads that are at work on it.
const OPEN: u64 = 1 << 16;
/// Position of the number of a job in the state.
const NUMBER: u32 = 17;

/// A value with cache lines of its own: threads that poll one must not slow down those that write its neighbour.
#[repr(align(128))]
struct Apart<T>(T);

/// What every piece of the open job runs.
#[derive(Clone, Copy)]
struct Job {
    /// Borrowed from the caller of [`run`], who stays until no thread can use it any more.
    piece: *const (dyn Fn(usize) + Sync),
    pieces: usize,
    /// Threads that may take part, the caller's included.
    threads: usize,
}

impl Job {
    /// The pieces that thread `index` takes before others'.
    fn share(&self, index: usize) -> Range<usize> {
        part(self.pieces, 1, self.threads, index)
    }
}

struct Pool {
    /// Threads that jobs may use, the caller's included.
    threads: AtomicUsize,
    /// Someone's job is being done (or the number of threads changed).
    busy: AtomicBool,
    /// See [`OPEN`].
    state: Apart<AtomicU64>,
    /// The next piece of each thread's share that nobody has taken.
    next: [Apart<AtomicUsize>; MAX_THREADS],
    /// How many of the threads may join the open job.
    helpers: AtomicUsize,
    /// Written while no job is open, read by threads that have joined one.
    job: UnsafeCell<Option<Job>>,
    /// The first panic of a piece on another thread than the caller's.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    workers: [Worker; MAX_THREADS - 1],
}

/// A thread of the pool.
struct Worker {
    thread: OnceLock<Thread>,
    sleeps: AtomicBool,
}

// SAFETY: all fields but `job` are `Sync`. `job` is written by whoever holds `busy`, while no job is open and no thread is counted
// in `state`; it is read by threads counted in `state`. The pointer in it is to something `Sync`.
unsafe impl Sync for Pool {}

static POOL: Pool = Pool {
    threads: AtomicUsize::new(1),
    busy: AtomicBool::new(false),
    state: Apart(AtomicU64::new(0)),
    next: [const { Apart(AtomicUsize::new(0)) }; MAX_THREADS],
    helpers: AtomicUsize::new(0),
    job: UnsafeCell::new(None),
    panic: Mutex::new(None),
    workers: [const {
        Worker {
            thread: OnceLock::new(),
            sleeps: AtomicBool::new(false),
        }
    }; MAX_THREADS - 1],
};

/// The number of threads that a kernel may use, its caller's included.
#[must_use]
pub fn threads() -> usize {
    POOL.threads.load(Ordering::Relaxed)
}

/// Sets the number of threads that a kernel may use, its caller's included, for the whole process: at least 1, at most
/// [`MAX_THREADS`]. The threads are started here. Fewer may start if the system refuses more; the number that there are now is
/// returned.
pub fn set_threads(threads: usize) -> usize {
    static CHANGES: Mutex<()> = Mutex::new(());
    let _one_at_a_time = CHANGES.lock().unwrap_or_else(PoisonError::into_inner);
    let mut usable = threads.clamp(1, MAX_THREADS);
    for (index, worker) in POOL.workers[..usable - 1].iter().enumerate() {
        if worker.thread.get().is_some() {
            continue;
        }
        let started = std::thread::Builder::new()
            .name(format!("kernel-{}", index + 1))
            .spawn(move || POOL.work(index));
        match started {
            Ok(handle) => {
                // only this function sets it, one call at a time
                let _ = worker.thread.set(handle.thread().clone());
            }
            Err(_) => {
                usable = index + 1;
                break;
            }
        }
    }
    POOL.threads.store(usable, Ordering::Relaxed);
    usable
}

/// Into how many pieces a job of about `nanoseconds` on one thread is worth being split: 1 where handing it over would cost more
/// than it saves, else a few for each thread, so that one that is held up leaves its share to the others. As many for each: the same
/// part of every job is a thread's own then, however many pieces it has.
#[must_use]
pub fn pieces(nanoseconds: u64) -> usize {
    /// Less is not worth a hand-over.
    const LEAST: u64 = 5_000;
    let threads = threads();
    if threads == 1 || nanoseconds < 2 * LEAST {
        return 1;
    }
    let pieces = (nanoseconds / LEAST).min(4 * threads as u64) as usize;
    if pieces > threads {
        pieces - pieces % threads
    } else {
        pieces
    }
}

/// Calls `piece` with every number below `pieces` once, on as many threads as there are, and returns when all calls have.
///
/// # Panics
/// If a piece panics, with its payload, after all threads have left the job.
pub fn run(pieces: usize, piece: &(dyn Fn(usize) + Sync)) {
    let helpers = threads().min(pieces).saturating_sub(1);
    if helpers == 0 || POOL.busy.swap(true, Ordering::Acquire) {
        (0..pieces).for_each(piece);
        return;
    }
    let panicked = POOL.share(helpers, pieces, piece);
    POOL.busy.store(false, Ordering::Release);
    if let Some(payload) = panicked {
        resume_unwind(payload);
    }
}

/// Calls `piece` for every run of `size` elements of `data` (the last may be shorter), with its number.
///
/// # Panics
/// As [`run`]; if `size` is 0.
pub fn chunks<T: Send>(data: &mut [T], size: usize, piece: impl Fn(usize, &mut [T]) + Sync) {
    let (length, data) = (data.len(), Disjoint::new(data));
    run(length.div_ceil(size), &|index| {
        let start = index * size;
        // SAFETY: pieces have different numbers, so their ranges do not overlap.
        piece(index, unsafe { data.slice(start..length.min(start + size)) });
    });
}

/// [`chunks`] of several slices of bytes that are cut into as many pieces: `piece` gets its part of each, of the bytes said beside it
/// (the last may be shorter).
///
/// # Panics
/// As [`run`].
pub fn chunks_of_each<const N: usize>(
    pieces: usize,
    slices: [(&mut [u8], usize); N],
    piece: impl Fn(usize, [&mut [u8]; N]) + Sync,
) {
    let slices = slices.map(|(data, size)| (Disjoint::new(data), size));
    run(pieces, &|index| {
        let parts = slices.each_ref().map(|(data, size)| {
            let start = data.len().min(index * size);
            // SAFETY: pieces have different numbers, so their ranges of a slice do not overlap.
            unsafe { data.slice(start..data.len().min(start + size)) }
        });
        piece(index, parts);
    });
}

/// Calls `piece` for runs of elements of `data` with the number of the first of each, in as many pieces as work of about
/// `nanoseconds` on one thread is worth. Runs are whole units of elements but for the last.
///
/// # Panics
/// As [`run`]; if `unit` is 0.
pub fn share<T: Send>(data: &mut [T], unit: usize, nanoseconds: u64, piece: impl Fn(usize, &mut [T]) + Sync) {
    let pieces = pieces(nanoseconds);
    if pieces == 1 {
        return piece(0, data);
    }
    let size = data.len().div_ceil(unit).div_ceil(pieces).max(1) * unit;
    chunks(data, size, |index, part| piece(index * size, part));
}

/// The bounds of piece `index` of `pieces` equal parts of `length`, in multiples of `unit` but for the last.
#[must_use]
pub fn part(length: usize, unit: usize, pieces: usize, index: usize) -> Range<usize> {
    let units = length.div_ceil(unit);
    let bound = |index: usize| (units * index / pieces * unit).min(length);
    bound(index)..bound(index + 1)
}

impl Pool {
    /// Opens a job, takes part in it and returns when everyone has left it, with a panic if there was one.
    fn share(
        &self,
        helpers: usize,
        pieces: usize,
        piece: &(dyn Fn(usize) + Sync),
    ) -> Option<Box<dyn Any + Send>> {
        // SAFETY: only the lifetime is changed. Threads call it only while they are counted in `state`, and this function returns
        // when none is and none can be any more.
        let piece: *const (dyn Fn(usize) + Sync) =
            unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static (dyn Fn(usize) + Sync)>(piece) };
        let job = Job {
            piece,
            pieces,
            threads: helpers + 1,
        };
        // SAFETY: `busy` is held, no job is open and nobody is counted in `state`: no one reads it.
        unsafe { *self.job.get() = Some(job) };
        for (index, next) in self.next[..job.threads].iter().enumerate() {
            next.0.store(job.share(index).start, Ordering::Relaxed);
        }
        self.helpers.store(helpers, Ordering::Relaxed);
        let number = (self.state.0.load(Ordering::Relaxed) >> NUMBER).wrapping_add(1);
        self.state.0.store(number << NUMBER | OPEN, Ordering::SeqCst);
        for worker in &self.workers[..helpers] {
            // either this sees that the thread sleeps, or the thread, which says so before it looks, sees the job
            if worker.sleeps.load(Ordering::SeqCst)
                && let Some(thread) = worker.thread.get()
            {
                thread.unpark();
            }
        }
        let mine = catch_unwind(AssertUnwindSafe(|| self.take_pieces(job, 0)));
        if mine.is_err() {
            self.give_up(job);
        }
        self.state.0.fetch_and(!OPEN, Ordering::Relaxed);
        let mut spins = 0_u32;
        while self.state.0.load(Ordering::Acquire) & (OPEN - 1) != 0 {
            spins += 1;
            if spins.is_multiple_of(4096) {
                // whoever is still at work may need this processor
                std::thread::yield_now();
            } else {
                std::hint::spin_loop();
            }
        }
        let theirs = self.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        mine.err().or(theirs)
    }

    /// Runs pieces until none is left, thread `me`'s own first.
    fn take_pieces(&self, job: Job, me: usize) {
        for whose in (me..job.threads).chain(0..me) {
            let (next, end) = (&self.next[whose].0, job.share(whose).end);
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= end {
                    break;
                }
                // SAFETY: the caller of `run` keeps it alive while its job is open or someone is counted in `state`, and whoever
                // comes here is that caller or counted.
                let piece = unsafe { &*job.piece };
                piece(index);
            }
        }
    }

    /// Leaves no piece to anybody.
    fn give_up(&self, job: Job) {
        for next in &self.next[..job.threads] {
            next.0.store(job.pieces, Ordering::Relaxed);
        }
    }

    /// The life of a thread: it waits for a job that it may join and takes pieces of it.
    fn work(&self, index: usize) {
        let mut seen = 0;
        loop {
            let state = self.wait(index, seen);
            seen = state >> NUMBER;
            if index >= self.helpers.load(Ordering::Relaxed) || !self.join(seen) {
                continue;
            }
            // a job's bits may not depend on a library that has changed this thread's rounding: then others do the work
            if environment::is_default() {
                // SAFETY: this thread is counted in `state`, so nobody writes.
                let job = unsafe { *self.job.get() };
                let job = job.expect("a job is there before it is opened");
                if let Err(payload) = catch_unwind(AssertUnwindSafe(|| self.take_pieces(job, index + 1))) {
                    self.give_up(job);
                    self.panic
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .get_or_insert(payload);
                }
            }
            self.state.0.fetch_sub(1, Ordering::Release);
        }
    }

    /// Counts this thread in, unless the job has closed.
    fn join(&self, number: u64) -> bool {
        let open = |state: u64| (state >> NUMBER == number && state & OPEN != 0).then(|| state + 1);
        let joined = self
            .state
            .0
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, open);
        joined.is_ok()
    }

    /// The state once another job than `seen` is open.
    fn wait(&self, index: usize, seen: u64) -> u64 {
        let is_new = |state: u64| state & OPEN != 0 && state >> NUMBER != seen;
        loop {
            let begin = Instant::now();
            loop {
                for _ in 0..64 {
                    let state = self.state.0.load(Ordering::Acquire);
                    if is_new(state) {
                        return state;
                    }
                    std::hint::spin_loop();
                }
                if begin.elapsed() > SPIN {
                    break;
                }
            }
            let sleeps = &self.workers[index].sleeps;
            sleeps.store(true, Ordering::SeqCst);
            let mut state = self.state.0.load(Ordering::SeqCst);
            // wakes for nothing are allowed, and those of jobs that closed in the meantime happen
            while !is_new(state) && sleeps.load(Ordering::Relaxed) {
                std::thread::park();
                state = self.state.0.load(Ordering::SeqCst);
                if !is_new(state) && state >> NUMBER != seen {
                    break;
                }
            }
            sleeps.store(false, Ordering::SeqCst);
            if is_new(state) {
                return state;
            }
        }
    }
}

/// A slice whose parts several threads write at the same time.
pub struct Disjoint<'a, T> {
    start: *mut T,
    length: usize,
    data: PhantomData<&'a mut [T]>,
}

// SAFETY: it stands for an exclusive borrow of the elements, which may go to other threads; whoever takes a part promises that
// no other has it (`slice`).
unsafe impl<T: Send> Send for Disjoint<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Disjoint<'_, T> {}

impl<'a, T> Disjoint<'a, T> {
    /// Borrows a slice to be written in parts.
    pub fn new(data: &'a mut [T]) -> Self {
        Disjoint {
            start: data.as_mut_ptr(),
            length: data.len(),
            data: PhantomData,
        }
    }

    /// The number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there is no element.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The elements of a range.
    ///
    /// # Safety
    /// While the returned slice lives nobody else may use elements of the range.
    ///
    /// # Panics
    /// If the range is not within the slice.
    #[must_use]
    #[expect(
        clippy::mut_from_ref,
        reason = "the caller promises that ranges do not overlap"
    )]
    pub unsafe fn slice(&self, range: Range<usize>) -> &mut [T] {
        assert!(
            range.start <= range.end && range.end <= self.length,
            "a part lies within its slice"
        );
        // SAFETY: the range is within the borrowed slice, and by the contract nobody else has its elements.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }

    /// The address of an element, for kernels that write rows of a tile.
    ///
    /// # Panics
    /// If there is no such element (one past the last is one).
    #[must_use]
    pub fn pointer(&self, index: usize) -> *mut T {
        assert!(index <= self.length, "a part lies within its slice");
        // SAFETY: within the slice or one past its end.
        unsafe { self.start.add(index) }
    }
}

/// Bytes of the memory that a thread keeps for kernels.
pub const BUFFER_BYTES: usize = 1 << 20;

/// A page of a thread's memory.
#[derive(Clone, Copy)]
#[repr(align(4096))]
struct Page(#[expect(dead_code, reason = "it is read through slices of other types")] [u8; 4096]);

/// A type without padding, of which every bit pattern is a value: what a thread's memory can hold.
///
/// # Safety
/// Implementors must be that, and aligned to at most 4096 bytes.
pub unsafe trait Plain: Copy + 'static {}
// SAFETY: numbers.
unsafe impl Plain for f32 {}
// SAFETY: numbers.
unsafe impl Plain for f64 {}
// SAFETY: numbers.
unsafe impl Plain for i8 {}
// SAFETY: numbers.
unsafe impl Plain for u8 {}
// SAFETY: numbers.
unsafe impl Plain for i16 {}
// SAFETY: numbers.
unsafe impl Plain for i32 {}

/// Lends `length` elements of this thread's memory, with whatever is in them, aligned to a page.
///
/// A thread that runs kernels has at most [`BUFFER_BYTES`] of it (twice that where a piece of a job runs a kernel itself), taken
/// when first needed and kept. It is beside the scratch memory that a plan states: a constant for each thread, whatever the model.
///
/// # Panics
/// If they take more than [`BUFFER_BYTES`].
pub fn with_buffer<T: Plain, R>(length: usize, f: impl FnOnce(&mut [T]) -> R) -> R {
    thread_local! {
        // a second one where a kernel runs within another
        static BUFFERS: RefCell<Vec<Vec<Page>>> = const { RefCell::new(Vec::new()) };
    }
    assert!(
        length <= BUFFER_BYTES / size_of::<T>(),
        "a kernel's buffer has at most {BUFFER_BYTES} bytes"
    );
    let kept = BUFFERS.with_borrow_mut(Vec::pop);
    let mut pages = kept.unwrap_or_else(|| vec![Page([0; 4096]); BUFFER_BYTES / 4096]);
    // SAFETY: the pages are initialised bytes, borrowed exclusively, at least as many as `length` elements take and aligned for
    // any plain type, whose every bit pattern is valid.
    let elements = unsafe { std::slice::from_raw_parts_mut(pages.as_mut_ptr().cast::<T>(), length) };
    let result = f(elements);
    BUFFERS.with_borrow_mut(|buffers| buffers.push(pages));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pool and its number of threads are the process's: tests that count on them take turns.
    fn with_threads<R>(threads: usize, f: impl FnOnce() -> R) -> R {
        static TURNS: Mutex<()> = Mutex::new(());
        let _turn = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(set_threads(threads), threads);
        let result = catch_unwind(AssertUnwindSafe(f));
        set_threads(1);
        result.unwrap_or_else(|payload| resume_unwind(payload))
    }

    #[test]
    fn every_piece_is_run_once() {
        for threads in [1, 2, 3, 8] {
            with_threads(threads, || {
                for pieces in [0, 1, 2, 3, 7, 64, 1000] {
                    let counts: Vec<AtomicUsize> = (0..pieces).map(|_| AtomicUsize::new(0)).collect();
                    for round in 1..=50 {
                        run(pieces, &|index| {
                            counts[index].fetch_add(1, Ordering::Relaxed);
                        });
                        assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == round));
                    }
                }
            });
        }
    }

    #[test]
    fn every_thread_gets_as_many_pieces() {
        for threads in [1, 2, 3, 5] {
            with_threads(threads, || {
                for nanoseconds in (0..400_000).step_by(777) {
                    let pieces = pieces(nanoseconds);
                    assert!((1..=4 * threads).contains(&pieces));
                    assert!(pieces < threads || pieces.is_multiple_of(threads));
                }
            });
        }
    }

    #[test]
    fn slices_are_cut_at_the_same_places() {
        with_threads(3, || {
            let (mut long, mut short, mut none) = ([0; 23], [0; 5], [0; 0]);
            let slices = [(&mut long[..], 8), (&mut short[..], 2), (&mut none[..], 0)];
            chunks_of_each(3, slices, |index, parts| {
                parts
                    .into_iter()
                    .flatten()
                    .for_each(|byte| *byte += 1 + index as u8);
            });
            let of = |size: usize| move |at: usize| 1 + (at / size) as u8;
            assert!(long.iter().copied().eq((0..23).map(of(8))));
            assert!(short.iter().copied().eq((0..5).map(of(2))));
        });
    }

    #[test]
    fn sleeping_threads_wake() {
        with_threads(3, || {
            for _ in 0..20 {
                std::thread::sleep(SPIN * 3);
                let (arrived, alone) = (AtomicUsize::new(0), AtomicUsize::new(0));
                // the first piece waits for company, for as long as a busy machine may need
                run(2, &|_| {
                    arrived.fetch_add(1, Ordering::SeqCst);
                    let begin = Instant::now();
                    while arrived.load(Ordering::SeqCst) < 2 {
                        if begin.elapsed() > Duration::from_secs(20) {
                            alone.fetch_add(1, Ordering::SeqCst);
                            break;
                        }
                        std::thread::yield_now();
                    }
                });
                assert_eq!(alone.load(Ordering::SeqCst), 0, "a second thread joins");
            }
        });
    }

    #[test]
    fn nested_and_concurrent_jobs_are_done() {
        with_threads(3, || {
            let total = AtomicUsize::new(0);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        for _ in 0..100 {
                            run(5, &|_| {
                                run(3, &|_| {
                                    total.fetch_add(1, Ordering::Relaxed);
                                });
                            });
                        }
                    });
                }
            });
            assert_eq!(total.into_inner(), 4 * 100 * 5 * 3);
        });
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_goes_on() {
        with_threads(3, || {
            for guilty in [0, 1, 6] {
                let caught = catch_unwind(|| {
                    run(7, &|index| {
                        assert!(index != guilty, "piece {index} fails");
                    });
                });
                let payload = caught.expect_err("the panic reaches the caller");
                let message = payload.downcast_ref::<String>().cloned().unwrap_or_default();
                assert!(message.contains("fails"), "{message}");
                let done = AtomicUsize::new(0);
                run(7, &|_| {
                    done.fetch_add(1, Ordering::Relaxed);
                });
                assert_eq!(done.into_inner(), 7);
            }
        });
    }

    #[test]
    fn chunks_cover_a_slice() {
        with_threads(2, || {
            for (length, size) in [(0, 3), (1, 3), (9, 3), (10, 3)] {
                let mut data = vec![0; length];
                chunks(&mut data, size, |index, part| part.fill(index + 1));
                assert!(data.iter().enumerate().all(|(i, &x)| x == i / size + 1));
            }
        });
    }

    #[test]
    fn parts_cover_a_length() {
        for length in [0, 1, 15, 16, 17, 100] {
            for pieces in 1..9 {
                let mut end = 0;
                for index in 0..pieces {
                    let part = part(length, 16, pieces, index);
                    assert_eq!(part.start, end);
                    assert!(part.start.is_multiple_of(16) || part.start == length);
                    end = part.end;
                }
                assert_eq!(end, length);
            }
        }
    }

    #[test]
    fn buffers_are_aligned_and_may_be_nested() {
        with_buffer(100, |outer: &mut [f32]| {
            outer.fill(1.0);
            with_buffer(BUFFER_BYTES, |inner: &mut [i8]| inner.fill(2));
            assert_eq!(outer.as_ptr().align_offset(4096), 0);
            assert!(outer.iter().all(|&x| x == 1.0));
        });
    }

    #[test]
    #[should_panic(expected = "at most")]
    fn a_larger_buffer_is_refused() {
        with_buffer(BUFFER_BYTES / 4 + 1, |_: &mut [f32]| {});
    }

    #[test]
    #[should_panic(expected = "within its slice")]
    fn a_part_beyond_its_slice_is_refused() {
        let mut data = [0; 4];
        let data = Disjoint::new(&mut data);
        // SAFETY: nobody else uses the elements.
        let _ = unsafe { data.slice(2..5) };
    }
}
