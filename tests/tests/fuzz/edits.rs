//! Changes of some bytes of what means something.

use proptest::prelude::*;

use crate::LENGTH_MAX;

/// A change of some bytes.
#[derive(Debug, Clone)]
pub(crate) enum Edit {
    Put(usize, u8),
    Insert(usize, Vec<u8>),
    Remove(usize, usize),
    Repeat(usize, usize, u8),
    Append(usize),
}

pub(crate) fn edit() -> impl Strategy<Value = Edit> {
    let at = || any::<usize>();
    let bytes = prop_oneof![
        3 => proptest::collection::vec(any::<u8>(), 1..5),
        2 => prop::sample::select(vec!["\"", "\\", "{", "}", "[", "]", ",", ":", "\n", "null", "-1", "1e999", "\\u0000", "//"])
            .prop_map(|text| text.as_bytes().to_vec()),
    ];
    prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Put(at, byte)),
        3 => (at(), bytes).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        3 => (at(), 1..40_usize).prop_map(|(at, count)| Edit::Remove(at, count)),
        1 => (at(), 1..40_usize, 1..20_u8).prop_map(|(at, count, times)| Edit::Repeat(at, count, times)),
        1 => at().prop_map(Edit::Append),
    ]
}

pub(crate) fn edited(files: &[(String, Vec<u8>)], file: usize, edits: &[Edit]) -> Vec<u8> {
    let mut data = files[file % files.len()].1.clone();
    for edit in edits {
        let place = |at: &usize| at % (data.len() + 1);
        match edit {
            Edit::Put(at, byte) if !data.is_empty() => {
                let at = at % data.len();
                data[at] = *byte;
            }
            Edit::Put(..) => {}
            Edit::Insert(at, bytes) => {
                let at = place(at);
                drop(data.splice(at..at, bytes.iter().copied()));
            }
            Edit::Remove(at, count) => {
                let at = place(at);
                let end = (at + count).min(data.len());
                data.drain(at..end);
            }
            Edit::Repeat(at, count, times) => {
                let at = place(at);
                let part = data[at..(at + count).min(data.len())].repeat(usize::from(*times));
                drop(data.splice(at..at, part));
            }
            Edit::Append(other) => data.extend(&files[other % files.len()].1),
        }
    }
    data.truncate(LENGTH_MAX);
    data
}
