//! How foreign JSON is read: lists no longer than they may be, and objects that are objects.
//!
//! A document of a few megabytes can hold millions of entries, and each would become a value of many times its length.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Reads a value for which Go's writers also write `null`.
pub fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads a word, which is no longer than a word may be; `null`, and whatever is longer, is an empty one.
pub fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    const LONGEST: usize = 256;
    let word: String = or_default(deserializer)?;
    Ok(if word.len() > LONGEST {
        String::new()
    } else {
        word
    })
}

/// Reads a list of few words.
pub fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(transparent)]
    struct Word(#[serde(deserialize_with = "word")] String);
    let words: Vec<Word> = list::<_, _, 64>(deserializer)?;
    Ok(words.into_iter().map(|Word(word)| word).collect())
}

/// Reads a list of which only the first `MAX` entries count; `null` is an empty one.
pub fn list<'de, D, T, const MAX: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let list: Option<List<T, MAX>> = Option::deserialize(deserializer)?;
    Ok(list.map(|list| list.0).unwrap_or_default())
}

/// The same where it matters whether there is a list.
pub fn optional_list<'de, D, T, const MAX: usize>(
    deserializer: D,
) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let list: Option<List<T, MAX>> = Option::deserialize(deserializer)?;
    Ok(list.map(|list| list.0))
}

/// Reads an object as a map of which only the first `MAX` entries count; `null` is an empty one.
pub fn map<'de, D, T, const MAX: usize>(deserializer: D) -> Result<BTreeMap<String, T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let map: Option<Map<T, MAX>> = Option::deserialize(deserializer)?;
    Ok(map.map(|map| map.0).unwrap_or_default())
}

/// Reads an object, if there is one.
pub fn optional_object<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let object: Option<Object<T>> = Option::deserialize(deserializer)?;
    Ok(object.map(|object| object.0))
}

/// A value that is written as an object. Derived readers also take a list, as the fields in their order, and no other
/// reader does.
#[derive(Clone, Debug)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(fields)).map(Object)
            }
        }
        deserializer.deserialize_map(Fields(PhantomData))
    }
}

struct List<T, const MAX: usize>(Vec<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for List<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T, const MAX: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Entries<T, MAX> {
            type Value = List<T, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while list.len() < MAX {
                    match entries.next_element()? {
                        Some(entry) => list.push(entry),
                        None => return Ok(List(list)),
                    }
                }
                while entries.next_element::<IgnoredAny>()?.is_some() {}
                Ok(List(list))
            }
        }
        deserializer.deserialize_seq(Entries(PhantomData))
    }
}

struct Map<T, const MAX: usize>(BTreeMap<String, T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Map<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T, const MAX: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Entries<T, MAX> {
            type Value = Map<T, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
                let mut map = BTreeMap::new();
                while map.len() < MAX {
                    match entries.next_entry()? {
                        Some((key, value)) => map.insert(key, value),
                        None => return Ok(Map(map)),
                    };
                }
                while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Map(map))
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    struct Sample {
        #[serde(default, deserialize_with = "list::<_, _, 2>")]
        list: Vec<u8>,
        #[serde(default, deserialize_with = "optional_list::<_, _, 2>")]
        optional: Option<Vec<u8>>,
        #[serde(default, deserialize_with = "map::<_, _, 2>")]
        map: BTreeMap<String, u8>,
        #[serde(default, deserialize_with = "optional_object")]
        object: Option<Inner>,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    struct Inner {
        field: u8,
    }

    fn read(json: &str) -> Result<Sample, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn what_is_too_long_is_cut() {
        let sample = read(r#"{"list":[1,2,3,"x"],"optional":[1,{}],"map":{"a":1,"b":2,"c":{}}}"#);
        assert!(sample.is_err(), "what counts has to be right");
        let sample =
            read(r#"{"list":[1,2,3,"x"],"optional":[1,2,{}],"map":{"a":1,"b":2,"c":{}}}"#).unwrap();
        assert_eq!(
            (sample.list, sample.optional, sample.map.len()),
            (vec![1, 2], Some(vec![1, 2]), 2)
        );
    }

    #[test]
    fn null_is_nothing() {
        let sample = read(r#"{"list":null,"optional":null,"map":null,"object":null}"#).unwrap();
        assert_eq!(sample, Sample::default());
        assert_eq!(read("{}").unwrap(), Sample::default());
    }

    #[test]
    fn an_object_is_no_list() {
        assert_eq!(
            read(r#"{"object":{"field":1}}"#).unwrap().object,
            Some(Inner { field: 1 })
        );
        assert!(read(r#"{"object":[1]}"#).is_err());
        assert!(serde_json::from_str::<Object<Inner>>("[1]").is_err());
    }
}
