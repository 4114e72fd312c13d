//! Detection of incomplete JPEG files, which decoders fill with grey without an error.
//!
//! Reads all segments and scans, decodes the Huffman codes and counts the blocks, without computing
//! pixels. Source: ITU-T T.81, annexes B (segments), F (sequential scans) and G (progressive
//! scans).

/// Maximum number of scans. Each takes time, however short it is.
const MAX_SCANS: usize = 100;

/// A result whose error is a message.
type Checked<T> = Result<T, String>;

/// Checks a file up to its end marker. Bytes after it are accepted: phones append videos and
/// thumbnails.
///
/// `allowed` is called with width, height and whether the file is progressive, before any memory is
/// allocated.
///
/// # Errors
/// When the file is incomplete, damaged or of an unsupported kind.
pub(crate) fn check(bytes: &[u8], allowed: impl Fn(u32, u32, bool) -> Checked<()>) -> Checked<()> {
    let mut walk = Walk::default();
    // The start marker.
    let mut at = 2;
    loop {
        let (kind, start) = marker(bytes, at)
            .ok_or("it is cut short: its end marker is missing; download or copy it again")?;
        at = start;
        match kind {
            // Markers without a segment.
            0x01 | 0xd0..=0xd8 => continue,
            0xd9 => return walk.finish(),
            _ => {}
        }
        let length = bytes.get(at..at + 2).map(|two| usize::from(word(two)));
        let body =
            length.filter(|&length| length >= 2).and_then(|length| bytes.get(at + 2..at + length));
        let body = body.ok_or("it is cut short inside a header; download or copy it again")?;
        at += body.len() + 2;
        match kind {
            0xc4 => walk.tables(body)?,
            0xdd => walk.interval = usize::from(word(body.get(..2).ok_or_else(damaged)?)),
            0xc0..=0xc2 => {
                walk.frame(body, kind == 0xc2)?;
                allowed(walk.width, walk.height, kind == 0xc2)?;
                walk.reserve()?;
            }
            // All other frame headers: c3 to cf except extensions (c8) and conditioning (cc).
            0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                return Err(
                    "it is a lossless, hierarchical or arithmetically coded JPEG; save it as a baseline JPEG or as PNG"
                        .to_owned(),
                );
            }
            0xda => at = walk.scan(body, bytes, at)?,
            _ => {}
        }
    }
}

fn damaged() -> String {
    "one of its headers is damaged; download or copy it again".to_owned()
}

fn word(two: &[u8]) -> u16 {
    u16::from_be_bytes([two[0], two[1]])
}

/// Finds the next marker. Returns its kind and the position after it. Bytes before it are skipped,
/// as in all decoders.
fn marker(bytes: &[u8], mut at: usize) -> Option<(u8, usize)> {
    loop {
        at += bytes.get(at..)?.iter().position(|&byte| byte == 0xff)?;
        at += bytes[at..].iter().position(|&byte| byte != 0xff)?;
        match bytes[at] {
            0 => {}
            kind => return Some((kind, at + 1)),
        }
    }
}

/// A colour component and the state of its coefficients.
#[derive(Debug)]
struct Component {
    name: u8,
    /// Number of blocks in a minimum coded unit, across and down.
    across: usize,
    down: usize,
    /// Number of low bits that each coefficient still lacks; `None` before its first scan.
    lacks: [Option<u8>; 64],
    /// Bit mask of the nonzero coefficients of each block, for progressive files.
    filled: Vec<u64>,
}

/// Decoder state after the segments read so far.
#[derive(Debug, Default)]
struct Walk {
    width: u32,
    height: u32,
    progressive: bool,
    components: Vec<Component>,
    /// Huffman tables for the first coefficient of a block (DC), and for the others (AC).
    first: [Option<Box<Table>>; 4],
    others: [Option<Box<Table>>; 4],
    /// Number of units between restart markers; 0 for none.
    interval: usize,
    scans: usize,
}

impl Walk {
    fn tables(&mut self, mut body: &[u8]) -> Checked<()> {
        while let Some((&kind, rest)) = body.split_first() {
            let counts: &[u8; 16] = rest.first_chunk().ok_or_else(damaged)?;
            let n: usize = counts.iter().map(|&count| usize::from(count)).sum();
            let values = rest.get(16..16 + n).ok_or_else(damaged)?;
            let class = if kind >> 4 == 0 { &mut self.first } else { &mut self.others };
            let place = class.get_mut(usize::from(kind & 15)).ok_or_else(damaged)?;
            *place = Some(Box::new(Table::new(counts, values)?));
            body = &rest[16 + n..];
        }
        Ok(())
    }

