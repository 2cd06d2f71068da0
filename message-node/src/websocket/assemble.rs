//! From frames to messages: fragments are joined, control frames may come between them.

use bytes::Bytes;

use super::frame::{FrameError, Header, Opcode, mask};

/// What a client said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// A whole message, in an allocation of its own.
    Message(Bytes),
    /// To be answered with the same payload.
    Ping(Bytes),
    /// An answer to a ping of ours, or a sign of life.
    Pong,
    /// The end. The code, if one was given.
    Close(Option<u16>),
}

/// Joins the fragments of one connection.
#[derive(Debug)]
pub(super) struct Assembler {
    /// What has come of a message in several frames.
    fragments: Option<Vec<u8>>,
}

impl Assembler {
    pub(super) fn new() -> Assembler {
        Assembler { fragments: None }
    }

    /// Takes whole frames off the start of `input`, which it unmasks, and hands on what they say. Returns how many
    /// bytes it took, and how many the next frame needs in all, as far as that is known. `len_max` is asked before each
    /// frame how long a message may be, in all its fragments.
    pub(super) fn take(
        &mut self,
        input: &mut [u8],
        len_max: impl Fn() -> usize,
        mut hand: impl FnMut(Event),
    ) -> Result<(usize, usize), FrameError> {
        let mut taken = 0;
        loop {
            let rest = &mut input[taken..];
            let len_max = len_max();
            let Some(header) = Header::read(rest, len_max)? else { return Ok((taken, 0)) };
            let whole = header.head + header.len;
            let Some(frame) = rest.get_mut(..whole) else { return Ok((taken, whole)) };
            let payload = &mut frame[header.head..];
            mask(payload, header.key);
            if let Some(event) = self.accept(header, payload, len_max)? {
                hand(event);
            }
            taken += whole;
        }
    }

    fn accept(
        &mut self,
        header: Header,
        payload: &[u8],
        len_max: usize,
    ) -> Result<Option<Event>, FrameError> {
        match header.opcode {
            Opcode::Ping => return Ok(Some(Event::Ping(Bytes::copy_from_slice(payload)))),
            Opcode::Pong => return Ok(Some(Event::Pong)),
            Opcode::Close => {
                return match payload {
                    [] => Ok(Some(Event::Close(None))),
                    [_] => Err(FrameError::Protocol("a close code has two bytes")),
                    &[high, low, ..] => Ok(Some(Event::Close(Some(u16::from_be_bytes([high, low]))))),
                };
            }
            Opcode::Continuation => {
                let fragments =
                    self.fragments.as_mut().ok_or(FrameError::Protocol("nothing to be continued"))?;
                if fragments.len() + payload.len() > len_max {
                    return Err(FrameError::TooLong);
                }
                fragments.extend_from_slice(payload);
            }
            // JSON in a binary frame is no better or worse than in a text frame.
            Opcode::Text | Opcode::Binary if self.fragments.is_some() => {
                return Err(FrameError::Protocol("a message within another"));
            }
            Opcode::Text | Opcode::Binary if header.fin => {
                return Ok(Some(Event::Message(Bytes::copy_from_slice(payload))));
            }
            Opcode::Text | Opcode::Binary => self.fragments = Some(payload.to_vec()),
        }
        let whole = if header.fin { self.fragments.take() } else { None };
        Ok(whole.map(|message| Event::Message(message.into())))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
    use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};

    use super::*;

    /// What a client may send, with its wire form made by another implementation.
    fn sent() -> impl Strategy<Value = (Vec<u8>, Vec<Event>)> {
        let payload = prop::collection::vec(any::<u8>(), 0..300);
        let parts = prop::collection::vec(payload.clone(), 1..4);
        prop_oneof![
            (parts, any::<bool>()).prop_map(|(parts, ping_between)| {
                let mut wire = Vec::new();
                let mut events = Vec::new();
                for (at, part) in parts.iter().enumerate() {
                    let opcode =
                        if at == 0 { OpCode::Data(Data::Text) } else { OpCode::Data(Data::Continue) };
                    let last = at + 1 == parts.len();
                    wire.extend(masked(Frame::message(part.clone(), opcode, last)));
                    if ping_between && !last {
                        wire.extend(masked(Frame::ping(b"x".to_vec())));
                        events.push(Event::Ping(Bytes::from_static(b"x")));
                    }
                }
                events.push(Event::Message(parts.concat().into()));
                (wire, events)
            }),
            prop::collection::vec(any::<u8>(), 0..125).prop_map(|payload| {
                (masked(Frame::ping(payload.clone())), vec![Event::Ping(payload.into())])
            }),
            Just((masked(Frame::pong(b"y".to_vec())), vec![Event::Pong])),
            Just((
                masked(Frame::message(b"z".to_vec(), OpCode::Data(Data::Binary), true)),
                vec![Event::Message(Bytes::from_static(b"z"))]
            )),
            Just((masked(Frame::close(None)), vec![Event::Close(None)])),
            Just((
                masked(Frame::close(Some(CloseFrame { code: 1000.into(), reason: "b".into() }))),
                vec![Event::Close(Some(1000))]
            )),
        ]
    }

    fn masked(mut frame: Frame) -> Vec<u8> {
        frame.header_mut().mask = Some([7, 1, 255, 0]);
        let mut wire = Vec::new();
        frame.format(&mut wire).unwrap();
        wire
    }

    proptest! {
        /// However the bytes are cut into reads, the same is understood.
        #[test]
        fn messages_are_understood_in_any_pieces(
            sent in prop::collection::vec(sent(), 1..8),
            cuts in prop::collection::vec(1..400usize, 1..20),
        ) {
            let wire: Vec<u8> = sent.iter().flat_map(|(wire, _)| wire.clone()).collect();
            let expected: Vec<Event> = sent.into_iter().flat_map(|(_, events)| events).collect();
            let mut assembler = Assembler::new();
            let (mut got, mut input, mut cuts) = (Vec::new(), Vec::new(), cuts.into_iter().cycle());
            let mut wire = &wire[..];
            while !wire.is_empty() {
                let (piece, rest) = wire.split_at(wire.len().min(cuts.next().unwrap()));
                wire = rest;
                input.extend_from_slice(piece);
                let (taken, needed) = assembler.take(&mut input, || 10_000, |event| got.push(event)).unwrap();
                input.drain(..taken);
                prop_assert!(needed == 0 || needed > input.len());
            }
            prop_assert_eq!(got, expected);
            prop_assert!(input.is_empty());
        }

        #[test]
        fn no_bytes_make_it_panic(mut input: Vec<u8>) {
            let _ = Assembler::new().take(&mut input, || 100, |_| {});
        }
    }

    #[test]
    fn fragments_do_not_outgrow_the_limit() {
        let mut assembler = Assembler::new();
        let mut take = |opcode, fin, len: usize| {
            let frame = Frame::message(vec![b'x'; len], OpCode::Data(opcode), fin);
            assembler.take(&mut masked(frame), || 100, |_| {})
        };
        assert!(take(Data::Text, false, 60).is_ok());
        assert!(matches!(take(Data::Text, true, 1), Err(FrameError::Protocol(_))));
        assert!(take(Data::Continue, false, 40).is_ok());
        assert_eq!(take(Data::Continue, true, 1), Err(FrameError::TooLong));
    }
}
