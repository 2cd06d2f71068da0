//! JSON text, read without building anything.
//!
//! The grammar is that of RFC 8259 as `serde_json` reads a value: escapes that name half a surrogate pair and
//! numbers beyond the range of a double are refused, so that what a relay lets pass can be decoded by whom it is
//! for. Nesting is a stack of bits, not of calls, and nothing is copied.

use memchr::memchr2;

use super::DecodeError;

/// Deepest nesting that can be allowed: one bit for each level, and the body, one level less, is then the deepest
/// value that `serde_json` decodes.
const DEPTH_CEILING: usize = 128;

/// How many words of eight bytes of a string are searched one by one; most keys end before it would pay to call a
/// vector search.
const NEAR_WORDS: usize = 2;

/// Up to this many bytes a number without exponent is surely in the range of a double.
const NUMBER_SURELY_FINITE: usize = 300;

/// How a step ends. The error is boxed so that a success, of which there are hundreds in a message, fits a register.
pub(super) type Step<T = ()> = Result<T, Box<DecodeError>>;

/// A place in a text. Each method reads what it is named for from there and steps behind it.
pub(super) struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
    /// No byte of the text is a control character, so that no string need be searched for one.
    clean: bool,
    depth_max: usize,
}

impl<'a> Cursor<'a> {
    /// A cursor at the start, and whether the text is ASCII. One vectorised pass answers for all strings at once
    /// what would otherwise be asked byte by byte.
    pub(super) fn new(text: &'a [u8], depth_max: usize) -> (Cursor<'a>, bool) {
        let (low, bits) = text.iter().fold((u8::MAX, 0), |(low, bits), &byte| (byte.min(low), bits | byte));
        let depth_max = depth_max.min(DEPTH_CEILING);
        (Cursor { text, at: 0, clean: low >= b' ', depth_max }, bits.is_ascii())
    }

