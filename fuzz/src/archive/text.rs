//! Documents that are not quite right: values of the wrong shape, and broken texts.

use arbitrary::Result;
use serde_json::{Value, json};

use super::Draft;

impl Draft<'_> {
    /// Puts another value in the place of one that is drawn by walking down from the top.
    pub(super) fn replace_value(&mut self, document: &mut Value) -> Result<()> {
        let mut at = document;
        loop {
            let count = match &*at {
                Value::Array(values) => values.len(),
                Value::Object(fields) => fields.len(),
                _ => 0,
            };
            if count == 0 || self.one_in(4)? {
                break;
            }
            let place = self.below(count)?;
            at = match at {
                Value::Array(values) => &mut values[place],
                Value::Object(fields) => fields.values_mut().nth(place).expect("it has so many"),
                _ => unreachable!("it has values"),
            };
        }
        *at = self.odd_value()?;
        Ok(())
    }

    fn odd_value(&mut self) -> Result<Value> {
        Ok(match self.below(10)? {
            0 => Value::Null,
            1 => json!([]),
            2 => json!({}),
            3 => json!(-1),
            4 => json!(u64::MAX),
            5 => json!(1.5),
            6 => json!(true),
            7 => json!([[], {}, null, "x", 0]),
            8 => (0..100).fold(Value::Null, |inner, _| json!([inner])),
            _ => json!("\u{1b}[0m\u{202e}\0\n"),
        })
    }

    /// Breaks a text: cuts it, puts something in front, overwrites a byte, or says it twice.
    pub(super) fn spoil(&mut self, text: &mut Vec<u8>) -> Result<()> {
        let place = self.below(text.len() + 1)?;
        match self.below(4)? {
            0 => text.truncate(place),
            1 => {
                text.splice(0..0, std::iter::repeat_n(b' ', place));
            }
            2 => {
                if let Some(byte) = text.get_mut(place) {
                    *byte = self.input.arbitrary()?;
                }
            }
            _ => text.extend_from_within(..),
        }
        Ok(())
    }
}
