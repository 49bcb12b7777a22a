//! How long decoding, resizing and normalising take, beside the work that was stated before.
//!
//!     cargo run --release -p synod-image --example picture_throughput
//!
//! prints a line for each case: processor time of one thread, the best of some runs; the stated work; time over work. One unit
//! of work is a nanosecond of the reference machine, so the last column should nowhere be much above 1; files made to be slow
//! come near it, common ones stay within a tenth.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on ends")]

mod files;

use rustix::time::{ClockId, clock_gettime};
use synod_image::{
    Channels, Crop, Element, Encoded, Filter, Image, Layout, Normalize, Order, Resize, Rule, Size, VERSION,
    read_work, resize, resize_cost,
};

/// Processor time of this thread, in nanoseconds.
fn now() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The shortest of some runs.
fn best(mut f: impl FnMut()) -> u64 {
    let mut best = u64::MAX;
    let begin = now();
    for run in 0.. {
        let start = now();
        f();
        best = best.min(now() - start);
        if run >= 1 && now() - begin > 300_000_000 {
            break;
        }
    }
    best
}

/// The highest quotient so far.
struct Report(f64);

impl Report {
    fn line(&mut self, name: &str, nanoseconds: u64, work: u64) {
        let quotient = nanoseconds as f64 / work as f64;
        self.0 = if quotient > self.0 { quotient } else { self.0 };
        println!(
            "{name:<56} {:>10.3} ms {:>12.3} ms stated {quotient:>7.3}",
            nanoseconds as f64 / 1e6,
            work as f64 / 1e6
        );
    }
}

fn main() {
    let only = std::env::args().nth(1).unwrap_or_default();
    let mut report = Report(0.0);
    for (name, file) in files::pngs()
        .chain(files::jpegs())
        .filter(|(name, _)| name.contains(&only))
    {
        let time = best(|| drop(Encoded::read(&file)));
        report.line(&format!("read    {name}"), time, read_work(file.len()));
        match Encoded::read(&file) {
            Ok(encoded) => {
                let mut failed = None;
                let time = best(|| failed = encoded.decode().err());
                report.line(
                    &format!(
                        "decode  {name}{}",
                        if failed.is_some() { ", refused" } else { "" }
                    ),
                    time,
                    encoded.decode_work(),
                );
                if let Some(error) = failed {
                    println!("        {error}");
                }
            }
            Err(error) => println!("        {name}: {error}"),
        }
    }
    if only.is_empty() || only == "resize" {
        resizing(&mut report);
        rules(&mut report);
    }
    println!("highest: {:.3}", report.0);
}

fn resizing(report: &mut Report) {
    let filters = [
        Filter::Nearest,
        Filter::Box,
        Filter::Bilinear,
        Filter::Hamming,
        Filter::Bicubic,
        Filter::Lanczos,
    ];
    let sizes = [
        ((1024, 1024), (224, 224)),
        ((224, 224), (1024, 1024)),
        ((640, 480), (341, 256)),
        ((4000, 3000), (224, 224)),
        ((1, 32_768), (1, 224)),
        ((32_768, 1), (224, 1)),
        ((1, 1), (4096, 4096)),
        ((32_768, 64), (1, 64)),
        ((64, 32_768), (2048, 1)),
        ((2048, 64), (2047, 4000)),
        ((10, 10), (16, 16)),
    ];
    for (from, to) in sizes {
        for channels in [Channels::Grey, Channels::Rgb] {
            let data = files::noise(from.0 as usize * from.1 as usize * channels.count());
            let image = Image::new(from.0, from.1, channels, data).unwrap();
            for filter in filters {
                let time = best(|| drop(resize(&image, to.0, to.1, filter)));
                report.line(
                    &format!("resize  {from:?} to {to:?} {channels} {filter:?}"),
                    time,
                    resize_cost(channels, from, to, filter).0,
                );
            }
        }
    }
}

fn rules(report: &mut Report) {
    for (layout, channels, element) in [
        (Layout::Chw, Order::Rgb, Element::F32),
        (Layout::Hwc, Order::Bgr, Element::F32),
        (Layout::Chw, Order::Grey, Element::F32),
        (Layout::Hwc, Order::Rgb, Element::U8),
    ] {
        for crop in [8, 224, 2000] {
            let floats = element == Element::F32;
            let step = Normalize {
                mean: vec![0.5; channels.channels().count()],
                std: vec![0.25; channels.channels().count()],
            };
            let rule = Rule {
                version: VERSION,
                channels,
                resize: (crop == 224).then_some(Resize {
                    size: Size::ShortestEdge(256),
                    filter: Filter::Bilinear,
                }),
                crop: Some(Crop {
                    height: crop,
                    width: crop,
                }),
                rescale: floats.then_some(1.0 / 255.0),
                normalize: if floats { vec![step; 4] } else { Vec::new() },
                pad: None,
                layout,
                element,
            };
            for (width, height, kind) in [
                (640, 480, Channels::Rgb),
                (1, 1, Channels::Grey),
                (1200, 900, Channels::Grey),
            ] {
                let image = Image::new(
                    width,
                    height,
                    kind,
                    files::noise(width as usize * height as usize * kind.count()),
                )
                .unwrap();
                let time = best(|| drop(rule.apply(&image)));
                let name = format!(
                    "apply   {width} × {height} {kind}, {channels:?} {layout:?} {element:?}, crop {crop}"
                );
                report.line(&name, time, rule.cost(width, height, kind).unwrap().work);
            }
        }
    }
}
