//! Resizing gives Pillow's bytes.

use synod_image::{Channels, Filter, Image, resize};

use crate::fixtures::{formula, golden, hash};

fn filter(name: &str) -> Filter {
    serde_json::from_value(name.into()).expect("a filter's name")
}

#[test]
fn pictures_in_other_sizes_are_pillows_to_the_bit() {
    let cases = golden().resized;
    assert!(cases.len() > 500, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for (width, height, to_width, to_height, channels, name, expected) in cases {
        let kind = if channels == 1 {
            Channels::Grey
        } else {
            Channels::Rgb
        };
        let count = width as usize * height as usize * channels;
        let image = Image::new(width, height, kind, formula(count)).expect("a picture");
        let found = resize(&image, to_width, to_height, filter(&name)).expect("within the limits");
        if hash(found.data()) != expected {
            wrong.push(format!(
                "{width}×{height}×{channels} to {to_width}×{to_height}, {name}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn sizes_beyond_the_limits_are_refused() {
    let image = Image::new(2, 2, Channels::Grey, vec![0; 4]).expect("a picture");
    for (width, height) in [(0, 5), (5, 0), (40_000, 1), (20_000, 20_000)] {
        assert!(
            resize(&image, width, height, Filter::Bilinear).is_err(),
            "{width} × {height}"
        );
    }
}
