//! What decoding and applying allocate is at most what was stated before.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use synod_image::{Channels, Encoded, Filter, Image, Rule, resize, resize_cost};

use crate::fixtures::{file, golden};

/// Counts what the thread allocates.
struct Counting;

thread_local! {
    /// Bytes held, and the most that were.
    static COUNTS: Cell<(i64, i64)> = const { Cell::new((0, 0)) };
}

fn count(bytes: i64) {
    let (held, most) = COUNTS.get();
    let held = held + bytes;
    COUNTS.set((held, most.max(held)));
}

// SAFETY: everything is passed on to the system's allocator; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // both are there while it copies
        count(size as i64);
        count(-(layout.size() as i64));
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many bytes more than before `f` held at once.
pub(crate) fn most_held<R>(f: impl FnOnce() -> R) -> (u64, R) {
    let (held, _) = COUNTS.get();
    COUNTS.set((held, held));
    let result = f();
    let (_, most) = COUNTS.get();
    ((most - held) as u64, result)
}

#[test]
fn decoding_holds_at_most_what_was_stated() {
    for (name, ..) in golden().pictures {
        let bytes = file(&name);
        let (read, encoded) = most_held(|| Encoded::read(&bytes).expect("a picture"));
        assert!(read < 16 << 10, "{name}: reading the structure held {read} bytes");
        let (held, image) = most_held(|| encoded.decode().expect("a picture"));
        let stated = encoded.decode_memory();
        assert!(held <= stated, "{name}: {held} bytes held, {stated} stated");
        assert!(
            held >= image.data().len() as u64,
            "{name}: {held} bytes cannot hold the picture"
        );
    }
}

#[test]
fn resizing_and_applying_hold_at_most_what_was_stated() {
    let sizes = [
        ((300, 200), (20, 10)),
        ((20, 10), (300, 200)),
        ((10, 900), (800, 5)),
        ((1, 1), (500, 500)),
        ((640, 480), (224, 224)),
    ];
    let filters = [
        Filter::Nearest,
        Filter::Bilinear,
        Filter::Bicubic,
        Filter::Lanczos,
        Filter::Box,
        Filter::Hamming,
    ];
    for (from, to) in sizes {
        for channels in [Channels::Grey, Channels::Rgb] {
            let image = Image::new(
                from.0,
                from.1,
                channels,
                vec![7; (from.0 * from.1) as usize * channels.count()],
            )
            .expect("a picture");
            for filter in filters {
                let (held, resized) =
                    most_held(|| resize(&image, to.0, to.1, filter).expect("within the limits"));
                let (_, scratch) = resize_cost(channels, from, to, filter);
                let stated = scratch + resized.data().len() as u64;
                assert!(
                    held <= stated,
                    "{from:?} to {to:?}, {filter:?}: {held} bytes held, {stated} stated"
                );
            }
            for name in ["resnet", "crop-larger", "mobilevit", "bytes", "efficientnet"] {
                let rule = Rule::from_hugging_face(&file(&format!("{name}.json"))).expect("known");
                let stated = rule
                    .cost(from.0, from.1, channels)
                    .expect("within the limits")
                    .memory;
                let (held, _) = most_held(|| rule.apply(&image).expect("within the limits"));
                assert!(
                    held <= stated,
                    "{from:?}, {name}: {held} bytes held, {stated} stated"
                );
            }
        }
    }
}
