//! The frames of RFC 6455, as a server sees them: pure functions over bytes.

/// Longest payload of a control frame.
pub(super) const CONTROL_BYTES_MAX: usize = 125;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    fn of(bits: u8) -> Option<Opcode> {
        Some(match bits {
            0x0 => Opcode::Continuation,
            0x1 => Opcode::Text,
            0x2 => Opcode::Binary,
            0x8 => Opcode::Close,
            0x9 => Opcode::Ping,
            0xa => Opcode::Pong,
            _ => return None,
        })
    }

    fn bits(self) -> u8 {
        match self {
            Opcode::Continuation => 0x0,
            Opcode::Text => 0x1,
            Opcode::Binary => 0x2,
            Opcode::Close => 0x8,
            Opcode::Ping => 0x9,
            Opcode::Pong => 0xa,
        }
    }

    fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }
}

/// Why what a client sends is no WebSocket any more. The connection is closed: where the next frame begins is unknown
/// or does not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    /// Against the rules of RFC 6455.
    #[error("WebSocket protocol error: {0}")]
    Protocol(&'static str),
    /// Far longer than any message may be.
    #[error("WebSocket message too long")]
    TooLong,
}

impl FrameError {
    /// The close code.
    pub(super) fn code(self) -> u16 {
        match self {
            FrameError::Protocol(_) => 1002,
            FrameError::TooLong => 1009,
        }
    }
}

/// The header of a client's frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Whether it ends a message.
    pub(super) fin: bool,
    pub(super) opcode: Opcode,
    pub(super) key: [u8; 4],
    /// How long the header is.
    pub(super) head: usize,
    /// How long the payload is.
    pub(super) len: usize,
}

impl Header {
    /// Reads the header at the start of `input`; `None` if there is not all of it yet.
    pub(super) fn read(input: &[u8], len_max: usize) -> Result<Option<Header>, FrameError> {
        let &[first, second, ref rest @ ..] = input else { return Ok(None) };
        if first & 0x70 != 0 {
            return Err(FrameError::Protocol("reserved bits are set"));
        }
        let opcode = Opcode::of(first & 0x0f).ok_or(FrameError::Protocol("unknown opcode"))?;
        let fin = first & 0x80 != 0;
        if second & 0x80 == 0 {
            return Err(FrameError::Protocol("a client masks its frames"));
        }
        let (len, wide) = match second & 0x7f {
            126 => (rest.first_chunk().map(|bytes| u64::from(u16::from_be_bytes(*bytes))), 2),
            127 => (rest.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)), 8),
            short => (Some(u64::from(short)), 0),
        };
        let Some(len) = len else { return Ok(None) };
        if opcode.is_control() && (!fin || len > CONTROL_BYTES_MAX as u64) {
            return Err(FrameError::Protocol("a control frame is short and whole"));
        }
        let len = usize::try_from(len).ok().filter(|&len| len <= len_max).ok_or(FrameError::TooLong)?;
        let Some(key) = rest.get(wide..).and_then(|rest| rest.first_chunk()) else { return Ok(None) };
        Ok(Some(Header { fin, opcode, key: *key, head: 2 + wide + 4, len }))
    }
}

/// Masks or unmasks a payload.
pub(super) fn mask(payload: &mut [u8], key: [u8; 4]) {
    // Eight bytes at a time: the compiler makes more of it.
    let word = u64::from_ne_bytes([key[0], key[1], key[2], key[3], key[0], key[1], key[2], key[3]]);
    let (chunks, rest) = payload.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ word).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

/// Appends the header of a server's frame.
pub(super) fn write_header(out: &mut Vec<u8>, opcode: Opcode, len: usize) {
    out.push(0x80 | opcode.bits());
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(len @ 0..126), _) => out.push(len),
        (_, Ok(len)) => {
            out.push(126);
            out.extend_from_slice(&len.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A client's frame, byte by byte as the RFC draws it.
    fn client_frame(opcode: u8, fin: bool, key: [u8; 4], payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![opcode | if fin { 0x80 } else { 0 }];
        match payload.len() {
            len if len < 126 => frame.push(0x80 | len as u8),
            len if len < 65_536 => {
                frame.push(0x80 | 126);
                frame.extend((len as u16).to_be_bytes());
            }
            len => {
                frame.push(0x80 | 127);
                frame.extend((len as u64).to_be_bytes());
            }
        }
        frame.extend(key);
        frame.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]));
        frame
    }

    proptest! {
        #[test]
        fn frames_read_back(len in prop_oneof![0..300usize, 65_500..65_600usize], key: [u8; 4], fin: bool) {
            let payload: Vec<u8> = (0..len).map(|at| at as u8).collect();
            let mut frame = client_frame(0x1, fin, key, &payload);
            let header = Header::read(&frame, usize::MAX).unwrap().unwrap();
            prop_assert_eq!((header.fin, header.opcode, header.len), (fin, Opcode::Text, len));
            prop_assert_eq!(header.head + header.len, frame.len());
            for short in 0..header.head {
                prop_assert_eq!(Header::read(&frame[..short], usize::MAX), Ok(None));
            }
            mask(&mut frame[header.head..], header.key);
            prop_assert_eq!(&frame[header.head..], &payload);
            let mut out = Vec::new();
            write_header(&mut out, Opcode::Text, len);
            let expected = match len { 0..126 => 2, 126..65_536 => 4, _ => 10 };
            prop_assert_eq!(out.len(), expected);
        }

        #[test]
        fn no_bytes_make_a_header_panic(input: Vec<u8>) {
            let _ = Header::read(&input, 1 << 20);
        }
    }

    #[test]
    fn what_breaks_the_rules_is_refused() {
        let key = [1, 2, 3, 4];
        let read = |frame: &[u8]| Header::read(frame, 1000);
        assert_eq!(read(&client_frame(0x1, true, key, &[0; 1001])), Err(FrameError::TooLong));
        assert_eq!(read(&[0x81, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0]), Err(FrameError::TooLong));
        for frame in [
            client_frame(0x41, true, key, b"reserved"),
            client_frame(0x3, true, key, b"unknown"),
            client_frame(0x9, false, key, b"ping in parts"),
            client_frame(0x8, true, key, &[0; 126]),
            vec![0x81, 0x01, b'x'],
        ] {
            assert!(matches!(read(&frame), Err(FrameError::Protocol(_))), "{frame:?}");
        }
    }
}