    fn frame(&mut self, body: &[u8], progressive: bool) -> Checked<()> {
        let header: &[u8; 6] = body.first_chunk().ok_or_else(damaged)?;
        if !self.components.is_empty() {
            return Err(damaged());
        }
        if header[0] != 8 {
            return Err(format!("it has {} bits per value; convert it to 8 bits", header[0]));
        }
        (self.height, self.width) = (word(&header[1..]).into(), word(&header[3..]).into());
        if self.height == 0 || self.width == 0 {
            return Err(format!(
                "its header declares {}x{} pixels; it is damaged",
                self.width, self.height
            ));
        }
        match header[5] {
            1 | 3 => {}
            4 => return Err("its colours are CMYK; convert it to 8-bit RGB or grey PNG".to_owned()),
            n => {
                return Err(format!("it has {n} colour components; convert it to RGB or grey PNG"));
            }
        }
        for component in body[6..].chunks_exact(3).take(header[5].into()) {
            let (across, down) = (usize::from(component[1] >> 4), usize::from(component[1] & 15));
            if !(1..=4).contains(&across) || !(1..=4).contains(&down) {
                return Err(damaged());
            }
            let (name, lacks) = (component[0], [None; 64]);
            self.components.push(Component { name, across, down, lacks, filled: Vec::new() });
        }
        self.progressive = progressive;
        if self.components.len() == usize::from(header[5]) { Ok(()) } else { Err(damaged()) }
    }

    /// Number of units across and down in an interleaved scan.
    fn units(&self) -> (usize, usize) {
        let across = self.components.iter().map(|component| component.across).max().unwrap_or(1);
        let down = self.components.iter().map(|component| component.down).max().unwrap_or(1);
        ((self.width as usize).div_ceil(8 * across), (self.height as usize).div_ceil(8 * down))
    }

    fn reserve(&mut self) -> Checked<()> {
        let (across, down) = self.units();
        for component in self.components.iter_mut().filter(|_| self.progressive) {
            let blocks = across * component.across * down * component.down;
            component.filled = crate::error::memory(blocks)?;
            component.filled.resize(blocks, 0);
        }
        Ok(())
    }

    /// Checks the scan after a scan header. Returns the position of its end.
    fn scan(&mut self, body: &[u8], bytes: &[u8], at: usize) -> Checked<usize> {
        self.scans += 1;
        if self.scans > MAX_SCANS {
            return Err(format!("it has more than {MAX_SCANS} scans; save it again"));
        }
        let (&n, rest) = body.split_first().ok_or_else(damaged)?;
        let n = usize::from(n);
        if n == 0 || n > self.components.len() || rest.len() < 2 * n + 3 {
            return Err(damaged());
        }
        let mut parts = Vec::new();
        for named in rest.chunks_exact(2).take(n) {
            let component = self.components.iter().position(|component| component.name == named[0]);
            let component = component.ok_or_else(damaged)?;
            parts.push((component, usize::from(named[1] >> 4), usize::from(named[1] & 15)));
        }
        let [start, end, approximation] = [rest[2 * n], rest[2 * n + 1], rest[2 * n + 2]];
        let coefficients = match (self.progressive, start, end) {
            (false, ..) => 0..64,
            (true, 0, 0) => 0..1,
            (true, 1..=63, _) if n == 1 && start <= end && end < 64 => {
                usize::from(start)..usize::from(end) + 1
            }
            _ => return Err(damaged()),
        };
        let (high, low) = match self.progressive {
            true => (approximation >> 4, approximation & 15),
            false => (0, 0),
        };
        let pass = Pass { progressive: self.progressive, refines: high > 0, coefficients };
        let end = self.blocks(&pass, &parts, bytes, at)?;
        for (component, ..) in parts {
            self.components[component].lacks[pass.coefficients.clone()].fill(Some(low));
        }
        Ok(end)
    }

