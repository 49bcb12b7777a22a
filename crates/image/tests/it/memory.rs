//! What decoding and applying allocate is at most what was stated before.

use synod_image::{Channels, Encoded, Filter, Image, Rule, resize, resize_cost};

use crate::{
    counting::most_held,
    fixtures::{file, golden},
};

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
