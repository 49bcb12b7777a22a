//! The segments of a JPEG file, checked as ITU-T T.81 has them.

use super::{Component, Frame, Jpeg, Scan};
use crate::encoded::Format;
use crate::error::DecodeError;
use crate::image::fits;
use crate::limits::MAX_SCANS;

/// Reads a file from its first segment to the end of the image.
pub(super) fn read(file: &[u8]) -> Result<Jpeg<'_>, DecodeError> {
    let mut reader = Reader {
        file,
        at: 2,
        frame: None,
        jfif: false,
        adobe: None,
        exif: None,
        quantization: [None; 4],
        huffman: [[None; 4]; 2],
        fresh: Fresh::default(),
        interval: 0,
        sent: [[None; 64]; 3],
        scans: Vec::new(),
    };
    while reader.segment()? {}
    reader.finish()
}

struct Reader<'a> {
    file: &'a [u8],
    at: usize,
    frame: Option<Frame>,
    jfif: bool,
    /// The colour transform of Adobe's segment.
    adobe: Option<u8>,
    exif: Option<&'a [u8]>,
    /// Tables as they stand, by number; Huffman's by class first.
    quantization: [Option<&'a [u8]>; 4],
    huffman: [[Option<&'a [u8]>; 4]; 2],
    /// Which of them the decoder has not been told of.
    fresh: Fresh,
    interval: u16,
    /// For each coefficient of each component, how many of its low bits no scan has brought yet; none before the first.
    sent: [[Option<u8>; 64]; 3],
    scans: Vec<Scan<'a>>,
}

#[derive(Default)]
struct Fresh {
    quantization: [bool; 4],
    huffman: [[bool; 4]; 2],
}

impl<'a> Reader<'a> {
    /// One segment, with the data behind it if it begins a scan; false at the end of the image.
    fn segment(&mut self) -> Result<bool, DecodeError> {
        let start = self.at;
        let marker = self.marker()?;
        match marker {
            0xd9 => return Ok(false),
            0xc0..=0xc2 => self.start_of_frame(start, marker)?,
            0xc4 => self.huffman_tables(start)?,
            0xda => self.scan(start)?,
            0xdb => self.quantization_tables(start)?,
            0xdd => {
                let body = self.body("a restart interval")?;
                let &[high, low] = body else {
                    return Err(malformed(
                        start,
                        format!("a restart interval of {} bytes: 2", body.len()),
                    ));
                };
                self.interval = u16::from_be_bytes([high, low]);
            }
            0xe0 => {
                let body = self.body("an application segment")?;
                self.jfif |= body.len() >= 14 && body.starts_with(b"JFIF\0");
            }
            0xee => {
                let body = self.body("an application segment")?;
                if body.len() >= 12 && body.starts_with(b"Adobe") {
                    self.adobe = Some(body[11]);
                }
            }
            0xe1 => {
                let body = self.body("an application segment")?;
                self.exif = self.exif.or(body.strip_prefix(b"Exif\0\0"));
            }
            0xe2..=0xef | 0xfe => {
                self.body("an application segment or a comment")?;
            }
            0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                let kind = match marker {
                    0xc3 => "lossless coding",
                    0xc9 | 0xca => "arithmetic coding",
                    0xcb => "lossless arithmetic coding",
                    _ => "hierarchical coding",
                };
                return Err(unsupported(
                    start,
                    kind,
                    "save it as baseline or progressive JPEG",
                ));
            }
            0xcc => {
                return Err(unsupported(
                    start,
                    "arithmetic coding",
                    "save it as baseline or progressive JPEG",
                ));
            }
            0xdc => {
                return Err(unsupported(
                    start,
                    "a number of lines behind the first scan",
                    "save it with the height in its header",
                ));
            }
            0xde | 0xdf => {
                return Err(unsupported(
                    start,
                    "hierarchical coding",
                    "save it as baseline or progressive JPEG",
                ));
            }
            _ => {
                return Err(malformed(
                    start,
                    format!("a marker ff {marker:02x} that has no place here"),
                ));
            }
        }
        Ok(true)
    }

    /// A marker's second byte, fill bytes before it left out.
    fn marker(&mut self) -> Result<u8, DecodeError> {
        let start = self.at;
        let mut byte = self.byte("a marker, or the end of the image,")?;
        if byte != 0xff {
            return Err(malformed(
                start,
                format!("{byte:02x} where a marker should begin with ff"),
            ));
        }
        while byte == 0xff {
            byte = self.byte("a marker, or the end of the image,")?;
        }
        Ok(byte)
    }

    fn byte(&mut self, expected: &'static str) -> Result<u8, DecodeError> {
        let byte = self
            .file
            .get(self.at)
            .copied()
            .ok_or_else(|| self.truncated(expected))?;
        self.at += 1;
        Ok(byte)
    }

    fn truncated(&self, expected: &'static str) -> DecodeError {
        DecodeError::Truncated {
            format: Format::Jpeg,
            at: self.file.len(),
            expected,
        }
    }

    /// The rest of a segment, behind its length.
    fn body(&mut self, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let start = self.at;
        let rest = &self.file[start..];
        let length = rest
            .first_chunk()
            .map(|bytes| usize::from(u16::from_be_bytes(*bytes)));
        let length = length.ok_or_else(|| self.truncated(what))?;
        if length < 2 {
            return Err(malformed(
                start,
                format!("a segment of length {length}: its length counts its own 2 bytes"),
            ));
        }
        let body = rest.get(2..length).ok_or_else(|| self.truncated(what))?;
        self.at = start + length;
        Ok(body)
    }

    fn start_of_frame(&mut self, start: usize, marker: u8) -> Result<(), DecodeError> {
        let body = self.body("a frame header")?;
        if self.frame.is_some() {
            return Err(malformed(start, "a second frame header".to_owned()));
        }
        let Some((&[precision, h0, h1, w0, w1, count], components)) = body.split_first_chunk() else {
            return Err(malformed(
                start,
                format!("a frame header of {} bytes", body.len()),
            ));
        };
        let (components, rest) = components.as_chunks::<3>();
        if components.len() != usize::from(count) || !rest.is_empty() {
            return Err(malformed(
                start,
                format!("a frame header of {} bytes for {count} components", body.len()),
            ));
        }
        if precision != 8 {
            return Err(unsupported(
                start,
                &format!("a sample of {precision} bits"),
                "save it with 8 bits a channel",
            ));
        }
        let (height, width) = (u16::from_be_bytes([h0, h1]), u16::from_be_bytes([w0, w1]));
        if height == 0 {
            return Err(unsupported(
                start,
                "a height that the header leaves open",
                "save it with the height in its header",
            ));
        }
        if width == 0 {
            return Err(malformed(start, "a width of 0".to_owned()));
        }
        if !fits(width.into(), height.into()) {
            return Err(DecodeError::TooLarge {
                width: width.into(),
                height: height.into(),
            });
        }
        match count {
            1 | 3 => {}
            4 => return Err(unsupported(start, "CMYK, four channels,", "convert it to RGB")),
            _ => {
                return Err(unsupported(
                    start,
                    &format!("a picture of {count} channels"),
                    "save it in grey or in colours",
                ));
            }
        }
        let mut frame = Frame {
            progressive: marker == 0xc2,
            marker,
            width,
            height,
            components: Vec::with_capacity(3),
        };
        for &[id, sampling, table] in components {
            let (across, down) = (sampling >> 4, sampling & 15);
            if !(1..=4).contains(&across) || !(1..=4).contains(&down) || table > 3 {
                return Err(malformed(
                    start,
                    format!("component {id} with sampling {across} × {down} and table {table}"),
                ));
            }
            if frame.components.iter().any(|other| other.id == id) {
                return Err(malformed(start, format!("component {id} twice")));
            }
            frame.components.push(Component {
                id,
                across,
                down,
                table,
            });
        }
        let (most_across, most_down) = (frame.most_across(), frame.most_down());
        let ratio = |most: u8, samples: u8| most == samples || (samples == 1 && matches!(most, 2 | 4));
        for component in &frame.components {
            if !ratio(most_across, component.across) || !ratio(most_down, component.down) {
                return Err(unsupported(
                    start,
                    &format!(
                        "a component sampled {} × {} of {most_across} × {most_down}",
                        component.across, component.down
                    ),
                    "save it as 4:4:4, 4:2:2 or 4:2:0",
                ));
            }
        }
        if frame.components.len() > 1 {
            let blocks: u8 = frame
                .components
                .iter()
                .map(|component| component.across * component.down)
                .sum();
            if blocks > 10 {
                return Err(malformed(
                    start,
                    format!("{blocks} blocks in a group: at most 10"),
                ));
            }
            // the channels of a colour, which are upsampled alike
            let [_, second, third] = frame.components[..] else {
                unreachable!("one or three were counted");
            };
            let luma = frame.components[0];
            if (luma.across, luma.down) != (most_across, most_down)
                || (second.across, second.down) != (third.across, third.down)
            {
                return Err(unsupported(
                    start,
                    "sampling that differs between the colours",
                    "save it as 4:4:4, 4:2:2 or 4:2:0",
                ));
            }
        }
        self.frame = Some(frame);
        Ok(())
    }

    fn quantization_tables(&mut self, start: usize) -> Result<(), DecodeError> {
        let mut body = self.body("a quantisation table")?;
        while let Some(&first) = body.first() {
            let (precision, number) = (first >> 4, usize::from(first & 15));
            let length = 1 + 64 * (usize::from(precision) + 1);
            if precision > 1 || number > 3 || body.len() < length {
                return Err(malformed(
                    start,
                    format!(
                        "quantisation table {number} of precision {precision} in {} bytes",
                        body.len()
                    ),
                ));
            }
            let (table, rest) = body.split_at(length);
            if !self.scans.is_empty() && self.quantization[number].is_some_and(|before| before != table) {
                return Err(unsupported(
                    start,
                    "a quantisation table that changes between scans",
                    "save it again",
                ));
            }
            if self.quantization[number] != Some(table) {
                self.quantization[number] = Some(table);
                self.fresh.quantization[number] = true;
            }
            body = rest;
        }
        Ok(())
    }

    fn huffman_tables(&mut self, start: usize) -> Result<(), DecodeError> {
        let mut body = self.body("a Huffman table")?;
        while let Some((&first, rest)) = body.split_first() {
            let (class, number) = (usize::from(first >> 4), usize::from(first & 15));
            let symbols = rest
                .first_chunk::<16>()
                .map(|lengths| lengths.iter().map(|&count| usize::from(count)).sum::<usize>());
            let length = match symbols {
                Some(symbols @ 1..=256) if class <= 1 && number <= 3 && body.len() >= 17 + symbols => {
                    17 + symbols
                }
                _ => {
                    return Err(malformed(
                        start,
                        format!("Huffman table {number} of class {class} in {} bytes", body.len()),
                    ));
                }
            };
            let (table, rest) = body.split_at(length);
            prefix_code(start, table)?;
            self.huffman[class][number] = Some(table);
            self.fresh.huffman[class][number] = true;
            body = rest;
        }
        Ok(())
    }

    fn scan(&mut self, start: usize) -> Result<(), DecodeError> {
        let header = self.body("a scan header")?;
        let Some(frame) = &self.frame else {
            return Err(malformed(start, "a scan before the frame header".to_owned()));
        };
        if self.scans.len() == MAX_SCANS {
            return Err(unsupported(
                start,
                &format!("a scan after {MAX_SCANS}"),
                "save it with fewer scans",
            ));
        }
        let bad = |what| Err(malformed(start, what));
        let Some((&count, rest)) = header.split_first() else {
            return bad("a scan header of no bytes".to_owned());
        };
        let count = usize::from(count);
        let Some((selectors, &[first, last, bits])) = rest
            .split_at_checked(2 * count)
            .filter(|_| (1..=3).contains(&count))
        else {
            return bad(format!(
                "a scan header of {} bytes for {count} components",
                header.len()
            ));
        };
        let (high, low) = (bits >> 4, bits & 15);
        let (selectors, _) = selectors.as_chunks::<2>();
        let mut chosen = Vec::with_capacity(count);
        for &[id, tables] in selectors {
            let Some(index) = frame.components.iter().position(|component| component.id == id) else {
                return bad(format!("a scan of component {id}, which the frame has not"));
            };
            if chosen.last().is_some_and(|(before, _)| *before >= index) {
                return bad("components of a scan in another order than the frame's".to_owned());
            }
            chosen.push((index, tables));
        }
        if count > 1 && count != frame.components.len() {
            return Err(unsupported(
                start,
                "a scan of two components of three",
                "save it as baseline or progressive JPEG",
            ));
        }
        let (first, last) = (usize::from(first), usize::from(last));
        if frame.progressive {
            let dc = first == 0;
            if first > last
                || last > 63
                || (dc && last != 0)
                || (!dc && count > 1)
                || low > 13
                || (high != 0 && high != low + 1)
            {
                return bad(format!(
                    "a scan of coefficients {first} to {last}, bits {high} to {low}, of {count} components"
                ));
            }
        } else if (first, last, high, low) != (0, 63, 0, 0) {
            return bad(format!(
                "a sequential scan of coefficients {first} to {last}, bits {high} to {low}"
            ));
        }
        for &(index, tables) in &chosen {
            let component = frame.components[index];
            let (dc, ac) = (usize::from(tables >> 4), usize::from(tables & 15));
            if dc > 3 || ac > 3 {
                return bad(format!("Huffman tables {dc} and {ac}"));
            }
            if self.quantization[usize::from(component.table)].is_none() {
                return bad(format!(
                    "a scan that uses quantisation table {}, which is not defined",
                    component.table
                ));
            }
            // the first bit of a DC coefficient is coded, further ones stand as they are
            let uses = [(0, dc, first == 0 && high == 0), (1, ac, last > 0)];
            for (class, number, used) in uses {
                if used && self.huffman[class][number].is_none() {
                    return bad(format!(
                        "a scan that uses Huffman table {number} of class {class}, which is not defined"
                    ));
                }
            }
            let sent = &mut self.sent[index];
            if first > 0 && sent[0].is_none() {
                return bad(format!(
                    "a scan of component {} whose mean has not come yet",
                    component.id
                ));
            }
            for sent in &mut sent[first..=last] {
                let expected = sent.map_or(0, |bits| bits);
                if (high == 0) != sent.is_none() || high != expected {
                    return bad(format!(
                        "a scan of component {} that brings bits a second time, or leaves some out",
                        component.id
                    ));
                }
                *sent = Some(low);
            }
        }
        let blocks = if count == 1 {
            frame.own_blocks(frame.components[chosen[0].0])
        } else {
            frame.all_blocks()
        };
        let groups = if count == 1 {
            blocks
        } else {
            let (across, down) = frame.groups();
            across * down
        };
        let data = self.entropy_coded(start, groups)?;
        let fresh = std::mem::take(&mut self.fresh);
        let quantization = (0..4)
            .filter(|&number| fresh.quantization[number])
            .filter_map(|number| self.quantization[number]);
        let huffman = (0..8)
            .filter(|at| fresh.huffman[at / 4][at % 4])
            .filter_map(|at| self.huffman[at / 4][at % 4]);
        self.scans.push(Scan {
            quantization: quantization.collect(),
            huffman: huffman.collect(),
            interval: self.interval,
            header,
            data,
            blocks,
        });
        Ok(())
    }

    /// The data behind a scan header, up to the next marker that is not a restart.
    fn entropy_coded(&mut self, scan: usize, groups: u64) -> Result<&'a [u8], DecodeError> {
        let start = self.at;
        let expected = match self.interval {
            0 => 0,
            interval => groups.div_ceil(interval.into()) - 1,
        };
        let mut restarts = 0;
        loop {
            let rest = &self.file[self.at..];
            let Some(skip) = rest.iter().position(|&byte| byte == 0xff) else {
                return Err(self.truncated("the rest of a scan"));
            };
            self.at += skip;
            match self.file.get(self.at + 1) {
                None => return Err(self.truncated("the rest of a scan")),
                Some(0) => self.at += 2,
                Some(&byte @ 0xd0..=0xd7) => {
                    let next = 0xd0 + (restarts % 8) as u8;
                    if restarts == expected || byte != next {
                        return Err(malformed(
                            self.at,
                            format!(
                                "restart ff {byte:02x} after {restarts} of {expected} restarts, where ff {next:02x} would be next"
                            ),
                        ));
                    }
                    restarts += 1;
                    self.at += 2;
                }
                Some(_) => break,
            }
        }
        if restarts != expected {
            return Err(malformed(
                scan,
                format!("a scan with {restarts} restarts, and {expected} by its interval: data are missing"),
            ));
        }
        Ok(&self.file[start..self.at])
    }

    fn finish(self) -> Result<Jpeg<'a>, DecodeError> {
        let end = self.at.saturating_sub(2);
        let Some(frame) = self.frame else {
            return Err(malformed(end, "the image ends before a frame header".to_owned()));
        };
        for (component, sent) in frame.components.iter().zip(&self.sent) {
            // what is missing other decoders leave out or guess
            if let Some(coefficient) = sent.iter().position(|bits| *bits != Some(0)) {
                return Err(malformed(
                    end,
                    format!(
                        "the image ends before the last scan of coefficient {coefficient} of component {}",
                        component.id
                    ),
                ));
            }
        }
        // as libjpeg decides it
        let ids: Vec<_> = frame.components.iter().map(|component| component.id).collect();
        let ycbcr = match (self.jfif, self.adobe) {
            (true, _) => true,
            (false, Some(transform)) => transform != 0,
            (false, None) => ids != *b"RGB",
        };
        Ok(Jpeg {
            frame,
            ycbcr,
            scans: self.scans,
            exif: self.exif,
        })
    }
}

/// Whether the lengths of a Huffman table make a code in which no word begins another, and none is all ones.
fn prefix_code(start: usize, table: &[u8]) -> Result<(), DecodeError> {
    let mut code = 0_u32;
    for (index, &count) in table[1..17].iter().enumerate() {
        code = (code << 1) + u32::from(count);
        // libjpeg accepts a code that uses the word of all ones up; more words than there are it does not
        if code > 1 << (index + 1) {
            return Err(malformed(
                start,
                format!(
                    "a Huffman table with more words of {} bits than there are",
                    index + 1
                ),
            ));
        }
    }
    Ok(())
}

fn malformed(at: usize, what: String) -> DecodeError {
    DecodeError::Malformed {
        format: Format::Jpeg,
        at,
        what,
    }
}

fn unsupported(at: usize, what: &str, instead: &'static str) -> DecodeError {
    DecodeError::Unsupported {
        format: Format::Jpeg,
        at,
        what: what.to_owned(),
        instead,
    }
}