    fn blocks(
        &mut self,
        pass: &Pass,
        parts: &[(usize, usize, usize)],
        bytes: &[u8],
        at: usize,
    ) -> Checked<usize> {
        let missing = || "it lacks a Huffman table; save it again".to_owned();
        let (units_across, units_down) = self.units();
        let all =
            |pick: fn(&Component) -> usize| self.components.iter().map(pick).max().unwrap_or(1);
        let most = (all(|component| component.across), all(|component| component.down));
        let (width, height) = (self.width as usize, self.height as usize);
        let mut bits = Bits::new(bytes, at);
        let mut run = 0;
        let alone = parts.len() == 1;
        // In a scan of one component a unit is one block, and none is outside the picture.
        let (across, down) = match (alone, &self.components[parts[0].0]) {
            (true, component) => (
                (width * component.across).div_ceil(8 * most.0),
                (height * component.down).div_ceil(8 * most.1),
            ),
            (false, _) => (units_across, units_down),
        };
        for unit in 0..across * down {
            if self.interval > 0 && unit > 0 && unit.is_multiple_of(self.interval) {
                bits.restart((unit / self.interval - 1) as u8 % 8)?;
                run = 0;
            }
            for &(index, first, others) in parts {
                let component = &mut self.components[index];
                let first = self.first.get(first).and_then(Option::as_deref);
                let others = self.others.get(others).and_then(Option::as_deref);
                let (inner_across, inner_down) =
                    if alone { (1, 1) } else { (component.across, component.down) };
                for inner in 0..inner_across * inner_down {
                    let mut unused = 0;
                    let filled = match component.filled.is_empty() {
                        true => &mut unused,
                        false => {
                            let x = unit % across * inner_across + inner % inner_across;
                            let y = unit / across * inner_down + inner / inner_across;
                            &mut component.filled[y * units_across * component.across + x]
                        }
                    };
                    if !pass.progressive {
                        let (first, others) = first.zip(others).ok_or_else(missing)?;
                        bits.block(first, others)?;
                    } else if pass.coefficients.start == 0 {
                        match pass.refines {
                            true => bits.skip(1)?,
                            false => {
                                let size = first.ok_or_else(missing)?.symbol(&mut bits)?;
                                bits.skip(size.into())?;
                            }
                        }
                    } else {
                        let others = others.ok_or_else(missing)?;
                        match pass.refines {
                            true => bits.refine(others, &pass.coefficients, filled, &mut run)?,
                            false => bits.band(others, &pass.coefficients, filled, &mut run)?,
                        }
                    }
                }
            }
        }
        Ok(bits.at)
    }

    /// Checks that the picture is complete at its end marker.
    fn finish(&self) -> Checked<()> {
        let whole = |component: &Component| component.lacks.iter().all(|&lacks| lacks == Some(0));
        if self.components.is_empty() || !self.components.iter().all(whole) {
            return Err(ends_early());
        }
        Ok(())
    }
}

/// Kind of a scan.
#[derive(Debug)]
struct Pass {
    progressive: bool,
    /// True if it adds a bit to coefficients of earlier scans.
    refines: bool,
    coefficients: std::ops::Range<usize>,
}

fn ends_early() -> String {
    "it is cut short or damaged: its picture ends early; download or copy it again".to_owned()
}

fn no_code() -> String {
    "its picture is damaged; download or copy it again".to_owned()
}

/// A Huffman table.
#[derive(Debug)]
struct Table {
    /// Length and symbol of codes of up to 8 bits, indexed by the next 8 bits; length 0 for longer
    /// codes.
    short: [(u8, u8); 256],
    /// Indexed by length: the end of the codes of this length, aligned to 16 bits, and the offset
    /// from a code to the index of its symbol.
    ends: [(u32, i32); 17],
    values: Vec<u8>,
}

impl Table {
    fn new(counts: &[u8; 16], values: &[u8]) -> Checked<Self> {
        let (mut short, mut ends) = ([(0, 0); 256], [(0, 0); 17]);
        let (mut code, mut place) = (0u32, 0usize);
        for length in 1..=16 {
            let count = usize::from(counts[length - 1]);
            ends[length].1 = place as i32 - code as i32;
            for &value in &values[place..place + count] {
                if code >> length != 0 {
                    return Err(damaged());
                }
                if length <= 8 {
                    let from = (code as usize) << (8 - length);
                    short[from..from + (1 << (8 - length))].fill((length as u8, value));
                }
                code += 1;
            }
            place += count;
            ends[length].0 = code << (16 - length);
            code <<= 1;
        }
        Ok(Self { short, ends, values: values.to_vec() })
    }

    fn symbol(&self, bits: &mut Bits) -> Checked<u8> {
        let next = bits.peek();
        let (length, value) = self.short[(next >> 8) as usize];
        if length > 0 {
            bits.skip(length.into())?;
            return Ok(value);
        }
        let length = (9..=16).find(|&length| next < self.ends[length].0).ok_or_else(no_code)?;
        let place = (next >> (16 - length)) as i32 + self.ends[length].1;
        bits.skip(length as u32)?;
        usize::try_from(place)
            .ok()
            .and_then(|place| self.values.get(place))
            .copied()
            .ok_or_else(no_code)
    }
}

/// The bits of a scan up to the next marker.
#[derive(Debug)]
struct Bits<'a> {
    bytes: &'a [u8],
    /// Position of the next byte; never after a marker.
    at: usize,
    /// The lowest `left` bits are the next ones.
    buffer: u64,
    left: u32,
}

