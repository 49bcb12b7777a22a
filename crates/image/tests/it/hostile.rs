//! Cut, damaged and malicious files: whatever the bytes, an answer, within the memory that was stated.
//!
//! Mutations come from a seed: a failing seed is the bug report. `SYNOD_IMAGE_MUTATIONS` sets how many.

use synod_image::{DecodeError, Encoded, Image};

use crate::counting::most_held;
use crate::decode::fix_checksum;
use crate::fixtures::{Random, file, golden, hash};

/// Reads and decodes, holding memory against the statement. Pictures that only a damaged header makes large are not decoded.
fn decode(bytes: &[u8], what: &str) -> Option<Result<Image, DecodeError>> {
    let encoded = match Encoded::read(bytes) {
        Ok(encoded) => encoded,
        Err(error) => return Some(Err(error)),
    };
    if u64::from(encoded.width()) * u64::from(encoded.height()) > 1 << 20 {
        return None;
    }
    let (held, result) = most_held(|| encoded.decode());
    let stated = encoded.decode_memory();
    assert!(held <= stated, "{what}: {held} bytes held, {stated} stated");
    if let Ok(image) = &result {
        assert_eq!(
            (image.width(), image.height(), image.channels()),
            (encoded.width(), encoded.height(), encoded.channels()),
            "{what}"
        );
    }
    Some(result)
}

#[test]
fn a_file_that_is_cut_anywhere_is_refused() {
    for name in [
        "png-rgb-8.png",
        "png-rgba-16-interlaced.png",
        "png-palette-2.png",
        "png-many-chunks.png",
        "jpeg-small-33x32-420.jpg",
        "jpeg-face-restarts.jpg",
        "jpeg-face-grey-progressive.jpg",
        "jpeg-cat-420-progressive.jpg",
        "jpeg-cat-separate-scans.jpg",
    ] {
        let bytes = file(name);
        for length in 0..bytes.len() {
            let what = format!("{name}, {length} of {} bytes", bytes.len());
            let error = decode(&bytes[..length], &what).expect("small").expect_err(&what);
            let right = match error {
                DecodeError::UnknownFormat(_) => length < 8,
                DecodeError::Truncated { at, .. } => at == length,
                _ => false,
            };
            assert!(right, "{what}: {error}");
        }
    }
}

#[test]
fn a_scan_whose_data_end_early_is_refused() {
    for name in [
        "jpeg-face-quality-25.jpg",
        "jpeg-face-grey.jpg",
        "jpeg-cat-420-progressive.jpg",
        "jpeg-cat-separate-scans.jpg",
    ] {
        let bytes = file(name);
        let scan = bytes
            .windows(2)
            .position(|pair| pair == [0xff, 0xda])
            .expect("a scan");
        let data = scan + 2 + usize::from(bytes[scan + 3]);
        let end = data
            + bytes[data..]
                .windows(2)
                .position(|pair| pair[0] == 0xff && pair[1] != 0)
                .expect("an end");
        for keep in [data, data + (end - data) / 2, end - 8] {
            // a pair of ff 00 is not to be torn apart
            let keep = if bytes[keep - 1] == 0xff { keep - 1 } else { keep };
            let shorter = [&bytes[..keep], &bytes[end..]].concat();
            let error = decode(&shorter, name)
                .expect("small")
                .expect_err("data are missing");
            assert!(
                matches!(error, DecodeError::Data { .. }),
                "{name}, {} bytes of data kept: {error}",
                keep - data
            );
        }
    }
}

/// How many mutations are in [`DIGEST`].
const DIGESTED: u64 = 4_000;

/// The beginning of the SHA-256 of all answers to the first mutations: damaged files have one answer, on every machine.
const DIGEST: &str = "b1e81dd5006aced8";

#[test]
fn damaged_files_get_an_answer_within_the_stated_memory() {
    let mut answers = Vec::new();
    let files: Vec<_> = golden()
        .pictures
        .into_iter()
        .map(|(name, ..)| (file(&name), name))
        .filter(|(bytes, _)| bytes.len() < 9_000)
        .collect();
    let mutations = std::env::var("SYNOD_IMAGE_MUTATIONS")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(6_000_u64);
    let (mut refused, mut decoded) = (0_u64, 0_u64);
    for seed in 0..mutations {
        let mut random = Random(seed);
        let (original, name) = &files[random.below(files.len())];
        let mut bytes = original.clone();
        for _ in 0..=random.below(4) {
            mutate(&mut bytes, &files, &mut random);
        }
        if name.starts_with("png") && random.below(4) > 0 {
            fix_checksums(&mut bytes);
        }
        let answer = decode(&bytes, &format!("seed {seed}, {name}"));
        if seed < DIGESTED {
            match &answer {
                Some(Ok(image)) => answers.extend_from_slice(hash(image.data()).as_bytes()),
                Some(Err(error)) => answers.extend_from_slice(error.to_string().as_bytes()),
                None => answers.push(0),
            }
        }
        match answer {
            Some(Ok(_)) => decoded += 1,
            Some(Err(error)) => {
                refused += 1;
                assert!(!error.to_string().is_empty());
            }
            None => {}
        }
    }
    if mutations >= DIGESTED {
        assert_eq!(
            hash(&answers),
            DIGEST,
            "the answers to damaged files have changed"
        );
    }
    assert!(
        refused > mutations / 10 && decoded > mutations / 100,
        "{refused} refused, {decoded} decoded of {mutations}: the mutations are too tame or too wild"
    );
}

