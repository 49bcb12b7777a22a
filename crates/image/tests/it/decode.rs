//! Every picture of the generator becomes the pixels that Pillow decodes.

use synod_image::{DecodeError, Encoded, Format};

use crate::fixtures::{file, folder, golden};

#[test]
fn pictures_become_the_pixels_that_pillow_decodes() {
    let golden = golden();
    assert!(golden.pictures.len() > 100, "{} pictures", golden.pictures.len());
    let wrong = golden.wrong_pictures(&folder());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_left_out_is_named_with_what_to_do() {
    let error = Encoded::read(&file("refused-cmyk.jpg")).expect_err("four channels");
    assert!(
        matches!(
            error,
            DecodeError::Unsupported {
                format: Format::Jpeg,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(
        error.to_string().contains("CMYK") && error.to_string().contains("convert it to RGB"),
        "{error}"
    );
    let error = Encoded::read(&file("refused-incomplete.jpg")).expect_err("scans are missing");
    assert!(
        matches!(
            error,
            DecodeError::Malformed {
                format: Format::Jpeg,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(
        error.to_string().contains("coefficient 0 of component 1"),
        "{error}"
    );
    let error = Encoded::read(&file("refused-two-of-three.jpg")).expect_err("a scan of two components");
    assert!(
        matches!(
            error,
            DecodeError::Unsupported {
                format: Format::Jpeg,
                ..
            }
        ),
        "{error:?}"
    );
    let error = Encoded::read(b"GIF89a\x01\x00\x01\x00").expect_err("a GIF");
    assert_eq!(error, DecodeError::UnknownFormat(b"GIF89a\x01\x00".to_vec()));
    assert!(matches!(Encoded::read(b""), Err(DecodeError::UnknownFormat(first)) if first.is_empty()));
    // a frame of another process in a file that is otherwise right
    let plain = file("jpeg-face-quality-25.jpg");
    let frame = plain
        .windows(2)
        .position(|pair| pair == [0xff, 0xc0])
        .expect("a baseline frame");
    for (marker, kind) in [
        (0xc3, "lossless"),
        (0xc9, "arithmetic"),
        (0xca, "arithmetic"),
        (0xc5, "hierarchical"),
    ] {
        let mut other = plain.clone();
        other[frame + 1] = marker;
        let error = Encoded::read(&other).expect_err(kind);
        assert!(error.to_string().contains(kind), "{error}");
        assert!(error.to_string().contains(&format!("byte {frame}")), "{error}");
    }
}

#[test]
fn a_picture_beyond_the_limits_is_refused_by_its_header() {
    let mut png = file("png-rgb-8.png");
    png[16..20].copy_from_slice(&20_000_u32.to_be_bytes());
    png[20..24].copy_from_slice(&20_000_u32.to_be_bytes());
    fix_checksum(&mut png, 8);
    assert_eq!(
        Encoded::read(&png).expect_err("400 megapixels"),
        DecodeError::TooLarge {
            width: 20_000,
            height: 20_000
        }
    );
    let mut jpeg = file("jpeg-cup.jpg");
    let frame = jpeg
        .windows(2)
        .position(|pair| pair == [0xff, 0xc0])
        .expect("a baseline frame");
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xff, 0x10, 0]);
    assert_eq!(
        Encoded::read(&jpeg).expect_err("too tall"),
        DecodeError::TooLarge {
            width: 4096,
            height: 65_535
        }
    );
}

/// Writes the checksum of the chunk at `at` anew.
pub(crate) fn fix_checksum(png: &mut [u8], at: usize) {
    let length = u32::from_be_bytes(png[at..at + 4].try_into().expect("four bytes")) as usize;
    let checksum = crc32fast::hash(&png[at + 4..at + 8 + length]);
    png[at + 8 + length..at + 12 + length].copy_from_slice(&checksum.to_be_bytes());
}