impl<'a> Bits<'a> {
    fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, buffer: 0, left: 0 }
    }

    /// Fills the buffer to at least 49 bits, fewer before a marker.
    fn fill(&mut self) {
        while self.left <= 48 {
            let (byte, behind) = match (self.bytes.get(self.at), self.bytes.get(self.at + 1)) {
                // A stuffed zero: this 0xff is data, not a marker.
                (Some(0xff), Some(0)) => (0xff, 2),
                (Some(0xff), _) | (None, _) => return,
                (Some(&byte), _) => (byte, 1),
            };
            self.at += behind;
            self.buffer = self.buffer << 8 | u64::from(byte);
            self.left += 8;
        }
    }

    /// Returns the next 16 bits, with zeros after the last.
    fn peek(&mut self) -> u32 {
        if self.left < 32 {
            self.fill();
        }
        let next = match self.left {
            left @ 16.. => self.buffer >> (left - 16),
            left => self.buffer << (16 - left),
        };
        next as u32 & 0xffff
    }

    fn skip(&mut self, n: u32) -> Checked<()> {
        self.take(n).map(|_| ())
    }

    /// Reads a number of up to 16 bits; no valid file has longer ones.
    fn take(&mut self, n: u32) -> Checked<u32> {
        if n > 16 {
            return Err(no_code());
        }
        if self.left < n {
            self.fill();
        }
        self.left = self.left.checked_sub(n).ok_or_else(ends_early)?;
        Ok((self.buffer >> self.left) as u32 & ((1 << n) - 1))
    }

    /// Skips a restart marker.
    fn restart(&mut self, number: u8) -> Checked<()> {
        match marker(self.bytes, self.at) {
            Some((kind, behind)) if kind == 0xd0 + number => *self = Self::new(self.bytes, behind),
            _ => return Err(ends_early()),
        }
        Ok(())
    }

    /// Reads a block of a sequential scan.
    fn block(&mut self, first: &Table, others: &Table) -> Checked<()> {
        let size = first.symbol(self)?;
        self.skip(size.into())?;
        let mut at = 1;
        while at < 64 {
            let symbol = others.symbol(self)?;
            match (symbol >> 4, symbol & 15) {
                (15, 0) => at += 16,
                (_, 0) => break,
                (zeros, size) => {
                    at += usize::from(zeros) + 1;
                    if at > 64 {
                        return Err(no_code());
                    }
                    self.skip(size.into())?;
                }
            }
        }
        Ok(())
    }

    /// Reads a block's band of coefficients in a first progressive scan.
    fn band(
        &mut self,
        table: &Table,
        band: &std::ops::Range<usize>,
        filled: &mut u64,
        run: &mut u32,
    ) -> Checked<()> {
        if *run > 0 {
            *run -= 1;
            return Ok(());
        }
        let mut at = band.start;
        while at < band.end {
            let symbol = table.symbol(self)?;
            match (symbol >> 4, symbol & 15) {
                (15, 0) => at += 16,
                (length, 0) => {
                    *run = (1 << length) - 1 + self.take(length.into())?;
                    break;
                }
                (zeros, size) => {
                    at += usize::from(zeros);
                    if at > 63 {
                        return Err(no_code());
                    }
                    self.skip(size.into())?;
                    *filled |= 1 << at;
                    at += 1;
                }
            }
        }
        Ok(())
    }

    /// Reads a block's band of coefficients in a refining progressive scan.
    fn refine(
        &mut self,
        table: &Table,
        band: &std::ops::Range<usize>,
        filled: &mut u64,
        run: &mut u32,
    ) -> Checked<()> {
        let mut at = band.start;
        while *run == 0 && at < band.end {
            let symbol = table.symbol(self)?;
            let (mut zeros, size) = (symbol >> 4, symbol & 15);
            match (zeros, size) {
                (15, 0) => {}
                (length, 0) => {
                    *run = (1 << length) + self.take(length.into())?;
                    break;
                }
                (_, 1) => self.skip(1)?,
                _ => return Err(no_code()),
            }
            while at < band.end {
                if *filled >> at & 1 == 1 {
                    self.skip(1)?;
                } else if zeros == 0 {
                    break;
                } else {
                    zeros -= 1;
                }
                at += 1;
            }
            if size == 1 {
                if at >= band.end {
                    return Err(no_code());
                }
                *filled |= 1 << at;
            }
            at += 1;
        }
        if *run > 0 {
            let left = (at..band.end).filter(|&at| *filled >> at & 1 == 1).count();
            for _ in 0..left {
                self.skip(1)?;
            }
            *run -= 1;
        }
        Ok(())
    }
}
