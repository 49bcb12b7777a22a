//! Resizing gives Pillow's bytes.

use synod_image::{Channels, Filter, Image, resize};

use crate::fixtures::golden;

#[test]
fn pictures_in_other_sizes_are_pillows_to_the_bit() {
    let golden = golden();
    assert!(golden.resized.len() > 500, "{} cases", golden.resized.len());
    let wrong = golden.wrong_sizes();
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