    #[inline]
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// A value that stands inside of `outer` others.
    pub(super) fn value(&mut self, outer: usize) -> Step {
        // The lowest bit is the innermost level: set for an object.
        let mut levels: u128 = 0;
        let mut depth = outer;
        loop {
            match self.peek() {
                Some(b'"') => _ = self.string()?,
                Some(b'{') => {
                    depth += 1;
                    self.open(b'{', depth)?;
                    levels = levels << 1 | 1;
                    if !self.closed(b'}') {
                        self.key()?;
                        continue;
                    }
                    levels >>= 1;
                    depth -= 1;
                }
                Some(b'[') => {
                    depth += 1;
                    self.open(b'[', depth)?;
                    levels <<= 1;
                    if !self.closed(b']') {
                        continue;
                    }
                    levels >>= 1;
                    depth -= 1;
                }
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b't') => self.word(b"true")?,
                Some(b'f') => self.word(b"false")?,
                Some(b'n') => self.word(b"null")?,
                _ => return Err(self.wrong("a value expected")),
            }
            // A value has ended, and with it perhaps those that it was the last part of.
            loop {
                if depth == outer {
                    return Ok(());
                }
                let object = levels & 1 == 1;
                if self.another(if object { b'}' } else { b']' })? {
                    if object {
                        self.key()?;
                    }
                    break;
                }
                levels >>= 1;
                depth -= 1;
            }
        }
    }

    /// A key and the colon behind it; the cursor is then at the value. What stands between the quotes, and whether
    /// that holds escapes.
    pub(super) fn key(&mut self) -> Step<(&'a [u8], bool)> {
        if self.peek() != Some(b'"') {
            return Err(self.wrong("a key expected"));
        }
        let start = self.at + 1;
        let escaped = self.string()?;
        let key = &self.text[start..self.at - 1];
        self.space();
        if self.peek() != Some(b':') {
            return Err(self.wrong("a colon expected"));
        }
        self.at += 1;
        self.space();
        Ok((key, escaped))
    }

    /// A string; whether it holds escapes.
    pub(super) fn string(&mut self) -> Step<bool> {
        let start = self.at + 1;
        let mut escaped = false;
        self.at = start;
        loop {
            let found = quote_or_backslash(&self.text[self.at..]);
            self.at += found.ok_or_else(|| self.wrong("a string that does not end"))?;
            if self.text[self.at] == b'"' {
                break;
            }
            escaped = true;
            self.escape()?;
        }
        if !self.clean
            && let Some(at) = self.text[start..self.at].iter().position(|&byte| byte < b' ')
        {
            self.at = start + at;
            return Err(self.wrong("a control character in a string"));
        }
        self.at += 1;
        Ok(escaped)
    }

    #[inline(never)]
    fn escape(&mut self) -> Step {
        match self.text.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => match self.code_unit() {
                Some(0xd800..=0xdbff) => match self.code_unit() {
                    Some(0xdc00..=0xdfff) => {}
                    _ => return Err(self.wrong("half a surrogate pair")),
                },
                Some(0xdc00..=0xdfff) => return Err(self.wrong("half a surrogate pair")),
                Some(_) => {}
                None => return Err(self.wrong("a malformed escape")),
            },
            _ => return Err(self.wrong("a malformed escape")),
        }
        Ok(())
    }

    /// The number that `\uXXXX` stands for.
    fn code_unit(&mut self) -> Option<u32> {
        let text = self.text.get(self.at..self.at + 6)?;
        let digits = text.strip_prefix(b"\\u")?;
        let unit =
            digits.iter().try_fold(0, |unit, &digit| Some(unit << 4 | char::from(digit).to_digit(16)?))?;
        self.at += 6;
        Some(unit)
    }

    fn number(&mut self) -> Step {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        // No digit follows a leading zero; one that does is then not the comma or bracket that must.
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        let mut finite = self.at - start <= NUMBER_SURELY_FINITE;
        if matches!(self.peek(), Some(b'e' | b'E')) {
            finite = false;
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        let parsed = || std::str::from_utf8(&self.text[start..self.at]).ok()?.parse::<f64>().ok();
        if finite || parsed().is_some_and(f64::is_finite) {
            Ok(())
        } else {
            self.at = start;
            Err(self.wrong("a number beyond the range of a double"))
        }
    }

    /// One digit or more.
    fn digits(&mut self) -> Step {
        let count = self.text[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count == 0 { Err(self.wrong("a digit expected")) } else { Ok(()) }
    }

    fn word(&mut self, word: &[u8]) -> Step {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.wrong("a value expected"));
        }
        self.at += word.len();
        Ok(())
    }

    /// Steps into an object or array that is the `depth`th level.
    #[inline]
    pub(super) fn open(&mut self, bracket: u8, depth: usize) -> Step {
        if self.peek() != Some(bracket) {
            return Err(self.wrong("an object expected"));
        }
        if depth > self.depth_max {
            return Err(Box::new(DecodeError::TooDeep { max: self.depth_max }));
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    /// Whether what was just opened is empty; if so, steps out of it.
    #[inline]
    pub(super) fn closed(&mut self, bracket: u8) -> bool {
        let closed = self.peek() == Some(bracket);
        self.at += usize::from(closed);
        closed
    }

    /// Behind a part of an object or array: whether another follows; the cursor is then at it, else behind the end.
    #[inline]
    pub(super) fn another(&mut self, bracket: u8) -> Step<bool> {
        self.space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.space();
                Ok(true)
            }
            Some(byte) if byte == bracket => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(self.wrong("a comma or a closing bracket expected")),
        }
    }

    pub(super) fn end(&mut self) -> Step {
        self.space();
        if self.at == self.text.len() { Ok(()) } else { Err(self.wrong("text behind the end")) }
    }

    #[inline]
    pub(super) fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    #[cold]
    fn wrong(&self, what: &'static str) -> Box<DecodeError> {
        Box::new(DecodeError::Syntax { at: self.at, what })
    }
}

/// Where the first `"` or `\` of a text stands.
#[inline]
fn quote_or_backslash(text: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    let (words, _) = text.as_chunks();
    let words = &words[..words.len().min(NEAR_WORDS)];
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // The lowest bit that is set marks the first zero byte; only bits above it may be wrong.
        let zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
        let hits = zero(word ^ (ONES * u64::from(b'"'))) | zero(word ^ (ONES * u64::from(b'\\')));
        if hits != 0 {
            return Some(at * 8 + hits.trailing_zeros() as usize / 8);
        }
    }
    let near = words.len() * 8;
    memchr2(b'"', b'\\', &text[near..]).map(|far| near + far)
}

#[cfg(test)]
mod tests;
