//! JSON that means one thing only: a name that stands twice in an object is found, where a plain parse would silently
//! take the last.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::project::FieldError;

/// The most names that are found to stand twice: a body of 1 MB could have hundreds of thousands.
const MAX_DUPLICATES: usize = 40;

/// Parses one JSON document; also gives the names that stand twice, and behind the first [`MAX_DUPLICATES`] how many more
/// there are.
///
/// # Errors
/// Where the text stops being JSON. The message has no part of the text in it: that may be a secret.
pub(in crate::web) fn parse(bytes: &[u8]) -> Result<(Value, Vec<FieldError>), String> {
    let duplicates = RefCell::new(Duplicates::default());
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Node { path: String::new(), duplicates: &duplicates }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| {
            format!("the body is not JSON: it goes wrong at line {}, column {}", error.line(), error.column())
        })?;
    let Duplicates { mut named, more } = duplicates.into_inner();
    if more > 0 {
        let message = format!("and {more} more names are given twice");
        named.push(FieldError { field: String::new(), message });
    }
    Ok((value, named))
}

/// Names that stand twice.
#[derive(Default)]
struct Duplicates {
    named: Vec<FieldError>,
    more: usize,
}

impl Duplicates {
    fn add(&mut self, path: &str) {
        if self.named.len() < MAX_DUPLICATES {
            self.named.push(FieldError { field: path.to_owned(), message: "is given twice".to_owned() });
        } else {
            self.more += 1;
        }
    }
}

/// A field's path below `prefix`; long names are cut, as they may be anything.
pub(in crate::web) fn path(prefix: &str, name: &str) -> String {
    let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
    if prefix.is_empty() { name } else { format!("{prefix}.{name}") }
}

struct Node<'a> {
    path: String,
    duplicates: &'a RefCell<Duplicates>,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        loop {
            let path = format!("{}[{}]", self.path, values.len());
            match items.next_element_seed(Node { path, duplicates: self.duplicates })? {
                Some(value) => values.push(value),
                None => return Ok(Value::Array(values)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            let path = path(&self.path, &name);
            if map.contains_key(&name) {
                self.duplicates.borrow_mut().add(&path);
            }
            let value = entries.next_value_seed(Node { path, duplicates: self.duplicates })?;
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_as_serde_json_reads_them() {
        let text = r#"{"a":[1,-2,2.5,true,null,"x\n"],"b":{"c":{}}}"#;
        assert_eq!(parse(text.as_bytes()).unwrap(), (json!({"a":[1,-2,2.5,true,null,"x\n"],"b":{"c":{}}}), vec![]));
    }

    #[test]
    fn names_that_stand_twice_are_found_at_every_depth() {
        let (_, duplicates) = parse(br#"{"a":1,"b":{"c":1,"c":2},"a":[{"d":1,"d":1}]}"#).unwrap();
        let fields: Vec<&str> = duplicates.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["b.c", "a", "a[0].d"]);
    }

    #[test]
    fn a_body_of_duplicates_has_a_short_answer() {
        let text = format!("{{{}}}", vec![r#""a":1"#; 100_000].join(","));
        let (_, duplicates) = parse(text.as_bytes()).unwrap();
        assert_eq!(duplicates.len(), MAX_DUPLICATES + 1);
        assert_eq!(
            duplicates[MAX_DUPLICATES].message,
            format!("and {} more names are given twice", 99_999 - MAX_DUPLICATES)
        );
    }

    #[test]
    fn errors_say_where_and_repeat_nothing() {
        for text in ["", "{", "{\"token\":hunter2}", "{} hunter2", "{\"a\":\"hunter2", &"[".repeat(1000)] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert!(error.contains("line ") && !error.contains("hunter2"), "{error}");
        }
    }
}
