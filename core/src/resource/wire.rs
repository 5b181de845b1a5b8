// SPDX-License-Identifier: Apache-2.0
//! Reading protobuf without building messages: a cursor over fields.
//!
//! Accepts what prost accepts: any field order, unknown fields, groups; rejects field number 0, over-long varints and lengths
//! that point outside.

use std::fmt;

/// Why bytes are not protobuf of the expected shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WireError {
    Truncated,
    Varint,
    Key,
    WireType,
    Utf8,
    Depth,
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WireError::Truncated => "a length points outside of the message",
            WireError::Varint => "a varint is too long",
            WireError::Key => "a field number is out of range",
            WireError::WireType => "a field has another wire type than its schema",
            WireError::Utf8 => "a string is not UTF-8",
            WireError::Depth => "groups are nested too deeply",
        })
    }
}

/// The content of one field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed64,
    Fixed32,
    Bytes(&'a [u8]),
    Group,
}

impl<'a> Value<'a> {
    pub(super) fn varint(self) -> Result<u64, WireError> {
        if let Value::Varint(value) = self { Ok(value) } else { Err(WireError::WireType) }
    }

    pub(super) fn bytes(self) -> Result<&'a [u8], WireError> {
        if let Value::Bytes(value) = self { Ok(value) } else { Err(WireError::WireType) }
    }

    pub(super) fn str(self) -> Result<&'a str, WireError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| WireError::Utf8)
    }
}

/// A cursor over the fields of one message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

const MAX_GROUP_DEPTH: u32 = 100;

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The next field: its number and value.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, WireError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (number, wire_type) = self.key()?;
        if wire_type == 4 {
            return Err(WireError::WireType);
        }
        Ok(Some((number, self.value(number, wire_type, 0)?)))
    }

    #[inline]
    fn key(&mut self) -> Result<(u32, u8), WireError> {
        let key = u32::try_from(self.varint()?).map_err(|_| WireError::Key)?;
        let number = key >> 3;
        if number == 0 { Err(WireError::Key) } else { Ok((number, (key & 7) as u8)) }
    }

    #[inline]
    fn value(&mut self, number: u32, wire_type: u8, depth: u32) -> Result<Value<'a>, WireError> {
        match wire_type {
            0 => self.varint().map(Value::Varint),
            1 => self.take(8).map(|_| Value::Fixed64),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| WireError::Truncated)?;
                self.take(length).map(Value::Bytes)
            }
            3 => self.skip_group(number, depth).map(|()| Value::Group),
            5 => self.take(4).map(|_| Value::Fixed32),
            _ => Err(WireError::WireType),
        }
    }

    fn skip_group(&mut self, opened: u32, depth: u32) -> Result<(), WireError> {
        if depth >= MAX_GROUP_DEPTH {
            return Err(WireError::Depth);
        }
        loop {
            let (number, wire_type) = self.key()?;
            if wire_type == 4 {
                return if number == opened { Ok(()) } else { Err(WireError::WireType) };
            }
            self.value(number, wire_type, depth + 1)?;
        }
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, WireError> {
        // Nearly every key and length of an assignment is one byte.
        if let [byte @ 0..=0x7f, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(u64::from(*byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0u64;
        for (index, byte) in self.rest.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                // The tenth byte may only carry the top bit.
                if index == 9 && *byte > 1 {
                    return Err(WireError::Varint);
                }
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(if self.rest.len() < 10 { WireError::Truncated } else { WireError::Varint })
    }
}

/// The last occurrence of a string field; empty when it is not there.
pub(super) fn last_string(message: &[u8], number: u32) -> Result<&str, WireError> {
    let mut fields = Fields::of(message);
    let mut found = "";
    while let Some((field, value)) = fields.next()? {
        if field == number {
            found = value.str()?;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(bytes: &[u8]) -> Option<WireError> {
        let mut fields = Fields::of(bytes);
        loop {
            match fields.next() {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(error) => return Some(error),
            }
        }
    }

    #[test]
    fn malformed_bytes_are_errors_of_their_own_kind() {
        assert_eq!(error_of(&[0x00, 0x01]), Some(WireError::Key), "field number 0");
        assert_eq!(error_of(&[0x0a, 0x05, 1]), Some(WireError::Truncated), "length beyond the end");
        assert_eq!(error_of(&[0x08, 0x80]), Some(WireError::Truncated), "varint cut short");
        assert_eq!(error_of(&[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2]), Some(WireError::Varint));
        assert_eq!(error_of(&[0x0c]), Some(WireError::WireType), "end of a group never opened");
        assert_eq!(error_of(&[0x0e]), Some(WireError::WireType), "wire type 6");
    }

    #[test]
    fn unknown_groups_are_skipped() {
        let bytes = [0x13, 0x08, 0x01, 0x14, 0x0a, 0x01, b'x'];
        assert_eq!(last_string(&bytes, 1), Ok("x"));
    }

    #[test]
    fn the_last_string_wins() {
        assert_eq!(last_string(&[0x0a, 1, b'a', 0x0a, 1, b'b'], 1), Ok("b"));
        assert_eq!(last_string(&[], 1), Ok(""));
        assert_eq!(last_string(&[0x08, 1], 1), Err(WireError::WireType));
        assert_eq!(last_string(&[0x0a, 1, 0xff], 1), Err(WireError::Utf8));
    }
}
