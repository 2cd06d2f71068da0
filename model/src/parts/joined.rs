//! The pieces of a text, put together again.

/// Why parts do not make a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// Larger than the reader takes; the object cannot be observed from here.
    #[error("{bytes} bytes in {parts} parts are more than {max} bytes, or too many parts")]
    TooLarge {
        /// The length told, or reached.
        bytes: usize,
        /// The number of parts.
        parts: usize,
        /// The limit.
        max: usize,
    },
    /// A part of a number that there is not, or another one of a number that has come; read again.
    #[error("part {0} does not belong to this answer")]
    Foreign(usize),
    /// Not all parts have come; read again.
    #[error("{0} parts are missing")]
    Missing(usize),
    /// The parts are not as long as was told; read again.
    #[error("{got} bytes have come of {told}")]
    Length {
        /// What was told.
        told: usize,
        /// What has come.
        got: usize,
    },
    /// A pushed part without a value that is an object; read again.
    #[error("part {0} has no value")]
    NoValue(usize),
}

/// Pieces of a text as they come, in any order.
#[derive(Debug)]
pub struct Joined {
    pieces: Vec<Option<String>>,
    told: usize,
    got: usize,
    missing: usize,
}

impl Joined {
    /// Waits for so many parts, which make so many bytes, if that is no more than `bytes_max`.
    ///
    /// # Errors
    /// [`JoinError::TooLarge`].
    pub fn new(parts: usize, bytes: usize, bytes_max: usize) -> Result<Joined, JoinError> {
        // A piece has one character at least, unless there is one alone.
        if bytes > bytes_max || parts > super::PARTS_MAX || parts > bytes.max(1) || parts == 0 {
            return Err(JoinError::TooLarge { bytes, parts, max: bytes_max });
        }
        Ok(Joined { pieces: vec![None; parts], told: bytes, got: 0, missing: parts })
    }

    /// Takes a part. One that has come before changes nothing.
    ///
    /// # Errors
    /// [`JoinError::Foreign`], [`JoinError::Length`].
    pub fn put(&mut self, number: usize, piece: &str) -> Result<(), JoinError> {
        let place = number.checked_sub(1).and_then(|at| self.pieces.get_mut(at));
        let place = place.ok_or(JoinError::Foreign(number))?;
        if let Some(before) = place {
            return if before == piece { Ok(()) } else { Err(JoinError::Foreign(number)) };
        }
        self.got += piece.len();
        if self.got > self.told {
            return Err(JoinError::Length { told: self.told, got: self.got });
        }
        *place = Some(piece.to_owned());
        self.missing -= 1;
        Ok(())
    }

    /// How many parts have not come.
    pub fn missing(&self) -> usize {
        self.missing
    }

    /// The whole.
    ///
    /// # Errors
    /// [`JoinError::Missing`], [`JoinError::Length`].
    pub fn finish(self) -> Result<String, JoinError> {
        if self.missing > 0 {
            return Err(JoinError::Missing(self.missing));
        }
        if self.got != self.told {
            return Err(JoinError::Length { told: self.told, got: self.got });
        }
        let mut whole = String::with_capacity(self.told);
        self.pieces.iter().flatten().for_each(|piece| whole.push_str(piece));
        Ok(whole)
    }
}