fn mutate(bytes: &mut Vec<u8>, files: &[(Vec<u8>, String)], random: &mut Random) {
    if bytes.len() < 4 {
        return;
    }
    let at = random.below(bytes.len());
    let length = 1 + random.below(24);
    let end = (at + length).min(bytes.len());
    match random.below(8) {
        0..3 => bytes[at] ^= 1 << random.below(8),
        3 => bytes[at] = [0, 1, 0x7f, 0x80, 0xfe, 0xff][random.below(6)],
        4 => drop(bytes.drain(at..end)),
        5 => {
            let copy = bytes[at..end].to_vec();
            let to = random.below(bytes.len());
            bytes.splice(to..to, copy);
        }
        6 => bytes[at..end]
            .iter_mut()
            .for_each(|byte| *byte = random.next() as u8),
        _ => {
            // a piece of another file: tables and scans that do not belong together
            let (other, _) = &files[random.below(files.len())];
            let from = random.below(other.len());
            let piece = other[from..(from + random.below(400)).min(other.len())].to_vec();
            bytes.splice(at..end, piece);
        }
    }
}

/// Writes all chunks' checksums anew, as far as the lengths lead.
fn fix_checksums(png: &mut [u8]) {
    let mut at = 8;
    while let Some(length) = png.get(at..at + 4) {
        let length = u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
        if length > png.len() || at + 12 + length > png.len() {
            return;
        }
        fix_checksum(png, at);
        at += 12 + length;
    }
}

#[test]
fn bombs_hold_no_more_than_their_pixels() {
    // texts and a profile of half a megabyte of zeros each, in a picture of 10 × 10
    let texts = file("png-texts.png");
    let encoded = Encoded::read(&texts).expect("a picture");
    assert!(encoded.decode_memory() < 1 << 20, "{}", encoded.decode_memory());
    let (held, _) = most_held(|| encoded.decode().expect("a picture"));
    assert!(held < 400 << 10, "{held} bytes");
    // the same picture's data, which unpack to far more than its rows
    let mut png = file("png-rgb-8.png");
    png[16..20].copy_from_slice(&1_u32.to_be_bytes());
    png[20..24].copy_from_slice(&1_u32.to_be_bytes());
    fix_checksum(&mut png, 8);
    let (held, result) = most_held(|| Encoded::read(&png).and_then(|encoded| encoded.decode()));
    assert_eq!(result.expect("its first pixel").data().len(), 3);
    assert!(held < 400 << 10, "{held} bytes");
}

#[test]
fn a_png_that_defines_its_codes_anew_all_the_time_is_refused() {
    // a block of deflate with codes of its own and nothing in it, 92 bits, as a string of bits, the lowest first
    let block = |last: bool| {
        let mut bits = format!("{}01", u8::from(last));
        bits += "10111"; // 286 words for bytes and lengths: 29
        bits += "10000"; // 2 for distances: 1
        bits += "0111"; // 18 lengths of words for lengths: 14
        for length in [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 2] {
            bits += ["000", "100", "010"][length];
        }
        // words: zeros 0, one 10, two 11; then 138 and 117 zeros, and 28
        bits += "10"; // the byte 0 has a word of 1 bit
        bits += "0";
        bits += "1111111";
        bits += "0";
        bits += "0101011";
        bits += "11"; // the end, of 2
        bits += "0";
        bits += "1000100";
        bits += "11"; // 258 bytes, of 2
        bits += "1010"; // two distances of 1
        bits += "10"; // the end
        bits
    };
    let mut bits = String::new();
    for index in 0..400 {
        bits += &block(index == 399);
    }
    let mut data = vec![0x78, 0x01];
    for byte in bits.as_bytes().chunks(8) {
        data.push(
            byte.iter()
                .enumerate()
                .map(|(place, bit)| (bit - b'0') << place)
                .sum(),
        );
    }
    let png = file("png-rgb-8.png");
    let mut bomb = png[..33].to_vec();
    bomb.extend_from_slice(&(data.len() as u32).to_be_bytes());
    bomb.extend_from_slice(b"IDAT");
    bomb.extend_from_slice(&data);
    bomb.extend_from_slice(&[0; 4]);
    fix_checksum(&mut bomb, 33);
    bomb.extend_from_slice(&png[png.len() - 12..]);
    let error = decode(&bomb, "blocks")
        .expect("small")
        .expect_err("too many blocks");
    assert!(error.to_string().contains("blocks"), "{error}");
}
